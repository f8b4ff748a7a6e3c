# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kinesics menu of the 3D View: what the panel's buttons do, for the keyboard.

Blender's search (F3) lists what stands in menus, and a menu can be walked through, and each of its lines be
given a key, without the mouse.
"""

from __future__ import annotations

import bpy

HOMES = ("VIEW3D_MT_object", "VIEW3D_MT_pose")
"""Menus of Blender that ours is the last line of."""

GROUPS: tuple[tuple[tuple[str, str], ...], ...] = (
    (("generate", "PLAY"), ("generate_dialogue", "NONE"), ("generate_takes", "NONE"),
     ("regenerate", "FILE_REFRESH"), ("new_seed", "NONE"), ("generate_cancel", "CANCEL")),
    (("add_character", "ADD"), ("add_speech", "NONE"), ("save_direction", "NONE")),
    (("merge_takes", "NONE"), ("push_take", "NONE"), ("delete_take", "NONE"), ("delete_other_takes", "NONE"),
     ("toggle_ghost", "NONE"), ("reduce_keys", "IPO_BEZIER")),
    (("add_hold", "PAUSE"), ("update_shape", "NONE"), ("reset_shape", "LOOP_BACK"), ("keep_shape", "NONE")),
    (("read_emotion", "LIGHT_HEMI"), ("describe_motion", "NONE")),
    (("export", "EXPORT"), ("import_clip", "IMPORT"), ("playblast", "RENDER_ANIMATION")),
    (("set_up_character", "NONE"), ("set_up_face", "NONE")),
)  # fmt: skip
"""Operators with their icons; a line parts one group from the next."""

CHOICES = {2: (("add_instruction", "part"), ("mark_beats", "kind"), ("load_direction", "preset"))}
"""Operators that ask for a choice, by the group they stand at the end of."""


class KINESICS_MT_main(bpy.types.Menu):
    """Everything that the panel's buttons do"""

    bl_idname = "KINESICS_MT_main"
    bl_label = "Kinesics"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the operators in their groups."""
        layout = self.layout
        for number, group in enumerate(GROUPS, 1):
            if number > 1:
                layout.separator()
            for name, icon in group:
                layout.operator(f"kinesics.{name}", icon=icon)
            for name, choice in CHOICES.get(number, ()):
                layout.operator_menu_enum(f"kinesics.{name}", choice)


def _draw_home(menu: bpy.types.Menu, _context: bpy.types.Context) -> None:
    menu.layout.separator()
    menu.layout.menu(KINESICS_MT_main.bl_idname)


def attach() -> None:
    """Put the menu at the end of those of objects and poses."""
    for name in HOMES:
        getattr(bpy.types, name).append(_draw_home)


def detach() -> None:
    """Take it away again."""
    for name in HOMES:
        getattr(bpy.types, name).remove(_draw_home)


CLASSES = (KINESICS_MT_main,)
