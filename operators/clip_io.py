# SPDX-License-Identifier: GPL-3.0-or-later
"""Import Motion: SMPL-X npz clips on the character."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import StringProperty

from ..engine.errors import ClipError, EngineError
from ..engine.specs import Part
from . import delivery, polls
from .generation import at_scene_rate


class KINESICS_OT_import_clip(bpy.types.Operator):
    """Put the motion of a SMPL-X file (AMASS, BEAT2 or Kinesics .npz) on the character, from the current
    frame on"""

    bl_idname = "kinesics.import_clip"
    bl_label = "Import Motion"
    bl_options = {"REGISTER", "UNDO"}

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_glob: StringProperty(default="*.npz", options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a character."""
        return polls.has_character(cls, context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask for the file."""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Read and write it."""
        from ..engine.motion.clip_io import load_npz
        from .bridge.sound import scene_fps

        path = Path(bpy.path.abspath(self.filepath))
        try:
            if not path.is_file():
                raise ClipError(f"The motion file {path} does not exist: choose another one.")
            clip = load_npz(path)
            clip = at_scene_rate(clip, scene_fps(context.scene), clip.duration_s)
            parts = tuple(part for part in Part if part is not Part.FACE or clip.basis != "none")
            armature = polls.character_of(context)
            done = delivery.deliver(clip, armature, parts, context.scene.frame_current, path.stem)
        except EngineError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f'Wrote {done.num_frames} frames to "{done.action_name}"')
        return {"FINISHED"}


CLASSES = (KINESICS_OT_import_clip,)
