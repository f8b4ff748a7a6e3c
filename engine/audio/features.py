# SPDX-License-Identifier: GPL-3.0-or-later
"""What speech sounds like at 60 frames per second: the input of the audio tokenizer and of the performer.

Layout of a feature frame (`NUM_FEATURES` = 44 columns, all of about unit range):

| columns | what | scaling |
|---|---|---|
| 0..39 | log-mel energies, 60..7600 Hz | (dB - running level + 30) / 30, -1 .. 1.5 |
| 40 | loudness, 80..8000 Hz | (dB - running level + 30) / 30, -1 .. 1.5 |
| 41 | onset strength (spectral flux) | 0 .. 2 |
| 42 | pitch, log2(f0 / 150 Hz), 0 where unvoiced | -1.3 .. 1.5 |
| 43 | voicing | 0 .. 1 |

Frame i is centred on (i + 0.5) / 60 s, so that motion frame f, shown from f / 30 to (f + 1) / 30 s, owns
exactly the feature frames 2f and 2f + 1. A frame depends on +-0.2 s of sound, and on a robust level
estimate over +-3.5 s; nothing is normalised over the whole sound, so a window of it gives the same values.

Sources: mel scale, O'Shaughnessy (1987); spectral flux, Dixon (2006), "Onset detection revisited"; pitch and
voicing from the windowed autocorrelation, Boersma (1993).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter, percentile_filter
from scipy.signal import find_peaks

from ..motion.arrays import FloatArray
from ..specs import AUDIO_HZ, MOTION_FPS

FEATURE_HZ = 60
NUM_MELS = 40
MEL = slice(0, NUM_MELS)
LOUDNESS = 40
ONSET = 41
PITCH = 42
VOICING = 43
NUM_FEATURES = 44

PITCH_REFERENCE_HZ = 150.0
"""Pitch 0 of column `PITCH`."""

MEL_LOW_HZ = 60.0
MEL_HIGH_HZ = 7600.0
LEVEL_FLOOR_DB = -50.0
"""Least running level in dB of full scale: room noise stays far below the level of speech."""

BEAT_REACH_S = 0.35
"""No syllable this near a beat is louder; one or two beats in a second of fluent speech are left."""

_SYLLABLE = FEATURE_HZ // 6  # frames of a syllable whose loudness counts
_WINDOW = 640  # 40 ms
_FFT = 1024
_LOW_LAG = AUDIO_HZ // 420
_HIGH_LAG = AUDIO_HZ // 62
_CHUNK = 512
_LEVEL_BLOCK = FEATURE_HZ // 4
_LEVEL_BLOCKS = 25  # +-3 s


def num_motion_frames(num_samples: int) -> int:
    """Motion frames of a sound at `AUDIO_HZ`: its length to the nearest frame, at least 1."""
    return max(1, round(num_samples * MOTION_FPS / AUDIO_HZ))


def mel_centres_hz() -> npt.NDArray[np.float64]:
    """Centre frequencies of the mel bands, (40,), in Hz."""
    return _mel_points()[1:-1]


def speech_features(wave: FloatArray) -> FloatArray:
    """Describe a sound frame by frame.

    Args:
        wave: Mono samples at `AUDIO_HZ`, (N,).

    Returns:
        Features, (2F, 44), float32, at `FEATURE_HZ`, F = `num_motion_frames(N)`; layout in the module's text.
    """
    num_frames = 2 * num_motion_frames(wave.shape[0])
    mel_db = np.empty((num_frames, NUM_MELS), np.float32)
    rest = np.empty((num_frames, 3), np.float32)  # loudness dB, log2 pitch, voicing
    centres = np.rint((np.arange(num_frames) + 0.5) * (AUDIO_HZ / FEATURE_HZ)).astype(np.int64)
    half = _WINDOW // 2
    tail = max(0, int(centres[-1]) + half - wave.shape[0])
    padded = np.pad(np.asarray(wave, np.float32), (half, tail))
    for start in range(0, num_frames, _CHUNK):
        rows = slice(start, min(start + _CHUNK, num_frames))
        index = centres[rows, None] + np.arange(_WINDOW)[None, :]  # (frames, 640); padded by half
        _describe(padded[index], mel_db[rows], rest[rows])
    loudness_db, pitch, voicing = rest[:, 0], rest[:, 1], rest[:, 2]
    level = _running_level(loudness_db)
    out = np.empty((num_frames, NUM_FEATURES), np.float32)
    out[:, MEL] = np.clip((mel_db - level[:, None] + 30.0) / 30.0, -1.0, 1.5)
    out[:, LOUDNESS] = np.clip((loudness_db - level + 30.0) / 30.0, -1.0, 1.5)
    out[:, ONSET] = _onset_strength(out[:, MEL])
    audible = np.clip((out[:, LOUDNESS] + 0.25) / 0.25, 0.0, 1.0)
    out[:, VOICING] = voicing * audible
    voiced = out[:, VOICING] > 0.35
    out[:, PITCH] = np.where(voiced, np.clip(_smooth_pitch(pitch, voiced), -1.3, 1.5), 0.0)
    return out


def envelope(wave: FloatArray, fps: float = MOTION_FPS) -> FloatArray:
    """Amplitude envelope of a sound at a motion rate, for measuring lips against sound.

    Args:
        wave: Mono samples at `AUDIO_HZ`, (N,).
        fps: Wanted frames per second.

    Returns:
        Root mean square amplitude over +-50 ms around the middle of each frame, (F,), float32.
    """
    num_frames = max(1, round(wave.shape[0] * fps / AUDIO_HZ))
    energy = np.concatenate([[0.0], np.cumsum(np.square(wave, dtype=np.float64))])
    centres = np.rint((np.arange(num_frames) + 0.5) * (AUDIO_HZ / fps)).astype(np.int64)
    low = np.clip(centres - AUDIO_HZ // 20, 0, wave.shape[0])
    high = np.clip(centres + AUDIO_HZ // 20, 0, wave.shape[0])
    mean = (energy[high] - energy[low]) / np.maximum(high - low, 1)
    return np.sqrt(np.maximum(mean, 0.0)).astype(np.float32)


@dataclass(frozen=True)
class Rhythm:
    """When speech sets in, in seconds.

    Attributes:
        onsets: Beginnings of syllables or words, rising, (K,).
        beats: Those of them that stand out: none within `BEAT_REACH_S` is louder.
    """

    onsets: npt.NDArray[np.float64]
    beats: npt.NDArray[np.float64]


def rhythm(wave: FloatArray) -> Rhythm:
    """When syllables set in, and which of them stand out: peaks of the onset strength, and the loud ones.

    Args:
        wave: Mono samples at `AUDIO_HZ`, (N,).
    """
    features = speech_features(wave)
    strength = features[:, ONSET] * (features[:, LOUDNESS] > 0.0)
    peaks, _ = find_peaks(strength, height=0.25, prominence=0.15, distance=6)
    times = (peaks + 0.5) / FEATURE_HZ
    loudest = np.array([features[peak : peak + _SYLLABLE, LOUDNESS].max() for peak in peaks])
    near = np.abs(times[:, None] - times[None, :]) <= BEAT_REACH_S
    stands_out = [bool(loudest[i] >= loudest[near[i]].max()) for i in range(len(peaks))]
    return Rhythm(times, times[np.array(stands_out, dtype=bool)])


def onsets(wave: FloatArray) -> npt.NDArray[np.float64]:
    """Times at which syllables or words set in, in seconds, rising, (K,); see `rhythm`."""
    return rhythm(wave).onsets


def _describe(frames: FloatArray, mel_db: FloatArray, rest: FloatArray) -> None:
    """Fill mels (frames, 40) and loudness, log2 pitch, voicing (frames, 3) of windows (frames, 640)."""
    window, mel, weights, lag_weight = _tables()
    spectrum = np.fft.rfft(frames * window, _FFT, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    mel_db[:] = 10.0 * np.log10(power @ mel + 1e-9)
    rest[:, 0] = 10.0 * np.log10(power @ weights + 1e-9)
    low = power.copy()
    low[:, 64:] *= np.float32(0.1)  # 1 kHz and above tells little about the pitch
    correlation = np.fft.irfft(low, axis=1)[:, : _HIGH_LAG + 2]
    zero = correlation[:, :1] + 1e-7
    normal = (correlation / zero) * lag_weight
    strength = normal[:, _LOW_LAG : _HIGH_LAG + 1].copy()
    inner = normal[:, _LOW_LAG - 1 : _HIGH_LAG + 2]
    peak = (inner[:, 1:-1] >= inner[:, :-2]) & (inner[:, 1:-1] >= inner[:, 2:])
    lags = np.arange(_LOW_LAG, _HIGH_LAG + 1)
    cost = 0.04 * np.log2(lags / _LOW_LAG)  # of two equal peaks the shorter period (Boersma 1993)
    score = np.where(peak, strength - cost, -1.0)
    best = np.argmax(score, axis=1)
    rows = np.arange(frames.shape[0])
    left, middle, right = inner[rows, best], inner[rows, best + 1], inner[rows, best + 2]
    bend = left - 2.0 * middle + right
    shift = np.where(np.abs(bend) > 1e-6, 0.5 * (left - right) / np.where(bend == 0, 1.0, bend), 0.0)
    lag = lags[best] + np.clip(shift, -0.5, 0.5)
    rest[:, 1] = np.log2(AUDIO_HZ / lag / PITCH_REFERENCE_HZ)
    rest[:, 2] = np.clip((strength[rows, best] * (score[rows, best] > -0.5) - 0.35) / 0.45, 0.0, 1.0)


@lru_cache(maxsize=1)
def _tables() -> tuple[FloatArray, FloatArray, FloatArray, npt.NDArray[np.float64]]:
    """Window (640,), mel matrix (513, 40), loudness weights (513,), inverse window correlation (lags,)."""
    window = np.hanning(_WINDOW + 1)[:-1]
    scale = 2.0 / (np.sum(window**2) * _FFT)  # power of one window, so that a full-scale sine reads -3 dB
    frequency = np.fft.rfftfreq(_FFT, 1.0 / AUDIO_HZ)
    points = _mel_points()
    rising = (frequency[:, None] - points[None, :-2]) / (points[1:-1] - points[:-2])
    falling = (points[None, 2:] - frequency[:, None]) / (points[2:] - points[1:-1])
    mel = np.clip(np.minimum(rising, falling), 0.0, None)
    mel /= np.maximum(mel.sum(axis=0), 1e-6) / 4.0  # mean power of four bins: flat noise reads flat
    loudness = (frequency >= 80.0).astype(np.float64) * scale
    own = np.fft.irfft(np.abs(np.fft.rfft(window, 2 * _FFT)) ** 2)[: _HIGH_LAG + 2]
    return (
        window.astype(np.float32),
        (mel * scale).astype(np.float32),
        loudness.astype(np.float32),
        own[0] / np.maximum(own, own[0] * 0.1),
    )


@lru_cache(maxsize=1)
def _mel_points() -> npt.NDArray[np.float64]:
    low, high = (2595.0 * np.log10(1.0 + f / 700.0) for f in (MEL_LOW_HZ, MEL_HIGH_HZ))
    return 700.0 * (10.0 ** (np.linspace(low, high, NUM_MELS + 2) / 2595.0) - 1.0)


def _running_level(loudness_db: FloatArray) -> FloatArray:
    """Level of the loud syllables within +-3 s, (frames,), in dB; the loudest third of quarter seconds."""
    num_blocks = -(-loudness_db.shape[0] // _LEVEL_BLOCK)
    padded = np.pad(loudness_db, (0, num_blocks * _LEVEL_BLOCK - loudness_db.shape[0]), mode="edge")
    loudest = np.sort(padded.reshape(num_blocks, _LEVEL_BLOCK), axis=1)[:, -3]
    size = min(_LEVEL_BLOCKS, 2 * num_blocks + 1)
    level = np.asarray(percentile_filter(loudest, 80, size=size, mode="nearest"), np.float64)
    level = np.maximum(level, LEVEL_FLOOR_DB)
    centres = (np.arange(num_blocks) + 0.5) * _LEVEL_BLOCK
    return np.interp(np.arange(loudness_db.shape[0]) + 0.5, centres, level).astype(np.float32)


def _onset_strength(mel: FloatArray) -> FloatArray:
    """Half-wave rectified rise of the mel bands over 50 ms, centred, (frames,)."""
    before = np.pad(mel, ((2, 1), (0, 0)), mode="edge")
    rise = np.maximum(before[3:] - before[:-3], 0.0).mean(axis=1)
    return np.clip(rise * 3.0, 0.0, 2.0).astype(np.float32)


def _smooth_pitch(pitch: FloatArray, voiced: npt.NDArray[np.bool_]) -> FloatArray:
    """Median over 5 frames; unvoiced frames count as their nearest voiced one, so that edges stay put."""
    if not voiced.any():
        return pitch
    known = np.flatnonzero(voiced)
    index = np.arange(pitch.shape[0])
    after = np.clip(np.searchsorted(known, index), 0, known.size - 1)
    before = np.maximum(after - 1, 0)
    earlier = np.abs(known[before] - index) <= np.abs(known[after] - index)
    nearest = np.where(earlier, known[before], known[after])
    return np.asarray(median_filter(pitch[nearest], size=5, mode="nearest"), np.float32)
