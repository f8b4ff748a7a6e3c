# SPDX-License-Identifier: GPL-3.0-or-later
"""Generate in real Blender, with a stand-in for the engine: place, rate, parts, cancel, undo."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.blender.support import (
    ESC,
    MOUSE,
    TIMER,
    Modal,
    add_face,
    add_strip,
    bpy,
    fingerprint,
    keys_of,
    make_clip,
    needs_audaspace,
)


@pytest.fixture
def generate(module: Callable[[str], Any]) -> Any:
    return module("operators.generate")


@pytest.fixture
def from_file(scene: Any, character: Any, engine: Any, speech: Path) -> Any:
    """Settings: speech from a file, two seconds, at frame 1."""
    scene.kinesics.audio_source = "FILE"
    scene.kinesics.audio_path = str(speech)
    return scene.kinesics


def pelvis(points: dict[tuple[str, int], np.ndarray]) -> np.ndarray:
    return points['pose.bones["pelvis"].location', 0]


@needs_audaspace
@pytest.mark.parametrize(
    ("fps", "base", "num_frames"),
    [(24, 1.0, 48), (25, 1.0, 50), (30, 1.001, 60), (30, 1.0, 60), (60, 1.0, 120)],
)
def test_from_the_active_strip_at_its_place_and_rate(
    scene: Any, character: Any, engine: Any, speech: Path, fps: int, base: float, num_frames: int, module: Any
) -> None:
    scene.render.fps, scene.render.fps_base = fps, base
    strip = add_strip(speech, 101, "Hello there")
    scene.frame_set(7)
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    points = keys_of(character)
    wanted = np.arange(101, 101 + strip.frame_final_duration)
    assert all(np.array_equal(keys[:, 0], wanted) for keys in points.values())
    assert len(wanted) == num_frames
    assert character.animation_data.action.name == "Hello there"
    assert scene.frame_current == 7
    # Frame i shows the clip at i / fps seconds.
    clip = make_clip(round(num_frames / (fps / base) * 30))
    rig = module("operators.bridge.armature").read_rig(character)
    poses = module("operators.bridge.armature").clip_to_bones(clip, rig)
    times = np.arange(num_frames) / (fps / base)
    expected = np.interp(times * 30, np.arange(clip.num_frames), poses.pelvis_locations[:, 0])
    assert np.abs(pelvis(points)[:, 1] - expected).max() < 1e-4


@needs_audaspace
def test_trimmed_strip_gives_the_trimmed_length(
    scene: Any, character: Any, engine: Any, speech: Path
) -> None:
    strip = add_strip(speech, 11)
    strip.frame_offset_start, strip.frame_offset_end = 15, 5
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    frames = pelvis(keys_of(character))[:, 0]
    assert (frames[0], frames[-1], len(frames)) == (26, 65, 40)
    assert len(engine.requests[0].waveform) == round(40 / 30 * 16000)


def test_from_a_file_at_the_start_frame(from_file: Any, character: Any, engine: Any) -> None:
    from_file.frame_start, from_file.seed, from_file.emotion = 21, 7, "ANGER"
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    request = engine.requests[0]
    assert (request.sampling.seed, request.emotion, request.sample_rate) == (7, "anger", 16000)
    assert pelvis(keys_of(character))[0, 0] == 21 and len(pelvis(keys_of(character))) == 60
    assert character.animation_data.action.name == "speech"


def test_directions_reach_the_engine(from_file: Any, engine: Any, module: Any) -> None:
    specs = module("engine.specs")
    from_file.lower.source, from_file.lower.text = "TEXT", "walk forward"
    from_file.hands.source, from_file.hands.text = "BOTH", "wave"
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    directions = engine.requests[0].directions
    assert directions[specs.Part.LOWER] == specs.PartDirection(specs.Source.TEXT, "walk forward")
    assert directions[specs.Part.HANDS] == specs.PartDirection(specs.Source.BOTH, "wave")
    assert directions[specs.Part.FACE].source is specs.Source.SPEECH


def test_parts_may_have_emotions_of_their_own(from_file: Any, engine: Any, character: Any) -> None:
    from_file.emotion, from_file.face.emotion, from_file.hands.emotion = "ANGER", "HAPPINESS", "ANGER"
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    assert [request.emotion for request in engine.requests] == ["anger"], "switched off by default"
    engine.requests.clear()
    from_file.part_emotions = True
    from_file.upper.source = "KEEP"
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    assert [request.emotion for request in engine.requests] == ["anger", "happiness"]
    driven = [
        [part.value for part, said in request.directions.items() if said.source.value == "speech"]
        for request in engine.requests
    ]
    assert driven == [["face", "hands", "lower"], ["face"]]
    assert engine.requests[1].kept is not None


def test_text_alone(scene: Any, character: Any, engine: Any, module: Any) -> None:
    specs = module("engine.specs")
    scene.kinesics.audio_source, scene.kinesics.duration_s = "NONE", 3.0
    scene.kinesics.lower.source, scene.kinesics.lower.text = "TEXT", "jump"
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    request = engine.requests[0]
    assert request.waveform is None and request.duration_s == pytest.approx(3.0)
    assert set(request.directions) == {specs.Part.LOWER}
    assert len(pelvis(keys_of(character))) == 90
    assert character.animation_data.action.name == "jump"


def test_kept_parts_are_read_and_stay_bit_identical(
    from_file: Any, character: Any, engine: Any, module: Any
) -> None:
    specs = module("engine.specs")
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    before, face = keys_of(character), keys_of(bpy.data.objects["Face"].data.shape_keys)
    from_file.seed = 99
    for part in ("face", "hands", "upper"):
        getattr(from_file, part).source = "KEEP"
    from_file.lower.source, from_file.lower.text = "TEXT", "walk backwards"
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    after = keys_of(character)
    joints = module("engine.motion.skeleton")
    lower = {joints.JOINT_NAMES[joint] for joint in joints.PART_JOINTS[specs.Part.LOWER]}
    same = {path.split('"')[1] for path, i in before if before[path, i].tobytes() == after[path, i].tobytes()}
    assert same == set(joints.JOINT_NAMES) - lower
    now = keys_of(bpy.data.objects["Face"].data.shape_keys)
    assert all(face[path].tobytes() == now[path].tobytes() for path in face)
    kept, first = engine.requests[1].kept, make_clip(60, seed=0)
    assert kept.num_frames == 60
    assert np.abs(kept.poses - first.poses).max() < 1e-4
    assert np.abs(kept.expressions - first.expressions).max() < 1e-5


def test_same_seed_same_keys_and_second_generate_works(from_file: Any, character: Any, engine: Any) -> None:
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    first = keys_of(character)
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    second = keys_of(character)
    assert all(first[path].tobytes() == second[path].tobytes() for path in first)
    from_file.seed = 5
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    assert pelvis(first).tobytes() != pelvis(keys_of(character)).tobytes()
    assert len(bpy.data.actions) == (1 if "slots" in bpy.types.Action.bl_rna.properties else 2)


def test_selected_mesh_stands_for_its_character(scene: Any, from_file: Any, character: Any) -> None:
    from_file.character = None
    bpy.context.view_layer.objects.active = bpy.data.objects["Face"]
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    assert keys_of(character)


def test_character_without_face_says_so(from_file: Any, generate: Any, armature: Any) -> None:
    bpy.data.objects.remove(bpy.data.objects["Face"])
    modal = Modal(generate)
    assert modal.run() == {"FINISHED"}
    assert "no mesh of this character has face shape keys" in modal.reports[-1][1]


def test_one_undo_step(from_file: Any, character: Any, engine: Any) -> None:
    bpy.ops.ed.undo_push(message="before")
    before = fingerprint()
    assert bpy.ops.kinesics.generate("EXEC_DEFAULT", True) == {"FINISHED"}
    assert keys_of(bpy.data.objects["Ada"])
    bpy.ops.ed.undo()
    assert not keys_of(bpy.data.objects["Ada"])
    assert fingerprint() == before
    bpy.ops.ed.redo()
    assert len(keys_of(bpy.data.objects["Ada"])) == 223


def test_modal_writes_the_same_as_execute(from_file: Any, character: Any, generate: Any, engine: Any) -> None:
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    direct = keys_of(character)
    assert Modal(generate).run() == {"FINISHED"}
    threaded = keys_of(character)
    assert all(direct[path].tobytes() == threaded[path].tobytes() for path in direct)
    assert generate.current_session() is None


def test_modal_shows_progress_and_lets_the_animator_work(from_file: Any, generate: Any, engine: Any) -> None:
    engine.steps, engine.step_s = 20, 0.05
    modal = Modal(generate)
    assert modal.modal(bpy.context, MOUSE) == {"PASS_THROUGH"}
    seen: list[Any] = []
    while modal.modal(bpy.context, TIMER) == {"PASS_THROUGH"}:
        seen.append(generate.current_session().state)
        time.sleep(0.02)
    fractions = [state.fraction for state in seen]
    assert fractions == sorted(fractions) and 0.3 < max(fractions) <= 1.0
    assert any(state.remaining_s is not None for state in seen)
    assert {"Moving"} <= {state.message for state in seen}


@pytest.mark.parametrize("way", ["esc", "button", "blender"])
def test_cancel_stops_within_the_promise_and_changes_nothing(
    from_file: Any, generate: Any, engine: Any, way: str
) -> None:
    engine.steps, engine.step_s = 200, 0.02
    before = fingerprint()
    modal = Modal(generate)
    session = generate.current_session()
    for _ in range(20):
        modal.modal(bpy.context, TIMER)
        time.sleep(0.01)
    start = time.monotonic()
    if way == "esc":
        outcome = modal.modal(bpy.context, ESC)
    elif way == "button":
        assert bpy.ops.kinesics.generate_cancel() == {"FINISHED"}
        outcome = modal.modal(bpy.context, TIMER)
    else:
        modal.cancel(bpy.context)
        outcome = {"CANCELLED"}
    assert outcome == {"CANCELLED"}
    assert session.job.join(0.3) and time.monotonic() - start < 0.3
    assert generate.current_session() is None
    assert fingerprint() == before
    engine.steps = 1
    assert Modal(generate).run() == {"FINISHED"}, "Generate works after a cancel"


def test_only_one_at_a_time(from_file: Any, generate: Any, engine: Any) -> None:
    engine.steps, engine.step_s = 50, 0.02
    modal = Modal(generate)
    assert not bpy.ops.kinesics.generate.poll()
    modal.modal(bpy.context, ESC)
    assert bpy.ops.kinesics.generate.poll()


def test_finish_is_idempotent(from_file: Any, generate: Any, engine: Any) -> None:
    modal = Modal(generate)
    modal.run()
    modal.cancel(bpy.context)
    modal.cancel(bpy.context)
    assert modal.modal(bpy.context, TIMER) == {"CANCELLED"}


@pytest.mark.parametrize("way", ["deleted", "file closed"])
def test_target_gone_while_running(from_file: Any, generate: Any, engine: Any, way: str) -> None:
    engine.steps, engine.step_s = 10, 0.02
    modal = Modal(generate)
    modal.modal(bpy.context, TIMER)
    if way == "deleted":
        bpy.data.objects.remove(bpy.data.objects["Ada"])
    else:
        bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    before = fingerprint()
    assert modal.run() == {"CANCELLED"}
    kind, text = modal.reports[-1]
    assert kind == "ERROR" and 'The character "Ada" was deleted or undone' in text and text.endswith("again.")
    assert fingerprint() == before


def test_target_undone_while_running(from_file: Any, generate: Any, engine: Any, module: Any) -> None:
    """Undo of the step that added the character, by Blender's own undo."""
    engine.steps, engine.step_s = 10, 0.02
    bpy.ops.ed.undo_push(message="before")
    eve = module("operators.bridge.armature").build_armature("Eve")
    add_face(eve, "Eve Face")
    bpy.context.scene.kinesics.character = eve
    bpy.ops.ed.undo_push(message="Eve")
    modal = Modal(generate)
    modal.modal(bpy.context, TIMER)
    bpy.ops.ed.undo()
    assert "Eve" not in bpy.data.objects and "Ada" in bpy.data.objects
    before = fingerprint()
    assert modal.run() == {"CANCELLED"}
    kind, text = modal.reports[-1]
    assert kind == "ERROR" and 'The character "Eve" was deleted or undone' in text and text.endswith("again.")
    assert fingerprint() == before


def test_undo_of_something_else_while_running(from_file: Any, generate: Any, engine: Any) -> None:
    """The character is still there, though every reference to it has died: it gets its motion."""
    engine.steps, engine.step_s = 10, 0.02
    bpy.ops.ed.undo_push(message="before")
    bpy.data.objects["Ada"].location.x = 3.0
    bpy.ops.ed.undo_push(message="moved")
    modal = Modal(generate)
    modal.modal(bpy.context, TIMER)
    bpy.ops.ed.undo()
    assert modal.run() == {"FINISHED"}
    assert len(keys_of(bpy.data.objects["Ada"])) == 223 and bpy.data.objects["Ada"].location.x == 0.0


def test_undo_that_removes_the_target_while_a_part_is_read(
    from_file: Any, generate: Any, module: Any
) -> None:
    bpy.ops.kinesics.generate()
    from_file.face.source = "KEEP"
    session = generate.Session(generate.read_plan(bpy.context))
    next(session._reading)
    bpy.data.objects.remove(bpy.data.objects["Ada"])
    with pytest.raises(module("operators.errors").TargetLostError):
        session.tick()


def test_renamed_target_gets_its_motion(from_file: Any, generate: Any, engine: Any) -> None:
    engine.steps, engine.step_s = 10, 0.02
    modal = Modal(generate)
    modal.modal(bpy.context, TIMER)
    bpy.data.objects["Ada"].name = "Grace"
    assert modal.run() == {"FINISHED"}
    assert len(keys_of(bpy.data.objects["Grace"])) == 223


def test_namesake_does_not_get_the_motion(from_file: Any, generate: Any, engine: Any, module: Any) -> None:
    engine.steps, engine.step_s = 10, 0.02
    modal = Modal(generate)
    modal.modal(bpy.context, TIMER)
    bpy.data.objects.remove(bpy.data.objects["Ada"])
    other = module("operators.bridge.armature").build_armature("Ada")
    assert modal.run() == {"CANCELLED"}
    assert not keys_of(other)


def test_engine_errors_are_told_and_change_nothing(
    from_file: Any, generate: Any, engine: Any, module: Any
) -> None:
    engine.error = module("engine.errors").PackError("The pack is damaged; download it again.")
    before = fingerprint()
    modal = Modal(generate)
    assert modal.run() == {"CANCELLED"}
    assert modal.reports == [("ERROR", "The pack is damaged; download it again.")]
    assert fingerprint() == before and generate.current_session() is None


def test_unexpected_errors_are_raised_and_the_session_ends(
    from_file: Any, generate: Any, engine: Any
) -> None:
    engine.error = ZeroDivisionError("a bug")
    modal = Modal(generate)
    with pytest.raises(ZeroDivisionError):
        modal.run()
    assert generate.current_session() is None


def test_main_thread_is_never_held_for_long(from_file: Any, generate: Any, engine: Any) -> None:
    """Reading kept parts and watching the job take moments; only the last look, which writes, takes long."""
    from_file.frame_start = 1
    bpy.ops.kinesics.generate()
    from_file.upper.source = "KEEP"
    engine.steps, engine.step_s = 10, 0.02
    modal = Modal(generate)
    longest = 0.0
    outcome = {"PASS_THROUGH"}
    while outcome == {"PASS_THROUGH"}:
        start = time.thread_time()
        outcome = modal.modal(bpy.context, TIMER)
        if outcome == {"PASS_THROUGH"}:
            longest = max(longest, time.thread_time() - start)
        time.sleep(0.005)
    assert outcome == {"FINISHED"}
    assert longest < 0.05, f"one look took {longest * 1000:.0f} ms"
