# SPDX-License-Identifier: GPL-3.0-or-later
"""Examples of stages 2 and 3 as rows of tokens, in the starter's layout or in the published one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from ..language.layout import AUDIO_MARGIN, MOTION_TIME, Condition, instruction_states
from ..language.questions import DESCRIPTION_QUESTION, EMOTION_QUESTION, TRANSCRIPT_QUESTION
from ..language.task_layout import Question, TaskRow, TimedCodes, lay_out
from ..language.text_encoder import TextEncoder, read_tokenizer
from ..language.words import WordList
from ..motion.arrays import IntArray
from ..specs import PARTS, Part, Source
from ..tokenizers.vocabulary import Vocabulary
from .stage_recipe import HiddenRecipe
from .tasks.objectives import Objective
from .tasks.patterns import Kind
from .tasks.registry import Codes, Example, Slot

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LATER = (Kind.CONTINUE.value, Objective.CONTINUATION.value)
"""Tasks whose answer begins where what is given ends."""

QUESTIONS = {
    Kind.MOTION_TO_EMOTION.value: EMOTION_QUESTION,
    Kind.MOTION_TO_TEXT.value: DESCRIPTION_QUESTION,
    Kind.AUDIO_TO_TEXT.value: TRANSCRIPT_QUESTION,
}

KEPT_SENTENCES = 4096
"""Sentences whose states are kept, about 100 MB."""

CAPTIONED = (Kind.TEXT_TO_MOTION.value, Kind.AUDIO_TEXT_TO_MOTION.value)
FELT = (Kind.EMOTION_TO_MOTION.value, Kind.AUDIO_EMOTION_TO_MOTION.value)


@dataclass(frozen=True)
class Told:
    """What an example's window tells beside the example.

    Attributes:
        described: Parts that the caption speaks of.
        caption: The caption itself.
        emotion: Label.
        heard: The sound from a margin before the window to one after it, (S, Q), or None.
    """

    described: tuple[Part, ...] = ()
    caption: str = ""
    emotion: str | None = None
    heard: IntArray | None = None


class StarterRows:
    """The starter's layout: codes stand beside the text, which reads "the speech" in their place.

    A share of the requests is *plain*: said with tags, sources and the bare caption, as the extension says
    them, or with the question the engine asks; the others are said in the words of a template.

    Args:
        vocabulary: With words to write.
        words: These words.
        encoder: Frozen sentence encoder.
        hidden: What is hidden from rows.
    """

    def __init__(
        self, vocabulary: Vocabulary, words: WordList, encoder: TextEncoder, hidden: HiddenRecipe
    ) -> None:
        self.vocabulary, self.words, self.encoder, self.hidden = vocabulary, words, encoder, hidden
        self._states: OrderedDict[str, Tensor] = OrderedDict()

    def know(self, sentences: Mapping[str, Tensor]) -> None:
        """Take states of sentences that were encoded elsewhere, (L, width) each."""
        self._states.update(sentences)

    def row(self, example: Example, told: Told, random: np.random.Generator) -> TaskRow:
        """Lay out one example."""
        kind = example.task.split(".")[0]
        given = [block for block in example.inputs if block.part is not None]
        sound = next((block.codes for block in example.inputs if block.part is None), None)
        wanted = () if isinstance(example.target, str) else example.target
        parts = tuple(block.part for block in wanted if block.part is not None)
        plain = kind != Objective.TEXT_TO_AUDIO and random.random() < self.hidden.plain
        sources: dict[Part, Source | None] = {b.part: Source.KEEP for b in given if b.part is not None}
        for part in parts:
            follows = kind in CAPTIONED and part in told.described
            sources[part] = Source.TEXT if follows else None if sound is None else Source.SPEECH
        text, named = example.text, parts or tuple(sources) or PARTS
        if plain:
            text = told.caption if kind in CAPTIONED else QUESTIONS.get(kind, "")
            named = told.described if kind in CAPTIONED else named
        condition = Condition(
            sources=sources,
            texts=dict.fromkeys(named, 0) if text else {},
            emotion=self._emotion(kind, plain, told, random),
            audio=None if sound is None else self._sound(sound, told.heard),
        )
        if parts and not given and random.random() < self.hidden.all:
            condition = Condition.empty()
        answer: list[TimedCodes] | list[int]
        if isinstance(example.target, str):
            answer = self.words.encode(example.target)
        else:
            first = len(given[0].codes) if kind in LATER else 0
            answer = [_timed(block, first) for block in wanted]
        question = Question(
            condition,
            [self._sentence(text)] if condition.texts else [],
            0 if condition.audio is None else (len(condition.audio) - 2 * AUDIO_MARGIN) // MOTION_TIME,
            [_timed(block) for block in given],
        )
        return lay_out(question, self.vocabulary, answer, self._hidden_steps(wanted, random))

    def _emotion(self, kind: str, plain: bool, told: Told, random: np.random.Generator) -> str | None:
        """The label in the header: where it is asked for by its tag, or goes with a speech."""
        if kind in FELT:
            return told.emotion if plain else None
        if kind in (Kind.AUDIO_TO_MOTION, Kind.AUDIO_TEXT_TO_MOTION):
            return told.emotion if random.random() >= self.hidden.emotion else None
        return None

    def _sentence(self, text: str) -> Tensor:
        """States of a text; those used last are kept."""
        if text not in self._states:
            self._states[text] = instruction_states(self.encoder, [text])[0]
            if len(self._states) > KEPT_SENTENCES:
                self._states.popitem(last=False)
        self._states.move_to_end(text)
        return self._states[text]

    def _sound(self, sound: IntArray, heard: IntArray | None) -> Tensor:
        """Codes with the margins the layout wants, (S + 2 margins, Q), -1 where nothing is heard."""
        sound = sound[: len(sound) // MOTION_TIME * MOTION_TIME]
        if heard is None or len(heard) != len(sound) + 2 * AUDIO_MARGIN:
            heard = np.pad(sound, ((AUDIO_MARGIN, AUDIO_MARGIN), (0, 0)), constant_values=-1)
        return torch.from_numpy(heard.astype(np.int64))

    def _hidden_steps(self, wanted: Sequence[Codes], random: np.random.Generator) -> list[Tensor]:
        if not wanted or random.random() >= self.hidden.steps:
            return []
        share = random.random()
        return [torch.from_numpy(random.random(len(block.codes)) < share) for block in wanted]


def _timed(block: Codes, first: int = 0) -> TimedCodes:
    return TimedCodes(block.part, torch.from_numpy(block.codes.astype(np.int64)), first)


class LongRowError(DataError):
    """An example is longer than rows may be; what would be cut off could not be learned from the rest."""


@dataclass(frozen=True)
class TextRow:
    """One example of the published layout.

    Attributes:
        source: Ids, with T5's end.
        target: Ids, with T5's end.
        task: Which one it is an example of, for measuring.
        too_long: Examples that were drawn for it before and did not fit.
    """

    source: list[int]
    target: list[int]
    task: int = 0
    too_long: int = 0


INSTRUCTION_TOKENS = 52
"""T5 tokens of an instruction at most (spec 3.3); templates are tested for it."""

_GIVES_SOUND = {
    Kind.AUDIO_TO_MOTION, Kind.AUDIO_TEXT_TO_MOTION, Kind.AUDIO_EMOTION_TO_MOTION, Kind.AUDIO_TO_TEXT,
    Objective.AUDIO_TO_TEXT, Objective.MASKED_AUDIO,
}  # fmt: skip
_TOLD = {*QUESTIONS, Objective.AUDIO_TO_TEXT}
_WANTS_SOUND = {Objective.TEXT_TO_AUDIO, Objective.MASKED_AUDIO}
_GIVES_MOTION = {
    Kind.MOTION_TO_EMOTION, Kind.MOTION_TO_TEXT, Kind.PART_TO_PART, Kind.IN_BETWEEN, Kind.CONTINUE,
    Objective.SPATIAL, Objective.MASKED_MOTION, Objective.CONTINUATION,
}  # fmt: skip


def longest_row(mixture: Mapping[str, float], window_steps: int, sound_per_step: float) -> int:
    """Tokens that rows of the published layout need for windows of full length, captions not counted.

    Args:
        mixture: Tasks or objectives; those with a share of 0 do not count.
        window_steps: Motion steps of a window.
        sound_per_step: Sound steps per motion step.
    """
    sound = round(window_steps * sound_per_step) + 2
    motion = len(PARTS) * (window_steps + 2)
    wanted = {name for name, share in mixture.items() if share > 0}
    longest = motion + 1 if wanted - _WANTS_SOUND - _TOLD else 0
    if wanted & _WANTS_SOUND:
        longest = max(longest, sound + 1)
    if wanted & _GIVES_SOUND:
        longest = max(longest, sound + INSTRUCTION_TOKENS + 1)
    if wanted & _GIVES_MOTION:
        longest = max(longest, motion + INSTRUCTION_TOKENS + 1)
    return longest


class PublishedRows:
    """The published layout (spec 3.3, 3.4): codes stand inside the text, as words of the vocabulary.

    The public loader cuts rows behind 512 tokens, so that it learns words that are not in the 10 s of sound
    that are left (spec 8, 12). Here no row is cut.

    Args:
        vocabulary: Of the published layout.
        tokenizer: T5's, without the added words.
        max_length: Tokens of a source or target at most, the end included.
    """

    end = 1
    """T5's id for the end of a text."""

    def __init__(self, vocabulary: Vocabulary, tokenizer: Tokenizer, max_length: int) -> None:
        self.vocabulary, self.tokenizer, self.max_length = vocabulary, tokenizer, max_length

    @classmethod
    def read(cls, vocabulary: Vocabulary, words: Path, max_length: int) -> PublishedRows:
        """With T5's `tokenizer.json`."""
        return cls(vocabulary, read_tokenizer(words), max_length)

    def row(self, example: Example) -> TextRow:
        """Lay out one example.

        Raises:
            LongRowError: If its source or its target has more tokens than rows may have.
        """
        source: list[int] = []
        for piece in example.prompt:
            source += self._text(piece) if isinstance(piece, str) else self._slot(piece)
        if isinstance(example.target, str):
            target = self._text(example.target)
        else:
            target = [token for block in example.target for token in self._block(block)]
        longest = max(len(source), len(target)) + 1
        if longest > self.max_length:
            raise LongRowError(
                f"An example of {example.task} has {longest} tokens; raise max_length from {self.max_length}."
            )
        return TextRow([*source, self.end], [*target, self.end])

    def _text(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids if text.strip() else []

    def _slot(self, slot: Slot) -> list[int]:
        return [token for block in slot.blocks for token in self._block(block)]

    def _block(self, block: Codes) -> list[int]:
        """Start, codes and end; a hidden step is the part's mask."""
        own = self.vocabulary.audio_block if block.part is None else self.vocabulary.blocks[block.part]
        if block.codes.shape[1] != 1:
            raise DataError("The published layout holds one code per step; prepare with its tokenizers.")
        codes = block.codes[:, 0]
        steps = np.where(codes < 0, own.mask, own.first + codes)
        return [own.start, *steps.tolist(), own.end]
