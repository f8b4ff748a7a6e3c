# SPDX-License-Identifier: GPL-3.0-or-later
"""Stage of the demo: floor, following camera, preview video and contact sheet, all by Workbench."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Vector
from PIL import Image, ImageDraw

FLOOR_HALF = 24.0
FLOOR = (0.42, 0.45, 0.48)
LINES = (0.33, 0.36, 0.39)
BACKGROUND = (0.50, 0.54, 0.58)
CAMERA_OFFSET = Vector((1.25, -3.35, 0.45))
CAMERA_LENS, SENSOR_HEIGHT = 33.0, 20.25
TARGET_HEIGHT = 0.88
FOLLOW_S = 0.4
"""Seconds over which the camera smooths the character's path."""

SHEET_BODY, SHEET_FACE = (240, 360), (240, 240)
NUM_BODY, NUM_FACES = 8, 8


def build(character: Any, size: tuple[int, int]) -> None:
    """Add floor and camera, and set the look of the renders."""
    _floor()
    scene = bpy.context.scene
    scene.render.engine = "BLENDER_WORKBENCH"
    scene.render.resolution_x, scene.render.resolution_y = size
    scene.render.resolution_percentage = 100
    scene.view_settings.view_transform = "Standard"
    scene.display.light_direction = Vector((0.35, 0.45, 0.80)).normalized()
    scene.display.shadow_focus = 0.0
    shading = scene.display.shading
    shading.light, shading.color_type = "STUDIO", "MATERIAL"
    shading.studio_light = "paint.sl"
    scene.view_settings.exposure = 0.25
    shading.show_shadows, shading.shadow_intensity = True, 0.45
    shading.show_cavity, shading.show_specular_highlight = False, True
    scene.world = scene.world or bpy.data.worlds.new("World")
    scene.world.color = BACKGROUND
    shading.background_type = "WORLD"
    character.hide_render = True
    _camera(character)


def _floor() -> None:
    """A plane with a line every metre."""
    quads = [(-FLOOR_HALF, -FLOOR_HALF, FLOOR_HALF, FLOOR_HALF, -0.002)]
    steps = np.arange(-FLOOR_HALF, FLOOR_HALF + 0.5)
    quads += [(step - 0.006, -FLOOR_HALF, step + 0.006, FLOOR_HALF, 0.0) for step in steps]
    quads += [(-FLOOR_HALF, step - 0.006, FLOOR_HALF, step + 0.006, 0.0) for step in steps]
    points = [(x, y, z) for x0, y0, x1, y1, z in quads for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
    mesh = bpy.data.meshes.new("Floor")
    mesh.from_pydata(points, [], [tuple(range(4 * index, 4 * index + 4)) for index in range(len(quads))])
    for name, colour in (("Floor", FLOOR), ("Floor lines", LINES)):
        material = bpy.data.materials.new(name)
        material.diffuse_color, material.roughness = (*colour, 1.0), 1.0
        mesh.materials.append(material)
    mesh.polygons.foreach_set("material_index", [0] + [1] * (len(quads) - 1))
    bpy.context.scene.collection.objects.link(bpy.data.objects.new("Floor", mesh))


def _bone_path(character: Any, bone: str) -> np.ndarray:
    """World position of a bone's head in every frame of the scene, (F, 3)."""
    scene = bpy.context.scene
    path = []
    for frame in range(scene.frame_start, scene.frame_end + 1):
        scene.frame_set(frame)
        path.append(character.matrix_world @ character.pose.bones[bone].head)
    return np.array(path)


def _camera(character: Any) -> None:
    """A camera before the character that follows its smoothed path."""
    scene = bpy.context.scene
    data = bpy.data.cameras.new("Camera")
    data.lens, data.sensor_fit, data.sensor_height = CAMERA_LENS, "VERTICAL", SENSOR_HEIGHT
    camera = bpy.data.objects.new("Camera", data)
    scene.collection.objects.link(camera)
    scene.camera = camera
    body = [item for item in character.children if item.type == "MESH"]
    for item in body:
        item.hide_viewport = True  # the pelvis path needs no mesh
    path = _bone_path(character, "pelvis")
    for item in body:
        item.hide_viewport = False
    width = max(1, round(FOLLOW_S * scene.render.fps / scene.render.fps_base))
    kernel = np.exp(-0.5 * (np.arange(-3 * width, 3 * width + 1) / width) ** 2)
    padded = np.pad(path[:, :2], ((3 * width, 3 * width), (0, 0)), mode="edge")
    ground = np.column_stack([np.convolve(padded[:, k], kernel / kernel.sum(), mode="valid") for k in (0, 1)])
    for offset, (x, y) in enumerate(ground):
        aim(camera, Vector((x, y, TARGET_HEIGHT)), CAMERA_OFFSET)
        camera.keyframe_insert("location", frame=scene.frame_start + offset)
        camera.keyframe_insert("rotation_euler", frame=scene.frame_start + offset)


def aim(camera: Any, target: Vector, offset: Vector) -> None:
    """Put a camera at an offset from its target, looking at it."""
    camera.location = target + offset
    camera.rotation_euler = (-offset).to_track_quat("-Z", "Y").to_euler()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the lines away that Blender prints for every rendered frame; errors go another way."""
    sys.stdout.flush()
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)


def preview(path: Path, size: tuple[int, int]) -> None:
    """Render the scene's range as MP4 with the sound of the sequencer."""
    scene = bpy.context.scene
    render = scene.render
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "VIDEO"
    render.image_settings.file_format = "FFMPEG"
    render.ffmpeg.format, render.ffmpeg.codec = "MPEG4", "H264"
    render.ffmpeg.constant_rate_factor = "MEDIUM"
    render.ffmpeg.audio_codec, render.ffmpeg.audio_bitrate = "AAC", 160
    render.resolution_x, render.resolution_y = size
    render.use_sequencer, render.use_file_extension = True, False
    scene.display.render_aa = "FXAA"  # a quarter of the time of 8 samples, which shadows multiply
    render.filepath = str(path)
    with _quiet():
        bpy.ops.render.render(animation=True)


def contact_sheet(character: Any, path: Path) -> None:
    """One picture: the whole body at even times, and the face where the mouth is widest or closed."""
    scene = bpy.context.scene
    frames = np.linspace(scene.frame_start, scene.frame_end, NUM_BODY + 2).round().astype(int)[1:-1]
    camera = scene.camera
    portrait = bpy.data.objects.new("Portrait", bpy.data.cameras.new("Portrait"))
    portrait.data.lens, portrait.data.sensor_fit, portrait.data.sensor_height = (
        85.0,
        "VERTICAL",
        SENSOR_HEIGHT,
    )
    scene.collection.objects.link(portrait)
    with tempfile.TemporaryDirectory(prefix="kinesics-sheet-") as folder:
        bodies, faces = [], []
        for frame in frames:
            bodies.append(_still(camera, int(frame), SHEET_BODY, Path(folder)))
        scene.camera = portrait
        for frame in _speaking_frames(character, NUM_FACES):
            scene.frame_set(frame)
            head = character.matrix_world @ character.pose.bones["head"].matrix
            front = _facing(head, character)
            centre = head.translation + Vector((0.0, 0.0, 0.055)) + 0.06 * front
            side = Vector((-front.y, front.x, 0.0))
            aim(portrait, centre, 1.40 * front + 0.30 * side)
            faces.append(_still(portrait, frame, SHEET_FACE, Path(folder)))
    scene.camera = camera
    bpy.data.objects.remove(portrait)
    columns = max(NUM_BODY, NUM_FACES)
    sheet = Image.new("RGB", (columns * SHEET_BODY[0], SHEET_BODY[1] + SHEET_FACE[1]))
    pen = ImageDraw.Draw(sheet)
    for index, picture in enumerate(bodies):
        sheet.paste(picture, (index * SHEET_BODY[0], 0))
        seconds = (frames[index] - scene.frame_start) * scene.render.fps_base / scene.render.fps
        pen.text((index * SHEET_BODY[0] + 8, 6), f"{seconds:.1f} s", fill=(40, 44, 48))
    for index, picture in enumerate(faces):
        sheet.paste(picture, (index * SHEET_FACE[0], SHEET_BODY[1]))
    sheet.quantize(256).save(path, optimize=True)  # a palette keeps it small enough for a page


def _facing(head: Matrix, character: Any) -> Vector:
    """Horizontal direction the head faces: its rest direction is -Y of the armature."""
    rest = character.data.bones["head"].matrix_local.to_3x3()
    turned = head.to_3x3() @ rest.inverted() @ Vector((0.0, -1.0, 0.0))
    return Vector((turned.x, turned.y, 0.0)).normalized()


def _speaking_frames(character: Any, count: int) -> list[int]:
    """Per equal stretch of time the frame with the widest mouth, every third one the narrowest."""
    scene = bpy.context.scene
    keys = next(item.data.shape_keys for item in character.children if item.type == "MESH")
    jaw = keys.key_blocks["jawOpen"]
    opened = []
    for frame in range(scene.frame_start, scene.frame_end + 1):
        scene.frame_set(frame)
        opened.append(jaw.value)
    chosen = []
    for index, stretch in enumerate(np.array_split(np.array(opened), count)):
        start = sum(len(part) for part in np.array_split(np.array(opened), count)[:index])
        best = stretch.argmin() if index % 3 == 2 else stretch.argmax()
        chosen.append(scene.frame_start + start + int(best))
    return chosen


def _still(camera: Any, frame: int, size: tuple[int, int], folder: Path) -> Image.Image:
    """Render one frame as a picture."""
    scene = bpy.context.scene
    scene.camera = camera
    scene.frame_set(frame)
    render = scene.render
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "IMAGE"
    render.image_settings.file_format = "PNG"
    render.resolution_x, render.resolution_y = size
    render.use_file_extension = True
    scene.display.render_aa = "8"
    render.filepath = str(folder / "still.png")
    with _quiet():
        bpy.ops.render.render(write_still=True)
    with Image.open(folder / "still.png") as picture:
        return picture.convert("RGB")
