# SPDX-License-Identifier: GPL-3.0-or-later
"""The ghost of the take before, in real Blender: where it stands, whose it is, and that it leaves nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.blender.support import bpy, disable, enable, fingerprint, make_clip


@pytest.fixture
def ready(scene: Any, character: Any, engine: Any, module: Any) -> Any:
    """A character with two takes and no motion before them; gives the module of the ghost."""
    settings = scene.kinesics
    settings.audio_source, settings.duration_s, settings.num_takes = "NONE", 2.0, 2
    settings.lower.source, settings.lower.text = "TEXT", "walk forward"
    for part in ("face", "hands", "upper"):
        getattr(settings, part).source, getattr(settings, part).text = "TEXT", "stand"
    assert bpy.ops.kinesics.generate_takes() == {"FINISHED"}
    ghost = module("operators.ghost")
    yield ghost
    ghost.turn_off()


def choose(index: int) -> None:
    bpy.data.objects["Ada"].kinesics_takes.index = index


def whose(ghost: Any) -> str | None:
    take = ghost.ghost_take(bpy.data.objects["Ada"])
    return take.name if take is not None else None


def joints_and_ends(character: Any) -> tuple[np.ndarray, np.ndarray]:
    """Where the bones are seen now in the world: their heads, and heads and tails."""
    bpy.context.view_layer.update()
    shown = character.evaluated_get(bpy.context.evaluated_depsgraph_get())
    heads = [tuple(shown.matrix_world @ bone.head) for bone in shown.pose.bones]
    tails = [tuple(shown.matrix_world @ bone.tail) for bone in shown.pose.bones]
    return np.array(heads), np.array(heads + tails)


def furthest(points: np.ndarray, others: np.ndarray) -> float:
    """Largest distance from one of the points to the nearest of the others."""
    return float(np.linalg.norm(points[:, None] - others[None], axis=-1).min(axis=1).max())


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "AXIS_ANGLE"])
def test_it_stands_where_the_take_before_would(ready: Any, character: Any, module: Any, mode: str) -> None:
    character.location, character.rotation_euler = (1.0, 2.0, 0.5), (0.0, 0.0, 1.2)
    if mode != "QUATERNION":  # takes are written in the mode that each bone has
        for bone in character.pose.bones[3:20]:
            bone.rotation_mode = mode
        assert bpy.ops.kinesics.generate_takes() == {"FINISHED"}
    last = len(character.kinesics_takes.items) - 1
    for frame in (1, 25, 60):
        choose(last - 1)
        bpy.context.scene.frame_set(frame)
        heads, ends = joints_and_ends(character)
        choose(last)
        bpy.context.scene.frame_set(frame)
        assert furthest(heads, joints_and_ends(character)[1]) > 0.01, "both takes are the same"
        lines = ready.lines_now(bpy.context)
        assert furthest(heads, lines) < 1e-4 and furthest(lines, ends) < 1e-4


def test_it_is_the_one_that_was_on_show_before(ready: Any, character: Any, module: Any) -> None:
    assert whose(ready) is None, "nothing was on show before the first"
    choose(1)
    assert whose(ready) == "Take 1"
    choose(0)
    assert whose(ready) == "Take 2"
    assert bpy.ops.kinesics.generate_takes() == {"FINISHED"}
    assert whose(ready) == "Take 1", "what was seen before new takes were made"
    choose(1)
    assert whose(ready) == "Take 3"
    assert bpy.ops.kinesics.delete_take(index=2) == {"FINISHED"}
    assert whose(ready) == "Take 1", "the one before is gone, so it is the one before that"
    assert bpy.ops.kinesics.reduce_keys() == {"FINISHED"}
    assert whose(ready) == "Take 2"


def test_a_motion_of_the_animators_own_is_compared_too(
    scene: Any, character: Any, engine: Any, module: Any
) -> None:
    module("operators.delivery").deliver(
        make_clip(60), character, tuple(module("engine.specs").Part), 1, "Mine"
    )
    scene.kinesics.audio_source, scene.kinesics.duration_s = "NONE", 2.0
    for part in ("face", "hands", "upper", "lower"):
        direction = getattr(scene.kinesics, part)
        direction.source, direction.text = "TEXT", "stand"
    assert bpy.ops.kinesics.generate_takes() == {"FINISHED"}
    assert whose(module("operators.ghost")) == "Before Take 1"


def test_undo_turns_the_comparison_round(ready: Any) -> None:
    bpy.ops.ed.undo_push(message="Begin")
    choose(1)
    bpy.ops.ed.undo_push(message="Try a take")
    bpy.ops.ed.undo()
    assert bpy.data.objects["Ada"].kinesics_takes.index == 0
    assert whose(ready) == "Take 2"


def test_it_is_drawn_only_while_it_is_on_and_leaves_nothing(
    ready: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers: list[Any] = []
    view = SimpleNamespace(
        draw_handler_add=lambda draw, *place: handlers.append((draw, place)) or handlers[-1],
        draw_handler_remove=lambda handler, _region: handlers.remove(handler),
    )
    monkeypatch.setattr(ready.bpy.types, "SpaceView3D", view)
    choose(1)
    bpy.context.scene.frame_set(1)
    before = fingerprint()
    assert not ready.is_on()
    assert bpy.ops.kinesics.toggle_ghost() == {"FINISHED"}
    assert ready.is_on() and [place for _, place in handlers] == [((), "WINDOW", "POST_VIEW")]
    assert len(ready.lines_now(bpy.context)) > 100
    assert bpy.ops.kinesics.toggle_ghost() == {"FINISHED"}
    assert not ready.is_on() and not handlers
    assert fingerprint() == before


def test_disabling_takes_it_away(ready: Any) -> None:
    bpy.ops.kinesics.toggle_ghost()
    handlers = ready._handlers
    disable()
    try:
        assert not handlers and not ready._shown
    finally:
        enable()


def test_no_ghost_where_it_would_stand_wrong(ready: Any, character: Any, module: Any) -> None:
    text = module("ui.take_panel").ghost_text
    assert text(character) == "Click another take"
    choose(1)
    assert text(character) == "Take 1"
    character.pose.bones["left_foot"].constraints.new("IK")
    assert ready.lines_now(bpy.context) is None and text(character) == "Not with constraints"
    character.pose.bones["left_foot"].constraints[0].mute = True
    assert ready.lines_now(bpy.context) is not None
    character.hide_set(True)
    assert ready.lines_now(bpy.context) is None


def test_without_takes_it_says_why_not(scene: Any, character: Any) -> None:
    assert not bpy.ops.kinesics.toggle_ghost.poll()
    with pytest.raises(RuntimeError, match="no takes: press Generate Takes"):
        bpy.ops.kinesics.toggle_ghost()
