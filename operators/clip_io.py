# SPDX-License-Identifier: GPL-3.0-or-later
"""Import Motion: SMPL-X files, captures of any BVH skeleton, and face capture of phones, on the character."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import bpy
from bpy.props import StringProperty

from ..engine.errors import ClipError, EngineError
from ..engine.specs import Part
from . import delivery, polls
from .errors import CharacterError
from .generation import at_scene_rate
from .wording import worded

if TYPE_CHECKING:
    from ..engine.motion.clip import Clip

SUFFIXES = (".npz", ".bvh", ".csv")


def read_motion(path: Path) -> tuple[Clip, tuple[Part, ...]]:
    """Read a motion file of any kind.

    Returns:
        The clip and the parts of the body that it moves.

    Raises:
        EngineError: Naming the file and what to do.
    """
    if not path.is_file():
        raise ClipError(f"The motion file {path} does not exist: choose another one.")
    suffix = path.suffix.lower()
    if suffix == ".bvh":
        from ..engine.motion.bvh_clip import load_bvh

        return load_bvh(path)
    if suffix == ".csv":
        from ..engine.motion.arkit_csv import read_arkit_csv

        return read_arkit_csv(path), (Part.FACE,)
    if suffix == ".npz":
        from ..engine.motion.clip_io import load_npz

        clip = load_npz(path)
        return clip, tuple(part for part in Part if part is not Part.FACE or clip.basis != "none")
    raise ClipError(f"{path.name} is no motion file: choose one that ends in {', '.join(SUFFIXES)}.")


def check_face(armature: bpy.types.Object, clip: Clip) -> None:
    """Refuse a face for a character that cannot show any of it.

    Raises:
        CharacterError: Saying what is missing.
    """
    from .bridge import shape_keys
    from .faces import jaw_bone

    if not shape_keys.find_face_meshes(armature, clip.expression_names) and not jaw_bone(armature):
        raise CharacterError(
            f'"{armature.name}" has no face shapes that are known and no jaw bone: open Face Mapping and set '
            "up its face first."
        )


def face_is_left_out(clip: Clip, parts: tuple[Part, ...], done: delivery.Delivery) -> bool:
    """Whether a clip brings expressions of SMPL-X that no shape of the character takes."""
    moves = clip.basis == "smplx" and bool(clip.expressions.any())
    return moves and Part.FACE in parts and done.num_face_channels == 0


class KINESICS_OT_import_clip(bpy.types.Operator):
    """Put a motion file on the character, from the current frame on: SMPL-X motion (AMASS, BEAT2, EMAGE,
    Language of Motion or Kinesics .npz), captures of any skeleton (.bvh), or a face captured with a phone
    (Live Link Face .csv)"""

    bl_idname = "kinesics.import_clip"
    bl_label = "Import Motion"
    bl_options = {"REGISTER", "UNDO"}

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_glob: StringProperty(default=";".join(f"*{suffix}" for suffix in SUFFIXES), options={"HIDDEN"})

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
        from .bridge.sound import scene_fps

        path = Path(bpy.path.abspath(self.filepath))
        try:
            clip, parts = read_motion(path)
            armature = polls.character_of(context)
            if parts == (Part.FACE,):
                check_face(armature, clip)
            clip = at_scene_rate(clip, scene_fps(context.scene), clip.duration_s)
            done = delivery.deliver(clip, armature, parts, context.scene.frame_current, path.stem)
        except EngineError as error:
            self.report({"ERROR"}, worded(error))
            return {"CANCELLED"}
        message = f'Wrote {done.num_frames} frames to "{done.action_name}"'
        if face_is_left_out(clip, parts, done):
            message += (
                "; the file's face is of SMPL-X expressions, so only this character's jaw and eyes move"
            )
        self.report({"INFO"}, worded(message))
        return {"FINISHED"}


CLASSES = (KINESICS_OT_import_clip,)
