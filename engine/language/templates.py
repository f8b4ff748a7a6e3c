# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates of requests: sentences with placeholders in braces, and how parts are named in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ..specs import PARTS, Part

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_PART_WORDS = {
    Part.FACE: "the face",
    Part.HANDS: "the hands",
    Part.UPPER: "the upper body",
    Part.LOWER: "the lower body",
}


def placeholders(template: str) -> frozenset[str]:
    """Names of a template's placeholders."""
    return frozenset(_PLACEHOLDER.findall(template))


def split_at(template: str, names: frozenset[str]) -> list[tuple[str, str]]:
    """Cut a template at some of its placeholders.

    Args:
        template: The template.
        names: Placeholders to cut at; others stay in the text.

    Returns:
        Pairs of a text and the placeholder behind it; the last pair's placeholder is empty.
    """
    pairs: list[tuple[str, str]] = []
    begin = 0
    for found in _PLACEHOLDER.finditer(template):
        if found.group(1) in names:
            pairs.append((template[begin : found.start()], found.group(1)))
            begin = found.end()
    return [*pairs, (template[begin:], "")]


def filled(text: str, words: Mapping[str, str]) -> str:
    """A text with words in place of its placeholders, all of which have some."""
    return _PLACEHOLDER.sub(lambda found: words[found.group(1)], text)


def name_parts(parts: Iterable[Part | None]) -> str:
    """Parts in words: "the face, the hands and the upper body"."""
    named = set(parts)
    words = [_PART_WORDS[part] for part in PARTS if part in named]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
