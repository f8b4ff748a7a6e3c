# SPDX-License-Identifier: GPL-3.0-or-later
"""`tools/demo.py` from end to end on a tiny pack, in a Blender of its own; every product is read back."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.blender.support import REPOSITORY, bpy, needs_audaspace, write_sound

NUM_FRAMES, FPS, SIZE = 30, 30, (96, 54)
WAIT_S = 300
STEPS = (
    "import Blender",
    "enable the extension",
    "add the character",
    "load the model",
    "generate",
    "  of that, writing the keys",
    "export FBX",
    "contact sheet",
    "render the preview with sound",
    "save the .blend",
    "total",
)


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of sound."""
    return write_sound(tmp_path_factory.mktemp("line") / "line.wav", NUM_FRAMES / FPS, rate=48000)


@pytest.fixture(scope="session")
def made(tiny_pack: Path, line: Path) -> tuple[Path, str]:
    """Run the demo once.

    Returns:
        The folder with its products, and what it printed.
    """
    if not (REPOSITORY / "assets" / "character.npz").is_file():
        pytest.skip("needs assets/character.npz: run `make assets/character.npz`")
    pytest.importorskip("PIL", reason="the contact sheet needs Pillow")
    out = line.parent / "demo"
    command = [sys.executable, str(REPOSITORY / "tools" / "demo.py"), "--audio", str(line), "--pack"]
    command += [str(tiny_pack), "--out", str(out), "--size", *map(str, SIZE)]
    environment = {name: value for name, value in os.environ.items() if name != "BLENDER_USER_RESOURCES"}
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=WAIT_S, check=False, env=environment
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    return out, run.stdout


@needs_audaspace
def test_times(made: tuple[Path, str]) -> None:
    """Each step has a line with its seconds, and the total is their sum."""
    rows = re.findall(r"^(.+?) +(\d+\.\d\d) s$", made[1], re.MULTILINE)
    seconds = {name: float(value) for name, value in rows}
    assert not set(STEPS) - set(seconds)
    steps = sum(value for name, value in seconds.items() if not name.startswith(" ") and name != "total")
    assert seconds["total"] == pytest.approx(steps, abs=0.005 * len(rows))
    assert "line.wav: 1.00 s of speech, lower body: 'walk forward'" in made[1]


@needs_audaspace
def test_film_has_every_frame_and_the_sound_in_its_place(made: tuple[Path, str], line: Path) -> None:
    import aud

    film = bpy.data.movieclips.load(str(made[0] / "demo.mp4"))
    assert (film.frame_duration, round(film.fps), tuple(film.size)) == (NUM_FRAMES, FPS, SIZE)
    heard, said = (
        np.asarray(aud.Sound.file(str(path)).rechannel(1).resample(16000, 3).data())[:, 0]
        for path in (made[0] / "demo.mp4", line)
    )
    lag = np.correlate(heard, said, mode="full").argmax() - (len(said) - 1)
    assert abs(lag) < 16000 / FPS / 2
    assert heard[: len(said)].std() > 0.3 * said.std()


@needs_audaspace
def test_contact_sheet_shows_bodies_and_faces(made: tuple[Path, str]) -> None:
    from PIL import Image

    with Image.open(made[0] / "contact_sheet.png") as picture:
        sheet = np.asarray(picture.convert("RGB"), dtype=float)
    assert sheet.shape == (600, 8 * 240, 3)
    tiles = [sheet[:360, 240 * k : 240 * (k + 1)] for k in range(8)]
    tiles += [sheet[360:, 240 * k : 240 * (k + 1)] for k in range(8)]
    assert min(tile[30:].std() for tile in tiles) > 15, "a picture is empty"
    jumper = np.array([80.0, 140.0, 140.0])
    assert all((np.abs(tile - jumper).max(axis=2) < 45).mean() > 0.01 for tile in tiles[:8])


@needs_audaspace
def test_fbx_holds_the_motion(made: tuple[Path, str], scene: Any) -> None:
    bpy.ops.import_scene.fbx(filepath=str(made[0] / "demo.fbx"), anim_offset=0.0)
    armature = next(item for item in scene.objects if item.type == "ARMATURE")
    body = next(item for item in scene.objects if item.type == "MESH")
    assert len(armature.data.bones) == 55 and len(body.data.vertices) > 10_000
    assert len(body.data.shape_keys.key_blocks) == 53
    first, last = armature.animation_data.action.frame_range
    assert last - first == NUM_FRAMES - 1
    wrists = []
    for frame in (first, (first + last) // 2, last):
        scene.frame_set(int(frame))
        wrists.append(armature.matrix_world @ armature.pose.bones["left_wrist"].head)
    assert max((wrist - wrists[0]).length for wrist in wrists) > 0.005


@needs_audaspace
def test_blend_opens_with_character_sound_and_camera(made: tuple[Path, str]) -> None:
    bpy.ops.wm.open_mainfile(filepath=str(made[0] / "demo.blend"))
    scene = bpy.context.scene
    assert (scene.frame_start, scene.frame_end, scene.render.fps) == (1, NUM_FRAMES, FPS)
    assert scene.camera is not None and scene.camera.animation_data.action is not None
    strips = getattr(scene.sequence_editor, "strips_all", None) or scene.sequence_editor.sequences_all
    assert [strip.type for strip in strips] == ["SOUND"]
    armature = scene.kinesics.character
    assert len(armature.data.bones) == 55
    assert tuple(armature.animation_data.action.frame_range) == (1, NUM_FRAMES)
    body = next(item for item in armature.children if item.type == "MESH")
    assert body.data.shape_keys.animation_data.action is not None
