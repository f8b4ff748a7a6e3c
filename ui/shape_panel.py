# SPDX-License-Identifier: GPL-3.0-or-later
"""The Shape box: calmer or bigger, still, where the body goes, how feet stand; after the motion was made."""

from __future__ import annotations

from typing import Any

import bpy

from ..engine.specs import Part
from ..operators import CONTEXT, generate, polls, shaping
from ..operators.wording import worded
from .lines import draw_lines
from .panels import PART_ICONS, KinesicsPanel


class KINESICS_PT_shape(KinesicsPanel, bpy.types.Panel):
    """The motion on show, calmer or bigger, still, elsewhere: at once, and never for good."""

    bl_idname = "KINESICS_PT_shape"
    bl_label = "Shape"
    bl_parent_id = "KINESICS_PT_main"
    bl_order = 3
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """Draw energies, holds, root and feet, and what is to be decided."""
        column = self.layout.column()
        column.enabled = generate.current_session() is None
        character = polls.character_of(context)
        if character is None:
            column.label(text="Add or select a character", icon="INFO")
            return
        shape = character.kinesics_shape
        _draw_energy(column, shape)
        _draw_holds(column, shape)
        _draw_root(column, shape)
        _draw_end(column, context, character)


def _draw_energy(layout: bpy.types.UILayout, shape: Any) -> None:
    """A slider per part."""
    column = layout.column(align=True)
    column.label(text="Energy")
    for part in Part:
        column.prop(shape, f"energy_{part.value}", slider=True)


def _draw_holds(layout: bpy.types.UILayout, shape: Any) -> None:
    """The button, and a box per hold."""
    layout.operator("kinesics.add_hold", icon="PAUSE")
    for index, hold in enumerate(shape.holds):
        column = layout.box().column(align=True)
        row = column.row(align=True)
        row.prop(hold, "first")
        row.prop(hold, "last")
        row.operator("kinesics.remove_hold", text="", icon="X").index = index
        column.prop(hold, "amount", slider=True)
        row = column.row(align=True)
        row.prop(hold, "ease")
        for part in Part:
            row.prop(hold, part.value, text="", icon=PART_ICONS[part], toggle=True)


def _draw_root(layout: bpy.types.UILayout, shape: Any) -> None:
    """Where the body goes and how feet stand."""
    column = layout.column(align=True)
    column.label(text="Root", text_ctxt=CONTEXT)
    column.row(align=True).prop(shape, "root", expand=True)
    if shape.root == "IN_PLACE":
        column.prop(shape, "keep_turn")
        return
    if shape.root == "FOLLOW":
        column.prop(shape, "curve", text="")
    layout.prop(shape, "feet")


def _draw_end(layout: bpy.types.UILayout, context: bpy.types.Context, character: bpy.types.Object) -> None:
    """What stands in the way, and the ways back and on."""
    refusal = shaping.refusal(character)
    if refusal is not None:
        draw_lines(layout.box(), context, worded(refusal), "ERROR")
    if isinstance(refusal, shaping.EditedError):
        row = layout.row(align=True)
        row.operator("kinesics.keep_shape", text="Keep Edits")
        row.operator("kinesics.update_shape", text="Discard Edits").discard = True
        return
    if shaping.is_pending(character):
        layout.operator("kinesics.update_shape", icon="FILE_REFRESH")
    if shaping.is_shaped(character):
        row = layout.row(align=True)
        row.operator("kinesics.update_shape", text="", icon="FILE_REFRESH")
        row.operator("kinesics.reset_shape", icon="LOOP_BACK")
        layout.operator("kinesics.keep_shape")


CLASSES = (KINESICS_PT_shape,)
