# SPDX-License-Identifier: GPL-3.0-or-later
"""The experiments from the command line; docs/experiments.md is written from what they leave.

python -m engine.training.experiments all --recipe experiments-cpu --workers 2

or its three steps one by one, `prepare`, `run` and `report`: the runs can then be on another machine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ...errors import EngineError
from .coded import prepare
from .queue import Budget, run_all
from .report import write_report
from .runs import Settings, plan


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 1 after a problem, which is printed."""
    parser = argparse.ArgumentParser("python -m engine.training.experiments", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    shared, preparing, running, reporting = (argparse.ArgumentParser(add_help=False) for _ in range(4))
    shared.add_argument(
        "--coded", type=Path, default=Path("build/coded.npz"), help="the encoded data, one file"
    )
    shared.add_argument("--pack", type=Path, default=Path("packs/starter"))
    shared.add_argument("--out", type=Path, default=Path("build/experiments"), help="folder of the runs")
    preparing.add_argument("--prepared", type=Path, default=Path("build/data"))
    preparing.add_argument("--transcripts", type=Path, help="table with the columns file and transcript")
    running.add_argument("--recipe", default="experiments", help="folder below recipes/stages")
    running.add_argument("--workers", type=int, default=4)
    running.add_argument("--minutes", type=float, default=0.0, help="hard budget; 0 for none")
    running.add_argument("--seeds", type=int, default=3)
    running.add_argument("--held-batches", type=int, default=4, help="held-out batches per task")
    running.add_argument("--resume", action="store_true", help="keep earlier results and skip their runs")
    reporting.add_argument("--docs", type=Path, default=Path("docs"))
    whole = [shared, preparing, running, reporting]
    commands.add_parser("all", parents=whole, help="the three steps, one after the other")
    commands.add_parser("prepare", parents=whole[:2], help="encode the prepared data into one small file")
    commands.add_parser("run", parents=[shared, running], help="train and measure all runs that are not done")
    commands.add_parser("report", parents=[shared, reporting], help="tables and plots from the results")
    given = parser.parse_args(arguments)
    try:
        if given.command in ("all", "prepare"):
            print(
                prepare(given.prepared, given.pack, given.transcripts, given.coded), "sequences", flush=True
            )
        if given.command in ("all", "run"):
            settings = Settings(given.coded, given.pack, given.recipe, given.out, given.held_batches)
            budget = Budget(given.workers, given.minutes, given.resume)
            done, left = run_all(settings, plan(range(given.seeds)), budget)
            print(f"{done} runs are done, {left} are left", flush=True)
        if given.command in ("all", "report"):
            write_report(given.out, given.docs)
    except EngineError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
