# SPDX-License-Identifier: GPL-3.0-or-later
"""The evaluation's table in its three forms."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from engine.evaluation.card import pack_hash, record
from engine.evaluation.notes import NOTES
from engine.evaluation.report import Row, Run, json_report, markdown_page, tally, terminal_table

ROWS = [
    Row("text", "walk forward", "19 of 20", ">= 80 %", True, 0.95),
    Row("text", "jump", "3 of 20", ">= 80 %", False, 0.15),
    Row("text", "captured | real clips", "forward 0.7..1.7 m/s"),
    Row("feet", "slide", "0.09 m/s", "<= 0.12 m/s", True, 0.09),
]
RUN = Run("starter", "abc123", 20, False, "2 threads", 90.0, ("Bounds come from captured clips.",))


def test_terminal_table_shows_each_row_and_the_tally() -> None:
    table = terminal_table(ROWS)
    assert "FAIL" in table
    assert table.count("pass") == 2
    assert table.endswith("2 of 3 goals reached")
    assert max(len(line) for line in table.splitlines()) <= 150


def test_long_cells_wrap_instead_of_widening() -> None:
    table = terminal_table([Row("text", "word " * 40, "value " * 40, "target " * 20, True)])
    assert max(len(line) for line in table.splitlines()) <= 150
    assert table.count("word") == 40


def test_rows_without_any_goal_make_a_table_too() -> None:
    assert "0 of 0 goals" in terminal_table([Row("actions", "salsa", "5 of 5")])


def test_markdown_has_one_table_per_topic_and_escapes_bars() -> None:
    page = markdown_page(ROWS, RUN)
    assert page.count("|---|---|---|---|") == 2
    assert "captured \\| real clips" in page
    assert "**FAIL**" in page
    assert page.count(NOTES["text"].strip()) == 1
    assert NOTES["lips"].strip() not in page
    assert "Bounds come from captured clips." in page


def test_json_is_strict_even_without_a_value() -> None:
    report = json.loads(json_report(ROWS, RUN), parse_constant=lambda name: 1 / 0)
    assert report["rows"][0]["value"] == 0.95
    assert report["rows"][2]["value"] is None
    assert report["rows"][2]["passed"] is None
    assert tally(ROWS) == "2 of 3 goals reached"


def test_the_card_of_a_pack_carries_the_goals_and_keeps_its_hash(tmp_path: Path) -> None:
    assert pack_hash(tmp_path) == "no card"
    card = tmp_path / "pack.toml"
    card.write_text('name = "starter"\n\n[files.a]\nsize = 3\n', encoding="utf-8")
    before = pack_hash(tmp_path)
    record(tmp_path, ROWS, RUN)
    record(tmp_path, ROWS, RUN)
    assert pack_hash(tmp_path) == before
    written = tomllib.loads(card.read_text(encoding="utf-8"))
    assert written["files"] == {"a": {"size": 3}}
    assert written["evaluation"]["summary"] == "2 of 3 goals reached"
    assert [row["passed"] for row in written["evaluation"]["rows"]] == [True, False, True]
    card.write_text(card.read_text(encoding="utf-8").replace("size = 3", "size = 4"), encoding="utf-8")
    assert pack_hash(tmp_path) != before
