# SPDX-License-Identifier: GPL-3.0-or-later
"""The extension's zip in real Blender windows, through the window harness (root and debootstrap needed).

The harness is the folder `blender-gui` in $KINESICS_SHARED or in `shared` beside the checkout. Chroots are
made on first use in build/ (about two minutes and 3 GB each), or taken from $CHROOT43 and $CHROOT5.
Screenshots stay in build/gui.
"""

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
STEPS = Path(__file__).parent / "steps.py"
SUITES = {"4.3": ("CHROOT43", "trixie"), "5": ("CHROOT5", "sid")}
LIMIT_S = 900
BLOCK_S = 0.05
"""Longest the main thread may be away while a motion is being made."""


pytestmark = pytest.mark.timeout(2 * LIMIT_S)
"""A visit with the making of its chroot takes longer than a test may elsewhere."""


@pytest.fixture(scope="session")
def harness(shared_dir: Path) -> Path:
    """Folder with setup.sh and run.sh."""
    folder = shared_dir / "blender-gui"
    if not (folder / "run.sh").exists():
        pytest.skip("needs the window harness blender-gui in the shared folder")
    if os.geteuid() != 0:
        pytest.skip("the window harness needs root")
    if shutil.which("debootstrap") is None:
        pytest.skip("needs debootstrap: apt-get install debootstrap")
    return folder


@pytest.fixture(scope="session")
def extension(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built zip."""
    out = tmp_path_factory.mktemp("package")
    subprocess.run([sys.executable, "tools/package.py", "--out", str(out)], cwd=ROOT, check=True)
    return next(out.glob("*.zip"))


@pytest.fixture(scope="session", params=list(SUITES))
def visit(request: pytest.FixtureRequest, harness: Path, extension: Path) -> dict[str, Any]:
    """Results of one run of steps.py in one Blender."""
    variable, suite = SUITES[request.param]
    chroot = Path(os.environ.get(variable) or ROOT / "build" / f"chroot-{request.param}")
    if not (chroot / "usr/bin/blender").exists():
        setting = {**os.environ, "TORCH": "1", "PIP": "tokenizers safetensors soundfile scipy"}
        subprocess.run([str(harness / "setup.sh"), str(chroot), suite], env=setting, check=True)
    out = ROOT / "build" / "gui" / request.param
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    shutil.copy(ROOT / "examples" / "hello.flac", out / "speech.flac")
    command = [
        str(harness / "run.sh"),
        str(chroot),
        str(extension),
        str(STEPS),
        str(out / "last.png"),
        str(LIMIT_S),
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S + 120, check=False)
    result = out / "result.json"
    if not result.exists():
        pytest.fail(
            f"nothing was recorded (status {run.returncode}):\n{run.stdout[-4000:]}{run.stderr[-1000:]}"
        )
    return {**json.loads(result.read_text()), "status": run.returncode, "output": run.stdout[-4000:]}


def test_the_visit_reached_its_end(visit: dict[str, Any]) -> None:
    assert visit["status"] == 0 and visit.get("finished"), visit["output"]


def test_the_tab_opens_without_torch(visit: dict[str, Any]) -> None:
    assert visit["tab"] and not visit["torch_at_start"]


def test_add_character_makes_the_whole_character(visit: dict[str, Any]) -> None:
    assert visit["armatures"] == 1
    assert visit["bones"] == 55
    assert visit["shape_keys"] >= 53  # the basis and 52 ARKit shapes


def test_generate_runs_in_the_background_and_writes(visit: dict[str, Any]) -> None:
    assert visit["first"] == ["RUNNING_MODAL"]
    assert visit["keys"] > 1000


def test_the_window_stays_alive_meanwhile(visit: dict[str, Any]) -> None:
    """Software drawing on shared cores takes longer than 50 ms at times by itself, so most looks count."""
    assert visit["third_run"]["median_gap_s"] < BLOCK_S
    assert visit["third_run"]["share_over_50ms"] < 0.2


def test_one_undo_takes_the_result_back(visit: dict[str, Any]) -> None:
    assert visit["keys_after_undo"] == 0
    assert visit["armatures_after_undo"] == 1


def test_esc_stops_and_changes_nothing(visit: dict[str, Any]) -> None:
    assert visit["ran_before_esc"]
    assert visit["esc_s"] < 1.0  # 0.3 s of it may be the job; the rest is the simulated key press
    assert visit["keys_changed_by_esc"] == 0


def test_another_generate_works_as_well(visit: dict[str, Any]) -> None:
    assert visit["third"] == ["RUNNING_MODAL"]
    assert visit["keys_third"] >= visit["keys"]
