# SPDX-License-Identifier: GPL-3.0-or-later
"""Published co-speech and reconstruction metrics, as pure functions of arrays.

Formulas follow `lom/metrics/co_speech.py` and `lom/metrics/body_metric.py` of
`Juzezhang/language_of_motion` (spec section 6). Where the public code slips, the official value
and the corrected one are both here, and each result says which it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import argrelextrema

Array = npt.NDArray[Any]

BEAT_SIGMA_S = 0.3
"""Width of the Gaussian that scores an onset by its nearest motion beat (spec 6.1)."""

BEAT_ORDER = 7
"""Frames on either side that a velocity minimum must undercut (spec 6.1)."""

BEAT_THRESHOLD = 0.3
"""Velocity threshold of LoM, in units of the joint's average velocity."""

BEAT_THRESHOLD_EMAGE = 0.1
"""Velocity threshold of the public `emage_evaltools` package."""

BEAT_MARGIN = 60
"""Frames left out at either end (spec 6.1)."""

UPPER_JOINTS: tuple[int, ...] = (3, 6, 9, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21)
"""Joints that beat consistency averages over (spec 1.2, part upper)."""


def linear_velocity(positions: Array, dt: float) -> Array:
    """Differentiate positions: central inside, one-sided at both ends (`estimate_linear_velocity`).

    Args:
        positions: (F, ...), at least two frames.
        dt: Seconds between frames.

    Returns:
        Velocities, (F, ...), per second.
    """
    first = (positions[1:2] - positions[:1]) / dt
    inside = (positions[2:] - positions[:-2]) / (2.0 * dt)
    last = (positions[-1:] - positions[-2:-1]) / dt
    return np.concatenate([first, inside, last])


def joint_speeds(positions: Array, fps: float = 30.0) -> Array:
    """Speed of every joint.

    Args:
        positions: (F, J, 3), metres.
        fps: Frames per second.

    Returns:
        (F, J), metres per second.
    """
    return np.linalg.norm(linear_velocity(positions, 1.0 / fps), axis=2)


def motion_beats(
    speeds: Array,
    average_speed: Array,
    *,
    threshold: float = BEAT_THRESHOLD,
    margin: int = BEAT_MARGIN,
    official_slip: bool = False,
    fps: float = 30.0,
) -> list[Array]:
    """Beats of each joint: local minima of its speed between faster stretches.

    Args:
        speeds: (F, J), metres per second.
        average_speed: (J,), the joint's usual speed, metres per second.
        threshold: A minimum counts only where the relative speed exceeds this.
        margin: Frames left out at either end.
        official_slip: Look the minimum up `margin` frames too early in the threshold test, as
            the public code does.
        fps: Frames per second.

    Returns:
        J arrays of seconds, counted from frame `margin`.
    """
    relative = speeds / average_speed
    inner = relative[margin : len(relative) - margin]
    tested = relative if official_slip else inner
    beats: list[Array] = []
    for joint in range(relative.shape[1]):
        minima = argrelextrema(inner[:, joint], np.less, order=BEAT_ORDER)[0]
        beats.append(minima[tested[minima, joint] > threshold] / fps)
    return beats


def beat_score(onsets: Array, beats: Array, sigma_s: float = BEAT_SIGMA_S) -> float:
    """How close each onset lies to its nearest motion beat, 0 to 1.

    Args:
        onsets: (O,), seconds.
        beats: (B,), seconds on the same clock.
        sigma_s: Width of the Gaussian.

    Returns:
        Mean over onsets of exp(-d^2 / (2 sigma^2)); 0 when either side is empty.
    """
    if len(onsets) == 0 or len(beats) == 0:
        return 0.0
    distance = np.abs(np.asarray(onsets)[:, None] - np.asarray(beats)[None, :]).min(axis=1)
    return float(np.mean(np.exp(-(distance**2) / (2.0 * sigma_s**2))))


def beat_consistency(
    positions: Array,
    onsets: Array,
    average_speed: Array,
    *,
    threshold: float = BEAT_THRESHOLD,
    margin: int = BEAT_MARGIN,
    official_slip: bool = False,
    sigma_s: float = BEAT_SIGMA_S,
    fps: float = 30.0,
) -> float:
    """Beat consistency of one clip, averaged over the upper body's joints.

    Args:
        positions: (F, J, 3), metres.
        onsets: Seconds, counted from frame `margin` (the published code cuts the audio there).
        average_speed: (J,), metres per second.
        threshold: See `motion_beats`.
        margin: See `motion_beats`.
        official_slip: True for the value the public code prints. The public order of calls
            also runs L1 diversity first, which replaces the positions by their absolute
            deviations; pass `absolute_deviation(positions)` to reproduce that as well.
        sigma_s: See `beat_score`.
        fps: Frames per second.

    Returns:
        Score from 0 to 1.
    """
    beats = motion_beats(
        joint_speeds(positions, fps),
        average_speed,
        threshold=threshold,
        margin=margin,
        official_slip=official_slip,
        fps=fps,
    )
    return float(np.mean([beat_score(onsets, beats[j], sigma_s) for j in UPPER_JOINTS]))


def absolute_deviation(values: Array) -> Array:
    """|x - mean over frames|, what the public L1 diversity leaves in its input array.

    Args:
        values: (F, ...).

    Returns:
        (F, ...).
    """
    return np.abs(values - values.mean(axis=0))


def l1_diversity(clips: list[Array]) -> float:
    """L1 diversity: summed deviation from each clip's mean pose, per frame.

    Args:
        clips: Arrays (F, D), metres.

    Returns:
        Sum over frames and dimensions divided by the number of frames.
    """
    total = sum(float(absolute_deviation(clip).sum()) for clip in clips)
    return total / sum(len(clip) for clip in clips)


def l1_diversity_centred(clips: list[Array]) -> float:
    """L1 diversity without the walk across the room: every frame relative to its pelvis.

    The public number counts root travel as diversity wherever translations are kept.

    Args:
        clips: Arrays (F, J, 3), metres, joint 0 the pelvis.

    Returns:
        As `l1_diversity`.
    """
    return l1_diversity([(clip - clip[:, :1]).reshape(len(clip), -1) for clip in clips])


def frechet_distance(first: Array, second: Array) -> float:
    """Frechet distance between two sets of feature vectors seen as Gaussians (Heusel 2017).

    The trace of the root of S1 S2 is the sum of the singular values of A B^T, where A and B are any roots of
    S1 and S2 (S1 = A^T A): exact where a covariance is singular too, as of fewer vectors than dimensions.

    Args:
        first: (N, D), N > 1.
        second: (M, D), M > 1.

    Returns:
        |mu1 - mu2|^2 + Tr(S1 + S2 - 2 sqrt(S1 S2)).
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    gap = a.mean(axis=0) - b.mean(axis=0)
    # Triangular roots, at most (D, D) each, however many vectors there are.
    root_a, root_b = (
        np.asarray(np.linalg.qr((values - values.mean(axis=0)) / np.sqrt(len(values) - 1), mode="r"))
        for values in (a, b)
    )
    shared = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    return max(0.0, float(gap @ gap + (root_a**2).sum() + (root_b**2).sum() - 2.0 * shared))


def face_mse(generated: Array, target: Array) -> float:
    """Mean squared error of face vertices or channels.

    Args:
        generated: (F, ...).
        target: Same shape.
    """
    return float(np.mean((generated - target) ** 2))


def lvd_official(generated: Array, target: Array) -> float:
    """The published "lip velocity difference", which by a slip compares positions.

    The public code takes `rec[1:] - tar[:-1]` for the generated velocity, so both sides lose
    the same frame and L1(rec[1:], tar[1:]) remains.

    Args:
        generated: (F, ...).
        target: Same shape.
    """
    return float(np.mean(np.abs(generated[1:] - target[1:])))


def lvd_corrected(generated: Array, target: Array) -> float:
    """Mean absolute difference of velocities, what the name promises.

    Args:
        generated: (F, ...).
        target: Same shape.
    """
    return float(np.mean(np.abs(np.diff(generated, axis=0) - np.diff(target, axis=0))))


def mpjpe_mm(generated: Array, target: Array) -> float:
    """Mean joint position error after moving both pelvises to the origin.

    Args:
        generated: (F, J, 3), metres, joint 0 the pelvis.
        target: Same shape.

    Returns:
        Millimetres.
    """
    gap = (generated - generated[:, :1]) - (target - target[:, :1])
    return 1000.0 * float(np.linalg.norm(gap, axis=-1).mean())


def similarity_aligned(generated: Array, target: Array) -> Array:
    """Rotate, scale and move each frame onto its target (Procrustes).

    Args:
        generated: (F, J, 3).
        target: Same shape.

    Returns:
        (F, J, 3).
    """
    a, b = np.asarray(generated, np.float64), np.asarray(target, np.float64)
    mean_a, mean_b = a.mean(axis=1, keepdims=True), b.mean(axis=1, keepdims=True)
    a, b = a - mean_a, b - mean_b
    u, s, vt = np.linalg.svd(a.transpose(0, 2, 1) @ b)
    signs = np.ones_like(s)
    signs[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * signs[:, None, :]) @ vt
    scale = (s * signs).sum(axis=1) / (a**2).sum(axis=(1, 2))
    return scale[:, None, None] * (a @ rotation) + mean_b


def pa_mpjpe_mm(generated: Array, target: Array) -> float:
    """Mean joint position error after `similarity_aligned`, millimetres.

    Args:
        generated: (F, J, 3), metres.
        target: Same shape.
    """
    gap = similarity_aligned(generated, target) - target
    return 1000.0 * float(np.linalg.norm(gap, axis=-1).mean())


def accel_mm(generated: Array, target: Array) -> float:
    """Mean difference of accelerations, millimetres per frame squared, positions as they are.

    Args:
        generated: (F, J, 3), metres, at least three frames.
        target: Same shape.
    """
    gap = np.diff(generated, n=2, axis=0) - np.diff(target, n=2, axis=0)
    return 1000.0 * float(np.linalg.norm(gap, axis=-1).mean())
