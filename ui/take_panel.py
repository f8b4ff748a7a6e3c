# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of takes and what is shown of the chosen one."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.translations import pgettext_iface

from ..operators import ghost
from ..operators.bridge.ghost import has_constraints
from ..operators.wording import worded

PICTURE_SCALE = 4.0
"""Height of the chosen take's picture in rows."""


class KINESICS_UL_takes(bpy.types.UIList):
    """Takes of a character: the one on show is marked; a click shows another."""

    bl_idname = "KINESICS_UL_takes"

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
        """Draw one line: on show or not, picture, name, lip sync, star."""
        row = layout.row(align=True)
        if item.action is None:
            row.label(text="", icon="ERROR")
        else:
            row.label(text="", icon="HIDE_OFF" if _is_shown(item) else "BLANK1")
            row.label(text="", icon_value=_picture(item))
        row.prop(item, "name", text="", emboss=False)
        if item.has_sync:
            mark = row.row(align=True)
            mark.alignment = "RIGHT"
            mark.label(text=_percent(item.lip_sync))
        row.prop(item, "keep", text="", icon="SOLO_ON" if item.keep else "SOLO_OFF", emboss=False)


def draw_takes(layout: bpy.types.UILayout, character: bpy.types.Object | None, settings: Any) -> None:
    """Draw how many takes to make, those there are, and Reduce Keys."""
    row = layout.row(align=True)
    row.prop(settings, "num_takes")
    row.prop(settings, "takes_of_range", toggle=True)
    layout.operator("kinesics.generate_takes", icon="DUPLICATE")
    if character is not None and len(character.kinesics_takes.items):
        _draw_list(layout, character.kinesics_takes)
    layout.operator("kinesics.reduce_keys", icon="IPO_BEZIER")


def _draw_list(layout: bpy.types.UILayout, takes: Any) -> None:
    """The takes, what can be done with them, and what is known of the chosen one."""
    layout.template_list("KINESICS_UL_takes", "", takes, "items", takes, "index", rows=4)
    row = layout.row(align=True)
    row.operator("kinesics.delete_take", text="Delete", icon="TRASH")
    row.operator("kinesics.delete_other_takes")
    _draw_ghost(layout, takes.id_data)
    row = layout.row(align=True)
    row.operator("kinesics.merge_takes", text="Merge")
    row.operator("kinesics.push_take", text="To NLA").per_part = False
    row.operator("kinesics.push_take", text="By Part").per_part = True
    if 0 <= takes.index < len(takes.items):
        _draw_take(layout.box(), takes.items[takes.index])


def _draw_ghost(layout: bpy.types.UILayout, character: bpy.types.Object) -> None:
    """The switch of the ghost, and whose it is."""
    row = layout.row(align=True)
    on = ghost.is_on()
    row.operator(
        "kinesics.toggle_ghost", text="Ghost", icon="GHOST_ENABLED" if on else "GHOST_DISABLED", depress=on
    )
    if on:
        row.label(text=ghost_text(character), translate=False)


def ghost_text(character: bpy.types.Object) -> str:
    """Whose ghost is seen, or why none is."""
    if has_constraints(character):
        return str(pgettext_iface("Not with constraints"))
    take = ghost.ghost_take(character)
    return str(take.name if take is not None else pgettext_iface("Click another take"))


def _draw_take(box: bpy.types.UILayout, take: Any) -> None:
    """Picture and numbers side by side, the directions below."""
    if take.action is None:
        box.label(text="Its action was deleted", icon="ERROR")
        return
    if take.measured:
        row = box.row()
        row.template_icon(icon_value=_picture(take), scale=PICTURE_SCALE)
        column = row.column(align=True)
        column.scale_y = 0.8
        for line in measure_lines(take):
            column.label(text=line)
    if take.changed:
        box.label(text="Edited since measured", icon="INFO")
    lines = take.instruction.splitlines()
    if lines:
        column = box.column(align=True)
        column.scale_y = 0.8
        for line in lines:
            column.label(text=worded(line), translate=False)


def measure_lines(take: Any) -> list[str]:
    """Seed and measures of a take in words."""
    lines = [
        pgettext_iface("Merged") if take.merged else pgettext_iface("Seed {seed}").format(seed=take.seed),
        pgettext_iface("Lip sync {percent}").format(percent=_percent(take.lip_sync))
        if take.has_sync
        else pgettext_iface("Lip sync: no speech"),
        pgettext_iface("Jitter {jitter} m/s\u00b3").format(jitter=f"{take.jitter:.0f}"),
        pgettext_iface("Feet slide {speed} cm/s").format(speed=f"{take.foot_slide * 100:.1f}"),
    ]
    if take.emotion:
        emotion, chance = pgettext_iface(take.emotion.capitalize()), _percent(take.emotion_chance)
        lines.append(pgettext_iface("Shows {emotion} {percent}").format(emotion=emotion, percent=chance))
    return [str(line) for line in lines]


def _percent(share: float) -> str:
    return f"{max(share, 0.0):.0%}"


def _is_shown(take: Any) -> bool:
    animation = take.id_data.animation_data
    return animation is not None and animation.action == take.action


def _picture(take: Any) -> int:
    """Number of the picture's icon, 0 without one."""
    return take.action.preview.icon_id if take.action.preview is not None else 0
