# SPDX-License-Identifier: GPL-3.0-or-later
"""Training items: what one is, what it must measure, and the workshop that keeps or drops it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from ..evaluation.body_measures import Measures, measure_clip
from ..evaluation.probes import Bound
from ..motion.arrays import FloatArray
from ..motion.features import starter_clip
from ..specs import MOTION_FPS, Part
from .captions import captions_for, captions_in_context, swap_sides
from .cleaning import Capture
from .editing import LocalMotion, finish

MIN_FRAMES = 66
"""Shortest item: 2.2 s."""

STRAIGHT, UPRIGHT = Bound("turned", high=60.0), Bound("root_height", 0.75, 1.15)

BOUNDS: dict[str, tuple[Bound, ...]] = {
    "walk_forward": (Bound("forward_speed", 0.62, 1.9), Bound("step_hz", 1.0, 3.2), STRAIGHT, UPRIGHT),
    "walk_circle": (
        Bound("forward_speed", 0.55, 1.9), Bound("turned", 250.0), Bound("turn_steadiness", 0.9), UPRIGHT,
    ),
    "walk_backwards": (Bound("forward_speed", -1.7, -0.5), Bound("step_hz", 0.8, 3.2), STRAIGHT, UPRIGHT),
    "run_forward": (Bound("forward_speed", 2.3, 4.4), Bound("step_hz", 1.8, 4.5), STRAIGHT, UPRIGHT),
    "run_backwards": (Bound("forward_speed", -4.2, -2.0), Bound("step_hz", 1.6, 4.5), STRAIGHT, UPRIGHT),
    "run_circle": (Bound("forward_speed", 2.0, 4.4), Bound("turned", 180.0), UPRIGHT),
    "jump": (Bound("rise_m", 0.2, 0.62), Bound("airborne_s", 0.13)),
    "turn_left": (Bound("forward_speed", 0.5, 1.9), Bound("turned", 45.0, 170.0), UPRIGHT),
    "boxing": (Bound("reach_speed", 1.8), Bound("guard_m", -0.25), Bound("kick_speed", high=3.9)),
    "stand_still": (
        Bound("drift_m", high=0.15), Bound("joint_speed", high=0.2), Bound("rise_m", high=0.06), UPRIGHT,
    ),
}  # fmt: skip
"""What an item of a class must measure; tighter than the evaluation's probes."""


@dataclass(frozen=True)
class Item:
    """One training item.

    Attributes:
        name: Unique name.
        trial: CMU trial it was made of (the lower body's, where two were combined).
        group: Class by which items are balanced; a key of `BOUNDS` or "rest".
        action: Key of `captions.PHRASES`.
        edit: The edits, in words.
        captions: Instructions it obeys, each of which describes it too.
        in_context: Further instructions, with what surrounds the action.
        lower: Starter lower body features, (F, 62).
        upper: Starter upper body features, (F, 78).
        mean_speed: Signed forward speed, m/s.
        looped: Whether a cycle was repeated.
        other_trials: Further trials it was made of.
    """

    name: str
    trial: str
    group: str
    action: str
    edit: str
    captions: list[str]
    in_context: list[str]
    lower: FloatArray
    upper: FloatArray
    mean_speed: float
    looped: bool
    other_trials: tuple[str, ...] = ()


@dataclass
class Workshop:
    """Collects items and the reasons why others were dropped."""

    items: list[Item] = field(default_factory=lambda: [])
    dropped: dict[str, int] = field(default_factory=lambda: {})

    def drop(self, reason: str) -> None:
        """Counts a dropped item."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def add(
        self,
        capture: Capture,
        motion: LocalMotion,
        group: str,
        action: str,
        edit: str,
        *,
        side: str = "",
        replant: bool = True,
        near_floor: bool = True,
        looped: bool = False,
        extra: Iterable[str] = (),
        other_trials: tuple[str, ...] = (),
    ) -> None:
        """Finishes a motion, measures it, writes its captions and keeps it if it does what they say."""
        if motion.num_frames < MIN_FRAMES:
            self.drop(f"{group}: shorter than {MIN_FRAMES} frames")
            return
        features = finish(motion, replant, near_floor)
        measures = measure_clip(starter_clip(features, fps=MOTION_FPS))
        failed = [bound.text() for bound in BOUNDS.get(group, ()) if not bound.holds(measures)]
        if action in BOUNDS and action != group:
            failed += [bound.text() for bound in BOUNDS[action] if not bound.holds(measures)]
        if failed:
            self.drop(f"{group}: not {failed[0]}")
            return
        self._keep(capture, features, measures, group, action, edit, side, looped, list(extra), other_trials)

    def _keep(
        self,
        capture: Capture,
        features: dict[Part, FloatArray],
        measures: Measures,
        group: str,
        action: str,
        edit: str,
        side: str,
        looped: bool,
        extra: list[str],
        other_trials: tuple[str, ...],
    ) -> None:
        number, speed = len(self.items), abs(measures.forward_speed)
        self.items.append(
            Item(
                name=f"{number:04d}_{capture.trial}_{action}",
                trial=capture.trial,
                group=group,
                action=action,
                edit=edit,
                captions=captions_for(action, number, speed=speed, side=side, extra=extra),
                in_context=captions_in_context(action, number, speed=speed, side=side),
                lower=features[Part.LOWER],
                upper=features[Part.UPPER],
                mean_speed=round(measures.forward_speed, 3),
                looped=looped,
                other_trials=other_trials,
            )
        )


def both_sides(capture: Capture) -> Iterator[tuple[Capture, str]]:
    """The capture and its mirror image, with the word for the edit."""
    yield capture, "none"
    yield (
        replace(capture, clip=capture.clip.mirrored(), description=swap_sides(capture.description)),
        "mirrored",
    )


def draw_for(capture: Capture, purpose: str) -> random.Random:
    """Random numbers that depend on the trial and purpose alone, so that one recipe never shifts another."""
    return random.Random(f"{capture.trial} {purpose}")
