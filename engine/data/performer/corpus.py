# SPDX-License-Identifier: GPL-3.0-or-later
"""The corpus of performances that the starter pack learns from.

    python -m engine.data.performer --data ../shared/data --out build/data --hours 4.5

writes into `build/data/performances/`:

* `shard-000.npz` ... (about 50 clips each) and `held-000.npz` (held-out audio, never trained on), with keys
  `face` (N, 52), `hands` (N, 180), `upper` (N, 78), `lower` (N, 62), `speech` (2N, 44), all float16, N frames
  of all clips in a row, and `offsets` (clips + 1,) int64: clip k has frames `offsets[k] : offsets[k + 1]` and
  speech frames `2 * offsets[k] : 2 * offsets[k + 1]`;
* `index.json`: `{"fps", "hours", "clips": [{"shard", "row", "name", "kind", "emotion", "seed", "split",
"frames",
  "speed", "phonemes", "transcript"}]}`, kind one of speech, synthesised, idle; split train or held; the
  transcript empty where it is not known: a corpus' folder may hold `transcripts.csv` (file, transcript).

Real speech is used several times, at other speeds (speed perturbation, Ko et al. 2015: a cheap way to more
voices), with room noise and with silence before and after it; each time another performer in another mood.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ...audio.features import num_motion_frames, speech_features
from ...audio.waveform import check_waveform, load_audio, resample
from ...errors import DataError
from ...motion.arrays import FloatArray
from ...specs import AUDIO_HZ, EMOTIONS, MOTION_FPS
from ..audio_splits import is_held_out
from ..synthesis import SyntheticSpeech, synthetic_speech
from .lip_reader import LipReader
from .mouth import Phonemes
from .teacher import Performance, perform_features

CLIPS_PER_SHARD = 50
SPEED_RATES = (14400, 15200, 16000, 16000, 16800, 17600)
"""Sample rates at which real speech is read as if it were `AUDIO_HZ`: 0.9 to 1.1 of its speed."""

SYNTHETIC_SHARE = 0.22
IDLE_SHARE = 0.06
READER_SENTENCES = 120
ARRAYS = ("face", "hands", "upper", "lower", "speech")


@dataclass(frozen=True)
class ClipEntry:
    """Where a clip lies and what it is; the fields of `index.json`."""

    shard: str
    row: int
    name: str
    kind: str
    emotion: str
    seed: int
    split: str
    frames: int
    speed: float
    phonemes: bool
    transcript: str


@dataclass(frozen=True)
class _Take:
    name: str
    kind: str
    split: str
    wave: FloatArray
    speed: float = 1.0
    phonemes: Phonemes | None = None
    transcript: str = ""


def build_corpus(data: Path, out: Path, hours: float, seed: int = 0) -> list[ClipEntry]:
    """Perform and write the whole corpus.

    Args:
        data: Folder with `speech/`.
        out: Build folder; `performances/` below it is replaced.
        hours: Wanted length of the performances for training.
        seed: Of every choice.

    Returns:
        The entries of the index.
    """
    folder = out / "performances"
    fresh = out / "performances.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    spoken = list(synthetic_speech(hours * 3600.0 * SYNTHETIC_SHARE, rng))
    reader = LipReader.train(spoken[:READER_SENTENCES], seed) if spoken else None
    said = read_transcripts(data)
    entries: list[ClipEntry] = []
    for prefix, takes in (
        ("held", _held_takes(data, said)),
        ("shard", _training_takes(data, hours, spoken, said, rng)),
    ):
        writer = _ShardWriter(fresh, prefix)
        for take in takes:
            emotion = EMOTIONS[int(rng.integers(len(EMOTIONS)))] if rng.random() < 0.8 else "neutral"
            performer = int(rng.integers(2**31))
            features = speech_features(take.wave)
            done = perform_features(
                features, emotion=emotion, seed=performer, phonemes=take.phonemes, reader=reader
            )
            entries.append(writer.add(take, emotion, performer, features, done))
        writer.flush()
    total = sum(entry.frames for entry in entries if entry.split == "train") / MOTION_FPS / 3600.0
    index = {"fps": MOTION_FPS, "hours": round(total, 3), "clips": [asdict(entry) for entry in entries]}
    (fresh / "index.json").write_text(json.dumps(index, indent=0))
    previous = out / "performances.old"
    shutil.rmtree(previous, ignore_errors=True)
    if folder.exists():
        folder.rename(previous)
    fresh.rename(folder)
    shutil.rmtree(previous, ignore_errors=True)
    return entries


class _ShardWriter:
    """Collects clips and writes a file for every `CLIPS_PER_SHARD`."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self.folder, self.prefix, self.number = folder, prefix, 0
        self.clips: list[dict[str, FloatArray]] = []

    def add(self, take: _Take, emotion: str, seed: int, features: FloatArray, done: Performance) -> ClipEntry:
        """Keep one clip; returns where it will lie."""
        if len(self.clips) == CLIPS_PER_SHARD:
            self.flush()
        entry = ClipEntry(
            f"{self.prefix}-{self.number:03d}.npz", len(self.clips), take.name, take.kind, emotion, seed,
            take.split, done.face.shape[0], take.speed, take.phonemes is not None,
            take.transcript,
        )  # fmt: skip
        self.clips.append(
            {
                "face": done.face,
                "hands": done.hands,
                "upper": done.upper,
                "lower": done.lower,
                "speech": features,
            }
        )
        return entry

    def flush(self) -> None:
        """Write what is kept."""
        if not self.clips:
            return
        lengths = [clip["face"].shape[0] for clip in self.clips]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        joined = {name: np.concatenate([c[name] for c in self.clips]).astype(np.float16) for name in ARRAYS}
        np.savez(self.folder / f"{self.prefix}-{self.number:03d}.npz", offsets=offsets, **joined)
        self.clips, self.number = [], self.number + 1


def _speech_files(data: Path) -> list[Path]:
    files = sorted((data / "speech").glob("*/*.flac"))
    if not files:
        raise FileNotFoundError(
            f"No speech below {data / 'speech'}; pass --data the folder that holds speech/."
        )
    return files


def read_transcripts(data: Path) -> dict[str, str]:
    """What is said in the recordings, by file name, of every corpus that says so.

    Args:
        data: Folder with `speech/`.

    Raises:
        DataError: If a table is not one of files and transcripts.
    """
    found: dict[str, str] = {}
    for table in sorted((data / "speech").glob("*/transcripts.csv")):
        with table.open(encoding="utf-8", newline="") as lines:
            rows = csv.DictReader(lines)
            if not {"file", "transcript"} <= set(rows.fieldnames or ()):
                raise DataError(f"{table} lacks the columns file and transcript; copy it again.")
            found |= {row["file"]: (row["transcript"] or "").strip() for row in rows}
    return found


def _held_takes(data: Path, said: Mapping[str, str]) -> Iterator[_Take]:
    for path in _speech_files(data):
        if is_held_out(path.name):
            wave = check_waveform(*load_audio(path))
            yield _Take(path.name, "speech", "held", wave, transcript=said.get(path.name, ""))


def _training_takes(
    data: Path,
    hours: float,
    spoken: list[SyntheticSpeech],
    said: Mapping[str, str],
    rng: np.random.Generator,
) -> Iterator[_Take]:
    """Idle, synthesised and real takes until `hours` are full, in a mixed order over the shards."""
    wanted = hours * 3600.0
    waves = [(p.name, check_waveform(*load_audio(p))) for p in _speech_files(data) if not is_held_out(p.name)]
    queue: list[tuple[str, int]] = [("synthesised", i) for i in range(len(spoken))]
    seconds = sum(s.wave.shape[0] for s in spoken) / AUDIO_HZ * 1.12
    num_idle = round(wanted * IDLE_SHARE / 8.0)
    queue += [("idle", i) for i in range(num_idle)]
    seconds += 8.0 * num_idle
    turn = 0
    while seconds < wanted:
        for index in rng.permutation(len(waves)):
            queue.append(("speech", int(index)))
            seconds += waves[index][1].shape[0] / AUDIO_HZ * 1.15
            if seconds >= wanted:
                break
        turn += 1
    for position in rng.permutation(len(queue)):
        kind, index = queue[position]
        if kind == "idle":
            yield _Take(f"idle-{index}", "idle", "train", _room(rng, float(rng.uniform(4.0, 12.0))))
        elif kind == "synthesised":
            yield _synthetic_take(spoken[index], rng)
        else:
            name, wave = waves[index]
            yield replace(_real_take(name, wave, rng), transcript=said.get(name, ""))


def _real_take(name: str, wave: FloatArray, rng: np.random.Generator) -> _Take:
    rate = int(rng.choice(SPEED_RATES))
    changed = resample(wave, AUDIO_HZ, rate)
    changed, _ = _surrounded(changed, rng)
    return _Take(name, "speech", "train", changed, AUDIO_HZ / rate)


def _synthetic_take(speech: SyntheticSpeech, rng: np.random.Generator) -> _Take:
    wave, before_s = _surrounded(speech.wave, rng)
    phonemes = [(name, start + before_s, end + before_s) for name, start, end in speech.phonemes]
    return _Take(speech.name, "synthesised", "train", wave, 1.0, phonemes, speech.text)


def _surrounded(wave: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, float]:
    """Speech, now and then with silence around it, in room noise; and the silence before it in seconds."""
    before = float(rng.uniform(0.5, 4.0)) if rng.random() < 0.3 else 0.0
    after = float(rng.uniform(0.5, 4.0)) if rng.random() < 0.3 else 0.0
    padded = np.pad(wave, (round(before * AUDIO_HZ), round(after * AUDIO_HZ)))
    padded = padded * np.float32(10.0 ** (rng.uniform(-8.0, 3.0) / 20.0))
    level = float(np.sqrt(np.mean(np.square(wave))) + 1e-6)
    noise = _room(rng, padded.shape[0] / AUDIO_HZ, level * 10.0 ** (-rng.uniform(28.0, 60.0) / 20.0))
    num_samples = num_motion_frames(padded.shape[0]) * AUDIO_HZ // MOTION_FPS
    mixed = padded + np.resize(noise, padded.shape[0])
    mixed = np.pad(mixed, (0, max(0, num_samples - mixed.shape[0])))
    return np.clip(mixed, -1.0, 1.0).astype(np.float32), round(before * AUDIO_HZ) / AUDIO_HZ


def _room(rng: np.random.Generator, seconds: float, level: float | None = None) -> FloatArray:
    """Noise of a quiet room with a falling spectrum, or now and then digital silence, (N,)."""
    num_samples = max(1, round(seconds * AUDIO_HZ))
    if level is None:
        if rng.random() < 0.3:
            return np.zeros(num_samples, np.float32)
        level = float(10.0 ** (rng.uniform(-80.0, -52.0) / 20.0))
    spectrum = np.fft.rfft(rng.standard_normal(num_samples))
    frequency = np.fft.rfftfreq(num_samples, 1.0 / AUDIO_HZ)
    spectrum *= (1.0 + frequency / 200.0) ** -float(rng.uniform(0.0, 1.0))
    noise = np.fft.irfft(spectrum, num_samples)
    return (noise * (level / max(float(np.sqrt(np.mean(noise**2))), 1e-9))).astype(np.float32)
