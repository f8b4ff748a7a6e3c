# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes: several motions for one request, to try, keep, delete and take parts from."""

from __future__ import annotations

from dataclasses import replace

import bpy
from bpy.props import IntProperty

from . import polls, take_list
from .generate import MotionOperator, read_plan
from .generation import GeneratePlan
from .regenerate import read_stretch_plan


class KINESICS_OT_generate_takes(MotionOperator, bpy.types.Operator):
    """Make several motions for the same directions at once, each with a seed of its own, and list them. What
    the character does now stays in the list, too"""

    bl_idname = "kinesics.generate_takes"
    bl_label = "Generate Takes"

    def read_plan(self, context: bpy.types.Context) -> GeneratePlan:
        """What to do, from the settings."""
        settings = context.scene.kinesics
        read = read_stretch_plan if settings.takes_of_range else read_plan
        return replace(read(context), num_takes=int(settings.num_takes))


class TakeOperator:
    """What the operators on the list share."""

    bl_options = {"UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a take and nothing is being made."""
        if not polls.is_free(cls) or not polls.has_character(cls, context):
            return False
        armature = polls.character_of(context)
        if len(armature.kinesics_takes.items) == 0:
            cls.poll_message_set("The character has no takes: press Generate Takes")
            return False
        if take_list.in_tweak_mode(armature):
            cls.poll_message_set("An NLA strip is being tweaked: leave tweak mode (Tab) first")
            return False
        return True


class KINESICS_OT_delete_take(TakeOperator, bpy.types.Operator):
    """Delete the chosen take and its action. Where it is on show, the next one is shown"""

    bl_idname = "kinesics.delete_take"
    bl_label = "Delete Take"

    index: IntProperty(
        name="Take",
        description="Place in the list, from 0; -1 is the chosen one",
        default=-1,
        min=-1,
        options={"SKIP_SAVE"},
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Delete it."""
        from .bridge import takes

        armature = polls.character_of(context)
        chosen = armature.kinesics_takes
        index = chosen.index if self.index < 0 else self.index
        if index >= len(chosen.items):
            self.report({"ERROR"}, "No take is chosen: click one in the list.")
            return {"CANCELLED"}
        takes.remove_take(armature, index)
        shown = takes.shown_take(armature)
        last = len(chosen.items) - 1
        chosen.index = list(chosen.items).index(shown) if shown is not None else min(index, max(last, 0))
        return {"FINISHED"}


class KINESICS_OT_delete_other_takes(TakeOperator, bpy.types.Operator):
    """Delete every take without a star, except the one on show"""

    bl_idname = "kinesics.delete_other_takes"
    bl_label = "Delete the Rest"

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Delete them."""
        from .bridge import takes

        armature = polls.character_of(context)
        chosen = armature.kinesics_takes
        shown = takes.shown_take(armature)
        shown_name = shown.action if shown is not None else None
        unwanted = [i for i, take in enumerate(chosen.items) if not take.keep and take.action != shown_name]
        for index in reversed(unwanted):
            takes.remove_take(armature, index)
        if len(chosen.items):
            shown = takes.shown_take(armature)
            chosen.index = list(chosen.items).index(shown) if shown is not None else 0
        self.report({"INFO"}, f"Deleted {len(unwanted)} takes")
        return {"FINISHED"}


CLASSES = (KINESICS_OT_generate_takes, KINESICS_OT_delete_take, KINESICS_OT_delete_other_takes)
