# SPDX-License-Identifier: GPL-3.0-or-later
"""The published gesture encoder on clips, from its own weight file (spec 6.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import EngineError
from ..motion.arrays import FloatArray
from ..motion.clip import Clip
from ..motion.published_features import Layout, published_features
from ..published.judge import encoder_shapes, motion_latents, recognise_judge
from ..weights.weight_file import open_weights

CLIP_MULTIPLE = 32
"""The public evaluation cuts clips to a multiple of this."""


class GestureEncoder:
    """The encoder with its weights.

    Args:
        weights: As `engine.published.judge` names them.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._weights = weights

    def latents(self, clips: Sequence[Clip]) -> FloatArray:
        """Latents of all clips, one after the other, (N, 240); one covers 16 frames.

        Raises:
            EngineError: If no clip is long enough.
        """
        found: list[FloatArray] = []
        for clip in clips:
            frames = clip.num_frames // CLIP_MULTIPLE * CLIP_MULTIPLE
            if frames:
                pose = published_features(clip, Layout.FULL_330)[:frames]
                found.append(motion_latents(self._weights, torch.from_numpy(pose)[None])[0].numpy())
        if not found:
            raise EngineError(f"A clip needs {CLIP_MULTIPLE} frames for the published gesture distance.")
        return np.concatenate(found)


PUBLISHED = "AESKConv (as published)"
"""What its features are called in tables."""


def load_gesture_encoder(path: Path) -> GestureEncoder:
    """Read `AESKConv_240_100.bin`.

    Raises:
        EngineError: If it is missing, or a weight is missing or has another shape.
    """
    with open_weights(path) as file:
        recognise_judge(file.shapes, path.name)
        held = file.read(encoder_shapes())
    return GestureEncoder({name: tensor.float() for name, tensor in held.items()})
