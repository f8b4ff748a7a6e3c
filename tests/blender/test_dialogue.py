# SPDX-License-Identifier: GPL-3.0-or-later
"""Generate All Strips: order, cache, moving, pauses, cancel, crash, bad input; a whole engine at the end."""

from __future__ import annotations

import errno
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.blender.support import (
    REPOSITORY,
    add_strip,
    all_properties,
    bpy,
    fingerprint,
    keys_of,
    needs_audaspace,
    refusal,
    write_sound,
)
from tests.blender.test_register import Layout

KILLED = """
import os, pickle, shutil, signal, sys
from pathlib import Path
from tests.blender.support import KEY, RESOURCES, StandInEngine, enable, importlib
enable()
host, work = (importlib.import_module(f"{KEY}.operators.{name}") for name in ("engine_host", "dialogue_work"))
host.load_engine = lambda pack_dir, device: StandInEngine()
def tell(news):
    if isinstance(news, work.LineNews) and news.number == 2 and news.fraction > 0.0:
        shutil.rmtree(RESOURCES, ignore_errors=True)
        os.kill(os.getpid(), signal.SIGKILL)
plan = pickle.loads(Path(sys.argv[1]).read_bytes())
work.DialogueWork(plan, tell, lambda _done, _text: None, lambda: False).run()
"""
"""A Blender that dies while it makes the third strip."""

HIP = 'pose.bones["left_hip"].rotation_quaternion', 1


@pytest.fixture
def dialogue(module: Callable[[str], Any]) -> Any:
    return module("operators.dialogue")


@pytest.fixture
def planning(module: Callable[[str], Any]) -> Any:
    return module("operators.dialogue_plan")


@pytest.fixture
def sounds(tmp_path: Path) -> list[Path]:
    """Three different sounds of two, three and two seconds."""
    return [
        write_sound(tmp_path / f"{name}.wav", seconds, rate)
        for name, seconds, rate in (("a", 2.0, 16000), ("b", 3.0, 22050), ("c", 2.0, 24000))
    ]


@pytest.fixture
def plan(character: Any, planning: Any, module: Any, sounds: list[Path], tmp_path: Path) -> Any:
    """A dialogue of three lines at frames 1, 121 and 221, as `read_dialogue` would read it from strips."""
    source = module("operators.bridge.sound").SoundSource
    specs = module("engine.specs")
    directions = dict.fromkeys(specs.PARTS, specs.PartDirection())
    lines = tuple(
        planning.Line(
            path.stem, source(path.stem, str(path), None, 0.0, length / 30), start, length, directions, 0
        )
        for path, start, length in zip(sounds, (1, 121, 221), (60, 90, 60), strict=True)
    )
    return planning.DialoguePlan(
        lines=lines,
        parts=specs.PARTS,
        emotion=None,
        variation=1.0,
        seed=0,
        fps=30.0,
        armature_name=character.name,
        armature_uid=character.session_uid,
        scene_name=bpy.context.scene.name,
        pack_dir=tmp_path / "pack",
        device="cpu",
        cache_dir=tmp_path / "cache",
        cache_bytes=1 << 30,
        common="",
        earlier={},
    )


def again(plan: Any, **changes: Any) -> Any:
    """The same dialogue read again: what each strip had is known from the character."""
    armature = bpy.data.objects[plan.armature_name]
    return replace(
        plan, earlier={line.name: line.key for line in armature.kinesics_dialogue.lines}, **changes
    )


def with_line(plan: Any, number: int, **changes: Any) -> tuple[Any, ...]:
    lines = list(plan.lines)
    lines[number] = replace(lines[number], **changes)
    return tuple(lines)


def run(dialogue: Any, plan: Any) -> Any:
    session = dialogue.DialogueSession(plan)
    session.run_to_end()
    session.finish()
    return session


def hip(character: Any) -> np.ndarray:
    return keys_of(character)[HIP]


def test_all_lines_and_the_pauses_in_one_action(
    dialogue: Any, plan: Any, character: Any, engine: Any
) -> None:
    session = run(dialogue, plan)
    assert session.num_written == 3 and session.problem is None
    assert all(np.array_equal(keys[:, 0], np.arange(1, 281)) for keys in keys_of(character).values())
    assert len(keys_of(bpy.data.objects["Face"].data.shape_keys)) == 52
    assert character.animation_data.action.name == "Ada Dialogue"
    assert [len(request.waveform) for request in engine.requests if request.waveform is not None] == [
        32000,
        48000,
        32000,
    ]
    (idle,) = [request for request in engine.requests if request.waveform is None]
    assert {direction.text for direction in idle.directions.values()} == {"stand still"}
    # Nothing jumps: also not where a line begins and a pause ends.
    turns = hip(character)[:, 1]
    assert np.abs(np.diff(turns, n=2)).max() < 0.03
    places = [keys_of(character)['pose.bones["pelvis"].location', axis][:, 1] for axis in (0, 2)]
    assert max(np.abs(np.diff(place)).max() for place in places) < 0.1


def test_what_did_not_change_is_not_made_again(dialogue: Any, plan: Any, character: Any, engine: Any) -> None:
    run(dialogue, plan)
    made, before = len(engine.requests), all_properties(character, 1e9, -1e9)
    session = run(dialogue, again(plan))
    assert len(engine.requests) == made and session.num_written == 0
    assert all_properties(character, 1e9, -1e9) == before


def test_hand_made_keys_stay_in_strips_that_did_not_change(
    dialogue: Any, plan: Any, character: Any, engine: Any, module: Any
) -> None:
    run(dialogue, plan)
    curve = module("operators.bridge.action").find_fcurve(character, *HIP)
    curve.keyframe_points[30].co[1] = 0.77
    before = hip(character)[:120]
    run(dialogue, again(plan, lines=with_line(plan, 2, seed=9)))
    assert np.array_equal(hip(character)[:120], before) and before[30, 1] == np.float32(0.77)


def test_moving_a_strip_moves_its_motion(dialogue: Any, plan: Any, character: Any, engine: Any) -> None:
    run(dialogue, plan)
    made, before = len(engine.requests), hip(character)
    session = run(dialogue, again(plan, lines=with_line(plan, 2, frame_start=251)))
    assert len(engine.requests) == made and session.num_written == 1
    after = hip(character)
    assert np.array_equal(after[:, 0], np.arange(1, 311)) and np.array_equal(after[:210], before[:210])
    assert np.abs(after[250 + 16 : 310, 1] - before[220 + 16 : 280, 1]).max() < 1e-4
    session = run(dialogue, again(plan))  # and back again: what lies behind the end now is taken away
    assert np.array_equal(hip(character), before)


def test_keys_edited_behind_a_moved_strip_stay(
    dialogue: Any, plan: Any, character: Any, engine: Any, module: Any
) -> None:
    """The last strip is as it was when the first moves, so its keys are not written again."""
    run(dialogue, plan)
    curve = module("operators.bridge.action").find_fcurve(character, HIP[0], 1)
    curve.keyframe_points[250].co[1] += 0.25
    before = hip(character)
    session = run(dialogue, again(plan, lines=with_line(plan, 0, frame_start=11)))
    assert session.num_written == 2
    after = hip(character)
    assert np.array_equal(after[:, 0], np.arange(11, 281))
    assert np.array_equal(after[210:], before[220:]) and not np.array_equal(after[:100], before[:100])


def test_an_edited_strip_alone_is_made_anew(dialogue: Any, plan: Any, character: Any, engine: Any) -> None:
    run(dialogue, plan)
    made = len(engine.requests)
    run(dialogue, again(plan, lines=with_line(plan, 1, seed=5)))
    assert [request.sampling.seed for request in engine.requests[made:]] == [5]
    made = len(engine.requests)
    run(dialogue, again(plan))
    assert len(engine.requests) == made


def test_a_trimmed_strip_needs_no_engine(dialogue: Any, plan: Any, character: Any, engine: Any) -> None:
    run(dialogue, plan)
    made, before = len(engine.requests), hip(character)
    sound = replace(plan.lines[1].sound, start_s=0.5, duration_s=2.0)
    run(dialogue, again(plan, lines=with_line(plan, 1, sound=sound, frame_start=136, num_frames=60)))
    assert len(engine.requests) == made
    assert np.abs(hip(character)[135 + 16 : 195, 1] - before[135 + 16 : 195, 1]).max() < 1e-3


def test_changed_instructions_ask_for_their_windows_only(
    dialogue: Any, plan: Any, character: Any, engine: Any, module: Any, tmp_path: Path
) -> None:
    specs = module("engine.specs")
    long = write_sound(tmp_path / "long.wav", 20.0)
    sound = replace(plan.lines[0].sound, path=str(long), duration_s=20.0)
    line = replace(plan.lines[0], sound=sound, num_frames=600)
    plan = replace(plan, lines=(line,))
    run(dialogue, plan)
    jump = specs.PartDirection(specs.Source.SPEECH, "", (specs.Segment(10.0, 12.0, "jump"),))
    line = replace(line, directions=line.directions | {specs.Part.LOWER: jump})
    run(dialogue, again(plan, lines=(line,)))
    assert engine.requests[-1].free == (300, 360) and engine.requests[-1].kept.num_frames == 600


def test_a_corrected_word_asks_for_its_windows_only(
    dialogue: Any, plan: Any, character: Any, engine: Any, tmp_path: Path
) -> None:
    """The sound is written anew, the same but for a second of it."""
    import soundfile

    long = write_sound(tmp_path / "long.wav", 20.0)
    sound = replace(plan.lines[0].sound, path=str(long), duration_s=20.0)
    plan = replace(plan, lines=(replace(plan.lines[0], sound=sound, num_frames=600),))
    run(dialogue, plan)
    before = hip(character)
    samples, rate = soundfile.read(long)
    samples[10 * rate : 11 * rate] *= 0.3
    soundfile.write(long, samples, rate)
    run(dialogue, again(plan))
    first, stop = engine.requests[-1].free
    assert first <= 300 and stop >= 330 and stop - first <= 2 * 32 * 4
    assert np.array_equal(hip(character)[:first], before[:first])
    assert np.array_equal(hip(character)[stop:, 1], before[stop:, 1])
    made = len(engine.requests)
    run(dialogue, again(plan))
    assert len(engine.requests) == made


def test_a_removed_strip_leaves_a_pause(dialogue: Any, plan: Any, character: Any, engine: Any) -> None:
    run(dialogue, plan)
    made = len(engine.requests)
    run(dialogue, again(plan, lines=(plan.lines[0], plan.lines[2])))
    assert len(engine.requests) == made and len(hip(character)) == 280
    assert [line.name for line in character.kinesics_dialogue.lines] == ["a", "c"]
    run(dialogue, again(plan, lines=plan.lines[1:2]))
    assert np.array_equal(hip(character)[:, 0], np.arange(121, 211))


def test_kept_parts_are_never_written(
    dialogue: Any, plan: Any, character: Any, engine: Any, module: Any
) -> None:
    specs = module("engine.specs")
    run(dialogue, replace(plan, parts=(specs.Part.UPPER,)))
    bones = {path.split('"')[1] for path, _ in keys_of(character)}
    joints = module("engine.motion.skeleton")
    assert bones == {joints.JOINT_NAMES[joint] for joint in joints.PART_JOINTS[specs.Part.UPPER]}


def test_locked_parts_are_never_written(
    dialogue: Any, plan: Any, character: Any, engine: Any, module: Any
) -> None:
    """Even if the lock was set after the plan was read."""
    run(dialogue, plan)
    before = keys_of(character)
    character.kinesics_locks.upper = True
    run(dialogue, replace(plan, lines=tuple(replace(line, seed=line.seed + 1) for line in plan.lines)))
    after = keys_of(character)
    joints = module("engine.motion.skeleton")
    upper = {joints.JOINT_NAMES[joint] for joint in joints.PART_JOINTS[module("engine.specs").Part.UPPER]}
    kept = {
        path.split('"')[1] for path, axis in after if np.array_equal(after[path, axis], before[path, axis])
    }
    assert upper <= kept and "left_hip" not in kept


def test_other_scene_rates(dialogue: Any, plan: Any, character: Any, engine: Any) -> None:
    bpy.context.scene.render.fps = 24
    lines = tuple(
        replace(line, num_frames=round(line.num_frames * 0.8), frame_start=start)
        for line, start in zip(plan.lines, (1, 49, 121), strict=True)
    )
    run(dialogue, replace(plan, fps=24.0, lines=lines))
    assert np.array_equal(hip(character)[:, 0], np.arange(1, 169))


def ticks(session: Any, until: Callable[[], bool], limit_s: float = 30.0) -> None:
    end = time.monotonic() + limit_s
    while not session.tick():
        if until():
            session.cancel()
        assert time.monotonic() < end, "the work did not end"
        time.sleep(0.005)


def test_strips_are_written_as_they_finish_and_cancel_keeps_them(
    dialogue: Any, plan: Any, character: Any, engine: Any
) -> None:
    engine.steps, engine.step_s = 20, 0.02
    session = dialogue.DialogueSession(plan)
    seen: list[tuple[int, dict[str, float]]] = []

    def second_runs() -> bool:
        animation = character.animation_data
        written = len(hip(character)) if animation is not None and animation.action is not None else 0
        seen.append((written, dict(session.fractions)))
        return 0.2 < session.fractions.get("b", 0.0) < 1.0

    ticks(session, second_runs)
    session.finish()
    assert session.cancel_requested and session.problem is None and session.num_written == 1
    assert any(written == 60 and known.get("b", 0.0) < 1.0 for written, known in seen)
    assert len(hip(character)) == 60 and [line.name for line in character.kinesics_dialogue.lines] == ["a"]
    engine.step_s, made = 0.0, len(engine.requests)
    assert run(dialogue, again(plan)).num_written == 2
    assert len([r for r in engine.requests[made:] if r.waveform is not None]) == 2


def test_cancel_puts_finished_lines_behind_in_their_places(
    dialogue: Any, plan: Any, character: Any, engine: Any
) -> None:
    run(dialogue, plan)
    before = hip(character)
    engine.steps, engine.step_s = 20, 0.02
    changed = again(
        plan, lines=with_line(replace(plan, lines=with_line(plan, 1, seed=7)), 2, frame_start=241)
    )
    session = dialogue.DialogueSession(changed)
    ticks(session, lambda: session.fractions.get("b", 0.0) > 0.2)
    session.finish()
    after = hip(character)
    assert np.abs(after[136:210, 1] - before[136:210, 1]).max() < 1e-4
    assert np.array_equal(after[:, 0], np.arange(1, 301))
    assert character.kinesics_dialogue.lines["b"].signature == ""


def test_a_crash_loses_the_running_strip_only(dialogue: Any, plan: Any, character: Any, engine: Any) -> None:
    """Another Blender is killed in the third strip; what lies on disk is enough to go on.

    A file half written is no harm.
    """
    file = plan.cache_dir.parent / "plan.pickle"
    file.write_bytes(pickle.dumps(plan))
    command = [sys.executable, "-c", KILLED, str(file)]
    ended = subprocess.run(command, cwd=REPOSITORY, check=False, timeout=240)
    assert ended.returncode == -signal.SIGKILL
    assert len(list(plan.cache_dir.glob("*.npz"))) == 3, "two strips, and the standing between them"
    (plan.cache_dir / "0123456789abcdef0123456789abcdef.1.part").write_bytes(b"half")
    made = len(engine.requests)
    run(dialogue, plan)
    assert [len(request.waveform) for request in engine.requests[made:]] == [32000]
    assert len(hip(character)) == 280


def test_a_motion_that_cannot_be_kept_is_written_all_the_same(
    dialogue: Any, plan: Any, character: Any, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail)
        session = run(dialogue, plan)
    assert session.num_written == 1 and "disk is full" in str(session.problem)
    assert len(hip(character)) == 60
    assert not list(plan.cache_dir.iterdir())
    assert run(dialogue, again(plan)).num_written == 2  # the first is as it was
    assert len(hip(character)) == 280


def test_a_strip_that_cannot_be_made_is_named_and_the_others_stay(
    dialogue: Any, plan: Any, character: Any, engine: Any, tmp_path: Path
) -> None:
    import soundfile

    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(48000), 16000)
    sound = replace(plan.lines[1].sound, path=str(silent))
    session = run(dialogue, replace(plan, lines=with_line(plan, 1, sound=sound)))
    assert str(session.problem).startswith('Strip "b": ') and "silent" in str(session.problem)
    assert len(hip(character)) == 60


def test_afresh_makes_everything_again(dialogue: Any, plan: Any, character: Any, engine: Any) -> None:
    run(dialogue, plan)
    made = len(engine.requests)
    assert run(dialogue, again(plan, afresh=True)).num_written == 3
    assert len([r for r in engine.requests[made:] if r.waveform is not None]) == 3


def test_an_undo_meanwhile_is_made_good(dialogue: Any, plan: Any, character: Any, engine: Any) -> None:
    session = dialogue.DialogueSession(plan)
    session.run_to_end()
    character.animation_data_clear()
    session.finish()
    assert len(hip(character)) == 280


def test_a_deleted_character_is_missed(
    dialogue: Any, plan: Any, character: Any, engine: Any, module: Any
) -> None:
    bpy.data.objects.remove(character)
    with pytest.raises(module("operators.errors").TargetLostError, match="choose a character"):
        run(dialogue, plan)


@pytest.fixture
def strips(scene: Any, character: Any, engine: Any, sounds: list[Path]) -> list[Any]:
    """The same dialogue as strips of the sequencer."""
    return [add_strip(path, start, path.stem) for path, start in zip(sounds, (1, 121, 221), strict=True)]


def states_of(dialogue: Any, planning: Any, strips: list[Any]) -> list[str]:
    """What the list says of each strip."""
    shared = planning.read_shared(bpy.context)
    return [dialogue.state_of(bpy.context, strip, shared)[1] for strip in strips]


@needs_audaspace
def test_the_button(strips: list[Any], character: Any, engine: Any, dialogue: Any, planning: Any) -> None:
    generate = bpy.ops.kinesics.generate_dialogue
    states = lambda: states_of(dialogue, planning, strips)  # noqa: E731
    assert states() == ["New"] * 3
    assert generate() == {"FINISHED"}
    assert len(hip(character)) == 280 and states() == ["Done"] * 3
    strips[2].frame_start = 241
    bpy.context.scene.kinesics.lower.source, bpy.context.scene.kinesics.lower.text = "TEXT", "walk"
    assert states() == ["Changed"] * 3
    bpy.context.scene.kinesics.lower.source = "SPEECH"
    assert states() == ["Done", "Done", "Moved"]
    made = len(engine.requests)
    assert generate() == {"FINISHED"}
    assert len(engine.requests) == made and len(hip(character)) == 300 and states() == ["Done"] * 3
    bpy.ops.wm.save_as_mainfile(filepath=str(Path(bpy.app.tempdir) / "dialogue.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(Path(bpy.app.tempdir) / "dialogue.blend"))
    assert generate() == {"FINISHED"} and len(engine.requests) == made


@needs_audaspace
def test_the_list_does_not_copy_packed_sounds(strips: list[Any], planning: Any) -> None:
    strips[1].sound.pack()
    shared = planning.read_shared(bpy.context)
    whole = planning.read_line(strips[1], shared)
    listed = planning.read_line(strips[1], shared, with_packed=False)
    assert whole.sound.packed is not None and listed.sound.packed is None
    assert listed.signature(shared.common) == whole.signature(shared.common)


@needs_audaspace
def test_repetitions_move_differently(
    strips: list[Any], engine: Any, planning: Any, sounds: list[Path]
) -> None:
    add_strip(sounds[0], 400, "once more")
    lines = planning.read_dialogue(bpy.context).lines
    assert [(line.name, line.seed) for line in lines] == [("a", 0), ("b", 0), ("c", 0), ("once more", 1)]


@needs_audaspace
def test_cuts_of_one_recording(
    scene: Any, character: Any, engine: Any, planning: Any, sounds: list[Path]
) -> None:
    first, second = add_strip(sounds[1], 1, "one"), add_strip(sounds[1], 1, "two")
    first.frame_offset_end, second.frame_offset_start = 45, 45
    lines = planning.read_dialogue(bpy.context).lines
    assert [(line.frame_start, line.num_frames, line.seed) for line in lines] == [(1, 45, 0), (46, 45, 0)]
    assert bpy.ops.kinesics.generate_dialogue() == {"FINISHED"}
    assert np.abs(np.diff(hip(character)[:, 1], n=2)).max() < 0.03


@needs_audaspace
def test_channel_and_mute_choose_strips(strips: list[Any], scene: Any, planning: Any) -> None:
    strips[1].channel = 5
    strips[2].mute = True
    names = lambda: [strip.name for strip in planning.dialogue_strips(scene)]  # noqa: E731
    assert names() == ["a", "b"]
    scene.kinesics.dialogue_channel = 5
    assert names() == ["b"]


@needs_audaspace
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("overlap", '"a" and "b" overlap.*choose the channel'),
        ("same", '"a" and "a.001" play the same sound at the same time: remove'),
        ("missing", 'strip "b" is missing .*restore'),
        ("instruction", 'Strip "a": Lower Body: .* overlap'),
        ("keep", "All four parts are set to Keep: choose"),
        ("locked", "is locked: open a lock"),
    ],
)
def test_bad_input_changes_nothing(
    strips: list[Any], scene: Any, character: Any, engine: Any, sounds: list[Path], fault: str, words: str
) -> None:
    settings = scene.kinesics
    if fault == "overlap":
        strips[1].channel = 4
        strips[1].frame_start = 31
    elif fault == "same":
        copy = add_strip(sounds[0], 400, "a.001")
        copy.channel = 7
        copy.frame_start = 2
    elif fault == "missing":
        sounds[1].unlink()
    elif fault == "instruction":
        for part in ("LOWER", "HANDS"):
            bpy.ops.kinesics.add_instruction(part=part, text="walk")
        strip = scene.sequence_editor.active_strip
        scene.sequence_editor.channels[strip.channel].name = "lower body"
    else:
        for part in ("face", "hands", "upper", "lower"):
            if fault == "keep":
                getattr(settings, part).source = "KEEP"
            else:
                setattr(character.kinesics_locks, part, True)
    before = fingerprint()
    assert re.search(words, refusal(bpy.ops.kinesics.generate_dialogue))
    assert not engine.requests and fingerprint() == before


def test_without_strips_the_button_says_so(scene: Any, character: Any) -> None:
    assert not bpy.ops.kinesics.generate_dialogue.poll()


@pytest.fixture
def real(module: Any, plan: Any, tiny_pack: Path) -> Iterator[Any]:
    """The dialogue on a whole engine."""
    module("operators.engine_host").release()
    yield replace(plan, pack_dir=tiny_pack)
    module("operators.engine_host").release()


def test_through_a_whole_engine(dialogue: Any, real: Any, character: Any, module: Any) -> None:
    specs = module("engine.specs")
    assert run(dialogue, real).problem is None
    before = hip(character)
    assert np.array_equal(before[:, 0], np.arange(1, 281)) and np.isfinite(before).all()
    assert run(dialogue, again(real)).num_written == 0
    jump = specs.PartDirection(specs.Source.SPEECH, "", (specs.Segment(1.5, 3.0, "jump"),))
    changed = real.lines[1].directions | {specs.Part.LOWER: jump}
    session = run(dialogue, again(real, lines=with_line(real, 1, directions=changed)))
    assert session.num_written == 2 and session.problem is None
    after = hip(character)
    same = np.isclose(after[:, 1], before[:, 1], atol=1e-5)
    # Steps are 4 frames: the windows before 1.5 s of the second line, at frame 121, stay as they are.
    assert same[:160].all() and not same[168:200].all()


@needs_audaspace
def test_the_list_shows_strips_and_states(
    strips: list[Any], scene: Any, character: Any, module: Any, dialogue: Any
) -> None:
    panels, lists = module("ui.panels"), module("ui.dialogue_panel")
    items = bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items
    assert set(lists.ICONS.values()) <= {item.identifier for item in items}
    assert set(lists.ICONS) == set(dialogue.LineState)
    layout = Layout()
    panels.KINESICS_PT_dialogue.draw(SimpleNamespace(layout=layout), bpy.context)
    assert "KINESICS_UL_dialogue" in layout.drawn
    assert layout.drawn.count("kinesics.generate_dialogue") == 1
    bpy.ops.kinesics.add_instruction(part="LOWER", text="walk")
    strips[0].frame_start = 500
    editor = scene.sequence_editor
    name = "strips" if hasattr(editor, "strips") else "sequences"
    shown = lists.KINESICS_UL_dialogue
    flags, order = shown.filter_items(SimpleNamespace(bitflag_filter_item=1 << 30), bpy.context, editor, name)
    everything = [strip.name for strip in getattr(editor, name)]
    listed = sorted((place, text) for place, text, flag in zip(order, everything, flags, strict=True) if flag)
    assert [text for _, text in listed] == ["b", "c", "a"] and sorted(order) == list(range(4))
    layout = Layout()
    shown.draw_item(None, bpy.context, layout, editor, strips[1], 0, None, "")
    assert layout.drawn == ["b", "New"]
    layout = Layout()
    panels.KINESICS_PT_main.draw(SimpleNamespace(layout=layout), bpy.context)
    assert "On the timeline: 1" in layout.drawn


@needs_audaspace
def test_the_list_while_it_runs(strips: list[Any], dialogue: Any, planning: Any, module: Any) -> None:
    generate = module("operators.generate")
    session = dialogue.DialogueSession(planning.read_dialogue(bpy.context))
    session.fractions |= {"a": 1.0, "b": 0.42}
    generate._session = session
    try:
        assert states_of(dialogue, planning, strips) == ["Done", "42%", "Waiting"]
    finally:
        generate._session = None
