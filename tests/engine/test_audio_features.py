# SPDX-License-Identifier: GPL-3.0-or-later
"""Speech features: exact length, pitch, place in time, independence of the window, speed."""

from __future__ import annotations

import time

import numpy as np
import pytest

from engine.audio.features import (
    FEATURE_HZ,
    LOUDNESS,
    NUM_FEATURES,
    ONSET,
    PITCH,
    PITCH_REFERENCE_HZ,
    VOICING,
    envelope,
    num_motion_frames,
    onsets,
    rhythm,
    speech_features,
)
from engine.motion.arrays import FloatArray
from engine.specs import AUDIO_HZ


def voice(seconds: float, hz: float, seed: int = 0) -> FloatArray:
    """Twelve harmonics in room noise, (N,)."""
    clock = np.arange(round(seconds * AUDIO_HZ)) / AUDIO_HZ
    sound = sum(np.sin(2 * np.pi * hz * k * clock) / k for k in range(1, 13))
    noise = np.random.default_rng(seed).normal(0.0, 1e-4, clock.shape)
    return (0.1 * sound + noise).astype(np.float32)


def bursts(times: list[float], seconds: float) -> FloatArray:
    """Vowels of 0.15 s that begin at given times, in near silence, (N,)."""
    sound = np.random.default_rng(1).normal(0.0, 1e-4, round(seconds * AUDIO_HZ))
    vowel = voice(0.15, 140.0) * np.hanning(round(0.15 * AUDIO_HZ)) ** 0.2
    for start in times:
        first = round(start * AUDIO_HZ)
        sound[first : first + len(vowel)] += vowel
    return sound.astype(np.float32)


@pytest.mark.parametrize("num_samples", [1, 300, 4000, 16000, 16267, 53321])
def test_two_feature_frames_for_each_motion_frame(num_samples: int) -> None:
    features = speech_features(np.full(num_samples, 0.01, np.float32))
    assert features.shape == (2 * num_motion_frames(num_samples), NUM_FEATURES)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert num_motion_frames(num_samples) == max(1, round(num_samples / AUDIO_HZ * 30))
    assert envelope(np.full(num_samples, 0.01, np.float32)).shape == (num_motion_frames(num_samples),)


@pytest.mark.parametrize("hz", [75.0, 110.0, 190.0, 260.0, 390.0])
def test_pitch(hz: float) -> None:
    features = speech_features(voice(1.0, hz))[6:-6]
    assert features[:, VOICING].min() > 0.8
    assert np.abs(features[:, PITCH] - np.log2(hz / PITCH_REFERENCE_HZ)).max() < 0.02


def test_noise_and_silence_are_unvoiced() -> None:
    noise = np.random.default_rng(0).normal(0.0, 0.1, AUDIO_HZ).astype(np.float32)
    assert speech_features(noise)[:, VOICING].max() < 0.35
    silent = speech_features(np.zeros(AUDIO_HZ, np.float32))
    assert silent[:, LOUDNESS].max() < -0.3
    assert np.abs(silent[:, [PITCH, VOICING, ONSET]]).max() == 0.0


def test_values_lie_in_about_unit_range_at_any_level() -> None:
    loud, soft = (speech_features(bursts([0.5, 1.0, 1.4], 2.0) * gain) for gain in (2.0, 0.1))
    for features in (loud, soft):
        assert features.min() >= -1.3 and features.max() <= 2.0
    strong = loud[:, LOUDNESS] > 0.5
    assert strong.any()
    assert np.abs(loud[strong, LOUDNESS] - soft[strong, LOUDNESS]).max() < 0.05


def test_onsets_are_found_where_they_are() -> None:
    wanted = [0.4, 0.9, 1.3, 2.0]
    found = onsets(bursts(wanted, 2.6))
    assert len(found) == len(wanted)
    assert np.abs(found - np.array(wanted)).max() < 0.04


def test_beats_are_the_onsets_that_stand_out() -> None:
    soft, loud = [0.65, 1.2], [0.4, 1.45, 2.4]
    heard = rhythm(bursts(loud, 3.0) + 0.15 * bursts(soft, 3.0))
    assert np.abs(heard.onsets - np.array(sorted(soft + loud))).max() < 0.04
    assert np.abs(heard.beats - np.array(loud)).max() < 0.04
    for silent in (np.zeros(AUDIO_HZ, np.float32), np.zeros(1, np.float32)):
        nothing = rhythm(silent)
        assert len(nothing.onsets) == len(nothing.beats) == 0


def test_envelope_is_centred_on_its_frame() -> None:
    curve = envelope(bursts([1.0], 2.0))
    assert abs((np.argmax(curve) + 0.5) / 30 - 1.075) < 0.04
    assert curve[:20].max() < 0.01 * curve.max()


def test_a_window_gives_the_same_features() -> None:
    rng = np.random.default_rng(3)
    sound = bursts(sorted(rng.uniform(0.0, 19.0, 60).tolist()), 20.0)
    whole = speech_features(sound)
    part = speech_features(sound[5 * AUDIO_HZ : 15 * AUDIO_HZ])
    inner = slice(4 * FEATURE_HZ, 6 * FEATURE_HZ)
    assert np.abs(whole[5 * FEATURE_HZ : 15 * FEATURE_HZ][inner] - part[inner]).max() < 1e-4


def test_long_sound_in_pieces_equals_itself_and_is_quick() -> None:
    sound = np.tile(bursts([0.3, 0.8], 1.0), 60)
    began = time.process_time()
    features = speech_features(sound)
    assert time.process_time() - began < 2.0  # about 0.1 s on a free core
    assert np.array_equal(features, speech_features(sound))
    period = features[FEATURE_HZ * 10 : FEATURE_HZ * 11]
    assert np.abs(features[FEATURE_HZ * 40 : FEATURE_HZ * 41] - period).max() < 1e-3
