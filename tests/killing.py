# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills a command while it works, as a machine that goes down would."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path


def kill_when(ready: Callable[[], bool], command: Sequence[str], repository: Path) -> None:
    """Run a command until something is so, kill it, and wait until its own processes are gone too."""
    run = subprocess.Popen(command, cwd=repository, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not ready():
        assert run.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    workers = _children(run.pid)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    until = time.monotonic() + 60
    while any(_state(pid) != "Z" for pid in workers):
        assert time.monotonic() < until, "the killed run left processes behind"
        time.sleep(0.1)


def _children(pid: int) -> list[int]:
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in listing.read_text().split()] if listing.exists() else []


def _state(pid: int) -> str:
    """A process' state letter; "Z" once it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"
