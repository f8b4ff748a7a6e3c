# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes up comes down: nobody hangs in the air.

A language model now and then repeats a step in mid-jump, and the figure hovers. Feet that stand on nothing
carry a body in free fall: after its highest moment it is made to fall as gravity has it, and the knees give
where it lands. Captured jumps are in the air for at most 1.21 times the time that gravity gives their height,
and for 1.71 times as they come back from the starter's tokenizer, which makes them lower; of 184 jumps of
starter 0.2.5, nine took longer than that, up to four times.
"""

from __future__ import annotations

import numpy as np

from ..specs import MOTION_FPS
from .arrays import DoubleArray, FloatArray
from .climbing import soles_below_pelvis, standing_feet
from .features import LOWER_CONTACTS, LOWER_HEIGHT
from .skeleton import DEFAULT_SKELETON

GRAVITY = 9.81
"""Metres per second squared."""

OFF_FLOOR = 0.1
"""Soles so high above the floor have left it, metres; lower ones may be the tokenizer's error."""

TOO_LONG = 1.75
"""A flight that takes so many times what gravity gives its height hangs in the air."""

LEAP = 0.2
"""Soles get at least so high in a flight that can be told from an error, metres."""

LONGEST_S = 2.0
"""Who stays up longer holds on to something: a bar, a beam, a partner. Seconds."""

UPRIGHT = 0.4
"""Feet that are not so far below the pelvis do not jump, metres: a cartwheel, a tucked swing."""

HELD = 0.5
"""Feet that are said to stand for so much of a flight stand on something."""

GIVING = 10.0
"""How quickly knees give at a landing and straighten again, per second."""


def fallen(lower: FloatArray) -> FloatArray:
    """Features of legs that fall when they are in the air.

    Args:
        lower: The starter's lower body features as decoded, at the model's rate, (F, 62).

    Returns:
        (F, 62), of which only the pelvis' height and the contacts can differ; the same array where nobody
        hangs in the air. Just after a landing soles lie below the floor; planting the feet bends the knees.
    """
    height = lower[:, LOWER_HEIGHT]
    if height.max(initial=0.0) < DEFAULT_SKELETON.standing_height + OFF_FLOOR:
        return lower
    below = soles_below_pelvis(lower)
    clear = (height[:, None] - below).min(axis=1)
    stands = standing_feet(lower).any(axis=1)
    result = lower
    for start, stop in np.flatnonzero(np.diff(clear > OFF_FLOOR, prepend=False, append=False)).reshape(-1, 2):
        flight = slice(start, stop)
        highest = float(clear[flight].max())
        rise_s = np.sqrt(2.0 * (highest - OFF_FLOOR) / GRAVITY)
        hangs = 2.0 * TOO_LONG * rise_s < (stop - start) / MOTION_FPS <= LONGEST_S
        risen = highest > LEAP and height[flight].max() > DEFAULT_SKELETON.standing_height
        if not (hangs and risen) or below[flight].min() < UPRIGHT or stands[flight].mean() > HELD:
            continue
        if result is lower:
            result = lower.copy()
        top = start + int(np.argmax(clear[start : start + round(rise_s * MOTION_FPS) + 1]))
        down = stop
        while down < len(clear) and 0.0 < clear[down] <= clear[down - 1]:
            down += 1
        path, landing = _fall(clear[top:], down - top)
        result[top:, LOWER_HEIGHT] += path - clear[top:]
        result[top + landing : down, LOWER_CONTACTS] = 1.0
    return result


def _fall(clear: DoubleArray, until: int) -> tuple[DoubleArray, int]:
    """Height of the lower sole on its way down.

    Args:
        clear: Its height as decoded, from its highest moment on, (F,), metres.
        until: Frame from which on it is on the floor as decoded.

    Returns:
        Its height when it falls, (F,), and the frame at which it lands.
    """
    times = np.arange(len(clear)) / MOTION_FPS
    path = clear.copy()
    path[:until] = np.minimum(clear, clear[0] - 0.5 * GRAVITY * times**2)[:until]
    below = np.flatnonzero(path[:until] < 0.0)
    landing = int(below[0]) if len(below) else until
    since = times[landing:] - np.sqrt(2.0 * clear[0] / GRAVITY)
    path[landing:until] = 0.0
    path[landing:] -= np.sqrt(2.0 * GRAVITY * clear[0]) * since * np.exp(-GIVING * since)
    return path, landing
