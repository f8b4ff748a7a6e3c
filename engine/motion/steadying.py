# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes the tremble out of motion that was made.

A motion tokenizer's decoder leaves a tremble of a frame or two that captured motion does not have: walks that
went through the starter pack's tokenizers and back accelerated 1.5 times as much as before in the median
frame. A Gaussian of one frame brings that back to 1.0; the joints' mean error of 11.5 mm grew by 0.1. It is
for legs and for what words drive: a face and a trunk that follow speech have lips and strokes in those quick
frames, and a trunk kept time with the speech less well when it was steadied too (beat consistency, right
sound against others: p = 0.04 became 0.16). A quick stroke of the upper body keeps its quick frames: with the
Gaussian over all of them punches of starter 0.2.2 lost an eighth of their speed, and 6 of 20 were as fast as
the captured ones instead of 15.

A captured pelvis trembles as well, and its own spine turns against that. A trunk made for it does not know,
so it is turned against it here: 6.9 % of the frames of such trunks on captured legs accelerated more than the
captured clip's 99th percentile, 1.8 % do now.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ..specs import MOTION_FPS, Part
from .arrays import FloatArray
from .clip import Clip
from .features import LOWER_CONTACTS
from .rotations import (
    axis_angle_to_matrix,
    matrix_to_axis_angle,
    matrix_to_rotation_6d,
    rotation_6d_to_matrix,
)

WIDTH_FRAMES = 1.0
"""Standard deviation of the Gaussian over decoded features, in frames of the model's rate."""

ON_KEPT_WIDTH_FRAMES = 1.3
"""The same where legs are kept, which tremble themselves: of such bodies on captured walks
1.1 % of the frames accelerated more than the captured clip's 99th percentile, 1.4 % with a width of 1 (on
walks of the training set 2.1 and 2.3 %; starter 0.2.3)."""

QUICK = 2.5
"""A joint of the upper body that turns so fast, rad/s, is half steadied; arms of a walk reach 2."""

PELVIS_WIDTH_FRAMES = 2.0
"""The same over a kept pelvis' turns."""

_PELVIS, _SPINE = 0, 3


def steadied(part: Part, features: FloatArray, on_kept: bool = False) -> FloatArray:
    """Decoded features without their tremble.

    Args:
        part: The part they belong to.
        features: As the starter's decoder leaves them, (F, D).
        on_kept: Whether the part stands on legs that are kept.

    Returns:
        (F, D); what says whether feet touch the floor is as it was.
    """
    width = ON_KEPT_WIDTH_FRAMES if on_kept else WIDTH_FRAMES
    values = cast(FloatArray, gaussian_filter1d(features, width, axis=0, mode="nearest"))
    if part is Part.LOWER:
        values[:, LOWER_CONTACTS] = features[:, LOWER_CONTACTS]
    if part is Part.UPPER and len(features) > 1:
        values += (features - values) * _quick(values)
    return values


def _quick(features: FloatArray) -> FloatArray:
    """How quick joints are, 0 to 1, for each of their columns, (F, 6 * joints)."""
    turning = np.gradient(features.reshape(len(features), -1, 6), axis=0)
    # Two of a joint's axes, at right angles, move by 1.2 times its turn on average over directions.
    speed = np.linalg.norm(turning, axis=-1) * MOTION_FPS / np.sqrt(4 / 3)
    speed = gaussian_filter1d(speed, WIDTH_FRAMES, axis=0, mode="nearest")
    share = 1.0 / (1.0 + (QUICK / np.maximum(speed, 1e-6)) ** 4)
    return np.repeat(share, 6, axis=1).astype(np.float32)


def steadied_trunk(clip: Clip) -> Clip:
    """A clip whose lowest spine joint turns against the tremble of the pelvis.

    Args:
        clip: A new upper body on kept legs.
    """
    pelvis = axis_angle_to_matrix(clip.poses[:, _PELVIS].astype(np.float64))
    calm = rotation_6d_to_matrix(
        gaussian_filter1d(matrix_to_rotation_6d(pelvis), PELVIS_WIDTH_FRAMES, axis=0, mode="nearest")
    )
    spine = axis_angle_to_matrix(clip.poses[:, _SPINE].astype(np.float64))
    poses = clip.poses.copy()
    poses[:, _SPINE] = matrix_to_axis_angle(np.swapaxes(pelvis, -1, -2) @ calm @ spine)
    return replace(clip, poses=poses)
