# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the registry's tasks from the sequences that the requests are drawn from too.

Emotions and actions are asked about alike, however often the data has them: a model that has seen walks
half of the time would call everything a walk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..data.window import Window
from ..language.task_layout import TaskBatch, collate
from ..specs import PARTS, Part
from .recipe import QuestionRecipe
from .task_rows import StarterRows, Told
from .tasks.patterns import Kind
from .tasks.registry import draw_example
from .windows import FRAMES_PER_STEP, CodedSequence

STEP_S = FRAMES_PER_STEP / 30.0
LEAST_STEPS = 8
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
    """

    def __init__(
        self, asked: Asked, rows: StarterRows, recipe: QuestionRecipe, window_steps: int, seed: int
    ) -> None:
        self.asked, self.rows, self.recipe, self.window_steps = asked, rows, recipe, window_steps
        self.seed = seed
        self.random = np.random.default_rng(seed)
        self.kinds = [Kind(name) for name in recipe.mixture]
        chances = np.array(list(recipe.mixture.values()))
        self.chances = chances / chances.sum()
        self.actions = _grouped(asked.captured, [phases[0].action for phases in asked.captured])
        counts = np.sqrt([len(group) for group in self.actions])
        self.action_chances = counts / counts.sum()
        self.emotions = _grouped(asked.performed, [phases[0].emotion or "" for phases in asked.performed])

    def batch(self) -> TaskBatch:
        """Draw one batch."""
        random = self.random
        kinds = random.choice(len(self.kinds), self.recipe.rows, p=self.chances)
        found = []
        for kind in (self.kinds[number] for number in kinds):
            window = self._window(kind)
            example = draw_example(window, random, {kind: 1.0})
            told = Told(window.described, example.caption, window.emotion)
            found.append(self.rows.row(example, told, random))
        return collate(found)

    def _window(self, kind: Kind) -> Window:
        """A window that a kind of task can be asked about."""
        random = self.random
        described = kind is Kind.MOTION_TO_TEXT or (
            kind is not Kind.MOTION_TO_EMOTION and random.random() < 0.5
        )
        if described:
            group = self.actions[random.choice(len(self.actions), p=self.action_chances)]
        else:
            group = self.emotions[random.integers(len(self.emotions))]
        phases = group[random.integers(len(group))]
        window = self._cut(phases[random.integers(len(phases))])
        if kind is Kind.MOTION_TO_EMOTION and random.random() < self.recipe.some_parts:
            chosen = random.choice(len(PARTS), int(random.integers(1, len(PARTS))), replace=False)
            window = replace(window, parts={PARTS[i]: window.parts[PARTS[i]] for i in sorted(chosen)})
        return window

    def _cut(self, item: CodedSequence) -> Window:
        random, steps = self.random, self.window_steps
        if random.random() >= WHOLE_WINDOWS:
            steps = int(random.integers(LEAST_STEPS, steps + 1))
        steps = min(steps, item.num_steps)
        begin = int(random.integers(0, item.num_steps - steps + 1))
        parts = {
            part: item.parts[part][begin : begin + steps].numpy() for part in PARTS if part in item.parts
        }
        captions = tuple(self.asked.captions[row] for row in item.captions)
        described: tuple[Part, ...] = tuple(parts) if captions else ()
        return Window(
            item.action, begin * STEP_S, steps * STEP_S, parts, None, "", captions, described, item.emotion
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
