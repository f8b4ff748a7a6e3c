# SPDX-License-Identifier: GPL-3.0-or-later
"""Import Published Model and Release Memory in real Blender, on tiny files in the published layouts."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.blender.support import bpy, keys_of

pytest.importorskip("torch", reason="needs torch")


@pytest.fixture(scope="module")
def downloaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of the model for written instructions, which needs no speech model."""
    from tests.engine import published_files

    return published_files.download(tmp_path_factory.mktemp("download"), "text")


@pytest.fixture
def preferences(module: Callable[[str], Any]) -> Iterator[Any]:
    """The preferences; the model chosen before comes back."""
    held = module("operators.generate").preferences_of(bpy.context)
    before = held.pack_dir
    yield held
    held.pack_dir = before
    module("operators.engine_host").release()


def test_the_model_is_imported_chosen_and_generates(
    scene: Any, character: Any, preferences: Any, downloaded: Path, tmp_path: Path, module: Any
) -> None:
    out = tmp_path / "pack"
    assert bpy.ops.kinesics.import_model(directory=str(downloaded), target=str(out)) == {"FINISHED"}
    assert (out / "pack.toml").is_file() and Path(preferences.pack_dir) == out
    settings = scene.kinesics
    settings.audio_source, settings.duration_s = "NONE", 1.0
    settings.lower.source, settings.lower.text = "TEXT", "a man walks"
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    assert all(len(keys) == 30 for keys in keys_of(character).values())
    host = module("operators.engine_host")
    assert host.is_loaded() and bpy.ops.kinesics.release_memory() == {"FINISHED"}
    assert not host.is_loaded() and not bpy.ops.kinesics.release_memory.poll()


def test_what_is_missing_is_said_and_nothing_is_written(
    preferences: Any, downloaded: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(downloaded, tmp_path / "files"))
    (folder / "t5_models/flan-t5-base/tokenizer.json").unlink()
    chosen, out = preferences.pack_dir, tmp_path / "pack"
    with pytest.raises(RuntimeError, match=r"FLAN-T5 is missing; download"):
        bpy.ops.kinesics.import_model(directory=str(folder), target=str(out))
    with pytest.raises(RuntimeError, match="No folder is chosen"):
        bpy.ops.kinesics.import_model()
    assert not out.exists() and preferences.pack_dir == chosen


def test_the_worker_reports_and_stops(downloaded: Path, tmp_path: Path, module: Any) -> None:
    importing, jobs, errors = (
        module(name) for name in ("operators.import_model", "operators.job", "engine.errors")
    )
    out = tmp_path / "pack"
    job = jobs.Job(lambda progress, stop: importing.import_work(downloaded, out, progress, stop))
    job.start()
    end = time.monotonic() + 120.0
    while not job.poll().finished and time.monotonic() < end:
        time.sleep(0.02)
    assert job.poll().fraction == 1.0 and job.result().pack.root == out
    gone = tmp_path / "other"
    stopped = jobs.Job(lambda progress, _: importing.import_work(downloaded, gone, progress, lambda: True))
    stopped.start()
    assert stopped.join(120.0)
    with pytest.raises(errors.Cancelled):
        stopped.result()
    assert not gone.exists()
