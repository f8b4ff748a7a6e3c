# SPDX-License-Identifier: GPL-3.0-or-later
"""The frozen sentence encoder that reads instructions: a small BERT, forward pass only.

Architecture of BERT (Devlin et al. 2018) in the size of `all-MiniLM-L6-v2` (Wang et al. 2020;
sentence-transformers, Apache-2.0). Weights come from the pack, matrices as int8 with one scale
per row. They stay int8 in memory: of the word table only the rows in use are expanded, a layer's
matrices while it is at work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import PackError
from ..tokenizers.config import PlainValue, config_from_dict, config_to_dict
from ..weights.row_scales import SCALE_SUFFIX, expand_rows
from ..weights.sketching import sketching

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAX_TEXT_TOKENS = 48
"""Word pieces read of one instruction, its start and end marks included."""


@dataclass(frozen=True)
class TextEncoderConfig:
    """Sizes of the encoder; the defaults are MiniLM-L6's.

    Attributes:
        marked: Words that get columns of their own behind their states, such as "left; right; back
            backwards"; words that mean the same share one. In the states "left" and "right" lie as near to
            each other as "left" in two sentences that say the same, and a small model mixes them up; a
            column is hard to miss.
    """

    num_layers: int = 6
    width: int = 384
    num_heads: int = 12
    hidden: int = 1536
    num_words: int = 30522
    num_positions: int = 128
    norm_eps: float = 1e-12
    marked: str = ""

    def __post_init__(self) -> None:
        sizes = (self.num_layers, self.width, self.num_heads, self.hidden, self.num_words, self.num_positions)
        if min(sizes) < 1:
            raise ValueError("sizes must be positive")
        if self.width % self.num_heads:
            raise ValueError("the width must be a multiple of the heads")

    @property
    def marked_groups(self) -> tuple[tuple[str, ...], ...]:
        """Marked words, one group per column."""
        return tuple(tuple(group.split()) for group in self.marked.split(";") if group.strip())

    @property
    def state_width(self) -> int:
        """Width of a word's state with the columns of marked words."""
        return self.width + len(self.marked_groups)

    def to_dict(self) -> dict[str, PlainValue]:
        """Plain values for `pack.toml`."""
        return config_to_dict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> TextEncoderConfig:
        """Read what `to_dict` wrote; raises `PackError`."""
        return config_from_dict(cls, values, "the text encoder")


@dataclass(frozen=True)
class TextStates:
    """Encoded instructions.

    Attributes:
        states: Last hidden state of every word piece, (B, L, width), 0 where padded.
        mask: True where there is a word piece, (B, L).
        pooled: Mean over the word pieces, unit length, (B, width).
        marks: 1 where a word piece is a marked word, (B, L, groups).
    """

    states: Tensor
    mask: Tensor
    pooled: Tensor
    marks: Tensor


class _Linear(nn.Module):
    """A linear layer whose matrix is int8 with scales of its rows, or floating with scales of 1."""

    weight: Tensor
    scale: Tensor

    def __init__(self, wide_in: int, wide_out: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.empty(wide_out, wide_in))
        self.register_buffer("scale", torch.empty(wide_out, 1))
        self.bias = nn.Parameter(torch.empty(wide_out))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., wide_in) to (..., wide_out)."""
        return functional.linear(x, self.weight.float() * self.scale, self.bias)


class _Layer(nn.Module):
    """Post-norm transformer layer."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        width = config.width
        self.num_heads = config.num_heads
        self.qkv = _Linear(width, 3 * width)
        self.attended = _Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, config.norm_eps)
        self.wide = _Linear(width, config.hidden)
        self.narrow = _Linear(config.hidden, width)
        self.output_norm = nn.LayerNorm(width, config.norm_eps)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map states (B, L, width) under a key mask (B, 1, 1, L)."""
        batch, length, width = x.shape
        # (B, L, 3 * width) -> (3, B, heads, L, width / heads)
        q, k, v = self.qkv(x).reshape(batch, length, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        heads = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        # (B, heads, L, width / heads) -> (B, L, width)
        x = self.attention_norm(x + self.attended(heads.transpose(1, 2).reshape(batch, length, width)))
        return self.output_norm(x + self.narrow(functional.gelu(self.wide(x))))


class _Network(nn.Module):
    """Word ids to states."""

    words: Tensor
    word_scales: Tensor

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        # As a `_Linear`'s matrix.
        self.register_buffer("words", torch.empty(config.num_words, config.width))
        self.register_buffer("word_scales", torch.empty(config.num_words, 1))
        self.positions = nn.Parameter(torch.empty(config.num_positions, config.width))
        self.norm = nn.LayerNorm(config.width, config.norm_eps)
        self.layers = nn.ModuleList([_Layer(config) for _ in range(config.num_layers)])

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Map ids (B, L) and mask (B, L) to states (B, L, width)."""
        x = self.words[ids].float() * self.word_scales[ids] + self.positions[: ids.shape[1]]
        x = self.norm(x)
        keys = mask[:, None, None, :]
        for layer in self.layers:
            x = layer(x, keys)
        return x


class TextEncoder:
    """Frozen encoder of instructions.

    Args:
        config: Sizes.
        tensors: Weights as written by `engine.data.text_encoder_export`: floating or, with a scale
            beside them, int8.
        tokenizer: Word-piece tokenizer of the same model.
        device: Where it runs.

    Raises:
        PackError: If a weight is missing, unknown or of the wrong shape.
    """

    def __init__(
        self,
        config: TextEncoderConfig,
        tensors: Mapping[str, Tensor],
        tokenizer: Tokenizer,
        device: str | torch.device = "cpu",
    ) -> None:
        self.config = config
        self.device = torch.device(device)
        try:
            with sketching():
                self._network = _Network(config)
            self._network.load_state_dict(_with_scales(tensors, self._network), strict=True, assign=True)
        except (RuntimeError, KeyError) as problem:
            raise PackError(
                "The text encoder's weights do not fit its description; download the pack again."
            ) from problem
        if tokenizer.get_vocab_size() > config.num_words:
            raise PackError("The text encoder's words do not fit its weights; download the pack again.")
        self._network.eval().requires_grad_(False).to(self.device)
        self._tokenizer = tokenizer
        self._marked: dict[int, int] = {}
        for column, group in enumerate(config.marked_groups):
            for word in group:
                piece = tokenizer.token_to_id(word)
                if piece is None:
                    raise PackError(
                        f"The pack marks the word {word!r}, which its text encoder lacks; download it again."
                    )
                self._marked[piece] = column

    @classmethod
    def load(
        cls,
        config: TextEncoderConfig,
        tensors: Mapping[str, Tensor],
        tokenizer_path: Path,
        device: str | torch.device = "cpu",
    ) -> TextEncoder:
        """Build from a pack's tensors and its `tokenizer.json`; raises `PackError`."""
        return cls(config, tensors, read_tokenizer(tokenizer_path), device)

    @torch.no_grad()
    def encode(self, texts: Sequence[str], max_length: int = MAX_TEXT_TOKENS) -> TextStates:
        """Encode instructions; longer ones are cut.

        Args:
            texts: At least one text.
            max_length: Most word pieces read, start and end marks included.

        Returns:
            States padded to the longest text.
        """
        limit = min(max_length, self.config.num_positions)
        pieces = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        # Cutting keeps the end mark, as the model was trained.
        pieces = [ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]] for ids in pieces]
        length = max(map(len, pieces))
        ids = torch.tensor([row + [0] * (length - len(row)) for row in pieces], device=self.device)
        counts = torch.tensor([len(row) for row in pieces], device=self.device)
        mask = torch.arange(length, device=self.device) < counts[:, None]
        states = self._network(ids, mask) * mask[..., None]
        pooled = functional.normalize(states.sum(1) / counts[:, None], dim=-1)
        marks = torch.zeros(*ids.shape, len(self.config.marked_groups), device=self.device)
        for row, own in enumerate(pieces):
            for place, piece in enumerate(own):
                if piece in self._marked:
                    marks[row, place, self._marked[piece]] = 1.0
        return TextStates(states, mask, pooled, marks)


def read_tokenizer(path: Path) -> Tokenizer:
    """Read `tokenizer.json`, without its padding and cutting.

    Raises:
        PackError: If it is missing or cannot be read.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(path.read_text("utf-8"))
    except Exception as problem:  # The library raises plain Exception for a bad file.
        raise PackError(f"The file {path.name} cannot be read; download it again.") from problem
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _with_scales(tensors: Mapping[str, Tensor], network: _Network) -> dict[str, Tensor]:
    """A pack's tensors by the network's names: matrices as they are, their scales and the rest in float32.

    Raises:
        KeyError: If a matrix is missing.
    """
    matrices = {"words": "word_scales"}
    for name, module in network.named_modules():
        if isinstance(module, _Linear):
            matrices[f"{name}.weight"] = f"{name}.scale"
    held: dict[str, Tensor] = {}
    for name, scale_name in matrices.items():
        held[name] = tensors[name]
        scales = tensors.get(name + SCALE_SUFFIX, torch.ones(len(held[name])))
        held[scale_name] = scales.float()[:, None]
    rest = {n: t for n, t in tensors.items() if n.removesuffix(SCALE_SUFFIX) not in matrices}
    return held | {name: tensor.float() for name, tensor in expand_rows(rest).items()}
