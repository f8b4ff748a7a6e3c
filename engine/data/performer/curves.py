# SPDX-License-Identifier: GPL-3.0-or-later
"""Curves that an animator would draw: eased keys, slow drift, short pulses.

Point-to-point movements of the hand follow a minimum-jerk course (Flash and Hogan 1985), so keys are joined
by that quintic: smooth in speed, at rest on every key.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from ...specs import MOTION_FPS

Array = npt.NDArray[np.float64]


def minimum_jerk(fraction: Array) -> Array:
    """Share of the way covered at a share of the time, both in [0, 1]."""
    u = np.clip(fraction, 0.0, 1.0)
    return u * u * u * (10.0 + u * (6.0 * u - 15.0))


def frame_times(num_frames: int) -> Array:
    """Middle of each frame in seconds, (F,)."""
    return (np.arange(num_frames) + 0.5) / MOTION_FPS


def keyed(times: Array, values: Array, at: Array) -> Array:
    """Join keys by minimum-jerk segments.

    Args:
        times: Strictly rising key times, (K,), seconds.
        values: Key values, (K, D).
        at: Times to evaluate, (F,).

    Returns:
        Values, (F, D); the first and last key are held outside their times.
    """
    after = np.clip(np.searchsorted(times, at), 1, max(len(times) - 1, 1))
    if len(times) == 1:
        return np.repeat(values, at.shape[0], axis=0)
    start, end = times[after - 1], times[after]
    share = minimum_jerk((at - start) / (end - start))[:, None]
    return values[after - 1] * (1.0 - share) + values[after] * share


def drift(rng: np.random.Generator, num_frames: int, channels: int, period_s: float) -> Array:
    """Slow random wandering of about unit size, (F, channels), with a typical period in seconds."""
    sigma = max(period_s * MOTION_FPS / 6.0, 0.5)
    margin = int(4 * sigma) + 1
    noise = rng.standard_normal((num_frames + 2 * margin, channels))
    smooth = gaussian_filter1d(noise, sigma, axis=0)[margin : margin + num_frames]
    return np.clip(smooth * np.sqrt(2.0 * np.sqrt(np.pi) * sigma), -2.5, 2.5)


def wander(rng: np.random.Generator, clock: Array, channels: int, period_s: float) -> Array:
    """Random wandering of about unit size along a clock of its own, (F, channels).

    Args:
        rng: Source of chance.
        clock: Rising times, (F,), seconds; where the clock slows down, so does the movement.
        channels: Independent channels.
        period_s: Typical time from one side to the other and back, on the clock.

    Returns:
        Values, (F, channels), smooth to the second derivative.
    """
    step = period_s / 3.0
    first = float(clock[0]) - 2.0 * step * float(rng.uniform(0.5, 1.0))
    knots = np.arange(first, float(clock[-1]) + 3.0 * step, step)
    values = np.clip(rng.standard_normal((len(knots), channels)), -1.8, 1.8)
    return np.asarray(CubicSpline(knots, values)(clock), np.float64)


def pulses(times: Array, sizes: Array, at: Array, rise_s: float, fall_s: float) -> Array:
    """Sum of smooth pulses that peak at `times`, (F,): up within `rise_s`, back within `fall_s`."""
    if len(times) == 0:
        return np.zeros_like(at)
    distance = at[:, None] - times[None, :]  # (F, K)
    share = np.where(distance < 0.0, 1.0 + distance / rise_s, 1.0 - distance / fall_s)
    return (minimum_jerk(share) * sizes[None, :]).sum(axis=1)


def smooth(values: Array, frames: float) -> Array:
    """Gaussian smoothing along the first axis, standard deviation in frames."""
    return np.asarray(gaussian_filter1d(values, frames, axis=0, mode="nearest"), np.float64)
