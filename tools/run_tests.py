# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the checks of this repository by name, all of them even when one fails, and count them.

    python tools/run_tests.py lint types engine blender
    python tools/run_tests.py --lanes 2 blender-4.2.23 blender-5.0.1    in .venv-4.2.23 and .venv-5.0.1

With lanes, that many checks run side by side, with one thread each, and each is shown when it ends. The last
line counts over all of them, as pytest does.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "build" / "reports"
TIMEOUT_S = {"lint": 120, "types": 900, "engine": 1200, "blender": 900, "gui": 3000}
"""Longest run of each kind of check; Blender 4.5 can hang while leaving, which must not hang the caller."""


@dataclass(frozen=True)
class Outcome:
    """Counts of one check.

    Attributes:
        name: The check.
        passed: Tests that passed; 1 for lint or types without findings.
        failed: Tests that failed or could not run.
        skipped: Tests that said why they did not run.
        wall_s: Wall-clock seconds.
    """

    name: str
    passed: int
    failed: int
    skipped: int
    wall_s: float


class Check:
    """One check: its commands, one after another, their output shown at once or kept until the end."""

    running: ClassVar[dict[int, subprocess.Popen[bytes]]] = {}
    """Commands of all checks that have not ended, by process."""

    def __init__(self, name: str, aside: bool) -> None:
        """
        Args:
            name: One of `TIMEOUT_S`, with a hyphen and a Blender version where its environment is meant.
            aside: One thread, and the output into build/reports until the check has ended.
        """
        self.name, self.aside = name, aside
        self.kind, _, version = name.partition("-")
        self.python = f".venv-{version}/bin/python" if version else sys.executable
        self.log, self.report = REPORTS / f"{name}.log", REPORTS / f"{name}.xml"

    def run(self) -> Outcome:
        """Run it and count; its output is shown by the time this returns."""
        start = time.monotonic()
        self.log.write_text(f"\n== {self.name}\n")
        if not self.aside:
            print(self.log.read_text(), end="", flush=True)
        if self.kind == "lint":
            counts = self._clean(["-m", "ruff", "check", "."])
        elif self.kind == "types":
            standard = ["-m", "basedpyright", "--level", "error"]
            counts = self._clean(standard, [*standard, "-p", "tools/pyright-strict.json"])
        else:
            counts = self._tests()
        if self.aside:
            print(self.log.read_text(errors="replace"), end="", flush=True)
        return Outcome(self.name, *counts, wall_s=time.monotonic() - start)

    def _clean(self, *commands: list[str]) -> tuple[int, int, int]:
        failed = int(any([self._call(command) for command in commands]))
        return 1 - failed, failed, 0

    def _tests(self) -> tuple[int, int, int]:
        """pytest on one folder; counts come from its XML report, so that a crash is a failure."""
        self.report.unlink(missing_ok=True)
        code = self._call(["-m", "pytest", f"tests/{self.kind}", "-q", f"--junitxml={self.report}"])
        if not self.report.exists():
            self._say(f"pytest ended with {code} and left no report")
            return 0, 1, 0
        suite = next(ElementTree.parse(self.report).iter("testsuite"))
        total, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        return max(total - skipped - failed, 0), max(failed, int(code != 0)), skipped

    def _call(self, arguments: list[str]) -> int:
        """Run Python in the repository, in a process group that is ended when time runs out."""
        if not Path(ROOT, self.python).exists():
            self._say(f"no Python at {self.python}: run make venvs-matrix")
            return 127
        self._say(" ".join(["$", self.python, *arguments]))
        environment = {**os.environ, "OMP_NUM_THREADS": "1"} if self.aside else None
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [self.python, *arguments],
                cwd=ROOT,
                start_new_session=True,
                env=environment,
                stdout=log if self.aside else None,
                stderr=subprocess.STDOUT if self.aside else None,
            )
        self.running[process.pid] = process
        try:
            return process.wait(timeout=TIMEOUT_S[self.kind])
        except subprocess.TimeoutExpired:
            self._say(f"stopped after {TIMEOUT_S[self.kind]} s without an end")
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return 124
        finally:
            self.running.pop(process.pid, None)

    def _say(self, line: str) -> None:
        if not self.aside:
            print(line, flush=True)
            return
        with self.log.open("a") as log:
            log.write(line + "\n")


def run_all(names: list[str], lanes: int) -> list[Outcome]:
    """Run checks, `lanes` at a time; all end with this process."""
    checks = [Check(name, aside=lanes > 1) for name in names]
    pool = ThreadPoolExecutor(lanes)
    try:
        return list(pool.map(Check.run, checks))
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list(Check.running.values()):
            os.killpg(process.pid, signal.SIGKILL)
        raise


def summary(outcomes: list[Outcome], wall_s: float) -> str:
    """The closing line: N passed, M failed, K skipped."""
    passed, failed, skipped = (
        sum(getattr(outcome, key) for outcome in outcomes) for key in ("passed", "failed", "skipped")
    )
    return f"{passed} passed, {failed} failed, {skipped} skipped in {wall_s:.1f}s"


def main() -> int:
    """Run the named checks; 0 only when nothing failed."""
    parser = argparse.ArgumentParser(description="Run the checks of this repository.")
    parser.add_argument("checks", nargs="+", metavar="CHECK", help=", ".join(TIMEOUT_S))
    parser.add_argument("--lanes", type=int, default=1, metavar="N", help="checks that run side by side")
    arguments = parser.parse_args()
    if unknown := {name for name in arguments.checks if name.partition("-")[0] not in TIMEOUT_S}:
        parser.error(f"no such check: {', '.join(sorted(unknown))}")
    REPORTS.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    outcomes = run_all(arguments.checks, arguments.lanes)
    print()
    for outcome in outcomes:
        print(f"{outcome.name:16} {summary([outcome], outcome.wall_s)}")
    print(summary(outcomes, time.monotonic() - start), flush=True)
    return int(any(outcome.failed for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
