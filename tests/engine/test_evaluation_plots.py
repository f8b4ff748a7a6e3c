# SPDX-License-Identifier: GPL-3.0-or-later
"""Plots beside the evaluation's table."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.evaluation.plots import FIGURES, draw_figures
from engine.evaluation.report import Mark, Row, Run, markdown_page

ROWS = [
    Row("text", "jump", "9 of 10", marks=(Mark("probes", "jump", "generated", 0.9),)),
    Row("text", "jump, captured", "10 of 10", marks=(Mark("probes", "jump", "captured", 1.0),)),
    Row("text", "jump, wrong", "none", marks=(Mark("probes", "jump", "wrong instruction", 0.0),)),
    Row("actions", "sit", "3 of 5", marks=(Mark("probes", "sit down", "generated", 0.6),)),
    Row(
        "emotion",
        "- anger is told as",
        "anger 3, fear 1",
        marks=(
            Mark("emotion-performed", "anger", "anger", 0.75),
            Mark("emotion-performed", "anger", "fear", 0.25),
        ),
    ),
    Row("feet", "slide", "0.1 m/s"),
]


def texts(path: Path) -> list[str]:
    """Everything written in an SVG."""
    root = ElementTree.parse(path).getroot()
    return ["".join(node.itertext()).strip() for node in root.iter("{http://www.w3.org/2000/svg}text")]


def test_figures_name_captured_motion_and_chance_and_are_the_same_each_time(tmp_path: Path) -> None:
    drawn = draw_figures(ROWS, tmp_path / "evaluation")
    assert [(d.topic, d.path.name) for d in drawn] == [
        ("text", "probes.svg"),
        ("emotion", "emotion-performed.svg"),
    ]
    written = texts(drawn[0].path)
    for word in ("jump", "sit down", "generated", "captured", "wrong instruction", FIGURES["probes"].title):
        assert word in written
    assert {"anger", "fear", "75%", "25%"} <= set(texts(drawn[1].path))
    again = draw_figures(ROWS, tmp_path / "again")
    assert [d.path.read_bytes() for d in drawn] == [d.path.read_bytes() for d in again]
    assert all(d.path.stat().st_size < 50_000 for d in drawn)


def test_bars_are_as_long_as_their_values(tmp_path: Path) -> None:
    lengths = []
    for value in (0.25, 0.5, 1.0):
        rows = [
            Row("text", "a", "", marks=(Mark("probes", "a", "generated", value),)),
            Row("text", "b", "", marks=(Mark("probes", "b", "generated", 1.0),)),
        ]
        (drawn,) = draw_figures(rows, tmp_path)
        drawing = drawn.path.read_text(encoding="utf-8")
        words = drawing.split('<g id="patch_3">')[1].split(' d="')[1].split('"')[0].split()
        xs = [float(word) for word in words if word[0].isdigit()][::2]
        lengths.append(max(xs) - min(xs))
    assert lengths[1] == pytest.approx(2 * lengths[0], rel=0.01)
    assert lengths[2] == pytest.approx(4 * lengths[0], rel=0.01)


def test_the_page_shows_a_plot_under_its_topic(tmp_path: Path) -> None:
    drawn = draw_figures(ROWS, tmp_path / "evaluation")
    page = markdown_page(ROWS, Run("starter", "abc", 20, False, "x", 60.0), drawn)
    section = page.split("## Text")[1].split("## Actions")[0]
    assert "](evaluation/probes.svg)" in section
    assert page.count("](evaluation/") == 2


def test_nothing_is_drawn_without_marks(tmp_path: Path) -> None:
    assert draw_figures(ROWS[-1:], tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(EngineError, match="matplotlib is missing; install"):
        draw_figures(ROWS, tmp_path)
