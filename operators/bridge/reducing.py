# SPDX-License-Identifier: GPL-3.0-or-later
"""Fewer, smooth keys in place of one per frame, within a stated error."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
import numpy.typing as npt

from . import action, feet, takes
from .action import BEZIER

DoubleArray = npt.NDArray[np.float64]

MARGIN = 0.98
"""Part of the stated error that is used, since keys are stored in single precision."""


@dataclass(frozen=True)
class Limits:
    """How far motion may move.

    Attributes:
        degrees: Rotation of a bone.
        mm: Place of a bone in the world.
        share: Face channel, where 1 is the whole way of its slider.
    """

    degrees: float
    mm: float
    share: float


@dataclass(frozen=True)
class Reduction:
    """What became of the keys.

    Attributes:
        num_before: Keys of the action before.
        num_after: Keys after.
        worst: Largest error at any frame of each kind, read off the new curves.
    """

    num_before: int
    num_after: int
    worst: Limits


@dataclass(frozen=True)
class _Kind:
    """How one kind of channels is measured: number of curves, error in the stated unit, and its limit."""

    name: str
    num_curves: int
    distance: Callable[[DoubleArray, DoubleArray], DoubleArray]
    to_unit: float
    limit: float


def reduce_action(
    armature: bpy.types.Object, limits: Limits, kept_bones: frozenset[str], keep_face: bool
) -> Reduction:
    """Reduce the keys of the action that moves a character, and of its face.

    Channels that do not get fewer keys stay as they are, and so do those with modifiers and bones in
    axis-angle mode.

    Args:
        armature: Character.
        limits: Furthest that any frame may be off.
        kept_bones: Names of bones that keep their keys.
        keep_face: Whether the face's shape keys keep theirs.
    """
    num_before = num_after = 0
    worst = {"degrees": 0.0, "mm": 0.0, "share": 0.0}
    for datablock in (armature, *takes.face_keys(armature)):
        curves = [curve for curve in action.fcurves_of(datablock) if not feet.is_feet(curve)]
        num_before += sum(len(curve.keyframe_points) for curve in curves)
        groups: dict[str, list[bpy.types.FCurve]] = {}
        for curve in curves:
            groups.setdefault(curve.data_path, []).append(curve)
        for path, group in groups.items():
            kept = keep_face if datablock != armature else takes.bone_of(group[0]) in kept_bones
            kind = None if kept else _kind_of(path, armature, limits)
            if kind is None or len(group) != kind.num_curves or any(len(curve.modifiers) for curve in group):
                continue
            worst[kind.name] = max(worst[kind.name], _reduce_group(group, kind))
        num_after += sum(len(curve.keyframe_points) for curve in curves)
        if curves:
            datablock.animation_data.action.update_tag()
            datablock.update_tag()
    return Reduction(num_before, num_after, Limits(worst["degrees"], worst["mm"], worst["share"]))


def _kind_of(path: str, armature: bpy.types.Object, limits: Limits) -> _Kind | None:
    """How the channels of a path are measured; None for those that are left alone."""
    from ...engine.motion import key_reduction as reduction

    degree = 180.0 / math.pi
    if path.startswith("key_blocks"):
        return _Kind("share", 1, reduction.place_distance, 1.0, limits.share)
    if not path.startswith("pose.bones"):
        return None
    if path.endswith("rotation_quaternion"):
        return _Kind("degrees", 4, reduction.quaternion_distance, degree, limits.degrees)
    if path.endswith("rotation_euler"):
        return _Kind("degrees", 3, reduction.euler_distance, degree, limits.degrees)
    if path.endswith("location"):
        scale = 1000.0 * max(abs(value) for value in armature.matrix_world.to_scale())
        return _Kind("mm", 3, reduction.place_distance, scale, limits.mm)
    return None


def _reduce_group(group: list[bpy.types.FCurve], kind: _Kind) -> float:
    """Reduce curves that share their keys.

    Returns:
        Largest error at any frame, in the kind's unit; 0 where nothing was changed.
    """
    from ...engine.motion.key_reduction import reduce_keys, slopes_of

    if any(len(curve.keyframe_points) == 0 for curve in group):
        return 0.0
    first = min(curve.keyframe_points[0].co[0] for curve in group)
    last = max(curve.keyframe_points[-1].co[0] for curve in group)
    frames = np.arange(math.floor(first), math.ceil(last) + 1)
    values = _values(group, frames)
    rows = reduce_keys(values, MARGIN * kind.limit / kind.to_unit, kind.distance)
    if len(rows) * len(group) >= sum(len(curve.keyframe_points) for curve in group):
        return 0.0
    slopes = slopes_of(values)
    for column, curve in enumerate(group):
        keys = _bezier_keys(frames[rows], values[rows, column], slopes[rows, column])
        action.replace_keys(curve, keys, float("-inf"), float("inf"))
    return float(kind.distance(_values(group, frames), values).max()) * kind.to_unit


def _values(group: list[bpy.types.FCurve], frames: npt.NDArray[Any]) -> DoubleArray:
    """Values of some curves at some frames, (F, C)."""
    columns = [[curve.evaluate(frame) for frame in frames.tolist()] for curve in group]
    return np.array(columns, dtype=np.float64).T


def _bezier_keys(frames: npt.NDArray[Any], values: DoubleArray, slopes: DoubleArray) -> dict[str, Any]:
    """Keys with handles along the slopes, at thirds of the way to their neighbours; all (K,)."""
    keys = action.linear_keys(frames.astype(np.float32), values.astype(np.float32))
    third = np.diff(frames, prepend=frames[0] - 1, append=frames[-1] + 1) / 3.0
    for name, sign, step in (("handle_left", -1.0, third[:-1]), ("handle_right", 1.0, third[1:])):
        handles = np.stack([frames + sign * step, values + sign * step * slopes], axis=1)
        keys[name] = handles.astype(np.float32)
    keys["interpolation"][:] = BEZIER
    return keys
