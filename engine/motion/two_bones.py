# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns a limb of two bones, a leg or an arm, so that its end comes to a wanted place."""

from __future__ import annotations

import numpy as np

from .arrays import DoubleArray
from .rotations import axis_angle_to_matrix, smallest_turn

STRAIGHT = 0.9995
"""Longest reach of a limb as a share of its length."""


def reach(upper: DoubleArray, lower: DoubleArray, wanted: DoubleArray, hinge: DoubleArray) -> DoubleArray:
    """Turn the whole limb towards the place, then bend it in the plane it has, by the law of cosines.

    Args:
        upper: From its beginning to the joint in the middle, (F, 3).
        lower: From there to its end, (F, 3).
        wanted: From its beginning to where its end shall be, (F, 3).
        hinge: About which the joint in the middle bends where the limb is straight, (F, 3), unit vectors.

    Returns:
        Turns that both bones make on top of those they have, (F, 2, 3, 3).
    """
    lengths = np.linalg.norm(upper, axis=1), np.linalg.norm(lower, axis=1)
    way = upper + lower
    before = np.linalg.norm(way, axis=1)
    longest = np.maximum(before, STRAIGHT * (lengths[0] + lengths[1]))
    shortest = np.abs(lengths[0] - lengths[1]) * 1.001 + 1e-9
    after = np.clip(np.linalg.norm(wanted, axis=1), shortest, longest)
    whole = smallest_turn(way, wanted)
    axis = np.cross(upper, lower)
    length = np.linalg.norm(axis, axis=1, keepdims=True)
    bent = length > 1e-3 * (lengths[0] * lengths[1])[:, None]
    axis = np.where(bent, axis / np.maximum(length, 1e-12), hinge)
    axis = np.einsum("fij,fj->fi", whole, axis)
    old, new = _corners(before, *lengths), _corners(after, *lengths)
    first = axis_angle_to_matrix(axis * (old[0] - new[0])[:, None]) @ whole
    second = axis_angle_to_matrix(axis * (new[1] - old[1])[:, None]) @ whole
    return np.stack([first, second], axis=1)


def _corners(
    distance: DoubleArray, upper: DoubleArray, lower: DoubleArray
) -> tuple[DoubleArray, DoubleArray]:
    """Angles at both ends of the triangle that a bent limb makes, (F,) each."""
    distance = np.maximum(distance, 1e-12)
    start = (upper**2 + distance**2 - lower**2) / np.maximum(2.0 * upper * distance, 1e-12)
    end = (lower**2 + distance**2 - upper**2) / np.maximum(2.0 * lower * distance, 1e-12)
    return np.arccos(np.clip(start, -1.0, 1.0)), np.arccos(np.clip(end, -1.0, 1.0))
