# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens when memory runs out: fewer requests at once, and in the end one sentence."""

from __future__ import annotations

import ctypes
import math
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from .errors import DeviceError

_CPU_FULL = ("can't allocate memory", "not enough memory")
"""What torch's allocator for the CPU says in a plain `RuntimeError`, on Linux and on Windows."""

BYTES_PER_VALUE = 8
"""Memory that one number of a pack's weights takes on the CPU: 4 bytes in the model and 4 in the copy that
decodes. The starter's sentence encoder stays in eight bits: 164 MB hold all its 41 million numbers."""

LEAST_BYTES_PER_VALUE = 4
"""The model alone, where no other copy decodes."""

A = TypeVar("A")
B = TypeVar("B")


def check_fits(num_values: int, limit_mb: int, free_mb: float = math.inf) -> None:
    """Refuse a pack whose weights take more memory than is allowed, or than there is.

    Args:
        num_values: Numbers in its weights.
        limit_mb: Most memory for the model, 0 for no limit.
        free_mb: What the machine has to give, see `free_memory_mb`.

    Raises:
        DeviceError: With what it needs and the remedy.
    """
    need_mb = num_values * BYTES_PER_VALUE / 1e6
    if limit_mb and need_mb > limit_mb:
        raise DeviceError(
            f"This model pack takes about {need_mb:.0f} MB of memory and the limit is {limit_mb} MB: raise "
            "the memory limit in the preferences, or choose a smaller pack."
        )
    least_mb = num_values * LEAST_BYTES_PER_VALUE / 1e6
    if least_mb > free_mb:
        raise DeviceError(
            f"This model pack takes at least {least_mb:.0f} MB of memory and {free_mb:.0f} MB are free: "
            "close other programs, or choose a smaller pack."
        )


def free_memory_mb(place: str = "/proc/meminfo") -> float:
    """Memory that this machine can give without taking it from others; infinite where it does not say.

    Args:
        place: Where Linux says it, in kB (proc(5), `MemAvailable`).
    """
    if sys.platform == "win32":
        return _free_on_windows_mb()
    try:
        text = Path(place).read_text("ascii")
    except OSError:
        return math.inf
    found = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else math.inf


class _WindowsMemory(ctypes.Structure):
    """What `GlobalMemoryStatusEx` fills in (winbase.h, `MEMORYSTATUSEX`)."""

    _fields_ = [  # as ctypes wants it
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        ("total", ctypes.c_uint64),
        ("free", ctypes.c_uint64),
        ("others", ctypes.c_uint64 * 5),
    ]


def _free_on_windows_mb() -> float:
    """The same on Windows."""
    held = _WindowsMemory(length=ctypes.sizeof(_WindowsMemory))
    windows: Any = getattr(ctypes, "windll")  # noqa: B009  # known on Windows only
    if not windows.kernel32.GlobalMemoryStatusEx(ctypes.byref(held)):
        return math.inf
    return int(held.free) / 1e6


def give_back() -> None:
    """Give memory that is free back to the system, where its C library (glibc) keeps it for later."""
    if sys.platform == "linux":
        trim: Any = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


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
        if not is_full(problem):
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


def is_full(problem: MemoryError | RuntimeError) -> bool:
    """Whether an error says that memory ran out."""
    if isinstance(problem, (MemoryError, torch.OutOfMemoryError)):
        return True
    return any(words in str(problem) for words in _CPU_FULL)
