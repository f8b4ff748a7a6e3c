# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes in real Blender, with a stand-in for the engine: made, tried, deleted, saved, copied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.blender.support import (
    ESC,
    TIMER,
    Modal,
    add_face,
    bpy,
    fingerprint,
    keys_of,
    make_clip,
    refusal,
    write_sound,
)

HAS_SLOTS = "slots" in bpy.types.Action.bl_rna.properties


@pytest.fixture
def ready(scene: Any, character: Any, engine: Any, tmp_path: Any) -> Any:
    """A character, and two seconds of speech chosen in the settings."""
    settings = scene.kinesics
    settings.audio_source, settings.frame_start = "FILE", 1
    settings.audio_path = str(write_sound(tmp_path / "line.wav", 2.0))
    settings.seed, settings.num_takes = 7, 3
    return settings


def ada() -> Any:
    return bpy.data.objects["Ada"]


def face_keys(name: str = "Face") -> Any:
    return bpy.data.objects[name].data.shape_keys


def make_takes() -> None:
    assert bpy.ops.kinesics.generate_takes() == {"FINISHED"}


def all_keys(armature: Any = None, face: str = "Face") -> dict[Any, bytes]:
    """Keys of body and face that are on show."""
    body = keys_of(armature or ada())
    mouth = keys_of(face_keys(face))
    return {key: value.tobytes() for key, value in [*body.items(), *mouth.items()]}


def choose(index: int) -> dict[Any, bytes]:
    """Click a take; returns what is on show then."""
    ada().kinesics_takes.index = index
    return all_keys()


def names() -> list[str]:
    return [take.name for take in ada().kinesics_takes.items]


def orphans() -> list[str]:
    """Actions that nothing refers to, or that a fake user holds."""
    return [action.name for action in bpy.data.actions if action.users == 0 or action.use_fake_user]


def num_actions(num_takes: int) -> int:
    """Actions that so many takes of body and face need."""
    return num_takes if HAS_SLOTS else 2 * num_takes


def test_three_takes_in_one_batch(ready: Any, engine: Any) -> None:
    make_takes()
    assert [request.sampling.seed for request in engine.requests] == [7, 8, 9]
    takes = ada().kinesics_takes
    assert names() == ["Take 1", "Take 2", "Take 3"] and [take.seed for take in takes.items] == [7, 8, 9]
    assert [take.number for take in takes.items] == [1, 2, 3] and takes.index == 0
    assert [take.action.name for take in takes.items] == [f"line Take {number}" for number in (1, 2, 3)]
    assert len(bpy.data.actions) == num_actions(3) and not orphans()
    assert ada().animation_data.action == takes.items[0].action
    assert [(take.frame_start, take.frame_end) for take in takes.items] == [(1, 60)] * 3
    assert takes.items[0].instruction.splitlines() == [
        "Face: speech",
        "Hands: speech",
        "Upper Body: speech",
        "Lower Body: speech",
    ]


def test_measures_are_those_of_the_take(ready: Any, module: Any) -> None:
    make_takes()
    measures = module("engine.motion.measures")
    for take in ada().kinesics_takes.items:
        wanted = measures.measure(make_clip(60, seed=take.seed))
        assert take.measured and not take.changed and take.has_sync
        assert take.jitter == pytest.approx(wanted.jitter, rel=1e-4)
        assert take.foot_slide == pytest.approx(wanted.foot_slide, rel=1e-4)
        assert -1.0 <= take.lip_sync <= 1.0
    assert len({take.jitter for take in ada().kinesics_takes.items}) == 3


def test_each_take_has_a_picture_that_shows_it(ready: Any, module: Any) -> None:
    make_takes()
    draw = module("engine.motion.picture").clip_picture
    for take in ada().kinesics_takes.items:
        preview = take.action.preview
        assert tuple(preview.image_size) == (96, 96) and preview.is_image_custom
        pixels = np.array(preview.image_pixels_float).reshape(96, 96, 4)
        assert np.abs(pixels - draw(make_clip(60, seed=take.seed))).max() < 0.01
        assert tuple(preview.icon_size) == (32, 32) and preview.is_icon_custom
        small = np.array(preview.icon_pixels_float).reshape(32, 32, 4)
        assert np.abs(small[10, 15] - pixels[30:33, 45:48].mean(axis=(0, 1))).max() < 0.02


def test_trying_swaps_action_and_slot_and_nothing_else(ready: Any, module: Any) -> None:
    make_takes()
    pose = [tuple(bone.rotation_mode) for bone in ada().pose.bones]
    counts = {n: len(getattr(bpy.data, n)) for n in ("objects", "meshes", "armatures", "shape_keys")}
    seen = [choose(index) for index in (0, 1, 2, 0)]
    assert seen[0] == seen[3] and len({str(sorted(keys.items(), key=str)) for keys in seen}) == 3
    assert len(seen[0]) == 223 + 52
    sample = module("operators.bridge.sampling").current_clip
    rig = module("operators.bridge.armature").read_rig(ada())
    for index, take in enumerate(ada().kinesics_takes.items):
        choose(index)
        clip, wanted = sample(ada(), rig, bpy.context.scene, 1, 60, 30.0), make_clip(60, seed=take.seed)
        assert np.abs(clip.poses - wanted.poses).max() < 1e-4
        assert np.abs(clip.expressions - wanted.expressions).max() < 1e-5
    assert pose == [tuple(bone.rotation_mode) for bone in ada().pose.bones]
    assert counts == {name: len(getattr(bpy.data, name)) for name in counts}
    assert len(bpy.data.actions) == num_actions(3)


def test_what_was_there_before_stays_in_the_list(ready: Any) -> None:
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    before = all_keys()
    ready.num_takes = 2
    make_takes()
    assert names() == ["Before Take 1", "Take 1", "Take 2"] and ada().kinesics_takes.index == 1
    assert choose(0) == before
    assert not orphans()


def test_takes_hold_the_frames_around_too(ready: Any) -> None:
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    ready.frame_start, ready.num_takes = 101, 1
    make_takes()
    frames = keys_of(ada())['pose.bones["pelvis"].location', 0][:, 0]
    assert (frames[0], frames[-1], len(frames)) == (1, 160, 120)


def test_hand_keys_in_another_rotation_mode_survive_a_visit_to_a_take(ready: Any) -> None:
    bone = ada().pose.bones["left_elbow"]
    bone.rotation_mode = "YXZ"
    bone.rotation_euler = (0.3, 0.4, 0.5)
    bone.keyframe_insert("rotation_euler", frame=1)
    make_takes()
    assert bone.rotation_mode == "YXZ"
    bpy.context.scene.frame_set(30)
    moved = tuple(bone.rotation_euler)
    choose(0)
    bpy.context.scene.frame_set(31)
    assert tuple(bone.rotation_euler) == pytest.approx((0.3, 0.4, 0.5)) != pytest.approx(moved)


def test_deleting_shows_the_next_and_leaves_nothing(ready: Any) -> None:
    make_takes()
    third = choose(2)
    choose(1)
    assert bpy.ops.kinesics.delete_take() == {"FINISHED"}
    assert names() == ["Take 1", "Take 3"] and ada().kinesics_takes.index == 1
    assert all_keys() == third
    assert bpy.ops.kinesics.delete_take() == {"FINISHED"}
    assert names() == ["Take 1"] and ada().kinesics_takes.index == 0
    assert len(bpy.data.actions) == num_actions(1) and not orphans()
    assert bpy.ops.kinesics.delete_take() == {"FINISHED"}
    assert not names() and not bpy.data.actions and ada().animation_data.action is None
    assert "Generate Takes" in poll_refusal("delete_take")


def poll_refusal(name: str) -> str:
    with pytest.raises(RuntimeError) as caught:
        getattr(bpy.ops.kinesics, name)()
    return str(caught.value)


def test_deleting_one_that_is_not_on_show_changes_nothing_else(ready: Any) -> None:
    make_takes()
    shown = choose(0)
    assert bpy.ops.kinesics.delete_take(index=2) == {"FINISHED"}
    assert all_keys() == shown and names() == ["Take 1", "Take 2"] and not orphans()


def test_numbers_are_not_used_twice_while_later_ones_are_there(ready: Any) -> None:
    make_takes()
    bpy.ops.kinesics.delete_take(index=0)
    ready.num_takes = 1
    make_takes()
    assert names() == ["Take 2", "Take 3", "Take 4"]


def test_the_rest_is_deleted_but_stars_and_the_shown_one(ready: Any) -> None:
    ready.num_takes = 4
    make_takes()
    ada().kinesics_takes.items[1].keep = True
    shown = choose(2)
    assert bpy.ops.kinesics.delete_other_takes() == {"FINISHED"}
    assert names() == ["Take 2", "Take 3"] and ada().kinesics_takes.index == 1 and all_keys() == shown
    assert len(bpy.data.actions) == num_actions(2) and not orphans()


def test_an_action_of_the_animators_own_is_not_lost_by_trying(ready: Any) -> None:
    make_takes()
    own = bpy.data.actions.new("Own")
    ada().animation_data.action = own
    choose(2)
    assert names()[-1] == "Before Take 3" and own.users == 1
    choose(3)
    assert ada().animation_data.action == own


def test_a_deleted_action_is_skipped(ready: Any) -> None:
    make_takes()
    bpy.data.actions.remove(ada().kinesics_takes.items[1].action)
    shown = all_keys()
    assert choose(1) == shown
    assert bpy.ops.kinesics.delete_take(index=1) == {"FINISHED"}
    assert names() == ["Take 1", "Take 3"] and not orphans()


def test_generate_writes_into_the_take_on_show_and_says_so(ready: Any) -> None:
    make_takes()
    choose(1)
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    assert [take.changed for take in ada().kinesics_takes.items] == [False, True, False]
    assert len(bpy.data.actions) == num_actions(3)


def test_takes_of_a_range_keep_every_key_outside(ready: Any, engine: Any, module: Any) -> None:
    from tests.blender.support import all_properties

    parts = tuple(module("engine.specs").Part)
    module("operators.delivery").deliver(make_clip(180), ada(), parts, 1, "Line")
    scene = bpy.context.scene
    scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, 51, 110
    ready.audio_source, ready.takes_of_range, ready.num_takes = "NONE", True, 2
    for part in ("face", "hands", "upper"):
        getattr(ready, part).redo = False
    ready.lower.source, ready.lower.text = "TEXT", "jump"
    outside = all_properties(ada(), 51, 110)
    make_takes()
    assert [request.free is not None for request in engine.requests] == [True, True]
    assert names() == ["Before Take 1", "Take 1", "Take 2"]
    for index in (1, 2):
        choose(index)
        assert all_properties(ada(), 51, 110) == outside
    take = ada().kinesics_takes.items[1]
    assert (take.frame_start, take.frame_end) == (51, 110) and not take.has_sync
    assert take.instruction == "Lower Body: jump"


def test_saved_and_loaded(ready: Any, tmp_path: Any) -> None:
    make_takes()
    seen = [choose(index) for index in range(3)]
    for _ in range(2):
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    assert names() == ["Take 1", "Take 2", "Take 3"] and not orphans()
    assert len(bpy.data.actions) == num_actions(3)
    assert all_keys() == seen[2] and [choose(index) for index in range(3)] == seen
    preview = ada().kinesics_takes.items[1].action.preview
    assert tuple(preview.image_size) == (96, 96) and preview.is_image_custom
    takes = ada().kinesics_takes
    stored = {prop.identifier for group in (takes, takes.items[0]) for prop in group.bl_rna.properties}
    assert "seed" in stored and "index" in stored
    assert not {n for n in stored if any(word in n for word in ("running", "progress", "job", "generating"))}


def test_appended_to_another_file(ready: Any, tmp_path: Any) -> None:
    make_takes()
    seen = [choose(index) for index in range(3)]
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    with bpy.data.libraries.load(str(tmp_path / "scene.blend")) as (_source, wanted):
        wanted.objects = ["Ada", "Face"]
    for item in wanted.objects:
        bpy.context.scene.collection.objects.link(item)
    assert [choose(index) for index in range(3)] == seen
    assert len(bpy.data.actions) == num_actions(3) and not orphans()


@pytest.mark.parametrize("copy_actions", [False, True])
def test_a_copied_character_has_the_history_and_shares_no_writing(ready: Any, copy_actions: bool) -> None:
    ready.num_takes = 2
    make_takes()
    seen = [choose(index) for index in range(2)]
    bpy.context.preferences.edit.use_duplicate_action = copy_actions
    bpy.ops.object.select_all(action="SELECT")
    bpy.ops.object.duplicate()
    copy, face = bpy.data.objects["Ada.001"], bpy.data.objects["Face.001"]
    face.parent = copy
    face.modifiers["Armature"].object = copy
    for index in range(2):
        copy.kinesics_takes.index = index
        assert all_keys(copy, "Face.001") == seen[index]
    ready.character, ready.seed = copy, 55
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    assert all_keys(copy, "Face.001") != seen[1]
    assert [choose(index) for index in range(2)] == seen, "the original's takes did not change"
    while len(copy.kinesics_takes.items):
        assert bpy.ops.kinesics.delete_take() == {"FINISHED"}
    assert [choose(index) for index in range(2)] == seen and not orphans()


def test_one_undo_step(ready: Any) -> None:
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    bpy.ops.ed.undo_push(message="before")
    before = fingerprint()
    assert bpy.ops.kinesics.generate_takes("EXEC_DEFAULT", True) == {"FINISHED"}
    assert len(names()) == 4
    bpy.ops.ed.undo()
    assert not names() and fingerprint() == before
    bpy.ops.ed.redo()
    assert len(names()) == 4 and not orphans()


def test_modal_makes_the_same_and_cancel_nothing(ready: Any, engine: Any, module: Any) -> None:
    from dataclasses import replace

    generate = module("operators.generate")
    plan = replace(generate.read_plan(bpy.context), num_takes=3)
    modal = Modal(generate, plan)
    assert modal.run() == {"FINISHED"} and modal.reports[-1] == ("INFO", "Made 3 takes")
    seen = [choose(index) for index in range(3)]
    while names():
        bpy.ops.kinesics.delete_take()
    make_takes()
    assert [choose(index) for index in range(3)] == seen
    engine.steps, engine.step_s = 200, 0.02
    before = fingerprint()
    modal = Modal(generate, plan)
    modal.modal(bpy.context, TIMER)
    job = generate.current_session().job
    assert modal.modal(bpy.context, ESC) == {"CANCELLED"}
    assert job.join(10.0), "else it would still use the stand-in when the next test begins"
    assert fingerprint() == before and len(names()) == 3


def test_nothing_is_made_where_everything_is_locked_meanwhile(ready: Any, module: Any) -> None:
    from dataclasses import replace

    generate = module("operators.generate")
    modal = Modal(generate, replace(generate.read_plan(bpy.context), num_takes=2))
    for part in ("face", "hands", "upper", "lower"):
        setattr(ada().kinesics_locks, part, True)
    before = fingerprint()
    assert modal.run() == {"CANCELLED"} and "locked" in modal.reports[-1][1]
    assert fingerprint() == before and not names()


def test_tweak_mode_is_refused_and_clicking_does_nothing(ready: Any) -> None:
    make_takes()
    animation = ada().animation_data
    strip = animation.nla_tracks.new().strips.new("Strip", 1, bpy.data.actions.new("Other"))
    animation.nla_tracks[0].select = strip.select = True
    animation.nla_tracks.active = animation.nla_tracks[0]
    animation.use_tweak_mode = True
    if not animation.use_tweak_mode:
        pytest.skip("this Blender enters no tweak mode without a window")
    now = animation.action
    choose(2)
    assert animation.action == now
    assert "tweak" in poll_refusal("delete_take")
    assert "tweak" in refusal(bpy.ops.kinesics.generate_takes)


def test_twenty_rounds_leak_nothing(ready: Any) -> None:
    ready.num_takes = 2
    for round_number in range(20):
        make_takes()
        choose(round_number % 2)
        bpy.ops.kinesics.delete_other_takes()
    assert len(names()) == 1 and len(bpy.data.actions) == num_actions(1) and not orphans()
    assert len(bpy.data.objects) == 2 and len(bpy.data.meshes) == 1


def test_a_second_face_keeps_its_own_keys(ready: Any) -> None:
    add_face(ada(), "Teeth", ("jawOpen",))
    make_takes()
    for index, take in enumerate(ada().kinesics_takes.items):
        choose(index)
        jaw = keys_of(face_keys("Teeth"))['key_blocks["jawOpen"].value', 0]
        assert np.abs(jaw[:, 1] - make_clip(60, seed=take.seed).expressions[:, jaw_column()]).max() < 1e-6


def jaw_column() -> int:
    import importlib

    from tests.blender.support import KEY

    return importlib.import_module(f"{KEY}.engine.motion.arkit").ARKIT_NAMES.index("jawOpen")


@pytest.mark.parametrize(("mode", "wanted"), [("PINNED", {7}), ("NEXT", {10}), ("RANDOM", None)])
def test_the_next_seed_is_pinned_next_or_random(ready: Any, mode: str, wanted: set[int] | None) -> None:
    ready.seed_mode = mode
    make_takes()
    if wanted is not None:
        assert {ready.seed} == wanted
    else:
        assert ready.seed not in (7, 8, 9, 10)


def test_variation_is_a_factor_of_the_models_own_freedom(ready: Any, engine: Any, module: Any) -> None:
    own = module("engine.specs").SamplingOptions().temperature
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    ready.variation = 0.5
    make_takes()
    drawn = [request.sampling.temperature for request in engine.requests]
    assert drawn == pytest.approx([own, own / 2, own / 2, own / 2])


def test_the_panel_shows_what_is_known(ready: Any, module: Any) -> None:
    from types import SimpleNamespace

    from tests.blender.test_register import Layout

    panel = module("ui.panels").KINESICS_PT_takes
    layout = Layout()
    panel.draw(SimpleNamespace(layout=layout), bpy.context)
    assert "num_takes" in layout.drawn and "kinesics.delete_take" not in layout.drawn
    make_takes()
    layout = Layout()
    panel.draw(SimpleNamespace(layout=layout), bpy.context)
    take = ada().kinesics_takes.items[0]
    assert {"Seed 7", "Face: speech", f"Jitter {take.jitter:.0f} m/s\u00b3"} <= set(layout.drawn)
    assert {"KINESICS_UL_takes", "kinesics.delete_take", "kinesics.delete_other_takes"} <= set(layout.drawn)
    line = Layout()
    draw = module("ui.take_panel").KINESICS_UL_takes.draw_item
    draw(None, bpy.context, line, ada().kinesics_takes, take, 0, ada().kinesics_takes, "index")
    assert line.drawn[:2] == ["icon HIDE_OFF", "picture"] and {"name", "keep"} <= set(line.drawn)


def bones(module: Any, part: str) -> set[str]:
    skeleton, parts = module("engine.motion.skeleton"), module("engine.specs").Part
    return {skeleton.JOINT_NAMES[joint] for joint in skeleton.PART_JOINTS[parts(part)]}


def of_part(keys: dict[Any, bytes], module: Any, part: str) -> dict[Any, bytes]:
    """Those keys that belong to a part."""
    names = bones(module, part)

    def mine(path: str) -> bool:
        return path.split('"')[1] in names if path.startswith("pose") else part == "face"

    return {key: value for key, value in keys.items() if mine(key[0])}


def test_merge_takes_each_part_to_the_bit(ready: Any, module: Any) -> None:
    make_takes()
    seen = [choose(index) for index in range(3)]
    assert bpy.ops.kinesics.merge_takes(face="2", hands="0", upper="1", lower="0") == {"FINISHED"}
    assert names() == ["Take 1", "Take 2", "Take 3", "Take 4"] and ada().kinesics_takes.index == 3
    merged = all_keys()
    for part, index in {"face": 2, "hands": 0, "upper": 1, "lower": 0}.items():
        assert of_part(merged, module, part) == of_part(seen[index], module, part), part
    assert sum(len(of_part(merged, module, part)) for part in ("face", "hands", "upper", "lower")) == 275
    assert [choose(index) for index in range(3)] == seen, "the takes it was made of stay as they were"
    takes = ada().kinesics_takes.items
    assert takes[3].merged and not takes[2].merged and takes[3].lip_sync == takes[2].lip_sync
    assert takes[3].foot_slide == pytest.approx(takes[0].foot_slide, rel=1e-3)
    assert takes[3].measured and tuple(takes[3].action.preview.image_size) == (96, 96)
    assert takes[3].instruction.splitlines()[0] == "Face: speech (Take 3)"
    assert takes[3].action.name == "line Take 4" and not orphans()
    assert len(bpy.data.actions) == num_actions(4)


def test_merge_leaves_a_locked_part_as_it_is(ready: Any, module: Any) -> None:
    make_takes()
    shown = choose(1)
    ada().kinesics_locks.hands = True
    assert "is locked" in refusal(
        lambda: bpy.ops.kinesics.merge_takes(face="0", hands="0", upper="1", lower="2")
    )
    assert all_keys() == shown and len(names()) == 3
    assert bpy.ops.kinesics.merge_takes(face="0", hands="1", upper="1", lower="2") == {"FINISHED"}
    merged = all_keys()
    assert of_part(merged, module, "hands") == of_part(shown, module, "hands")
    assert of_part(merged, module, "face") != of_part(shown, module, "face")


def test_merge_refuses_what_it_cannot_copy(ready: Any, module: Any) -> None:
    make_takes()
    actions = module("operators.bridge.action")
    choose(1)
    actions.fcurves_of(ada())[0].modifiers.new("NOISE")
    before = fingerprint()
    assert "modifiers" in refusal(lambda: bpy.ops.kinesics.merge_takes(face="0", upper="1"))
    bpy.data.actions.remove(ada().kinesics_takes.items[2].action)
    assert "was deleted" in refusal(lambda: bpy.ops.kinesics.merge_takes(face="0", lower="2"))
    assert len(names()) == 3 and before


def shown_pose(frame: float) -> np.ndarray:
    """Bones and face as the scene shows them at a frame."""
    bpy.context.scene.frame_set(int(frame // 1), subframe=frame % 1)
    bones = [value for bone in ada().pose.bones for row in bone.matrix for value in row]
    return np.array([*bones, *(block.value for block in face_keys().key_blocks)])


@pytest.mark.parametrize("per_part", [False, True])
def test_pushed_to_the_nla_it_looks_the_same(ready: Any, module: Any, per_part: bool) -> None:
    ready.frame_start = 11
    make_takes()
    choose(1)
    frames = (11, 25, 40.5, 70)
    wanted = [shown_pose(frame) for frame in frames]
    assert bpy.ops.kinesics.push_take(per_part=per_part) == {"FINISHED"}
    assert ada().animation_data.action is None and face_keys().animation_data.action is None
    for frame, pose in zip(frames, wanted, strict=True):
        assert np.abs(shown_pose(frame) - pose).max() < 5e-5
    tracks = [track.name for track in ada().animation_data.nla_tracks]
    labels = ["Face", "Hands", "Upper Body", "Lower Body"]
    assert tracks == ([f"Take 2 {label}" for label in labels] if per_part else ["Take 2"])
    assert len(face_keys().animation_data.nla_tracks) == 1 and not orphans()
    assert len(names()) == 3
    assert "No take is on show" in poll_refusal("push_take")
    shown = choose(0)
    assert shown, "another take can be shown above the strips"


def test_one_part_of_the_nla_can_be_muted(ready: Any, module: Any) -> None:
    make_takes()
    choose(0)
    assert bpy.ops.kinesics.push_take(per_part=True) == {"FINISHED"}
    scene, pose = bpy.context.scene, ada().pose.bones

    def turns() -> tuple[tuple[float, ...], tuple[float, ...]]:
        return tuple(pose["left_index1"].rotation_quaternion), tuple(pose["left_knee"].rotation_quaternion)

    scene.frame_set(20)
    hand, knee = turns()
    ada().animation_data.nla_tracks["Take 1 Hands"].mute = True
    scene.frame_set(40)
    assert turns()[0] == hand and turns()[1] != pytest.approx(knee, abs=1e-3)
    ada().animation_data.nla_tracks["Take 1 Hands"].mute = False
    scene.frame_set(41)
    assert turns()[0] != pytest.approx(hand, abs=1e-3)


def test_keys_between_frames_keep_their_place_in_the_nla(ready: Any, module: Any) -> None:
    make_takes()
    for curve in module("operators.bridge.action").fcurves_of(ada()):
        for key in curve.keyframe_points:
            key.co[0] += 0.25
        curve.update()
    wanted = [shown_pose(frame) for frame in (5, 30.5)]
    assert bpy.ops.kinesics.push_take(per_part=True) == {"FINISHED"}
    for frame, pose in zip((5, 30.5), wanted, strict=True):
        assert np.abs(shown_pose(frame) - pose).max() < 1e-3
