# SPDX-License-Identifier: GPL-3.0-or-later
"""A small library of conversational gestures: where the hand is before and after the stroke, and its shape.

Kinds follow McNeill (1992): beats, and metaphoric gestures that offer, hold, sweep away or bound an idea;
forms such as the open palm, the precision grip and the ring follow Kendon (2004). Positions lie in McNeill's
central gesture space between waist and shoulders.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .curves import Array

POSE_SIZE = 7
"""Out, up, forward from the shoulder in arm lengths; elbow swivel, pronation, wrist flexion, deviation."""

SHAPE_SIZE = 12
"""Curl of knuckle and middle joint of four fingers (8), spread, thumb opposition and two flexions."""


@dataclass(frozen=True)
class Gesture:
    """One gesture of the library, as the left hand makes it.

    Attributes:
        prepared: Pose where the stroke starts, `POSE_SIZE` numbers.
        struck: Pose where it ends.
        shape: Hand shape during the stroke.
        both: Factor on the chance that both hands take part.
        shrug: Rise of the shoulders, 0..1.
        moods: Factors on the chance of this gesture by emotion.
    """

    prepared: tuple[float, ...]
    struck: tuple[float, ...]
    shape: str
    both: float = 1.0
    shrug: float = 0.0
    moods: tuple[tuple[str, float], ...] = ()


GESTURES: dict[str, Gesture] = {
    "beat": Gesture(
        (0.08, -0.40, 0.58, 0.0, 0.60, -0.25, 0.0), (0.06, -0.62, 0.62, 0.0, 0.70, 0.12, 0.0), "relaxed",
        moods=(("sadness", 2.0), ("neutral", 1.5)),
    ),
    "offer": Gesture(
        (-0.02, -0.52, 0.46, 0.0, 0.20, 0.15, 0.0), (0.20, -0.48, 0.68, -0.1, -0.95, -0.2, 0.0), "open", 1.3,
        moods=(("happiness", 1.8), ("anger", 0.5)),
    ),
    "chop": Gesture(
        (0.02, -0.26, 0.56, 0.0, 0.05, -0.1, 0.15), (0.0, -0.60, 0.64, 0.0, 0.0, 0.05, -0.2), "flat", 0.8,
        moods=(("anger", 3.0), ("sadness", 0.3), ("fear", 0.3)),
    ),
    "sweep": Gesture(
        (-0.18, -0.44, 0.56, 0.1, 0.85, 0.05, 0.0), (0.42, -0.46, 0.56, 0.0, 0.8, -0.2, 0.0), "flat", 0.9,
        moods=(("contempt", 2.0), ("disgust", 1.6), ("happiness", 1.4), ("sadness", 0.4)),
    ),
    "self": Gesture(
        (0.12, -0.50, 0.58, 0.0, 0.2, 0.0, 0.0), (-0.14, -0.40, 0.40, 0.25, 0.45, 0.35, 0.0), "open", 0.5,
        moods=(("sadness", 2.0), ("fear", 1.6), ("contempt", 0.5)),
    ),
    "shrug": Gesture(
        (0.20, -0.64, 0.44, 0.0, 0.0, 0.0, 0.0), (0.40, -0.56, 0.46, -0.15, -1.2, -0.25, 0.0), "open",
        4.0, 1.0,
        moods=(("sadness", 1.6), ("contempt", 1.5), ("surprise", 1.5)),
    ),
    "precision": Gesture(
        (0.04, -0.26, 0.56, 0.0, 0.5, -0.1, 0.0), (0.02, -0.44, 0.66, 0.0, 0.6, 0.1, 0.0), "precision", 0.6,
        moods=(("neutral", 1.5), ("anger", 1.2), ("contempt", 1.3)),
    ),
    "frame": Gesture(
        (-0.06, -0.46, 0.50, 0.0, 0.1, 0.0, 0.0), (0.12, -0.48, 0.60, 0.1, 0.05, -0.05, 0.0), "container",
        5.0,
        moods=(("surprise", 1.5), ("neutral", 1.3)),
    ),
    "point": Gesture(
        (0.08, -0.38, 0.48, 0.0, 0.6, 0.0, 0.0), (0.06, -0.28, 0.80, 0.0, 0.95, 0.05, 0.0), "point", 0.15,
        moods=(("anger", 2.2), ("contempt", 1.4), ("sadness", 0.3), ("fear", 0.5)),
    ),
    "toss": Gesture(
        (0.02, -0.38, 0.48, 0.1, 0.5, 0.4, 0.0), (0.34, -0.36, 0.62, 0.0, 0.1, -0.4, 0.0), "relaxed", 0.7,
        moods=(("contempt", 2.5), ("disgust", 2.2), ("anger", 1.4)),
    ),
    "lift": Gesture(
        (0.12, -0.66, 0.52, 0.0, -0.5, 0.1, 0.0), (0.20, -0.38, 0.56, 0.0, -1.0, -0.1, 0.0), "open", 2.0,
        moods=(("happiness", 1.8), ("surprise", 2.2), ("sadness", 0.4)),
    ),
    "press": Gesture(
        (0.10, -0.34, 0.54, 0.15, 1.1, -0.3, 0.0), (0.12, -0.58, 0.60, 0.1, 1.25, -0.45, 0.0), "flat", 1.5,
        moods=(("fear", 2.2), ("disgust", 1.8), ("anger", 1.2)),
    ),
    "count": Gesture(
        (0.06, -0.26, 0.50, 0.0, -0.2, 0.0, 0.0), (0.05, -0.34, 0.58, 0.0, -0.35, -0.1, 0.0), "count", 0.15,
    ),
    "fist": Gesture(
        (0.06, -0.30, 0.52, 0.0, 0.3, 0.0, 0.1), (0.04, -0.52, 0.62, 0.0, 0.4, 0.1, -0.1), "fist", 0.7,
        moods=(("anger", 4.0), ("happiness", 1.0), ("neutral", 0.4), ("sadness", 0.2), ("fear", 0.6)),
    ),
}  # fmt: skip

SHAPES: dict[str, tuple[float, ...]] = {
    #             index       middle      ring        pinky       spread thumb
    "relaxed": (0.30, 0.45, 0.38, 0.52, 0.45, 0.58, 0.50, 0.60, 0.02, 0.35, 0.15, 0.25),
    "open": (0.02, 0.12, 0.05, 0.15, 0.09, 0.18, 0.12, 0.20, 0.14, 0.10, -0.05, 0.05),
    "flat": (0.00, 0.06, 0.01, 0.06, 0.02, 0.07, 0.03, 0.08, 0.00, 0.30, 0.05, 0.10),
    "fist": (1.15, 1.45, 1.25, 1.50, 1.30, 1.50, 1.30, 1.45, -0.04, 0.75, 0.45, 0.65),
    "point": (0.02, 0.08, 1.00, 1.30, 1.15, 1.40, 1.15, 1.35, 0.00, 0.65, 0.40, 0.55),
    "precision": (0.70, 0.75, 0.62, 0.70, 0.42, 0.50, 0.30, 0.42, 0.05, 0.75, 0.20, 0.40),
    "container": (0.22, 0.32, 0.24, 0.34, 0.28, 0.36, 0.32, 0.38, 0.12, 0.45, 0.05, 0.15),
    "count": (0.00, 0.06, 0.05, 0.10, 1.10, 1.35, 1.15, 1.35, 0.08, 0.75, 0.40, 0.55),
    "hanging": (0.32, 0.42, 0.42, 0.52, 0.50, 0.60, 0.54, 0.62, -0.01, 0.32, 0.12, 0.22),
    "resting": (0.18, 0.28, 0.22, 0.32, 0.28, 0.36, 0.32, 0.40, 0.02, 0.30, 0.10, 0.20),
}
"""Finger angles in radians, `SHAPE_SIZE` numbers each."""

REST_POSES: dict[str, tuple[tuple[float, ...], tuple[float, ...], str, str]] = {
    "sides": (
        (0.15, -0.985, 0.08, 0.0, 0.25, 0.10, 0.0), (0.15, -0.985, 0.08, 0.0, 0.25, 0.10, 0.0),
        "hanging", "hanging",
    ),
    "belly": (
        (-0.16, -0.64, 0.42, 0.15, 0.45, 0.15, 0.0), (0.15, -0.985, 0.08, 0.0, 0.25, 0.10, 0.0),
        "resting", "hanging",
    ),
    "clasped": (
        (-0.17, -0.80, 0.42, 0.05, 0.55, 0.10, 0.0), (-0.17, -0.82, 0.35, 0.05, 0.50, 0.10, 0.0),
        "resting", "resting",
    ),
    "ready": (
        (-0.06, -0.62, 0.54, 0.05, 0.50, 0.05, 0.0), (-0.05, -0.64, 0.52, 0.05, 0.50, 0.05, 0.0),
        "relaxed", "relaxed",
    ),
}  # fmt: skip
"""Pose of the one hand, of the other, and their shapes."""

CENTRE = np.array([0.06, -0.48, 0.58])
"""Middle of the gesture space, about which gestures grow and shrink."""


def pose_of(numbers: tuple[float, ...]) -> Array:
    """A pose of the tables as an array, (`POSE_SIZE`,)."""
    return np.array(numbers, np.float64)


def shape_of(name: str) -> Array:
    """A hand shape as an array, (`SHAPE_SIZE`,)."""
    return np.array(SHAPES[name], np.float64)
