# SPDX-License-Identifier: GPL-3.0-or-later
"""The character shows what is finished while the rest is made, and nothing of that is left behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.blender.support import ESC, TIMER, Modal, bpy, fingerprint, keys_of, make_clip
from tests.blender.test_rigs import build, definition


@pytest.fixture
def generate(module: Callable[[str], Any]) -> Iterator[Any]:
    yield module("operators.generate")
    module("operators.generate").stop_all()


@pytest.fixture
def slow(engine: Any) -> Any:
    """An engine that shows four windows, 0.1 s apart, and then takes long."""
    engine.steps, engine.step_s = 4, 0.1
    return engine


@pytest.fixture
def from_file(scene: Any, character: Any, slow: Any, speech: Path) -> Any:
    """Settings: two seconds of speech from a file, from frame 1 on."""
    scene.kinesics.audio_source = "FILE"
    scene.kinesics.audio_path = str(speech)
    return scene.kinesics


def until_shown(modal: Modal, generate: Any, num_frames: int = 1) -> Any:
    """Let the operator look until so many frames can be seen; returns the preview."""
    end = time.monotonic() + 60.0
    while time.monotonic() < end:
        assert modal.modal(bpy.context, TIMER) == {"PASS_THROUGH"}
        preview = generate.current_session().preview
        if preview.num_frames >= num_frames:
            return preview
        time.sleep(0.005)
    raise AssertionError("nothing was shown")


def expected(module: Any, armature: Any, place: int) -> np.ndarray:
    """Rotation of the left shoulder in the stand-in's motion."""
    bridge = module("operators.bridge.armature")
    rig = bridge.read_rig(armature)
    return bridge.clip_to_bones(make_clip(60), rig).quaternions[place, 16]


def test_the_character_moves_before_anything_is_written(
    from_file: Any, character: Any, generate: Any, module: Any
) -> None:
    before = fingerprint()
    modal = Modal(generate)
    until_shown(modal, generate)
    bone = character.pose.bones["left_shoulder"]
    seen = [tuple(bone.rotation_quaternion)]
    assert any(
        np.abs(np.array(seen[0]) - expected(module, character, place)).max() < 1e-6 for place in (0, 1, 2)
    )
    assert character.animation_data is None and not bpy.data.actions
    assert bpy.data.objects["Face"].data.shape_keys.key_blocks["jawOpen"].value > 0.0
    time.sleep(0.1)
    modal.modal(bpy.context, TIMER)
    assert tuple(bone.rotation_quaternion) != seen[0], "the finished frames play"
    modal.modal(bpy.context, ESC)
    assert fingerprint() == before and not handlers()


def handlers() -> list[Any]:
    """Every handler of the extension that Blender would call."""
    lists = [getattr(bpy.app.handlers, name) for name in dir(bpy.app.handlers)]
    found = [item for one in lists if isinstance(one, list) for item in one]
    return [item for item in found if "kinesics" in getattr(item, "__module__", "")]


@pytest.mark.parametrize("way", ["esc", "button", "blender", "unregister"])
def test_every_end_leaves_an_animated_scene_as_it_was(
    scene: Any, from_file: Any, character: Any, generate: Any, way: str
) -> None:
    """Keys, action, slot, pose and face to the bit, over motion that was there already."""
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    scene.frame_set(9)
    character.pose.bones["spine1"].rotation_mode = "XYZ"
    character.pose.bones["head"].rotation_mode = "AXIS_ANGLE"
    from_file.seed = 4
    before = fingerprint()
    playing = character.animation_data.action
    slot = getattr(character.animation_data, "action_slot", None)
    modal = Modal(generate)
    until_shown(modal, generate, 45)
    assert fingerprint() != before
    if way == "esc":
        modal.modal(bpy.context, ESC)
    elif way == "button":
        bpy.ops.kinesics.generate_cancel()
    elif way == "blender":
        modal.cancel(bpy.context)
    else:
        generate.stop_all()
    assert fingerprint() == before and not handlers()
    assert character.animation_data.action == playing
    assert getattr(character.animation_data, "action_slot", None) == slot
    generate.stop_all()


def test_the_result_is_that_without_a_preview(from_file: Any, character: Any, generate: Any) -> None:
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    direct = keys_of(character)
    bpy.ops.ed.undo_push(message="direct")
    assert Modal(generate).run() == {"FINISHED"}
    shown = keys_of(character)
    assert shown.keys() == direct.keys() and not handlers()
    assert all(direct[path].tobytes() == shown[path].tobytes() for path in direct)


def test_the_timeline_is_followed_where_it_is_finished(
    scene: Any, from_file: Any, character: Any, generate: Any, module: Any
) -> None:
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    from_file.seed, from_file.frame_start = 8, 1
    old = keys_of(character)
    modal = Modal(generate)
    until_shown(modal, generate, 30)
    bone = character.pose.bones["left_shoulder"]
    bridge = module("operators.bridge.armature")
    new = bridge.clip_to_bones(make_clip(60, seed=8), bridge.read_rig(character)).quaternions[:, 16]
    scene.frame_set(12)
    assert np.abs(np.array(bone.rotation_quaternion) - new[11]).max() < 1e-6
    scene.frame_set(900)  # nothing is made for it
    path = 'pose.bones["left_shoulder"].rotation_quaternion'
    there = [old[path, index][-1, 1] for index in range(4)]
    assert np.abs(np.array(bone.rotation_quaternion) - there).max() < 1e-6
    modal.modal(bpy.context, ESC)
    scene.frame_set(12)
    there = [old[path, index][11, 1] for index in range(4)]
    assert np.abs(np.array(bone.rotation_quaternion) - there).max() < 1e-6


def test_locked_and_kept_parts_do_not_move(from_file: Any, character: Any, generate: Any) -> None:
    from_file.hands.source = "KEEP"
    modal = Modal(generate)
    until_shown(modal, generate)
    assert tuple(character.pose.bones["left_index1"].rotation_quaternion) == (1.0, 0.0, 0.0, 0.0)
    face = bpy.data.objects["Face"].data.shape_keys.key_blocks["jawOpen"]
    character.kinesics_locks.face = True
    face.value = 0.25
    modal.modal(bpy.context, TIMER)
    assert face.value == 0.25
    modal.modal(bpy.context, ESC)
    assert face.value == 0.25, "what the animator set meanwhile counts"


@pytest.mark.parametrize("name", ["mixamo", "unreal"])
def test_other_rigs_move_through_their_mapping(from_file: Any, generate: Any, name: str) -> None:
    armature = build("Other", definition(name))
    for bone in armature.pose.bones:
        bone.rotation_mode = "XYZ"
    before = fingerprint()
    modal = Modal(generate)
    until_shown(modal, generate)
    assert sum(bone.matrix_basis.to_quaternion().angle > 0.01 for bone in armature.pose.bones) > 20
    modal.modal(bpy.context, ESC)
    assert fingerprint() == before and all(bone.rotation_mode == "XYZ" for bone in armature.pose.bones)


def test_files_are_saved_without_it(from_file: Any, character: Any, generate: Any, tmp_path: Path) -> None:
    modal = Modal(generate)
    until_shown(modal, generate)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "meanwhile.blend"), copy=True)
    with bpy.data.libraries.load(str(tmp_path / "meanwhile.blend")) as (_source, target):
        target.objects = ["Ada"]
    (saved,) = target.objects
    assert all(tuple(bone.rotation_quaternion) == (1, 0, 0, 0) for bone in saved.pose.bones)
    bpy.data.objects.remove(saved)
    modal.modal(bpy.context, TIMER)
    assert tuple(character.pose.bones["left_shoulder"].rotation_quaternion) != (1, 0, 0, 0)
    modal.modal(bpy.context, ESC)


def test_a_character_that_goes_away_takes_its_preview_along(
    from_file: Any, generate: Any, character: Any
) -> None:
    modal = Modal(generate)
    until_shown(modal, generate)
    bpy.data.objects.remove(character)
    before = fingerprint()
    assert modal.run() == {"CANCELLED"}
    assert modal.reports[-1][0] == "ERROR" and fingerprint() == before and not handlers()


def test_one_look_takes_moments(from_file: Any, generate: Any, slow: Any) -> None:
    modal = Modal(generate)
    until_shown(modal, generate, 45)
    longest = 0.0
    for _ in range(20):
        start = time.thread_time()
        generate.current_session()._show(generate.current_session().preview)
        longest = max(longest, time.thread_time() - start)
    modal.modal(bpy.context, ESC)
    assert longest < 0.02, f"{longest * 1000:.0f} ms"
