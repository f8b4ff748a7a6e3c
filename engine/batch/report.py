# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a batch: a table for programs and a page for people, a contact sheet per line on it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from ..whole_files import write_whole
from .records import LineResult
from .table import Line
from .work import SHEETS

TABLE, PAGE = "report.csv", "report.html"

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
article { border: 1px solid #8886; border-radius: 6px; padding: .7rem 1rem; margin: .8rem 0; }
h2 { font-size: 1rem; margin: 0 0 .3rem; overflow-wrap: anywhere; }
p { margin: .2rem 0; overflow-wrap: anywhere; }
img { width: 100%; background: #f4f5f6; border-radius: 4px; margin-top: .5rem; }
.problem { border-color: #c0392b; border-left-width: 5px; }
.what { opacity: .75; }
""".strip()


def write_report(lines: Sequence[Line], results: Mapping[str, LineResult], folder: Path) -> None:
    """Write both into a folder.

    Args:
        lines: In the order of the table.
        results: What became of each, by name; one that is absent has not been made.
        folder: Of the batch.

    Raises:
        StorageError: If they cannot be written.
    """
    write_whole(folder / TABLE, csv_report(lines, results))
    write_whole(folder / PAGE, html_report(lines, results))


def csv_report(lines: Sequence[Line], results: Mapping[str, LineResult]) -> str:
    """One row per line: what became of it, and its measures."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        (
            "row",
            "name",
            "state",
            "problem",
            "files",
            "motion_s",
            "compute_s",
            "lip_sync",
            "jitter",
            "foot_slide",
        )
    )
    for line in lines:
        found = results.get(line.name)
        state = _state(found)
        if found is None or found.problem:
            writer.writerow((line.number, line.name, state, found.problem if found else "", *[""] * 6))
            continue
        sync = "" if math.isnan(found.lip_sync) else f"{found.lip_sync:.3f}"
        measures = (f"{found.motion_s:.3f}", f"{found.compute_s:.3f}", sync)
        measures = (*measures, f"{found.jitter:.1f}", f"{found.foot_slide:.4f}")
        writer.writerow((line.number, line.name, state, "", ";".join(found.files), *measures))
    return text.getvalue()


def html_report(lines: Sequence[Line], results: Mapping[str, LineResult]) -> str:
    """One page without scripts; pictures are loaded as they come into view."""
    states = [_state(results.get(line.name)) for line in lines]
    told = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    seconds = sum(found.motion_s for found in results.values())
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width"><title>Kinesics batch</title>',
        f"<style>{_STYLE}</style></head><body><h1>Kinesics batch</h1>",
        f"<p>{len(lines)} lines: {told}; {seconds / 60:.1f} minutes of motion.</p>",
    ]
    parts += [_article(line, results.get(line.name)) for line in lines]
    return "\n".join([*parts, "</body></html>"]) + "\n"


def _state(found: LineResult | None) -> str:
    if found is None:
        return "not made"
    return "failed" if found.problem else "made"


def _article(line: Line, found: LineResult | None) -> str:
    """One line on the page."""
    asked = [f"sound: {line.audio.name}"] if line.audio else []
    asked += [f"{part.value}: {text}" for part, text in line.instructions.items()]
    asked += [line.emotion] if line.emotion else []
    what = f'<p class="what">{escape("; ".join([*asked, f"seed {line.seed}"]))}</p>'
    head = f"<h2>{line.number}. {escape(line.name)}</h2>"
    if found is None or found.problem:
        sentence = escape(found.problem if found else "Not made: the batch was stopped before.")
        return f'<article class="problem">{head}{what}<p>{sentence}</p></article>'
    measures = [f"{found.motion_s:.1f} s of motion"]
    if not math.isnan(found.lip_sync):
        measures.append(f"lip sync {found.lip_sync:.0%}")
    measures += [f"jitter {found.jitter:.0f} m/s³", f"feet slide {found.foot_slide * 100:.1f} cm/s"]
    files = ", ".join(f'<a href="{quote(name)}">{escape(name)}</a>' for name in found.files)
    sheet = quote(f"{SHEETS}/{line.name}.svg")
    picture = f'<img loading="lazy" src="{sheet}" alt="Moments of the motion" width="720" height="180">'
    return f"<article>{head}{what}<p>{', '.join(measures)}; {files}</p>{picture}</article>"
