# SPDX-License-Identifier: GPL-3.0-or-later
"""The network that published scores (FGD) are computed with: EMAGE's `AESKConv_240_100.bin` (spec 6.2)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import PackError
from ..tokenizers.published import Shapes

_FIRST = "encoder.layers.0.0.residual.0.weight"
_CONVOLUTIONS = ((330, 330), (210, 210), (240, 120), (240, 240))
"""Channels out and in of the four skeleton convolutions: six, later twelve, for each edge."""

_POOLS = ((210, 330), (120, 210))
"""Pool matrices behind the first two layers: 55 edges to 35 to 20."""

NORM_GROUPS = 10
"""Groups of the normalisation behind each convolution."""

FRAMES_PER_LATENT = 16

_OTHERS = tuple(
    [f"decoder.main.{block}.model.{step}" for block in (0, 1) for step in (0, 2)]
    + [f"decoder.main.{index}" for index in (3, 6, 9, 12, 14)]
    + ["fc_mu", "fc_logvar"]
)
"""Layers that scores do not need; they must be there, whatever their sizes."""


def is_judge(shapes: Shapes) -> bool:
    """Whether a file's names look like this network's."""
    return _FIRST in shapes


def encoder_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the encoder's weights, without EMAGE's `module.`."""
    shapes: dict[str, tuple[int, ...]] = {}
    for index, (out, into) in enumerate(_CONVOLUTIONS):
        layer = f"encoder.layers.{index}.0."
        for name, kernel in (("residual.0", 4), ("shortcut", 1)):
            shapes[f"{layer}{name}.mask"] = shapes[f"{layer}{name}.weight"] = (out, into, kernel)
            shapes[f"{layer}{name}.bias"] = (out,)
        shapes[f"{layer}residual.1.weight"] = shapes[f"{layer}residual.1.bias"] = (out,)
    for index, pool in enumerate(_POOLS):
        shapes[f"encoder.layers.{index}.0.common.0.weight"] = pool
    return shapes


def recognise_judge(shapes: Shapes, file_name: str) -> dict[str, str]:
    """Check that all 56 weights are there.

    Returns:
        Their names, each for itself.

    Raises:
        PackError: If one is missing or has another shape.
    """
    odd = [name for name, shape in encoder_shapes().items() if shapes.get(name) != shape]
    others = [f"{layer}.{kind}" for layer in _OTHERS for kind in ("weight", "bias")]
    if odd := sorted([*odd, *(name for name in others if name not in shapes)]):
        raise PackError(
            f"The file {file_name} does not hold the whole network for scores (first difference {odd[0]}); "
            "download it again."
        )
    return {name: name for name in (*encoder_shapes(), *others)}


@torch.no_grad()
def motion_latents(weights: Mapping[str, Tensor], rotations: Tensor) -> Tensor:
    """Latents in which published scores compare motion.

    Each layer halves the frames: a convolution over neighbouring bones with normalisation, plus a shortcut,
    then pairs of bones are pooled, then tanh (EMAGE `motion_encoder.py`, spec 6.2).

    Args:
        weights: Tensors named as in `encoder_shapes`; masks and pool matrices are among them.
        rotations: 6D rotations of the 55 joints, the root included, (B, F, 330); F a multiple of 16.

    Returns:
        (B, F / 16, 240).

    Raises:
        ValueError: If the frames are not whole latents.
    """
    if rotations.shape[1] % FRAMES_PER_LATENT:
        raise ValueError(f"The number of frames must be a multiple of {FRAMES_PER_LATENT}.")
    x = rotations.transpose(1, 2)  # (B, F, 330) -> (B, 330, F)
    for index in range(len(_CONVOLUTIONS)):
        held = {
            name: weights[f"encoder.layers.{index}.0.{name}"]
            for name in (
                "residual.0.weight", "residual.0.mask", "residual.0.bias", "residual.1.weight",
                "residual.1.bias", "shortcut.weight", "shortcut.mask", "shortcut.bias",
            )
        }  # fmt: skip
        main = held["residual.0.weight"] * held["residual.0.mask"]
        y = F.conv1d(x, main, held["residual.0.bias"], stride=2, padding=1)
        y = F.group_norm(y, NORM_GROUPS, held["residual.1.weight"], held["residual.1.bias"])
        short = held["shortcut.weight"] * held["shortcut.mask"]
        y = y + F.conv1d(x, short, held["shortcut.bias"], stride=2)
        if index < len(_POOLS):
            y = weights[f"encoder.layers.{index}.0.common.0.weight"] @ y
        x = y.tanh()
    return x.transpose(1, 2)
