# SPDX-License-Identifier: GPL-3.0-or-later
"""Calmer or bigger motion: what a part does around its own slow baseline is scaled, per part and per frame.

Motion is taken apart into a smooth baseline, which is the posture, and the movement about it, as motion
signal processing does with its frequency bands (Bruderlin and Williams, "Motion signal processing", 1995).
For rotations the movement is the logarithm of the turn from the baseline to the pose, so it is scaled in the
tangent space there (Lee and Shin, "General construction of time-domain filters for orientation data", 2002).
Jaw and face shapes are scaled about their rest instead: about a mean, a calm mouth would stay open. Where
the energy is exactly 1, frames come back to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ..errors import ClipError
from ..specs import Part
from .arrays import AnyFloatArray, BoolArray, DoubleArray
from .clip import Clip
from .rotations import (
    axis_angle_to_matrix,
    axis_angle_to_quaternion,
    continuous_quaternions,
    heading_angle,
    matrix_to_quaternion,
    normalise,
    quaternion_multiply,
    quaternion_to_axis_angle,
    yaw_matrix,
)
from .skeleton import JOINT_NAMES, NUM_JOINTS, PART_JOINTS

BASELINE_S = 1.0
"""Deviation of the Gaussian that makes the baseline, seconds: strokes and steps move, leaning does not."""

MAX_ENERGY = 2.0
"""Most that a movement may be scaled by."""

SWAY = 0.08
"""Metres by which a pelvis may be off its baseline and still count as swaying; further off it travels."""

TWIST = 0.35
"""The same for its heading, radians."""

FADE_FROM = 2.0
"""A joint this far from its baseline, radians, is scaled less, and not at all at half a turn."""

JAW = 22

Energy = Mapping[Part, AnyFloatArray]
"""Scale of each part's movement, (F,); 1 leaves it as it is. Parts left out have 1."""


def with_energy(clip: Clip, energy: Energy) -> Clip:
    """Scale the movement of some parts.

    Args:
        clip: The motion.
        energy: Scale per part and frame, from 0 to `MAX_ENERGY`.

    Returns:
        The clip, bit-identical in every frame of a part whose energy there is 1.

    Raises:
        ClipError: If there is not one finite value within those limits for every frame.
    """
    poses, trans, expressions = clip.poses.copy(), clip.trans.copy(), clip.expressions.copy()
    for part, values in energy.items():
        gain = np.asarray(values, dtype=np.float64)
        if gain.shape != (clip.num_frames,) or not ((gain >= 0.0) & (gain <= MAX_ENERGY)).all():
            raise ClipError(f"Energy needs one value from 0 to {MAX_ENERGY:g} per frame; set it again.")
        changed = gain != 1.0
        if not changed.any():
            continue
        joints = [joint for joint in PART_JOINTS[part] if joint]
        poses[:, joints] = _kept_where_equal(poses[:, joints], _turns(clip, joints, gain), changed)
        if part is Part.LOWER:
            root, place = _pelvis(clip, gain)
            poses[:, 0] = _kept_where_equal(poses[:, 0], root, changed)
            trans = _kept_where_equal(trans, place, changed)
        elif part is Part.FACE:
            expressions = _kept_where_equal(expressions, _face(clip, gain), changed)
    return replace(clip, poses=poses, trans=trans, expressions=expressions)


def smoothed(values: DoubleArray, seconds: float, fps: float) -> DoubleArray:
    """Values (F, ...) through a Gaussian of that deviation, mirrored at both ends."""
    return gaussian_filter1d(values, seconds * fps, axis=0, mode="mirror")


def _kept_where_equal(source: AnyFloatArray, made: DoubleArray, changed: BoolArray) -> AnyFloatArray:
    """The source with the changed frames replaced; both (F, ...), changed (F,)."""
    result = source.copy()
    result[changed] = made[changed]
    return result


def _turns(clip: Clip, joints: list[int], gain: DoubleArray) -> DoubleArray:
    """Axis-angle of joints with their movement scaled, (F, J, 3)."""
    turns = continuous_quaternions(axis_angle_to_quaternion(clip.poses[:, joints].astype(np.float64)))
    base = normalise(smoothed(turns, BASELINE_S, clip.fps))
    base[:, [place for place, joint in enumerate(joints) if joint == JAW]] = (1.0, 0.0, 0.0, 0.0)
    return _scaled(turns, base, gain, _BENDS[joints])


def _scaled(turns: DoubleArray, base: DoubleArray, gain: DoubleArray, bends: DoubleArray) -> DoubleArray:
    """Scale the turns from a baseline.

    Args:
        turns: Unit quaternions, (F, J, 4).
        base: Baseline, (F, J, 4).
        gain: (F,).
        bends: Axis about which each joint bends and must not bend backwards, or zero, (J, 3).

    Returns:
        Axis-angle, (F, J, 3).
    """
    inverse = base * np.array([1.0, -1.0, -1.0, -1.0])
    moved = quaternion_to_axis_angle(quaternion_multiply(inverse, turns))
    far = np.clip((np.linalg.norm(moved, axis=-1, keepdims=True) - FADE_FROM) / (np.pi - FADE_FROM), 0.0, 1.0)
    scale = 1.0 + (gain[:, None, None] - 1.0) * (1.0 - far**2 * (3.0 - 2.0 * far))
    straightened = -(moved * bends).sum(-1)  # towards straight, (F, J)
    room = np.maximum((quaternion_to_axis_angle(base) * bends).sum(-1), 0.0)
    excess = scale[..., 0] * straightened - _within(straightened, room, scale[..., 0])
    scaled = moved * scale + excess[..., None] * bends
    return quaternion_to_axis_angle(quaternion_multiply(base, axis_angle_to_quaternion(scaled)))


def _within(movement: DoubleArray, room: DoubleArray, gain: DoubleArray) -> DoubleArray:
    """Scale movement towards a stop, which is reached only where it was before.

    Near the baseline the movement grows by the whole gain; from there a rational curve leads to the stop.
    Calmer movement is scaled evenly, and what was past the stop before stays where it was.
    """
    ratio = np.clip(movement / np.maximum(room, 1e-9), 0.0, 1.0)
    bigger = movement * gain / (1.0 + np.maximum(gain - 1.0, 0.0) * ratio)
    bigger = np.where(movement > room, movement, bigger)
    return np.where((gain <= 1.0) | (movement <= 0.0), movement * gain, bigger)


def _pelvis(clip: Clip, gain: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    """Turn and place of the pelvis, (F, 3) each: tilt, sway and twist are scaled, its ways are not."""
    matrices = axis_angle_to_matrix(clip.poses[:, 0].astype(np.float64))
    heading = np.unwrap(heading_angle(matrices))
    tilt = continuous_quaternions(matrix_to_quaternion(yaw_matrix(-heading) @ matrices))
    base = normalise(smoothed(tilt, BASELINE_S, clip.fps))
    tilt = axis_angle_to_matrix(_scaled(tilt[:, None], base[:, None], gain, np.zeros((1, 3)))[:, 0])
    steady = smoothed(heading, BASELINE_S, clip.fps)
    heading = steady + _small_scaled((heading - steady)[:, None], gain, TWIST)[:, 0]
    place = clip.trans.astype(np.float64)
    steady = smoothed(place, BASELINE_S, clip.fps)
    off = place - steady
    level, up = off * np.array([1.0, 0.0, 1.0]), off * np.array([0.0, 1.0, 0.0])
    place = steady + _small_scaled(level, gain, SWAY) + _small_scaled(up, gain, SWAY)
    return quaternion_to_axis_angle(matrix_to_quaternion(yaw_matrix(heading) @ tilt)), place


def _small_scaled(off: DoubleArray, gain: DoubleArray, size: float) -> DoubleArray:
    """Scale what is small beside `size`, and the larger it is, the less; off (F, N)."""
    share = 1.0 / (1.0 + (np.linalg.norm(off, axis=1, keepdims=True) / size) ** 2)
    return off * (1.0 + (gain[:, None] - 1.0) * share)


def _face(clip: Clip, gain: DoubleArray) -> DoubleArray:
    """Face channels, (F, C): scaled about rest, up to the end of an ARKit shape; blinks stay whole."""
    values = clip.expressions.astype(np.float64)
    scale = np.broadcast_to(gain[:, None], values.shape)
    if clip.basis != "arkit":
        return values * scale
    blinks = np.array([name.startswith("eyeBlink") for name in clip.expression_names])
    return np.where(blinks, values, _within(values, np.ones_like(values), scale))


def _bends() -> DoubleArray:
    """Axis about which knees, elbows and fingers bend in the T-pose, (55, 3); zero for other joints."""
    axes = np.zeros((NUM_JOINTS, 3))
    for joint, name in enumerate(JOINT_NAMES):
        side = 1.0 if name.startswith("left_") else -1.0
        if name.endswith("_knee"):
            axes[joint] = (1.0, 0.0, 0.0)
        elif name.endswith("_elbow"):
            axes[joint] = (0.0, -side, 0.0)
        elif name[-1] in "23" and "thumb" not in name and "spine" not in name:
            axes[joint] = (0.0, 0.0, -side)
    return axes


_BENDS = _bends()
