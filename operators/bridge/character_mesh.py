# SPDX-License-Identifier: GPL-3.0-or-later
"""Skinned meshes: geometry, vertex groups, shape keys and materials, written in bulk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import bmesh
import bpy
import numpy as np
import numpy.typing as npt

from .armature import ENGINE_TO_BLENDER

if TYPE_CHECKING:
    from ...engine.motion.arrays import FloatArray, IntArray
    from ...engine.motion.character_asset import Material

MATERIAL_PREFIX = "Kinesics "
COLOUR_ATTRIBUTE = "Color"
SMALLEST_WEIGHT = 1e-4


@dataclass(frozen=True)
class ShapeKey:
    """One face shape.

    Attributes:
        name: Name of the shape key.
        rows: Vertices it moves, (N,).
        offsets: Their offsets in engine axes, (N, 3), metres.
        slider_min: Smallest value.
        slider_max: Largest value.
    """

    name: str
    rows: IntArray
    offsets: FloatArray
    slider_min: float = 0.0
    slider_max: float = 1.0


def build_mesh(
    name: str, armature: bpy.types.Object, vertices: FloatArray, faces: IntArray, weights: FloatArray
) -> bpy.types.Object:
    """Make a smooth mesh in the armature's rest pose, skinned to its bones.

    Args:
        name: Name of the object and its data.
        armature: Made by `build_armature` from the same skeleton.
        vertices: T-pose, (V, 3), metres, engine axes, pelvis joint at the origin.
        faces: Triangles or quads, (N, 3 or 4).
        weights: Skin weights of the 55 joints, (V, 55).

    Returns:
        The new object, child of the armature.
    """
    from ...engine.motion.skeleton import JOINT_NAMES

    pelvis = np.array(armature.data.bones[JOINT_NAMES[0]].head_local)
    places = vertices.astype(np.float64) @ ENGINE_TO_BLENDER.T + pelvis
    mesh = bpy.data.meshes.new(name)
    corners = faces.shape[1]
    mesh.vertices.add(len(places))
    mesh.vertices.foreach_set("co", places.astype(np.float32).ravel())
    mesh.loops.add(faces.size)
    mesh.loops.foreach_set("vertex_index", faces.astype(np.int32).ravel())
    mesh.polygons.add(len(faces))
    mesh.polygons.foreach_set("loop_start", np.arange(0, faces.size, corners, dtype=np.int32))
    mesh.update(calc_edges=True)
    mesh.shade_smooth()
    _write_weights(mesh, weights)

    body = bpy.data.objects.new(name, mesh)
    for collection in armature.users_collection:
        collection.objects.link(body)
    for joint in JOINT_NAMES:
        body.vertex_groups.new(name=joint)
    body.parent = armature
    modifier = body.modifiers.new("Armature", "ARMATURE")
    modifier.object = armature
    modifier.use_vertex_groups = True
    return body


def _write_weights(mesh: bpy.types.Mesh, weights: FloatArray) -> None:
    """Store weights for vertex groups 0..54; the groups themselves belong to the object."""
    rows, joints = np.nonzero(weights > SMALLEST_WEIGHT)
    values = weights[rows, joints].tolist()
    work = bmesh.new()
    try:
        work.from_mesh(mesh)
        layer = work.verts.layers.deform.verify()
        work.verts.ensure_lookup_table()
        verts = work.verts
        for row, joint, value in zip(rows.tolist(), joints.tolist(), values, strict=True):
            verts[row][layer][joint] = value
        work.to_mesh(mesh)
    finally:
        work.free()


def add_shape_keys(body: bpy.types.Object, shapes: list[ShapeKey]) -> None:
    """Add a Basis and one shape key per shape."""
    basis_key = body.shape_key_add(name="Basis", from_mix=False)
    basis = np.empty(3 * len(body.data.vertices), dtype=np.float32)
    basis_key.data.foreach_get("co", basis)
    turn = ENGINE_TO_BLENDER.astype(np.float32)
    for shape in shapes:
        block = body.shape_key_add(name=shape.name, from_mix=False)
        moved = basis.reshape(-1, 3).copy()
        moved[shape.rows] += shape.offsets @ turn.T
        block.data.foreach_set("co", moved.ravel())
        block.slider_min, block.slider_max = shape.slider_min, shape.slider_max
        block.value = 0.0  # Blender 5.0 makes new keys with the value 1


def paint(
    body: bpy.types.Object,
    materials: tuple[Material, ...],
    face_materials: IntArray,
    colours: npt.NDArray[np.float32],
) -> None:
    """Give the mesh its materials and vertex colours (sRGB, (V, 3))."""
    mesh = body.data
    for material in materials:
        mesh.materials.append(_material(material))
    mesh.polygons.foreach_set("material_index", face_materials.astype(np.int32))
    layer = mesh.color_attributes.new(COLOUR_ATTRIBUTE, "BYTE_COLOR", "POINT")
    opaque = np.concatenate([colours, np.ones((len(colours), 1), dtype=np.float32)], axis=1)
    layer.data.foreach_set("color_srgb", opaque.ravel())
    mesh.update()


def _material(source: Material) -> bpy.types.Material:
    """The material of that name, made on first use and shared by all characters of a file."""
    name = MATERIAL_PREFIX + source.name
    present = bpy.data.materials.get(name)
    if present is not None and present.library is None:
        return present
    made = bpy.data.materials.new(name)
    made.diffuse_color = (*source.colour, 1.0)
    made.roughness = source.roughness
    if bpy.app.version < (5, 0, 0):
        made.use_nodes = True
    shader = next(node for node in made.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    shader.inputs["Base Color"].default_value = (*source.colour, 1.0)
    shader.inputs["Roughness"].default_value = source.roughness
    painted = made.node_tree.nodes.new("ShaderNodeVertexColor")
    painted.layer_name = COLOUR_ATTRIBUTE
    painted.location = (-220.0, 200.0)
    made.node_tree.links.new(painted.outputs["Color"], shader.inputs["Base Color"])
    return made
