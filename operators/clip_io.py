# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion files in and out: SMPL-X npz clips, and FBX of the character with its current take."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import StringProperty

from ..engine.errors import ClipError, EngineError
from ..engine.specs import MOTION_FPS, Part
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


class CharacterExport:
    """What the exports of a character share: they need one, and propose its name for the file."""

    suffix: str

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a character."""
        return polls.has_character(cls, context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask for the file."""
        self.filepath = f"{polls.character_of(context).name}{self.suffix}"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def target(self) -> str:
        """Absolute path of the chosen file, with its ending."""
        return bpy.path.ensure_ext(bpy.path.abspath(self.filepath), self.suffix)


class KINESICS_OT_export_clip(CharacterExport, bpy.types.Operator):
    """Save the character's motion over the scene's frame range as a SMPL-X .npz file"""

    bl_idname = "kinesics.export_clip"
    bl_label = "Export Motion"
    suffix = ".npz"

    filter_glob: StringProperty(default="*.npz", options={"HIDDEN"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Read the animation and save it at the engine's rate."""
        from ..engine.motion.clip_io import save_npz
        from .bridge.armature import read_rig
        from .bridge.sampling import current_clip
        from .bridge.sound import scene_fps

        scene = context.scene
        try:
            armature = polls.character_of(context)
            seconds = (scene.frame_end - scene.frame_start + 1) / scene_fps(scene)
            num_frames = max(1, round(seconds * MOTION_FPS))
            clip = current_clip(
                armature, read_rig(armature), scene, scene.frame_start, num_frames, MOTION_FPS
            )
            save_npz(clip, Path(self.target()))
        except EngineError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"Saved {num_frames} frames at {MOTION_FPS} frames per second")
        return {"FINISHED"}


class KINESICS_OT_export_fbx(CharacterExport, bpy.types.Operator):
    """Export this character alone with its current take, body and face, as FBX"""

    bl_idname = "kinesics.export_fbx"
    bl_label = "Export FBX"
    suffix = ".fbx"

    filter_glob: StringProperty(default="*.fbx", options={"HIDDEN"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Export with the settings under which bones and shape keys come back exactly."""
        from .bridge import shape_keys

        if not hasattr(bpy.ops.export_scene, "fbx") or "io_scene_fbx" not in context.preferences.addons:
            self.report({"ERROR"}, "Blender's FBX add-on is off: enable it in Preferences > Add-ons.")
            return {"CANCELLED"}
        armature = polls.character_of(context)
        chosen = [armature, *shape_keys.meshes_of(armature)]
        view_layer = context.view_layer
        selected, active = (
            [item for item in view_layer.objects if item.select_get()],
            view_layer.objects.active,
        )
        try:
            for item in view_layer.objects:
                item.select_set(item in chosen)
            view_layer.objects.active = armature
            bpy.ops.export_scene.fbx(
                filepath=self.target(),
                use_selection=True,
                object_types={"ARMATURE", "MESH"},
                bake_anim=True,
                bake_anim_use_all_bones=True,
                bake_anim_use_all_actions=False,
                bake_anim_use_nla_strips=False,
                bake_anim_simplify_factor=0.0,
                bake_anim_force_startend_keying=True,
                add_leaf_bones=False,
            )
        finally:
            for item in view_layer.objects:
                item.select_set(item in selected)
            view_layer.objects.active = active
        self.report({"INFO"}, f"Exported {armature.name}")
        return {"FINISHED"}


CLASSES = (KINESICS_OT_import_clip, KINESICS_OT_export_clip, KINESICS_OT_export_fbx)
