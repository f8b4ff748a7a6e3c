# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigs other than SMPL-X: which bone is which, their rest pose, and poses both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from ..errors import CharacterError
from . import action
from .armature import BonePoses

if TYPE_CHECKING:
    from ...engine.motion.clip import Clip
    from ...engine.motion.retargeting import MappedRig
    from ...engine.motion.rig_guess import RestPose
    from ...engine.motion.rig_names import RigMapping


def rest_pose(armature: bpy.types.Object) -> RestPose:
    """The bones of an armature at rest, parents before children, in armature space."""
    from ...engine.motion.rig_guess import RestPose

    bones = sorted(armature.data.bones, key=lambda bone: len(bone.parent_recursive))
    index = {bone.name: number for number, bone in enumerate(bones)}
    return RestPose(
        names=tuple(index),
        parents=tuple(index[bone.parent.name] if bone.parent else -1 for bone in bones),
        heads=np.array([bone.head_local for bone in bones], dtype=np.float64).reshape(-1, 3),
        tails=np.array([bone.tail_local for bone in bones], dtype=np.float64).reshape(-1, 3),
        turns=np.array([bone.matrix_local.to_3x3() for bone in bones], dtype=np.float64).reshape(-1, 3, 3),
        inherits=tuple(bone.use_inherit_rotation for bone in bones),
    )


def own_mapping(armature: bpy.types.Object) -> RigMapping | None:
    """The mapping that was set up for a character, or None."""
    from ...engine.motion.rig_names import KINDS, RigMapping

    table = armature.kinesics_rig
    bones: dict[str, tuple[str, ...]] = {}
    for row in table.rows:
        if row.bone:
            bones[row.slot] = (*bones.get(row.slot, ()), row.bone)
    if not bones:
        return None
    return RigMapping(table.kind if table.kind in KINDS else "custom", bones)


def found_mapping(armature: bpy.types.Object) -> RigMapping | None:
    """The mapping that the VRM add-on keeps, or that the bones' names tell; None for an unknown rig."""
    from ...engine.motion.rig_names import recognise

    above = {bone.name: bone.parent.name if bone.parent else "" for bone in armature.data.bones}
    return _vrm_mapping(armature) or recognise(above, above)


def read_mapped(armature: bpy.types.Object, mapping: RigMapping) -> MappedRig:
    """Read the rest pose of a rig whose bones are known.

    Raises:
        CharacterError: If the mapping does not fit the armature.
    """
    from ...engine.errors import ClipError
    from ...engine.motion.retargeting import map_rig

    try:
        return map_rig(rest_pose(armature), mapping, armature.kinesics_rig.keep_hands)
    except ClipError as error:
        reason = str(error)
        reason = reason[0].lower() + reason[1:]
        raise CharacterError(f'"{armature.name}" cannot be moved yet: {reason}') from error


def clip_to_bones(clip: Clip, rig: MappedRig) -> BonePoses:
    """Turn a clip into channels of the mapped bones."""
    from ...engine.motion.retargeting import clip_to_rig

    return BonePoses(*clip_to_rig(clip, rig))


def bones_to_clip(poses: BonePoses, rig: MappedRig, fps: float) -> Clip:
    """Turn channels of the mapped bones back into a clip."""
    from ...engine.motion.retargeting import rig_to_clip

    return rig_to_clip(poses.quaternions, poses.pelvis_locations, rig, fps)


def evaluated_pose(armature: bpy.types.Object, rig: MappedRig, depsgraph: bpy.types.Depsgraph) -> BonePoses:
    """Read the pose that is seen, as channels of the mapped bones; one frame.

    Of control rigs, those bones are read that follow both FK and IK.
    """
    from ...engine.motion.retargeting import CarriedPose, pose_to_channels
    from ...engine.motion.rig_names import KINDS

    seen = KINDS[rig.mapping.kind].seen
    slots = {names[0]: slot for slot, names in rig.mapping.bones.items()}
    pose = armature.evaluated_get(depsgraph).pose.bones
    names = [seen.get(slots.get(name, ""), name) for name in rig.bone_names]
    names = [name if name in pose else own for name, own in zip(names, rig.bone_names, strict=True)]
    posed = np.array([pose[name].matrix.to_3x3() for name in names], dtype=np.float64)
    posed = posed / np.linalg.norm(posed, axis=1, keepdims=True)
    rest = np.array([armature.data.bones[name].matrix_local.to_3x3() for name in names], dtype=np.float64)
    turns = rig.axes.T @ posed @ rest.transpose(0, 2, 1) @ rig.axes
    hips = [names[rig.index_of(joint)] for joint in (1, 2)]
    middle = np.array([pose[name].head for name in hips], dtype=np.float64).mean(axis=0) @ rig.axes
    return BonePoses(*pose_to_channels(CarriedPose(turns[None], middle[None]), rig))


def is_plain(armature: bpy.types.Object, rig: MappedRig) -> bool:
    """Whether fcurves of the mapped bones alone say how they move."""
    from ...engine.motion.rig_names import KINDS

    if KINDS[rig.mapping.kind].carried_by_joints or not action.is_plainly_keyed(armature):
        return False
    mapped = set(rig.bone_names)
    bones = armature.pose.bones
    above = {parent.name for name in mapped for parent in bones[name].parent_recursive} - mapped
    if any(bones[name].constraints for name in mapped | above):
        return False
    keyed = {
        fcurve.data_path.split('"')[1] for fcurve in action.fcurves_of(armature) if '"' in fcurve.data_path
    }
    still = all(bones[name].matrix_basis == bones[name].matrix_basis.Identity(4) for name in above)
    return still and not above & keyed


def hold_switches(armature: bpy.types.Object, rig: MappedRig, frame_start: int, num_frames: int) -> None:
    """Let the mapped bones of a control rig have effect: FK on, head and neck following.

    A switch without keys is set; an animated one gets keys over these frames.
    """
    from ...engine.motion.rig_names import KINDS

    for bone_name, prop, value in KINDS[rig.mapping.kind].switches:
        bone = armature.pose.bones.get(bone_name)
        if bone is None or bone.get(prop) is None:
            continue
        path = f'pose.bones["{bpy.utils.escape_identifier(bone_name)}"]["{prop}"]'
        if action.find_fcurve(armature, path) is not None:
            values = np.full((num_frames, 1), value)
            action.write_channels(armature, [action.Channel(path, 0, bone_name)], values, frame_start)
        elif bone[prop] != value:
            bone[prop] = type(bone[prop])(value)
            armature.update_tag()


def _vrm_mapping(armature: bpy.types.Object) -> RigMapping | None:
    """What the VRM add-on's own table says, where that is installed and filled in."""
    from ...engine.motion.rig_names import RigMapping, mapping_of_kind

    extension: Any = getattr(armature.data, "vrm_addon_extension", None)
    if extension is None:
        return None
    found: dict[str, str] = {}
    for item in getattr(getattr(getattr(extension, "vrm0", None), "humanoid", None), "human_bones", ()):
        found[item.bone] = item.node.bone_name
    table = getattr(getattr(getattr(extension, "vrm1", None), "humanoid", None), "human_bones", None)
    if table is not None:
        for name in (item.identifier for item in table.bl_rna.properties):
            node = getattr(getattr(table, name), "node", None)
            if node is not None and node.bone_name:
                found[name] = node.bone_name
    found = {name: bone for name, bone in found.items() if bone in armature.data.bones}
    mapping = mapping_of_kind("humanoid", found)
    if mapping.missing:
        return None
    return RigMapping(
        "humanoid", {slot: tuple(found[name] for name in names) for slot, names in mapping.bones.items()}
    )
