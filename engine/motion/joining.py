# SPDX-License-Identifier: GPL-3.0-or-later
"""Joins a stretch of new motion to the kept motion around it: values and velocities meet at both ends.

The new motion is not cut off and faded: at each end the difference to the kept motion, and how fast that
difference changes, is carried into the stretch and dies away by a quintic (both its slope and its curvature
end at zero), so the new motion's own movement stays. Rotations use the logarithm of the turn between the two.
A channel that would jerk, or stand out at an end from what is around it, takes longer than the wanted blend
length, up to the whole stretch; where that does not help, the new motion has a stroke just there, and is
smoothed towards that end. Jerks that remain near the ends are eased by least squares, and feet that stood are
set down again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ..errors import ClipError
from ..specs import Part
from .arrays import DoubleArray, IntArray, smooth_step
from .channels import Kind, Numbers, Turns, accelerations, peak_acceleration, standing_out
from .clip import Clip
from .easing import eased
from .planting import joined_feet, replanted
from .rotations import (
    axis_angle_to_matrix,
    axis_angle_to_quaternion,
    heading_angle,
    quaternion_to_axis_angle,
)
from .skeleton import PART_JOINTS

ALLOWED_ACCELERATION = 1.1
"""How much more a channel may accelerate in the stretch than it does around it and did in the new motion, and
at an end than within `AROUND_S` of it."""

AROUND_S = 1.0
"""Seconds before and after an end that it is compared with."""

SOFTNESS_S, SOFT_S = (0.0, 0.05, 0.1, 0.2), 0.5
"""Smoothing that is tried where new motion has a stroke just at an end, as standard deviations in seconds,
and how far it reaches into the stretch."""

USUAL = 0.9
"""Share of the kept frames whose acceleration is usual; a jump somewhere in them is no example to follow."""

GENTLE_TURN, GENTLE_MOVE, GENTLE_FACE = 6.0, 1.5, 80.0
"""Accelerations that are always allowed, in rad/s^2, m/s^2 and 1/s^2: between still poses, some must be."""

SHIFTS = (0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.0)
"""Shares of the way to the kept motion that are tried."""

STEP_S = 0.5
"""About the time of one step; a root's speed is taken over it."""

MIN_WAY = 0.05
"""Metres that are added to a root's way, evenly in time, for roots that stand."""

LENGTH_RATIO = 1.2
"""Each longer blend that is tried lasts this much longer than the one before."""

MIN_FRAMES = 4
"""Shortest stretch; its first and last frame keep their pose, so it needs some between."""


def join(kept: Clip, made: Clip, parts: Sequence[Part], first: int, last: int, blend_frames: int) -> Clip:
    """Put a stretch of new motion into kept motion.

    Args:
        kept: The motion as it is.
        made: The new motion, as long as `kept`; its frames around the stretch say how it moves there.
        parts: Parts that change.
        first: First frame of the stretch; it keeps its pose.
        last: Last frame of the stretch; it keeps its pose.
        blend_frames: Frames over which the new motion takes over at each end, at least.

    Returns:
        `kept`, bit-identical outside the stretch and in all other parts.

    Raises:
        ClipError: If the clips differ in rate, length or face channels, or the stretch is too short.
    """
    if made.num_frames != kept.num_frames or abs(made.fps - kept.fps) > 1e-3:
        raise ClipError("The kept and the new motion differ in length or rate; resample one of them first.")
    if first < 0 or last >= kept.num_frames or last - first + 1 < MIN_FRAMES:
        raise ClipError(f"A range needs at least {MIN_FRAMES} frames within the motion; choose a longer one.")
    if Part.LOWER in parts:
        made = aligned(made, kept, first)
    joints = sorted(joint for part in parts for joint in PART_JOINTS[part])
    stretch = slice(first, last + 1)
    poses, trans, expressions = kept.poses.copy(), kept.trans.copy(), kept.expressions.copy()
    feet = kept.feet
    turns = [axis_angle_to_quaternion(c.poses[:, joints].astype(np.float64)) for c in (kept, made)]
    ways, even = _ways(blend_frames, last - first), np.linspace(0.0, 1.0, last - first + 1)
    gentle, reach = GENTLE_TURN / kept.fps**2, round(AROUND_S * kept.fps)
    joined = _joined(turns[0], turns[1], first, last, ways, even, Turns(), gentle, kept.fps)
    joined = eased(joined, turns[0], turns[1], first, blend_frames, Turns(), gentle, reach)
    poses[first + 1 : last, joints] = quaternion_to_axis_angle(joined[1:-1])
    if Part.LOWER in parts:
        places = [c.pelvis_positions.astype(np.float64)[:, None] for c in (kept, made)]
        ways_there, gentle = _root_ways(blend_frames, last - first), GENTLE_MOVE / kept.fps**2
        course = _course(places[1][stretch, 0], kept.fps)
        joined = _joined(places[0], places[1], first, last, ways_there, course, Numbers(), gentle, kept.fps)
        joined = eased(joined, places[0], places[1], first, blend_frames, Numbers(), gentle, reach)
        trans[first + 1 : last] = joined[1:-1, 0] - kept.pelvis_rest
        feet = joined_feet(kept, made, first, last, blend_frames)
    if Part.FACE in parts:
        if made.expression_names != kept.expression_names:
            raise ClipError("The kept and the new motion have different face channels; convert one of them.")
        values = [c.expressions.astype(np.float64)[..., None] for c in (kept, made)]
        gentle = GENTLE_FACE / kept.fps**2
        joined = _joined(values[0], values[1], first, last, ways, even, Numbers(), gentle, kept.fps)[..., 0]
        both = np.concatenate([kept.expressions[stretch], made.expressions[stretch]])
        expressions[first + 1 : last] = np.clip(joined, both.min(axis=0), both.max(axis=0))[1:-1]
    whole = replace(kept, poses=poses, trans=trans, expressions=expressions, feet=feet)
    if Part.LOWER in parts and made.feet is not None:
        whole = replanted(whole, first, last, blend_frames)
    return whole


Way = tuple[int, int, float]
"""Frames over which an offset dies away, frames over which a speed does, and how far to shift."""


def aligned(made: Clip, kept: Clip, frame: int) -> Clip:
    """Turn and move a clip over the floor so that at one frame it stands and faces as the other does."""
    there, here = heading_angle(
        axis_angle_to_matrix(np.stack([made.poses[frame, 0], kept.poses[frame, 0]]).astype(np.float64))
    )
    made = made.moved(turn=float(here - there))
    step = kept.pelvis_positions[frame] - made.pelvis_positions[frame]
    return made.moved(shift=(float(step[0]), float(step[2])))


def _joined(
    kept: DoubleArray,
    made: DoubleArray,
    first: int,
    last: int,
    ways: list[Way],
    course: DoubleArray,
    kind: Kind,
    gentle: float,
    fps: float,
) -> DoubleArray:
    """Join channels of one kind.

    Args:
        kept: Values of the kept motion, (F, K, V).
        made: Values of the new motion, (F, K, V).
        first: First frame of the stretch.
        last: Last frame of the stretch.
        ways: What is tried.
        course: How much of a shift from the first frame's to the last one's is done at each frame of the
            stretch, from 0 to 1, (last - first + 1,).
        kind: What difference means.
        gentle: Acceleration per frame^2 that is always allowed.
        fps: Frames per second.

    Returns:
        Values of the stretch, (last - first + 1, K, V).
    """
    span, reach = last - first, round(AROUND_S * fps)
    before, after, lead = max(first - 1, 0), min(last + 1, len(kept) - 1), min(first, reach)
    around = [accelerations(part, kind) for part in (kept[: first + 1], kept[last:])]
    usual = [np.quantile(part, USUAL, axis=0) for part in around if len(part) > 0]
    new_peak = peak_acceleration(made[before : after + 1], kind)
    allowed = ALLOWED_ACCELERATION * np.max([*usual, new_peak], axis=0)
    allowed = np.maximum(allowed, gentle)
    best = made[first : last + 1]
    least = np.full(kept.shape[1], np.inf)
    for softness in SOFTNESS_S:
        softened = _softened(made, first, last, softness * fps, round(SOFT_S * fps), kind)
        for values in _led(kept, softened, first, last, ways, course, kind):
            sequence = np.concatenate([kept[first - lead : first], values, kept[last + 1 : last + 1 + reach]])
            change = accelerations(sequence, kind)
            excess = change[max(lead - 1, 0) : lead + span].max(axis=0) / allowed
            for end, sign in ((lead - 1, 1), (lead + span - 1, -1)):
                standing = standing_out(change, end, sign, reach, gentle)
                excess = np.maximum(excess, standing / ALLOWED_ACCELERATION)
            # A channel keeps the shortest blend that is allowed, else the gentlest one.
            better = (excess < least) & (least > 1.0)
            best = np.where(better[:, None], values, best)
            least = np.where(better, excess, least)
        if (least <= 1.0).all():
            break
    return best


def _led(
    kept: DoubleArray,
    made: DoubleArray,
    first: int,
    last: int,
    ways: list[Way],
    course: DoubleArray,
    kind: Kind,
) -> Iterator[DoubleArray]:
    """The stretch, led from the kept motion to the new one and back in each way; see `_joined`."""
    span = last - first
    before, after = max(first - 1, 0), min(last + 1, len(kept) - 1)
    at = [kind.between(made[frame], kept[frame]) for frame in (before, first, last, after)]
    start_speed, end_speed = kind.change(at[0], at[1]), kind.change(at[2], at[3])
    frames = np.arange(span + 1)
    across = kind.change(at[1], at[2])
    line = at[1] + across * course[:, None, None]
    begins, ends = across * (course[1] - course[0]), across * (course[-1] - course[-2])
    for length, stop, share in ways:
        rest = 1.0 - share
        offset = share * line
        offset = offset + _decay(rest * at[1], start_speed - share * begins, frames, length, stop)
        offset = offset + _decay(rest * at[2], share * ends - end_speed, span - frames, length, stop)
        yield kind.moved(made[first : last + 1], offset)


def _softened(made: DoubleArray, first: int, last: int, sigma: float, length: int, kind: Kind) -> DoubleArray:
    """New motion whose strokes at the ends of the stretch are smoothed, the less the further from an end.

    Args:
        made: Values, (F, K, V).
        first: First frame of the stretch.
        last: Last frame of the stretch.
        sigma: Standard deviation of the smoothing in frames; 0 leaves all as it is.
        length: Frames from an end to where nothing is smoothed.
        kind: What difference means.
    """
    if sigma == 0.0:
        return made
    frames = np.arange(len(made))
    away = np.minimum(np.abs(frames - first), np.abs(frames - last))
    share = 1.0 - smooth_step(away / max(length, 1))[:, None, None]
    return kind.moved(made, share * kind.between(made, kind.smoothed(made, sigma)))


def _ways(blend_frames: int, span: int) -> list[Way]:
    """Ways to lead a channel from the kept motion to the new one and back, in the order they are tried.

    First longer and longer blends until those of both ends meet; then the new motion as a whole is shifted
    towards the kept one; then blends that reach through the whole stretch.

    Over a long time a speed carries a channel far away, so that gets twice the blend length first.
    """
    half = span // 2
    shortest = max(min(blend_frames, half), 1)
    growth = range(math.ceil(math.log(span / shortest) / math.log(LENGTH_RATIO)) + 1)
    lengths = sorted({min(round(shortest * LENGTH_RATIO**power), span) for power in growth} | {half})
    ways = [(length, stop, 0.0) for length in lengths for stop in sorted({min(length, 2 * shortest), length})]
    shifted = [(half, min(half, 2 * shortest), share) for share in SHIFTS]
    return [way for way in ways if way[0] <= half] + shifted + [way for way in ways if way[0] > half]


def _root_ways(blend_frames: int, span: int) -> list[Way]:
    """Ways for the root: every step makes up a little where the kept motion is elsewhere at the end."""
    half = span // 2
    stops = {min(max(blend_frames, 1) * factor, half) for factor in (1, 2, 3, 4)} | {half}
    return [(half, stop, 1.0) for stop in sorted(stops)] + _ways(blend_frames, span)


def _course(places: DoubleArray, fps: float) -> DoubleArray:
    """How far along its own way over the floor a root is, 0 to 1, (F,), so that who stands is not shifted.

    Args:
        places: Positions in the stretch, (F, 3), metres.
        fps: Frames per second.
    """
    width = 2 * round(STEP_S * fps / 2.0) + 1
    steps = np.linalg.norm(np.diff(places[:, [0, 2]], axis=0), axis=-1)
    for _ in range(2):
        steps = np.convolve(np.pad(steps, width // 2, mode="edge"), np.full(width, 1.0 / width), mode="valid")
    steps = steps + MIN_WAY / len(steps)
    return np.concatenate([[0.0], np.cumsum(steps)]) / steps.sum()


def _decay(offset: DoubleArray, speed: DoubleArray, frames: IntArray, length: int, stop: int) -> DoubleArray:
    """A difference that begins as given and dies away.

    Args:
        offset: Difference at frame 0, (K, D).
        speed: Its change per frame there, (K, D).
        frames: Frames, (F,).
        length: Frames until nothing of the offset is left.
        stop: Frames until nothing of the speed is left.

    Returns:
        (F, K, D).
    """
    steady = 1.0 - smooth_step(frames / length)[:, None, None]
    u = np.clip(frames / stop, 0.0, 1.0)[:, None, None]
    moving = stop * (u - u**3 * (6.0 - 8.0 * u + 3.0 * u**2))
    return steady * offset + moving * speed
