# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that installs the engine: fetches or copies wheels, checks, unpacks, renames.

    python -m engine.installing.worker HOME [--build cuda] [--from FOLDER] [--index URL]

Writes one JSON object a line: `fraction` and `message`, at the end `done`, or `error` with a sentence for the
animator. Ends by itself when its standard input closes, so that it never outlives the Blender that began it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from ..errors import EngineError, InstallError
from ..whole_files import whole_file, write_whole
from .folder import (
    COMPLETE,
    DOWNLOADS,
    PACKAGES,
    PART,
    damaged_files,
    is_installed,
    packages_folder,
    remove,
    remove_others,
)
from .lock import CUDA, LOCK_FILE, Wheel, read_lock, this_target, wheels_for
from .unpacking import check_space, check_wheel, gigabytes, unpack

Report = Callable[[float, str], None]
Fetch = Callable[[Wheel, Path, Report], None]
DOWNLOAD_SHARE = 0.8
"""Part of the progress bar that belongs to getting the files."""
PIP_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
CANCELLED = 3
"""Exit status after the input closed."""

_children: list[subprocess.Popen[str]] = []


def install(home: Path, wheels: tuple[Wheel, ...], fetch: Fetch, report: Report) -> Path:
    """Have these wheels installed as a whole, or nothing changed but what was downloaded.

    Args:
        home: Folder of the engine's packages; made when absent.
        wheels: What belongs to this Python.
        fetch: Puts one wheel at a path, or raises `InstallError`.
        report: Told the fraction done and what is being done.

    Returns:
        Folder to put on Python's path.

    Raises:
        InstallError: If it cannot be done; the sentence says what to do.
    """
    final = packages_folder(home, wheels, this_target())
    if is_installed(final, wheels) and not damaged_files(final):
        return final
    try:
        downloads, part = home / DOWNLOADS, home / PART
        downloads.mkdir(parents=True, exist_ok=True)
        with OnlyOne(home):
            remove(part)
            files = gather(downloads, wheels, fetch, report)
            check_space(home, sum(wheel.unpacked for wheel in wheels))
            build(part, files, report)
            remove(final.parent)
            os.replace(part, final.parent)
            remove_others(home, final.parent)
    except OSError as error:
        raise InstallError(
            f"The engine cannot be written to {home} ({error.strerror or error}): make that folder writable, "
            "or make room on its disk, and try again."
        ) from error
    return final


class OnlyOne:
    """Holds the folder's lock, which the system lets go of when the process ends in whatever way."""

    def __init__(self, home: Path) -> None:
        """Name the folder."""
        self._path = home / "lock"
        self._file: TextIO | None = None

    def __enter__(self) -> None:
        """Take it.

        Raises:
            InstallError: If another Blender has it.
        """
        self._file = self._path.open("a")
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(self._file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise InstallError("Another Blender is installing the engine: wait until it is done.") from error

    def __exit__(self, *_: object) -> None:
        """Let go of it."""
        if self._file is not None:
            self._file.close()


def gather(
    downloads: Path, wheels: tuple[Wheel, ...], fetch: Fetch, report: Report
) -> list[tuple[Path, Wheel]]:
    """Have every wheel in one folder, whole; those an earlier try brought are not fetched again."""
    total, done = sum(wheel.size for wheel in wheels), 0
    there = {path.name: path.stat().st_size for path in downloads.glob("*.whl")}
    missing = sum(wheel.size for wheel in wheels if there.get(wheel.file) != wheel.size)
    check_space(downloads, missing + sum(wheel.unpacked for wheel in wheels))
    files: list[tuple[Path, Wheel]] = []
    for wheel in wheels:
        path = downloads / wheel.file
        if not has_wheel(path, wheel):

            def step(fraction: float, message: str, wheel: Wheel = wheel, done: int = done) -> None:
                report(DOWNLOAD_SHARE * (done + fraction * wheel.size) / total, message)

            step(0.0, f"Getting {wheel.name} ({gigabytes(wheel.size)})")
            fetch(wheel, path, step)
            check_wheel(path, wheel)
        done += wheel.size
        files.append((path, wheel))
    return files


def has_wheel(path: Path, wheel: Wheel) -> bool:
    """Whether an earlier try left the whole file; a damaged one is deleted."""
    if not path.is_file():
        return False
    try:
        check_wheel(path, wheel)
    except InstallError:
        path.unlink()
        return False
    return True


def build(part: Path, files: list[tuple[Path, Wheel]], report: Report) -> None:
    """Unpack every wheel, then note that all of them are there."""
    packages = part / PACKAGES
    packages.mkdir(parents=True)
    total, done = sum(wheel.unpacked for _, wheel in files), 0
    names: list[str] = []
    for path, wheel in files:

        def advance(size: int, wheel: Wheel = wheel) -> None:
            nonlocal done
            done += size
            report(DOWNLOAD_SHARE + (1.0 - DOWNLOAD_SHARE) * done / max(total, 1), f"Unpacking {wheel.name}")

        names.append(unpack(path, wheel, packages, advance))
    if hasattr(os, "sync"):
        os.sync()  # thousands of files at once; Windows has it for single ones only
    write_whole(part / COMPLETE, json.dumps({"packages": names}))


def copy_from(folder: Path) -> Fetch:
    """Wheels from a folder, without any network."""

    def fetch(wheel: Wheel, path: Path, report: Report) -> None:
        source = folder / wheel.file
        if not source.is_file():
            raise InstallError(f"{wheel.file} is not in {folder}: put it there and try again.")
        check_wheel(source, wheel)
        with whole_file(path) as draft:
            shutil.copyfile(source, draft)
        report(1.0, f"Copied {wheel.name}")

    return fetch


def download(index: str) -> Fetch:
    """Wheels from where pip gets them, or from one more index; pip checks each hash."""

    def fetch(wheel: Wheel, path: Path, report: Report) -> None:
        landing = path.parent / "arriving"
        remove(landing)
        landing.mkdir()
        wanted = landing / "wanted.txt"
        wanted.write_text(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
        command = [*pip_command(), "download", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
        command += ["--no-input", "--disable-pip-version-check", "--progress-bar", "raw"]
        command += ["--dest", str(landing), "-r", str(wanted)]
        command += ["--extra-index-url", index] if index else []
        run_pip(command, lambda fraction: report(fraction, f"Getting {wheel.name} ({gigabytes(wheel.size)})"))
        if not (landing / wheel.file).is_file():
            raise InstallError(f"{wheel.file} could not be downloaded: try again, or install from a folder.")
        os.replace(landing / wheel.file, path)
        remove(landing)

    return fetch


def pip_command() -> list[str]:
    """pip of this Python, or the one that comes inside it unpacked by nobody; neither changes anything.

    Raises:
        InstallError: If there is none.
    """
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    ensurepip = importlib.util.find_spec("ensurepip")
    for folder in (ensurepip.submodule_search_locations if ensurepip else None) or ():
        for wheel in Path(folder, "_bundled").glob("pip-*.whl"):
            return [sys.executable, str(wheel / "pip")]
    raise InstallError("This Blender's Python has no pip to download with: install the engine from a folder.")


def run_pip(command: list[str], progress: Callable[[float], None]) -> None:
    """Run pip and follow it.

    Raises:
        InstallError: If it fails, with its last words.
    """
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    _children.append(process)
    last = ""
    for line in process.stdout or ():
        if found := PIP_PROGRESS.search(line):
            progress(int(found[1]) / max(int(found[2]), 1))
        elif line.strip():
            last = line.strip()
    code = process.wait()
    _children.remove(process)
    if code != 0:
        raise InstallError(
            f"The download failed ({last[-200:]}): see that this computer is online and try again; "
            "what has arrived is kept."
        )


def stop_with_input() -> None:
    """End this process, and the pip it runs, once nobody holds its input any more."""
    sys.stdin.read()
    for child in _children:
        child.kill()
    os._exit(CANCELLED)


def tell(**values: object) -> None:
    """One line to whoever watches."""
    print(json.dumps(values), flush=True)


def main() -> int:
    """Install, and say how it went."""
    parser = argparse.ArgumentParser(description="Install the packages the Kinesics engine runs on.")
    parser.add_argument("home", type=Path)
    parser.add_argument("--from", dest="folder", type=Path, help="folder of wheels; no network is used")
    parser.add_argument("--index", default="", help="one more package index for pip")
    parser.add_argument("--build", choices=("", CUDA), default="", help="empty for the processor's")
    parser.add_argument("--lock", type=Path, default=LOCK_FILE, help="list of wheels")
    arguments = parser.parse_args()
    threading.Thread(target=stop_with_input, daemon=True).start()
    fetch = copy_from(arguments.folder) if arguments.folder else download(arguments.index)
    try:
        wheels = wheels_for(this_target(arguments.build), read_lock(arguments.lock))
        install(arguments.home, wheels, fetch, lambda part, text: tell(fraction=part, message=text))
    except EngineError as error:
        tell(error=str(error))
        return 1
    tell(done=True)
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # a thread waits for input for ever
