# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of wheels the engine runs on: one file in the extension, with the hash of every wheel."""

from __future__ import annotations

import hashlib
import platform
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from ..errors import InstallError

LOCK_FILE = Path(__file__).with_name("wheels.toml")
"""Written by tools/lock_wheels.py, read by the installer and by tools/package.py."""

SHA256 = re.compile(r"[0-9a-f]{64}")
FILE_NAME = re.compile(r"[A-Za-z0-9_.+]+(-[A-Za-z0-9_.+]+){4,5}\.whl")
"""A wheel's file name in five or six parts (PEP 427), with nothing that could lead out of a folder."""

SYSTEMS = {
    ("linux", "x86_64"): "linux-x64",
    ("win32", "amd64"): "windows-x64",
    ("darwin", "arm64"): "macos-arm64",
}
"""Blender's names of the platforms by Python's names of system and machine."""


@dataclass(frozen=True)
class Wheel:
    """One file of the list.

    Attributes:
        name: Package.
        version: Its version.
        file: File name.
        sha256: Hash of the file, in hexadecimal.
        size: Bytes of the file.
        unpacked: Bytes of what is inside.
        targets: Where it belongs, each as `target_name` writes it.
    """

    name: str
    version: str
    file: str
    sha256: str
    size: int
    unpacked: int
    targets: tuple[str, ...]


CUDA = "cuda"
"""The build for NVIDIA graphics cards, which runs on the processor, too; the other builds have no name."""


def target_name(system: str, python: str, build: str = "") -> str:
    """A platform, a Python and a build in one word: `linux-x64-py3.11`, `linux-x64-py3.11-cuda`."""
    return f"{system}-py{python}" + (f"-{build}" if build else "")


def this_target(build: str = "") -> str:
    """The target of the running Python, and one of its builds.

    Raises:
        InstallError: If no wheels are listed for such a machine.
    """
    system = SYSTEMS.get((sys.platform, platform.machine().lower()))
    if system is None:
        raise InstallError(
            f"There is no engine for this kind of machine ({platform.system()}, {platform.machine()}): "
            "it runs on Linux and Windows with an Intel or AMD processor, and on Macs with Apple silicon."
        )
    return target_name(system, f"{sys.version_info.major}.{sys.version_info.minor}", build)


def read_lock(path: Path = LOCK_FILE) -> tuple[Wheel, ...]:
    """Read the list.

    Raises:
        InstallError: If it is missing or damaged.
    """
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))["wheel"]
        wheels = tuple(_wheel(row) for row in rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InstallError(
            f"The list of the engine's files ({path.name}) cannot be read: install Kinesics again."
        ) from error
    return wheels


def _wheel(row: dict[str, object]) -> Wheel:
    """One entry, checked.

    Raises:
        KeyError: If a field is missing.
        TypeError: If a field has another type.
        ValueError: If a name or a hash could not be one.
    """
    name, version, file, sha256 = (row[key] for key in ("name", "version", "file", "sha256"))
    size, unpacked, targets = row["bytes"], row["unpacked_bytes"], row["targets"]
    if not (isinstance(name, str) and isinstance(version, str) and isinstance(file, str)):
        raise TypeError("names are texts")
    if not (isinstance(sha256, str) and SHA256.fullmatch(sha256) and FILE_NAME.fullmatch(file)):
        raise ValueError("not a hash, or not the name of a wheel")
    if not (isinstance(size, int) and isinstance(unpacked, int) and isinstance(targets, list)):
        raise TypeError("sizes are numbers, targets a list")
    return Wheel(name, version, file, sha256, size, unpacked, tuple(str(target) for target in targets))


def wheels_for(target: str, wheels: tuple[Wheel, ...]) -> tuple[Wheel, ...]:
    """The wheels of one target.

    Raises:
        InstallError: If torch is not among them: without it nothing runs.
    """
    chosen = tuple(wheel for wheel in wheels if target in wheel.targets)
    if not any(wheel.name == "torch" for wheel in chosen):
        known = ", ".join(sorted({t for wheel in wheels if wheel.name == "torch" for t in wheel.targets}))
        raise InstallError(
            f"There is no engine for {target} yet: use a Blender whose Python is one of these ({known})."
        )
    return chosen


def lock_name(wheels: tuple[Wheel, ...]) -> str:
    """A short name that changes with every change of the wheels."""
    hashes = "".join(sorted(wheel.sha256 for wheel in wheels))
    return hashlib.sha256(hashes.encode()).hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """Hash of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
