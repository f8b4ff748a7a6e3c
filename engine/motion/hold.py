# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold still: parts ease into one pose, keep it, and ease back into their motion.

The ease is a quintic whose slope and curvature are zero at both ends, so velocity goes on without a jump.
A body that walks away during the hold is not pulled after it: its steps are left out, and it walks on from
where it stood.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..specs import Part
from .arrays import AnyFloatArray, DoubleArray, smooth_step
from .clip import Clip
from .rotations import (
    axis_angle_to_matrix,
    axis_angle_to_quaternion,
    heading_angle,
    matrix_to_quaternion,
    quaternion_to_axis_angle,
    quaternion_to_matrix,
    slerp,
    yaw_matrix,
)
from .skeleton import PART_JOINTS

WALKED = 0.25
"""Metres away from which a body is not led back to its own motion but goes on from where it held."""

TURNED = 0.35
"""The same for its heading, radians."""


@dataclass(frozen=True)
class Hold:
    """A stretch in which some parts keep the pose they have at its first frame.

    Attributes:
        first: First frame, which may lie before the motion.
        last: Last frame, not before the first.
        ease: Frames of the way in before it and out after it, at least 1.
        parts: Parts that hold.
        amount: How much of the held pose is seen where it would be all, 0 to 1, (F,); None is 1 throughout.
    """

    first: int
    last: int
    ease: int
    parts: frozenset[Part]
    amount: DoubleArray | None = field(default=None, compare=False)


def hold_weight(hold: Hold, num_frames: int) -> DoubleArray:
    """How much of the held pose is seen at each frame, 0 to 1, (F,)."""
    frames = np.arange(num_frames)
    away = np.maximum(np.maximum(hold.first - frames, frames - hold.last), 0)
    weight = smooth_step(1.0 - away / max(hold.ease, 1))
    return weight if hold.amount is None else weight * np.clip(hold.amount, 0.0, 1.0)


def hold_still(clip: Clip, hold: Hold) -> Clip:
    """Hold some parts of a clip.

    Args:
        clip: The motion.
        hold: What is held and when.

    Returns:
        The clip; frames that the hold and its ease do not reach are bit-identical, save those after a hold
        in which the body would have walked away, which are moved and turned as a whole.
    """
    weight = hold_weight(hold, clip.num_frames)
    if not weight.any() or not hold.parts:
        return clip
    at = min(max(hold.first, 0), clip.num_frames - 1)
    joints = sorted(joint for part in hold.parts for joint in PART_JOINTS[part] if joint)
    poses, trans, expressions = clip.poses.copy(), clip.trans, clip.expressions
    turns = axis_angle_to_quaternion(poses[:, joints].astype(np.float64))
    touched = weight > 0.0
    eased = slerp(turns, np.broadcast_to(turns[at], turns.shape), weight[:, None])
    places = np.ix_(np.flatnonzero(touched), np.array(joints, dtype=np.int64))
    poses[places] = quaternion_to_axis_angle(eased[touched])
    if Part.FACE in hold.parts:
        share = weight[:, None].astype(np.float32)
        expressions = np.where(share > 0.0, expressions * (1 - share) + expressions[at] * share, expressions)
    if Part.LOWER in hold.parts:
        poses[:, 0], trans = _held_pelvis(clip, hold, weight, at)
    return replace(clip, poses=poses, trans=trans, expressions=expressions)


def _held_pelvis(clip: Clip, hold: Hold, weight: DoubleArray, at: int) -> tuple[AnyFloatArray, AnyFloatArray]:
    """Turn and place of the pelvis, (F, 3) each."""
    matrices = axis_angle_to_matrix(clip.poses[:, 0].astype(np.float64))
    heading = np.unwrap(heading_angle(matrices))
    tilt = matrix_to_quaternion(yaw_matrix(-heading) @ matrices)
    tilt = slerp(tilt, np.broadcast_to(tilt[at], tilt.shape), weight)
    place = clip.trans.astype(np.float64)
    stop = min(max(hold.last, 0), clip.num_frames - 1)
    way = place[stop] - place[at]
    walks = np.hypot(way[0], way[2]) > WALKED or abs(heading[stop] - heading[at]) > TURNED
    if walks:
        new_heading, new_place = _without_steps(heading, place, weight)
        # Everything after the hold has moved, so what it touches does not end there.
        touched = np.maximum.accumulate(weight > 0.0)
    else:
        new_heading = heading + weight * (heading[at] - heading)
        new_place = place + weight[:, None] * (place[at] - place)
        touched = weight > 0.0
    new_place[:, 1] = place[:, 1] + weight * (place[at, 1] - place[:, 1])
    turned = matrix_to_quaternion(yaw_matrix(new_heading) @ quaternion_to_matrix(tilt))
    root = np.where(touched[:, None], quaternion_to_axis_angle(turned), clip.poses[:, 0])
    return root, np.where(touched[:, None], new_place, clip.trans)


def _without_steps(
    heading: DoubleArray, place: DoubleArray, weight: DoubleArray
) -> tuple[DoubleArray, DoubleArray]:
    """Heading (F,) and place (F, 3) with as much of each step left out as is held there."""
    free = 1.0 - (weight[1:] + weight[:-1]) / 2.0
    new_heading = heading[0] + np.concatenate([[0.0], np.cumsum(np.diff(heading) * free)])
    steps = np.diff(place, axis=0) * free[:, None]
    turned = (yaw_matrix(new_heading[:-1] - heading[:-1]) @ steps[..., None])[..., 0]
    return new_heading, place[0] + np.concatenate([np.zeros((1, 3)), np.cumsum(turned, axis=0)])
