# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of a batch: a CSV file with one line of dialogue per row.

Columns, in any order, of which a row needs a sound or an instruction: `audio`; `face`, `hands`, `upper`,
`lower` (instructions, also several in time as in "0-3: walk forward; 3-5: turn left"); `emotion`, `seed`,
`seconds`; `name` (of the files that are written); and for Blender `character` (a .blend file) and `export` (a
preset).
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import EngineError, RequestError
from ..language.instruction import parse_timed
from ..specs import PARTS, Part, PartDirection, Source

COLUMNS = (
    "audio",
    *(part.value for part in PARTS),
    "emotion",
    "seed",
    "seconds",
    "name",
    "character",
    "export",
)
MAX_TABLE_BYTES = 256 << 20
MAX_NAME = 80
NUMBER_DIGITS = 5
"""Of a row's number in the names of its files, which keeps them in the table's order."""

_UNSAFE = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class Line:
    """One row.

    Attributes:
        number: Which row, from 1.
        name: Of its files, without an ending; no two rows share one.
        audio: Sound file or None.
        instructions: What was written for each part.
        emotion: One of `EMOTIONS`, or None.
        seed: Of the draws.
        seconds: Length, or None for the sound's.
        character: Blender file with the character, or None.
        export: Preset of the export, or empty.
        problem: Why the row cannot be used; empty where it can.
    """

    number: int
    name: str
    audio: Path | None = None
    instructions: Mapping[Part, str] = field(default_factory=dict[Part, str])
    emotion: str | None = None
    seed: int = 0
    seconds: float | None = None
    character: Path | None = None
    export: str = ""
    problem: str = ""

    def directions(self) -> dict[Part, PartDirection]:
        """What each part shall do; a part without an instruction follows the speech.

        Raises:
            EngineError: If an instruction cannot be read.
        """
        return {
            part: PartDirection(Source.TEXT, *parse_timed(text)) for part, text in self.instructions.items()
        }


def read_table(path: Path) -> list[Line]:
    """Read a table. Paths in it are seen from its folder.

    Raises:
        RequestError: If it is no such table. What is wrong with a single row stands in the row.
    """
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise RequestError(f"{path.name} is larger than {MAX_TABLE_BYTES >> 20} MB; split the table.")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as problem:
        raise RequestError(
            f"The table {path} cannot be read ({problem.strerror}); check its place."
        ) from problem
    except UnicodeDecodeError as problem:
        raise RequestError(f"{path.name} is no text in UTF-8; save the table as CSV in UTF-8.") from problem
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    try:
        rows = list(csv.reader(text.splitlines(), delimiter=delimiter, strict=True))
    except csv.Error as problem:
        raise RequestError(f"{path.name} is no CSV table ({problem}); save it as CSV in UTF-8.") from problem
    if not rows:
        raise RequestError(
            f"{path.name} is empty; its first row must name the columns: {', '.join(COLUMNS)}."
        )
    columns = [title.strip().lower() for title in rows[0]]
    if strange := [title for title in columns if title not in COLUMNS]:
        raise RequestError(f"{path.name} has a column {strange[0]!r}; there are {', '.join(COLUMNS)}.")
    if len(set(columns)) < len(columns):
        raise RequestError(f"Two columns of {path.name} have the same title; rename one.")
    filled = [(number, row) for number, row in enumerate(rows[1:], 1) if any(cell.strip() for cell in row)]
    if not filled:
        raise RequestError(f"{path.name} has no rows below its titles; add one row per line of dialogue.")
    return _apart([_line(number, columns, row, path.parent) for number, row in filled])


def _line(number: int, columns: list[str], row: list[str], folder: Path) -> Line:
    """One row; what is wrong with it becomes its problem."""
    cells = {title: cell.strip() for title, cell in zip(columns, row, strict=False) if cell.strip()}
    audio = folder / cells["audio"] if "audio" in cells else None
    stem = cells.get("name") or (audio.stem if audio else next(iter(cells.values()), ""))
    name = _UNSAFE.sub("-", stem)[:MAX_NAME].strip("-.") or "line"
    if "name" not in cells:
        name = f"{number:0{NUMBER_DIGITS}d}-{name}"
    try:
        if len(row) > len(columns):
            raise RequestError("The row has more cells than there are titles; quote cells that hold commas.")
        if "name" in cells and name != stem:
            raise RequestError(
                f'The name "{stem}" holds what file names may not; use letters, digits, - and _.'
            )
        line = Line(
            number,
            name,
            audio,
            {part: cells[part.value] for part in PARTS if part.value in cells},
            cells["emotion"].lower() if "emotion" in cells else None,
            int(_number(cells, "seed", 0.0)),
            _number(cells, "seconds", 0.0) or None,
            folder / cells["character"] if "character" in cells else None,
            cells.get("export", ""),
        )
        if audio is None and not line.instructions:
            raise RequestError("There is nothing to follow; give a sound or an instruction.")
        line.directions()
        return line
    except EngineError as problem:
        return Line(number, name, audio, problem=str(problem))


def _number(cells: Mapping[str, str], title: str, absent: float) -> float:
    """A number from 0 up."""
    try:
        value = float(cells[title].replace(",", ".")) if title in cells else absent
    except ValueError:
        value = math.nan
    if not 0.0 <= value < 2**53:
        raise RequestError(
            f'The {title} "{cells[title]}" is no number from 0 up; write one or leave it empty.'
        )
    return value


def _apart(lines: list[Line]) -> list[Line]:
    """The same; a name that an earlier row has is a problem."""
    seen: dict[str, int] = {}
    kept: list[Line] = []
    for line in lines:
        if (earlier := seen.setdefault(line.name.casefold(), line.number)) != line.number:
            sentence = f'Row {earlier} has the name "{line.name}" too; rename one.'
            line = Line(line.number, f"{line.number:0{NUMBER_DIGITS}d}-{line.name}", problem=sentence)
        kept.append(line)
    return kept
