# SPDX-License-Identifier: GPL-3.0-or-later
"""An animator's later hours: what is read from the body, a film, the self-test, and the search (F3).

test_window.py judges what this records. Character, speech and a first motion come from operators; how a
newcomer gets them is another visit.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise

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

FILM, FILM_FRAMES = "film.mp4", 12
"""A film of some frames, in which somebody speaks."""

BELOW = 0.5
"""Part of the sidebar's height that the boxes below Generate begin after."""


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


def open_boxes(*names: str) -> None:
    """Have some boxes open when the sidebar is drawn first; titles are clicked in other visits."""
    for name in names:
        panel = getattr(bpy.types, f"KINESICS_PT_{name}")
        bpy.utils.unregister_class(panel)
        panel.bl_options = set()
        bpy.utils.register_class(panel)


def read_body() -> Steps:
    """Read Emotion and Describe Motion: bars and a sentence that were not there."""
    reading = bpy.context.scene.kinesics_reading
    yield from hands.shot("read-0.png")
    yield from hands.click("kinesics.read_emotion(", begin=BELOW)
    done = lambda: hands.session() is None and reading.has_emotion  # noqa: E731
    yield from hands.wait_until(done, MADE_LIMIT_S, "the emotion is read")
    note(chances=list(reading.chances), read_frames=[reading.first, reading.last])
    yield from hands.point()
    yield from hands.shot("read-1-emotion.png")
    yield from hands.click("kinesics.describe_motion", begin=BELOW)
    done = lambda: hands.session() is None and reading.words != ""  # noqa: E731
    yield from hands.wait_until(done, MADE_LIMIT_S, "the motion is described")
    yield from hands.point()
    yield from hands.shot("read-2-words.png")
    note(words=reading.words)
    views = [pixels(f"read-{name}.png", "UI") for name in ("0", "1-emotion", "2-words")]
    note(read_pixels=[num_different(a, b) for a, b in pairwise(views)])


def playblast() -> Steps:
    """A film of a few frames by the button and the file browser, and what is in it."""
    scene = bpy.context.scene
    scene.use_preview_range, scene.frame_preview_end = True, FIRST + FILM_FRAMES - 1
    yield from hands.click("kinesics.playblast", begin=BELOW)
    yield from hands.choose_file(FILM)
    film = hands.OUT / FILM
    yield from hands.wait_until(film.is_file, 60, "the film is there")
    yield 0.5
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(film)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    command = ["ffmpeg", "-v", "error", "-i", str(film), "-f", "f32le", "-ac", "1", "-"]
    sound = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.float32)
    clip = bpy.data.movieclips.load(str(film))
    note(
        film=[[stream["codec_name"], stream["codec_type"]] for stream in json.loads(said)["streams"]],
        film_frames=[int(stream.get("nb_read_frames", 0)) for stream in json.loads(said)["streams"]],
        film_opened=[*clip.size, clip.frame_duration],
        film_loudest=float(abs(sound).max(initial=0.0)),
        range_left=[scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end],
    )
    bpy.data.movieclips.remove(clip)
    scene.frame_preview_end = LAST
    yield from hands.shot("film.png")


def self_test() -> Steps:
    """The preferences in the place of the 3D View, and the button in them."""
    area = gui.area()
    area.ui_type = "PREFERENCES"
    bpy.context.preferences.active_section = "ADDONS"
    bpy.context.window_manager.addon_search = "Kinesics"
    with bpy.context.temp_override(window=gui.window(), area=area):
        bpy.ops.preferences.addon_expand(module=hands.PACKAGE)
    yield from hands.shot("self-test-0.png")
    yield from hands.click("kinesics.self_test", "PREFERENCES", "WINDOW")
    verdict = sys.modules[f"{hands.PACKAGE}.operators.self_test"].last_verdict
    yield from hands.wait_until(lambda: verdict() is not None, MADE_LIMIT_S, "the self-test has ended")
    yield from hands.shot("self-test-1.png")
    views = [pixels(f"self-test-{number}.png", "WINDOW", "PREFERENCES") for number in range(2)]
    note(self_test=[verdict().works, verdict().text], self_test_pixels=num_different(*views))
    area.ui_type = "VIEW_3D"
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
    return num_different(*(pixels(name) for name in ("before.png", "search.png"))) > BOX_PIXELS


def pixels(name: str, part: str = "", kind: str = "VIEW_3D") -> np.ndarray:
    """Red, green, blue and opacity of a screenshot or of one region of it, (height, width, 4)."""
    image = bpy.data.images.load(str(hands.OUT / name))
    found = np.empty(len(image.pixels), dtype=np.float32)
    image.pixels.foreach_get(found)
    whole = found.reshape(image.size[1], image.size[0], 4)  # from the lower edge, as regions are counted
    bpy.data.images.remove(image)
    if not part:
        return whole
    region = gui.region(kind, part)
    return whole[region.y : region.y + region.height, region.x : region.x + region.width]


def num_different(one: np.ndarray, other: np.ndarray) -> int:
    """How many pixels of two pictures differ."""
    return int((abs(one - other).max(axis=-1) > 0.01).sum())


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
    open_boxes("reading", "files")
    yield from set_stage()
    yield from gui.open_tab("Kinesics")
    yield from read_body()
    yield from playblast()
    yield from by_search()
    yield from self_test()
    note(finished=True)


if __name__ == "__main__":
    hands.run(steps())
