# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the mesh, weights and expressions of a SMPL-X model file (npz) that the user has licensed.

Layout as published (https://smpl-x.is.tue.mpg.de, files SMPLX_*.npz) and read by the public `smplx`
package: v_template (V, 3), f (N, 3), weights (V, 55), J_regressor (55, V), shapedirs (V, 3, S) with
300 shape and 100 expression directions, or 10 and 10 in the small files. Nothing pickled is read.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ClipError
from .arrays import FloatArray, IntArray
from .skeleton import NUM_JOINTS

SHAPE_DIRECTIONS = 300
EXPRESSION_DIRECTIONS = 100
SMALL_FILE_DIRECTIONS = 10
MAX_ARRAY_BYTES = 512 * 1024 * 1024


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
    if not path.is_file():
        raise ClipError(f"The SMPL-X file {path} does not exist: choose the .npz you downloaded.")
    if path.suffix.lower() != ".npz" or not zipfile.is_zipfile(path):
        raise ClipError(
            f"{path.name} is not a readable .npz: choose the npz version of the SMPL-X model, since .pkl "
            "files can run programs and are not opened."
        )
    needed = ("v_template", "f", "weights", "J_regressor", "shapedirs")
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in needed if name not in file.files]
            if missing:
                raise ClipError(
                    f"{path.name} lacks {', '.join(missing)}: choose a SMPL-X model (SMPLX_NEUTRAL.npz)."
                )
            table = {name: _read(file, name, path) for name in needed}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ClipError(f"{path.name} is damaged: download the SMPL-X model again.") from error
    return _mesh(table, path.name)


def _read(file: Any, name: str, path: Path) -> npt.NDArray[Any]:
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo(f"{name}.npy").file_size
    if size > MAX_ARRAY_BYTES:
        raise ClipError(f"{path.name} is far larger than a SMPL-X model: choose SMPLX_NEUTRAL.npz.")
    array: npt.NDArray[Any] = file[name]
    if array.dtype.kind not in "fiu":
        raise ValueError(name)
    return array


def _mesh(table: dict[str, npt.NDArray[Any]], name: str) -> SmplxMesh:
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
        and all(bool(np.isfinite(array).all()) for array in (template, weights, regressor, directions))
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
