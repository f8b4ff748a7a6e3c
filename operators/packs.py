# SPDX-License-Identifier: GPL-3.0-or-later
"""Model packs: check the chosen one, and give back the memory of the loaded one."""

from __future__ import annotations

import bpy

from ..engine.errors import EngineError
from . import engine_host, generate, polls
from .wording import worded


class KINESICS_OT_check_pack(bpy.types.Operator):
    """Read the chosen model pack and say whether every file in it is whole"""

    bl_idname = "kinesics.check_pack"
    bl_label = "Check Model Pack"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether the engine is free."""
        if generate.current_session() is not None:
            cls.poll_message_set("A motion is being made: wait for it or cancel it")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Check sizes and hashes."""
        from ..engine.packs import load_pack

        folder = generate.pack_folder(generate.preferences_of(context))
        try:
            load_pack(folder)
        except EngineError as error:
            self.report({"ERROR"}, worded(error))
            return {"CANCELLED"}
        engine_host.release()
        self.report({"INFO"}, worded(f"The model pack {folder.name} is whole"))
        return {"FINISHED"}


class KINESICS_OT_release_memory(bpy.types.Operator):
    """Forget the loaded model, so that other programs can use its memory; the next Generate loads it again"""

    bl_idname = "kinesics.release_memory"
    bl_label = "Release Memory"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether a model is in memory and nothing uses it."""
        if not engine_host.is_loaded():
            cls.poll_message_set("No model is in memory")
            return False
        return polls.is_free(cls)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Forget it."""
        engine_host.release()
        self.report({"INFO"}, worded("The model's memory is free again"))
        return {"FINISHED"}


CLASSES = (KINESICS_OT_check_pack, KINESICS_OT_release_memory)
