# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of docs/animators.md, taken while the first character speaks, as the guide says it shall.

`make guide-pictures` puts them into the guide. test_window.py judges that all were taken.
"""

from __future__ import annotations

import subprocess

import bpy
import gui
import hands
from first_minutes import MADE_LIMIT_S, SPEECH, armatures, start
from hands import Steps, note

WIDTH, NUM_COLOURS = 1200, 128
"""Width of the pictures in pixels, and how many colours they need; a full screen is too large for a guide."""

SEQUENCER_MORE = 130
"""Pixels by which the Video Sequencer is higher than Blender makes the timeline."""

SPEAKING = 40
"""Frame in which hands and mouth are well in motion."""


def keep(name: str) -> Steps:
    """Keep a small picture of the 3D View and what is above and below it."""
    yield from hands.shot("whole.png")
    area = gui.area()
    save(name, f"{area.x + area.width}x{gui.window().height}+0+0")


def keep_panel(name: str) -> Steps:
    """Keep a small picture of the sidebar alone, over a plain ground."""
    overlay, region = gui.area().spaces.active.overlay, gui.region()
    overlay.show_overlays = False
    gui.area().tag_redraw()
    yield 1.0
    gui.shot("whole.png")
    overlay.show_overlays = True
    top = gui.window().height - region.y - region.height
    save(name, f"{region.width}x{region.height}+{region.x}+{top}", "-trim", "+repage")


def save(name: str, place: str, *more: str) -> None:
    """Cut a place out of the last screenshot and make it small."""
    cut = ["-crop", place, "+repage", *more, "-resize", f"{WIDTH}x>"]
    small = ["+dither", "-colors", str(NUM_COLOURS), "-strip", f"PNG8:{hands.OUT / name}"]
    subprocess.run(["convert", str(hands.OUT / "whole.png"), *cut, *small], check=True)


def set_stage() -> Steps:
    """The Video Sequencer where the timeline is, as one who works with sound would have it."""
    timeline = next(area for area in gui.window().screen.areas if area.type == "DOPESHEET_EDITOR")
    timeline.ui_type = "SEQUENCE_EDITOR"
    if hasattr(bpy.context.workspace, "sequencer_scene"):
        bpy.context.workspace.sequencer_scene = bpy.context.scene
    timeline.spaces.active.view_type = "SEQUENCER"
    still, view = gui.region("PROPERTIES", "WINDOW"), gui.area()  # the first does not change meanwhile
    across = (view.x + view.width / 2 - still.x) / still.width
    start, end = (
        (across, (still.y + still.height - view.y + 1 - more) / still.height) for more in (0, SEQUENCER_MORE)
    )
    yield from hands.drag("PROPERTIES", "WINDOW", start, end)
    yield 1.0


def look_at_character() -> Steps:
    """The whole character from a little to one side."""
    view = gui.area().spaces.active.region_3d
    with gui.override():
        bpy.ops.view3d.view_axis(type="FRONT")
        bpy.ops.view3d.view_orbit(angle=0.5, type="ORBITRIGHT")
        bpy.ops.view3d.view_selected()
    view.view_distance *= 1.15
    yield 0.5


def see_all_strips() -> Steps:
    """Every strip in the Video Sequencer."""
    with gui.override("SEQUENCE_EDITOR", "WINDOW"):
        bpy.ops.sequencer.view_all()
    yield 0.5


def speak() -> Steps:
    """Character, sound, words, Generate."""
    yield from hands.point()
    yield from hands.press("x")
    yield from hands.press("Return")
    yield from keep("1-tab.png")
    yield from hands.click("kinesics.add_character")
    yield from hands.wait_until(lambda: len(armatures()) > 0, 20, "a character is there")
    yield from look_at_character()
    yield from hands.click("kinesics.add_speech")
    yield from hands.choose_file(SPEECH)
    yield from see_all_strips()
    yield from keep("2-speech.png")
    yield from hands.choose("kinesics.lower.source", "t")
    yield from hands.fill("kinesics.lower.text", "walk forward")
    yield from hands.point()
    yield from keep_panel("3-directions.png")
    yield from start()
    under_way = lambda: hands.session() is None or hands.session().state.fraction > 0.3  # noqa: E731
    yield from hands.wait_until(under_way, MADE_LIMIT_S, "a third of the motion is made")
    yield from keep_panel("4-running.png")
    yield from hands.watch(MADE_LIMIT_S)
    bpy.context.scene.frame_set(SPEAKING)
    yield from look_at_character()
    yield from keep("5-speaking.png")


def compare() -> Steps:
    """Three takes, the second seen with the ghost of the first."""
    close = yield from hands.open_panel("KINESICS_PT_takes")
    yield from hands.fill("kinesics.num_takes", "3")
    yield from hands.click("kinesics.generate_takes")
    yield from hands.wait_until(lambda: hands.session() is not None, 20, "takes are being made")
    yield from hands.watch(MADE_LIMIT_S)
    yield from hands.click("kinesics.toggle_ghost")
    yield from hands.click_beside("kinesics_takes.items[2].keep", 0.45)
    yield from look_at_character()
    yield from hands.point()  # where no tooltip appears
    yield from keep("6-takes.png")
    yield from close()


def choose_stretch() -> Steps:
    """What Regenerate asks for."""
    scene = bpy.context.scene
    scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, 20, 50
    yield from hands.open_panel("KINESICS_PT_regenerate")
    yield from hands.click("kinesics.lower.redo")
    yield from hands.point()
    yield from keep_panel("7-regenerate.png")


def steps() -> Steps:
    """All pictures."""
    bpy.context.preferences.view.filebrowser_display_type = "SCREEN"  # there is no window manager
    yield from set_stage()
    yield from gui.open_tab("Kinesics")
    yield from gui.widen_panel(60)
    yield from speak()
    yield from compare()
    yield from choose_stretch()
    note(finished=True)


if __name__ == "__main__":
    hands.run(steps())
