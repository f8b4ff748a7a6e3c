# SPDX-License-Identifier: GPL-3.0-or-later
"""Channels of motion, numbers or rotations: differences, sums, and how they accelerate."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy.ndimage import gaussian_filter1d

from .arrays import DoubleArray
from .rotations import (
    axis_angle_to_quaternion,
    continuous_quaternions,
    quaternion_multiply,
    quaternion_to_axis_angle,
)

END_FRAMES = 3
"""Frames that make an end: the outermost of the stretch."""


class Kind(Protocol):
    """What a kind of channel means by difference and sum; values (..., V), differences (..., D)."""

    def between(self, start: DoubleArray, end: DoubleArray) -> DoubleArray:
        """The difference that leads from one value to another."""
        ...

    def moved(self, value: DoubleArray, difference: DoubleArray) -> DoubleArray:
        """A value with a difference added."""
        ...

    def change(self, before: DoubleArray, after: DoubleArray) -> DoubleArray:
        """How one difference becomes another within a frame."""
        ...

    def smoothed(self, values: DoubleArray, sigma: float) -> DoubleArray:
        """Values (F, K, V) averaged over time; the deviation is in frames."""
        ...


class Numbers:
    """Positions and face channels."""

    def between(self, start: DoubleArray, end: DoubleArray) -> DoubleArray:
        return end - start

    def moved(self, value: DoubleArray, difference: DoubleArray) -> DoubleArray:
        return value + difference

    def change(self, before: DoubleArray, after: DoubleArray) -> DoubleArray:
        return after - before

    def smoothed(self, values: DoubleArray, sigma: float) -> DoubleArray:
        return gaussian_filter1d(values, sigma, axis=0, mode="nearest")


class Turns:
    """Rotations as quaternions; differences are rotation vectors in the joint's own frame."""

    def between(self, start: DoubleArray, end: DoubleArray) -> DoubleArray:
        inverse = start * np.array([1.0, -1.0, -1.0, -1.0])
        return quaternion_to_axis_angle(quaternion_multiply(inverse, end))

    def moved(self, value: DoubleArray, difference: DoubleArray) -> DoubleArray:
        return quaternion_multiply(value, axis_angle_to_quaternion(difference))

    def change(self, before: DoubleArray, after: DoubleArray) -> DoubleArray:
        """Near half a turn the same rotation may be written the other way round; take the nearer one."""
        length = np.linalg.norm(before, axis=-1, keepdims=True)
        other = before * (1.0 - 2.0 * np.pi / np.maximum(length, 1e-9))
        step, other_step = after - before, after - other
        nearer = np.linalg.norm(other_step, axis=-1) < np.linalg.norm(step, axis=-1)
        return np.where(nearer[..., None], other_step, step)

    def smoothed(self, values: DoubleArray, sigma: float) -> DoubleArray:
        mean = gaussian_filter1d(continuous_quaternions(values), sigma, axis=0, mode="nearest")
        return mean / np.maximum(np.linalg.norm(mean, axis=-1, keepdims=True), 1e-9)


def accelerations(values: DoubleArray, kind: Kind) -> DoubleArray:
    """Change of velocity from frame to frame, (F - 2, K), of values (F, K, V)."""
    velocity = kind.between(values[:-1], values[1:])
    return np.linalg.norm(np.diff(velocity, axis=0), axis=-1)


def standing_out(change: DoubleArray, end: int, sign: int, reach: int, gentle: float) -> DoubleArray:
    """How much more channels accelerate at an end of a stretch than around it, (K,).

    Args:
        change: Accelerations, (A, K).
        end: Place of the stretch's outermost frame in them.
        sign: 1 where the stretch lies after that frame, -1 where it lies before.
        reach: Frames on each side that are around it.
        gentle: Acceleration that is as good as none.
    """
    rows = np.arange(len(change))
    into = (rows - end) * sign
    is_end = (into >= 0) & (into < END_FRAMES)
    around = (np.abs(rows - end) <= reach) & ~is_end
    if not is_end.any() or not around.any():
        return np.zeros(change.shape[1])
    return change[is_end].max(axis=0) / np.maximum(change[around].max(axis=0), gentle)


def peak_acceleration(values: DoubleArray, kind: Kind) -> DoubleArray:
    """Largest of the accelerations per channel, (K,)."""
    return accelerations(values, kind).max(axis=0)
