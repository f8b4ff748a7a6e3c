# SPDX-License-Identifier: GPL-3.0-or-later
"""What a clip knows about its feet: when they stand, and what planting changed, so that it can be undone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ClipError
from .arrays import FloatArray, IntArray

LEG_JOINTS: tuple[int, ...] = (1, 2, 4, 5, 7, 8)
"""Joints that planting turns: hips, knees and ankles, left before right."""


@dataclass(frozen=True)
class FeetTrack:
    """Feet of one clip, frame by frame.

    Attributes:
        contacts: Contact probabilities of joints 7, 8, 10, 11, (F, 4).
        turns: Turns of `LEG_JOINTS` by planting, in the joints' own axes, axis-angle, (F, 6, 3), radians.
        root: How far planting moved the pelvis, (F, 3), metres.
    """

    contacts: FloatArray
    turns: FloatArray
    root: FloatArray

    def __post_init__(self) -> None:
        """Convert to float32 and check the shapes.

        Raises:
            ClipError: If they do not fit together.
        """
        for name in ("contacts", "turns", "root"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float32))
        count = len(self.contacts)
        shapes = (self.contacts.shape, self.turns.shape, self.root.shape)
        if shapes != ((count, 4), (count, len(LEG_JOINTS), 3), (count, 3)):
            raise ClipError("What the motion says about its feet is damaged; make the motion again.")

    @property
    def values(self) -> FloatArray:
        """All of it, one row per frame, (F, 25)."""
        return np.concatenate([self.contacts, self.turns.reshape(len(self.turns), -1), self.root], axis=1)

    @staticmethod
    def of_values(values: FloatArray) -> FeetTrack:
        """The inverse of `values`; (F, 25)."""
        turns = values[:, 4:-3].reshape(len(values), len(LEG_JOINTS), 3)  # (F, 18) -> (F, 6, 3)
        return FeetTrack(values[:, :4], turns, values[:, -3:])

    def between(self, before: IntArray, after: IntArray, share: FloatArray) -> FeetTrack:
        """Mix pairs of frames; indices (N,), share of the later one (N,)."""
        values, weight = self.values, share[:, None]
        return FeetTrack.of_values(values[before] * (1.0 - weight) + values[after] * weight)

    def slice(self, start: int, stop: int) -> FeetTrack:
        """Frames `start` to `stop`, that one not included."""
        return FeetTrack.of_values(self.values[start:stop])

    def joined(self, other: FeetTrack) -> FeetTrack:
        """Another track after this one."""
        return FeetTrack.of_values(np.concatenate([self.values, other.values]))
