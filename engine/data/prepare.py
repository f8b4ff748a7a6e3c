# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokenises a corpus once: items are read, encoded and written shard by shard, over several processes.

Every shard is a job of its own that keeps no more than one record and the codes of its shard in memory. The
same jobs run on a Ray cluster where one machine is too little (`ray_runner`).
Shards that exist are not made again, so a run that was killed goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import torch

from ..cluster import RayPlace
from ..errors import DataError, EngineError
from .coding import Coder, CoderSource
from .ray_runner import run_on_ray
from .readers.base import Item, Problem, Reader, read_records
from .shards import Manifest, ShardWriter, Summary, read_summary, shard_path, write_manifest

SHARD_ITEMS = 64
"""Items per shard: about an hour of BEAT2, or a quarter of an hour of LibriSpeech."""


@dataclass(frozen=True)
class _Job:
    number: int
    items: tuple[Item, ...]


@dataclass(frozen=True)
class _Start:
    """What another process needs to become a worker; small, and travels."""

    reader: Reader
    source: CoderSource
    manifest: Manifest
    folder: Path

    def worker(self) -> _Worker:
        """Load the tokenizers."""
        return _Worker(self.reader, self.source.load(), self.manifest, self.folder)

    def maker(self) -> Callable[[int], None]:
        """What makes the shard of a number; lists the corpus once."""
        worker, items, size = self.worker(), self.reader.items(), self.manifest.shard_items

        def make(number: int) -> None:
            worker.run(_Job(number, tuple(items[number * size : (number + 1) * size])))

        return make


@dataclass(frozen=True)
class _Worker:
    """What a process needs for its jobs."""

    reader: Reader
    coder: Coder
    manifest: Manifest
    folder: Path

    def run(self, job: _Job) -> Summary:
        """Make one shard."""
        writer, problems = ShardWriter(self.manifest), list[Problem]()
        for record in read_records(self.reader, problems, job.items):
            try:
                writer.add(record, self.coder.encode(record))
            except EngineError as error:
                problems.append(Problem(record.name, str(error)))
        return writer.write(shard_path(self.folder, job.number), problems)


def prepare(
    reader: Reader,
    source: CoderSource,
    out: Path,
    *,
    processes: int = 1,
    shard_items: int = SHARD_ITEMS,
    ray: RayPlace | None = None,
    report: Callable[[str], None] = print,
) -> Summary:
    """Tokenise a corpus into `out/<source>`.

    Args:
        reader: The corpus.
        source: The tokenizers.
        out: Folder of all prepared corpora.
        processes: How many work at once; 1 works in this process.
        shard_items: Items per shard.
        ray: Work on Ray instead; then `out` must be seen by every machine.
        report: Receives the progress line after every shard.

    Returns:
        What all shards hold.

    Raises:
        DataError: If the corpus is empty, or the folder holds shards made in another way.
    """
    items = reader.items()
    if not items:
        raise DataError(f"The corpus {reader.source} has no items; choose its folder.")
    if len({item.name for item in items}) != len(items):
        raise DataError(f"The corpus {reader.source} lists an item twice; repair its list.")
    coder = source.load()
    manifest = Manifest(
        source=reader.source,
        tokenizers=coder.fingerprint,
        step_hz=coder.step_hz,
        audio_hz=coder.audio_hz,
        levels=coder.levels,
        items=_fingerprint(items),
        num_items=len(items),
        shard_items=shard_items,
    )
    folder = out / reader.source
    write_manifest(folder, manifest)
    for left in folder.glob("*.part"):
        left.unlink()
    total = Summary()
    jobs: list[_Job] = []
    for number in range(manifest.num_shards):
        path = shard_path(folder, number)
        if path.exists():
            total.add(read_summary(path))
        else:
            jobs.append(_Job(number, tuple(items[number * shard_items : (number + 1) * shard_items])))
    progress = _Progress(reader.source, manifest.num_shards, manifest.num_shards - len(jobs), total, report)
    start = _Start(reader, source, manifest, folder.resolve())
    if ray is not None and jobs:
        for number in run_on_ray(start.maker, [job.number for job in jobs], ray):
            progress.count(read_summary(shard_path(folder, number)))
        return total
    for done in _run(_Worker(reader, coder, manifest, folder), start, jobs, processes):
        progress.count(done)
    return total


def _run(worker: _Worker, start: _Start, jobs: Sequence[_Job], processes: int) -> Iterator[Summary]:
    """Run jobs here or in other processes; their results as they come."""
    if processes <= 1 or len(jobs) <= 1:
        yield from map(worker.run, jobs)
        return
    # Spawned, not forked: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(jobs)), context, _start_process, (start,)) as pool:
        waiting: set[Future[Summary]] = set()
        queue = iter(jobs)
        try:
            while True:
                # A few jobs more than processes: no queue of a million futures.
                while len(waiting) < 2 * processes and (job := next(queue, None)) is not None:
                    waiting.add(pool.submit(_run_job, job))
                if not waiting:
                    return
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_held: list[_Worker] = []
"""The worker of a spawned process."""


def _start_process(start: _Start) -> None:
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _held.append(start.worker())


def _leave_with_parent() -> None:
    """End this process when the one that started it is killed; a pool's processes would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run_job(job: _Job) -> Summary:
    return _held[0].run(job)


def _fingerprint(items: Sequence[Item]) -> str:
    return hashlib.sha256("\n".join(f"{item.name}\t{item.split}" for item in items).encode()).hexdigest()


class _Progress:
    """Adds up and says how far the run is."""

    def __init__(
        self, source: str, shards: int, already: int, total: Summary, report: Callable[[str], None]
    ) -> None:
        self.source, self.shards, self.total, self.report = source, shards, total, report
        self.already = self.done = already
        self.began = time.monotonic()
        self.before_s = total.motion_s + total.sound_s
        if already:
            report(f"{source}: {already} of {shards} shards are there already")

    def count(self, shard: Summary) -> None:
        """Add one shard and report."""
        self.total.add(shard)
        self.done += 1
        spent = max(time.monotonic() - self.began, 1e-6)
        left = spent / (self.done - self.already) * (self.shards - self.done)
        read_s = self.total.motion_s + self.total.sound_s - self.before_s
        self.report(
            f"{self.source}: {self.done} of {self.shards} shards, {self.total.records} records, "
            f"{len(self.total.problems)} left out, {self.total.motion_s / 3600:.2f} h motion, "
            f"{self.total.sound_s / 3600:.2f} h sound, {read_s / spent:.0f} s per second, "
            f"{left / 60:.1f} min to go"
        )
