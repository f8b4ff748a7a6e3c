# SPDX-License-Identifier: GPL-3.0-or-later
"""Lips that close where the sound says so: the shape, the network, its training, its place in the engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine import lips, listening
from engine.audio.features import MEL, speech_features
from engine.data.synthesis import SyntheticSpeech
from engine.errors import EngineError, PackError
from engine.motion.arkit import ARKIT_INDEX, PRESSED, channels_of
from engine.motion.arrays import FloatArray
from engine.motion.clip import Clip
from engine.packs import load_pack
from engine.pipeline import Engine, load_engine
from engine.specs import GenerateRequest, Part, PartDirection, Source
from engine.training import lip_training
from engine.training.__main__ import main
from engine.training.loop import Log
from engine.training.recipe import LipsRecipe
from engine.windows import Window
from tests.tiny_pack import write_tiny_pack

QUICK = LipsRecipe(width=16, steps=150, batch=8)


def talking(seconds: float, seed: int = 0) -> SyntheticSpeech:
    """A buzzing voice that hums darkly for 0.1 s in every 0.4 s, which are its closures."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * 16000)) / 16000
    pitch = rng.uniform(110, 200)
    buzz = sum(np.sin(2 * np.pi * pitch * k * time) / k**0.5 for k in range(1, 30))
    hum = np.sin(2 * np.pi * pitch * time)
    closed = (time % 0.4) < 0.1
    wave = 0.1 * np.where(closed, hum, buzz) + 0.001 * rng.normal(size=len(time))
    phonemes = [
        entry
        for start in np.arange(0.0, seconds - 0.39, 0.4)
        for entry in (("m", start, start + 0.1), ("ah", start + 0.1, start + 0.4))
    ]
    return SyntheticSpeech(f"buzz {seed}", wave.astype(np.float32), phonemes)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that has learned the hum."""
    folder = tmp_path_factory.mktemp("lips")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lip_training, "synthetic_speech", lambda *_: [talking(4.0, seed) for seed in range(6)])
        return lip_training.train_lips(QUICK, folder)


@pytest.fixture(scope="module")
def pack(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny pack with it."""
    root = tmp_path_factory.mktemp("pack") / "tiny"
    write_tiny_pack(root)
    lip_training.add_lips(root, checkpoint, root)
    return root


@pytest.fixture(scope="module")
def closer(pack: Path) -> lips.LipCloser:
    found = lips.load_lip_closer(load_pack(pack))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def engine(pack: Path) -> Engine:
    found = load_engine(pack, "cpu")
    assert isinstance(found, Engine)
    return found


def face(**channels: float) -> FloatArray:
    """Two frames of one face."""
    values = np.zeros((2, 52), np.float32)
    for name, value in channels.items():
        values[:, ARKIT_INDEX[name]] = value
    return values


def test_lips_meet_over_an_open_jaw_and_part_again() -> None:
    spoken = face(jawOpen=0.5, mouthClose=0.0, mouthFunnel=0.4, mouthPressLeft=0.1, browInnerUp=0.3)
    made = lips.with_lips_closed(spoken, np.array([1.0, 0.0], np.float32))
    assert made[0, ARKIT_INDEX["mouthClose"]] == pytest.approx(0.5)
    assert made[0, ARKIT_INDEX["mouthPressLeft"]] == pytest.approx(0.6)
    assert made[0, ARKIT_INDEX["mouthFunnel"]] == pytest.approx(0.0)
    assert np.array_equal(made[1], spoken[1]), "where nothing closes, nothing changes"
    assert made[0, ARKIT_INDEX["jawOpen"]] == 0.5


def test_lips_that_met_in_the_wrong_place_part() -> None:
    pressed = face(jawOpen=0.4, mouthClose=0.4, mouthPressLeft=0.7, mouthRollUpper=0.28)
    made = lips.with_lips_closed(pressed, np.zeros(2, np.float32))
    assert not made[:, ARKIT_INDEX["mouthClose"]].any()
    assert made[0, ARKIT_INDEX["mouthPressLeft"]] == pytest.approx(0.2), "what a mood presses stays"
    assert made[0, ARKIT_INDEX["mouthRollUpper"]] == pytest.approx(0.0, abs=1e-6)
    again = lips.with_lips_closed(made, np.ones(2, np.float32))
    assert np.abs(lips.with_lips_closed(again, np.zeros(2, np.float32)) - made).max() < 1e-6


def test_the_colour_of_a_voice_is_not_heard() -> None:
    features = speech_features(talking(3.0).wave)
    other = features.copy()
    other[:, MEL] += np.linspace(-0.3, 0.4, 40, dtype=np.float32)
    heard, again = lips.levelled(features), lips.levelled(other)
    assert heard.shape == (90, 84) and np.abs(heard - again).max() < 1e-4


def test_closures_are_learned_and_heard_in_another_voice(closer: lips.LipCloser) -> None:
    said = talking(4.0, seed=50)
    closed = closer.closed(speech_features(said.wave))
    assert closed.shape == (120,) and closed.min() >= 0.0 and closed.max() <= 1.0
    hummed = [
        closed[int(start * 30) : int(end * 30) + 1].max() for name, start, end in said.phonemes if name == "m"
    ]
    between = [closed[int((end - 0.12) * 30)] for name, _, end in said.phonemes if name == "ah"]
    assert np.mean(hummed) > 0.9 and np.mean(between) < 0.1


def test_training_is_the_same_each_time(tmp_path: Path) -> None:
    weights = []
    for _ in range(2):
        torch.manual_seed(3)
        network = lips.LipCloser(lips.LipConfig(8))
        recipe = replace(QUICK, steps=3)
        log = Log(tmp_path / "log.jsonl", "lips")
        lip_training.fit_lips(network, [talking(1.0)], recipe, log, np.random.default_rng(1))
        weights.append(torch.cat([p.detach().flatten() for p in network.parameters()]))
    assert torch.equal(*weights)


def test_a_long_sound_is_heard_piece_by_piece_as_at_once(engine: Engine, closer: lips.LipCloser) -> None:
    steps = 600  # 80 s, three pieces
    wave = np.resize(talking(7.3).wave * np.linspace(0.5, 1.0, 116800, dtype=np.float32), 82 * 16000)
    whole = closer.closed(listening.heard_features(wave, 1.0, steps * 4))
    heard = listening.Listening(engine.audio_tokenizer, wave, 1.0, steps, closer)
    row = engine._prepare(GenerateRequest(waveform=wave, duration_s=80.0))
    made = heard.with_lips_closed(np.full((steps * 4, 52), 0.5, np.float32), row.windows)
    assert np.abs(made[:, lips.CLOSE] / 0.5 - whole).max() < 0.02


def test_a_face_that_follows_speech_closes_its_lips(engine: Engine, closer: lips.LipCloser) -> None:
    said = talking(3.0, seed=51)
    clip = engine.generate(GenerateRequest(waveform=said.wave)).clip
    closed = closer.closed(listening.heard_features(said.wave, 0.0, 92))[:90]
    assert closed.max() == 1.0
    assert clip.expressions[:, lips.CLOSE] == pytest.approx(clip.expressions[:, lips.JAW] * closed, abs=0.02)


def without_lips(engine: Engine, request: GenerateRequest) -> Clip:
    closer, engine.lips = engine.lips, None
    try:
        return engine.generate(request).clip
    finally:
        engine.lips = closer


def test_only_the_mouth_changes_and_only_while_it_follows_speech(engine: Engine) -> None:
    words = PartDirection(Source.TEXT, "walk forward")
    request = GenerateRequest({Part.FACE: words}, waveform=talking(3.0).wave)
    assert np.array_equal(
        engine.generate(request).clip.expressions, without_lips(engine, request).expressions
    )
    spoken = GenerateRequest(waveform=talking(3.0).wave)
    made, plain = engine.generate(spoken).clip, without_lips(engine, spoken)
    assert np.array_equal(made.poses, plain.poses) and np.array_equal(made.trans, plain.trans)
    changed = np.flatnonzero((made.expressions != plain.expressions).any(axis=0))
    mouth = {ARKIT_INDEX[channel] for name in (*PRESSED, *lips.PARTED) for channel in channels_of(name)}
    assert set(changed) <= {lips.CLOSE, *mouth}
    assert lips.CLOSE in changed


def test_lips_follow_the_sound_only_in_windows_of_speech(engine: Engine, closer: lips.LipCloser) -> None:
    wave = talking(4.0).wave
    heard = listening.Listening(engine.audio_tokenizer, wave, 0.0, 30, closer)
    told = Window(0, 0, 16, {Part.FACE: Source.TEXT}, {}, frozenset())
    spoken = Window(8, 8, 22, {Part.FACE: Source.BOTH}, {}, frozenset())
    plain = np.full((120, 52), 0.3, np.float32)
    changed = (heard.with_lips_closed(plain, [told, spoken]) != plain).any(axis=1)
    assert not changed[:64].any() and changed[64:].sum() > 40
    later = heard.with_lips_closed(plain[60:], [told, spoken], 60)
    assert np.array_equal(later, heard.with_lips_closed(plain, [told, spoken])[60:])


def test_what_is_shown_meanwhile_has_closed_lips_too(engine: Engine) -> None:
    shown = []
    result = engine.generate(GenerateRequest(waveform=talking(6.0).wave), show=shown.append)
    assert len(shown) > 1
    seen = shown[0].clip.expressions[:90]
    assert seen[:, lips.CLOSE] == pytest.approx(result.clip.expressions[:90, lips.CLOSE], abs=0.05)


def test_packs_without_lips_work_and_damaged_ones_say_so(pack: Path, tmp_path: Path) -> None:
    plain = write_tiny_pack(tmp_path / "plain")
    assert lips.load_lip_closer(plain) is None
    damaged = load_pack(pack)
    table = {**damaged.info, lips.LIPS_TABLE: {"width": 17}}
    with pytest.raises(PackError, match="shape"):
        lips.load_lip_closer(replace(damaged, info=table))


def test_lips_are_added_by_one_command_and_not_trained_twice(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_pack(tmp_path / "tiny")
    work = tmp_path / "work" / "training"
    work.mkdir(parents=True)
    (work / lip_training.LIPS_CHECKPOINT).write_bytes(checkpoint.read_bytes())
    command = ["python", "lips", "--pack", str(tmp_path / "tiny"), "--work", str(tmp_path / "work")]
    monkeypatch.setattr("sys.argv", [*command, "--out", str(tmp_path / "with")])
    assert main() == 0
    assert lips.load_lip_closer(load_pack(tmp_path / "with")) is not None


def test_without_a_synthetic_voice_the_remedy_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lip_training, "synthetic_speech", lambda *_: [])
    with pytest.raises(EngineError, match="install espeak-ng and flite"):
        lip_training.train_lips(QUICK, tmp_path)
