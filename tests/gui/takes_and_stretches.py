# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes made, tried, kept, merged and deleted, and one stretch made anew, by mouse and keyboard.

test_window.py judges what this records. Character and speech come from operators; how a newcomer gets them is
another visit.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import bpy
import gui
import hands
from first_minutes import MADE_LIMIT_S, SPEECH, armatures
from hands import Steps, note


def takes() -> list[str]:
    """Names in the list, from the first."""
    return [take.name for take in armatures()[0].kinesics_takes.items]


def shown() -> str:
    """Name of the action on the character."""
    return armatures()[0].animation_data.action.name


def poses(frames: Sequence[int]) -> list[list[float]]:
    """Turn of the right forearm and the left thigh in some frames."""
    scene = bpy.context.scene
    before, found = scene.frame_current, []
    for frame in frames:
        scene.frame_set(frame)
        bones = armatures()[0].pose.bones
        found.append(
            [
                value
                for bone in ("right_elbow", "left_hip")
                for value in bones[bone].matrix_basis.to_quaternion()
            ]
        )
    scene.frame_set(before)
    return found


def make_takes() -> Steps:
    """Two takes at once."""
    yield from hands.fill("kinesics.num_takes", "2")
    yield from hands.click("kinesics.generate_takes")
    yield from hands.wait_until(lambda: hands.session() is not None, 20, "takes are being made")
    yield from hands.watch(MADE_LIMIT_S)
    note(made=takes(), shown_first=shown())
    yield from hands.shot("1-takes.png")


def try_and_keep() -> Steps:
    """A click on the second take shows it, a click on its star keeps it."""
    yield from hands.click_beside("kinesics_takes.items[1].keep", 0.45)
    yield from hands.wait_until(lambda: armatures()[0].kinesics_takes.index == 1, 10, "the second is chosen")
    note(shown_second=shown())
    yield from hands.click("kinesics_takes.items[1].keep")
    note(kept=[take.keep for take in armatures()[0].kinesics_takes.items])
    yield from hands.shot("2-tried.png")


def compare() -> Steps:
    """The ghost of the first take, on and off; a second look at the same view must show the same."""
    views = []
    for number, clicks in enumerate((0, 0, 1, 1)):
        for _ in range(clicks):
            yield from hands.click("kinesics.toggle_ghost")
        yield from hands.point()
        name = f"2-ghost-{number}.png"
        yield from hands.shot(name)
        views.append(view_only(name))
    note(ghost=[different_pixels(views[0], view) for view in views[1:]])


def view_only(name: str) -> str:
    """Cut the left half of the 3D View, which no panel covers, out of a screenshot; returns where it is."""
    region = gui.region("VIEW_3D", "WINDOW")
    top = gui.window().height - region.y - region.height
    place = f"{region.width // 2}x{region.height - 80}+{region.x + 60}+{top + 80}"
    target = str(hands.OUT / f"view-{name}")
    subprocess.run(["convert", str(hands.OUT / name), "-crop", place, "+repage", target], check=True)
    return target


def different_pixels(first: str, second: str) -> int:
    """How many pixels of two pictures differ."""
    words = ["compare", "-metric", "AE", first, second, "null:"]
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    return round(float(run.stderr.split()[0]))


def merge() -> Steps:
    """Parts of two takes in a third."""
    yield from hands.click("kinesics.merge_takes")
    yield 1.0
    gui.shot("3-merge.png")
    yield from hands.press("Return")
    yield from hands.wait_until(lambda: len(takes()) == 3, 20, "a merged take is listed")
    note(merged=takes(), shown_merged=shown())
    yield from hands.shot("4-merged.png")


def delete() -> Steps:
    """The merged take goes, then all without a star that are not on show."""
    yield from hands.click("kinesics.delete_take")
    note(after_delete=takes())
    yield from hands.click_beside("kinesics_takes.items[1].keep", 0.45)
    yield from hands.click("kinesics.delete_other_takes")
    note(after_delete_rest=takes(), actions=len(bpy.data.actions))
    yield from hands.shot("5-deleted.png")


def regenerate() -> Steps:
    """A preview range drawn with the mouse, legs left out, and everything outside stays."""
    yield from hands.point("DOPESHEET_EDITOR", "WINDOW", 0.3, 0.5)
    yield from hands.press("p")
    yield from hands.drag("DOPESHEET_EDITOR", "WINDOW", (0.16, 0.4), (0.22, 0.7))
    scene = bpy.context.scene
    first, last = scene.frame_preview_start, scene.frame_preview_end
    note(range=[scene.use_preview_range, first, last])
    yield from hands.click("kinesics.lower.redo")
    inside, outside = [(first + last) // 2], [1, first, last, last + 5]
    before = poses(inside), poses(outside)
    yield from hands.click("kinesics.new_seed")
    yield from hands.shot("6-range.png")
    yield from hands.click("kinesics.regenerate(")
    # So short that it may be done before it could be seen to run.
    made = lambda: hands.session() is None and poses(inside) != before[0]  # noqa: E731
    yield from hands.wait_until(made, MADE_LIMIT_S, "the stretch is another one")
    after = poses(inside), poses(outside)
    note(
        arm_inside=[before[0][0][:4], after[0][0][:4]],
        leg_inside=[before[0][0][4:], after[0][0][4:]],
        outside_same=before[1] == after[1],
    )
    yield from hands.shot("7-regenerated.png")


def steps() -> Steps:
    """The whole visit."""
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    with gui.override():
        bpy.ops.kinesics.add_character("INVOKE_DEFAULT", True)
        bpy.ops.kinesics.add_speech("EXEC_DEFAULT", True, filepath=str(hands.OUT / SPEECH))
        bpy.ops.view3d.view_selected()
    yield from gui.open_tab("Kinesics")
    close = yield from hands.open_panel("KINESICS_PT_takes")
    yield from make_takes()
    yield from try_and_keep()
    yield from compare()
    yield from merge()
    yield from delete()
    yield from close()
    yield from hands.open_panel("KINESICS_PT_regenerate")
    yield from regenerate()
    note(finished=True)


if __name__ == "__main__":
    hands.run(steps())
