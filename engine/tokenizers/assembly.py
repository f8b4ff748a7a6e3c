# SPDX-License-Identifier: GPL-3.0-or-later
"""From the published tokenizers' codes to one clip, as the published demo does it (spec 1.6)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..motion.arrays import FloatArray
from ..motion.clip import Clip
from ..motion.published_features import (
    PART_LAYOUTS,
    Layout,
    apply_published_features,
    global_input,
    layout_width,
    root_from_global,
)
from ..specs import MOTION_FPS, PARTS, Part
from .published import PublishedTokenizers

ROOT_CHANNELS = slice(54, 57)
"""Channels of the root network: velocity along x, height, velocity along z."""

NUM_BETAS = 300


@torch.no_grad()
def decode_published(tokenizers: PublishedTokenizers, codes: Mapping[Part, Tensor]) -> Clip:
    """Decode all four parts and put them together.

    Args:
        tokenizers: The published networks.
        codes: Codes of one clip per part, (1, T); parts of unequal length are cut to the shortest.

    Returns:
        The clip at 30 fps in the SMPL-X convention, its root starting at x = z = 0.

    Raises:
        CodeRangeError: If a code is outside its codebook.
    """
    features = {part: tokenizers.parts[part].decode(codes[part]) for part in PARTS}
    frames = min(values.shape[1] for values in features.values())
    features = {part: values[:, :frames] for part, values in features.items()}
    root = root_motion(tokenizers, features[Part.LOWER])[0]
    arrays: dict[Part, FloatArray] = {
        part: values[0].float().cpu().numpy() for part, values in features.items()
    }
    clip = Clip.rest(frames, MOTION_FPS)
    for part in (Part.UPPER, Part.HANDS, Part.LOWER, Part.FACE):
        clip = apply_published_features(clip, _layout(part, arrays[part].shape[1]), arrays[part])
    return Clip(
        fps=MOTION_FPS,
        poses=clip.poses,
        trans=root.float().cpu().numpy(),
        expressions=clip.expressions,
        expression_names=clip.expression_names,
        basis=clip.basis,
        betas=np.zeros(NUM_BETAS, dtype=np.float32),
        model="smplx2020",
    )


def root_motion(tokenizers: PublishedTokenizers, lower: Tensor) -> Tensor:
    """Root positions (B, F, 3), metres, of decoded lower body features (B, F, 54 or 61)."""
    channels = tokenizers.root(global_input(lower)).reconstruction[..., ROOT_CHANNELS]
    return root_from_global(channels, 1.0 / MOTION_FPS)


def _layout(part: Part, width: int) -> Layout:
    """Layout of a part by its width."""
    return next(layout for layout in PART_LAYOUTS[part] if layout_width(layout) == width)
