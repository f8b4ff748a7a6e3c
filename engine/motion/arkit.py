# SPDX-License-Identifier: GPL-3.0-or-later
"""The 52 face channels of Apple's ARKit (`ARFaceAnchor.BlendShapeLocation`)."""

from __future__ import annotations

ARKIT_NAMES: tuple[str, ...] = (
    "eyeBlinkLeft",
    "eyeLookDownLeft",
    "eyeLookInLeft",
    "eyeLookOutLeft",
    "eyeLookUpLeft",
    "eyeSquintLeft",
    "eyeWideLeft",
    "eyeBlinkRight",
    "eyeLookDownRight",
    "eyeLookInRight",
    "eyeLookOutRight",
    "eyeLookUpRight",
    "eyeSquintRight",
    "eyeWideRight",
    "jawForward",
    "jawLeft",
    "jawRight",
    "jawOpen",
    "mouthClose",
    "mouthFunnel",
    "mouthPucker",
    "mouthLeft",
    "mouthRight",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthFrownLeft",
    "mouthFrownRight",
    "mouthDimpleLeft",
    "mouthDimpleRight",
    "mouthStretchLeft",
    "mouthStretchRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthPressLeft",
    "mouthPressRight",
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "browDownLeft",
    "browDownRight",
    "browInnerUp",
    "browOuterUpLeft",
    "browOuterUpRight",
    "cheekPuff",
    "cheekSquintLeft",
    "cheekSquintRight",
    "noseSneerLeft",
    "noseSneerRight",
    "tongueOut",
)
"""Channel names in Apple's documented order; every value runs from 0 to 1."""


def _mirror_name(name: str) -> str:
    if name.endswith("Left"):
        return name.removesuffix("Left") + "Right"
    if name.endswith("Right"):
        return name.removesuffix("Right") + "Left"
    return name


ARKIT_MIRROR: tuple[int, ...] = tuple(ARKIT_NAMES.index(_mirror_name(name)) for name in ARKIT_NAMES)
"""Index of the channel on the other side; the channel itself on the midline."""

ARKIT_INDEX: dict[str, int] = {name: index for index, name in enumerate(ARKIT_NAMES)}
"""Index of each channel by name."""


def channels_of(name: str) -> tuple[str, ...]:
    """The channel of that name, or those of both sides for a name without side."""
    return (name,) if name in ARKIT_INDEX else (f"{name}Left", f"{name}Right")


PRESSED = {
    "mouthPress": 0.5,
    "mouthRollLower": 0.35,
    "mouthRollUpper": 0.28,
    "mouthShrugUpper": 0.08,
    "mouthShrugLower": 0.10,
}
"""Channels of lips that meet, beside `mouthClose`, and how far they go then; see `channels_of`."""
