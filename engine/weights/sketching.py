# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks drawn up before their weights are read.

Random start values would be thrown away by the file's. On the meta device they cost more than time: torch
draws them through Python, and for that imports its compiler, which is most of the time a small pack takes to
load.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_DRAWS = frozenset({"normal_", "uniform_", "kaiming_uniform_"})
"""Names of the in-place draws, of a tensor and of `torch.nn.init`, behind torch's layers and initialisers."""


class _Undrawn(TorchFunctionMode):
    """Leaves random start values out."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__name__", "") in _DRAWS:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


@contextmanager
def sketching() -> Generator[None, None, None]:
    """Networks made inside have names and shapes and no memory: they are on torch's meta device."""
    with torch.device("meta"), _Undrawn():
        yield
