# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns patterns into templates.

A pattern is a sentence with choices in brackets, `[Make|Create] motion`, and placeholders in braces. One of
the marks `<length>` (after a noun), `<lasting>` (after a noun with "of ...") and `<time>` (after a verb)
stands where a length may be said; a pattern without a mark cannot say one.
"""

from __future__ import annotations

import re
from enum import StrEnum
from itertools import product

_CHOICE = re.compile(r"\[([^\[\]]*)\]")


class Length(StrEnum):
    """How a template says how long the motion or the sound is."""

    UNSAID = "unsaid"
    SECONDS = "seconds"
    FRAMES = "frames"


_WORDS: dict[Length, dict[str, tuple[str, ...]]] = {
    Length.UNSAID: {"<length>": ("",), "<lasting>": ("",), "<time>": ("",)},
    Length.SECONDS: {
        "<length>": (" of {seconds} seconds", " lasting {seconds} seconds"),
        "<lasting>": (" lasting {seconds} seconds",),
        "<time>": (" for {seconds} seconds",),
    },
    Length.FRAMES: {
        "<length>": (" of {frames} frames", " lasting {frames} frames"),
        "<lasting>": (" lasting {frames} frames",),
        "<time>": (" for {frames} frames",),
    },
}


def expand(pattern: str) -> list[str]:
    """Every sentence of a pattern's choices, in order."""
    pieces = _CHOICE.split(pattern)  # text and choices take turns
    options = [piece.split("|") if i % 2 else [piece] for i, piece in enumerate(pieces)]
    return ["".join(words) for words in product(*options)]


def templates(patterns: tuple[str, ...], length: Length) -> tuple[str, ...]:
    """Distinct templates of some patterns that say a length in one way.

    Args:
        patterns: Patterns as in the module's text.
        length: How the length is said; patterns without its mark are left out unless it is unsaid.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        marks = [(mark, words) for mark, words in _WORDS[length].items() if mark in pattern]
        if not marks and length is Length.UNSAID:
            found.update(dict.fromkeys(expand(pattern)))
        for mark, words in marks:
            for said in words:
                found.update(dict.fromkeys(expand(pattern.replace(mark, said))))
    return tuple(found)
