# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows to draw from: prepared shards of any corpora, or the starter's own prepared data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..data.sharded import TRAINING_SPLITS, ShardedWindows
from ..data.window import Window, combine
from ..errors import DataError
from ..language.layout import AUDIO_MARGIN, MOTION_TIME
from ..motion.arrays import IntArray
from ..specs import PARTS, Part
from ..tokenizers.motion_vqvae import MotionVQVAE
from .corpora import MotionSequence, load_captured, load_performances
from .stage_recipe import WindowRecipe
from .windows import FRAMES_PER_STEP, encode_sequence

MARGIN_STEPS = -(-AUDIO_MARGIN // MOTION_TIME)
"""Motion steps cut off either end of a window whose sound goes on beyond it."""

LEGS, BODY = (Part.LOWER,), (Part.LOWER, Part.UPPER)


class WindowSource(Protocol):
    """Windows in a fixed order."""

    def __len__(self) -> int:
        """How many."""
        ...

    def __getitem__(self, index: int) -> Window:
        """One window."""
        ...


def sharded(folders: Sequence[Path], recipe: WindowRecipe, held_out: bool = False) -> ShardedWindows:
    """Windows of prepared corpora.

    Args:
        folders: What `python -m engine.data prepare` wrote, one per corpus.
        recipe: Lengths.
        held_out: The validation split in place of the training splits.
    """
    return ShardedWindows(
        folders,
        window_steps=recipe.window_steps,
        stride_steps=recipe.stride_steps,
        splits=("val",) if held_out else TRAINING_SPLITS,
        min_steps=recipe.min_steps,
    )


@dataclass(frozen=True)
class _Item:
    """A sequence at one phase."""

    sequence: MotionSequence
    parts: dict[Part, IntArray]
    audio: IntArray | None

    @property
    def num_steps(self) -> int:
        return len(next(iter(self.parts.values())))


class PreparedWindows:
    """Windows of the starter's prepared data (`build/data`), as codes.

    Args:
        data: Folder of the prepared data.
        tokenizers: Per part.
        audio: Of sound.
        recipe: Lengths and phases.
        split: "train" or "held".
        limit: At most so many sequences of each kind; None for all.
    """

    def __init__(
        self,
        data: Path,
        tokenizers: dict[Part, MotionVQVAE],
        audio: MotionVQVAE,
        recipe: WindowRecipe,
        split: str = "train",
        limit: int | None = None,
    ) -> None:
        self.recipe = recipe
        self._items: list[_Item] = []
        sequences = [(s, recipe.phases) for s in load_captured(data, split)[:limit]]
        sequences += [(s, recipe.performance_phases) for s in load_performances(data, split)[:limit]]
        for sequence, phases in sequences:
            for phase in range(0, FRAMES_PER_STEP, FRAMES_PER_STEP // phases):
                coded = encode_sequence(sequence, phase, tokenizers, audio)
                self._items.append(
                    _Item(
                        sequence,
                        {part: codes.numpy() for part, codes in coded.parts.items()},
                        None if coded.audio is None else coded.audio.numpy(),
                    )
                )
        self._items = [item for item in self._items if item.num_steps >= recipe.min_steps]
        if not self._items:
            raise DataError(f"No prepared sequence in {data.name} is long enough; shorten the windows.")
        rooms = [max(item.num_steps - recipe.window_steps, 0) for item in self._items]
        counts = np.array([1 + -(-room // recipe.stride_steps) for room in rooms])
        self._ends = np.cumsum(counts)
        per_window = np.array([item.sequence.weight for item in self._items]) / counts
        self.weights: npt.NDArray[np.float64] = np.repeat(per_window, counts)

    def __len__(self) -> int:
        """How many windows."""
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Window:
        """One window."""
        place = int(np.searchsorted(self._ends, index, side="right"))
        nth = index - (int(self._ends[place - 1]) if place else 0)
        item, steps = self._items[place], self.recipe.window_steps
        begin = min(nth * self.recipe.stride_steps, max(item.num_steps - steps, 0))
        end = min(begin + steps, item.num_steps)
        parts = {part: codes[begin:end] for part, codes in item.parts.items()}
        sequence = item.sequence
        step_s = FRAMES_PER_STEP / 30.0
        return Window(
            name=f"prepared/{sequence.name}",
            start_s=begin * step_s,
            duration_s=(end - begin) * step_s,
            parts=parts,
            audio=None if item.audio is None else item.audio[begin * MOTION_TIME : end * MOTION_TIME],
            # without times of words, they hold for a whole recording only
            transcript=sequence.transcript if end - begin == item.num_steps else "",
            captions=sequence.captions,
            described=tuple(part for part in PARTS if part in parts) if sequence.captions else (),
            emotion=sequence.emotion,
        )


class JoinedWindows:
    """Windows of several sources, one after the other.

    Args:
        sources: At least one; those with `weights` keep them, scaled to a mean of 1.
    """

    def __init__(self, sources: Sequence[WindowSource]) -> None:
        self._sources = list(sources)
        self._ends = np.cumsum([len(source) for source in sources])
        weights = [getattr(source, "weights", np.ones(len(source))) for source in sources]
        self.weights: npt.NDArray[np.float64] = np.concatenate([w / w.mean() for w in weights if len(w)])

    def __len__(self) -> int:
        """How many windows."""
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Window:
        """One window."""
        place = int(np.searchsorted(self._ends, index, side="right"))
        return self._sources[place][index - (int(self._ends[place - 1]) if place else 0)]


class WindowDraw:
    """Draws windows, and puts described legs under a speech now and then.

    Args:
        source: Windows with their relative chances.
        combined: Share of windows with a speech that get them.
    """

    def __init__(self, source: JoinedWindows, combined: float = 0.0) -> None:
        if not len(source):
            raise DataError("There are no windows to learn from; choose other splits or shorter windows.")
        self.source, self.combined = source, combined
        weights = source.weights
        self._edges = np.cumsum(weights / weights.sum())

    def draw(self, random: np.random.Generator) -> Window:
        """One window."""
        window = self._one(random)
        if window.audio is None or not window.parts or random.random() >= self.combined:
            return window
        for _ in range(16):  # few windows hold what the speech lacks; after some tries it stays alone
            other = self._one(random)
            parts = LEGS if random.random() < 0.5 else BODY
            if other.captions and set(parts) <= set(other.described) and set(parts) <= set(other.parts):
                return combine(window, other, parts)
        return window

    def _one(self, random: np.random.Generator) -> Window:
        place = int(np.searchsorted(self._edges, random.random(), side="right"))
        return self.source[min(place, len(self.source) - 1)]


def inset(window: Window) -> tuple[Window, IntArray | None]:
    """Cut motion off both ends of a window, so that its sound is heard beyond it.

    Args:
        window: With sound and motion in the starter's layout.

    Returns:
        The shorter window, and the sound around it; the window itself and None where it is too short.
    """
    margin, steps = MARGIN_STEPS, window.num_steps - 2 * MARGIN_STEPS
    if window.audio is None or steps < 1 or len(window.audio) != window.num_steps * MOTION_TIME:
        return window, None
    step_s = window.duration_s / window.num_steps
    heard = window.audio
    beside = margin * MOTION_TIME
    return (
        replace(
            window,
            start_s=window.start_s + margin * step_s,
            duration_s=steps * step_s,
            parts={part: codes[margin:-margin] for part, codes in window.parts.items()},
            audio=heard[beside : len(heard) - beside],
            transcript="",  # some of its words are said in the margins; tasks about them take it whole
        ),
        heard,
    )
