# SPDX-License-Identifier: GPL-3.0-or-later
"""How a request and its motion are laid out as token sequences.

Encoder:  emotion, (tag, source) per part | audio start, audio codes, audio end | (tags, words) per text
Decoder:  one block per part: start, codes step by step, end

A step is one position; where it has codes of several quantizer levels, the position holds them all.

Time is counted in units of one audio step; a motion step lasts `MOTION_TIME` of them. Everything in a
batch shares one layout, so biases are computed once; rows differ only in contents and padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ..specs import PARTS, Part, Source
from ..tokenizers.vocabulary import Vocabulary
from .biases import UNTIMED
from .model import ABSENT
from .text_encoder import TextEncoder

AUDIO_FPS = 15
"""Audio steps per second of the starter."""

MOTION_FPS_PER_CODE = 7.5
"""Motion steps per second of the starter."""

MOTION_TIME = 2
"""Audio steps per motion step."""

AUDIO_MARGIN = 6
"""Audio steps visible before and after a window, so that its last pose knows what is said next."""

POOLED_SCALE = 8.0
"""Brings a sentence's unit-length mean to the size of its word states."""

MARK_SCALE = 6.0
"""Size of a marked word's column, beside word states of 8 to 10."""

BLOCK_ORDER: tuple[Part, ...] = (Part.LOWER, Part.UPPER, Part.HANDS, Part.FACE)
"""Order in which blocks are generated: what carries the body first."""


@dataclass(frozen=True)
class Condition:
    """What one row of a batch is asked.

    Attributes:
        sources: Source per part; None (or absent) where the row does not speak of that part.
        texts: Index into the batch's text states per part driven by text.
        emotion: Label or None.
        audio: Codes of the window and its margins, (S, levels), int64, -1 outside the recording;
            None without audio.
    """

    sources: dict[Part, Source | None]
    texts: dict[Part, int]
    emotion: str | None = None
    audio: Tensor | None = None

    @staticmethod
    def empty() -> Condition:
        """The unconditional row that guidance compares with."""
        return Condition({}, {})


@dataclass(frozen=True)
class EncoderBatch:
    """Arguments of `LanguageModel.encode`."""

    ids: Tensor
    mask: Tensor
    times: Tensor
    text_states: Tensor
    is_text: Tensor

    def to(self, device: torch.device) -> EncoderBatch:
        """Copy to a device."""
        return EncoderBatch(*(getattr(self, f.name).to(device) for f in fields(self)))


def instruction_states(encoder: TextEncoder, texts: Sequence[str]) -> list[Tensor]:
    """Encode instructions as the language model reads them: the whole sentence first, then its words.

    Marked words have a column of their own, in their state and in the sentence's.

    Args:
        encoder: The frozen sentence encoder.
        texts: Instructions.

    Returns:
        (1 + L, state width) per instruction, float32.
    """
    if not texts:
        return []
    encoded = encoder.encode(texts)
    marks = encoded.marks * MARK_SCALE
    pooled = torch.cat([encoded.pooled * POOLED_SCALE, marks.amax(dim=1)], dim=1)
    states = torch.cat([encoded.states, marks], dim=2)
    return [torch.cat([pooled[row : row + 1], states[row][encoded.mask[row]]]) for row in range(len(texts))]


def audio_steps(num_steps: int) -> int:
    """Audio steps a window of `num_steps` motion steps shows, margins included."""
    return num_steps * MOTION_TIME + 2 * AUDIO_MARGIN


def window_audio(codes: Tensor, start: int, num_steps: int) -> Tensor:
    """Cut the audio a window hears, margins included.

    Args:
        codes: Codes of the whole recording, (S, levels), int64.
        start: First motion step of the window.
        num_steps: Motion steps of the window.

    Returns:
        (audio_steps(num_steps), levels), int64, -1 outside the recording.
    """
    begin = start * MOTION_TIME - AUDIO_MARGIN
    index = torch.arange(begin, begin + audio_steps(num_steps))
    inside = (index >= 0) & (index < len(codes))
    return torch.where(inside[:, None], codes[index.clamp(0, len(codes) - 1)], -1)


def build_encoder_batch(
    conditions: Sequence[Condition], texts: Sequence[Tensor], num_steps: int, vocabulary: Vocabulary
) -> EncoderBatch:
    """Lay out a batch of conditions.

    Args:
        conditions: One per row.
        texts: Frozen states of every text referred to, each (L, text width), float.
        num_steps: Motion steps of the window.
        vocabulary: The unified vocabulary.

    Returns:
        The batch, ids (B, L, audio levels); text stands at the end and is padded to the longest.
    """
    has_audio = any(c.audio is not None for c in conditions)
    steps, levels = audio_steps(num_steps), vocabulary.num_audio_levels
    header = 1 + 2 * len(PARTS)
    audio_length = 2 + steps if has_audio else 0
    rows = [_text_segment(c, texts, vocabulary) for c in conditions]
    text_length = max(len(ids) for ids, _ in rows)
    width = next((t.shape[-1] for t in texts), 1)
    length = header + audio_length + text_length
    ids = torch.full((len(conditions), length, levels), ABSENT, dtype=torch.int64)
    mask = torch.zeros((len(conditions), length), dtype=torch.bool)
    is_text = torch.zeros_like(mask)
    states = torch.zeros((len(conditions), length, width))
    times = torch.full((length,), UNTIMED, dtype=torch.int64)
    if has_audio:
        times[header + 1 : header + 1 + steps] = torch.arange(steps) - AUDIO_MARGIN
    for row, (condition, (text_ids, text_states)) in enumerate(zip(conditions, rows, strict=True)):
        head = [vocabulary.emotion(condition.emotion)]
        for part in PARTS:
            head += [vocabulary.part_tag(part), vocabulary.source(condition.sources.get(part))]
        ids[row, :header, 0] = torch.tensor(head)
        mask[row, :header] = True
        if condition.audio is not None:
            ids[row, header : header + audio_length] = _audio_segment(condition.audio, vocabulary)
            mask[row, header : header + audio_length] = True
        begin = header + audio_length
        for i, (token, state) in enumerate(zip(text_ids, text_states, strict=True)):
            mask[row, begin + i] = True
            if state is None:
                ids[row, begin + i, 0] = token
            else:
                is_text[row, begin + i] = True
                states[row, begin + i] = state
    return EncoderBatch(ids, mask, times, states, is_text)


def _audio_segment(codes: Tensor, vocabulary: Vocabulary) -> Tensor:
    """(S, levels) codes, -1 outside -> start, tokens step by step, end, (S + 2, levels)."""
    levels = codes.shape[1]
    offsets = torch.tensor([vocabulary.audio_token(level, 0) for level in range(levels)])
    unheard = _alone(vocabulary.audio_mask, levels)
    tokens = torch.where((codes < 0).any(dim=1, keepdim=True), unheard, codes + offsets)
    start, end = (_alone(token, levels) for token in (vocabulary.audio_start, vocabulary.audio_end))
    return torch.cat([start, tokens, end])


def _alone(token: int, width: int) -> Tensor:
    """A position that holds one token, (1, width)."""
    return torch.tensor([[token] + [ABSENT] * (width - 1)])


def _text_segment(
    condition: Condition, texts: Sequence[Tensor], vocabulary: Vocabulary
) -> tuple[list[int], list[Tensor | None]]:
    """Tags of the parts that share a text, then its states; all texts one after another."""
    groups: dict[int, list[Part]] = {}
    for part in BLOCK_ORDER:
        if part in condition.texts:
            groups.setdefault(condition.texts[part], []).append(part)
    ids: list[int] = []
    states: list[Tensor | None] = []
    for index, parts in groups.items():
        ids += [vocabulary.part_tag(part) for part in parts]
        states += [None] * len(parts)
        ids += [0] * len(texts[index])
        states += list(texts[index])
    return ids, states


@dataclass(frozen=True)
class DecoderPlan:
    """Where each block of a window stands in the decoder sequence.

    Attributes:
        order: Parts in the order of their blocks.
        num_steps: Motion steps of the window.
        starts: Position of each block's start token; its first step is predicted there.
        levels: Quantizer levels per part.
        key_times: Time each input token holds, (L,).
        query_times: Time of the token predicted at each position, (L,).
    """

    order: tuple[Part, ...]
    num_steps: int
    starts: dict[Part, int]
    levels: dict[Part, int]
    key_times: Tensor
    query_times: Tensor

    @property
    def length(self) -> int:
        """Positions of the whole sequence."""
        return int(self.key_times.shape[0])

    @property
    def width(self) -> int:
        """Most tokens that a position holds."""
        return max(self.levels.values())

    @property
    def num_draws(self) -> int:
        """Codes of all blocks."""
        return sum(self.num_codes(part) for part in self.order)

    def num_codes(self, part: Part) -> int:
        """Codes in one block."""
        return self.num_steps * self.levels[part]


def plan_decoder(order: Sequence[Part], num_steps: int, vocabulary: Vocabulary) -> DecoderPlan:
    """Lay out the blocks of one window.

    Args:
        order: Parts in the order of their blocks, each at most once.
        num_steps: Motion steps, at least 1.
        vocabulary: Gives the levels per part.

    Returns:
        The plan.
    """
    levels = {part: vocabulary.num_levels(part) for part in order}
    starts: dict[Part, int] = {}
    pieces: list[Tensor] = []
    position = 0
    untimed = torch.tensor([UNTIMED])
    for part in order:
        starts[part] = position
        pieces += [untimed, torch.arange(num_steps) * MOTION_TIME, untimed]
        position += num_steps + 2
    key_times = torch.cat(pieces)
    query_times = torch.cat([key_times[1:], untimed])
    return DecoderPlan(tuple(order), num_steps, starts, levels, key_times, query_times)


def fill_decoder(
    plan: DecoderPlan,
    codes: dict[Part, Tensor],
    vocabulary: Vocabulary,
    hidden: dict[Part, Tensor] | None = None,
) -> Tensor:
    """Write codes into a plan's sequence.

    Args:
        plan: The layout.
        codes: (B, num_steps * levels) per part in step-major order; steps below 0 are hidden.
        vocabulary: The unified vocabulary.
        hidden: Further steps to hide behind the part's mask token, (B, num_steps) per part, bool.

    Returns:
        Decoder input ids, (B, plan.length, plan.width), int64; position i predicts what stands at i + 1.
    """
    pieces: list[Tensor] = []
    for part in plan.order:
        rows = codes[part].shape[0]
        steps = step_tokens(part, codes[part], vocabulary, plan.width)
        unseen = (codes[part] < 0).view(rows, plan.num_steps, -1).any(dim=2)
        if hidden is not None and part in hidden:
            unseen = unseen | hidden[part]
        steps = torch.where(unseen[..., None], _alone(vocabulary.mask(part), plan.width), steps)
        pieces += [edge_tokens(vocabulary.start(part), plan.width, rows), steps]
        pieces.append(edge_tokens(vocabulary.end(part), plan.width, rows))
    return torch.cat(pieces, dim=1)


def step_tokens(part: Part, codes: Tensor, vocabulary: Vocabulary, width: int) -> Tensor:
    """Ids of a block's steps.

    Args:
        part: The block's part.
        codes: (B, n * levels) in step-major order.
        vocabulary: The unified vocabulary.
        width: Tokens that a position of the sequence may hold, at least the part's levels.

    Returns:
        (B, n, width), int64, `ABSENT` behind the part's levels.
    """
    levels = vocabulary.num_levels(part)
    first = torch.tensor([vocabulary.part_range(part, level)[0] for level in range(levels)])
    ids = codes.unflatten(1, (-1, levels)) + first.to(codes.device)
    return torch.nn.functional.pad(ids, (0, width - levels), value=ABSENT)


def edge_tokens(token: int, width: int, num_rows: int) -> Tensor:
    """A block's start or end for every row, (B, 1, width)."""
    return _alone(token, width).expand(num_rows, 1, width)
