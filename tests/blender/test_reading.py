# SPDX-License-Identifier: GPL-3.0-or-later
"""Read Emotion and Describe Motion, with a stand-in for the one who answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.blender.support import KEY, StandInEngine, bpy, fingerprint, make_clip, refusal
from tests.blender.test_register import Layout
from tests.blender.test_rigs import build
from tests.rigs import documented_rig


class Answers:
    """Feels the later, the more: anger first, fear from the second second on."""

    def __init__(self) -> None:
        self.clips: list[Any] = []

    def emotion(self, request: Any) -> Any:
        self.clips.append(request.clip)
        emotions = ("neutral", "happiness", "anger", "sadness", "contempt", "surprise", "fear", "disgust")
        likeliest = "fear" if len(self.clips) > 2 else "anger"
        return SimpleNamespace(probabilities={name: 0.65 if name == likeliest else 0.05 for name in emotions})

    def describe(self, request: Any) -> Any:
        self.clips.append(request.clip)
        return SimpleNamespace(text="a person waves with both hands and walks on")


@pytest.fixture
def answers(engine: StandInEngine, module: Any, monkeypatch: pytest.MonkeyPatch) -> Answers:
    asked = Answers()
    monkeypatch.setattr(module("engine.asking"), "Asker", lambda _engine: asked)
    return asked


@pytest.fixture
def moving(character: Any, module: Any) -> Any:
    """A character with six seconds of motion."""
    specs = module("engine.specs")
    module("operators.delivery").deliver(make_clip(180), character, tuple(specs.Part), 1, "Moves")
    return character


def test_an_emotion_is_read_and_drawn_as_bars(answers: Answers, moving: Any, module: Any) -> None:
    assert bpy.ops.kinesics.read_emotion() == {"FINISHED"}
    reading = bpy.context.scene.kinesics_reading
    assert (reading.of, reading.first, reading.last) == (moving.name, 1, 180)
    assert reading.has_emotion and list(reading.chances) == pytest.approx([0.05, 0.05, 0.65] + 5 * [0.05])
    assert [clip.num_frames for clip in answers.clips] == [180]
    layout = Layout()
    module("ui.reading_panel").KINESICS_PT_reading.draw(SimpleNamespace(layout=layout), bpy.context)
    assert {"Anger 65%", moving.name, "Frames 1 to 180"} <= set(layout.drawn)
    assert len(bpy.context.scene.timeline_markers) == 0


def test_markers_stand_where_the_emotion_changes(answers: Answers, moving: Any) -> None:
    scene = bpy.context.scene
    scene.timeline_markers.new("Mine", frame=50)
    scene.timeline_markers.new("Emotion: old", frame=70)
    assert bpy.ops.kinesics.read_emotion(over_time=True) == {"FINISHED"}
    marks = sorted((marker.frame, marker.name) for marker in scene.timeline_markers)
    assert marks == [(1, "Emotion: anger 65%"), (50, "Mine"), (61, "Emotion: fear 65%")]


def test_the_preview_range_counts(answers: Answers, moving: Any) -> None:
    scene = bpy.context.scene
    scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, 31, 90
    assert bpy.ops.kinesics.describe_motion() == {"FINISHED"}
    reading = scene.kinesics_reading
    assert (reading.first, reading.last) == (31, 90) and answers.clips[0].num_frames == 60
    assert reading.words == "a person waves with both hands and walks on"


def test_another_programs_rig_is_read(answers: Answers, scene: Any, module: Any) -> None:
    armature = build("Bob", documented_rig("mixamo"))
    for frame in (1, 60):
        armature.pose.bones[0].rotation_quaternion = (1.0, 0.0, 0.01 * frame, 0.0)
        armature.pose.bones[0].keyframe_insert("rotation_quaternion", frame=frame)
    bpy.context.scene.frame_set(1)
    before = fingerprint()
    assert bpy.ops.kinesics.describe_motion() == {"FINISHED"}
    assert fingerprint() == before and answers.clips[0].num_frames == 60
    assert scene.kinesics_reading.of == armature.name


def test_answers_of_another_range_do_not_stay(answers: Answers, moving: Any) -> None:
    scene = bpy.context.scene
    assert bpy.ops.kinesics.read_emotion() == {"FINISHED"}
    assert bpy.ops.kinesics.describe_motion() == {"FINISHED"}
    assert scene.kinesics_reading.has_emotion and scene.kinesics_reading.words
    scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, 31, 90
    assert bpy.ops.kinesics.describe_motion() == {"FINISHED"}
    assert scene.kinesics_reading.words and not scene.kinesics_reading.has_emotion


def test_a_short_rest_at_the_end_is_no_piece_of_its_own(answers: Answers, moving: Any) -> None:
    """130 frames are two pieces of 60 and 10 frames that are too short to be asked about; 140 are three."""
    scene = bpy.context.scene
    scene.use_preview_range, scene.frame_preview_start = True, 1
    for end, lengths in ((130, [130, 60, 60]), (140, [140, 60, 60, 20]), (8, [8, 8])):
        answers.clips.clear()
        scene.frame_preview_end = end
        assert bpy.ops.kinesics.read_emotion(over_time=True) == {"FINISHED"}
        assert [clip.num_frames for clip in answers.clips] == lengths


def test_one_undo_takes_the_markers_back(answers: Answers, moving: Any) -> None:
    scene_name = bpy.context.scene.name
    bpy.ops.ed.undo_push(message="Before")
    assert bpy.ops.kinesics.read_emotion("EXEC_DEFAULT", True, over_time=True) == {"FINISHED"}
    assert len(bpy.data.scenes[scene_name].timeline_markers) == 2
    bpy.ops.ed.undo()
    scene = bpy.data.scenes[scene_name]
    assert len(scene.timeline_markers) == 0 and not scene.kinesics_reading.has_emotion


def run(session: Any, limit_s: float = 20.0) -> None:
    end = time.monotonic() + limit_s
    while not session.tick():
        assert time.monotonic() < end, "the reading did not end"
        time.sleep(0.005)


def test_a_character_deleted_while_it_is_read_is_named(answers: Answers, moving: Any, module: Any) -> None:
    reading = module("operators.reading")
    session = reading.AskSession(bpy.context, reading.words_of)
    bpy.data.objects.remove(moving)
    with pytest.raises(module("operators.errors").TargetLostError, match="was deleted or undone"):
        run(session)
    assert not answers.clips


def test_a_reading_can_be_stopped(answers: Answers, moving: Any, module: Any) -> None:
    reading = module("operators.reading")
    session = reading.AskSession(bpy.context, reading.words_of)
    session.tick()
    session.cancel()
    run(session)
    with pytest.raises(module("engine.errors").Cancelled):
        session.result()


def test_a_scene_deleted_meanwhile_is_named(moving: Any, module: Any) -> None:
    reading = module("operators.reading")
    place = replace(reading.read_place(bpy.context), scene_name="Gone")
    with pytest.raises(module("operators.errors").TargetLostError, match='"Gone" was deleted'):
        reading.note(place)


@pytest.fixture
def chosen_pack(module: Any) -> Iterator[Any]:
    """Choose a pack in the preferences, for a test."""
    preferences = bpy.context.preferences.addons[KEY].preferences
    yield lambda folder: setattr(preferences, "pack_dir", str(folder))
    preferences.pack_dir = ""
    module("operators.engine_host").release()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """A pack that knows two motions by heart, and these."""
    pytest.importorskip("accelerate", reason="needs what training needs")
    from tests.stage_material import write_asking_pack

    pack, clips = write_asking_pack(tmp_path_factory.mktemp("asking"))
    return pack.root, clips


def test_a_trained_pack_reads_what_it_has_learned(
    character: Any, module: Any, trained: tuple[Path, list[Any]], chosen_pack: Any
) -> None:
    """The real model, from keys to words."""
    folder, clips = trained
    chosen_pack(folder)
    specs, reading = module("engine.specs"), bpy.context.scene.kinesics_reading
    said: list[tuple[str, str]] = []
    for clip in clips:
        module("operators.delivery").deliver(clip, character, tuple(specs.Part), 1, "Known")
        assert bpy.ops.kinesics.read_emotion() == {"FINISHED"}
        assert bpy.ops.kinesics.describe_motion() == {"FINISHED"}
        assert sum(reading.chances) == pytest.approx(1.0, abs=1e-4)
        said.append((specs.EMOTIONS[list(reading.chances).index(max(reading.chances))], reading.words))
    assert said == [("anger", "walk forward"), ("sadness", "jump")]


def test_takes_say_which_emotion_they_show(
    character: Any, module: Any, trained: tuple[Path, list[Any]], chosen_pack: Any
) -> None:
    chosen_pack(trained[0])
    settings, reading = bpy.context.scene.kinesics, bpy.context.scene.kinesics_reading
    settings.audio_source, settings.duration_s, settings.num_takes = "NONE", 2.0, 2
    for part in ("face", "hands", "upper", "lower"):
        direction = getattr(settings, part)
        direction.source, direction.text = "TEXT", "walk forward"
    assert bpy.ops.kinesics.generate_takes() == {"FINISHED"}
    emotions, lines = module("engine.specs").EMOTIONS, module("ui.take_panel").measure_lines
    takes = character.kinesics_takes
    for index in range(2):
        takes.index = index
        assert bpy.ops.kinesics.read_emotion() == {"FINISHED"}
        take, chance = takes.items[index], max(reading.chances)
        assert take.emotion == emotions[list(reading.chances).index(chance)]
        assert take.emotion_chance == pytest.approx(chance, abs=0.02)
        assert lines(take)[-1] == f"Shows {take.emotion.capitalize()} {take.emotion_chance:.0%}"


def test_takes_of_a_pack_without_words_show_none(character: Any, engine: StandInEngine, module: Any) -> None:
    settings = bpy.context.scene.kinesics
    settings.audio_source, settings.lower.source, settings.lower.text = "NONE", "TEXT", "walk"
    assert bpy.ops.kinesics.generate_takes() == {"FINISHED"}
    take = character.kinesics_takes.items[0]
    assert take.measured and not take.emotion
    assert not any("Shows" in line for line in module("ui.take_panel").measure_lines(take))


def test_a_pack_without_words_says_so_in_one_sentence(moving: Any, tiny_pack: Path, chosen_pack: Any) -> None:
    chosen_pack(tiny_pack)
    bpy.context.scene.frame_set(1)
    before = fingerprint()
    for operator in (bpy.ops.kinesics.read_emotion, bpy.ops.kinesics.describe_motion):
        assert "was not trained to say what a motion shows: choose one that was" in refusal(operator)
    assert fingerprint() == before and not bpy.context.scene.kinesics_reading.has_emotion


def test_a_motion_of_a_few_frames_is_refused(
    character: Any, module: Any, trained: tuple[Path, list[Any]], chosen_pack: Any
) -> None:
    chosen_pack(trained[0])
    module("operators.delivery").deliver(
        make_clip(8), character, tuple(module("engine.specs").Part), 1, "Short"
    )
    assert "too short to be read" in refusal(bpy.ops.kinesics.describe_motion)
