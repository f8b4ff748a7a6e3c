# SPDX-License-Identifier: GPL-3.0-or-later
"""HuBERT base's network (Hsu et al. 2021, arXiv 2106.07447), named as in transformers' `HubertModel`.

`hubert_pass` takes a sound through it; the modules here hold the weights and do what concerns no other step.
The package transformers itself would take 165 MB of memory beside Blender, and is none that Blender's engine
folder has.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

CONV_KERNELS = (10, 3, 3, 3, 3, 2, 2)
CONV_STRIDES = (5, 2, 2, 2, 2, 2, 2)
"""Convolutions of HuBERT base: 320 samples per step. Strides do not show in shapes."""

HEAD_WIDTH = 64
"""Width of one attention head in every HuBERT; shapes do not show it."""


class Hubert(nn.Module):
    """The network of the base model.

    Args:
        conv_width: Channels of the convolutions.
        hidden_size: Width of the transformer.
        num_layers: Its layers.
        feed_forward: Width of its feed-forward layers.
        position_kernel: Steps the position convolution sees.
        position_groups: Its groups.
        head_width: Width of one attention head.
    """

    def __init__(
        self,
        conv_width: int = 512,
        hidden_size: int = 768,
        num_layers: int = 12,
        feed_forward: int = 3072,
        position_kernel: int = 128,
        position_groups: int = 16,
        head_width: int = HEAD_WIDTH,
    ) -> None:
        super().__init__()
        self.feature_extractor = _Convolutions(conv_width)
        self.feature_projection = _Projection(conv_width, hidden_size)
        self.encoder = nn.Module()
        self.encoder.pos_conv_embed = _Places(hidden_size, position_kernel, position_groups)
        self.encoder.layer_norm = nn.LayerNorm(hidden_size)
        self.encoder.layers = nn.ModuleList(
            _Layer(hidden_size, feed_forward, head_width) for _ in range(num_layers)
        )


class _Convolutions(nn.Module):
    """Samples (B, N) to features (B, conv_width, T)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_layers = nn.ModuleList(
            _Convolution(width if index else 1, width, kernel, stride, is_first=not index)
            for index, (kernel, stride) in enumerate(zip(CONV_KERNELS, CONV_STRIDES, strict=True))
        )

    def forward(self, waveform: Tensor) -> Tensor:
        x = waveform[:, None]
        for layer in self.conv_layers:
            x = layer(x)
        return x


class _Convolution(nn.Module):
    """One of them; the first one's channels are normalised over time."""

    def __init__(self, channels_in: int, channels: int, kernel: int, stride: int, is_first: bool) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels_in, channels, kernel, stride, bias=False)
        self.layer_norm: nn.Module | None = nn.GroupNorm(channels, channels) if is_first else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return F.gelu(x if self.layer_norm is None else self.layer_norm(x))


class _Projection(nn.Module):
    """Features (B, T, conv_width) to the transformer's width."""

    def __init__(self, conv_width: int, hidden_size: int) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(conv_width)
        self.projection = nn.Linear(conv_width, hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.projection(self.layer_norm(x))


class _Places(nn.Module):
    """The convolution that tells steps' places, (B, T, hidden_size) -> same, to be added."""

    def __init__(self, hidden_size: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(hidden_size, hidden_size, kernel, padding=kernel // 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        places = self.conv(x.transpose(1, 2))[:, :, : x.shape[1]]  # an even kernel makes one step more
        return F.gelu(places).transpose(1, 2)


class _Layer(nn.Module):
    """Weights of one layer of the transformer; `hubert_pass` makes the steps see each other."""

    def __init__(self, hidden_size: int, feed_forward: int, head_width: int) -> None:
        super().__init__()
        self.attention = _Attention(hidden_size, head_width)
        self.layer_norm = nn.LayerNorm(hidden_size)
        self.feed_forward = _FeedForward(hidden_size, feed_forward)
        self.final_layer_norm = nn.LayerNorm(hidden_size)


class _Attention(nn.Module):
    """Projections of multi-head attention."""

    def __init__(self, width: int, head_width: int) -> None:
        super().__init__()
        self.head_dim = head_width
        for name in "kvq":
            self.add_module(f"{name}_proj", nn.Linear(width, width))
        self.out_proj = nn.Linear(width, width)


class _FeedForward(nn.Module):
    """(B, T, hidden_size) -> same."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.intermediate_dense = nn.Linear(width, inner)
        self.output_dense = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.output_dense(F.gelu(self.intermediate_dense(x)))
