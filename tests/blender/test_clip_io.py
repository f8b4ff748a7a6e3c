# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion files in: npz of several layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.blender.support import bpy, fingerprint, keys_of, make_clip, refusal
from tests.motion_layouts import LAYOUTS, motion


def test_npz_round_trip(character: Any, scene: Any, module: Callable[[str], Any], tmp_path: Path) -> None:
    io, specs = module("engine.motion.clip_io"), module("engine.specs")
    clip = make_clip(20)
    io.save_npz(clip, tmp_path / "in.npz")
    scene.frame_set(11)
    assert bpy.ops.kinesics.import_clip(filepath=str(tmp_path / "in.npz")) == {"FINISHED"}
    assert character.animation_data.action.name == "in"
    scene.frame_start, scene.frame_end = 11, 30
    assert bpy.ops.kinesics.export(preset="KINESICS", filepath=str(tmp_path / "out")) == {"FINISHED"}
    back = io.load_npz(tmp_path / "out.npz")
    assert np.abs(back.poses - clip.poses).max() < 1e-4
    assert np.abs(back.trans - clip.trans).max() < 1e-5
    assert np.abs(back.expressions - clip.expressions).max() < 1e-5
    assert len(tuple(specs.Part)) == 4


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_the_demos_write_is_imported(character: Any, scene: Any, tmp_path: Path, layout: str) -> None:
    arrays = motion(20)
    LAYOUTS[layout](tmp_path / "in.npz", arrays)
    scene.render.fps, scene.render.fps_base = 30, 1.0
    scene.frame_start, scene.frame_end = 1, 20
    scene.frame_set(1)
    assert bpy.ops.kinesics.import_clip(filepath=str(tmp_path / "in.npz")) == {"FINISHED"}
    assert bpy.ops.kinesics.export(preset="BEAT2", filepath=str(tmp_path / "out")) == {"FINISHED"}
    with np.load(tmp_path / "out.npz") as back:
        assert np.abs(back["poses"] - arrays["poses"]).max() < 1e-4
        assert np.abs(back["trans"] - arrays["trans"]).max() < 1e-5


def test_expressions_that_no_shape_takes_are_told_of(
    character: Any, scene: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The character's face has ARKit shapes; the file's coefficients are of SMPL-X."""
    arrays = motion(20)
    LAYOUTS["lom"](tmp_path / "talks.npz", arrays)
    assert bpy.ops.kinesics.import_clip(filepath=str(tmp_path / "talks.npz")) == {"FINISHED"}
    assert "so only this character's jaw and eyes move" in capfd.readouterr().out
    LAYOUTS["lom"](tmp_path / "still.npz", {**arrays, "expressions": 0.0 * arrays["expressions"]})
    assert bpy.ops.kinesics.import_clip(filepath=str(tmp_path / "still.npz")) == {"FINISHED"}
    assert "jaw and eyes" not in capfd.readouterr().out


def test_bad_motion_files(character: Any, tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    before = fingerprint()
    for name in ("text.npz", "none.npz"):
        refusal(lambda name=name: bpy.ops.kinesics.import_clip(filepath=str(tmp_path / name)))
    assert fingerprint() == before


def test_motion_of_another_rate_keeps_its_speed(
    character: Any, scene: Any, module: Callable[[str], Any], tmp_path: Path
) -> None:
    scene.render.fps = 24
    module("engine.motion.clip_io").save_npz(make_clip(60, fps=60.0), tmp_path / "fast.npz")
    assert bpy.ops.kinesics.import_clip(filepath=str(tmp_path / "fast.npz")) == {"FINISHED"}
    assert len(keys_of(character)['pose.bones["pelvis"].location', 0]) == 24
