# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups of rows on a stand-in engine that obeys, and on ones that each break one promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from engine.asking import AskRequest, Description, EmotionAnswer
from engine.evaluation import __main__ as evaluation
from engine.evaluation import (
    action_rows,
    both_rows,
    cospeech_rows,
    emotion_rows,
    engine_rows,
    fresh_rows,
    further,
    reading_rows,
    science_rows,
    speech_rows,
    text_rows,
)
from engine.evaluation.evaluator import train_evaluator
from engine.evaluation.held_out import CapturedItem, Speech, long_speech
from engine.evaluation.probes import ACTION_PROBES, PROBES, Bound, probe_for
from engine.evaluation.report import Row
from engine.evaluation.studio import Studio, request_seconds, same_part, speech_request, text_request
from engine.motion.arkit import ARKIT_NAMES
from engine.motion.arrays import FloatArray
from engine.motion.clip import Clip
from engine.motion.features import LOWER_ROTATIONS, rest_features, starter_clip
from engine.motion.rotations import axis_angle_to_rotation_6d
from engine.specs import EMOTIONS, PARTS, GenerateRequest, GenerateResult, Part, Source
from engine.training import starter
from engine.training.recipe import load_recipe
from tests.stage_material import tiny_encoder

FPS = 30


def legs(words: str, num: int, offset: float = 0.0) -> FloatArray:
    """Starter lower features that do what the words say, (F, 62)."""
    t = np.arange(num) / FPS + offset
    features = rest_features(Part.LOWER, num)
    walking, running = any(w in words for w in ("walk", "stroll")), "run" in words
    if walking or running:
        speed = (3.0 if running else 1.1) * (0.7 if "slowly" in words else 1.4 if "quickly" in words else 1.0)
        features[:, 1] = -0.8 * speed if "back" in words else speed
        features[:, 3] = np.radians(300.0 / 8.0) * ("circle" in words)
        swing = 0.5 * np.sin(np.pi * (2.6 if running else 1.8) * t)
        joints = np.zeros((num, 9, 3))
        joints[:, 1, 0], joints[:, 2, 0] = -swing, swing
        features[:, LOWER_ROTATIONS] = axis_angle_to_rotation_6d(joints).reshape(num, -1)
    if "jump" in words:
        phase = (t - offset - 1.0) / 0.5
        features[:, 2] += np.where((phase > 0) & (phase < 1), 4 * phase * (1 - phase) * 0.35, 0.0)
    return features.astype(np.float32)


@dataclass
class StandIn:
    """An engine of formulas: legs by words, jaw and arms by the sound.

    Attributes:
        fault: The promise it breaks: "deaf", "stubborn", "forgetful", "restless" or none.
    """

    fault: str = ""
    calls: int = 0

    def generate(self, request: GenerateRequest) -> GenerateResult:
        self.calls += 1
        num = round(request_seconds(request) * FPS)
        rng = np.random.default_rng(request.sampling.seed + (self.calls if self.fault == "restless" else 0))
        words = request.directions[Part.LOWER].text or "stand"
        words = "stand" if self.fault == "stubborn" else words
        upper = rest_features(Part.UPPER, num) + 0.01 * rng.normal(size=(1, 78)).astype(np.float32)
        face = np.zeros((num, 52), np.float32)
        face[:, ARKIT_NAMES.index("mouthFunnel")] = rng.uniform(size=num)
        face[:, ARKIT_NAMES.index("mouthStretchLeft")] = rng.uniform(size=num)
        face[:, ARKIT_NAMES.index("mouthPressLeft")] = rng.uniform(size=num)
        if request.waveform is not None and self.fault != "deaf":
            sound = Speech("", request.waveform).envelope()
            face[:, ARKIT_NAMES.index("jawOpen")] = sound[:num] / sound.max()
        clip = starter_clip(
            {
                Part.LOWER: legs(words, num, rng.uniform(0, 0.2)),
                Part.UPPER: upper,
                Part.FACE: face,
                Part.HANDS: rest_features(Part.HANDS, num) + 0.01 * rng.normal(size=(1, 180)),
            }
        )
        for part, direction in request.directions.items():
            if direction.source is Source.KEEP and request.kept is not None:
                clip = clip.with_part(part, request.kept)
        if self.fault == "forgetful":
            clip = replace(clip, poses=clip.poses + np.float32(1e-6))
        return GenerateResult(clip, num / FPS, 0.1, {})

    def generate_many(self, requests: Sequence[GenerateRequest]) -> list[GenerateResult]:
        return [self.generate(request) for request in requests]

    def window_joints(self, num_frames: int) -> list[int]:
        return list(range(120, num_frames, 120))


def voice(seconds: float, seed: int) -> Speech:
    """Syllables of noise with pauses."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * 16000)) / 16000
    loud = np.clip(np.sin(2 * np.pi * 2.3 * t + rng.uniform(0, 6)), 0, 1) * (np.sin(t + seed) > -0.5)
    return Speech(f"voice {seed}", (0.3 * loud * rng.normal(size=len(t))).clip(-1, 1).astype(np.float32))


def item(action: str, split: str, num: int = 150) -> CapturedItem:
    words = action.replace("_", " ")
    upper = rest_features(Part.UPPER, num)
    return CapturedItem(f"{action} {split}", "00_01", action, split, "none", legs(words, num), upper)


def studio(fault: str = "") -> Studio:
    captured = [item(action, split) for action in ("walk_forward", "jump") for split in ("train", "held")]
    return Studio(
        engine=StandIn(fault),
        speech=[voice(10.5, seed) for seed in range(4)],
        captured=captured,
        num_seeds=2,
        num_files=4,
        num_long=1,
    )


def row(rows: Sequence[Row], start: str) -> Row:
    return next(r for r in rows if r.what.startswith(start))


def test_an_obedient_engine_passes_every_probe() -> None:
    rows, walks = text_rows.probe_rows(studio())
    for probe in PROBES:
        assert row(rows, f'"{probe.prompt}"').passed, row(rows, f'"{probe.prompt}"').measured
        assert row(rows, f'wrong instruction: passes "{probe.prompt}"').value < 0.2
    assert row(rows, "mean run speed").passed
    assert len(walks) == 2


def test_an_engine_that_ignores_words_fails_all_but_standing() -> None:
    rows, _ = text_rows.probe_rows(studio("stubborn"))
    passed = [probe.prompt for probe in PROBES if row(rows, f'"{probe.prompt}"').passed]
    assert passed == ["stand still"]
    assert row(rows, "mean run speed").passed is False


def test_captured_clips_are_probed_by_label() -> None:
    checks = {c.probe.action: c for c in text_rows.check_captured(studio().captured, "train")}
    assert checks["walk_forward"].passed == 1
    assert checks["jump"].passed == 1
    assert checks["run_forward"].measures == []
    mislabelled = replace(item("walk_forward", "train"), action="run_forward")
    (failed,) = [c for c in text_rows.check_captured([mislabelled], "train") if c.measures]
    assert failed.passed == 0
    assert "forward speed" in failed.failures[0][1][0]
    assert "1.10 to 1.10, 2 clips" in text_rows.bounds_note(studio())


def test_edits_keep_the_other_parts_and_this_is_checked_to_the_bit() -> None:
    rows = both_rows.edit_rows(studio())
    kept = row(rows, "face, hands and upper")
    assert kept.passed
    assert kept.measured == "10 of 10 edits"
    assert row(rows, 'edit: "jump"').passed
    assert row(both_rows.edit_rows(studio("forgetful")), "face, hands and upper").passed is False


def test_control_sees_an_engine_that_draws_anew_each_time() -> None:
    good, bad = both_rows.control_rows(studio()), both_rows.control_rows(studio("restless"))
    assert all(r.passed for r in good)
    assert row(bad, "same request").passed is False
    assert row(both_rows.control_rows(studio("forgetful")), "each part locked").passed is False


def test_lips_follow_the_right_voice_only() -> None:
    scene = studio()
    sounds = scene.voices()
    clips = scene.clips([speech_request(s, i) for i, s in enumerate(sounds)], "")
    rows = speech_rows.lip_rows(clips, sounds, clips)
    assert row(rows, "jaw opening with").passed
    assert row(rows, "jaw opening in silence").passed
    assert row(rows, "- generated against").value < 0.5
    deaf = studio("deaf").clips([speech_request(s, i) for i, s in enumerate(sounds)], "")
    assert row(speech_rows.lip_rows(deaf, sounds, clips), "jaw opening with").passed is False


def test_together_and_seams_have_their_goals() -> None:
    rows = both_rows.together_rows(studio())
    assert row(rows, 'legs: "walk forward"').passed
    assert row(rows, "lips").passed
    assert row(rows, "- generated against another's voice").value < 0.5 < row(rows, "lips").value
    assert row(rows, "beat consistency").passed is False
    assert row(speech_rows.seam_rows(studio()), "acceleration at 14 window joints").passed is not None


class Shifted:
    """A tokenizer that is off by the same amount in every value; only what the rows call."""

    def __init__(self, shift: float) -> None:
        self.shift = shift

    def encode(self, features: torch.Tensor) -> torch.Tensor:
        return features

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        return codes + self.shift


@pytest.mark.parametrize(("shift", "passes"), [(0.0, True), (0.01, True), (0.4, False)])
def test_tokenizer_rows_judge_by_the_error(shift: float, passes: bool) -> None:
    codec = Shifted(shift)
    rows = engine_rows.tokenizer_rows(studio(), {Part.LOWER: codec, Part.UPPER: codec})  # type: ignore[dict-item]
    assert row(rows, "MPJPE").passed is passes
    assert row(rows, "mean joint angle").passed is passes
    if shift == 0.0:
        assert row(rows, "MPJPE").value == pytest.approx(0.0, abs=1e-2)
        assert row(rows, "mean joint angle").value == pytest.approx(0.0, abs=1e-2)


def test_a_constant_turn_error_counts_as_drift_and_not_as_pose() -> None:
    true = {Part.LOWER: legs("walk", 64), Part.UPPER: rest_features(Part.UPPER, 64)}
    turned = {part: np.array(values) for part, values in true.items()}
    turned[Part.LOWER][:, 3] += 0.5
    error = engine_rows.codec_error(true, turned)
    assert error.mpjpe == pytest.approx(0.0, abs=1e-3)
    assert error.angle == pytest.approx(0.0, abs=1e-3)
    assert error.mpjpe_drifting > 50.0


def test_same_part_is_about_bits() -> None:
    a = Clip.rest(10, 30.0)
    assert all(same_part(a, Clip.rest(10, 30.0), part) for part in PARTS)
    moved = replace(a, trans=a.trans + np.float32(1e-6))
    assert not same_part(a, moved, Part.LOWER)
    assert same_part(a, moved, Part.UPPER)
    smiling = replace(a, expressions=a.expressions + np.float32(1e-7))
    assert not same_part(a, smiling, Part.FACE)


def test_requests_are_what_the_goals_ask_for() -> None:
    request = text_request("jump", 5.0, 3)
    assert {p: d.source for p, d in request.directions.items()} == {
        Part.LOWER: Source.TEXT,
        Part.UPPER: Source.TEXT,
    }
    edit = speech_request(voice(8.0, 0), 3, lower="jump", kept=Clip.rest(240, 30.0))
    assert edit.directions[Part.FACE].source is Source.KEEP
    assert edit.directions[Part.LOWER].text == "jump"
    assert request_seconds(edit) == pytest.approx(8.0)
    assert long_speech([voice(3.0, 0)], 60.0).seconds == 60.0


def test_results_come_back_in_the_order_asked() -> None:
    lengths = [5.0, 2.0, 8.0, 2.0]
    clips = studio().clips([text_request("walk", seconds, i) for i, seconds in enumerate(lengths)], "")
    assert [clip.num_frames for clip in clips] == [150, 60, 240, 60]


class Oracle:
    """Tells every emotion as the one it was made with."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = list(labels)

    def emotion(self, request: AskRequest) -> EmotionAnswer:
        return EmotionAnswer(self.labels.pop(0), {})


def test_emotion_rows_stand_beside_chance() -> None:
    true = ["anger", "fear", "anger", "sadness"]
    asked = [EMOTIONS[number % 8] for number in range(len(studio().voices()))]
    oracle = Oracle(["anger", "anger", "anger", "sadness", *asked])
    clips = [(Clip.rest(60, 30.0), label) for label in true]
    rows = emotion_rows.emotion_rows(studio(), oracle, clips)  # type: ignore[arg-type]
    assert row(rows, "accuracy, held-out").value == pytest.approx(0.75)
    assert row(rows, "accuracy, generated").value == pytest.approx(1.0)
    assert row(rows, "- chance, labels").value == pytest.approx(0.25 + 2 / 16)
    assert row(rows, "- fear is told as").measured == "anger 1"
    assert row(rows, "- neutral is told as").measured == "does not occur"
    marks = [mark for r in rows for mark in r.marks if mark.figure == "emotion-performed"]
    shares = {(mark.category, mark.series): mark.value for mark in marks}
    assert shares["anger", "anger"] == 1.0 and shares["fear", "anger"] == 1.0 and len(shares) == 64
    assert row(rows, "words, labels of held-out").measured.startswith("BLEU-1 0.750, ROUGE-L 0.750")
    first_chance = row(rows, "- chance, the same words").value
    assert row(rows, "words, labels of held-out").value > 1.5 * first_chance > 0.0


def test_descriptions_are_compared_with_captions() -> None:
    captured = [
        replace(item(text, "held", 60 + number), captions=(text, f"a person {text}s"))
        for number, text in enumerate(("walk", "jump", "kick"))
    ]
    said = {60: "a person walks", 61: "a person jumps", 62: "a person kicks"}

    class Describer:
        def describe(self, request: AskRequest) -> Description:
            return Description(said[request.clip.num_frames], 0.0)

    rows = emotion_rows.description_rows(studio(), Describer(), captured)  # type: ignore[arg-type]
    assert row(rows, "words, descriptions").measured.startswith("BLEU-1 1.000, ROUGE-L 1.000")
    assert row(rows, "words, descriptions").value > 1.5 * row(rows, "- chance").value
    assert emotion_rows.description_rows(studio(), Describer(), captured[:0]) == []  # type: ignore[arg-type]


def upper_means(clips: Sequence[Clip]) -> FloatArray:
    """A stand-in for gesture features: arm rotations every 16 frames."""
    return np.concatenate([clip.poses[::16, 16:20].reshape(-1, 12) for clip in clips])


def test_cospeech_rows_read_every_metric_matched_and_mismatched() -> None:
    scene = replace(studio(), captured=[item("walk_forward", "held", 620), item("jump", "train", 100)])
    rows = cospeech_rows.cospeech_rows(scene, {"arms": upper_means})
    groups = ("generated", "performer, another performance", "captured motion, no speech", "standing still")
    for group in groups:
        assert row(rows, f"FGD to the performer, arms: {group}").value > 0.0
        assert "another's" in row(rows, f"BC, threshold 0.3, {group}").measured
        assert "as published" in row(rows, f"BC, threshold 0.1, {group}").measured
        assert row(rows, f"L1div, {group}").value >= 0.0
        for what in ("foot sliding", "feet below the floor", "jerk"):
            assert row(rows, f"{what}, {group}").value >= 0.0
        own = [r for r in rows if r.what == f"face against the performer, own sound, {group}"]
        assert bool(own) == (group != groups[2]), "a clip without a face is not compared"
    assert (
        row(rows, "FGD to the performer, arms: performer").value
        < row(rows, "FGD to the performer, arms: generated").value
    )
    again, wrong = (
        row(rows, f"face against the performer, {pairing}, performer").value
        for pairing in ("own sound", "another's sound")
    )
    assert again < wrong, "two performances of one sound have like faces"
    for threshold in ("0.3", "0.1"):
        found = row(rows, f"BC, threshold {threshold}, performer")
        marks = {mark.series: mark.value for mark in found.marks}
        assert marks[f"own sound, threshold {threshold}"] == found.value > 0.0
        assert marks[f"another's sound, threshold {threshold}"] not in (0.0, found.value)
    assert row(rows, "jerk, standing").value == 0.0 < row(rows, "jerk, performer").value
    assert "window joints" in " ".join(r.what for r in rows)
    body = row(rows, "body against the performer, own sound, generated").measured
    assert all(name in body for name in ("MPJPE", "PA-MPJPE", "ACCEL"))


def test_the_published_network_is_read_where_its_file_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = SimpleNamespace(latents=upper_means, error=lambda _: 0.5)
    monkeypatch.setattr(further, "load_or_train_autoencoder", lambda *_: ours)
    monkeypatch.setattr(further, "performance_motions", lambda *_: [])
    monkeypatch.setattr(further, "load_gesture_encoder", {Path("given.bin"): ours}.__getitem__)
    told = {
        path: " ".join(r.what for r in further.speech_rows(studio(), further.Material(Path("none"), path)))
        for path in (None, Path("given.bin"))
    }
    assert all("FGD to the performer, our autoencoder: generated" in what for what in told.values())
    assert "AESKConv" in told[Path("given.bin")] and "AESKConv" not in told[None]


def test_performances_are_prepared_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[Path, Path, float]] = []
    monkeypatch.setattr(starter, "prepare_data", lambda *arguments: made.append(arguments))
    (tmp_path / "captured.npz").touch()
    evaluation.prepare(Path("raw"), tmp_path, performances=False)
    assert made == []
    evaluation.prepare(Path("raw"), tmp_path, performances=True)
    assert made == [(Path("raw"), tmp_path, load_recipe("starter").performance_hours)]
    (tmp_path / "performances").mkdir()
    (tmp_path / "performances" / "index.json").touch()
    evaluation.prepare(Path("raw"), tmp_path, performances=True)
    assert len(made) == 1


def test_a_pack_without_words_says_that_it_is_not_asked() -> None:
    engine = SimpleNamespace(vocabulary=SimpleNamespace(num_words=0))
    (only,) = further.further_rows("emotion", studio(), engine, further.Material(Path("none")))  # type: ignore[arg-type]
    assert "not trained to answer" in only.measured


def test_physics_rows_know_captured_walks_and_shaking() -> None:
    rows = science_rows.physics_rows(studio())
    captured, mixed = (
        row(rows, "jerk, walks - captured").value,
        row(rows, "jerk, walks - captured, frames").value,
    )
    assert row(rows, "jerk, walks generated").value < 3 * captured < mixed


def test_action_rows_judge_by_bounds_and_by_the_evaluator() -> None:
    captured = [
        replace(item(action, split, num), captions=(text,), upper=upper)
        for action, text, upper in (
            ("walk_forward", "walk forward", rest_features(Part.UPPER, 150)),
            ("salsa", "dance salsa", rest_features(Part.UPPER, 150) + np.float32(0.2)),
        )
        for split in ("train", "held")
        for num in (150,)
    ]
    encoder = tiny_encoder()
    evaluator = train_evaluator(science_rows.captioned(captured, "train"), encoder, steps=60, batch=16)
    scene = replace(studio(), captured=captured)
    judge = action_rows.Judge(evaluator, encoder)
    codec = {part: Shifted(0.0) for part in (Part.LOWER, Part.UPPER)}
    rows = action_rows.action_rows(scene, judge, codec)  # type: ignore[arg-type]
    assert {r.topic for r in rows} == {"actions"}
    asked = [f'"{probe.prompt}"{end}' for probe in ACTION_PROBES for end in ("", ", unseen wordings")]
    assert [r.what for r in rows if r.passed is not None] == asked, "only these have goals"
    assert not any(r.passed for r in rows)
    for probe in ACTION_PROBES:
        assert row(rows, f'"{probe.prompt}"').measured.startswith(f"0 of {scene.num_seeds}"), probe.prompt
        assert row(rows, f'- wrong instruction: does "{probe.prompt}"').measured == "0 of 16"
    assert row(rows, '- held-out captured: "laugh"').measured == "no such clip"
    (dancing,) = judge.judge([captured[3].clip()])
    lively = replace(dancing, measures=replace(dancing.measures, joint_speed=1.0))
    assert action_rows.does(probe_for("salsa"), replace(lively, told="salsa"))
    assert not action_rows.does(probe_for("salsa"), replace(lively, told="laugh"))
    assert not action_rows.does(probe_for("salsa"), replace(dancing, told="salsa")), "a still one is no dance"
    assert "walk and turn left" in action_rows.action_bounds_note(captured)


def test_fresh_wordings_are_counted_by_wording_and_by_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    captured = [
        replace(item(action, "train", 121), captions=(action.replace("_", " "),))
        for action in ("walk_forward", "jump")
    ]
    encoder = tiny_encoder()
    evaluator = train_evaluator(science_rows.captioned(captured, "train"), encoder, steps=5, batch=16)
    judge = action_rows.Judge(evaluator, encoder)
    asked = {prompt: (f"{prompt} now", f"{prompt} here") for prompt in fresh_rows.FRESH_WORDINGS}
    asked["jump"] = ("she jumps for joy", "hop up with both feet", "do a leap")
    monkeypatch.setattr(fresh_rows, "FRESH_WORDINGS", asked)
    rows = fresh_rows.fresh_rows(studio(), judge)
    assert {r.topic for r in rows} == {"fresh wordings"} and all(r.passed is None for r in rows)
    assert len(rows) == 15 * 3 + 4 + 1
    # The stand-in knows "jumps", but neither "hop" nor "leap".
    assert row(rows, '- "she jumps for joy"').measured == "2 of 2"
    assert row(rows, '- "hop up with both feet"').measured == "0 of 2"
    assert row(rows, '"jump", fresh wordings').measured == "2 of 6"
    assert row(rows, '"stand still", fresh wordings').value == 1.0
    passed = sum(r.value for r in rows if r.what.startswith("- "))
    assert row(rows, "all 33").value == pytest.approx(passed / 33)
    monkeypatch.setattr(fresh_rows, "WORDING_SEEDS", 1)
    stubborn = fresh_rows.fresh_rows(studio("stubborn"), judge)
    assert row(stubborn, '"jump", fresh wordings').measured == "0 of 3"
    assert row(stubborn, '"stand still", fresh wordings').measured == "2 of 2"


class Faded(Shifted):
    """A tokenizer that makes every value smaller: rotations stay, the way gets shorter."""

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        return codes * self.shift


def test_what_the_tokenizers_lose_shows_in_a_row_of_its_own() -> None:
    captured = [replace(item("walk_forward", s, 121), captions=("walk",)) for s in ("train", "held")]
    probe = replace(probe_for("kick"), captured=("walk_forward",), bounds=(Bound("forward_speed", 0.5, 2.0),))
    judge = action_rows.Judge(
        train_evaluator(
            science_rows.captioned([*captured, replace(captured[0], action="other")], "train"),
            tiny_encoder(),
            steps=1,
        ),
        tiny_encoder(),
    )
    for factor, passed in ((1.0, 2), (0.3, 0)):
        codec = {part: Faded(factor) for part in (Part.LOWER, Part.UPPER)}
        rows = action_rows.captured_action_rows(probe, captured, judge, codec)  # type: ignore[arg-type]
        assert row(rows, "- held-out captured").measured.startswith("1 of 1")
        assert row(rows, "- all of these through").measured.startswith(f"{passed} of 2")


def test_captured_clips_of_one_side_are_probed_by_that_side() -> None:
    left = replace(item("turn_left", "train"), captions=("walk and turn left",))
    right = replace(item("turn_left", "train"), captions=("a person walks and turns right",))
    found = text_rows.captured_for(probe_for("turn_right"), [left, right], "train")
    assert found == [right]


def test_retrieval_rows_tell_an_obeying_engine_from_a_stubborn_one() -> None:
    captured = [
        replace(
            item(action, split, num), captions=(action.replace("_", " "),), source_trial=f"{action} {num}"
        )
        for action in ("walk_forward", "jump", "run_forward")
        for split in ("train", "held")
        for num in (120, 150)
    ]
    encoder = tiny_encoder()
    evaluator = train_evaluator(science_rows.captioned(captured, "train"), encoder, steps=100, batch=48)

    def measured(fault: str) -> list[Row]:
        return science_rows.retrieval_rows(replace(studio(fault), captured=captured), encoder, evaluator)

    obeying, stubborn = measured(""), measured("stubborn")
    for what in ("matching distance, generated", "FID, generated"):
        assert row(obeying, what).value < row(stubborn, what).value
    assert (
        row(obeying, "matching distance, - captured").value
        < row(obeying, "matching distance, - captured, wrong").value
    )
    assert row(obeying, "R-precision 1, 2, 3, - captured").value > 0.9
    for what in (
        "R-precision 1, 2, 3, g",
        "matching distance, g",
        "FID, g",
        "diversity, g",
        "multimodality, g",
    ):
        assert "\u00b1" in row(obeying, what).measured and "nan" not in row(obeying, what).measured
    assert row(obeying, "multimodality, - captured, of different").value > 0.0
    alone = [replace(clip, source_trial=clip.action) for clip in captured]
    rows = science_rows.retrieval_rows(replace(studio(), captured=alone), encoder, evaluator)
    assert not [r for r in rows if r.what.startswith("multimodality, - captured")], "no second recording"


@dataclass
class Reader:
    """Answers with the right words about every `often`-th motion, else with what is wrong for all."""

    often: int = 1
    asked: int = 0

    def emotion(self, request: AskRequest) -> EmotionAnswer:
        label = EMOTIONS[self.asked % len(EMOTIONS)] if self.asked % self.often == 0 else "neutral"
        self.asked += bool(request.parts == ())
        return EmotionAnswer(label, {})

    def rank(self, request: AskRequest, descriptions: Sequence[str]) -> list[Description]:
        walks = request.clip.pelvis_positions[:, [0, 2]].std() > 0.5
        right = sorted(descriptions, key=lambda text: ("walk" in text) != walks)
        return [Description(text, -1.0) for text in (right if self.often == 1 else right[::-1])]


def test_reading_is_judged_against_what_was_performed() -> None:
    rows = reading_rows.reading_rows(studio(), Reader())  # type: ignore[arg-type]
    assert row(rows, "accuracy, performances").passed and row(rows, "accuracy, performances").value == 1.0
    assert {r.topic for r in rows} == {"reading"}
    rows = reading_rows.reading_rows(studio(), Reader(often=5))  # type: ignore[arg-type]
    assert row(rows, "accuracy, performances").passed is False


def test_actions_are_looked_for_among_the_likeliest() -> None:
    shown = ("walk_forward", "jump", "salsa", "boxing", "sit", "drink", "laugh")
    captured = [item(action, "train") for action in shown]
    crowded = replace(studio(), captured=[*captured, item("walk_forward", "held"), item("jump", "held")])
    right = reading_rows.described_rows(crowded, Reader())  # type: ignore[arg-type]
    assert right[0].passed and right[0].value >= 0.5
    wrong = reading_rows.described_rows(crowded, Reader(often=2))  # type: ignore[arg-type]
    assert wrong[0].value < right[0].value and wrong[0].passed is False
    assert right[-1].value == pytest.approx(3 / 7)


def test_pace_is_measured_as_a_change() -> None:
    rows = reading_rows.pace_rows(studio())
    slow, fast = row(rows, '"walk forward slowly"'), row(rows, '"walk forward quickly"')
    assert slow.passed and slow.value == pytest.approx(-0.3, abs=0.05)
    assert fast.passed and fast.value == pytest.approx(0.4, abs=0.05)
    assert row(rows, '- "walk backwards slowly"').passed is None
    assert not any(r.passed for r in reading_rows.pace_rows(studio("stubborn")))


def test_a_jump_in_a_clip_is_seen() -> None:
    whole = starter_clip({Part.LOWER: legs("walk", 240), Part.UPPER: rest_features(Part.UPPER, 240)})
    poses = whole.poses.copy()
    poses[120:, 16] += 0.4  # an arm jumps
    jumped = replace(whole, poses=poses)
    assert reading_rows.fit_row("", [whole], [whole], None).value <= 0.013
    seen = reading_rows.fit_row("", [jumped], [whole], (120,))
    assert seen.passed is False and seen.value == pytest.approx(0.5, abs=0.26)
    assert reading_rows.fit_row("", [jumped], [whole], (60,)).passed
