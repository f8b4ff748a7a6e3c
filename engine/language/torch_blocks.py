# SPDX-License-Identifier: GPL-3.0-or-later
"""The decoder's blocks in torch, for windows that go on together and for windows at places of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from .decoder import TorchDecoderWeights

Extend = Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]]
"""Puts new keys and values of a block, by its number, into the cache; returns those to attend to."""


def run_blocks(
    weights: TorchDecoderWeights,
    x: Tensor,
    extend: Extend,
    memory: Sequence[Sequence[Tensor]],
    self_bias: Tensor,
    cross_bias: Tensor,
) -> Tensor:
    """All blocks.

    Args:
        weights: The model's.
        x: Embeddings of the new positions, (R, n, d_model).
        extend: Takes and gives keys and values, (R, H, n or T, width).
        memory: Keys and values of the requests, per block, (R, H, Lk, width) each.
        self_bias: (1 or R, H, n, T).
        cross_bias: (R, 1 or H, 1 or n, Lk).

    Returns:
        Normalised states of the last position, (R, d_model).
    """
    shape, epsilon = (weights.config.d_model,), weights.config.layer_norm_epsilon
    for index, layer in enumerate(weights.layers):
        q, k, v = project(weights, F.rms_norm(x, shape, layer.self_norm, epsilon), layer.qkv, 3)
        x = x + _attend(q, *extend(index, k, v), self_bias, layer.self_o)
        (q,) = project(weights, F.rms_norm(x, shape, layer.cross_norm, epsilon), layer.cross_q, 1)
        keys, values = memory[index]
        x = x + _attend(q, keys, values, cross_bias, layer.cross_o)
        gate, up = F.linear(F.rms_norm(x, shape, layer.ff_norm, epsilon), layer.wi).chunk(2, dim=-1)
        x = x + F.linear(F.gelu(gate, approximate="tanh") * up, layer.wo)
    return F.rms_norm(x[:, -1], shape, weights.final_norm, epsilon)


def project(weights: TorchDecoderWeights, x: Tensor, weight: Tensor, parts: int) -> tuple[Tensor, ...]:
    """(R, L, d) -> `parts` tensors (R, H, L, width)."""
    heads, width = weights.config.num_heads, weights.config.d_kv
    y = F.linear(x, weight).view(x.shape[0], x.shape[1], parts, heads, width)
    return y.permute(2, 0, 3, 1, 4).unbind(0)


def _attend(q: Tensor, keys: Tensor, values: Tensor, bias: Tensor, out: Tensor) -> Tensor:
    mixed = F.scaled_dot_product_attention(q, keys, values, attn_mask=bias, scale=1.0)
    return F.linear(mixed.transpose(1, 2).flatten(2), out)
