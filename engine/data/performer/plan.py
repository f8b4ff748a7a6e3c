# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides what the performer does and when: gesture units, accents, head turns, gaze, breath.

A gesture unit leaves the rest position before the first accent of a phrase, strikes on accents and returns in
the pause (preparation, stroke, hold, retraction: Kendon 2004; McNeill 1992). Strokes end on the beat of the
accented syllable (Loehr 2012). Speakers look away as they begin a phrase and back at its end (Kendon 1967).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .curves import Array
from .gestures import CENTRE, GESTURES, POSE_SIZE, REST_POSES, SHAPE_SIZE, SHAPES, Gesture, pose_of, shape_of
from .prosody import Prosody, rhythm_clock, select_accents
from .style import Style

_LEAST_GAP_S = 0.1


@dataclass
class ArmTrack:
    """Keys of one arm and hand, as the left side would make them.

    Attributes:
        times: Seconds, rising.
        poses: `POSE_SIZE` numbers each.
        shapes: `SHAPE_SIZE` numbers each.
        struck: Time of the last stroke.
    """

    times: list[float] = field(default_factory=lambda: [])
    poses: list[Array] = field(default_factory=lambda: [])
    shapes: list[Array] = field(default_factory=lambda: [])
    struck: float = -1.0

    def key(self, time: float, pose: Array, shape: Array, *, firm: bool = True) -> None:
        """Add a key; a firm one drops earlier keys in its way, another gives way itself."""
        if not firm and self.times and time < self.times[-1] + _LEAST_GAP_S:
            return
        while len(self.times) > 1 and time < self.times[-1] + _LEAST_GAP_S:
            self._drop_last()
        self.times.append(max(time, self.times[-1] + _LEAST_GAP_S) if self.times else time)
        self.poses.append(pose)
        self.shapes.append(shape)

    def _drop_last(self) -> None:
        for keys in (self.times, self.poses, self.shapes):
            keys.pop()

    def clear(self, after: float) -> None:
        """Drop keys that still lie ahead of a time, as far back as the last stroke."""
        while len(self.times) > 1 and self.times[-1] > max(after, self.struck):
            self._drop_last()

    def hold(self, until: float) -> None:
        """Stay in the last pose until a time, if that is still ahead."""
        if self.times and until > self.times[-1] + _LEAST_GAP_S:
            self.key(until, self.poses[-1], self.shapes[-1])


@dataclass(frozen=True)
class Plan:
    """Everything the parts of the body share.

    Attributes:
        prosody: The sound's course.
        style: The performer.
        accents: Times of chosen accents, (A,), seconds.
        strengths: Their prominence, (A,).
        clock: Runs with the speech's rhythm, (F,), seconds (`prosody.rhythm_clock`).
        arms: Left and right arm.
        strokes: Times of gesture strokes, (S,).
        stroke_sides: +1 left, -1 right, 0 both, (S,).
        shrugs: Rise of the shoulders with each stroke, (S,).
        gaze_times: Gaze shifts, (G,).
        gaze: Yaw (left positive) and pitch (down positive) looked at from then on, (G, 2), radians.
    """

    prosody: Prosody
    style: Style
    accents: Array
    strengths: Array
    clock: Array
    arms: tuple[ArmTrack, ArmTrack]
    strokes: Array
    stroke_sides: Array
    shrugs: Array
    gaze_times: Array
    gaze: Array


def make_plan(prosody: Prosody, style: Style, rng: np.random.Generator) -> Plan:
    """Plan a whole performance.

    Args:
        prosody: The sound's course.
        style: The performer.
        rng: Source of chance.

    Returns:
        The plan.
    """
    accents, strengths = select_accents(prosody, style.beat_interval_s, 0.22)
    planner = _Planner(style, rng)
    planner.run(prosody, accents, strengths)
    gaze_times, gaze = _plan_gaze(prosody, style, rng)
    return Plan(
        prosody,
        style,
        accents,
        strengths,
        rhythm_clock(prosody, select_accents(prosody, 0.38, 0.1)[0]),
        (planner.arms[0], planner.arms[1]),
        np.array(planner.strokes),
        np.array(planner.sides),
        np.array(planner.shrugs),
        gaze_times,
        gaze,
    )


class _Planner:
    """Walks through the phrases and writes arm keys."""

    def __init__(self, style: Style, rng: np.random.Generator) -> None:
        self.style = style
        self.rng = rng
        self.arms = (ArmTrack(), ArmTrack())
        self.strokes: list[float] = []
        self.sides: list[float] = []
        self.shrugs: list[float] = []
        self.active = (0, 1)
        names = list(GESTURES)
        weights = np.array(style.gestures) + 0.02
        for index, name in enumerate(names):
            weights[index] *= (
                1.0 + (dict(GESTURES[name].moods).get(style.emotion, 1.0) - 1.0) * style.intensity
            )
        self.names, self.weights = names, weights / weights.sum()
        self.rest = "sides"
        self.rest_lead = 0
        self._choose_rest()
        for side in (0, 1):
            self.arms[side].key(-1.0, *self._rest_pose(side))

    def run(self, prosody: Prosody, accents: Array, strengths: Array) -> None:
        """Write the keys of all phrases."""
        phrases = prosody.phrases
        for index, (start, end) in enumerate(phrases):
            following = phrases[index + 1, 0] if index + 1 < len(phrases) else np.inf
            inside = np.flatnonzero((accents >= start - 0.1) & (accents <= end + 0.1))
            if len(inside) and self.rng.random() < self.style.rate:
                self._gesture_unit(accents[inside], strengths[inside])
            self._after_phrase(end, following)

    def _gesture_unit(self, accents: Array, strengths: Array) -> None:
        since, gesture = -np.inf, None
        for time, strength in zip(accents, strengths, strict=True):
            fresh = gesture is None or (time - since > 0.9 / self.style.tempo and self.rng.random() < 0.5)
            if fresh:
                gesture = GESTURES[self.names[int(self.rng.choice(len(self.names), p=self.weights))]]
                self._choose_hands(gesture)
                since = float(time)
            amount = self.style.size * (0.65 + 0.6 * float(strength))
            for side in self.active:
                lag = 0.0 if len(self.active) == 1 else float(self.rng.uniform(0.0, 0.035))
                if fresh and gesture is not None:
                    self._stroke(side, float(time) + lag, gesture, amount)
                else:
                    self._beat(side, float(time) + lag, amount)
            self.strokes.append(float(time))
            self.sides.append(0.0 if len(self.active) == 2 else (1.0 if self.active[0] == 0 else -1.0))
            self.shrugs.append(gesture.shrug * float(strength) if fresh and gesture is not None else 0.0)

    def _stroke(self, side: int, time: float, gesture: Gesture, amount: float) -> None:
        """Preparation, stroke and hold of a new gesture."""
        arm, rng, tempo = self.arms[side], self.rng, self.style.tempo
        jitter = rng.normal(0.0, 0.03, 3)
        prepared = self._placed(pose_of(gesture.prepared), amount, jitter)
        struck = self._placed(pose_of(gesture.struck), amount, jitter)
        shape = self._shape(gesture.shape)
        way = float(np.linalg.norm(struck[:3] - prepared[:3]))
        stroke_s = max(float(rng.uniform(0.17, 0.25)) / tempo, 0.30 * way)
        travel = float(np.linalg.norm(prepared[:3] - arm.poses[-1][:3]))
        prepare_s = (0.26 + 0.42 * travel) * float(rng.uniform(0.9, 1.25)) / tempo
        arm.clear(time - stroke_s - prepare_s)
        free_s = time - arm.times[-1]
        if free_s < 0.2 + 0.45 * float(np.linalg.norm(struck[:3] - arm.poses[-1][:3])):
            return  # no time to get there without haste
        arm.hold(time - stroke_s - prepare_s)
        if time - stroke_s - arm.times[-1] > 0.7 * prepare_s:
            arm.key(time - stroke_s, prepared, 0.5 * (arm.shapes[-1] + shape), firm=False)
        arm.key(time, struck, shape)
        arm.struck = time

    def _beat(self, side: int, time: float, amount: float) -> None:
        """A small stroke on top of the pose that is held."""
        arm, rng, tempo = self.arms[side], self.rng, self.style.tempo
        base, shape = arm.poses[-1], arm.shapes[-1]
        home = base.copy()
        home[:3] = (
            0.75 * base[:3] + 0.25 * self._placed(pose_of(GESTURES["beat"].struck), amount, np.zeros(3))[:3]
        )
        down = home.copy()
        down[:3] += amount * np.array(
            [rng.normal(0.02, 0.03), rng.uniform(-0.09, -0.02), rng.normal(0.03, 0.02)]
        )
        raised = home.copy()
        raised[:3] += amount * np.array(
            [rng.normal(-0.01, 0.03), rng.uniform(0.08, 0.17), rng.normal(-0.03, 0.03)]
        )
        raised[5] -= 0.22 * amount
        down[5] += 0.10 * amount
        stroke_s = float(rng.uniform(0.15, 0.21)) / tempo
        arm.clear(time - stroke_s - 0.24 / tempo)
        way = float(np.linalg.norm(down[:3] - arm.poses[-1][:3]))
        if time - arm.times[-1] < 0.16 + 0.45 * way:
            return
        arm.hold(time - stroke_s - 0.24 / tempo)
        if time - stroke_s - arm.times[-1] > 0.14:
            arm.key(time - stroke_s, raised, shape, firm=False)
        arm.key(time, down, shape)
        arm.struck = time

    def _after_phrase(self, end: float, following: float) -> None:
        """Hold into the next phrase, or go back to rest."""
        gap = following - end
        stay = gap < 0.5 or (gap < 1.1 and self.rng.random() < 0.55)
        if stay and self.rng.random() < 0.8:
            return
        if self.rng.random() < 0.35:
            self._choose_rest()
        for side in (0, 1):
            arm = self.arms[side]
            pose, shape = self._rest_pose(side)
            way = float(np.linalg.norm(pose[:3] - arm.poses[-1][:3]))
            if way < 0.04:
                continue
            begin = max(
                arm.times[-1] + float(self.rng.uniform(0.2, 0.5)), end + float(self.rng.uniform(-0.1, 0.25))
            )
            arm.hold(begin)
            arm.key(
                arm.times[-1] + (0.45 + 0.5 * way) * float(self.rng.uniform(0.9, 1.3)) / self.style.tempo,
                pose,
                shape,
            )

    def _choose_rest(self) -> None:
        rest = self.style.rest
        self.rest = str(self.rng.choice(list(REST_POSES))) if rest == "mixed" else rest
        self.rest_lead = int(self.rng.random() < 0.5)

    def _choose_hands(self, gesture: Gesture) -> None:
        odds = self.style.two_handed / max(1.0 - self.style.two_handed, 0.05) * gesture.both
        if self.rng.random() < odds / (1.0 + odds):
            self.active = (0, 1)
        else:
            self.active = (1,) if self.rng.random() < self.style.right_handed else (0,)

    def _rest_pose(self, side: int) -> tuple[Array, Array]:
        first, second, shape, other = REST_POSES[self.rest]
        lead = side == self.rest_lead
        pose = pose_of(first if lead else second) + np.concatenate(
            [self.rng.normal(0.0, 0.012, 3), np.zeros(4)]
        )
        pose[3] += 0.5 * self.style.elbow
        if self.rest == "sides":
            pose[0] += max(0.25 * self.style.spread, -0.01)
        return pose, self._shape(shape if lead else other)

    def _placed(self, pose: Array, amount: float, jitter: Array) -> Array:
        """Scale a library pose about the middle of the gesture space; shift it to the performer's own."""
        placed = pose.copy()
        offset = np.array([self.style.spread, self.style.height, self.style.reach])
        placed[:3] = CENTRE + (pose[:3] - CENTRE) * np.clip(amount, 0.4, 1.6) + offset + jitter
        placed[0] = max(placed[0], -0.26)
        placed[1] = min(placed[1], 0.12)
        placed[2] = max(placed[2], 0.34)
        placed[3] += self.style.elbow
        placed[4:] += self.rng.normal(0.0, 0.06, 3)
        return placed

    def _shape(self, name: str) -> Array:
        shape = shape_of(name) + self.rng.normal(0.0, 0.04, SHAPE_SIZE)
        shape[:8] += self.style.fingers * (0.6 if SHAPES[name][0] > 0.2 else 0.35)
        return shape


def _plan_gaze(prosody: Prosody, style: Style, rng: np.random.Generator) -> tuple[Array, Array]:
    """Gaze shifts: mostly at the listener, away as a phrase begins, back before it ends."""
    times, looks = [-1.0], [rng.normal(0.0, 0.03, 2)]

    def look(time: float, away: bool) -> None:
        if time < times[-1] + 0.35:
            return
        if away:
            down = rng.random() < style.mood.gaze_down
            yaw = float(rng.choice((-1.0, 1.0))) * float(rng.uniform(0.08, 0.34))
            pitch = float(rng.uniform(0.08, 0.26)) if down else float(rng.uniform(-0.16, 0.06))
        else:
            yaw, pitch = rng.normal(0.0, 0.03, 2)
        times.append(time)
        looks.append(np.array([yaw, pitch]))

    for start, end in prosody.phrases:
        if rng.random() < 0.5:
            look(start + float(rng.uniform(-0.25, 0.1)), away=True)
        time = times[-1] + float(rng.uniform(0.7, 1.8))
        while time < end - 0.4:
            look(time, away=rng.random() < 0.3)
            time += float(rng.uniform(0.6, 2.4))
        look(end - float(rng.uniform(0.05, 0.4)), away=rng.random() < 0.15)
    while times[-1] < prosody.duration_s:
        look(times[-1] + float(rng.uniform(0.9, 3.2)), away=rng.random() < 0.45)
    return np.array(times), np.stack(looks)


def arm_arrays(track: ArmTrack) -> tuple[Array, Array, Array]:
    """Keys as arrays: times (K,), poses (K, `POSE_SIZE`), shapes (K, `SHAPE_SIZE`)."""
    poses = np.stack(track.poses).reshape(-1, POSE_SIZE)
    return np.array(track.times), poses, np.stack(track.shapes).reshape(-1, SHAPE_SIZE)
