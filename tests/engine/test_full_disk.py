# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that is really full and one that is really read-only, see `tests.full_disk`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENTER = ["unshare", "--mount", "--propagation", "private"]
WRITERS = ("motion", "face", "pack", "import", "install", "batch")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What every writer said on both disks."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("mounting a small disk needs Linux, root and unshare")
    if subprocess.run([*ENTER, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody mount a disk")
    command = [*ENTER, sys.executable, "-m", "tests.full_disk", str(tmp_path_factory.mktemp("disks"))]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", WRITERS)
def test_on_a_full_disk_nothing_is_lost(told: dict[str, Any], name: str) -> None:
    found = told[f"{name} full"]
    assert any(words in found["said"] for words in ("disk is full", "no room", "make room")), found["said"]
    new = [file for file in found["new"] if not file.startswith("out/") and file != "home/lock"]
    assert found["kept"] and not new


@pytest.mark.parametrize("name", WRITERS)
def test_on_a_read_only_disk_the_place_is_named(told: dict[str, Any], name: str) -> None:
    found = told[f"{name} closed"]
    assert "closed" in found["said"], found["said"]
    assert any(words in found["said"] for words in ("write-protected", "make that folder writable")), found[
        "said"
    ]
    assert found["kept"] and not found["new"]
