# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the objectives of pretraining and of the registry's tasks, from the sequences of the requests.

Emotions and actions come up alike, however often the data has them: a model that has seen walks half of the
time would call everything a walk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..data.window import Window, combine
from ..errors import EngineError
from ..language.layout import MOTION_TIME
from ..language.task_layout import TaskBatch, TaskRow, collate
from ..specs import PARTS, Part
from .recipe import QuestionRecipe
from .task_rows import StarterRows, Told
from .tasks.objectives import Objective, make_example
from .tasks.patterns import Kind
from .tasks.registry import HIDDEN, Shares, draw_example
from .window_source import BODY, LEGS, inset
from .windows import FRAMES_PER_STEP, CodedSequence

STEP_S = FRAMES_PER_STEP / 30.0
LEAST_STEPS = 8
IN_WORDS = (Kind.MOTION_TO_EMOTION, Kind.MOTION_TO_TEXT)
DESCRIBED = (Kind.TEXT_TO_MOTION, Kind.MOTION_TO_TEXT)
FELT = (Kind.MOTION_TO_EMOTION, Kind.EMOTION_TO_MOTION)
HEARD = (
    Kind.AUDIO_TO_MOTION,
    Kind.AUDIO_EMOTION_TO_MOTION,
    Kind.AUDIO_TEXT_TO_MOTION,
    Objective.MASKED_AUDIO,
)
SAID = (Kind.AUDIO_TO_TEXT, Objective.AUDIO_TO_TEXT, Objective.TEXT_TO_AUDIO)
"""What needs a transcript: whole recordings, as the times of words are not known."""

LONGEST_SAID = 80
"""Steps of the longest recording that is asked about as a whole, 10.7 s."""

WHOLE_WINDOWS = 0.6
"""Share of windows of full length; the others are shorter."""


@dataclass(frozen=True)
class Asked:
    """Sequences that can be asked about.

    Attributes:
        captured: At their phases.
        performed: At their phases, with emotions.
        captions: The caption table.
    """

    captured: Sequence[list[CodedSequence]]
    performed: Sequence[list[CodedSequence]]
    captions: Sequence[str]


class Questions:
    """Draws batches of questions.

    Args:
        asked: What they are about.
        rows: Lays them out.
        recipe: Shares.
        window_steps: Longest window.
        seed: Of the draws.
        named: What the names of the recipe's mixture are: tasks, or objectives of pretraining.
    """

    def __init__(
        self,
        asked: Asked,
        rows: StarterRows,
        recipe: QuestionRecipe,
        window_steps: int,
        seed: int,
        named: type[Kind] | type[Objective] = Kind,
    ) -> None:
        self.asked, self.rows, self.recipe, self.window_steps = asked, rows, recipe, window_steps
        self.seed = seed
        self.random = np.random.default_rng(seed)
        self.kinds = [named(name) for name in recipe.mixture]
        chances = np.array(list(recipe.mixture.values()))
        self.chances = chances / chances.sum()
        self.actions = _grouped(asked.captured, [phases[0].action for phases in asked.captured])
        counts = np.sqrt([len(group) for group in self.actions])
        self.action_chances = counts / counts.sum()
        self.emotions = _grouped(asked.performed, [phases[0].emotion or "" for phases in asked.performed])
        self.heard = [phases for phases in asked.performed if phases[0].audio is not None]
        self.said = [p for p in self.heard if p[0].transcript and p[0].num_steps <= LONGEST_SAID]
        if not self.said and set(self.kinds) & set(SAID):
            raise EngineError("The prepared data has no transcripts; prepare it anew for this recipe.")

    def batch(self) -> TaskBatch:
        """Draw one batch."""
        kinds = self.random.choice(len(self.kinds), self.recipe.rows, p=self.chances)
        return collate([self._row(self.kinds[number]) for number in kinds])

    def _row(self, kind: Kind | Objective) -> TaskRow:
        random, heard = self.random, None
        window = self._window(kind)
        if kind in HEARD and random.random() >= self.recipe.hidden.margins:
            window, heard = inset(window)
        if isinstance(kind, Objective):
            example = make_example(kind, window, random, self.recipe.spans)
        else:
            spans = self.recipe.spans
            shares = Shares(spans.head_share, spans.gap_share, spans.quoted)
            example = draw_example(window, random, {kind: 1.0}, shares)
        sound = next((block.codes for block in example.inputs if block.part is None), None)
        told = Told(
            window.described, example.caption, window.emotion, heard if sound is window.audio else None
        )
        return self.rows.row(example, told, random)

    def _window(self, kind: Kind | Objective) -> Window:
        """A window that a kind of task can be asked about."""
        random = self.random
        if kind in SAID:
            phases = self.said[random.integers(len(self.said))]
            return self._cut(phases[0], whole=True)
        if kind in HEARD:
            window = self._drawn(self.heard)
            if kind is Kind.AUDIO_TEXT_TO_MOTION:
                window = combine(window, self._captured(), LEGS if random.random() < 0.5 else BODY)
            return window
        if kind in DESCRIBED or (kind not in FELT and random.random() < 0.5):
            window = self._captured()
        else:
            window = self._drawn(self.emotions[random.integers(len(self.emotions))])
        if kind in IN_WORDS and random.random() < self.recipe.unseen:
            window = replace(window, parts={p: np.full_like(c, HIDDEN) for p, c in window.parts.items()})
        if kind is Kind.MOTION_TO_EMOTION and random.random() < self.recipe.some_parts:
            chosen = random.choice(len(PARTS), int(random.integers(1, len(PARTS))), replace=False)
            window = replace(window, parts={PARTS[i]: window.parts[PARTS[i]] for i in sorted(chosen)})
        return window

    def _captured(self) -> Window:
        return self._drawn(self.actions[self.random.choice(len(self.actions), p=self.action_chances)])

    def _drawn(self, group: Sequence[list[CodedSequence]]) -> Window:
        phases = group[self.random.integers(len(group))]
        return self._cut(phases[self.random.integers(len(phases))])

    def _cut(self, item: CodedSequence, whole: bool = False) -> Window:
        random, steps = self.random, item.num_steps if whole else self.window_steps
        if not whole and random.random() >= WHOLE_WINDOWS:
            steps = int(random.integers(LEAST_STEPS, steps + 1))
        steps = min(steps, item.num_steps)
        begin = int(random.integers(0, item.num_steps - steps + 1))
        parts = {
            part: item.parts[part][begin : begin + steps].numpy() for part in PARTS if part in item.parts
        }
        sound = item.audio
        if sound is not None:
            sound = sound[begin * MOTION_TIME : (begin + steps) * MOTION_TIME]
        captions = tuple(self.asked.captions[row] for row in item.captions)
        described: tuple[Part, ...] = tuple(parts) if captions else ()
        return Window(
            item.action,
            begin * STEP_S,
            steps * STEP_S,
            parts,
            None if sound is None else sound.numpy(),
            item.transcript if whole else "",
            captions,
            described,
            item.emotion,
        )


def _grouped(
    sequences: Sequence[list[CodedSequence]], labels: Sequence[str]
) -> list[list[list[CodedSequence]]]:
    """Sequences by label, those without one left out."""
    groups: dict[str, list[list[CodedSequence]]] = {}
    for phases, label in zip(sequences, labels, strict=True):
        if label:
            groups.setdefault(label, []).append(phases)
    return [groups[label] for label in sorted(groups)]
