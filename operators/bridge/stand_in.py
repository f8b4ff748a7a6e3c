# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of a character in a scene of its own that does one take and nothing else, for exporters.

Exporters write what is in a scene: every action, constraints' targets, other characters. The copy has plain
keys alone, from frame 0 on, read off what the character is seen to do; with it everything else stays out of
the file, and nothing of the animator's scene is touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import bpy
import numpy as np
import numpy.typing as npt
from mathutils import Matrix

from . import action, shape_keys

Float64Array = npt.NDArray[np.float64]
_STILL = 1e-7


@dataclass(frozen=True)
class Seen:
    """What a character is seen to do, frame by frame.

    Attributes:
        bone_names: Its bones, parents before children.
        bones: Their matrices in the world, (F, bones, 4, 4).
        armature: The object's matrix in the world, (F, 4, 4).
        faces: Values of the shape keys of each mesh, by its name, (F, keys).
    """

    bone_names: tuple[str, ...]
    bones: Float64Array
    armature: Float64Array
    faces: dict[str, Float64Array]


def take_frames(armature: bpy.types.Object, scene: bpy.types.Scene) -> range:
    """Frames of what is on show: those with keys, or the scene's where constraints or NLA strips move it."""
    keyed = [armature, *(mesh.data.shape_keys for mesh in shape_keys.meshes_of(armature))]
    ends = [action.key_range(item) for item in keyed if item is not None]
    first, last = min(end[0] for end in ends), max(end[1] for end in ends)
    if first > last or not action.is_plainly_keyed(armature):
        return range(scene.frame_start, scene.frame_end + 1)
    return range(int(np.floor(first + 1e-3)), int(np.ceil(last - 1e-3)) + 1)


def watch(armature: bpy.types.Object, scene: bpy.types.Scene, frames: range) -> Seen:
    """Step a scene through some frames and note what is seen; its current frame is restored."""
    names = [bone.name for bone in sorted(armature.data.bones, key=lambda bone: len(bone.parent_recursive))]
    keys = {mesh.data.name: mesh for mesh in shape_keys.meshes_of(armature) if mesh.data.shape_keys}
    faces: dict[str, list[list[float]]] = {name: [] for name in keys}
    bones, worlds = np.empty((len(frames), len(names), 4, 4)), np.empty((len(frames), 4, 4))
    before, subframe = scene.frame_current, scene.frame_subframe
    try:
        for row, frame in enumerate(frames):
            scene.frame_set(frame)
            depsgraph = bpy.context.evaluated_depsgraph_get()
            evaluated = armature.evaluated_get(depsgraph)
            worlds[row] = evaluated.matrix_world
            pose = evaluated.pose.bones
            for place, name in enumerate(names):
                bones[row, place] = pose[name].matrix
            for name, mesh in keys.items():
                blocks = mesh.evaluated_get(depsgraph).data.shape_keys or mesh.data.shape_keys
                faces[name].append([block.value for block in blocks.key_blocks])
    finally:
        scene.frame_set(before, subframe=subframe)
    seen = {name: np.array(rows) for name, rows in faces.items()}
    return Seen(tuple(names), worlds[:, None] @ bones, worlds, seen)


def root_bone(armature: bpy.types.Object, pelvis: str) -> str:
    """The topmost bone above the pelvis; empty where the pelvis is the topmost."""
    above = armature.data.bones[pelvis].parent_recursive
    return above[-1].name if above else ""


def on_root(seen: Seen, armature: bpy.types.Object, pelvis: str) -> Seen:
    """Let the root carry the way over the floor and the heading, which the hips then need not.

    The root is the topmost bone, or, where the pelvis is that, the object. What is seen of all other bones
    does not change.
    """
    from ...engine.motion.rotations import matrix_to_quaternion

    rest = seen.armature[0] @ np.array(armature.data.bones[pelvis].matrix_local)
    hips = seen.bones[:, seen.bone_names.index(pelvis)]
    turns = _unscaled(hips) @ _unscaled(rest[None]).transpose(0, 2, 1)
    quaternion = matrix_to_quaternion(turns)
    heading = np.unwrap(2.0 * np.arctan2(quaternion[:, 3], quaternion[:, 0]))
    way = np.tile(np.eye(4), (len(hips), 1, 1))
    way[:, 0, 0] = way[:, 1, 1] = np.cos(heading)
    way[:, 1, 0] = np.sin(heading)
    way[:, 0, 1] = -way[:, 1, 0]
    way[:, :2, 3] = hips[:, :2, 3] - (way[:, :2, :2] @ rest[:2, 3, None])[..., 0]
    root = root_bone(armature, pelvis)
    if not root:
        return replace(seen, armature=way @ seen.armature[0])
    bones = seen.bones.copy()
    bones[:, seen.bone_names.index(root)] = (
        way @ seen.armature[0] @ np.array(armature.data.bones[root].matrix_local)
    )
    return replace(seen, bones=bones)


def _unscaled(matrices: Float64Array) -> Float64Array:
    """Rotations, (N, 3, 3), of matrices, (N, 4, 4)."""
    turns = matrices[:, :3, :3]
    return turns / np.linalg.norm(turns, axis=1, keepdims=True)


@contextmanager
def stand_in(
    armature: bpy.types.Object, scene: bpy.types.Scene, seen: Seen, name: str
) -> Iterator[tuple[bpy.types.Scene, bpy.types.Object]]:
    """Put a copy of a character that does what was seen into a scene of its own, for as long as this lasts.

    Args:
        armature: Character.
        scene: Scene whose rate and units count.
        seen: What the copy shall do.
        name: Name of the scene and of its action, which exporters give to what they write.

    Yields:
        The scene and the copy, which is active; it and its meshes are selected.
    """
    before = {kind: set(getattr(bpy.data, kind)) for kind in ("objects", "meshes", "actions", "armatures")}
    names: list[tuple[bpy.types.ID, str]] = []
    place = bpy.data.scenes.new(name)
    try:
        place.render.fps, place.render.fps_base = scene.render.fps, scene.render.fps_base
        place.unit_settings.system = scene.unit_settings.system
        place.unit_settings.scale_length = scene.unit_settings.scale_length
        place.frame_start, place.frame_end = 0, len(seen.bones) - 1
        copy = _copy_armature(armature, place, seen, name)
        twins = _copy_meshes(armature, copy, place, seen, name)
        for original, twin in {armature: copy, **twins}.items():
            for one, other in ((original, twin), (original.data, twin.data)):
                if one.library is None:
                    names.append((one, one.name))
                _swap_names(one, other)
        layer = place.view_layers[0]
        layer.update()
        for item in layer.objects:
            item.select_set(True, view_layer=layer)
        layer.objects.active = copy
        place.frame_set(0)
        yield place, copy
    finally:
        bpy.data.scenes.remove(place)
        for kind, there in before.items():
            collection = getattr(bpy.data, kind)
            for item in set(collection) - there:
                collection.remove(item)
        for original, own in names:
            original.name = own


def _swap_names(original: bpy.types.ID, twin: bpy.types.ID) -> None:
    """Let a copy be called like the original, which is out of the way until the copy is gone."""
    name = original.name
    if original.library is None:
        original.name = f"{name[:50]} kept"
    twin.name = name


def _copy_armature(
    armature: bpy.types.Object, place: bpy.types.Scene, seen: Seen, name: str
) -> bpy.types.Object:
    """The armature without constraints and drivers, keyed."""
    copy = armature.copy()
    copy.data = armature.data.copy()
    for item in (copy, copy.data):
        item.animation_data_clear()
    place.collection.objects.link(copy)
    copy.parent = None
    for constraint in list(copy.constraints):
        copy.constraints.remove(constraint)
    for bone in copy.pose.bones:
        for constraint in list(bone.constraints):
            bone.constraints.remove(constraint)
        bone.rotation_mode = "QUATERNION"
    copy.rotation_mode = "QUATERNION"
    copy.matrix_world = Matrix(seen.armature[0].tolist())
    copy.hide_viewport = copy.hide_render = False
    action.ensure_action(copy, name)
    channels, columns = _object_keys(seen.armature)
    local = _local_matrices(copy, seen)
    for index, bone in enumerate(seen.bone_names):
        path = f'pose.bones["{bpy.utils.escape_identifier(bone)}"].'
        made, values = _keys(local[:, index], path, bone)
        channels += made
        columns += values
    action.write_channels(copy, channels, np.stack(columns, axis=1), 0)
    return copy


def _object_keys(worlds: Float64Array) -> tuple[list[action.Channel], list[Float64Array]]:
    """Channels of the object; none where it stands still."""
    if np.abs(worlds - worlds[0]).max() < _STILL:
        return [], []
    return _keys(worlds, "", "Object Transforms")


def _keys(matrices: Float64Array, path: str, group: str) -> tuple[list[action.Channel], list[Float64Array]]:
    """Location, rotation, and scale where there is any, of matrices, (F, 4, 4)."""
    from ...engine.motion.rotations import continuous_quaternions, matrix_to_quaternion

    scale = np.linalg.norm(matrices[:, :3, :3], axis=1)
    turns = continuous_quaternions(matrix_to_quaternion(matrices[:, :3, :3] / scale[:, None, :]))
    parts = [("location", matrices[:, :3, 3]), ("rotation_quaternion", turns)]
    if np.abs(scale - 1.0).max() > 1e-5:
        parts.append(("scale", scale))
    channels = [
        action.Channel(f"{path}{name}", index, group)
        for name, values in parts
        for index in range(values.shape[1])
    ]
    return channels, [column for _, values in parts for column in values.T]


def _local_matrices(copy: bpy.types.Object, seen: Seen) -> Float64Array:
    """Matrices of the bones' own channels, (F, bones, 4, 4), under which they are where they were seen."""
    poses = np.linalg.inv(seen.armature)[:, None] @ seen.bones
    local = np.empty_like(poses)
    index = {name: place for place, name in enumerate(seen.bone_names)}
    for place, name in enumerate(seen.bone_names):
        bone = copy.data.bones[name]
        rest = bone.matrix_local
        above = index[bone.parent.name] if bone.parent else -1
        rest_above = bone.parent.matrix_local if bone.parent else None
        for frame in range(len(poses)):
            pose = Matrix(poses[frame, place].tolist())
            if above < 0:
                local[frame, place] = bone.convert_local_to_pose(pose, rest, invert=True)
            else:
                local[frame, place] = bone.convert_local_to_pose(
                    pose,
                    rest,
                    parent_matrix=Matrix(poses[frame, above].tolist()),
                    parent_matrix_local=rest_above,
                    invert=True,
                )
    return local


def _copy_meshes(
    armature: bpy.types.Object, copy: bpy.types.Object, place: bpy.types.Scene, seen: Seen, name: str
) -> dict[bpy.types.Object, bpy.types.Object]:
    """The meshes' copies, bound to the copy of the armature, their shape keys keyed."""
    twins: dict[bpy.types.Object, bpy.types.Object] = {}
    for mesh in shape_keys.meshes_of(armature):
        twin = twins[mesh] = mesh.copy()
        twin.data = mesh.data.copy()
        twin.animation_data_clear()
        place.collection.objects.link(twin)
        for modifier in twin.modifiers:
            if modifier.type == "ARMATURE" and modifier.object == armature:
                modifier.object = copy
        if mesh.parent == armature:
            twin.parent = copy
        elif mesh.parent is not None:
            world = mesh.matrix_world.copy()
            twin.parent = None
            twin.matrix_world = world
        twin.hide_viewport = twin.hide_render = False
        keys, values = twin.data.shape_keys, seen.faces.get(mesh.data.name)
        if keys is None or values is None:
            continue
        keys.animation_data_clear()
        blocks = keys.key_blocks
        moving = [at for at in range(1, len(blocks)) if np.ptp(values[:, at]) > _STILL]
        for at in range(1, len(blocks)):
            blocks[at].value = values[0, at]
        if moving:
            action.ensure_action(keys, f"{name} {mesh.name}")
            channels = [action.Channel(shape_keys.value_path(blocks[at].name)) for at in moving]
            action.write_channels(keys, channels, values[:, moving], 0)
    return twins
