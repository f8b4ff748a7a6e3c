# SPDX-License-Identifier: GPL-3.0-or-later
"""Playblast: a film with sound of exactly the wanted frames, and every setting as it was."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.blender.support import add_strip, bpy, fingerprint, needs_audaspace, refusal
from tests.blender.test_register import Layout


@pytest.fixture
def stage(scene: Any) -> Any:
    """A camera before a cube; what any first render leaves in a file is there already."""
    bpy.ops.mesh.primitive_cube_add(location=(0.0, 0.0, 0.0))
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.location = (0.0, 0.0, 10.0)
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.render.engine = "BLENDER_WORKBENCH"
    bpy.ops.render.render()
    scene.render.engine = "CYCLES"
    scene.render.resolution_x, scene.render.resolution_y = 130, 70
    scene.frame_start, scene.frame_end = 1, 200
    scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, 201, 212
    scene.frame_set(7)
    return scene


def settings_of(scene: Any) -> list[Any]:
    """Everything that a film could change."""
    groups = [scene.render, scene.render.ffmpeg, scene.render.image_settings]
    found = [
        (prop.identifier, repr(getattr(group, prop.identifier)))
        for group in groups
        for prop in group.bl_rna.properties
        if prop.type in ("BOOLEAN", "INT", "FLOAT", "STRING", "ENUM")
    ]
    frames = (scene.frame_start, scene.frame_end, scene.frame_preview_start, scene.frame_preview_end)
    return [*found, frames, scene.use_preview_range, scene.frame_current]


def size_and_frames(path: Path) -> tuple[int, int, int]:
    """Width, height and number of frames of a film, as Blender loads it."""
    clip = bpy.data.movieclips.load(str(path))
    try:
        return (*clip.size, clip.frame_duration)
    finally:
        bpy.data.movieclips.remove(clip)


def test_the_preview_range_becomes_a_film_and_settings_stay(stage: Any, tmp_path: Path) -> None:
    before, scene_before = settings_of(stage), fingerprint()
    assert bpy.ops.kinesics.playblast(filepath=str(tmp_path / "shot")) == {"FINISHED"}
    assert settings_of(stage) == before and fingerprint() == scene_before
    assert [path.name for path in tmp_path.iterdir()] == ["shot.mp4"]
    assert size_and_frames(tmp_path / "shot.mp4") == (64, 36, 12)


@needs_audaspace
def test_the_sound_is_in_it(stage: Any, tmp_path: Path, speech: Path) -> None:
    import aud

    add_strip(speech, frame_start=201)
    path = tmp_path / "loud.mp4"
    assert bpy.ops.kinesics.playblast(filepath=str(path), percentage=100) == {"FINISHED"}
    sound = aud.Sound.file(str(path))
    assert sound.specs[0] > 0
    samples = sound.data()
    assert abs(len(samples) / sound.specs[0] - 12 / 30) < 0.1 and abs(samples).max() > 0.05
    assert size_and_frames(path) == (130, 70, 12)


def test_without_a_place_or_a_camera_nothing_happens(stage: Any, tmp_path: Path) -> None:
    before, scene_before = settings_of(stage), fingerprint()
    for wrong, said in (
        ("", "No file is chosen"),
        (str(tmp_path / "none" / "x.mp4"), "does not exist"),
        (str(tmp_path / "x#.mp4"), "frame numbers"),
    ):
        assert said in refusal(lambda path=wrong: bpy.ops.kinesics.playblast(filepath=path))
    (tmp_path / "taken.mp4").mkdir()
    assert "not written" in refusal(lambda: bpy.ops.kinesics.playblast(filepath=str(tmp_path / "taken.mp4")))
    assert settings_of(stage) == before and fingerprint() == scene_before
    stage.camera = None
    assert "add a camera" in refusal(lambda: bpy.ops.kinesics.playblast(filepath=str(tmp_path / "y.mp4")))
    assert not (tmp_path / "y.mp4").exists()


def test_settings_come_back_when_filming_fails(
    stage: Any, module: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    playblast = module("operators.playblast")
    before = settings_of(stage)

    def fail(_context: Any, _path: Path) -> None:
        assert stage.render.filepath.endswith("z.mp4") and (stage.frame_start, stage.frame_end) == (201, 212)
        raise module("operators.errors").CharacterError("It failed: choose another name.")

    monkeypatch.setattr(playblast, "film", fail)
    assert "It failed" in refusal(lambda: bpy.ops.kinesics.playblast(filepath=str(tmp_path / "z.mp4")))
    assert settings_of(stage) == before


def test_it_needs_a_3d_view_in_a_window(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    playblast, said = module("operators.playblast"), []
    operator = SimpleNamespace(poll_message_set=said.append)
    poll = playblast.KINESICS_OT_playblast.poll.__func__
    options = SimpleNamespace(codec_ffmpeg=True)
    window = SimpleNamespace(app=SimpleNamespace(background=False, build_options=options))
    monkeypatch.setattr(playblast, "bpy", window)
    assert not poll(operator, SimpleNamespace(area=None))
    assert not poll(operator, SimpleNamespace(area=SimpleNamespace(type="DOPESHEET_EDITOR")))
    assert poll(operator, SimpleNamespace(area=SimpleNamespace(type="VIEW_3D")))
    options.codec_ffmpeg = False
    assert not poll(operator, SimpleNamespace(area=SimpleNamespace(type="VIEW_3D")))
    assert said == 2 * ["Use it in the 3D View that is to be filmed"] + ["This Blender cannot write films"]


def test_the_panel_offers_it(module: Any) -> None:
    layout = Layout()
    module("ui.panels").KINESICS_PT_files.draw(SimpleNamespace(layout=layout), bpy.context)
    assert "kinesics.playblast" in layout.drawn
