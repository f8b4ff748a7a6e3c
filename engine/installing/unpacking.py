# SPDX-License-Identifier: GPL-3.0-or-later
"""Wheels checked against their hashes, and unpacked as PEP 427 lays them out."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from ..errors import InstallError
from .lock import Wheel, file_sha256

SCHEMES = ("purelib", "platlib")
"""Folders in a wheel's `.data` that belong beside its packages; scripts, headers and manuals are left out."""
SLACK_BYTES = 64 << 20
"""Room kept free beside what the files need."""


def check_wheel(path: Path, wheel: Wheel) -> None:
    """Compare a file with its entry in the list, the size first.

    Raises:
        InstallError: If it is another file.
    """
    if path.stat().st_size != wheel.size or file_sha256(path) != wheel.sha256:
        raise InstallError(
            f"{wheel.file} is not the file Kinesics was made for, it may be damaged: delete it."
        )


def check_space(folder: Path, needed: int) -> None:
    """Find out before anything is written whether it fits.

    Raises:
        InstallError: If the disk is too full.
    """
    free = shutil.disk_usage(folder).free
    if free < needed + SLACK_BYTES:
        raise InstallError(
            f"The engine needs {gigabytes(needed)} in {folder}, where {gigabytes(free)} are free: "
            "make room and try again; what was downloaded is kept."
        )


def gigabytes(size: int) -> str:
    """A size for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def unpack(path: Path, wheel: Wheel, packages: Path, advance: Callable[[int], None]) -> str:
    """Write a checked wheel's files below a folder.

    Args:
        path: The wheel.
        wheel: Its entry in the list.
        packages: Folder on Python's path to be.
        advance: Told the bytes of every file written.

    Returns:
        Name of its `.dist-info` folder.

    Raises:
        InstallError: If it holds more than is listed, or a name that leads out of the folder.
    """
    with zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        if sum(info.file_size for info in infos) > wheel.unpacked:
            raise InstallError(f"{wheel.file} holds more than it should: delete it and get it again.")
        for info in infos:
            place = place_of(info.filename)
            if place is not None:
                target = packages.joinpath(*place.parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source, target.open("wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
            advance(info.file_size)
    records = [info.filename for info in infos if info.filename.endswith(".dist-info/RECORD")]
    records = [name for name in records if name.count("/") == 1]  # packages may carry wheels of others
    if len(records) != 1:
        raise InstallError(f"{wheel.file} is not a wheel: delete it and get it again.")
    return PurePosixPath(records[0]).parts[0]


def place_of(name: str) -> PurePosixPath | None:
    """Where a wheel's file goes below the packages, or None if it is left out.

    Raises:
        InstallError: If the name leads out of the folder.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise InstallError(f"A file of the engine has an unsafe name ({name!r}): nothing was installed.")
    if path.parts[0].endswith(".data"):
        below = path.parts[2:]
        return PurePosixPath(*below) if path.parts[1] in SCHEMES and below else None
    return path
