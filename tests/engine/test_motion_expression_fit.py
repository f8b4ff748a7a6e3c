# SPDX-License-Identifier: GPL-3.0-or-later
"""ARKit channels to SMPL-X expressions and back, on models made from the default character's face."""

from __future__ import annotations

import numpy as np
import pytest

from engine.errors import ClipError
from engine.motion.arkit import ARKIT_INDEX, ARKIT_NAMES
from engine.motion.character_asset import CharacterAsset
from engine.motion.expression_fit import JAW_CHANNELS, ExpressionFit, fit_expressions
from engine.motion.skeleton import DEFAULT_SKELETON, JOINT_NAMES

NUM_EXPRESSIONS = 50
HEAD = [JOINT_NAMES.index(name) for name in ("head", "jaw")]


def dense(character: CharacterAsset) -> np.ndarray:
    """Every face shape at every vertex, (52, V, 3)."""
    offsets = np.zeros((len(ARKIT_NAMES), len(character.vertices), 3))
    for name, (rows, moved) in character.shapes.items():
        offsets[ARKIT_INDEX[name], rows] = moved
    return offsets


def model(character: CharacterAsset, scale: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A model of other size, fewer and displaced points, whose expressions are unknown mixtures.

    Returns:
        Vertices, expressions (50, V, 3) and joints.
    """
    rng = np.random.default_rng(seed)
    head = np.flatnonzero(character.weights[:, HEAD].sum(axis=1) > 0.5)
    kept = np.sort(rng.permutation(head)[: int(0.7 * len(head))])
    mixing = np.linalg.qr(rng.standard_normal((len(ARKIT_NAMES), NUM_EXPRESSIONS)))[0].T
    shift = np.array([0.02, -0.3, 0.01])
    vertices = character.vertices[kept] * scale + shift
    expressions = np.einsum("ca,avx->cvx", mixing, dense(character)[:, kept]) * scale
    return vertices, expressions, DEFAULT_SKELETON.rest_joints * scale + shift


@pytest.mark.parametrize("scale", [1.0, 1.08])
def test_the_face_looks_the_same_and_reads_back(character: CharacterAsset, scale: float) -> None:
    vertices, expressions, joints = model(character, scale, 3)
    fit = fit_expressions(vertices, expressions, joints, character)
    assert fit.coefficients.shape == (52, NUM_EXPRESSIONS)
    names = [n for n in ARKIT_NAMES if n not in JAW_CHANNELS and not n.startswith(("eyeLook", "tongue"))]
    weights = np.zeros((len(names) + 1, 52))
    for row, name in enumerate(names):
        weights[row, ARKIT_INDEX[name]] = 0.8
    weights[-1, [ARKIT_INDEX[name] for name in ("mouthSmileLeft", "browInnerUp", "mouthPucker")]] = 0.5
    made = fit.from_arkit(weights)
    shown = np.einsum("fc,cvx->fvx", made, expressions)
    mouth = next(iter(character.shapes["mouthSmileLeft"]))
    assert len(mouth) > 50
    moved = np.einsum("fa,avx->fvx", weights, dense(character))
    sizes = [np.linalg.norm(offsets, axis=-1).max() for offsets in moved]
    reach = [np.linalg.norm(offsets, axis=-1).max() / scale for offsets in shown]
    assert 0.6 < np.median(np.array(reach) / np.array(sizes)) < 1.2
    back = fit.to_arkit(made)
    assert np.abs(back - weights).mean() < 0.02
    assert np.abs(back[-1] - weights[-1]).max() < 0.15


def test_jaw_and_eyes_are_left_to_their_joints(character: CharacterAsset) -> None:
    fit = fit_expressions(*model(character, 1.0, 1), character)
    silent = [ARKIT_INDEX[name] for name in (*JAW_CHANNELS, "eyeLookUpLeft")]
    assert not fit.coefficients[silent].any()
    values = np.zeros((1, 52))
    values[0, silent] = 1.0
    assert not fit.from_arkit(values).any()
    assert not fit.to_arkit(np.ones((2, NUM_EXPRESSIONS)))[:, silent].any()


def test_weights_beyond_their_range_are_cut_and_rest_is_rest() -> None:
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((10, 90))
    fit = ExpressionFit(rng.standard_normal((52, 10)), directions @ directions.T)
    assert np.array_equal(fit.from_arkit(np.full((1, 52), 3.0)), fit.from_arkit(np.ones((1, 52))))
    assert not fit.from_arkit(np.zeros((2, 52))).any() and not fit.to_arkit(np.zeros((2, 10))).any()
    weights = fit.to_arkit(rng.standard_normal((5, 10)))
    assert weights.shape == (5, 52) and weights.min() >= 0.0 and weights.max() <= 1.0


def test_another_body_is_refused(character: CharacterAsset) -> None:
    vertices, expressions, joints = model(character, 1.0, 1)
    with pytest.raises(ClipError, match=r"choose SMPLX_NEUTRAL\.npz"):
        fit_expressions(np.full_like(vertices, 9.0), expressions, joints, character)
