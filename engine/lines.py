# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of a dialogue: what the motion of one was made from, and making anew only what changed in it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from .motion.arrays import FloatArray
from .motion.clip import Clip
from .motion.sequencing import shifted, spliced
from .specs import (
    AUDIO_HZ,
    FRAMES_PER_STEP,
    MOTION_FPS,
    CancelCheck,
    GenerateRequest,
    MotionEngine,
    Part,
    PartDirection,
    ProgressCallback,
)
from .windows import driven_at, plan_windows

STEP_S = FRAMES_PER_STEP / MOTION_FPS

SLOTS, BANDS_HZ, FLOOR_DB = 4, (50.0, 500.0, 1500.0, 3500.0), -60.0
"""How finely a sound is described: times per step, lower ends of the bands, and what counts as silence."""


@dataclass(frozen=True)
class LineRecord:
    """What the motion of one line is made from.

    Attributes:
        sound: Tells the content of the sound file from every other; empty for no sound.
        start_s: First second of the sound that is used.
        duration_s: Length of the motion.
        words: What drives the four parts, for every step of `STEP_S`.
        rest: Everything else that counts, the model included.
        heard: What is heard in every step, see `heard_in`; empty where that is not known. It adds nothing to
            `sound` but where in it something changed.
    """

    sound: str
    start_s: float
    duration_s: float
    words: tuple[str, ...]
    rest: str
    heard: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Name of the motion: other ingredients, other name. 32 hexadecimal digits."""
        named = {name: value for name, value in asdict(self).items() if name != "heard"}
        text = json.dumps(named, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

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
        heard = known.get("heard", [])
        texts = [known.get("sound"), known.get("rest"), *known.get("words", [None]), *heard]
        numbers = [known.get("start_s"), known.get("duration_s")]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("no record of a line")
        if not all(isinstance(number, float) and math.isfinite(number) for number in numbers):
            raise ValueError("no record of a line")
        start_s, duration_s = float(known["start_s"]), float(known["duration_s"])
        words, rest = tuple(known["words"]), str(known["rest"])
        return LineRecord(str(known["sound"]), start_s, duration_s, words, rest, tuple(heard))


def words_of(directions: Mapping[Part, PartDirection], duration_s: float) -> tuple[str, ...]:
    """What drives the parts in every step of a line; instructions begin and end with steps, as in windows."""
    steps = math.ceil(round(duration_s * MOTION_FPS) / FRAMES_PER_STEP)
    stepped = {part: _on_steps(direction) for part, direction in directions.items()}
    return tuple(
        " | ".join(_driver(part, stepped[part], (step + 0.5) * STEP_S) for part in sorted(stepped))
        for step in range(steps)
    )


def _on_steps(direction: PartDirection) -> PartDirection:
    """A direction whose instructions begin and end with steps."""

    def near(second: float) -> float:
        return round(second / STEP_S) * STEP_S

    segments = tuple(replace(s, start_s=near(s.start_s), end_s=near(s.end_s)) for s in direction.segments)
    return replace(direction, segments=segments)


def heard_in(waveform: FloatArray) -> tuple[str, ...]:
    """Describe what is heard in every step, so that two sounds can be compared by `sounds_alike`.

    Args:
        waveform: What a line hears, (N,), at `AUDIO_HZ`.

    Returns:
        A letter per `SLOTS` times of a step and band of `BANDS_HZ`, each for a loudness in dB.
    """
    steps = math.ceil(round(len(waveform) / AUDIO_HZ / STEP_S, 6))
    slot = STEP_S * AUDIO_HZ / SLOTS
    starts = np.round(np.arange(steps * SLOTS) * slot).astype(np.int64)
    size = math.ceil(slot)
    padded = np.pad(waveform.astype(np.float64), (0, size + round(steps * SLOTS * slot) - len(waveform)))
    power = np.abs(np.fft.rfft(padded[starts[:, None] + np.arange(size)], axis=1)) ** 2 / size**2
    places = np.searchsorted(np.fft.rfftfreq(size, 1.0 / AUDIO_HZ), BANDS_HZ)
    bands = np.add.reduceat(power, places, axis=1)  # (steps * SLOTS, bands)
    decibels = 10.0 * np.log10(np.maximum(bands, 10.0 ** (FLOOR_DB / 10.0))) - FLOOR_DB
    letters = (np.round(decibels) + ord("0")).astype(np.uint32).reshape(steps, -1)
    return tuple("".join(map(chr, row)) for row in letters.tolist())


def sounds_alike(one: str, other: str) -> bool:
    """Whether the same is heard in two steps, but for what another export of a recording changes."""
    return len(one) == len(other) and all(abs(ord(a) - ord(b)) <= 1 for a, b in zip(one, other, strict=True))


def _driver(part: Part, direction: PartDirection, second: float) -> str:
    feeling = () if direction.emotion is None else (direction.emotion,)
    return ": ".join((part.value, *driven_at(direction, second), *feeling))


def changed_steps(old: LineRecord, new: LineRecord) -> list[bool]:
    """Say for every step of a line whether its motion is still to be made.

    A step stays where the same words fall on the same moment of the same sound; so a trim at the head moves
    the motion, one at the tail cuts it, and a longer strip keeps what is there. In another sound from the
    same second on, such as one in which a word was corrected, it stays where the same is heard.
    """
    if old.rest != new.rest:
        return [True] * len(new.words)
    if old.sound != new.sound:
        if not old.heard or not new.heard or abs(old.start_s - new.start_s) > 1e-6:
            return [True] * len(new.words)
        num_both = min(len(old.words), len(old.heard), len(new.words), len(new.heard))
        return [
            step >= num_both
            or old.words[step] != new.words[step]
            or not sounds_alike(old.heard[step], new.heard[step])
            for step in range(len(new.words))
        ]
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
    for window in plan_windows(request.directions, len(changed), FRAMES_PER_STEP):
        first, stop = window.start + window.num_decided, window.start + window.length
        if not any(changed[first:stop]):
            continue
        low, high = first * FRAMES_PER_STEP, min(stop * FRAMES_PER_STEP, num_frames)
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
