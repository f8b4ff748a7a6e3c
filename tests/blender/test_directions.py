# SPDX-License-Identifier: GPL-3.0-or-later
"""Directions kept under a name: they come back in another file, and a damaged one changes nothing."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.blender.support import bpy, fingerprint, make_clip, refusal
from tests.blender.test_register import Layout

PARTS = ("face", "hands", "upper", "lower")


@pytest.fixture
def folder(module: Any) -> Iterator[Path]:
    """Where directions are kept, emptied again."""
    path = module("operators.presets").folder("directions")
    yield path
    for item in path.iterdir():
        item.unlink()


def said(scene: Any) -> list[Any]:
    """The direction as it is set."""
    settings = scene.kinesics
    parts = [getattr(settings, part) for part in PARTS]
    return [
        *((part.source, part.text, part.emotion) for part in parts),
        (settings.emotion, settings.part_emotions, round(settings.variation, 4)),
    ]


def energies(character: Any) -> list[float]:
    return [round(getattr(character.kinesics_shape, f"energy_{part}"), 3) for part in PARTS]


def direct(scene: Any) -> list[Any]:
    """Set something in every place."""
    settings = scene.kinesics
    settings.emotion, settings.part_emotions, settings.variation = "ANGER", True, 0.8
    for part, source, text, emotion in (
        ("face", "SPEECH", "", "FEAR"),
        ("hands", "KEEP", "", "SAME"),
        ("upper", "BOTH", 'wave, "hello" \u2013 both hands', "HAPPINESS"),
        ("lower", "TEXT", "walk forward", "SAME"),
    ):
        direction = getattr(settings, part)
        direction.source, direction.text, direction.emotion = source, text, emotion
    return said(scene)


def test_a_direction_comes_back_in_another_file(scene: Any, folder: Path) -> None:
    wanted = direct(scene)
    assert bpy.ops.kinesics.save_direction(name="Angry walk 2") == {"FINISHED"}
    text = (folder / "Angry walk 2.json").read_text(encoding="utf-8")
    assert '"text": "walk forward"' in text and text.count("\n") > 20, "a person can read it"
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    fresh = bpy.context.scene
    assert said(fresh) != wanted
    assert bpy.ops.kinesics.load_direction(preset="Angry walk 2") == {"FINISHED"}
    assert said(fresh) == wanted


def test_energies_come_along_and_shape_the_motion(character: Any, module: Any, folder: Path) -> None:
    parts = tuple(module("engine.specs").Part)
    deliver = module("operators.delivery").deliver
    deliver(make_clip(30), character, parts, 1, "Line")
    shape = character.kinesics_shape
    shape.energy_upper, shape.energy_lower = 0.5, 1.25
    shaped = fingerprint()
    bpy.ops.kinesics.save_direction(name="Calm")
    assert bpy.ops.kinesics.reset_shape() == {"FINISHED"}
    assert energies(character) == [1.0, 1.0, 1.0, 1.0] and fingerprint() != shaped
    assert bpy.ops.kinesics.load_direction(preset="Calm") == {"FINISHED"}
    assert energies(character) == [1.0, 1.0, 0.5, 1.25]
    assert module("operators.shaping").is_shaped(character)
    assert not module("operators.shaping").is_pending(character)


def test_without_a_character_energies_are_left_alone(
    character: Any, scene: Any, module: Any, folder: Path
) -> None:
    character.kinesics_shape.energy_hands = 1.5
    scene.kinesics.character = None
    bpy.context.view_layer.objects.active = None
    bpy.ops.kinesics.save_direction(name="Nobody")
    assert "energy" not in json.loads((folder / "Nobody.json").read_text())["parts"]["hands"]
    scene.kinesics.character = character
    assert bpy.ops.kinesics.load_direction(preset="Nobody") == {"FINISHED"}
    assert energies(character) == [1.0, 1.5, 1.0, 1.0]


def damages(table: dict[str, Any]) -> Iterator[str]:
    """Files that are no direction."""
    yield from ("{", "[]", "null", "[" * 50000, "{}", json.dumps(table | {"parts": []}))
    for path, value in (
        (("emotion",), "RAGE"),
        (("emotion",), 3),
        (("part_emotions",), 1),
        (("variation",), True),
        (("variation",), 99.0),
        (("variation",), float("nan")),
        (("variation",), "1"),
        (("parts", "lower"), None),
        (("parts", "lower", "source"), "DANCE"),
        (("parts", "lower", "text"), ["walk"]),
        (("parts", "lower", "text"), "x" * 301),
        (("parts", "lower", "text"), "walk\u0000"),
        (("parts", "lower", "text"), "walk\ud800"),
        (("parts", "lower", "emotion"), None),
        (("parts", "lower", "energy"), 3.0),
        (("parts", "lower", "energy"), "much"),
    ):
        broken = copy.deepcopy(table)
        *way, last = path
        place = broken
        for step in way:
            place = place[step]
        place[last] = value
        yield json.dumps(broken)


def test_a_damaged_direction_is_named_and_changes_nothing(character: Any, scene: Any, folder: Path) -> None:
    direct(scene)
    bpy.ops.kinesics.save_direction(name="Mine")
    path = folder / "Mine.json"
    table = json.loads(path.read_text(encoding="utf-8"))
    scene.kinesics.lower.text, scene.kinesics.emotion = "jump", "ANY"
    before, print_before = said(scene), fingerprint()
    for content in damages(table):
        path.write_text(content)
        sentence = refusal(lambda: bpy.ops.kinesics.load_direction(preset="Mine"))
        assert sentence.startswith('The preset "Mine" is missing or damaged'), content
        assert said(scene) == before and energies(character) == [1.0] * 4, content
    path.write_text(" " * 100_001 + json.dumps(table))
    assert "damaged" in refusal(lambda: bpy.ops.kinesics.load_direction(preset="Mine"))
    assert fingerprint() == print_before
    path.write_text(json.dumps(table))
    assert bpy.ops.kinesics.load_direction(preset="Mine") == {"FINISHED"}


def test_what_could_not_be_loaded_is_not_saved(scene: Any, folder: Path) -> None:
    scene.kinesics.upper.text = "wave " * 80
    assert "Upper Body has more than 300" in refusal(lambda: bpy.ops.kinesics.save_direction(name="Long"))
    scene.kinesics.upper.text = " wave\tboth\narms "
    assert "letters, digits" in refusal(lambda: bpy.ops.kinesics.save_direction(name="a/../b"))
    assert not list(folder.iterdir())
    bpy.ops.kinesics.save_direction(name="Short")
    bpy.ops.kinesics.load_direction(preset="Short")
    assert scene.kinesics.upper.text == "wave both arms"


def test_one_undo_takes_a_direction_back(scene: Any, folder: Path) -> None:
    wanted = direct(scene)
    bpy.ops.kinesics.save_direction(name="Mine")
    scene.kinesics.lower.text, scene.kinesics.emotion = "jump", "ANY"
    before = said(scene)
    bpy.ops.ed.undo_push(message="Before")
    assert bpy.ops.kinesics.load_direction("EXEC_DEFAULT", True, preset="Mine") == {"FINISHED"}
    assert said(bpy.context.scene) == wanted
    bpy.ops.ed.undo()
    assert said(bpy.context.scene) == before


def test_the_panel_offers_both(character: Any, module: Any) -> None:
    layout = Layout()
    module("ui.panels").KINESICS_PT_main.draw(SimpleNamespace(layout=layout), bpy.context)
    assert {"kinesics.save_direction", "kinesics.load_direction"} <= set(layout.drawn)
