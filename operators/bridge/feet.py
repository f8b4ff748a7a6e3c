# SPDX-License-Identifier: GPL-3.0-or-later
"""What a motion knows about its feet, kept in channels of its action, so that it goes where the motion goes.

The channels move nothing: they are those of properties of the character's object (`Object.kinesics_feet`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from . import action
from .action import Channel

if TYPE_CHECKING:
    from ...engine.motion.clip import Clip
    from ...engine.motion.feet_track import FeetTrack

PATH = "kinesics_feet"
GROUP = "Kinesics Feet"

CHANNELS = [
    Channel(f"{PATH}.{name}", index, GROUP)
    for name, width in (("contacts", 4), ("turns", 18), ("root", 3))
    for index in range(width)
]
"""In the order of `FeetTrack.values`."""


def is_feet(curve: bpy.types.FCurve) -> bool:
    """Whether a curve is one of these channels."""
    return curve.data_path.startswith(f"{PATH}.")


def write(armature: bpy.types.Object, clip: Clip, frame_start: int) -> None:
    """Put what a clip knows about its feet beside its keys, in the action on show.

    Where the action knows feet and the clip does not, nothing of the old ones stays over its frames.
    """
    from ...engine.motion.planting import known_feet

    if clip.feet is None and action.find_fcurve(armature, CHANNELS[0].path) is None:
        return
    action.write_channels(armature, CHANNELS, known_feet(clip).values, frame_start)


def read(armature: bpy.types.Object, times: np.ndarray) -> FeetTrack | None:
    """What the motion on show knows about its feet at some frames, None where it knows nothing."""
    from ...engine.motion.feet_track import FeetTrack

    curves: list[Any] = [action.find_fcurve(armature, channel.path, channel.index) for channel in CHANNELS]
    if any(curve is None or len(curve.keyframe_points) == 0 for curve in curves):
        return None
    columns = [action.values_at(curve, times) for curve in curves]
    return FeetTrack.of_values(np.stack(columns, axis=1).astype(np.float32))
