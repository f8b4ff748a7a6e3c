# SPDX-License-Identifier: GPL-3.0-or-later
"""Word times from Praat TextGrid files (the format of Praat's manual, "TextGrid file formats").

Both forms are read, the long one with names (`xmin = 0.5`) and the short one with bare values: what counts in
either are the quoted texts, the numbers and the `<exists>` flag, in order.
"""

from __future__ import annotations

import re
from pathlib import Path

from ...errors import DataError
from .base import Word, read_text

_VALUE = re.compile(
    r'"((?:[^"]|"")*)"|<(exists|absent)>|(?<![\w\[.])(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w\].])'
)

_NOT_WORDS = frozenset({"", "sp", "sil", "spn", "<unk>", "<eps>", "<sil>"})
"""Marks that aligners leave for silence and noise."""


def read_words(path: Path) -> tuple[Word, ...]:
    """Words of the first interval tier.

    Args:
        path: A TextGrid file.

    Returns:
        Words in order, without the marks for silence.

    Raises:
        DataError: If the file is missing or damaged.
    """
    try:
        return _first_tier(read_text(path))
    except (ValueError, IndexError) as error:
        raise DataError(f"{path.name} is no whole TextGrid with a tier of words; align it again.") from error


def _first_tier(text: str) -> tuple[Word, ...]:
    """Words of the first interval tier; raises `ValueError` or `IndexError` if the text is cut or wrong."""
    # The long form's `intervals [1]:` holds a number that is no value: the pattern skips bracketed ones.
    values = [(quoted, flag or number) for quoted, flag, number in _VALUE.findall(text)]
    if [quoted for quoted, _ in values[:2]] != ["ooTextFile", "TextGrid"] or values[4][1] != "exists":
        raise ValueError("not a TextGrid")
    place = 6  # after two titles, two times, the flag and the number of tiers
    for _ in range(int(values[5][1])):
        kind, count = values[place][0], int(values[place + 4][1])
        rows = values[place + 5 :]
        if kind == "IntervalTier":
            return tuple(word for i in range(count) if (word := _word(rows[3 * i : 3 * i + 3])))
        place += 5 + 2 * count  # a point has a time and a text
    raise ValueError("no interval tier")


def _word(row: list[tuple[str, str]]) -> Word | None:
    (_, start), (_, end), (text, other) = row
    if other or float(end) < float(start):
        raise ValueError("a word without its times")
    text = text.replace('""', '"').strip()
    return None if text.lower() in _NOT_WORDS else Word(text, float(start), float(end))
