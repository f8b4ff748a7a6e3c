# SPDX-License-Identifier: GPL-3.0-or-later
"""Export: the character with the take on show, as the program that gets it wants it."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
from bpy.props import EnumProperty, StringProperty

from ..engine.errors import EngineError
from . import polls
from .errors import CharacterError
from .wording import worded

if TYPE_CHECKING:
    from ..engine.motion.clip import Clip
    from .bridge.stand_in import Seen


@dataclass(frozen=True)
class Preset:
    """One kind of file for one program.

    Attributes:
        label: What the program is called.
        suffix: Ending of the file.
        tip: What is in the file.
        writer: Which of Blender's exporters writes it, or whether it is one of ours.
        options: What differs from the exporter's other presets.
    """

    label: str
    suffix: str
    tip: str
    writer: str
    options: tuple[tuple[str, Any], ...] = ()


PRESETS: dict[str, Preset] = {
    "UNREAL": Preset(
        "Unreal",
        ".fbx",
        "FBX in metres, smoothed by face; an object named Armature does not become a bone",
        "fbx",
        (("mesh_smooth_type", "FACE"),),
    ),
    "UNITY": Preset("Unity", ".fbx", "FBX whose file scale is 1", "fbx"),
    "MAYA": Preset(
        "Maya", ".fbx", "FBX with smoothing by edge, as Maya's own", "fbx", (("mesh_smooth_type", "EDGE"),)
    ),
    "GLTF": Preset("Godot / glTF", ".glb", "glTF 2.0 in one binary file", "gltf"),
    "USD": Preset("USD", ".usdc", "Universal Scene Description, a skeleton and its animation", "usd"),
    "BVH": Preset("BVH", ".bvh", "Bones alone in centimetres; the face in a CSV file beside it", "bvh"),
    "AMASS": Preset("SMPL-X (AMASS)", ".npz", "SMPL-X motion, Z up, at the scene's rate", "amass"),
    "BEAT2": Preset("SMPL-X (BEAT2)", ".npz", "SMPL-X motion, Y up, 30 frames per second", "beat2"),
    "KINESICS": Preset("Kinesics", ".npz", "Body and face, to be imported again as they are", "npz"),
}
"""What a character can be exported for."""

ROOTS = (
    ("HIPS", "Hips", "The hips carry the way over the floor, as they are keyed", "BONE_DATA", 0),
    ("ROOT", "Root", "The topmost bone, or without one the object, carries the way over the floor and the "
     "heading, as root motion in games", "OBJECT_ORIGIN", 1),
)  # fmt: skip


def export_take(
    armature: bpy.types.Object, scene: bpy.types.Scene, preset: str, root: str, path: Path
) -> int:
    """Write the take on show.

    Args:
        armature: Character.
        scene: Its scene.
        preset: A key of `PRESETS`.
        root: "HIPS" or "ROOT".
        path: File to write.

    Returns:
        Number of frames.

    Raises:
        EngineError: If it cannot be written.
    """
    from ..engine.whole_files import PART, whole_file
    from .bridge import stand_in

    if not path.parent.is_dir():
        raise CharacterError(f"The folder {path.parent} does not exist: choose another one.")
    frames = stand_in.take_frames(armature, scene)
    wanted = PRESETS[preset]
    if wanted.writer in _CLIP_WRITERS:
        clip = _clip(armature, scene, frames, wanted.writer)
        _CLIP_WRITERS[wanted.writer](clip, path)
        return clip.num_frames
    seen = stand_in.watch(armature, scene, frames)
    pelvis = _pelvis(armature) if root == "ROOT" or wanted.writer == "bvh" else ""
    if root == "ROOT":
        seen = stand_in.on_root(seen, armature, pelvis)
    if wanted.writer == "bvh":
        _write_bvh(armature, scene, seen, pelvis, path)
        _write_face_beside(_clip(armature, scene, frames, "bvh"), path)
        return len(frames)
    with (
        stand_in.stand_in(armature, scene, seen, path.stem) as (place, copy),
        bpy.context.temp_override(
            scene=place, view_layer=place.view_layers[0], active_object=copy, object=copy,
            selected_objects=list(place.collection.objects), collection=place.collection,
        ),
        whole_file(path, f"{PART}{path.suffix}") as draft,
    ):  # fmt: skip
        _SCENE_WRITERS[wanted.writer](draft, dict(wanted.options), _deform_only(armature))
        if not draft.stat().st_size:
            raise CharacterError(f"The file {path} was not written: choose a folder you may write to.")
    return len(frames)


def _pelvis(armature: bpy.types.Object) -> str:
    from .bridge.armature import PELVIS, read_rig

    return read_rig(armature).bone_names[PELVIS]


def _deform_only(armature: bpy.types.Object) -> bool:
    """Whether the rig has bones that deform and others that only help, which stay out of the file."""
    bones = armature.data.bones
    return any(bone.use_deform for bone in bones) and not all(bone.use_deform for bone in bones)


def _clip(armature: bpy.types.Object, scene: bpy.types.Scene, frames: range, writer: str) -> Clip:
    """What the character does as a clip: at the scene's rate, or for our own files at the engine's."""
    from ..engine.specs import MOTION_FPS
    from .bridge.armature import read_rig
    from .bridge.sampling import current_clip
    from .bridge.sound import scene_fps

    fps = scene_fps(scene) if writer in ("amass", "bvh") else float(MOTION_FPS)
    count = max(1, round(len(frames) / scene_fps(scene) * fps))
    return current_clip(armature, read_rig(armature), scene, frames[0], count, fps)


def _write_npz(clip: Clip, path: Path) -> None:
    from ..engine.motion.clip_io import save_npz

    save_npz(clip, path)


def _write_amass(clip: Clip, path: Path) -> None:
    from ..engine.motion.clip_io import save_amass

    save_amass(clip, path)


def _write_beat2(clip: Clip, path: Path) -> None:
    from ..engine.motion.clip_io import save_beat2

    save_beat2(clip, path)


_CLIP_WRITERS = {"npz": _write_npz, "amass": _write_amass, "beat2": _write_beat2}


def _write_bvh(
    armature: bpy.types.Object, scene: bpy.types.Scene, seen: Seen, pelvis: str, path: Path
) -> None:
    """Write the bones below the topmost one, and the object as the first where it is the root."""
    from ..engine.motion.bvh_writer import bvh_text
    from ..engine.whole_files import write_whole
    from .bridge import world_motion

    write_whole(path, bvh_text(world_motion.read(armature, scene, seen, pelvis)))


def _write_face_beside(clip: Clip, path: Path) -> None:
    """A face that moves, as a table in the layout of face capture."""
    from ..engine.motion.arkit_csv import write_arkit_csv

    if clip.expressions.any():
        write_arkit_csv(clip, path.with_name(f"{path.stem}_face.csv"))


def _write_fbx(path: Path, options: dict[str, Any], deform_only: bool) -> None:
    if not hasattr(bpy.ops.export_scene, "fbx") or "io_scene_fbx" not in bpy.context.preferences.addons:
        raise CharacterError("Blender's FBX add-on is off: enable it in Preferences > Add-ons.")
    _run(
        bpy.ops.export_scene.fbx,
        options
        | {
            "filepath": str(path), "use_selection": True, "object_types": {"ARMATURE", "MESH"},
            "apply_scale_options": "FBX_SCALE_ALL", "add_leaf_bones": False,
            "use_armature_deform_only": deform_only, "bake_anim": True, "bake_anim_use_all_bones": True,
            "bake_anim_use_all_actions": False, "bake_anim_use_nla_strips": False,
            "bake_anim_simplify_factor": 0.0, "bake_anim_force_startend_keying": True,
        },
    )  # fmt: skip


def _write_gltf(path: Path, options: dict[str, Any], deform_only: bool) -> None:
    render = bpy.context.scene.render
    render.fps_base = 1.0 / render.fps_base  # Blender's glTF exporter multiplies by it where it should divide
    if not hasattr(bpy.ops.export_scene, "gltf") or "io_scene_gltf2" not in bpy.context.preferences.addons:
        raise CharacterError("Blender's glTF add-on is off: enable it in Preferences > Add-ons.")
    _run(
        bpy.ops.export_scene.gltf,
        options
        | {
            "filepath": str(path), "export_format": "GLB", "use_active_scene": True, "use_selection": True,
            "export_animation_mode": "SCENE", "export_anim_scene_split_object": False,
            "export_force_sampling": True, "export_frame_range": True, "export_frame_step": 1,
            "export_optimize_animation_size": False, "export_optimize_animation_keep_anim_armature": True,
            "export_leaf_bone": False, "export_def_bones": deform_only, "export_morph": True,
            "export_morph_animation": True, "export_all_influences": True, "export_apply": False,
        },
    )  # fmt: skip


def _write_usd(path: Path, options: dict[str, Any], deform_only: bool) -> None:
    _run(
        bpy.ops.wm.usd_export,
        options
        | {
            "filepath": str(path), "selected_objects_only": True, "export_animation": True,
            "export_armatures": True, "export_shapekeys": True, "only_deform_bones": deform_only,
            "export_textures": False, "convert_world_material": False,
        },
    )  # fmt: skip


_SCENE_WRITERS = {"fbx": _write_fbx, "gltf": _write_gltf, "usd": _write_usd}


def _run(operator: Any, options: dict[str, Any]) -> None:
    """Call one of Blender's exporters with those of the options that this version of it has.

    Raises:
        CharacterError: If it refuses, with its own words.
    """
    known = {prop.identifier for prop in operator.get_rna_type().properties}
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            result = operator(**{name: value for name, value in options.items() if name in known})
    except (RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("Error: ").rstrip(".")
        raise CharacterError(
            f"The file was not written ({reason}): choose another folder or name."
        ) from error
    if result != {"FINISHED"}:
        raise CharacterError("The file was not written: choose another folder or name.")


class KINESICS_OT_export(bpy.types.Operator):
    """Export this character alone with the take on show, body and face, for another program"""

    bl_idname = "kinesics.export"
    bl_label = "Export"

    preset: EnumProperty(
        name="For",
        description="Program that gets the file",
        items=[(key, item.label, item.tip) for key, item in PRESETS.items()],
        default="UNREAL",
    )
    root: EnumProperty(
        name="Root Motion", description="What carries the way over the floor", items=ROOTS, default="HIPS"
    )
    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_glob: StringProperty(
        default=";".join(sorted({f"*{item.suffix}" for item in PRESETS.values()})), options={"HIDDEN"}
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a character."""
        return polls.has_character(cls, context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask for the file."""
        self.filepath = f"{polls.character_of(context).name}{PRESETS[self.preset].suffix}"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def check(self, context: bpy.types.Context) -> bool:
        """Give the file the ending of the preset."""
        path = self.with_suffix()
        changed = path != self.filepath
        self.filepath = path
        return changed

    def with_suffix(self) -> str:
        """The chosen file with the ending of the preset in the place of another preset's."""
        suffix = PRESETS[self.preset].suffix
        path = self.filepath
        for other in {item.suffix for item in PRESETS.values()} - {suffix}:
            path = path.removesuffix(other)
        return bpy.path.ensure_ext(path, suffix)

    def draw(self, context: bpy.types.Context) -> None:
        """Show the two choices; files for SMPL-X have hips alone."""
        column = self.layout.column()
        column.use_property_split = True
        column.prop(self, "preset")
        row = column.row()
        row.enabled = PRESETS[self.preset].suffix != ".npz"
        row.prop(self, "root", expand=True)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Write it."""
        path = Path(bpy.path.abspath(self.with_suffix()))
        armature = polls.character_of(context)
        try:
            frames = export_take(armature, context.scene, self.preset, self.root, path)
        except EngineError as error:
            self.report({"ERROR"}, worded(error))
            return {"CANCELLED"}
        self.report({"INFO"}, worded(f"Exported {frames} frames of {armature.name} to {path.name}"))
        return {"FINISHED"}


CLASSES = (KINESICS_OT_export,)
