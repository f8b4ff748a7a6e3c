# SPDX-License-Identifier: GPL-3.0-or-later
"""Part features in the starter's layouts: what its motion tokenizers see.

Per frame: face 52 ARKit values; hands 180 and upper 78, joints in 6D; lower 62:
[0:2] pelvis velocity over the floor in the heading's frame (x left, z forward), m/s, from this frame to the
next; [2] pelvis height, m; [3] turn rate, rad/s, to the next frame; [4:8] contacts of joints 7, 8, 10, 11;
[8:62] the 9 lower joints in 6D, the pelvis with its heading taken off. The last frame repeats velocity and
rate. The root is local, so windows join without drift. The published layouts are in `published_features.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import ClipError
from ..specs import MOTION_FPS, Part
from .arkit import ARKIT_NAMES
from .arrays import AnyFloatArray, FloatArray
from .clip import Clip
from .contacts import foot_contacts
from .kinematics import clip_joint_positions
from .rotations import (
    axis_angle_to_matrix,
    axis_angle_to_rotation_6d,
    heading_angle,
    matrix_to_axis_angle,
    matrix_to_rotation_6d,
    rotation_6d_to_axis_angle,
    rotation_6d_to_matrix,
    yaw_matrix,
)
from .skeleton import DEFAULT_SKELETON, NUM_JOINTS, PART_JOINTS, Skeleton

STARTER_DIMS: dict[Part, int] = {Part.FACE: 52, Part.HANDS: 180, Part.UPPER: 78, Part.LOWER: 62}
"""Width of each part's features in the starter's layout."""

LOWER_VELOCITY = slice(0, 2)
LOWER_HEIGHT = 2
LOWER_TURN = 3
LOWER_CONTACTS = slice(4, 8)
LOWER_ROTATIONS = slice(8, 62)
"""Columns of the starter's lower body features."""

_STRETCH_FRAMES = 2048
"""Frames turned into rotations at once."""

_IDENTITY_6D = np.array([1, 0, 0, 0, 1, 0], dtype=np.float32)


def rest_features(part: Part, num_frames: int, skeleton: Skeleton = DEFAULT_SKELETON) -> FloatArray:
    """Starter features of a part at rest, (F, D): T-pose joints, still root, feet on the floor."""
    rest = np.zeros((num_frames, STARTER_DIMS[part]), dtype=np.float32)
    if part in (Part.HANDS, Part.UPPER):
        rest[:] = np.tile(_IDENTITY_6D, STARTER_DIMS[part] // 6)
    elif part is Part.LOWER:
        rest[:, LOWER_HEIGHT] = skeleton.standing_height
        rest[:, LOWER_CONTACTS] = 1.0
        rest[:, LOWER_ROTATIONS] = np.tile(_IDENTITY_6D, 9)
    return rest


def starter_features(clip: Clip, skeleton: Skeleton = DEFAULT_SKELETON) -> dict[Part, FloatArray]:
    """Describe a clip in the starter's layouts.

    Args:
        clip: The motion, at any rate; velocities are per second.
        skeleton: Bone lengths, for the contacts.

    Returns:
        Features of each part, (F, D). The face is there only if the clip's face channels are ARKit's; those
        the clip lacks are zero.
    """
    features = {
        Part.HANDS: joint_rotations_6d(clip, PART_JOINTS[Part.HANDS]),
        Part.UPPER: joint_rotations_6d(clip, PART_JOINTS[Part.UPPER]),
        Part.LOWER: lower_features(clip, foot_contacts(clip_joint_positions(clip, skeleton), clip.fps)),
    }
    if clip.basis == "arkit":
        face = np.zeros((clip.num_frames, len(ARKIT_NAMES)), dtype=np.float32)
        face[:, [ARKIT_NAMES.index(name) for name in clip.expression_names]] = clip.expressions
        features[Part.FACE] = face
    return features


def joint_rotations_6d(clip: Clip, joints: tuple[int, ...]) -> FloatArray:
    """Local rotations of some joints as 6D, side by side, (F, 6 * len(joints))."""
    rotations = axis_angle_to_rotation_6d(clip.poses[:, list(joints)])
    return rotations.reshape(clip.num_frames, -1).astype(np.float32, copy=False)  # (F, J, 6) -> (F, 6J)


def lower_features(clip: Clip, contacts: FloatArray) -> FloatArray:
    """The starter's lower body features of a clip, (F, 62).

    Args:
        clip: The motion.
        contacts: Contacts of joints 7, 8, 10, 11, (F, 4).
    """
    matrices = axis_angle_to_matrix(clip.poses[:, list(PART_JOINTS[Part.LOWER])].astype(np.float64))
    headings = heading_angle(matrices[:, 0])
    matrices[:, 0] = yaw_matrix(-headings) @ matrices[:, 0]
    places = clip.pelvis_positions.astype(np.float64)
    features = np.zeros((clip.num_frames, STARTER_DIMS[Part.LOWER]), dtype=np.float32)
    if clip.num_frames > 1:
        steps = np.diff(places, axis=0)[:, None, :] @ yaw_matrix(
            headings[:-1]
        )  # row vectors: the inverse turn
        features[:-1, LOWER_VELOCITY] = steps[:, 0, [0, 2]] * clip.fps
        turns = np.diff(headings)
        features[:-1, LOWER_TURN] = ((turns + np.pi) % (2 * np.pi) - np.pi) * clip.fps
        features[-1, [0, 1, LOWER_TURN]] = features[-2, [0, 1, LOWER_TURN]]
    features[:, LOWER_HEIGHT] = places[:, 1]
    features[:, LOWER_CONTACTS] = contacts
    features[:, LOWER_ROTATIONS] = matrix_to_rotation_6d(matrices).reshape(clip.num_frames, -1)
    return features


def integrate_root(
    lower: AnyFloatArray,
    start_position: tuple[float, float] = (0.0, 0.0),
    start_heading: float = 0.0,
    fps: float = MOTION_FPS,
) -> tuple[FloatArray, FloatArray]:
    """Follow the local root motion over the floor.

    Args:
        lower: Starter lower body features, (F, 62).
        start_position: Pelvis position at frame 0 along X and Z, metres.
        start_heading: Heading at frame 0, radians.
        fps: Frames per second.

    Returns:
        Pelvis positions, (F, 3), metres, and headings, (F,), radians, not wrapped.
    """
    lower = np.asarray(lower, dtype=np.float64)
    headings = start_heading + np.concatenate([[0.0], np.cumsum(lower[:-1, LOWER_TURN]) / fps])
    left, forward = lower[:-1, 0] / fps, lower[:-1, 1] / fps
    sine, cosine = np.sin(headings[:-1]), np.cos(headings[:-1])
    places = np.empty((len(lower), 3))
    places[:, 0] = start_position[0] + np.concatenate([[0.0], np.cumsum(cosine * left + sine * forward)])
    places[:, 1] = lower[:, LOWER_HEIGHT]
    places[:, 2] = start_position[1] + np.concatenate([[0.0], np.cumsum(cosine * forward - sine * left)])
    return places.astype(np.float32), headings.astype(np.float32)


def starter_clip(
    features: Mapping[Part, AnyFloatArray],
    start_position: tuple[float, float] = (0.0, 0.0),
    start_heading: float = 0.0,
    fps: float = MOTION_FPS,
) -> Clip:
    """Build a clip from starter features; the inverse of `starter_features` up to the start.

    Args:
        features: Features of one or more parts, each (F, D); parts left out rest.
        start_position: Pelvis position at frame 0 along X and Z, metres.
        start_heading: Heading at frame 0, radians.
        fps: Frames per second.

    Raises:
        ClipError: If no part is given, or widths or lengths are wrong.
    """
    lengths = {len(values) for values in features.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise ClipError(
            "The parts of a motion must all have the same number of frames; make them again together."
        )
    (num_frames,) = lengths
    parts: dict[Part, AnyFloatArray] = {}
    for part, width in STARTER_DIMS.items():
        values = features.get(part, rest_features(part, num_frames))
        if values.shape != (num_frames, width):
            raise ClipError(
                f"The {part.value} features have shape {values.shape} where {width} columns belong; "
                "use a pack with the starter's layout."
            )
        parts[part] = values
    trans, headings = integrate_root(parts[Part.LOWER], start_position, start_heading, fps)
    poses = np.zeros((num_frames, NUM_JOINTS, 3), dtype=np.float32)
    for start in range(0, num_frames, _STRETCH_FRAMES):  # doubles of a long motion would fill the memory
        frames = slice(start, start + _STRETCH_FRAMES)
        for part in (Part.HANDS, Part.UPPER):
            rotations = parts[part][frames].astype(np.float64).reshape(-1, len(PART_JOINTS[part]), 6)
            poses[frames, list(PART_JOINTS[part])] = rotation_6d_to_axis_angle(rotations)
        lower = parts[Part.LOWER][frames, LOWER_ROTATIONS].astype(np.float64).reshape(-1, 9, 6)
        matrices = rotation_6d_to_matrix(lower)
        # A decoder may leave a little heading on the pelvis; the root's own heading is the one that counts.
        matrices[:, 0] = yaw_matrix(headings[frames] - heading_angle(matrices[:, 0])) @ matrices[:, 0]
        poses[frames, list(PART_JOINTS[Part.LOWER])] = matrix_to_axis_angle(matrices)
    return Clip(
        fps=fps,
        poses=poses,
        trans=trans,
        expressions=np.clip(parts[Part.FACE], 0.0, 1.0).astype(np.float32),
        expression_names=ARKIT_NAMES,
        basis="arkit",
    )
