# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the evaluation and the three places they go: terminal, Markdown, JSON."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .notes import NOTES


@dataclass(frozen=True)
class Mark:
    """One value of a row in a figure (`plots.FIGURES`).

    Attributes:
        figure: Name of the figure.
        category: Place on its axis.
        series: Colour within it.
        value: The number.
    """

    figure: str
    category: str
    series: str
    value: float


@dataclass(frozen=True)
class Row:
    """One measured line.

    Attributes:
        topic: Group it belongs to, as in the project's table of goals.
        what: What was measured.
        measured: The value, in words a reader can check.
        target: What it must reach, empty for a row that only puts others in place.
        passed: Whether it does; None for rows without a target.
        value: The value as a number, for the JSON file.
        marks: Its values in figures.
    """

    topic: str
    what: str
    measured: str
    target: str = ""
    passed: bool | None = None
    value: float = math.nan
    marks: tuple[Mark, ...] = ()

    @property
    def verdict(self) -> str:
        """pass, FAIL or nothing."""
        return "" if self.passed is None else ("pass" if self.passed else "FAIL")


@dataclass(frozen=True)
class Run:
    """What an evaluation ran on.

    Attributes:
        pack: Name of the pack.
        pack_hash: Short hash of the pack's files.
        num_seeds: Seeds per instruction.
        quick: Whether it was the short run.
        machine: Processor and threads in words.
        seconds: How long it took.
        notes: Paragraphs for the page (bounds and where they come from).
    """

    pack: str
    pack_hash: str
    num_seeds: int
    quick: bool
    machine: str
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drawing:
    """A plot beside the table.

    Attributes:
        topic: Rows it stands under.
        title: What it shows.
        path: Its file.
    """

    topic: str
    title: str
    path: Path


def tally(rows: Sequence[Row]) -> str:
    """How many rows with a target pass, in words."""
    judged = [row for row in rows if row.passed is not None]
    return f"{sum(bool(row.passed) for row in judged)} of {len(judged)} goals reached"


def terminal_table(rows: Sequence[Row], width: int = 150) -> str:
    """The one table for a terminal.

    Args:
        rows: In order of topics.
        width: Columns to fill.
    """
    columns = [[row.topic, row.what, row.measured, row.target, row.verdict] for row in rows]
    head = ["topic", "what", "measured", "target", ""]
    limits = [12, 44, max(20, width - 12 - 44 - 26 - 4 - 8), 26, 4]
    widths = [
        min(limit, max(1, *(len(line[i]) for line in [head, *columns]))) for i, limit in enumerate(limits)
    ]
    lines: list[str] = [_terminal_line(head, widths), "  ".join("-" * size for size in widths)]
    topic = ""
    for cells in columns:
        if topic and cells[0] != topic:
            lines.append("")
        shown = ["" if cells[0] == topic else cells[0], *cells[1:]]
        topic = cells[0]
        lines.append(_terminal_line(shown, widths))
    return "\n".join([*lines, "", tally(rows)])


def _terminal_line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """One table row, long cells wrapped below themselves."""
    wrapped = [textwrap.wrap(cell, size) or [""] for cell, size in zip(cells, widths, strict=True)]
    height = max(len(lines) for lines in wrapped)
    return "\n".join(
        "  ".join(
            (lines[i] if i < len(lines) else "").ljust(size)
            for lines, size in zip(wrapped, widths, strict=True)
        ).rstrip()
        for i in range(height)
    )


def markdown_page(rows: Sequence[Row], run: Run, drawings: Sequence[Drawing] = ()) -> str:
    """The page `docs/evaluation.md`.

    Args:
        rows: In order of topics.
        run: What they were measured on.
        drawings: Plots, in a folder beside the page.
    """
    kind = "short run (`--quick`)" if run.quick else "full run"
    parts = [
        "# Evaluation",
        "",
        f"Pack `{run.pack}` ({run.pack_hash}), {kind}, {run.num_seeds} seeds per instruction, {run.machine}, "
        f"{run.seconds / 60:.1f} minutes. Made by `make evaluate`; do not edit by hand.",
        "",
        f"**{tally(rows)}.** Rows without a target put the others in place: what captured motion, the "
        "performer that taught the pack, chance or the wrong sound give on the same measure.",
        "",
    ]
    for topic in dict.fromkeys(row.topic for row in rows):
        parts += ["", f"## {topic.capitalize()}", "", "| what | measured | target | |", "|---|---|---|---|"]
        for row in rows:
            if row.topic == topic:
                verdict = "**FAIL**" if row.passed is False else row.verdict
                parts.append(
                    f"| {_cell(row.what)} | {_cell(row.measured)} | {_cell(row.target)} | {verdict} |"
                )
        for drawing in drawings:
            if drawing.topic == topic:
                place = f"{drawing.path.parent.name}/{drawing.path.name}"
                parts += ["", f"![{drawing.title}]({place})"]
        if topic in NOTES:
            parts += ["", NOTES[topic].strip()]
    for note in run.notes:
        parts += ["", note]
    return "\n".join(parts) + "\n"


def _cell(text: str) -> str:
    """Text that may stand in a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def json_report(rows: Sequence[Row], run: Run) -> str:
    """The same rows for scripts; numbers that do not exist are null.

    Args:
        rows: In order of topics.
        run: What they were measured on.
    """
    entries = [
        {
            "topic": row.topic,
            "what": row.what,
            "measured": row.measured,
            "target": row.target,
            "passed": row.passed,
            "value": row.value if math.isfinite(row.value) else None,
        }
        for row in rows
    ]
    head = {
        "pack": run.pack,
        "pack_hash": run.pack_hash,
        "seeds": run.num_seeds,
        "quick": run.quick,
        "machine": run.machine,
        "seconds": round(run.seconds, 1),
    }
    return json.dumps({**head, "rows": entries}, indent=1, ensure_ascii=False) + "\n"
