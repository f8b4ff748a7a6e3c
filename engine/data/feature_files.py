# SPDX-License-Identifier: GPL-3.0-or-later
"""Features of a corpus in several layouts, for training its tokenizers, and windows over them.

The corpus is read once and becomes shards (`shard_run`), here safetensors files that hold for every layout
`<layout>` (N, D), float32, the frames of all records one after the other, and `<layout>.offsets` (R + 1,),
int64: record r has the rows `offsets[r] : offsets[r + 1]`, none if it lacks the part. `splits` (R,) indexes
`SPLITS`. All of a folder have one frame rate. The shards are mapped into memory, never loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

from ..errors import DataError
from ..motion.arrays import FloatArray, IntArray
from ..motion.clip import Clip
from ..motion.contacts import foot_contacts
from ..motion.kinematics import clip_joint_positions
from ..motion.published_features import LAYOUT_JOINTS, Layout, layout_width, published_features
from ..published.four_part import MOTION_FPS as FOUR_PART_FPS
from ..specs import MOTION_FPS, Part
from .readers.base import SPLITS, Item, Problem, Reader, Record, read_records
from .shard_run import RunOptions, list_items, make_shards
from .shards import (
    CorpusManifest,
    OpenShards,
    Summary,
    offsets,
    read_manifest,
    shard_path,
    write_manifest,
    write_shard,
)

PART_OF = {
    Layout.FACE_106: Part.FACE,
    Layout.FACE_112: Part.FACE,
    Layout.HANDS_180: Part.HANDS,
    Layout.UPPER_78: Part.UPPER,
    Layout.LOWER_54: Part.LOWER,
    Layout.LOWER_61: Part.LOWER,
}
"""Part that a layout describes; a record without it is passed over."""

PUBLISHED_LAYOUTS = (
    Layout.FACE_106,
    Layout.HANDS_180,
    Layout.UPPER_78,
    Layout.LOWER_54,
    Layout.LOWER_61,
)
"""Layouts that the published recipes of stage 1 learn from, at `MOTION_FPS`; `face-v2` has its own."""

FEATURE_FPS = (MOTION_FPS, FOUR_PART_FPS)
"""Frames per second that features can have: those of all else here, and those of the four-part release."""

FEATURE_SHARD_ITEMS = 16
"""Items per shard; one of BEAT2 (66 s on average) has 4 MB in all of `PUBLISHED_LAYOUTS`."""


@dataclass(frozen=True, kw_only=True)
class FeatureManifest(CorpusManifest):
    """What made a folder of features.

    Attributes:
        layouts: Layouts that its shards hold, sorted.
        fps: Frames per second; folders made before it was written down have `MOTION_FPS`.
    """

    command: ClassVar[str] = "features"

    layouts: list[str]
    fps: int = MOTION_FPS


def write_features(
    reader: Reader,
    layouts: Sequence[Layout],
    out: Path,
    options: RunOptions | None = None,
    *,
    fps: int = MOTION_FPS,
    shard_items: int = FEATURE_SHARD_ITEMS,
) -> Summary:
    """Write layouts of a corpus to `out/<source>`, clips cut to whole seconds (spec 1.4).

    Args:
        reader: The corpus.
        layouts: Which channels.
        out: Folder of all corpora.
        options: How to work; None works in this process.
        fps: Frames per second, one of `FEATURE_FPS`.
        shard_items: Items per shard.

    Returns:
        What all shards hold.

    Raises:
        DataError: If a layout is no tokenizer's, the rate is none of ours, the corpus has no motion, or the
            folder holds shards made in another way.
    """
    if fps not in FEATURE_FPS:
        raise DataError(
            f"Features cannot have {fps} frames per second; choose {' or '.join(map(str, FEATURE_FPS))}."
        )
    layouts = tuple(sorted(set(layouts)))
    if unknown := [layout for layout in layouts if layout not in PART_OF or layout not in LAYOUT_JOINTS]:
        raise DataError(f"There is no tokenizer of {unknown[0]}; choose a part's layout.")
    items, fingerprint = list_items(reader)
    manifest = FeatureManifest(
        source=reader.source,
        items=fingerprint,
        num_items=len(items),
        shard_items=shard_items,
        layouts=[layout.value for layout in layouts],
        fps=fps,
    )
    folder = out / reader.source
    write_manifest(folder, manifest)
    task = _Describing(reader, layouts, fps)
    total = make_shards(task, folder, items, shard_items, options or RunOptions())
    if not total.records:
        parts = " or ".join(sorted({PART_OF[layout] for layout in layouts}))
        raise DataError(f"The corpus {reader.source} has no motion of {parts}; choose another.")
    return total


@dataclass(frozen=True)
class _Describing:
    """A worker that has nothing to load."""

    reader: Reader
    layouts: tuple[Layout, ...]
    fps: int

    def worker(self) -> _Describing:
        """Itself."""
        return self

    def make(self, items: Iterable[Item], path: Path) -> Summary:
        """Make one shard."""
        held: dict[Layout, list[FloatArray]] = {layout: [] for layout in self.layouts}
        problems, splits, summary = list[Problem](), list[int](), Summary()
        for record in read_records(self.reader, problems, items):
            features = record_features(record, self.layouts, self.fps)
            if not features:
                continue
            for layout, pieces in held.items():
                pieces.append(features.get(layout, _no_frames(layout)))
            splits.append(SPLITS.index(record.split))
            summary.records += 1
            summary.motion_s += max(len(frames) for frames in features.values()) / self.fps
        tensors: dict[str, npt.NDArray[Any]] = {"splits": np.array(splits, np.uint8)}
        for layout, pieces in held.items():
            tensors[f"{layout}.offsets"] = offsets(pieces)
            tensors[layout.value] = np.concatenate([_no_frames(layout), *pieces])
            pieces.clear()
        summary.problems = problems
        write_shard(path, tensors, summary)
        return summary


def record_features(
    record: Record, layouts: Sequence[Layout], fps: int = MOTION_FPS
) -> dict[Layout, FloatArray]:
    """Features of a record in those layouts whose part it has, cut to whole seconds.

    Args:
        record: The record; a face in ARKit's channels counts as none.
        layouts: Layouts wanted.
        fps: Frames per second wanted, at most `MOTION_FPS`.

    Returns:
        Features by layout, (F, D) each; none if the record has no whole second of motion.
    """
    num_seconds = 0 if record.clip is None else record.clip.num_frames // MOTION_FPS
    if record.clip is None or not num_seconds:
        return {}
    clip = record.clip if fps == MOTION_FPS else interpolate_clip(record.clip, fps)
    clip = clip.slice(0, num_seconds * fps)
    parts = set(record.parts) - ({Part.FACE} if clip.basis == "arkit" else set())
    features: dict[Layout, FloatArray] = {}
    for layout in layouts:
        if PART_OF[layout] in parts:
            contacts = None
            if layout is Layout.LOWER_61:
                contacts = foot_contacts(clip_joint_positions(clip), clip.fps)
            features[layout] = np.asarray(published_features(clip, layout, contacts), np.float32)
    return features


def interpolate_clip(clip: Clip, fps: int) -> Clip:
    """A clip at another rate by cubic splines through its frames: (F, ...) becomes (F', ...).

    So the published 25 fps were made of BEAT2 (`scripts/beat2_motion_fps_converter.py` of The Language of
    Motion, spec 1.4): rotations by axis-angle component, expressions and root positions,
    F' = floor((F - 1) * fps / rate) + 1. There the F' frames are spread evenly from the first frame to the
    last one, which moves them by less than a frame; here frame i is at i / fps exactly.

    Args:
        clip: At least two frames.
        fps: New rate, frames per second.
    """
    times = np.arange(clip.num_frames) / clip.fps
    wanted = np.arange(int((clip.num_frames - 1) * fps // clip.fps) + 1) / fps
    poses, trans, expressions = (
        CubicSpline(times, channels)(wanted) for channels in (clip.poses, clip.trans, clip.expressions)
    )
    return replace(clip, fps=float(fps), poses=poses, trans=trans, expressions=expressions, feet=None)


def _no_frames(layout: Layout) -> FloatArray:
    return np.zeros((0, layout_width(layout)), np.float32)


class FeatureWindows:
    """Windows of one layout over several corpora.

    What is kept is where each long enough record begins and how many windows it has; a window's place follows
    from its number, so a million windows cost no more than their records.

    Args:
        layout: Which channels.
        length: Frames of a window.
        stride: Frames between the begins of two windows.
        paths: All shards.
        records: Shard, first frame and number of frames of each record, (R, 3).
    """

    def __init__(
        self, layout: Layout, length: int, stride: int, paths: Sequence[Path], records: IntArray
    ) -> None:
        self.layout, self.length, self.stride, self.paths = layout, length, stride, paths
        self._records = records[records[:, 2] >= length]
        self._ends = np.cumsum((self._records[:, 2] - length) // stride + 1)
        self._open = OpenShards(FeatureManifest.command)

    def __len__(self) -> int:
        """How many windows."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> FloatArray:
        """One window, (length, D), float32."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        place = int(np.searchsorted(self._ends, index, side="right"))
        nth = index - (int(self._ends[place - 1]) if place else 0)
        number, first, _ = (int(value) for value in self._records[place])
        begin = first + nth * self.stride
        return self._open[self.paths[number]].get_slice(self.layout.value)[begin : begin + self.length]


def read_features(
    folders: Sequence[Path],
    layout: Layout,
    length: int,
    stride: int,
    splits: Sequence[str],
    fps: int = MOTION_FPS,
) -> FeatureWindows:
    """Open what `write_features` wrote.

    Args:
        folders: One per corpus.
        layout: Which channels.
        length: Frames of a window.
        stride: Frames between the begins of two windows.
        splits: Splits wanted.
        fps: Frames per second wanted.

    Raises:
        DataError: If a folder lacks the layout or has another rate, a file is missing or damaged, or no
            window is long enough.
    """
    opened = OpenShards(FeatureManifest.command)
    wanted = [SPLITS.index(split) for split in splits]
    paths: list[Path] = []
    pieces: list[IntArray] = [np.zeros((0, 3), np.int64)]
    for folder in folders:
        manifest = read_manifest(folder, FeatureManifest)
        if layout.value not in manifest.layouts or manifest.fps != fps:
            raise DataError(
                f"{folder.name} holds {', '.join(manifest.layouts)} at {manifest.fps} frames per second, "
                f"not {layout} at {fps}; make these with python -m engine.data features --layout {layout} "
                f"--fps {fps} and a new folder as --out."
            )
        for number in range(manifest.num_shards):
            path = shard_path(folder, number)
            width = opened[path].get_slice(layout.value).get_shape()[1]
            if width != layout_width(layout):
                raise DataError(
                    f"{path.name} has {width} channels under {layout}; delete it and run python -m "
                    "engine.data features again."
                )
            edges = opened[path].get_tensor(f"{layout}.offsets")
            rows = np.flatnonzero(np.isin(opened[path].get_tensor("splits"), wanted))
            begins = edges[:-1][rows]
            pieces.append(np.stack([np.full_like(begins, len(paths)), begins, edges[1:][rows] - begins], 1))
            paths.append(path)
    windows = FeatureWindows(layout, length, stride, paths, np.concatenate(pieces))
    if not len(windows):
        raise DataError(
            f"No recording of the wanted splits has motion of the {PART_OF[layout]} as long as a window; "
            "choose others."
        )
    return windows
