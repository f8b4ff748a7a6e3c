# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kinesics tab in the sidebar of the 3D View."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.translations import pgettext_iface

from ..engine.specs import Part
from ..operators import CONTEXT, generate, polls, sessions
from ..operators.bridge import instructions
from ..operators.generation import PART_LABELS
from ..operators.wording import worded
from . import dialogue_panel, take_panel
from .lines import is_narrow
from .preferences import draw_smplx_licence

PART_ICONS: dict[Part, str] = {
    Part.FACE: "USER",
    Part.HANDS: "VIEW_PAN",
    Part.UPPER: "ARMATURE_DATA",
    Part.LOWER: "MOD_DYNAMICPAINT",
}


class KinesicsPanel:
    """Where the panels live."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Kinesics"


class KINESICS_PT_main(KinesicsPanel, bpy.types.Panel):
    """Character, speech, four parts, Generate."""

    bl_idname = "KINESICS_PT_main"
    bl_label = "Kinesics"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw from the settings alone; nothing is looked up that takes time."""
        layout = self.layout
        settings = context.scene.kinesics
        session = generate.current_session()
        column = layout.column()
        column.enabled = session is None
        _draw_character(column, context, settings)
        _draw_speech(column, context, settings)
        _draw_parts(column, context)
        _draw_generate(layout, session)


class KINESICS_PT_takes(KinesicsPanel, bpy.types.Panel):
    """Several motions to choose from."""

    bl_idname = "KINESICS_PT_takes"
    bl_order = 1
    bl_label = "Takes"
    bl_parent_id = "KINESICS_PT_main"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """Draw how many to make, the list, and what is in the chosen one."""
        column = self.layout.column()
        column.enabled = generate.current_session() is None
        take_panel.draw_takes(column, polls.character_of(context), context.scene.kinesics)


class KINESICS_PT_dialogue(KinesicsPanel, bpy.types.Panel):
    """All strips of a character's speech."""

    bl_idname = "KINESICS_PT_dialogue"
    bl_order = 0
    bl_label = "Dialogue"
    bl_parent_id = "KINESICS_PT_main"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the strips, how far each is, and the button."""
        column = self.layout.column()
        column.enabled = generate.current_session() is None
        dialogue_panel.draw_dialogue(column, context)


class KINESICS_PT_regenerate(KinesicsPanel, bpy.types.Panel):
    """One stretch of some parts anew."""

    bl_idname = "KINESICS_PT_regenerate"
    bl_order = 2
    bl_label = "Regenerate"
    bl_parent_id = "KINESICS_PT_main"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """Draw range, parts with their locks, blend and button."""
        settings = context.scene.kinesics
        column = self.layout.column()
        column.enabled = generate.current_session() is None
        column.row().prop(settings, "regenerate_range", expand=True)
        column.label(text=_range_text(context.scene))
        _draw_choice(column, polls.character_of(context), settings)
        column.prop(settings, "blend_frames")
        column.operator("kinesics.regenerate", icon="FILE_REFRESH")


class KINESICS_PT_files(KinesicsPanel, bpy.types.Panel):
    """Motion files in and out."""

    bl_idname = "KINESICS_PT_files"
    bl_order = 5
    bl_label = "Files"
    bl_parent_id = "KINESICS_PT_main"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the buttons."""
        column = self.layout.column(align=True)
        column.operator("kinesics.export", icon="EXPORT")
        column.operator("kinesics.import_clip", icon="IMPORT")
        column.operator("kinesics.playblast", icon="RENDER_ANIMATION")


class KINESICS_PT_smplx(KinesicsPanel, bpy.types.Panel):
    """A character from a SMPL-X file of the user's own."""

    bl_idname = "KINESICS_PT_smplx"
    bl_order = 8
    bl_label = "SMPL-X"
    bl_parent_id = "KINESICS_PT_main"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the button and what the licence allows."""
        column = self.layout.column()
        column.operator("kinesics.add_smplx_character", icon="OUTLINER_OB_ARMATURE")
        draw_smplx_licence(column, context)


def _draw_character(layout: bpy.types.UILayout, context: bpy.types.Context, settings: Any) -> None:
    box = layout.box()
    box.label(text="Character", icon="OUTLINER_OB_ARMATURE")
    box.prop(settings, "character", text="")
    if settings.character is None:
        found = polls.character_of(context)
        if found is not None:
            chosen = pgettext_iface("Selected: {name}").format(name=found.name)
            box.label(text=chosen, icon="RESTRICT_SELECT_OFF", translate=False)
        box.operator("kinesics.add_character", icon="ADD")


def _draw_speech(layout: bpy.types.UILayout, context: bpy.types.Context, settings: Any) -> None:
    box = layout.box()
    box.label(text="Speech", icon="SOUND")
    row = box.row()
    row.prop(settings, "audio_source", expand=True)
    if settings.audio_source == "STRIP":
        strip = instructions.find_spoken_strip(context.scene)
        if strip is not None:
            row = box.row(align=True)
            row.label(text=strip.name, icon="CHECKMARK", translate=False)
            row.operator_menu_enum("kinesics.mark_beats", "kind", text="", icon="MARKER")
        else:
            _draw_no_strip(box, context)
    elif settings.audio_source == "FILE":
        row = box.row(align=True)
        row.prop(settings, "audio_path", text="")
        row.operator_menu_enum("kinesics.mark_beats", "kind", text="", icon="MARKER")
        box.prop(settings, "frame_start")
    else:
        box.prop(settings, "duration_s")
        box.prop(settings, "frame_start")


def _draw_no_strip(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """What to do, in lines that the narrow sidebar does not cut."""
    layout.operator("kinesics.add_speech", icon="ADD")
    column = layout.column(align=True)
    column.scale_y = 0.8
    shown = getattr(context.workspace, "sequencer_scene", None)
    if shown is not None and shown != context.scene:
        column.label(text="The Video Sequencer", icon="ERROR")
        column.label(text="shows another scene", icon="BLANK1")
        return
    column.label(text="or click a sound strip", icon="BLANK1")
    column.label(text="in the Video Sequencer", icon="BLANK1")


def _draw_instructions(layout: bpy.types.UILayout, scene: bpy.types.Scene, part: Part) -> None:
    """How many instructions a part has on the timeline, and the text of the active one."""
    strips = instructions.instruction_strips(scene, part)
    if not strips:
        return
    count = pgettext_iface("On the timeline: {count}").format(count=len(strips))
    layout.label(text=count, icon="SEQ_SEQUENCER", translate=False)
    active = scene.sequence_editor.active_strip
    if active in strips:
        layout.prop(active, "text", text="", icon="SEQ_STRIP_META")


def _draw_parts(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    scene, settings = context.scene, context.scene.kinesics
    narrow = is_narrow(context)
    box = layout.box()
    row = box.row(align=True)
    row.label(text="Direction", text_ctxt=CONTEXT, icon="GREASEPENCIL")
    row.operator("kinesics.save_direction", text="", icon="FILE_TICK")
    row.operator_menu_enum("kinesics.load_direction", "preset", text="", icon="PRESET")
    for part in Part:
        direction = getattr(settings, part.value)
        split = box.split(factor=0.47, align=True)
        icon = "NONE" if narrow else PART_ICONS[part]
        split.label(text=PART_LABELS[part], text_ctxt=CONTEXT, icon=icon)
        row = split.row(align=True)
        row.prop(direction, "source", text="")
        row.operator("kinesics.add_instruction", text="", icon="ADD").part = part.name
        if settings.part_emotions and direction.source != "KEEP":
            box.prop(direction, "emotion", text="", icon="BLANK1")
        if direction.source in ("TEXT", "BOTH"):
            box.prop(direction, "text", text="", icon="TEXT")
        _draw_instructions(box, scene, part)
    split = box.split(factor=0.32, align=True)
    split.label(text="Emotion", text_ctxt=CONTEXT)
    row = split.row(align=True)
    row.prop(settings, "emotion", text="")
    row.prop(settings, "part_emotions", text="", icon="COMMUNITY")
    row = box.row(align=True)
    row.prop(settings, "seed")
    row.prop(settings, "seed_mode", text="", icon_only=True)
    row.operator("kinesics.new_seed", text="", icon="FILE_REFRESH")
    box.prop(settings, "variation")


def _draw_choice(layout: bpy.types.UILayout, character: bpy.types.Object | None, settings: Any) -> None:
    """A switch and a lock per part."""
    column = layout.column(align=True)
    for part in Part:
        row = column.row(align=True)
        switch = row.row(align=True)
        locked = character is not None and getattr(character.kinesics_locks, part.value)
        switch.enabled = not locked
        switch.prop(
            getattr(settings, part.value),
            "redo",
            text=PART_LABELS[part],
            text_ctxt=CONTEXT,
            icon=PART_ICONS[part],
            toggle=True,
        )
        if character is not None:
            icon = "LOCKED" if locked else "UNLOCKED"
            row.prop(character.kinesics_locks, part.value, text="", icon=icon)


def _range_text(scene: bpy.types.Scene) -> str:
    """The frames that are chosen, where that is known without looking through keys."""
    chosen = scene.kinesics.regenerate_range
    if chosen == "KEYS":
        return str(pgettext_iface("First to last selected key"))
    if chosen == "PREVIEW":
        if not scene.use_preview_range:
            return str(pgettext_iface("In the timeline press P, drag"))
        return _frames_text(scene.frame_preview_start, scene.frame_preview_end)
    strip = instructions.find_spoken_strip(scene)
    if strip is None:
        return str(pgettext_iface("Click a sound strip"))
    return _frames_text(int(strip.frame_final_start), int(strip.frame_final_end) - 1)


def _frames_text(first: int, last: int) -> str:
    return pgettext_iface("Frames {first} to {last}").format(first=first, last=last)


def _draw_generate(layout: bpy.types.UILayout, session: sessions.Watched | None) -> None:
    """The button, and while a motion is made, how far it is: as high, so that nothing below moves."""
    column = layout.column(align=True)
    if session is None:
        column.scale_y = 2.0
        column.operator("kinesics.generate", icon="PLAY")
        return
    state = session.state
    begun = round(state.fraction * 100) > 0
    text = _progress_text(state.fraction, state.remaining_s) if begun else worded(state.message or "Starting")
    column.progress(factor=state.fraction, text=text, text_ctxt=CONTEXT)
    column.operator("kinesics.generate_cancel", icon="CANCEL")


def _progress_text(fraction: float, remaining_s: float | None) -> str:
    """Percent done and the time to go."""
    percent = round(fraction * 100)
    if remaining_s is None:
        return f"{percent}%"
    seconds = max(1, round(remaining_s))
    if seconds < 90:
        return pgettext_iface("{percent}%, {seconds} s left").format(percent=percent, seconds=seconds)
    minutes = round(seconds / 60)
    return pgettext_iface("{percent}%, {minutes} min left").format(percent=percent, minutes=minutes)


CLASSES = (
    take_panel.KINESICS_UL_takes,
    dialogue_panel.KINESICS_UL_dialogue,
    KINESICS_PT_main,
    KINESICS_PT_dialogue,
    KINESICS_PT_takes,
    KINESICS_PT_regenerate,
    KINESICS_PT_files,
    KINESICS_PT_smplx,
)
