# SPDX-License-Identifier: GPL-3.0-or-later
"""SMPL-X joints and pose bones: recognition, rest pose, axes, and poses both ways.

Engine space is Y up with the character facing +Z and its left at +X. Armature space is whatever the
armature's rest pose says; for armatures made here it is Blender's Z up, facing -Y, left at +X.

A joint rotation R (engine axes, relative to the T-pose) and a pose bone's own rotation are the same turn seen
from two frames: `bone = B^-1 R B`, where B is the bone's rest orientation in engine axes. An axis-angle
vector therefore only has to be turned by B, which is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import bpy
import numpy as np
import numpy.typing as npt
from mathutils import Euler, Matrix, Quaternion, Vector

from ..errors import CharacterError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...engine.motion.clip import Clip
    from ...engine.motion.retargeting import MappedRig
    from ...engine.motion.skeleton import Skeleton
    from ...engine.specs import Part

Float64Array = npt.NDArray[np.float64]

ENGINE_TO_BLENDER: Float64Array = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Engine axes (Y up, facing +Z) to Blender's (Z up, facing -Y), (3, 3)."""

ALTERNATIVE_NAMES: dict[str, tuple[str, ...]] = {
    "left_eye_smplhf": ("left_eye",),
    "right_eye_smplhf": ("right_eye",),
}
"""Other names in use for the same joints; the public SMPL-X Blender add-on has the longer ones."""

PELVIS, LEFT_HIP, RIGHT_HIP, NECK, LEFT_FOOT, RIGHT_FOOT = 0, 1, 2, 12, 10, 11


@dataclass(frozen=True)
class Rig:
    """What has to be known about one armature's rest pose.

    Attributes:
        bone_names: Pose bone of each of the 55 joints, in joint order.
        axes: Engine axes to armature axes, (3, 3), a rotation.
        rest: Rest orientation of each bone in engine axes, (55, 3, 3).
        scale: Armature units per engine metre, from the ratio of the leg lengths.
        standing_height: Height of the engine's pelvis above the floor that matches the rest pose, metres.
    """

    bone_names: tuple[str, ...]
    axes: Float64Array
    rest: Float64Array
    scale: float
    standing_height: float

    def bones_of(self, parts: tuple[Part, ...]) -> list[int]:
        """Indices of the bones that belong to some parts."""
        from ...engine.motion.skeleton import PART_JOINTS

        return sorted(joint for part in parts for joint in PART_JOINTS[part])


@dataclass(frozen=True)
class BonePoses:
    """Pose bone channels of a clip, for the bones of a rig in their order.

    Attributes:
        quaternions: Rotation of each bone in its own rest axes, w first, (F, bones, 4).
        pelvis_locations: Location channel of the first bone, the pelvis, armature units, (F, 3).
    """

    quaternions: Float64Array
    pelvis_locations: Float64Array

    def slice(self, first: int, stop: int) -> BonePoses:
        """Some of the frames."""
        return BonePoses(self.quaternions[first:stop], self.pelvis_locations[first:stop])


def find_bones(bone_names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Match bone names to the 55 joints.

    Returns:
        The bone of each joint in joint order ("" where none fits) and the joints without a bone.
    """
    from ...engine.motion.skeleton import JOINT_NAMES

    present = set(bone_names)
    found: list[str] = []
    for joint in JOINT_NAMES:
        names = (joint, *ALTERNATIVE_NAMES.get(joint, ()))
        found.append(next((name for name in names if name in present), ""))
    missing = tuple(joint for joint, bone in zip(JOINT_NAMES, found, strict=True) if not bone)
    return tuple(found), missing


def read_rig(armature: bpy.types.Object) -> Rig | MappedRig:
    """Recognise an armature by its bones, or by the table that was set up for it, and read its rest pose.

    Raises:
        CharacterError: If it is no armature, or its bones are not recognised.
    """
    from . import mapped_rig

    if armature.type != "ARMATURE":
        raise CharacterError(
            f'"{armature.name}" is not an armature: choose the character\'s armature as Character.'
        )
    mapping = mapped_rig.own_mapping(armature)
    if mapping is not None:
        return mapped_rig.read_mapped(armature, mapping)
    try:
        return read_smplx_rig(armature)
    except CharacterError:
        mapping = mapped_rig.found_mapping(armature)
        if mapping is None:
            raise
        return mapped_rig.read_mapped(armature, mapping)


def read_smplx_rig(armature: bpy.types.Object) -> Rig:
    """Recognise the 55 SMPL-X bones of an armature and read its rest pose.

    Raises:
        CharacterError: If bones are missing, or their hierarchy is another one.
    """
    from ...engine.motion.skeleton import DEFAULT_SKELETON, JOINT_NAMES, PARENTS

    bones = armature.data.bones
    names, missing = find_bones(bone.name for bone in bones)
    if len(missing) > len(JOINT_NAMES) // 2:
        raise CharacterError(
            f'The bones of "{armature.name}" are not recognised: press Set Up Character and check the table '
            "of bones, or use Add Character."
        )
    if missing:
        listed = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
        raise CharacterError(
            f'The armature "{armature.name}" lacks the bones {listed}: add or rename them, or use Add '
            "Character."
        )
    joint_of = {name: joint for joint, name in enumerate(names)}
    for joint, name in enumerate(names):
        ancestor = bones[name].parent
        while ancestor is not None and ancestor.name not in joint_of:
            ancestor = ancestor.parent
        parent = joint_of[ancestor.name] if ancestor is not None else -1
        if parent != (PARENTS[joint] if joint else -1):
            wanted = names[PARENTS[joint]] if joint else "no other body bone"
            raise CharacterError(
                f'The bone "{name}" of "{armature.name}" has another parent than SMPL-X gives it: parent it '
                "to "
                f"{wanted}, or use Add Character."
            )
    heads = np.array([bones[name].head_local for name in names], dtype=np.float64)
    axes = _character_axes(heads)
    matrices = np.array([bones[name].matrix_local.to_3x3() for name in names], dtype=np.float64)
    leg = _leg_length(heads)
    if leg < 1e-6:
        raise CharacterError(
            f'The legs of "{armature.name}" have no length: apply a rest pose with straight legs.'
        )
    return Rig(
        bone_names=names,
        axes=axes,
        rest=np.matmul(axes.T, matrices),
        scale=leg / _leg_length(DEFAULT_SKELETON.rest_joints.astype(np.float64)),
        standing_height=DEFAULT_SKELETON.standing_height,
    )


def clip_to_bones(clip: Clip, rig: Rig | MappedRig) -> BonePoses:
    """Turn a clip into pose bone channels of one armature.

    The rest pose stands on the floor; a clip whose pelvis is at standing height above a point of the floor
    puts the character over that point, scaled by its leg length. The armature object is not involved.
    """
    from ...engine.motion.rotations import axis_angle_to_quaternion

    if not isinstance(rig, Rig):
        from . import mapped_rig

        return mapped_rig.clip_to_bones(clip, rig)
    local = np.einsum("jba,fjb->fja", rig.rest, clip.poses.astype(np.float64))
    quaternions = np.asarray(axis_angle_to_quaternion(local), dtype=np.float64)
    position = clip.trans.astype(np.float64) + clip.pelvis_rest.astype(np.float64)
    position[:, 1] -= rig.standing_height
    locations = position * rig.scale @ rig.rest[PELVIS]
    return BonePoses(quaternions, locations)


def bones_to_clip(poses: BonePoses, rig: Rig | MappedRig, fps: float) -> Clip:
    """Turn pose bone channels back into a clip without face channels; inverse of `clip_to_bones`."""
    from ...engine.motion.clip import Clip
    from ...engine.motion.rotations import quaternion_to_axis_angle

    if not isinstance(rig, Rig):
        from . import mapped_rig

        return mapped_rig.bones_to_clip(poses, rig, fps)
    local = np.asarray(quaternion_to_axis_angle(poses.quaternions), dtype=np.float64)
    rotations = np.einsum("jab,fjb->fja", rig.rest, local)
    trans = poses.pelvis_locations @ rig.rest[PELVIS].T / rig.scale
    trans[:, 1] += rig.standing_height
    num_frames = len(trans)
    return Clip(
        fps=fps,
        poses=rotations.astype(np.float32),
        trans=trans.astype(np.float32),
        expressions=np.zeros((num_frames, 0), dtype=np.float32),
        expression_names=(),
        basis="none",
        betas=np.zeros(10, dtype=np.float32),
    )


def evaluated_pose(
    armature: bpy.types.Object, rig: Rig | MappedRig, depsgraph: bpy.types.Depsgraph
) -> BonePoses:
    """Read the pose as the depsgraph shows it now: constraints, drivers and NLA included.

    Returns:
        One frame of bone channels.
    """
    from ...engine.motion.rotations import matrix_to_quaternion
    from ...engine.motion.skeleton import PARENTS

    if not isinstance(rig, Rig):
        from . import mapped_rig

        return mapped_rig.evaluated_pose(armature, rig, depsgraph)
    bones = armature.evaluated_get(depsgraph).pose.bones
    matrices = np.array([bones[name].matrix for name in rig.bone_names], dtype=np.float64)
    turns = matrices[:, :3, :3]
    turns = turns / np.linalg.norm(turns, axis=1, keepdims=True)
    rest = np.matmul(rig.axes, rig.rest)
    moved = np.matmul(turns, rest.transpose(0, 2, 1))
    parents = np.array(PARENTS[1:])
    relative = moved.copy()
    relative[1:] = np.matmul(moved[parents].transpose(0, 2, 1), moved[1:])
    local = np.matmul(rest.transpose(0, 2, 1), np.matmul(relative, rest))
    head = np.array(armature.data.bones[rig.bone_names[PELVIS]].head_local, dtype=np.float64)
    location = (matrices[PELVIS, :3, 3] - head) @ rest[PELVIS]
    return BonePoses(np.asarray(matrix_to_quaternion(local), dtype=np.float64)[None], location[None])


def bone_quaternion(bone: bpy.types.PoseBone) -> Quaternion:
    """A pose bone's own rotation channel as a quaternion, whatever its rotation mode."""
    if bone.rotation_mode == "QUATERNION":
        return bone.rotation_quaternion.normalized()
    if bone.rotation_mode == "AXIS_ANGLE":
        angle, *axis = bone.rotation_axis_angle
        return Quaternion(Vector(axis), angle)
    return Euler(bone.rotation_euler, bone.rotation_mode).to_quaternion()


def build_armature(
    name: str, skeleton: Skeleton | None = None, collection: bpy.types.Collection | None = None
) -> bpy.types.Object:
    """Make an armature with the 55 SMPL-X bones in the T-pose, standing on the floor and facing -Y.

    Args:
        name: Name of the object and its data.
        skeleton: Where the joints are; the engine's default skeleton when None.
        collection: Collection to link it to; the scene's active one when None.

    Returns:
        The new object, selected and active, with quaternion rotation channels.
    """
    from ...engine.motion.skeleton import DEFAULT_SKELETON, JOINT_NAMES, PARENTS

    skeleton = skeleton or DEFAULT_SKELETON
    heads = skeleton.rest_joints.astype(np.float64)
    heads[:, 1] += skeleton.standing_height
    heads = heads @ ENGINE_TO_BLENDER.T
    tails = _bone_tails(heads)

    armature = bpy.data.objects.new(name, bpy.data.armatures.new(name))
    (collection or bpy.context.collection).objects.link(armature)
    view_layer = bpy.context.view_layer
    if view_layer.objects.active is not None and view_layer.objects.active.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    for other in list(view_layer.objects):
        other.select_set(False)
    armature.select_set(True)
    view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    try:
        edit_bones = [armature.data.edit_bones.new(joint) for joint in JOINT_NAMES]
        for joint, bone in enumerate(edit_bones):
            bone.head, bone.tail = heads[joint], tails[joint]
            bone.align_roll(_roll_direction(JOINT_NAMES[joint]))
            if joint:
                bone.parent = edit_bones[PARENTS[joint]]
    finally:
        bpy.ops.object.mode_set(mode="OBJECT")
    for bone in armature.pose.bones:
        bone.rotation_mode = "QUATERNION"
    return armature


def _leg_length(heads: Float64Array) -> float:
    """Thigh plus shin, averaged over both legs; heads are (55, 3)."""
    lengths = [
        np.linalg.norm(heads[hip] - heads[hip + 3]) + np.linalg.norm(heads[hip + 3] - heads[hip + 6])
        for hip in (LEFT_HIP, RIGHT_HIP)
    ]
    return float(np.mean(lengths))


def _character_axes(heads: Float64Array) -> Float64Array:
    """Engine axes to armature axes from where the joints are at rest, snapped to whole quarter turns.

    Args:
        heads: Joint positions in armature space, (55, 3).

    Returns:
        A rotation with entries in {-1, 0, 1}, (3, 3).
    """
    left = heads[LEFT_HIP] - heads[RIGHT_HIP] + heads[16] - heads[17]
    up = heads[NECK] - (heads[LEFT_FOOT] + heads[RIGHT_FOOT]) / 2
    axes = np.zeros((3, 3))
    up_axis = int(np.argmax(np.abs(up)))
    axes[up_axis, 1] = np.sign(up[up_axis])
    left = np.where(np.arange(3) == up_axis, 0.0, left)
    left_axis = int(np.argmax(np.abs(left)))
    axes[left_axis, 0] = np.sign(left[left_axis])
    axes[:, 2] = np.cross(axes[:, 0], axes[:, 1])
    if abs(np.linalg.det(axes) - 1.0) > 1e-6:
        raise CharacterError(
            "The armature's rest pose has no recognisable left and up: apply a T-pose as its rest pose."
        )
    return axes


_NEXT_JOINT: dict[int, int] = {
    0: 3, 3: 6, 6: 9, 9: 12, 12: 15, 1: 4, 2: 5, 4: 7, 5: 8, 7: 10, 8: 11,
    13: 16, 14: 17, 16: 18, 17: 19, 18: 20, 19: 21, 20: 28, 21: 43,
}  # fmt: skip
"""Joint each bone points at where several children leave a choice; fingers follow their chain."""

_END_BONES: dict[int, tuple[float, float, float]] = {
    10: (0.0, -0.08, 0.0), 11: (0.0, -0.08, 0.0), 15: (0.0, 0.0, 0.18),
    22: (0.0, -0.08, -0.02), 23: (0.0, -0.03, 0.0), 24: (0.0, -0.03, 0.0),
}  # fmt: skip
"""Tail offsets in Blender axes, metres, of the bones no other joint continues."""


def _bone_tails(heads: Float64Array) -> Float64Array:
    """Tails for heads in Blender axes, both (55, 3)."""
    tails = heads.copy()
    for joint in range(55):
        if joint in _END_BONES:
            tails[joint] += _END_BONES[joint]
        elif joint in _NEXT_JOINT:
            tails[joint] = heads[_NEXT_JOINT[joint]]
        elif (joint - 25) % 3 < 2:
            tails[joint] = heads[joint + 1]
        else:
            tails[joint] += 0.8 * (heads[joint] - heads[joint - 1])
    short = np.linalg.norm(tails - heads, axis=1) < 1e-3
    tails[short] += (0.0, 0.0, 0.02)
    return tails


def _roll_direction(joint: str) -> Vector:
    """Where a bone's Z axis shall point, so that a positive turn about X bends the joint the natural way."""
    if any(word in joint for word in ("index", "middle", "ring", "pinky", "thumb", "wrist")):
        return Vector((0.0, 0.0, -1.0))
    if any(word in joint for word in ("foot", "ankle", "jaw", "eye")):
        return Vector((0.0, 0.0, 1.0))
    if any(word in joint for word in ("hip", "knee")):
        return Vector((0.0, 1.0, 0.0))
    return Vector((0.0, -1.0, 0.0))


def character_matrix(armature: bpy.types.Object, rig: Rig) -> Matrix:
    """Engine axes to world axes of a character, scale included, for placing things beside it."""
    return armature.matrix_world @ Matrix(rig.axes.tolist()).to_4x4() @ Matrix.Scale(rig.scale, 4)
