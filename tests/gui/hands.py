# SPDX-License-Identifier: GPL-3.0-or-later
"""Mouse and keyboard for a script that runs inside a real Blender window.

Runs under the window harness, whose `gui` module it imports. Every function whose name is a deed is a
generator: `yield from` it, so that Blender goes on while the deed takes effect. Nothing here knows where a
button is: the mouse moves over the panel and Blender is asked what lies under it, so that a panel may be
rearranged without a change of the tests.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
import gui

PACKAGE = "bl_ext.user_default.kinesics"

OUT = Path(os.environ["GUI_OUT"])
"""Folder of screenshots and results."""

Steps = Generator[float, None, None]
"""What a deed is: it yields the seconds that Blender shall have for itself."""

COLUMNS = (0.3, 0.7, 0.82, 0.87, 0.94)
"""Where across a panel the mouse looks, as parts of its width without the tabs at its right."""

LOOK_S, PATIENT_LOOK_S = 0.04, 0.2
"""Seconds Blender has to notice where the mouse is; the second where nothing was found with the first."""

TICK_S = 0.02
"""The main thread is looked at this often while a job runs."""

SETTLE_S = 0.3
"""Seconds for a click or key to show."""

_places: dict[str, tuple[int, int]] = {}
"""Where things were last, from the top left corner of their region."""

record: dict[str, Any] = {"version": bpy.app.version_string}


class NotFoundError(Exception):
    """What the script looked for is not on the screen."""


def note(**values: Any) -> None:
    """Keep results on disk at once, so that a crash still leaves what came before."""
    record.update(values)
    Path(OUT, "result.json").write_text(json.dumps(record, indent=1))


def ui_scale() -> float:
    """Pixels per unit of the interface."""
    return bpy.context.preferences.system.ui_scale


def under_mouse(kind: str, name: str) -> str:
    """What lies under the mouse in a region: the call of an operator, or the path of a property."""
    manager = bpy.context.window_manager
    for find, setting in (("copy_python_command_button", {}), ("copy_data_path_button", {"full_path": True})):
        with gui.override(kind, name):
            copy = getattr(bpy.ops.ui, find)
            if not copy.poll():
                continue
            manager.clipboard = ""
            try:
                copy(**setting)
            except RuntimeError:  # a property without a path
                continue
            return manager.clipboard
    return ""


def warp(region: bpy.types.Region, dx: int, dy: int) -> None:
    """Move the mouse to a place counted from the top left corner of a region."""
    gui.window().cursor_warp(region.x + dx, region.y + region.height - dy)


def find(
    what: str, kind: str = "VIEW_3D", name: str = "UI", begin: float = 0.0
) -> Generator[float, None, tuple[int, int]]:
    """Find a button by a part of its operator's call or its property's path.

    Args:
        what: The part.
        kind: Type of the editor.
        name: Type of its region.
        begin: Part of the region's height where the search begins; what is above comes last.

    Returns:
        Its place, counted from the top left corner of the region.

    Raises:
        NotFoundError: If the whole region was looked through.
    """
    if what in _places and (yield from _is_at(what, kind, name, _places[what])):
        return _places[what]
    region, step = gui.region(kind, name), round(11 * ui_scale())
    width = region.width - round(20 * ui_scale())
    rows = [*range(step, region.height - 4, step)]
    first = round(begin * len(rows))
    rows = rows[first:] + rows[:first]
    for look_s, column in itertools.product((LOOK_S, PATIENT_LOOK_S), COLUMNS):
        for place in ((round(width * column), dy) for dy in rows):
            warp(region, *place)
            yield look_s
            if what in under_mouse(kind, name) and (yield from _is_at(what, kind, name, place)):
                _places[what] = place
                return place
    raise NotFoundError(f"{what} is not in the {name} region of {kind}")


def _is_at(what: str, kind: str, name: str, place: tuple[int, int]) -> Generator[float, None, bool]:
    """Whether something lies at a place, after a calm second look."""
    region = gui.region(kind, name)
    warp(region, place[0] - 1, place[1])
    yield LOOK_S
    warp(region, *place)
    yield SETTLE_S
    return what in under_mouse(kind, name)


def click(what: str, kind: str = "VIEW_3D", name: str = "UI", begin: float = 0.0) -> Steps:
    """Click a button with the mouse; it must be in the visible part of the region."""
    yield from find(what, kind, name, begin)
    yield from _xdo("click", 1)
    yield SETTLE_S


def click_beside(what: str, across: float, kind: str = "VIEW_3D", name: str = "UI") -> Steps:
    """Click on the line of a button, elsewhere across the region: on what Blender does not name."""
    _, down = yield from find(what, kind, name)
    region = gui.region(kind, name)
    warp(region, round(region.width * across), down)
    yield SETTLE_S
    yield from _xdo("click", 1)
    yield SETTLE_S


def press(*keys: str) -> Steps:
    """Press keys one after another, such as "ctrl+z"."""
    words: list[object] = []
    for key in keys:
        words += ["key", key, "sleep", 0.15]
    yield from _xdo(*words)
    yield SETTLE_S


def write(text: str) -> Steps:
    """Type text."""
    yield from _xdo("type", "--delay", 40, text)
    yield SETTLE_S


def fill(what: str, text: str, kind: str = "VIEW_3D", name: str = "UI", confirm: bool = True) -> Steps:
    """Click a field, put text in the place of what is there, and confirm it."""
    yield from find(what, kind, name)
    yield from _type_over(text)
    if confirm:
        yield from press("Return")


def _type_over(text: str) -> Steps:
    """Click the field under the mouse and type in the place of what it holds."""
    yield from _xdo("click", 1, "sleep", 0.3, "key", "ctrl+a")
    yield SETTLE_S
    yield from write(text)


def choose(what: str, letter: str) -> Steps:
    """Open a menu button with the mouse and choose by the underlined letter."""
    yield from click(what)
    yield from press(letter)


def point(kind: str = "VIEW_3D", name: str = "WINDOW", across: float = 0.3, down: float = 0.5) -> Steps:
    """Rest the mouse over a region."""
    region = gui.region(kind, name)
    warp(region, round(region.width * across), round(region.height * down))
    yield SETTLE_S


def _xdo(*words: object) -> Steps:
    """Run xdotool to its end while Blender goes on."""
    process = subprocess.Popen(["xdotool", *map(str, words)])
    while process.poll() is None:
        yield 0.02


def open_panel(name: str) -> Generator[float, None, Callable[[], Steps]]:
    """Open a closed box below Generate by a click on its title; all others must be closed.

    A title cannot be asked for as buttons can, so titles are clicked from the top until the box is drawn.

    Returns:
        What closes the box again.
    """
    drawn: set[str] = set()
    boxes = [box for box in dir(bpy.types) if box.startswith("KINESICS_PT_") and box != "KINESICS_PT_main"]
    marks = {box: (lambda _panel, _context, box=box: drawn.add(box)) for box in boxes}
    for box, mark in marks.items():
        getattr(bpy.types, box).append(mark)
    try:
        yield from find("kinesics.generate(")
        across, down = _places["kinesics.generate("]
        region, step = gui.region(), round(9 * ui_scale())
        for dy in range(down + round(50 * ui_scale()), region.height, step):
            place = (across, dy)
            drawn.clear()
            yield from _click_at(place)
            if name in drawn:
                return lambda: _click_at(place)
            if drawn:
                yield from _click_at(place)
    finally:
        for box, mark in marks.items():
            getattr(bpy.types, box).remove(mark)
    raise NotFoundError(f"no title opens {name}")


def _click_at(place: tuple[int, int]) -> Steps:
    """Click at a place of the sidebar."""
    warp(gui.region(), *place)
    yield SETTLE_S
    yield from _xdo("click", 1)
    yield 2 * SETTLE_S


def drag(kind: str, name: str, start: tuple[float, float], end: tuple[float, float]) -> Steps:
    """Drag with the left mouse button between two places, as parts of a region's width and height."""
    yield from point(kind, name, *start)
    yield from _xdo("mousedown", 1)
    for share in (0.3, 0.6, 0.9, 1.0):
        across, down = (a + (b - a) * share for a, b in zip(start, end, strict=True))
        yield from point(kind, name, across, down)
    yield from _xdo("mouseup", 1)
    yield SETTLE_S


def choose_file(name: str) -> Steps:
    """Answer a file browser that fills the screen with a file of the output folder."""
    browsing = lambda: any(area.type == "FILE_BROWSER" for area in gui.window().screen.areas)  # noqa: E731
    yield from wait_until(browsing, 10, "a file browser is open")
    yield 1.0
    yield from fill("params.directory", f"{OUT}/", "FILE_BROWSER", "UI", confirm=False)
    try:
        yield from press("Return")
        yield from find("file.cancel", "FILE_BROWSER", "EXECUTE")
    except NotFoundError:  # since 5.0 the first key only ends the field's list of folders
        yield from press("Return")
        yield from find("file.cancel", "FILE_BROWSER", "EXECUTE")
    yield from click_beside("file.cancel", 0.3, "FILE_BROWSER", "EXECUTE")
    yield from _type_over(name)
    yield from press("Return")
    yield SETTLE_S
    if browsing():
        yield from click("file.execute", "FILE_BROWSER", "EXECUTE")
    yield from wait_until(lambda: not browsing(), 10, "the file browser is closed")
    yield SETTLE_S


def wait_until(what: Callable[[], bool], limit_s: float, why: str) -> Steps:
    """Let Blender run until something is so.

    Raises:
        TimeoutError: If it is not in time.
    """
    end = time.perf_counter() + limit_s
    while not what():
        if time.perf_counter() > end:
            raise TimeoutError(f"after {limit_s:.0f} s still not: {why}")
        yield 0.05


def shot(name: str) -> Steps:
    """Keep a screenshot of what is drawn once panels have stopped growing."""
    for _ in range(3):
        for area in gui.window().screen.areas:
            area.tag_redraw()
        yield 0.4
    gui.shot(name)


def session() -> Any:
    """The motion that is being made, or None."""
    return sys.modules[f"{PACKAGE}.operators.generate"].current_session()


def num_keys() -> int:
    """Keys in all actions."""
    curves: list[Any] = []
    for action in bpy.data.actions:
        if hasattr(action, "layers"):
            bags = [bag for layer in action.layers for strip in layer.strips for bag in strip.channelbags]
            curves += [curve for bag in bags for curve in bag.fcurves]
        else:
            curves += action.fcurves
    return sum(len(curve.keyframe_points) for curve in curves)


def drawing_s() -> Generator[float, None, float]:
    """Seconds between two looks, beyond their distance, while nothing happens but the 3D View being drawn."""
    gaps: list[float] = []
    for _ in range(7):
        gui.area().tag_redraw()
        start = time.perf_counter()
        yield TICK_S
        gaps.append(time.perf_counter() - start - TICK_S)
    return statistics.median(gaps)


@contextmanager
def calls_timed() -> Generator[list[float]]:
    """Seconds of every call that Blender makes to the running motion's operator, as a list that grows."""
    operator = sys.modules[f"{PACKAGE}.operators.generate"].MotionOperator
    modal, seconds = operator.modal, []

    def timed(self: Any, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        start = time.perf_counter()
        try:
            return modal(self, context, event)
        finally:
            seconds.append(time.perf_counter() - start)

    operator.modal = timed
    try:
        yield seconds
    finally:
        operator.modal = modal


def watch(limit_s: float) -> Generator[float, None, dict[str, float]]:
    """Let a job run to its end and measure how long the main thread was away: in our hands, and in all."""
    start = last = time.perf_counter()
    gaps: list[float] = []
    with calls_timed() as held:
        while session() is not None:
            if time.perf_counter() - start > limit_s:
                raise TimeoutError(f"no motion after {limit_s:.0f} s")
            yield TICK_S
            now = time.perf_counter()
            gaps.append(now - last - TICK_S)
            last = now
    # The last call and the last look span the final write, which may block.
    during = gaps[:-1] or [0.0]
    return {
        "wall_s": last - start,
        "calls": len(held),
        "held_s": max(held[:-1], default=0.0),
        "written_s": held[-1] if held else 0.0,
        "worst_gap_s": max(during),
        "median_gap_s": statistics.median(during),
    }


class Stopwatch:
    """Times the stop of the running motion inside Blender; the simulated mouse and keyboard do not count.

    From the moment Blender has handed Esc, or the click on Cancel, to the operator, to the panel being drawn
    without a running motion.
    """

    def __init__(self) -> None:
        self._asked_s = self._handled_s = self._drawn_s = 0.0

    def __enter__(self) -> Stopwatch:
        running = session()
        cancel = running.cancel

        def noted_cancel() -> None:
            self._handled_s = self._handled_s or time.perf_counter()
            cancel()

        running.cancel = noted_cancel
        bpy.types.KINESICS_PT_main.append(self._note_drawn)
        self._asked_s = time.perf_counter()
        return self

    def __exit__(self, *_reason: object) -> None:
        bpy.types.KINESICS_PT_main.remove(self._note_drawn)

    def _note_drawn(self, _panel: bpy.types.Panel, _context: bpy.types.Context) -> None:
        if session() is None:
            self._drawn_s = self._drawn_s or time.perf_counter()

    def ended(self) -> bool:
        """Whether the panel was drawn without a running motion."""
        return self._drawn_s > 0.0

    def result(self) -> dict[str, float]:
        """Seconds to the idle panel: from the wish in Blender, and from the call of mouse or keyboard."""
        return {
            "handled_to_idle_s": self._drawn_s - self._handled_s,
            "asked_to_idle_s": self._drawn_s - self._asked_s,
        }


def run(steps: Steps) -> None:
    """Go through the steps, also across the loading of a file; the harness learns how it ended."""

    def end(code: int) -> None:
        status = Path(os.environ["GUI_STATUS"])
        draft = status.with_name(status.name + "~")
        draft.write_text(str(code))
        draft.rename(status)

    def tick() -> float | None:
        try:
            return next(steps) or 0.01
        except StopIteration:
            end(0)
        except Exception:
            note(error=traceback.format_exc())
            traceback.print_exc()
            gui.shot("error.png")
            end(1)
        return None

    bpy.app.timers.register(tick, first_interval=0.5, persistent=True)
