# SPDX-License-Identifier: GPL-3.0-or-later
"""Regenerate in real Blender, with a stand-in for the engine: what changes, what stays, how it joins."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.blender.support import (
    ESC,
    TIMER,
    Modal,
    add_strip,
    all_properties,
    bpy,
    fingerprint,
    keys_of,
    make_clip,
    needs_audaspace,
    refusal,
    write_sound,
)

FIRST, LAST = 51, 110
SHOWN_ERROR = 5e-5
"""Blender mixes strips and actions in single precision."""
PARTS = ("face", "hands", "upper", "lower")
HAS_SLOTS = "slots" in bpy.types.Action.bl_rna.properties


@pytest.fixture
def ready(scene: Any, character: Any, engine: Any, module: Callable[[str], Any], tmp_path: Any) -> Any:
    """A character with six seconds of motion, speech as long, and a preview range in the middle."""
    sound = write_sound(tmp_path / "line.wav", 6.0)
    settings = scene.kinesics
    settings.audio_source, settings.audio_path, settings.frame_start = "FILE", str(sound), 1
    module("operators.delivery").deliver(make_clip(180), character, tuple(parts_of(module)), 1, "Line 1")
    settings.seed = 7
    preview(FIRST, LAST)
    scene.frame_set(1)
    return settings


def parts_of(module: Callable[[str], Any]) -> Any:
    return module("engine.specs").Part


def preview(first: int, last: int) -> None:
    scene = bpy.context.scene
    scene.use_preview_range = True
    scene.frame_preview_start, scene.frame_preview_end = first, last


def choose(settings: Any, *parts: str) -> None:
    for part in PARTS:
        getattr(settings, part).redo = part in parts


def regenerate() -> None:
    assert bpy.ops.kinesics.regenerate() == {"FINISHED"}


def face_keys() -> Any:
    return bpy.data.objects["Face"].data.shape_keys


def bones_of(module: Callable[[str], Any], *parts: str) -> set[str]:
    skeleton, part = module("engine.motion.skeleton"), parts_of(module)
    return {skeleton.JOINT_NAMES[j] for name in parts for j in skeleton.PART_JOINTS[part(name)]}


def everything(low: float = 1e6, high: float = 1e6) -> list[Any]:
    """Every property of every key outside a stretch, of the body and the face."""
    return [all_properties(item, low, high) for item in (bpy.data.objects["Ada"], face_keys())]


def counts() -> dict[str, int]:
    """How many of everything the file has, and NLA tracks."""
    kinds = [n for n in dir(bpy.data) if isinstance(getattr(bpy.data, n), bpy.types.bpy_prop_collection)]
    found = {name: len(getattr(bpy.data, name)) for name in kinds}
    animated = [bpy.data.objects["Ada"].animation_data, face_keys().animation_data]
    return found | {"tracks": sum(len(data.nla_tracks) for data in animated if data is not None)}


def poses(frames: Any, bones: Any = ()) -> np.ndarray:
    """What Blender shows: bone matrices relative to the armature and the jaw's shape key, frame by frame."""
    scene, armature = bpy.context.scene, bpy.data.objects["Ada"]
    rows: list[np.ndarray] = []
    for frame in frames:
        scene.frame_set(int(frame))
        shown = armature.evaluated_get(bpy.context.evaluated_depsgraph_get()).pose.bones
        names = bones or [bone.name for bone in armature.pose.bones]
        matrices = np.array([shown[name].matrix_basis for name in names]).ravel()
        rows.append(np.append(matrices, face_keys().key_blocks["jawOpen"].value))
    return np.array(rows)


def jerks(values: np.ndarray) -> np.ndarray:
    """Second differences, (F - 2, ...)."""
    return np.abs(np.diff(values, n=2, axis=0))


# --- what changes and what stays ----------------------------------------------------------------------


def test_only_the_chosen_parts_in_the_range_change(ready: Any, character: Any, module: Any) -> None:
    choose(ready, "upper")
    outside, before, face = everything(FIRST, LAST), keys_of(character), keys_of(face_keys())
    regenerate()
    assert everything(FIRST, LAST) == outside
    after = keys_of(character)
    changed = {
        path.split('"')[1] for path, i in before if before[path, i].tobytes() != after[path, i].tobytes()
    }
    assert changed == bones_of(module, "upper")
    assert all(face[path].tobytes() == values.tobytes() for path, values in keys_of(face_keys()).items())
    assert all(len(keys) == 180 for keys in after.values())


def test_the_face_alone(ready: Any, character: Any, module: Any) -> None:
    choose(ready, "face")
    outside, before = everything(FIRST, LAST), keys_of(character)
    face = keys_of(face_keys())
    regenerate()
    assert everything(FIRST, LAST) == outside
    changed = {
        p.split('"')[1] for p, i in before if before[p, i].tobytes() != keys_of(character)[p, i].tobytes()
    }
    assert changed == bones_of(module, "face")
    now = keys_of(face_keys())
    assert sum(face[path].tobytes() != now[path].tobytes() for path in face) == 52


def test_the_engine_sees_everything(ready: Any, character: Any, engine: Any, module: Any) -> None:
    """All parts as they are, a hand edit too, the frames around, the sound in its place, the instruction."""
    specs = module("engine.specs")
    choose(ready, "upper", "hands")
    ready.upper.source, ready.upper.text = "TEXT", "wave"
    curve = module("operators.bridge.action").find_fcurve(character, 'pose.bones["pelvis"].location', 0)
    curve.keyframe_points[19].co[1] += 0.25
    regenerate()
    (request,) = engine.requests
    sources = {part.value: direction.source.value for part, direction in request.directions.items()}
    assert sources == {"face": "keep", "hands": "speech", "upper": "text", "lower": "keep"}
    assert request.directions[specs.Part.UPPER].text == "wave"
    assert request.free == (32, 92) and request.kept.num_frames == 124 and request.duration_s == 124 / 30
    assert request.audio_start_s == pytest.approx((FIRST - 32 - 1) / 30)
    assert len(request.waveform) == 6 * 16000
    was = make_clip(180)
    assert np.abs(request.kept.poses - was.poses[18 : 18 + 124]).max() < 1e-4
    moved = np.linalg.norm(request.kept.trans - was.trans[18 : 18 + 124], axis=-1)
    assert moved[1] == pytest.approx(0.25, abs=1e-4) and np.delete(moved, 1).max() < 1e-4


@pytest.mark.parametrize("fps", [24, 30, 60])
def test_values_and_velocities_join(scene: Any, ready: Any, character: Any, module: Any, fps: int) -> None:
    """Acceleration is no more than 1.2 x that around and that of what was made."""
    scene.render.fps = fps
    first, last = 41, 41 + 2 * fps
    preview(first, last)
    regenerate()
    around = np.arange(first - 32, last + 33)
    curves = [
        keys[(keys[:, 0] >= around[0]) & (keys[:, 0] <= around[-1]), 1]
        for (path, _), keys in keys_of(character).items()
        if "rotation" in path
    ]
    change = jerks(np.stack(curves, axis=1))
    kept = np.r_[0:30, len(change) - 30 : len(change)]
    made = jerks(np.stack([c[:, 1] for c in made_channels(character, module, 2 * fps, fps)], axis=1))
    assert change.max() <= 1.2 * max(change[kept].max(), made.max())
    # The steps into and out of the range are like those beside them.
    steps = np.diff(np.stack(curves, axis=1), axis=0)
    for at in (31, 32, len(steps) - 33, len(steps) - 32):
        assert np.abs(steps[at] - steps[at - 1]).max() <= 1.2 * max(change[kept].max(), made.max())


def made_channels(character: Any, module: Any, num_frames: int, fps: int) -> list[np.ndarray]:
    """Rotation channels of what the stand-in makes, before it is joined."""
    armatures = module("operators.bridge.armature")
    rig = armatures.read_rig(character)
    clip = make_clip(round((num_frames + 2 * 1.1 * fps) / fps * 30), seed=7).resample(fps)
    quaternions = module("engine.motion.rotations").continuous_quaternions(
        armatures.clip_to_bones(clip, rig).quaternions
    )
    flat = quaternions.reshape(len(quaternions), -1)
    return [np.stack([np.arange(len(flat)), column], axis=1) for column in flat.T]


def test_a_longer_blend_is_gentler(ready: Any, character: Any) -> None:
    choose(ready, "upper")
    path = ('pose.bones["left_elbow"].rotation_quaternion', 1)
    results = []
    for blend in (1, 30):
        ready.blend_frames = blend
        regenerate()
        results.append(keys_of(character)[path][FIRST - 1 : LAST, 1])
        bpy.context.scene.kinesics.seed = 7
    assert np.abs(results[0] - results[1]).max() > 1e-4


def test_same_seed_same_keys_and_nothing_piles_up(ready: Any, character: Any) -> None:
    regenerate()
    before, keys = counts(), keys_of(character)
    for _ in range(2):
        regenerate()
    assert counts() == before
    # The second run sees the first one's motion in the range but goes on from the same frames around it.
    now = keys_of(character)
    assert max(np.abs(now[path] - keys[path]).max() for path in keys) < 1e-5
    ready.seed = 8
    regenerate()
    path = ('pose.bones["left_elbow"].rotation_quaternion', 1)
    assert counts() == before and np.abs(keys_of(character)[path] - keys[path]).max() > 1e-3


def test_one_undo_step(ready: Any) -> None:
    bpy.ops.ed.undo_push(message="before")
    before = fingerprint()
    assert bpy.ops.kinesics.regenerate("EXEC_DEFAULT", True) == {"FINISHED"}
    after = fingerprint()
    assert after != before
    bpy.ops.ed.undo()
    assert fingerprint() == before
    bpy.ops.ed.redo()
    assert fingerprint() == after


# --- ranges -------------------------------------------------------------------------------------------


def stay(before: dict[Any, list[Any]], after: dict[Any, list[Any]], most: int) -> None:
    """Every key is still there to the bit, with at most so many more on a curve."""
    for path, keys in before.items():
        assert [key for key in after[path] if key in keys] == keys
        assert len(after[path]) <= len(keys) + most


def changed_frames(before: dict[Any, np.ndarray], after: dict[Any, np.ndarray]) -> tuple[int, int]:
    frames = np.concatenate([before[path][before[path][:, 1] != after[path][:, 1], 0] for path in before])
    return int(frames.min()), int(frames.max())


def test_from_selected_keys_again_and_again(ready: Any, character: Any, module: Any) -> None:
    ready.regenerate_range = "KEYS"
    for curve in module("operators.bridge.action").fcurves_of(character):
        for key in curve.keyframe_points:
            key.select_control_point = key.co[0] in (70, 71, 99) and "elbow" in curve.data_path
    for seed in (3, 4):
        ready.seed = seed
        before = keys_of(character)
        regenerate()
        assert changed_frames(before, keys_of(character)) == (71, 98)


@needs_audaspace
def test_from_the_strip(ready: Any, character: Any, tmp_path: Any) -> None:
    add_strip(write_sound(tmp_path / "short.wav", 2.0), 41)
    ready.audio_source = ready.regenerate_range = "STRIP"
    before = keys_of(character)
    regenerate()
    assert changed_frames(before, keys_of(character)) == (42, 99)


# --- motion from elsewhere ----------------------------------------------------------------------------


def hand_keys(character: Any, mode: str = "XYZ") -> None:
    """Sparse Bezier keys by hand, in Euler angles, axis and angle or quaternions, on a few bones."""
    ending = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}.get(
        mode, "rotation_euler"
    )
    values = {"QUATERNION": (1, 0.3, 0, 0.2), "AXIS_ANGLE": (0.8, 0.0, 0.6, 0.8)}.get(mode, (0.5, -0.3, 0.9))
    for index, name in enumerate(("left_elbow", "head", "spine2")):
        bone = character.pose.bones[name]
        bone.rotation_mode = mode
        for step, frame in enumerate((1, 40 + index, 95, 150)):
            share = (0.0, 1.0, -0.5, 0.7)[step]
            rest = (
                (1, 0, 0, 0)
                if mode == "QUATERNION"
                else (0, *values[1:])
                if mode == "AXIS_ANGLE"
                else (0,) * 3
            )
            setattr(bone, ending, [r + share * (v - r) for r, v in zip(rest, values, strict=True)])
            bone.keyframe_insert(ending, frame=frame)


@pytest.mark.parametrize("mode", ["XYZ", "ZXY", "AXIS_ANGLE", "QUATERNION"])
def test_sparse_hand_keys(scene: Any, character: Any, engine: Any, module: Any, mode: str) -> None:
    """Keys and what is seen outside stay, also of a bone without keys; one more key holds a cut curve."""
    scene.kinesics.audio_source, scene.kinesics.upper.source = "NONE", "TEXT"
    scene.kinesics.upper.text = "wave"
    choose(scene.kinesics, "upper")
    hand_keys(character, mode)
    preview(FIRST, LAST)
    outside = np.r_[1 : FIRST + 1, LAST:161]
    bones = ["left_elbow", "head", "spine2", "right_elbow"]
    before, shown = everything(FIRST, LAST)[0], poses(outside, bones)
    inside = poses(range(FIRST, LAST + 1), bones)
    regenerate()
    assert character.pose.bones["head"].rotation_mode == mode
    after = everything(FIRST, LAST)[0]
    stay(before, after, 2)
    assert all(not keys for path, keys in after.items() if path not in before)
    now = poses(outside, bones)
    assert np.abs(now - shown).max() < 1e-5
    changed = poses(range(FIRST, LAST + 1), bones)
    assert np.abs(changed[[0, -1]] - inside[[0, -1]]).max() < 1e-5
    assert np.abs(changed - inside).max() > 0.1
    # Where the range begins and ends nothing jerks more than around.
    whole = jerks(poses(range(FIRST - 20, LAST + 21), bones))
    joins = np.r_[whole[17:21], whole[-21:-17]]
    assert joins.max() <= 1.2 * whole[30:-30].max()
    # The key that holds a cut curve is the only one ever: the same range again adds nothing.
    there = counts(), {path: len(keys) for path, keys in keys_of(character).items()}
    scene.kinesics.seed = 5
    regenerate()
    assert (counts(), {path: len(keys) for path, keys in keys_of(character).items()}) == there
    assert everything(FIRST, LAST)[0] == after and np.abs(poses(outside, bones) - shown).max() < 1e-5


def test_dense_euler_mocap(scene: Any, character: Any, engine: Any, module: Any) -> None:
    """A key on every frame in Euler angles that turn past half a turn, as from a BVH file."""
    bone = character.pose.bones["left_shoulder"]
    bone.rotation_mode = "ZYX"
    for frame in range(1, 161):
        bone.rotation_euler = (0.3 * np.sin(frame / 9), 0.2 * np.cos(frame / 7), 2.5 + frame / 80)
        bone.keyframe_insert("rotation_euler", frame=frame)
    scene.kinesics.audio_source, scene.kinesics.upper.source = "NONE", "TEXT"
    scene.kinesics.upper.text = "wave"
    choose(scene.kinesics, "upper")
    preview(FIRST, LAST)
    before = all_properties(character, FIRST, LAST)
    regenerate()
    stay(before, all_properties(character, FIRST, LAST), 0)
    whole = poses(range(FIRST - 20, LAST + 21), ["left_shoulder"])
    assert np.abs(np.diff(whole, axis=0)).max() < 0.3
    path = 'pose.bones["left_shoulder"].rotation_euler'
    angles = np.stack([keys_of(character)[path, index][:, 1] for index in range(3)], axis=1)
    assert np.abs(np.diff(angles[FIRST - 1 : LAST - 1], axis=0)).max() < 1.0


def to_strips(character: Any) -> None:
    """Push body and face down into the NLA."""
    for datablock in (character, face_keys()):
        animation = datablock.animation_data
        strip = animation.nla_tracks.new().strips.new("Take", 1, animation.action)
        if HAS_SLOTS and strip.action_slot is None:
            strip.action_slot = animation.action_slot
        animation.action = None


def test_motion_in_nla_strips(ready: Any, character: Any, engine: Any, module: Any) -> None:
    to_strips(character)
    outside = np.r_[30:FIRST, LAST + 1 : 140]
    shown, inside = poses(outside), poses(range(FIRST, LAST + 1))
    regenerate()
    (request,) = engine.requests
    was = make_clip(180)
    assert np.abs(request.kept.poses - was.poses[18 : 18 + 124]).max() < 1e-4
    assert np.abs(request.kept.expressions - was.expressions[18 : 18 + 124]).max() < 1e-4
    assert np.abs(poses(outside) - shown).max() < SHOWN_ERROR
    now = poses(range(FIRST, LAST + 1))
    assert np.abs(now[[0, -1]] - inside[[0, -1]]).max() < SHOWN_ERROR and np.abs(now - inside).max() > 0.1
    before = counts()
    ready.seed = 3
    regenerate()
    assert counts() == before
    assert np.abs(poses(outside) - shown).max() < SHOWN_ERROR
    preview(FIRST + 60, LAST + 30)
    refuses('comes from NLA strips below the action "line", which new keys in it would hide elsewhere: push')


def test_two_parts_one_after_the_other_over_nla_strips(ready: Any, character: Any) -> None:
    to_strips(character)
    outside = np.r_[30:FIRST, LAST + 1 : 140]
    shown = poses(outside)
    for part in ("upper", "lower"):
        choose(ready, part)
        regenerate()
    assert np.abs(poses(outside) - shown).max() < SHOWN_ERROR


def test_a_mixed_action_over_strips_is_refused(ready: Any, character: Any) -> None:
    to_strips(character)
    regenerate()
    character.animation_data.action_influence = 0.5
    refuses("is mixed with NLA strips: set its blending to Replace and its influence to 1")


# --- locks --------------------------------------------------------------------------------------------


def test_a_locked_part_is_never_written(ready: Any, character: Any, module: Any, tmp_path: Any) -> None:
    character.kinesics_locks.upper = character.kinesics_locks.face = True
    locked = bones_of(module, "upper", "face")
    before, face = keys_of(character), keys_of(face_keys())
    file = str(tmp_path / "clip.npz")
    module("engine.motion.clip_io").save_npz(make_clip(60, seed=11), tmp_path / "clip.npz")
    for operation in (
        bpy.ops.kinesics.regenerate,
        bpy.ops.kinesics.generate,
        lambda: bpy.ops.kinesics.import_clip(filepath=file),
    ):
        was = keys_of(character)
        assert operation() == {"FINISHED"}
        now = keys_of(character)
        assert all(
            now[p, i].tobytes() == v.tobytes() for (p, i), v in before.items() if p.split('"')[1] in locked
        )
        assert any(now[path].tobytes() != was[path].tobytes() for path in now)
        assert all(face[path].tobytes() == values.tobytes() for path, values in keys_of(face_keys()).items())


def test_a_part_locked_while_running_is_not_written(
    ready: Any, character: Any, engine: Any, module: Any
) -> None:
    modal = start(module, engine)
    character.kinesics_locks.upper = True
    before = keys_of(character)
    assert modal.run() == {"FINISHED"}
    now, locked = keys_of(character), bones_of(module, "upper")
    assert {p.split('"')[1] for p, i in now if now[p, i].tobytes() != before[p, i].tobytes()}.isdisjoint(
        locked
    )


def test_locks_stay_with_the_character(ready: Any, character: Any, tmp_path: Any) -> None:
    character.kinesics_locks.hands = True
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    locks = bpy.data.objects["Ada"].kinesics_locks
    assert [getattr(locks, part) for part in PARTS] == [False, True, False, False]


# --- running, stopping, failing -----------------------------------------------------------------------


def start(module: Any, engine: Any, steps: int = 10) -> Modal:
    """A running Regenerate."""
    engine.steps, engine.step_s = steps, 0.02
    modal = Modal(module("operators.generate"), module("operators.regenerate").read_stretch_plan(bpy.context))
    modal.modal(bpy.context, TIMER)
    return modal


def test_modal_writes_the_same_as_execute(ready: Any, character: Any, engine: Any, module: Any) -> None:
    regenerate()
    direct = keys_of(character)
    assert start(module, engine).run() == {"FINISHED"}
    threaded = keys_of(character)
    assert max(np.abs(direct[path] - threaded[path]).max() for path in direct) < 1e-5


def test_cancel_changes_nothing(ready: Any, engine: Any, module: Any) -> None:
    before = fingerprint()
    modal = start(module, engine, 200)
    for _ in range(10):
        modal.modal(bpy.context, TIMER)
        time.sleep(0.01)
    assert modal.modal(bpy.context, ESC) == {"CANCELLED"}
    assert fingerprint() == before and bpy.ops.kinesics.regenerate.poll()


def test_target_deleted_while_running(ready: Any, engine: Any, module: Any) -> None:
    modal = start(module, engine)
    bpy.data.objects.remove(bpy.data.objects["Ada"])
    before = fingerprint()
    assert modal.run() == {"CANCELLED"}
    kind, text = modal.reports[-1]
    assert kind == "ERROR" and 'The character "Ada" was deleted or undone' in text
    assert fingerprint() == before


def refuses(message: str) -> None:
    """Regenerate says this and leaves everything as it was."""
    before = fingerprint()
    sentence = refusal(bpy.ops.kinesics.regenerate)
    assert message in sentence, sentence
    assert fingerprint() == before


def test_no_motion(scene: Any, character: Any, engine: Any) -> None:
    preview(1, 40)
    refuses('"Ada" has no motion yet: press Generate, or key or import some first')


def test_no_preview_range(ready: Any) -> None:
    bpy.context.scene.use_preview_range = False
    refuses("No preview range is set: press P over the timeline")


def test_no_selected_key(ready: Any, character: Any, module: Any) -> None:
    ready.regenerate_range = "KEYS"
    refuses('No key of "Ada" is selected: select the keys of the range')


def test_no_strip(ready: Any) -> None:
    ready.regenerate_range = "STRIP"
    refuses("No strip is active: add speech with Add > Sound")


def test_a_range_too_short(ready: Any) -> None:
    preview(20, 22)
    refuses("The range has 3 frames, of which the first and last keep their pose: choose 4 or more")


def test_no_sound_there(ready: Any) -> None:
    preview(200, 260)
    refuses('The sound "line" does not reach into frames 200 to 260: choose another range, or Text')
    for part in PARTS:
        getattr(ready, part).source, getattr(ready, part).text = "TEXT", "stand"
    regenerate()


def test_nothing_chosen(ready: Any) -> None:
    choose(ready)
    refuses("No part is chosen: switch on the parts")


def test_only_locked_parts(ready: Any, character: Any) -> None:
    choose(ready, "upper", "hands")
    character.kinesics_locks.upper = character.kinesics_locks.hands = True
    refuses("Every chosen part is locked: open a lock")
    choose(ready, *PARTS)
    for part in PARTS:
        setattr(character.kinesics_locks, part, True)
    sentence = refusal(bpy.ops.kinesics.generate)
    assert "choose Speech or Text for at least one that is not locked" in sentence


def test_only_parts_to_keep(ready: Any) -> None:
    choose(ready, "upper")
    ready.upper.source = "KEEP"
    refuses("Every chosen part is set to Keep: choose Speech or Text")


def test_a_text_that_is_missing_counts_for_chosen_parts_only(ready: Any) -> None:
    ready.lower.source, ready.lower.text = "TEXT", " "
    refuses("Lower Body: The instruction is empty")
    choose(ready, "upper")
    regenerate()


def test_a_constraint(ready: Any, character: Any) -> None:
    constraint = character.pose.bones["left_wrist"].constraints.new("LIMIT_ROTATION")
    refuses('The bone "left_wrist" of "Ada" follows a constraint, which new keys cannot change: bake it')
    constraint.mute = True
    regenerate()


def test_a_driver(ready: Any) -> None:
    face_keys().key_blocks["jawOpen"].driver_add("value").driver.expression = "0.5"
    bpy.context.scene.frame_set(1)
    refuses('"jawOpen" of "Face" follows a driver, which new keys cannot change: leave that part out')
    choose(ready, "upper", "lower")
    regenerate()


def test_a_curve_with_a_modifier(ready: Any, character: Any, module: Any) -> None:
    curve = module("operators.bridge.action").find_fcurve(
        character, 'pose.bones["head"].rotation_quaternion', 1
    )
    curve.modifiers.new("NOISE")
    refuses('A curve of "head" is muted or has modifiers: unmute or bake it')


# --- the curve between two keys -----------------------------------------------------------------------


@pytest.mark.parametrize("reach", [0.3, 0.9, 1.4])
def test_bezier_segments_are_cut_as_blender_reads_them(character: Any, module: Any, reach: float) -> None:
    bezier = module("operators.bridge.bezier")
    curve = location_curve(character, module, {3: 0.0, 40: 2.0})
    one, two = curve.keyframe_points
    one.handle_right_type = two.handle_left_type = "FREE"
    one.handle_right, two.handle_left = (3 + 37 * reach, 1.5), (40 - 20 * reach, -1.0)
    points = [np.array(point, dtype=float) for point in (one.co, one.handle_right, two.handle_left, two.co)]
    whole = bezier.between_keys(*points)
    for first, last in ((3.0, 40.0), (4.0, 21.0), (20.5, 39.0)):
        piece = bezier.piece(whole, first, last)
        assert piece[[0, 3], 0] == pytest.approx([first, last], abs=1e-6)
        for frame in (first, first + 0.3, (first + last) / 2, last):
            at = bezier.piece(piece, first, frame)[3]
            assert at == pytest.approx([frame, curve.evaluate(frame)], abs=1e-5)


def location_curve(character: Any, module: Any, values: dict[int, float]) -> Any:
    """A curve of the head's location with a key per frame and value."""
    bone = character.pose.bones["head"]
    for frame, value in values.items():
        bone.location[0] = value
        bone.keyframe_insert("location", index=0, frame=frame)
    return module("operators.bridge.action").find_fcurve(character, 'pose.bones["head"].location', 0)


@pytest.mark.parametrize("kind", ["CONSTANT", "LINEAR", "BEZIER", "SINE", "ELASTIC"])
@pytest.mark.parametrize(("first", "last"), [(20, 60), (10, 50), (3, 80), (31, 49), (75, 90), (-9, -2)])
def test_curves_outside_a_spliced_stretch_stay(
    character: Any, module: Any, kind: str, first: int, last: int
) -> None:
    """Whatever the interpolation, in the middle of segments, on keys, before the first and after the last."""
    splicing, action = module("operators.bridge.splicing"), module("operators.bridge.action")
    curve = location_curve(character, module, {0: 0.0, 10: 1.0, 30: -0.5, 50: 2.0, 70: 0.3})
    for key in curve.keyframe_points:
        key.interpolation = kind
    outside = [*range(-20, first + 1), *range(last, 110)]
    before, shown = all_properties(character, first, last), [curve.evaluate(frame) for frame in outside]
    channel = action.Channel('pose.bones["head"].location', 0, "head")
    values = np.full((last - first + 1, 1), 9.0)
    splicing.splice(character, splicing.Curves([channel], values, [False]), first, "Take")
    curve = action.find_fcurve(character, channel.path, 0)
    assert [curve.evaluate(frame) for frame in outside] == pytest.approx(shown, abs=1e-5)
    assert {curve.evaluate(frame) for frame in range(first + 1, last)} == {9.0}
    stay(
        before, all_properties(character, first, last), 2 if kind in ("CONSTANT", "LINEAR", "BEZIER") else 40
    )
