# SPDX-License-Identifier: GPL-3.0-or-later
"""Real Blender (the bpy module) with the extension enabled from the source checkout."""

from __future__ import annotations

import faulthandler
import importlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.blender.support import (
    EXIT_LIMIT_S,
    KEY,
    RESOURCES,
    StandInEngine,
    add_face,
    bpy,
    disable,
    enable,
    write_sound,
)


def pytest_report_header() -> str:
    """Say which Blender runs."""
    audio = "with" if bpy.app.build_options.audaspace else "without"
    return f"Blender {bpy.app.version_string}, {audio} Audaspace"


@pytest.fixture(scope="session", autouse=True)
def extension() -> Iterator[ModuleType]:
    """The enabled extension, for the whole run."""
    enable()
    yield sys.modules[KEY]
    disable()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Note how the run ended, for `pytest_unconfigure`."""
    _outcome.append(int(exitstatus))


_outcome: list[int] = []


def pytest_unconfigure() -> None:
    """Leave no trace and make sure that the process ends."""
    shutil.rmtree(RESOURCES, ignore_errors=True)
    if bpy.app.version < (4, 3, 0) and "io_scene_gltf2.blender.exp.gltf2_blender_export" in sys.modules:
        # The bpy module of 4.2 crashes at its exit once its glTF exporter has run, whatever is registered.
        sys.stdout.flush()
        os._exit(_outcome[-1] if _outcome else 1)
    faulthandler.dump_traceback_later(EXIT_LIMIT_S, exit=True)


@pytest.fixture(autouse=True)
def scene(extension: ModuleType) -> Iterator[Any]:
    """An empty scene at 30 frames per second for every test."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.context.scene.render.fps = 30
    bpy.context.scene.render.fps_base = 1.0
    yield bpy.context.scene


@pytest.fixture(scope="session")
def module() -> Callable[[str], Any]:
    """Import a module of the installed extension: `module("operators.delivery")`."""
    return lambda name: importlib.import_module(f"{KEY}.{name}")


@pytest.fixture
def armature(scene: Any, module: Callable[[str], Any]) -> Any:
    """A character's armature without a mesh."""
    return module("operators.bridge.armature").build_armature("Ada")


@pytest.fixture
def character(armature: Any, scene: Any) -> Any:
    """A character's armature with a face mesh, chosen in the settings."""
    add_face(armature)
    scene.kinesics.character = armature
    return armature


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, module: Callable[[str], Any]) -> StandInEngine:
    """The stand-in, given to whoever loads an engine."""
    stand_in = StandInEngine()
    host = module("operators.engine_host")
    # Its `release` would have Python look through every object for what nobody uses, for half a second.
    monkeypatch.setattr(host, "_loaded", {})
    monkeypatch.setattr(host, "load_engine", lambda pack_dir, device: stand_in)
    return stand_in


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Two seconds of a modulated tone, 16 kHz mono wav."""
    return write_sound(tmp_path / "speech.wav", 2.0)


@pytest.fixture(scope="session")
def tiny_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of untrained networks, made once."""
    pytest.importorskip("torch", reason="needs torch")
    from tests.tiny_pack import write_tiny_pack

    folder = tmp_path_factory.mktemp("packs") / "tiny"
    write_tiny_pack(folder)
    return folder
