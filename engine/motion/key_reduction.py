# SPDX-License-Identifier: GPL-3.0-or-later
"""Fewer keys for the same curves: cubic segments that stay within a stated distance of every frame.

Keys are frames of the given motion with its own slopes there, so a segment is the cubic Hermite curve between
two frames; as a Bezier segment its handles lie at thirds of the way. Where a segment misses a frame by too
much, it is cut at the frame it misses most, as Douglas and Peucker (1973) thin out lines.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .arrays import DoubleArray, IntArray

Distance = Callable[[DoubleArray, DoubleArray], DoubleArray]
"""How far rows (N, C) lie from the rows they stand for, (N,)."""


def slopes_of(values: DoubleArray) -> DoubleArray:
    """Slope of each curve at every frame, per frame, (F, C) from (F, C)."""
    return np.gradient(values, axis=0) if len(values) > 1 else np.zeros_like(values)


def reduce_keys(values: DoubleArray, tolerance: float, distance: Distance) -> IntArray:
    """Choose frames whose values and slopes give all the others.

    Args:
        values: Curves that share their keys, one row per frame, (F, C).
        tolerance: Furthest that any frame may be off, in what `distance` measures.
        distance: Measures how far rows are off.

    Returns:
        Rows of the keys, ascending, with the first and the last one, (K,).
    """
    slopes = slopes_of(values)
    keys = {0, len(values) - 1}
    open_spans = [(0, len(values) - 1)]
    while open_spans:
        start, end = open_spans.pop()
        if end - start < 2:
            continue
        wrong = distance(hermite(values, slopes, start, end), values[start + 1 : end])
        worst = int(np.argmax(wrong))
        if wrong[worst] > tolerance:
            cut = start + 1 + worst
            keys.add(cut)
            open_spans += [(start, cut), (cut, end)]
    return np.array(sorted(keys), dtype=np.int64)


def hermite(values: DoubleArray, slopes: DoubleArray, start: int, end: int) -> DoubleArray:
    """Frames between two keys, those not included, (end - start - 1, C)."""
    span = end - start
    t = (np.arange(1, span) / span)[:, None]
    first = (1.0 + 2.0 * t) * (1.0 - t) ** 2 * values[start] + t * (1.0 - t) ** 2 * span * slopes[start]
    return first + t**2 * (3.0 - 2.0 * t) * values[end] - t**2 * (1.0 - t) * span * slopes[end]


def quaternion_distance(found: DoubleArray, wanted: DoubleArray) -> DoubleArray:
    """Angle between rotations given as quaternions of any length, (N,) radians from (N, 4)."""
    dot = np.abs((found * wanted).sum(axis=-1))
    size = np.linalg.norm(found, axis=-1) * np.linalg.norm(wanted, axis=-1)
    chord = np.sqrt(np.maximum(size**2 - dot**2, 0.0))
    return 2.0 * np.arctan2(chord, dot)


def euler_distance(found: DoubleArray, wanted: DoubleArray) -> DoubleArray:
    """Most that rotations given as Euler angles can differ by, (N,) radians from (N, 3)."""
    return np.abs(found - wanted).sum(axis=-1)


def place_distance(found: DoubleArray, wanted: DoubleArray) -> DoubleArray:
    """Straight distance, (N,) from (N, C)."""
    return np.linalg.norm(found - wanted, axis=-1)
