# SPDX-License-Identifier: GPL-3.0-or-later
"""The network that published scores (FGD) are computed with: EMAGE's `AESKConv_240_100.bin` (spec 6.2)."""

from __future__ import annotations

from ..errors import PackError
from ..tokenizers.published import Shapes

_FIRST = "encoder.layers.0.0.residual.0.weight"
_CONVOLUTIONS = ((330, 330), (210, 210), (240, 120), (240, 240))
"""Channels out and in of the four skeleton convolutions: six, later twelve, for each edge."""

_POOLS = ((210, 330), (120, 210))
"""Pool matrices behind the first two layers: 55 edges to 35 to 20."""

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
