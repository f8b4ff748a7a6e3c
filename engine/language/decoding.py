# SPDX-License-Identifier: GPL-3.0-or-later
"""Constrained, cached generation of one window.

Only that part's codes can be drawn, exactly as many as the window needs; the output head is read only at
the rows in play; keys and values live in memory allocated once per window. Guidance is classifier-free
(Ho & Salimans 2022, arXiv 2207.12598): rows asked nothing run beside the others while a block needs them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import Cancelled
from ..specs import CancelCheck, Part, SamplingOptions
from ..tokenizers.vocabulary import Vocabulary
from .biases import hide_padding
from .layout import DecoderPlan, EncoderBatch, edge_tokens, step_tokens
from .model import LanguageModel, embed_steps


@dataclass(frozen=True)
class _Layer:
    """One decoder block's weights, fused so that a step needs few calls."""

    self_norm: Tensor
    qkv: Tensor
    self_o: Tensor
    cross_norm: Tensor
    cross_q: Tensor
    cross_kv: Tensor
    cross_o: Tensor
    ff_norm: Tensor
    wi: Tensor
    wo: Tensor


class DecoderWeights:
    """Decoder weights in the shape the step loop wants; made once per loaded model.

    Args:
        model: The language model; its weights are copied, so later changes do not show.
        dtype: Of the copies: float32, or bfloat16 to halve the memory read per step.
    """

    def __init__(self, model: LanguageModel, dtype: torch.dtype = torch.float32) -> None:
        self.model = model
        self.config = model.config
        self.dtype = dtype
        self.layers = [_fuse(block, dtype) for block in model.decoder.block]
        self.final_norm = model.decoder.final_layer_norm.weight.detach().to(dtype)
        self.head = model.lm_head.weight.detach().to(dtype)
        self.embedding = model.shared.weight.detach().to(dtype)
        self.depth = copy.deepcopy(model.depth).to(dtype) if self.config.depth_ff else None

    def deepen(self, states: Tensor, ids: Tensor) -> Tensor:
        """States that draw the next quantizer level, from states (R, d_model) and ids just drawn (R,)."""
        if self.depth is None:
            raise ValueError("This model has one quantizer level.")
        return self.depth(states, F.embedding(ids - self.config.embedding_offset, self.embedding))


def _fuse(block: torch.nn.Module, dtype: torch.dtype) -> _Layer:
    w = {name: p.detach().to(dtype) for name, p in block.named_parameters()}
    attention, cross, dense = "layer.0.SelfAttention.", "layer.1.EncDecAttention.", "layer.2.DenseReluDense."
    return _Layer(
        self_norm=w["layer.0.layer_norm.weight"],
        qkv=torch.cat([w[f"{attention}{n}.weight"] for n in "qkv"]),
        self_o=w[f"{attention}o.weight"],
        cross_norm=w["layer.1.layer_norm.weight"],
        cross_q=w[f"{cross}q.weight"],
        cross_kv=torch.cat([w[f"{cross}{n}.weight"] for n in "kv"]),
        cross_o=w[f"{cross}o.weight"],
        ff_norm=w["layer.2.layer_norm.weight"],
        wi=torch.cat([w[f"{dense}wi_{n}.weight"] for n in "01"]),
        wo=w[f"{dense}wo.weight"],
    )


class CachedDecoder:
    """Decoder state of one batch of windows, extended by `advance`.

    Args:
        weights: Fused weights.
        encoded: Encoder states, (B, Lk, d_model).
        mask: Encoder positions that may be seen, (B, Lk), bool.
        self_bias: (1, H, L, L) for the whole sequence.
        cross_bias: (1, H, L, Lk), before hiding padding.
    """

    def __init__(
        self, weights: DecoderWeights, encoded: Tensor, mask: Tensor, self_bias: Tensor, cross_bias: Tensor
    ) -> None:
        self.weights = weights
        config, dtype = weights.config, weights.dtype
        batch, length = encoded.shape[0], self_bias.shape[-1]
        self.heads, self.width = config.num_heads, config.d_kv
        self.self_bias = self_bias.to(dtype)
        self.cross_bias = hide_padding(cross_bias, mask).to(dtype)
        shape = (len(weights.layers), batch, self.heads, length, self.width)
        self.keys = torch.empty(shape, dtype=dtype, device=encoded.device)
        self.values = torch.empty_like(self.keys)
        self.cross = [self._project(encoded.to(dtype), layer.cross_kv, 2) for layer in weights.layers]
        self.position = 0

    def _project(self, x: Tensor, weight: Tensor, parts: int) -> tuple[Tensor, ...]:
        """(B, L, d) -> `parts` tensors (B, H, L, width)."""
        y = F.linear(x, weight).view(x.shape[0], x.shape[1], parts, self.heads, self.width)
        return y.permute(2, 0, 3, 1, 4).unbind(0)

    def advance(self, ids: Tensor) -> Tensor:
        """Feed the next tokens.

        Args:
            ids: (R, n) or (R, n, Q), int64; R may be fewer than the batch, then only its first rows go on.

        Returns:
            Normalised states of the last position, (R, d_model).
        """
        weights, config = self.weights, self.weights.config
        rows, count = ids.shape[:2]
        begin, end = self.position, self.position + count
        x = embed_steps(ids, weights.embedding, config.embedding_offset)
        shape, epsilon = (config.d_model,), config.layer_norm_epsilon
        self_bias = self.self_bias[:, :, begin:end, :end]
        cross_bias = self.cross_bias[:rows, :, begin:end]
        for index, layer in enumerate(weights.layers):
            q, k, v = self._project(F.rms_norm(x, shape, layer.self_norm, epsilon), layer.qkv, 3)
            keys, values = self.keys[index, :rows], self.values[index, :rows]
            keys[:, :, begin:end] = k
            values[:, :, begin:end] = v
            x = x + self._attend(q, keys[:, :, :end], values[:, :, :end], self_bias, layer.self_o)
            (q,) = self._project(F.rms_norm(x, shape, layer.cross_norm, epsilon), layer.cross_q, 1)
            keys, values = self.cross[index]
            x = x + self._attend(q, keys[:rows], values[:rows], cross_bias, layer.cross_o)
            gate, up = F.linear(F.rms_norm(x, shape, layer.ff_norm, epsilon), layer.wi).chunk(2, dim=-1)
            x = x + F.linear(F.gelu(gate, approximate="tanh") * up, layer.wo)
        self.position = end
        return F.rms_norm(x[:, -1], shape, weights.final_norm, epsilon)

    def _attend(self, q: Tensor, keys: Tensor, values: Tensor, bias: Tensor, out: Tensor) -> Tensor:
        mixed = F.scaled_dot_product_attention(q, keys, values, attn_mask=bias, scale=1.0)
        return F.linear(mixed.transpose(1, 2).flatten(2), out)


def draw(logits: Tensor, uniform: Tensor, options: SamplingOptions) -> Tensor:
    """Draw one code per row by inverse transform sampling.

    Args:
        logits: (B, K).
        uniform: One number in [0, 1) per row, (B,).
        options: Temperature, top-k, top-p.

    Returns:
        Indices, (B,), int64.
    """
    if options.temperature <= 0.0:
        return logits.argmax(dim=-1)
    probabilities, order = (
        (logits.float() / options.temperature).softmax(dim=-1).sort(dim=-1, descending=True)
    )
    if options.top_k > 0:
        probabilities[:, options.top_k :] = 0.0
    cumulative = probabilities.cumsum(dim=-1)
    if options.top_p < 1.0:
        before = cumulative - probabilities
        cumulative = probabilities.masked_fill_(before >= options.top_p, 0.0).cumsum(dim=-1)
    target = uniform[:, None] * cumulative[:, -1:]
    chosen = torch.searchsorted(cumulative, target, right=True).clamp(max=logits.shape[-1] - 1)
    return order.gather(1, chosen)[:, 0]


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
        cancel: Asked before every step.

    Returns:
        Codes per part, (B, num_steps * levels), int64.

    Raises:
        Cancelled: When `cancel` said so.
    """
    plan, model, device = request.plan, weights.model, weights.head.device
    batch = request.uniform.shape[0]
    encoder = request.encoder.to(device)
    encoded = model.encode(encoder.ids, encoder.mask, encoder.times, encoder.text_states, encoder.is_text)
    query_times = plan.query_times.to(device)
    self_bias = model.decoder.self_bias(query_times, plan.key_times.to(device))
    cross_bias = model.decoder.cross_bias(query_times, encoder.times)
    uniform = request.uniform.to(device)
    decoder = CachedDecoder(weights, encoded, encoder.mask, self_bias, cross_bias)
    rows_of = {
        part: encoded.shape[0] if request.guidance.get(part, 1.0) != 1.0 else batch for part in plan.order
    }
    result: dict[Part, Tensor] = {}
    pending = torch.empty((batch, 0, plan.width), dtype=torch.int64, device=device)
    first_draw = 0
    for index, part in enumerate(plan.order):
        rows = max(rows_of[later] for later in plan.order[index:])
        levels, guidance = plan.levels[part], request.guidance.get(part, 1.0)
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
        for position in range(known, end_drawn, levels):
            if cancel is not None and cancel():
                raise Cancelled("Stopped; nothing was changed.")
            states = decoder.advance(_repeat(pending, rows))
            drawn = uniform[:, first_draw + position : first_draw + position + levels]
            step = _draw_step(weights, vocabulary, part, states, drawn, guidance, options)
            codes[:, position : position + levels] = step
            pending = step_tokens(part, step, vocabulary, plan.width)
            if on_step is not None:
                on_step(decoder.position)
        result[part] = codes
        first_draw += plan.num_codes(part)
        end = edge_tokens(vocabulary.end(part), plan.width, batch).to(device)
        after = step_tokens(part, codes[:, end_drawn:], vocabulary, plan.width)
        pending = torch.cat([pending, after, end], dim=1)
    return {part: codes.cpu() for part, codes in result.items()}


def _draw_step(
    weights: DecoderWeights,
    vocabulary: Vocabulary,
    part: Part,
    states: Tensor,
    uniform: Tensor,
    guidance: float,
    options: SamplingOptions,
) -> Tensor:
    """Draw one step, level after level.

    Args:
        weights: Fused decoder weights.
        vocabulary: The unified vocabulary.
        part: The block's part.
        states: Of the step, (R, d_model); beyond the batch's rows stand the unconditional ones.
        uniform: One number per row and level, (B, levels).
        guidance: Scale.
        options: How to draw.

    Returns:
        Codes, (B, levels), int64.
    """
    batch, levels = uniform.shape
    offset = weights.config.embedding_offset
    drawn: list[Tensor] = []
    for level in range(levels):
        if level:
            ids = drawn[-1] + vocabulary.part_range(part, level - 1)[0]
            states = weights.deepen(states, _repeat(ids[:, None], len(states))[:, 0])
        first, stop = vocabulary.part_range(part, level)
        logits = F.linear(states, weights.head[first - offset : stop - offset]).float()
        if len(states) > batch:
            logits = logits[batch:] + guidance * (logits[:batch] - logits[batch:])
        drawn.append(draw(logits, uniform[:, level], options))
    return torch.stack(drawn, dim=1)


def _repeat(ids: Tensor, rows: int) -> Tensor:
    """Feed the same tokens to the unconditional rows, (B, n, ...) -> (rows, n, ...)."""
    return ids if rows == ids.shape[0] else torch.cat([ids, ids])
