# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a clip onto a character: look the target up, check all of it, then write."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import bpy

from ..engine.specs import Part
from .errors import CharacterError, TargetLostError

if TYPE_CHECKING:
    from ..engine.motion.clip import Clip
    from ..engine.motion.retargeting import MappedRig
    from .bridge.armature import BonePoses, Rig
    from .bridge.shape_keys import FaceMesh


@dataclass(frozen=True)
class Delivery:
    """What was written.

    Attributes:
        action_name: Action that holds the keys.
        num_frames: Frames written.
        num_face_channels: Face channels that found a shape key.
        settled: Whether the motion there was shaped, and is now as it was seen.
    """

    action_name: str
    num_frames: int
    num_face_channels: int
    settled: bool = False


def find_target(armature_name: str, armature_uid: int) -> bpy.types.Object:
    """Find a character again after its motion was made; a new name does not matter.

    Args:
        armature_name: Its name when the request was made, for the message.
        armature_uid: Blender's number for it in this session, which survives renaming and undo.

    Raises:
        TargetLostError: If it was deleted, undone or taken out of every scene meanwhile.
    """
    for item in bpy.data.objects:
        if item.session_uid == armature_uid and item.users_scene:
            return item
    raise target_lost(armature_name)


def target_lost(armature_name: str) -> TargetLostError:
    """The error for a character that is gone."""
    return TargetLostError(
        f'The character "{armature_name}" was deleted or undone meanwhile, so nothing was written: choose a '
        "character and start again."
    )


def check_target(
    armature: bpy.types.Object, parts: tuple[Part, ...], channel_names: tuple[str, ...]
) -> tuple[Rig | MappedRig, list[FaceMesh]]:
    """Check that every channel of the parts can be written, without changing anything.

    Raises:
        CharacterError: With what stands in the way and the remedy.
    """
    from .bridge import armature as armature_bridge
    from .bridge import shape_keys

    if armature.pose is None:  # a script has only just made it
        bpy.context.view_layer.update()
    rig = armature_bridge.read_rig(armature)
    if armature.library is not None:
        raise CharacterError(
            f'The armature "{armature.name}" is linked from another file: select it and use Object > Library '
            "Override > Make, then choose the override."
        )
    if armature.override_library is not None and armature.override_library.is_system_override:
        raise CharacterError(
            f'The library override of "{armature.name}" is not editable: make it editable in the Outliner '
            "(Library "
            "Override > Make > Selected & Content)."
        )
    if armature.animation_data is not None and armature.animation_data.use_tweak_mode:
        raise CharacterError(
            f'An NLA strip of "{armature.name}" is being tweaked: leave tweak mode (Tab) first.'
        )
    faces: list[FaceMesh] = []
    if Part.FACE in parts:
        faces = shape_keys.find_face_meshes(armature, channel_names)
        shape_keys.check_writable(armature, faces)
    return rig, faces


def locked_parts(armature: bpy.types.Object) -> frozenset[Part]:
    """Parts of a character that nothing may write."""
    return frozenset(part for part in Part if getattr(armature.kinesics_locks, part.value))


def check_stretch(
    armature: bpy.types.Object, parts: tuple[Part, ...], channel_names: tuple[str, ...], first: int, last: int
) -> tuple[Rig | MappedRig, list[FaceMesh]]:
    """Check that the frames of a stretch can be written without changing anything outside them.

    Raises:
        CharacterError: With what stands in the way and the remedy.
    """
    from .bridge import shape_keys, splicing
    from .bridge.action import Channel
    from .bridge.armature import PELVIS

    rig, faces = check_target(armature, parts, channel_names)
    channels: list[Channel] = []
    for bone in rig.bones_of(parts):
        name = rig.bone_names[bone]
        if any(not item.mute and item.influence > 0.0 for item in armature.pose.bones[name].constraints):
            raise CharacterError(
                f'The bone "{name}" of "{armature.name}" follows a constraint, which new keys cannot change: '
                "bake it (Pose > Animation > Bake Action), or leave that part out."
            )
        channels += splicing.rotation_channels(armature, name)
        channels += splicing.location_channels(name) if bone == PELVIS else []
    splicing.check(armature, armature.name, channels, first, last)
    for face in faces:
        keys = bpy.data.meshes[face.mesh_name].shape_keys
        splicing.check(keys, face.mesh_name, shape_keys.channels_of(face), first, last)
    return rig, faces


def deliver_stretch(
    clip: Clip,
    armature: bpy.types.Object,
    parts: tuple[Part, ...],
    first: int,
    action_name: str,
    whole: Clip | None = None,
) -> Delivery:
    """Write the chosen parts of a stretch in the way each channel is keyed.

    Every other key stays bit-identical. The first and last frame keep the values the channels have there.

    Args:
        clip: The stretch, at the scene's rate.
        armature: Character.
        parts: Parts to write.
        first: Scene frame of the clip's first frame.
        action_name: Name of the action if the character has none.
        whole: The stretch with as many frames of kept motion before as behind it, which say what hands and
            feet of a rig of other proportions do at its ends.

    Raises:
        CharacterError: If something cannot be written, or everything is locked; then nothing was.
    """
    from ..engine.motion.face_bases import with_jaw_bone
    from .bridge import feet, shape_keys, shaped, splicing, takes
    from .bridge.armature import clip_to_bones

    parts = unlocked(armature, parts)
    last = first + clip.num_frames - 1
    rig, faces = check_stretch(armature, parts, clip.expression_names, first, last)
    opens_mouth = any(face.opens_mouth for face in faces)
    clip, whole = (one if one is None or opens_mouth else with_jaw_bone(one) for one in (clip, whole or clip))
    takes.separate(armature)
    settled = shaped.settle(armature, parts)
    around = (whole.num_frames - clip.num_frames) // 2
    poses = clip_to_bones(whole, rig).slice(around, around + clip.num_frames)
    curves = splicing.bone_curves(armature, rig, poses, rig.bones_of(parts), first)
    written = splicing.splice(armature, curves, first, action_name)
    _hold_switches(armature, rig, first, clip.num_frames)
    if Part.LOWER in parts:
        feet.write(armature, clip, first)
    for face in faces:
        shape_keys.splice_face(armature, face, clip, first, action_name)
    takes.mark_changed(armature)
    num_channels = len({name for face in faces for name in face.blocks})
    return Delivery(written.name, clip.num_frames, num_channels, settled)


def clear(armature: bpy.types.Object, parts: tuple[Part, ...], first: int, last: int) -> None:
    """Delete the keys of some parts from one scene frame to another; locked parts keep theirs."""
    from ..engine.motion.arkit import ARKIT_NAMES
    from .bridge import action, feet

    rig, faces = check_target(armature, unlocked(armature, parts), ARKIT_NAMES)
    bones = {rig.bone_names[bone] for bone in rig.bones_of(unlocked(armature, parts))}
    curves = action.curves_of_bones(armature, bones)
    if Part.LOWER in unlocked(armature, parts):
        curves += [curve for curve in action.fcurves_of(armature) if feet.is_feet(curve)]
    action.clear_keys(armature, curves, first, last)
    for face in faces:
        keys = bpy.data.meshes[face.mesh_name].shape_keys
        action.clear_keys(keys, action.fcurves_of(keys), first, last)


def unlocked(armature: bpy.types.Object, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Those of some parts that may be written."""
    free = tuple(part for part in parts if part not in locked_parts(armature))
    if not free:
        raise CharacterError(
            f'Every part of "{armature.name}" that would change is locked: open a lock in the Regenerate box.'
        )
    return free


def _hold_switches(
    armature: bpy.types.Object, rig: Rig | MappedRig, frame_start: int, num_frames: int
) -> None:
    """Let the written bones of a control rig have effect."""
    from .bridge import armature as armature_bridge
    from .bridge import mapped_rig

    if not isinstance(rig, armature_bridge.Rig):
        mapped_rig.hold_switches(armature, rig, frame_start, num_frames)


def deliver(
    clip: Clip,
    armature: bpy.types.Object,
    parts: tuple[Part, ...],
    frame_start: int,
    action_name: str,
    keep_modes: bool = False,
) -> Delivery:
    """Write the chosen parts of a clip as their new motion; where they were shaped, that ends.

    Args:
        clip: At the scene's rate.
        armature: Character.
        parts: Parts to write; locked ones are left out.
        frame_start: Scene frame of the clip's first frame.
        action_name: Name of the action if the character has none yet.
        keep_modes: Write rotations in the mode each bone has; else bones become quaternion ones.

    Raises:
        CharacterError: If something cannot be written, or everything is locked; then nothing was.
    """
    from .bridge import feet, shaped, takes

    parts = unlocked(armature, parts)
    check_target(armature, parts, clip.expression_names)
    takes.separate(armature)
    settled = shaped.settle(armature, parts)
    done = put(clip, armature, parts, frame_start, action_name, keep_modes)
    if Part.LOWER in parts:
        feet.write(armature, clip, frame_start)
    return replace(done, settled=settled)


def put(
    clip: Clip,
    armature: bpy.types.Object,
    parts: tuple[Part, ...],
    frame_start: int,
    action_name: str,
    keep_modes: bool = False,
) -> Delivery:
    """Write the chosen parts of a clip, one key per scene frame; other parts and frames stay bit-identical.

    Locked parts are left out. The object's own transform is not touched: root motion goes to the pelvis bone.

    Args:
        clip: At the scene's rate.
        armature: Character.
        parts: Parts to write.
        frame_start: Scene frame of the clip's first frame.
        action_name: Name of the action if the character has none yet.
        keep_modes: Write rotations in the mode each bone has; else bones become quaternion ones.

    Raises:
        CharacterError: If something cannot be written, or everything is locked; then nothing was.
    """
    from ..engine.motion.face_bases import with_jaw_bone
    from .bridge import action, shape_keys, splicing, takes
    from .bridge.armature import clip_to_bones

    parts = unlocked(armature, parts)
    rig, faces = check_target(armature, parts, clip.expression_names)
    clip = clip if any(face.opens_mouth for face in faces) else with_jaw_bone(clip)
    takes.separate(armature)
    poses = clip_to_bones(clip, rig)
    bones = rig.bones_of(parts)
    written = action.ensure_action(armature, action_name)
    if keep_modes:
        curves = splicing.bone_curves(armature, rig, poses, bones, frame_start)
        action.write_channels(armature, curves.channels, curves.values, frame_start)
    else:
        _write_quaternions(armature, rig, poses, bones, frame_start)
    _hold_switches(armature, rig, frame_start, clip.num_frames)
    if faces:
        shape_keys.write_face(armature, faces, clip, frame_start, action_name)
    takes.mark_changed(armature)
    return Delivery(written.name, clip.num_frames, len({name for face in faces for name in face.blocks}))


def _write_quaternions(
    armature: bpy.types.Object, rig: Rig | MappedRig, poses: BonePoses, bones: list[int], frame_start: int
) -> None:
    """Key the rotations of some bones as quaternions, and the pelvis' place."""
    import numpy as np

    from ..engine.motion.rotations import continuous_quaternions
    from .bridge import action
    from .bridge.armature import PELVIS

    channels: list[action.Channel] = []
    columns: list[np.ndarray] = []
    for bone in bones:
        name = rig.bone_names[bone]
        path = f'pose.bones["{bpy.utils.escape_identifier(name)}"]'
        armature.pose.bones[name].rotation_mode = "QUATERNION"
        turn = f"{path}.rotation_quaternion"
        before = action.key_before(armature, turn, 4, frame_start)
        columns.append(continuous_quaternions(poses.quaternions[:, bone], before))
        channels += [action.Channel(turn, index, name) for index in range(4)]
        if bone == PELVIS:
            columns.append(poses.pelvis_locations)
            channels += [action.Channel(f"{path}.location", index, name) for index in range(3)]
    action.write_channels(armature, channels, np.concatenate(columns, axis=1), frame_start)
