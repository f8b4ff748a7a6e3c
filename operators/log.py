# SPDX-License-Identifier: GPL-3.0-or-later
"""What Kinesics writes to Blender's console, as much as the preferences say.

Instructions and the places of sounds are an animator's own: they are written at the level "Everything"
only, so that a console or log file can be shown to others as it is.
"""

from __future__ import annotations

import logging

LOG = logging.getLogger("kinesics")

LEVELS = (
    ("WARNING", "Problems", "Only what went wrong"),
    ("INFO", "Steps", "Also what was made, and how long it took"),
    ("DEBUG", "Everything", "Also what was asked for in full, for reports of faults"),
)
"""How much, as the preferences offer it."""

_handler = logging.StreamHandler()
_handler.setFormatter(logging.Formatter("Kinesics %(asctime)s %(message)s", "%H:%M:%S"))


def attach(level: str) -> None:
    """Begin to write."""
    LOG.addHandler(_handler)
    LOG.propagate = False
    LOG.setLevel(level)


def detach() -> None:
    """Write nothing more."""
    LOG.removeHandler(_handler)
    LOG.propagate = True
    LOG.setLevel(logging.NOTSET)
