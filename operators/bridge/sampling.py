# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a character's animation over a stretch of time as a clip, in small steps."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import bpy
import numpy as np

from . import action, feet, mapped_rig, shape_keys
from .armature import BonePoses, Rig, bone_quaternion, bones_to_clip, evaluated_pose
from .sound import scene_fps

if TYPE_CHECKING:
    from ...engine.motion.clip import Clip
    from ...engine.motion.retargeting import MappedRig


def sample_clip(
    armature: bpy.types.Object,
    rig: Rig | MappedRig,
    scene: bpy.types.Scene,
    frame_start: int,
    num_frames: int,
    fps: float,
) -> Generator[float, None, Clip]:
    """Read what the character does, body and face.

    Plain keyed poses are computed from their fcurves; where constraints, drivers or NLA strips take part, the
    scene is stepped through the frames and its current frame restored at every pause. No Blender object is
    held across a pause that an undo could have removed: the caller must not go on with the generator after an
    undo.

    Args:
        armature: Character.
        rig: Its rest pose.
        scene: Scene whose time counts.
        frame_start: Scene frame of the first sample.
        num_frames: Number of samples F.
        fps: Samples per second.

    Yields:
        The fraction done, after each step of a few milliseconds.

    Returns:
        The clip, with the 52 ARKit channels; of a face without shapes, those of the jaw.
    """
    from dataclasses import replace

    from ...engine.motion.arkit import ARKIT_NAMES
    from ...engine.motion.face_bases import jaw_channels

    times = frame_start + np.arange(num_frames) * (scene_fps(scene) / fps)
    if _poses_are_plain(armature, rig):
        poses = yield from _from_fcurves(armature, rig, times)
    else:
        poses = yield from _by_stepping(armature, rig, scene, times)
    expressions = np.zeros((num_frames, len(ARKIT_NAMES)), dtype=np.float32)
    faces = shape_keys.find_face_meshes(armature, ARKIT_NAMES)
    values: list[np.ndarray] = []
    for face in faces:
        values.append((yield from _face_values(face, scene, times)))
    if faces:
        expressions = shape_keys.arkit_values(faces, values)
    clip = bones_to_clip(poses, rig, fps)
    clip = replace(
        clip,
        expressions=expressions,
        expression_names=ARKIT_NAMES,
        basis="arkit",
        feet=feet.read(armature, times),
    )
    return clip if any(face.opens_mouth for face in faces) else jaw_channels(clip)


def current_clip(
    armature: bpy.types.Object,
    rig: Rig | MappedRig,
    scene: bpy.types.Scene,
    frame_start: int,
    num_frames: int,
    fps: float,
) -> Clip:
    """Run `sample_clip` to its end."""
    steps = sample_clip(armature, rig, scene, frame_start, num_frames, fps)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def _poses_are_plain(armature: bpy.types.Object, rig: Rig | MappedRig) -> bool:
    if not isinstance(rig, Rig):
        return mapped_rig.is_plain(armature, rig)
    bones = armature.pose.bones
    if not action.is_plainly_keyed(armature) or any(bones[name].constraints for name in rig.bone_names):
        return False
    names = set(rig.bone_names)
    between = [
        bone for name in rig.bone_names for bone in bones[name].parent_recursive if bone.name not in names
    ]
    return not between


def _from_fcurves(
    armature: bpy.types.Object, rig: Rig | MappedRig, times: np.ndarray
) -> Generator[float, None, BonePoses]:
    quaternions = np.zeros((len(times), len(rig.bone_names), 4))
    for joint, name in enumerate(rig.bone_names):
        bone = armature.pose.bones[name]
        path = f'pose.bones["{bpy.utils.escape_identifier(name)}"]'
        if bone.rotation_mode == "QUATERNION":
            for index in range(4):
                quaternions[:, joint, index] = _values(
                    armature, f"{path}.rotation_quaternion", index, bone.rotation_quaternion[index], times
                )
        else:
            quaternions[:, joint] = _euler_or_axis(armature, bone, path, times)
        yield joint / len(rig.bone_names)
    norm = np.linalg.norm(quaternions, axis=-1, keepdims=True)
    quaternions = np.where(norm > 1e-9, quaternions / np.maximum(norm, 1e-9), (1.0, 0.0, 0.0, 0.0))
    pelvis = armature.pose.bones[rig.bone_names[0]]
    path = f'pose.bones["{bpy.utils.escape_identifier(pelvis.name)}"].location'
    columns = [_values(armature, path, index, pelvis.location[index], times) for index in range(3)]
    return BonePoses(quaternions, np.stack(columns, axis=1))


def _euler_or_axis(
    armature: bpy.types.Object, bone: bpy.types.PoseBone, path: str, times: np.ndarray
) -> np.ndarray:
    """Quaternions, (F, 4), of a bone keyed in another rotation mode."""
    from mathutils import Euler, Quaternion

    if bone.rotation_mode == "AXIS_ANGLE":
        rows = [
            _values(armature, f"{path}.rotation_axis_angle", i, bone.rotation_axis_angle[i], times)
            for i in range(4)
        ]
        return np.array([Quaternion(row[1:], row[0]) for row in np.stack(rows, axis=1).tolist()])
    rows = [_values(armature, f"{path}.rotation_euler", i, bone.rotation_euler[i], times) for i in range(3)]
    if all(np.ptp(row) == 0 for row in rows):
        return np.tile(np.array(bone_quaternion(bone)), (len(times), 1))
    return np.array(
        [Euler(row, bone.rotation_mode).to_quaternion() for row in np.stack(rows, axis=1).tolist()]
    )


def _values(datablock: bpy.types.ID, path: str, index: int, current: float, times: np.ndarray) -> np.ndarray:
    """One channel at the given frames, (F,); its current value where it is not keyed."""
    fcurve = action.find_fcurve(datablock, path, index)
    if fcurve is None or fcurve.mute or len(fcurve.keyframe_points) == 0:
        return np.full(len(times), current)
    return action.values_at(fcurve, times)


def _face_values(
    face: shape_keys.FaceMesh, scene: bpy.types.Scene, times: np.ndarray
) -> Generator[float, None, np.ndarray]:
    """Values of a face mesh's channels at the given frames, (F, C)."""
    keys = bpy.data.meshes[face.mesh_name].shape_keys
    if action.is_plainly_keyed(keys):
        yield 1.0
        columns = [
            _values(keys, shape_keys.value_path(block), 0, keys.key_blocks[block].value, times)
            for block in face.blocks.values()
        ]
        return np.stack(columns, axis=1)
    rows: list[list[float]] = []
    for time in times.tolist():
        with _shown(scene, time):
            rows.append([keys.key_blocks[block].value for block in face.blocks.values()])
        yield len(rows) / len(times)
    return np.array(rows)


@contextmanager
def _shown(scene: bpy.types.Scene, time: float) -> Iterator[None]:
    """Show another moment of a scene for as long as this lasts."""
    before, subframe = scene.frame_current, scene.frame_subframe
    whole = int(np.floor(time + 1e-6))
    scene.frame_set(whole, subframe=min(max(time - whole, 0.0), 0.999999))
    yield
    scene.frame_set(before, subframe=subframe)


def _by_stepping(
    armature: bpy.types.Object, rig: Rig | MappedRig, scene: bpy.types.Scene, times: np.ndarray
) -> Generator[float, None, BonePoses]:
    frames: list[BonePoses] = []
    for row, time in enumerate(times.tolist()):
        with _shown(scene, time):
            frames.append(evaluated_pose(armature, rig, bpy.context.evaluated_depsgraph_get()))
        yield row / len(times)
    return BonePoses(
        np.concatenate([frame.quaternions for frame in frames]),
        np.concatenate([frame.pelvis_locations for frame in frames]),
    )
