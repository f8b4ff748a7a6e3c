# SPDX-License-Identifier: GPL-3.0-or-later
"""What the starter tokenizers are trained on: normalised features, their differences, commitment."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..motion.features import (
    LOWER_HEIGHT,
    LOWER_ROTATIONS,
    LOWER_TURN,
    LOWER_VELOCITY,
    STARTER_DIMS,
)
from ..specs import Part
from .motion_vqvae import VQVAEOutput

STD_FLOOR = 0.03
"""Least standard deviation of a rotation channel; stiller joints are not blown up beyond it."""


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of `starter_loss`; 0 switches a term off."""

    velocity: float = 0.5
    acceleration: float = 0.1
    commitment: float = 0.25


@dataclass(frozen=True)
class StarterLoss:
    """Terms of the starter loss, each (), unweighted except `total`."""

    total: Tensor
    features: Tensor
    velocity: Tensor
    acceleration: Tensor
    commitment: Tensor


def starter_loss(
    output: VQVAEOutput, channel_weights: Tensor, weights: LossWeights | None = None
) -> StarterLoss:
    """Reconstruction loss of a starter tokenizer.

    Args:
        output: Result of one pass.
        channel_weights: Weight of each channel, (D,).
        weights: Weights of the terms.

    Returns:
        All terms; minimise `total`.
    """
    weights = weights or LossWeights()
    rebuilt, wanted = output.normalised_reconstruction, output.normalised_target
    share = channel_weights / channel_weights.mean()

    def compare(a: Tensor, b: Tensor) -> Tensor:
        return (functional.smooth_l1_loss(a, b, reduction="none") * share).mean()

    features = compare(rebuilt, wanted)
    rebuilt_step, wanted_step = rebuilt.diff(dim=1), wanted.diff(dim=1)
    velocity = compare(rebuilt_step, wanted_step)
    acceleration = compare(rebuilt_step.diff(dim=1), wanted_step.diff(dim=1))
    total = (
        features
        + weights.velocity * velocity
        + weights.acceleration * acceleration
        + weights.commitment * output.commitment_loss
    )
    return StarterLoss(total, features, velocity, acceleration, output.commitment_loss)


def starter_channel_weights(part: Part) -> Tensor:
    """Weight of each normalised starter channel, (D,).

    Root velocity, height and turn rate count three times: a slow drift of the root is what an
    animator sees first, and the channels are few among the rotations.
    """
    weights = torch.ones(STARTER_DIMS[part])
    if part is Part.LOWER:
        weights[LOWER_VELOCITY] = 3.0
        weights[[LOWER_HEIGHT, LOWER_TURN]] = 3.0
        pelvis = LOWER_ROTATIONS.start
        weights[pelvis : pelvis + 6] = 2.0  # the pelvis carries everything above it
    return weights


def feature_statistics(part: Part, features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation for `MotionVQVAE.set_statistics`.

    Rotation channels share one deviation per joint, so that normalising does not bend the 6D space;
    the deviation is floored at `STD_FLOOR`.

    Args:
        part: Which starter layout the features have.
        features: Training frames, (N, D).

    Returns:
        Mean (D,) and standard deviation (D,).
    """
    features = features.float()
    mean = features.mean(0)
    std = features.std(0, unbiased=False)
    rotations = {Part.LOWER: LOWER_ROTATIONS.start, Part.FACE: features.shape[1]}.get(part, 0)
    joints = std[rotations:].reshape(-1, 6)
    shared = joints.square().mean(1, keepdim=True).sqrt().expand_as(joints).reshape(-1)
    std = torch.cat([std[:rotations], shared])
    return mean, std.clamp_min(STD_FLOOR)
