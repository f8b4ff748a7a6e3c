# SPDX-License-Identifier: GPL-3.0-or-later
"""A pool of processes that takes runs in order, each after the one whose weights it begins with."""

from __future__ import annotations

import json
import multiprocessing
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...errors import EngineError
from .runs import Bench, Run, Settings, train_run

RESULTS = "results.jsonl"


@dataclass(frozen=True)
class Budget:
    """What the runs may use.

    Attributes:
        workers: Processes, each with one thread.
        minutes: No run begins that would not end by then, as long as runs of its stage took; 0 for no limit.
        resume: Whether earlier results stay and their runs are skipped.
    """

    workers: int = 4
    minutes: float = 0.0
    resume: bool = False


def read_results(folder: Path) -> list[dict[str, Any]]:
    """Lines of the results; one that was cut off counts as never written."""
    path = folder / RESULTS
    lines: list[dict[str, Any]] = []
    for text in path.read_text("utf-8").splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


def run_all(settings: Settings, runs: Sequence[Run], budget: Budget) -> tuple[int, int]:
    """Train all runs that fit the budget.

    Args:
        settings: What they share.
        runs: In order.
        budget: Processes and minutes.

    Returns:
        How many runs have a result now, and how many have none.

    Raises:
        EngineError: If results are there and shall not be kept on with.
    """
    began = time.monotonic()
    results = read_results(settings.out)
    if results and not budget.resume:
        raise EngineError(
            f"{settings.out.name} holds results; go on with --resume, or choose another folder."
        )
    settings.out.mkdir(parents=True, exist_ok=True)
    _ = Bench(settings).sentences  # written once, before the processes read it
    names = {run.name for run in runs}
    done = {line["run"] for line in results} & names
    waiting = [run for run in runs if run.name not in done]
    spent: dict[str, list[float]] = {}
    going: dict[Future[dict[str, Any]], Run] = {}
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(budget.workers, context, _begin, (settings,)) as pool,
        (settings.out / RESULTS).open("a", encoding="utf-8") as file,
    ):
        while True:
            left_s = 60.0 * budget.minutes - (time.monotonic() - began) if budget.minutes else float("inf")
            while len(going) < budget.workers and (run := _next(waiting, done, spent, left_s)):
                waiting.remove(run)
                going[pool.submit(_work, run)] = run
            if not going:
                break
            for future in wait(going, return_when=FIRST_COMPLETED).done:
                run, line = going.pop(future), future.result()
                file.write(json.dumps(line) + "\n")
                file.flush()
                done.add(run.name)
                spent.setdefault(run.stage, []).append(float(line["seconds"]))
                print(f"{time.monotonic() - began:7.1f} s  {run.name}  {line['seconds']:.1f} s", flush=True)
    return len(done), len(names - done)


def _next(waiting: Sequence[Run], done: set[str], spent: dict[str, list[float]], left_s: float) -> Run | None:
    """The first run that can begin and would end in time."""
    for run in waiting:
        usual = statistics.median(spent.get(run.stage) or [0.0])
        if (run.after is None or run.after in done) and usual < left_s:
            return run
    return None


_benches: list[Bench] = []
"""The process' own, read when it begins."""


def _begin(settings: Settings) -> None:
    torch.set_num_threads(1)
    _benches.append(Bench(settings))


def _work(run: Run) -> dict[str, Any]:
    return train_run(_benches[0], run)
