# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder installed packages live in, and how a half installation is told from a whole one.

HOME/downloads/*.whl       what was fetched so far; a later try goes on from there
HOME/part/                 being unpacked
HOME/<lock>-<target>/      whole: renamed to this name when complete, with `complete.json` inside
"""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

from ..errors import InstallError
from .lock import Wheel, lock_name, this_target

COMPLETE = "complete.json"
DOWNLOADS, PART, PACKAGES = "downloads", "part", "packages"


def packages_folder(home: Path, wheels: tuple[Wheel, ...], target: str) -> Path:
    """Where the packages of these wheels are once they are whole."""
    return home / f"{lock_name(wheels)}-{target}" / PACKAGES


def is_installed(packages: Path, wheels: tuple[Wheel, ...]) -> bool:
    """Whether an installation reached its end and every package is still there; a few file look-ups."""
    try:
        noted = json.loads((packages.parent / COMPLETE).read_text("utf-8"))["packages"]
        records = [packages / str(name) / "RECORD" for name in noted]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return len(records) == len(wheels) and all(record.is_file() for record in records)


def damaged_files(packages: Path) -> list[str]:
    """Files that are missing or not as long as their wheel said."""
    damaged: list[str] = []
    for record in packages.glob("*.dist-info/RECORD"):
        with record.open(encoding="utf-8", newline="") as file:
            for name, _, size in csv.reader(file):
                path = packages / name
                whole = path.is_file() and (not size or path.stat().st_size == int(size))
                if ".data/" not in name and not whole:
                    damaged.append(name)
    return damaged


def installed_packages(home: Path, wheels: tuple[Wheel, ...]) -> Path | None:
    """The packages of this Python, or None while they are not installed as a whole."""
    packages = packages_folder(home, wheels, this_target())
    return packages if is_installed(packages, wheels) else None


def remove(path: Path) -> None:
    """Delete a folder that may or may not be there.

    Raises:
        InstallError: If the system does not let go of it.
    """
    if not path.exists():
        return
    try:
        shutil.rmtree(path)
    except OSError as error:
        raise InstallError(
            f"{error.filename or path} cannot be deleted: close every Blender that uses it and try again."
        ) from error


def remove_others(home: Path, keep: Path) -> None:
    """Delete what earlier versions and tries left, as far as nothing uses it."""
    for path in home.iterdir():
        if path.is_dir() and path != keep:
            shutil.rmtree(path, ignore_errors=True)
