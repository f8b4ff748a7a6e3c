# SPDX-License-Identifier: GPL-3.0-or-later
"""Fewer keys: every frame stays within what was stated, and smooth curves need few."""

from __future__ import annotations

import numpy as np
import pytest

from engine.motion.key_reduction import (
    euler_distance,
    hermite,
    place_distance,
    quaternion_distance,
    reduce_keys,
    slopes_of,
)


def rebuilt(values: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """All frames from the keys alone."""
    slopes, made = slopes_of(values), values.copy()
    for start, end in zip(keys[:-1].tolist(), keys[1:].tolist(), strict=True):
        made[start + 1 : end] = hermite(values, slopes, start, end)
    return made


@pytest.mark.parametrize("tolerance", [0.3, 0.03, 0.003])
def test_every_frame_stays_within_the_tolerance(tolerance: float) -> None:
    rng = np.random.default_rng(1)
    walk = np.cumsum(np.cumsum(rng.normal(0, 0.01, (400, 3)), axis=0), axis=0)
    keys = reduce_keys(walk, tolerance, place_distance)
    assert keys[0] == 0 and keys[-1] == 399 and (np.diff(keys) > 0).all()
    assert place_distance(rebuilt(walk, keys), walk).max() <= tolerance
    assert len(keys) < 400


def test_a_wider_tolerance_needs_fewer_keys() -> None:
    waves = np.sin(np.arange(300)[:, None] * np.array([0.05, 0.11]))
    counts = [len(reduce_keys(waves, tolerance, place_distance)) for tolerance in (0.1, 0.01, 0.001)]
    assert counts == sorted(counts) and counts[0] < 30 < 300


def test_a_cubic_and_a_still_curve_need_two_keys() -> None:
    times = np.arange(50.0)[:, None]
    assert len(reduce_keys(np.ones((50, 4)), 1e-9, place_distance)) == 2
    line = times @ np.ones((1, 2))
    assert len(reduce_keys(line, 1e-9, place_distance)) == 2
    assert reduce_keys(line[:1], 1e-9, place_distance).tolist() == [0]
    assert reduce_keys(line[:2], 1e-9, place_distance).tolist() == [0, 1]


def test_one_spike_is_kept() -> None:
    curve = np.zeros((60, 1))
    curve[31] = 1.0
    keys = reduce_keys(curve, 0.01, place_distance)
    assert 31 in keys.tolist() and np.abs(rebuilt(curve, keys) - curve).max() <= 0.01


def test_angles_between_rotations() -> None:
    half = np.array([0.0, 1e-6, 0.01, 0.4, 1.5]) / 2
    turned = np.stack([np.cos(half), np.sin(half), 0 * half, 0 * half], axis=1)
    rest = np.tile([1.0, 0.0, 0.0, 0.0], (5, 1))
    assert quaternion_distance(3.0 * turned, rest) == pytest.approx(2 * half, abs=1e-9)
    assert quaternion_distance(-turned, rest) == pytest.approx(2 * half, abs=1e-9)
    assert euler_distance(np.array([[0.1, -0.2, 0.0]]), np.zeros((1, 3))) == pytest.approx(0.3)
