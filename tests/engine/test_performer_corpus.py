# SPDX-License-Identifier: GPL-3.0-or-later
"""Synthetic voices, lips learned from them, and the files the performer writes for training."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine.audio.features import speech_features
from engine.data import synthesis
from engine.data.audio_splits import HELD_OUT_AUDIO, is_held_out
from engine.data.performer import corpus, perform
from engine.data.performer.lip_reader import LipReader
from engine.data.performer.mouth import VISEMES
from engine.data.sentences import SENTENCES
from engine.data.synthesis import SyntheticSpeech, synthetic_speech
from engine.errors import DataError
from engine.motion.arkit import ARKIT_INDEX
from engine.motion.arrays import FloatArray
from engine.specs import AUDIO_HZ
from engine.training.corpora import load_performances, performance_transcripts


def syllables(seed: int, seconds: float = 4.0) -> SyntheticSpeech:
    """A stand-in voice: "ma" twice a second, the m dark and soft, the a bright and loud."""
    rng = np.random.default_rng(seed)
    wave = rng.normal(0.0, 2e-4, round(seconds * AUDIO_HZ))
    phonemes: list[tuple[str, float, float]] = []
    for start in np.arange(0.2, seconds - 0.5, 0.5):
        for name, length, harmonics, size in (("m", 0.1, 2, 0.03), ("ah", 0.25, 18, 0.12)):
            clock = np.arange(round(length * AUDIO_HZ)) / AUDIO_HZ
            tone = sum(np.sin(2 * np.pi * 130 * k * clock) / k**0.5 for k in range(1, harmonics + 1))
            at = round(start * AUDIO_HZ)
            wave[at : at + len(clock)] += size * np.asarray(tone)
            phonemes.append((name, float(start), float(start) + length))
            start += length
        phonemes.append(("silence", float(start), float(start) + 0.15))
    return SyntheticSpeech(f"ma-{seed}", wave.astype(np.float32), phonemes)


def test_held_out_list() -> None:
    assert len(HELD_OUT_AUDIO) == len(set(HELD_OUT_AUDIO)) == 38
    assert sum(name.startswith("librispeech/") for name in HELD_OUT_AUDIO) == 30
    assert is_held_out("LJ001-0025.flac") and is_held_out("speech/" + HELD_OUT_AUDIO[0])
    assert not is_held_out("LJ001-0024.flac")


def test_held_out_files_exist(shared_dir: Path) -> None:
    if not (shared_dir / "data" / "speech").is_dir():
        pytest.skip("needs the speech recordings of the training data")
    assert all((shared_dir / "data" / "speech" / name).is_file() for name in HELD_OUT_AUDIO)


def test_sentences_are_many_and_distinct() -> None:
    assert len(SENTENCES) == len(set(SENTENCES)) >= 140


def test_every_phoneme_has_a_mouth() -> None:
    names = {*synthesis._FLITE_VISEMES.values(), *synthesis._GLIDES.values()}
    names |= {viseme for _, viseme in (*synthesis._IPA_VISEMES, *synthesis._IPA_GLIDES)}
    assert names <= set(VISEMES)
    assert synthesis._ipa_viseme("ˈaɪ") == ("ah", "ih")  # noqa: RUF001
    assert synthesis._ipa_viseme("b") == ("m", None)
    assert synthesis._ipa_viseme("tʃ") == ("sh", None)
    assert synthesis._ipa_viseme("") == ("silence", None)


def test_synthetic_voices_when_installed() -> None:
    if synthesis._Espeak.start() is None and shutil.which("flite") is None:
        pytest.skip("needs espeak-ng or flite (apt-get install espeak-ng flite)")
    spoken = list(synthetic_speech(8.0, np.random.default_rng(0)))
    assert spoken
    for speech in spoken:
        length = speech.wave.shape[0] / AUDIO_HZ
        starts = np.array([start for _, start, _ in speech.phonemes])
        ends = np.array([end for _, _, end in speech.phonemes])
        assert (np.diff(starts) >= 0).all() and (ends > starts).all()
        assert length - 0.35 < ends[-1] <= length + 0.05
        assert any(name == "m" for name, _, _ in speech.phonemes)


def test_missing_voices_are_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(synthesis._Espeak, "start", staticmethod(lambda: None))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert list(synthetic_speech(5.0, np.random.default_rng(0))) == []
    assert "skipped" in capsys.readouterr().out


def test_lip_reader_learns_to_close_the_lips() -> None:
    reader = LipReader.train([syllables(seed) for seed in range(4)], seed=1, rounds=12)
    unheard = syllables(9)
    done = perform(unheard.wave, emotion="neutral", seed=2, reader=reader)
    press = done.face[:, ARKIT_INDEX["mouthPressLeft"]]
    jaw = done.face[:, ARKIT_INDEX["jawOpen"]]
    hums = [round((start + 0.05) * 30) for name, start, _ in unheard.phonemes if name == "m"]
    vowels = [round((start + 0.12) * 30) for name, start, _ in unheard.phonemes if name == "ah"]
    assert press[hums].mean() > press[vowels].mean() + 0.15
    assert jaw[vowels].mean() > jaw[hums].mean() + 0.15
    shape = reader.read(speech_features(np.zeros(AUDIO_HZ, np.float32)))
    assert max(shape.jaw.max(), shape.press.max()) < 1e-6


@pytest.fixture
def small_data(tmp_path: Path) -> Path:
    """A data folder with two recordings to train on and one held out."""
    for name in ("librispeech/1-1.flac", "ljspeech/2-2.flac", HELD_OUT_AUDIO[0]):
        path = tmp_path / "data" / "speech" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, syllables(len(name)).wave, AUDIO_HZ)
    table = tmp_path / "data" / "speech" / "ljspeech" / "transcripts.csv"
    table.write_text('file,seconds,transcript\n2-2.flac,2.0,"Hum, ah, hum."\n', encoding="utf-8")
    return tmp_path / "data"


def test_corpus_files(small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stand_in(seconds: float, rng: np.random.Generator) -> list[SyntheticSpeech]:
        return [replace(syllables(int(rng.integers(100))), text="ma ma") for _ in range(2)]

    monkeypatch.setattr(corpus, "synthetic_speech", stand_in)
    monkeypatch.setattr(corpus, "CLIPS_PER_SHARD", 4)
    entries = corpus.build_corpus(small_data, tmp_path / "out", hours=0.012, seed=3)
    folder = tmp_path / "out" / "performances"
    index = json.loads((folder / "index.json").read_text())
    assert len(index["clips"]) == len(entries)
    kinds = {clip["kind"] for clip in index["clips"]}
    assert kinds == {"speech", "synthesised", "idle"} or kinds == {"speech", "synthesised"}
    held = [clip for clip in index["clips"] if clip["split"] == "held"]
    assert [clip["name"] for clip in held] == [HELD_OUT_AUDIO[0].split("/")[-1]]
    assert all(clip["shard"].startswith("held") for clip in held)
    for clip in index["clips"]:
        with np.load(folder / clip["shard"], allow_pickle=False) as shard:
            start, end = shard["offsets"][clip["row"]], shard["offsets"][clip["row"] + 1]
            assert end - start == clip["frames"]
            for name, size in (("face", 52), ("hands", 180), ("upper", 78), ("lower", 62)):
                part: FloatArray = shard[name]
                assert part.dtype == np.float16 and part.shape == (shard["offsets"][-1], size)
            assert shard["speech"].shape == (2 * shard["offsets"][-1], 44)
    said = {(clip["kind"], clip["name"]): clip["transcript"] for clip in index["clips"]}
    assert said["speech", "2-2.flac"] == "Hum, ah, hum." and said["speech", "1-1.flac"] == ""
    assert {text for (kind, _), text in said.items() if kind == "synthesised"} == {"ma ma"}
    assert {text for (kind, _), text in said.items() if kind == "idle"} <= {""}
    training = load_performances(tmp_path / "out", "train")
    assert {s.transcript for s in training} == {"", "Hum, ah, hum.", "ma ma"}
    assert set(performance_transcripts(tmp_path / "out")) == {"Hum, ah, hum.", "ma ma"}
    assert abs(index["hours"] - 0.012) < 0.008
    assert not (tmp_path / "out" / "performances.new").exists()


def test_a_damaged_table_of_transcripts_is_named(small_data: Path) -> None:
    table = small_data / "speech" / "ljspeech" / "transcripts.csv"
    table.write_text("name,words\n2-2.flac,hum\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"transcripts\.csv lacks the columns"):
        corpus.read_transcripts(small_data)


def test_corpus_without_speech_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "synthetic_speech", lambda seconds, rng: [])
    with pytest.raises(FileNotFoundError, match="--data"):
        corpus.build_corpus(tmp_path, tmp_path / "out", hours=0.01)
