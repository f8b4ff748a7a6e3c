# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of BVH files with a table that describes them.

`index.csv` has the columns file (path below the folder) and description, and may have trial and split. Files
must have one of the two skeletons that `retarget` knows and begin with their T-pose. Fingers and faces are
not captured. Trials held out from the starter belong to the test split whatever the table says.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ...errors import DataError
from ...motion.bvh import parse_bvh
from ...specs import Part
from ..cleaning import DROPPED_TRIALS, face_forward, fault, repaired_clip
from ..splits import HELD_OUT_CLIPS
from .base import SPLITS, Caption, Item, Record, read_table, read_text


@dataclass(frozen=True)
class BvhFolderReader:
    """The files listed in a folder's `index.csv`."""

    root: Path
    source: str = "bvh"

    @cached_property
    def _rows(self) -> dict[str, dict[str, str]]:
        return {row["file"]: row for row in read_table(self.root / "index.csv", ("file", "description"))}

    def items(self) -> list[Item]:
        """Entries of the table; raises `DataError` if it is missing or names an unknown split."""
        items: list[Item] = []
        for name, row in self._rows.items():
            split = row.get("split") or "train"
            if split not in SPLITS:
                raise DataError(f"index.csv gives {name} the split {split}; use one of {', '.join(SPLITS)}.")
            items.append(Item(name, "test" if _trial(row) in HELD_OUT_CLIPS else split))
        return items

    def read(self, item: Item) -> Record:
        """One capture on our joints, cleaned, facing +Z on average."""
        row = self._rows[item.name]
        trial = _trial(row)
        if trial in DROPPED_TRIALS:
            raise DataError(f"{item.name} cannot be used ({DROPPED_TRIALS[trial]}); take it off the table.")
        clip, _ = repaired_clip(parse_bvh(read_text(self.root / item.name)))
        if reason := fault(clip):
            raise DataError(f"{item.name} cannot be used ({reason}); repair it or take it off the table.")
        return Record(
            name=item.name,
            source=self.source,
            split=item.split,
            speaker=trial.partition("_")[0],
            clip=face_forward(clip),
            parts=(Part.UPPER, Part.LOWER),
            captions=(Caption(row["description"]),),
        )


def _trial(row: dict[str, str]) -> str:
    return row.get("trial") or Path(row["file"]).stem
