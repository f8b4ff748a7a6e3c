# SPDX-License-Identifier: GPL-3.0-or-later
"""The character's file: complete, symmetric, and every face shape moves what it is called after."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.errors import ClipError
from engine.motion.arkit import ARKIT_NAMES
from engine.motion.character_asset import CharacterAsset, load_character, save_character
from engine.motion.skeleton import DEFAULT_SKELETON, JOINT_NAMES, MIRROR

LEFT_EYE = JOINT_NAMES.index("left_eye_smplhf")


def centre(character: CharacterAsset, name: str) -> np.ndarray:
    """Mean position of what a shape moves, weighted by how far."""
    rows, offsets = character.shapes[name]
    weights = np.linalg.norm(offsets, axis=1)
    return (character.vertices[rows] * weights[:, None]).sum(axis=0) / weights.sum()


def strongest(character: CharacterAsset, name: str) -> np.ndarray:
    """Largest offset of a shape."""
    _, offsets = character.shapes[name]
    return offsets[np.linalg.norm(offsets, axis=1).argmax()]


def test_size(character_file: Path, character: CharacterAsset) -> None:
    assert character_file.stat().st_size < 6e6
    assert len(character.vertices) < 65536
    assert tuple(character.shapes) == ARKIT_NAMES


def test_rest_pose_is_symmetric() -> None:
    joints = DEFAULT_SKELETON.rest_joints
    np.testing.assert_array_equal(joints[list(MIRROR)] * (-1, 1, 1), joints)


def test_measures() -> None:
    joints = DEFAULT_SKELETON.rest_joints
    hip, ankle = (joints[JOINT_NAMES.index(name)] for name in ("left_hip", "left_ankle"))
    assert 0.80 < hip[1] - ankle[1] < 0.88
    assert 0.92 < DEFAULT_SKELETON.standing_height < 1.0
    assert 0.05 < ankle[1] + DEFAULT_SKELETON.standing_height < 0.10


def test_t_pose(character: CharacterAsset) -> None:
    """Arms along X, soles on the floor, and the surface lies around the joints it follows."""
    vertices, joints = character.vertices, DEFAULT_SKELETON.rest_joints
    assert vertices[:, 1].min() == pytest.approx(-DEFAULT_SKELETON.standing_height, abs=2e-3)
    assert 0.80 < vertices[:, 0].max() < 0.92
    hand = character.weights[:, JOINT_NAMES.index("left_wrist")] > 0.9
    assert np.abs(vertices[hand, 1] - joints[JOINT_NAMES.index("left_wrist"), 1]).max() < 0.06
    for joint, name in enumerate(JOINT_NAMES):
        followers = vertices[character.weights[:, joint] > 0.3]
        assert len(followers) > 0, f"no vertex follows {name}"
        assert np.linalg.norm(followers - joints[joint], axis=1).min() < 0.12, name


def test_weights(character: CharacterAsset) -> None:
    np.testing.assert_allclose(character.weights.sum(axis=1), 1.0, atol=1e-5)
    assert character.weights.min() >= 0
    assert (character.weights > 0).sum(axis=1).max() <= 6


@pytest.mark.parametrize("name", [name for name in ARKIT_NAMES if name.endswith("Left")])
def test_sides(character: CharacterAsset, name: str) -> None:
    """Left is +X, and each right shape is the left one mirrored."""
    if name in ("jawLeft", "mouthLeft"):
        assert strongest(character, name)[0] > 0.003
        return
    left, right = centre(character, name), centre(character, name.replace("Left", "Right"))
    assert left[0] > 0.005
    np.testing.assert_allclose(right * (-1, 1, 1), left, atol=3e-3)


def test_jaw_opens_downwards(character: CharacterAsset) -> None:
    rows, offsets = character.shapes["jawOpen"]
    assert offsets[:, 1].min() < -0.02
    moved = character.vertices[rows[offsets[:, 1] < -0.02]]
    assert moved[:, 1].max() < DEFAULT_SKELETON.rest_joints[LEFT_EYE, 1] - 0.03


def test_blink_closes_the_lid_over_the_eye(character: CharacterAsset) -> None:
    eye = DEFAULT_SKELETON.rest_joints[LEFT_EYE]
    assert np.linalg.norm(centre(character, "eyeBlinkLeft")[:2] - eye[:2]) < 0.02
    assert strongest(character, "eyeBlinkLeft")[1] < -0.006


def test_looks_turn_the_eyeball(character: CharacterAsset) -> None:
    """In is towards the nose, out away from it, up up; seen at the pupil."""
    eyeball = character.weights[:, LEFT_EYE] > 0.99
    pupil = np.flatnonzero(eyeball)[character.vertices[eyeball, 2].argmax()]
    for name, axis, sign in (("In", 0, -1), ("Out", 0, 1), ("Up", 1, 1), ("Down", 1, -1)):
        rows, offsets = character.shapes[f"eyeLook{name}Left"]
        assert sign * offsets[rows == pupil][0, axis] > 0.002, name


@pytest.mark.parametrize(
    ("name", "axis", "sign", "least"),
    [
        ("tongueOut", 2, 1, 0.015),
        ("jawForward", 2, 1, 0.005),
        ("cheekPuff", 0, 0, 0.003),
        ("mouthPucker", 2, 1, 0.003),
        ("browInnerUp", 1, 1, 0.003),
        ("browDownLeft", 1, -1, 0.003),
        ("mouthSmileLeft", 1, 1, 0.004),
        ("mouthFrownLeft", 1, -1, 0.003),
        ("noseSneerLeft", 1, 1, 0.002),
    ],
)
def test_directions(character: CharacterAsset, name: str, axis: int, sign: int, least: float) -> None:
    _, offsets = character.shapes[name]
    along = np.abs(offsets[:, axis]) if sign == 0 else sign * offsets[:, axis]
    assert along.max() > least


def test_round_trip_is_exact_and_repeatable(
    character: CharacterAsset, character_file: Path, tmp_path: Path
) -> None:
    save_character(tmp_path / "a.npz", character, 6)
    save_character(tmp_path / "b.npz", character, 6)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    again = load_character(tmp_path / "a.npz")
    np.testing.assert_array_equal(again.vertices, character.vertices)
    np.testing.assert_allclose(again.weights, character.weights, atol=1e-6)
    np.testing.assert_allclose(again.shapes["jawOpen"][1], character.shapes["jawOpen"][1], atol=2e-6)


@pytest.mark.parametrize("key", ["quads", "weight_values", "shape_names", "format_version", "shape_vertices"])
def test_wrong_contents_are_refused(character_file: Path, tmp_path: Path, key: str) -> None:
    with np.load(character_file, allow_pickle=False) as file:
        table = {name: file[name] for name in file.files}
    table[key] = np.flip(table[key]) if key == "shape_names" else table[key] + 1
    if key in ("quads", "shape_vertices"):
        table[key] = np.full_like(table[key], 65535)
    np.savez(tmp_path / "character.npz", **table)
    with pytest.raises(ClipError, match=r"make assets/character\.npz"):
        load_character(tmp_path / "character.npz")


def test_cut_and_missing_files_are_refused(character_file: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.npz").write_bytes(character_file.read_bytes()[:5000])
    (tmp_path / "text.npz").write_text(json.dumps({}))
    for name in ("cut.npz", "text.npz", "absent.npz"):
        with pytest.raises(ClipError, match=r"make assets/character\.npz"):
            load_character(tmp_path / name)


def test_builder_refuses_missing_shapes(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(repository / "tools"))
    build_character = pytest.importorskip(
        "build_character", reason="needs scipy and Pillow, which the builder uses"
    )
    folder = tmp_path / "faceunits01/targets/faceunits"
    folder.mkdir(parents=True)
    for name in ARKIT_NAMES[1:]:
        (folder / f"{name}.target").write_text("0 0 0 0\n")
    mesh = type("Mesh", (), {"vertices": np.zeros((4, 3))})()
    with pytest.raises(build_character.BuildError, match=ARKIT_NAMES[0]):
        build_character._face_shapes(tmp_path, mesh, 1.0)
