# SPDX-License-Identifier: GPL-3.0-or-later
"""Real Blender (the bpy module) with the extension enabled from the source checkout."""

from __future__ import annotations

import faulthandler
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
KEY = "bl_ext.user_default.kinesics"
EXIT_LIMIT_S = 60
"""Seconds that leaving the interpreter may take; Blender hangs there when something stays registered."""

_resources = tempfile.mkdtemp(prefix="kinesics-blender-")
os.environ["BLENDER_USER_RESOURCES"] = _resources

bpy = pytest.importorskip("bpy", reason="the Blender tests need the bpy module")


def pytest_report_header() -> str:
    """Say which Blender runs."""
    audio = "with" if bpy.app.build_options.audaspace else "without"
    return f"Blender {bpy.app.version_string}, {audio} Audaspace"


def enable() -> None:
    """Enable the extension as the preferences would."""
    import addon_utils

    folder = Path(_resources) / "extensions" / "user_default"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "kinesics").exists():
        (folder / "kinesics").symlink_to(REPOSITORY, target_is_directory=True)
    bpy.ops.extensions.repo_refresh_all()
    addon_utils.enable(KEY, default_set=True)
    assert KEY in bpy.context.preferences.addons, "the extension was not enabled"


def disable() -> None:
    """Disable it again."""
    import addon_utils

    addon_utils.disable(KEY, default_set=True)


@pytest.fixture(scope="session", autouse=True)
def extension() -> Iterator[ModuleType]:
    """The enabled extension, for the whole run."""
    enable()
    yield sys.modules[KEY]
    disable()


def pytest_unconfigure() -> None:
    """Leave no trace and make sure that the process ends."""
    shutil.rmtree(_resources, ignore_errors=True)
    faulthandler.dump_traceback_later(EXIT_LIMIT_S, exit=True)


@pytest.fixture(autouse=True)
def scene(extension: ModuleType) -> Iterator[Any]:
    """An empty scene at 30 frames per second for every test."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    if KEY not in bpy.context.preferences.addons or not hasattr(bpy.types.Scene, "kinesics"):
        enable()
    bpy.context.scene.render.fps = 30
    bpy.context.scene.render.fps_base = 1.0
    yield bpy.context.scene
