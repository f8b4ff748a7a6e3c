# SPDX-License-Identifier: GPL-3.0-or-later
"""Preferences of the extension: which model, on which device."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty, IntProperty, StringProperty

from ..operators import import_model
from ..operators.dialogue_plan import DEFAULT_CACHE_MB

PACKAGE = __package__.rpartition(".")[0] if __package__ else ""

DEVICES = (
    ("AUTO", "Automatic", "A CUDA graphics card where there is one, else the processor"),
    ("CPU", "Processor", "Always the processor"),
    ("CUDA", "CUDA", "An NVIDIA graphics card"),
)

SMPLX_LICENCE = (
    "SMPL-X model files and the smplx package are licensed",
    "for non-commercial research only; neither comes with Kinesics.",
)
"""Shown wherever a SMPL-X file is chosen."""


class KinesicsPreferences(bpy.types.AddonPreferences):
    """Which model makes the motion, and where it runs."""

    bl_idname = PACKAGE

    pack_dir: StringProperty(
        name="Model Pack",
        description="Folder of a model pack; empty takes the bundled starter pack",
        subtype="DIR_PATH",
    )
    device: EnumProperty(name="Device", description="Where the model runs", items=DEVICES)
    smplx_path: StringProperty(
        name="SMPL-X Model", description="SMPL-X model file (.npz) of your own", subtype="FILE_PATH"
    )

    cache_mb: IntProperty(
        name="Dialogue Memory (MB)",
        description="Disk space for finished motions of dialogue strips, so that they need not be made again",
        default=DEFAULT_CACHE_MB,
        min=64,
        max=1 << 20,
    )

    def draw(self, context: bpy.types.Context) -> None:
        """Show the fields."""
        column = self.layout.column()
        column.prop(self, "pack_dir")
        column.operator("kinesics.check_pack", icon="CHECKMARK")
        _draw_import(column)
        column.operator("kinesics.release_memory", icon="TRASH")
        column.prop(self, "device")
        row = column.row(align=True)
        row.prop(self, "cache_mb")
        row.operator("kinesics.clear_dialogue", text="", icon="TRASH")
        column.separator()
        column.prop(self, "smplx_path")
        draw_smplx_licence(column)


def _draw_import(column: bpy.types.UILayout) -> None:
    """The import of the published model, or how far it is."""
    state = import_model.import_state()
    if state is None:
        column.operator("kinesics.import_model", icon="IMPORT")
        return
    column.progress(factor=state.fraction, text=state.message or "Starting")
    column.operator("kinesics.import_model_cancel", icon="CANCEL")


def draw_smplx_licence(layout: bpy.types.UILayout) -> None:
    """Say what the licence of SMPL-X allows."""
    column = layout.column(align=True)
    for index, line in enumerate(SMPLX_LICENCE):
        column.label(text=line, icon="INFO" if index == 0 else "BLANK1")


CLASSES = (KinesicsPreferences,)
