# SPDX-License-Identifier: GPL-3.0-or-later
"""How high a climber has got, told by the feet.

Codes of legs hold poses and contacts well, and the height of the pelvis only near the floor's: a captured
climb of 0.7 m came back from the starter's tokenizer 0.2 m high. But a foot that stands stays where it is, so
the pelvis is as high as that foot's rung and the leg under it say, and a foot set down while the other stands
gives the next rung. Captured ladders through the tokenizer are then 0.09 m too high or low in the mean
instead of 0.40, steps 0.10 instead of 0.31. Motion on one floor is not touched: of up to 200 captured clips
of each action through the tokenizer only those of ladders, steps and a climbing frame are.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ..specs import MOTION_FPS, Part
from .arrays import BoolArray, DoubleArray, FloatArray
from .features import LOWER_CONTACTS, LOWER_HEIGHT, starter_clip
from .foot_lock import FootLockOptions, contact_spans
from .kinematics import clip_joint_positions
from .skeleton import SOLE_THICKNESS

RUNG = 0.12
"""Feet set down within so much of each other's height, or of the floor's, stand at the same, metres."""

CLIMB = 0.3
"""A climb has both feet at least so high at some time, metres."""

EASE_FRAMES = 3.0
"""Standard deviation of the Gaussian over the height of a climb, in frames: it does not jump from rung to
rung, and standing feet hardly slide for it."""

_ANKLES, _TOES = (0, 1), (2, 3)
"""Columns of contacts; left, right."""

_TOE_JOINTS = (10, 11)


def climbed(lower: FloatArray) -> FloatArray:
    """Features of legs with the height that their feet have climbed to.

    Args:
        lower: The starter's lower body features as decoded, at the model's rate, (F, 62).

    Returns:
        (F, 62), of which only the pelvis' height can differ; the same array where nothing climbs.
    """
    height = lower[:, LOWER_HEIGHT].astype(np.float64)
    levels, pelvis = _steps_up(height, soles_below_pelvis(lower), standing_feet(lower))
    if levels.min(axis=1).max() < CLIMB:
        return lower
    up = levels.max(axis=1) > 0.0
    share, eased = (
        gaussian_filter1d(values, EASE_FRAMES, mode="nearest")
        for values in (up.astype(np.float64), np.where(up, pelvis, height))
    )
    result = lower.copy()
    result[:, LOWER_HEIGHT] = height + (eased - height) * share
    return result


def soles_below_pelvis(lower: FloatArray) -> DoubleArray:
    """How far each sole is below the pelvis.

    Args:
        lower: The starter's lower body features, (F, 62).

    Returns:
        (F, 2), metres; left, right.
    """
    places = clip_joint_positions(starter_clip({Part.LOWER: lower}))
    return places[:, :1, 1] - (places[:, _TOE_JOINTS, 1].astype(np.float64) - SOLE_THICKNESS)


def standing_feet(lower: FloatArray) -> BoolArray:
    """Which feet stand.

    Args:
        lower: The starter's lower body features, at the model's rate, (F, 62).

    Returns:
        (F, 2); left, right.
    """
    spans = contact_spans(
        lower[:, LOWER_CONTACTS].astype(np.float64), round(FootLockOptions.min_span_s * MOTION_FPS)
    )
    return spans[:, _ANKLES] | spans[:, _TOES]


def _steps_up(height: DoubleArray, below: DoubleArray, stands: BoolArray) -> tuple[DoubleArray, DoubleArray]:
    """Follow both feet from rung to rung.

    Args:
        height: Decoded height of the pelvis, (F,), metres.
        below: How far each sole is below the pelvis, (F, 2), metres.
        stands: Which feet stand, (F, 2).

    Returns:
        Height of what each foot stands on or stood on last, (F, 2), and of the pelvis, (F,), metres.
    """
    levels, pelvis = np.zeros((len(height), 2)), height.copy()
    level = np.zeros(2)
    for frame in range(1, len(height)):
        held = stands[frame] & stands[frame - 1]
        pelvis[frame] = pelvis[frame - 1] + height[frame] - height[frame - 1]
        if held.any():
            pelvis[frame] = (level + below[frame])[held].mean()
        for foot in np.flatnonzero(stands[frame] & ~stands[frame - 1]):
            sole, other = pelvis[frame] - below[frame, foot], level[1 - foot]
            known = min((other, level[foot], 0.0), key=lambda rung: abs(rung - sole))
            # Without the other foot to measure from, it was a leap: what it lands on is known already.
            level[foot] = sole if held[1 - foot] and abs(known - sole) >= RUNG else known
        levels[frame] = level
    return levels, pelvis
