# SPDX-License-Identifier: GPL-3.0-or-later
"""Preferences of the extension: which model, on which device."""

from __future__ import annotations

import bpy
from bpy.app.translations import pgettext_iface
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty

from ..operators import CONTEXT, engine_host, generate, import_model, install_engine, log, self_test
from ..operators.dialogue_plan import DEFAULT_CACHE_MB
from ..operators.wording import worded
from .lines import draw_lines

PACKAGE = __package__.rpartition(".")[0] if __package__ else ""

DEVICES = (
    ("AUTO", "Automatic", "A CUDA graphics card where there is one, else the processor"),
    ("CPU", "Processor", "Always the processor"),
    ("CUDA", "CUDA", "An NVIDIA graphics card"),
)


def _apply_log_level(preferences: KinesicsPreferences, _context: bpy.types.Context) -> None:
    log.LOG.setLevel(preferences.log_level)


def _apply_memory_limit(preferences: KinesicsPreferences, _context: bpy.types.Context) -> None:
    engine_host.set_memory_limit(preferences.memory_mb)


def _apply_fast(preferences: KinesicsPreferences, _context: bpy.types.Context) -> None:
    engine_host.set_fast(preferences.fast)


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

    memory_mb: IntProperty(
        name="Memory Limit (MB)",
        description="Most memory for the motion model: a larger model pack is not loaded, and on a graphics "
        "card motions are made fewer at a time to stay below. 0 sets no limit",
        default=0,
        min=0,
        max=1 << 20,
        update=_apply_memory_limit,
    )
    fast: BoolProperty(
        name="Faster Published Model",
        description="Make the published model's motion faster and in less memory. A few poses in a hundred "
        "then differ from what it would otherwise choose. The bundled model stays as it is",
        default=False,
        update=_apply_fast,
    )
    log_level: EnumProperty(
        name="Console",
        description="What Kinesics writes to Blender's console",
        items=log.LEVELS,
        update=_apply_log_level,
    )
    cache_mb: IntProperty(
        name="Dialogue Memory (MB)",
        description="Disk space for finished motions of dialogue strips, so that they need not be made again",
        default=DEFAULT_CACHE_MB,
        min=64,
        max=1 << 20,
    )

    processor_only: BoolProperty(
        name="For the Processor Only",
        description="Install the engine for the processor alone, which is much smaller, even where there "
        "is a graphics card",
    )
    wheels_dir: StringProperty(
        name="Engine Files",
        description="Folder with the engine's files, to install it without network; empty downloads them",
        subtype="DIR_PATH",
    )
    wheel_index: StringProperty(
        name="Package Index",
        description="Address of one more package index to get the engine from; empty takes the usual one",
    )

    def draw(self, context: bpy.types.Context) -> None:
        """Show the fields."""
        column = self.layout.column()
        column.use_property_split, column.use_property_decorate = True, False
        if install_engine.is_needed():
            _draw_install(column, context, self)
        column.prop(self, "pack_dir")
        column.operator("kinesics.check_pack", icon="CHECKMARK")
        _draw_import(column)
        column.prop(self, "device")
        column.prop(self, "memory_mb")
        column.prop(self, "fast")
        _draw_self_test(column, context)
        column.operator("kinesics.release_memory", icon="TRASH")
        row = column.row(align=True)
        row.prop(self, "cache_mb")
        row.operator("kinesics.clear_dialogue", text="", icon="TRASH")
        column.prop(self, "log_level")
        column.separator()
        column.prop(self, "smplx_path")
        draw_smplx_licence(column, context)


def _draw_install(
    column: bpy.types.UILayout, context: bpy.types.Context, preferences: KinesicsPreferences
) -> None:
    """What the engine's installation would get, and its button."""
    box = column.box()
    draw_lines(box, context, worded(install_engine.offer(preferences.processor_only)), "INFO")
    box.prop(preferences, "processor_only")
    box.prop(preferences, "wheels_dir")
    box.prop(preferences, "wheel_index")
    box.operator("kinesics.install_engine", icon="IMPORT")


def _draw_import(column: bpy.types.UILayout) -> None:
    """The import of the published model, or how far it is."""
    state = import_model.import_state()
    if state is None:
        column.operator("kinesics.import_model", icon="IMPORT")
        return
    column.progress(factor=state.fraction, text=worded(state.message or "Starting"), text_ctxt=CONTEXT)
    column.operator("kinesics.import_model_cancel", icon="CANCEL")


def _draw_self_test(column: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """The self-test, how far it is, and what the last one said."""
    session = generate.current_session()
    if session is None:
        column.operator("kinesics.self_test", icon="CHECKMARK")
    else:
        # A bar right under the resting mouse would lend its looks to what Blender draws after it.
        column.label(text="Self-Test", text_ctxt=CONTEXT, icon="CHECKMARK")
        column.progress(
            factor=session.state.fraction, text=worded(session.state.message or "Starting"), text_ctxt=CONTEXT
        )
        column.operator("kinesics.generate_cancel", icon="CANCEL")
    verdict = self_test.last_verdict()
    if verdict is None:
        return
    lines = column.column(align=True)
    lines.alert = not verdict.works
    draw_lines(lines, context, worded(verdict.text), "CHECKMARK" if verdict.works else "ERROR")


def draw_smplx_licence(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Say what the licence of SMPL-X allows; wherever a SMPL-X file is chosen."""
    licence = pgettext_iface(
        "SMPL-X model files and the smplx package are licensed for non-commercial research only; neither "
        "comes with Kinesics."
    )
    draw_lines(layout, context, licence, "INFO")


def attach() -> None:
    """Have the console, the memory limit and the exactness as they were chosen."""
    preferences = generate.preferences_of(bpy.context)
    log.attach(preferences.log_level if preferences is not None else log.LEVELS[0][0])
    engine_host.set_memory_limit(preferences.memory_mb if preferences is not None else 0)
    engine_host.set_fast(preferences is not None and preferences.fast)


def detach() -> None:
    """Write nothing more to the console."""
    log.detach()


CLASSES = (KinesicsPreferences,)
