# SPDX-License-Identifier: GPL-3.0-or-later
"""The default character's mesh, skin weights and face shapes as one compact file.

`tools/build_character.py` writes it; Add Character reads it. The file is an npz without pickles:

    format_version  int, 1
    vertices        (V, 3) float32, T-pose, metres, Y up, facing +Z, pelvis joint at the origin
    quads           (Q, 4) uint16
    quad_materials  (Q,) uint8, index into the materials
    colours         (V, 3) uint8, sRGB
    weight_joints   (V, K) uint8, SMPL-X joint indices
    weight_values   (V, K) uint16, rows sum to 65535
    shape_names     (52,) str, Apple's ARKit names in the order of `arkit.ARKIT_NAMES`
    shape_starts    (53,) int32, rows of the two tables below that belong to each shape
    shape_vertices  (N,) uint16
    shape_offsets   (N, 3) int16, in units of `shape_units`
    shape_units     (52,) float32, metres per unit
    materials       str, JSON list of {name, colour (linear RGB), roughness}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ..errors import ClipError
from ..whole_files import whole_file
from .arkit import ARKIT_NAMES
from .arrays import FloatArray, IntArray
from .skeleton import NUM_JOINTS

FORMAT_VERSION = 1
WEIGHT_SUM = 65535
MAX_FILE_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class Material:
    """How one region looks.

    Attributes:
        name: Material name.
        colour: Linear-light RGB.
        roughness: 0 for a mirror, 1 for chalk.
    """

    name: str
    colour: tuple[float, float, float]
    roughness: float


@dataclass(frozen=True)
class CharacterAsset:
    """The character in its T-pose.

    Attributes:
        vertices: (V, 3), metres, Y up, pelvis joint at the origin.
        quads: Faces, (Q, 4).
        quad_materials: Material index of each face, (Q,).
        colours: sRGB colour of each vertex in [0, 1], (V, 3).
        weights: Skin weights of the 55 joints, (V, 55), rows sum to 1.
        shapes: Face shapes: vertex indices (N,) and offsets (N, 3) in metres by ARKit name.
        materials: Materials in index order.
    """

    vertices: FloatArray
    quads: IntArray
    quad_materials: IntArray
    colours: FloatArray
    weights: FloatArray
    shapes: dict[str, tuple[IntArray, FloatArray]]
    materials: tuple[Material, ...]

    def vertices_of(self, material: str) -> IntArray:
        """Vertices of the faces with a material, ascending, (N,).

        Args:
            material: Its name.

        Raises:
            ValueError: If there is none of that name.
        """
        index = [known.name for known in self.materials].index(material)
        return np.unique(self.quads[self.quad_materials == index])


def save_character(path: Path, asset: CharacterAsset, influences: int) -> None:
    """Write the asset, quantised; the same asset always gives the same bytes.

    Args:
        path: File to write.
        asset: The character.
        influences: Most joints that move one vertex.
    """
    order = np.argsort(-asset.weights, axis=1, kind="stable")[:, :influences]
    values = np.take_along_axis(asset.weights, order, axis=1).astype(np.float64)
    values = np.rint(values / values.sum(axis=1, keepdims=True) * WEIGHT_SUM)
    values[:, 0] += WEIGHT_SUM - values.sum(axis=1)
    starts, vertices, offsets, units = [0], [], [], []
    for name in ARKIT_NAMES:
        rows, moved = asset.shapes[name]
        unit = float(np.abs(moved).max()) / 32767.0
        starts.append(starts[-1] + len(rows))
        vertices.append(rows.astype(np.uint16))
        offsets.append(np.rint(moved / unit).astype(np.int16))
        units.append(unit)
    listed = [{"name": m.name, "colour": list(m.colour), "roughness": m.roughness} for m in asset.materials]
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = dict(
        format_version=np.array(FORMAT_VERSION),
        vertices=asset.vertices.astype(np.float32),
        quads=asset.quads.astype(np.uint16),
        quad_materials=asset.quad_materials.astype(np.uint8),
        colours=np.rint(asset.colours * 255).astype(np.uint8),
        weight_joints=order.astype(np.uint8),
        weight_values=values.astype(np.uint16),
        shape_names=np.array(ARKIT_NAMES),
        shape_starts=np.array(starts, dtype=np.int32),
        shape_vertices=np.concatenate(vertices),
        shape_offsets=np.concatenate(offsets),
        shape_units=np.array(units, dtype=np.float32),
        materials=np.array(json.dumps(listed)),
    )
    with whole_file(path) as draft, draft.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def load_character(path: Path) -> CharacterAsset:
    """Read and check the asset.

    Raises:
        ClipError: If the file is missing, damaged or of another version.
    """
    if not path.is_file():
        raise ClipError(
            "The character's mesh is not built yet: run `make assets/character.npz` in the Kinesics folder."
        )
    damaged = ClipError(f"{path.name} is damaged: delete it and run `make assets/character.npz` again.")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise damaged
    try:
        with np.load(path, allow_pickle=False) as file:
            table: dict[str, npt.NDArray[Any]] = {name: file[name] for name in file.files}
        asset = _unpack(table)
    except (OSError, ValueError, KeyError, EOFError, IndexError, TypeError) as error:
        raise damaged from error
    except Exception as error:  # zipfile and zlib raise their own families on cut files
        if type(error).__module__ in ("zipfile", "zlib"):
            raise damaged from error
        raise
    return asset


def _unpack(table: dict[str, npt.NDArray[Any]]) -> CharacterAsset:
    """Check shapes and ranges, undo the quantisation; ValueError on any misfit."""
    vertices = table["vertices"].astype(np.float32)
    quads = table["quads"].astype(np.int64)
    count = len(vertices)
    joints, values = table["weight_joints"].astype(np.int64), table["weight_values"].astype(np.float64)
    starts = table["shape_starts"].astype(np.int64)
    moved = table["shape_vertices"].astype(np.int64)
    offsets, units = table["shape_offsets"], table["shape_units"].astype(np.float32)
    listed = cast("list[dict[str, Any]]", json.loads(str(table["materials"])))
    quad_materials = table["quad_materials"].astype(np.int64)
    sound = (
        int(table["format_version"]) == FORMAT_VERSION
        and vertices.ndim == 2
        and vertices.shape[1] == 3
        and bool(np.isfinite(vertices).all())
        and quads.ndim == 2
        and quads.shape[1] == 4
        and int(quads.max()) < count
        and quad_materials.shape == (len(quads),)
        and int(quad_materials.max()) < len(listed)
        and table["colours"].shape == vertices.shape
        and joints.shape == values.shape
        and len(joints) == count
        and int(joints.max()) < NUM_JOINTS
        and bool((values.sum(axis=1) == WEIGHT_SUM).all())
        and tuple(str(name) for name in table["shape_names"]) == ARKIT_NAMES
        and starts.shape == (len(ARKIT_NAMES) + 1,)
        and int(starts[0]) == 0
        and int(starts[-1]) == len(moved)
        and bool((np.diff(starts) > 0).all())
        and offsets.shape == (len(moved), 3)
        and int(moved.max()) < count
        and units.shape == (len(ARKIT_NAMES),)
    )
    if not sound:
        raise ValueError("inconsistent character file")
    weights = np.zeros((count, NUM_JOINTS), dtype=np.float32)
    np.add.at(weights, (np.arange(count)[:, None], joints), (values / WEIGHT_SUM).astype(np.float32))
    shapes: dict[str, tuple[IntArray, FloatArray]] = {}
    for index, name in enumerate(ARKIT_NAMES):
        rows = slice(int(starts[index]), int(starts[index + 1]))
        shapes[name] = (moved[rows], offsets[rows].astype(np.float32) * units[index])
    return CharacterAsset(
        vertices=vertices,
        quads=quads,
        quad_materials=quad_materials,
        colours=table["colours"].astype(np.float32) / 255.0,
        weights=weights,
        shapes=shapes,
        materials=tuple(
            Material(
                str(m["name"]), cast("tuple[float, float, float]", tuple(m["colour"])), float(m["roughness"])
            )
            for m in listed
        ),
    )
