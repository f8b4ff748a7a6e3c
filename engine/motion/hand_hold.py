# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the hands of a rig on its body where those that moved lay on theirs.

A hand that touches a part of the source's body has a place there: so far along the part, so far off it. On a
rig with other proportions the same turns of the joints bring the hand elsewhere. It is led back to the same
place by the smallest turn of the arm that does so, and keeps its own turn. It is led there as far as it is
near; a hand that only passes is not led, and the way there and back is eased. After Gleicher 1998,
"Retargetting motion to new characters", and Ho et al. 2010, "Spatial relationship preserving character
motion adaptation", reduced to two hands.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from .arrays import DoubleArray, smooth_step
from .body_parts import Nearness, hand_points, nearness, part_turns, segments
from .rig_build import Build, joint_places
from .two_bones import reach

NEAR = 0.035
"""A hand this close to the body keeps its place there, metres."""

FAR = 0.075
"""A hand this far from the body is left alone, metres."""

STAYS_S = 0.12
"""A hand that is near for a shorter time passes, seconds."""

EASE_S = 0.4
"""Seconds in which a correction comes and goes."""

CALM_S = 0.2
"""Seconds over which the way to the place on the body is evened out."""

ENOUGH = 0.006
"""Differences well below this are left: arms keep their directions on a rig of like proportions, metres."""

SOFT, FULL = 0.95, 0.9995
"""Shares of an arm's length between which it stretches less and less towards a place beyond its reach."""

LEAST = 1e-6
"""Shorter ways are not worth a turn, metres."""

ROUNDS = 4
"""Hands that touch each other meet half-way; so many times."""

BLOCK = 1000
"""Frames looked at a time."""

_HINGES = np.array([[0.0, -1.0, 0.0], [0.0, 1.0, 0.0]])
"""About which the elbows of the T-pose bend."""


@dataclass(frozen=True)
class Source:
    """What moved.

    Attributes:
        places: Of the 55 joints, (F, 55, 3).
        middle: The middle of its hips, (F, 3).
        world: Turns of the joints in the world, (F, 55, 3, 3).
        sizes: What a metre of the default character is in the axes of each part of its body, (B, 3).
        fps: Frames per second.
    """

    places: DoubleArray
    middle: DoubleArray
    world: DoubleArray
    sizes: DoubleArray
    fps: float


@dataclass(frozen=True)
class Posed:
    """A rig as the turns of the joints alone pose it, and what it is to follow.

    Attributes:
        build: The rig.
        scale: Rig units per metre.
        places: Of the 55 joints, (F, 55, 3), rig units.
        middle: The middle of the hips, (F, 3).
        world: Turns of the joints of the source in the world, (F, 55, 3, 3).
    """

    build: Build
    scale: float
    places: DoubleArray
    middle: DoubleArray
    world: DoubleArray


def hold_hands(
    turns: DoubleArray, root: DoubleArray, middle: DoubleArray, source: Source, build: Build, scale: float
) -> DoubleArray:
    """Lead hands that touch the body to where they touch it on the source.

    Args:
        turns: Turns of the bones from the rest pose, seen in the rig's space, engine axes, (F, M, 3, 3).
        root: Where the first bone begins, (F, 3), engine axes, rig units.
        middle: The middle of the hips, (F, 3).
        source: What the rig follows.
        build: The rig.
        scale: Rig units per metre.

    Returns:
        The turns; those of frames with no hand near the body, and none soon, are as they were, to the bit.
    """
    near = [_near(source, side) for side in (0, 1)]
    strengths = [contact_strength(one.gap, source.fps) for one in near]
    rows = np.flatnonzero(strengths[0] + strengths[1])
    if not len(rows):
        return turns
    goals = np.zeros((2, len(turns), 3))
    places = joint_places(turns[rows], root[rows], build)
    posed = Posed(build, scale, places, middle[rows], source.world[rows])
    goals[:, rows] = _goals(posed, [one.at(rows) for one in near], [one[rows] for one in strengths])
    result = turns
    for side in (0, 1):
        ways = _evened(goals[side], strengths[side], source.fps) * strengths[side][:, None]
        some = np.flatnonzero(np.linalg.norm(ways, axis=1) > LEAST * scale)
        if not len(some):
            continue
        result = turns.copy() if result is turns else result
        places = joint_places(turns[some], root[some], build)
        more, _ = _reached(places, ways[some], source.world[some], side)
        for half, bones in enumerate(build.arms[side]):
            for bone in bones:
                result[some, bone] = more[:, half] @ turns[some, bone]
    return result


def contact_strength(gap: DoubleArray, fps: float) -> DoubleArray:
    """How much a hand belongs to the body, 0 to 1, (F,), from its distance, (F,), metres.

    Where it stays near, all of it that its nearness gives; before and after, it is eased. Passing is nothing.
    """
    near = smooth_step((FAR - gap) / (FAR - NEAR))
    stay, half = max(1, round(STAYS_S * fps / 2)), max(1, round(EASE_S * fps / 2))
    staying = _around(_around(near, stay).min(axis=1), stay).max(axis=1)
    kernel = np.hanning(2 * half + 3)[1:-1]
    around = np.pad(_around(staying, half).max(axis=1), half, mode="edge")
    eased = np.convolve(around, kernel / kernel.sum(), "valid")
    return np.where(eased > 1e-9, np.minimum(eased, 1.0), 0.0)


def _around(values: DoubleArray, half: int) -> DoubleArray:
    """Each value, (F,), among those around it, (F, 2 half + 1)."""
    return np.lib.stride_tricks.sliding_window_view(np.pad(values, half, mode="edge"), 2 * half + 1)


def _evened(goals: DoubleArray, strength: DoubleArray, fps: float) -> DoubleArray:
    """Ways, (F, 3), evened out in time; those of frames in which the hand is nearer count for more."""
    half = max(1, round(CALM_S * fps / 2))
    kernel = np.hanning(2 * half + 3)[1:-1]
    weight = strength**2
    columns = np.column_stack([goals * weight[:, None], weight])
    summed = np.stack([np.convolve(np.pad(c, half, mode="edge"), kernel, "valid") for c in columns.T], axis=1)
    return summed[:, :3] / np.maximum(summed[:, 3:], 1e-30)


def _near(source: Source, side: int) -> Nearness:
    """Where a hand of the source is in relation to its body."""
    blocks = [slice(start, start + BLOCK) for start in range(0, len(source.places), BLOCK)]
    found = [
        nearness(source.places[b], source.middle[b], source.world[b], source.sizes, side) for b in blocks
    ]
    return Nearness(*(np.concatenate([getattr(one, f.name) for one in found]) for f in fields(Nearness)))


def _goals(posed: Posed, near: list[Nearness], strengths: list[DoubleArray]) -> DoubleArray:
    """Ways of both hands to their places on the body, (2, F, 3)."""
    enough = (ENOUGH * posed.scale) ** 2
    goals = ways = np.zeros((2, *posed.middle.shape))
    moved = posed.places
    for _ in range(ROUNDS):
        ends = segments(moved, posed.middle, posed.world, posed.build.sizes)
        goals = np.stack([_goal(posed, near[side], ends, goals[side], side) for side in (0, 1)])
        size = (goals**2).sum(axis=-1, keepdims=True)
        ways = goals * size / (size + enough)
        moved = posed.places.copy()
        for side in (0, 1):
            way = ways[side] * strengths[side][:, None]
            _, arm = _reached(posed.places, way, posed.world, side)
            hand = [20 + side, *range(25 + 15 * side, 40 + 15 * side)]
            moved[:, 18 + side] = arm[0]
            moved[:, hand] += (arm[1] - posed.places[:, 20 + side])[:, None]
    return ways


def _goal(
    posed: Posed, near: Nearness, ends: tuple[DoubleArray, DoubleArray], before: DoubleArray, side: int
) -> DoubleArray:
    """The way of a hand to its place on the body, (F, 3)."""
    first, last = ends
    turned = (part_turns(posed.world) @ (near.away * posed.build.sizes)[..., None])[..., 0]
    wanted = first * near.parts[..., None] + (last - first) * near.along[..., None] + turned
    there = (near.points[..., None] * hand_points(posed.places, side)).sum(axis=1)
    return wanted.sum(axis=1) - there + (1.0 - near.parts.sum(axis=1))[:, None] * before


def _reached(
    places: DoubleArray, way: DoubleArray, world: DoubleArray, side: int
) -> tuple[DoubleArray, tuple[DoubleArray, DoubleArray]]:
    """Turns of upper arm and forearm, (F, 2, 3, 3), that take a hand along a way; its new elbow and wrist."""
    base, bend, end = (places[:, joint] for joint in (16 + side, 18 + side, 20 + side))
    hinge = world[:, 18 + side] @ _HINGES[side]
    more = reach(bend - base, end - bend, _softened(bend - base, end - bend, way), hinge)
    elbow = base + (more[:, 0] @ (bend - base)[..., None])[..., 0]
    return more, (elbow, elbow + (more[:, 1] @ (end - bend)[..., None])[..., 0])


def _softened(upper: DoubleArray, lower: DoubleArray, way: DoubleArray) -> DoubleArray:
    """From shoulder to where a hand shall be, (F, 3), brought within reach without a jerk in the elbow."""
    total = np.linalg.norm(upper, axis=1) + np.linalg.norm(lower, axis=1)
    lengths = [np.linalg.norm(one, axis=1) / total for one in (upper + lower, upper + lower + way)]
    room = FULL - SOFT
    before, after = (
        np.where(one > SOFT, SOFT + room * (1.0 - np.exp(-np.maximum(one - SOFT, 0.0) / room)), one)
        for one in lengths
    )
    share = (lengths[0] + after - before) / np.maximum(lengths[1], 1e-9)
    return (upper + lower + way) * share[:, None]
