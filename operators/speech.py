# SPDX-License-Identifier: GPL-3.0-or-later
"""Add Speech: a sound file becomes a sound strip on the timeline, ready for Generate."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, StringProperty

from ..engine.errors import EngineError
from . import polls
from .wording import worded


class KINESICS_OT_add_speech(bpy.types.Operator):
    """Put a sound file on the timeline at the current frame, as a strip of the Video Sequencer. The scene is
    made long enough for it and plays in time with the sound"""

    bl_idname = "kinesics.add_speech"
    bl_label = "Add Speech"
    bl_options = {"REGISTER", "UNDO"}

    filepath: StringProperty(
        name="Sound File",
        description="Speech as wav, flac, ogg, mp3 or mp4",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )
    filter_sound: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    filter_movie: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    filter_folder: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether nothing is being made from the strips that are there."""
        return polls.is_free(cls)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask for the file."""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Add the strip and choose it."""
        from .bridge import sound as sound_bridge

        scene = context.scene
        try:
            source = sound_bridge.file_source(self.filepath)
            sound_bridge.sound_duration(source)  # raises for a file that is no sound; Blender would not
            strip = sound_bridge.add_sound_strip(scene, source, scene.frame_current)
        except EngineError as error:
            self.report({"ERROR"}, worded(error))
            return {"CANCELLED"}
        scene.frame_end = max(scene.frame_end, sound_bridge.strip_place(strip).frame_end - 1)
        if scene.sync_mode == "NONE":
            scene.sync_mode = "AUDIO_SYNC"
        workspace = context.workspace
        if workspace is not None and getattr(workspace, "sequencer_scene", scene) is None:
            workspace.sequencer_scene = scene  # since 5.0 the sequencer shows a scene of its own choice
        scene.kinesics.audio_source = "STRIP"
        return {"FINISHED"}


CLASSES = (KINESICS_OT_add_speech,)
