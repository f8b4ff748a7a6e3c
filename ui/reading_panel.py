# SPDX-License-Identifier: GPL-3.0-or-later
"""The Reading box: which emotion a motion shows, as bars, and what it is in words."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.translations import pgettext_iface
from bpy.props import BoolProperty, FloatVectorProperty, IntProperty, PointerProperty, StringProperty

from ..engine.specs import EMOTIONS
from ..operators import CONTEXT, generate
from .lines import draw_lines
from .panels import KinesicsPanel


class KinesicsReading(bpy.types.PropertyGroup):
    """What was last read in a scene."""

    of: StringProperty(name="Character", description="Armature whose motion was read")
    first: IntProperty(name="From", description="First frame that was read")
    last: IntProperty(name="To", description="Last frame that was read")
    has_emotion: BoolProperty(name="Emotion", description="An emotion was read")
    chances: FloatVectorProperty(
        name="Chances", description="How likely each emotion is", size=len(EMOTIONS), min=0.0, max=1.0
    )
    words: StringProperty(name="Words", description="What the motion is, as the model says it")


class KINESICS_PT_reading(KinesicsPanel, bpy.types.Panel):
    """What the body says: its emotion, and what it does in words."""

    bl_idname = "KINESICS_PT_reading"
    bl_label = "Reading"
    bl_parent_id = "KINESICS_PT_main"
    bl_order = 4
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the buttons and the last answers."""
        column = self.layout.column()
        column.enabled = generate.current_session() is None
        row = column.row(align=True)
        row.operator("kinesics.read_emotion", icon="LIGHT_HEMI").over_time = False
        row.operator("kinesics.read_emotion", text="", icon="MARKER_HLT").over_time = True
        column.operator("kinesics.describe_motion", icon="TEXT")
        _draw_answers(column, context)


def _draw_answers(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Bars and sentence, and of what they are."""
    reading: Any = context.scene.kinesics_reading
    if not reading.has_emotion and not reading.words:
        return
    frames = pgettext_iface("Frames {first} to {last}").format(first=reading.first, last=reading.last)
    column = layout.column(align=True)
    column.scale_y = 0.8
    column.label(text=reading.of, translate=False)
    column.label(text=frames, translate=False)
    if reading.has_emotion:
        bars = layout.column(align=True)
        for name, chance in zip(EMOTIONS, reading.chances, strict=True):
            word = pgettext_iface(name.capitalize(), CONTEXT)
            bars.progress(factor=chance, text=f"{word} {chance:.0%}")
    draw_lines(layout, context, reading.words)


def attach() -> None:
    """Give every scene what was read in it."""
    bpy.types.Scene.kinesics_reading = PointerProperty(type=KinesicsReading)


def detach() -> None:
    """Take it away again."""
    del bpy.types.Scene.kinesics_reading


CLASSES = (KinesicsReading, KINESICS_PT_reading)
