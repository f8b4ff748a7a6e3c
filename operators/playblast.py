# SPDX-License-Identifier: GPL-3.0-or-later
"""Playblast: what the viewport shows, with the sound, as a small film to send around."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
from bpy.props import IntProperty, StringProperty

from ..engine.errors import EngineError
from . import polls
from .errors import CharacterError
from .wording import worded

FILM: tuple[tuple[str, Any], ...] = (
    ("image_settings.media_type", "VIDEO"),
    ("image_settings.file_format", "FFMPEG"),
    ("ffmpeg.format", "MPEG4"),
    ("ffmpeg.codec", "H264"),
    ("ffmpeg.constant_rate_factor", "MEDIUM"),
    ("ffmpeg.audio_codec", "AAC"),
    ("ffmpeg.audio_bitrate", 160),
    ("use_sequencer", True),
    ("use_file_extension", False),
    ("resolution_percentage", 100),
)
"""Render settings of a film, in the order in which Blender takes them; 4.x has no media type. Without the
sequencer a film is silent."""


def film_frames(scene: bpy.types.Scene) -> tuple[int, int]:
    """The preview range, else the scene's."""
    if scene.use_preview_range:
        return scene.frame_preview_start, scene.frame_preview_end
    return scene.frame_start, scene.frame_end


def even(pixels: int, percentage: int) -> int:
    """A side of the film in pixels; H.264 takes even numbers only."""
    return max(2, round(pixels * percentage / 200) * 2)


@contextmanager
def film_settings(scene: bpy.types.Scene, path: Path, percentage: int) -> Iterator[None]:
    """Render settings for a film; those that were there come back."""
    render, (first, last) = scene.render, film_frames(scene)
    wanted: list[tuple[Any, str, Any]] = [(render, name, value) for name, value in FILM]
    wanted += [
        (render, "filepath", str(path)),
        (render, "resolution_x", even(render.resolution_x, percentage)),
        (render, "resolution_y", even(render.resolution_y, percentage)),
        (scene, "use_preview_range", False),
        (scene, "frame_start", first),
        (scene, "frame_end", last),
    ]
    if bpy.app.background:
        wanted.append((render, "engine", "BLENDER_WORKBENCH"))
    places = [_place(*item) for item in wanted]
    there = [(owner, name, value) for owner, name, value in places if hasattr(owner, name)]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in there]
    before += [*_plain_settings(render.image_settings), *_plain_settings(render.ffmpeg)]
    frame = scene.frame_current
    try:
        for owner, name, value in there:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in before:
            if getattr(owner, name) != value:
                setattr(owner, name, value)
        scene.frame_set(frame)


def _plain_settings(group: Any) -> list[tuple[Any, str, Any]]:
    """All that can be set in a group. What kind of file is written changes more there than was asked for."""
    kinds = ("BOOLEAN", "INT", "FLOAT", "STRING", "ENUM")
    names = [p.identifier for p in group.bl_rna.properties if p.type in kinds and not p.is_readonly]
    return [(group, name, getattr(group, name)) for name in names]


def _place(owner: Any, path: str, value: Any) -> tuple[Any, str, Any]:
    """The group that a setting such as "ffmpeg.codec" lies in, its name there, and the value."""
    *way, name = path.split(".")
    for step in way:
        owner = getattr(owner, step)
    return owner, name, value


class KINESICS_OT_playblast(bpy.types.Operator):
    """Save what this 3D View shows, over the preview range or the whole scene and with its sound, as an mp4
    film. Blender is busy until it is done"""

    bl_idname = "kinesics.playblast"
    bl_label = "Playblast"

    filepath: StringProperty(
        name="Film", description="The mp4 file to write", subtype="FILE_PATH", options={"SKIP_SAVE"}
    )
    filter_glob: StringProperty(default="*.mp4", options={"HIDDEN"})
    percentage: IntProperty(
        name="Size",
        description="Size of the film, in percent of the render size",
        default=50,
        min=5,
        max=200,
        subtype="PERCENTAGE",
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether nothing is being made, and there is a 3D View to film and a way to write films."""
        if not bpy.app.build_options.codec_ffmpeg:
            cls.poll_message_set("This Blender cannot write films")
            return False
        if not bpy.app.background and (context.area is None or context.area.type != "VIEW_3D"):
            cls.poll_message_set("Use it in the 3D View that is to be filmed")
            return False
        return polls.is_free(cls)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask for the file, beside the .blend at first."""
        folder = os.path.dirname(bpy.data.filepath)
        self.filepath = os.path.join(folder, f"{bpy.path.clean_name(context.scene.name)}.mp4")
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def check(self, context: bpy.types.Context) -> bool:
        """Give the file its ending."""
        path = bpy.path.ensure_ext(self.filepath, ".mp4")
        changed, self.filepath = path != self.filepath, path
        return changed

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Write the film."""
        try:
            path = film_path(self.filepath)
            with film_settings(context.scene, path, self.percentage):
                film(context, path)
        except EngineError as error:
            self.report({"ERROR"}, worded(error))
            return {"CANCELLED"}
        self.report({"INFO"}, worded(f"Saved {path.name}"))
        return {"FINISHED"}


def film_path(chosen: str) -> Path:
    """The file to write.

    Raises:
        CharacterError: If none is chosen, or Blender would not write that one.
    """
    if not chosen.strip():
        raise CharacterError("No file is chosen for the film: choose one.")
    path = Path(bpy.path.abspath(bpy.path.ensure_ext(chosen.strip(), ".mp4")))
    if "#" in path.name:
        raise CharacterError('Blender writes frame numbers in the place of "#": choose another name.')
    if not path.parent.is_dir():
        raise CharacterError(f"The folder {path.parent} does not exist: choose another one.")
    return path


def film(context: bpy.types.Context, path: Path) -> None:
    """Film what the 3D View shows; without a window, what the camera sees.

    Args:
        context: Its 3D View and scene count.
        path: File that the render settings name.

    Raises:
        CharacterError: If Blender could not.
    """
    began = path.stat().st_mtime_ns if path.is_file() else 0
    if bpy.app.background and context.scene.camera is None:
        raise CharacterError("Without a window the camera films, and the scene has none: add a camera.")
    try:
        if bpy.app.background:
            done = bpy.ops.render.render(animation=True)
        else:
            done = bpy.ops.render.opengl(animation=True, view_context=True)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("Error: ").rstrip(".")
        raise CharacterError(
            f"The film was not written ({reason}): choose another folder or name."
        ) from error
    if done != {"FINISHED"} or not path.is_file() or path.stat().st_mtime_ns == began:
        raise CharacterError("The film was not written: choose another folder or name.")


CLASSES = (KINESICS_OT_playblast,)
