# SPDX-License-Identifier: GPL-3.0-or-later
"""ARKit face channels as SMPL-X expression coefficients and back, by a linear map fitted to one model.

What SMPL-X's coefficients mean is in the model file alone, which every user licenses for himself. So the map
is fitted to it: the face shapes of the default character, whose channels are ARKit's, are carried over to the
model's face by nearest points, and each is sought as a mixture of the model's expression directions (ridge
least squares). Jaw and eyes are joints of the model: the channels that turn the jaw go to its joint, those
that turn the eyes are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ClipError
from .arkit import ARKIT_INDEX, ARKIT_NAMES
from .arrays import AnyFloatArray, DoubleArray, FloatArray
from .character_asset import CharacterAsset
from .skeleton import DEFAULT_SKELETON, JOINT_NAMES

if TYPE_CHECKING:
    from scipy.spatial import KDTree

LANDMARKS = tuple(JOINT_NAMES.index(name) for name in ("head", "jaw", "left_eye_smplhf", "right_eye_smplhf"))
"""Joints by which two heads are laid over each other."""

JAW_CHANNELS = ("jawOpen", "jawLeft", "jawRight")
"""Channels that the jaw joint shows, see `face_bases`."""

_EYES = tuple(name for name in ARKIT_NAMES if name.startswith("eyeLook"))
_FACE_REACH_M = 0.14
"""Vertices so near to the middle of the landmarks are the face."""

_NEAR_M = 0.02
"""No point of one face is farther from the other's once they lie over each other."""

_NEIGHBOURS = 4
_ALIGNMENTS = 10
"""Rounds of bringing nearest points together (Besl and McKay 1992), with a scale per axis."""

_RIDGE = 1e-3
"""Pull towards small coefficients, as a share of the mean squared size of the directions."""

_SWEEPS = 200


@dataclass(frozen=True)
class ExpressionFit:
    """The map of one model with C expression coefficients.

    Attributes:
        coefficients: Coefficients per unit of each ARKit channel, (52, C).
        metric: Scalar products of the model's directions over its face, (C, C), square metres.
    """

    coefficients: DoubleArray
    metric: DoubleArray

    def from_arkit(self, values: AnyFloatArray) -> FloatArray:
        """Coefficients (F, C) of ARKit weights (F, 52)."""
        return (np.clip(values.astype(np.float64), 0.0, 1.0) @ self.coefficients).astype(np.float32)

    def to_arkit(self, values: AnyFloatArray) -> FloatArray:
        """The ARKit weights from 0 to 1, (F, 52), whose face comes nearest to that of coefficients (F, C).

        Least squares over the face with bounds, by coordinate descent. Channels that are left out stay 0.
        """
        aim = values.astype(np.float64) @ self.metric @ self.coefficients.T
        gram = self.coefficients @ self.metric @ self.coefficients.T
        used = np.flatnonzero(np.diag(gram) > 0.0)
        ridge = 1e-6 * float(np.diag(gram).max(initial=0.0))
        shares = np.zeros((len(values), len(ARKIT_NAMES)))
        for _ in range(_SWEEPS):
            for column in used:
                pull = gram[column, column] + ridge
                rest = aim[:, column] - shares @ gram[:, column] + shares[:, column] * gram[column, column]
                shares[:, column] = np.clip(rest / pull, 0.0, 1.0)
        return shares.astype(np.float32)


def fit_expressions(
    vertices: AnyFloatArray, expressions: AnyFloatArray, joints: AnyFloatArray, asset: CharacterAsset
) -> ExpressionFit:
    """Fit the map of a model.

    Args:
        vertices: The model at rest, (V, 3), metres, Y up.
        expressions: Vertex offsets per unit of each coefficient, (C, V, 3).
        joints: Its joints at rest, (55, 3).
        asset: The default character.

    Raises:
        ClipError: If the two faces do not lie over each other, so that this is no SMPL-X model.
    """
    from scipy.spatial import KDTree

    marks, ours = joints[list(LANDMARKS)], DEFAULT_SKELETON.rest_joints[list(LANDMARKS)]
    face = np.flatnonzero(np.linalg.norm(vertices - marks.mean(axis=0), axis=1) < _FACE_REACH_M)
    if len(face) < len(ARKIT_NAMES):
        raise _not_smplx()
    near = np.linalg.norm(asset.vertices - ours.mean(axis=0), axis=1) < 1.5 * _FACE_REACH_M
    used = np.flatnonzero(near)
    tree = KDTree(asset.vertices[used].astype(np.float64))
    places, scale = _laid_over(vertices[face], marks, ours, tree)
    found = tree.query(places, k=_NEIGHBOURS)
    distances, neighbours = np.asarray(found[0]), np.asarray(found[1], dtype=np.int64)
    close = distances[:, 0] < _NEAR_M
    if close.sum() < 0.3 * len(face):
        raise _not_smplx()
    shares = 1.0 / (distances[close] + 1e-4)
    shares /= shares.sum(axis=1, keepdims=True)
    directions = expressions[:, face[close]].astype(np.float64).reshape(len(expressions), -1)
    offsets = np.zeros((len(ARKIT_NAMES), len(asset.vertices), 3))
    for name, (rows, moved) in asset.shapes.items():
        offsets[ARKIT_INDEX[name], rows] = moved
    carried = np.einsum("vk,avkx->avx", shares, offsets[:, used[neighbours[close]]]) / scale
    carried[[ARKIT_INDEX[name] for name in (*JAW_CHANNELS, *_EYES)]] = 0.0
    metric = directions @ directions.T
    ridge = _RIDGE * float(np.trace(metric)) / max(len(metric), 1)
    wanted = directions @ carried.reshape(len(ARKIT_NAMES), -1).T
    return ExpressionFit(np.linalg.solve(metric + ridge * np.eye(len(metric)), wanted).T, metric)


def _not_smplx() -> ClipError:
    return ClipError(
        "The face of this model does not lie where a SMPL-X model has it: choose SMPLX_NEUTRAL.npz."
    )


def _laid_over(
    points: AnyFloatArray, marks: AnyFloatArray, ours: AnyFloatArray, tree: KDTree
) -> tuple[DoubleArray, DoubleArray]:
    """Points of a face moved and scaled so that they lie over the default character's.

    Returns:
        The points, (N, 3), and the scale of each axis, (3,).
    """
    spread = [np.linalg.norm(place - place.mean(axis=0)) for place in (ours, marks)]
    scale = np.full(3, spread[0] / max(float(spread[1]), 1e-9))
    shift = ours.mean(axis=0) - scale * marks.mean(axis=0)
    known = np.asarray(tree.data, dtype=np.float64)
    for _ in range(_ALIGNMENTS):
        places = points * scale + shift
        found = tree.query(places)
        distances, nearest = np.asarray(found[0]), np.asarray(found[1], dtype=np.int64)
        good = distances < np.quantile(distances, 0.8) + 1e-9
        source, target = points[good].astype(np.float64), known[nearest[good]]
        centre, aim = source.mean(axis=0), target.mean(axis=0)
        size = ((source - centre) ** 2).sum(axis=0)
        scale = np.clip(((source - centre) * (target - aim)).sum(axis=0) / np.maximum(size, 1e-12), 0.5, 2.0)
        shift = aim - scale * centre
    return points * scale + shift, scale
