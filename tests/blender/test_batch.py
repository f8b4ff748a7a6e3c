# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `batch` of Blender: every row of a table on a character, exported; bad rows are reported."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.blender.support import REPOSITORY, add_face, bpy, write_sound

Module = Callable[[str], Any]


@pytest.fixture
def command(module: Module) -> Callable[..., int]:
    return module("operators.batch").command


def rows_of(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "report.csv").open(encoding="utf-8", newline="") as stream:
        return {row["name"]: row for row in csv.DictReader(stream)}


def write_table(folder: Path, *rows: str) -> Path:
    path = folder / "lines.csv"
    path.write_text("\n".join(["name,audio,lower,seed,seconds,character,export", *rows]) + "\n")
    return path


def save_character(module: Module, path: Path, fps: int, count: int = 1) -> None:
    """A Blender file with characters."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.context.scene.render.fps = fps
    for number in range(count):
        armature = module("operators.bridge.armature").build_armature(f"Ada {number}")
        add_face(armature)
    bpy.ops.wm.save_as_mainfile(filepath=str(path))


def test_the_command_is_known_to_blender(module: Module) -> None:
    assert module("operators.batch")._registered


@pytest.mark.skipif(
    not (REPOSITORY / "assets" / "character.npz").is_file(), reason="the character has not been built here"
)
def test_rows_become_exported_files(
    tmp_path: Path, tiny_pack: Path, command: Callable[..., int], module: Module,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    write_sound(tmp_path / "line.wav", 1.0)
    save_character(module, tmp_path / "ada.blend", 24)
    save_character(module, tmp_path / "two.blend", 24, count=2)
    save_character(module, tmp_path / "none.blend", 24, count=0)
    table = write_table(
        tmp_path,
        "plain,line.wav,walk forward,1,,,",
        "ada,line.wav,walk forward,1,,ada.blend,Kinesics",
        "again,,jump,2,0.5,ada.blend,bvh",
        "two,,jump,2,0.5,two.blend,",
        "none,,jump,2,0.5,none.blend,",
        "gone,,jump,2,0.5,gone.blend,",
        "strange,,jump,2,0.5,,obj",
        "silent,absent.wav,jump,2,0.5,,",
    )
    out = tmp_path / "out"
    asked = ["batch", str(table), "--out", str(out), "--pack", str(tiny_pack), "--device", "cpu"]
    before = (tmp_path / "ada.blend").read_bytes()
    assert command([*asked, "--export", "gltf"]) == 1
    rows = rows_of(out)
    made = {name: row["files"] for name, row in rows.items() if row["state"] == "made"}
    assert made == {"plain": "plain.glb", "ada": "ada.npz", "again": "again.bvh"}
    for name, sentence in {
        "two": "2 characters", "none": "no armature", "gone": "no file", "strange": 'no export "obj"',
        "silent": "does not exist",
    }.items():  # fmt: skip
        assert rows[name]["state"] == "failed" and sentence in rows[name]["problem"], name
    assert (tmp_path / "ada.blend").read_bytes() == before
    assert "3 of 8 lines made" in capfd.readouterr().out

    clip = module("engine.motion.clip_io").load_npz(out / "ada.npz")
    assert clip.num_frames == 30
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.ops.import_scene.gltf(filepath=str(out / "plain.glb"))
    skeletons = [item for item in bpy.data.objects if item.type == "ARMATURE"]
    assert len(skeletons) == 1 and "pelvis" in skeletons[0].data.bones
    places = []
    for frame in (1, 20):
        bpy.context.scene.frame_set(frame)
        places.append(np.array(skeletons[0].pose.bones["left_wrist"].matrix))
    assert not np.allclose(*places)

    stamps = {path.name: path.stat().st_mtime_ns for path in out.glob("*.*") if path.stem in made}
    (out / "again.bvh").unlink()
    assert command([*asked, "--export", "gltf", "--resume"]) == 1
    assert (out / "again.bvh").is_file()
    for name in ("plain.glb", "ada.npz"):
        assert (out / name).stat().st_mtime_ns == stamps[name]


def test_the_command_explains_itself(command: Callable[..., int], capfd: pytest.CaptureFixture[str]) -> None:
    assert command(["batch", "--help"]) == 0
    assert "character (a .blend file)" in " ".join(capfd.readouterr().out.split())
    assert command(["batch"]) == 2
    assert command(["dance"]) == 2
    assert command(["batch", "absent.csv", "--out", "nowhere"]) == 1
    assert "cannot be read" in capfd.readouterr().err
