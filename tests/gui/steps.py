# SPDX-License-Identifier: GPL-3.0-or-later
"""What a newcomer does, driven inside a real Blender window; test_window.py judges what it records.

Runs under the window harness, whose `gui` module it imports. Results go to result.json beside the
screenshots, after every step, so that a crash still leaves what came before.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import bpy
import gui

PACKAGE = "bl_ext.user_default.kinesics"
OUT = Path(os.environ["GUI_OUT"])
SPEECH = OUT / "speech.flac"
GENERATE_LIMIT_S = 300.0
TICK_S = 0.02
"""The main thread is looked at this often while a job runs."""

record: dict[str, Any] = {"version": bpy.app.version_string}


def note(**values: Any) -> None:
    """Keep results on disk."""
    record.update(values)
    (OUT / "result.json").write_text(json.dumps(record, indent=1))


def session() -> Any:
    """The running Generate, or None."""
    return sys.modules[f"{PACKAGE}.operators.generate"].current_session()


def num_keys() -> int:
    """Keys in all actions."""
    total = 0
    for action in bpy.data.actions:
        if hasattr(action, "layers"):
            bags = [bag for layer in action.layers for strip in layer.strips for bag in strip.channelbags]
            total += sum(len(curve.keyframe_points) for bag in bags for curve in bag.fcurves)
        else:
            total += sum(len(curve.keyframe_points) for curve in action.fcurves)
    return total


def armatures() -> list[bpy.types.Object]:
    """Characters in the scene."""
    return [thing for thing in bpy.context.scene.objects if thing.type == "ARMATURE"]


def watch(limit_s: float) -> Generator[float, None, dict[str, float]]:
    """Let a job run to its end and measure how long the main thread was away between two looks."""
    start = last = time.perf_counter()
    gaps: list[float] = []
    while session() is not None and time.perf_counter() - start < limit_s:
        yield TICK_S
        now = time.perf_counter()
        gaps.append(now - last - TICK_S)
        last = now
    # The last look spans the final write, which may block.
    during = sorted(gaps[:-1]) or [0.0]
    return {
        "wall_s": last - start,
        "final_gap_s": gaps[-1] if gaps else 0.0,
        "worst_gap_s": during[-1],
        "median_gap_s": during[len(during) // 2],
        "share_over_50ms": sum(gap > 0.05 for gap in during) / len(during),
    }


def put_speech_strip() -> None:
    """Put the speech file on channel 1 at frame 11 and make it active."""
    scene = bpy.context.scene
    editor = scene.sequence_editor or scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    strip = strips.new_sound("speech", str(SPEECH), channel=1, frame_start=11)
    editor.active_strip = strip
    strip.select = True
    if hasattr(bpy.context.workspace, "sequencer_scene"):
        bpy.context.workspace.sequencer_scene = scene


def steps() -> Generator[float, None, None]:
    """The whole visit."""
    for name in ("Cube",):
        if name in bpy.data.objects:
            bpy.data.objects.remove(bpy.data.objects[name])
    yield from gui.open_tab("Kinesics")
    yield from gui.widen_panel(110)
    gui.shot("1-tab.png")
    note(tab=True, torch_at_start="torch" in sys.modules)

    with gui.override():
        bpy.ops.kinesics.add_character("INVOKE_DEFAULT", True)  # True: with an undo step, as a click has
    yield 1.0
    note(
        armatures=len(armatures()),
        bones=len(armatures()[0].data.bones) if armatures() else 0,
        shape_keys=max(
            (len(mesh.shape_keys.key_blocks) for mesh in bpy.data.meshes if mesh.shape_keys), default=0
        ),
    )
    with gui.override():
        bpy.ops.view3d.view_selected()
    yield 1.0
    gui.shot("2-character.png")

    put_speech_strip()
    scene = bpy.context.scene
    scene.kinesics.lower.source = "TEXT"
    scene.kinesics.lower.text = "walk forward"
    gui.area().tag_redraw()
    yield 1.0
    gui.shot("3-ready.png")

    # First Generate: pressed, watched, written.
    with gui.override():
        note(first=sorted(bpy.ops.kinesics.generate("INVOKE_DEFAULT")))
    yield 2.0
    gui.shot("4-running.png")
    first = yield from watch(GENERATE_LIMIT_S)
    note(first_run=first, keys=num_keys(), actions=len(bpy.data.actions))
    scene.frame_set(40)
    with gui.override():
        bpy.ops.view3d.view_selected()
    yield 1.5
    gui.shot("5-written.png")

    # Undo takes the whole result back in one step.
    with gui.override():
        bpy.ops.ed.undo()
    yield 1.0
    note(keys_after_undo=num_keys(), armatures_after_undo=len(armatures()))
    with gui.override():
        bpy.ops.ed.redo()
    yield 1.0

    # Second Generate, stopped by the Esc key over the 3D View.
    before = num_keys()
    with gui.override():
        note(second=sorted(bpy.ops.kinesics.generate("INVOKE_DEFAULT")))
    view = gui.region(name="WINDOW")
    x, y = view.x + view.width // 3, gui.window().height - (view.y + view.height // 2)
    gui.xdo("mousemove", x, y)
    yield 0.8
    running = session() is not None
    pressed = time.perf_counter()
    gui.xdo("key", "Escape")
    while session() is not None and time.perf_counter() - pressed < 10.0:
        yield TICK_S
    note(
        ran_before_esc=running,
        esc_s=time.perf_counter() - pressed,
        keys_changed_by_esc=num_keys() - before,
    )
    yield 0.5
    gui.shot("6-stopped.png")

    # Third Generate: works as well as the first.
    with gui.override():
        note(third=sorted(bpy.ops.kinesics.generate("INVOKE_DEFAULT")))
    third = yield from watch(GENERATE_LIMIT_S)
    note(third_run=third, keys_third=num_keys(), finished=True)


gui.run(steps())
