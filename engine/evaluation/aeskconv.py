# SPDX-License-Identifier: GPL-3.0-or-later
"""The published gesture encoder, AESKConv_240_100, from its own weight file (spec 6.2).

Four layers of skeleton convolutions. Which edges see which (`mask`) and which are pooled together
(`common.0.weight`) stands in the file beside the weights, so no skeleton is needed to run it: a layer is

    tanh(pool(GroupNorm_10(conv_k4_s2_p1(x; weight * mask)) + conv_k1_s2(x; weight * mask)))

The decoder, `fc_mu` and `fc_logvar` in the file take no part in the distance. Its input is the whole pose
as 6D rotations, (F, 330); a clip is cut to a multiple of 32 frames, and a latent covers 16.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..errors import EngineError
from ..motion.arrays import FloatArray
from ..motion.clip import Clip
from ..motion.published_features import Layout, published_features
from ..weights.weight_file import open_weights

NUM_LAYERS = 4
NUM_GROUPS = 10
FRAMES_PER_LATENT = 16
CLIP_MULTIPLE = 32
"""The public evaluation cuts clips to a multiple of this."""

SHAPES: tuple[tuple[tuple[int, int, int], tuple[int, int] | None], ...] = (
    ((330, 330, 4), (210, 330)),
    ((210, 210, 4), (120, 210)),
    ((240, 120, 4), None),
    ((240, 240, 4), None),
)
"""Shape of each layer's residual convolution, and of its pooling where it has one."""

_PREFIX = "encoder.layers."
"""As `weights` names it: the file's own names begin with "module.", which goes with the wrapper."""


class GestureEncoder:
    """The encoder with its weights.

    Args:
        tensors: Weights by name, `layers.` and what stands before it taken off.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = dict(tensors)

    @torch.inference_mode()
    def encode(self, pose: Tensor) -> Tensor:
        """Latents of poses.

        Args:
            pose: 6D rotations of all joints, (B, F, 330); F a multiple of 16.

        Returns:
            (B, F / 16, 240).
        """
        x = pose.transpose(1, 2)  # (B, F, 330) -> (B, 330, F)
        for layer in range(NUM_LAYERS):
            held = {
                name.removeprefix(f"{layer}.0."): tensor
                for name, tensor in self._tensors.items()
                if name.startswith(f"{layer}.0.")
            }
            weight = held["residual.0.weight"] * held["residual.0.mask"]
            kept = functional.conv1d(x, weight, held["residual.0.bias"], stride=2, padding=1)
            kept = functional.group_norm(kept, NUM_GROUPS, held["residual.1.weight"], held["residual.1.bias"])
            weight = held["shortcut.weight"] * held["shortcut.mask"]
            x = kept + functional.conv1d(x, weight, held["shortcut.bias"], stride=2)
            if "common.0.weight" in held:
                x = torch.einsum("oc,bcf->bof", held["common.0.weight"], x)
            x = torch.tanh(x)
        return x.transpose(1, 2)

    def latents(self, clips: Sequence[Clip]) -> FloatArray:
        """Latents of all clips, one after the other, (N, 240).

        Raises:
            EngineError: If no clip is long enough.
        """
        found: list[FloatArray] = []
        for clip in clips:
            frames = clip.num_frames // CLIP_MULTIPLE * CLIP_MULTIPLE
            if frames:
                pose = published_features(clip, Layout.FULL_330)[:frames]
                found.append(self.encode(torch.from_numpy(pose)[None])[0].numpy())
        if not found:
            raise EngineError(f"A clip needs {CLIP_MULTIPLE} frames for the published gesture distance.")
        return np.concatenate(found)


def load_gesture_encoder(path: Path) -> GestureEncoder:
    """Read `AESKConv_240_100.bin`.

    Raises:
        EngineError: If it is missing, or a weight is missing or has another shape.
    """
    with open_weights(path) as file:
        shapes = {name: shape for name, shape in file.shapes.items() if name.startswith(_PREFIX)}
        wanted = expected_shapes()
        for name, shape in wanted.items():
            if shapes.get(_PREFIX + name) != shape:
                raise EngineError(
                    f"{path.name} is not the published gesture encoder ({name} does not fit); "
                    "download AESKConv_240_100.bin again."
                )
        tensors = file.read([_PREFIX + name for name in wanted])
    return GestureEncoder({name.removeprefix(_PREFIX): tensor.float() for name, tensor in tensors.items()})


def expected_shapes() -> dict[str, tuple[int, ...]]:
    """Names below the encoder's layers, and their shapes."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, (conv, pool) in enumerate(SHAPES):
        own = f"{layer}.0."
        short = (conv[0], conv[1], 1)
        shapes |= {f"{own}residual.0.{name}": conv for name in ("mask", "weight")}
        shapes |= {f"{own}residual.1.{name}": conv[:1] for name in ("weight", "bias")}
        shapes |= {f"{own}shortcut.{name}": short for name in ("mask", "weight")}
        shapes |= {f"{own}{name}.bias": conv[:1] for name in ("residual.0", "shortcut")}
        if pool is not None:
            shapes[f"{own}common.0.weight"] = pool
    return shapes
