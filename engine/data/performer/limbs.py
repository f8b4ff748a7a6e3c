# SPDX-License-Identifier: GPL-3.0-or-later
"""Arms and legs from wrist and ankle targets: analytic two-bone chains in SMPL-X joint rotations.

At rest (T-pose) the left arm points along +X with the palm down, so elbow flexion turns about -Y; the legs
point down, so knee flexion turns about +X. Right limbs are computed as left ones in a mirrored world.
"""

from __future__ import annotations

import numpy as np

from ...motion.rotations import axis_angle_to_matrix
from .curves import Array

MIRROR = np.diag([-1.0, 1.0, 1.0])
"""Reflection in the body's midplane."""


def unit(vector: Array) -> Array:
    """Vectors of length one over the last axis."""
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)


def about(axis: tuple[float, float, float] | Array, angle: Array) -> Array:
    """Matrices (F, 3, 3) of rotations about one axis by angles (F,)."""
    return axis_angle_to_matrix(unit(np.asarray(axis, np.float64)) * angle[:, None])


def euler_yxz(yaw: Array, pitch: Array, roll: Array) -> Array:
    """Matrices (F, 3, 3): roll about Z, then pitch about X, then yaw about Y."""
    return about((0.0, 1.0, 0.0), yaw) @ about((1.0, 0.0, 0.0), pitch) @ about((0.0, 0.0, 1.0), roll)


def mirror_rotation(rotation: Array) -> Array:
    """The same rotation seen in the midplane's mirror, (..., 3, 3)."""
    return MIRROR @ rotation @ MIRROR


def _frame(along: Array, hinge: Array) -> Array:
    """Matrices with columns along, hinge (made square to it) and their cross product, (..., 3, 3)."""
    first = unit(along)
    second = unit(hinge - (hinge * first).sum(-1, keepdims=True) * first)
    return np.stack([first, second, np.cross(first, second)], axis=-1)


def two_bone(
    target: Array, lengths: tuple[float, float], pole: Array, straight: float = 0.96
) -> tuple[Array, Array, Array]:
    """Bend a two-bone chain from the origin to a target.

    Args:
        target: Wanted end, (F, 3); drawn softly inside the chain's reach.
        lengths: Of the two bones, metres.
        pole: Direction to which the middle joint points, (F, 3) or (3,).
        straight: Share of the full length beyond which reaching is compressed, so that no joint locks.

    Returns:
        Unit directions of the first and second bone and unit hinge axis about which the second turned from
        the first, each (F, 3).
    """
    first, second = lengths
    reach = first + second
    distance = np.linalg.norm(target, axis=-1, keepdims=True)
    over = np.maximum(distance - straight * reach, 0.0)
    limit = 0.9 * (1.0 - straight) * reach
    length = np.minimum(distance, straight * reach) + limit * (1.0 - np.exp(-over / limit))
    length = np.maximum(length, abs(first - second) + 0.02)
    toward = target / np.maximum(distance, 1e-9)
    side = unit(pole - (pole * toward).sum(-1, keepdims=True) * toward)
    along = (first**2 - second**2 + length**2) / (2.0 * length)
    out = np.sqrt(np.maximum(first**2 - along**2, 1e-12))
    middle = along * toward + out * side
    end = length * toward
    return unit(middle), unit(end - middle), np.cross(side, toward)


def solve_arm(
    target: Array, upright: Array, chest: Array, bones: tuple[Array, Array], pose: Array
) -> tuple[Array, Array, Array]:
    """Left arm rotations that bring the wrist to a target.

    Args:
        target: Wrist seen from the shoulder in the upright frame, (F, 3), metres.
        upright: Upright frame (heading of the trunk only), global, (F, 3, 3).
        chest: Global rotation of the collar, the shoulder's parent, (F, 3, 3).
        bones: Rest vectors of upper arm and forearm, (3,) each.
        pose: Swivel of the elbow about the line to the wrist, pronation, wrist flexion and radial deviation,
            (F, 4), radians. Pronation 0 is the thumb-up handshake, +pi/2 palm down, -pi/2 palm up.

    Returns:
        Local rotations of shoulder, elbow and wrist, each (F, 3, 3).
    """
    upper, fore = bones
    lengths = (float(np.linalg.norm(upper)), float(np.linalg.norm(fore)))
    toward = unit(target)
    base = np.array([0.35, -0.9, -0.8])
    pole = unit(base - (base * toward).sum(-1, keepdims=True) * toward)
    swivel, pronation, flexion, deviation = (pose[:, i] for i in range(4))
    side = np.cross(toward, pole)
    pole = pole * np.cos(swivel)[:, None] + side * np.sin(swivel)[:, None]
    first, second, hinge = two_bone(target, lengths, pole)
    rest_hinge = np.array([0.0, -1.0, 0.0])
    rest_upper, rest_fore = _frame(upper, rest_hinge), _frame(fore, rest_hinge)
    shoulder_global = upright @ _frame(first, hinge) @ rest_upper.T
    fore_global = upright @ _frame(second, hinge) @ rest_fore.T
    shoulder = np.swapaxes(chest, -1, -2) @ shoulder_global
    elbow = np.swapaxes(shoulder_global, -1, -2) @ fore_global
    axis = unit(fore)
    # The forearm carries most of the twist, the wrist the rest, so that the skin of neither collapses.
    elbow = elbow @ about(axis, 0.6 * pronation)
    wrist = (
        about(axis, 0.4 * pronation) @ about((0.0, 0.0, -1.0), flexion) @ about((0.0, -1.0, 0.0), deviation)
    )
    return shoulder, elbow, wrist


def solve_leg(
    target: Array, pelvis: Array, foot: Array, bones: tuple[Array, Array], pole: Array
) -> tuple[Array, Array, Array]:
    """Leg rotations that bring the ankle to a target and the foot to an orientation.

    Args:
        target: Ankle seen from the hip, global axes, (F, 3), metres.
        pelvis: Global rotation of the pelvis, (F, 3, 3).
        foot: Wanted global rotation of the ankle joint, (F, 3, 3).
        bones: Rest vectors of thigh and shin, (3,) each.
        pole: Global direction of the knee, (F, 3).

    Returns:
        Local rotations of hip, knee and ankle, each (F, 3, 3).
    """
    thigh, shin = bones
    lengths = (float(np.linalg.norm(thigh)), float(np.linalg.norm(shin)))
    first, second, hinge = two_bone(target, lengths, pole, straight=0.985)
    rest_hinge = np.array([1.0, 0.0, 0.0])
    hip_global = _frame(first, hinge) @ _frame(thigh, rest_hinge).T
    knee_global = _frame(second, hinge) @ _frame(shin, rest_hinge).T
    hip = np.swapaxes(pelvis, -1, -2) @ hip_global
    knee = np.swapaxes(hip_global, -1, -2) @ knee_global
    ankle = np.swapaxes(knee_global, -1, -2) @ foot
    return hip, knee, ankle
