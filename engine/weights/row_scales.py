# SPDX-License-Identifier: GPL-3.0-or-later
"""Matrices stored as int8 with one float16 scale per row: half the size of float16.

A matrix `x` of int8 has its row scales beside it as `x.scale`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ..errors import PackError

if TYPE_CHECKING:
    from torch import Tensor

SCALE_SUFFIX = ".scale"


def quantise_rows(name: str, matrix: Tensor) -> dict[str, Tensor]:
    """A matrix and its scales as a file holds them.

    Args:
        name: Of the matrix.
        matrix: (R, C), floating.
    """
    import torch

    # The scale is rounded to float16 first, so that rounding the rows makes up for it.
    scale = (matrix.abs().amax(1) / 127.0).clamp_min(1e-7).half()
    rows = (matrix / scale.float()[:, None]).round().clamp(-127, 127)
    return {name: rows.to(torch.int8), name + SCALE_SUFFIX: scale}


def expand_rows(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by name, those with scales beside them in float32; all others as they are.

    Raises:
        PackError: If scales do not fit their matrix.
    """
    expanded: dict[str, Tensor] = {}
    for name in matrix_names(tensors):
        tensor, scale = tensors[name], tensors.get(name + SCALE_SUFFIX)
        if scale is not None:
            if tensor.ndim != 2 or scale.shape != tensor.shape[:1] or tensor.is_floating_point():
                raise PackError(f"The scales of {name} do not fit it; download the pack again.")
            tensor = tensor.float() * scale.float()[:, None]
        expanded[name] = tensor
    return expanded


def matrix_names(names: Iterable[str]) -> list[str]:
    """Names without those of scales."""
    held = list(names)
    known = set(held)
    return [n for n in held if not (n.endswith(SCALE_SUFFIX) and n.removesuffix(SCALE_SUFFIX) in known)]
