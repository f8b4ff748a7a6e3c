# SPDX-License-Identifier: GPL-3.0-or-later
"""Attention biases: T5's relative positions, and relative time where tokens belong to a moment."""

from __future__ import annotations

import math

import torch
from torch import Tensor

UNTIMED = -(10**6)
"""Time of a token that belongs to no moment: words, tags, block ends."""


def relative_position_bucket(
    distance: Tensor, bidirectional: bool, num_buckets: int, max_distance: int
) -> Tensor:
    """Map key-minus-query distances to T5's logarithmic buckets.

    Args:
        distance: Key position minus query position, any shape, int64.
        bidirectional: True in the encoder; in the decoder keys ahead share bucket 0.
        num_buckets: Buckets in all.
        max_distance: Distance from which on the last bucket is used.

    Returns:
        Bucket indices, same shape, int64.
    """
    bucket = torch.zeros_like(distance)
    if bidirectional:
        num_buckets //= 2
        bucket = bucket + (distance > 0).long() * num_buckets
        distance = distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    exact = num_buckets // 2
    scaled = torch.log(distance.float().clamp(min=1) / exact) / math.log(max_distance / exact)
    large = (exact + (scaled * (num_buckets - exact)).long()).clamp(max=num_buckets - 1)
    return bucket + torch.where(distance < exact, distance, large)


def time_bucket(query_times: Tensor, key_times: Tensor, reach: int) -> Tensor:
    """Map time differences to buckets: 0 for untimed pairs, then -reach..reach.

    Args:
        query_times: (Lq,) or, where the rows of a batch differ, (B, Lq), int64, `UNTIMED` where there is
            none.
        key_times: (Lk,) or (B, Lk), likewise.
        reach: Differences beyond it share the outermost bucket.

    Returns:
        (Lq, Lk) or (B, Lq, Lk), int64, in [0, 2 * reach + 1].
    """
    keys, queries = key_times[..., None, :], query_times[..., :, None]
    difference = keys - queries
    timed = (keys != UNTIMED) & (queries != UNTIMED)
    return torch.where(timed, difference.clamp(-reach, reach) + reach + 1, 0)


def initial_time_bias(reach: int, num_heads: int) -> Tensor:
    """Time biases before training: heads from near-sighted to far-sighted, as in ALiBi (arXiv 2108.12409).

    From zero they would take thousands of steps to grow to the size that singles out one moment.

    Args:
        reach: Largest time difference with a bias of its own.
        num_heads: Attention heads.

    Returns:
        (2 * reach + 2, num_heads); row 0 is for untimed pairs.
    """
    slopes = torch.logspace(0.0, -1.6, num_heads)
    slopes[3 * num_heads // 4 :] = 0.0
    distance = torch.arange(-reach, reach + 1).abs()
    return torch.cat([torch.zeros(1, num_heads), -distance[:, None] * slopes])


def hide_padding(bias: Tensor, mask: Tensor) -> Tensor:
    """Add -inf for hidden keys.

    Args:
        bias: (1 or B, H, Lq, Lk).
        mask: True where a key may be seen, (B, Lk), bool.

    Returns:
        (B, H, Lq, Lk).
    """
    return bias.masked_fill(~mask[:, None, None, :], float("-inf"))
