# SPDX-License-Identifier: GPL-3.0-or-later
"""SMPL-X expressions as a face: the map from ARKit's channels, fitted once and kept on the mesh."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import bpy
import numpy as np

if TYPE_CHECKING:
    from ...engine.motion.expression_fit import ExpressionFit

KEPT = "kinesics_expressions"
"""Custom property of the mesh that holds the map."""

LEAST = 10
"""Fewest expressions of a model; the small SMPL-X files have as many."""

NUM_ARKIT = 52
ASSET = Path(__file__).resolve().parents[2] / "assets" / "character.npz"


def expression_shapes(names: list[str]) -> dict[str, str]:
    """The shape key of each expression by its channel, in order, where a mesh has them from the first on."""
    from ...engine.motion.face_names import plain_shape

    found = {plain_shape(name): name for name in names}
    numbers = sorted(int(name[3:]) for name in found if re.fullmatch(r"exp\d{1,3}", name))
    first = numbers[0] if numbers else 0
    if len(numbers) < LEAST or first > 1 or numbers != list(range(first, first + len(numbers))):
        return {}
    return {f"exp{number:03d}": found[f"exp{number}"] for number in numbers}


def fit_of(
    armature: bpy.types.Object, body: bpy.types.Object, shapes: dict[str, str]
) -> ExpressionFit | None:
    """The map of a mesh with expressions: the one that is kept, else one that is fitted now.

    Args:
        armature: With the 55 SMPL-X bones.
        body: Mesh object that follows it.
        shapes: What `expression_shapes` found on it.

    Returns:
        None where the rig is no SMPL-X one or the mesh has no SMPL-X face.
    """
    from ...engine.motion.expression_fit import ExpressionFit

    count = len(shapes)
    kept = body.data.get(KEPT)
    if kept is not None and len(kept) == count * (NUM_ARKIT + count):
        values = np.array(kept, dtype=np.float64)
        coefficients, metric = np.split(values, [NUM_ARKIT * count])
        return ExpressionFit(coefficients.reshape(NUM_ARKIT, count), metric.reshape(count, count))
    fit = _fitted(armature, body, shapes)
    if fit is not None and body.data.library is None:
        body.data[KEPT] = np.concatenate([fit.coefficients.ravel(), fit.metric.ravel()]).tolist()
    return fit


def _fitted(
    armature: bpy.types.Object, body: bpy.types.Object, shapes: dict[str, str]
) -> ExpressionFit | None:
    from ...engine.errors import ClipError
    from ...engine.motion.character_asset import load_character
    from ...engine.motion.expression_fit import fit_expressions
    from ..errors import CharacterError
    from .armature import read_smplx_rig

    try:
        rig = read_smplx_rig(armature)
        asset = load_character(ASSET)
    except (CharacterError, ClipError):
        return None
    keys = body.data.shape_keys
    to_armature = np.array(armature.matrix_world.inverted_safe() @ body.matrix_world, dtype=np.float64)
    basis = _coordinates(keys.reference_key)
    into_engine = to_armature[:3, :3].T @ rig.axes / rig.scale
    vertices = basis @ into_engine + to_armature[:3, 3] @ rig.axes / rig.scale
    moved = np.stack([_coordinates(keys.key_blocks[name]) - basis for name in shapes.values()])
    heads = np.array([armature.data.bones[name].head_local for name in rig.bone_names], dtype=np.float64)
    try:
        return fit_expressions(vertices, moved @ into_engine, heads @ rig.axes / rig.scale, asset)
    except ClipError:
        return None


def _coordinates(block: bpy.types.ShapeKey) -> np.ndarray:
    """Places of a shape's vertices, (V, 3)."""
    flat = np.empty(3 * len(block.data), dtype=np.float32)
    block.data.foreach_get("co", flat)
    return flat.reshape(-1, 3).astype(np.float64)
