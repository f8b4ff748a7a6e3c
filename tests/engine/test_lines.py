# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of a dialogue: what changed in one, joints between them, and finished motions on disk."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import StorageError
from engine.line_cache import LineCache
from engine.lines import STEP_S, LineRecord, changed_steps, heard_in, remake, stale_runs, words_of
from engine.motion.clip import Clip
from engine.motion.feet_track import FeetTrack
from engine.motion.rotations import axis_angle_to_matrix, heading_angle
from engine.motion.sequencing import follow, shifted, spliced
from engine.specs import PARTS, GenerateRequest, GenerateResult, Part, PartDirection, Segment, Source

FPS = 30.0


def waving(num_frames: int, seed: int = 0, speed: float = 0.0) -> Clip:
    """Every joint and face channel moves smoothly; the body walks along Z."""
    rng = np.random.default_rng(seed)
    times = np.arange(num_frames)[:, None] / FPS
    rest = Clip.rest(num_frames, FPS)
    poses = 0.3 * np.sin(times * rng.uniform(1, 4, 165) + rng.uniform(0, 6, 165))
    trans = rest.trans + np.array([0.0, 0.0, 1.0]) * speed * times
    face = 0.5 + 0.4 * np.sin(times * rng.uniform(2, 6, 52))
    return replace(rest, poses=poses.reshape(num_frames, 55, 3), trans=trans, expressions=face)


def directions(lower: PartDirection | None = None) -> dict[Part, PartDirection]:
    return dict.fromkeys(PARTS, PartDirection()) | ({Part.LOWER: lower} if lower else {})


def record(duration_s: float = 9.0, start_s: float = 1.0, sound: str = "a", rest: str = "r", **known: object):
    words = words_of(directions(**known), duration_s)  # type: ignore[arg-type]
    return LineRecord(sound, start_s, duration_s, words, rest)


def joints(clip: Clip) -> np.ndarray:
    """Change of velocity from frame to frame of all joints, (F - 2,)."""
    turns = axis_angle_to_matrix(clip.poses.astype(np.float64))
    return np.abs(np.diff(turns, n=2, axis=0)).max(axis=(1, 2, 3))


def test_other_ingredients_other_key() -> None:
    one = record()
    assert one.key == record().key == LineRecord.from_json(one.to_json()).key and len(one.key) == 32
    others = [
        record(duration_s=8.9),
        record(start_s=1.1),
        record(sound="b"),
        record(rest="s"),
        record(lower=PartDirection(Source.TEXT, "walk forward")),
    ]
    assert len({one.key, *(other.key for other in others)}) == 6


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"sound": 1}', '{"sound": "a", "rest": "b", "words": [1], "start_s": 0.0, "duration_s": 1}'],
)
def test_a_damaged_record_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        LineRecord.from_json(text)


def test_trims_change_only_what_was_not_heard_before() -> None:
    old = record(duration_s=8.0, start_s=1.0)
    assert not any(changed_steps(old, record(duration_s=6.0, start_s=1.0)))
    head = changed_steps(old, record(duration_s=6.0, start_s=2.0))
    assert not any(head)
    longer = changed_steps(old, record(duration_s=10.0, start_s=1.0))
    assert not any(longer[:60]) and all(longer[60:])
    both = changed_steps(old, record(duration_s=8.0, start_s=0.0))
    assert all(both[:7]) and not any(both[8:])
    assert all(changed_steps(old, record(sound="b"))) and all(changed_steps(old, record(rest="other seed")))


def test_a_corrected_word_in_the_sound_changes_only_the_steps_it_is_heard_in() -> None:
    rng = np.random.default_rng(0)
    wave = rng.uniform(-0.5, 0.5, 9 * 16000).astype(np.float32)
    other = wave.copy()
    other[round(4.1 * 16000) : round(4.5 * 16000)] *= -0.5
    old = replace(record(sound="a"), heard=heard_in(wave))
    noise = rng.uniform(-1e-4, 1e-4, len(wave)).astype(np.float32)
    new = replace(record(sound="b"), heard=heard_in(0.97 * other + noise))  # exported by another program
    changed = changed_steps(old, new)
    assert [step for step, is_new in enumerate(changed) if is_new] == [30, 31, 32, 33]
    longer = replace(record(sound="b", duration_s=10.0), heard=heard_in(np.pad(other, (0, 16000))))
    assert changed_steps(old, longer)[:67] == changed[:67] and all(changed_steps(old, longer)[68:])
    # What was not listened to step by step, or begins elsewhere in the file, is another sound altogether.
    assert all(changed_steps(record(sound="a"), new))
    assert all(changed_steps(replace(old, start_s=1.1), new))
    assert old.key == record(sound="a").key, "it names no other motion"
    assert LineRecord.from_json(old.to_json()) == old


@pytest.mark.parametrize("start_s", [5.0, 7.0, 5.1, 5.13])
def test_an_instruction_changes_the_steps_that_its_window_draws(start_s: float) -> None:
    """Where it begins in the middle of a step, the window before must not be made anew with it."""
    jump = PartDirection(Source.SPEECH, "", (Segment(start_s, start_s + 2.0, "jump"),))
    changed = changed_steps(record(), record(lower=jump))
    (run,) = stale_runs(GenerateRequest(directions(jump), duration_s=9.0), 9.0, changed)
    assert run[0] == round(start_s * 7.5) * 4 and run[1] == min(round((start_s + 2.0) * 7.5) * 4, 270)


def test_only_windows_with_a_change_are_stale() -> None:
    jump = PartDirection(Source.SPEECH, "", (Segment(10.0, 12.0, "jump"),))
    old = record(duration_s=20.0)
    new = record(duration_s=20.0, lower=jump)
    request = GenerateRequest(directions(jump), duration_s=20.0)
    runs = stale_runs(request, 20.0, changed_steps(old, new))
    assert runs == [(300, 360)]
    assert stale_runs(request, 20.0, [False] * 150) == []
    assert stale_runs(request, 20.0, [True] * 150) == [(0, 600)]


class Recorder:
    """Stands in for an engine: notes what it is asked and answers with other motion where it may."""

    def __init__(self) -> None:
        self.requests: list[GenerateRequest] = []

    def generate(
        self, request: GenerateRequest, progress: object = None, cancel: object = None, show: object = None
    ):
        self.requests.append(request)
        assert request.duration_s is not None
        clip = waving(round(request.duration_s * 30), seed=len(self.requests) + 10, speed=0.5)
        return GenerateResult(clip, clip.duration_s, 0.0, {})

    def generate_many(
        self,
        requests: list[GenerateRequest],
        progress: object = None,
        cancel: object = None,
        show: object = None,
    ):
        return [self.generate(request) for request in requests]


def quiet(fraction: float, text: str) -> None:
    """Progress nobody looks at."""


def test_remake_draws_the_changed_windows_and_keeps_the_rest() -> None:
    jump = PartDirection(Source.SPEECH, "", (Segment(10.0, 12.0, "jump"),))
    request = GenerateRequest(directions(jump), duration_s=20.0)
    records = record(duration_s=20.0), record(duration_s=20.0, lower=jump)
    engine, old = Recorder(), waving(600, speed=1.0)
    new = remake(engine, request, records, old, quiet, lambda: False)
    assert [asked.free for asked in engine.requests] == [(300, 360)]
    assert np.array_equal(new.poses[:300], old.poses[:300])
    assert np.array_equal(new.trans[:300], old.trans[:300])
    assert np.array_equal(new.poses[360:, 1:], old.poses[360:, 1:])
    assert np.array_equal(new.expressions[360:], old.expressions[360:])
    assert not np.allclose(new.poses[305:355], old.poses[305:355])
    # Nothing jerks where they meet more than they do by themselves, and the walk goes on at its speed.
    assert joints(new).max() <= 1.25 * max(joints(old).max(), joints(waving(600, seed=11)).max())
    steps = np.linalg.norm(np.diff(new.pelvis_positions[:, [0, 2]], axis=0), axis=1)
    assert steps.max() < 2.5 / 30 and np.allclose(steps[365:], 1.0 / 30, atol=1e-4)


def test_a_trim_asks_the_engine_for_nothing() -> None:
    engine, old = Recorder(), waving(240, speed=1.0)
    records = record(duration_s=8.0, start_s=1.0), record(duration_s=5.0, start_s=2.0)
    request = GenerateRequest(directions(), duration_s=5.0)
    new = remake(engine, request, records, old, quiet, lambda: False)
    assert not engine.requests and np.array_equal(new.poses, old.poses[30:180])


def test_a_longer_strip_goes_on_from_its_motion() -> None:
    engine, old = Recorder(), waving(240, speed=1.0)
    records = record(duration_s=8.0), record(duration_s=12.0)
    new = remake(engine, GenerateRequest(directions(), duration_s=12.0), records, old, quiet, lambda: False)
    ((first, stop),) = [asked.free for asked in engine.requests if asked.free is not None]
    assert stop == 360 and 200 < first <= 240 and new.num_frames == 360
    assert np.array_equal(new.poses[:first], old.poses[:first])


def test_everything_else_is_made_whole() -> None:
    engine = Recorder()
    records = record(duration_s=8.0), record(duration_s=8.0, sound="b")
    remake(engine, GenerateRequest(directions(), duration_s=8.0), records, waving(240), quiet, lambda: False)
    assert [asked.free for asked in engine.requests] == [None]


@pytest.mark.parametrize(("first", "stop"), [(0, 40), (40, 90), (90, 120), (0, 120), (119, 120), (0, 1)])
def test_spliced_keeps_what_it_shall(first: int, stop: int) -> None:
    base, made = waving(120, 1, 1.0), waving(120, 2, 0.3)
    new = spliced(base, made, first, stop)
    assert new.num_frames == 120
    low, high = min(first, max(stop - 16, 0)), max(stop, min(first + 16, 120))
    assert np.array_equal(new.poses[:low], base.poses[:low])
    assert np.array_equal(new.poses[high:, 1:], base.poses[high:, 1:])


@pytest.mark.parametrize("pause", [0, 1, 5, 20, 29, 30, 60, 300])
def test_a_line_follows_another(pause: int) -> None:
    before, after, idle = waving(120, 1, 1.2), waving(90, 2, 0.4), waving(60, 3)
    turned = after.moved(turn=1.3, shift=(5.0, -3.0))
    piece = follow(before, pause, turned, idle)
    assert piece.num_frames == pause + 90
    whole = before.joined(piece)
    # A cut is a jump of most of a radian within one frame.
    assert joints(whole)[100:].max() < 0.15 * joints(before.joined(after, align=True)).max()
    steps = np.linalg.norm(np.diff(whole.pelvis_positions[:, [0, 2]], axis=0), axis=1)
    assert steps.max() < 1.6 * 1.2 / 30
    # The line itself is what it was, but for the joint at its head, and faces as the one before ends.
    head = pause + 16
    assert np.abs(piece.poses[head:, 1:] - after.poses[16:, 1:]).max() < 1e-4
    facing = heading_angle(axis_angle_to_matrix(np.stack([before.poses[-1, 0], after.poses[0, 0]])))
    turn = heading_angle(axis_angle_to_matrix(piece.poses[-1:, 0].astype(np.float64)))[0]
    own = heading_angle(axis_angle_to_matrix(after.poses[-1:, 0].astype(np.float64)))[0]
    difference = (turn - own) - (facing[0] - facing[1])
    assert abs(np.angle(np.exp(1j * difference))) < 0.02


def test_a_long_pause_is_not_frozen() -> None:
    piece = follow(waving(120, 1), 300, waving(90, 2), waving(60, 3))
    held = np.abs(np.diff(piece.poses[60:240], axis=0)).max(axis=(1, 2))
    assert held.min() > 1e-4
    frozen = follow(waving(120, 1), 300, waving(90, 2), None)
    assert np.abs(np.diff(frozen.poses[60:240], axis=0)).max() < 1e-6


def test_shifted_holds_its_ends() -> None:
    clip = waving(10)
    assert np.array_equal(shifted(clip, 3, 10).poses[:7], clip.poses[3:])
    assert np.array_equal(shifted(clip, -2, 5).poses[0], clip.poses[0])


def test_the_cache_gives_back_what_it_was_given(tmp_path: Path) -> None:
    cache = LineCache(tmp_path / "deep" / "folder", 1 << 30)
    feet = FeetTrack.of_values(np.random.default_rng(3).random((60, 25), dtype=np.float32))
    clip, known = replace(waving(60), feet=feet), record()
    assert cache.load(known.key) is None
    cache.store(clip, known)
    found = cache.load(known.key)
    assert found is not None and found[1] == known
    assert np.array_equal(found[0].poses, clip.poses) and np.array_equal(found[0].trans, clip.trans)
    assert np.array_equal(found[0].expressions, clip.expressions)
    assert found[0].feet is not None and np.array_equal(found[0].feet.values, feet.values)
    assert {path.suffix for path in cache.folder.iterdir()} == {".npz", ".json"}


def test_a_damaged_entry_is_as_good_as_none(tmp_path: Path) -> None:
    cache, known = LineCache(tmp_path, 1 << 30), record()
    cache.store(waving(30), known)
    npz = tmp_path / f"{known.key}.npz"
    whole = npz.read_bytes()
    npz.write_bytes(whole[: len(whole) // 2])
    assert cache.load(known.key) is None
    npz.write_bytes(whole)
    (tmp_path / f"{known.key}.json").write_text(record(rest="another").to_json())
    assert cache.load(known.key) is None
    (tmp_path / f"{known.key}.json").write_text("{")
    assert cache.load(known.key) is None
    assert cache.load("../../etc/passwd") is None


def test_the_longest_unused_go_first_and_leftovers_before_them(tmp_path: Path) -> None:
    records = [record(rest=str(number)) for number in range(4)]
    plenty = LineCache(tmp_path, 1 << 30)
    for number, known in enumerate(records[:3]):
        plenty.store(waving(30, number), known)
        for suffix in (".npz", ".json"):
            os.utime(tmp_path / f"{known.key}{suffix}", (1000 + number, 1000 + number))
    left = tmp_path / f"{records[0].key}.4711.part"
    left.write_bytes(b"x" * 1000)
    assert plenty.load(records[0].key) is not None  # used now
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    tight = LineCache(tmp_path, size)
    tight.store(waving(30, 9), records[3])
    there = [tight.load(known.key) is not None for known in records]
    assert there == [True, False, True, True] and not left.exists()
    assert tight.clear() > 0 and not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        LineCache(tmp_path / "file" / "folder", 1 << 30).store(waving(10), record())


def test_words_are_told_apart_by_steps() -> None:
    walk = PartDirection(Source.TEXT, "", (Segment(0.0, 1.0, "walk"), Segment(1.0, 2.0, "run")))
    words = words_of(directions(walk), 2.0)
    assert len(words) == 15 and "walk" in words[6] and "run" in words[8]
    assert words_of(directions(walk), 2.0 + STEP_S / 2)[:15] == words
    moved = {part: replace(known, emotion="fear") for part, known in directions(walk).items()}
    assert not set(words_of(moved, 2.0)) & set(words), "another emotion is another motion"
