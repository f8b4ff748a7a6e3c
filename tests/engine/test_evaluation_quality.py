# SPDX-License-Identifier: GPL-3.0-or-later
"""Foot, lip, gesture and seam measures on signals whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from engine.evaluation import quality
from engine.motion import measures
from engine.motion.arkit import ARKIT_NAMES

FPS = 30.0


def test_foot_slide_reads_the_lower_toe() -> None:
    positions = np.zeros((60, 55, 3))
    positions[:, 10, 0] = 0.5 * np.arange(60) / FPS
    positions[:, 11, 1] = 0.1
    positions[:, 11, 2] = 3.0 * np.arange(60) / FPS
    assert measures.foot_slide(positions, FPS) == pytest.approx(0.5)
    positions[:, 10, 1] = 0.2
    assert measures.foot_slide(positions, FPS) == pytest.approx(3.0)


def legs(angle: np.ndarray) -> np.ndarray:
    """Both knees bent by a given angle, (F, 55, 3)."""
    positions = np.zeros((len(angle), 55, 3))
    for hip, knee, ankle in quality.LEGS:
        positions[:, hip, 1] = 0.8
        positions[:, knee, 1] = 0.4
        positions[:, ankle, 1] = 0.4 - 0.4 * np.cos(angle)
        positions[:, ankle, 2] = -0.4 * np.sin(angle)
    return positions


def test_knee_acceleration_of_a_known_swing() -> None:
    t = np.arange(300) / FPS
    swing = 0.5 + 0.4 * np.sin(2 * np.pi * t)
    largest = quality.knee_accelerations(legs(swing), FPS).max()
    assert largest == pytest.approx(0.4 * (2 * np.pi) ** 2, rel=0.02)
    popped = swing.copy()
    popped[100:] += 0.2
    assert quality.knee_pop([legs(popped)], FPS, 100.0) > 5 * quality.knee_pop([legs(swing)], FPS, 100.0)
    straight = quality.knee_accelerations(legs(np.zeros(30)), FPS)
    assert straight.max() < 1e-6


def test_lag_is_positive_when_motion_is_late() -> None:
    rng = np.random.default_rng(1)
    sound = rng.normal(size=300)
    late = np.concatenate([np.zeros(3), sound[:-3]])
    curve = measures.lagged_correlations(late, sound)
    assert int(np.argmax(curve)) - measures.MAX_LAG == 3
    assert curve.max() == pytest.approx(1.0)
    assert measures.correlation(np.ones(5), np.arange(5.0)) == 0.0


def speech_like(num: int = 600, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    voice = np.abs(np.convolve(rng.normal(size=num), np.ones(4) / 4, mode="same")) + 0.2
    voice[200:260] = 0.0
    voice[400:440] = 0.0
    return voice


def face(**channels: np.ndarray) -> np.ndarray:
    num = len(next(iter(channels.values())))
    values = np.zeros((num, len(ARKIT_NAMES)))
    for name, curve in channels.items():
        values[:, ARKIT_NAMES.index(name)] = curve
    return values


def test_a_loudness_meter_is_caught() -> None:
    voice = speech_like()
    meter = face(jawOpen=voice, mouthFunnel=0.5 * voice, mouthStretchLeft=0.4 * voice, mouthPressLeft=-voice)
    summary = quality.summarise_lips([quality.score_lips(meter, ARKIT_NAMES, voice)])
    assert summary.correlation == pytest.approx(1.0)
    assert summary.lag == 0
    assert summary.tightest_pair[1] == pytest.approx(1.0)


def test_independent_lips_pass() -> None:
    voice = speech_like()
    apart = face(
        jawOpen=voice,
        mouthFunnel=speech_like(seed=1),
        mouthStretchLeft=speech_like(seed=2),
        mouthPressRight=speech_like(seed=3),
    )
    summary = quality.summarise_lips([quality.score_lips(apart, ARKIT_NAMES, voice)])
    assert summary.tightest_pair[1] < 0.4
    assert summary.jaw_silent == 0.0
    assert summary.jaw_speaking > 0.3
    assert min(summary.spreads.values()) > 0.1


def test_silence_is_well_inside_pauses() -> None:
    voice = speech_like()
    silent = quality.silent_frames(voice)
    assert silent[205:255].all()
    assert not silent[198:203].any()
    assert not silent[:190].any()


def test_paired_test_tells_signal_from_noise() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(size=20)
    better = quality.paired_test(base + 0.05 + 0.01 * rng.normal(size=20), base)
    noise = quality.paired_test(base + 0.01 * rng.normal(size=20), base)
    assert better.p_value < 1e-4
    assert better.wins == 20
    assert noise.p_value > 0.05
    assert quality.paired_test(base, base).p_value == 1.0


def test_gesture_scores_prefer_the_own_sound() -> None:
    num = 300
    t = np.arange(num) / FPS
    rng = np.random.default_rng(3)
    onsets, clips = [], []
    for _ in range(6):
        times = np.sort(rng.uniform(0.5, 9.5, size=6))
        speed = np.min(np.abs(t[:, None] - times[None]), axis=1) + 0.3
        positions = np.zeros((num, 55, 3))
        positions[:, :, 0] = np.cumsum(speed)[:, None] / FPS
        onsets.append(times)
        clips.append(positions)
    own, others = quality.gesture_scores(clips, onsets, np.full(55, 0.5), fps=FPS)
    assert (own > others).all()


def test_seam_ratio_sees_a_jerk_and_chance_does_not() -> None:
    rng = np.random.default_rng(0)
    positions = np.cumsum(np.cumsum(rng.normal(size=(900, 55, 3)), axis=0), axis=0) * 1e-4
    smooth = measures.accelerations(positions, FPS)
    seams = [120, 240, 360, 480, 600, 720, 840]
    assert quality.seam_ratio(smooth, seams) == pytest.approx(1.0, abs=0.1)
    jerked = positions.copy()
    for seam in seams:
        jerked[seam:] += 0.002
    assert quality.seam_ratio(measures.accelerations(jerked, FPS), seams) > 1.5
    assert 1.0 < quality.seam_chance(smooth, len(seams), trials=100) < 1.2
    assert np.isnan(quality.seam_ratio(smooth, []))
