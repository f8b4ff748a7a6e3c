# SPDX-License-Identifier: GPL-3.0-or-later
"""Forward kinematics of the 55 joints, for NumPy arrays and torch tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .arrays import FloatArray
from .rotations import ArrayT, array_module, axis_angle_to_matrix
from .skeleton import DEFAULT_SKELETON, PARENTS, Skeleton

if TYPE_CHECKING:
    from .clip import Clip


STRETCH_FRAMES = 2048
"""Frames of a long motion whose joints are placed at once: all of them would fill the memory."""


def _levels() -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
    """Joints by depth below the pelvis with their parents, so that each depth is one batched product."""
    depth = [0] * len(PARENTS)
    for joint, parent in enumerate(PARENTS):
        depth[joint] = 0 if parent < 0 else depth[parent] + 1
    groups = [tuple(j for j, d in enumerate(depth) if d == level) for level in range(1, max(depth) + 1)]
    return tuple((group, tuple(PARENTS[j] for j in group)) for group in groups)


LEVELS = _levels()
"""For each depth below the pelvis: its joints and their parents."""


def forward_kinematics(
    rotations: ArrayT, root_positions: ArrayT, rest_joints: ArrayT
) -> tuple[ArrayT, ArrayT]:
    """Place the joints in the world.

    Args:
        rotations: Local joint matrices, (..., 55, 3, 3).
        root_positions: Pelvis positions, (..., 3), metres.
        rest_joints: Joint positions at rest, (55, 3), metres; only their differences matter.

    Returns:
        Joint positions, (..., 55, 3), and world rotations, (..., 55, 3, 3).
    """
    xp: Any = array_module(rotations)
    world: list[Any] = [None] * len(PARENTS)
    places: list[Any] = [None] * len(PARENTS)
    world[0], places[0] = rotations[..., 0, :, :], root_positions
    offsets = rest_joints - rest_joints[[max(parent, 0) for parent in PARENTS]]
    for joints, parents in LEVELS:
        above = xp.stack([world[parent] for parent in parents], -3)
        base = xp.stack([places[parent] for parent in parents], -2)
        index = list(joints)
        turned = above @ rotations[..., index, :, :]
        moved = base + (above @ offsets[index][..., None])[..., 0]
        for place, joint in enumerate(joints):
            world[joint], places[joint] = turned[..., place, :, :], moved[..., place, :]
    return xp.stack(places, -2), xp.stack(world, -3)


def clip_joint_positions(clip: Clip, skeleton: Skeleton = DEFAULT_SKELETON) -> FloatArray:
    """Joint positions of every frame in the world, (F, 55, 3), metres.

    Args:
        clip: The motion.
        skeleton: Bone lengths of the character that performs it.
    """
    roots = clip.pelvis_positions
    positions = np.empty((clip.num_frames, len(PARENTS), 3), dtype=np.float32)
    for start in range(0, clip.num_frames, STRETCH_FRAMES):
        some = slice(start, start + STRETCH_FRAMES)
        matrices = axis_angle_to_matrix(clip.poses[some])
        positions[some], _ = forward_kinematics(matrices, roots[some], skeleton.rest_joints)
    return positions
