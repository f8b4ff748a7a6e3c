# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens when memory runs out: fewer requests at once, and in the end one sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from .errors import DeviceError

_CPU_FULL = ("can't allocate memory", "not enough memory")
"""What torch's allocator for the CPU says in a plain `RuntimeError`, on Linux and on Windows."""

BYTES_PER_VALUE = 8
"""Memory that one number of a pack's weights takes on the CPU: 4 bytes in the model and 4 in the copy that
decodes. Measured on the starter pack: 163 MB of float32 weights, 308 MB more memory after loading."""

A = TypeVar("A")
B = TypeVar("B")


def check_fits(num_values: int, limit_mb: int) -> None:
    """Refuse a pack whose weights take more memory than allowed.

    Args:
        num_values: Numbers in its weights.
        limit_mb: Most memory for the model, 0 for no limit.

    Raises:
        DeviceError: With what it needs and the remedy.
    """
    need_mb = num_values * BYTES_PER_VALUE / 1e6
    if limit_mb and need_mb > limit_mb:
        raise DeviceError(
            f"This model pack takes about {need_mb:.0f} MB of memory and the limit is {limit_mb} MB: raise "
            "the memory limit in the preferences, or choose a smaller pack."
        )


def limit_gpu(limit_mb: int) -> None:
    """Keep torch from taking more of the GPU's memory; 0 takes an earlier limit away."""
    total_mb = torch.cuda.get_device_properties(0).total_memory / 1e6
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit_mb / total_mb) if limit_mb else 1.0)


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
