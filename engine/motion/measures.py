# SPDX-License-Identifier: GPL-3.0-or-later
"""How well one clip moves, in a few numbers: sliding feet, jitter, and lips against the sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .kinematics import clip_joint_positions
from .skeleton import FOOT_JOINTS

if TYPE_CHECKING:
    from .arrays import FloatArray
    from .clip import Clip

Array = npt.NDArray[Any]

MAX_LAG = 10
"""Frames by which jaw and envelope are shifted against each other when looking for the best lag."""

NUM_BODY_JOINTS = 22
"""Pelvis to wrists, without fingers and face."""

JAW = "jawOpen"


@dataclass(frozen=True)
class Measures:
    """What is measured on one clip.

    Attributes:
        lip_sync: Best correlation of jaw opening with the speech envelope within `MAX_LAG` frames, -1 to 1;
            None without sound, and where the jaw has no channel.
        jitter: Mean size of the jerk of the body's joints, m/s^3.
        foot_slide: Median speed over the floor of whichever foot is lower, m/s.
    """

    lip_sync: float | None
    jitter: float
    foot_slide: float


def measure(clip: Clip, envelope: FloatArray | None = None) -> Measures:
    """Measure a clip.

    Args:
        clip: The motion.
        envelope: Amplitude of the speech at the clip's rate, beginning with the clip, (F,).
    """
    positions = clip_joint_positions(clip)
    sync = None
    if envelope is not None and JAW in clip.expression_names:
        jaw = clip.expressions[:, clip.expression_names.index(JAW)]
        sync = float(lagged_correlations(jaw, envelope).max())
    return Measures(sync, jitter(positions, clip.fps), foot_slide(positions, clip.fps))


def accelerations(positions: Array, fps: float, joints: Sequence[int] = range(NUM_BODY_JOINTS)) -> Array:
    """Mean acceleration of joints in each frame.

    Args:
        positions: (F, J, 3), metres.
        fps: Frames per second.
        joints: Joints that count.

    Returns:
        (F,), metres per second squared; the first and last frame repeat their neighbour.
    """
    second = np.diff(positions[:, list(joints)], n=2, axis=0) * fps**2
    inner = np.linalg.norm(second, axis=-1).mean(axis=1)
    return np.concatenate([inner[:1], inner, inner[-1:]])


def jitter(positions: Array, fps: float) -> float:
    """Mean size of the third derivative of the 22 body joints, the usual measure of trembling.

    Args:
        positions: (F, J, 3), metres.
        fps: Frames per second.

    Returns:
        m/s^3; 0 for fewer than four frames.
    """
    if len(positions) < 4:
        return 0.0
    jerk = np.diff(np.asarray(positions[:, :NUM_BODY_JOINTS], np.float64), n=3, axis=0) * fps**3
    return float(np.linalg.norm(jerk, axis=-1).mean())


def foot_slide(positions: Array, fps: float) -> float:
    """Median horizontal speed of whichever toe joint is lower.

    Args:
        positions: (F, J, 3), metres, Y up.
        fps: Frames per second.

    Returns:
        Metres per second; 0 for a single frame.
    """
    if len(positions) < 2:
        return 0.0
    toes = positions[:, list(FOOT_JOINTS[2:])]
    speed = np.linalg.norm(np.diff(toes[..., [0, 2]], axis=0), axis=-1) * fps
    lower = np.argmin(toes[:-1, :, 1] + toes[1:, :, 1], axis=1)
    return float(np.median(speed[np.arange(len(speed)), lower]))


def correlation(a: Array, b: Array) -> float:
    """Pearson correlation; 0 where either side is constant.

    Args:
        a: (F,).
        b: (F,).
    """
    a, b = a - a.mean(), b - b.mean()
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 1e-9 else 0.0


def lagged_correlations(moving: Array, sound: Array, max_lag: int = MAX_LAG) -> Array:
    """Correlation of two curves at every lag.

    Args:
        moving: (F,), for example jaw opening.
        sound: (F,), for example the speech envelope.
        max_lag: Largest shift in frames.

    Returns:
        (2 max_lag + 1,), fewer for curves shorter than that; the entry k behind the middle one compares
        moving[t + k] with sound[t], so a best value at positive k means that the motion comes late.
    """
    num = min(len(moving), len(sound))
    max_lag = max(min(max_lag, num - 1), 0)
    moving, sound = np.asarray(moving[:num], np.float64), np.asarray(sound[:num], np.float64)
    values: list[float] = []
    for lag in range(-max_lag, max_lag + 1):
        if lag >= 0:
            values.append(correlation(moving[lag:], sound[: num - lag]))
        else:
            values.append(correlation(moving[:lag], sound[-lag:]))
    return np.array(values)
