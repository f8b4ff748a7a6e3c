# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes: several motions for one request, to try, keep, delete and take parts from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty

from ..engine.errors import EngineError
from ..engine.specs import Part
from . import polls, take_list
from .generate import MotionOperator, read_plan
from .generation import PART_LABELS, GeneratePlan
from .regenerate import read_stretch_plan
from .wording import worded


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
            self.report({"ERROR"}, worded("No take is chosen: click one in the list."))
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
        self.report({"INFO"}, worded(f"Deleted {len(unwanted)} takes"))
        return {"FINISHED"}


_take_items: list[tuple[str, str, str]] = []
"""Blender wants the items of a menu to stay alive while it is open."""


def _list_takes(_operator: bpy.types.Operator, context: bpy.types.Context) -> list[tuple[str, str, str]]:
    armature = polls.character_of(context)
    takes = armature.kinesics_takes.items if armature is not None else ()
    _take_items[:] = [
        (str(i), take.name, worded(f"Take this part from {take.name}")) for i, take in enumerate(takes)
    ]
    return _take_items


def _take_choice(part: Part) -> Any:
    """A menu of the takes for one part."""
    return EnumProperty(
        name=PART_LABELS[part],
        description="Take that gives this part",
        items=_list_takes,
        options={"SKIP_SAVE"},
    )


class KINESICS_OT_merge_takes(TakeOperator, bpy.types.Operator):
    """Make another take with each part from the take you choose for it"""

    bl_idname = "kinesics.merge_takes"
    bl_label = "Merge Takes"

    face: _take_choice(Part.FACE)
    hands: _take_choice(Part.HANDS)
    upper: _take_choice(Part.UPPER)
    lower: _take_choice(Part.LOWER)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask which part comes from which take, starting from the chosen one."""
        chosen = polls.character_of(context).kinesics_takes
        for part in Part:
            setattr(self, part.value, str(min(chosen.index, len(chosen.items) - 1)))
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Merge them."""
        armature = polls.character_of(context)
        try:
            chosen = {part: int(getattr(self, part.value)) for part in Part}
            take = take_list.merge_takes(armature, context.scene, chosen)
        except EngineError as error:
            self.report({"ERROR"}, worded(error))
            return {"CANCELLED"}
        self.report({"INFO"}, worded(f"Merged into {take.name}"))
        return {"FINISHED"}


class KINESICS_OT_push_take(TakeOperator, bpy.types.Operator):
    """Turn the motion on show into strips in the NLA Editor, at the same frames; it stays in the list"""

    bl_idname = "kinesics.push_take"
    bl_label = "Push to NLA"

    per_part: BoolProperty(
        name="One Track per Part",
        description="Face, hands, upper and lower body each get a track, to move and mix on their own",
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether a take is on show."""
        if not super().poll(context):
            return False
        if take_list.shown_name(polls.character_of(context)) is None:
            cls.poll_message_set("No take is on show: click one in the list")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Make the strips."""
        from .bridge import armature as armature_bridge
        from .bridge import takes

        armature = polls.character_of(context)
        name = take_list.shown_name(armature)
        try:
            if self.per_part:
                takes.push_parts_down(armature, armature_bridge.read_rig(armature), name, PART_LABELS)
            else:
                takes.push_down(armature, name)
        except EngineError as error:
            self.report({"ERROR"}, worded(error))
            return {"CANCELLED"}
        self.report({"INFO"}, worded(f"{name} plays in the NLA Editor now"))
        return {"FINISHED"}


class KINESICS_OT_reduce_keys(bpy.types.Operator):
    """Put smooth keys in the place of one per frame, as few as keep every frame within these errors. The
    motion as it is now stays in the list of takes: click it there to go back"""

    bl_idname = "kinesics.reduce_keys"
    bl_label = "Reduce Keys"
    bl_options = {"REGISTER", "UNDO"}

    degrees: FloatProperty(
        name="Degrees", description="Furthest that any bone may turn away", default=0.5, min=0.01, max=45.0
    )
    mm: FloatProperty(
        name="Millimetres",
        description="Furthest that the hips may be off their place",
        default=1.0,
        min=0.01,
        max=500.0,
    )
    share: FloatProperty(
        name="Face",
        description="Furthest that a face shape may be off, as part of its whole way",
        default=0.01,
        min=0.0005,
        max=0.5,
        subtype="FACTOR",
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether a character has an action and nothing is being made."""
        if not polls.is_free(cls) or not polls.has_character(cls, context):
            return False
        animation = polls.character_of(context).animation_data
        if animation is None or animation.action is None or animation.use_tweak_mode:
            cls.poll_message_set("The character has no action that could be changed: press Generate first")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Reduce them."""
        from .bridge.reducing import Limits

        try:
            done = take_list.reduce_shown(
                polls.character_of(context), context.scene, Limits(self.degrees, self.mm, self.share)
            )
        except EngineError as error:
            self.report({"ERROR"}, worded(error))
            return {"CANCELLED"}
        worst = done.worst
        text = (
            f"{done.num_after} keys instead of {done.num_before}, at most {worst.degrees:.2f} degrees, "
            f"{worst.mm:.2f} mm and {worst.share:.1%} of a face shape off"
        )
        self.report({"INFO"}, worded(text))
        return {"FINISHED"}


CLASSES = (
    KINESICS_OT_generate_takes,
    KINESICS_OT_delete_take,
    KINESICS_OT_delete_other_takes,
    KINESICS_OT_merge_takes,
    KINESICS_OT_push_take,
    KINESICS_OT_reduce_keys,
)
