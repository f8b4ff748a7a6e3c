# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of a dialogue: what the motion of one was made from, and making anew only what changed in it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from .motion.clip import Clip
from .motion.sequencing import shifted, spliced
from .specs import (
    MOTION_FPS,
    CancelCheck,
    GenerateRequest,
    MotionEngine,
    Part,
    PartDirection,
    ProgressCallback,
)
from .windows import driven_at, plan_windows

STEP_FRAMES = 4
"""Engine frames by which changes are told apart: one step of the starter pack."""

STEP_S = STEP_FRAMES / MOTION_FPS


@dataclass(frozen=True)
class LineRecord:
    """What the motion of one line is made from.

    Attributes:
        sound: Tells the content of the sound file from every other; empty for no sound.
        start_s: First second of the sound that is used.
        duration_s: Length of the motion.
        words: What drives the four parts, for every step of `STEP_S`.
        rest: Everything else that counts, the model included.
    """

    sound: str
    start_s: float
    duration_s: float
    words: tuple[str, ...]
    rest: str

    @property
    def key(self) -> str:
        """Name of the motion: other ingredients, other name. 32 hexadecimal digits."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=16).hexdigest()

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> LineRecord:
        """Read what `to_json` wrote.

        Raises:
            ValueError: If it is something else.
        """
        known = json.loads(text)
        if not isinstance(known, dict):
            raise ValueError("no record of a line")
        texts = [known.get("sound"), known.get("rest"), *known.get("words", [None])]
        numbers = [known.get("start_s"), known.get("duration_s")]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("no record of a line")
        if not all(isinstance(number, float) and math.isfinite(number) for number in numbers):
            raise ValueError("no record of a line")
        start_s, duration_s = float(known["start_s"]), float(known["duration_s"])
        return LineRecord(str(known["sound"]), start_s, duration_s, tuple(known["words"]), str(known["rest"]))


def words_of(directions: Mapping[Part, PartDirection], duration_s: float) -> tuple[str, ...]:
    """What drives the parts in every step of a line."""
    steps = math.ceil(round(duration_s * MOTION_FPS) / STEP_FRAMES)
    return tuple(
        " | ".join(_driver(part, directions[part], (step + 0.5) * STEP_S) for part in sorted(directions))
        for step in range(steps)
    )


def _driver(part: Part, direction: PartDirection, second: float) -> str:
    feeling = () if direction.emotion is None else (direction.emotion,)
    return ": ".join((part.value, *driven_at(direction, second), *feeling))


def changed_steps(old: LineRecord, new: LineRecord) -> list[bool]:
    """Say for every step of a line whether its motion is still to be made.

    A step stays where the same words fall on the same moment of the same sound; so a trim at the head moves
    the motion, one at the tail cuts it, and a longer strip keeps what is there.
    """
    if (old.sound, old.rest) != (new.sound, new.rest):
        return [True] * len(new.words)
    ahead = (new.start_s - old.start_s) / STEP_S
    changed: list[bool] = []
    for step, words in enumerate(new.words):
        then = round(step + ahead)
        inside = 0 <= then < len(old.words) and (step + ahead + 0.5) * STEP_S <= old.duration_s + STEP_S / 2
        changed.append(not inside or old.words[then] != words)
    return changed


def stale_runs(request: GenerateRequest, duration_s: float, changed: Sequence[bool]) -> list[tuple[int, int]]:
    """Frames that must be made anew: those that are drawn by a window with a changed step.

    Args:
        request: The line's request.
        duration_s: Its length.
        changed: See `changed_steps`.

    Returns:
        First frame and the frame after the last one, for every stretch.
    """
    num_frames = max(1, round(duration_s * MOTION_FPS))
    runs: list[tuple[int, int]] = []
    for window in plan_windows(request.directions, len(changed), STEP_FRAMES):
        first, stop = window.start + window.num_decided, window.start + window.length
        if not any(changed[first:stop]):
            continue
        low, high = first * STEP_FRAMES, min(stop * STEP_FRAMES, num_frames)
        if runs and runs[-1][1] == low:
            low = runs.pop()[0]
        runs.append((low, high))
    return runs


def remake(
    engine: MotionEngine,
    request: GenerateRequest,
    records: tuple[LineRecord, LineRecord],
    earlier: Clip,
    progress: ProgressCallback,
    cancel: CancelCheck,
) -> Clip:
    """Make a line's motion from an earlier one of it, drawing only the windows that changed.

    Args:
        engine: The engine.
        request: The line's request, no part of which is kept.
        records: What the earlier motion was made from, and what the new one is made from.
        earlier: The earlier motion, at `MOTION_FPS`.
        progress: Told how far it is.
        cancel: Asked between steps.

    Returns:
        The motion at `MOTION_FPS`.
    """
    old, new = records
    num_frames = max(1, round(new.duration_s * MOTION_FPS))
    runs = stale_runs(request, new.duration_s, changed_steps(old, new))
    if runs == [(0, num_frames)]:
        return engine.generate(request, progress, cancel).clip
    clip = shifted(earlier, round((new.start_s - old.start_s) * MOTION_FPS), num_frames)
    for number, (first, stop) in enumerate(runs):

        def share(fraction: float, text: str, number: int = number) -> None:
            progress((number + fraction) / len(runs), text)

        made = engine.generate(replace(request, kept=clip, free=(first, stop)), share, cancel).clip
        clip = spliced(clip, made, first, stop)
    return clip
