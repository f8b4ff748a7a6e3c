# SPDX-License-Identifier: GPL-3.0-or-later
"""Part features: the published layouts against reference vectors, the starter's by round trip and by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.errors import ClipError
from engine.motion.arkit import ARKIT_NAMES
from engine.motion.clip import Clip
from engine.motion.clip_io import load_npz
from engine.motion.contacts import contacts_from_feet, foot_contacts
from engine.motion.features import (
    LOWER_CONTACTS,
    LOWER_ROTATIONS,
    STARTER_DIMS,
    integrate_root,
    rest_features,
    starter_clip,
    starter_features,
)
from engine.motion.kinematics import clip_joint_positions
from engine.motion.published_features import (
    Layout,
    apply_published_features,
    estimate_linear_velocity,
    global_input,
    integrate_local_velocity,
    layout_width,
    published_features,
    root_from_global,
    velocity_to_position,
)
from engine.motion.rotations import axis_angle_to_matrix, heading_angle
from engine.motion.skeleton import DEFAULT_SKELETON
from engine.specs import PARTS, Part

LAYOUTS = {
    Layout.FACE_106: "face",
    Layout.FACE_112: "face112",
    Layout.HANDS_180: "hand",
    Layout.UPPER_78: "upper",
    Layout.LOWER_61: "lower",
    Layout.FULL_330: "pose6d",
}


@pytest.fixture(scope="module")
def vectors(shared_dir: Path) -> Path:
    return shared_dir / "reference" / "lom-vectors"


@pytest.fixture(scope="module")
def beat(vectors: Path) -> Clip:
    return load_npz(vectors / "features_input_beat2.npz")


@pytest.fixture(scope="module")
def expected(vectors: Path) -> Any:
    return np.load(vectors / "features_expected.npz")


def made_up_clip(num_frames: int = 60, seed: int = 2) -> Clip:
    """Smooth motion that turns more than once round and uses every starter channel."""
    generator = np.random.default_rng(seed)
    poses = np.cumsum(generator.normal(size=(num_frames, 55, 3)) * 0.03, axis=0)
    poses[:, 0] = [0.1, 0.0, 0.05]
    poses[:, 22:25] = 0.0
    clip = Clip(
        fps=30,
        poses=poses,
        trans=np.cumsum(generator.normal(size=(num_frames, 3)) * 0.02, axis=0) + np.array([2.0, 0.9, -1.0]),
        expressions=generator.random((num_frames, 52)),
        expression_names=ARKIT_NAMES,
        basis="arkit",
    )
    frames = [clip.slice(t, t + 1).moved(turn=0.2 * t) for t in range(num_frames)]
    return replace(clip, poses=np.concatenate([frame.poses for frame in frames]))


@pytest.mark.parametrize(("layout", "key"), LAYOUTS.items())
def test_published_features_match_the_reference(beat: Clip, expected: Any, layout: Layout, key: str) -> None:
    features = published_features(beat, layout, expected["contacts"])
    assert features.shape == (48, layout_width(layout))
    np.testing.assert_allclose(features, expected[key], atol=1e-5)


def test_lower_54_is_the_lower_61_without_root_and_contacts(beat: Clip, expected: Any) -> None:
    np.testing.assert_allclose(
        published_features(beat, Layout.LOWER_54), expected["lower"][:, :54], atol=1e-5
    )


@pytest.mark.parametrize("layout", list(Layout))
def test_published_features_go_back_into_a_clip(beat: Clip, expected: Any, layout: Layout) -> None:
    features = published_features(beat, layout, expected["contacts"])
    blank = replace(
        beat, poses=np.zeros_like(beat.poses), trans=beat.trans * 0, expressions=beat.expressions * 0
    )
    filled = apply_published_features(blank, layout, features)
    again = published_features(filled, layout, expected["contacts"])
    ours = slice(6, None) if layout is Layout.FACE_112 else slice(None)  # the head belongs to the upper body
    np.testing.assert_allclose(again[:, ours], features[:, ours], atol=1e-5)
    assert not filled.poses[:, 15].any() or layout in (Layout.UPPER_78, Layout.FULL_330)


def test_published_features_refuse_what_does_not_fit(beat: Clip) -> None:
    with pytest.raises(ClipError, match="contacts"):
        published_features(beat, Layout.LOWER_61)
    with pytest.raises(ClipError, match="SMPL-X"):
        published_features(made_up_clip(), Layout.FACE_106)
    with pytest.raises(ClipError, match="columns"):
        apply_published_features(beat, Layout.UPPER_78, np.zeros((48, 77)))


def test_contacts_match_the_reference(expected: Any) -> None:
    found = contacts_from_feet(expected["foot_joints"], 30)
    np.testing.assert_array_equal(found, expected["foot_contacts_from_joints"])


def test_contacts_are_the_same_motion_at_any_rate() -> None:
    positions = np.zeros((31, 55, 3))
    positions[:, 10, 0] = 0.2 * np.arange(31) / 30  # 0.2 m/s stands
    positions[:, 11, 0] = 0.4 * np.arange(31) / 30  # 0.4 m/s moves
    np.testing.assert_array_equal(foot_contacts(positions, 30)[:-1, 2:], [[1, 0]] * 30)
    np.testing.assert_array_equal(foot_contacts(positions[::2], 15)[:-1, 2:], [[1, 0]] * 15)
    np.testing.assert_array_equal(foot_contacts(positions, 30)[-1], np.ones(4))


@pytest.mark.parametrize("wrap", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_root_integration_matches_the_reference(vectors: Path, wrap: Callable[[Any], Any]) -> None:
    table = np.load(vectors / "rotations.npz")
    found = velocity_to_position(wrap(table["v2p_in"]), 1 / 30, wrap(table["v2p_init"]))
    np.testing.assert_allclose(found, table["v2p_out_30fps"], atol=1e-4)
    found = estimate_linear_velocity(wrap(table["elv_in"]), 1 / 30)
    np.testing.assert_allclose(found, table["elv_out_30fps"], atol=1e-4)
    orientation = axis_angle_to_matrix(wrap(table["ilv_global_orient"]))
    velocity = wrap(table["ilv_local_vel"])
    found = integrate_local_velocity(velocity, orientation, wrap(np.zeros(3, dtype=np.float32)))
    np.testing.assert_allclose(found, table["ilv_out"], atol=1e-4)
    found = integrate_local_velocity(velocity, orientation, wrap(table["ilv_init"]))
    np.testing.assert_allclose(found, table["ilv_out_init"], atol=1e-4)


def test_global_network_gets_what_the_published_demo_feeds_it(vectors: Path) -> None:
    table = np.load(vectors / "v1_a2m" / "expected.npz")
    wanted = table["assembly/to_global"].reshape(-1, 61)
    found = global_input(wanted)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    root = root_from_global(table["assembly/global_rec"].reshape(-1, 61)[:, 54:57], 1 / 30)
    np.testing.assert_allclose(root, table["assembly/trans"].reshape(-1, 3), atol=1e-4)
    assert not np.asarray(global_input(wanted[:, :54]))[:, 54:].any()


def test_starter_features_go_there_and_back() -> None:
    clip = made_up_clip()
    features = starter_features(clip)
    assert {part: values.shape for part, values in features.items()} == {
        part: (60, STARTER_DIMS[part]) for part in PARTS
    }
    heading = float(heading_angle(axis_angle_to_matrix(clip.poses[0, 0])))
    again = starter_clip(features, (clip.trans[0, 0], clip.trans[0, 2]), heading)
    np.testing.assert_allclose(again.trans, clip.trans, atol=1e-4)
    np.testing.assert_allclose(axis_angle_to_matrix(again.poses), axis_angle_to_matrix(clip.poses), atol=1e-4)
    np.testing.assert_allclose(again.expressions, clip.expressions, atol=1e-6)
    np.testing.assert_allclose(clip_joint_positions(again), clip_joint_positions(clip), atol=2e-4)


def test_starter_lower_features_do_not_know_place_or_direction() -> None:
    clip = made_up_clip()
    moved = clip.moved(turn=2.5, shift=(7.0, -3.0))
    here, there = starter_features(clip)[Part.LOWER], starter_features(moved)[Part.LOWER]
    np.testing.assert_allclose(there, here, atol=2e-4)


def test_starter_root_golden() -> None:
    clip = Clip.rest(3, 30)
    trans = clip.trans.copy()
    trans[:, 0] = [0.0, 0.1, 0.2]  # along +X, facing +X: straight ahead
    clip = replace(clip, trans=trans).moved()
    poses = clip.poses.copy()
    poses[:, 0, 1] = np.pi / 2
    lower = starter_features(replace(clip, poses=poses))[Part.LOWER]
    np.testing.assert_allclose(lower[:, 0:2], [[0.0, 3.0]] * 3, atol=1e-4)
    np.testing.assert_allclose(lower[:, 2], DEFAULT_SKELETON.standing_height, atol=1e-6)
    np.testing.assert_allclose(lower[:, 3], 0.0, atol=1e-5)
    np.testing.assert_allclose(lower[:, LOWER_CONTACTS], [[0] * 4, [0] * 4, [1] * 4])
    np.testing.assert_allclose(lower[:, LOWER_ROTATIONS], np.tile([1, 0, 0, 0, 1, 0], (3, 9)), atol=1e-6)


def test_steps_to_the_left_are_plus_x_and_left_turns_are_positive() -> None:
    lower = rest_features(Part.LOWER, 31)
    lower[:, 0], lower[:, 3] = 1.0, 0.0
    places, _ = integrate_root(lower)
    np.testing.assert_allclose(places[-1], [1.0, DEFAULT_SKELETON.standing_height, 0.0], atol=1e-5)
    lower[:, 0], lower[:, 1], lower[:, 3] = 0.0, 1.0, np.pi / 2
    places, headings = integrate_root(lower)
    assert headings[-1] == pytest.approx(np.pi / 2)
    assert places[-1, 0] > 0.5  # forward, then ever more to +X, the character's left


def test_missing_parts_rest_and_lengths_must_agree() -> None:
    clip = starter_clip({Part.UPPER: rest_features(Part.UPPER, 5)})
    rest = Clip.rest(5, 30)
    np.testing.assert_allclose(clip.poses, rest.poses, atol=1e-6)
    np.testing.assert_allclose(clip.trans, rest.trans, atol=1e-6)
    for wrong in (
        {},
        {Part.UPPER: np.zeros((5, 78)), Part.LOWER: np.zeros((6, 62))},
        {Part.LOWER: np.zeros((5, 61))},
        {Part.LOWER: np.zeros((0, 62))},
    ):
        with pytest.raises(ClipError):
            starter_clip(wrong)


def test_smplx_faces_are_not_passed_off_as_arkit(beat: Clip) -> None:
    assert Part.FACE not in starter_features(beat)
