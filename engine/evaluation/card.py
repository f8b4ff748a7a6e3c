# SPDX-License-Identifier: GPL-3.0-or-later
"""The measured table on a pack's own card, `pack.toml`."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Sequence
from pathlib import Path

from ..toml_writer import to_toml
from ..whole_files import write_whole
from .report import Row, Run, tally

CARD = "pack.toml"
SECTION = "evaluation"


def pack_hash(folder: Path) -> str:
    """Short hash over a pack's card, which names the hash of every other file; the table itself is left out.

    Args:
        folder: The pack.
    """
    path = folder / CARD
    if not path.is_file():
        return "no card"
    card = tomllib.loads(path.read_text(encoding="utf-8"))
    card.pop(SECTION, None)
    return hashlib.sha256(to_toml(card).encode()).hexdigest()[:12]


def record(folder: Path, rows: Sequence[Row], run: Run) -> None:
    """Write the rows that have a target onto the pack's card, in place of an older table.

    Args:
        folder: The pack.
        rows: In order of topics.
        run: What they were measured on.
    """
    path = folder / CARD
    card = tomllib.loads(path.read_text(encoding="utf-8"))
    card[SECTION] = {
        "command": "make evaluate",
        "summary": tally(rows),
        "seeds": run.num_seeds,
        "machine": run.machine,
        "rows": [
            {
                "topic": row.topic,
                "what": row.what,
                "measured": row.measured,
                "target": row.target,
                "passed": row.passed,
            }
            for row in rows
            if row.passed is not None
        ],
    }
    write_whole(path, to_toml(card))
