# SPDX-License-Identifier: GPL-3.0-or-later
"""Fingers: hand shapes that change with the gesture's phases, no two fingers quite alike.

In SMPL-X's T-pose the left palm faces down and the fingers point along +X: they curl about -Z; the thumb lies
towards +Z. The end joint of a finger bends with about two thirds of the middle one's angle (Rijpkema and
Girard 1991).
"""

from __future__ import annotations

import numpy as np

from ...motion.arrays import FloatArray
from ...motion.rotations import axis_angle_to_rotation_6d
from .curves import Array, drift, frame_times, keyed
from .gestures import SHAPE_SIZE
from .plan import Plan, arm_arrays

FINGER_LAG_S = 0.06
"""How far finger shapes trail the arm."""

_ORDER = (0, 1, 3, 2)  # SMPL-X has the pinky before the ring finger; shapes run index, middle, ring, pinky
_SPREAD = (1.0, 0.25, -0.45, -1.15)
_THUMB_FLEXION = np.array([0.55, 0.45, -0.55]) / np.linalg.norm([0.55, 0.45, -0.55])


def perform_hands(plan: Plan, rng: np.random.Generator) -> FloatArray:
    """Animate the 30 finger joints.

    Args:
        plan: Who does what when.
        rng: Source of chance.

    Returns:
        Rotations in 6D, left hand first, (F, 180), float32.
    """
    times = frame_times(plan.prosody.num_frames)
    sides: list[Array] = []
    for side in (0, 1):
        key_times, _, shapes = arm_arrays(plan.arms[side])
        shape = np.empty((times.shape[0], SHAPE_SIZE))
        order = (3, 3, 2, 2, 1, 1, 0, 0, 0, 0, 0, 0)  # the little finger leads, the index trails
        for lag in range(4):
            columns = [c for c in range(SHAPE_SIZE) if order[c] == 3 - lag]
            shape[:, columns] = keyed(
                key_times + FINGER_LAG_S - 0.02 + 0.015 * lag, shapes[:, columns], times
            )
        shape = shape + drift(rng, times.shape[0], SHAPE_SIZE, 1.6) * 0.035
        sides.append(finger_axis_angles(shape, mirrored=bool(side)))
    angles = np.concatenate(sides, axis=1)  # (F, 30, 3)
    return axis_angle_to_rotation_6d(angles).reshape(times.shape[0], -1).astype(np.float32)


def finger_axis_angles(shape: Array, *, mirrored: bool) -> Array:
    """Turn finger angles into joint rotations of one hand.

    Args:
        shape: Columns of `gestures.SHAPES`, (F, 12), radians.
        mirrored: Right hand instead of left.

    Returns:
        Axis-angle in SMPL-X order (index, middle, pinky, ring, thumb; three joints each), (F, 15, 3).
    """
    out = np.zeros((shape.shape[0], 15, 3))
    spread = shape[:, 8]
    for slot, finger in enumerate(_ORDER):
        knuckle = np.clip(shape[:, 2 * finger], -0.25, 1.5)
        middle = np.clip(shape[:, 2 * finger + 1], 0.0, 1.75)
        out[:, 3 * slot, 2] = -knuckle
        out[:, 3 * slot, 1] = -spread * _SPREAD[finger]
        out[:, 3 * slot + 1, 2] = -middle
        out[:, 3 * slot + 2, 2] = -0.66 * middle
    opposition, first, second = shape[:, 9], shape[:, 10], shape[:, 11]
    out[:, 12] = np.array([1.0, 0.0, 0.0]) * opposition[:, None] + _THUMB_FLEXION * (0.5 * first)[:, None]
    out[:, 13] = _THUMB_FLEXION * first[:, None]
    out[:, 14] = _THUMB_FLEXION * second[:, None]
    return out * np.array([1.0, -1.0, -1.0]) if mirrored else out
