# SPDX-License-Identifier: GPL-3.0-or-later
"""More items of what people ask for and captures hardly hold: turns on the way, punches, kicks, climbing up.

A window of the language model is 4.3 s long and begins anywhere in its clip, and a caption holds for every
window: items of these actions are cut so that hardly a window misses what its caption says.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from ..motion.arrays import DoubleArray
from ..motion.clip import Clip
from ..motion.kinematics import clip_joint_positions
from .cleaning import Capture
from .editing import LocalMotion, bend_path, crossfade, from_clip, runs_of, warp
from .recipes import looped_gait, turn_rate
from .workshop import Workshop, both_sides, draw_for

TURNED_FRAMES = (240, 290)
"""Frames of a walk that turns: a second window of a long request, which begins at frame 96, finds it going
straight on under the same words."""

FAST_PUNCH, FAST_KICK = 2.0, 6.0
"""Speeds of a wrist from its shoulder, and of an ankle from the pelvis, that count, m/s."""

CLIMBED_M = 0.15
"""So far has the pelvis risen where climbing has begun."""

ARMS, ANKLES = ((16, 20), (17, 21)), (7, 8)
"""Joints: shoulder and wrist of either side; ankles."""


def corners(shop: Workshop, capture: Capture) -> None:
    """Walks that turn to either side at their beginning and then go straight on, at two paces."""
    draw = draw_for(capture, "corner")
    for source, mirror in both_sides(capture):
        for factor in (1.0, draw.uniform(0.78, 1.15)):
            gait = looped_gait(source.clip, False, 340, factor)
            if gait is None:
                shop.drop("turn_left: no cycle")
                continue
            for sign, side in ((1.0, "left"), (-1.0, "right")):
                first = draw.randint(0, gait.num_frames - TURNED_FRAMES[1])
                part = gait.cut(first, first + draw.randint(*TURNED_FRAMES))
                bent = bend_path(part, sign * turn_rate(part.num_frames, draw))
                edit = f"{mirror}, cycle repeated, time x {factor:.2f}, path bent {side} at once"
                shop.add(source, bent, "rest", "turn_left", edit, side=side, looped=True)


def peaks(speeds: DoubleArray, least: float, apart: int = 8) -> list[int]:
    """Frames at which a speed is highest within `apart` frames on both sides, and at least `least`.

    Args:
        speeds: (F,), m/s.
        least: Lowest peak.
        apart: Frames.
    """
    found: list[int] = []
    for frame in np.flatnonzero(speeds >= least).tolist():
        around = speeds[max(frame - apart, 0) : frame + apart + 1]
        if speeds[frame] == around.max() and (not found or frame - found[-1] > apart):
            found.append(frame)
    return found


def punch_speeds(clip: Clip) -> DoubleArray:
    """Speed of the faster wrist away from its shoulder, means of three frames, (F - 1,), m/s."""
    positions = clip_joint_positions(clip)
    arms = [np.linalg.norm(positions[:, wrist] - positions[:, shoulder], axis=1) for shoulder, wrist in ARMS]
    return np.max([_mean_of_three(np.diff(reach)) for reach in arms], axis=0) * clip.fps


def kick_speeds(clip: Clip) -> DoubleArray:
    """Speeds of the left and right ankle seen from the pelvis, means of three frames, (F - 1, 2), m/s."""
    positions = clip_joint_positions(clip)
    moves = np.diff(positions[:, ANKLES] - positions[:, :1], axis=0)
    swings = np.linalg.norm(moves, axis=2) * clip.fps
    return np.stack([_mean_of_three(swings[:, foot]) for foot in range(len(ANKLES))], axis=1)


def _mean_of_three(values: DoubleArray) -> DoubleArray:
    return np.convolve(values, np.ones(3) / 3, mode="same")


def _variants(
    capture: Capture, draw: random.Random, count: int, every: int, factors: tuple[float, float]
) -> Iterator[tuple[Capture, Clip, str]]:
    """A capture as it is and mirrored, `count` times each, most at another speed, and a note with a gap.

    Args:
        capture: Which.
        draw: Of the speeds.
        count: How many of each side.
        every: So often the speed stays.
        factors: Least and largest factor on time.
    """
    for source, mirror in both_sides(capture):
        for number in range(count):
            factor = 1.0 if number % every == 0 else draw.uniform(*factors)
            clip = source.clip if factor == 1.0 else warp(source.clip, factor)
            yield source, clip, f"{mirror}, {{}}, time x {factor:.2f}"


def punches(shop: Workshop, capture: Capture) -> None:
    """Boxing in which a punch follows the other: stretches around fast ones, joined, at several speeds."""
    draw = draw_for(capture, "punch")
    for source, clip, edit in _variants(capture, draw, 12, 3, (1.05, 1.3)):
        motion, places = from_clip(clip), peaks(punch_speeds(clip), FAST_PUNCH)
        if not places:
            shop.drop(f"rest: no punch in {source.trial}")
            continue
        row = _around(motion, draw.choice(places), draw.randint(8, 24), draw.randint(9, 15))
        while row.num_frames < 190:
            follow = _around(motion, draw.choice(places), draw.randint(10, 16), draw.randint(9, 15))
            row = crossfade(row, follow, 6)
        shop.add(source, row, "rest", "boxing", edit.format("punches joined"), looped=True)


def _around(motion: LocalMotion, frame: int, before: int, after: int) -> LocalMotion:
    return motion.cut(max(frame - before, 0), min(frame + after, motion.num_frames))


def kicks(shop: Workshop, capture: Capture) -> None:
    """Kicks that begin at most two seconds before the foot is fastest."""
    draw = draw_for(capture, "kick")
    for source, clip, edit in _variants(capture, draw, 8, 2, (1.0, 1.12)):
        speeds = kick_speeds(clip)
        places = peaks(speeds.max(axis=1), FAST_KICK, 20)
        if not places:
            shop.drop(f"rest: no kick in {source.trial}")
            continue
        motion = _around(from_clip(clip), places[0], draw.randint(24, 62), clip.num_frames)
        side = ("left", "right")[int(speeds[places[0]].argmax())]
        edit = edit.format("cut before the kick")
        shop.add(source, motion, "rest", "kick_ball", edit, side=side, replant=False)


def laughs(shop: Workshop, capture: Capture) -> None:
    """Laughter at several speeds."""
    draw = draw_for(capture, "laugh")
    for source, clip, edit in _variants(capture, draw, 4, 4, (0.92, 1.15)):
        shop.add(source, from_clip(clip), "rest", "laugh", edit.format("whole"), replant=False)


def climbs(action: str, shop: Workshop, capture: Capture) -> None:
    """The way up of a climb, from shortly before the first step to the top.

    Args:
        action: "climb_ladder" or "climb_steps".
        shop: Receives the items.
        capture: A clip that begins on the floor.
    """
    draw = draw_for(capture, "climb")
    for source, clip, edit in _variants(capture, draw, 6, 2, (0.92, 1.2)):
        motion = from_clip(clip, False)
        above = motion.height - float(np.median(motion.height[:20]))
        risen = runs_of(above > CLIMBED_M, 15)
        if not risen:
            shop.drop(f"rest: no climb in {source.trial}")
            continue
        begin, top = risen[0][0], int(above.argmax())
        stop = min(top + draw.randint(10, 45), motion.num_frames)
        up = motion.cut(max(begin - draw.randint(16, 40), 0), stop)
        shop.add(source, up, "rest", action, edit.format("the way up"), replant=False, near_floor=False)


MORE: dict[str, Callable[[Workshop, Capture], None]] = {
    "walk": corners,
    "boxing": punches,
    "kick_ball": kicks,
    "laugh": laughs,
    "climb_ladder": partial(climbs, "climb_ladder"),
    "climb_steps": partial(climbs, "climb_steps"),
}
"""What is made of a training clip of an action, beside what `recipes` makes."""
