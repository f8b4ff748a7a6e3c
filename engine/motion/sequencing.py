# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts motions one after another: a line of dialogue behind the one before, new frames into a line.

Only `joining.join` changes poses; here it is decided what meets what, and where each motion stands.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..specs import PARTS, Part
from .arrays import IntArray
from .clip import Clip
from .feet_track import FeetTrack
from .joining import MIN_FRAMES, aligned, join

CONTEXT_S = 1.0
"""Seconds around a joint that are looked at for how gentle it must be."""

BODY_BLEND_S, FACE_BLEND_S = 0.4, 0.15
"""Time in which one motion becomes the next; lips must be at their place sooner."""

IDLE_GAP_S = 1.0
"""From this long a pause on, the character stands in it; a shorter one leads straight to the next line."""

SETTLE_S = 0.3
"""So long does the body go on moving as it did when a line ends; the next one begins there."""

SPLICE_FRAMES = 8
"""Frames over which new frames in a line are joined at either end, at least."""

BODY = tuple(part for part in PARTS if part is not Part.FACE)


def follow(before: Clip, num_between: int, after: Clip, idle: Clip | None) -> Clip:
    """Let a line follow another after a pause.

    Args:
        before: What comes before; only its last second counts.
        num_between: Frames of the pause.
        after: The line.
        idle: Standing, for long pauses, at any length; None where there is none.

    Returns:
        Pause and line, (num_between + F of `after`) frames, standing where `before` ends.
    """
    fps = before.fps
    context = before.slice(max(before.num_frames - round(CONTEXT_S * fps), 0), before.num_frames)
    first = context.num_frames - 1
    placed = _behind(context, after, min(num_between + 1, round(SETTLE_S * fps)))
    start = context.num_frames + num_between
    pause = _frames(context, np.full(num_between, first)) if num_between else None
    kept = (context if pause is None else context.joined(pause)).joined(placed)
    if idle is not None and num_between >= IDLE_GAP_S * fps:
        made, lasts = _frames(idle, _there_and_back(idle.num_frames, kept.num_frames)), (start, start)
    else:
        ahead = _frames(placed, np.zeros(start, dtype=np.int64))
        made = ahead.joined(placed)
        lasts = (start + round(BODY_BLEND_S * fps), start + round(FACE_BLEND_S * fps))
    for parts, last, blend_s in zip((BODY, (Part.FACE,)), lasts, (BODY_BLEND_S, FACE_BLEND_S), strict=True):
        last = min(max(last, first + MIN_FRAMES - 1), kept.num_frames - 1)
        if last - first + 1 >= MIN_FRAMES:
            kept = join(kept, made, parts, first, last, max(round(blend_s * fps), 1))
    return kept.slice(context.num_frames, kept.num_frames)


def spliced(base: Clip, made: Clip, first: int, stop: int) -> Clip:
    """Put new frames into a line; what follows them goes on from where they end.

    Args:
        base: The line as it is.
        made: As long, with the new frames at their place.
        first: First new frame.
        stop: The frame after the last new one.

    Returns:
        The line; outside the new frames every pose is the same to the bit, but for where the body stands and
        faces behind them.
    """
    end = base.num_frames
    if first == 0 and stop == end:
        return made
    if first > 0:
        made = aligned(made, base, first - 1)
    kept = made.slice(first, stop)
    if first > 0:
        kept = base.slice(0, first).joined(kept)
    if stop < end:
        kept = kept.joined(aligned(base, made, stop).slice(stop, end))
    low = first - 1 if first > 0 else max(stop - 2 * SPLICE_FRAMES, 0)
    high = stop if stop < end else min(first - 1 + 2 * SPLICE_FRAMES, end - 1)
    if high - low + 1 < MIN_FRAMES:
        return kept
    return join(kept, made, PARTS, low, high, SPLICE_FRAMES)


def shifted(clip: Clip, frames: int, num_frames: int) -> Clip:
    """Begin a clip later or earlier, holding its ends where it has no frames.

    Args:
        clip: The clip.
        frames: Frame of `clip` that becomes the first one; may be negative.
        num_frames: Frames of the result.
    """
    return _frames(clip, np.clip(np.arange(num_frames) + frames, 0, clip.num_frames - 1))


def _behind(before: Clip, after: Clip, num_frames: int) -> Clip:
    """A line standing where the one before ends, moved on as the body moves there, for some frames."""
    placed = before.joined(after, align=True).slice(before.num_frames, before.num_frames + after.num_frames)
    if before.num_frames < 2:
        return placed
    step = (before.pelvis_positions[-1] - before.pelvis_positions[-2]) * num_frames / 2.0
    return placed.moved(shift=(float(step[0]), float(step[2])))


def _there_and_back(length: int, num_frames: int) -> IntArray:
    """Frames of a clip played forwards and backwards in turn, (num_frames,)."""
    period = max(2 * (length - 1), 1)
    at = np.arange(num_frames) % period
    return np.minimum(at, period - at) if length > 1 else np.zeros(num_frames, dtype=np.int64)


def _frames(clip: Clip, index: IntArray) -> Clip:
    """Some frames of a clip in any order."""
    return replace(
        clip,
        poses=clip.poses[index],
        trans=clip.trans[index],
        expressions=clip.expressions[index],
        feet=None if clip.feet is None else FeetTrack.of_values(clip.feet.values[index]),
    )
