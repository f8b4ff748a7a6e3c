# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotation formats, one definition for NumPy arrays and torch tensors.

Formats: axis-angle (..., 3) in radians; matrix (..., 3, 3) applied to column vectors; 6D (..., 6), the first
two ROWS of the matrix, row-major (Zhou et al. 2019, in the row form of PyTorch3D that the published
tokenizers use); quaternion (..., 4), w first. Functions keep the kind, dtype and device of their input, and
their gradients are finite everywhere. torch is never imported here: a tensor argument means that it is
loaded already.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

ArrayT = TypeVar("ArrayT", "npt.NDArray[Any]", "torch.Tensor")
"""A NumPy array or a torch tensor."""


def array_module(array: Any) -> Any:
    """Return the module (numpy or torch) that works on `array`."""
    return np if isinstance(array, np.ndarray | np.generic) else sys.modules["torch"]


def _length(xp: Any, vector: Any, smallest: float) -> Any:
    """Length over the last axis, kept, at least `smallest`; its gradient at zero is zero."""
    return xp.sqrt(xp.clip((vector * vector).sum(-1)[..., None], smallest * smallest, None))


def cross(a: ArrayT, b: ArrayT) -> ArrayT:
    """Cross product over the last axis, (..., 3)."""
    xp = array_module(a)
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    return xp.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)


def normalise(vector: ArrayT) -> ArrayT:
    """Unit vectors over the last axis; the zero vector stays zero (as torch's `normalize`, eps 1e-12)."""
    return vector / _length(array_module(vector), vector, 1e-12)


def axis_angle_to_quaternion(axis_angle: ArrayT) -> ArrayT:
    """Turn axis-angle (..., 3) into unit quaternions (..., 4)."""
    xp: Any = array_module(axis_angle)
    squared = (axis_angle * axis_angle).sum(-1)[..., None]
    small = squared < 1e-6
    angle = xp.sqrt(xp.where(small, xp.ones_like(squared), squared))
    # sin(a / 2) / a, by its series near zero
    scale = xp.where(small, 0.5 - squared / 48.0, xp.sin(angle * 0.5) / angle)
    real = xp.where(small, 1.0 - squared / 8.0, xp.cos(angle * 0.5))
    return xp.concatenate([real, axis_angle * scale], -1)


def quaternion_to_axis_angle(quaternion: ArrayT) -> ArrayT:
    """Turn quaternions (..., 4) of any sign and length into axis-angle (..., 3), angles in [0, pi]."""
    xp: Any = array_module(quaternion)
    real, imaginary = quaternion[..., :1], quaternion[..., 1:]
    sign = xp.where(real < 0, -xp.ones_like(real), xp.ones_like(real))
    real, imaginary = real * sign, imaginary * sign
    sine = _length(xp, imaginary, 1e-7)
    angle = 2.0 * xp.arctan2(sine, real)
    small = sine < 2e-7
    scale = xp.where(small, 2.0 / xp.clip(real, 1e-7, None), angle / sine)
    return imaginary * scale


def quaternion_to_matrix(quaternion: ArrayT) -> ArrayT:
    """Turn quaternions (..., 4), of any non-zero length, into matrices (..., 3, 3)."""
    xp: Any = array_module(quaternion)
    w, x, y, z = (quaternion[..., i] for i in range(4))
    two = 2.0 / (quaternion * quaternion).sum(-1)
    entries = [
        1 - two * (y * y + z * z), two * (x * y - z * w), two * (x * z + y * w),
        two * (x * y + z * w), 1 - two * (x * x + z * z), two * (y * z - x * w),
        two * (x * z - y * w), two * (y * z + x * w), 1 - two * (x * x + y * y),
    ]  # fmt: skip
    return xp.stack(entries, -1).reshape((*quaternion.shape[:-1], 3, 3))


def matrix_to_quaternion(matrix: ArrayT) -> ArrayT:
    """Turn matrices (..., 3, 3) into unit quaternions (..., 4) with w >= 0.

    Of the four ways to divide, the one with the largest divisor is taken (Shepperd 1978), so the result is
    accurate at every angle. The zero matrix, which is what a zero 6D vector becomes, is no rotation; it gives
    (0.5, 0.5, 0.5, 0.5) as in the published code, whose training data contain it.
    """
    xp: Any = array_module(matrix)
    m00, m11, m22 = matrix[..., 0, 0], matrix[..., 1, 1], matrix[..., 2, 2]
    a, b, c = (
        matrix[..., 2, 1] - matrix[..., 1, 2],
        matrix[..., 0, 2] - matrix[..., 2, 0],
        matrix[..., 1, 0] - matrix[..., 0, 1],
    )
    d, e, f = (
        matrix[..., 1, 0] + matrix[..., 0, 1],
        matrix[..., 0, 2] + matrix[..., 2, 0],
        matrix[..., 2, 1] + matrix[..., 1, 2],
    )
    fours = xp.stack([1 + m00 + m11 + m22, 1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22], -1)
    rows = xp.stack(
        [
            xp.stack([fours[..., 0], a, b, c], -1),
            xp.stack([a, fours[..., 1], d, e], -1),
            xp.stack([b, d, fours[..., 2], f], -1),
            xp.stack([c, e, f, fours[..., 3]], -1),
        ],
        -2,
    )
    best = fours.argmax(-1)[..., None]
    chosen = xp.zeros_like(fours[..., :1])
    for index in range(4):
        chosen = xp.where(best == index, rows[..., index, :], chosen)
    degenerate = (xp.abs(matrix).sum(-1).sum(-1) < 1e-8)[..., None]
    chosen = xp.where(degenerate, xp.ones_like(chosen), chosen)
    quaternion = normalise(chosen)
    return xp.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def axis_angle_to_matrix(axis_angle: ArrayT) -> ArrayT:
    """Turn axis-angle (..., 3) into matrices (..., 3, 3)."""
    return quaternion_to_matrix(axis_angle_to_quaternion(axis_angle))


def matrix_to_axis_angle(matrix: ArrayT) -> ArrayT:
    """Turn matrices (..., 3, 3) into axis-angle (..., 3), angles in [0, pi]."""
    return quaternion_to_axis_angle(matrix_to_quaternion(matrix))


def matrix_to_rotation_6d(matrix: ArrayT) -> ArrayT:
    """Take the first two rows of matrices (..., 3, 3) as (..., 6)."""
    return matrix[..., :2, :].reshape((*matrix.shape[:-2], 6))


def rotation_6d_to_matrix(rotation_6d: ArrayT) -> ArrayT:
    """Turn 6D (..., 6) into matrices (..., 3, 3) by Gram-Schmidt; zero gives the zero matrix."""
    xp: Any = array_module(rotation_6d)
    first, second = rotation_6d[..., :3], rotation_6d[..., 3:]
    row0 = normalise(first)
    row1 = normalise(second - (row0 * second).sum(-1)[..., None] * row0)
    return xp.stack([row0, row1, cross(row0, row1)], -2)


def axis_angle_to_rotation_6d(axis_angle: ArrayT) -> ArrayT:
    """Turn axis-angle (..., 3) into 6D (..., 6)."""
    return matrix_to_rotation_6d(axis_angle_to_matrix(axis_angle))


def rotation_6d_to_axis_angle(rotation_6d: ArrayT) -> ArrayT:
    """Turn 6D (..., 6) into axis-angle (..., 3), angles in [0, pi]."""
    return matrix_to_axis_angle(rotation_6d_to_matrix(rotation_6d))


def quaternion_multiply(a: ArrayT, b: ArrayT) -> ArrayT:
    """Hamilton product of quaternions (..., 4): the rotation `b` followed by `a`."""
    xp: Any = array_module(a)
    aw, ax, ay, az = (a[..., i] for i in range(4))
    bw, bx, by, bz = (b[..., i] for i in range(4))
    return xp.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        -1,
    )


def continuous_quaternions(
    quaternions: npt.NDArray[Any], previous: npt.NDArray[Any] | None = None
) -> npt.NDArray[Any]:
    """Choose signs so that neighbouring quaternions lie on the same side; interpolation then takes the short
    way.

    Args:
        quaternions: (F, ..., 4).
        previous: Quaternion before the first one, (..., 4).
    """
    dots = np.sum(quaternions[1:] * quaternions[:-1], axis=-1)
    signs = np.cumprod(
        np.concatenate([np.ones_like(quaternions[:1, ..., 0]), np.where(dots < 0, -1.0, 1.0)]), axis=0
    )
    if previous is not None:
        signs = signs * np.where(np.sum(quaternions[0] * previous, axis=-1) < 0, -1.0, 1.0)
    return quaternions * signs[..., None]


def slerp(start: ArrayT, end: ArrayT, fraction: Any) -> ArrayT:
    """Turn at constant speed along the shorter way from one unit quaternion to another.

    Args:
        start: Quaternions at fraction 0, (..., 4).
        end: Quaternions at fraction 1, (..., 4).
        fraction: A number, or an array that broadcasts against (...).

    Returns:
        Unit quaternions, (..., 4), of the sign of `start`.
    """
    xp: Any = array_module(start)
    dot: Any = (start * end).sum(-1)[..., None]
    end = xp.where(dot < 0, -end, end)
    share = xp.ones_like(dot) * (fraction if isinstance(fraction, float | int) else fraction[..., None])
    # The angle from the chord lengths stays accurate for small and large angles alike (Kahan).
    angle = 2.0 * xp.arctan2(_length(xp, end - start, 1e-12), _length(xp, end + start, 1e-12))
    small = angle < 1e-4
    sine = xp.sin(xp.where(small, xp.ones_like(angle), angle))
    weight0 = xp.where(small, 1.0 - share, xp.sin((1.0 - share) * angle) / sine)
    weight1 = xp.where(small, share, xp.sin(share * angle) / sine)
    return normalise(start * weight0 + end * weight1)


def geodesic_angle(a: ArrayT, b: ArrayT) -> ArrayT:
    """Angle of the rotation between two matrices (..., 3, 3), radians in [0, pi], (...).

    From sine and cosine together, hence accurate near 0 and pi, where the arc cosine of the trace is not.
    """
    xp: Any = array_module(a)
    relative = a @ xp.swapaxes(b, -1, -2)
    twice_sine = xp.stack(
        [
            relative[..., 2, 1] - relative[..., 1, 2],
            relative[..., 0, 2] - relative[..., 2, 0],
            relative[..., 1, 0] - relative[..., 0, 1],
        ],
        -1,
    )
    trace = relative[..., 0, 0] + relative[..., 1, 1] + relative[..., 2, 2]
    return xp.arctan2(_length(xp, twice_sine, 1e-12)[..., 0], trace - 1.0)


def yaw_matrix(angle: ArrayT) -> ArrayT:
    """Rotation about the Y axis that turns +Z to (sin angle, 0, cos angle), (..., 3, 3), from radians."""
    xp: Any = array_module(angle)
    sine, cosine = xp.sin(angle), xp.cos(angle)
    zero, one = xp.zeros_like(sine), xp.ones_like(sine)
    entries = [cosine, zero, sine, zero, one, zero, -sine, zero, cosine]
    return xp.stack(entries, -1).reshape((*angle.shape, 3, 3))


def heading_angle(matrix: ArrayT) -> ArrayT:
    """Yaw of matrices (..., 3, 3): their +Z column points along (sin yaw, cos yaw), radians (...)."""
    xp: Any = array_module(matrix)
    return xp.arctan2(matrix[..., 0, 2], matrix[..., 2, 2])


def smallest_turn(start: ArrayT, end: ArrayT) -> ArrayT:
    """The smallest rotation, (..., 3, 3), that lays directions (..., 3) of any length along others."""
    start, end = normalise(start), normalise(end)
    xp: Any = array_module(start)
    axis = cross(start, end)
    length = _length(xp, axis, 1e-12)
    angle = xp.arctan2(length, (start * end).sum(-1)[..., None])
    return axis_angle_to_matrix(axis / length * angle)
