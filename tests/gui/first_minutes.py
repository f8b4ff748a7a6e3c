# SPDX-License-Identifier: GPL-3.0-or-later
"""A newcomer's first five minutes in a real Blender window, by mouse and keyboard alone.

test_window.py judges what this records. Reading Blender's data is how the script sees; every deed is a click
or a key.
"""

from __future__ import annotations

import sys
from collections.abc import Generator

import bpy
import gui
import hands
from hands import Steps, note

MADE_LIMIT_S = 400.0
"""Longest wait for a motion of three seconds on a machine that does much else."""

SPEECH, SAVED = "speech.flac", "first.blend"


def armatures() -> list[bpy.types.Object]:
    """Characters in the scene."""
    return [thing for thing in bpy.context.scene.objects if thing.type == "ARMATURE"]


def add_character() -> Steps:
    """The Cube goes, the character comes."""
    yield from hands.point()
    yield from hands.press("x")
    yield from hands.press("Return")
    note(cube_deleted="Cube" not in bpy.context.scene.objects)
    yield from hands.click("kinesics.add_character")
    yield from hands.wait_until(lambda: len(armatures()) > 0, 20, "a character is there")
    shapes = [len(mesh.shape_keys.key_blocks) for mesh in bpy.data.meshes if mesh.shape_keys]
    note(armatures=len(armatures()), bones=len(armatures()[0].data.bones), shape_keys=max(shapes, default=0))
    yield from hands.point()
    yield from hands.press("KP_Decimal")
    yield from hands.shot("2-character.png")


def add_speech() -> Steps:
    """A sound strip, by the button of the panel and the file browser."""
    yield from hands.click("kinesics.add_speech")
    yield from hands.choose_file(SPEECH)
    strip = bpy.context.scene.sequence_editor.active_strip
    note(strip=None if strip is None else [strip.type, strip.name])
    yield from hands.shot("3-speech.png")


def write_instructions() -> Steps:
    """Lower body by text."""
    yield from hands.choose("kinesics.lower.source", "t")
    yield from hands.fill("kinesics.lower.text", "walk forward")
    lower = bpy.context.scene.kinesics.lower
    note(instruction=[lower.source, lower.text])
    yield from hands.shot("4-ready.png")


def start() -> Steps:
    """Press Generate, and once more where Blender was too busy drawing to notice the click."""
    for _ in range(2):
        yield from hands.click("kinesics.generate(")
        try:
            yield from hands.wait_until(lambda: hands.session() is not None, 5, "a motion is being made")
        except TimeoutError:
            continue
        return
    raise TimeoutError("no motion is being made after two clicks on Generate")


def generate() -> Generator[float, None, dict[str, float]]:
    """Press Generate and watch the main thread until the motion is there."""
    yield from start()
    return (yield from hands.watch(MADE_LIMIT_S))


LONG_S = 300.0
"""Length of a motion that is not finished before it is stopped."""


def ask_for_much() -> Steps:
    """By data: a motion from text so long that there is time to stop it."""
    settings = bpy.context.scene.kinesics
    settings.audio_source, settings.duration_s = "NONE", LONG_S
    yield from hands.shot("7-asked.png")  # which draws the panel as it is now


def stop_by_esc() -> Steps:
    """Esc over the 3D View."""
    before = hands.num_keys()
    yield from start()
    yield from hands.point()
    yield 1.0
    with hands.Stopwatch() as watch:
        yield from hands.press("Escape")
        yield from hands.wait_until(watch.ended, 20, "the panel is idle")
    note(esc={**watch.result(), "keys_changed": hands.num_keys() - before})
    yield from hands.shot("8-stopped.png")


def stop_by_cancel() -> Steps:
    """The Cancel button."""
    before = hands.num_keys()
    yield from start()
    yield from hands.find("kinesics.generate_cancel")
    yield from hands.shot("9-cancel.png")
    with hands.Stopwatch() as watch:
        yield from hands.click("kinesics.generate_cancel")
        yield from hands.wait_until(watch.ended, 20, "the panel is idle")
    note(cancel={**watch.result(), "keys_changed": hands.num_keys() - before})


def play() -> Steps:
    """Space plays and stops."""
    yield from hands.point()
    start = bpy.context.scene.frame_current
    yield from hands.press("space")
    yield from hands.wait_until(lambda: bpy.context.scene.frame_current > start + 5, 60, "it plays")
    yield from hands.press("space")
    note(stopped_at=bpy.context.scene.frame_current, playing=bpy.context.screen.is_animation_playing)
    yield from hands.press("KP_Decimal")
    yield from hands.shot("6-played.png")


def undo_redo() -> Steps:
    """One undo takes the motion back, one redo brings it again."""
    made = hands.num_keys()
    yield from hands.point()
    yield from hands.press("ctrl+z")
    yield from hands.wait_until(lambda: hands.num_keys() != made, 20, "undone")
    undone = hands.num_keys()
    yield from hands.press("ctrl+shift+z")
    yield from hands.wait_until(lambda: hands.num_keys() != undone, 20, "redone")
    note(undo={"made": made, "undone": undone, "redone": hands.num_keys(), "armatures": len(armatures())})


def save_and_load() -> Steps:
    """Save under a name, start a new file, open the saved one."""
    yield from hands.point()
    yield from hands.press("ctrl+s")
    yield from hands.choose_file(SAVED)
    yield from hands.wait_until((hands.OUT / SAVED).is_file, 20, "the file is saved")
    keys = hands.num_keys()
    armatures()[0].name = "Not saved"
    yield from hands.point()
    yield from hands.press("ctrl+o")
    yield from hands.press("d")  # Blender asks about the change: Don't Save
    yield from hands.choose_file(SAVED)
    yield from hands.wait_until(lambda: "Not saved" not in bpy.data.objects, 30, "the file is loaded")
    yield 1.0
    lower = bpy.context.scene.kinesics.lower
    note(loaded={"saved": keys, "keys": hands.num_keys(), "lower": [lower.source, lower.text]})
    yield from gui.open_tab("Kinesics")
    yield from hands.shot("10-loaded.png")


def steps() -> Steps:
    """The whole visit."""
    bpy.context.preferences.view.filebrowser_display_type = "SCREEN"  # there is no window manager
    yield from gui.open_tab("Kinesics")
    yield from hands.shot("1-tab.png")
    note(tab=True, torch_at_start="torch" in sys.modules)
    yield from add_character()
    yield from add_speech()
    yield from write_instructions()
    note(first=(yield from generate()), keys=hands.num_keys())
    yield from hands.shot("5-written.png")
    yield from undo_redo()
    yield from play()
    yield from ask_for_much()
    yield from stop_by_esc()
    yield from stop_by_cancel()
    bpy.context.scene.kinesics.audio_source = "STRIP"
    yield from hands.shot("9-speech-again.png")
    note(drawing_s=(yield from hands.drawing_s()))
    note(again=(yield from generate()), keys_again=hands.num_keys())
    yield from save_and_load()
    note(finished=True)


if __name__ == "__main__":
    hands.run(steps())
