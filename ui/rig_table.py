# SPDX-License-Identifier: GPL-3.0-or-later
"""Which bone of a character is which part of the body: the table, and the panel that shows it."""

from __future__ import annotations

import bpy
from bpy.app.translations import pgettext_iface
from bpy.props import BoolProperty, CollectionProperty, IntProperty, PointerProperty, StringProperty

from ..operators import CONTEXT, generate, polls, rigs
from .panels import KinesicsPanel


def slot_text(slot: str) -> str:
    """A body part in the animator's language."""
    side, place, number = rigs.slot_words(slot)
    place = pgettext_iface(place, CONTEXT)
    if side:
        place = pgettext_iface("{side} {place}").format(side=pgettext_iface(side, CONTEXT), place=place)
    return f"{place} {number}".strip()


class KinesicsRigRow(bpy.types.PropertyGroup):
    """One bone of a character and what it is."""

    slot: StringProperty(
        name="Body Part",
        description="Part of the body that this row is about",
        override={"LIBRARY_OVERRIDABLE"},
    )
    bone: StringProperty(
        name="Bone",
        description="Bone that is this part of the body; leave it empty where the rig has none",
        override={"LIBRARY_OVERRIDABLE"},
    )


class KinesicsRig(bpy.types.PropertyGroup):
    """The table of one character; without rows its bones are recognised by their names."""

    kind: StringProperty(
        name="Kind", description="What this rig was recognised as", override={"LIBRARY_OVERRIDABLE"}
    )
    rows: CollectionProperty(type=KinesicsRigRow, override={"LIBRARY_OVERRIDABLE", "USE_INSERTION"})
    active: IntProperty()
    keep_hands: BoolProperty(
        name="Hands Keep Contact",
        description="A hand that rests on the body, the face or the other hand rests there on this character "
        "too, whatever its proportions. Off, arms only turn as they were made",
        default=True,
        override={"LIBRARY_OVERRIDABLE"},
    )


class KINESICS_UL_rig(bpy.types.UIList):
    """Body parts with the bone beside each."""

    bl_idname = "KINESICS_UL_rig"

    def draw_item(
        self,
        context: bpy.types.Context,
        layout: bpy.types.UILayout,
        data: KinesicsRig,
        item: KinesicsRigRow,
        icon: int,
        active_data: KinesicsRig,
        active_propname: str,
    ) -> None:
        """Draw one row."""
        row = layout.split(factor=0.5)
        row.label(text=slot_text(item.slot), translate=False)
        row.label(text=item.bone.rpartition(":")[2], translate=False)  # the whole name stands below the list

    def filter_items(
        self, context: bpy.types.Context, data: KinesicsRig, propname: str
    ) -> tuple[list[int], list[int]]:
        """Search in what is shown, not in names of rows, which they do not have."""
        if not self.filter_name:
            return [], []
        wanted = self.filter_name.lower()
        shown = [wanted in f"{slot_text(row.slot)} {row.bone}".lower() for row in data.rows]
        return [self.bitflag_filter_item if match else 0 for match in shown], []


class KINESICS_PT_rig(KinesicsPanel, bpy.types.Panel):
    """Characters whose bones are not those of SMPL-X."""

    bl_idname = "KINESICS_PT_rig"
    bl_label = "Rig Mapping"
    bl_parent_id = "KINESICS_PT_main"
    bl_order = 6
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the button, and once there is a table, it and the chosen row's field."""
        column = self.layout.column()
        column.enabled = generate.current_session() is None
        column.operator("kinesics.set_up_character", icon="ARMATURE_DATA")
        character = polls.character_of(context)
        if character is not None and len(character.kinesics_rig.rows) > 0:
            table = character.kinesics_rig
            column.label(text=rigs.kind_label(table.kind))
            column.template_list("KINESICS_UL_rig", "", table, "rows", table, "active", rows=8)
            if 0 <= table.active < len(table.rows):
                chosen = table.rows[table.active]
                column.label(text=slot_text(chosen.slot), translate=False)
                column.prop_search(chosen, "bone", character.data, "bones", text="")
            column.prop(table, "keep_hands")
            column.operator("kinesics.forget_rig", icon="X")
        row = column.row(align=True)
        row.operator("kinesics.save_rig_preset")
        row.operator_menu_enum("kinesics.load_rig_preset", "preset", text="Load Preset")


CLASSES = (KinesicsRigRow, KinesicsRig, KINESICS_UL_rig, KINESICS_PT_rig)


def attach() -> None:
    """Give every object its table."""
    bpy.types.Object.kinesics_rig = PointerProperty(type=KinesicsRig, override={"LIBRARY_OVERRIDABLE"})


def detach() -> None:
    """Take it away again."""
    del bpy.types.Object.kinesics_rig
