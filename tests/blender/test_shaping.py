# SPDX-License-Identifier: GPL-3.0-or-later
"""Shaping a finished motion in real Blender: energy, holds, root and feet, and the way back to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.blender.support import add_face, all_properties, bpy, keys_of, make_clip, refusal

HAS_SLOTS = "slots" in bpy.types.Action.bl_rna.properties
NUM_FRAMES = 90
EVERY = (float("inf"), float("-inf"))


@pytest.fixture
def ready(character: Any, module: Any) -> Any:
    """A character with three seconds of motion, body and face."""
    parts = tuple(module("engine.specs").Part)
    module("operators.delivery").deliver(make_clip(NUM_FRAMES), character, parts, 11, "Line")
    return character


def ada() -> Any:
    return bpy.data.objects["Ada"]


def face(name: str = "Face") -> Any:
    return bpy.data.objects[name].data.shape_keys


def every_key(armature: Any = None, mesh: str = "Face") -> dict[Any, Any]:
    """Every property of every key on show, of body and face."""
    return all_properties(armature or ada(), *EVERY) | all_properties(face(mesh), *EVERY)


def changed_paths(before: dict[Any, Any], after: dict[Any, Any]) -> set[str]:
    assert before.keys() == after.keys()
    return {path for path, index in before if before[path, index] != after[path, index]}


def bones_of(paths: set[str]) -> set[str]:
    return {path.split('"')[1] for path in paths if path.startswith("pose.bones")}


def clip_on_show(module: Any, armature: Any = None) -> Any:
    armature = armature or ada()
    rig = module("operators.bridge.armature").read_rig(armature)
    sample = module("operators.bridge.sampling").current_clip
    return sample(armature, rig, bpy.context.scene, 11, NUM_FRAMES, 30.0)


def orphans() -> list[str]:
    return [action.name for action in bpy.data.actions if action.users == 0 or action.use_fake_user]


def num_actions(motions: int) -> int:
    return motions if HAS_SLOTS else 2 * motions


def shaping_of(module: Any) -> Any:
    return module("operators.shaping")


def test_neutral_by_default_and_nothing_is_made_of_it(ready: Any, module: Any) -> None:
    shape = ready.kinesics_shape
    assert [getattr(shape, f"energy_{part}") for part in ("face", "hands", "upper", "lower")] == [1.0] * 4
    assert (shape.root, shape.feet, len(shape.holds)) == ("AS_MADE", "AS_MADE", 0)
    before = every_key()
    shape.energy_upper = 1.0
    assert every_key() == before and len(ready.kinesics_takes.items) == 0
    assert len(bpy.data.actions) == num_actions(1)
    assert not shaping_of(module).is_pending(ready) and not shaping_of(module).is_shaped(ready)


def test_energy_changes_its_part_as_the_engine_says_and_comes_back_to_the_bit(
    ready: Any, module: Any
) -> None:
    before = every_key()
    ready.kinesics_shape.energy_upper = 1.5
    assert shaping_of(module).refusal(ready) is None
    skeleton, part = module("engine.motion.skeleton"), module("engine.specs").Part
    upper = {skeleton.JOINT_NAMES[joint] for joint in skeleton.PART_JOINTS[part.UPPER]}
    assert bones_of(changed_paths(before, every_key())) == upper
    wanted = module("engine.motion.energy").with_energy(
        make_clip(NUM_FRAMES), {part.UPPER: np.full(NUM_FRAMES, 1.5)}
    )
    assert np.abs(clip_on_show(module).poses - wanted.poses).max() < 2e-4
    assert len(bpy.data.actions) == num_actions(2) and not orphans()
    ready.kinesics_shape.energy_face = 0.5
    mouth = 'key_blocks["jawOpen"].value'
    assert {mouth, 'pose.bones["jaw"].rotation_quaternion'} <= changed_paths(before, every_key())
    ready.kinesics_shape.energy_upper = 1.0
    assert not bones_of(changed_paths(before, every_key())) & upper
    ready.kinesics_shape.energy_face = 1.0
    assert every_key() == before
    assert len(bpy.data.actions) == num_actions(1) and not orphans()
    assert not shaping_of(module).is_shaped(ready)


def test_sparse_keys_with_handles_come_back_to_the_bit(ready: Any) -> None:
    assert bpy.ops.kinesics.reduce_keys(degrees=3.0, mm=20.0, share=0.05) == {"FINISHED"}
    bone = ready.pose.bones["left_elbow"]
    bone.rotation_mode = "XYZ"
    bone.keyframe_insert("rotation_euler", frame=33.5)
    before = every_key()
    ready.kinesics_shape.energy_upper = 0.4
    ready.kinesics_shape.root = "IN_PLACE"
    assert every_key() != before
    ready.kinesics_shape.root = "AS_MADE"
    ready.kinesics_shape.energy_upper = 1.0
    assert every_key() == before


def test_each_change_is_one_undo_step(ready: Any) -> None:
    before = every_key()
    bpy.ops.ed.undo_push(message="before")
    ada().kinesics_shape.energy_upper = 1.4
    bpy.ops.ed.undo_push(message="energy")
    first = every_key()
    assert bpy.ops.kinesics.add_hold("EXEC_DEFAULT", True) == {"FINISHED"}
    second = every_key()
    assert before != first != second
    bpy.ops.ed.undo()
    assert every_key() == first and len(ada().kinesics_shape.holds) == 0
    bpy.ops.ed.undo()
    assert every_key() == before and ada().kinesics_shape.energy_upper == 1.0
    assert len(bpy.data.actions) == num_actions(1)
    bpy.ops.ed.redo()
    assert every_key() == first
    ada().kinesics_shape.energy_upper = 1.0
    assert every_key() == before


def test_energy_is_keyed_and_followed_per_frame(ready: Any, module: Any) -> None:
    part = module("engine.specs").Part.UPPER
    shape = ready.kinesics_shape
    for frame, value in ((30, 1.0), (70, 2.0)):
        shape.energy_upper = value
        shape.keyframe_insert("energy_upper", frame=frame)
    assert shaping_of(module).is_pending(ready)
    assert bpy.ops.kinesics.update_shape() == {"FINISHED"}
    assert not shaping_of(module).is_pending(ready)
    curve = module("operators.bridge.action").find_fcurve(ready, "kinesics_shape.energy_upper")
    values = np.array([curve.evaluate(11 + frame) for frame in range(NUM_FRAMES)])
    assert values[0] == 1.0 and values[-1] == 2.0 and 1.2 < values[39] < 1.8
    wanted = module("engine.motion.energy").with_energy(make_clip(NUM_FRAMES), {part: values})
    assert np.abs(clip_on_show(module).poses - wanted.poses).max() < 2e-4
    curve.keyframe_points[1].co[1] = 1.0
    curve.update()
    bpy.context.scene.frame_set(50)
    assert shaping_of(module).is_pending(ready)
    assert bpy.ops.kinesics.update_shape() == {"FINISHED"} and not shaping_of(module).is_pending(ready)
    assert np.abs(clip_on_show(module).poses - make_clip(NUM_FRAMES).poses).max() < 2e-4
    assert bpy.ops.kinesics.reset_shape() == {"FINISHED"}
    assert module("operators.bridge.action").find_fcurve(ready, "kinesics_shape.energy_upper") is None


def test_hold_still_here(ready: Any, module: Any) -> None:
    scene, before = bpy.context.scene, every_key()
    scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, 41, 60
    assert bpy.ops.kinesics.add_hold() == {"FINISHED"}
    hold = ready.kinesics_shape.holds[0]
    assert (hold.first, hold.last, hold.ease, hold.face) == (41, 60, 9, False)
    clip = clip_on_show(module)
    body = [joint for joint in range(55) if joint not in (22, 23, 24)]
    assert np.abs(np.diff(clip.poses[30:50, body], axis=0)).max() < 2e-3
    assert np.abs(np.diff(clip.expressions[30:50], axis=0)).max() > 0.01
    hold.last = 80
    assert np.abs(np.diff(clip_on_show(module).poses[30:70, body], axis=0)).max() < 2e-3
    hold.lower = False
    assert np.abs(np.diff(clip_on_show(module).poses[30:70, :3], axis=0)).max() > 0.01
    assert bpy.ops.kinesics.remove_hold(index=0) == {"FINISHED"}
    assert every_key() == before
    assert "cross" in refusal(lambda: bpy.ops.kinesics.remove_hold(index=3))


def test_a_hold_is_keyed_and_keys_stay_with_their_hold(ready: Any, module: Any) -> None:
    """Still at frame 41, free again at 71, although the hold reaches to 100."""
    scene, before = bpy.context.scene, every_key()
    scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, 15, 25
    assert bpy.ops.kinesics.add_hold() == {"FINISHED"}
    scene.frame_preview_start, scene.frame_preview_end = 41, 100
    assert bpy.ops.kinesics.add_hold() == {"FINISHED"}
    second = ready.kinesics_shape.holds[1]
    for frame, value in ((41, 1.0), (61, 1.0), (71, 0.0)):
        second.amount = value
        second.keyframe_insert("amount", frame=frame)
    assert shaping_of(module).is_pending(ready)
    assert bpy.ops.kinesics.update_shape() == {"FINISHED"} and not shaping_of(module).is_pending(ready)

    def arms() -> np.ndarray:
        return clip_on_show(module).poses[:, 16:20]

    made = make_clip(NUM_FRAMES).poses[:, 16:20]
    assert np.abs(np.diff(arms()[30:51], axis=0)).max() < 2e-3, "it holds while the key says so"
    assert np.abs(arms()[60:] - made[60:]).max() < 2e-4, "it moves as it was made where the key says 0"
    assert bpy.ops.kinesics.remove_hold(index=0) == {"FINISHED"}
    assert np.abs(np.diff(arms()[30:51], axis=0)).max() < 2e-3
    assert np.abs(arms()[60:] - made[60:]).max() < 2e-4
    assert np.abs(arms()[:20] - made[:20]).max() < 2e-4
    find = module("operators.bridge.action").find_fcurve
    assert find(ready, "kinesics_shape.holds[0].amount") and not find(ready, "kinesics_shape.holds[1].amount")
    assert bpy.ops.kinesics.remove_hold(index=0) == {"FINISHED"}
    assert find(ready, "kinesics_shape.holds[0].amount") is None
    assert every_key() == before


def test_in_place_and_along_a_curve(ready: Any, module: Any) -> None:
    shape, before = ready.kinesics_shape, every_key()
    shape.root = "IN_PLACE"
    clip = clip_on_show(module)
    assert np.abs(clip.trans[:, [0, 2]] - clip.trans[0, [0, 2]]).max() < 1e-5
    assert np.abs(clip.trans[:, 1] - make_clip(NUM_FRAMES).trans[:, 1]).max() < 1e-5
    shape.root = "FOLLOW"
    assert "choose one" in str(shaping_of(module).refusal(ready)) and shaping_of(module).is_pending(ready)
    data = bpy.data.curves.new("Way", "CURVE")
    data.dimensions, data.bevel_depth = "3D", 0.1
    spline = data.splines.new("POLY")
    spline.points.add(1)
    spline.points[0].co, spline.points[1].co = (2.0, 1.0, 0.0, 1.0), (2.0, 9.0, 0.0, 1.0)
    way = bpy.data.objects.new("Way", data)
    bpy.context.scene.collection.objects.link(way)
    bpy.context.view_layer.update()
    counts = {name: len(getattr(bpy.data, name)) for name in ("objects", "curves", "meshes")}
    shape.curve = way
    assert shaping_of(module).refusal(ready) is None
    # Blender's (x, y) on the floor is (x, -z) of the engine: the way leads to -Z.
    clip = clip_on_show(module)
    assert np.abs(clip.trans[:, 0] - 2.0).max() < 0.6
    assert clip.trans[0, 2] == pytest.approx(-1.0, abs=0.5)
    rotations = module("engine.motion.rotations")
    heading = rotations.heading_angle(rotations.axis_angle_to_matrix(clip.poses[:, 0].astype(np.float64)))
    assert np.abs(np.abs(heading) - np.pi).mean() < 0.6
    assert counts == {name: len(getattr(bpy.data, name)) for name in counts}
    assert bpy.ops.kinesics.reset_shape() == {"FINISHED"}
    assert every_key() == before and shape.root == "AS_MADE" and shape.curve is None


def test_planted_and_free_feet(ready: Any, module: Any) -> None:
    parts = tuple(module("engine.specs").Part)
    slow = make_clip(NUM_FRAMES, speed=0.4)
    module("operators.delivery").deliver(slow, ready, parts, 11, "Line")
    before = every_key()
    ready.kinesics_shape.feet = "PLANTED"
    planted = clip_on_show(module)
    assert every_key() != before
    measures = module("engine.motion.measures")
    assert measures.measure(planted).foot_slide < 0.5 * measures.measure(slow).foot_slide
    ready.kinesics_shape.feet = "AS_MADE"
    assert every_key() == before


def test_edits_by_hand_are_not_lost_silently(ready: Any, module: Any) -> None:
    shape = ready.kinesics_shape
    shape.energy_upper = 1.5
    curve = module("operators.bridge.action").find_fcurve(
        ready, 'pose.bones["left_elbow"].rotation_quaternion', 2
    )
    curve.keyframe_points[20].co[1] += 0.25
    edited = every_key()
    shape.energy_upper = 1.2
    said = shaping_of(module).refusal(ready)
    assert isinstance(said, shaping_of(module).EditedError) and every_key() == edited
    assert "Keep Edits" in refusal(lambda: bpy.ops.kinesics.update_shape())
    assert "Keep Edits" in refusal(lambda: bpy.ops.kinesics.reset_shape())
    assert "Keep Edits" in refusal(lambda: bpy.ops.kinesics.add_hold())
    assert len(shape.holds) == 0 and shape.energy_upper == pytest.approx(1.2)
    bpy.ops.ed.undo_push(message="edited")
    assert bpy.ops.kinesics.update_shape("EXEC_DEFAULT", True, discard=True) == {"FINISHED"}
    assert every_key() != edited and shaping_of(module).refusal(ada()) is None
    bpy.ops.ed.undo()
    assert every_key() == edited
    assert bpy.ops.kinesics.keep_shape() == {"FINISHED"}
    assert every_key() == edited and ada().kinesics_shape.energy_upper == 1.0
    assert len(bpy.data.actions) == num_actions(1) and not orphans()
    ada().kinesics_shape.energy_upper = 0.5
    ada().kinesics_shape.energy_upper = 1.0
    assert every_key() == edited, "what was edited is the new beginning"


def test_edits_of_parts_that_are_not_shaped_are_kept(ready: Any, module: Any) -> None:
    shape = ready.kinesics_shape
    shape.energy_upper = 1.5
    finger = 'pose.bones["left_index1"].rotation_quaternion'
    module("operators.bridge.action").find_fcurve(ready, finger, 1).keyframe_points[20].co[1] += 0.25
    edited = all_properties(ready, *EVERY)[finger, 1]
    shape.energy_upper = 1.2
    assert shaping_of(module).refusal(ready) is None
    assert all_properties(ready, *EVERY)[finger, 1] == edited
    shape.energy_hands = 0.5
    assert all_properties(ready, *EVERY)[finger, 1] != edited
    shape.energy_hands = 1.0
    assert all_properties(ready, *EVERY)[finger, 1] == edited


def test_locked_parts_are_never_written(ready: Any, module: Any) -> None:
    before = every_key()
    ready.kinesics_locks.hands = ready.kinesics_locks.lower = True
    shape = ready.kinesics_shape
    shape.energy_hands, shape.energy_lower, shape.energy_upper, shape.root = 2.0, 2.0, 1.5, "IN_PLACE"
    skeleton, part = module("engine.motion.skeleton"), module("engine.specs").Part
    upper = {skeleton.JOINT_NAMES[joint] for joint in skeleton.PART_JOINTS[part.UPPER]}
    assert bones_of(changed_paths(before, every_key())) == upper
    ready.kinesics_locks.upper = ready.kinesics_locks.face = True
    locked = every_key()
    shape.energy_upper = 1.0
    assert bpy.ops.kinesics.update_shape(discard=True) == {"FINISHED"}
    assert every_key() == locked
    ready.kinesics_locks.upper = False
    assert bpy.ops.kinesics.update_shape() == {"FINISHED"}
    assert every_key() == before


def test_each_take_has_its_own_shape(ready: Any, module: Any, engine: Any) -> None:
    settings = bpy.context.scene.kinesics
    settings.audio_source, settings.duration_s, settings.num_takes = "NONE", 2.0, 2
    settings.lower.source, settings.lower.text = "TEXT", "walk"
    for part in ("face", "hands", "upper"):
        getattr(settings, part).source, getattr(settings, part).text = "TEXT", "walk"
    shape = ready.kinesics_shape
    shape.energy_upper = 1.5
    shaped = every_key()
    assert bpy.ops.kinesics.generate_takes() == {"FINISHED"}
    takes = ready.kinesics_takes
    assert [take.name for take in takes.items] == ["Motion", "Take 1", "Take 2"]
    assert shape.energy_upper == 1.0 and not shaping_of(module).is_shaped(ready)
    made = every_key()
    shape.energy_upper = 0.5
    calm = every_key()
    takes.index = 0
    assert shape.energy_upper == 1.5 and every_key() == shaped and not shaping_of(module).is_pending(ready)
    takes.index = 1
    assert shape.energy_upper == 0.5 and every_key() == calm
    assert len(bpy.data.actions) == num_actions(5) and not orphans()
    assert bpy.ops.kinesics.merge_takes(face="0", hands="1", upper="1", lower="0") == {"FINISHED"}
    assert shape.energy_upper == 1.0 and not shaping_of(module).is_pending(ready)
    takes.index = 1
    shape.energy_upper = 1.0
    assert every_key() == made
    while len(takes.items):
        assert bpy.ops.kinesics.delete_take() == {"FINISHED"}
    assert not bpy.data.actions and shape.energy_upper == 1.0


def test_a_new_motion_begins_unshaped(ready: Any, module: Any) -> None:
    parts = module("engine.specs").Part
    ready.kinesics_shape.energy_upper = ready.kinesics_shape.energy_hands = 1.5
    shaped = keys_of(ready)['pose.bones["spine1"].rotation_quaternion', 1]
    done = module("operators.delivery").deliver(make_clip(30, seed=4), ready, (parts.UPPER,), 41, "Line")
    assert done.settled and ready.kinesics_shape.energy_upper == 1.0
    assert ready.kinesics_shape.energy_hands == 1.5 and shaping_of(module).is_shaped(ready)
    now = keys_of(ready)['pose.bones["spine1"].rotation_quaternion', 1]
    assert np.array_equal(now[:30], shaped[:30]) and np.array_equal(now[60:], shaped[60:])
    made = every_key()
    ready.kinesics_shape.energy_hands = 1.0
    assert not shaping_of(module).is_shaped(ready)
    assert not any("spine" in path for path in changed_paths(made, every_key()))
    assert len(bpy.data.actions) == num_actions(1)


def test_saved_loaded_and_appended(ready: Any, tmp_path: Any) -> None:
    before = every_key()
    ready.kinesics_shape.energy_upper = 1.5
    assert bpy.ops.kinesics.add_hold() == {"FINISHED"}
    shaped, path = every_key(), str(tmp_path / "scene.blend")
    for _ in range(2):
        bpy.ops.wm.save_as_mainfile(filepath=path)
        bpy.ops.wm.open_mainfile(filepath=path)
    assert every_key() == shaped and ada().kinesics_shape.energy_upper == 1.5 and not orphans()
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.context.scene.render.fps = 30
    with bpy.data.libraries.load(path) as (_source, wanted):
        wanted.objects = ["Ada", "Face"]
    for item in wanted.objects:
        bpy.context.scene.collection.objects.link(item)
    bpy.context.scene.kinesics.character = ada()
    assert every_key() == shaped and len(bpy.data.actions) == num_actions(2)
    assert bpy.ops.kinesics.reset_shape() == {"FINISHED"}
    assert every_key() == before and len(bpy.data.actions) == num_actions(1) and not orphans()


@pytest.mark.parametrize("copy_actions", [False, True])
def test_a_copied_character_is_shaped_on_its_own(ready: Any, copy_actions: bool) -> None:
    before = every_key()
    ready.kinesics_shape.energy_upper = 1.5
    shaped = every_key()
    bpy.context.preferences.edit.use_duplicate_action = copy_actions
    bpy.ops.object.select_all(action="SELECT")
    bpy.ops.object.duplicate()
    copy, mesh = bpy.data.objects["Ada.001"], bpy.data.objects["Face.001"]
    mesh.parent, mesh.modifiers["Armature"].object = copy, copy
    copy.kinesics_shape.energy_upper = 0.5
    assert every_key(copy, "Face.001") != shaped and every_key() == shaped
    copy.kinesics_shape.energy_upper = 1.0
    assert every_key(copy, "Face.001") == before and every_key() == shaped
    ada().kinesics_shape.energy_upper = 1.0
    assert every_key() == before and not orphans()


def test_strips_and_no_motion_are_refused_with_a_remedy(ready: Any, module: Any) -> None:
    assert bpy.ops.kinesics.reduce_keys() == {"FINISHED"}
    assert bpy.ops.kinesics.push_take(per_part=False) == {"FINISHED"}
    ready.kinesics_shape.energy_upper = 1.5
    assert "press Generate" in str(shaping_of(module).refusal(ready))
    ready.kinesics_shape.energy_upper = 1.0
    ready.kinesics_takes.index = 0
    before = every_key()
    assert "switch their tracks off" in refusal(lambda: bpy.ops.kinesics.add_hold())
    assert len(ready.kinesics_shape.holds) == 0 and every_key() == before
    ready.animation_data.nla_tracks[0].mute = True
    for track in face().animation_data.nla_tracks:
        track.mute = True
    assert bpy.ops.kinesics.add_hold() == {"FINISHED"}


def test_a_mapped_rig_is_shaped_too(scene: Any, module: Any) -> None:
    armature = module("operators.bridge.armature").build_armature("Vera")
    names = module("engine.motion.rig_names")
    mapping = {"pelvis": "Hips", "spine1": "Spine", "spine2": "Spine1", "spine3": "Spine2", "neck": "Neck"}
    mapping |= {"head": "Head", "jaw": "Jaw"}
    limbs = {"collar": "Shoulder", "shoulder": "Arm", "elbow": "ForeArm", "wrist": "Hand", "hip": "UpLeg"}
    limbs |= {"knee": "Leg", "ankle": "Foot", "foot": "ToeBase"}
    for side in ("left", "right"):
        mapping |= {f"{side}_{ours}": f"{side.capitalize()}{theirs}" for ours, theirs in limbs.items()}
        for finger in ("index", "middle", "ring", "pinky", "thumb"):
            for phalanx in (1, 2, 3):
                ours = f"{side}_{finger}{phalanx}"
                mapping[ours] = f"{side.capitalize()}Hand{finger.capitalize()}{phalanx}"
    for bone in armature.data.bones:
        bone.name = "mixamorig:" + mapping.get(bone.name, bone.name)
    assert names.recognise(bone.name for bone in armature.data.bones) is not None
    scene.kinesics.character = armature
    add_face(armature, "Mask")
    parts = tuple(module("engine.specs").Part)
    module("operators.delivery").deliver(make_clip(NUM_FRAMES), armature, parts, 11, "Line")
    before = all_properties(armature, *EVERY)
    made = clip_on_show(module, armature)
    armature.kinesics_shape.energy_upper = 0.0
    assert shaping_of(module).refusal(armature) is None
    moved = bones_of(changed_paths(before, all_properties(armature, *EVERY)))
    assert "mixamorig:LeftArm" in moved and not any("Leg" in name or "Hips" in name for name in moved)
    still = clip_on_show(module, armature)
    elbow = [np.ptp(clip.poses[30:60, 18], axis=0).max() for clip in (made, still)]
    assert elbow[1] < 0.5 * elbow[0]
    armature.kinesics_shape.root = "IN_PLACE"
    placed = clip_on_show(module, armature)
    assert np.abs(placed.trans[:, [0, 2]] - placed.trans[0, [0, 2]]).max() < 1e-4
    assert bpy.ops.kinesics.reset_shape() == {"FINISHED"}
    assert all_properties(armature, *EVERY) == before


@pytest.fixture
def planted(ready: Any, module: Any) -> Any:
    """The motion before its feet were planted; that with planted feet is on the character."""
    parts, planting = tuple(module("engine.specs").Part), module("engine.motion.planting")
    loose = make_clip(NUM_FRAMES, speed=0.4)
    clip = planting.planted(loose, np.ones((NUM_FRAMES, 4), dtype=np.float32))
    assert np.abs(clip.poses - loose.poses).max() > 0.05
    module("operators.delivery").deliver(clip, ready, parts, 11, "Line")
    return loose


def test_planting_is_switched_off_and_on_after_generation(planted: Any, module: Any) -> None:
    before, shape = every_key(), ada().kinesics_shape
    kept = clip_on_show(module).feet
    assert kept is not None and (kept.contacts == 1.0).all()
    shape.feet = "FREE"
    free = clip_on_show(module)
    assert np.abs(free.poses - planted.poses).max() < 5e-4 and np.abs(free.trans - planted.trans).max() < 1e-4
    shape.energy_lower = 0.5
    assert shaping_of(module).refusal(ada()) is None
    shape.energy_lower = 1.0
    shape.feet = "AS_MADE"
    assert every_key() == before


def test_feet_go_with_the_motion_and_end_where_another_is_written(planted: Any, module: Any) -> None:
    parts = module("engine.specs").Part
    takes = module("operators.bridge.takes")
    takes.keep_current(ada(), "First")
    first = keys_of(ada())
    takes.begin_take(ada(), "Other")
    takes.add_take(ada(), "Other")
    module("operators.delivery").deliver(make_clip(30, speed=0.4), ada(), (parts.LOWER,), 41, "Line")
    feet = clip_on_show(module).feet
    assert np.abs(feet.turns[30:60]).max() == 0.0 and np.abs(feet.root[30:60]).max() == 0.0
    assert np.abs(feet.turns[:30]).max() > 0.0
    assert bpy.ops.kinesics.merge_takes(face="1", hands="1", upper="1", lower="0") == {"FINISHED"}
    merged = keys_of(ada())
    assert any(path == "kinesics_feet.turns" for path, _ in merged)
    for path, index in merged:
        if path.startswith("kinesics_feet"):
            assert np.array_equal(merged[path, index], first[path, index])


def test_a_stretch_of_the_lower_body_brings_its_feet(planted: Any, module: Any) -> None:
    parts, planting = module("engine.specs").Part, module("engine.motion.planting")
    made = planting.planted(make_clip(30, seed=3, speed=0.4), np.ones((30, 4), dtype=np.float32))
    before = all_properties(ada(), 41, 70)
    module("operators.delivery").deliver_stretch(made, ada(), (parts.LOWER,), 41, "Line")
    assert all_properties(ada(), 41, 70) == before
    assert np.abs(clip_on_show(module).feet.turns[30:60] - made.feet.turns).max() < 1e-6
