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
import torch.nn.functional as F
from torch import Tensor

from .biases import UNTIMED
from .model import embed_steps

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
        heads = (count, 2, weights.config.num_heads, weights.config.d_kv)
        for index, layer in enumerate(weights.layers):
            both = F.linear(encoded.to(weights.dtype), layer.cross_kv).view(heads)
            keys, values = both.permute(1, 2, 0, 3)
            self.memory_keys[index, row, :, :count] = keys
            self.memory_values[index, row, :, :count] = values
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
        weights, config = self.weights, self.weights.config
        x = embed_steps(self.ids, weights.embedding, config.embedding_offset)
        shape, epsilon = (config.d_model,), config.layer_norm_epsilon
        bias = self.table.index_select(1, self.place).transpose(0, 1)[:, :, None]  # (R, H, 1, L)
        for index, layer in enumerate(weights.layers):
            q, k, v = self._heads(F.rms_norm(x, shape, layer.self_norm, epsilon), layer.qkv, 3)
            keys, values = self.keys[index], self.values[index]
            keys[self.rows, :, self.place] = k[:, :, 0]
            values[self.rows, :, self.place] = v[:, :, 0]
            x = x + self._attend(q, keys, values, bias, layer.self_o)
            (q,) = self._heads(F.rms_norm(x, shape, layer.cross_norm, epsilon), layer.cross_q, 1)
            keys, values = self.memory_keys[index], self.memory_values[index]
            x = x + self._attend(q, keys, values, self.hidden, layer.cross_o)
            gate, up = F.linear(F.rms_norm(x, shape, layer.ff_norm, epsilon), layer.wi).chunk(2, dim=-1)
            x = x + F.linear(F.gelu(gate, approximate="tanh") * up, layer.wo)
        return F.rms_norm(x[:, -1], shape, weights.final_norm, epsilon)

    def _heads(self, x: Tensor, weight: Tensor, parts: int) -> tuple[Tensor, ...]:
        """(R, 1, d) -> `parts` tensors (R, H, 1, width)."""
        config = self.weights.config
        y = F.linear(x, weight).view(len(x), 1, parts, config.num_heads, config.d_kv)
        return y.permute(2, 0, 3, 1, 4).unbind(0)

    def _attend(self, q: Tensor, keys: Tensor, values: Tensor, bias: Tensor, out: Tensor) -> Tensor:
        mixed = F.scaled_dot_product_attention(q, keys, values, attn_mask=bias, scale=1.0)
        return F.linear(mixed.transpose(1, 2).flatten(2), out)

    def _recorded(self) -> Callable[[], Tensor]:
        """The step; on a GPU a replay of its recording."""
        if self.keys.device.type != "cuda":
            return self._run
        from .graph_decoder import recorded

        return recorded(self._run)
