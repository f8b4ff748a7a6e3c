# SPDX-License-Identifier: GPL-3.0-or-later
"""Export: every preset read back in Blender and by a library of its own, root motion on hips or root."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import independent_readers
from tests.blender.support import REPOSITORY, add_face, bpy, fingerprint, make_clip, refusal
from tests.blender.test_rigs import build, definition

Module = Callable[[str], Any]
PRESETS = {"UNREAL": ".fbx", "UNITY": ".fbx", "MAYA": ".fbx", "GLTF": ".glb", "USD": ".usdc"}
NEAR_M, NEAR_DEG = 1e-3, 0.1
FPS, FIRST, COUNT = 25, 11, 20
READING_PYTHON = next(
    (
        p
        for p in (REPOSITORY / ".venv/bin/python", Path(sys.executable))
        if independent_readers.available(".glb", p)
    ),
    Path(sys.executable),
)
"""The libraries are installed in the main environment alone; other versions of Blender have theirs."""


def needs(suffix: str) -> None:
    """Skip where the library that reads a kind of file is not installed, and say so."""
    if not independent_readers.available(suffix, READING_PYTHON):
        pytest.skip(f"{independent_readers.LIBRARIES[suffix]}, which reads {suffix}, does not load here")


@dataclass
class Truth:
    """What the character is seen to do in Blender, frame by frame."""

    names: list[str]
    places: np.ndarray
    turns: np.ndarray
    shapes: dict[str, np.ndarray]


def seen(armature: Any, first: int, count: int) -> Truth:
    """Bones in the world and values of the shape keys."""
    names = [bone.name for bone in armature.data.bones]
    rows: list[np.ndarray] = []
    shapes: dict[str, list[float]] = {}
    for frame in range(first, first + count):
        bpy.context.scene.frame_set(frame)
        evaluated = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
        rows.append(np.array([evaluated.matrix_world @ evaluated.pose.bones[name].matrix for name in names]))
        for mesh in bpy.data.objects:
            if mesh.type == "MESH" and mesh.data.shape_keys:
                for block in mesh.data.shape_keys.key_blocks[1:]:
                    shapes.setdefault(f"{mesh.name} {block.name}", []).append(block.value)
    matrices = np.array(rows)
    turns = matrices[..., :3, :3] / np.linalg.norm(matrices[..., :3, :3], axis=-2, keepdims=True)
    return Truth(names, matrices[..., :3, 3], turns, {name: np.array(v) for name, v in shapes.items()})


def worst_angle(first: np.ndarray, second: np.ndarray) -> float:
    """Largest angle between turns counted from the first frame, degrees; bones' own axes do not matter."""
    a, b = first @ np.swapaxes(first[:1], -1, -2), second @ np.swapaxes(second[:1], -1, -2)
    sine = np.linalg.norm(a - b, axis=(-2, -1)) / (2 * np.sqrt(2))
    return float(np.degrees(2 * np.arcsin(np.clip(sine, 0.0, 1.0))).max())


def smplx(module: Module) -> Any:
    """A character with the SMPL-X bones, a skinned face and teeth beside it."""
    armature = module("operators.bridge.armature").build_armature("Ada")
    for name, keys in (("Face", None), ("Teeth", ("jawOpen", "mouthClose"))):
        face = add_face(armature, name, keys)
        face.vertex_groups.new(name="head").add([0, 1, 2, 3], 1.0, "REPLACE")
    return armature


def mannequin(module: Module) -> Any:
    """A rig in centimetres with a root bone, turned and moved in the scene, with a face."""
    armature = build("Manny", definition("unreal"), scale=100.0)
    armature.scale = (0.01, 0.01, 0.01)
    armature.location, armature.rotation_euler = (0.5, -0.3, 0.0), (0.0, 0.0, 0.6)
    face = add_face(armature, "Mask")
    face.parent = armature
    face.vertex_groups.new(name="head").add([0, 1, 2, 3], 1.0, "REPLACE")
    return armature


RIGS = {"smplx": smplx, "mannequin": mannequin}


def stage(module: Module, rig: str) -> Any:
    """A character with a take, and another one with another, who shall stay out of the file."""
    scene = bpy.context.scene
    scene.render.fps = FPS
    armature = RIGS[rig](module)
    deliver, parts = module("operators.delivery").deliver, tuple(module("engine.specs").Part)
    deliver(make_clip(COUNT, float(FPS)), armature, parts, FIRST, "Take")
    other = module("operators.bridge.armature").build_armature("Other")
    deliver(make_clip(60, float(FPS), seed=8), other, parts, 1, "Other Take")
    scene.kinesics.character = armature
    scene.frame_set(3)
    return armature


def export(preset: str, root: str, path: Path) -> Path:
    assert bpy.ops.kinesics.export(preset=preset, root=root, filepath=str(path)) == {"FINISHED"}
    found = [file for file in path.parent.iterdir() if file.stem == path.name]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    ("preset", "root", "rig"),
    [
        *((preset, root, rig) for preset in ("UNREAL", "GLTF", "USD")
          for root in ("HIPS", "ROOT") for rig in RIGS),
        ("UNITY", "HIPS", "smplx"), ("UNITY", "ROOT", "mannequin"), ("MAYA", "HIPS", "mannequin"),
    ],
)  # fmt: skip
def test_a_library_reads_what_was_seen(
    preset: str, root: str, rig: str, scene: Any, module: Module, tmp_path: Path
) -> None:
    needs(PRESETS[preset])
    armature = stage(module, rig)
    bones = {bone.name: bone.parent.name if bone.parent else "" for bone in armature.data.bones}
    meshes = {"smplx": {"Face", "Teeth"}, "mannequin": {"Mask"}}[rig]
    before, truth = fingerprint(), seen(armature, FIRST, COUNT)
    scene.frame_set(3)
    file = export(preset, root, tmp_path / "Walk")
    assert fingerprint() == before, "the scene is as it was"
    read = independent_readers.read(file, READING_PYTHON)
    names = read["names"].tolist()
    assert set(names) - {"RootNode", "Scene"} - meshes == {*bones, armature.name}, "no bones more or less"
    above = dict(zip(names, read["parents"].tolist(), strict=True))
    tops = {name for name, parent in bones.items() if not parent}
    assert all(above[name] == (parent or armature.name) for name, parent in bones.items()), tops
    assert np.allclose(read["times"], np.arange(COUNT) / FPS, atol=1e-5)
    order = [names.index(name) for name in truth.names]
    unmoved = [i for i, name in enumerate(truth.names) if root == "HIPS" or name != "root"]
    places, turns = read["places"][:, order][:, unmoved], read["turns"][:, order][:, unmoved]
    assert np.linalg.norm(places - truth.places[:, unmoved], axis=-1).max() < NEAR_M
    assert worst_angle(turns, truth.turns[:, unmoved]) < NEAR_DEG
    check_root(read, names, armature.name if rig == "smplx" else "root", root)
    shapes = dict(zip(read["shapes"].tolist(), read["values"].T, strict=True))
    face = "Face" if rig == "smplx" else "Mask"
    assert len(shapes) >= 52
    for name, values in truth.shapes.items():
        if name.startswith(face):
            assert np.abs(shapes[name.removeprefix(f"{face} ")] - values).max() < 1e-3, name


def check_root(read: dict[str, np.ndarray], names: list[str], carrier: str, root: str) -> None:
    """The carrier goes along under the hips, or stands still."""
    place = read["places"][:, names.index(carrier)]
    hips = read["places"][:, names.index("pelvis")]
    assert np.ptp(hips[:, :2], axis=0).max() > 0.02
    if root == "HIPS":
        assert np.ptp(place, axis=0).max() < 1e-4
    else:
        apart = (place - hips)[:, :2]
        assert np.ptp(np.linalg.norm(apart, axis=1)) < NEAR_M and np.ptp(place[:, 2]) < 1e-4
        assert (
            worst_angle(read["turns"][:, [names.index(carrier)]], np.tile(np.eye(3), (COUNT, 1, 1, 1))) > 1.0
        )


IMPORTERS: dict[str, Callable[[str], Any]] = {
    ".fbx": lambda path: bpy.ops.import_scene.fbx(filepath=path, anim_offset=0.0),
    ".glb": lambda path: bpy.ops.import_scene.gltf(filepath=path),
    ".usdc": lambda path: bpy.ops.wm.usd_import(filepath=path),
    ".bvh": lambda path: bpy.ops.import_anim.bvh(filepath=path, global_scale=0.01, frame_start=0),
}


@pytest.mark.parametrize(
    ("preset", "rig"),
    [
        *((preset, rig) for preset in ("UNREAL", "GLTF", "USD", "BVH") for rig in RIGS),
        ("UNITY", "mannequin"), ("MAYA", "smplx"),
    ],
)  # fmt: skip
def test_blender_reads_what_was_seen(
    preset: str, rig: str, scene: Any, module: Module, tmp_path: Path
) -> None:
    armature = stage(module, rig)
    truth = seen(armature, FIRST, COUNT)
    root = "ROOT" if preset in ("UNREAL", "GLTF") else "HIPS"
    scene.frame_set(3)
    assert bpy.ops.kinesics.export(preset=preset, root=root, filepath=str(tmp_path / "Walk")) == {"FINISHED"}
    suffix = PRESETS.get(preset, ".bvh")
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.context.scene.render.fps = FPS
    IMPORTERS[suffix](str(tmp_path / f"Walk{suffix}"))
    rigs = [item for item in bpy.data.objects if item.type == "ARMATURE"]
    assert len(rigs) == 1
    assert set(truth.names) == {bone.name for bone in rigs[0].data.bones}, "no bones more or less"
    start = round(rigs[0].animation_data.action.frame_range[0]) if rigs[0].animation_data else 0
    assert start in (0, 1)
    read = seen(rigs[0], start, COUNT)
    order = [read.names.index(name) for name in truth.names]
    unmoved = [i for i, name in enumerate(truth.names) if root == "HIPS" or name != "root"]
    places, turns = read.places[:, order][:, unmoved], read.turns[:, order][:, unmoved]
    assert np.linalg.norm(places - truth.places[:, unmoved], axis=-1).max() < NEAR_M
    assert worst_angle(turns, truth.turns[:, unmoved]) < NEAR_DEG
    if preset != "BVH":
        face = "Face" if rig == "smplx" else "Mask"
        ends = {name.rpartition(" ")[2]: v for name, v in read.shapes.items() if name.startswith(face)}
        assert len(ends) == 52
        for name, values in truth.shapes.items():
            if name.startswith(f"{face} "):
                assert np.abs(ends[name.removeprefix(f"{face} ")] - values).max() < 1e-3, name


@pytest.mark.parametrize("rig", list(RIGS))
@pytest.mark.parametrize("root", ["HIPS", "ROOT"])
def test_bvh_reads_as_what_was_seen(root: str, rig: str, scene: Any, module: Module, tmp_path: Path) -> None:
    """By Assimp and by the engine's own reader, which reads captures of others; the face lies beside."""
    armature = stage(module, rig)
    truth = seen(armature, FIRST, COUNT)
    scene.frame_set(3)
    assert bpy.ops.kinesics.export(preset="BVH", root=root, filepath=str(tmp_path / "Walk")) == {"FINISHED"}
    motion = module("engine.motion.bvh").parse_bvh((tmp_path / "Walk.bvh").read_text())
    assert motion.fps == pytest.approx(FPS, abs=1e-3) and motion.num_frames == COUNT
    joints = [joint.name for joint in motion.joints if not joint.name.endswith("_end")]
    extra = {armature.name} if root == "ROOT" and rig == "smplx" else set()
    assert set(joints) == set(truth.names) | extra
    turns, places = motion.global_pose()
    order = [motion.index(name) for name in truth.names]
    to_z = independent_readers.Y_TO_Z
    unmoved = [i for i, name in enumerate(truth.names) if root == "HIPS" or name != "root"]
    places = (places[:, order] / 100.0 @ to_z.T)[:, unmoved]
    assert np.linalg.norm(places - truth.places[:, unmoved], axis=-1).max() < NEAR_M
    turns = (to_z @ turns[:, order].astype(np.float64) @ to_z.T)[:, unmoved]
    assert worst_angle(turns, truth.turns[:, unmoved]) < NEAR_DEG
    face = module("engine.motion.arkit_csv").read_arkit_csv(tmp_path / "Walk_face.csv")
    mesh = "Face" if rig == "smplx" else "Mask"
    for column, name in enumerate(face.expression_names):
        assert np.abs(face.expressions[:, column] - truth.shapes[f"{mesh} {name}"]).max() < 1e-4
    needs(".bvh")
    read = independent_readers.read(tmp_path / "Walk.bvh", READING_PYTHON)
    names = read["names"].tolist()
    order = [names.index(name) for name in truth.names]
    assert np.allclose(read["times"], np.arange(COUNT) / FPS, atol=1e-4)
    away = np.linalg.norm(read["places"][:, order][:, unmoved] - truth.places[:, unmoved], axis=-1)
    assert away.max() < NEAR_M
    assert worst_angle(read["turns"][:, order][:, unmoved], truth.turns[:, unmoved]) < NEAR_DEG


@pytest.mark.parametrize("preset", ["AMASS", "BEAT2"])
def test_smplx_files_are_what_was_seen(preset: str, scene: Any, module: Module, tmp_path: Path) -> None:
    """By numpy alone, with the skeleton's joints and a forward pass of this test's own."""
    armature = stage(module, "smplx")
    scene.render.fps = 30
    truth = seen(armature, FIRST, COUNT)
    scene.frame_set(3)
    path = tmp_path / "walk.npz"
    assert bpy.ops.kinesics.export(preset=preset, filepath=str(path)) == {"FINISHED"}
    skeleton, io = module("engine.motion.skeleton"), module("engine.motion.clip_io")
    with np.load(path, allow_pickle=False) as raw:
        table = {name: raw[name] for name in raw.files}
    wanted = {"poses", "trans", "betas", "gender", "mocap_frame_rate"}
    wanted |= (
        {"expressions", "model"} if preset == "BEAT2" else {"surface_model_type", "root_orient", "pose_body"}
    )
    assert wanted <= table.keys() and float(table["mocap_frame_rate"]) == 30.0
    assert table["poses"].shape == (COUNT, 165)
    if preset == "BEAT2":
        assert table["expressions"].shape == (COUNT, 100) and str(table["model"]) == "smplx2020"
        assert table["betas"].shape == (300,)
    vectors = table["poses"].reshape(COUNT, 55, 3).astype(np.float64)
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    axis = vectors / np.maximum(angle[..., 0], 1e-12)
    cross = np.zeros((COUNT, 55, 3, 3))
    cross[..., 0, 1], cross[..., 0, 2], cross[..., 1, 2] = -axis[..., 2], axis[..., 1], -axis[..., 0]
    cross -= np.swapaxes(cross, -1, -2)
    local = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    rest = skeleton.DEFAULT_SKELETON.rest_joints.astype(np.float64)
    turns, places = local.copy(), np.zeros((COUNT, 55, 3))
    places[:, 0] = table["trans"] + np.array(io.SMPLX_PELVIS_REST)
    for joint, parent in enumerate(skeleton.PARENTS):
        if joint:
            turns[:, joint] = turns[:, parent] @ local[:, joint]
            places[:, joint] = places[:, parent] + turns[:, parent] @ (rest[joint] - rest[parent])
    to_z = independent_readers.Y_TO_Z if preset == "BEAT2" else np.eye(3)
    order = [truth.names.index(name) for name in skeleton.JOINT_NAMES]
    assert np.linalg.norm(places @ to_z.T - truth.places[:, order], axis=-1).max() < NEAR_M
    assert worst_angle(to_z @ turns, truth.turns[:, order]) < NEAR_DEG
    clip = io.load_npz(path)
    assert clip.basis == "arkit", "our reader finds the face that others pass over"
    for column, name in enumerate(clip.expression_names):
        assert np.abs(clip.expressions[:, column] - truth.shapes[f"Face {name}"]).max() < 1e-3
    truth_before = truth.places
    armature.animation_data_clear()
    scene.frame_set(FIRST)
    assert bpy.ops.kinesics.import_clip(filepath=str(path)) == {"FINISHED"}
    assert np.abs(seen(armature, FIRST, COUNT).places - truth_before).max() < NEAR_M


def test_control_rigs_leave_their_helpers_out(scene: Any, module: Module, tmp_path: Path) -> None:
    needs(".glb")
    armature = stage(module, "mannequin")
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    armature.data.edit_bones.new("helper").tail = (0.0, 0.0, 1.0)
    bpy.ops.object.mode_set(mode="OBJECT")
    armature.data.bones["helper"].use_deform = False
    for preset in ("UNREAL", "GLTF", "USD"):
        file = export(preset, "HIPS", tmp_path / preset)
        if independent_readers.available(file.suffix, READING_PYTHON):
            names = independent_readers.read(file, READING_PYTHON)["names"].tolist()
            assert "helper" not in names and "pelvis" in names, preset


@pytest.mark.parametrize("preset", ["UNREAL", "GLTF", "USD"])
def test_constraints_nla_and_other_rates_are_exported_as_seen(
    preset: str, scene: Any, module: Module, tmp_path: Path
) -> None:
    """The take as an NLA strip, a hand that follows something, and 24000/1001 frames per second."""
    needs(PRESETS[preset])
    armature = stage(module, "smplx")
    scene.render.fps, scene.render.fps_base = 24, 1.001
    target = bpy.data.objects.new("Target", None)
    scene.collection.objects.link(target)
    armature.pose.bones["left_wrist"].constraints.new("COPY_ROTATION").target = target
    module("operators.bridge.takes").push_down(armature, "Take")
    scene.frame_start, scene.frame_end = FIRST, FIRST + COUNT - 1
    truth = seen(armature, FIRST, COUNT)
    read = independent_readers.read(export(preset, "HIPS", tmp_path / "Walk"), READING_PYTHON)
    names = read["names"].tolist()
    order = [names.index(name) for name in truth.names]
    assert np.linalg.norm(read["places"][:, order] - truth.places, axis=-1).max() < NEAR_M
    assert worst_angle(read["turns"][:, order], truth.turns) < NEAR_DEG
    assert np.allclose(read["times"], np.arange(COUNT) * 1.001 / 24, atol=1e-4)


def test_what_cannot_be_written_is_said(scene: Any, module: Module, tmp_path: Path) -> None:
    stage(module, "smplx")
    before = fingerprint()
    for preset in module("operators.export").PRESETS:
        sentence = refusal(
            lambda preset=preset: bpy.ops.kinesics.export(preset=preset, filepath=str(tmp_path / "no" / "x"))
        )
        assert "does not exist: choose" in sentence
    for preset in ("UNREAL", "GLTF", "USD", "BVH", "AMASS"):
        (tmp_path / preset).mkdir()
        suffix = module("operators.export").PRESETS[preset].suffix
        (tmp_path / preset / f"x{suffix}").mkdir()
        refusal(
            lambda preset=preset: bpy.ops.kinesics.export(
                preset=preset, filepath=str(tmp_path / preset / "x")
            )
        )
    assert fingerprint() == before


@pytest.mark.parametrize("preset", ["UNREAL", "GLTF", "USD", "BVH", "KINESICS"])
def test_a_full_disk_leaves_the_earlier_file(
    preset: str, scene: Any, module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage(module, "smplx")
    suffix = module("operators.export").PRESETS[preset].suffix
    path = tmp_path / f"earlier{suffix}"
    path.write_bytes(b"what was there")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail)
        reason = refusal(lambda: bpy.ops.kinesics.export(preset=preset, filepath=str(path)))
    assert "disk is full: make room" in reason
    assert path.read_bytes() == b"what was there"
    assert list(tmp_path.iterdir()) == [path]
    assert bpy.ops.kinesics.export(preset=preset, filepath=str(path)) == {"FINISHED"}
    assert path.stat().st_size > 100


def test_the_ending_follows_the_preset(module: Module) -> None:
    operator = module("operators.export").KINESICS_OT_export

    class Chosen:
        preset, filepath = "GLTF", "/tmp/Walk.fbx"

    assert operator.with_suffix(Chosen()) == "/tmp/Walk.glb"
    Chosen.preset, Chosen.filepath = "BVH", "/tmp/Walk"
    assert operator.with_suffix(Chosen()) == "/tmp/Walk.bvh"
