# SPDX-License-Identifier: GPL-3.0-or-later
"""Every box of the panel, open and filled, in the ways an animator may have set Blender up: pictures of each.

test_window.py judges that all was drawn; the pictures are there to be looked at. Only a refusal is clicked.
"""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import bpy
import gui
import hands
from bpy.app.translations import pgettext_iface
from first_minutes import SPEECH
from hands import PACKAGE, Steps, note

NARROW = 240
"""Width of a narrow sidebar in pixels of the interface."""

MAKING = ("dialogue", "takes", "regenerate")
MENDING = ("shape", "reading", "files", "rig", "face", "smplx")
GROUPS = {"making": MAKING, "mending": MENDING}
"""Boxes that are drawn together, since all of them are higher than a screen."""

LARGE_GROUPS = {
    "dialogue": ("dialogue", "regenerate"),
    "takes": ("takes",),
    "shape": ("shape",),
    "reading": ("reading", "files"),
    "rig": ("rig", "smplx"),
    "face": ("face",),
}
"""The same at twice the size."""

shown: set[str] = set()
drawn: set[str] = set()


def box_classes() -> list[type]:
    """The boxes of the panel, which Blender draws below the main one in this order."""
    inside = [cls for cls in bpy.types.Panel.__subclasses__() if cls.__module__.startswith(PACKAGE)]
    boxes = [cls for cls in inside if getattr(cls, "bl_parent_id", "") == "KINESICS_PT_main"]
    return sorted(boxes, key=lambda cls: cls.bl_order)


def shows(name: str) -> classmethod:
    """A panel's `poll` that follows `shown`."""
    return classmethod(lambda _cls, _context: name in shown)


def open_all() -> None:
    """Have all boxes open that are shown; before the sidebar is drawn first."""
    for cls in box_classes():
        name = cls.bl_idname.rpartition("_")[2]
        bpy.utils.unregister_class(cls)
        cls.bl_options = set()
        cls.poll = shows(name)
        bpy.utils.register_class(cls)
        cls.append(lambda _panel, _context, name=name: drawn.add(name))


def make_scene() -> None:
    """A character with two takes, a hold, an instruction on the timeline and three strips of speech."""
    scene = bpy.context.scene
    settings = scene.kinesics
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    with gui.override():
        bpy.ops.kinesics.add_character("INVOKE_DEFAULT", True)
        for frame in (100, 200, 1):  # the last is the active one
            scene.frame_current = frame
            bpy.ops.kinesics.add_speech("EXEC_DEFAULT", True, filepath=str(hands.OUT / SPEECH))
            scene.sequence_editor.active_strip.frame_final_duration = 48
        settings.lower.source, settings.lower.text = "TEXT", "walk forward"
        settings.num_takes = 2
        note(takes=list(bpy.ops.kinesics.generate_takes("EXEC_DEFAULT", True)))
        bpy.ops.kinesics.add_hold("EXEC_DEFAULT", True)
        bpy.ops.kinesics.set_up_character("EXEC_DEFAULT", True)
        bpy.ops.kinesics.set_up_face("EXEC_DEFAULT", True)
        bpy.ops.kinesics.add_instruction("EXEC_DEFAULT", True, part="UPPER")
    settings.part_emotions = True


def fill_boxes() -> None:
    """What the boxes show of rigs, readings and refusals."""
    scene, character = bpy.context.scene, bpy.context.object
    character.kinesics_shape.root = "FOLLOW"
    character.kinesics_rig.kind = "mixamo"
    for bone in character.data.bones[:12]:
        row = character.kinesics_rig.rows.add()
        row.slot = row.bone = bone.name
    reading = scene.kinesics_reading
    reading.of, reading.first, reading.last, reading.has_emotion = character.name, 1, 48, True
    reading.chances = [0.4, 0.2, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05]
    reading.words = "a person walks forward slowly while talking with both hands"


def set_theme(name: str) -> None:
    """Choose a theme that comes with Blender."""
    folders = [Path(folder) for folder in bpy.utils.preset_paths("interface_theme")]
    path = next(folder / f"{name}.xml" for folder in folders if (folder / f"{name}.xml").exists())
    with gui.override():
        bpy.ops.script.execute_preset(filepath=str(path), menu_idname="USERPREF_MT_interface_theme_presets")


def picture(name: str) -> Steps:
    """Keep a picture of the sidebar, and what was drawn of it."""
    drawn.clear()
    region = gui.region()
    for _ in range(3):
        gui.area().tag_redraw()
        yield 0.5
    top = gui.window().height - region.y - region.height
    place = f"{region.width}x{region.height}+{region.x}+{top}"
    target = str(hands.OUT / f"{name}.png")
    subprocess.run(["import", "-window", "root", "-crop", place, "+repage", target], check=True)
    note(**{name: sorted(drawn), f"{name}-width": region.width})


def pictures(setting: str, groups: dict[str, tuple[str, ...]] = GROUPS) -> Steps:
    """One picture per group of boxes."""
    for group, boxes in groups.items():
        shown.clear()
        shown.update(boxes)
        yield from picture(f"{setting}-{group}")


def preferences_picture(name: str) -> Steps:
    """The preferences of the extension, in the place of the 3D View."""
    area = gui.area()
    area.ui_type = "PREFERENCES"
    bpy.context.preferences.active_section = "ADDONS"
    bpy.context.window_manager.addon_search = "Kinesics"
    with bpy.context.temp_override(window=gui.window(), area=area):
        bpy.ops.preferences.addon_expand(module=PACKAGE)
    yield from hands.shot(name)
    with bpy.context.temp_override(window=gui.window(), area=area):
        bpy.ops.preferences.addon_expand(module=PACKAGE)  # and closed again
    area.ui_type = "VIEW_3D"
    yield 0.5


def dialog_picture(name: str) -> Steps:
    """What an operator asks for, in a window of its own or in the file browser; then it is left."""
    yield from hands.point()
    with gui.override():
        getattr(bpy.ops.kinesics, name)("INVOKE_DEFAULT")
    yield 1.5
    browser = next((area for area in gui.window().screen.areas if area.type == "FILE_BROWSER"), None)
    if browser is not None:
        space = browser.spaces.active
        with contextlib.suppress(TimeoutError):  # a busy machine shows the options later
            yield from hands.wait_until(lambda: space.show_region_tool_props, 10, "its options are shown")
        note(**{f"{name}-options": space.show_region_tool_props})
    yield from hands.shot(f"{name}.png")
    yield from hands.press("Escape")
    browsing = lambda: any(area.type == "FILE_BROWSER" for area in gui.window().screen.areas)  # noqa: E731
    yield from hands.wait_until(lambda: not browsing(), 20, "the file browser is closed")


def refusal_picture(name: str) -> Steps:
    """What Blender says of a click on Generate while the legs are to follow words and there are none."""
    settings = bpy.context.scene.kinesics
    words, settings.lower.text = settings.lower.text, ""
    shown.clear()
    yield 1.0
    yield from hands.click("kinesics.generate(")
    yield from hands.shot(name)
    note(refused=hands.session() is None)
    yield from hands.press("Escape")
    settings.lower.text = words


def steps() -> Steps:
    """All pictures."""
    view = bpy.context.preferences.view
    view.filebrowser_display_type = "SCREEN"  # there is no window manager
    open_all()
    make_scene()
    yield from gui.open_tab("Kinesics")
    for name in ("merge_takes", "export", "import_clip"):
        yield from dialog_picture(name)
    fill_boxes()
    yield from pictures("wide-dark")
    for _ in range(3):  # a busy machine may miss the mouse
        if gui.region().width > NARROW + 5:
            yield from gui.widen_panel(NARROW - gui.region().width)
    yield from pictures("dark")
    set_theme("Blender_Light")
    yield from pictures("light")
    view.language, view.use_translate_interface = "zh_HANS", True
    words = {word: pgettext_iface(word, "Kinesics") for word in ("Face", "Feet", "Keys")}
    shape = bpy.context.object.kinesics_shape.bl_rna.properties
    names = {
        name: pgettext_iface(shape[name].name, shape[name].translation_context)
        for name in ("energy_face", "feet")
    }
    note(chinese_words=words, chinese_shown=names)
    yield from pictures("chinese")
    yield from refusal_picture("chinese-refusal.png")
    yield from preferences_picture("chinese-preferences.png")
    view.language = "en_US"
    yield from preferences_picture("preferences.png")
    view.ui_scale = 2.0
    yield 1.0
    yield from pictures("large-light", LARGE_GROUPS)
    set_theme("Blender_Dark")
    yield from pictures("large-dark", {name: LARGE_GROUPS[name] for name in ("takes", "reading")})
    note(finished=True)


if __name__ == "__main__":
    hands.run(steps())
