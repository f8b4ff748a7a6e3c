# SPDX-License-Identifier: GPL-3.0-or-later
"""What motion tokenizers are asked for beside their features: joints placed and moving as they were."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..motion.rotations import rotation_6d_to_matrix
from ..motion.skeleton import DEFAULT_SKELETON, PARENTS, PART_JOINTS
from ..specs import MOTION_FPS, Part
from .recipe import TokenizersRecipe

FIRST_ROTATION = {Part.LOWER: 8, Part.UPPER: 0, Part.HANDS: 0}
"""Channel at which a starter layout's 6D rotations begin; the face has none."""

PLACED_PARTS = (Part.LOWER, Part.UPPER)
"""Parts whose joints are placed by forward kinematics; fingers do without."""


def local_rotations(part: Part, features: Tensor) -> Tensor:
    """Rotation matrices of a part's joints, raw features (B, F, D) -> (B, F, J, 3, 3)."""
    return rotation_6d_to_matrix(features[..., FIRST_ROTATION[part] :].unflatten(-1, (-1, 6)))


def joint_positions(part: Part) -> Callable[[Tensor], Tensor]:
    """Forward kinematics of one part from its own root.

    Joints of other parts that hang on one of these (eyes, knuckles) are placed too, to show where it
    points.

    Args:
        part: One of `PLACED_PARTS`.

    Returns:
        A function of local rotations, (B, F, J, 3, 3), giving metres, (B, F, points, 3).
    """
    joints = PART_JOINTS[part]
    ends = tuple(j for j, parent in enumerate(PARENTS) if parent in joints and j not in joints)
    place = {joint: index for index, joint in enumerate(joints)}
    offsets = torch.from_numpy(DEFAULT_SKELETON.offsets)

    def positions(rotations: Tensor) -> Tensor:
        bones = offsets.to(rotations.device)
        world: list[Tensor] = []
        points: list[Tensor] = []
        for index, joint in enumerate((*joints, *ends)):
            parent = place.get(PARENTS[joint])
            if parent is None:
                points.append(torch.zeros_like(rotations[..., 0, 0, :]))
            else:
                points.append(points[parent] + world[parent] @ bones[joint])
            if index < len(joints):
                own = rotations[..., index, :, :]
                world.append(own if parent is None else world[parent] @ own)
        return torch.stack(points, -2)

    return positions


def rotation_distance(rebuilt: Tensor, target: Tensor) -> Tensor:
    """Mean distance of rotation matrices, (..., 3, 3) each, giving ().

    The Frobenius distance is 2 sqrt(2) sin(angle / 2): about 0.025 a degree, and smooth where an arc cosine
    is not.
    """
    return ((rebuilt - target).square().sum((-1, -2)) + 1e-4).sqrt().mean()


def drift_loss(rebuilt: Tensor, target: Tensor) -> Tensor:
    """How far the root of a lower body strays within a window when its velocities add up.

    A small constant error of the turn rate hardly shows frame by frame but bends every path.

    Args:
        rebuilt: Raw lower features, (B, F, 62).
        target: The same of the original.

    Returns:
        Mean of heading error (radians) and of displacement error in the heading frame (metres), ().
    """
    strayed = (rebuilt[..., [0, 1, 3]] - target[..., [0, 1, 3]]).cumsum(dim=1) / MOTION_FPS
    return strayed.abs().mean(dim=(0, 1)).sum()


class MotionLoss:
    """The weighted sum of what applies to a part.

    Args:
        part: Any; a face has none of these terms.
        recipe: Gives the weights.
    """

    def __init__(self, part: Part, recipe: TokenizersRecipe) -> None:
        self.part = part
        self.recipe = recipe
        self.positions = joint_positions(part) if part in PLACED_PARTS else None

    def __call__(self, rebuilt: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Compare raw features, (B, F, D) each.

        Joint speeds count by their plain distance: a squared error forgives the small tremble that spoils a
        pose being held, and with it the rhythm of gestures.

        Returns:
            The loss, (), and the mean distance of joints in millimetres, (), 0 where they are not placed.
        """
        rebuilt = rebuilt.float()
        total = rebuilt.new_zeros(())
        if self.part not in FIRST_ROTATION:
            return total, rebuilt.new_zeros(())
        turned, wanted = local_rotations(self.part, rebuilt), local_rotations(self.part, target)
        total = total + self.recipe.rotation_weight * rotation_distance(turned, wanted)
        if self.part is Part.LOWER:
            total = total + self.recipe.drift_weight * drift_loss(rebuilt, target)
        if self.positions is None:
            return total, rebuilt.new_zeros(())
        missed = self.positions(turned) - self.positions(wanted)
        position = missed.norm(dim=-1).mean()
        speed = missed.diff(dim=1).norm(dim=-1).mean() * MOTION_FPS
        total = total + self.recipe.position_weight * position + self.recipe.speed_weight * speed
        return total, position.detach() * 1000
