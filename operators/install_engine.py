# SPDX-License-Identifier: GPL-3.0-or-later
"""Install Engine: the packages the motion model runs on, into this extension's own user folder."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import bpy

from ..engine.errors import Cancelled, EngineError, InstallError
from . import engine_host, polls
from .errors import SetupError
from .generate import MotionOperator, preferences_of
from .job import STOPPED, IsCancelled, ReportProgress
from .sessions import JobSession
from .wording import worded

if TYPE_CHECKING:
    from ..engine.installing.accelerators import Choice
    from ..engine.installing.lock import Wheel

EXTENSION = Path(__file__).resolve().parent.parent
PACKAGE = (__package__ or "").rpartition(".")[0]
WATCH_S = 0.1
"""How often a running installer is told whether it was cancelled, in seconds."""

_added: list[str] = []
_needed = False


def home() -> Path:
    """Folder of the installed packages; Blender deletes it with the extension."""
    return Path(bpy.utils.extension_path_user(PACKAGE, path="engine"))


@cache
def chosen_build(processor_only: bool = False) -> Choice:
    """What belongs to this Blender's Python and this machine's graphics card.

    Args:
        processor_only: Take no notice of a graphics card.

    Raises:
        InstallError: If there is nothing for it.
    """
    from ..engine.installing import accelerators, lock

    found = accelerators.found_accelerators()
    if processor_only:
        found = found[-1:]
    return accelerators.choose_build(lock.this_target(), lock.read_lock(), found)


def listed_wheels(processor_only: bool = False) -> tuple[Wheel, ...]:
    """The wheels of that build.

    Raises:
        InstallError: If there is nothing for it.
    """
    return chosen_build(processor_only).wheels


def attach() -> None:
    """Put what is installed as a whole on Python's path, behind everything Blender brings."""
    global _needed
    from ..engine.installing import folder

    packages = None
    try:
        if home().is_dir():  # else nothing was ever installed, and reading the list of wheels can wait
            builds = (listed_wheels(), listed_wheels(processor_only=True))
            whole = [folder.installed_packages(home(), wheels) for wheels in builds]
            packages = next((path for path in whole if path is not None), None)
    except (EngineError, ValueError):  # no wheels for this machine, or an add-on without a folder of its own
        pass
    if packages is not None and str(packages) not in sys.path:
        sys.path.append(str(packages))
        _added.append(str(packages))
        importlib.invalidate_caches()
    _needed = bool(engine_host.missing_packages())


def detach() -> None:
    """Take it off the path again."""
    while _added:
        path = _added.pop()
        if path in sys.path:
            sys.path.remove(path)


def is_needed() -> bool:
    """Whether packages were missing when that was last looked at; for drawing."""
    return _needed


@cache
def offer(processor_only: bool = False) -> str:
    """What would be installed and how big it is, or why nothing can be, in a sentence."""
    from ..engine.installing.unpacking import gigabytes

    try:
        wheels = listed_wheels(processor_only)
    except EngineError as error:
        return str(error)
    size, unpacked = sum(wheel.size for wheel in wheels), sum(wheel.unpacked for wheel in wheels)
    torch = next(wheel for wheel in wheels if wheel.name == "torch")
    return (
        f"{chosen_build(processor_only).reason}: {len(wheels)} packages with torch {torch.version}, "
        f"{gigabytes(size)} to get, {gigabytes(unpacked)} on disk"
    )


def installer_command(wheels_dir: str, index: str, processor_only: bool = False) -> list[str]:
    """How the installer is started.

    Raises:
        SetupError: If it would need the network and Blender is to stay offline.
    """
    command = [sys.executable, "-s", "-m", "engine.installing.worker", str(home())]
    command += ["--build", chosen_build(processor_only).build]
    if wheels_dir.strip():
        return [*command, "--from", bpy.path.abspath(wheels_dir)]
    if not bpy.app.online_access:
        raise SetupError(
            "Blender is set to stay offline: allow online access in Preferences > System, "
            "or choose a folder with the engine's files."
        )
    return [*command, "--index", index.strip()]


def run_installer(command: list[str], progress: ReportProgress, cancelled: IsCancelled) -> None:
    """Run the installer and follow it; it ends when its input closes.

    Raises:
        Cancelled: If it was stopped.
        InstallError: If it failed.
    """
    process = subprocess.Popen(
        command,
        cwd=EXTENSION,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the installer has no pipes")
    ended = threading.Event()
    done, words = False, ""

    def watch() -> None:
        while not (cancelled() or ended.wait(WATCH_S)):
            pass
        process.stdin.close()

    watcher = threading.Thread(target=watch, name="kinesics-installer", daemon=True)
    watcher.start()
    try:
        for line in process.stdout:
            try:
                told = json.loads(line)
            except ValueError:
                words = line.strip() or words
                continue
            done, words = told.get("done", False), told.get("error", words)
            if "fraction" in told:
                progress(told["fraction"], told["message"])
    finally:
        ended.set()
        watcher.join()
        process.wait()
        process.stdout.close()
    if cancelled():
        raise Cancelled(STOPPED)
    if not done:
        raise InstallError(words or "The installer stopped without a word: try again.")


class KINESICS_OT_install_engine(MotionOperator, bpy.types.Operator):
    """Get what the motion model runs on, check every file, and put it into a folder of Kinesics' own. Blender
    itself is not changed; stopped in the middle, it goes on from there the next time"""

    bl_idname = "kinesics.install_engine"
    bl_label = "Install Engine"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether nothing else runs."""
        return polls.is_free(cls)

    def new_session(self, context: bpy.types.Context) -> JobSession[None]:
        """The installation as the preferences say, not started."""
        preferences = preferences_of(context)
        listed_wheels(preferences.processor_only)
        command = installer_command(
            preferences.wheels_dir, preferences.wheel_index, preferences.processor_only
        )
        return JobSession(lambda progress, cancelled: run_installer(command, progress, cancelled))

    def _write(self, session: JobSession[None], made: None) -> set[str]:
        attach()
        self.report({"INFO"}, worded("The engine is installed: Self-Test says how fast it is here"))
        return {"FINISHED"}


CLASSES = (KINESICS_OT_install_engine,)
