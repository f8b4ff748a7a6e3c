# SPDX-License-Identifier: GPL-3.0-or-later
"""An animator's later hours: what the panel does by the search (F3), each one step back.

test_window.py judges what this records. Character, speech and a first motion come from operators; how a
newcomer gets them is another visit.
"""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import gui
import hands
import numpy as np
from first_minutes import MADE_LIMIT_S, SPEECH, armatures
from hands import Steps, note

SPOKEN = 96
"""Frames of the speech that are used."""

FIRST, LAST = 30, 60
"""A stretch of them."""

BOX_PIXELS = 60_000
"""The search covers more than this."""


def set_stage() -> Steps:
    """A character that walks and talks."""
    bpy.context.preferences.view.filebrowser_display_type = "SCREEN"  # there is no window manager
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    scene = bpy.context.scene
    with gui.override():
        bpy.ops.kinesics.add_character("INVOKE_DEFAULT", True)
        bpy.ops.kinesics.add_speech("EXEC_DEFAULT", True, filepath=str(hands.OUT / SPEECH))
        scene.sequence_editor.active_strip.frame_final_duration = SPOKEN
        scene.kinesics.lower.source, scene.kinesics.lower.text = "TEXT", "walk forward"
        note(made=list(bpy.ops.kinesics.generate("EXEC_DEFAULT", True)))
        scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, FIRST, LAST
        bpy.ops.view3d.view_selected()
        bpy.ops.ed.undo_push(message="Stage")
    yield 0.5


def turns(frames: Sequence[int]) -> list[list[float]]:
    """Turn of the right forearm in some frames."""
    scene = bpy.context.scene
    before, found = scene.frame_current, []
    for frame in frames:
        scene.frame_set(frame)
        found.append(list(armatures()[0].pose.bones["right_elbow"].matrix_basis.to_quaternion()))
    scene.frame_set(before)
    return found


def search(words: str) -> Steps:
    """F3 over the 3D View, some words, and Enter on the first line that is found."""
    yield from hands.point()
    yield from hands.shot("before.png")
    yield from hands.press("F3")
    yield 1.5
    if not is_searching():  # some virtual keyboards have no F3; the words would be shortcuts then
        with gui.override("VIEW_3D", "WINDOW"):
            bpy.ops.wm.search_menu("INVOKE_DEFAULT")
        yield 1.5
        note(search_without_key=True)
    if not is_searching():
        raise TimeoutError("the search does not open")
    yield from hands.write(words)
    yield 0.7
    gui.shot(f"search-{words.split()[0].lower()}.png")
    yield from hands.press("Return")


def is_searching() -> bool:
    """Whether something as large as the search has come on the screen."""
    gui.shot("search.png")
    before, now = (pixels(name) for name in ("before.png", "search.png"))
    return int((abs(before - now).max(axis=1) > 0.01).sum()) > BOX_PIXELS


def pixels(name: str) -> np.ndarray:
    """Red, green, blue and opacity of a screenshot, (N, 4)."""
    image = bpy.data.images.load(str(hands.OUT / name))
    found = np.empty(len(image.pixels), dtype=np.float32)
    image.pixels.foreach_get(found)
    bpy.data.images.remove(image)
    return found.reshape(-1, 4)


def undo(until: str, same: Sequence[list[float]]) -> Steps:
    """One step back by the keyboard."""
    yield from hands.point()
    yield from hands.press("ctrl+z")
    yield from hands.wait_until(lambda: turns(every()) == same, 20, f"{until} is undone by one step")


def every() -> range:
    """All frames of the motion."""
    return range(1, SPOKEN + 1)


def by_search() -> Steps:
    """Hold Still Here, and Regenerate, without the mouse; each is one step back."""
    before = turns(every())
    yield from search("Hold Still Here")
    holds = lambda: len(armatures()[0].kinesics_shape.holds)  # noqa: E731
    yield from hands.wait_until(lambda: holds() == 1, 20, "a hold is there")
    held = turns(range(FIRST, LAST + 1))
    note(held=max(abs(a - b) for turn in held for a, b in zip(turn, held[0], strict=True)))
    yield from undo("the hold", before)
    note(holds_left=holds())
    yield from search("Regenerate")
    made = lambda: hands.session() is None and turns(every()) != before  # noqa: E731
    yield from hands.wait_until(made, MADE_LIMIT_S, "the stretch is another one")
    after = turns(every())
    changed = [frame for frame, a, b in zip(every(), before, after, strict=True) if a != b]
    note(regenerated=[changed[0], changed[-1]])
    yield from undo("Regenerate", before)


def steps() -> Steps:
    """The whole visit."""
    yield from set_stage()
    yield from gui.open_tab("Kinesics")
    yield from by_search()
    note(finished=True)


if __name__ == "__main__":
    hands.run(steps())
