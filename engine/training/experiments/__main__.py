# SPDX-License-Identifier: GPL-3.0-or-later
"""The experiments from the command line; docs/experiments.md is written from what they leave.

python -m engine.training.experiments prepare --prepared build/data --pack packs/starter --out build/coded.npz
python -m engine.training.experiments run --coded build/coded.npz --out build/experiments --minutes 30
python -m engine.training.experiments report --out build/experiments --docs docs
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
    preparing = commands.add_parser("prepare", help="encode the prepared data into one small file")
    preparing.add_argument("--prepared", type=Path, default=Path("build/data"))
    preparing.add_argument("--transcripts", type=Path, help="table with the columns file and transcript")
    preparing.add_argument("--pack", type=Path, default=Path("packs/starter"))
    preparing.add_argument("--out", type=Path, default=Path("build/coded.npz"))
    running = commands.add_parser("run", help="train and measure all runs that are not done yet")
    running.add_argument("--coded", type=Path, default=Path("build/coded.npz"))
    running.add_argument("--pack", type=Path, default=Path("packs/starter"))
    running.add_argument("--recipe", default="experiments", help="folder below recipes/stages")
    running.add_argument("--out", type=Path, default=Path("build/experiments"))
    running.add_argument("--workers", type=int, default=4)
    running.add_argument("--minutes", type=float, default=0.0, help="hard budget; 0 for none")
    running.add_argument("--seeds", type=int, default=3)
    running.add_argument("--held-batches", type=int, default=4, help="held-out batches per task")
    running.add_argument("--resume", action="store_true", help="keep earlier results and skip their runs")
    reporting = commands.add_parser("report", help="tables and plots from the results")
    reporting.add_argument("--out", type=Path, default=Path("build/experiments"))
    reporting.add_argument("--docs", type=Path, default=Path("docs"))
    given = parser.parse_args(arguments)
    try:
        if given.command == "prepare":
            print(prepare(given.prepared, given.pack, given.transcripts, given.out), "sequences")
        elif given.command == "run":
            settings = Settings(given.coded, given.pack, given.recipe, given.out, given.held_batches)
            budget = Budget(given.workers, given.minutes, given.resume)
            done, left = run_all(settings, plan(range(given.seeds)), budget)
            print(f"{done} runs are done, {left} are left", flush=True)
        else:
            write_report(given.out, given.docs)
    except EngineError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
