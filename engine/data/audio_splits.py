# SPDX-License-Identifier: GPL-3.0-or-later
"""Speech files that no model is ever trained on; evaluation uses them."""

from __future__ import annotations

from . import splits

HELD_OUT_AUDIO = tuple(f"{name}.flac" for name in splits.HELD_OUT_AUDIO)
"""File names below the speech folder: 30 LibriSpeech speakers and 8 LJSpeech sentences."""


def is_held_out(name: str) -> bool:
    """Whether a file (its name or path) belongs to the held-out audio."""
    return name.replace("\\", "/").rsplit("/", 1)[-1] in _HELD_NAMES


_HELD_NAMES = frozenset(path.rsplit("/", 1)[-1] for path in HELD_OUT_AUDIO)
