# SPDX-License-Identifier: GPL-3.0-or-later
"""A SMPL-X character's face follows speech by the expressions of the user's own model, and reads back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.blender.support import REPOSITORY, bpy, fingerprint, keys_of

Module = Callable[[str], Any]
ASSET = REPOSITORY / "assets" / "character.npz"
COUNT = 10
SHAPES = (
    "mouthSmileLeft", "mouthSmileRight", "browInnerUp", "mouthPucker", "mouthFunnel", "eyeBlinkLeft",
    "eyeBlinkRight", "cheekPuff", "mouthUpperUpLeft", "mouthUpperUpRight",
)  # fmt: skip
pytestmark = pytest.mark.skipif(not ASSET.is_file(), reason="needs assets/character.npz: run make demo")


def write_model(path: Path, module: Module) -> None:
    """A small SMPL-X file whose ten expressions are mixtures of ten ARKit shapes of the default character."""
    asset = module("engine.motion.character_asset").load_character(ASSET)
    skeleton = module("engine.motion.skeleton")
    rest = skeleton.DEFAULT_SKELETON.rest_joints
    head = [skeleton.JOINT_NAMES.index(name) for name in ("head", "jaw", "neck")]
    kept = np.flatnonzero(asset.weights[:, head].sum(axis=1) > 0.3)[::2]
    vertices = np.concatenate([asset.vertices[kept], rest])
    weights = np.concatenate([asset.weights[kept], np.eye(55, dtype=np.float32)])
    moves = np.zeros((COUNT, len(asset.vertices), 3))
    for number, name in enumerate(SHAPES):
        rows, offsets = asset.shapes[name]
        moves[number, rows] = offsets
    mixing = np.linalg.qr(np.random.default_rng(1).standard_normal((COUNT, COUNT)))[0]
    expressions = np.einsum("ca,avx->cvx", mixing, moves[:, kept])
    directions = np.zeros((len(vertices), 3, 20), dtype=np.float32)
    directions[: len(kept), :, 10:] = np.moveaxis(expressions, 0, 2)
    regressor = np.zeros((55, len(vertices)), dtype=np.float32)
    regressor[np.arange(55), len(kept) + np.arange(55)] = 1.0
    triangles = np.array([[0, 1, 2], [1, 2, 3]], dtype=np.uint32)
    np.savez(
        path, v_template=vertices, f=triangles, weights=weights, J_regressor=regressor, shapedirs=directions
    )


@pytest.fixture
def smplx(scene: Any, module: Module, tmp_path: Path) -> Any:
    write_model(tmp_path / "SMPLX_NEUTRAL.npz", module)
    assert bpy.ops.kinesics.add_smplx_character(filepath=str(tmp_path / "SMPLX_NEUTRAL.npz")) == {"FINISHED"}
    return scene.kinesics.character


def talking(module: Module, num_frames: int = 20) -> Any:
    """A clip whose face smiles, purses and opens its mouth."""
    clip = module("engine.motion.clip").Clip.rest(num_frames, 30.0)
    wave = 0.5 - 0.5 * np.cos(np.arange(num_frames) / 3.0)
    expressions = np.zeros((num_frames, 52), dtype=np.float32)
    index = module("engine.motion.arkit").ARKIT_INDEX
    for name, size in (
        ("mouthSmileLeft", 0.8),
        ("mouthSmileRight", 0.8),
        ("browInnerUp", 0.5),
        ("jawOpen", 0.6),
    ):
        expressions[:, index[name]] = size * wave
    names = module("engine.motion.arkit").ARKIT_NAMES
    return replace(clip, expressions=expressions, expression_names=names, basis="arkit")


def test_it_smiles_opens_its_mouth_and_reads_back(smplx: Any, scene: Any, module: Module) -> None:
    parts, bridge = tuple(module("engine.specs").Part), module("operators.bridge.armature")
    clip = talking(module)
    done = module("operators.delivery").deliver(clip, smplx, parts, 1, "Talk")
    assert done.num_face_channels == COUNT
    keys = keys_of(smplx.children[0].data.shape_keys)
    assert set(keys) == {(f'key_blocks["Exp{number:03d}"].value', 0) for number in range(COUNT)}
    assert max(np.ptp(values[:, 1]) for values in keys.values()) > 0.2
    jaw = keys_of(smplx)['pose.bones["jaw"].rotation_quaternion', 0][:, 1]
    assert np.ptp(jaw) > 1e-3, "the jaw bone opens the mouth"
    read = module("operators.bridge.sampling").current_clip(smplx, bridge.read_rig(smplx), scene, 1, 20, 30.0)
    assert read.basis == "arkit"
    index = module("engine.motion.arkit").ARKIT_INDEX
    for name in ("mouthSmileLeft", "browInnerUp", "jawOpen"):
        error = np.abs(read.expressions[:, index[name]] - clip.expressions[:, index[name]]).max()
        assert error < 0.2, (name, error)


def test_the_map_is_kept_with_the_mesh_and_fitted_where_it_is_missing(
    smplx: Any, scene: Any, module: Module, tmp_path: Path
) -> None:
    body, expressions = smplx.children[0], module("operators.bridge.expressions")
    name = body.name
    kept = list(body.data[expressions.KEPT])
    assert len(kept) == COUNT * (52 + COUNT)
    before = fingerprint()
    faces = module("operators.bridge.shape_keys").find_face_meshes(
        smplx, module("engine.motion.arkit").ARKIT_NAMES
    )
    assert [face.kind for face in faces] == ["expressions"] and fingerprint() == before
    del body.data[expressions.KEPT]
    module("operators.bridge.shape_keys").find_face_meshes(smplx, module("engine.motion.arkit").ARKIT_NAMES)
    assert np.allclose(list(body.data[expressions.KEPT]), kept, rtol=1e-3, atol=1e-6)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "kept.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "kept.blend"))
    assert len(bpy.data.objects[name].data[expressions.KEPT]) == len(kept)


def test_a_body_without_a_smplx_face_still_opens_its_jaw(smplx: Any, module: Module) -> None:
    body, expressions = smplx.children[0], module("operators.bridge.expressions")
    del body.data[expressions.KEPT]
    for block in body.data.shape_keys.key_blocks:
        for point in block.data:
            point.co.z += 5.0
    done = module("operators.delivery").deliver(
        talking(module), smplx, tuple(module("engine.specs").Part), 1, "Talk"
    )
    assert done.num_face_channels == 0
    assert np.ptp(keys_of(smplx)['pose.bones["jaw"].rotation_quaternion', 0][:, 1]) > 1e-3
