# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion files: npz in and out, FBX of one take that comes back exactly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.blender.support import add_face, bpy, fingerprint, keys_of, make_clip, refusal


def test_npz_round_trip(character: Any, scene: Any, module: Callable[[str], Any], tmp_path: Path) -> None:
    io, specs = module("engine.motion.clip_io"), module("engine.specs")
    clip = make_clip(20)
    io.save_npz(clip, tmp_path / "in.npz")
    scene.frame_set(11)
    assert bpy.ops.kinesics.import_clip(filepath=str(tmp_path / "in.npz")) == {"FINISHED"}
    assert character.animation_data.action.name == "in"
    scene.frame_start, scene.frame_end = 11, 30
    assert bpy.ops.kinesics.export_clip(filepath=str(tmp_path / "out")) == {"FINISHED"}
    back = io.load_npz(tmp_path / "out.npz")
    assert np.abs(back.poses - clip.poses).max() < 1e-4
    assert np.abs(back.trans - clip.trans).max() < 1e-5
    assert np.abs(back.expressions - clip.expressions).max() < 1e-5
    assert len(tuple(specs.Part)) == 4


def test_bad_motion_files(character: Any, tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    before = fingerprint()
    for name in ("text.npz", "none.npz"):
        refusal(lambda name=name: bpy.ops.kinesics.import_clip(filepath=str(tmp_path / name)))
    assert fingerprint() == before


def test_fbx_comes_back_exactly(
    character: Any, scene: Any, module: Callable[[str], Any], tmp_path: Path
) -> None:
    """Another character and another action in the file stay out of it."""
    specs, bridge = module("engine.specs"), module("operators.bridge.armature")
    module("operators.delivery").deliver(make_clip(30), character, tuple(specs.Part), 1, "Take")
    other = bridge.build_armature("Other")
    add_face(other, "Other Face")
    module("operators.delivery").deliver(make_clip(30, seed=8), other, tuple(specs.Part), 1, "Other Take")
    scene.frame_start, scene.frame_end = 1, 30
    scene.kinesics.character = character
    heads = {}
    for frame in (1, 12, 30):
        scene.frame_set(frame)
        matrices = [
            character.matrix_world @ character.pose.bones[bone.name].matrix for bone in character.data.bones
        ]
        heads[frame] = np.array([matrix.translation for matrix in matrices])
    jaw = keys_of(bpy.data.objects["Face"].data.shape_keys)['key_blocks["jawOpen"].value', 0][:, 1]
    names = [bone.name for bone in character.data.bones]
    selected = [item.name for item in bpy.context.selected_objects]
    assert bpy.ops.kinesics.export_fbx(filepath=str(tmp_path / "take")) == {"FINISHED"}
    assert [item.name for item in bpy.context.selected_objects] == selected
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.context.scene.render.fps = 30
    bpy.ops.import_scene.fbx(filepath=str(tmp_path / "take.fbx"), anim_offset=0.0)
    rigs = [item for item in bpy.data.objects if item.type == "ARMATURE"]
    assert [len(rig.data.bones) for rig in rigs] == [55]
    rig = rigs[0]
    for frame, wanted in heads.items():
        bpy.context.scene.frame_set(frame)
        found = np.array([(rig.matrix_world @ rig.pose.bones[name].matrix).translation for name in names])
        assert np.abs(found - wanted).max() < 1e-4, frame
    face = next(item for item in bpy.data.objects if item.type == "MESH")
    assert len(face.data.shape_keys.key_blocks) == 53
    bpy.context.scene.frame_set(12)
    assert face.data.shape_keys.key_blocks["jawOpen"].value == pytest.approx(jaw[11], abs=1e-4)


def test_motion_of_another_rate_keeps_its_speed(
    character: Any, scene: Any, module: Callable[[str], Any], tmp_path: Path
) -> None:
    scene.render.fps = 24
    module("engine.motion.clip_io").save_npz(make_clip(60, fps=60.0), tmp_path / "fast.npz")
    assert bpy.ops.kinesics.import_clip(filepath=str(tmp_path / "fast.npz")) == {"FINISHED"}
    assert len(keys_of(character)['pose.bones["pelvis"].location', 0]) == 24
