# SPDX-License-Identifier: GPL-3.0-or-later
"""Several windows in one batch, each at a place of its own: what continued windows of a long line need.

`DecoderWeights.start` begins a batch whose rows go on together. Here a row begins a window while others are
in the middle of theirs, and is used again for a later window when it is done. A step feeds one word to every
row; rows that wait are fed one that does not count. Models without time biases only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from .biases import UNTIMED
from .model import embed_steps
from .torch_blocks import project, run_blocks

if TYPE_CHECKING:
    from .decoder import TorchDecoderWeights
    from .model import LanguageModel


class RowsDecoder(Protocol):
    """Decoder state of windows at different places."""

    def begin(self, row: int, encoded: Tensor) -> None:
        """Use a row for another window.

        Args:
            row: The row.
            encoded: Encoder states of the window's request, (n, d_model), n at most the memory's length.
        """
        ...

    def feed(self, words: Sequence[Sequence[int]]) -> Tensor:
        """Feed every row its next words.

        Args:
            words: Of each row; none where it waits.

        Returns:
            Normalised states of each row's last word, (rows, d_model); of a row that waits, anything.
        """
        ...


def self_bias_table(model: LanguageModel, length: int) -> Tensor:
    """Biases of self-attention of words at any place of a window, (H, length, length), -inf ahead."""
    times = torch.full((length,), UNTIMED, device=model.lm_head.weight.device)
    return model.decoder.self_bias(times, times)[0].detach()


class TorchRows:
    """`RowsDecoder` in torch, on any device; on an NVIDIA GPU its step is recorded once.

    Args:
        weights: The model's.
        num_rows: Rows R.
        length: Most words of a window.
        memory_length: Most words of a request.
    """

    def __init__(self, weights: TorchDecoderWeights, num_rows: int, length: int, memory_length: int) -> None:
        config, device = weights.config, weights.head.device
        self.weights = weights
        self.table = self_bias_table(weights.model, length).to(weights.dtype)
        shape = (len(weights.layers), num_rows, config.num_heads, length, config.d_kv)
        self.keys = torch.zeros(shape, dtype=weights.dtype, device=device)
        self.values = torch.zeros_like(self.keys)
        memory = (*shape[:3], memory_length, config.d_kv)
        self.memory_keys = torch.zeros(memory, dtype=weights.dtype, device=device)
        self.memory_values = torch.zeros_like(self.memory_keys)
        self.hidden = torch.zeros((num_rows, 1, 1, memory_length), dtype=weights.dtype, device=device)
        self.rows = torch.arange(num_rows, device=device)
        self.places = [0] * num_rows
        self.ids = torch.zeros((num_rows, 1), dtype=torch.int64, device=device)
        self.place = torch.zeros(num_rows, dtype=torch.int64, device=device)
        self._step: Callable[[], Tensor] | None = None

    def begin(self, row: int, encoded: Tensor) -> None:
        """Use a row for another window; as `RowsDecoder` says."""
        weights, count = self.weights, len(encoded)
        for index, layer in enumerate(weights.layers):
            keys, values = project(weights, encoded[None].to(weights.dtype), layer.cross_kv, 2)
            self.memory_keys[index, row, :, :count] = keys[0]
            self.memory_values[index, row, :, :count] = values[0]
        self.hidden[row, ..., :count] = 0.0
        self.hidden[row, ..., count:] = float("-inf")
        self.places[row] = 0

    def feed(self, words: Sequence[Sequence[int]]) -> Tensor:
        """Feed every row its next words, one of each at a time; as `RowsDecoder` says."""
        states = self.keys.new_zeros((len(words), self.weights.config.d_model))
        for number in range(max(len(some) for some in words)):
            going = [number < len(some) for some in words]
            fed = [some[number] if here else 0 for some, here in zip(words, going, strict=True)]
            self.ids.copy_(torch.tensor(fed)[:, None])
            # A row that waits is fed where its next word will lie, which takes that place.
            self.place.copy_(torch.tensor(self.places).clamp(max=self.keys.shape[3] - 1))
            if self._step is None:
                self._step = self._recorded()
            made = self._step()
            here = torch.tensor(going, device=made.device)
            states = torch.where(here[:, None], made, states)
            self.places = [place + here for place, here in zip(self.places, going, strict=True)]
        return states

    def _run(self) -> Tensor:
        """One word of every row, (R, d_model)."""
        weights = self.weights

        def extend(index: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
            keys, values = self.keys[index], self.values[index]
            keys[self.rows, :, self.place] = k[:, :, 0]
            values[self.rows, :, self.place] = v[:, :, 0]
            return keys, values

        x = embed_steps(self.ids, weights.embedding, weights.config.embedding_offset)
        bias = self.table.index_select(1, self.place).transpose(0, 1)[:, :, None]  # (R, H, 1, L)
        memory = list(zip(self.memory_keys, self.memory_values, strict=True))
        return run_blocks(weights, x, extend, memory, bias, self.hidden)

    def _recorded(self) -> Callable[[], Tensor]:
        """The step; on a GPU a replay of its recording."""
        if self.keys.device.type != "cuda":
            return self._run
        from .graph_decoder import recorded

        return recorded(self._run)
