# SPDX-License-Identifier: GPL-3.0-or-later
"""Large and unusual scenes: two hours of sound, two hundred characters, 100 fps, frames before zero."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.blender.support import (
    KEY,
    add_face,
    add_strip,
    bpy,
    keys_of,
    make_clip,
    needs_audaspace,
    refusal,
    write_sound,
)

Module = Callable[[str], Any]
RATE = 8000
HOURS_S = 7200


def hours_of_sound(path: Path, seconds: int = HOURS_S) -> Path:
    """A long sound with a tone in its last two seconds; what is silent takes no room on the disk."""
    num_samples, tone = seconds * RATE, (8000 * np.sin(np.arange(2 * RATE) / 9)).astype("<i2")
    size = 2 * num_samples
    with path.open("wb") as file:
        file.write(b"RIFF" + (36 + size).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little"))
        file.write(np.array([1, 1], "<u2").tobytes() + np.array([RATE, 2 * RATE], "<u4").tobytes())
        file.write(np.array([2, 16], "<u2").tobytes() + b"data" + size.to_bytes(4, "little"))
        file.seek(size - tone.nbytes, 1)
        file.write(tone.tobytes())
    return path


def pelvis_keys(armature: Any) -> np.ndarray:
    """Frames of the pelvis' keys."""
    return keys_of(armature)['pose.bones["pelvis"].location', 0][:, 0]


@pytest.fixture
def hours(tmp_path: Path) -> Path:
    return hours_of_sound(tmp_path / "hours.wav")


@needs_audaspace
def test_two_seconds_of_two_hours_cost_what_two_seconds_do(
    scene: Any, character: Any, engine: Any, hours: Path, module: Module
) -> None:
    strip = add_strip(hours, -500)
    assert strip.frame_final_duration == HOURS_S * 30
    strip.frame_offset_start = (HOURS_S - 2) * 30
    module("engine.audio.waveform")
    tracemalloc.start()
    began = time.perf_counter()
    source = module("operators.bridge.sound").strip_source(strip, 30.0)
    wave = module("operators.bridge.sound").read_waveform(source)
    seconds, peak = time.perf_counter() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(wave) == 2 * 16000 and np.abs(wave).max() > 0.2
    assert seconds < 1.0 and peak < 8e6
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    assert pelvis_keys(character)[0] == -500 + (HOURS_S - 2) * 30


@needs_audaspace
def test_more_than_two_hours_are_refused_before_they_are_read(
    scene: Any, character: Any, engine: Any, tmp_path: Path
) -> None:
    path = hours_of_sound(tmp_path / "more.wav", HOURS_S + 61)
    add_strip(path)
    began = time.perf_counter()
    for scene.kinesics.audio_source in ("STRIP", "FILE"):
        scene.kinesics.audio_path = str(path)
        said = refusal(bpy.ops.kinesics.generate)
        assert "lasts 2 h 1 min 1 s; cut it to at most 2 hours" in said
    assert time.perf_counter() - began < 2.0 and not bpy.data.actions


@needs_audaspace
def test_two_hours_that_do_not_fit_into_memory_are_refused(
    scene: Any, character: Any, engine: Any, hours: Path, module: Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_strip(hours, -500)
    memory = module("engine.memory")
    monkeypatch.setattr(memory, "free_memory_mb", lambda: 8000.0)
    said = refusal(bpy.ops.kinesics.generate)
    assert "59 million keys" in said and "8.0 GB are free: make it in shorter strips" in said
    assert not engine.requests and not bpy.data.actions
    check = module("operators.generation").check_room
    monkeypatch.setattr(memory, "free_memory_mb", lambda: 16000.0)
    check(HOURS_S, 30.0, 1)
    with pytest.raises(module("engine.errors").DeviceError, match="119 million keys"):
        check(HOURS_S, 30.0, 2)


@pytest.mark.parametrize(("fps", "first"), [(100, -500), (24, -1000)])
def test_other_rates_and_frames_before_zero(
    fps: int, first: int, scene: Any, character: Any, engine: Any, module: Module, tmp_path: Path
) -> None:
    """Generate, keep, redo, take, shape, read, export and import where all frames are negative."""
    scene.render.fps, scene.frame_start, scene.frame_end = fps, first, first + 3 * fps
    settings = scene.kinesics
    settings.audio_source, settings.audio_path = "FILE", str(write_sound(tmp_path / "a.wav", 2.0))
    settings.frame_start = first
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    assert np.array_equal(pelvis_keys(character), np.arange(first, first + 2 * fps))
    before = keys_of(character)

    scene.use_preview_range = True
    scene.frame_preview_start, scene.frame_preview_end = first + fps // 2, first + fps
    settings.regenerate_range, settings.seed = "PREVIEW", 5
    assert bpy.ops.kinesics.regenerate() == {"FINISHED"}
    outside = np.r_[0 : fps // 2 + 1, fps : 2 * fps]
    path = 'pose.bones["pelvis"].location', 0
    after = keys_of(character)[path]
    assert np.array_equal(after[outside], before[path][outside])
    assert not np.array_equal(after, before[path])
    scene.use_preview_range = False

    settings.num_takes = 2
    assert bpy.ops.kinesics.generate_takes() == {"FINISHED"}
    character.kinesics_shape.energy_upper = 1.5
    frames = module("operators.bridge.stand_in").take_frames(character, scene)
    assert frames == range(first, first + 2 * fps)
    sampling = module("operators.bridge.sampling")
    rig = module("operators.bridge.armature").read_rig(character)
    seen = sampling.current_clip(character, rig, scene, first, 2 * fps, float(fps))
    for preset, suffix in (("KINESICS", ".npz"), ("BVH", ".bvh"), ("GLTF", ".glb")):
        saved = tmp_path / f"out{suffix}"
        assert bpy.ops.kinesics.export(preset=preset, filepath=str(saved)) == {"FINISHED"}
        assert saved.stat().st_size > 1000
    scene.frame_set(first + 7)
    assert bpy.ops.kinesics.import_clip(filepath=str(tmp_path / "out.npz")) == {"FINISHED"}
    back = sampling.current_clip(character, rig, scene, first + 7, 2 * fps, float(fps))
    assert np.abs(back.trans - back.trans[0] - seen.trans + seen.trans[0]).max() < 2e-2


@needs_audaspace
def test_a_dialogue_before_frame_zero(scene: Any, character: Any, engine: Any, speech: Path) -> None:
    scene.render.fps = 100
    add_strip(speech, -500, "One")
    add_strip(speech, -200, "Two").channel = 2
    assert bpy.ops.kinesics.generate_dialogue() == {"FINISHED"}
    keys = pelvis_keys(character)
    assert np.array_equal(keys, np.arange(-500, 0))


def test_two_hundred_characters(scene: Any, engine: Any, speech: Path, module: Module) -> None:
    """The one that is chosen moves, the others stay to the bit, and it takes no longer for their sake."""
    bridge, parts = module("operators.bridge.armature"), tuple(module("engine.specs").Part)
    first = bridge.build_armature("Ada")
    add_face(first)
    scene.kinesics.character = first
    scene.kinesics.audio_source, scene.kinesics.audio_path = "FILE", str(speech)
    bpy.ops.kinesics.generate()
    began = time.perf_counter()
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    alone = time.perf_counter() - began
    for number in range(199):
        other = bpy.data.objects.new(f"Extra {number}", first.data.copy())
        scene.collection.objects.link(other)
    still = make_clip(2)
    for number in range(0, 199, 20):
        other = bpy.data.objects[f"Extra {number}"]
        module("operators.delivery").deliver(still, other, parts, 1, other.name)
    assert len([item for item in scene.objects if item.type == "ARMATURE"]) == 200
    before = {item.name: keys_of(item) for item in scene.objects if item is not first}
    began = time.perf_counter()
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    among = time.perf_counter() - began
    scene.kinesics.num_takes = 2
    assert bpy.ops.kinesics.generate_takes() == {"FINISHED"}
    for name, keys in before.items():
        now = keys_of(bpy.data.objects[name])
        assert now.keys() == keys.keys() and all(np.array_equal(now[path], keys[path]) for path in keys)
    assert among < 3.0 * alone + 0.5
    assert KEY in bpy.context.preferences.addons
