# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the bones of a character would be if another action moved it, without giving it that action."""

from __future__ import annotations

import re

import bpy
import numpy as np
import numpy.typing as npt
from mathutils import Euler, Matrix, Quaternion, Vector

from . import action
from .takes import bone_of

CHANNELS = {
    "location": 3,
    "rotation_quaternion": 4,
    "rotation_euler": 3,
    "rotation_axis_angle": 4,
    "scale": 3,
}
"""What a bone can be keyed by, with the number of curves."""

Values = dict[str, list[float]]
"""Channels of one bone, by name."""


def bone_lines(armature: bpy.types.Object, source: action.Playing, frame: float) -> npt.NDArray[np.float32]:
    """Lines between the joints that an action moves, as they would stand in the world at a frame.

    Bones without keys in it stay as they are now. Constraints are not followed, see `has_constraints`.

    Args:
        armature: Character.
        source: Action and slot.
        frame: Scene frame.

    Returns:
        Ends of the lines, two rows for each, (2 L, 3).
    """
    keyed = _keyed_values(source, frame)
    bones = [bone for bone in armature.pose.bones if bone.name in keyed]
    poses: dict[str, Matrix] = {}
    ends: list[Vector] = []
    leaves = {bone.name: bone for bone in bones}
    for bone in bones:
        parent = _keyed_parent(bone, keyed)
        if parent is None:
            continue
        leaves.pop(parent.name, None)
        ends += [_posed(parent, keyed, poses).translation, _posed(bone, keyed, poses).translation]
    for bone in leaves.values():
        pose = _posed(bone, keyed, poses)
        ends += [pose.translation, pose @ Vector((0.0, bone.length, 0.0))]
    world = armature.matrix_world
    return np.array([world @ end for end in ends], dtype=np.float32).reshape(-1, 3)


def has_constraints(armature: bpy.types.Object) -> bool:
    """Whether constraints take part in where the bones of a character are."""
    return any(
        not item.mute and item.influence > 0.0 for bone in armature.pose.bones for item in bone.constraints
    )


def _keyed_values(source: action.Playing, frame: float) -> dict[str, Values]:
    """Values of the bone channels of an action at a frame, by bone; what has no curve has its default."""
    found: dict[str, Values] = {}
    for curve in action.curves_in(source):
        name, ending = bone_of(curve), re.search(r"\w+$", curve.data_path)
        if not name or ending is None or ending[0] not in CHANNELS or curve.mute:
            continue
        bone = found.setdefault(name, {})
        if ending[0] not in bone:
            bone[ending[0]] = _defaults(ending[0])
        bone[ending[0]][curve.array_index] = curve.evaluate(frame)
    return found


def _defaults(channel: str) -> list[float]:
    """What a channel is where nothing is keyed."""
    return {"rotation_quaternion": [1.0, 0.0, 0.0, 0.0], "rotation_axis_angle": [0.0, 0.0, 1.0, 0.0],
            "scale": [1.0, 1.0, 1.0]}.get(channel, [0.0, 0.0, 0.0])  # fmt: skip


def _keyed_parent(bone: bpy.types.PoseBone, keyed: dict[str, Values]) -> bpy.types.PoseBone | None:
    """The nearest bone above that the action moves."""
    return next((above for above in bone.parent_recursive if above.name in keyed), None)


def _posed(bone: bpy.types.PoseBone, keyed: dict[str, Values], poses: dict[str, Matrix]) -> Matrix:
    """Where a bone would be in the armature's space; `poses` remembers."""
    if bone.name not in poses:
        local, rest = _local(bone, keyed.get(bone.name)), bone.bone.matrix_local
        if bone.parent is None:
            poses[bone.name] = bone.bone.convert_local_to_pose(local, rest)
        else:
            poses[bone.name] = bone.bone.convert_local_to_pose(
                local,
                rest,
                parent_matrix=_posed(bone.parent, keyed, poses),
                parent_matrix_local=bone.parent.bone.matrix_local,
            )
    return poses[bone.name]


def _local(bone: bpy.types.PoseBone, values: Values | None) -> Matrix:
    """How a bone is moved from its rest: by the action's values, and by its own where there are none."""
    if values is None:
        return bone.matrix_basis
    place, turn, size = bone.matrix_basis.decompose()
    mode = bone.rotation_mode
    if mode == "QUATERNION" and "rotation_quaternion" in values:
        turn = Quaternion(values["rotation_quaternion"]).normalized()
    elif mode == "AXIS_ANGLE" and "rotation_axis_angle" in values:
        angle, *axis = values["rotation_axis_angle"]
        turn = Quaternion(Vector(axis), angle)
    elif "rotation_euler" in values and mode not in ("QUATERNION", "AXIS_ANGLE"):
        turn = Euler(values["rotation_euler"], mode).to_quaternion()
    return Matrix.LocRotScale(Vector(values.get("location", place)), turn, Vector(values.get("scale", size)))
