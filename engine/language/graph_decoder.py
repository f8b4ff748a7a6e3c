# SPDX-License-Identifier: GPL-3.0-or-later
"""The decoder on an NVIDIA GPU: memory that stays in place, and every step a replay of a recorded CUDA graph.

A step of one row is a few hundred kernels, each shorter than the call that starts it; recorded once, they
start together. A graph reads and writes fixed memory, so caches, biases and inputs are kept from window to
window and filled anew; attention always runs over the whole cache, and the causal bias hides what is not
there yet.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .decoder import StepDecoder, TorchDecoder, TorchDecoderWeights
from .model import ABSENT, LanguageModel

MEMORY_STEP = 64
"""The encoder's length is filled up to a multiple of this, so that requests share graphs."""

MAX_DECODERS = 8
"""Sizes of batches kept with their memory; of a further one the oldest makes room."""


class GraphDecoderWeights(TorchDecoderWeights):
    """Decoder weights, and the decoders whose steps were recorded.

    Args:
        model: The language model.
        dtype: Of the copies.
    """

    def __init__(self, model: LanguageModel, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(model, dtype)
        self.decoders: dict[tuple[int, int, int], GraphDecoder] = {}

    def start(self, encoded: Tensor, mask: Tensor, self_bias: Tensor, cross_bias: Tensor) -> StepDecoder:
        """Make room for one batch of windows, or use that of an earlier one of the same size.

        The decoder started before for a batch of this size must not be used any more.
        """
        missing = -encoded.shape[1] % MEMORY_STEP
        encoded, mask = F.pad(encoded, (0, 0, 0, missing)), F.pad(mask, (0, missing))
        cross_bias = F.pad(cross_bias, (0, missing))
        key = (encoded.shape[0], self_bias.shape[-1], encoded.shape[1])
        if key in self.decoders:
            self.decoders[key].refill(TorchDecoder(self, encoded, mask, self_bias, cross_bias))
        else:
            if len(self.decoders) == MAX_DECODERS:
                self.decoders.pop(next(iter(self.decoders)))
            self.decoders[key] = GraphDecoder(self, encoded, mask, self_bias, cross_bias)
        return self.decoders[key]


class GraphDecoder(TorchDecoder):
    """`StepDecoder` of recorded steps; arguments as in `DecoderWeights.start`."""

    def __init__(
        self,
        weights: TorchDecoderWeights,
        encoded: Tensor,
        mask: Tensor,
        self_bias: Tensor,
        cross_bias: Tensor,
    ) -> None:
        super().__init__(weights, encoded, mask, self_bias, cross_bias)
        self._clear()
        self.place = torch.zeros(1, dtype=torch.int64, device=encoded.device)
        self.steps: dict[tuple[int, int], tuple[Tensor, Callable[[], Tensor]]] = {}

    def _clear(self) -> None:
        """Hidden positions must hold numbers: a weight of zero does not hide what is none."""
        self.keys.zero_()
        self.values.zero_()
        self.position = 0

    def refill(self, fresh: TorchDecoder) -> None:
        """Take over another window's request, in place."""
        self.self_bias.copy_(fresh.self_bias)
        self.cross_bias.copy_(fresh.cross_bias)
        for held, new in zip(self.cross, fresh.cross, strict=True):
            for mine, theirs in zip(held, new, strict=True):
                mine.copy_(theirs)
        self._clear()

    def advance(self, ids: Tensor) -> Tensor:
        """Feed the next tokens one by one, as `StepDecoder` says."""
        if ids.ndim == 2:
            ids = ids[..., None]
        rows, count, width = ids.shape
        if (rows, width) not in self.steps:
            self.steps[rows, width] = self._record(rows, width)
        held, step = self.steps[rows, width]
        states = self.keys.new_empty((rows, self.weights.config.d_model))
        for index in range(count):
            held.copy_(ids[:, index : index + 1])
            self.place.fill_(self.position)
            states = step()
            self.position += 1
        return states.clone()

    def _record(self, rows: int, width: int) -> tuple[Tensor, Callable[[], Tensor]]:
        """Memory for the ids of a step, and the step itself, which reads them."""
        held = torch.full((rows, 1, width), ABSENT, dtype=torch.int64, device=self.keys.device)

        def step() -> Tensor:
            self_bias = self.self_bias.index_select(2, self.place)
            cross_bias = self.cross_bias[:rows].index_select(2, self.place)
            return self.run(held, self.place, self_bias, cross_bias)

        return held, step if self.keys.device.type != "cuda" else recorded(step)


def recorded(step: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """A function without arguments as a CUDA graph; its result lies in the same memory after every call."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # the first run allocates and chooses kernels, which cannot be recorded
        step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        states = step()

    def replay() -> Tensor:
        graph.replay()
        return states

    return replay
