# SPDX-License-Identifier: GPL-3.0-or-later
"""Training losses of the published motion tokenizers (`lom/optimizers/loss_factory.py`, spec 2.8).

Each is the part's own loss; the published total adds the quantizer's loss with weight 1. The terms on body
model vertices, off in every released configuration, are left out.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..motion.published_features import NUM_EXPRESSIONS, estimate_linear_velocity, velocity_to_position
from ..motion.rotations import rotation_6d_to_matrix
from ..specs import MOTION_FPS

_COSINE_LIMIT = 1.0 - 1e-6
"""Published clamp before the arc cosine."""

_ROOT_CHANGE = 5.0
"""Weight of the root's first and second differences."""


def rotation_loss(rebuilt: Tensor, target: Tensor) -> Tensor:
    """Upper body and hands: angle between rotations plus L1 of their first and second differences.

    Args:
        rebuilt: 6D rotations, (B, F, 6 * J).
        target: The same.

    Returns:
        Loss, ().
    """
    a, b = _matrices(rebuilt), _matrices(target)
    return (
        _mean_angle(a, b)
        + functional.l1_loss(_velocity(a), _velocity(b))
        + functional.l1_loss(_acceleration(a), _acceleration(b))
    )


def lower_loss(rebuilt: Tensor, target: Tensor) -> Tensor:
    """Lower body, (B, F, 54) or (B, F, 61): `rotation_loss` and, with 61 channels, contacts."""
    loss = rotation_loss(rebuilt[..., :54], target[..., :54])
    if rebuilt.shape[-1] == 61:
        loss = loss + functional.mse_loss(rebuilt[..., 57:61], target[..., 57:61])
    return loss


def face_loss(rebuilt: Tensor, target: Tensor) -> Tensor:
    """Face: angles between rotations, expressions, and squared first and second differences of both.

    Clips whose target is zero throughout (no face recorded) do not count. With 112 channels head and jaw
    count alike (`FaceLoss` of ViBES, `multimodal_tokenizers/optimizers/loss_factory.py`).

    Args:
        rebuilt: 6D rotations and 100 expressions: of the jaw, (B, F, 106), or of head and jaw, (B, F, 112).
        target: The same.

    Returns:
        Loss, ().
    """
    recorded = target.flatten(1).abs().sum(1) > 0
    if not bool(recorded.any()):
        return rebuilt.sum() * 0.0
    rebuilt, target = rebuilt[recorded], target[recorded]
    turns = rebuilt.shape[-1] - NUM_EXPRESSIONS
    rotations = _matrices(rebuilt[..., :turns]), _matrices(target[..., :turns])
    expressions = rebuilt[..., turns:], target[..., turns:]
    loss = _mean_angle(*rotations) + functional.mse_loss(*expressions)
    for a, b in (rotations, expressions):
        loss = loss + functional.mse_loss(_velocity(a), _velocity(b))
        loss = loss + functional.mse_loss(_acceleration(a), _acceleration(b))
    return loss


def root_loss(rebuilt: Tensor, positions: Tensor, contacts: Tensor, fps: float = MOTION_FPS) -> Tensor:
    """Root network: contacts, velocity over the floor, and the positions that follow from it.

    Args:
        rebuilt: Output of the root network, (B, F, 61).
        positions: Wanted root positions, (B, F, 3), metres.
        contacts: Wanted contacts, (B, F, 4).
        fps: Frames per second.

    Returns:
        Loss, ().
    """
    step_s = 1.0 / fps
    loss = functional.mse_loss(rebuilt[..., 57:61], contacts)
    followed: list[Tensor] = []
    for axis in (0, 2):
        velocity = rebuilt[..., 54 + axis : 55 + axis]
        place = positions[..., axis : axis + 1]
        wanted = estimate_linear_velocity(place, step_s)
        loss = loss + _changing_l1(velocity, wanted)
        followed.append(velocity_to_position(velocity, step_s, place[:, 0]))
    path = torch.cat([followed[0], rebuilt[..., 55:56], followed[1]], -1)
    return loss + _changing_l1(path, positions)


def _changing_l1(a: Tensor, b: Tensor) -> Tensor:
    """L1 of values and, five times, of their first and second differences."""
    changes = functional.l1_loss(_velocity(a), _velocity(b)) + functional.l1_loss(
        _acceleration(a), _acceleration(b)
    )
    return functional.l1_loss(a, b) + _ROOT_CHANGE * changes


def _matrices(rotations: Tensor) -> Tensor:
    """6D rotations (B, F, 6 * J) as matrices (B, F, J, 3, 3)."""
    return rotation_6d_to_matrix(rotations.reshape(*rotations.shape[:-1], -1, 6))


def _mean_angle(a: Tensor, b: Tensor) -> Tensor:
    """Mean angle between matrices, clamped as published."""
    trace = (a * b).sum((-2, -1))  # tr(A B^T)
    return torch.acos(((trace - 1.0) / 2.0).clamp(-_COSINE_LIMIT, _COSINE_LIMIT)).mean()


def _velocity(x: Tensor) -> Tensor:
    """First difference over frames (B, F, ...)."""
    return x[:, 1:] - x[:, :-1]


def _acceleration(x: Tensor) -> Tensor:
    """Second difference over frames (B, F, ...)."""
    return x[:, 2:] + x[:, :-2] - 2.0 * x[:, 1:-1]
