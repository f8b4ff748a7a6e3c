# SPDX-License-Identifier: GPL-3.0-or-later
"""BVH written and read again, and motion of any BVH skeleton on our joints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import ClipError
from engine.motion.arrays import DoubleArray
from engine.motion.bvh import parse_bvh
from engine.motion.bvh_clip import clip_of, load_bvh
from engine.motion.bvh_writer import WorldMotion, bvh_text
from engine.motion.clip import Clip
from engine.motion.kinematics import clip_joint_positions, forward_kinematics
from engine.motion.retargeting import carry, map_rig
from engine.motion.rig_guess import RestPose, guess
from engine.motion.rig_names import recognise
from engine.motion.rotations import axis_angle_to_matrix, geodesic_angle
from engine.motion.skeleton import DEFAULT_SKELETON, JOINT_NAMES, PARENTS
from engine.specs import Part
from tests.engine.test_motion_retargeting import LIMBS, rest_pose
from tests.miniature_bvh import miniature
from tests.rigs import documented_rig

REST = DEFAULT_SKELETON.rest_joints.astype(np.float64)


def moving(num_frames: int = 12, seed: int = 0) -> Clip:
    """A smooth random clip that walks about above the floor."""
    rng = np.random.default_rng(seed)
    times = np.arange(num_frames)[:, None] / 30.0

    def wave(width: int, size: float) -> DoubleArray:
        return size * np.sin(3.0 * times * rng.uniform(0.5, 1.5, width) + rng.uniform(0, 6, width))

    clip = Clip.rest(num_frames, 30.0)
    poses = wave(165, 0.3).reshape(num_frames, 55, 3)
    return replace(clip, poses=poses, trans=clip.trans + wave(3, 0.2))


def on_our_skeleton(clip: Clip) -> WorldMotion:
    """A clip as the motion of a skeleton with SMPL-X's names, standing on the floor."""
    rotations = axis_angle_to_matrix(clip.poses.astype(np.float64))
    places, turns = forward_kinematics(rotations, clip.pelvis_positions.astype(np.float64), REST)
    return WorldMotion(JOINT_NAMES, PARENTS, REST, REST + np.array([0.0, 0.03, 0.0]), turns, places, clip.fps)


def on_rig(clip: Clip, rest: RestPose) -> WorldMotion:
    """A clip as the motion of another rig, bones that are not mapped going along with their parents."""
    mapping = recognise(rest.names, rest.above) or guess(rest)
    rig = map_rig(rest, mapping)
    pose = carry(clip, rig)
    by_name = {name: pose.turns[:, place] for place, name in enumerate(rig.bone_names)}
    heads, tails = rest.heads @ rig.axes, rest.tails @ rig.axes
    turns = np.empty((clip.num_frames, len(rest.names), 3, 3))
    places = np.empty((clip.num_frames, len(rest.names), 3))
    still = np.tile(np.eye(3), (clip.num_frames, 1, 1))
    for bone, (name, parent) in enumerate(zip(rest.names, rest.parents, strict=True)):
        turns[:, bone] = by_name.get(name, turns[:, parent] if parent >= 0 else still)
        if name == rig.bone_names[0]:
            places[:, bone] = pose.hips + pose.turns[:, 0] @ rig.root
        elif parent < 0:
            places[:, bone] = heads[bone]
        else:
            places[:, bone] = places[:, parent] + turns[:, parent] @ (heads[bone] - heads[parent])
    return WorldMotion(rest.names, rest.parents, heads, tails, turns, places, clip.fps)


def test_our_skeleton_comes_back_exactly() -> None:
    clip = moving()
    back, parts = clip_of(parse_bvh(bvh_text(on_our_skeleton(clip))))
    assert parts == (Part.HANDS, Part.UPPER, Part.LOWER) and back.fps == pytest.approx(30.0, abs=1e-4)
    kept = [joint for joint in range(55) if joint not in (12, 15, 22, 23, 24)]  # the neck keeps its posture
    turns = [axis_angle_to_matrix(c.poses[:, kept].astype(np.float64)) for c in (clip, back)]
    assert np.degrees(geodesic_angle(*turns)).max() < 0.1
    assert np.abs(back.pelvis_positions - clip.pelvis_positions).max() < 1e-3


@pytest.mark.parametrize("scale", [1.0, 39.37])
@pytest.mark.parametrize("name", ["mixamo", "unreal", "vroid", "daz genesis 8", "cmu", "biped", "nameless"])
def test_any_skeleton_is_read_as_the_joints_moved(name: str, scale: float) -> None:
    clip = moving()
    rest = rest_pose(documented_rig(name), scale=scale)
    motion = parse_bvh(bvh_text(on_rig(clip, rest)))
    back, parts = clip_of(motion)
    assert Part.UPPER in parts and Part.LOWER in parts
    ours, theirs = clip_joint_positions(back), clip_joint_positions(clip)
    mapping = recognise(rest.names, rest.above) or guess(rest)
    for start, end in LIMBS:
        if start in mapping.bones and end in mapping.bones:
            a, b = JOINT_NAMES.index(start), JOINT_NAMES.index(end)
            first, second = ours[:, b] - ours[:, a], theirs[:, b] - theirs[:, a]
            cosine = (
                (first * second).sum(-1) / np.linalg.norm(first, axis=-1) / np.linalg.norm(second, axis=-1)
            )
            assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 2.5, (start, end)
    hips = [(c[:, 1] + c[:, 2]) / 2 for c in (ours, theirs)]
    assert np.abs(hips[0] - hips[1]).max() < 0.03


def test_a_skeleton_without_fingers_moves_no_hands() -> None:
    text = miniature({"LeftArm": (40.0, 10.0, 0.0), "RightLeg": (0.0, 0.0, 30.0)}, forward_per_frame=0.5)
    clip, parts = clip_of(parse_bvh(text))
    assert parts == (Part.UPPER, Part.LOWER)
    assert clip.basis == "none" and clip.num_frames == 40
    way = clip.pelvis_positions[-1] - clip.pelvis_positions[0]
    assert way[2] > 0.3 and abs(way[0]) < 0.01
    feet = clip_joint_positions(clip)[0, [10, 11], 1]
    assert np.abs(feet).max() < 0.06, "its feet stand on the floor"


def test_loose_bones_and_strange_names_are_written() -> None:
    """A bone that leaves its parent has channels for its place; no name has blanks, no two are alike."""
    frames = 5
    places = np.zeros((frames, 3, 3))
    places[:, 1] = np.array([[0.0, 0.1 * f, 0.0] for f in range(frames)])
    places[:, 2, 1] = 0.2
    motion = WorldMotion(
        ("a root", "b b", "b_b"), (-1, 0, 0), np.array([[0.0, 0, 0], [0, 0, 0], [0, 0.2, 0]]),
        np.ones((3, 3)), np.tile(np.eye(3), (frames, 3, 1, 1)), places, 24.0,
    )  # fmt: skip
    read = parse_bvh(bvh_text(motion))
    names = [joint.name for joint in read.joints if joint.channels]
    assert names == ["a_root", "b_b", "b_b_2"]
    assert [len(read.joints[read.index(name)].channels) for name in names] == [6, 6, 3]
    _, back = read.global_pose()
    assert back[-1, read.index("b_b"), 1] == pytest.approx(40.0, abs=1e-3)
    assert read.fps == pytest.approx(24.0, abs=1e-4)


def test_turns_past_a_half_turn_do_not_jump() -> None:
    frames = 40
    angle = np.zeros((frames, 1, 3))
    angle[:, 0, 1] = np.linspace(0.0, 3.0 * np.pi, frames)
    turns = axis_angle_to_matrix(angle)
    motion = WorldMotion(
        ("root",), (-1,), np.zeros((1, 3)), np.ones((1, 3)), turns, np.zeros((frames, 1, 3)), 30.0
    )
    read = parse_bvh(bvh_text(motion))
    assert np.abs(np.diff(read.values[:, 3:], axis=0)).max() < 20.0
    assert np.degrees(geodesic_angle(read.local_rotations()[:, :1].astype(np.float64), turns)).max() < 0.1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no file"),
        ("", "not in BVH format"),
        ("HIERARCHY\nROOT a\n{\nOFFSET 0 0\n}\nMOTION\n", "damaged"),
        ("HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 3 Xrotation Yrotation Zrotation\n}\nMOTION\n"
         "Frames: 2\nFrame Time: 0.03\n1 2 3\n", "do not fit"),
        ("HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 3 Xrotation Yrotation Zrotation\n}\nMOTION\n"
         "Frames: 1\nFrame Time: 0.03\n1 2 3\n", "no bones of a body"),
        ("HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 3 Xrotation Yrotation Zrotation\n}\nMOTION\n"
         "Frames: 1\nFrame Time: nan\n1 2 3\n", ""),
        (miniature({}, frames=3).replace("38.0", "1e300"), ""),
        (miniature({}, frames=3).replace("-16.0", "0.0").replace("OFFSET 0 0 1", "OFFSET 0 0 0"), ""),
    ],
)  # fmt: skip
def test_a_broken_file_gives_one_sentence(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "take.bvh"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ClipError) as error:
        load_bvh(path)
    message = str(error.value)
    assert said in message and "take.bvh" in message
    assert message.endswith(".") and "\n" not in message and message.count(". ") == 0
