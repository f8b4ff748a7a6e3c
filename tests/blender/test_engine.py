# SPDX-License-Identifier: GPL-3.0-or-later
"""Generate with the real engine: a tiny untrained pack always, the starter pack where it is built."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.blender.support import REPOSITORY, add_strip, bpy, fingerprint, keys_of
from tests.blender.test_generate import ESC, TIMER, Modal

STARTER = REPOSITORY / "packs" / "starter"


@pytest.fixture(params=["tiny", "starter"])
def pack(request: pytest.FixtureRequest, module: Callable[[str], Any]) -> Iterator[Path]:
    """The pack chosen in the preferences."""
    if request.param == "starter" and not (STARTER / "pack.toml").is_file():
        pytest.skip("packs/starter is not built: run make train-starter")
    folder = STARTER if request.param == "starter" else request.getfixturevalue("tiny_pack")
    preferences = module("operators.generate").preferences_of(bpy.context)
    preferences.pack_dir = str(folder)
    module("operators.engine_host").release()
    yield folder
    preferences.pack_dir = ""
    module("operators.engine_host").release()


@pytest.fixture
def ready(scene: Any, character: Any, pack: Path, speech: Path) -> Any:
    """Two seconds of sound from a file, the lower body from text."""
    scene.kinesics.audio_source, scene.kinesics.audio_path = "FILE", str(speech)
    scene.kinesics.lower.source, scene.kinesics.lower.text = "TEXT", "walk forward"
    return scene.kinesics


def test_speech_and_text_become_keys(ready: Any, character: Any) -> None:
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    points = keys_of(character)
    feet = [path for path, _ in points if path.startswith("kinesics_feet.")]
    assert len(feet) == 25, "what the motion knows about its feet"
    assert len(points) == 223 + 25 and all(len(keys) == 60 for keys in points.values())
    assert all(np.isfinite(keys).all() for keys in points.values())
    face = keys_of(bpy.data.objects["Face"].data.shape_keys)
    assert len(face) == 52
    assert all(keys[:, 1].min() >= -1e-6 and keys[:, 1].max() <= 1.0 + 1e-6 for keys in face.values())


def test_same_seed_twice_and_locked_parts_are_bit_identical(ready: Any, character: Any) -> None:
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    first = keys_of(character)
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    second = keys_of(character)
    assert all(first[path].tobytes() == second[path].tobytes() for path in first)
    for part in ("face", "hands", "upper"):
        getattr(ready, part).source = "KEEP"
    ready.lower.text, ready.seed = "jump", 3
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    third = keys_of(character)
    wrist, pelvis = ('pose.bones["left_wrist"].rotation_quaternion', 1), ('pose.bones["pelvis"].location', 2)
    assert second[wrist].tobytes() == third[wrist].tobytes()
    assert second[pelvis].tobytes() != third[pelvis].tobytes()


def test_cancel_while_the_engine_works(ready: Any, module: Callable[[str], Any], tmp_path: Path) -> None:
    from tests.blender.support import write_sound

    ready.audio_path = str(write_sound(tmp_path / "long.wav", 60.0))
    generate = module("operators.generate")
    before = fingerprint()
    modal = Modal(generate)
    session = generate.current_session()
    end = time.monotonic() + 60
    while time.monotonic() < end and session.state.fraction < 0.15:
        modal.modal(bpy.context, TIMER)
        assert generate.current_session() is session, modal.reports
        time.sleep(0.01)
    start = time.monotonic()
    assert modal.modal(bpy.context, ESC) == {"CANCELLED"}
    assert time.monotonic() - start < 0.3
    assert session.job.join(5.0), "the engine went on after the cancel"
    assert fingerprint() == before


def test_text_alone(ready: Any, character: Any) -> None:
    ready.audio_source, ready.duration_s = "NONE", 2.0
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    assert len(keys_of(character)['pose.bones["pelvis"].location', 0]) == 60


def test_strip_in_the_sequencer(ready: Any, character: Any, scene: Any, speech: Path) -> None:
    if not bpy.app.build_options.audaspace:
        pytest.skip("this build of Blender has no Audaspace, so no sound strips")
    ready.audio_source = "STRIP"
    scene.render.fps = 24
    add_strip(speech, 25)
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    frames = keys_of(character)['pose.bones["pelvis"].location', 0][:, 0]
    assert (frames[0], frames[-1]) == (25, 72)


def test_pack_check_passes(ready: Any) -> None:
    assert bpy.ops.kinesics.check_pack() == {"FINISHED"}
