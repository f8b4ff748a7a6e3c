# SPDX-License-Identifier: GPL-3.0-or-later
"""Add Instruction: words for one part that hold for a while, as a strip on the timeline."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty, StringProperty

from ..engine.specs import MAX_INSTRUCTION_LENGTH, Part
from .generation import PART_LABELS
from .wording import worded

EXAMPLE = "stand still"
"""Text of a new instruction; valid as it is."""


class KINESICS_OT_add_instruction(bpy.types.Operator):
    """Add an instruction with a time of its own: a text strip at the playhead in the Video Sequencer, on the
    channel of this part. Drag and trim it there; several in a row become one continuous motion"""

    bl_idname = "kinesics.add_instruction"
    bl_label = "Add Instruction"
    bl_options = {"REGISTER", "UNDO"}

    part: EnumProperty(
        name="Part",
        description="Part of the body that follows the instruction",
        items=[(part.name, label, f"Words for the {label.lower()}") for part, label in PART_LABELS.items()],
        default="LOWER",
    )
    text: StringProperty(
        name="Text",
        description=f"What the part shall do, in English, at most {MAX_INSTRUCTION_LENGTH} characters; empty "
        "takes the text of the part",
        options={"SKIP_SAVE"},
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Add the strip."""
        from .bridge import instructions
        from .bridge.sound import scene_fps

        part = Part[self.part]
        direction = getattr(context.scene.kinesics, part.value)
        text = self.text.strip() or direction.text.strip() or EXAMPLE
        strip = instructions.add_instruction(context.scene, part, text, scene_fps(context.scene))
        self.report({"INFO"}, worded(f'"{text}" from frame {int(strip.frame_final_start)} on'))
        return {"FINISHED"}


CLASSES = (KINESICS_OT_add_instruction,)
