# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines shared out among processes of this machine, each with the model in memory and one core or more.

A small model leaves cores idle that one line alone cannot use; whole lines side by side use them, and a line
comes out the same to the byte, whichever process makes it.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from ..memory import BYTES_PER_VALUE, free_memory_mb
from ..specs import MotionEngine
from .records import LineResult, store
from .table import Line
from .work import Job, failed, make_line

PROCESS_MB = 550
"""Memory to reckon with per process beside its model: Python, torch and a line of ten minutes
(`benchmarks/memory.py`)."""

AHEAD = 2
"""Lines handed out per process, so that none waits for its next one."""

STOPS = 2
"""So often may the processes stop over the same lines before one of these is given up."""

_MOST_MB = 1e6
_engine: MotionEngine | None = None


def num_processes(wanted: int, lines: int, device: str, num_values: int) -> int:
    """How many processes to use.

    Args:
        wanted: What was asked for, 0 for as many as fit.
        lines: To be made.
        device: "cpu" or "cuda"; a GPU serves one process.
        num_values: Numbers in the model's weights, of which every process has its own.
    """
    each_mb = PROCESS_MB + num_values * BYTES_PER_VALUE / 1e6
    fitting = min(os.cpu_count() or 1, int(min(free_memory_mb(), _MOST_MB) // each_mb))
    return max(1, min(wanted or (1 if device == "cuda" else fitting), lines))


def run_lines(lines: Sequence[Line], job: Job, processes: int) -> Iterator[LineResult]:
    """Make lines; yields what became of each as it is finished.

    Args:
        lines: To be made.
        job: What they share.
        processes: How many work at once.

    Raises:
        EngineError: If the model pack cannot be loaded or the folder cannot be written.
    """
    left = list(lines)
    stops = 0
    while left:
        before = len(left)
        try:
            for result in _run(left, job, processes):
                left = [line for line in left if line.name != result.name]
                yield result
        except BrokenProcessPool:
            stops = 1 if len(left) < before else stops + 1
            if stops >= STOPS:
                processes = 1  # alone, so that it is plain which line it is
            if stops > STOPS:
                line = left.pop(0)
                result = failed(
                    line, "Its process was stopped, perhaps for want of memory; make it in shorter pieces."
                )
                store(result, job.out)
                yield result


def _run(lines: Sequence[Line], job: Job, processes: int) -> Iterator[LineResult]:
    """The same, until a process dies."""
    waiting = iter(lines)
    threads = max(1, (os.cpu_count() or 1) // processes)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context)
    running: set[Future[LineResult]] = set()
    try:
        while True:
            while len(running) < AHEAD * processes and (line := next(waiting, None)) is not None:
                running.add(pool.submit(make_in_process, line, job, threads))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for finished in done:
                yield finished.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def make_in_process(line: Line, job: Job, threads: int) -> LineResult:
    """Make a line in a process, which loads the model with its first one.

    ONNX Runtime gets the threads, as its results do not depend on how many they are. Those of torch do, in
    the last bit, which can tip a draw; it keeps to one, so a line is the same however many are made at once.
    """
    global _engine
    if _engine is None:
        import torch

        from ..pipeline import load_engine

        torch.set_num_threads(threads)
        _engine = load_engine(job.pack, job.device, fast=job.fast)
        torch.set_num_threads(1)
    return make_line(_engine, line, job)
