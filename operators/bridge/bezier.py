# SPDX-License-Identifier: GPL-3.0-or-later
"""The Bezier between two keys of an fcurve, as Blender reads it, and exact pieces of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

DoubleArray = npt.NDArray[np.float64]

BISECTIONS = 48


def between_keys(
    start: DoubleArray, start_handle: DoubleArray, end_handle: DoubleArray, end: DoubleArray
) -> DoubleArray:
    """Control points of the curve between two keys, (4, 2): frame and value each.

    A handle longer than the segment counts as long as that (`BKE_fcurve_correct_bezpart`).
    """
    length = end[0] - start[0]
    out, back = start_handle - start, end - end_handle
    out = out * min(1.0, length / max(abs(out[0]), 1e-12))
    back = back * min(1.0, length / max(abs(back[0]), 1e-12))
    return np.stack([start, start + out, end - back, end])


def piece(points: DoubleArray, first: float, last: float) -> DoubleArray:
    """Control points of the same curve from one frame to another.

    Args:
        points: Control points, (4, 2).
        first: Frame where the piece begins.
        last: Frame where it ends.

    Returns:
        (4, 2).
    """
    low, high = share_at(points, first), share_at(points, last)
    # The polar form of the cubic: control point i of a piece has i times the end and 3 - i times the start.
    return np.stack([_polar(points, [high] * i + [low] * (3 - i)) for i in range(4)])


def share_at(points: DoubleArray, frame: float) -> float:
    """Share of the curve's way at which it passes a frame."""
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2.0
        if _polar(points, [middle] * 3)[0] < frame:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def _polar(points: DoubleArray, shares: list[float]) -> DoubleArray:
    """De Casteljau's steps, each with a share of its own."""
    for share in shares:
        points = points[:-1] * (1.0 - share) + points[1:] * share
    return points[0]
