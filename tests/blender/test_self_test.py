# SPDX-License-Identifier: GPL-3.0-or-later
"""The self-test of the preferences, and what goes to the console."""

from __future__ import annotations

import io
import logging
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.blender.support import KEY, Modal, StandInEngine, bpy, fingerprint, write_sound
from tests.blender.test_register import Layout


@pytest.fixture
def verdict(module: Any) -> Any:
    """What the last self-test said, in a call."""
    operator = module("operators.self_test")
    operator._verdict = None
    yield operator.last_verdict
    operator._verdict = None


def test_it_says_how_fast_and_changes_nothing(
    engine: StandInEngine, verdict: Any, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = module("engine.specs")
    made = engine.generate_many

    def slow(requests: Any, progress: Any = None, cancel: Any = None) -> list[Any]:
        return [
            specs.GenerateResult(result.clip, result.motion_s, result.motion_s / 3.1, {})
            for result in made(requests, progress, cancel)
        ]

    monkeypatch.setattr(engine, "generate_many", slow)
    monkeypatch.setattr(engine, "_made", lambda request: made_of_sound(request, specs))
    before = fingerprint()
    assert bpy.ops.kinesics.self_test() == {"FINISHED"}
    assert verdict().text == "It works: 3.1 s of motion per second on this CPU" and verdict().works
    assert fingerprint() == before
    assert [round(len(request.waveform) / 16000) for request in engine.requests] == [1, 4]


def made_of_sound(request: Any, specs: Any) -> Any:
    """A motion as long as the sound."""
    from tests.blender.support import make_clip

    clip = make_clip(round(len(request.waveform) / 16000 * 30))
    return specs.GenerateResult(clip, clip.duration_s, 0.0, {})


def test_it_says_what_is_wrong(
    verdict: Any, module: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    host = module("operators.engine_host")
    preferences = bpy.context.preferences.addons[KEY].preferences
    preferences.pack_dir = str(tmp_path / "nothing")
    try:
        with pytest.raises(RuntimeError, match="nothing"):
            bpy.ops.kinesics.self_test()
    finally:
        preferences.pack_dir = ""
    assert not verdict().works and "pack" in verdict().text
    monkeypatch.setattr(host, "PACKAGES", ("torch", "no_such_package"))
    with pytest.raises(RuntimeError, match="lacks no_such_package"):
        bpy.ops.kinesics.self_test()
    assert "lacks no_such_package" in verdict().text and not verdict().works


def test_a_damaged_package_is_one_sentence(
    verdict: Any, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = module("operators.engine_host")

    def broken() -> None:
        raise OSError("libtorch_cpu.so: cannot open")

    monkeypatch.setattr(host, "_open_libraries", broken)
    host.release()
    with pytest.raises(RuntimeError, match="damaged or of the wrong version"):
        bpy.ops.kinesics.self_test()
    assert "libtorch_cpu.so" in verdict().text


def test_motion_that_is_no_motion_does_not_pass(
    engine: StandInEngine, verdict: Any, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = module("engine.specs")

    def empty(request: Any) -> Any:
        result = made_of_sound(request, specs)
        result.clip.poses[3, 0, 0] = math.nan
        return result

    monkeypatch.setattr(engine, "_made", empty)
    with pytest.raises(RuntimeError, match="no usable motion"):
        bpy.ops.kinesics.self_test()
    assert not verdict().works


def test_the_preferences_show_it(module: Any, verdict: Any) -> None:
    preferences, test = module("ui.preferences"), module("operators.self_test")
    layout = Layout()
    there = bpy.context.preferences.addons[KEY].preferences
    shown = SimpleNamespace(layout=layout, bl_rna=there.bl_rna)
    preferences.KinesicsPreferences.draw(shown, bpy.context)
    assert {"kinesics.self_test", "log_level", "device"} <= set(layout.drawn)
    test._verdict = test.Verdict(False, "The model pack is damaged: download it again.")
    preferences.KinesicsPreferences.draw(shown, bpy.context)
    assert "The model pack is damaged: download it again." in layout.drawn


def test_the_console_says_as_much_as_is_chosen(
    scene: Any, engine: Any, character: Any, speech: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scene.kinesics.audio_source, scene.kinesics.audio_path = "FILE", str(speech)
    log = logging.getLogger("kinesics")
    preferences = bpy.context.preferences.addons[KEY].preferences
    log.addHandler(caplog.handler)
    try:
        for level, wanted in (("WARNING", False), ("INFO", True)):
            caplog.clear()
            preferences.log_level = level
            assert bpy.ops.kinesics.generate() == {"FINISHED"}
            assert any("Wrote" in line for line in caplog.messages) == wanted
    finally:
        preferences.log_level = "WARNING"
        log.removeHandler(caplog.handler)


@pytest.mark.parametrize("failure", ["none", "missing sound", "engine", "unfinished"])
def test_the_console_keeps_instructions_and_sounds_to_itself(
    failure: str, scene: Any, engine: StandInEngine, character: Any, tmp_path: Path, module: Any
) -> None:
    """All but the last level, which is there to say what was asked for; actions have their sound's name."""
    secret, words = tmp_path / "unannounced film.wav", "she waves at the murderer"
    write_sound(secret, 2.0)
    scene.kinesics.audio_source, scene.kinesics.audio_path = "FILE", str(secret)
    scene.kinesics.upper.source, scene.kinesics.upper.text = "TEXT", words
    if failure == "engine":
        engine.error = module("engine.errors").InstructionError(f'"{words}" cannot be used with {secret}.')
    written, log = io.StringIO(), module("operators.log")
    preferences = bpy.context.preferences.addons[KEY].preferences
    terminal = log._handler.setStream(written)
    try:
        for level in ("WARNING", "INFO", "DEBUG"):
            preferences.log_level = level
            modal = Modal(module("operators.generate"))
            if failure == "missing sound":
                secret.unlink()
            if failure == "unfinished":
                modal.cancel(bpy.context)
            else:
                assert modal.run() == ({"FINISHED"} if failure == "none" else {"CANCELLED"}), modal.reports
            text = written.getvalue()
            assert level == "DEBUG" or (words not in text and str(secret) not in text), text
            assert level != "WARNING" or secret.stem not in text, text
            assert level != "DEBUG" or words in text or secret.stem in text or failure == "unfinished", text
            assert ("nothing was made: " in text) == (failure in ("missing sound", "engine"))
            if failure == "missing sound":
                write_sound(secret, 2.0)
    finally:
        preferences.log_level = "WARNING"
        log._handler.setStream(terminal)
