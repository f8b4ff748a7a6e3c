# SPDX-License-Identifier: GPL-3.0-or-later
"""Which shape key of a character is which face channel: the table, and the panel that shows it."""

from __future__ import annotations

import bpy
from bpy.props import CollectionProperty, IntProperty, PointerProperty, StringProperty

from ..operators import faces, generate, polls
from .lines import TWO_NAMES, width_of
from .panels import KinesicsPanel


def _search_shapes(row: KinesicsFaceRow, _context: bpy.types.Context, text: str) -> list[str]:
    """Shape keys of the character whose names contain what was typed."""
    from ..operators.bridge import shape_keys

    present = shape_keys.shape_names(row.id_data).values()
    names = dict.fromkeys(name for shapes in present for name in shapes)
    return [name for name in names if text.lower() in name.lower()]


class KinesicsFaceRow(bpy.types.PropertyGroup):
    """One channel of a face and the shape key that shows it."""

    channel: StringProperty(
        name="Channel",
        description="Movement of the face that this row is about",
        override={"LIBRARY_OVERRIDABLE"},
    )
    shape: StringProperty(
        name="Shape Key",
        description="Shape key that shows this, on every mesh of the character that has one of that name; "
        "leave it empty where there is none",
        search=_search_shapes,
        override={"LIBRARY_OVERRIDABLE"},
    )


class KinesicsFace(bpy.types.PropertyGroup):
    """The table of one character; without rows its shapes are recognised by their names."""

    kind: StringProperty(
        name="Kind", description="What these shapes were recognised as", override={"LIBRARY_OVERRIDABLE"}
    )
    rows: CollectionProperty(type=KinesicsFaceRow, override={"LIBRARY_OVERRIDABLE", "USE_INSERTION"})
    active: IntProperty()


class KINESICS_UL_face(bpy.types.UIList):
    """Face channels with the shape key beside each."""

    bl_idname = "KINESICS_UL_face"

    def draw_item(
        self,
        context: bpy.types.Context,
        layout: bpy.types.UILayout,
        data: KinesicsFace,
        item: KinesicsFaceRow,
        icon: int,
        active_data: KinesicsFace,
        active_propname: str,
    ) -> None:
        """Draw one row; where two names would be cut, the first and whether there is a second.

        The chosen row's shape key stands in full below the list.
        """
        if width_of(context) < TWO_NAMES:
            layout.label(text=faces.channel_label(item.channel), icon="CHECKMARK" if item.shape else "BLANK1")
            return
        row = layout.split(factor=0.55)
        row.label(text=faces.channel_label(item.channel))
        row.label(text=item.shape, translate=False)

    def filter_items(
        self, context: bpy.types.Context, data: KinesicsFace, propname: str
    ) -> tuple[list[int], list[int]]:
        """Search in what is shown, not in names of rows, which they do not have."""
        if not self.filter_name:
            return [], []
        wanted = self.filter_name.lower()
        shown = [wanted in f"{faces.channel_label(row.channel)} {row.shape}".lower() for row in data.rows]
        return [self.bitflag_filter_item if match else 0 for match in shown], []


class KINESICS_PT_face(KinesicsPanel, bpy.types.Panel):
    """Characters whose face shapes are not ARKit's."""

    bl_idname = "KINESICS_PT_face"
    bl_label = "Face Mapping"
    bl_parent_id = "KINESICS_PT_main"
    bl_order = 7
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the button, and once there is a table, it and the chosen row's field."""
        column = self.layout.column()
        column.enabled = generate.current_session() is None
        row = column.row(align=True)
        row.operator("kinesics.set_up_face", icon="SHAPEKEY_DATA").kind = "AUTO"
        row.operator_menu_enum("kinesics.set_up_face", "kind", text="", icon="DOWNARROW_HLT")
        character = polls.character_of(context)
        if character is not None and len(character.kinesics_face.rows) > 0:
            table = character.kinesics_face
            column.label(text=faces.kind_label(table.kind))
            column.template_list("KINESICS_UL_face", "", table, "rows", table, "active", rows=8)
            if 0 <= table.active < len(table.rows):
                chosen = table.rows[table.active]
                column.label(text=faces.channel_label(chosen.channel))
                column.prop(chosen, "shape", text="", icon="SHAPEKEY_DATA")
            column.operator("kinesics.forget_face", icon="X")
        row = column.row(align=True)
        row.operator("kinesics.save_face_preset")
        row.operator_menu_enum("kinesics.load_face_preset", "preset", text="Load Preset")


CLASSES = (KinesicsFaceRow, KinesicsFace, KINESICS_UL_face, KINESICS_PT_face)


def attach() -> None:
    """Give every object its table."""
    bpy.types.Object.kinesics_face = PointerProperty(type=KinesicsFace, override={"LIBRARY_OVERRIDABLE"})


def detach() -> None:
    """Take it away again."""
    del bpy.types.Object.kinesics_face
