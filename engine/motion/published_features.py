# SPDX-License-Identifier: GPL-3.0-or-later
"""Part features in the layouts of the published models (The Language of Motion, EMAGE), both ways.

Every layout lists its joints in ascending order as 6D rotations; faces add 100 SMPL-X expression
coefficients, the 61-wide lower body the root position and four contacts. Also the three ways the
published code turns velocities into root positions.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import Any

import numpy as np

from ..errors import ClipError
from ..specs import Part
from .arrays import AnyFloatArray, FloatArray
from .clip import Clip, smplx_expression_names
from .features import joint_rotations_6d
from .rotations import (
    ArrayT,
    array_module,
    matrix_to_rotation_6d,
    rotation_6d_to_axis_angle,
    rotation_6d_to_matrix,
)
from .skeleton import NUM_JOINTS, PART_JOINTS

NUM_EXPRESSIONS = 100
"""SMPL-X expression coefficients in the face layouts."""

_JAW, _HEAD = 22, 15


class Layout(StrEnum):
    """Feature layouts of the published models; the number is the width."""

    FACE_106 = "face106"
    FACE_112 = "face112"
    HANDS_180 = "hands180"
    UPPER_78 = "upper78"
    LOWER_54 = "lower54"
    LOWER_61 = "lower61"
    FULL_330 = "full330"


LAYOUT_JOINTS: dict[Layout, tuple[int, ...]] = {
    Layout.FACE_106: (_JAW,),
    Layout.FACE_112: (_HEAD, _JAW),
    Layout.HANDS_180: PART_JOINTS[Part.HANDS],
    Layout.UPPER_78: PART_JOINTS[Part.UPPER],
    Layout.LOWER_54: PART_JOINTS[Part.LOWER],
    Layout.LOWER_61: PART_JOINTS[Part.LOWER],
    Layout.FULL_330: tuple(range(NUM_JOINTS)),
}
"""Joints whose 6D rotations open each layout."""

PART_LAYOUTS: dict[Part, tuple[Layout, ...]] = {
    Part.FACE: (Layout.FACE_106, Layout.FACE_112),
    Part.HANDS: (Layout.HANDS_180,),
    Part.UPPER: (Layout.UPPER_78,),
    Part.LOWER: (Layout.LOWER_54, Layout.LOWER_61),
}
"""Layouts of each part's tokenizers; widths tell those of one part apart."""

_EXTRAS = {Layout.FACE_106: NUM_EXPRESSIONS, Layout.FACE_112: NUM_EXPRESSIONS, Layout.LOWER_61: 7}


def layout_width(layout: Layout) -> int:
    """Number of channels of a layout."""
    return 6 * len(LAYOUT_JOINTS[layout]) + _EXTRAS.get(layout, 0)


def published_features(clip: Clip, layout: Layout, contacts: AnyFloatArray | None = None) -> FloatArray:
    """Describe a clip in a published layout.

    Args:
        clip: The motion; a face layout needs SMPL-X expression coefficients (missing ones count as zero).
        layout: Which channels.
        contacts: Contacts of joints 7, 8, 10, 11, (F, 4); `LOWER_61` needs them.

    Returns:
        Features, (F, width).

    Raises:
        ClipError: If the clip's face channels or the contacts do not fit.
    """
    rotations = joint_rotations_6d(clip, LAYOUT_JOINTS[layout])
    if layout in (Layout.FACE_106, Layout.FACE_112):
        if clip.basis == "arkit":
            raise ClipError(
                "This model's face needs SMPL-X expression coefficients; use SMPL-X motion for it."
            )
        expressions = np.zeros((clip.num_frames, NUM_EXPRESSIONS), dtype=np.float32)
        count = min(NUM_EXPRESSIONS, clip.expressions.shape[1])
        expressions[:, :count] = clip.expressions[:, :count]
        return np.concatenate([rotations, expressions], axis=1)
    if layout is Layout.LOWER_61:
        if contacts is None or np.shape(contacts) != (clip.num_frames, 4):
            raise ClipError(
                "The lower body needs four foot contacts for every frame; compute them from the clip."
            )
        return np.concatenate([rotations, clip.trans, np.asarray(contacts, dtype=np.float32)], axis=1)
    return rotations


def apply_published_features(clip: Clip, layout: Layout, features: AnyFloatArray) -> Clip:
    """Write features of a published layout into a clip; the inverse of `published_features`.

    As in the published code the head rotation of `FACE_112` is left alone: the head belongs to the upper
    body. The root position in `LOWER_61` is written as it stands. That is right for data; in the output
    of the published tokenizer those three channels mean nothing, and `root_from_global` follows instead.

    Args:
        clip: Clip that gives everything the layout does not hold.
        layout: Meaning of the channels.
        features: Features, (F, width).

    Raises:
        ClipError: If the shape does not fit.
    """
    features = np.asarray(features, dtype=np.float32)
    if features.shape != (clip.num_frames, layout_width(layout)):
        raise ClipError(
            f"The features have shape {features.shape} where {layout_width(layout)} columns of "
            f"{clip.num_frames} frames belong; use the layout the model was trained with."
        )
    joints = LAYOUT_JOINTS[layout]
    width = 6 * len(joints)
    rotations = rotation_6d_to_axis_angle(features[:, :width].reshape(clip.num_frames, len(joints), 6))
    poses = clip.poses.copy()
    if layout is Layout.FACE_112:
        poses[:, _JAW] = rotations[:, 1]
    else:
        poses[:, list(joints)] = rotations
    if layout in (Layout.FACE_106, Layout.FACE_112):
        return replace(
            clip,
            poses=poses,
            expressions=features[:, width:],
            basis="smplx",
            expression_names=smplx_expression_names(NUM_EXPRESSIONS),
        )
    if layout is Layout.LOWER_61:
        return replace(clip, poses=poses, trans=features[:, 54:57])
    return replace(clip, poses=poses)


def global_input(lower: ArrayT, keep_contacts: bool = True) -> ArrayT:
    """Prepare decoded lower features for the published network that finds the root motion.

    Args:
        lower: Decoded lower features, (..., 54) or (..., 61).
        keep_contacts: Pass contacts on as decoded, as the published demo does; the network was trained
            without any.

    Returns:
        (..., 61): rotations made orthonormal, root channels zero, contacts as decoded or zero.
    """
    xp: Any = array_module(lower)
    matrices = rotation_6d_to_matrix(lower[..., :54].reshape((*lower.shape[:-1], 9, 6)))
    rotations = matrix_to_rotation_6d(matrices).reshape((*lower.shape[:-1], 54))
    root = xp.zeros_like(lower[..., :3])
    has_contacts = keep_contacts and lower.shape[-1] == 61
    contacts = lower[..., 57:61] if has_contacts else xp.zeros_like(lower[..., :4])
    return xp.concatenate([rotations, root, contacts], -1)


def root_from_global(channels: ArrayT, step_s: float) -> ArrayT:
    """Root positions from the published root network's channels 54:57.

    Args:
        channels: Velocity along x in m/s, height in m, velocity along z in m/s, (..., F, 3).
        step_s: Seconds per frame.

    Returns:
        Root positions, (..., F, 3), metres, beginning at x = z = 0.
    """
    xp: Any = array_module(channels)
    start = xp.zeros_like(channels[..., 0, :1])
    x = velocity_to_position(channels[..., 0:1], step_s, start)
    z = velocity_to_position(channels[..., 2:3], step_s, start)
    return xp.concatenate([x, channels[..., 1:2], z], -1)


def velocity_to_position(velocity: ArrayT, step_s: float, start: ArrayT) -> ArrayT:
    """Integrate: p[0] = start, p[t] = p[t-1] + v[t-1] * step (EMAGE's `velocity2position`).

    Args:
        velocity: (..., F, D), per second.
        step_s: Seconds per frame.
        start: Position at frame 0, (..., D).

    Returns:
        Positions, (..., F, D).
    """
    xp: Any = array_module(velocity)
    first = start[..., None, :]
    steps = xp.cumsum(velocity[..., :-1, :] * step_s, -2)
    return xp.concatenate([first, first + steps], -2)


def estimate_linear_velocity(position: ArrayT, step_s: float) -> ArrayT:
    """Differentiate: central differences, one-sided at both ends (EMAGE's `estimate_linear_velocity`).

    Args:
        position: (..., F, D) with at least two frames.
        step_s: Seconds per frame.

    Returns:
        Velocity, (..., F, D), per second.
    """
    xp: Any = array_module(position)
    first = (position[..., 1:2, :] - position[..., :1, :]) / step_s
    middle = (position[..., 2:, :] - position[..., :-2, :]) / (2.0 * step_s)
    last = (position[..., -1:, :] - position[..., -2:-1, :]) / step_s
    return xp.concatenate([first, middle, last], -2)


def integrate_local_velocity(velocity: ArrayT, orientation: ArrayT, start: ArrayT) -> ArrayT:
    """Integrate velocities given in the pelvis frame, as the four-part release does.

    Args:
        velocity: Metres per frame in the pelvis frame, (F, 3).
        orientation: Pelvis matrices, (F, 3, 3).
        start: Position at frame 0, (3,).

    Returns:
        Positions, (F, 3): p[t] = start + the world velocities of frames 1 to t.
    """
    xp: Any = array_module(velocity)
    world = (orientation @ velocity[..., None])[..., 0]
    moved = start + xp.cumsum(world[1:], 0)
    return xp.concatenate([start[None], moved], 0)
