# SPDX-License-Identifier: GPL-3.0-or-later
"""Which foot joints stand on the floor."""

from __future__ import annotations

import numpy as np

from .arrays import AnyFloatArray, FloatArray
from .skeleton import FOOT_JOINTS

CONTACT_SPEED = 0.3
"""A foot joint slower than this stands, m/s: the 0.01 m per frame at 30 fps of EMAGE and BEAT2."""


def contacts_from_feet(feet: AnyFloatArray, fps: float) -> FloatArray:
    """Contacts of foot joints given by their positions.

    Args:
        feet: Positions, (F, N, 3), metres.
        fps: Frames per second.

    Returns:
        1 where the joint moves slower than `CONTACT_SPEED` until the next frame, else 0, (F, N). The last
        frame always counts as contact, as published.
    """
    speed = np.zeros(feet.shape[:2], dtype=np.float64)
    speed[:-1] = np.linalg.norm(np.diff(feet, axis=0), axis=-1) * fps
    return (speed < CONTACT_SPEED).astype(np.float32)


def foot_contacts(positions: AnyFloatArray, fps: float) -> FloatArray:
    """Contacts of both ankles and both feet (joints 7, 8, 10, 11).

    Args:
        positions: All joint positions, (F, 55, 3), metres.
        fps: Frames per second.

    Returns:
        Contacts in {0, 1}, (F, 4), in the order of `FOOT_JOINTS`.
    """
    return contacts_from_feet(positions[:, list(FOOT_JOINTS)], fps)
