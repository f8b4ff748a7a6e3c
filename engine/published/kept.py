# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion that a request keeps, beside what a published model makes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..motion.arrays import FloatArray
from ..motion.clip import Clip
from ..motion.clip_io import SMPLX_PELVIS_REST
from ..motion.contacts import foot_contacts
from ..motion.kinematics import clip_joint_positions
from ..motion.published_features import PART_LAYOUTS, Layout, published_features
from ..motion.rotations import axis_angle_to_matrix, heading_angle
from ..specs import Part


def kept_features(kept: Clip, layout: Layout) -> FloatArray | None:
    """Kept motion as a part's network reads it, (F, width); None for a face without SMPL-X channels."""
    if layout in PART_LAYOUTS[Part.FACE] and kept.basis == "arkit":
        return None
    contacts = None
    if layout is Layout.LOWER_61:
        contacts = foot_contacts(clip_joint_positions(kept), kept.fps)
        start = kept.pelvis_positions[0] * np.array([1, 0, 1]) + SMPLX_PELVIS_REST
        kept = replace(kept, trans=kept.pelvis_positions - start)
    return published_features(kept, layout, contacts)


def started(clip: Clip, kept: Clip) -> Clip:
    """The clip turned and moved over the floor so that it starts where another does."""
    ends = np.stack([kept.poses[0, 0], clip.poses[0, 0]]).astype(np.float64)
    there, here = heading_angle(axis_angle_to_matrix(ends))
    clip = clip.moved(turn=float(there - here))
    step = kept.pelvis_positions[0] - clip.pelvis_positions[0]
    return clip.moved(shift=(float(step[0]), float(step[2])))
