# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights kept in float16 and reckoned with in float32: half the memory, and next to nothing lost.

A processor that cannot multiply float16 would be slow with it, and sums in it would be poor. A copy of one
block at a time in float32 costs little beside the work that a block has with a whole request.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

HEAD_ROWS = 4096
"""Rows of the output head that are widened at a time."""


def is_half(module: nn.Module) -> bool:
    """Whether a network's weights are kept in float16."""
    return next(module.parameters()).dtype == torch.float16


def run_wide(module: nn.Module, *args: Tensor) -> Any:
    """Run a network; one kept in float16 runs in float32, in a copy that lives as long as the call."""
    if not is_half(module):
        return module(*args)
    wide = {name: weight.float() for name, weight in module.named_parameters()}
    return functional_call(module, wide, args)


def linear_wide(x: Tensor, weight: Tensor) -> Tensor:
    """x (..., K) times the transposed weight (N, K), in the type of x whatever the weight is kept in."""
    if weight.dtype == x.dtype:
        return F.linear(x, weight)
    return torch.cat([F.linear(x, rows.to(x.dtype)) for rows in weight.split(HEAD_ROWS)], dim=-1)
