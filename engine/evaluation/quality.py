# SPDX-License-Identifier: GPL-3.0-or-later
"""How well a clip moves and keeps time with its sound: feet, knees, lips, gesture, joints of windows.

Pure functions of arrays; nothing here knows a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from ..motion.measures import NUM_BODY_JOINTS, correlation, lagged_correlations
from . import metrics

Array = npt.NDArray[Any]

LEGS: tuple[tuple[int, int, int], ...] = ((1, 4, 7), (2, 5, 8))
"""Hip, knee and ankle of either side."""

SOLE_M = 0.02
"""Height over the floor below which a standing foot's lowest joint counts as sunk."""

LIP_GROUPS: dict[str, tuple[str, ...]] = {
    "jaw": ("jawOpen",),
    "round": ("mouthFunnel", "mouthPucker"),
    "spread": ("mouthStretchLeft", "mouthStretchRight", "mouthSmileLeft", "mouthSmileRight"),
    "press": ("mouthPressLeft", "mouthPressRight", "mouthRollLower", "mouthRollUpper", "mouthClose"),
}
"""ARKit channels that must not all follow the loudness."""


def knee_accelerations(positions: Array, fps: float) -> Array:
    """Size of the angular acceleration of both knees.

    Args:
        positions: (F, J, 3), metres.
        fps: Frames per second.

    Returns:
        (2 (F - 2),), radians per second squared.
    """
    parts: list[Array] = []
    for hip, knee, ankle in LEGS:
        thigh, shin = positions[:, knee] - positions[:, hip], positions[:, ankle] - positions[:, knee]
        sine = np.linalg.norm(np.cross(thigh, shin), axis=1)
        angle = np.arctan2(sine, (thigh * shin).sum(axis=1))
        parts.append(np.abs(np.diff(angle, n=2)) * fps**2)
    return np.concatenate(parts)


def knee_pop(clips: Sequence[Array], fps: float, percentile: float = 99.0) -> float:
    """High percentile of the knees' angular acceleration over clips.

    Args:
        clips: Joint positions of each, (F, J, 3).
        fps: Frames per second.
        percentile: Which.

    Returns:
        Radians per second squared.
    """
    return float(np.percentile(np.concatenate([knee_accelerations(c, fps) for c in clips]), percentile))


@dataclass(frozen=True)
class LipScore:
    """Lips of one clip against its sound.

    Attributes:
        correlations: See `lagged_correlations`.
        jaw_silent: Median jaw opening in silence, 0 to 1.
        jaw_speaking: Mean jaw opening while speaking, 0 to 1.
        groups: Summed channels of each of `LIP_GROUPS` while speaking, (F_speaking,) each.
        envelope: Speech envelope while speaking, (F_speaking,).
    """

    correlations: Array
    jaw_silent: float
    jaw_speaking: float
    groups: Mapping[str, Array]
    envelope: Array


def silent_frames(envelope: Array, margin: int = 3) -> npt.NDArray[np.bool_]:
    """Frames well inside a pause.

    Args:
        envelope: (F,), linear amplitude or any rising function of it.
        margin: Frames from speech that do not count as silence.

    Returns:
        (F,), True where the envelope stays within a tenth of its way from floor to peak
        (5th to 95th percentile) for `margin` frames on either side.
    """
    low, high = np.percentile(envelope, [5, 95])
    loud = envelope > low + 0.1 * (high - low)
    near = np.convolve(loud.astype(np.float64), np.ones(2 * margin + 1), mode="same") > 0
    return ~near


def score_lips(expressions: Array, names: Sequence[str], envelope: Array) -> LipScore:
    """Measure one clip's lips.

    Args:
        expressions: Face channels, (F, C), 0 to 1.
        names: Channel names, ARKit's.
        envelope: Speech envelope at the clip's rate, (F,).
    """
    num = min(len(expressions), len(envelope))
    face, sound = np.asarray(expressions[:num], np.float64), np.asarray(envelope[:num], np.float64)
    index = {name: i for i, name in enumerate(names)}
    groups = {
        key: np.sum([face[:, index[name]] for name in members], axis=0) for key, members in LIP_GROUPS.items()
    }
    silent = silent_frames(sound)
    speaking = ~silent
    jaw = groups["jaw"]
    return LipScore(
        correlations=lagged_correlations(jaw, sound),
        jaw_silent=float(np.median(jaw[silent])) if silent.any() else float("nan"),
        jaw_speaking=float(jaw[speaking].mean()),
        groups={key: values[speaking] for key, values in groups.items()},
        envelope=sound[speaking],
    )


@dataclass(frozen=True)
class LipSummary:
    """Lips over many clips.

    Attributes:
        correlation: Best mean correlation over lags.
        lag: Lag of it in frames; positive is late.
        jaw_silent: Median over clips of the jaw in silence.
        jaw_speaking: Mean over clips of the jaw while speaking.
        spreads: Standard deviation of each lip group while speaking, mean over clips.
        pairs: Mean correlation of each pair of groups, and of each group but the jaw with the
            envelope.
    """

    correlation: float
    lag: int
    jaw_silent: float
    jaw_speaking: float
    spreads: dict[str, float]
    pairs: dict[tuple[str, str], float]

    @property
    def tightest_pair(self) -> tuple[str, float]:
        """The pair that moves together most, and its correlation's size."""
        pair, value = max(self.pairs.items(), key=lambda item: abs(item[1]))
        return " ~ ".join(pair), abs(value)


def summarise_lips(scores: Sequence[LipScore]) -> LipSummary:
    """Average lips over clips.

    Args:
        scores: At least one.
    """
    curve = np.mean([score.correlations for score in scores], axis=0)
    best = int(np.argmax(curve))
    keys = list(LIP_GROUPS)
    pairs: dict[tuple[str, str], float] = {}
    for i, first in enumerate(keys):
        for second in keys[i + 1 :]:
            pairs[first, second] = float(
                np.mean([correlation(s.groups[first], s.groups[second]) for s in scores])
            )
        if first != "jaw":
            pairs[first, "loudness"] = float(
                np.mean([correlation(s.groups[first], s.envelope) for s in scores])
            )
    silent = np.array([score.jaw_silent for score in scores])
    return LipSummary(
        correlation=float(curve[best]),
        lag=best - (len(curve) - 1) // 2,
        jaw_silent=float(np.nanmedian(silent)) if np.isfinite(silent).any() else float("nan"),
        jaw_speaking=float(np.mean([score.jaw_speaking for score in scores])),
        spreads={key: float(np.mean([score.groups[key].std() for score in scores])) for key in keys},
        pairs=pairs,
    )


@dataclass(frozen=True)
class PairedTest:
    """Right sound against other people's sound on the same motion.

    Attributes:
        right: Mean score with the clip's own sound.
        shuffled: Mean score with every other clip's sound.
        p_value: One-sided Wilcoxon signed-rank test of right > shuffled over clips.
        wins: Clips whose own sound scores higher.
        num_clips: Clips compared.
    """

    right: float
    shuffled: float
    p_value: float
    wins: int
    num_clips: int


def paired_test(right: Array, shuffled: Array) -> PairedTest:
    """Compare scores clip by clip.

    Args:
        right: (N,).
        shuffled: (N,), of the same clips.
    """
    gaps = np.asarray(right) - np.asarray(shuffled)
    p_value = 1.0
    if not np.allclose(gaps, 0):
        result: Any = stats.wilcoxon(gaps, alternative="greater")
        p_value = float(result.pvalue)
    return PairedTest(
        right=float(np.mean(right)),
        shuffled=float(np.mean(shuffled)),
        p_value=p_value,
        wins=int(np.count_nonzero(gaps > 0)),
        num_clips=len(gaps),
    )


def gesture_scores(
    positions: Sequence[Array],
    onset_lists: Sequence[Array],
    average_speed: Array,
    *,
    fps: float,
    sigma_s: float = metrics.BEAT_SIGMA_S,
    threshold: float = metrics.BEAT_THRESHOLD,
    margin: int = 15,
) -> tuple[Array, Array]:
    """Beat consistency of each clip with its own sound and with all others'.

    Args:
        positions: Joint positions of each clip, (F, J, 3).
        onset_lists: Onsets of each clip's sound in seconds from its start.
        average_speed: (J,), metres per second.
        fps: Frames per second.
        sigma_s: Width of the score.
        threshold: See `metrics.motion_beats`.
        margin: Frames left out at either end: starting and stopping with the voice is not rhythm.

    Returns:
        Own score (N,), and mean score over the other clips' sounds (N,). Every onset list is
        cut to the shorter of motion and sound.
    """
    lengths = [(len(p) - 2 * margin) / fps for p in positions]
    own, others = np.zeros(len(positions)), np.zeros(len(positions))
    for i, clip in enumerate(positions):
        speeds = metrics.joint_speeds(clip, fps)
        beats = metrics.motion_beats(speeds, average_speed, threshold=threshold, margin=margin, fps=fps)
        scores: list[float] = []
        for j, onsets in enumerate(onset_lists):
            shifted = np.asarray(onsets) - margin / fps
            end = min(lengths[i], lengths[j])
            cut = shifted[(shifted >= 0) & (shifted <= end)]
            scores.append(
                float(np.mean([metrics.beat_score(cut, beats[k], sigma_s) for k in metrics.UPPER_JOINTS]))
            )
        own[i] = scores[i]
        others[i] = np.mean(scores[:i] + scores[i + 1 :])
    return own, others


def seam_ratio(acceleration: Array, seams: Sequence[int], reach: int = 2) -> float:
    """Acceleration around given frames over that elsewhere.

    Args:
        acceleration: (F,).
        seams: First frame of each later window.
        reach: Frames on either side that belong to the seam.
    """
    near = np.zeros(len(acceleration), bool)
    for seam in seams:
        near[max(0, seam - reach) : seam + reach] = True
    if not near.any() or near.all():
        return float("nan")
    return float(acceleration[near].mean() / max(float(acceleration[~near].mean()), 1e-9))


def seam_chance(acceleration: Array, num_seams: int, *, seed: int = 0, trials: int = 1000) -> float:
    """95th percentile of `seam_ratio` at frames picked at random: what chance alone gives.

    Args:
        acceleration: (F,).
        num_seams: Frames per trial.
        seed: Of the draws.
        trials: How many draws.
    """
    rng = np.random.default_rng(seed)
    frames = rng.integers(2, len(acceleration) - 2, size=(trials, num_seams))
    return float(np.percentile([seam_ratio(acceleration, list(row)) for row in frames], 95))


def ground_penetration(positions: Array, floor: float = 0.0, clearance: float = 0.0) -> tuple[float, float]:
    """How far ankles and toes sink below the floor.

    Args:
        positions: (F, J, 3), metres, Y up.
        floor: Height of the floor.
        clearance: Least height of a foot's joints over the floor when it stands, as ankle and toe joints lie
            inside the foot.

    Returns:
        Mean depth over all frames of the deepest joint, metres, and the share of frames that sink at all.
    """
    depth = np.maximum(floor + clearance - positions[:, [7, 8, 10, 11], 1], 0.0).max(axis=1)
    return float(depth.mean()), float((depth > 1e-4).mean())


def jerk(positions: Array, fps: float) -> float:
    """Mean size of the third derivative of the body's joints, metres per second cubed.

    Args:
        positions: (F, J, 3), metres, at least four frames.
        fps: Frames per second.
    """
    third = np.diff(positions[:, :NUM_BODY_JOINTS], n=3, axis=0) * fps**3
    return float(np.linalg.norm(third, axis=-1).mean())
