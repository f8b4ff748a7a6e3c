# SPDX-License-Identifier: GPL-3.0-or-later
"""Reduce Keys in real Blender: fewer keys, every frame within what was stated, and the way back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.blender.support import all_properties, bpy, keys_of, make_clip, refusal


@pytest.fixture
def moving(character: Any, module: Any) -> Any:
    """A character with four seconds of one key per frame."""
    parts = tuple(module("engine.specs").Part)
    module("operators.delivery").deliver(make_clip(120), character, parts, 11, "Line 1")
    return character


def face_keys() -> Any:
    return bpy.data.objects["Face"].data.shape_keys


def num_keys(armature: Any) -> int:
    return sum(len(keys) for item in (armature, face_keys()) for keys in keys_of(item).values())


def seen(armature: Any, module: Any) -> Any:
    rig = module("operators.bridge.armature").read_rig(armature)
    return module("operators.bridge.sampling").current_clip(armature, rig, bpy.context.scene, 11, 120, 30.0)


def test_every_frame_stays_within_what_is_stated(moving: Any, module: Any) -> None:
    rotations = module("engine.motion.rotations")
    before, keys = seen(moving, module), num_keys(moving)
    assert bpy.ops.kinesics.reduce_keys(degrees=0.4, mm=0.8, share=0.01) == {"FINISHED"}
    after = seen(moving, module)
    matrices = [rotations.axis_angle_to_matrix(clip.poses.astype(np.float64)) for clip in (before, after)]
    angle = np.degrees(rotations.geodesic_angle(*matrices)).max()
    place = np.linalg.norm(after.trans - before.trans, axis=1).max() * 1000
    face = np.abs(after.expressions - before.expressions).max()
    assert 0.05 < angle <= 0.4 + 0.02 and 0.05 < place <= 0.8 + 0.01 and 0.001 < face <= 0.01 + 1e-5
    assert num_keys(moving) < 0.35 * keys
    find = module("operators.bridge.action").find_fcurve
    curve = find(moving, 'pose.bones["left_knee"].rotation_quaternion')
    assert {key.interpolation for key in curve.keyframe_points} == {"BEZIER"}
    values = [curve.evaluate(frame) for frame in range(11, 131)]
    curve.update()
    assert [curve.evaluate(frame) for frame in range(11, 131)] == pytest.approx(values, abs=1e-6)


def test_the_way_back_is_exact(moving: Any) -> None:
    before = [all_properties(item, 1e6, 1e6) for item in (moving, face_keys())]
    assert bpy.ops.kinesics.reduce_keys() == {"FINISHED"}
    takes = moving.kinesics_takes
    assert [take.name for take in takes.items] == ["Line 1", "Line 1 Reduced"] and takes.index == 1
    assert takes.items[1].measured and (takes.items[1].frame_start, takes.items[1].frame_end) == (11, 130)
    reduced = num_keys(moving)
    takes.index = 0
    assert [all_properties(item, 1e6, 1e6) for item in (moving, face_keys())] == before
    takes.index = 1
    assert num_keys(moving) == reduced
    assert not [action.name for action in bpy.data.actions if action.users == 0]


def test_hand_keys_and_what_cannot_be_reduced_stay(moving: Any, module: Any) -> None:
    find = module("operators.bridge.action").find_fcurve
    knee = find(moving, 'pose.bones["left_knee"].rotation_quaternion', 2)
    knee.modifiers.new("NOISE")
    moving.location = (1.0, 2.0, 3.0)
    moving.keyframe_insert("location", frame=40)
    bone = moving.pose.bones["jaw"]
    before = keys_of(moving)
    assert bpy.ops.kinesics.reduce_keys() == {"FINISHED"}
    after = keys_of(moving)
    for path in ('pose.bones["left_knee"].rotation_quaternion', "location"):
        assert before[path, 1].tobytes() == after[path, 1].tobytes()
    assert len(after[f'pose.bones["{bone.name}"].rotation_quaternion', 0]) < 60
    count = num_keys(moving)
    assert bpy.ops.kinesics.reduce_keys(degrees=0.01, mm=0.01, share=0.0005) == {"FINISHED"}
    assert num_keys(moving) <= count, "keys are never added"


def test_locked_parts_keep_their_keys(moving: Any, module: Any) -> None:
    skeleton, part = module("engine.motion.skeleton"), module("engine.specs").Part
    moving.kinesics_locks.lower = moving.kinesics_locks.face = True
    locked = {skeleton.JOINT_NAMES[j] for one in (part.LOWER, part.FACE) for j in skeleton.PART_JOINTS[one]}
    before, face = all_properties(moving, 1e6, 1e6), all_properties(face_keys(), 1e6, 1e6)
    assert bpy.ops.kinesics.reduce_keys() == {"FINISHED"}
    after = all_properties(moving, 1e6, 1e6)
    assert all_properties(face_keys(), 1e6, 1e6) == face
    kept = {path.split('"')[1] for path, index in before if before[path, index] == after[path, index]}
    assert locked <= kept and not {"left_elbow", "spine2"} & kept
    moving.kinesics_locks.upper = moving.kinesics_locks.hands = True
    told = refusal(bpy.ops.kinesics.reduce_keys)
    assert "locked" in told and len(moving.kinesics_takes.items) == 2


def test_without_an_action_it_says_what_to_do(character: Any) -> None:
    with pytest.raises(RuntimeError, match="press Generate first"):
        bpy.ops.kinesics.reduce_keys()
