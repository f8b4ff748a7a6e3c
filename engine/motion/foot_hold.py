# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds the standing feet of a rig whose legs are built otherwise than those that moved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import BoolArray, DoubleArray
from .two_bones import reach

STANDING_SPEED = 0.25
"""An ankle slower than this stands, m/s."""

STANDING_RISE = 0.06
"""An ankle this far above its lowest place does not stand, however slow, metres."""

EASE_S = 0.2
"""Seconds in which a correction comes and goes."""


@dataclass(frozen=True)
class Leg:
    """One leg of a rig.

    Attributes:
        hip: Where it begins, from the middle of the hips, at rest, (3,), engine axes, rig units.
        thigh: Length from hip to knee.
        shin: Length from knee to ankle.
        rest_thigh: Direction to the knee in the T-pose, (3,).
        rest_shin: Direction to the ankle in the T-pose, (3,).
        to_knee: Direction to the knee in the rig's own rest pose, (3,).
        to_ankle: Direction to the ankle in the rig's own rest pose, (3,).
        ankle_height: How much higher the ankle is at rest than that of the source, scaled, when it stands.
    """

    hip: DoubleArray
    thigh: float
    shin: float
    rest_thigh: DoubleArray
    rest_shin: DoubleArray
    to_knee: DoubleArray
    to_ankle: DoubleArray
    ankle_height: float


def hold_feet(
    turns: DoubleArray, hips: DoubleArray, leg: Leg, source: DoubleArray, scale: float, fps: float
) -> DoubleArray:
    """Turn a leg so that its ankle stands still while the source's does, as high over the floor.

    Args:
        turns: Turns of thigh and shin from the rest pose, (F, 2, 3, 3).
        hips: Where the leg begins, (F, 3), rig units.
        leg: Its measures.
        source: The ankle that it follows, (F, 3), metres.
        scale: Rig units per metre.
        fps: Frames per second.

    Returns:
        Corrected turns, (F, 2, 3, 3).
    """
    thighs = turns[:, 0] @ (leg.to_knee * leg.thigh)
    shins = turns[:, 1] @ (leg.to_ankle * leg.shin)
    ankles = hips + thighs + shins
    correction = _corrections(ankles - source * scale, source, leg.ankle_height, fps)
    if not correction.any():
        return turns
    sideways = turns[:, 1] @ np.array([1.0, 0.0, 0.0])
    return reach(thighs, shins, thighs + shins + correction, sideways) @ turns


def standing_stretches(ankle: DoubleArray, fps: float) -> list[tuple[int, int]]:
    """Frames, the last included, in which an ankle (F, 3) stands."""
    speed = np.zeros(len(ankle))
    if len(ankle) > 1:
        step = np.linalg.norm(np.diff(ankle, axis=0), axis=1) * fps
        speed[:-1], speed[-1] = step, step[-1]
    low = ankle[:, 1] < ankle[:, 1].min() + STANDING_RISE
    still: BoolArray = (speed < STANDING_SPEED) & low
    edges = np.flatnonzero(np.diff(np.concatenate([[False], still, [False]]).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= 2]


def _corrections(offsets: DoubleArray, source: DoubleArray, height: float, fps: float) -> DoubleArray:
    """How far an ankle must be moved, (F, 3), to keep its offset from the source's steady while that stands.

    The way out of one stretch and into the next is eased; where they follow closely, it leads from one to the
    other.
    """
    weight, total = np.zeros(len(offsets)), np.zeros_like(offsets)
    ease = max(1, round(EASE_S * fps))
    frames = np.arange(len(offsets))
    for first, last in standing_stretches(source, fps):
        steady = offsets[first : last + 1].mean(axis=0)
        steady[1] = height
        away = np.maximum(np.maximum(first - frames, frames - last), 0) / (ease + 1)
        share = np.clip(1.0 - away, 0.0, 1.0)
        share = share**2 * (3.0 - 2.0 * share)
        share[first : last + 1] = 1e6
        weight += share
        total += share[:, None] * (steady - offsets)
    strength = np.minimum(weight, 1.0)
    return total / np.maximum(weight, 1e-12)[:, None] * strength[:, None]
