# SPDX-License-Identifier: GPL-3.0-or-later
"""Skinning, and SMPL-X bodies made from a made-up file in SMPL-X's layout."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import ClipError
from engine.motion.body_model import LinearBlendSkin, SmplxBody
from engine.motion.clip import Clip, smplx_expression_names
from engine.motion.kinematics import clip_joint_positions
from engine.motion.skeleton import DEFAULT_SKELETON, PARENTS
from engine.specs import Part

NUM_VERTICES = 10475  # as in SMPL-X; the package looks up vertices by number
PELVIS = np.array([0.003, -0.35, 0.012])


def made_up_model() -> dict[str, Any]:
    """A cloud of points around our own joints with SMPL-X's array names and shapes."""
    generator = np.random.default_rng(0)
    joints = DEFAULT_SKELETON.rest_joints + PELVIS
    owner = generator.integers(0, 55, NUM_VERTICES)
    owner[:55] = np.arange(55)
    vertices = joints[owner] + generator.normal(size=(NUM_VERTICES, 3)) * 0.03
    vertices[:55] = joints
    regressor = np.zeros((55, NUM_VERTICES))
    regressor[np.arange(55), np.arange(55)] = 1
    rows, above = np.arange(NUM_VERTICES), np.maximum(np.array(PARENTS)[owner], 0)
    weights = np.zeros((NUM_VERTICES, 55))
    weights[rows, owner] = 0.7
    weights[rows, above] += 0.3
    shapes = np.zeros((NUM_VERTICES, 3, 20), dtype=np.float32)
    shapes[:, 1, 0] = 0.05  # the first shape coefficient lifts everything
    shapes[100, 2, 10] = 0.01  # the first expression moves one vertex
    tree = np.stack([np.array(PARENTS), np.arange(55)])
    return {
        "v_template": vertices,
        "f": np.arange(300).reshape(100, 3).astype(np.uint32),
        "shapedirs": shapes,
        "posedirs": np.zeros((NUM_VERTICES, 3, 486), dtype=np.float32),
        "J_regressor": regressor,
        "kintree_table": tree.astype(np.uint32),
        "weights": weights,
        "hands_componentsl": np.eye(45),
        "hands_componentsr": np.eye(45),
        "hands_meanl": np.full(45, 0.1),
        "hands_meanr": np.full(45, 0.1),
        "lmk_faces_idx": np.zeros(51, dtype=np.int64),
        "lmk_bary_coords": np.full((51, 3), 1 / 3),
        "joint2num": np.array({"Pelvis": 0}, dtype=object),  # the real files hold pickles as well
    }


@pytest.fixture(scope="module")
def model() -> dict[str, Any]:
    return made_up_model()


@pytest.fixture(scope="module")
def model_file(model: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("smplx") / "SMPLX_NEUTRAL.npz"
    np.savez(path, **model)
    return path


@pytest.fixture(scope="module")
def body(model_file: Path) -> SmplxBody:
    pytest.importorskip("smplx", reason="the optional smplx package is not installed")
    return SmplxBody(model_file)


def clip_for(pelvis_rest: Any, num_frames: int = 70) -> Clip:
    generator = np.random.default_rng(1)
    return Clip(
        30,
        generator.normal(size=(num_frames, 55, 3)) * 0.3,
        generator.normal(size=(num_frames, 3)),
        np.eye(num_frames, 10),
        smplx_expression_names(10),
        "smplx",
        betas=np.array([1.0]),
        pelvis_rest=pelvis_rest,
    )


def test_smplx_and_our_own_skin_agree(body: SmplxBody, model: dict[str, Any]) -> None:
    betas = np.array([1.0], dtype=np.float32)
    np.testing.assert_allclose(body.pelvis_rest(betas), PELVIS + np.array([0, 0.05, 0]), atol=1e-5)
    skeleton = body.skeleton(betas)
    np.testing.assert_allclose(skeleton.rest_joints, DEFAULT_SKELETON.rest_joints, atol=1e-5)
    clip = clip_for(body.pelvis_rest(betas))
    vertices, joints = body.posed(clip)
    assert vertices.shape == (70, NUM_VERTICES, 3)
    np.testing.assert_allclose(joints, clip_joint_positions(clip, skeleton), atol=1e-5)
    skin = LinearBlendSkin(model["v_template"] - PELVIS, model["weights"], skeleton)
    ours = skin.posed(clip)
    expression = np.linalg.norm(vertices[0, 100] - ours[0, 100])
    assert expression == pytest.approx(0.01, abs=1e-4)
    np.testing.assert_allclose(np.delete(ours, 100, axis=1), np.delete(vertices, 100, axis=1), atol=1e-5)


def test_flat_hands_are_the_default_and_the_mean_hand_can_be_added(body: SmplxBody, model_file: Path) -> None:
    rest = Clip.rest(1, 30)
    _, flat = body.posed(rest)
    _, curled = SmplxBody(model_file, flat_hand_mean=False).posed(rest)
    np.testing.assert_allclose(flat[0] - flat[0, 0], DEFAULT_SKELETON.rest_joints, atol=1e-5)
    assert np.abs(curled - flat)[:, 27].max() > 1e-3
    np.testing.assert_allclose(curled[:, :25], flat[:, :25], atol=1e-6)


def test_skin_golden() -> None:
    weights = np.zeros((2, 55))
    weights[0, 20], weights[1, 18], weights[1, 20] = 1.0, 0.5, 0.5
    wrist = DEFAULT_SKELETON.rest_joints[20]
    skin = LinearBlendSkin(np.stack([wrist, wrist]), weights, DEFAULT_SKELETON)
    clip = Clip.rest(2, 30)
    moved = clip.with_part(Part.UPPER, Clip(30, np.full((2, 55, 3), 0.2), clip.trans, clip.expressions,
                                            clip.expression_names, "arkit"))  # fmt: skip
    np.testing.assert_allclose(skin.posed(clip)[0, 0], wrist + clip.trans[0], atol=1e-6)
    joints = clip_joint_positions(moved)
    np.testing.assert_allclose(
        skin.posed(moved), joints[:, [20, 20]], atol=1e-6
    )  # a wrist turns about itself


@pytest.mark.parametrize(
    ("vertices", "weights"),
    [((4, 3), (4, 24)), ((4, 3), (3, 55)), ((4, 2), (4, 55)), ((4, 3), (4, 55))],
    ids=["joints", "rows", "flat", "sum"],
)
def test_a_skin_that_does_not_fit_is_refused(vertices: tuple[int, int], weights: tuple[int, int]) -> None:
    with pytest.raises(ClipError):
        LinearBlendSkin(np.zeros(vertices), np.full(weights, 0.1), DEFAULT_SKELETON)


CHANGES: dict[str, dict[str, Any]] = {
    "pickled template": {"v_template": np.array([{}], dtype=object)},
    "missing weights": {"weights": None},
    "few joints": {"J_regressor": np.zeros((24, NUM_VERTICES), dtype=np.float32)},
    "nan": {"v_template": np.full((NUM_VERTICES, 3), np.nan)},
    "faces beyond": {"f": np.full((5, 3), NUM_VERTICES)},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_wrong_model_file_gives_one_sentence(
    model: dict[str, Any], change: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("smplx", reason="the optional smplx package is not installed")
    small = {"posedirs": np.zeros((NUM_VERTICES, 3, 486), dtype=np.float16)}
    arrays = {key: value for key, value in {**model, **small, **change}.items() if value is not None}
    np.savez(tmp_path / "model.npz", **arrays)
    with pytest.raises(ClipError) as error:
        SmplxBody(tmp_path / "model.npz")
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


def test_pickles_and_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "SMPLX_NEUTRAL.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(ClipError, match="npz"):
        SmplxBody(tmp_path / "SMPLX_NEUTRAL.pkl")
    (tmp_path / "SMPLX_NEUTRAL.npz").write_bytes(b"\x80\x04.")
    with pytest.raises(ClipError):
        SmplxBody(tmp_path / "SMPLX_NEUTRAL.npz")


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.__import__

    def without_smplx(name: str, *rest: Any, **named: Any) -> Any:
        if name == "smplx":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without_smplx)
    with pytest.raises(ClipError, match="non-commercial"):
        SmplxBody(tmp_path / "SMPLX_NEUTRAL.npz")
