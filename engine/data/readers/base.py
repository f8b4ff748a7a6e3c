# SPDX-License-Identifier: GPL-3.0-or-later
"""What every corpus gives: records of motion, speech, words and labels, one at a time.

A reader lists its items without opening them, so that processes can share them out, and reads one item into
one record. A file that is wrong or partial costs its own record only: it is named, counted, and the rest go
on.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ...errors import DataError, EngineError
from ...motion.arrays import FloatArray
from ...motion.clip import Clip
from ...specs import AUDIO_HZ, MOTION_FPS, Part

SPLITS: tuple[str, ...] = ("train", "val", "test", "additional")
"""Splits a record may belong to; "additional" is BEAT2's word for further training data."""

MAX_NAMED = 20
"""Problems a summary spells out; the others are counted."""


@dataclass(frozen=True)
class Word:
    """One spoken word and when it is said, in seconds from the record's begin."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Caption:
    """A description of the motion between two times in seconds; an end of None is the record's end."""

    text: str
    start_s: float = 0.0
    end_s: float | None = None


@dataclass(frozen=True)
class EmotionSpan:
    """One of `EMOTIONS` and the seconds it holds for; an end of None is the record's end."""

    label: str
    start_s: float = 0.0
    end_s: float | None = None


@dataclass(frozen=True)
class Item:
    """One entry of a corpus, not opened yet: its unique name and its split, one of `SPLITS`."""

    name: str
    split: str


@dataclass(frozen=True)
class Record:
    """One recording.

    Attributes:
        name: Unique within its source.
        source: The corpus: "beat2", "amass", "librispeech" or "bvh".
        split: One of `SPLITS`.
        speaker: Who speaks or moves, as far as the corpus says.
        clip: Motion at `MOTION_FPS`, or None.
        parts: Parts whose motion was captured; what the clip holds of the others is rest.
        wave: Speech, mono float32 at `AUDIO_HZ`, (N,), or None; it begins with the clip.
        transcript: Everything said, or an empty string.
        words: The transcript's words with their times, where these are known.
        captions: Descriptions of the motion.
        emotion: Labelled stretch, or None.
    """

    name: str
    source: str
    split: str
    speaker: str = ""
    clip: Clip | None = None
    parts: tuple[Part, ...] = ()
    wave: FloatArray | None = None
    transcript: str = ""
    words: tuple[Word, ...] = ()
    captions: tuple[Caption, ...] = ()
    emotion: EmotionSpan | None = None

    @property
    def duration_s(self) -> float:
        """Seconds of motion, or of sound where there is no motion."""
        if self.clip is not None:
            return self.clip.duration_s
        return 0.0 if self.wave is None else len(self.wave) / AUDIO_HZ


@dataclass(frozen=True)
class Problem:
    """An item that could not be read, and the sentence that says why."""

    item: str
    reason: str


class Reader(Protocol):
    """A corpus on disk. Readers can be pickled, so that every process has its own."""

    @property
    def source(self) -> str:
        """Name of the corpus."""
        ...

    def items(self) -> list[Item]:
        """All entries in a fixed order; raises `DataError` if the corpus' own lists are missing."""
        ...

    def read(self, item: Item) -> Record:
        """Read one entry; raises an `EngineError` if its files are missing, damaged or partial."""
        ...


def read_records(
    reader: Reader, problems: list[Problem], items: Iterable[Item] | None = None
) -> Iterator[Record]:
    """Read a corpus record by record.

    Args:
        reader: The corpus.
        problems: Receives the items that cannot be read.
        items: Only these entries; None reads all.

    Yields:
        The records that can be read, in order.
    """
    for item in reader.items() if items is None else items:
        try:
            record = reader.read(item)
        except EngineError as error:
            problems.append(Problem(item.name, str(error)))
            continue
        yield record


def describe_problems(num_records: int, problems: Sequence[Problem]) -> list[str]:
    """Lines for people: the problems by name, then one line that counts."""
    lines = [f"left out {problem.item}: {problem.reason}" for problem in problems[:MAX_NAMED]]
    if len(problems) > MAX_NAMED:
        lines.append(f"left out {len(problems) - MAX_NAMED} more")
    return [*lines, f"{num_records} records read, {len(problems)} left out"]


def at_motion_fps(clip: Clip) -> Clip:
    """The clip at `MOTION_FPS`."""
    return clip if clip.fps == MOTION_FPS else clip.resample(MOTION_FPS)


def read_text(path: Path) -> str:
    """Text of a corpus file in UTF-8 or UTF-16.

    Raises:
        DataError: If it is missing or not text.
    """
    try:
        data = path.read_bytes()
        utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"{path.name} is missing from {path.parent.name}; copy it there.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} cannot be read as text; copy it again.") from error


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a csv file by column name.

    Args:
        path: The file; its first row names the columns.
        columns: Columns it must have.

    Raises:
        DataError: If it is missing, lacks a column, or a row lacks one of these values.
    """
    try:
        rows = list(csv.DictReader(read_text(path).splitlines()))
    except csv.Error as error:
        raise DataError(f"{path.name} is no table with commas; copy it again.") from error
    for number, row in enumerate(rows, 2):
        for column in columns:
            if not row.get(column):
                raise DataError(
                    f"{path.name} has no {column} in line {number}; add it or copy the file again."
                )
    if not rows:
        raise DataError(f"{path.name} has no rows; copy the file again.")
    return [{key: value for key, value in row.items() if key} for row in rows]
