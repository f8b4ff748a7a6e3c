# SPDX-License-Identifier: GPL-3.0-or-later
"""Joints and pose bones: both ways, through any rest pose, roll, scale and hierarchy that SMPL-X rigs
have."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from mathutils import Matrix, Vector

from tests.blender.support import bpy, make_clip

TOLERANCE_DEG = 0.01


def angle_error(first: Any, second: Any, module: Any) -> float:
    """Largest joint angle between two clips, degrees."""
    rotations = module("engine.motion.rotations")
    a, b = (rotations.axis_angle_to_matrix(clip.poses.astype(np.float64)) for clip in (first, second))
    return float(np.degrees(rotations.geodesic_angle(a, b)).max())


def pose(armature: Any, rig: Any, poses: Any, frame: int = 0) -> None:
    """Put one frame on the pose bones."""
    for joint, name in enumerate(rig.bone_names):
        bone = armature.pose.bones[name]
        bone.rotation_mode = "QUATERNION"
        bone.rotation_quaternion = poses.quaternions[frame, joint]
    armature.pose.bones[rig.bone_names[0]].location = poses.pelvis_locations[frame]
    bpy.context.view_layer.update()


def round_trip(armature: Any, clip: Any, module: Any) -> float:
    """Write one frame, read it as Blender evaluates it, compare; degrees."""
    bridge = module("operators.bridge.armature")
    rig = bridge.read_rig(armature)
    pose(armature, rig, bridge.clip_to_bones(clip, rig))
    read = bridge.bones_to_clip(
        bridge.evaluated_pose(armature, rig, bpy.context.evaluated_depsgraph_get()), rig, clip.fps
    )
    first = clip.slice(0, 1)
    assert np.abs(first.pelvis_positions - read.pelvis_positions).max() < 1e-5
    return angle_error(first, read, module)


def edit_bones(armature: Any, change: Any) -> None:
    """Change the rest pose in edit mode."""
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    change(armature.data.edit_bones)
    bpy.ops.object.mode_set(mode="OBJECT")


def turned_upright(armature: Any) -> None:
    """Turn the rest pose to Y up, as the public SMPL-X add-on's armature has it."""
    edit_bones(
        armature, lambda bones: [bone.transform(Matrix.Rotation(-math.pi / 2, 4, "X")) for bone in bones]
    )


@pytest.fixture
def clip(scene: Any) -> Any:
    return make_clip(4, seed=3)


def test_built_armature_stands_and_faces_front(armature: Any, module: Any) -> None:
    skeleton = module("engine.motion.skeleton")
    bones = armature.data.bones
    names = skeleton.JOINT_NAMES
    assert sorted(bone.name for bone in bones) == sorted(names)
    parents = [bones[name].parent for name in names]
    assert [names.index(bone.name) if bone else -1 for bone in parents] == list(skeleton.PARENTS)
    assert bones["left_wrist"].head_local.x > 0 > bones["right_wrist"].head_local.x
    assert bones["left_foot"].head_local.y < bones["left_ankle"].head_local.y
    toes = min(bones["left_foot"].head_local.z, bones["right_foot"].head_local.z)
    assert toes == pytest.approx(skeleton.SOLE_THICKNESS, abs=1e-5)
    assert all(bone.length > 0.005 for bone in bones)


def test_positive_x_bends_knees_back_elbows_forward_and_fingers_in(armature: Any) -> None:
    def moved(bone: str, child: str) -> Vector:
        before = armature.pose.bones[child].head.copy()
        armature.pose.bones[bone].rotation_quaternion = (math.cos(0.2), math.sin(0.2), 0.0, 0.0)
        bpy.context.view_layer.update()
        return armature.pose.bones[child].head - before

    for side in ("left", "right"):
        assert moved(f"{side}_knee", f"{side}_ankle").y > 0.05
        assert moved(f"{side}_elbow", f"{side}_wrist").y < -0.05
        assert moved(f"{side}_index1", f"{side}_index2").z < -0.005


def test_joints_land_where_the_engine_puts_them(armature: Any, clip: Any, module: Any) -> None:
    bridge, kinematics = module("operators.bridge.armature"), module("engine.motion.kinematics")
    rig = bridge.read_rig(armature)
    pose(armature, rig, bridge.clip_to_bones(clip, rig), frame=2)
    wanted = kinematics.clip_joint_positions(clip)[2] @ bridge.ENGINE_TO_BLENDER.T
    found = np.array([armature.pose.bones[name].head for name in rig.bone_names])
    assert np.abs(found - wanted).max() < 1e-5


def test_round_trip(armature: Any, clip: Any, module: Any) -> None:
    assert round_trip(armature, clip, module) < TOLERANCE_DEG


def test_round_trip_through_random_rolls(armature: Any, clip: Any, module: Any) -> None:
    rng = np.random.default_rng(1)
    edit_bones(armature, lambda bones: [setattr(bone, "roll", rng.uniform(-3, 3)) for bone in bones])
    assert round_trip(armature, clip, module) < TOLERANCE_DEG


def test_round_trip_with_bones_that_all_point_up(armature: Any, clip: Any, module: Any) -> None:
    """Bone directions carry no meaning in SMPL-X; some rigs give every bone the same one."""

    def raise_tails(bones: Any) -> None:
        for bone in bones:
            bone.tail = bone.head + Vector((0.0, 0.0, 0.05))

    edit_bones(armature, raise_tails)
    assert round_trip(armature, clip, module) < TOLERANCE_DEG


def test_round_trip_in_a_y_up_armature_with_root_bone(armature: Any, clip: Any, module: Any) -> None:
    """As the public SMPL-X add-on makes them: Y up inside a turned object, `root` above the pelvis."""
    turned_upright(armature)

    def add_root(bones: Any) -> None:
        root = bones.new("root")
        root.head, root.tail = (0.0, 0.0, 0.0), (0.0, 0.1, 0.0)
        bones["pelvis"].parent = root

    edit_bones(armature, add_root)
    armature.rotation_euler.x = math.pi / 2
    rig = module("operators.bridge.armature").read_rig(armature)
    assert np.allclose(rig.axes, np.eye(3))
    assert round_trip(armature, clip, module) < TOLERANCE_DEG


def test_other_eye_names_are_recognised(armature: Any, module: Any) -> None:
    for side in ("left", "right"):
        armature.data.bones[f"{side}_eye_smplhf"].name = f"{side}_eye"
    assert "left_eye" in module("operators.bridge.armature").read_rig(armature).bone_names


def test_object_transform_does_not_matter_and_stays(armature: Any, clip: Any, module: Any) -> None:
    armature.location, armature.rotation_euler, armature.scale = (4, 5, 6), (0.3, 0.2, 0.1), (2, 2, 2)
    assert round_trip(armature, clip, module) < TOLERANCE_DEG
    assert tuple(armature.location) == (4, 5, 6)


def test_root_motion_scales_with_the_legs(scene: Any, clip: Any, module: Any) -> None:
    bridge, skeletons = module("operators.bridge.armature"), module("engine.motion.skeleton")
    half = skeletons.Skeleton(skeletons.DEFAULT_SKELETON.rest_joints * 0.5)
    small = bridge.build_armature("Small", half)
    rig = bridge.read_rig(small)
    assert rig.scale == pytest.approx(0.5, abs=1e-5)
    moved = replace(clip, trans=clip.trans + np.float32([1.0, 0.0, 2.0]))
    step = (
        bridge.clip_to_bones(moved, rig).pelvis_locations - bridge.clip_to_bones(clip, rig).pelvis_locations
    )
    assert np.allclose(np.linalg.norm(step, axis=1), 0.5 * math.sqrt(5.0), atol=1e-5)
    assert round_trip(small, clip, module) < TOLERANCE_DEG


def test_standing_clip_is_the_rest_pose(armature: Any, module: Any) -> None:
    bridge, clips = module("operators.bridge.armature"), module("engine.motion.clip")
    poses = bridge.clip_to_bones(clips.Clip.rest(2, 30.0), bridge.read_rig(armature))
    assert np.abs(poses.pelvis_locations).max() < 1e-6
    assert np.allclose(poses.quaternions, (1, 0, 0, 0))


def test_missing_bones_are_named(armature: Any, module: Any) -> None:
    errors = module("operators.errors")
    edit_bones(armature, lambda bones: [bones.remove(bones[f"left_{limb}"]) for limb in ("knee", "ankle")])
    with pytest.raises(errors.CharacterError, match="lacks the bones left_knee, left_ankle: add"):
        module("operators.bridge.armature").read_rig(armature)


def test_missing_fingers_and_another_hierarchy_are_mapped(armature: Any, module: Any) -> None:
    def change(bones: Any) -> None:
        bones["neck"].parent = bones["spine1"]
        for phalanx in (2, 3):
            bones.remove(bones[f"left_ring{phalanx}"])

    edit_bones(armature, change)
    rig = module("operators.bridge.armature").read_rig(armature)
    names = rig.bone_names
    assert rig.mapping.kind == "smpl" and "left_ring1" in names and "left_ring2" not in names
    assert names[rig.parents[names.index("neck")]] == "spine1"


def test_animation_reads_back_at_another_rate(character: Any, scene: Any, module: Any) -> None:
    """Keys at 24 fps read at 30: frames between keys are interpolated, so the error is small but not zero."""
    scene.render.fps = 24
    specs = module("engine.specs")
    clip = make_clip(49, fps=24.0, speed=1.0)
    module("operators.delivery").deliver(clip, character, tuple(specs.Part), 7, "Take")
    rig = module("operators.bridge.armature").read_rig(character)
    read = module("operators.bridge.sampling").current_clip(character, rig, scene, 7, 61, 30.0)
    assert angle_error(clip.resample(30.0), read, module) < 0.2
    assert np.abs(clip.resample(30.0).expressions - read.expressions).max() < 1e-3


@pytest.mark.parametrize("way", ["fcurves", "stepping"])
def test_reading_whole_frames_is_exact_both_ways(character: Any, scene: Any, module: Any, way: str) -> None:
    specs, clip = module("engine.specs"), make_clip(12)
    module("operators.delivery").deliver(clip, character, tuple(specs.Part), 5, "Take")
    if way == "stepping":
        constraint = character.pose.bones["head"].constraints.new("LIMIT_SCALE")
        constraint.use_max_x = constraint.use_min_x = False
    scene.frame_set(3)
    rig = module("operators.bridge.armature").read_rig(character)
    read = module("operators.bridge.sampling").current_clip(character, rig, scene, 5, 12, 30.0)
    assert angle_error(clip, read, module) < TOLERANCE_DEG
    assert np.abs(clip.trans - read.trans).max() < 1e-5
    assert scene.frame_current == 3


def test_reading_follows_euler_bones(armature: Any, scene: Any, module: Any) -> None:
    bone = armature.pose.bones["left_elbow"]
    bone.rotation_mode = "ZXY"
    for frame, angle in ((1, 0.0), (11, 1.0)):
        bone.rotation_euler = (angle, 0.2, 0.3 * angle)
        bone.keyframe_insert("rotation_euler", frame=frame)
    bridge = module("operators.bridge.armature")
    rig = bridge.read_rig(armature)
    read = module("operators.bridge.sampling").current_clip(armature, rig, scene, 1, 11, 30.0)
    for frame in (1, 6, 11):
        scene.frame_set(frame)
        now = bridge.evaluated_pose(armature, rig, bpy.context.evaluated_depsgraph_get())
        one = read.slice(frame - 1, frame)
        assert angle_error(one, bridge.bones_to_clip(now, rig, 30.0), module) < TOLERANCE_DEG
