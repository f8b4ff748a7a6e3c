# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m engine batch`: its options, its progress and how it ends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from ..cluster import HERE, RayPlace
from ..errors import EngineError
from .report import PAGE
from .run import BatchOptions, Tally, run_batch

FAST_HELP = "the published model faster; some poses differ"


def add_batch(parser: argparse.ArgumentParser, pack: Path) -> None:
    """Add the options of `batch`.

    Args:
        parser: Of the command.
        pack: Model pack where none is named.
    """
    add_table(parser, pack, "")
    parser.add_argument("--processes", type=int, default=0, help="lines at once; default: as many as fit")
    parser.add_argument(
        "--ray",
        nargs="?",
        const=HERE,
        metavar="ADDRESS",
        help="work on a Ray cluster: auto, or its address; without one on this machine's own Ray",
    )


def add_table(parser: argparse.ArgumentParser, pack: Path, more: str) -> None:
    """Add what every batch is told.

    Args:
        parser: Of the command.
        pack: Model pack where none is named.
        more: Sentences about further columns.
    """
    parser.epilog = (
        "Columns of the table (CSV, UTF-8): audio, face, hands, upper, lower, emotion, seed, seconds, name. "
        f"A part without an instruction follows the sound. {more}"
    )
    parser.add_argument("table", type=Path, help="CSV file, one line of dialogue per row")
    parser.add_argument("--out", type=Path, required=True, help="folder for motions and the report")
    parser.add_argument("--resume", action="store_true", help="leave what an earlier run has finished")
    parser.add_argument("--pack", type=Path, default=pack)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--fast", action="store_true", help=FAST_HELP)


def batch(arguments: argparse.Namespace) -> int:
    """Run `batch`; 0 where every line was made, see `finish`."""
    processes = max(arguments.processes, 0)
    place = None if arguments.ray is None else RayPlace(arguments.ray, processes or 2)
    options = BatchOptions(
        arguments.pack, arguments.device, processes, arguments.resume, place, arguments.fast
    )
    return finish(arguments, lambda report: run_batch(arguments.table, arguments.out, options, report))


def finish(arguments: argparse.Namespace, run: Callable[[Callable[[Tally], None]], Tally]) -> int:
    """Run a batch in some way, show how far it is, and say how it ended.

    Args:
        arguments: As parsed.
        run: Runs it, given what to tell about every line.

    Returns:
        0 where every line was made, 1 where some or all were not, 130 where it was stopped.
    """
    try:
        tally = run(_show)
    except EngineError as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nStopped; --resume goes on, what there is stands in {arguments.out}", file=sys.stderr)
        return 130
    print(f"{tally.made} of {tally.total} lines made: {arguments.out / PAGE}")
    if tally.failed:
        print(f"{tally.failed} failed; the report says why.", file=sys.stderr)
    return int(tally.failed > 0)


def _show(tally: Tally) -> None:
    """One line of progress, over the one before where there is a terminal."""
    done = tally.made + tally.failed
    text = f"{done} of {tally.total} lines, {tally.failed} failed, {tally.seconds_left / 60:.1f} min left"
    if sys.stderr.isatty():
        print(f"\r{text}   ", end="" if done < tally.total else "\n", file=sys.stderr, flush=True)
    elif done == tally.total or done % max(1, tally.total // 20) == 0:
        print(text, file=sys.stderr, flush=True)
