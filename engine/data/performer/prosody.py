# SPDX-License-Identifier: GPL-3.0-or-later
"""Where speech pauses and where it stresses: phrases, syllables and pitch accents of a sound.

Gesture strokes and brow and head movements fall on or slightly before pitch-accented syllables (Loehr 2012;
Swerts and Krahmer 2008; review by Wagner, Malisz and Kopp 2014), and gesture units follow the phrases between
pauses (Kendon 2004). A syllable is a peak of smoothed loudness; its beat is the steepest rise before the
peak, near the onset of its vowel (the perceptual centre, Morton, Marcus and Frankish 1976).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation, binary_opening, median_filter, uniform_filter1d
from scipy.signal import find_peaks

from ...audio.features import FEATURE_HZ, LOUDNESS, ONSET, PITCH, VOICING
from ...motion.arrays import FloatArray
from ...specs import MOTION_FPS
from .curves import Array, frame_times, smooth


@dataclass(frozen=True)
class Prosody:
    """Course of a sound at motion rate and its events.

    Attributes:
        features: The sound's features, (2F, 44).
        loudness: 0 in silence to about 1 on loud vowels, (F,).
        voicing: 0 to 1, (F,).
        pitch: Octaves above the speaker's running median, 0 where unvoiced, (F,).
        active: 1 in speech, 0 in pauses, with soft edges, (F,).
        phrases: Start and end of each stretch between pauses, (P, 2), seconds.
        syllables: Beat time of each syllable, (K,), seconds.
        strengths: Prominence of each syllable, 0 to 1, (K,).
    """

    features: FloatArray
    loudness: Array
    voicing: Array
    pitch: Array
    active: Array
    phrases: Array
    syllables: Array
    strengths: Array

    @property
    def num_frames(self) -> int:
        """Motion frames of the sound."""
        return self.features.shape[0] // 2

    @property
    def duration_s(self) -> float:
        """Length in seconds of motion."""
        return self.num_frames / MOTION_FPS


def at_motion_rate(values: FloatArray | Array) -> Array:
    """Mean of each pair of feature frames, (2F, ...) -> (F, ...)."""
    pairs = values.reshape(values.shape[0] // 2, 2, *values.shape[1:])  # (F, 2, ...)
    return pairs.mean(axis=1).astype(np.float64)


def analyse(features: FloatArray) -> Prosody:
    """Find phrases and syllables.

    Args:
        features: Speech features, (2F, 44).

    Returns:
        The sound's course and events.
    """
    loud60 = np.clip(features[:, LOUDNESS].astype(np.float64), 0.0, 1.3)
    voiced60 = features[:, VOICING] > 0.4
    pitch60 = _relative_pitch(features)
    spoken = _spoken(loud60, voiced60)
    phrases = _runs(spoken) / FEATURE_HZ
    beats, strengths = _syllables(features, loud60, pitch60, spoken)
    return Prosody(
        features=features,
        loudness=at_motion_rate(loud60),
        voicing=at_motion_rate(features[:, VOICING]),
        pitch=at_motion_rate(pitch60),
        active=at_motion_rate(smooth(spoken.astype(np.float64), 5.0)),
        phrases=phrases,
        syllables=beats,
        strengths=strengths,
    )


def select_accents(prosody: Prosody, interval_s: float, threshold: float) -> tuple[Array, Array]:
    """Choose the strongest syllables that lie at least `interval_s` apart.

    Returns:
        Times in seconds and strengths, each (A,), in order of time.
    """
    chosen: list[int] = []
    for index in np.argsort(-prosody.strengths, kind="stable"):
        if prosody.strengths[index] < threshold:
            break
        if all(abs(prosody.syllables[index] - prosody.syllables[other]) >= interval_s for other in chosen):
            chosen.append(int(index))
    order = np.array(sorted(chosen), dtype=np.int64)
    return prosody.syllables[order], prosody.strengths[order]


def rhythm_clock(prosody: Prosody, beats: Array) -> Array:
    """A clock that runs with the speech: quick between beats, slow on each beat, nearly still in pauses.

    Movement that follows it arrives on the stressed syllables, as the body's small movements do in speakers
    (Condon and Ogston 1966; Loehr 2012).

    Args:
        prosody: The sound's course.
        beats: Times of stressed syllables, (A,), rising, seconds.

    Returns:
        Clock of each frame, (F,), seconds.
    """
    times = frame_times(prosody.num_frames)
    edges = np.concatenate([[-1.0], beats, [prosody.duration_s + 1.0]])
    index = np.clip(np.searchsorted(edges, times, side="right") - 1, 0, len(edges) - 2)
    gap = edges[index + 1] - edges[index]
    phase = (times - edges[index]) / np.maximum(gap, 1e-6)
    depth = 0.58 * np.clip((1.4 - gap) / 0.4, 0.0, 1.0)
    speed = (0.10 + 0.90 * smooth(prosody.active, 3.0)) * (1.0 - depth * np.cos(2.0 * np.pi * phase))
    return np.cumsum(speed) / MOTION_FPS


def _relative_pitch(features: FloatArray) -> Array:
    pitch = features[:, PITCH].astype(np.float64)
    voiced = features[:, VOICING] > 0.4
    if voiced.sum() < 3:
        return np.zeros_like(pitch)
    index = np.arange(pitch.shape[0])
    filled = np.interp(index, index[voiced], pitch[voiced])
    size = min(241, 2 * (pitch.shape[0] // 2) + 1)
    centre = np.asarray(median_filter(filled, size=size, mode="nearest"), np.float64)
    return np.where(voiced, np.clip(filled - centre, -0.8, 0.8), 0.0)


def _spoken(loudness: Array, voiced: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Frames of speech: loud voiced sound, with the consonants around it, pauses under 0.25 s filled."""
    core = np.asarray(binary_opening(voiced & (loudness > 0.4), iterations=2), np.bool_)
    near = np.asarray(binary_dilation(core, iterations=6), np.bool_)
    wide = np.asarray(binary_dilation(core, iterations=14), np.bool_)
    near = near | (wide & (loudness > 0.4))
    gap = round(0.25 * FEATURE_HZ)
    starts_ends = _runs(near)
    filled = near.copy()
    for previous, following in pairwise(starts_ends):
        if following[0] - previous[1] < gap:
            filled[int(previous[1]) : int(following[0])] = True
    for start, end in _runs(filled):
        if end - start < 0.2 * FEATURE_HZ:
            filled[int(start) : int(end)] = False
    return filled


def _runs(mask: npt.NDArray[np.bool_]) -> Array:
    """Start and end index of each run of True, (R, 2)."""
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], axis=1).astype(np.float64)


def _syllables(
    features: FloatArray, loudness: Array, pitch: Array, spoken: npt.NDArray[np.bool_]
) -> tuple[Array, Array]:
    vowel = smooth(loudness * (0.35 + 0.65 * features[:, VOICING]), 2.5)
    slope = np.gradient(vowel)
    peaks, _ = find_peaks(np.where(spoken, vowel, 0.0), height=0.35, prominence=0.05, distance=7)
    if len(peaks) == 0:
        return np.zeros(0), np.zeros(0)
    reach = np.arange(-12, 1)
    window = np.clip(peaks[:, None] + reach, 0, len(vowel) - 1)  # (K, 13)
    beats = window[np.arange(len(peaks)), np.argmax(slope[window], axis=1)] + 1.0
    local = uniform_filter1d(np.where(spoken, vowel, 0.0), 121) / np.maximum(
        uniform_filter1d(spoken.astype(np.float64), 121), 0.05
    )
    around = np.clip(peaks[:, None] + np.arange(-5, 6), 0, len(vowel) - 1)
    rise = features[window, ONSET].max(axis=1)
    excess = vowel[peaks] - local[peaks]
    strength = 0.30 + 1.0 * excess + 1.1 * pitch[around].max(axis=1) + 0.10 * rise
    return (beats + 0.5) / FEATURE_HZ, np.clip(strength, 0.0, 1.0)
