# SPDX-License-Identifier: GPL-3.0-or-later
"""The foot lock: standing feet stand, nothing pops, what was right stays, and bad input is refused."""

from __future__ import annotations

import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import ClipError
from engine.evaluation.quality import knee_pop
from engine.motion.arrays import FloatArray
from engine.motion.clip import Clip
from engine.motion.features import LOWER_CONTACTS, LOWER_ROTATIONS, starter_clip, starter_features
from engine.motion.foot_lock import contact_spans, plant_feet
from engine.motion.kinematics import clip_joint_positions, forward_kinematics
from engine.motion.measures import foot_slide
from engine.motion.rotations import (
    axis_angle_to_matrix,
    matrix_to_rotation_6d,
    rotation_6d_to_matrix,
)
from engine.motion.skeleton import DEFAULT_SKELETON, PART_JOINTS, SOLE_THICKNESS
from engine.specs import Part

WALKS = ("franc/35_01.bvh", "franc/16_15.bvh", "franc/32_01.bvh", "daz/07_01.bvh", "daz/12_01.bvh")


def smooth_noise(generator: np.random.Generator, shape: tuple[int, int], frames: float) -> FloatArray:
    """Noise of unit deviation that changes over about `frames` frames."""
    kernel = np.exp(-0.5 * (np.arange(-30, 31) / frames) ** 2)
    noise = generator.normal(size=(shape[0] + 60, shape[1]))
    smooth = np.stack([np.convolve(column, kernel, "valid") for column in noise.T], axis=1)
    return (smooth / np.sqrt((kernel**2).sum())).astype(np.float32)


def sliding(clip: Clip, seed: int) -> tuple[Clip, FloatArray]:
    """The clip as a tokenizer would return it (legs and root a little wrong), with its true contacts.

    The amount makes captured walks slide at 0.43 m/s, which is what a first trial's tokenizer did.
    """
    generator = np.random.default_rng(seed)
    lower = starter_features(clip)[Part.LOWER].copy()
    count = clip.num_frames
    contacts = lower[:, LOWER_CONTACTS].copy()
    lower[:, 0:2] += 0.075 * smooth_noise(generator, (count, 2), 8)
    lower[:, 2:3] += 0.005 * smooth_noise(generator, (count, 1), 3)
    wrong = np.radians(2.0) * smooth_noise(generator, (count, 27), 3).reshape(count, 9, 3)
    matrices = rotation_6d_to_matrix(lower[:, LOWER_ROTATIONS].reshape(count, 9, 6))
    lower[:, LOWER_ROTATIONS] = matrix_to_rotation_6d(matrices @ axis_angle_to_matrix(wrong)).reshape(
        count, -1
    )
    return starter_clip({Part.LOWER: lower}), contacts


def made_up_walk(num_frames: int = 120) -> tuple[Clip, FloatArray]:
    """A walk by the book (two swinging legs, a root that is too fast) whose feet slide."""
    clip = Clip.rest(num_frames, 30)
    poses, trans = clip.poses.copy(), clip.trans.copy()
    phase = 2 * np.pi * np.arange(num_frames) / 32
    contacts = np.zeros((num_frames, 4), dtype=np.float32)
    for side, shift in ((0, 0.0), (1, np.pi)):
        swing = np.sin(phase + shift)
        poses[:, 1 + side, 0] = -0.4 * swing - 0.05
        poses[:, 4 + side, 0] = 0.15 + 0.45 * np.maximum(np.cos(phase + shift), 0.0) ** 2
        poses[:, 7 + side, 0] = -poses[:, 1 + side, 0] - poses[:, 4 + side, 0]
        contacts[:, [side, 2 + side]] = (np.cos(phase + shift) < 0)[:, None]
    trans[:, 2] = np.arange(num_frames) * (1.4 / 30)
    trans[:, 1] -= 0.03
    return replace(clip, poses=poses, trans=trans), contacts


@pytest.fixture(scope="module")
def walks(shared_dir: Path) -> list[Clip]:
    from engine.data.cleaning import CAPTURE_ARCHIVE
    from engine.data.retarget import retarget
    from engine.motion.bvh import parse_bvh

    with zipfile.ZipFile(shared_dir / "data" / CAPTURE_ARCHIVE) as archive:
        texts = [archive.read(name).decode() for name in WALKS]
    return [replace(retarget(parse_bvh(text)).clip, fps=30.0) for text in texts]


def slide_of(clips: list[Clip]) -> float:
    return float(np.median([foot_slide(clip_joint_positions(clip), 30) for clip in clips]))


def root_acceleration(clips: list[Clip]) -> float:
    parts = [np.linalg.norm(np.diff(clip.trans, n=2, axis=0), axis=-1) * 900 for clip in clips]
    return float(np.percentile(np.concatenate(parts), 99))


def test_sliding_walks_stand_without_a_pop(walks: list[Clip]) -> None:
    pairs = [sliding(clip, seed) for seed, clip in enumerate(walks)]
    before = [clip for clip, _ in pairs]
    after = [plant_feet(clip, contacts) for clip, contacts in pairs]
    assert slide_of(before) > 0.35
    assert slide_of(after) <= 0.06
    captured = knee_pop([clip_joint_positions(clip) for clip in walks], 30)
    assert knee_pop([clip_joint_positions(clip) for clip in after], 30) <= 1.1 * captured
    assert root_acceleration(after) <= 1.1 * root_acceleration(before)
    for old, new in zip(before, after, strict=True):
        walked = np.linalg.norm(old.trans[-1] - old.trans[0])
        assert np.linalg.norm(new.trans[-1] - new.trans[0]) == pytest.approx(walked, abs=0.1)
        toes = clip_joint_positions(new)[:, [10, 11], 1]
        assert np.percentile(toes, 1) > SOLE_THICKNESS - 0.01


def test_good_walks_are_hardly_touched(walks: list[Clip]) -> None:
    for clip in walks:
        contacts = starter_features(clip)[Part.LOWER][:, LOWER_CONTACTS]
        planted = plant_feet(clip, contacts)
        moved = np.linalg.norm(clip_joint_positions(planted) - clip_joint_positions(clip), axis=-1)
        assert np.median(moved[:, list(PART_JOINTS[Part.LOWER])]) < 0.03
        assert np.abs(planted.trans - clip.trans)[:, [0, 2]].max() < 0.05


def test_a_made_up_walk_is_planted_and_only_legs_and_root_change() -> None:
    clip, contacts = made_up_walk()
    planted = plant_feet(clip, contacts)
    assert slide_of([clip]) > 0.2
    assert slide_of([planted]) < 0.1
    legs = [1, 2, 4, 5, 7, 8]
    elsewhere = [joint for joint in range(55) if joint not in legs]
    assert planted.poses[:, elsewhere].tobytes() == clip.poses[:, elsewhere].tobytes()
    assert planted.expressions.tobytes() == clip.expressions.tobytes()
    assert planted.trans[0, [0, 2]] == pytest.approx(clip.trans[0, [0, 2]], abs=0.02)


def test_feet_keep_their_direction_and_bones_their_length() -> None:
    clip, contacts = made_up_walk()
    planted = plant_feet(clip, contacts)
    rest = DEFAULT_SKELETON.rest_joints
    _, before = forward_kinematics(axis_angle_to_matrix(clip.poses), clip.trans, rest)
    _, after = forward_kinematics(axis_angle_to_matrix(planted.poses), planted.trans, rest)
    np.testing.assert_allclose(after[:, [0, 7, 8, 10, 11]], before[:, [0, 7, 8, 10, 11]], atol=1e-5)
    positions = clip_joint_positions(planted)
    lengths = np.linalg.norm(positions[:, 7] - positions[:, 4], axis=-1)
    np.testing.assert_allclose(lengths, np.linalg.norm(rest[7] - rest[4]), atol=1e-5)


def test_knees_bend_forward_only() -> None:
    clip, contacts = made_up_walk()
    positions = clip_joint_positions(plant_feet(clip, contacts))
    for hip, knee, ankle in ((1, 4, 7), (2, 5, 8)):
        thigh, shin = positions[:, knee] - positions[:, hip], positions[:, ankle] - positions[:, knee]
        assert (np.cross(thigh, shin)[:, 0] > -1e-4).all()  # the thigh turns into the shin about +X


def test_without_contacts_and_above_the_floor_nothing_changes() -> None:
    clip, _ = made_up_walk()
    trans = clip.trans.copy()
    trans[:, 1] += 0.5
    raised = replace(clip, trans=trans)
    planted = plant_feet(raised, np.zeros((clip.num_frames, 4), dtype=np.float32))
    np.testing.assert_allclose(planted.trans, raised.trans, atol=1e-5)
    np.testing.assert_allclose(clip_joint_positions(planted), clip_joint_positions(raised), atol=0.004)


def test_sunk_feet_come_out_of_the_floor() -> None:
    clip = Clip.rest(60, 30)
    poses, trans = clip.poses.copy(), clip.trans.copy()
    poses[:, [4, 5], 0], poses[:, [1, 2], 0], poses[:, [7, 8], 0] = 0.8, -0.4, -0.4
    standing = replace(clip, poses=poses)
    trans[:, 1] -= clip_joint_positions(standing)[0, [10, 11], 1].min() + 0.02  # toes 2 cm below the floor
    sunk = replace(standing, trans=trans)
    planted = plant_feet(sunk, np.zeros((60, 4), dtype=np.float32))
    assert clip_joint_positions(sunk)[:, [10, 11], 1].max() < 0
    assert clip_joint_positions(planted)[:, [10, 11], 1].min() > SOLE_THICKNESS - 0.008


def test_a_jump_keeps_its_height_although_contacts_are_wrong(walks: list[Clip]) -> None:
    clip, contacts = made_up_walk()
    trans = clip.trans.copy()
    flight = np.arange(40, 60)
    trans[flight, 1] += 0.4 * (1 - ((flight - 49.5) / 10) ** 2)
    jump = replace(clip, trans=trans)
    planted = plant_feet(jump, np.ones_like(contacts))
    rise = planted.trans[flight, 1].max() - planted.trans[:35, 1].mean()
    assert rise > 0.32


def test_contacts_that_are_always_on_do_not_stop_the_walk(walks: list[Clip]) -> None:
    clip, contacts = sliding(walks[0], 0)
    planted = plant_feet(clip, np.ones_like(contacts))
    walked = np.linalg.norm((clip.trans[-1] - clip.trans[0])[[0, 2]])
    assert np.linalg.norm((planted.trans[-1] - planted.trans[0])[[0, 2]]) > 0.6 * walked


def test_contact_spans_have_hysteresis_and_a_shortest_length() -> None:
    def spans(values: list[float]) -> list[bool]:
        return contact_spans(np.array(values)[:, None], 3, 0.6, 0.4)[:, 0].tolist()

    assert spans([0.0, 0.7, 0.5, 0.5, 0.45, 0.3, 0.0]) == [False, True, True, True, True, False, False]
    assert spans([0.0, 0.5, 0.55, 0.5, 0.0, 0.0, 0.0]) == [False] * 7
    assert spans([0, 0, 0, 1, 1, 0, 0, 0]) == [False] * 8
    assert spans([1, 1, 1, 0, 0, 1, 1, 1]) == [True] * 8
    assert spans([1, 0, 0, 0, 0]) == [True, False, False, False, False]  # may have begun before the clip


@pytest.mark.parametrize("num_frames", [1, 2, 3, 4])
def test_very_short_clips_survive(num_frames: int) -> None:
    clip = Clip.rest(num_frames, 30)
    planted = plant_feet(clip, np.ones((num_frames, 4), dtype=np.float32))
    np.testing.assert_allclose(planted.trans, clip.trans, atol=0.01)


@pytest.mark.parametrize("contacts", [np.ones((9, 4)), np.ones((10, 2)), np.full((10, 4), np.nan)])
def test_contacts_that_do_not_fit_are_refused(contacts: FloatArray) -> None:
    with pytest.raises(ClipError):
        plant_feet(Clip.rest(10, 30), contacts)


def test_a_minute_takes_a_moment() -> None:
    clip, contacts = made_up_walk(1800)
    plant_feet(clip, contacts)
    started = time.process_time()
    plant_feet(clip, contacts)
    assert time.process_time() - started < 1.0  # about 0.1 s on an idle core
