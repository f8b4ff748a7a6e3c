# SPDX-License-Identifier: GPL-3.0-or-later
"""Sound files and waveforms: what is taken, and one clear sentence for what is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine.audio.waveform import MAX_AUDIO_S, check_waveform, load_audio, resample
from engine.errors import AudioError
from engine.motion.arrays import FloatArray
from engine.specs import AUDIO_HZ


def tone(seconds: float, rate: int = AUDIO_HZ, hz: float = 220.0, size: float = 0.3) -> FloatArray:
    """A sine, (N,)."""
    time = np.arange(round(seconds * rate)) / rate
    return (size * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def one_sentence(error: pytest.ExceptionInfo[AudioError]) -> str:
    """The message, checked to be a single sentence with a remedy after its semicolon, comma or dash."""
    text = str(error.value)
    assert text.endswith(".")
    assert ". " not in text
    assert any(
        word in text
        for word in ("choose", "convert", "check", "export", "raise", "cut", "must last", "relink")
    )
    return text


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="does not exist") as error:
        load_audio(tmp_path / "gone.wav")
    one_sentence(error)


@pytest.mark.parametrize("name", ["noise.wav", "noise.flac", "noise.mp3", "film.mp4"])
def test_corrupt_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(np.random.default_rng(0).bytes(4000))
    with pytest.raises(AudioError, match="cannot be read") as error:
        load_audio(path)
    one_sentence(error)


def test_truncated_flac(tmp_path: Path) -> None:
    whole = tmp_path / "whole.flac"
    soundfile.write(whole, tone(2.0), AUDIO_HZ)
    broken = tmp_path / "broken.flac"
    broken.write_bytes(whole.read_bytes()[:60])
    with pytest.raises(AudioError) as error:
        check_waveform(*load_audio(broken))
    one_sentence(error)


@pytest.mark.parametrize(
    ("kind", "endian"), [("WAV", "FILE"), ("WAV", "BIG"), ("WAVEX", "FILE"), ("RF64", "FILE")]
)
def test_wav_that_was_cut_short(tmp_path: Path, kind: str, endian: str) -> None:
    whole = tmp_path / "whole.wav"
    soundfile.write(whole, tone(10.0), AUDIO_HZ, "PCM_16", endian, kind)
    assert len(load_audio(whole)[0]) == 10 * AUDIO_HZ
    data = whole.read_bytes()
    cut = tmp_path / "cut.wav"
    cut.write_bytes(data[: len(data) * 7 // 10])
    with pytest.raises(AudioError, match=r"'cut\.wav' is cut short \(it holds 69 % of its sound\)") as error:
        load_audio(cut)
    one_sentence(error)


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF, 4 * AUDIO_HZ + 44])
def test_wav_whose_header_does_not_know_its_length(tmp_path: Path, size: int) -> None:
    """What is written to a pipe states nothing, or 2 or 4 GB; some programs count the header too."""
    path = tmp_path / "streamed.wav"
    soundfile.write(path, tone(2.0), AUDIO_HZ)
    data = path.read_bytes()
    place = data.index(b"data") + 4
    path.write_bytes(data[:place] + size.to_bytes(4, "little") + data[place + 4 :])
    if size:
        assert len(load_audio(path)[0]) == 2 * AUDIO_HZ
    else:  # libsndfile takes 0 at its word
        with pytest.raises(AudioError, match="no samples"):
            load_audio(path)


def test_chunks_around_the_sound_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "tagged.wav"
    with soundfile.SoundFile(path, "w", AUDIO_HZ, 1) as file:
        file.title = "odd"
        file.write(tone(2.0))
    data = path.read_bytes()
    extra = b"note" + (3).to_bytes(4, "little") + b"abc\0"  # an odd chunk is padded
    path.write_bytes(data[:12] + extra + data[12:])
    assert len(load_audio(path)[0]) == 2 * AUDIO_HZ
    path.write_bytes((data[:12] + extra + data[12:])[:-AUDIO_HZ])
    with pytest.raises(AudioError, match="cut short"):
        load_audio(path)


@pytest.mark.parametrize("content", [b"", None])
def test_empty_file(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "empty.wav"
    if content is None:
        soundfile.write(path, np.zeros(0, np.float32), AUDIO_HZ)
    else:
        path.write_bytes(content)
    with pytest.raises(AudioError, match=r"empty|no samples") as error:
        load_audio(path)
    one_sentence(error)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
@pytest.mark.parametrize("kind", ["PCM_16", "PCM_24", "FLOAT"])
def test_rates_and_depths(tmp_path: Path, rate: int, kind: str) -> None:
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(1.0, rate), rate, subtype=kind)
    wave = check_waveform(*load_audio(path))
    assert wave.dtype == np.float32
    assert abs(wave.shape[0] - AUDIO_HZ) <= 1
    middle = slice(2000, -2000)
    assert np.abs(wave[middle] - tone(1.0)[: wave.shape[0]][middle]).max() < 0.01


def test_stereo_is_averaged(tmp_path: Path) -> None:
    path = tmp_path / "stereo.flac"
    soundfile.write(path, np.stack([tone(1.0), np.zeros(AUDIO_HZ, np.float32)], axis=1), AUDIO_HZ)
    wave, rate = load_audio(path)
    assert wave.shape == (AUDIO_HZ,) and rate == AUDIO_HZ
    assert abs(float(np.abs(wave).max()) - 0.15) < 0.01


def test_integer_samples() -> None:
    whole = (tone(1.0) * 32767).astype(np.int16)
    assert np.abs(check_waveform(whole, AUDIO_HZ) - tone(1.0)).max() < 1e-3


@pytest.mark.parametrize(
    ("samples", "rate", "words"),
    [
        (np.zeros(0, np.float32), AUDIO_HZ, "no samples"),
        (np.zeros(AUDIO_HZ, np.float32), AUDIO_HZ, "silent"),
        (np.full(AUDIO_HZ, 0.4, np.float32), AUDIO_HZ, "silent"),
        (tone(1.0, size=5e-5), AUDIO_HZ, "silent"),
        (tone(0.1), AUDIO_HZ, "0.10 s"),
        (np.where(np.arange(AUDIO_HZ) == 7, np.nan, 0.2).astype(np.float32), AUDIO_HZ, "not numbers"),
        (np.where(np.arange(AUDIO_HZ) == 7, np.inf, 0.2).astype(np.float32), AUDIO_HZ, "not numbers"),
        (tone(1.0), 100, "not usable"),
        (tone(1.0), float("nan"), "not usable"),
        (np.zeros((4, 4, 4), np.float32), AUDIO_HZ, "not a list of samples"),
    ],
)
def test_unusable_samples(samples: FloatArray, rate: float, words: str) -> None:
    with pytest.raises(AudioError, match=words) as error:
        check_waveform(samples, rate)
    one_sentence(error)


def test_too_long() -> None:
    rate = 4000
    long = np.broadcast_to(np.float32(0.1), (int((MAX_AUDIO_S + 60) * rate),))
    with pytest.raises(AudioError, match="hours") as error:
        check_waveform(long, rate)
    one_sentence(error)


def test_quiet_speech_is_lifted_and_quiet_noise_is_not() -> None:
    syllables = tone(3.0, size=0.004) * (np.sin(2 * np.pi * 3 * np.arange(3 * AUDIO_HZ) / AUDIO_HZ) > 0.2)
    assert np.abs(check_waveform(syllables, AUDIO_HZ)).max() > 0.03
    noise = np.random.default_rng(0).normal(0.0, 0.002, 3 * AUDIO_HZ).astype(np.float32)
    assert np.abs(check_waveform(noise, AUDIO_HZ)).max() < 0.02


def test_resample_keeps_the_tone() -> None:
    assert resample(tone(1.0), AUDIO_HZ, AUDIO_HZ).shape == (AUDIO_HZ,)
    lower = resample(tone(1.0), AUDIO_HZ, 8000)
    assert np.abs(lower[500:-500] - tone(1.0, 8000)[500:-500]).max() < 0.01


def test_audio_imports_neither_torch_nor_soundfile() -> None:
    code = (
        "import sys, engine.audio.waveform, engine.audio.features;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'soundfile', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
