# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions and answers of any kind as token sequences, each row of a batch with a layout of its own.

Encoder:  what `layout.build_encoder_batch` lays out, then one block per given part: start, steps, end
Decoder:  per wanted part start, steps, end; or audio likewise; or the begin of words and the words

`layout` lays out what a request for motion needs, with one layout per batch, so that its biases are
computed once; here motion can be *given* too, hidden steps included, and an answer may be motion, sound or
words, so rows differ and every row brings its own times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from ..specs import PARTS, Part
from ..tokenizers.vocabulary import CodeBlock, Vocabulary
from .biases import UNTIMED
from .layout import MOTION_TIME, Condition, build_encoder_batch
from .model import ABSENT, LanguageModel


@dataclass(frozen=True)
class TimedCodes:
    """A stretch of one part, or of the sound.

    Attributes:
        part: The part; None for the sound.
        codes: (T, Q), int64; a step below 0 is hidden.
        first: Its first step, counted from the window's begin in steps of its own kind.
    """

    part: Part | None
    codes: Tensor
    first: int = 0


@dataclass(frozen=True)
class TaskRow:
    """One question and its answer; L positions of the encoder, M of the decoder.

    Attributes:
        ids: Encoder tokens, (L, Q), `ABSENT` behind the last of a position.
        times: (L,), `UNTIMED` where there is none.
        states: Frozen text states, (L, width), 0 where there is no text.
        is_text: (L,).
        inputs: Decoder tokens, (M, Q).
        key_times: Time each holds, (M,).
        query_times: Time of what each predicts, (M,).
        targets: Ids each predicts, (M, Q), `ABSENT` where nothing is learned.
        in_words: Whether the answer is words, ().
        task: Which one it is an example of, for measuring.
    """

    ids: Tensor
    times: Tensor
    states: Tensor
    is_text: Tensor
    inputs: Tensor
    key_times: Tensor
    query_times: Tensor
    targets: Tensor
    in_words: Tensor
    task: int = 0


@dataclass(frozen=True)
class TaskBatch:
    """Rows padded to the longest; `mask` is True where the encoder has a token."""

    ids: Tensor
    mask: Tensor
    times: Tensor
    states: Tensor
    is_text: Tensor
    inputs: Tensor
    key_times: Tensor
    query_times: Tensor
    targets: Tensor
    in_words: Tensor
    tasks: Tensor

    def to(self, device: torch.device) -> TaskBatch:
        """Copy to a device."""
        return TaskBatch(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True)
class Question:
    """What is given.

    Attributes:
        condition: Emotion, sources, texts and sound, as in a request for motion.
        texts: States of the texts it refers to.
        num_steps: Motion steps that its sound spans.
        given: Motion that is seen, whole or with hidden steps.
    """

    condition: Condition
    texts: Sequence[Tensor]
    num_steps: int
    given: Sequence[TimedCodes] = ()


def code_block(part: Part | None, vocabulary: Vocabulary) -> CodeBlock:
    """Ids of a part, or of the sound."""
    return vocabulary.audio_block if part is None else vocabulary.blocks[part]


def streams(vocabulary: Vocabulary) -> dict[str, tuple[tuple[int, int], ...]]:
    """Everything that can be answered: by name, first id and the id after the last of each level."""
    found = {part.value: vocabulary.blocks[part] for part in PARTS} | {"audio": vocabulary.audio_block}
    ranges = {name: tuple(map(block.level_range, range(block.num_levels))) for name, block in found.items()}
    return ranges | ({"words": (vocabulary.words_range,)} if vocabulary.num_words else {})


def lay_out(
    question: Question,
    vocabulary: Vocabulary,
    answer: Sequence[TimedCodes] | Sequence[int],
    hidden: Sequence[Tensor] = (),
) -> TaskRow:
    """Lay out one question and its answer.

    Args:
        question: What is given.
        vocabulary: The unified vocabulary.
        answer: Motion or sound, or ids of `words.WordList` without begin and end.
        hidden: Per block of an answer in codes, steps that later steps may not look back at, (T,), bool.

    Returns:
        The row.
    """
    width = max(vocabulary.num_audio_levels, *(vocabulary.num_levels(part) for part in PARTS))
    plain = build_encoder_batch([question.condition], question.texts, question.num_steps, vocabulary)
    ids, times = [_widened(plain.ids[0], width)], [plain.times]
    states, is_text = plain.text_states[0], plain.is_text[0]
    for block in question.given:
        tokens, moments = _block(block, vocabulary, width)
        ids.append(tokens)
        times.append(moments)
    more = sum(len(tokens) for tokens in ids[1:])
    told = [block for block in answer if isinstance(block, TimedCodes)]
    if told:
        inputs, key_times, targets = _answer_in_codes(told, hidden, vocabulary, width)
    else:
        inputs, key_times, targets = _answer_in_words([int(w) for w in answer], vocabulary, width)  # type: ignore[arg-type]
    return TaskRow(
        ids=torch.cat(ids),
        times=torch.cat(times),
        states=functional.pad(states, (0, 0, 0, more)),
        is_text=functional.pad(is_text, (0, more)),
        inputs=inputs,
        key_times=key_times,
        query_times=torch.cat([key_times[1:], torch.tensor([UNTIMED])]),
        targets=targets,
        in_words=torch.tensor(not told),
    )


def _answer_in_codes(
    blocks: Sequence[TimedCodes], hidden: Sequence[Tensor], vocabulary: Vocabulary, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Decoder inputs, their times, and what each position predicts."""
    pieces: list[tuple[Tensor, Tensor]] = []
    targets: list[Tensor] = []
    for number, block in enumerate(blocks):
        tokens, times = _block(block, vocabulary, width)
        known = tokens.clone()
        known[1:-1][block.codes.min(dim=1).values < 0] = ABSENT
        known[[0, -1]] = ABSENT  # starts and ends follow from the request, they are not drawn
        if hidden:
            unseen = tokens[1:-1]
            unseen[hidden[number]] = _alone(code_block(block.part, vocabulary).mask, width)
        pieces.append((tokens, times))
        targets.append(known)
    after = torch.cat([*targets, torch.full((1, width), ABSENT)])[1:]
    return torch.cat([tokens for tokens, _ in pieces]), torch.cat([times for _, times in pieces]), after


def _answer_in_words(
    words: Sequence[int], vocabulary: Vocabulary, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Begin and words in, words and end out."""
    first, _ = vocabulary.words_range
    begin, end = 0, 1
    ids = torch.tensor([begin, *words, end]) + first
    tokens = _widened(ids[:, None], width)
    return tokens[:-1], torch.full((len(ids) - 1,), UNTIMED), tokens[1:]


def _block(block: TimedCodes, vocabulary: Vocabulary, width: int) -> tuple[Tensor, Tensor]:
    """Start, steps and end of a block, (T + 2, width), and their times, (T + 2,)."""
    own = code_block(block.part, vocabulary)
    first = torch.tensor([own.level_range(level)[0] for level in range(own.num_levels)])
    steps = _widened(block.codes + first, width)
    steps[block.codes.min(dim=1).values < 0] = _alone(own.mask, width)
    span = 1 if block.part is None else MOTION_TIME
    untimed = torch.tensor([UNTIMED])
    times = (torch.arange(len(block.codes)) + block.first) * span
    tokens = torch.cat([_alone(own.start, width)[None], steps, _alone(own.end, width)[None]])
    return tokens, torch.cat([untimed, times, untimed])


def _alone(token: int, width: int) -> Tensor:
    """A position that holds one token, (width,)."""
    return torch.tensor([token] + [ABSENT] * (width - 1))


def _widened(ids: Tensor, width: int) -> Tensor:
    """(L, Q) -> (L, width)."""
    return functional.pad(ids, (0, width - ids.shape[1]), value=ABSENT)


def collate(rows: Sequence[TaskRow]) -> TaskBatch:
    """Pad rows to one batch.

    Args:
        rows: At least one.
    """
    length, reach = max(len(row.ids) for row in rows), max(len(row.inputs) for row in rows)
    text_width = max(row.states.shape[1] for row in rows)

    def stacked(name: str, size: int, value: int) -> Tensor:
        tensors: list[Tensor] = [getattr(row, name) for row in rows]
        beside = [0, 0] * (tensors[0].ndim - 1)
        return torch.stack([functional.pad(t, (*beside, 0, size - len(t)), value=value) for t in tensors])

    states = torch.zeros(len(rows), length, text_width)
    for number, row in enumerate(rows):
        states[number, : len(row.states), : row.states.shape[1]] = row.states
    counts = torch.tensor([len(row.ids) for row in rows])
    return TaskBatch(
        ids=stacked("ids", length, ABSENT),
        mask=torch.arange(length) < counts[:, None],
        times=stacked("times", length, UNTIMED),
        states=states,
        is_text=stacked("is_text", length, 0),
        inputs=stacked("inputs", reach, ABSENT),
        key_times=stacked("key_times", reach, UNTIMED),
        query_times=stacked("query_times", reach, UNTIMED),
        targets=stacked("targets", reach, ABSENT),
        in_words=torch.stack([row.in_words for row in rows]),
        tasks=torch.tensor([row.task for row in rows]),
    )


def encode_batch(model: LanguageModel, batch: TaskBatch) -> Tensor:
    """Encoder states of a batch of tasks, (B, L, d_model)."""
    learns = any(parameter.requires_grad for parameter in model.encoder.parameters())
    with torch.set_grad_enabled(torch.is_grad_enabled() and learns):
        return model.encode(batch.ids, batch.mask, batch.times, batch.states, batch.is_text)


def decode_batch(model: LanguageModel, batch: TaskBatch, memory: Tensor | None = None) -> Tensor:
    """Decoder states of a batch of tasks, (B, M, d_model).

    Args:
        model: The language model.
        batch: B tasks.
        memory: What `encode_batch` gave for the same questions, whatever their answers; None to encode them.
    """
    memory = encode_batch(model, batch) if memory is None else memory
    states = model.decode(batch.inputs, memory, batch.mask, batch.key_times, batch.query_times, batch.times)
    if not model.config.reads:
        return states
    return states + (model.read(batch.ids, batch.times) * batch.in_words[:, None])[:, None]
