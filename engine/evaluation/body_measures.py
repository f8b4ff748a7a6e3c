# SPDX-License-Identifier: GPL-3.0-or-later
"""What the probes read off one clip: a few plain measures of joint positions, nothing of labels or models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..motion.measures import NUM_BODY_JOINTS

if TYPE_CHECKING:
    from ..motion.clip import Clip

Array = npt.NDArray[Any]

PELVIS, CHEST, NECK = 0, 9, 12
LEFT_HIP, RIGHT_HIP, LEFT_ANKLE, RIGHT_ANKLE, LEFT_FOOT, RIGHT_FOOT = 1, 2, 7, 8, 10, 11
LEFT_SHOULDER, RIGHT_SHOULDER = 16, 17
THIGHS: tuple[tuple[int, int], ...] = ((1, 4), (2, 5))
"""Hip and knee of either side."""

ARMS: tuple[tuple[int, int], ...] = ((16, 20), (17, 21))
"""Shoulder and wrist of either side."""

AIRBORNE_M = 0.05
"""A foot is off the floor when ankle and toe are this far above their lowest usual height."""

STEP_M = 0.06
"""One ankle must lead the other by this much, then trail by it, to count as a step."""


@dataclass(frozen=True)
class Measures:
    """What is read off one clip.

    Attributes:
        forward_speed: Mean of root velocity along the body's heading, m/s; negative backwards.
        turned_deg: Net change of heading, degrees; positive turns to the character's left.
        turn_steadiness: |net turn| over the whole turning done, 0 to 1, on headings smoothed
            over half a second.
        drift_m: Farthest horizontal distance of the root from where it began, metres.
        joint_speed: Mean speed of the 22 body joints, m/s.
        rise_m: Highest root over its standing level, metres.
        airborne_s: Longest time with both feet off the floor, seconds.
        step_hz: Steps per second, from the ankles passing each other.
        root_height: Median height of the root over the floor, metres.
        trunk_lowest: Lowest share of the trunk's length that points up, -1 (upside down) to 1 (upright).
        seated_deg: Largest angle of both thighs from straight down that is held for a second, degrees.
        feet_rise_m: Highest mean height over a second of the lower toe, over its usual lowest, metres.
        kick_speed: Peak speed of an ankle as the pelvis sees it, m/s.
        reach_speed: Peak speed at which a wrist leaves its shoulder, m/s.
        guard_m: Median height of the lower wrist over the chest, metres; about -0.35 with hanging arms.
    """

    forward_speed: float
    turned_deg: float
    turn_steadiness: float
    drift_m: float
    joint_speed: float
    rise_m: float
    airborne_s: float
    step_hz: float
    root_height: float
    trunk_lowest: float
    seated_deg: float
    feet_rise_m: float
    kick_speed: float
    reach_speed: float
    guard_m: float


def headings(positions: Array) -> Array:
    """Heading of the body from hips and shoulders, unwrapped.

    Args:
        positions: (F, J, 3), metres, Y up, the character's left is +X when it faces +Z.

    Returns:
        (F,), radians; (sin, cos) of it is the forward direction in (x, z).
    """
    across = (
        positions[:, RIGHT_HIP]
        - positions[:, LEFT_HIP]
        + positions[:, RIGHT_SHOULDER]
        - positions[:, LEFT_SHOULDER]
    )
    return np.unwrap(np.arctan2(across[:, 2], -across[:, 0]))


def floor_heights(positions: Array, percentile: float = 5.0) -> Array:
    """Height above its own lowest usual height of each foot joint.

    Args:
        positions: (F, J, 3), metres.
        percentile: What counts as the lowest usual height.

    Returns:
        (F, 4), metres, for joints 7, 8, 10, 11.
    """
    heights = positions[:, [LEFT_ANKLE, RIGHT_ANKLE, LEFT_FOOT, RIGHT_FOOT], 1]
    return heights - np.percentile(heights, percentile, axis=0)


def longest_run(flags: Array) -> int:
    """Length of the longest stretch of True.

    Args:
        flags: (F,), bool.
    """
    padded = np.concatenate([[0], flags.astype(np.int64), [0]])
    edges = np.diff(padded)
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return int((ends - starts).max()) if len(starts) else 0


def count_steps(lead: Array, threshold: float = STEP_M) -> int:
    """How often the leading foot changes.

    Args:
        lead: (F,), left ankle ahead of the right one, metres.
        threshold: Lead that counts.
    """
    sides = np.sign(lead) * (np.abs(lead) > threshold)
    sides = sides[sides != 0]
    return int(np.count_nonzero(np.diff(sides))) if len(sides) else 0


def smoothed(values: Array, width: int) -> Array:
    """Moving average with the ends held.

    Args:
        values: (F,).
        width: Frames.
    """
    width = max(1, min(width, len(values)))
    padded = np.pad(values, (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.ones(width) / width, mode="valid")


def trunk_lowest(positions: Array) -> float:
    """See `Measures`.

    Args:
        positions: (F, J, 3), metres.
    """
    trunk = positions[:, NECK] - positions[:, PELVIS]
    return float(smoothed(trunk[:, 1] / np.maximum(np.linalg.norm(trunk, axis=1), 1e-6), 5).min())


def seated_deg(positions: Array, fps: float) -> float:
    """See `Measures`.

    Args:
        positions: (F, J, 3), metres.
        fps: Frames per second.
    """
    angles: list[Array] = []
    for hip, knee in THIGHS:
        thigh = positions[:, knee] - positions[:, hip]
        cosine = -thigh[:, 1] / np.maximum(np.linalg.norm(thigh, axis=1), 1e-6)
        angles.append(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
    both = np.minimum(*angles)
    held = np.lib.stride_tricks.sliding_window_view(both, min(round(fps), len(both)))
    return float(held.min(axis=1).max())


def peak(speeds: Array) -> float:
    """Highest mean of three frames, so that one bad frame is no peak.

    Args:
        speeds: (F,).
    """
    return float(np.convolve(speeds, np.ones(3) / 3, mode="valid").max())


def measure(positions: Array, fps: float) -> Measures:
    """Read every measure off one clip.

    Args:
        positions: (F, J, 3), metres, Y up, at least half a second.
        fps: Frames per second.
    """
    positions = np.asarray(positions, np.float64)
    num_frames = len(positions)
    duration_s = (num_frames - 1) / fps
    heading = headings(positions)
    forward = np.stack([np.sin(heading), np.cos(heading)], axis=1)
    root = positions[:, 0]
    root_velocity = np.diff(root[:, [0, 2]], axis=0) * fps
    forward_speed = float((root_velocity * forward[:-1]).sum(axis=1).mean())

    smooth = smoothed(heading, round(fps / 2))
    net = float(smooth[-1] - smooth[0])
    turning = float(np.abs(np.diff(smooth)).sum())

    feet = floor_heights(positions)
    airborne = (feet > AIRBORNE_M).all(axis=1)
    grounded = ~airborne
    standing = float(np.percentile(root[grounded, 1], 75)) if grounded.any() else float(root[:, 1].max())
    floor = float(np.percentile(positions[:, [LEFT_FOOT, RIGHT_FOOT], 1], 5))

    lead = ((positions[:, LEFT_ANKLE] - positions[:, RIGHT_ANKLE])[:, [0, 2]] * forward).sum(axis=1)
    body = positions[:, :NUM_BODY_JOINTS]
    lower_toe = positions[:, [LEFT_FOOT, RIGHT_FOOT], 1].min(axis=1)
    second = min(round(fps), len(positions))
    raised = float(np.convolve(lower_toe, np.ones(second) / second, mode="valid").max())
    swing = np.diff(positions[:, [LEFT_ANKLE, RIGHT_ANKLE]] - positions[:, :1], axis=0) * fps
    reaches = [
        np.linalg.norm(positions[:, wrist] - positions[:, shoulder], axis=1) for shoulder, wrist in ARMS
    ]
    wrists = positions[:, [wrist for _, wrist in ARMS], 1] - positions[:, CHEST : CHEST + 1, 1]
    return Measures(
        forward_speed=forward_speed,
        turned_deg=float(np.degrees(heading[-1] - heading[0])),
        turn_steadiness=abs(net) / turning if turning > 1e-6 else 0.0,
        drift_m=float(np.linalg.norm(root[:, [0, 2]] - root[0, [0, 2]], axis=1).max()),
        joint_speed=float(np.linalg.norm(np.diff(body, axis=0), axis=-1).mean() * fps),
        rise_m=float(root[:, 1].max()) - standing,
        airborne_s=longest_run(airborne) / fps,
        step_hz=count_steps(lead) / duration_s,
        root_height=float(np.median(root[:, 1])) - floor,
        trunk_lowest=trunk_lowest(positions),
        seated_deg=seated_deg(positions, fps),
        feet_rise_m=raised - float(np.percentile(lower_toe, 5)),
        kick_speed=max(peak(np.linalg.norm(swing[:, foot], axis=1)) for foot in (0, 1)),
        reach_speed=max(peak(np.diff(reach) * fps) for reach in reaches),
        guard_m=float(np.median(wrists.min(axis=1))),
    )


def measure_clip(clip: Clip) -> Measures:
    """Measure a clip on the default skeleton.

    Args:
        clip: Any clip of the engine.
    """
    from ..motion.kinematics import clip_joint_positions

    return measure(clip_joint_positions(clip), clip.fps)
