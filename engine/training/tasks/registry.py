# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks of stage 3, and how a window becomes an example of one.

A task is a kind (what is mapped to what) and a way to say the length. It knows what a window must hold and
which part of it is the target, and fills the placeholders of its templates. Codes stay codes: an example's
prompt is a row of texts and slots, and the trainer decides whether a slot becomes tokens inside the text or
stands beside it while the text reads "the speech" in its place.

Shares of the known head and of the gap are those of the published data loader (spec 3.3: 0.2 and 0.25).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...data.window import Window
from ...errors import DataError
from ...language.templates import filled, name_parts, split_at
from ...motion.arrays import IntArray
from ...specs import MOTION_FPS, PARTS, Part
from .grammar import Length, templates
from .patterns import PATTERNS, Kind

HIDDEN = -1
"""Code of a masked step."""

_CODES = frozenset({"audio", "motion"})
_NOUNS = {"audio": "the speech", "motion": "the motion"}
MOODS: dict[str, str] = {
    "neutral": "neutral",
    "happiness": "happy",
    "anger": "angry",
    "sadness": "sad",
    "contempt": "contemptuous",
    "surprise": "surprised",
    "fear": "afraid",
    "disgust": "disgusted",
}
"""Adjective of each of `EMOTIONS`."""

_NEEDS: dict[Kind, frozenset[str]] = {
    Kind.AUDIO_TO_MOTION: frozenset({"audio", "motion"}),
    Kind.TEXT_TO_MOTION: frozenset({"caption", "motion"}),
    Kind.AUDIO_TEXT_TO_MOTION: frozenset({"audio", "caption", "motion"}),
    Kind.EMOTION_TO_MOTION: frozenset({"emotion", "motion"}),
    Kind.AUDIO_EMOTION_TO_MOTION: frozenset({"audio", "emotion", "motion"}),
    Kind.MOTION_TO_EMOTION: frozenset({"motion", "emotion"}),
    Kind.MOTION_TO_TEXT: frozenset({"motion", "caption"}),
    Kind.AUDIO_TO_TEXT: frozenset({"audio", "transcript"}),
    Kind.PART_TO_PART: frozenset({"motion", "two parts"}),
    Kind.IN_BETWEEN: frozenset({"motion"}),
    Kind.CONTINUE: frozenset({"motion"}),
}
_FEWEST_STEPS = {Kind.IN_BETWEEN: 4, Kind.CONTINUE: 4}
"""Motion steps below which there is nothing to hide or to continue."""


@dataclass(frozen=True)
class Codes:
    """Codes of one part, or of the sound where `part` is None: (T, Q), `HIDDEN` where a step is masked."""

    part: Part | None
    codes: IntArray


@dataclass(frozen=True)
class Slot:
    """A place in a prompt that codes fill; `noun` is what the text says where they stand beside it."""

    noun: str
    blocks: tuple[Codes, ...]


@dataclass(frozen=True)
class Example:
    """One question with its answer.

    Attributes:
        task: Name of the task.
        template: The template that was filled.
        prompt: Texts and slots in order.
        target: Motion codes, or a text.
        caption: The description that was drawn, where the window has any.
    """

    task: str
    template: str
    prompt: tuple[str | Slot, ...]
    target: tuple[Codes, ...] | str
    caption: str = ""

    @property
    def text(self) -> str:
        """The prompt as plain English, with nouns in place of codes."""
        return "".join(piece if isinstance(piece, str) else piece.noun for piece in self.prompt)

    @property
    def inputs(self) -> tuple[Codes, ...]:
        """All codes of the prompt."""
        return tuple(block for piece in self.prompt if isinstance(piece, Slot) for block in piece.blocks)


@dataclass(frozen=True)
class Shares:
    """How much of a motion is known or hidden, and how often a caption is quoted.

    Attributes:
        head: Share of the steps that `continue` gives.
        gap: Share of the steps that `in_between` hides.
        quoted: How often a caption behind a colon stands in quotes.
    """

    head: float = 0.2
    gap: float = 0.25
    quoted: float = 0.5


@dataclass(frozen=True)
class Task:
    """One thing the model can be asked for.

    Attributes:
        kind: What is mapped to what.
        length: How the length is said.
        templates: Its wordings.
    """

    kind: Kind
    length: Length
    templates: tuple[str, ...]

    @property
    def name(self) -> str:
        """Unique name, for example "audio_to_motion.seconds"."""
        return self.kind if self.length is Length.UNSAID else f"{self.kind}.{self.length}"

    @property
    def needs(self) -> frozenset[str]:
        """What a window must hold: audio, motion, two parts, caption, emotion, transcript."""
        return _NEEDS[self.kind]

    def fits(self, window: Window) -> bool:
        """Whether a window holds everything the task needs."""
        held = {
            "audio": window.audio is not None,
            "motion": window.num_steps >= _FEWEST_STEPS.get(self.kind, 1),
            "two parts": len(window.parts) > 1,
            "caption": bool(window.captions),
            "emotion": window.emotion is not None,
            "transcript": bool(window.transcript),
        }
        if not all(held[need] for need in self.needs):
            return False
        obeying = [part for part in window.parts if part in window.described]
        if self.kind is Kind.AUDIO_TEXT_TO_MOTION:
            return 0 < len(obeying) < len(window.parts)
        return "caption" not in self.needs or bool(obeying)

    def fill(
        self,
        window: Window,
        random: np.random.Generator,
        template: str | None = None,
        shares: Shares = Shares(),
    ) -> Example:
        """Make an example of a window.

        Args:
            window: One that `fits`.
            random: Draws the template, the parts, the gap and the caption.
            template: One of `templates`; None draws.
            shares: Sizes of head and gap.

        Raises:
            DataError: If the window lacks something.
        """
        if not self.fits(window):
            raise DataError(
                f"{window.name} does not hold what {self.name} needs: {', '.join(sorted(self.needs))}."
            )
        template = template or str(random.choice(self.templates))
        given, target = _choose(self.kind, window, random, shares)
        caption = str(random.choice(window.captions)).strip().rstrip(".") if window.captions else ""
        words = {
            "caption": caption,
            "given": name_parts(block.part for block in given),
            "wanted": name_parts(block.part for block in target),
            "worded": name_parts(part for part in window.parts if part in window.described),
            "spoken": name_parts(part for part in window.parts if part not in window.described),
            "emotion": window.emotion or "",
            "mood": MOODS.get(window.emotion or "", ""),
            "seconds": f"{_told_s(self.kind, window, given, target):.1f}",
            "frames": str(round(_told_s(self.kind, window, given, target) * MOTION_FPS)),
        }
        if ": {caption}" in template and random.random() < shares.quoted:
            words["caption"] = f'"{caption}"'
        prompt: list[str | Slot] = []
        for text, name in split_at(template, _CODES):
            if text:
                prompt.append(filled(text, words))
            if name:
                sound = (Codes(None, window.audio),) if window.audio is not None else ()
                prompt.append(Slot(_NOUNS[name], sound if name == "audio" else given))
        answers = {
            Kind.MOTION_TO_EMOTION: window.emotion or "",
            Kind.MOTION_TO_TEXT: caption,
            Kind.AUDIO_TO_TEXT: window.transcript,
        }
        return Example(self.name, template, tuple(prompt), answers.get(self.kind, target), caption)


def _choose(
    kind: Kind, window: Window, random: np.random.Generator, shares: Shares
) -> tuple[tuple[Codes, ...], tuple[Codes, ...]]:
    """Motion that a task gives, and motion that it wants."""
    whole = tuple(Codes(part, window.parts[part]) for part in PARTS if part in window.parts)
    described = tuple(block for block in whole if block.part in window.described)
    steps = window.num_steps
    if kind is Kind.TEXT_TO_MOTION:
        return (), described
    if kind is Kind.MOTION_TO_TEXT:
        return described, ()
    if kind is Kind.MOTION_TO_EMOTION:
        return whole, ()
    if kind is Kind.PART_TO_PART:
        return disjoint(whole, random)
    if kind is Kind.CONTINUE:
        head = min(max(1, int(steps * shares.head)), steps - 1)
        return (
            tuple(Codes(block.part, block.codes[:head]) for block in whole),
            tuple(Codes(block.part, block.codes[head:]) for block in whole),
        )
    if kind is Kind.IN_BETWEEN:
        # Both ends stay visible, and all parts hide the same steps of the whole sequence.
        gap = min(max(1, int(steps * shares.gap)), steps - 2)
        begin = int(random.integers(1, steps - gap))
        return tuple(Codes(block.part, _masked(block.codes, begin, begin + gap)) for block in whole), whole
    return (), whole


def disjoint(
    whole: tuple[Codes, ...], random: np.random.Generator
) -> tuple[tuple[Codes, ...], tuple[Codes, ...]]:
    """Two non-empty sets of parts without a common one, each such pair with equal chance."""
    while True:
        sides = random.integers(0, 3, len(whole))  # 0 left out, 1 given, 2 wanted
        given, wanted = (
            tuple(block for block, side in zip(whole, sides, strict=True) if side == wish) for wish in (1, 2)
        )
        if given and wanted:
            return given, wanted


def _masked(codes: IntArray, begin: int, end: int) -> IntArray:
    hidden = codes.copy()
    hidden[begin:end] = HIDDEN
    return hidden


def _told_s(kind: Kind, window: Window, given: tuple[Codes, ...], target: tuple[Codes, ...]) -> float:
    """Seconds that a template tells: of the target where it is motion, else of what is given."""
    blocks = target or given
    if kind is Kind.AUDIO_TO_TEXT or not blocks:
        return window.duration_s
    return window.duration_s * len(blocks[0].codes) / window.num_steps


def _build() -> tuple[Task, ...]:
    return tuple(
        Task(kind, length, templates(PATTERNS[kind], length))
        for kind in Kind
        for length in Length
        # Sound has no frames of its own.
        if (kind, length) != (Kind.AUDIO_TO_TEXT, Length.FRAMES)
    )


TASKS: tuple[Task, ...] = _build()
"""Every task."""


def fitting(window: Window) -> tuple[Task, ...]:
    """Tasks that a window can be an example of."""
    return tuple(task for task in TASKS if task.fits(window))


def draw_example(
    window: Window,
    random: np.random.Generator,
    weights: Mapping[Kind, float] | None = None,
    shares: Shares = Shares(),
) -> Example:
    """Draw a task for a window and fill it.

    Args:
        window: The window.
        random: Of every choice.
        weights: As for `draw_task`.
        shares: Sizes of head and gap.

    Raises:
        DataError: If no task fits the window.
    """
    return draw_task(window, random, weights).fill(window, random, None, shares)


def draw_task(
    window: Window, random: np.random.Generator, weights: Mapping[Kind, float] | None = None
) -> Task:
    """Draw a task for a window: first the kind, then the way to say the length.

    Args:
        window: The window.
        random: Of both choices.
        weights: Relative chance of each kind; None takes all kinds alike, a kind left out never comes.

    Raises:
        DataError: If no task fits the window.
    """
    tasks = fitting(window)
    kinds = [kind for kind in Kind if any(task.kind is kind for task in tasks)]
    chances = np.array([1.0 if weights is None else weights.get(kind, 0.0) for kind in kinds])
    if not kinds or chances.sum() <= 0:
        raise DataError(f"{window.name} fits no task that is wanted; leave it out.")
    kind = kinds[int(random.choice(len(kinds), p=chances / chances.sum()))]
    own = [task for task in tasks if task.kind is kind]
    return own[int(random.integers(len(own)))]
