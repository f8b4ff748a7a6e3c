# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole batch: the table, what an earlier run made of it, the rest on this machine or Ray, the report."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..cluster import RayPlace
from ..packs import PACK_FILE, Pack, load_pack
from ..whole_files import storage_error
from .records import RECORDS, LineResult, finished
from .report import write_report
from .table import Line, read_table
from .work import SHEETS, Job

REPORT_S = 60.0
"""Seconds between two writings of the report while the batch runs."""


@dataclass(frozen=True)
class BatchOptions:
    """How a batch is run.

    Attributes:
        pack: Folder of the model pack.
        device: "auto", "cpu" or "cuda".
        processes: At once on this machine; 0 for as many as fit.
        resume: Leave lines that an earlier run made of the same ingredients.
        ray: Where Ray runs; None for this machine alone, without Ray.
        fast: Have the published model round, see `engine.pipeline.load_engine`.
    """

    pack: Path
    device: str = "auto"
    processes: int = 0
    resume: bool = False
    ray: RayPlace | None = None
    fast: bool = False


@dataclass(frozen=True)
class Tally:
    """How far a batch is.

    Attributes:
        made: Lines with a motion, those of an earlier run among them.
        failed: Lines without one.
        total: All lines.
        seconds_left: Estimate; 0 at the end and before the first line.
    """

    made: int
    failed: int
    total: int
    seconds_left: float


def run_batch(table: Path, out: Path, options: BatchOptions, report: Callable[[Tally], None]) -> Tally:
    """Make every line of a table.

    Args:
        table: CSV file, see `engine.batch.table`.
        out: Folder for motions, contact sheets and the report; made where it is absent.
        options: How.
        report: Told after every line.

    Raises:
        EngineError: If the table, the pack or the folder cannot be used.
    """
    lines = read_table(table)
    pack = load_pack(options.pack)
    job = Job(out, pack.root.resolve(), model_of(pack, options.fast), options.device, options.fast)
    return run_through(lines, job, options.resume, lambda left: _made(left, job, options, pack), report)


def run_through(
    lines: Sequence[Line],
    job: Job,
    resume: bool,
    make: Callable[[Sequence[Line]], Iterator[LineResult]],
    report: Callable[[Tally], None],
) -> Tally:
    """Make lines in some way and keep the report.

    Args:
        lines: All of them.
        job: What they share.
        resume: Leave lines that an earlier run made of the same ingredients.
        make: Makes the rest and keeps a record of each.
        report: Told after every line.

    Raises:
        EngineError: What `make` raises, or `StorageError` if the folder cannot be written.
    """
    make_folders(job.out)
    results = earlier(lines, job) if resume else {}
    begun, written, first = time.monotonic(), time.monotonic(), len(results)
    try:
        for result in make([line for line in lines if line.name not in results]):
            results[result.name] = result
            report(_tally(lines, results, (time.monotonic() - begun) / (len(results) - first)))
            if time.monotonic() - written > REPORT_S:
                write_report(lines, results, job.out)
                written = time.monotonic()
    finally:
        write_report(lines, results, job.out)
    return _tally(lines, results, 0.0)


def model_of(pack: Pack, fast: bool = False) -> str:
    """Tells a pack, and whether it may round, from every other: its card names the hash of each file."""
    return hashlib.sha256((pack.root / PACK_FILE).read_bytes()).hexdigest()[:16] + ("-fast" if fast else "")


def make_folders(out: Path) -> None:
    """Make the batch's folders.

    Raises:
        StorageError: If that is not possible.
    """
    try:
        for folder in (out, out / RECORDS, out / SHEETS):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise storage_error(out, problem) from problem


def earlier(lines: Sequence[Line], job: Job) -> dict[str, LineResult]:
    """What an earlier run has made of the same lines, by name."""
    known = ((line, finished(line, job.model, job.out)) for line in lines if not line.problem)
    return {line.name: result for line, result in known if result is not None}


def _made(lines: Sequence[Line], job: Job, options: BatchOptions, pack: Pack) -> Iterator[LineResult]:
    if not lines:
        return iter(())
    if options.ray is not None:
        from .farm import run_on_ray

        return run_on_ray(lines, job, options.ray)
    from ..devices import chosen_device
    from .pool import num_processes, run_lines

    device = chosen_device(options.device)
    return run_lines(lines, job, num_processes(options.processes, len(lines), device, pack.num_values()))


def _tally(lines: Sequence[Line], results: dict[str, LineResult], each_s: float) -> Tally:
    failed = sum(bool(result.problem) for result in results.values())
    return Tally(len(results) - failed, failed, len(lines), each_s * (len(lines) - len(results)))
