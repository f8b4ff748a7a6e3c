# SPDX-License-Identifier: GPL-3.0-or-later
"""Face channels of a clip and the shape keys of the meshes that follow an armature."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import bpy
import numpy as np
import numpy.typing as npt

from ..errors import CharacterError
from . import action

if TYPE_CHECKING:
    from ...engine.motion.clip import Clip


@dataclass(frozen=True)
class FaceMesh:
    """One mesh whose shape keys carry face channels.

    Attributes:
        mesh_name: Name of the mesh datablock.
        blocks: Shape key name of each channel that the mesh has, by channel name.
    """

    mesh_name: str
    blocks: dict[str, str]


def plain_name(name: str) -> str:
    """A channel or shape key name without case, separators and the common ways to write sides and numbers.

    jawOpen, JawOpen and jaw_open are one channel; so are mouthSmileLeft and mouthSmile_L, and Exp000 and
    expression_0.
    """
    name = re.sub(r"[._ -]+l$", "left", re.sub(r"[._ -]+r$", "right", name.strip().lower()))
    letters = re.sub(r"[^a-z0-9]", "", name)
    numbered = re.fullmatch(r"exp(?:ression)?s?(\d+)", letters)
    return f"exp{int(numbered.group(1))}" if numbered else letters


def meshes_of(armature: bpy.types.Object) -> list[bpy.types.Object]:
    """Mesh objects that the armature deforms or that are parented to it, one per mesh datablock."""
    found: dict[bpy.types.Mesh, bpy.types.Object] = {}
    for item in bpy.data.objects:
        if item.type == "MESH" and item.data not in found and _belongs(item, armature):
            found[item.data] = item
    return list(found.values())


def find_face_meshes(armature: bpy.types.Object, channel_names: tuple[str, ...]) -> list[FaceMesh]:
    """Match face channels to the shape keys of all meshes of a character by name."""
    faces: list[FaceMesh] = []
    for item in meshes_of(armature):
        keys = item.data.shape_keys
        if keys is None:
            continue
        present = {plain_name(block.name): block.name for block in keys.key_blocks[1:]}
        blocks = {name: present[plain_name(name)] for name in channel_names if plain_name(name) in present}
        if blocks:
            faces.append(FaceMesh(item.data.name, blocks))
    return faces


def check_writable(armature: bpy.types.Object, faces: list[FaceMesh]) -> None:
    """Refuse face meshes that cannot be keyed, or whose keys would also move another character's face.

    Raises:
        CharacterError: Naming the mesh and what to do.
    """
    for face in faces:
        mesh = bpy.data.meshes[face.mesh_name]
        if mesh.library is not None or mesh.shape_keys.library is not None:
            raise CharacterError(
                f'The face mesh "{mesh.name}" is linked from another file: make a library override of it or '
                "a "
                "local copy, or set Face to Keep."
            )
        for item in bpy.data.objects:
            if item.type == "MESH" and item.data == mesh and not _belongs(item, armature):
                raise CharacterError(
                    f'The face mesh "{mesh.name}" is also used by "{item.name}", whose face would move too: '
                    "use "
                    "Object > Relations > Make Single User > Object & Data, or set Face to Keep."
                )


def write_face(
    armature: bpy.types.Object, faces: list[FaceMesh], clip: Clip, frame_start: int, action_name: str
) -> None:
    """Key the face channels of a clip on the matching shape keys.

    On Blender 4.4 and later the keys lie in the armature's action, in a slot of their own; before, in an
    action beside it.
    """
    columns = {name: index for index, name in enumerate(clip.expression_names)}
    body_action = armature.animation_data.action if armature.animation_data else None
    for face in faces:
        keys = bpy.data.meshes[face.mesh_name].shape_keys
        action.ensure_action(keys, f"{action_name} {face.mesh_name}", shared=body_action)
        values = clip.expressions[:, [columns[name] for name in face.blocks]]
        for index, block_name in enumerate(face.blocks.values()):
            _widen_slider(keys.key_blocks[block_name], values[:, index])
        action.write_channels(keys, channels_of(face), values, frame_start)


def splice_face(
    armature: bpy.types.Object, face: FaceMesh, clip: Clip, frame_start: int, action_name: str
) -> None:
    """Key the face channels of a stretch, leaving every key outside it as it is; see `splicing`."""
    from . import splicing

    keys = bpy.data.meshes[face.mesh_name].shape_keys
    values = clip.expressions[:, [clip.expression_names.index(name) for name in face.blocks]]
    for index, block_name in enumerate(face.blocks.values()):
        _widen_slider(keys.key_blocks[block_name], values[:, index])
    channels = channels_of(face)
    curves = splicing.Curves(channels, values.astype(np.float64), [False] * len(channels))
    body_action = armature.animation_data.action if armature.animation_data else None
    splicing.splice(keys, curves, frame_start, f"{action_name} {face.mesh_name}", shared=body_action)


def channels_of(face: FaceMesh) -> list[action.Channel]:
    """The animated numbers of a face mesh's channels."""
    return [action.Channel(value_path(block_name)) for block_name in face.blocks.values()]


def value_path(block_name: str) -> str:
    """RNA path of a shape key's value from the shape key datablock."""
    return f'key_blocks["{bpy.utils.escape_identifier(block_name)}"].value'


def _belongs(item: bpy.types.Object, armature: bpy.types.Object) -> bool:
    parent = item.parent
    while parent is not None:
        if parent == armature:
            return True
        parent = parent.parent
    return any(modifier.type == "ARMATURE" and modifier.object == armature for modifier in item.modifiers)


def _widen_slider(block: bpy.types.ShapeKey, values: npt.NDArray[np.float32]) -> None:
    """Let the slider reach the values, which Blender would cut off otherwise."""
    block.slider_max = max(block.slider_max, math.ceil(float(values.max()) - 1e-6))
    block.slider_min = min(block.slider_min, math.floor(float(values.min()) + 1e-6))
