# SPDX-License-Identifier: GPL-3.0-or-later
"""Installed from a zip: upgraded, disabled and enabled, two Blenders at once, and uninstalled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.blender.installed import NUM_PRESETS
from tests.blender.support import REPOSITORY

SHIPPED = ("blender_manifest.toml", "__init__.py", "LICENSE", "engine", "operators", "ui")
OFFLINE = ("data", "training", "evaluation")
FULL_ZIPS = sorted((REPOSITORY / "dist").glob("kinesics-*-linux-x64-py3.11-full.zip"))
"""What `make package` has left, if it was run."""
BLENDERS_OWN = (
    "bpy", "numpy", "numpy.libs", "requests", "urllib3", "certifi", "idna", "charset_normalizer", "zstandard",
)  # fmt: skip
"""The bpy module and what Blender brings beside it: all that a Python needs to be one."""


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


def start(
    step: str, archive: Path, resources: Path, python: str | Path = sys.executable
) -> subprocess.Popen[str]:
    """One Blender that does one step."""
    command = [str(python), "-m", "tests.blender.installed", step, str(archive)]
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
    output, _ = process.communicate(timeout=240)
    lines = [line for line in output.splitlines() if line.startswith("FOUND ")]
    assert process.returncode == 0 and lines, output[-3000:]
    return json.loads(lines[-1].removeprefix("FOUND "))


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


@pytest.mark.skipif(not FULL_ZIPS, reason="there is no full zip for this machine: run make package")
def test_the_full_zip_needs_nothing_but_blender(tmp_path: Path) -> None:
    bare, resources = tmp_path / "bare", tmp_path / "user"
    resources.mkdir()
    venv.create(bare, symlinks=True)
    packages, ours = next(bare.glob("lib/python3*/site-packages")), Path(np.__file__).parents[1]
    for name in BLENDERS_OWN:
        (packages / name).symlink_to(ours / name, target_is_directory=True)
    told = found(start("full", FULL_ZIPS[-1], resources, bare / "bin" / "python"))
    assert told["walked_m"] > 0.5 and not told["from elsewhere"]
