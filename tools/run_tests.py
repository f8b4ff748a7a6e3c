# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the checks of this repository by name, all of them even when one fails, and count them.

    python tools/run_tests.py lint types engine blender
    python tools/run_tests.py blender --python .venv-4.2/bin/python --label 4.2
    python tools/run_tests.py --total lint types engine    one pytest-like line over earlier runs

Each run leaves its counts in build/reports, which `--total` adds up; a named run that left none has failed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "build" / "reports"
TIMEOUT_S = {"lint": 120, "types": 900, "engine": 1200, "blender": 900, "gui": 3000}
"""Longest run of each check; Blender 4.5 can hang while leaving, which must not hang the caller."""


@dataclass(frozen=True)
class Outcome:
    """Counts of one check.

    Attributes:
        name: The check, with its label where it has one.
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


def run(command: list[str], timeout_s: float) -> int:
    """Run a command in the repository, in a process group that is ended when time runs out."""
    print("$", " ".join(command), flush=True)
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        return process.wait(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        print(f"stopped after {timeout_s:.0f} s without an end", flush=True)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return 124
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGKILL)
        raise


def check_lint(python: str) -> int:
    """ruff over everything committed."""
    return run([python, "-m", "ruff", "check", "."], TIMEOUT_S["lint"])


def check_types(python: str) -> int:
    """The standard rules everywhere, then the strict ones on the engine and the job."""
    standard = run([python, "-m", "basedpyright", "--level", "error"], TIMEOUT_S["types"])
    strict = run(
        [python, "-m", "basedpyright", "--level", "error", "-p", "tools/pyright-strict.json"],
        TIMEOUT_S["types"],
    )
    return standard or strict


def check_pytest(python: str, folder: str, report: Path, timeout_s: float) -> tuple[int, int, int]:
    """Run pytest on one folder; counts come from its XML report, so that a crash is a failure.

    Returns:
        Passed, failed and skipped tests.
    """
    report.unlink(missing_ok=True)
    if not Path(ROOT, python).exists():
        print(f"{folder}: no Python at {python}")
        return 0, 1, 0
    code = run([python, "-m", "pytest", folder, "-q", f"--junitxml={report}"], timeout_s)
    if code == 5:  # pytest: nothing collected
        print(f"{folder} holds no tests")
    if not report.exists():
        print(f"{folder}: pytest ended with {code} and left no report")
        return 0, 1, 0
    suite = next(ElementTree.parse(report).iter("testsuite"))
    total, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    passed = max(total - skipped - failed, 0)
    return passed, max(failed, int(code != 0)), skipped


def check(name: str, python: str, label: str) -> Outcome:
    """Run one check and keep its counts."""
    start = time.monotonic()
    full_name = f"{name}-{label}" if label else name
    print(f"\n== {full_name}", flush=True)
    if name in ("lint", "types"):
        failed = int((check_lint if name == "lint" else check_types)(python) != 0)
        counts = (1 - failed, failed, 0)
    else:
        report = REPORTS / f"{full_name}.xml"
        counts = check_pytest(python, f"tests/{name}", report, TIMEOUT_S[name])
    outcome = Outcome(full_name, *counts, wall_s=round(time.monotonic() - start, 1))
    (REPORTS / f"{full_name}.json").write_text(json.dumps(asdict(outcome)) + "\n")
    return outcome


def earlier_outcome(name: str) -> Outcome:
    """Counts an earlier run left; a run without any has failed."""
    path = REPORTS / f"{name}.json"
    if not path.exists():
        return Outcome(name, 0, 1, 0, 0.0)
    return Outcome(**json.loads(path.read_text()))


def summary(outcomes: list[Outcome]) -> str:
    """The closing line: N passed, M failed, K skipped."""
    passed, failed, skipped = (
        sum(getattr(outcome, key) for outcome in outcomes) for key in ("passed", "failed", "skipped")
    )
    wall_s = sum(outcome.wall_s for outcome in outcomes)
    return f"{passed} passed, {failed} failed, {skipped} skipped in {wall_s:.1f}s"


def main() -> int:
    """Run the named checks, or add up earlier ones; 0 only when nothing failed."""
    parser = argparse.ArgumentParser(description="Run the checks of this repository.")
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=", ".join(TIMEOUT_S))
    parser.add_argument("--python", default=sys.executable, help="interpreter that runs them")
    parser.add_argument("--label", default="", help="told apart by this in the report")
    parser.add_argument("--total", nargs="+", metavar="RUN", help="add up these earlier runs")
    arguments = parser.parse_args()
    if unknown := set(arguments.checks) - set(TIMEOUT_S):
        parser.error(f"no such check: {', '.join(sorted(unknown))}")
    REPORTS.mkdir(parents=True, exist_ok=True)
    if arguments.total:
        outcomes = [earlier_outcome(name) for name in arguments.total]
    else:
        outcomes = [check(name, arguments.python, arguments.label) for name in arguments.checks]
        print()
        for outcome in outcomes:
            print(f"{outcome.name:16} {summary([outcome])}")
    print(summary(outcomes), flush=True)
    return int(any(outcome.failed for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
