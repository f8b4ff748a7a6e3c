# SPDX-License-Identifier: GPL-3.0-or-later
"""A contact sheet of a motion: even moments of a stick figure side by side, as an SVG picture."""

from __future__ import annotations

import numpy as np

from ..motion.clip import Clip
from ..motion.kinematics import clip_joint_positions
from ..motion.rotations import axis_angle_to_matrix, heading_angle, yaw_matrix
from ..motion.skeleton import PARENTS

MOMENTS = 8
WIDTH, HEIGHT = 90, 180
"""Of one figure, in pixels."""

_VIEW_ANGLE = 0.35
_PIXELS_PER_M = 84.0
_HEAD, _HEAD_PX = 15, 9.0
_BODY = range(1, 22)
_RIGHT, _LEFT, _MIDDLE = "#c2613c", "#3b6ea8", "#4a4f57"
_RIGHT_JOINTS = frozenset({2, 5, 8, 11, 14, 17, 19, 21})
_LEFT_JOINTS = frozenset({1, 4, 7, 10, 13, 16, 18, 20})


def contact_sheet(clip: Clip) -> str:
    """Draw a motion, seen half from the front of how it begins; its right side is red, its left blue.

    Args:
        clip: The motion.
    """
    frames = np.linspace(0, clip.num_frames - 1, MOMENTS + 2).round().astype(int)[1:-1]
    heading = heading_angle(axis_angle_to_matrix(clip.poses[0, 0].astype(np.float64)))
    turn = yaw_matrix(np.asarray(_VIEW_ANGLE - heading, dtype=np.float64))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH * MOMENTS} {HEIGHT}" '
        'stroke-width="3" stroke-linecap="round" fill="none" font-family="sans-serif" font-size="9">'
    ]
    for place, frame in enumerate(frames.tolist()):
        joints = clip_joint_positions(clip.slice(frame, frame + 1))[0].astype(np.float64)
        joints[:, [0, 2]] -= joints[0, [0, 2]]
        points = joints @ turn.T * _PIXELS_PER_M
        across = points[:, 0] + WIDTH * (place + 0.5)
        down = HEIGHT - 14.0 - points[:, 1]
        for joint in _BODY:
            parent = PARENTS[joint]
            side = _RIGHT if joint in _RIGHT_JOINTS else _LEFT if joint in _LEFT_JOINTS else _MIDDLE
            parts.append(
                f'<path stroke="{side}" d="M{across[parent]:.1f} {down[parent]:.1f}'
                f'L{across[joint]:.1f} {down[joint]:.1f}"/>'
            )
        parts.append(
            f'<circle cx="{across[_HEAD]:.1f}" cy="{down[_HEAD] - 4:.1f}" r="{_HEAD_PX}" fill="{_MIDDLE}"/>'
        )
        parts.append(
            f'<text x="{WIDTH * (place + 0.5):.1f}" y="{HEIGHT - 3}" fill="#777" text-anchor="middle">'
            f"{frame / clip.fps:.1f} s</text>"
        )
    return "\n".join([*parts, "</svg>"]) + "\n"
