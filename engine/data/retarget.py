# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves CMU captures from their two BVH skeletons to the engine's SMPL-X joints.

Rotations are carried over as global rotations relative to the file's first frame, which is a T-pose facing +Z
in every clip: G_j(t) G_j(0)^-1. Neither skeleton's rest pose matters then. What remains is that the first
frame's limbs are not quite parallel to ours (arms 0-8 degrees down); a constant minimal rotation per limb
removes it, so that every limb bone of the result points where the captured bone points.

The pelvis is placed from the captured hip joints, because the root joints of the two skeletons lie 2.6 cm
below and 10 cm above them, and lengths are scaled by the ratio of leg lengths.

The CMU skeletons' legs are longer than most subjects' own: their knees never get straight, not even when
standing. Where a subject's legs reach only a share of their length, the way from hip to ankle is stretched by
that share and the knee re-solved (law of cosines in the knee's own plane), with the root scaled alike, so
that planted feet stay planted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..motion.arrays import FloatArray
from ..motion.bvh import BvhMotion
from ..motion.clip import Clip
from ..motion.kinematics import clip_joint_positions
from ..motion.rotations import axis_angle_to_matrix, matrix_to_axis_angle, smallest_turn
from ..motion.skeleton import DEFAULT_SKELETON, JOINT_NAMES, PARENTS, SOLE_THICKNESS, Skeleton

_JOINTS = {name: i for i, name in enumerate(JOINT_NAMES)}

_DAZ: dict[str, str] = {
    "pelvis": "hip",
    "spine1": "abdomen",
    "spine2": "abdomen",  # one joint for two: the upper of ours gets no rotation of its own
    "spine3": "chest",
    "neck": "neck",
    "head": "head",
}
_FRANC: dict[str, str] = {
    "pelvis": "Hips",
    "spine1": "LowerBack",
    "spine2": "Spine",
    "spine3": "Spine1",
    "neck": "Neck1",
    "head": "Head",
}
_DAZ_SIDE: dict[str, str] = {
    "hip": "Thigh",
    "knee": "Shin",
    "ankle": "Foot",
    "collar": "Collar",
    "shoulder": "Shldr",
    "elbow": "ForeArm",
    "wrist": "Hand",
}
_FRANC_SIDE: dict[str, str] = {
    "hip": "UpLeg",
    "knee": "Leg",
    "ankle": "Foot",
    "foot": "ToeBase",
    "collar": "Shoulder",
    "shoulder": "Arm",
    "elbow": "ForeArm",
    "wrist": "Hand",
}
for _side, _daz, _franc in (("left", "l", "Left"), ("right", "r", "Right")):
    _DAZ.update({f"{_side}_{ours}": _daz + theirs for ours, theirs in _DAZ_SIDE.items()})
    _FRANC.update({f"{_side}_{ours}": _franc + theirs for ours, theirs in _FRANC_SIDE.items()})

LIMB_BONES: tuple[tuple[str, str], ...] = tuple(
    (f"{side}_{start}", f"{side}_{end}")
    for side in ("left", "right")
    for start, end in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
)
"""Bones whose direction in the result equals the captured direction, as (joint, its child)."""

_FOLLOWS = {"left_wrist": "left_elbow", "right_wrist": "right_elbow"}
"""Joints that take the constant correction of their parent, so that their own local rotation stays as
captured."""


@dataclass(frozen=True)
class Retargeted:
    """A capture on our joints.

    Attributes:
        clip: Motion without the T-pose frame, floor at height 0, starting above the origin.
        scale: Metres per unit of the file.
        floor_m: Height of the floor that was subtracted.
    """

    clip: Clip
    scale: float
    floor_m: float


def joint_map(motion: BvhMotion) -> dict[str, int]:
    """Our joint names to the file's joint indices, for whichever of the two skeletons the file has.

    Raises:
        ClipError: If a joint of both skeletons is missing.
    """
    table = _DAZ if any(joint.name == "abdomen" for joint in motion.joints) else _FRANC
    return {ours: motion.index(theirs) for ours, theirs in table.items()}


def _unit(vectors: FloatArray) -> FloatArray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def source_leg_length(positions: FloatArray, joints: dict[str, int]) -> float:
    """Mean hip-knee-ankle length of both legs at frame 0, in the file's unit. positions: (F, joints, 3)."""
    total = 0.0
    for side in ("left", "right"):
        hip, knee, ankle = (positions[0, joints[f"{side}_{name}"]] for name in ("hip", "knee", "ankle"))
        total += float(np.linalg.norm(knee - hip) + np.linalg.norm(ankle - knee))
    return total / 2


def leg_extensions(motion: BvhMotion) -> FloatArray:
    """Distance of hip and ankle over leg length, left and right, (F - 1, 2); 1 is a straight leg."""
    joints = joint_map(motion)
    _, positions = motion.global_pose()
    ways = [
        positions[1:, joints[f"{side}_ankle"]] - positions[1:, joints[f"{side}_hip"]]
        for side in ("left", "right")
    ]
    return np.stack([np.linalg.norm(way, axis=-1) for way in ways], 1) / source_leg_length(positions, joints)


def retarget(motion: BvhMotion, skeleton: Skeleton = DEFAULT_SKELETON, reach: float = 1.0) -> Retargeted:
    """Carries a capture over to our joints.

    Args:
        motion: A parsed CMU file whose first frame is its T-pose.
        skeleton: Target proportions.
        reach: Extension, as in `leg_extensions`, that stands for this subject's straight leg.

    Returns:
        The clip (F - 1 frames, hands, jaw and eyes at rest) and the scale that was used.
    """
    joints = joint_map(motion)
    source_rotations, source_positions = motion.global_pose()
    scale = skeleton.leg_length / source_leg_length(source_positions, joints) / reach
    world = _world_rotations(source_rotations, source_positions, joints, skeleton)
    if reach < 1.0:
        for side in ("left", "right"):
            _stretch_leg(world, side, reach, skeleton)
    local = np.tile(np.eye(3, dtype=np.float32), (motion.num_frames, len(JOINT_NAMES), 1, 1))
    for name, index in _JOINTS.items():
        if name in world:
            parent = PARENTS[index]
            above = world[JOINT_NAMES[parent]] if parent >= 0 else np.eye(3, dtype=np.float32)
            local[:, index] = np.swapaxes(above, -1, -2) @ world[name]
    rest_mid_hip = (
        skeleton.rest_joints[[_JOINTS["left_hip"], _JOINTS["right_hip"]]].mean(0) - skeleton.rest_joints[0]
    )
    mid_hip = source_positions[:, [joints["left_hip"], joints["right_hip"]]].mean(1) * scale
    trans = mid_hip - np.einsum("fij,j->fi", world["pelvis"], rest_mid_hip)
    poses = np.asarray(matrix_to_axis_angle(local[1:]), dtype=np.float32)
    rest = Clip.rest(motion.num_frames - 1, round(motion.fps, 2))
    clip = replace(rest, poses=poses, trans=trans[1:].astype(np.float32))
    floor_m = floor_height(clip, skeleton)
    shift = np.array([clip.trans[0, 0], floor_m, clip.trans[0, 2]], dtype=np.float32)
    return Retargeted(replace(clip, trans=clip.trans - shift), scale, floor_m)


def _world_rotations(
    rotations: FloatArray, positions: FloatArray, joints: dict[str, int], skeleton: Skeleton
) -> dict[str, FloatArray]:
    """Global rotations (F, 3, 3) of our joints, relative to our rest pose."""
    world: dict[str, FloatArray] = {}
    for ours, theirs in joints.items():
        world[ours] = rotations[:, theirs] @ rotations[0, theirs].T
    corrections: dict[str, FloatArray] = {}
    for start, end in LIMB_BONES:
        ours = skeleton.rest_joints[_JOINTS[end]] - skeleton.rest_joints[_JOINTS[start]]
        theirs = positions[0, joints[end]] - positions[0, joints[start]]
        corrections[start] = smallest_turn(ours.astype(np.float32), theirs.astype(np.float32))
    for name, parent in _FOLLOWS.items():
        corrections[name] = corrections[parent]
    for name, correction in corrections.items():
        world[name] = world[name] @ correction
    for side in ("left", "right"):
        # The Daz skeleton has no toe joint: the toes follow the foot.
        world.setdefault(f"{side}_foot", world[f"{side}_ankle"])
    return world


def _stretch_leg(world: dict[str, FloatArray], side: str, reach: float, skeleton: Skeleton) -> None:
    """Opens the knee so that the hip-ankle distance grows by 1 / reach, keeping its direction and the knee's
    plane."""
    hip, knee, ankle = (_JOINTS[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
    thigh = world[f"{side}_hip"] @ (skeleton.rest_joints[knee] - skeleton.rest_joints[hip])
    shin = world[f"{side}_knee"] @ (skeleton.rest_joints[ankle] - skeleton.rest_joints[knee])
    upper, lower = float(np.linalg.norm(thigh[0])), float(np.linalg.norm(shin[0]))
    before = np.linalg.norm(thigh + shin, axis=-1)
    share = before / reach / (upper + lower)
    # Above 98.5 % the leg only approaches straightness, so that the knee never snaps.
    share = np.where(share > 0.985, 0.985 + 0.013 * np.tanh((share - 0.985) / 0.013), share)
    after = np.maximum(share * (upper + lower), before)

    def corners(distance: FloatArray) -> tuple[FloatArray, FloatArray]:
        at_hip = (upper**2 + distance**2 - lower**2) / (2 * upper * distance)
        at_ankle = (lower**2 + distance**2 - upper**2) / (2 * lower * distance)
        return np.arccos(np.clip(at_hip, -1, 1)), np.arccos(np.clip(at_ankle, -1, 1))

    (hip_before, ankle_before), (hip_after, ankle_after) = corners(before), corners(after)
    axis = _unit(np.cross(thigh, shin))
    for name, angle in (("hip", hip_before - hip_after), ("knee", ankle_after - ankle_before)):
        turn = np.asarray(axis_angle_to_matrix(axis * angle[:, None]), dtype=np.float32)
        world[f"{side}_{name}"] = turn @ world[f"{side}_{name}"]


def floor_height(clip: Clip, skeleton: Skeleton = DEFAULT_SKELETON) -> float:
    """Height of the ground a clip stands on, metres.

    That of the planted toes (slower than 0.15 m/s and within 12 cm of the lowest), less the toe's rest
    height; where no toe rests, the 5th percentile of the lower toe. The lowest toe alone would not do: in
    some clips it dips 7 cm below the planted one when it pushes off.
    """
    toes = clip_joint_positions(clip, skeleton)[:, [10, 11]]
    lowest = float(np.percentile(toes[..., 1].min(1), 5))
    still = np.linalg.norm(np.diff(toes, axis=0), axis=-1) * clip.fps < 0.15
    planted = toes[:-1, :, 1][still & (toes[:-1, :, 1] < lowest + 0.12)]
    height = float(np.percentile(planted, 35)) if len(planted) >= 10 else lowest
    return height - SOLE_THICKNESS
