# SPDX-License-Identifier: GPL-3.0-or-later
"""Where hands are near the body: the body as rounded parts, and each hand's place in relation to them.

A part is a segment with an ellipse about it, measured on the default character's mesh. A hand is a few
points: wrist, palm, knuckles and fingertips. What counts is how far a point is from a part's surface.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import DoubleArray, IntArray
from .skeleton import JOINT_NAMES

BLUR = 0.015
"""Parts that are this much farther away than the nearest one count for about a third as much, metres."""

BEYOND = 10.0
"""Stands for a distance that does not count, metres."""

FLESH = 0.012
"""From a point inside the hand to its skin, metres."""

MIDDLE = -1
"""Stands for the middle of the hips in a table of joints; the pelvis joint lies differently in every rig."""

_JOINTS = {name: joint for joint, name in enumerate(JOINT_NAMES)}


@dataclass(frozen=True)
class BodyPart:
    """One part that a hand can touch.

    Attributes:
        name: What it is.
        frame: Joint that it turns with.
        start: Joint where its segment begins, `MIDDLE` for the middle of the hips.
        end: Joint where it ends; the same one in a part with offsets.
        offsets: From both joints to the ends of the segment, in the T-pose, metres.
        radii: Half its width and half its depth at both ends, metres.
        side: The arm that it belongs to, 0 for left; -1 for none.
    """

    name: str
    frame: int
    start: int
    end: int
    offsets: tuple[tuple[float, float, float], tuple[float, float, float]]
    radii: tuple[tuple[float, float], tuple[float, float]]
    side: int = -1


_NONE = (0.0, 0.0, 0.0)


def _limb(name: str, end: str, radii: tuple[float, float], side: int = -1) -> BodyPart:
    """A round part from one joint to another."""
    ends = ((radii[0], radii[0]), (radii[1], radii[1]))
    return BodyPart(name, _JOINTS[name], _JOINTS[name], _JOINTS[end], (_NONE, _NONE), ends, side)


def _parts() -> tuple[BodyPart, ...]:
    """The body, from bottom to top, then the arms."""
    belly, chest, head = _JOINTS["spine2"], _JOINTS["spine3"], _JOINTS["head"]
    found = [
        BodyPart(
            "hips", 0, MIDDLE, MIDDLE, ((0, -0.04, 0.015), (0, 0.1, 0.02)), ((0.18, 0.12), (0.165, 0.12))
        ),
        BodyPart(
            "belly", belly, belly, belly, ((0, -0.13, 0.057), (0, 0.03, 0.06)), ((0.15, 0.108), (0.155, 0.11))
        ),
        BodyPart(
            "chest", chest, chest, chest, ((0, -0.06, 0.06), (0, 0.08, 0.045)), ((0.17, 0.117), (0.175, 0.11))
        ),
        _limb("neck", "head", (0.06, 0.055)),
        BodyPart(
            "head", head, head, head, ((0, -0.01, 0.005), (0, 0.09, 0.002)), ((0.075, 0.1), (0.08, 0.1))
        ),
    ]
    for number, side in enumerate(("left", "right")):
        found += [
            _limb(f"{side}_hip", f"{side}_knee", (0.098, 0.068)),
            _limb(f"{side}_knee", f"{side}_ankle", (0.062, 0.042)),
            _limb(f"{side}_shoulder", f"{side}_elbow", (0.06, 0.05), number),
            _limb(f"{side}_elbow", f"{side}_wrist", (0.048, 0.03), number),
            _limb(f"{side}_wrist", f"{side}_middle3", (0.028, 0.012), number),
        ]
    return tuple(found)


BODY = _parts()
"""All parts."""

_HAND_POINTS = (
    ("wrist", "wrist", 0.0), ("wrist", "middle1", 0.5), ("wrist", "middle1", 1.0), ("wrist", "pinky1", 1.0),
    ("thumb2", "thumb3", 1.8), ("index2", "index3", 1.8), ("middle2", "middle3", 1.8),
    ("pinky2", "pinky3", 1.8),
)  # fmt: skip
"""Points of a hand: so far on the way from one joint to another, beyond it for fingertips."""


@dataclass(frozen=True)
class Nearness:
    """Where a hand is in relation to the body; P points of the hand, B parts of the body.

    Each point has its place beside each part: so far along the part's segment and so far away from it. The
    nearer a point is, the more it counts, altogether 1. Sums over the points are kept, as what follows from
    them is a sum. The other arm counts half, as its hand comes as far to meet this one.

    Attributes:
        gap: How far the hand is from the body, metres, (F,).
        points: How much each point counts, (F, P).
        parts: How much each part counts, (F, B).
        along: The same times the share of its segment at which the points lie, (F, B).
        away: The same times the way from there to the points, in the part's own axes, metres, (F, B, 3).
    """

    gap: DoubleArray
    points: DoubleArray
    parts: DoubleArray
    along: DoubleArray
    away: DoubleArray

    def at(self, rows: IntArray) -> Nearness:
        """Some frames of it."""
        return Nearness(
            self.gap[rows], self.points[rows], self.parts[rows], self.along[rows], self.away[rows]
        )


def hand_points(places: DoubleArray, side: int) -> DoubleArray:
    """Points of a hand, (F, P, 3), from the places of all joints, (F, 55, 3)."""
    name = ("left", "right")[side]
    starts = places[:, [_JOINTS[f"{name}_{start}"] for start, _, _ in _HAND_POINTS]]
    ends = places[:, [_JOINTS[f"{name}_{end}"] for _, end, _ in _HAND_POINTS]]
    share = np.array([share for _, _, share in _HAND_POINTS])
    return starts + (ends - starts) * share[:, None]


def segments(
    places: DoubleArray, middle: DoubleArray, world: DoubleArray, sizes: DoubleArray
) -> tuple[DoubleArray, DoubleArray]:
    """Both ends of every part's segment, (F, B, 3) each.

    Args:
        places: Of all joints, (F, 55, 3).
        middle: Of the hips, (F, 3).
        world: Turns of all joints in the world, (F, 55, 3, 3).
        sizes: What a metre of the default character is in each part's own axes, (B, 3).
    """
    both = np.concatenate([places, middle[:, None]], axis=1)
    turns = world[:, _FRAMES]
    offsets = (_OFFSETS * sizes[:, None])[..., None]  # (B, 2, 3, 1)
    first = both[:, _STARTS] + (turns @ offsets[:, 0])[..., 0]
    last = both[:, _ENDS] + (turns @ offsets[:, 1])[..., 0]
    return first, last


def part_turns(world: DoubleArray) -> DoubleArray:
    """Turns of the parts, (F, B, 3, 3), from those of all joints."""
    return world[:, _FRAMES]


def nearness(
    places: DoubleArray, middle: DoubleArray, world: DoubleArray, sizes: DoubleArray, side: int
) -> Nearness:
    """Find out where a hand is in relation to the body, in the default character's measure.

    Args:
        places: Of all joints, (F, 55, 3).
        middle: Of the hips, (F, 3).
        world: Turns of all joints in the world, (F, 55, 3, 3).
        sizes: What a metre of the default character is in each part's own axes, (B, 3).
        side: 0 for the left hand.
    """
    first, last = segments(places, middle, world, sizes)
    turns = part_turns(world)
    points = (hand_points(places, side)[:, None] - first[:, :, None]) @ turns  # (F, B, P, 3)
    along = (last - first)[:, :, None] @ turns  # (F, B, 1, 3)
    length = np.maximum((along**2).sum(-1), 1e-12)
    shares = np.clip((points @ np.swapaxes(along, -1, -2))[..., 0] / length, 0.0, 1.0)
    away = (points - along * shares[..., None]) / sizes[:, None]
    gaps = _gaps(away, shares)
    gaps[:, np.equal(_SIDES, side)] = BEYOND
    pull = np.exp((gaps.min(axis=(1, 2), keepdims=True) - gaps) / BLUR)
    pull /= pull.sum(axis=(1, 2), keepdims=True)
    gap = (pull * gaps).sum(axis=(1, 2))
    pull[:, np.equal(_SIDES, 1 - side)] *= 0.5
    moved = (pull[:, :, None] @ away)[:, :, 0]
    return Nearness(gap, pull.sum(axis=1), pull.sum(axis=2), (pull * shares).sum(axis=2), moved)


def _gaps(away: DoubleArray, shares: DoubleArray) -> DoubleArray:
    """How far points are from the surfaces of the parts, along the way to the segment, (F, B, P)."""
    radii = _RADII[:, :1] + (_RADII[:, 1:] - _RADII[:, :1]) * shares[..., None]  # (F, B, P, 2)
    axes = np.concatenate([radii[..., :1], radii.min(axis=-1, keepdims=True), radii[..., 1:]], axis=-1)
    length = np.sqrt(np.maximum((away**2).sum(-1), 1e-18))
    outward = np.sqrt(np.maximum(((away / axes) ** 2).sum(-1), 1e-18))
    return length - length / outward - FLESH


_FRAMES = np.array([part.frame for part in BODY])
_STARTS = np.array([part.start for part in BODY])
_ENDS = np.array([part.end for part in BODY])
_SIDES = np.array([part.side for part in BODY])
_OFFSETS: DoubleArray = np.array([part.offsets for part in BODY], dtype=np.float64)
_RADII: DoubleArray = np.array([part.radii for part in BODY], dtype=np.float64)
