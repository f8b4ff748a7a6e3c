# SPDX-License-Identifier: GPL-3.0-or-later
"""Constrained, cached generation of one window.

Only that part's codes can be drawn, exactly as many as the window needs; the output head is read only at
the rows in play. Guidance is classifier-free (Ho & Salimans 2022, arXiv 2207.12598): rows asked nothing run
beside the others while a block needs them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..specs import CancelCheck, Part, SamplingOptions
from ..tokenizers.vocabulary import Vocabulary
from .decoder import DecoderWeights, StepDecoder
from .drafting import draw_steps
from .drawing import StepDraw
from .layout import DecoderPlan, EncoderBatch, edge_tokens, step_tokens


@dataclass(frozen=True)
class WindowRequest:
    """One batch of windows to generate.

    Attributes:
        plan: Layout of the blocks.
        encoder: Encoder inputs; the first B rows are the conditioned ones, and where any guidance
            differs from 1, B unconditional rows follow.
        forced: Codes already decided at the head of each block, (B, n) per part, n >= 0; a block that
            is forced to its end is only read.
        guidance: Scale per part; blocks with guidance must come before those without.
        uniform: Random numbers in [0, 1), one per code, (B, plan.num_draws), float32.
        forced_tail: Codes already decided at the end of each block, (B, n) per part; only later blocks
            see them.
    """

    plan: DecoderPlan
    encoder: EncoderBatch
    forced: dict[Part, Tensor]
    guidance: dict[Part, float]
    uniform: Tensor
    forced_tail: dict[Part, Tensor] = field(default_factory=lambda: {})


@torch.inference_mode()
def generate_window(
    weights: DecoderWeights,
    vocabulary: Vocabulary,
    request: WindowRequest,
    options: SamplingOptions,
    on_step: Callable[[int], None] | None = None,
    cancel: CancelCheck | None = None,
) -> dict[Part, Tensor]:
    """Generate every block of a batch of windows.

    Args:
        weights: Fused decoder weights.
        vocabulary: The unified vocabulary.
        request: What to generate.
        options: How to draw.
        on_step: Called with the positions decided so far.
        cancel: Asked before every reading of the weights.

    Returns:
        Codes per part, (B, num_steps * levels), int64.

    Raises:
        Cancelled: When `cancel` said so.
    """
    decoder = _read(weights, request)
    with weights.stepping():
        codes = _write(weights, vocabulary, request, decoder, options, on_step, cancel)
    return {part: drawn.cpu() for part, drawn in codes.items()}


def _read(weights: DecoderWeights, request: WindowRequest) -> StepDecoder:
    """Encode a request and make room for its motion."""
    plan, model, device = request.plan, weights.model, weights.head.device
    encoder = request.encoder.to(device)
    encoded = model.encode(encoder.ids, encoder.mask, encoder.times, encoder.text_states, encoder.is_text)
    query_times = plan.query_times.to(device)
    self_bias = model.decoder.self_bias(query_times, plan.key_times.to(device))
    cross_bias = model.decoder.cross_bias(query_times, encoder.times)
    return weights.start(encoded, encoder.mask, self_bias, cross_bias)


def _write(
    weights: DecoderWeights,
    vocabulary: Vocabulary,
    request: WindowRequest,
    decoder: StepDecoder,
    options: SamplingOptions,
    on_step: Callable[[int], None] | None,
    cancel: CancelCheck | None,
) -> dict[Part, Tensor]:
    """Write block after block; arguments and errors as in `generate_window`."""
    plan, device = request.plan, weights.head.device
    uniform = request.uniform.to(device)
    batch, num_rows = len(uniform), len(request.encoder.ids)
    rows_of = {part: num_rows if request.guidance.get(part, 1.0) != 1.0 else batch for part in plan.order}
    result: dict[Part, Tensor] = {}
    pending = torch.empty((batch, 0, plan.width), dtype=torch.int64, device=device)
    first_draw = 0
    for index, part in enumerate(plan.order):
        rows = max(rows_of[later] for later in plan.order[index:])
        levels = plan.levels[part]
        asked = StepDraw(
            tuple(weights.table_rows(*vocabulary.part_range(part, level)) for level in range(levels)),
            request.guidance.get(part, 1.0),
            options,
        )
        codes = torch.empty((batch, plan.num_codes(part)), dtype=torch.int64, device=device)
        known = request.forced[part].shape[1] if part in request.forced else 0
        if known:
            codes[:, :known] = request.forced[part]
        num_after = request.forced_tail[part].shape[1] if part in request.forced_tail else 0
        end_drawn = plan.num_codes(part) - num_after
        if num_after:
            codes[:, end_drawn:] = request.forced_tail[part]
        start = edge_tokens(vocabulary.start(part), plan.width, batch).to(device)
        pending = torch.cat([pending, start, step_tokens(part, codes[:, :known], vocabulary, plan.width)], 1)
        if end_drawn > known:
            first = step_tokens(part, torch.zeros_like(codes[:, :levels]), vocabulary, plan.width)
            numbers = uniform[:, first_draw + known : first_draw + end_drawn]
            steps = _Steps(weights, asked, numbers, first, rows)
            drawn = draw_steps(decoder, _repeat(pending, rows), steps, cancel)
            for position, step in zip(range(known, end_drawn, levels), drawn, strict=True):
                codes[:, position : position + levels] = step
                if on_step is not None:
                    on_step(decoder.position)
            pending = step_tokens(part, codes[:, end_drawn - levels : end_drawn], vocabulary, plan.width)
        result[part] = codes
        first_draw += plan.num_codes(part)
        end = edge_tokens(vocabulary.end(part), plan.width, batch).to(device)
        after = step_tokens(part, codes[:, end_drawn:], vocabulary, plan.width)
        pending = torch.cat([pending, after, end], dim=1)
    return result


@dataclass(frozen=True)
class _Steps:
    """Steps of one block, as `draw_steps` wants them.

    Attributes:
        weights: Fused decoder weights.
        asked: What is drawn, and how.
        uniform: Random numbers, (B, count * levels).
        first: Ids of a step whose codes are all 0, (B, 1, width).
        rows: That are fed, the unconditional ones included.
    """

    weights: DecoderWeights
    asked: StepDraw
    uniform: Tensor
    first: Tensor
    rows: int

    @property
    def count(self) -> int:
        return self.uniform.shape[1] // len(self.asked.levels)

    def draw(self, states: Tensor, step: int) -> Tensor:
        levels = len(self.asked.levels)
        numbers = self.uniform[:, step * levels : (step + 1) * levels]
        return self.weights.draw_step(states, numbers, self.asked)

    def words(self, drawn: Tensor) -> Tensor:
        ids = self.first.clone()
        ids[:, 0, : drawn.shape[1]] += drawn
        return _repeat(ids, self.rows)


def _repeat(ids: Tensor, rows: int) -> Tensor:
    """Feed the same tokens to the unconditional rows, (B, n, ...) -> (rows, n, ...)."""
    return ids if rows == ids.shape[0] else torch.cat([ids, ids])
