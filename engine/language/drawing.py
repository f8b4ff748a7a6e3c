# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawing codes from one random number each.

`draw`, in torch on any device, and `draw_in_numpy` choose alike, by inverse transform sampling; for a row or
two numpy takes a third of the time, its calls being cheaper. `draw_by_race` draws with the same chances, but
with slightly other scores it mostly draws the same code, which guesses ahead need (Gumbel's way: Maddison,
Tarlow & Minka 2014, arXiv 1411.0030); inverse transform sampling orders the codes by their chances, and where
two change places all behind them move.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..motion.arrays import FloatArray
from ..specs import SamplingOptions

IndexArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class StepDraw:
    """What is asked of the draw of one step.

    Attributes:
        levels: Rows of the output head that can be drawn, first and last + 1, level after level.
        guidance: Scale; where it is not 1, the unconditional rows of a batch follow the conditioned ones.
        options: Temperature, top-k, top-p.
    """

    levels: tuple[tuple[int, int], ...]
    guidance: float
    options: SamplingOptions


def draw(logits: Tensor, uniform: Tensor, options: SamplingOptions) -> Tensor:
    """Draw one code per row.

    Args:
        logits: (B, K).
        uniform: One number in [0, 1) per row, (B,).
        options: Temperature, top-k, top-p.

    Returns:
        Indices, (B,), int64.
    """
    if options.temperature <= 0.0:
        return logits.argmax(dim=-1)
    probabilities, order = (logits / options.temperature).softmax(dim=-1).sort(dim=-1, descending=True)
    if options.top_k > 0:
        probabilities[:, options.top_k :] = 0.0
    cumulative = probabilities.cumsum(dim=-1)
    kept = cumulative[:, -1:]
    if options.top_p < 1.0:  # all that begin below the limit, so at least one
        num_kept = (cumulative - probabilities < options.top_p).sum(dim=-1, keepdim=True)
        kept = cumulative.gather(1, num_kept - 1)
    chosen = torch.searchsorted(cumulative, uniform[:, None] * kept, right=True)
    chosen = chosen.clamp_(max=logits.shape[-1] - 1)
    return order.gather(1, chosen)[:, 0]


def draw_by_race(logits: Tensor, uniform: Tensor, options: SamplingOptions) -> Tensor:
    """As `draw`, another code for the same number: each runs as fast as it is likely, and the first wins."""
    if options.temperature <= 0.0:
        return logits.argmax(dim=-1)
    chances = (logits / options.temperature).softmax(dim=-1)
    if options.top_k > 0 or options.top_p < 1.0:
        ordered, order = chances.sort(dim=-1, descending=True)
        if options.top_p < 1.0:  # as in `draw`
            ordered = ordered.masked_fill(ordered.cumsum(dim=-1) - ordered >= options.top_p, 0.0)
        if options.top_k > 0:
            ordered[:, options.top_k :] = 0.0
        chances = torch.zeros_like(chances).scatter_(1, order, ordered)
    return (chances / _distances(uniform, logits.shape[-1])).argmax(dim=-1)


def _distances(uniform: Tensor, count: int) -> Tensor:
    """Independent numbers for every code, exponentially distributed, (B, count), alike on every device.

    They are hashes of the random number's bits and of the code (SplitMix64: Steele, Lea & Flood 2014).
    """
    codes = torch.arange(1, count + 1, device=uniform.device)
    z = ((uniform.double() * 2.0**24).long()[:, None] * count + codes) * -0x61C8864680B583EB
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15), (31, 1)):
        z = (z ^ (z >> shift & (1 << 64 - shift) - 1)) * factor
    return -(((z >> 11 & (1 << 53) - 1).double() + 0.5) * 2.0**-53).log()


def draw_in_numpy(logits: FloatArray, uniform: FloatArray, options: SamplingOptions) -> IndexArray:
    """As `draw`, from arrays."""
    if options.temperature <= 0.0:
        return logits.argmax(axis=-1)
    return np.array([_draw_row(*row, options) for row in zip(logits, uniform, strict=True)], dtype=np.int64)


def _draw_row(logits: FloatArray, uniform: np.float32, options: SamplingOptions) -> int:
    order = logits.argsort()[::-1]
    ordered = logits[order]
    weights = np.exp((ordered - ordered[0]) / np.float32(options.temperature))
    limit = np.float32(options.top_p) * weights.sum()
    if options.top_k > 0:
        weights = weights[: options.top_k]
    cumulative = weights.cumsum()
    num_kept = len(weights)
    if options.top_p < 1.0:
        num_kept = (cumulative - weights).searchsorted(limit)
    chosen = cumulative.searchsorted(uniform * cumulative[num_kept - 1], side="right")
    return int(order[min(int(chosen), num_kept - 1)])
