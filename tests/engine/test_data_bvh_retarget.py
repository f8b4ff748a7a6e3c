# SPDX-License-Identifier: GPL-3.0-or-later
"""BVH reading, retarget to the SMPL-X joints, and cleaning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.data.cleaning import (
    DROPPED_TRIALS,
    GLITCH_ANGLE,
    face_forward,
    fault,
    load_captures,
    repair_far_turns,
    repair_rotations,
    subject_of,
    subject_reaches,
    turn_per_frame,
)
from engine.data.retarget import LIMB_BONES, joint_map, leg_extensions, retarget
from engine.errors import ClipError
from engine.motion.bvh import BvhMotion, parse_bvh
from engine.motion.clip import Clip
from engine.motion.kinematics import clip_joint_positions
from engine.motion.rotations import axis_angle_to_matrix, heading_angle
from engine.motion.skeleton import DEFAULT_SKELETON, JOINT_NAMES, SOLE_THICKNESS
from tests.miniature_bvh import miniature


def directions(positions: np.ndarray, start: int, end: int) -> np.ndarray:
    bone = positions[:, end] - positions[:, start]
    return bone / np.linalg.norm(bone, axis=-1, keepdims=True)


def bone_error(motion: BvhMotion, clip: Clip) -> float:
    """Largest angle between captured and retargeted limb bones, degrees."""
    joints = joint_map(motion)
    _, theirs = motion.global_pose()
    ours = clip_joint_positions(clip)
    worst = 0.0
    for start, end in LIMB_BONES:
        a = directions(theirs[1:], joints[start], joints[end])
        b = directions(ours, JOINT_NAMES.index(start), JOINT_NAMES.index(end))
        worst = max(worst, float(np.degrees(np.arccos(np.clip((a * b).sum(-1), -1, 1))).max()))
    return worst


def test_rotations_are_applied_in_the_declared_order() -> None:
    text = (
        "HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\n"
        "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation\n"
        "JOINT b\n{\nOFFSET 0 2 0\nCHANNELS 3 Zrotation Yrotation Xrotation\n"
        "End Site\n{\nOFFSET 0 1 0\n}\n}\n}\n"
        "MOTION\nFrames: 1\nFrame Time: 0.0333333\n1 2 3 90 90 0 0 0 90\n"
    )
    motion = parse_bvh(text)
    rotations, positions = motion.global_pose()
    assert [joint.name for joint in motion.joints] == ["a", "b", "b_end"]
    assert motion.fps == pytest.approx(30, abs=0.01)
    # Rz(90) Rx(90) takes the offset +Y first to +Z, which Rz keeps.
    np.testing.assert_allclose(positions[0, 1], [1, 2, 5], atol=1e-5)
    # b adds Rx(90): +Y -> +Z locally, and Rz Rx takes +Z to -Y to +X.
    np.testing.assert_allclose(positions[0, 2], [2, 2, 5], atol=1e-5)
    np.testing.assert_allclose(
        rotations[0] @ np.swapaxes(rotations[0], -1, -2), np.tile(np.eye(3), (3, 1, 1)), atol=1e-5
    )


@pytest.mark.parametrize(
    "damage", [lambda t: t.replace("MOTION", ""), lambda t: t[:-40], lambda t: t.replace("}", "", 1)]
)
def test_damaged_files_say_so(damage) -> None:
    with pytest.raises(ClipError, match="BVH"):
        parse_bvh(damage(miniature({})))


def test_limbs_point_where_the_captured_ones_do() -> None:
    motion = parse_bvh(
        miniature(
            {
                "Hips": (4, 30, -6),
                "LeftUpLeg": (5, 0, -40),
                "LeftLeg": (0, 0, 60),
                "RightArm": (50, 10, 0),
                "LeftForeArm": (0, -70, 10),
                "Spine": (0, 10, 15),
            }
        )
    )
    assert bone_error(motion, retarget(motion).clip) < 0.1


def test_scale_heading_and_floor() -> None:
    motion = parse_bvh(miniature({}, forward_per_frame=1.3))
    result = retarget(motion)
    clip = result.clip
    assert clip.num_frames == 39  # the T-pose is gone
    assert result.scale == pytest.approx(DEFAULT_SKELETON.leg_length / 32.0, rel=1e-4)
    speed = np.diff(clip.trans, axis=0) * clip.fps
    np.testing.assert_allclose(speed.mean(0), [0, 0, 1.3 * result.scale * 30], atol=0.01)
    np.testing.assert_allclose(heading_angle(axis_angle_to_matrix(clip.poses[:, 0])), 0, atol=1e-5)
    toes = clip_joint_positions(clip)[:, [10, 11], 1]
    assert toes.min() == pytest.approx(SOLE_THICKNESS, abs=0.02)


def test_stretching_opens_the_knee_and_keeps_the_legs_direction() -> None:
    motion = parse_bvh(miniature({"LeftUpLeg": (0, 0, -18), "LeftLeg": (0, 0, 36)}))
    assert leg_extensions(motion)[5, 0] == pytest.approx(np.cos(np.radians(18)), abs=1e-3)
    plain, stretched = (clip_joint_positions(retarget(motion, reach=reach).clip) for reach in (1.0, 0.96))

    def leg(positions: np.ndarray) -> np.ndarray:
        return positions[3, 7] - positions[3, 1]

    assert np.linalg.norm(leg(stretched)) == pytest.approx(np.linalg.norm(leg(plain)) / 0.96, rel=0.006)
    cosine = leg(plain) @ leg(stretched) / np.linalg.norm(leg(plain)) / np.linalg.norm(leg(stretched))
    assert np.degrees(np.arccos(min(cosine, 1))) < 0.5
    # A straight leg stays straight and unbroken.
    np.testing.assert_allclose(
        np.linalg.norm(stretched[3, 8] - stretched[3, 2]), DEFAULT_SKELETON.leg_length, rtol=0.01
    )


def test_the_reach_of_a_subject_is_bounded() -> None:
    bent = parse_bvh(miniature({f"{s}UpLeg": (0, 0, -40) for s in ("Left", "Right")} | {
        f"{s}Leg": (0, 0, 80) for s in ("Left", "Right")}))  # fmt: skip
    reaches = subject_reaches([("35_01", bent), ("indian_04", bent), ("salsa_16", parse_bvh(miniature({})))])
    assert reaches == {"35": 0.95, "indian": 1.0, "salsa_b": 1.0}
    assert subject_of("salsa_15") == "salsa_a"


def moving_clip(frames: int = 60) -> Clip:
    clip = Clip.rest(frames, 30)
    poses = clip.poses.copy()
    poses[:, 16, 2] = np.linspace(0, 1, frames)
    return replace(clip, poses=poses)


def test_glitches_are_bridged_and_nothing_else_changes() -> None:
    clean = moving_clip()
    poses = clean.poses.copy()
    poses[20:24, 16] = [1.5, 1.0, -1.0]
    repaired, count = repair_rotations(replace(clean, poses=poses))
    assert turn_per_frame(poses).max() > GLITCH_ANGLE
    assert 4 <= count <= 6
    np.testing.assert_allclose(repaired.poses, clean.poses, atol=0.02)
    same, none = repair_rotations(clean)
    assert none == 0
    np.testing.assert_allclose(same.poses, clean.poses, atol=1e-5)


def test_heads_turned_too_far_are_bridged() -> None:
    clean = moving_clip()
    head = JOINT_NAMES.index("head")
    poses = clean.poses.copy()
    poses[:, head] = np.linspace([0, 0, 0], [0, 0.6, 0], len(poses))
    wrong = poses.copy()
    wrong[20:30, head] = [0.0, 2.8, 0.0]
    wrong[-4:, head] = [0.0, 2.8, 0.0]
    repaired, count = repair_far_turns(replace(clean, poses=wrong))
    assert count == 14
    np.testing.assert_allclose(repaired.poses[:-4], poses[:-4], atol=1e-5)
    np.testing.assert_allclose(repaired.poses[-4:, head], np.tile(poses[-5, head], (4, 1)), atol=1e-5)
    backwards = wrong.copy()
    backwards[:, head] = [0.0, 3.1, 0.0]
    repaired, count = repair_far_turns(replace(clean, poses=backwards))
    assert count == len(poses)
    assert not repaired.poses[:, head].any()


def test_faults_are_named() -> None:
    clip = moving_clip()
    assert fault(clip) == ""
    jump = clip.trans.copy()
    jump[30:, 0] += 2.0
    assert "m/s" in fault(replace(clip, trans=jump))
    assert "axis or scale" in fault(replace(clip, trans=clip.trans * 30))
    sinking = clip.trans.copy()
    sinking[40:, 1] -= np.linspace(0, 1.2, 20)
    assert "below the floor" in fault(replace(clip, trans=sinking))


def test_clips_face_forward() -> None:
    clip = face_forward(moving_clip().moved(turn=2.2, shift=(3, -4)))
    np.testing.assert_allclose(clip.trans[0, [0, 2]], 0, atol=1e-5)
    np.testing.assert_allclose(heading_angle(axis_angle_to_matrix(clip.poses[:, 0])), 0, atol=1e-4)


def test_a_missing_archive_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"cmu-mocap-30fps\.zip"):
        load_captures(tmp_path)


@pytest.fixture(scope="module")
def archive(shared_dir: Path) -> Path:
    path = shared_dir / "data" / "cmu-mocap-30fps.zip"
    if not path.is_file():
        pytest.skip("needs the captured clips (data/cmu-mocap-30fps.zip in the shared folder)")
    return path


@pytest.mark.parametrize("name", ["daz/02_01", "daz/salsa_19", "franc/35_01", "franc/49_06", "franc/27_01"])
def test_real_clips_keep_their_bones_directions(archive: Path, name: str) -> None:
    import zipfile

    with zipfile.ZipFile(archive) as files:
        motion = parse_bvh(files.read(f"{name}.bvh").decode())
    assert bone_error(motion, retarget(motion).clip) < 0.5
    assert set(DROPPED_TRIALS) == {"09_10", "07_12", "01_14", "14_36"}


def test_real_walks_go_forward_at_standing_height(archive: Path) -> None:
    import zipfile

    with zipfile.ZipFile(archive) as files:
        for name in ("daz/07_01", "daz/12_01", "franc/35_01", "franc/16_15", "franc/32_01"):
            clip = face_forward(retarget(parse_bvh(files.read(f"{name}.bvh").decode())).clip)
            share = float(np.median(clip.trans[:, 1])) / DEFAULT_SKELETON.standing_height
            assert 0.92 < share < 1.01, name
            way = (clip.trans[-1] - clip.trans[0]) / clip.duration_s
            assert 0.6 < way[2] < 1.7 and abs(way[0]) < 0.3 * way[2], name
