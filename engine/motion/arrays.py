# SPDX-License-Identifier: GPL-3.0-or-later
"""Array types of the motion code."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
"""Single precision array; the shape is given where it is used."""

DoubleArray = npt.NDArray[np.float64]
"""Double precision array, inside computations only."""

IntArray = npt.NDArray[np.int64]
"""Indices."""

BoolArray = npt.NDArray[np.bool_]
"""Masks."""

AnyFloatArray = npt.NDArray[np.floating[Any]]
"""Floating point numbers of any precision, as an argument."""


def smooth_step(values: AnyFloatArray) -> DoubleArray:
    """From 0 to 1 as `values` go there, by a quintic: slope and curvature are zero at both ends."""
    u = np.clip(values, 0.0, 1.0)
    return u**3 * (10.0 - 15.0 * u + 6.0 * u**2)
