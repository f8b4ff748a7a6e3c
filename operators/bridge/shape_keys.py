# SPDX-License-Identifier: GPL-3.0-or-later
"""Face channels of a clip and the shape keys of the meshes that follow an armature."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import bpy
import numpy as np
import numpy.typing as npt

from ..errors import CharacterError
from . import action

if TYPE_CHECKING:
    from ...engine.motion.clip import Clip
    from ...engine.motion.expression_fit import ExpressionFit
    from ...engine.motion.face_names import FaceMapping


SMPLX = "smplx"
"""Kind of a face whose channels are those of the clip itself, by number."""

EXPRESSIONS = "expressions"
"""Kind of a face with SMPL-X expressions that follows ARKit's channels by a map of its own."""


@dataclass(frozen=True)
class FaceMesh:
    """One mesh whose shape keys carry face channels.

    Attributes:
        mesh_name: Name of the mesh datablock.
        blocks: Shape key name of each channel that the mesh has, by channel name.
        kind: Kind of face the channels belong to, a key of `face_names.FACE_KINDS`, `SMPLX` or `EXPRESSIONS`.
        channels: All channels of the character, on any mesh, which share a mixture out among them.
        fit: The map of a face of the kind `EXPRESSIONS`.
    """

    mesh_name: str
    blocks: dict[str, str]
    kind: str
    channels: tuple[str, ...]
    fit: ExpressionFit | None = None

    @property
    def opens_mouth(self) -> bool:
        """Whether the shapes open the mouth; else the jaw bone does."""
        return self.kind != EXPRESSIONS


def meshes_of(armature: bpy.types.Object) -> list[bpy.types.Object]:
    """Mesh objects that the armature deforms or that are parented to it, one per mesh datablock."""
    found: dict[bpy.types.Mesh, bpy.types.Object] = {}
    for item in bpy.data.objects:
        if item.type == "MESH" and item.data not in found and _belongs(item, armature):
            found[item.data] = item
    return list(found.values())


def shape_names(armature: bpy.types.Object) -> dict[str, list[str]]:
    """Names of the shape keys of a character, without the basis, by the name of each mesh that has any."""
    keys = {item.data.name: item.data.shape_keys for item in meshes_of(armature)}
    return {name: [block.name for block in key.key_blocks[1:]] for name, key in keys.items() if key}


def own_face(armature: bpy.types.Object) -> FaceMapping | None:
    """The table of shapes that was set up for a character, or None."""
    from ...engine.motion.face_names import FACE_KINDS, FaceMapping

    table = armature.kinesics_face
    if table.kind not in FACE_KINDS or len(table.rows) == 0:
        return None
    channels = FACE_KINDS[table.kind].channels
    shapes = {row.channel: row.shape for row in table.rows if row.shape and row.channel in channels}
    return FaceMapping(table.kind, shapes)


def found_face(armature: bpy.types.Object) -> FaceMapping | None:
    """The kind of face that the shape keys' names tell, or None where they tell nothing."""
    from ...engine.motion.face_names import recognise_face

    return recognise_face(name for names in shape_names(armature).values() for name in names)


def find_face_meshes(armature: bpy.types.Object, channel_names: tuple[str, ...]) -> list[FaceMesh]:
    """Match face channels to the shape keys of all meshes of a character.

    ARKit's channels go to whatever kind of face the character has, by its table or by the names of its
    shapes, the same kind on all meshes; others go to shapes of their own names.
    """
    from ...engine.motion.arkit import ARKIT_INDEX
    from ...engine.motion.face_names import find_shapes, mapping_of_face

    shapes = shape_names(armature) if channel_names else {}
    own = own_face(armature)
    if not ARKIT_INDEX.keys() >= set(channel_names):
        wanted = {name: (name,) for name in channel_names}
        kind, blocks = SMPLX, {mesh: find_shapes(wanted, names) for mesh, names in shapes.items()}
    elif own is not None:
        kind = own.kind
        blocks = {
            mesh: {channel: shape for channel, shape in own.shapes.items() if shape in names}
            for mesh, names in shapes.items()
        }
    elif (found := found_face(armature)) is not None:
        kind = found.kind
        blocks = {mesh: dict(mapping_of_face(kind, names).shapes) for mesh, names in shapes.items()}
    else:
        return _expression_faces(armature, shapes)
    if kind == "arkit":  # channels that a clip lacks stay as they are
        blocks = {mesh: {n: some[n] for n in channel_names if n in some} for mesh, some in blocks.items()}
    channels = tuple(dict.fromkeys(channel for some in blocks.values() for channel in some))
    return [FaceMesh(mesh, some, kind, channels) for mesh, some in blocks.items() if some]


def _expression_faces(armature: bpy.types.Object, shapes: dict[str, list[str]]) -> list[FaceMesh]:
    """Meshes with the expressions of a SMPL-X model, each with its map."""
    from .expressions import expression_shapes, fit_of

    faces: list[FaceMesh] = []
    for item in meshes_of(armature):
        found = expression_shapes(shapes.get(item.data.name, []))
        fit = fit_of(armature, item, found) if found else None
        if fit is not None:
            faces.append(FaceMesh(item.data.name, found, EXPRESSIONS, tuple(found), fit))
    return faces


def arkit_values(faces: list[FaceMesh], values: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float32]:
    """ARKit weights, (F, 52), of the channels of a character's meshes, each (F, channels)."""
    from ...engine.motion.face_bases import to_arkit

    if faces[0].fit is not None:
        return faces[0].fit.to_arkit(values[0])
    channels: dict[str, npt.NDArray[np.float64]] = {}
    for face, columns in zip(faces, values, strict=True):
        channels |= dict(zip(face.blocks, columns.T, strict=True))
    return to_arkit(np.stack(list(channels.values()), axis=1), faces[0].kind, tuple(channels))


def face_values(face: FaceMesh, clip: Clip) -> npt.NDArray[np.float32]:
    """Values of a mesh's channels in a clip, (F, channels)."""
    from ...engine.motion.face_bases import from_arkit

    if face.kind == SMPLX:
        return clip.expressions[:, [clip.expression_names.index(name) for name in face.blocks]]
    if face.fit is not None:
        return face.fit.from_arkit(all_channels(clip))
    values = from_arkit(all_channels(clip), face.kind, face.channels)
    return values[:, [face.channels.index(name) for name in face.blocks]]


def all_channels(clip: Clip) -> npt.NDArray[np.float32]:
    """The 52 ARKit channels of a clip that may have fewer, (F, 52)."""
    from ...engine.motion.arkit import ARKIT_INDEX

    values = np.zeros((clip.num_frames, len(ARKIT_INDEX)), dtype=np.float32)
    values[:, [ARKIT_INDEX[name] for name in clip.expression_names]] = clip.expressions
    return values


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
    body_action = armature.animation_data.action if armature.animation_data else None
    for face in faces:
        keys = bpy.data.meshes[face.mesh_name].shape_keys
        action.ensure_action(keys, f"{action_name} {face.mesh_name}", shared=body_action)
        values = face_values(face, clip)
        for index, block_name in enumerate(face.blocks.values()):
            _widen_slider(keys.key_blocks[block_name], values[:, index])
        action.write_channels(keys, channels_of(face), values, frame_start)


def splice_face(
    armature: bpy.types.Object, face: FaceMesh, clip: Clip, frame_start: int, action_name: str
) -> None:
    """Key the face channels of a stretch, leaving every key outside it as it is; see `splicing`."""
    from . import splicing

    keys = bpy.data.meshes[face.mesh_name].shape_keys
    values = face_values(face, clip)
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
