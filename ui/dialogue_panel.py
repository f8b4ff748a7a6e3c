# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of a character's sound strips and how far each is."""

from __future__ import annotations

from typing import Any

import bpy

from ..operators import CONTEXT, dialogue, dialogue_plan, polls

ICONS: dict[dialogue.LineState, str] = {
    dialogue.LineState.DONE: "CHECKMARK",
    dialogue.LineState.MOVED: "ARROW_LEFTRIGHT",
    dialogue.LineState.CHANGED: "FILE_REFRESH",
    dialogue.LineState.NEW: "ADD",
    dialogue.LineState.WAITING: "TIME",
    dialogue.LineState.RUNNING: "PLAY",
    dialogue.LineState.WRONG: "ERROR",
}

_shared: dialogue_plan.Shared | None = None
"""What counts for every line of the list, read once for each time it is drawn."""


class KINESICS_UL_dialogue(bpy.types.UIList):
    """Sound strips in the order of their time; only those that are drawn are looked at."""

    bl_idname = "KINESICS_UL_dialogue"

    def draw_item(
        self,
        context: bpy.types.Context,
        layout: bpy.types.UILayout,
        data: Any,
        item: Any,
        icon: int,
        active_data: Any,
        active_property: str,
    ) -> None:
        """Draw one line: state, name, how far it is."""
        state, text = dialogue.state_of(context, item, _shared or dialogue_plan.read_shared(context))
        row = layout.row(align=True)
        row.label(text=item.name, icon=ICONS[state], translate=False)
        mark = row.row(align=True)
        mark.alignment = "RIGHT"
        mark.label(text=text, text_ctxt=CONTEXT)

    def filter_items(
        self, context: bpy.types.Context, data: Any, property_name: str
    ) -> tuple[list[int], list[int]]:
        """Show the dialogue's strips only, in the order of their time; called before lines are drawn."""
        global _shared
        _shared = dialogue_plan.read_shared(context)
        strips = list(getattr(data, property_name))
        spoken = {strip.name: place for place, strip in enumerate(_spoken(context))}
        flags = [self.bitflag_filter_item if strip.name in spoken else 0 for strip in strips]
        rest = iter(range(len(spoken), len(strips)))
        return flags, [spoken[strip.name] if strip.name in spoken else next(rest) for strip in strips]


def _spoken(context: bpy.types.Context) -> list[Any]:
    return dialogue_plan.dialogue_strips(context.scene)


def draw_dialogue(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Draw channel, strips and button."""
    scene = context.scene
    layout.prop(scene.kinesics, "dialogue_channel")
    editor = scene.sequence_editor
    if editor is not None and _spoken(context):
        name = "strips" if hasattr(editor, "strips") else "sequences"
        layout.template_list(
            "KINESICS_UL_dialogue", "", editor, name, scene.kinesics, "dialogue_index", rows=4
        )
    else:
        column = layout.column(align=True)
        column.label(text="Add sound strips", icon="INFO")
        column.label(text="in the Video Sequencer", icon="BLANK1")
    row = layout.row(align=True)
    row.operator("kinesics.generate_dialogue", icon="PLAY").afresh = False
    character = polls.character_of(context)
    if character is not None and len(character.kinesics_dialogue.lines):
        row.operator("kinesics.generate_dialogue", text="", icon="FILE_REFRESH").afresh = True
