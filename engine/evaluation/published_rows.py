# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics of the field on our own clips, official and corrected, with no goal attached."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import EngineError
from ..motion.arrays import FloatArray
from ..motion.clip import Clip
from ..motion.features import starter_features
from ..motion.skeleton import NUM_JOINTS
from ..specs import MOTION_FPS, Part
from . import metrics
from .held_out import Speech, next_ones
from .report import Row
from .studio import positions_of

SLOWEST = 1e-4
"""Least mean speed of a joint, m/s: speeds are divided by it."""


def average_speeds(positions: Sequence[FloatArray]) -> FloatArray:
    """Mean speed of each joint over clips, (J,), m/s, never 0.

    Args:
        positions: (F, J, 3) each.
    """
    speeds = np.concatenate([metrics.joint_speeds(p, MOTION_FPS) for p in positions])
    return np.maximum(speeds.mean(axis=0), SLOWEST).astype(np.float32)


def load_mean_velocity(path: Path) -> FloatArray:
    """Read the published mean velocities, `mean_vel_smplxflame_30.npy` (spec 6.1).

    Args:
        path: The file.

    Returns:
        Mean speed of each SMPL-X joint, (55,), m/s, never 0.

    Raises:
        EngineError: If it is missing, or not one speed for each joint.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as problem:
        raise EngineError(f"{path.name} cannot be read as mean velocities: {problem}") from problem
    speeds = np.asarray(values).squeeze()
    upper = list(metrics.UPPER_JOINTS)
    whole = speeds.shape == (NUM_JOINTS,) and speeds.dtype.kind == "f" and bool(np.isfinite(speeds).all())
    if not (whole and (speeds[upper] > 0).all()):
        raise EngineError(f"{path.name} does not hold the mean speed of each of {NUM_JOINTS} joints.")
    return np.maximum(speeds, SLOWEST).astype(np.float32)


def centred(positions: FloatArray) -> FloatArray:
    """Joint positions relative to the pelvis, so that walking is not gesture.

    Args:
        positions: (F, J, 3).
    """
    return positions - positions[:, :1]


def window_features(clips: Sequence[Clip], length: int = 32, hop: int = 16) -> FloatArray:
    """Mean and deviation of the upper body's rotations in short windows, (N, 156).

    Args:
        clips: Any.
        length: Frames of a window.
        hop: Frames between windows.
    """
    found: list[FloatArray] = []
    for clip in clips:
        upper = starter_features(clip)[Part.UPPER]
        found += [
            np.concatenate([upper[a : a + length].mean(axis=0), upper[a : a + length].std(axis=0)])
            for a in range(0, len(upper) - length + 1, hop)
        ]
    return np.stack(found)


def frechet(first: Sequence[Clip], second: Sequence[Clip], components: int = 24) -> float:
    """Frechet distance of `window_features` in the second set's principal components, in its variances.

    Args:
        first: Measured clips.
        second: Reference clips.
        components: Kept.
    """
    a, b = window_features(first).astype(np.float64), window_features(second).astype(np.float64)
    centre = b.mean(axis=0)
    _, sizes, axes = np.linalg.svd(b - centre, full_matrices=False)
    kept = min(components, len(sizes), len(b) - 1)
    scale = float(np.sqrt((sizes[:kept] ** 2).sum() / (len(b) - 1)))
    basis = axes[:kept].T / scale
    return metrics.frechet_distance((a - centre) @ basis, (b - centre) @ basis)


def published_rows(clips: Sequence[Clip], sounds: Sequence[Speech], taught: Sequence[Clip]) -> list[Row]:
    """The metrics of the field, official and corrected, on clips of our own; no targets.

    Args:
        clips: One for each sound.
        sounds: Held-out recordings.
        taught: The performer on the same sounds with the same seeds.
    """
    rows: list[Row] = []
    average = average_speeds(positions_of(taught))
    for label, group in (("generated", clips), ("performer", taught)):
        places = positions_of(group)
        for threshold in (metrics.BEAT_THRESHOLD, metrics.BEAT_THRESHOLD_EMAGE):
            corrected, official = (
                mean_beat_consistency(places, sounds, average, threshold, slip) for slip in (False, True)
            )
            others = mean_beat_consistency(places, next_ones(sounds), average, threshold, slip=False)
            rows.append(
                Row(
                    "published",
                    f"beat consistency, threshold {threshold:g}, {label}",
                    f"corrected {corrected:.3f}, as published {official:.3f}; "
                    f"another's sound, corrected {others:.3f}",
                    value=corrected,
                )
            )
        diversity = metrics.l1_diversity([p.reshape(len(p), -1) for p in places])
        inner = metrics.l1_diversity_centred(list(places))
        rows.append(
            Row(
                "published",
                f"L1 diversity, {label}",
                f"corrected {inner:.2f}, as published {diversity:.2f}",
                value=inner,
            )
        )
    half = len(taught) // 2
    distance = frechet(clips, taught)
    chance = frechet(taught[:half], taught[half:])
    rows += [
        Row("published", "Frechet distance, generated to performer", f"{distance:.2f}", value=distance),
        Row("published", "- one half of the performer's clips to the other", f"{chance:.2f}", value=chance),
    ]
    shuffled = next_ones(taught)
    for label, targets in (("performer", taught), ("performer on another's voice", shuffled)):
        pairs = [same_length(c.expressions, t.expressions) for c, t in zip(clips, targets, strict=True)]
        mse = float(np.mean([metrics.face_mse(a, b) for a, b in pairs]))
        official = float(np.mean([metrics.lvd_official(a, b) for a, b in pairs]))
        corrected = float(np.mean([metrics.lvd_corrected(a, b) for a, b in pairs]))
        rows.append(
            Row(
                "published",
                f"face against {label}",
                f"MSE {mse:.4f}; LVD corrected {corrected:.4f}, as published {official:.4f}",
                value=mse,
            )
        )
    return rows


def mean_beat_consistency(
    places: Sequence[FloatArray], sounds: Sequence[Speech], average: FloatArray, threshold: float, slip: bool
) -> float:
    """Beat consistency over clips, weighted by their inner length as the public code does.

    Args:
        places: Joint positions of each clip, (F, J, 3).
        sounds: One for each.
        average: Mean speed of each joint, (J,), m/s.
        threshold: See `metrics.motion_beats`.
        slip: Keep the public code's slips: its threshold test and the positions its diversity leaves behind.

    Returns:
        0 to 1; nan when no clip is long enough.
    """
    scores: list[float] = []
    weights: list[int] = []
    for positions, sound in zip(places, sounds, strict=True):
        inner = len(positions) - 2 * metrics.BEAT_MARGIN
        if inner < 2 * metrics.BEAT_ORDER:
            continue
        onsets = sound.onsets() - metrics.BEAT_MARGIN / MOTION_FPS
        onsets = onsets[(onsets >= 0) & (onsets <= inner / MOTION_FPS)]
        seen = metrics.absolute_deviation(positions) if slip else centred(positions)
        scores.append(
            metrics.beat_consistency(seen, onsets, average, threshold=threshold, official_slip=slip)
        )
        weights.append(inner)
    return float(np.average(scores, weights=weights)) if scores else float("nan")


def same_length(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Both cut to the shorter."""
    num = min(len(a), len(b))
    return a[:num], b[:num]
