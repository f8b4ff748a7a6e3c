# SPDX-License-Identifier: GPL-3.0-or-later
"""Text in lines that fit the width there is, in any language."""

from __future__ import annotations

import re
import unicodedata

import bpy

LETTER = 6.5
"""Width of a letter in pixels of the interface; a Chinese character takes two."""

MARGIN = 75
"""Pixels of the interface that tabs, frames and an icon take from a line."""

NARROW = 255
"""A sidebar of fewer pixels of the interface, a little less than at first, has no room for some icons."""

TWO_NAMES = 340
"""A sidebar of fewer pixels of the interface has no room for two long names side by side."""

UNKNOWN_WIDTH = 600
"""Width where nothing is drawn, as without a window."""

_PIECE = re.compile(r"[\u2e80-\uffef][\u3001\u3002\uff09\uff0c\uff1a\uff1b]*|[^\s\u2e80-\uffef]+\s*|\s+")
"""What may stand alone in a line: a word, or a Chinese character with marks that must not begin a line."""


def width_of(context: bpy.types.Context) -> float:
    """Width of the region that is drawn, in pixels of the interface."""
    if context.region is None:
        return UNKNOWN_WIDTH
    return context.region.width / context.preferences.system.ui_scale


def is_narrow(context: bpy.types.Context) -> bool:
    """Whether the sidebar is narrower than Blender makes it."""
    return width_of(context) < NARROW


def wrapped(text: str, length: int) -> list[str]:
    """Break a text into lines of so many letters."""
    lines, room = [""], length
    for piece in _PIECE.findall(text):
        size = sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in piece.rstrip())
        if size > room and lines[-1]:
            lines.append("")
            room = length
        lines[-1] += piece
        room -= size + len(piece) - len(piece.rstrip())
    return [line.rstrip() for line in lines]


def draw_lines(layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon: str = "NONE") -> None:
    """Draw a text that is in the animator's language already, with an icon before its first line."""
    column = layout.column(align=True)
    column.scale_y = 0.8
    rest = "NONE" if icon == "NONE" else "BLANK1"
    for number, line in enumerate(wrapped(text, max(int((width_of(context) - MARGIN) / LETTER), 10))):
        column.label(text=line, icon=rest if number else icon, translate=False)
