# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens when memory runs out: fewer requests at once, and in the end one sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from .errors import DeviceError

_CPU_FULL = ("can't allocate memory", "not enough memory")
"""What torch's allocator for the CPU says in a plain `RuntimeError`, on Linux and on Windows."""

A = TypeVar("A")
B = TypeVar("B")


def in_halves(run: Callable[[Sequence[A]], list[B]], rows: Sequence[A]) -> list[B]:
    """Run a batch, and where memory runs out each half of it alone.

    Args:
        run: Makes one result for each row.
        rows: The batch, one row at least.

    Returns:
        One result for each row.

    Raises:
        DeviceError: If memory does not even suffice for a single row.
    """
    try:
        return run(rows)
    except (MemoryError, RuntimeError) as problem:
        if not _is_full(problem):
            raise
        if len(rows) == 1:
            raise DeviceError(
                "There is not enough memory for this motion; make it in shorter pieces, close other "
                "programs, or choose the CPU in the preferences."
            ) from problem
    # Out of the handler, so that what the failed run held is free before the halves begin.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = len(rows) // 2
    return in_halves(run, rows[:middle]) + in_halves(run, rows[middle:])


def _is_full(problem: MemoryError | RuntimeError) -> bool:
    """Whether an error says that memory ran out."""
    if isinstance(problem, (MemoryError, torch.OutOfMemoryError)):
        return True
    return any(words in str(problem) for words in _CPU_FULL)
