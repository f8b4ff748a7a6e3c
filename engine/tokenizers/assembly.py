# SPDX-License-Identifier: GPL-3.0-or-later
"""From the published tokenizers' codes to one clip (spec 1.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..motion.arrays import FloatArray
from ..motion.clip import Clip, smplx_expression_names
from ..motion.clip_io import SMPLX_PELVIS_REST
from ..motion.published_features import (
    NUM_EXPRESSIONS,
    PART_LAYOUTS,
    Layout,
    apply_published_features,
    global_input,
    layout_width,
    root_from_global,
)
from ..specs import MOTION_FPS, PARTS, Part
from .motion_vqvae import MotionVQVAE
from .published import PublishedTokenizers

ROOT_CHANNELS = slice(54, 57)
"""Channels of the root network: velocity along x, height, velocity along z."""

CONTACT_CHANNELS = slice(57, 61)
"""Its channels for the contacts of joints 7, 8, 10, 11."""

NUM_BETAS = 300


@torch.no_grad()
def decode_published(tokenizers: PublishedTokenizers, codes: Mapping[Part, Tensor]) -> Clip:
    """Decode all four parts and put them together exactly as the published demo does.

    Args:
        tokenizers: The published networks.
        codes: Codes of one clip per part, (1, T); parts of unequal length are cut to the shortest.

    Returns:
        The clip at 30 fps in the SMPL-X convention, its root starting at x = z = 0.

    Raises:
        CodeRangeError: If a code is outside its codebook.
    """
    features = {part: tokenizers.parts[part].decode(codes[part])[0] for part in PARTS}
    frames = min(len(values) for values in features.values())
    features = {part: values[:frames] for part, values in features.items()}
    root, _ = root_motion(tokenizers.root, features[Part.LOWER], keep_contacts=True)
    arrays = {part: values.float().cpu().numpy() for part, values in features.items()}
    return published_clip(arrays, root, frames)


def published_clip(
    features: Mapping[Part, FloatArray], root: FloatArray | None, num_frames: int, fps: float = MOTION_FPS
) -> Clip:
    """Put decoded features together.

    Args:
        features: Features of some parts in a published layout, each (F, width); others rest.
        root: Root positions, (F, 3), metres; None leaves the root at rest.
        num_frames: Frames F.
        fps: Frames per second.
    """
    clip = Clip.rest(num_frames, fps)
    for part in (Part.UPPER, Part.HANDS, Part.LOWER, Part.FACE):
        if part in features:
            clip = apply_published_features(clip, _layout(part, features[part].shape[1]), features[part])
    if clip.basis != "smplx":
        clip = replace(
            clip,
            expressions=np.zeros((num_frames, NUM_EXPRESSIONS), dtype=np.float32),
            expression_names=smplx_expression_names(NUM_EXPRESSIONS),
            basis="smplx",
        )
    pelvis = np.array(SMPLX_PELVIS_REST, dtype=np.float32)
    return replace(
        clip,
        trans=clip.trans - pelvis if root is None else root,
        betas=np.zeros(NUM_BETAS, dtype=np.float32),
        model="smplx2020",
        pelvis_rest=pelvis,
    )


@torch.no_grad()
def root_motion(network: MotionVQVAE, lower: Tensor, keep_contacts: bool) -> tuple[FloatArray, FloatArray]:
    """Follow the root over the floor.

    Args:
        network: The root network.
        lower: Decoded lower body features, (F, 54 or 61).
        keep_contacts: See `global_input`.

    Returns:
        Root positions, (F, 3), metres, and contacts of joints 7, 8, 10, 11, (F, 4), in [0, 1].
    """
    channels = network(global_input(lower, keep_contacts)[None]).reconstruction[0]
    root = root_from_global(channels[:, ROOT_CHANNELS], 1.0 / MOTION_FPS)
    contacts = channels[:, CONTACT_CHANNELS].clamp(0.0, 1.0)
    return root.float().cpu().numpy(), contacts.float().cpu().numpy()


def _layout(part: Part, width: int) -> Layout:
    """Layout of a part by its width."""
    return next(layout for layout in PART_LAYOUTS[part] if layout_width(layout) == width)
