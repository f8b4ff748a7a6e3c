# SPDX-License-Identifier: GPL-3.0-or-later
"""A run over a corpus that makes it into shards: here, in several processes, or on Ray.

Every shard is a job of its own, and what a worker does with its items is the caller's (`ShardWorker`). Shards
that exist are not made again, so a run that was killed goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np
import torch

from ..cluster import RayPlace
from ..errors import DataError
from .progress import Progress
from .ray_runner import run_on_ray
from .readers.base import Item, Reader
from .shards import Summary, read_summary, shard_path

POLL_S = 0.2
"""Seconds between two looks at how many items other processes have done."""


class ShardWorker(Protocol):
    """What one process holds to make shards, such as tokenizers."""

    def make(self, items: Iterable[Item], path: Path) -> Summary:
        """Read items one after the other and write their shard."""
        ...


class ShardTask(Protocol):
    """What is to be made of a corpus; small, and travels to other processes."""

    @property
    def reader(self) -> Reader:
        """The corpus."""
        ...

    def worker(self) -> ShardWorker:
        """Load what a process needs."""
        ...


@dataclass(frozen=True)
class RunOptions:
    """How a run works.

    Attributes:
        processes: How many work at once; 1 works in this process.
        ray: Work on Ray instead; then the folder of the shards must be seen by every machine.
        stream: Where the progress bar goes; None shows none.
    """

    processes: int = 1
    ray: RayPlace | None = None
    stream: TextIO | None = None


@dataclass(frozen=True)
class _Job:
    number: int
    items: Sequence[Item]
    path: Path


@dataclass(frozen=True)
class _Corpus:
    """The jobs of a corpus; without its list of items, which every machine reads for itself."""

    task: ShardTask
    folder: Path
    shard_items: int

    def job(self, number: int, items: Sequence[Item]) -> _Job:
        """The job of a number, given all items."""
        size = self.shard_items
        return _Job(number, items[number * size : (number + 1) * size], shard_path(self.folder, number))

    def maker(self) -> Callable[[int], None]:
        """What makes the shard of a number; lists the corpus once."""
        worker, items = self.task.worker(), self.task.reader.items()

        def make(number: int) -> None:
            job = self.job(number, items)
            worker.make(job.items, job.path)

        return make


def list_items(reader: Reader) -> tuple[list[Item], str]:
    """A corpus' items, and a hash of their list.

    Raises:
        DataError: If there are none, or one is listed twice.
    """
    items = reader.items()
    if not items:
        raise DataError(f"The corpus {reader.source} has no items; choose its folder.")
    if len({item.name for item in items}) != len(items):
        raise DataError(f"The corpus {reader.source} lists an item twice; repair its list.")
    lines = "\n".join(f"{item.name}\t{item.split}" for item in items)
    return items, hashlib.sha256(lines.encode()).hexdigest()


def make_shards(
    task: ShardTask,
    folder: Path,
    items: Sequence[Item],
    shard_items: int,
    options: RunOptions,
    worker: ShardWorker | None = None,
) -> Summary:
    """Make the shards of a corpus that are not there yet.

    Args:
        task: What is made of it.
        folder: Folder of its shards.
        items: All its items.
        shard_items: Items per shard.
        options: How to work.
        worker: A worker of the task that is loaded already, for work in this process.

    Returns:
        What all shards hold.
    """
    for left in folder.glob("*.part"):
        left.unlink()
    corpus = _Corpus(task, folder.resolve(), shard_items)
    total, jobs = Summary(), list[_Job]()
    num_shards = -(-len(items) // shard_items)
    for number in range(num_shards):
        job = corpus.job(number, items)
        if job.path.exists():
            total.add(read_summary(job.path))
        else:
            jobs.append(job)
    progress = Progress(
        task.reader.source,
        len(items),
        num_shards,
        options.stream,
        total=total,
        done_items=len(items) - sum(len(job.items) for job in jobs),
        done_shards=num_shards - len(jobs),
    )
    with progress:
        for shard in _run(corpus, jobs, options, worker, progress.advance):
            progress.finish(shard)
    return total


def _run(
    corpus: _Corpus,
    jobs: Sequence[_Job],
    options: RunOptions,
    worker: ShardWorker | None,
    advance: Callable[[int], None],
) -> Iterator[Summary]:
    """What the jobs' shards hold, as they come; `advance` gets the number of items done meanwhile."""
    if options.ray is not None and jobs:
        by_number = {job.number: job for job in jobs}
        for number in run_on_ray(corpus.maker, list(by_number), options.ray):
            advance(len(by_number[number].items))
            yield read_summary(by_number[number].path)
    elif options.processes > 1 and len(jobs) > 1:
        yield from _in_processes(corpus.task, jobs, options.processes, advance)
    elif jobs:
        worker = worker or corpus.task.worker()
        for job in jobs:
            yield worker.make(_counted(job.items, lambda: advance(1)), job.path)


def _in_processes(
    task: ShardTask, jobs: Sequence[_Job], processes: int, advance: Callable[[int], None]
) -> Iterator[Summary]:
    # Spawned, not forked: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    # Items done of every job; each count is written by one process only, so nothing needs to be locked.
    counts = context.RawArray("q", len(jobs))
    seen = 0
    with ProcessPoolExecutor(min(processes, len(jobs)), context, _start_process, (task, counts)) as pool:
        waiting: set[Future[Summary]] = set()
        queue = iter(enumerate(jobs))
        try:
            while True:
                # A few jobs more than processes: no queue of a million futures.
                while len(waiting) < 2 * processes and (entry := next(queue, None)) is not None:
                    waiting.add(pool.submit(_run_job, *entry))
                if not waiting:
                    return
                done, waiting = wait(waiting, POLL_S, FIRST_COMPLETED)
                now = int(np.frombuffer(counts, np.int64).sum())
                advance(now - seen)
                seen = now
                for future in done:
                    yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_held: list[tuple[ShardWorker, Any]] = []
"""The worker of a spawned process, and the counts it writes to."""


def _start_process(task: ShardTask, counts: Any) -> None:
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _held.append((task.worker(), counts))


def _leave_with_parent() -> None:
    """End this process when the one that started it is killed; a pool's processes would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run_job(place: int, job: _Job) -> Summary:
    worker, counts = _held[0]

    def count() -> None:
        counts[place] += 1

    return worker.make(_counted(job.items, count), job.path)


def _counted(items: Iterable[Item], count: Callable[[], None]) -> Iterator[Item]:
    """The items; each is counted when the next is asked for."""
    for item in items:
        yield item
        count()
