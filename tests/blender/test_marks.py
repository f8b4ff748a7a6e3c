# SPDX-License-Identifier: GPL-3.0-or-later
"""Beats and syllables of the speech as markers: where the sound has them, and gone again on request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.blender.support import add_strip, bpy, fingerprint, needs_audaspace, refusal

SYLLABLES_S = (0.4, 0.65, 1.3, 1.5, 2.2)
LOUD = (0.4, 1.5, 2.2)
"""Syllables that are louder than their neighbours."""


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    """A sound of five syllables, three of them loud."""
    import soundfile

    rate = 16000
    sound = np.random.default_rng(0).normal(0.0, 1e-4, 3 * rate)
    times = np.arange(round(0.15 * rate)) / rate
    voice = sum(np.sin(2.0 * np.pi * 140.0 * tone * times) / tone for tone in (1, 2, 3, 4))
    fade = np.minimum(1.0, np.minimum(times / 0.01, (0.15 - times) / 0.05))
    for second in SYLLABLES_S:
        start = round(second * rate)
        sound[start : start + len(times)] += (0.3 if second in LOUD else 0.05) * fade * voice
    path = tmp_path / "spoken.wav"
    soundfile.write(path, sound, rate)
    return path


def markers(name: str) -> list[int]:
    return sorted(marker.frame for marker in bpy.context.scene.timeline_markers if marker.name == name)


def frames_of(seconds: tuple[float, ...], first: int) -> list[int]:
    return [first + round(second * 30) for second in seconds]


def mark(scene: Any, spoken: Path, first: int, kind: str) -> None:
    scene.kinesics.audio_source, scene.kinesics.audio_path = "FILE", str(spoken)
    scene.kinesics.frame_start = first
    assert bpy.ops.kinesics.mark_beats(kind=kind) == {"FINISHED"}


def test_beats_and_syllables_stand_where_they_sound(scene: Any, spoken: Path) -> None:
    mark(scene, spoken, 11, "SYLLABLES")
    assert markers("Syllable") == pytest.approx(frames_of(SYLLABLES_S, 11), abs=1) and not markers("Beat")
    mark(scene, spoken, 11, "BEATS")
    assert markers("Beat") == pytest.approx(frames_of(LOUD, 11), abs=1) and not markers("Syllable")


def test_marks_are_replaced_and_taken_away_and_others_stay(scene: Any, spoken: Path) -> None:
    scene.timeline_markers.new("Mine", frame=20)
    scene.timeline_markers.new("Beat", frame=500)
    mark(scene, spoken, 1, "BEATS")
    mark(scene, spoken, 1, "BEATS")
    assert len(markers("Beat")) == len(LOUD) + 1 and 500 in markers("Beat")
    assert bpy.ops.kinesics.mark_beats(kind="NONE") == {"FINISHED"}
    assert [marker.name for marker in scene.timeline_markers] == ["Mine"]


def test_the_rate_of_the_scene_counts(scene: Any, spoken: Path) -> None:
    scene.render.fps = 24
    mark(scene, spoken, 1, "BEATS")
    assert markers("Beat") == pytest.approx([1 + round(second * 24) for second in LOUD], abs=1)


def test_one_undo_takes_the_marks_back(scene: Any, spoken: Path) -> None:
    scene.kinesics.audio_source, scene.kinesics.audio_path = "FILE", str(spoken)
    bpy.ops.ed.undo_push(message="Before")
    assert bpy.ops.kinesics.mark_beats("EXEC_DEFAULT", True, kind="BEATS") == {"FINISHED"}
    assert markers("Beat")
    bpy.ops.ed.undo()
    assert not markers("Beat")


@needs_audaspace
def test_a_trimmed_strip_has_the_marks_of_what_is_heard(scene: Any, spoken: Path) -> None:
    strip = add_strip(spoken, frame_start=101)
    strip.frame_offset_start, strip.frame_offset_end = 30, 15
    assert bpy.ops.kinesics.mark_beats(kind="SYLLABLES") == {"FINISHED"}
    heard = frames_of(SYLLABLES_S[2:], 101)
    assert markers("Syllable") == pytest.approx(heard, abs=1)
    assert all(strip.frame_final_start <= frame < strip.frame_final_end for frame in markers("Syllable"))


def test_without_speech_it_says_what_to_do(scene: Any, tmp_path: Path) -> None:
    before = fingerprint()
    scene.kinesics.audio_source = "NONE"
    assert "no speech" in refusal(lambda: bpy.ops.kinesics.mark_beats(kind="BEATS"))
    scene.kinesics.audio_source, scene.kinesics.audio_path = "FILE", str(tmp_path / "gone.wav")
    assert "does not exist" in refusal(lambda: bpy.ops.kinesics.mark_beats(kind="BEATS"))
    (tmp_path / "gone.wav").write_bytes(b"no sound")
    refusal(lambda: bpy.ops.kinesics.mark_beats(kind="BEATS"))
    assert fingerprint() == before and not len(scene.timeline_markers)


def test_a_scene_deleted_meanwhile_is_named(scene: Any, module: Any) -> None:
    marks = module("operators.marks")
    with pytest.raises(module("operators.errors").TargetLostError, match='"Gone" was deleted'):
        marks.set_marks(marks.Marks("Gone", "Beat", (0.5,), 1, 90, 30.0))
