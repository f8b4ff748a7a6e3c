# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys: one action, slots, ranges that leave the rest alone, in every Blender version."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from tests.blender.support import add_face, all_properties, bpy, keys_of, make_clip


@pytest.fixture
def parts(module: Any) -> Any:
    return module("engine.specs").Part


def test_one_action_holds_body_and_face(character: Any, module: Any, parts: Any) -> None:
    done = module("operators.delivery").deliver(make_clip(5), character, tuple(parts), 1, "Line 1")
    keys = bpy.data.objects["Face"].data.shape_keys
    assert done.num_face_channels == 52 and done.action_name == "Line 1"
    assert len(keys_of(character)) == 55 * 4 + 3 and len(keys_of(keys)) == 52
    assert character.animation_data.action.name == "Line 1"
    if hasattr(character.animation_data.action, "slots"):
        assert [action.name for action in bpy.data.actions] == ["Line 1"]
        assert keys.animation_data.action == character.animation_data.action
        assert keys.animation_data.action_slot.target_id_type == "KEY"
    else:
        assert sorted(action.name for action in bpy.data.actions) == ["Line 1", "Line 1 Face"]


def test_keys_animate(character: Any, scene: Any, module: Any, parts: Any) -> None:
    """Blender shows what was written, in the body and in the face, without reloading anything."""
    deliver, bridge = module("operators.delivery").deliver, module("operators.bridge.armature")
    rig = bridge.read_rig(character)
    for seed in (1, 2):
        clip = make_clip(8, seed=seed)
        deliver(clip, character, tuple(parts), 10, "Line 1")
        for row in (0, 5, 7):
            scene.frame_set(10 + row)
            depsgraph = bpy.context.evaluated_depsgraph_get()
            now = bridge.bones_to_clip(bridge.evaluated_pose(character, rig, depsgraph), rig, 30.0)
            assert np.abs(now.poses[0] - clip.poses[row]).max() < 1e-4
            blocks = bpy.data.objects["Face"].evaluated_get(depsgraph).data.shape_keys.key_blocks
            assert blocks["jawOpen"].value == pytest.approx(
                clip.expressions[row, clip.expression_names.index("jawOpen")], abs=1e-5
            )


def test_writing_again_piles_up_no_actions(character: Any, module: Any, parts: Any) -> None:
    deliver = module("operators.delivery").deliver
    for turn in range(4):
        deliver(make_clip(6, seed=turn), character, tuple(parts), 1 + 10 * turn, f"Line {turn}")
    assert len(bpy.data.actions) == (1 if "slots" in bpy.types.Action.bl_rna.properties else 2)
    assert all(len(points) == 24 for points in keys_of(character).values())


def test_keys_outside_the_range_stay_bit_identical(character: Any, module: Any, parts: Any) -> None:
    deliver = module("operators.delivery").deliver
    deliver(make_clip(40), character, tuple(parts), 1, "Line 1")
    for fcurve in module("operators.bridge.action").fcurves_of(character)[:30]:
        fcurve.keyframe_points[3].interpolation = "BEZIER"
        fcurve.keyframe_points[4].handle_left_type = "FREE"
        fcurve.keyframe_points[35].easing = "EASE_OUT"
    face = bpy.data.objects["Face"].data.shape_keys
    before = [all_properties(item, 11, 20) for item in (character, face)]
    deliver(make_clip(10, seed=9), character, tuple(parts), 11, "Line 2")
    after = [all_properties(item, 11, 20) for item in (character, face)]
    assert before == after
    assert all(len(points) == 40 for points in keys_of(character).values())


def test_other_number_of_keys_in_the_range(character: Any, module: Any, parts: Any) -> None:
    """Hand-made keys between frames go, those outside stay, and the order is right."""
    bone = character.pose.bones["head"]
    bone.rotation_mode = "QUATERNION"
    for frame in (-10, 0, 2.5, 3.25, 9, 30):
        bone.rotation_quaternion = (1, 0.01 * frame, 0, 0)
        bone.keyframe_insert("rotation_quaternion", frame=frame)
    module("operators.delivery").deliver(make_clip(8), character, (parts.UPPER,), 2, "Line 1")
    frames = keys_of(character)['pose.bones["head"].rotation_quaternion', 1][:, 0].tolist()
    assert frames == [-10, 0, 2, 3, 4, 5, 6, 7, 8, 9, 30]


def test_only_the_chosen_parts_are_written(character: Any, module: Any, parts: Any) -> None:
    deliver = module("operators.delivery").deliver
    deliver(make_clip(20), character, tuple(parts), 1, "Line 1")
    before, face = keys_of(character), keys_of(bpy.data.objects["Face"].data.shape_keys)
    deliver(make_clip(20, seed=5), character, (parts.LOWER,), 1, "Line 1")
    after = keys_of(character)
    joints = module("engine.motion.skeleton")
    lower = {joints.JOINT_NAMES[joint] for joint in joints.PART_JOINTS[parts.LOWER]}
    changed = {
        path.split('"')[1]
        for (path, index) in before
        if not np.array_equal(before[path, index], after[path, index])
    }
    assert changed == lower
    now = keys_of(bpy.data.objects["Face"].data.shape_keys)
    assert all(np.array_equal(face[path], now[path]) for path in face)


def test_quaternions_never_flip(character: Any, module: Any, parts: Any) -> None:
    clip = make_clip(200, speed=9.0, seed=4)
    turning = clip.poses.copy()
    turning[:, 0] = 0
    turning[:, 0, 1] = (np.linspace(0, 12, 200) + np.pi) % (2 * np.pi) - np.pi
    from dataclasses import replace

    deliver = module("operators.delivery").deliver
    deliver(replace(clip, poses=turning), character, tuple(parts), 1, "Line 1")
    deliver(replace(clip, poses=turning).slice(50, 120), character, tuple(parts), 51, "Line 1")
    points = keys_of(character)
    for name in ("pelvis", "left_wrist"):
        path = f'pose.bones["{name}"].rotation_quaternion'
        quaternions = np.stack([points[path, index][:, 1] for index in range(4)], axis=1)[:120]
        assert (np.sum(quaternions[1:] * quaternions[:-1], axis=1) > 0).all()


def test_keys_are_linear_and_grouped_by_bone(character: Any, module: Any, parts: Any) -> None:
    module("operators.delivery").deliver(make_clip(5), character, tuple(parts), 1, "Line 1")
    for fcurve in module("operators.bridge.action").fcurves_of(character):
        assert all(key.interpolation == "LINEAR" for key in fcurve.keyframe_points)
        assert fcurve.group.name == fcurve.data_path.split('"')[1]


def test_two_characters_share_nothing(scene: Any, module: Any, parts: Any) -> None:
    deliver, build = module("operators.delivery").deliver, module("operators.bridge.armature").build_armature
    one, two = build("One"), build("Two")
    add_face(one, "Face One")
    add_face(two, "Face Two")
    deliver(make_clip(5, seed=1), one, tuple(parts), 1, "Line")
    before = keys_of(one)
    deliver(make_clip(5, seed=2), two, tuple(parts), 1, "Line")
    assert one.animation_data.action != two.animation_data.action
    assert all(np.array_equal(before[path], keys_of(one)[path]) for path in before)


def test_an_action_two_characters_follow_is_copied_first(scene: Any, module: Any, parts: Any) -> None:
    deliver, build = module("operators.delivery").deliver, module("operators.bridge.armature").build_armature
    one, two = build("One"), build("Two")
    deliver(make_clip(5, seed=1), one, tuple(parts), 1, "Line")
    two.animation_data_create().action = one.animation_data.action
    if hasattr(two.animation_data, "action_slot"):
        two.animation_data.action_slot = one.animation_data.action_slot
    before = keys_of(one)
    deliver(make_clip(5, seed=2), two, tuple(parts), 1, "Line")
    assert one.animation_data.action != two.animation_data.action
    assert all(np.array_equal(before[path], keys_of(one)[path]) for path in before)


def test_the_object_stays_where_it_is(character: Any, scene: Any, module: Any, parts: Any) -> None:
    character.location = (1, 2, 3)
    module("operators.delivery").deliver(make_clip(5), character, tuple(parts), 1, "Line 1")
    scene.frame_set(4)
    assert tuple(character.location) == (1, 2, 3)
    assert not [path for path, _ in keys_of(character) if not path.startswith("pose.bones")]


@pytest.mark.parametrize(
    "name", ["jawOpen", "JawOpen", "jaw_open", "JAWOPEN", "mouthSmile_L", "mouth_smile.r", "eyeBlinkLeft"]
)
def test_face_channels_match_by_name_in_any_case(armature: Any, module: Any, parts: Any, name: str) -> None:
    face = add_face(armature, keys=(name, "something else"))
    done = module("operators.delivery").deliver(make_clip(3), armature, tuple(parts), 1, "Line")
    assert done.num_face_channels == 1
    assert list(keys_of(face.data.shape_keys)) == [(f'key_blocks["{name}"].value', 0)]


def test_every_face_mesh_of_the_character_is_keyed(character: Any, module: Any, parts: Any) -> None:
    add_face(character, "Teeth", keys=("jawOpen", "mouthClose"))
    parented = add_face(character, "Brows", keys=("browInnerUp",))
    parented.modifiers.clear()
    parented.parent = character
    module("operators.delivery").deliver(make_clip(3), character, tuple(parts), 1, "Line")
    counts = {
        name: len(keys_of(bpy.data.objects[name].data.shape_keys)) for name in ("Face", "Teeth", "Brows")
    }
    assert counts == {"Face": 52, "Teeth": 2, "Brows": 1}


def test_sliders_reach_the_values(armature: Any, module: Any, parts: Any) -> None:
    clips = module("engine.motion.clip")
    clip = clips.Clip.rest(4, 30.0)
    from dataclasses import replace

    values = np.float32([[0.0, -2.5], [1.0, 0.0], [3.2, 1.0], [0.5, 1.0]])
    names = ("expression_0", "expression_1")
    clip = replace(clip, expressions=values, expression_names=names, basis="smplx")
    face = add_face(armature, keys=("Exp000", "Exp001"))
    module("operators.delivery").deliver(clip, armature, tuple(parts), 1, "Line")
    blocks = face.data.shape_keys.key_blocks
    assert blocks["Exp000"].slider_max >= 3.2 and blocks["Exp001"].slider_min <= -2.5
    bpy.context.scene.frame_set(3)
    assert blocks["Exp000"].value == pytest.approx(3.2, abs=1e-5)


def test_a_minute_is_written_quickly(character: Any, module: Any, parts: Any) -> None:
    """Processor time, since other work on the machine must not decide; see benchmarks/keyframes.py."""
    clip = make_clip(1800)
    start = time.thread_time()
    module("operators.delivery").deliver(clip, character, tuple(parts), 1, "Line")
    assert time.thread_time() - start < 1.0
