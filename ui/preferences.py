# SPDX-License-Identifier: GPL-3.0-or-later
"""Preferences of the extension: which model, on which device."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty, StringProperty

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

    def draw(self, context: bpy.types.Context) -> None:
        """Show the fields."""
        column = self.layout.column()
        column.prop(self, "pack_dir")
        column.operator("kinesics.check_pack", icon="CHECKMARK")
        column.prop(self, "device")
        column.separator()
        column.prop(self, "smplx_path")
        draw_smplx_licence(column)


def draw_smplx_licence(layout: bpy.types.UILayout) -> None:
    """Say what the licence of SMPL-X allows."""
    column = layout.column(align=True)
    for index, line in enumerate(SMPLX_LICENCE):
        column.label(text=line, icon="INFO" if index == 0 else "BLANK1")


CLASSES = (KinesicsPreferences,)
