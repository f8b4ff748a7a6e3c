# SPDX-License-Identifier: GPL-3.0-or-later
"""HuBERT's states of a sound of any length, as one pass over the whole gives them, in bounded memory.

transformers' `HubertModel` keeps 512 numbers for each 5 samples and the states of every layer. Here its
modules, or those of `hubert`, see pieces: the convolutions each with all the samples that its steps depend
on, the feed-forward layers some steps at a time, attention a few heads and a block of queries at a time. That
leaves every number as it is, but for rounding. Only attention is limited, in sounds longer than `reach`: its
cost grows with the square of the length.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import Cancelled
from ..specs import CancelCheck

if TYPE_CHECKING:
    from transformers import HubertModel

    from .hubert import Hubert

HUBERT_STRIDE = 320
"""Samples per HuBERT step: 50 steps per second."""

HUBERT_RECEPTIVE_FIELD = 400
"""Samples that the first step of HuBERT's convolutions sees."""

PIECE_STEPS = 100
"""Steps that go through the convolutions at once: their memory is 13 KB for each step."""

BLOCK_STEPS = 1500
"""Steps that ask, or go through a feed-forward layer, at once."""

HEADS_AT_ONCE = 3
"""Heads of attention whose keys and values are in memory together."""

NORM_FRAMES = 6400
"""Frames of the first convolution (3200 per second) that are summed up at once."""


class HubertPass:
    """One pass over a sound.

    Args:
        model: The network, in evaluation mode; its layers are not touched.
        layers: The layers of its transformer that the sound goes through, each asked for when it is needed.
        reach: Steps that attention sees on both sides, a multiple of `BLOCK_STEPS`. All steps of a sound of
            up to `reach + BLOCK_STEPS` see each other.
        cancel: Asked between pieces.
    """

    def __init__(
        self,
        model: Hubert | HubertModel,
        layers: Iterable[nn.Module],
        reach: int,
        cancel: CancelCheck | None = None,
    ) -> None:
        self.parts: Any = model  # the modules inside are known by their names
        self.layers: Iterable[Any] = layers
        self.reach, self.cancel = reach, cancel

    def states(self, waveform: Tensor) -> Tensor:
        """States after the last of the layers.

        Args:
            waveform: Samples at 16 kHz, (B, N), of one step at least.

        Returns:
            (B, T, hidden size) with T = (N - 400) // 320 + 1.

        Raises:
            Cancelled: When `cancel` said so.
        """
        with self._normalised_as_a_whole(waveform):
            x = self._convolved(waveform)
        x = self._placed(x)
        for layer in self.layers:
            self._through(layer, x)
        return x

    def _blocks(self, steps: int, size: int) -> Generator[tuple[int, int]]:
        """Beginning and end of blocks of steps."""
        for start in range(0, steps, size):
            if self.cancel is not None and self.cancel():
                raise Cancelled("Stopped; nothing was changed.")
            yield start, min(start + size, steps)

    def _convolved(self, waveform: Tensor) -> Tensor:
        """(B, N) -> (B, T, hidden size)."""
        num_samples = waveform.shape[1]
        steps = (num_samples - HUBERT_RECEPTIVE_FIELD) // HUBERT_STRIDE + 1
        pieces: list[Tensor] = []
        for start, stop in self._blocks(steps, PIECE_STEPS):
            # The last piece has the samples after its last step too, as a pass over the whole would.
            end = num_samples if stop == steps else (stop - 1) * HUBERT_STRIDE + HUBERT_RECEPTIVE_FIELD
            features = self.parts.feature_extractor(waveform[:, start * HUBERT_STRIDE : end])
            pieces.append(self.parts.feature_projection(features.transpose(1, 2)))
        return torch.cat(pieces, 1)

    def _placed(self, x: Tensor) -> Tensor:
        """The convolution of positions and the first normalisation, (B, T, hidden size) -> same."""
        encoder, steps = self.parts.encoder, x.shape[1]
        seen = encoder.pos_conv_embed.conv.kernel_size[0] // 2
        placed = torch.empty_like(x)
        for start, stop in self._blocks(steps, BLOCK_STEPS):
            first, last = max(0, start - seen), min(steps, stop + seen)
            places = encoder.pos_conv_embed(x[:, first:last])[:, start - first : stop - first]
            placed[:, start:stop] = encoder.layer_norm(x[:, start:stop] + places)
        return placed

    def _through(self, layer: Any, x: Tensor) -> None:
        """One layer, (B, T, hidden size), in place."""
        mixed = self._attended(layer.attention, x)
        for start, stop in self._blocks(x.shape[1], BLOCK_STEPS):
            y = x[:, start:stop] + layer.attention.out_proj(mixed[:, start:stop])
            y = layer.layer_norm(y)
            x[:, start:stop] = layer.final_layer_norm(y + layer.feed_forward(y))

    def _attended(self, attention: Any, x: Tensor) -> Tensor:
        """What the heads of attention hear, before its last projection, (B, T, hidden size)."""
        mixed, steps = torch.empty_like(x), x.shape[1]
        size = HEADS_AT_ONCE * attention.head_dim
        for first in range(0, x.shape[2], size):
            rows = slice(first, min(first + size, x.shape[2]))
            keys, values = (
                _heads(x, projection, rows, attention.head_dim)
                for projection in (attention.k_proj, attention.v_proj)
            )
            for start, stop in self._blocks(steps, BLOCK_STEPS):
                queries = _heads(x[:, start:stop], attention.q_proj, rows, attention.head_dim)
                near = slice(max(0, start - self.reach), stop + self.reach)
                y = F.scaled_dot_product_attention(queries, keys[:, :, near], values[:, :, near])
                mixed[:, start:stop, rows] = y.transpose(1, 2).flatten(2)
        return mixed

    @contextmanager
    def _normalised_as_a_whole(self, waveform: Tensor) -> Generator[None]:
        """Have the first convolution's normalisation, which goes over time, see the whole sound (B, N).

        A piece alone would be normalised by itself, so that states would depend on how a sound is cut.
        """
        first = self.parts.feature_extractor.conv_layers[0]
        norm = first.layer_norm
        if not isinstance(norm, nn.GroupNorm) or waveform.shape[1] < PIECE_STEPS * HUBERT_STRIDE:
            yield
            return
        kernel, stride = first.conv.kernel_size[0], first.conv.stride[0]
        count, sums = (waveform.shape[1] - kernel) // stride + 1, list[Tensor]()
        for start, stop in self._blocks(count, NORM_FRAMES):
            y = first.conv(waveform[:, None, start * stride : (stop - 1) * stride + kernel])
            plain = y.sum(-1, dtype=torch.float64)
            sums.append(torch.stack([plain, y.square_().sum(-1, dtype=torch.float64)]))
        mean, square = torch.stack(sums).sum(0) / count  # (B, channels) each
        scale = norm.weight * (square - mean.square() + norm.eps).rsqrt()
        first.layer_norm = _Scaled(scale[..., None].float(), (norm.bias - mean * scale)[..., None].float())
        try:
            yield
        finally:
            first.layer_norm = norm


class _Scaled(nn.Module):
    """x times a scale plus a shift, (B, channels, 1) each."""

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, T) -> same, in place."""
        return x.mul_(self.scale).add_(self.shift)


def _heads(x: Tensor, projection: nn.Linear, rows: slice, width: int) -> Tensor:
    """Some rows of a projection of x (B, T, hidden size), head by head, (B, H, T, width)."""
    return (
        F.linear(x, projection.weight[rows], projection.bias[rows]).unflatten(2, (-1, width)).transpose(1, 2)
    )
