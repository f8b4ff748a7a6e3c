# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes jerks out of the ends of a stretch of new motion in kept motion, by least squares."""

from __future__ import annotations

import numpy as np

from .arrays import DoubleArray
from .channels import Kind, accelerations, standing_out

EASED_BLENDS = 2
"""Blend lengths at each end in which jerks are eased."""

EASE = 0.047
"""Weight of an acceleration beside that of a frame's move, by the square of the eased frames. In gaps of 2 s
in captured walks, filled, 1.9 % of the frames at their ends accelerated more than the clip's 99th percentile
(8.8 % with nothing eased); 1.2 % did in the clip itself."""

AGREED = 1e-4
"""Motions that differ by less than this at an end agree there; radians, metres or face values."""

ALLOWED_STANDING = 1.1
"""How much more an end may accelerate than what is around it for the sake of less acceleration in all."""


def eased(
    values: DoubleArray,
    kept: DoubleArray,
    made: DoubleArray,
    first: int,
    blend_frames: int,
    kind: Kind,
    gentle: float,
    reach: int,
) -> DoubleArray:
    """Take the jerks out of joined channels near the ends of a stretch, where kept and new motion differ.

    The frames near an end move a little, the nearer to it the more freely, so that the squares of the
    accelerations become least; the kept motion's frames outside have their say in them.

    Args:
        values: Joined channels, (last - first + 1, K, V).
        kept: Values of the kept motion, (F, K, V).
        made: Values of the new motion, (F, K, V).
        first: First frame of the stretch.
        blend_frames: Wanted blend length.
        kind: What difference means.
        gentle: Acceleration per frame^2 that is as good as none.
        reach: Frames on each side of an end with which it is compared.

    Returns:
        (last - first + 1, K, V); a channel that would accelerate more, or whose end would stand out more from
        what is around it, is as it was.
    """
    span = len(values) - 1
    last = first + span
    length = min(EASED_BLENDS * blend_frames, span // 2 - 1)
    for at_end in (False, True):
        outside = kept[last + 1 : last + 2] if at_end else kept[max(first - 1, 0) : first]
        if length < 1 or not len(outside):
            continue
        frames = (last, last + 1) if at_end else (first - 1, first)
        apart = [kind.between(made[frame], kept[frame]) for frame in frames]
        differ = np.maximum(*(np.linalg.norm(d, axis=-1) for d in apart)) > AGREED
        inward = np.concatenate([outside, values[::-1] if at_end else values])[: length + 4]
        moved = kind.moved(inward[2:-2], _easing(inward, length, kind))
        new = values.copy()
        new[slice(-2, -2 - length, -1) if at_end else slice(1, 1 + length)] = moved
        lead = min(first, reach)
        before, after = kept[first - lead : first], kept[last + 1 : last + 1 + reach]
        changes = [accelerations(np.concatenate([before, v, after]), kind) for v in (values, new)]
        place, sign = (lead + span - 1, -1) if at_end else (lead - 1, 1)
        low, high = (place - length - 1, place + 2) if at_end else (place - 1, place + length + 2)
        zone = slice(max(low, 0), high)
        peaks = [change[zone].max(axis=0) for change in changes]
        standing = [standing_out(change, place, sign, reach, gentle) for change in changes]
        better = differ & (peaks[1] < peaks[0]) & (standing[1] <= np.maximum(standing[0], ALLOWED_STANDING))
        values = np.where(better[:, None], new, values)
    return values


def _easing(inward: DoubleArray, length: int, kind: Kind) -> DoubleArray:
    """Moves of the frames behind an end that make accelerations least, (length, K, D).

    Args:
        inward: Two frames that stay, the frames that move, two more that stay, (length + 4, K, V).
        length: Frames that move.
        kind: What difference means.
    """
    velocity = kind.between(inward[:-1], inward[1:])
    acceleration = np.diff(velocity, axis=0)  # of all frames but the outer two, (length + 2, K, D)
    size = (length + 2, length)
    second = np.eye(*size) - 2.0 * np.eye(*size, k=-1) + np.eye(*size, k=-2)
    weight = (EASE * (length + 1) ** 2) ** 2 * second.T
    free = np.diag((np.arange(1, length + 1) / length) ** 2)
    known = weight @ acceleration.reshape(length + 2, -1)
    return -np.linalg.solve(weight @ second + free, known).reshape(length, *acceleration.shape[1:])
