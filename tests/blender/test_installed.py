# SPDX-License-Identifier: GPL-3.0-or-later
"""Installed from a zip: upgraded, disabled and enabled, two Blenders at once, and uninstalled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.blender.installed import NUM_PRESETS
from tests.blender.support import REPOSITORY, bpy

SHIPPED = ("blender_manifest.toml", "__init__.py", "LICENSE", "engine", "operators", "ui")
OFFLINE = ("data", "training", "evaluation")


def make_zip(path: Path, version: str) -> Path:
    """The extension without its model and character, which nothing here needs, as some version."""
    with zipfile.ZipFile(path, "w") as archive:
        for top in SHIPPED:
            place = REPOSITORY / top
            files = [place] if place.is_file() else sorted(place.rglob("*"))
            for file in files:
                parts = file.relative_to(REPOSITORY).parts
                if file.is_dir() or "__pycache__" in parts or (parts[0] == "engine" and parts[1] in OFFLINE):
                    continue
                data = file.read_bytes()
                if top == "blender_manifest.toml":
                    data = data.replace(b'\nversion = "', f'\nversion = "{version}" # "'.encode(), 1)
                archive.writestr("/".join(parts), data)
    return path


def start(step: str, archive: Path, resources: Path) -> subprocess.Popen[str]:
    """One Blender that does one step."""
    command = [sys.executable, "-m", "tests.blender.installed", step, str(archive)]
    environment = os.environ | {"BLENDER_USER_RESOURCES": str(resources)}
    return subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def found(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What it printed."""
    output, _ = process.communicate(timeout=120)
    lines = [line for line in output.splitlines() if line.startswith("FOUND ")]
    assert process.returncode == 0 and lines, output[-3000:]
    return json.loads(lines[-1].removeprefix("FOUND "))


@pytest.mark.skipif(
    bpy.app.version < (4, 3, 0),
    reason="the bpy module of 4.2 crashes where an extension is installed over another",
)
def test_from_the_first_installation_to_the_last_trace(tmp_path: Path) -> None:
    resources = tmp_path / "user"
    resources.mkdir()
    older, newer = make_zip(tmp_path / "a.zip", "0.0.1"), make_zip(tmp_path / "b.zip", "9.0.0")
    first = found(start("first", older, resources))
    assert first["version"] == "0.0.1" and first["device"] == "CPU" and first["memory"] == 321
    assert first["presets"] == {"rigs": ["My Rig"], "directions": ["My Words"]}
    assert first["pack"] == "# mine\n" and Path(first["here"]).is_relative_to(resources)

    upgraded = found(start("upgrade", newer, resources))
    assert upgraded == first | {"version": "9.0.0"}, "an upgrade lost something"

    reloaded = found(start("again", newer, resources))
    assert reloaded == upgraded | {"same": True}

    both = [start("presets_at_once", newer, resources) for _ in range(2)]
    assert [found(process) for process in both] == [{"whole": NUM_PRESETS, "keys": True}] * 2
    left = [path.name for path in resources.rglob("*.part")]
    assert not left, "something half was left"

    assert found(start("uninstall", newer, resources)) == {
        "left": [],
        "classes": [],
        "enabled": False,
        "scene": False,
        "path": [],
    }
