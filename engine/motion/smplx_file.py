# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the mesh, weights and expressions of a SMPL-X model file (npz) that the user has licensed.

Layout as published (https://smpl-x.is.tue.mpg.de, files SMPLX_*.npz) and read by the public `smplx`
package: v_template (V, 3), f (N, 3), weights (V, 55), J_regressor (55, V), shapedirs (V, 3, S) with
300 shape and 100 expression directions, or 10 and 10 in the small files. Nothing pickled is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import ClipError
from .arrays import FloatArray, IntArray
from .npz_reader import open_npz
from .skeleton import NUM_JOINTS

SHAPE_DIRECTIONS = 300
EXPRESSION_DIRECTIONS = 100
SMALL_FILE_DIRECTIONS = 10
ARRAYS = ("v_template", "f", "weights", "J_regressor", "shapedirs")
"""What is read of the file."""


@dataclass(frozen=True)
class SmplxMesh:
    """The mean body of a SMPL-X file in its T-pose; its pose-dependent corrections are not read.

    Attributes:
        vertices: (V, 3), metres, Y up, pelvis joint at the origin.
        triangles: (N, 3).
        weights: Skin weights, (V, 55), rows sum to 1.
        rest_joints: T-pose joints, (55, 3), pelvis at the origin.
        expressions: Vertex offsets per unit of each expression coefficient, (C, V, 3).
    """

    vertices: FloatArray
    triangles: IntArray
    weights: FloatArray
    rest_joints: FloatArray
    expressions: FloatArray


def load_smplx_mesh(path: Path) -> SmplxMesh:
    """Read and check a SMPL-X npz.

    Raises:
        ClipError: If the file is missing, of another kind, damaged or incomplete.
    """
    if path.suffix.lower() == ".pkl":
        raise ClipError(
            f"{path.name} is not opened, since .pkl files can run programs: choose the npz version of the "
            "SMPL-X model."
        )
    with open_npz(path, "a SMPL-X model (SMPLX_NEUTRAL.npz)") as file:
        table = {name: file.numbers(name) for name in ARRAYS}
    return _mesh(table, path.name)


def _mesh(table: dict[str, npt.NDArray[np.float64]], name: str) -> SmplxMesh:
    """Check sizes and cut the expression directions out."""
    template, faces, weights = table["v_template"], table["f"], table["weights"]
    regressor, directions = table["J_regressor"], table["shapedirs"]
    count = len(template)
    sound = (
        template.ndim == 2
        and template.shape[1] == 3
        and count > 0
        and faces.ndim == 2
        and faces.shape[1] == 3
        and len(faces) > 0
        and int(faces.min()) >= 0
        and int(faces.max()) < count
        and weights.shape == (count, NUM_JOINTS)
        and regressor.shape == (NUM_JOINTS, count)
        and directions.ndim == 3
        and directions.shape[:2] == (count, 3)
        and bool((weights.sum(axis=1) > 0.5).all())
    )
    if not sound:
        raise ClipError(
            f"{name} does not have the sizes of a SMPL-X model with 55 joints: choose SMPLX_NEUTRAL.npz."
        )
    large = directions.shape[2] >= SHAPE_DIRECTIONS + EXPRESSION_DIRECTIONS
    first = SHAPE_DIRECTIONS if large else SMALL_FILE_DIRECTIONS
    last = first + (EXPRESSION_DIRECTIONS if large else SMALL_FILE_DIRECTIONS)
    joints = np.asarray(regressor @ template, dtype=np.float32)
    moved = np.moveaxis(directions[:, :, first:last], 2, 0)
    return SmplxMesh(
        vertices=(template - joints[:1]).astype(np.float32),
        triangles=faces.astype(np.int64),
        weights=(weights / weights.sum(axis=1, keepdims=True)).astype(np.float32),
        rest_joints=joints - joints[:1],
        expressions=np.ascontiguousarray(moved, dtype=np.float32),
    )
