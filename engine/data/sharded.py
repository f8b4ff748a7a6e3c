# SPDX-License-Identifier: GPL-3.0-or-later
"""One dataset of windows over prepared shards of any corpora.

Shards stay on disk and are mapped into memory; what is kept per record is where it lies and how long it is,
so a million windows cost no more than their records' index. Words and labels are read with the window.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..motion.arrays import IntArray
from ..specs import PARTS
from .readers.base import SPLITS
from .shards import STREAMS, Manifest, OpenShards, read_manifest, shard_path
from .window import Window

TRAINING_SPLITS: tuple[str, ...] = ("train", "additional")

LEAST_OVERLAP = 0.5
"""Least share of a window that a caption's stretch must cover to describe it."""


@dataclass(frozen=True)
class _Shard:
    path: Path
    manifest: Manifest
    offsets: dict[str, npt.NDArray[np.int64]]

    def steps(self, row: int | IntArray) -> IntArray:
        """Motion steps of records; those of the sound, in motion steps, where there is no motion."""
        lengths = {name: self.offsets[name][row + 1] - self.offsets[name][row] for name in STREAMS}
        motion = np.max([lengths[part.value] for part in PARTS], axis=0)
        heard = np.floor(lengths["audio"] * (self.manifest.step_hz / self.manifest.audio_hz) + 1e-6)
        return np.where(motion > 0, motion, heard).astype(np.int64)


class ShardedWindows:
    """Windows of prepared corpora, in a fixed order; a map-style dataset for torch's loaders.

    A record longer than a window is cut every `stride_steps`, and once more so that its end is seen; a
    shorter one is one window. Where a caption speaks of a stretch only, that stretch is cut in the same way
    besides.

    Args:
        folders: What `prepare` wrote, one folder per corpus.
        window_steps: Motion steps per window.
        stride_steps: Motion steps between the begins of two windows.
        splits: Splits wanted.
        min_steps: Shorter stretches are left out.

    Raises:
        DataError: If a folder has no shards, is not complete, or was made by other tokenizers than the first.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        window_steps: int,
        stride_steps: int,
        splits: Sequence[str] = TRAINING_SPLITS,
        min_steps: int = 1,
    ) -> None:
        if min(window_steps, stride_steps, min_steps) < 1:
            raise DataError("Windows, strides and least lengths need at least one step; raise them.")
        self.window_steps, self.stride_steps = window_steps, stride_steps
        self._open = OpenShards(Manifest.command)
        self._shards: list[_Shard] = []
        wanted = [SPLITS.index(split) for split in splits]
        pieces: list[IntArray] = []
        for folder in folders:
            manifest = read_manifest(folder, Manifest)
            if self._shards and manifest.tokenizers != self._shards[0].manifest.tokenizers:
                raise DataError(
                    f"{folder.name} was prepared with other tokenizers than {folders[0].name}; prepare both "
                    "with the same."
                )
            for number in range(manifest.num_shards):
                pieces.append(self._index(shard_path(folder, number), manifest, wanted))
        # (K, 4): shard, record, first step, steps
        self._stretches = np.concatenate([np.zeros((0, 4), np.int64), *pieces])
        self._stretches = self._stretches[self._stretches[:, 3] >= min_steps]
        extra = np.maximum(self._stretches[:, 3] - window_steps, 0)
        self._ends = np.cumsum(1 - (-extra // stride_steps))

    def _index(self, path: Path, manifest: Manifest, wanted: Sequence[int]) -> IntArray:
        """Stretches of one shard's records, (K, 4)."""
        number = len(self._shards)
        shard = self._open[path]
        offsets = {name: shard.get_tensor(f"{name}.offsets") for name in (*STREAMS, "records")}
        self._shards.append(_Shard(path, manifest, offsets))
        rows = np.flatnonzero(np.isin(shard.get_tensor("splits"), wanted))
        spans = shard.get_tensor("spans")
        spans = spans[np.isin(spans[:, 0], rows)]
        whole = np.stack([rows, np.zeros_like(rows), self._shards[number].steps(rows)], 1)
        parts = np.concatenate([spans[:, :2], spans[:, 2:] - spans[:, 1:2]], 1)
        stretches = np.unique(np.concatenate([whole, parts]), axis=0)  # several captions, one stretch
        return np.concatenate([np.full((len(stretches), 1), number), stretches], 1)

    @property
    def tokenizers(self) -> str:
        """Fingerprint of what made the codes; empty without shards."""
        return self._shards[0].manifest.tokenizers if self._shards else ""

    def texts(self) -> tuple[list[str], list[str]]:
        """Captions and transcripts of all records, whatever their split: the words the data holds."""
        captions: list[str] = []
        transcripts: list[str] = []
        for shard in self._shards:
            edges = shard.offsets["records"]
            lines = self._open[shard.path].get_tensor("records").tobytes()
            for low, high in pairwise(edges.tolist()):
                line = json.loads(lines[low:high])
                captions += [text for text, _, _ in line["captions"]]
                transcripts.append(line["transcript"])
        return captions, transcripts

    def __len__(self) -> int:
        """Number of windows."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> Window:
        """Read one window."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        place = int(np.searchsorted(self._ends, index, side="right"))
        nth = index - (int(self._ends[place - 1]) if place else 0)
        number, row, first, steps = (int(value) for value in self._stretches[place])
        start = first + min(nth * self.stride_steps, max(steps - self.window_steps, 0))
        return self._read(number, row, start, min(steps, self.window_steps))

    def _read(self, number: int, row: int, start: int, steps: int) -> Window:
        shard = self._shards[number]
        handle, manifest = self._open[shard.path], shard.manifest
        ratio = manifest.audio_hz / manifest.step_hz

        def cut(name: str, begin: int, end: int) -> IntArray:
            low, high = (int(value) for value in shard.offsets[name][row : row + 2])
            begin, end = min(low + begin, high), min(low + end, high)
            if begin == end:  # safetensors refuses an empty slice of an empty tensor
                return np.zeros((0, manifest.levels[name]), np.int64)
            return handle.get_slice(name)[begin:end].astype(np.int64)

        parts = {part: cut(part.value, start, start + steps) for part in PARTS}
        parts = {part: codes for part, codes in parts.items() if len(codes)}
        heard = round(start * ratio)
        audio = cut("audio", heard, heard + round(steps * ratio))
        low, high = (int(value) for value in shard.offsets["records"][row : row + 2])
        line: dict[str, Any] = json.loads(handle.get_slice("records")[low:high].tobytes())
        total = int(shard.steps(row))
        window = _Span(
            start / manifest.step_hz, (start + steps) / manifest.step_hz, start == 0 and steps == total
        )
        return Window(
            name=line["name"],
            start_s=window.start_s,
            duration_s=window.end_s - window.start_s,
            parts=parts,
            audio=audio if len(audio) else None,
            transcript=window.transcript(line),
            captions=window.captions(line),
            described=tuple(parts) if line["captions"] else (),
            emotion=window.emotion(line),
        )


@dataclass(frozen=True)
class _Span:
    """From when to when a window lasts, and whether that is all of its record: tells which words hold."""

    start_s: float
    end_s: float
    whole: bool

    def transcript(self, line: dict[str, Any]) -> str:
        """Words said wholly within the window; without times, all words of a whole record."""
        if line["words"]:
            inside = (
                text for text, start, end in line["words"] if start >= self.start_s and end <= self.end_s
            )
            return " ".join(inside)
        return line["transcript"] if self.whole else ""

    def captions(self, line: dict[str, Any]) -> tuple[str, ...]:
        """Captions of the whole record, and those whose stretch covers enough of the window."""
        held: list[str] = []
        for text, start, end in line["captions"]:
            overlap = min(self.end_s, end) - max(self.start_s, start) if end is not None else np.inf
            if overlap >= LEAST_OVERLAP * (self.end_s - self.start_s):
                held.append(text)
        return tuple(held)

    def emotion(self, line: dict[str, Any]) -> str | None:
        """The label, if the window lies within its stretch."""
        if line["emotion"] is None:
            return None
        label, start, end = line["emotion"]
        inside = start <= self.start_s + 1e-6 and (end is None or self.end_s <= end + 1e-6)
        return label if inside else None
