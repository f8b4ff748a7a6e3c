# SPDX-License-Identifier: GPL-3.0-or-later
"""Features of a corpus in one file per layout, for training its tokenizers.

`<layout>.f32` holds the frames of all records one after the other, float32 (N, D); `<layout>.json` says D,
where each record begins and which split it belongs to. The file is mapped into memory, never loaded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..motion.arrays import FloatArray
from ..motion.contacts import foot_contacts
from ..motion.kinematics import clip_joint_positions
from ..motion.published_features import LAYOUT_JOINTS, Layout, layout_width, published_features
from ..specs import MOTION_FPS, Part
from .readers.base import Problem, Reader, read_records

PART_OF = {
    Layout.FACE_106: Part.FACE,
    Layout.FACE_112: Part.FACE,
    Layout.HANDS_180: Part.HANDS,
    Layout.UPPER_78: Part.UPPER,
    Layout.LOWER_54: Part.LOWER,
    Layout.LOWER_61: Part.LOWER,
}
"""Part that a layout describes; a record without it is passed over."""


def write_features(reader: Reader, layout: Layout, out: Path) -> list[Problem]:
    """Write one layout of a corpus to `out/<source>/<layout>.f32`, clips cut to whole seconds (spec 1.4).

    Args:
        reader: The corpus.
        layout: Which channels.
        out: Folder of all corpora.

    Returns:
        What was left out.

    Raises:
        DataError: If nothing could be written.
    """
    if layout not in PART_OF or layout not in LAYOUT_JOINTS:
        raise DataError(f"There is no tokenizer of {layout}; choose a part's layout.")
    folder = out / reader.source
    folder.mkdir(parents=True, exist_ok=True)
    problems: list[Problem] = []
    begins, splits, total = list[int](), list[str](), 0
    passing = folder / f"{layout}.part"
    with passing.open("wb") as file:
        for record in read_records(reader, problems):
            clip = record.clip
            if clip is None or PART_OF[layout] not in record.parts:
                continue
            clip = clip.slice(0, clip.num_frames // MOTION_FPS * MOTION_FPS)
            if not clip.num_frames:
                continue
            contacts = None
            if layout is Layout.LOWER_61:
                contacts = foot_contacts(clip_joint_positions(clip), clip.fps)
            features = published_features(clip, layout, contacts)
            file.write(np.ascontiguousarray(features, np.float32).tobytes())
            begins.append(total)
            splits.append(record.split)
            total += len(features)
    if not total:
        raise DataError(f"The corpus {reader.source} has no motion of the {PART_OF[layout]}.")
    passing.replace(folder / f"{layout}.f32")
    table = {"width": layout_width(layout), "begins": [*begins, total], "splits": splits}
    (folder / f"{layout}.json").write_text(json.dumps(table) + "\n", encoding="utf-8")
    return problems


@dataclass(frozen=True)
class FeatureWindows:
    """Windows of one layout over several corpora.

    Attributes:
        arrays: Frames of each corpus, (N, D).
        starts: Corpus and first frame of each window, (K, 2).
        length: Frames of a window.
    """

    arrays: list[FloatArray]
    starts: np.ndarray[tuple[int, int], np.dtype[np.int64]]
    length: int

    def __len__(self) -> int:
        """How many windows."""
        return len(self.starts)

    def __getitem__(self, index: int) -> FloatArray:
        """One window, (length, D)."""
        corpus, begin = (int(value) for value in self.starts[index])
        return np.array(self.arrays[corpus][begin : begin + self.length])


def read_features(
    folders: Sequence[Path], layout: Layout, length: int, stride: int, splits: Sequence[str]
) -> FeatureWindows:
    """Open what `write_features` wrote.

    Args:
        folders: One per corpus.
        layout: Which channels.
        length: Frames of a window.
        stride: Frames between the begins of two windows.
        splits: Splits wanted.

    Raises:
        DataError: If a file is missing or damaged, or no window is long enough.
    """
    arrays: list[FloatArray] = []
    starts: list[tuple[int, int]] = []
    for number, folder in enumerate(folders):
        try:
            table = json.loads((folder / f"{layout}.json").read_text(encoding="utf-8"))
            width, begins = int(table["width"]), [int(value) for value in table["begins"]]
            array = np.memmap(folder / f"{layout}.f32", np.float32, "r", shape=(begins[-1], width))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{folder.name} has no usable {layout} features; run python -m engine.data features first."
            ) from error
        arrays.append(array)
        for split, first, stop in zip(table["splits"], begins[:-1], begins[1:], strict=True):
            if split in splits:
                starts += [(number, begin) for begin in range(first, stop - length + 1, stride)]
    if not starts:
        raise DataError("No recording of the wanted splits is as long as a window; choose others.")
    return FeatureWindows(arrays, np.array(starts, np.int64), length)
