# SPDX-License-Identifier: GPL-3.0-or-later
"""Add Character and Add SMPL-X Character in real Blender."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest

from engine.motion.arkit import ARKIT_NAMES
from engine.motion.character_asset import load_character
from engine.motion.kinematics import forward_kinematics
from engine.motion.rotations import axis_angle_to_matrix
from engine.motion.skeleton import DEFAULT_SKELETON, JOINT_NAMES, NUM_JOINTS, PARENTS
from tests.blender.support import KEY, REPOSITORY

ASSET = REPOSITORY / "assets" / "character.npz"


@pytest.fixture(autouse=True)
def asset() -> None:
    """The built asset; `make test` builds it."""
    if not ASSET.is_file():
        pytest.skip("needs assets/character.npz: run `make assets/character.npz`")


def add() -> tuple[Any, Any]:
    """A new character: armature and body."""
    assert bpy.ops.kinesics.add_character() == {"FINISHED"}
    armature = bpy.context.view_layer.objects.active
    return armature, next(child for child in armature.children if child.type == "MESH")


def mesh_points(item: Any) -> np.ndarray:
    """World positions of the evaluated mesh in engine axes, (V, 3)."""
    depsgraph = bpy.context.evaluated_depsgraph_get()
    shown = item.evaluated_get(depsgraph)
    points = np.empty(3 * len(shown.data.vertices), dtype=np.float32)
    shown.data.vertices.foreach_get("co", points)
    world = np.array(item.matrix_world)
    placed = points.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3]
    return np.column_stack([placed[:, 0], placed[:, 2], -placed[:, 1]])


def module(name: str) -> Any:
    """A module of the enabled extension."""
    import importlib

    return importlib.import_module(f"{KEY}.{name}")


def write_smplx(path: Path, **changes: Any) -> None:
    """A small synthetic file in the layout of SMPLX_NEUTRAL.npz: one tetrahedron around every joint."""
    joints = DEFAULT_SKELETON.rest_joints.astype(np.float64) + np.array([0.0, -0.35, 0.01])
    corners = 0.02 * np.array([[1, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]])
    vertices = (joints[:, None] + corners).reshape(-1, 3)
    faces = np.concatenate(
        [4 * j + np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]]) for j in range(NUM_JOINTS)]
    )
    weights = np.repeat(np.eye(NUM_JOINTS), 4, axis=0)
    directions = np.zeros((len(vertices), 3, 400))
    directions[4 * 22 : 4 * 22 + 4, 1, 300] = -0.01  # the first expression lowers the jaw
    table: dict[str, Any] = {
        "v_template": vertices,
        "f": faces.astype(np.uint32),
        "weights": weights,
        "J_regressor": weights.T / 4,
        "shapedirs": directions,
        "posedirs": np.zeros((len(vertices), 3, 486)),
        "kintree_table": np.array([[*PARENTS], [*range(NUM_JOINTS)]]),
    }
    table.update(changes)
    np.savez(path, **{key: value for key, value in table.items() if value is not None})


def test_bones_and_hierarchy() -> None:
    armature, _ = add()
    assert armature.name == "Kinesics Character"
    bones = armature.data.bones
    assert sorted(bone.name for bone in bones) == sorted(JOINT_NAMES)
    for joint, name in enumerate(JOINT_NAMES):
        parent = bones[name].parent
        assert (parent.name if parent else None) == (JOINT_NAMES[PARENTS[joint]] if joint else None)
    heads = np.array([bones[name].head_local for name in JOINT_NAMES])
    expected = DEFAULT_SKELETON.rest_joints @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], dtype=np.float32)
    np.testing.assert_allclose(heads - heads[0], expected, atol=1e-5)


def test_stands_on_the_floor_facing_front() -> None:
    _, body = add()
    points = mesh_points(body)
    assert abs(points[:, 1].min()) < 2e-3
    assert 1.65 < points[:, 1].max() < 1.78
    feet = points[points[:, 1] < 0.05]
    assert feet[:, 2].max() > 0.15 > -feet[:, 2].min()


def test_weights_are_normalised() -> None:
    _, body = add()
    names = [group.name for group in body.vertex_groups]
    assert names == list(JOINT_NAMES)
    sums = np.array([sum(element.weight for element in vertex.groups) for vertex in body.data.vertices])
    np.testing.assert_allclose(sums, 1.0, atol=1e-3)
    assert max(len(vertex.groups) for vertex in body.data.vertices) <= 6


def test_shape_keys_and_materials() -> None:
    _, body = add()
    blocks = body.data.shape_keys.key_blocks
    assert blocks[0].name == "Basis"
    assert [block.name for block in blocks[1:]] == list(ARKIT_NAMES)
    assert all(
        block.slider_min == 0.0 and block.slider_max == 1.0 and block.value == 0.0 for block in blocks[1:]
    )
    assert {"Kinesics Skin", "Kinesics Jumper", "Kinesics Iris"} <= {
        slot.name for slot in body.data.materials
    }
    assert all(polygon.use_smooth for polygon in body.data.polygons)


def test_shape_key_moves_the_mesh_as_the_asset_says() -> None:
    _, body = add()
    before = mesh_points(body)
    body.data.shape_keys.key_blocks["jawOpen"].value = 0.5
    moved = mesh_points(body) - before
    rows, offsets = load_character(ASSET).shapes["jawOpen"]
    expected = np.zeros_like(before)
    expected[rows] = 0.5 * offsets
    np.testing.assert_allclose(moved, expected, atol=1e-5)


def test_posing_follows_the_engine() -> None:
    """Blender's skinning and the engine's kinematics agree to a millimetre, and the elbow bends forward."""
    armature, body = add()
    clip_type = module("engine.motion.clip").Clip
    bridge = module("operators.bridge.armature")
    poses = np.zeros((1, NUM_JOINTS, 3), dtype=np.float32)
    elbow, hip, head = (JOINT_NAMES.index(name) for name in ("left_elbow", "right_hip", "head"))
    poses[0, elbow], poses[0, hip], poses[0, head] = (0.1, -1.2, 0.2), (-0.6, 0.1, 0.0), (0.1, 0.5, 0.1)
    trans = np.array([[0.3, 1.1, 0.2]], dtype=np.float32)
    clip = clip_type(
        fps=30.0, poses=poses, trans=trans, expressions=np.zeros((1, 0), np.float32), expression_names=(),
        basis="none", betas=np.zeros(10, np.float32),
    )  # fmt: skip
    rig = bridge.read_rig(armature)
    channels = bridge.clip_to_bones(clip, rig)
    rest = mesh_points(body)
    for name, quaternion in zip(rig.bone_names, channels.quaternions[0], strict=True):
        armature.pose.bones[name].rotation_quaternion = quaternion
    armature.pose.bones["pelvis"].location = channels.pelvis_locations[0]
    bpy.context.view_layer.update()
    shown = mesh_points(body)

    character = load_character(ASSET)
    joints = DEFAULT_SKELETON.rest_joints
    matrices = np.asarray(axis_angle_to_matrix(poses[0].astype(np.float64)))
    positions, turns = forward_kinematics(matrices, trans[0].astype(np.float64), joints.astype(np.float64))
    shift = positions - np.einsum("jab,jb->ja", turns, joints)
    blended = np.einsum("vj,jab->vab", character.weights, turns)
    expected = np.einsum("vab,vb->va", blended, character.vertices) + character.weights @ shift
    assert np.linalg.norm(shown - expected, axis=1).max() < 1e-3
    hand = character.weights[:, JOINT_NAMES.index("left_middle1")] > 0.5
    assert (shown - rest)[hand, 2].mean() > 0.25


def test_two_characters_are_independent() -> None:
    first, first_body = add()
    second, second_body = add()
    assert first != second and first_body.data != second_body.data
    assert first_body.data.shape_keys != second_body.data.shape_keys
    before = mesh_points(first_body)
    second.pose.bones["left_shoulder"].rotation_quaternion = (0.9, 0.3, 0.3, 0.0)
    second_body.data.shape_keys.key_blocks["jawOpen"].value = 1.0
    bpy.context.view_layer.update()
    np.testing.assert_array_equal(mesh_points(first_body), before)
    assert bpy.context.scene.kinesics.character == second
    assert len([m for m in bpy.data.materials if m.name.startswith("Kinesics Skin")]) == 1


def test_added_at_the_cursor_in_one_undo_step() -> None:
    bpy.context.scene.cursor.location = (1.0, 2.0, 0.5)
    bpy.ops.ed.undo_push(message="before")
    assert bpy.ops.kinesics.add_character("EXEC_DEFAULT", True) == {"FINISHED"}
    assert tuple(bpy.data.objects["Kinesics Character"].location) == (1.0, 2.0, 0.5)
    bpy.ops.ed.undo()
    assert not [item for item in bpy.data.objects if item.name.startswith("Kinesics")]


def test_is_fast() -> None:
    add()
    start = time.process_time()
    add()
    assert time.process_time() - start < 1.0


def test_missing_asset_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module("operators.character"), "asset_path", lambda: tmp_path / "character.npz")
    with pytest.raises(RuntimeError, match=r"make assets/character\.npz"):
        bpy.ops.kinesics.add_character()
    assert len(bpy.data.objects) == 0


def test_damaged_asset_changes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = ASSET.read_bytes()
    (tmp_path / "character.npz").write_bytes(whole[: len(whole) // 2])
    monkeypatch.setattr(module("operators.character"), "asset_path", lambda: tmp_path / "character.npz")
    with pytest.raises(RuntimeError, match="damaged"):
        bpy.ops.kinesics.add_character()
    assert len(bpy.data.objects) == 0


def test_smplx_character(tmp_path: Path) -> None:
    write_smplx(tmp_path / "SMPLX_NEUTRAL.npz")
    assert bpy.ops.kinesics.add_smplx_character(filepath=str(tmp_path / "SMPLX_NEUTRAL.npz")) == {"FINISHED"}
    armature = bpy.context.view_layer.objects.active
    assert sorted(bone.name for bone in armature.data.bones) == sorted(JOINT_NAMES)
    body = armature.children[0]
    blocks = body.data.shape_keys.key_blocks
    assert [block.name for block in blocks[1:]] == [f"Exp{index:03d}" for index in range(100)]
    before = mesh_points(body)
    blocks["Exp000"].value = 2.0
    moved = mesh_points(body) - before
    jaw = slice(4 * 22, 4 * 22 + 4)
    np.testing.assert_allclose(moved[jaw], [[0.0, -0.02, 0.0]] * 4, atol=1e-6)
    assert np.abs(np.delete(moved, np.r_[jaw], axis=0)).max() == 0.0
    joints = before.reshape(NUM_JOINTS, 4, 3).mean(axis=1)
    heads = np.array([armature.data.bones[name].head_local for name in JOINT_NAMES])
    np.testing.assert_allclose(joints, np.column_stack([heads[:, 0], heads[:, 2], -heads[:, 1]]), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": None}, "has no weights"),
        ({"weights": np.zeros((4, 3))}, "sizes"),
        ({"f": np.full((2, 3), 10**6)}, "sizes"),
        ({"v_template": np.full((220, 3), np.nan)}, "not finite"),
        ({"v_template": np.array([{"a": 1}], dtype=object)}, "not plain values"),
    ],
)
def test_smplx_bad_files(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_smplx(tmp_path / "model.npz", **changes)
    with pytest.raises(RuntimeError, match=message):
        bpy.ops.kinesics.add_smplx_character(filepath=str(tmp_path / "model.npz"))
    assert len(bpy.data.objects) == 0


def test_smplx_pickle_missing_and_cut_files(tmp_path: Path) -> None:
    import pickle

    (tmp_path / "SMPLX_NEUTRAL.pkl").write_bytes(pickle.dumps({"v_template": 1}))
    write_smplx(tmp_path / "model.npz")
    whole = (tmp_path / "model.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    for name, message in (
        ("SMPLX_NEUTRAL.pkl", "not opened"),
        ("none.npz", "There is no file"),
        ("cut.npz", "npz"),
    ):
        with pytest.raises(RuntimeError, match=message):
            bpy.ops.kinesics.add_smplx_character(filepath=str(tmp_path / name))
    assert len(bpy.data.objects) == 0
