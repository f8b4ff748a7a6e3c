# SPDX-License-Identifier: GPL-3.0-or-later
"""A small picture of a clip: three moments of a stick figure, earlier ones darker."""

from __future__ import annotations

import numpy as np

from .arrays import DoubleArray, FloatArray
from .clip import Clip
from .kinematics import clip_joint_positions
from .rotations import axis_angle_to_matrix, heading_angle, yaw_matrix
from .skeleton import PARENTS

SIZE = 96
"""Width and height of the picture in pixels."""

MOMENTS = (1 / 6, 1 / 2, 5 / 6)
"""Where in the clip the figures are taken from."""

HEAD = 15
_LIMBS = tuple(range(1, 22))
_HEIGHT_M = 1.95
_VIEW_ANGLE = 0.35
_SPREAD = 0.24
_LINE_PX, _HEAD_M = 1.3, 0.11
_GROUND = (0.12, 0.13, 0.15)
_INK = ((0.38, 0.43, 0.5), (0.55, 0.63, 0.73), (0.98, 0.8, 0.45))


def clip_picture(clip: Clip, size: int = SIZE) -> FloatArray:
    """Draw a clip, seen half from the front of how it begins.

    Args:
        clip: The motion.
        size: Width and height in pixels.

    Returns:
        Red, green, blue and opacity from 0 to 1, lowest row first, (size, size, 4).
    """
    frames = [round(moment * (clip.num_frames - 1)) for moment in MOMENTS]
    heading = heading_angle(axis_angle_to_matrix(clip.poses[0, 0].astype(np.float64)))
    turn = yaw_matrix(np.asarray(_VIEW_ANGLE - heading, dtype=np.float64))
    picture = np.empty((size, size, 4), dtype=np.float32)
    picture[:] = (*_GROUND, 1.0)
    for order, frame in enumerate(frames):
        places = clip_joint_positions(clip.slice(frame, frame + 1))[0].astype(np.float64)
        places[:, [0, 2]] -= places[0, [0, 2]]
        points = (places @ turn.T)[:, :2] / _HEIGHT_M + (0.5 + _SPREAD * (order - 1), 0.04)
        _draw(picture, points * size, _INK[order])
    return picture


def _draw(picture: FloatArray, points: DoubleArray, ink: tuple[float, float, float]) -> None:
    """Draw one figure whose joints lie at some pixels, (55, 2)."""
    size = len(picture)
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1) + 0.5  # (y, x, 2)
    start, along = points[[PARENTS[joint] for joint in _LIMBS]], points[list(_LIMBS)]
    along = along - start
    away = grid[..., None, :] - start  # (y, x, limbs, 2)
    length = np.maximum((along**2).sum(-1), 1e-9)
    share = np.clip((away * along).sum(-1) / length, 0.0, 1.0)
    distance = np.linalg.norm(away - share[..., None] * along, axis=-1).min(axis=-1)
    head = np.linalg.norm(grid - points[HEAD], axis=-1) - _HEAD_M / _HEIGHT_M * size
    cover = np.clip(np.maximum(_LINE_PX - distance, -head) + 0.5, 0.0, 1.0)[..., None]
    picture[..., :3] += (np.asarray(ink) - picture[..., :3]) * cover
