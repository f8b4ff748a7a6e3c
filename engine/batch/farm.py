# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines shared out among the machines of a Ray cluster.

Every line is a task of one core. A task whose process or machine is lost is started again elsewhere; files
come whole or not at all and are the same to the byte, so a line that was made twice is still there once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..cluster import RayPlace, on_ray
from ..errors import DeviceError
from .pool import make_in_process
from .records import LineResult
from .table import Line
from .work import Job

TRIES = 5
"""So often may the process of one line be lost."""


def run_on_ray(lines: Sequence[Line], job: Job, place: RayPlace) -> Iterator[LineResult]:
    """Make lines on Ray; yields what became of each as it is finished.

    Args:
        lines: To be made; their files, the pack and the folder must be seen by every machine.
        job: What they share.
        place: Where.

    Raises:
        DeviceError: If Ray is not installed whole, or a line's process was lost too often.
        EngineError: If the model pack cannot be loaded or the folder cannot be written.
    """
    with on_ray(place) as ray:
        make: Any = ray.remote(num_cpus=1, max_retries=TRIES, retry_exceptions=False)(_make)
        waiting, running = iter(lines), dict[Any, Line]()
        while True:
            while len(running) < 2 * place.workers and (line := next(waiting, None)) is not None:
                running[make.remote(line, job)] = line
            if not running:
                return
            for done in ray.wait(list(running), num_returns=1)[0]:
                line = running.pop(done)
                try:
                    yield ray.get(done)
                except ray.exceptions.RayTaskError as problem:
                    raise problem.cause from None
                except ray.exceptions.RaySystemError as problem:
                    raise DeviceError(
                        f"Row {line.number} was lost {TRIES + 1} times on Ray; try --resume."
                    ) from problem


def _make(line: Line, job: Job) -> LineResult:
    """A task."""
    return make_in_process(line, job, threads=1)
