# SPDX-License-Identifier: GPL-3.0-or-later
"""Instructions on the timeline: where they come from, what they mean, and what is wrong with some."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.blender.support import add_strip, bpy, fingerprint, keys_of, needs_audaspace, refusal


@pytest.fixture
def instructions(module: Callable[[str], Any]) -> Any:
    return module("operators.bridge.instructions")


@pytest.fixture
def from_text(scene: Any, character: Any) -> Any:
    """Five seconds from text, from frame 1 on; the lower body follows words."""
    settings = scene.kinesics
    settings.audio_source, settings.duration_s, settings.frame_start = "NONE", 5.0, 1
    settings.lower.source = "TEXT"
    return settings


def add(frame: int, text: str, part: str = "LOWER", length: int | None = None) -> Any:
    """Add an instruction as the button does, then trim it as the animator would."""
    scene = bpy.context.scene
    scene.frame_set(frame)
    assert bpy.ops.kinesics.add_instruction(part=part, text=text) == {"FINISHED"}
    strip = scene.sequence_editor.active_strip
    if length is not None:
        strip.frame_final_end = frame + length
    return strip


def test_the_button_makes_named_muted_channels(scene: Any, instructions: Any, module: Any) -> None:
    part = module("engine.specs").Part
    first, second, third = add(1, "walk forward"), add(20, "jump"), add(1, "wave", "UPPER")
    places = [(int(s.frame_final_start), int(s.frame_final_end)) for s in (first, second, third)]
    assert places == [(1, 91), (91, 181), (1, 91)]
    channels = scene.sequence_editor.channels
    assert (channels[first.channel].name, channels[third.channel].name) == ("Lower Body", "Upper Body")
    assert channels[first.channel].mute and channels[third.channel].mute and first.channel == second.channel
    assert instructions.part_of(scene, second) is part.LOWER
    assert scene.sequence_editor.active_strip == third and third.select and not first.select
    third.channel = first.channel + 5
    assert instructions.part_of(scene, third) is None


def test_a_new_one_ends_where_the_next_begins(scene: Any) -> None:
    add(60, "jump")
    assert int(add(11, "walk forward").frame_final_end) == 60


def test_the_text_of_the_part_is_taken_over(scene: Any) -> None:
    scene.kinesics.lower.text = "run backwards"
    assert add(1, "").text == "run backwards"
    scene.kinesics.lower.text = ""
    assert add(200, "").text == "stand still"


def test_they_reach_the_engine_in_seconds_of_the_motion(
    scene: Any, from_text: Any, engine: Any, module: Any
) -> None:
    specs = module("engine.specs")
    from_text.frame_start = 31
    add(31, "walk forward", length=90)
    add(121, "turn left", length=60)
    add(400, "jump", length=60)
    muted = add(50, "wave", "UPPER", length=30)
    muted.mute = True
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    directions = engine.requests[0].directions
    walk, turn = specs.Segment(0.0, 3.0, "walk forward"), specs.Segment(3.0, 5.0, "turn left")
    assert directions == {specs.Part.LOWER: specs.PartDirection(specs.Source.TEXT, "", (walk, turn))}
    assert bpy.context.scene.kinesics.character.animation_data.action.name == "walk forward"


def test_a_part_from_speech_without_speech_follows_its_instructions(
    from_text: Any, engine: Any, module: Any
) -> None:
    specs = module("engine.specs")
    from_text.lower.source = "SPEECH"
    add(1, "jump")
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    direction = engine.requests[0].directions[specs.Part.LOWER]
    assert direction.source is specs.Source.TEXT and direction.segments[0].text == "jump"


def test_a_kept_part_has_none(from_text: Any, character: Any, engine: Any, module: Any) -> None:
    specs = module("engine.specs")
    from_text.upper.source = "KEEP"
    add(1, "walk forward")
    add(1, "wave", "UPPER")
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    assert engine.requests[0].directions[specs.Part.UPPER] == specs.PartDirection(specs.Source.KEEP)


def test_a_stretch_counts_from_its_own_beginning(
    scene: Any, from_text: Any, character: Any, engine: Any, module: Any
) -> None:
    """Second 0 of a stretch is the first frame that is read around it."""
    specs = module("engine.specs")
    add(1, "walk forward", length=90)
    turn = add(91, "turn left", length=60)
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, 60, 120
    for part in ("face", "hands", "upper"):
        getattr(from_text, part).source = "KEEP"
    turn.text = "turn right"
    assert bpy.ops.kinesics.regenerate() == {"FINISHED"}
    segments = engine.requests[1].directions[specs.Part.LOWER].segments
    read_first = 60 - 32
    assert [(round(s.start_s * 30), round(s.end_s * 30), s.text) for s in segments] == [
        (1 - read_first, 91 - read_first, "walk forward"),
        (91 - read_first, 151 - read_first, "turn right"),
    ]


@pytest.mark.parametrize(
    ("strips", "words"),
    [
        ([(1, 60, "walk forward"), (30, 90, "jump")], 'Lower Body: .*"walk forward" and "jump".*overlap'),
        ([(1, 11, "walk forward")], "Lower Body: .*lasts 0.33 s; make it last"),
        ([(1, 60, " ")], "Lower Body: The instruction is empty"),
    ],
)
def test_what_cannot_be_followed_changes_nothing(
    from_text: Any, engine: Any, strips: list[tuple[int, int, str]], words: str
) -> None:
    for number, (start, end, text) in enumerate(strips):
        strip = add(start, "walk", "HANDS" if number else "LOWER", end - start)
        strip.text = text
        if number:  # Blender moves a strip that is dragged onto another; two channels may mean one part
            bpy.context.scene.sequence_editor.channels[strip.channel].name = "lower body "
    before = fingerprint()
    assert re.search(words, refusal(bpy.ops.kinesics.generate))
    assert not engine.requests and fingerprint() == before


@needs_audaspace
def test_the_sound_under_the_active_instruction_is_spoken(
    scene: Any, character: Any, engine: Any, speech: Path, instructions: Any
) -> None:
    first, second = add_strip(speech, 1, "One"), add_strip(speech, 101, "Two")
    text = add(110, "jump", length=30)
    assert scene.sequence_editor.active_strip == text
    assert instructions.spoken_strip(scene) == second
    text.frame_start = 20
    assert instructions.spoken_strip(scene) == first
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    assert character.animation_data.action.name == "One"
    text.frame_start = 500
    assert "click a sound strip" in refusal(bpy.ops.kinesics.generate)


def test_through_a_whole_engine(
    from_text: Any,
    character: Any,
    module: Any,
    tiny_pack: Path,
) -> None:
    """What stands before the second instruction does not depend on it; what follows does."""
    preferences = module("operators.generate").preferences_of(bpy.context)
    preferences.pack_dir = str(tiny_pack)
    add(1, "walk forward", length=90)
    strip = add(91, "turn left", length=60)
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    first = keys_of(character)['pose.bones["left_hip"].rotation_quaternion', 1]
    strip.text = "jump high"
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    second = keys_of(character)['pose.bones["left_hip"].rotation_quaternion', 1]
    preferences.pack_dir = ""
    module("operators.engine_host").release()
    same = np.isclose(first[:, 1], second[:, 1], atol=1e-6)
    assert len(first) == 150 and same[:60].all() and not same[91:].all()
