# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that changes a finished motion without the model: energy, holding still, root and feet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from ..errors import ClipError
from ..specs import PARTS, Part
from .arrays import DoubleArray, FloatArray
from .clip import Clip
from .energy import with_energy
from .foot_lock import plant_feet
from .hold import Hold, hold_still, hold_weight
from .planting import known_feet, unplanted
from .root_path import Path, follow, in_place

LOWER = frozenset({Part.LOWER})

SETTLE = 4
"""Frames in which feet that were planted come to rest in a held pose."""


class Root(StrEnum):
    """Where the body goes."""

    AS_MADE = "as_made"
    IN_PLACE = "in_place"
    FOLLOW = "follow"


class Feet(StrEnum):
    """What standing feet do."""

    AS_MADE = "as_made"
    PLANTED = "planted"
    FREE = "free"


@dataclass(frozen=True)
class Shaping:
    """How a motion is shaped; without arguments, not at all.

    Attributes:
        energy: Scale of each part's movement, (F,); parts left out have 1.
        holds: Stretches in which parts keep still, in the order in which they take effect.
        root: Where the body goes.
        keep_turn: In place, whether it still turns.
        path: What `Root.FOLLOW` follows.
        feet: What standing feet do. As made, they are planted again where something moved them; free, what
            planted them when they were made is taken back, too.
    """

    energy: Mapping[Part, FloatArray | DoubleArray] = field(default_factory=lambda: {})
    holds: tuple[Hold, ...] = ()
    root: Root = Root.AS_MADE
    keep_turn: bool = True
    path: Path | None = None
    feet: Feet = Feet.AS_MADE

    @property
    def parts(self) -> tuple[Part, ...]:
        """Parts that may change."""
        found = {part for part, values in self.energy.items() if (np.asarray(values) != 1.0).any()}
        found |= {part for hold in self.holds for part in hold.parts}
        if self.root is not Root.AS_MADE or self.feet is not Feet.AS_MADE:
            found.add(Part.LOWER)
        return tuple(part for part in PARTS if part in found)


def shape(clip: Clip, shaping: Shaping) -> Clip:
    """Shape a motion.

    Args:
        clip: The motion as it was made. Where it does not know its feet, their contacts are those it shows.
        shaping: How.

    Returns:
        The clip; parts outside `shaping.parts` are bit-identical, and all of it without a shaping.

    Raises:
        ClipError: If the values do not fit the clip, or there is no path to follow.
    """
    moves_feet = Part.LOWER in shaping.parts
    contacts = known_feet(clip).contacts if moves_feet else None
    shaped = unplanted(clip) if shaping.feet is Feet.FREE else clip
    shaped = with_energy(shaped, shaping.energy)
    for hold in shaping.holds:
        shaped = hold_still(shaped, hold)
        if contacts is not None and Part.LOWER in hold.parts:
            contacts = _held(contacts, hold)
    if shaping.root is Root.IN_PLACE:
        return in_place(shaped, shaping.keep_turn)
    if shaping.root is Root.FOLLOW:
        if shaping.path is None:
            raise ClipError("There is no curve to follow; choose one, or another root.")
        shaped = follow(shaped, shaping.path)
    if moves_feet and contacts is not None and shaping.feet is not Feet.FREE:
        shaped = plant_feet(shaped, contacts)
        for hold in shaping.holds:  # planting is smooth in time, which lets a held leg drift
            if Part.LOWER in hold.parts:
                shaped = hold_still(shaped, replace(hold, ease=min(hold.ease, SETTLE), parts=LOWER))
    return shaped


def _held(contacts: FloatArray, hold: Hold) -> FloatArray:
    """Contacts (F, 4) while the lower body holds: a foot that is held stands, where it is."""
    weight = hold_weight(hold, len(contacts))[:, None]
    return np.maximum(contacts, weight).astype(np.float32)
