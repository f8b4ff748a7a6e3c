# SPDX-License-Identifier: GPL-3.0-or-later
"""Plots of marked rows, one SVG per figure: the same run gives the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..whole_files import PART, whole_file
from .libraries import development_library
from .report import Drawing, Mark, Row

PER_CENT = "share of clips"
COLOURS = ("#2a6f97", "#89c2d9", "#8a8a8a", "#d0d0d0", "#e09f3e", "#9e2a2b")
"""Generated and its variants in blue; captured motion and chance in grey where they come third and fourth."""


@dataclass(frozen=True)
class FigureKind:
    """One figure.

    Attributes:
        title: Above it.
        axis: What its bars measure.
        matrix: Whether categories and series are rows and columns of a matrix instead of bars.
    """

    title: str
    axis: str
    matrix: bool = False


FIGURES: dict[str, FigureKind] = {
    "probes": FigureKind("Does what the instruction says", PER_CENT),
    "retrieval": FigureKind("The motion's own caption is among the nearest of 32", "share of motions"),
    "fgd": FigureKind("Frechet gesture distance to the performer", "distance, lower is nearer"),
    "beats": FigureKind("Beat consistency, corrected", "0 to 1"),
    "body": FigureKind("Body against the performance of the sound", "MPJPE, mm"),
    "face": FigureKind("Face against the performance of the sound", "mean squared error"),
    "emotion-performed": FigureKind("Emotion of held-out performances", "told as", matrix=True),
    "emotion-read": FigureKind("Emotion of performances of held-out recordings", "told as", matrix=True),
    "emotion-generated": FigureKind("Emotion of clips generated with one", "told as", matrix=True),
}
"""Every figure that marks can name."""


def draw_figures(rows: Sequence[Row], folder: Path) -> list[Drawing]:
    """Draw every figure that has a mark.

    Args:
        rows: Of the evaluation.
        folder: Where the files go.

    Returns:
        What was drawn, in the order of `FIGURES`, each under the topic of its first row.

    Raises:
        EngineError: If matplotlib is missing.
    """
    marks: dict[str, list[Mark]] = {}
    topics: dict[str, str] = {}
    for row in rows:
        for mark in row.marks:
            marks.setdefault(mark.figure, []).append(mark)
            topics.setdefault(mark.figure, row.topic)
    drawn: list[Drawing] = []
    for name, kind in FIGURES.items():
        if name in marks:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{name}.svg"
            with whole_file(path, f"{PART}.svg") as draft:
                _draw(kind, marks[name], draft)
            drawn.append(Drawing(topics[name], kind.title, path))
    return drawn


def _draw(kind: FigureKind, marks: Sequence[Mark], path: Path) -> None:
    """Write one figure."""
    matplotlib = development_library("matplotlib")
    categories = list(dict.fromkeys(mark.category for mark in marks))
    series = list(dict.fromkeys(mark.series for mark in marks))
    table = np.full((len(series), len(categories)), np.nan)
    for mark in marks:
        table[series.index(mark.series), categories.index(mark.category)] = mark.value
    # Text stays text and ids do not change: small files that are the same for the same values.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "kinesics", "font.size": 9}):
        size = (5.5, 5.0) if kind.matrix else (8.0, 1.1 + 0.17 * table.size + 0.1 * len(categories))
        figure = development_library("matplotlib.figure").Figure(figsize=size, layout="constrained")
        axes = figure.subplots()
        axes.set_title(kind.title, loc="left", fontsize=10)
        (_matrix if kind.matrix else _bars)(figure, axes, table, categories, series)
        axes.set_xlabel(kind.axis)
        figure.savefig(path, metadata={"Date": None})


def _bars(figure: Any, axes: Any, table: Any, categories: Sequence[str], series: Sequence[str]) -> None:
    """Groups of bars that lie, one group per category, the first on top."""
    height = 0.8 / len(series)
    for number, name in enumerate(series):
        places = np.arange(len(categories)) + (number + 0.5) * height - 0.4
        axes.barh(places, table[number], height, label=name, color=COLOURS[number % len(COLOURS)])
    axes.set_yticks(range(len(categories)), categories)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    if len(series) > 1:
        figure.legend(loc="outside lower center", ncols=min(len(series), 3), frameon=False)


def _matrix(figure: Any, axes: Any, table: Any, categories: Sequence[str], series: Sequence[str]) -> None:
    """Shares of each category's row."""
    axes.imshow(np.nan_to_num(table.T), cmap="Blues", vmin=0.0, vmax=1.0)
    axes.set_xticks(range(len(series)), series, rotation=45, ha="right")
    axes.set_yticks(range(len(categories)), categories)
    for (column, line), share in np.ndenumerate(table):
        if share > 0:
            axes.text(column, line, f"{share:.0%}", ha="center", va="center", fontsize=7)
