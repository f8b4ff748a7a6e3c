# SPDX-License-Identifier: GPL-3.0-or-later
"""Model packs: check the chosen one."""

from __future__ import annotations

import bpy

from ..engine.errors import EngineError
from . import engine_host, generate


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
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        engine_host.release()
        self.report({"INFO"}, f"The model pack {folder.name} is whole")
        return {"FINISHED"}


CLASSES = (KINESICS_OT_check_pack,)
