# SPDX-License-Identifier: GPL-3.0-or-later
"""Qwen3 with a cache that is allocated once: the decoder-only model of the four-part release (spec 4.2).

Parameter names are those of transformers' `Qwen3Model`; the rows of written words, which four-part streams
never hold, are left out. Architecture: the Qwen3 technical report (arXiv 2505.09388): RMS norms, rotary
positions (Su et al., arXiv 2104.09864), several query heads to one key head, normalised queries and keys,
SwiGLU.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import PackError
from ..language.model import RMSNorm
from ..tokenizers.config import PlainValue, config_from_dict, config_to_dict
from ..tokenizers.published import Shapes
from ..weights.sketching import sketching

PREFIX = "model."
WORD_TABLE = "embed_tokens.weight"
HEAD = "lm_head.weight"
"""Names in transformers' `Qwen3ForCausalLM`; the head is no part of `model.`."""

ROPE_THETA = 1_000_000.0
"""Base of the rotary positions in every published Qwen3; shapes do not show it."""

MAX_WIDTH, MAX_LAYERS, MAX_ROWS = 16_384, 100, 1_000_000


@dataclass(frozen=True)
class QwenConfig:
    """Sizes of one model.

    Attributes:
        num_rows: Rows of the table of words.
        d_model: Width of the residual stream.
        d_ff: Width of the gated feed-forward layers.
        num_layers: Blocks.
        num_heads: Query heads.
        num_key_heads: Key and value heads.
        head_width: Width of one head.
        tied: Whether the output head is the table of words.
        rope_theta: Base of the rotary positions.
        epsilon: Of the RMS norms.
    """

    num_rows: int
    d_model: int
    d_ff: int
    num_layers: int
    num_heads: int
    num_key_heads: int
    head_width: int
    tied: bool = True
    rope_theta: float = ROPE_THETA
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        sizes = self.d_model, self.d_ff, self.num_heads, self.num_key_heads, self.head_width
        if not (0 < self.num_rows <= MAX_ROWS and all(0 < size <= MAX_WIDTH for size in sizes)):
            raise ValueError("sizes out of range")
        odd = self.num_heads % self.num_key_heads or self.head_width % 2
        if odd or not 0 < self.num_layers <= MAX_LAYERS:
            raise ValueError("heads or layers that do not fit")
        if not (self.rope_theta > 1.0 and 0.0 < self.epsilon < 1.0):
            raise ValueError("positions or norms out of range")

    def to_dict(self) -> dict[str, PlainValue]:
        """Plain values for `pack.toml`."""
        return config_to_dict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> QwenConfig:
        """Read what `to_dict` wrote; raises `PackError`."""
        return config_from_dict(cls, values, "the language model")


class _Attention(nn.Module):
    """Grouped attention whose queries and keys are normalised and turned by their position."""

    def __init__(self, config: QwenConfig) -> None:
        super().__init__()
        self.config = config
        wide, keys = config.num_heads * config.head_width, config.num_key_heads * config.head_width
        self.q_proj = nn.Linear(config.d_model, wide, bias=False)
        self.k_proj = nn.Linear(config.d_model, keys, bias=False)
        self.v_proj = nn.Linear(config.d_model, keys, bias=False)
        self.o_proj = nn.Linear(wide, config.d_model, bias=False)
        self.q_norm = RMSNorm(config.head_width, config.epsilon)
        self.k_norm = RMSNorm(config.head_width, config.epsilon)

    def forward(
        self, x: Tensor, turn: tuple[Tensor, Tensor], cache: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Attend to what the cache holds and to the new positions, which are written into it.

        Args:
            x: New positions, (B, n, d_model).
            turn: Cosines and sines of their positions, (n, head_width) each.
            cache: This block's keys and values to the last new position, (2, B, key heads, T, head_width);
                None for whole streams, each position of which sees itself and those before.
            mask: (n, T), True where a position may be seen; None for a single one, which sees all.

        Returns:
            (B, n, d_model).
        """
        batch, count, _ = x.shape
        shape = (batch, count, -1, self.config.head_width)
        dtype = self.q_norm.weight.dtype  # under autocast, norms and turns stay as precise as their weights
        q = _turned(self.q_norm(self.q_proj(x).view(shape).to(dtype)).transpose(1, 2), turn)
        k = _turned(self.k_norm(self.k_proj(x).view(shape).to(dtype)).transpose(1, 2), turn)
        v = self.v_proj(x).view(shape).transpose(1, 2)
        if cache is None:
            q, k = q.to(v.dtype), k.to(v.dtype)
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        else:
            cache[0, :, :, -count:] = k
            cache[1, :, :, -count:] = v
            mixed = F.scaled_dot_product_attention(q, cache[0], cache[1], attn_mask=mask, enable_gqa=True)
        return self.o_proj(mixed.transpose(1, 2).flatten(2))


def _turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary positions, halves of a head's channels being the two axes, (..., n, width) -> same."""
    cosines, sines = turn
    first, second = x.chunk(2, dim=-1)
    return x * cosines + torch.cat([-second, first], dim=-1) * sines


class _FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, config: QwenConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.up_proj = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.down_proj = nn.Linear(config.d_ff, config.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, n, d_model) -> same."""
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class _Block(nn.Module):
    """One pre-norm block."""

    def __init__(self, config: QwenConfig) -> None:
        super().__init__()
        self.self_attn = _Attention(config)
        self.mlp = _FeedForward(config)
        self.input_layernorm = RMSNorm(config.d_model, config.epsilon)
        self.post_attention_layernorm = RMSNorm(config.d_model, config.epsilon)

    def forward(
        self, x: Tensor, turn: tuple[Tensor, Tensor], cache: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """(B, n, d_model) -> same; see `_Attention`."""
        x = x + self.self_attn(self.input_layernorm(x), turn, cache, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class QwenModel(nn.Module):
    """The network; ids are rows of its table."""

    def __init__(self, config: QwenConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.num_rows, config.d_model)
        self.layers = nn.ModuleList(_Block(config) for _ in range(config.num_layers))
        self.norm = RMSNorm(config.d_model, config.epsilon)
        if not config.tied:
            self.lm_head = nn.Linear(config.d_model, config.num_rows, bias=False)

    @property
    def head(self) -> Tensor:
        """Rows of the output head, (num_rows, d_model)."""
        return self.embed_tokens.weight if self.config.tied else self.lm_head.weight

    def forward(self, ids: Tensor) -> Tensor:
        """Normalised states of whole streams at once, without a cache, for training.

        Args:
            ids: Rows of the table, (B, T); what fills up a stream stands behind it.

        Returns:
            (B, T, d_model).
        """
        turn = _turns(self.config, ids.shape[1], self.embed_tokens.weight)
        x = self.embed_tokens(ids)
        for block in self.layers:
            x = block(x, turn)
        return self.norm(x)

    def start(self, batch: int, length: int) -> QwenDecoder:
        """Make room for a batch of streams of at most `length` positions."""
        return QwenDecoder(self, batch, length)


class QwenDecoder:
    """Streams being written; see `QwenModel.start`."""

    def __init__(self, model: QwenModel, batch: int, length: int) -> None:
        config, weight = model.config, model.embed_tokens.weight
        self.model, self.position = model, 0
        shape = (config.num_layers, 2, batch, config.num_key_heads, length, config.head_width)
        self.cache = torch.empty(shape, dtype=weight.dtype, device=weight.device)
        self.turns = _turns(config, length, weight)

    def advance(self, ids: Tensor) -> Tensor:
        """Feed the next ids, (B, n); returns the normalised states of all of them, (B, n, d_model)."""
        begin, end = self.position, self.position + ids.shape[1]
        turn = self.turns[0][begin:end], self.turns[1][begin:end]
        mask = None
        if ids.shape[1] > 1:
            places = torch.arange(end, device=ids.device)
            mask = places[None, :] <= places[begin:, None]
        x = self.model.embed_tokens(ids)
        for index, block in enumerate(self.model.layers):
            x = block(x, turn, self.cache[index, :, :, :, :end], mask)
        self.position = end
        return self.model.norm(x)


def _turns(config: QwenConfig, length: int, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the positions, (length, head_width) each, where and as precise as `weight` is."""
    steps = torch.arange(0, config.head_width, 2, dtype=torch.float32, device=weight.device)
    speeds = config.rope_theta ** (-steps / config.head_width)
    angles = torch.arange(length, dtype=torch.float32, device=weight.device)[:, None] * speeds
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos().to(weight.dtype), angles.sin().to(weight.dtype)


def is_qwen(shapes: Shapes) -> bool:
    """Whether a file's names look like a whole Qwen3."""
    return PREFIX + WORD_TABLE in shapes and PREFIX + "layers.0.self_attn.q_norm.weight" in shapes


def recognise_qwen(shapes: Shapes, file_name: str, rope_theta: float = ROPE_THETA) -> QwenConfig:
    """Sizes of the model, and that every weight is there.

    Args:
        shapes: Shapes under transformers' names, `model.*` and `lm_head.weight`.
        file_name: For messages.
        rope_theta: Base of the rotary positions.

    Raises:
        PackError: If a weight is missing or has another shape; unknown ones are passed over.
    """
    try:
        rows, width = shapes[PREFIX + WORD_TABLE]
        (head_width,) = shapes[PREFIX + "layers.0.self_attn.q_norm.weight"]
        found = (re.match(r"model\.layers\.(\d+)\.", name) for name in shapes)
        config = QwenConfig(
            num_rows=rows,
            d_model=width,
            d_ff=shapes[PREFIX + "layers.0.mlp.gate_proj.weight"][0],
            num_layers=len({match[1] for match in found if match}),
            num_heads=shapes[PREFIX + "layers.0.self_attn.q_proj.weight"][0] // head_width,
            num_key_heads=shapes[PREFIX + "layers.0.self_attn.k_proj.weight"][0] // head_width,
            head_width=head_width,
            rope_theta=rope_theta,
        )
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as problem:
        raise unknown_model(file_name, str(problem).strip("'")) from problem
    wanted = {PREFIX + name: shape for name, shape in qwen_shapes(config).items()}
    if HEAD in shapes:
        wanted[HEAD] = (rows, width)
    if odd := sorted(name for name, shape in wanted.items() if shapes.get(name) != shape):
        raise unknown_model(file_name, odd[0])
    return config


def qwen_shapes(config: QwenConfig) -> Shapes:
    """Names and shapes of all weights of a model."""
    with sketching():
        return {name: tuple(t.shape) for name, t in QwenModel(config).state_dict().items()}


def qwen_weights(
    config: QwenConfig, first_row: int, has_head: bool, read: Callable[[list[str]], Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """Weights as the pack holds them: float32, the table of words from `first_row` on.

    Args:
        config: From `recognise_qwen`.
        first_row: First row that is kept.
        has_head: Whether the file holds an output head; it is left out where it is the table of words.
        read: Reads weights by the file's names.
    """
    names = [PREFIX + name for name in qwen_shapes(config)]
    held = dict(read([*names, HEAD] if has_head else names))
    table = held[PREFIX + WORD_TABLE][first_row:].float()
    held[PREFIX + WORD_TABLE] = table
    weights = {name.removeprefix(PREFIX): held[name].float() for name in names}
    if has_head and not torch.equal(head := held[HEAD][first_row:].float(), table):
        weights[HEAD] = head
    return weights


def unknown_model(file_name: str, first: str) -> PackError:
    """What is said of a file without a whole Qwen3."""
    return PackError(
        f"The file {file_name} does not hold a whole four-part language model on Qwen3 (first difference "
        f"{first}); download it again."
    )
