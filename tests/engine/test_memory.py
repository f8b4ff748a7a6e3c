# SPDX-License-Identifier: GPL-3.0-or-later
"""When memory runs out, a smaller batch is tried before the animator is told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from engine import pipeline
from engine.errors import DeviceError
from engine.memory import check_fits, free_memory_mb, in_halves
from tests.tiny_pack import write_tiny_pack

FULL = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory."),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
]


@pytest.mark.parametrize("problem", FULL, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("room", [1, 2, 3, 7])
def test_smaller_batches_are_tried(problem: Exception, room: int) -> None:
    sizes: list[int] = []

    def run(rows: Sequence[int]) -> list[int]:
        sizes.append(len(rows))
        if len(rows) > room:
            raise problem
        return [row * 10 for row in rows]

    assert in_halves(run, range(7)) == [0, 10, 20, 30, 40, 50, 60]
    assert sizes[0] == 7 and sum(size for size in sizes if size <= room) == 7


@pytest.mark.parametrize("problem", FULL, ids=lambda p: type(p).__name__)
def test_one_that_does_not_fit_is_one_sentence(problem: Exception) -> None:
    def run(rows: Sequence[int]) -> list[int]:
        raise problem

    with pytest.raises(DeviceError, match=r"^There is not enough memory .*preferences\.$"):
        in_halves(run, range(4))


def test_other_errors_pass() -> None:
    def run(rows: Sequence[int]) -> list[int]:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        in_halves(run, range(4))


def test_a_pack_beyond_the_limit_is_refused_with_the_remedy() -> None:
    check_fits(10**9, 0)
    check_fits(10**6, 8)
    with pytest.raises(
        DeviceError, match="about 16 MB of memory and the limit is 15 MB: raise the memory limit"
    ):
        check_fits(2 * 10**6, 15)


def test_what_is_free_is_read_from_the_system(tmp_path: Path) -> None:
    said = tmp_path / "meminfo"
    said.write_text("MemTotal:       24683520 kB\nMemAvailable:    1000000 kB\n")
    assert free_memory_mb(str(said)) == pytest.approx(1024.0)
    said.write_text("MemTotal: 24683520 kB\n")
    assert free_memory_mb(str(said)) == math.inf == free_memory_mb(str(tmp_path / "absent"))
    assert free_memory_mb() > 10


def test_a_pack_larger_than_what_is_free_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = write_tiny_pack(tmp_path / "pack").root
    monkeypatch.setattr(pipeline, "free_memory_mb", lambda: 0.5)
    with pytest.raises(DeviceError, match=r"and 0 MB are free: close other programs, or .* smaller pack\.$"):
        pipeline.load_engine(pack, "cpu")
    monkeypatch.setattr(pipeline, "free_memory_mb", lambda: 1e6)
    pipeline.load_engine(pack, "cpu")
