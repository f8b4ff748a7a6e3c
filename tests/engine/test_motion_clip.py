# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips: their checks, resampling, mirroring, cutting, joining and copying of parts; the joint tables."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ClipError
from engine.motion.arkit import ARKIT_MIRROR, ARKIT_NAMES
from engine.motion.clip import Clip, smplx_expression_names
from engine.motion.kinematics import clip_joint_positions, forward_kinematics
from engine.motion.rotations import axis_angle_to_matrix, geodesic_angle
from engine.motion.skeleton import DEFAULT_SKELETON, JOINT_NAMES, MIRROR, PARENTS, PART_JOINTS, Skeleton
from engine.specs import PARTS, Part


def random_clip(num_frames: int = 40, fps: float = 30.0, seed: int = 0) -> Clip:
    """A smooth made-up motion with every channel in use."""
    generator = np.random.default_rng(seed)
    return Clip(
        fps=fps,
        poses=np.cumsum(generator.normal(size=(num_frames, 55, 3)) * 0.03, axis=0),
        trans=np.cumsum(generator.normal(size=(num_frames, 3)) * 0.02, axis=0) + np.array([0.4, 0.95, -1.0]),
        expressions=generator.random((num_frames, 52)),
        expression_names=ARKIT_NAMES,
        basis="arkit",
    )


def assert_same_rotations(a: Any, b: Any, tolerance: float = 1e-5) -> None:
    angles = geodesic_angle(
        axis_angle_to_matrix(np.asarray(a, dtype=np.float64)),
        axis_angle_to_matrix(np.asarray(b, dtype=np.float64)),
    )
    assert angles.max() < tolerance


def test_joints_are_those_of_smplx(shared_dir: Path) -> None:
    names = json.loads((shared_dir / "reference" / "lom-vectors" / "joint_names.json").read_text())
    assert list(JOINT_NAMES) == names


def test_hierarchy_and_parts_are_complete() -> None:
    assert all(parent < joint for joint, parent in enumerate(PARENTS))
    assert JOINT_NAMES[PARENTS[JOINT_NAMES.index("left_thumb2")]] == "left_thumb1"
    assert JOINT_NAMES[PARENTS[JOINT_NAMES.index("right_ring1")]] == "right_wrist"
    assert sorted(joint for part in PARTS for joint in PART_JOINTS[part]) == list(range(55))
    assert [MIRROR[MIRROR[joint]] for joint in range(55)] == list(range(55))
    assert MIRROR[JOINT_NAMES.index("left_pinky3")] == JOINT_NAMES.index("right_pinky3")


def test_default_skeleton_is_a_person_facing_forward() -> None:
    joints = dict(zip(JOINT_NAMES, DEFAULT_SKELETON.rest_joints, strict=True))
    assert 0.80 < DEFAULT_SKELETON.leg_length < 0.88
    assert 0.90 < DEFAULT_SKELETON.standing_height < 1.05
    assert joints["left_wrist"][0] > 0.5 and joints["right_wrist"][0] < -0.5
    assert joints["left_foot"][2] > joints["left_ankle"][2] + 0.05
    assert joints["head"][1] > joints["neck"][1] > joints["spine3"][1] > 0
    np.testing.assert_allclose(
        DEFAULT_SKELETON.rest_joints[list(MIRROR)] * [-1, 1, 1], DEFAULT_SKELETON.rest_joints, atol=2e-3
    )


def test_skeleton_is_moved_to_its_pelvis_and_checked() -> None:
    moved = Skeleton(DEFAULT_SKELETON.rest_joints + np.float32(0.5))
    np.testing.assert_allclose(moved.rest_joints, DEFAULT_SKELETON.rest_joints, atol=1e-6)
    with pytest.raises(ClipError):
        Skeleton(np.zeros((24, 3), dtype=np.float32))


def test_arkit_has_52_channels_and_their_mirror() -> None:
    assert len(set(ARKIT_NAMES)) == 52
    assert ARKIT_NAMES[ARKIT_MIRROR[ARKIT_NAMES.index("mouthSmileLeft")]] == "mouthSmileRight"
    assert ARKIT_MIRROR[ARKIT_NAMES.index("jawOpen")] == ARKIT_NAMES.index("jawOpen")


BAD = {
    "no frames": {"poses": np.zeros((0, 55, 3)), "trans": np.zeros((0, 3)), "expressions": np.zeros((0, 52))},
    "flat poses": {"poses": np.zeros((40, 165))},
    "too few joints": {"poses": np.zeros((40, 52, 3))},
    "short trans": {"trans": np.zeros((39, 3))},
    "nan pose": {"poses": np.full((40, 55, 3), np.nan)},
    "inf trans": {"trans": np.full((40, 3), np.inf)},
    "names": {"expression_names": ARKIT_NAMES[:-1]},
    "foreign names": {"expression_names": (*ARKIT_NAMES[:-1], "smile")},
    "basis": {"basis": "facs"},
    "rate zero": {"fps": 0.0},
    "rate nan": {"fps": float("nan")},
    "words for numbers": {"trans": np.array([["a", "b", "c"]] * 40)},
    "betas": {"betas": np.zeros((2, 10))},
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD.keys())
def test_a_wrong_clip_is_refused_in_one_sentence(change: dict[str, Any]) -> None:
    with pytest.raises(ClipError) as error:
        replace(random_clip(), **change)
    message = str(error.value)
    assert message.endswith(".") and "\n" not in message and ". " not in message.rstrip(".")


def test_resampling_keeps_times_and_ends() -> None:
    clip = random_clip(31)
    doubled = clip.resample(60)
    assert doubled.num_frames == 61 and doubled.fps == 60
    np.testing.assert_array_equal(doubled.poses[::2], clip.poses)
    np.testing.assert_array_equal(doubled.trans[::2], clip.trans)
    middle = clip.resample(60).poses[1::2]
    turn = axis_angle_to_matrix(clip.poses.astype(np.float64))
    half = axis_angle_to_matrix(middle.astype(np.float64))
    whole = geodesic_angle(turn[:-1], turn[1:])
    np.testing.assert_allclose(geodesic_angle(turn[:-1], half), whole / 2, atol=1e-5)
    np.testing.assert_array_equal(clip.resample(30).poses, clip.poses)


@pytest.mark.parametrize(("rate", "num_frames"), [(24.0, 240), (25.0, 250), (29.97, 300), (60.0, 600)])
def test_resampling_to_an_exact_number_of_frames_keeps_both_ends(rate: float, num_frames: int) -> None:
    clip = random_clip(300)
    changed = clip.resample(rate, num_frames)
    assert (changed.num_frames, changed.fps) == (num_frames, rate)
    for end in (0, -1):
        np.testing.assert_array_equal(changed.poses[end], clip.poses[end])
        np.testing.assert_array_equal(changed.trans[end], clip.trans[end])
        np.testing.assert_array_equal(changed.expressions[end], clip.expressions[end])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 50), st.floats(5, 130), st.floats(5, 130))
def test_resampling_between_any_rates_samples_the_same_line(num_frames: int, old: float, new: float) -> None:
    clip = random_clip(num_frames, fps=old)
    line = np.linspace(0, clip.span_s, num_frames)
    clip = replace(clip, trans=np.stack([line, line, line], axis=1))
    changed = clip.resample(new)
    expected = np.arange(changed.num_frames) / new
    np.testing.assert_allclose(changed.trans[:, 0], expected, atol=1e-3)
    assert changed.span_s <= clip.span_s + 1e-4 < changed.span_s + 1 / new + 2e-4


def test_resampling_takes_the_short_way_round() -> None:
    poses = np.zeros((2, 55, 3))
    poses[0, 0, 1], poses[1, 0, 1] = 3.0, -3.0  # 0.28 radians apart through pi
    clip = Clip(30, poses, np.zeros((2, 3)), np.zeros((2, 0)), (), "none").resample(60)
    assert abs(abs(float(clip.poses[1, 0, 1])) - np.pi) < 1e-5


@pytest.mark.parametrize(("rate", "count"), [(0.0, None), (float("inf"), None), (30.0, 0), (-5.0, 3)])
def test_impossible_rates_are_refused(rate: float, count: int | None) -> None:
    with pytest.raises(ClipError):
        random_clip().resample(rate, count)


def test_mirroring_reflects_every_joint_and_undoes_itself() -> None:
    clip = random_clip()
    mirrored = clip.mirrored()
    symmetric = (DEFAULT_SKELETON.rest_joints + DEFAULT_SKELETON.rest_joints[list(MIRROR)] * [-1, 1, 1]) / 2
    skeleton = Skeleton(symmetric.astype(np.float32))
    expected = clip_joint_positions(clip, skeleton)[:, list(MIRROR)] * [-1, 1, 1]
    np.testing.assert_allclose(clip_joint_positions(mirrored, skeleton), expected, atol=1e-5)
    left, right = ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")
    np.testing.assert_array_equal(mirrored.expressions[:, left], clip.expressions[:, right])
    again = mirrored.mirrored()
    np.testing.assert_array_equal(again.poses, clip.poses)
    np.testing.assert_array_equal(again.expressions, clip.expressions)


def test_cutting_and_joining_give_the_clip_back() -> None:
    clip = random_clip()
    again = clip.slice(0, 15).joined(clip.slice(15, 40))
    np.testing.assert_array_equal(again.poses, clip.poses)
    np.testing.assert_array_equal(again.trans, clip.trans)
    with pytest.raises(ClipError):
        clip.slice(10, 10)


def test_aligned_joining_goes_on_from_where_the_first_clip_stood() -> None:
    clip = random_clip(20)
    other = clip.slice(19, 20).joined(random_clip(10, seed=4)).moved(turn=2.0, shift=(3.0, -1.0))
    joined = clip.joined(other, align=True)
    np.testing.assert_allclose(joined.trans[20], clip.trans[-1], atol=1e-5)
    assert_same_rotations(joined.poses[20], clip.poses[-1], 1e-3)
    assert joined.num_frames == 31


def test_clips_that_do_not_fit_are_not_joined() -> None:
    with pytest.raises(ClipError, match="resample"):
        random_clip().joined(random_clip(fps=25))
    coefficients = replace(random_clip(), basis="smplx", expression_names=smplx_expression_names(52))
    with pytest.raises(ClipError, match="face channels"):
        random_clip().joined(coefficients)
    with pytest.raises(ClipError, match="frames"):
        random_clip().with_part(Part.UPPER, random_clip(39))


@pytest.mark.parametrize("part", PARTS)
def test_a_copied_part_is_bit_identical_and_nothing_else_changes(part: Part) -> None:
    clip, other = random_clip(), random_clip(seed=1)
    mixed = clip.with_part(part, other)
    joints = list(PART_JOINTS[part])
    elsewhere = [joint for joint in range(55) if joint not in joints]
    assert mixed.poses[:, joints].tobytes() == other.poses[:, joints].tobytes()
    assert mixed.poses[:, elsewhere].tobytes() == clip.poses[:, elsewhere].tobytes()
    source = other if part is Part.LOWER else clip
    assert mixed.trans.tobytes() == source.trans.tobytes()
    source = other if part is Part.FACE else clip
    assert mixed.expressions.tobytes() == source.expressions.tobytes()


def test_rest_stands_on_the_floor() -> None:
    clip = Clip.rest(3, 30)
    positions = clip_joint_positions(clip)
    np.testing.assert_allclose(positions[0] - positions[0, 0], DEFAULT_SKELETON.rest_joints, atol=1e-6)
    assert 0.0 < positions[..., 1].min() < 0.04
    assert clip.duration_s == pytest.approx(0.1) and clip.span_s == pytest.approx(2 / 30)


def test_forward_kinematics_golden_and_torch_alike() -> None:
    torch = pytest.importorskip("torch")
    poses = np.zeros((1, 55, 3), dtype=np.float32)
    poses[0, 16] = [0, 0, -np.pi / 2]  # left shoulder: the arm hangs down
    poses[0, 18] = [-np.pi / 2, 0, 0]  # then the elbow twists by 90 degrees about X
    rest = DEFAULT_SKELETON.rest_joints
    root = np.array([[1.0, 2.0, 3.0]], dtype=np.float32)
    positions, world = forward_kinematics(axis_angle_to_matrix(poses), root, rest)
    upper_arm, lower_arm = rest[18] - rest[16], rest[20] - rest[18]
    elbow = rest[16] + np.array([upper_arm[1], -upper_arm[0], upper_arm[2]]) + root[0]
    np.testing.assert_allclose(positions[0, 18], elbow, atol=1e-6)
    turned = np.array([lower_arm[0], lower_arm[2], -lower_arm[1]])
    wrist = elbow + np.array([turned[1], -turned[0], turned[2]])
    np.testing.assert_allclose(positions[0, 20], wrist, atol=1e-6)
    matrices = torch.from_numpy(axis_angle_to_matrix(poses))
    there, _ = forward_kinematics(matrices, torch.from_numpy(root), torch.from_numpy(rest))
    np.testing.assert_allclose(there, positions, atol=1e-6)
    np.testing.assert_allclose(world[0, 20], (world[0, 18]), atol=1e-6)
