# SPDX-License-Identifier: GPL-3.0-or-later
"""The experiments' data: every prepared sequence as codes, in one small file that travels to any machine."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...data.sentences import SENTENCES
from ...data.window import Window
from ...errors import DataError
from ...language.layout import MOTION_TIME
from ...motion.arrays import IntArray
from ...packs import load_pack
from ...specs import PARTS, Part
from ...tokenizers.pack_tokenizers import load_pack_tokenizers
from ..corpora import MotionSequence, load_captured, load_performances
from ..windows import FRAMES_PER_STEP, encode_sequence

HELD_SENTENCES = 12
"""Every so many-th synthesised sentence is held out, with all recordings in which it is said."""

CAPTIONS = 2
"""Captions kept per captured sequence; more would only widen the table of sentence states."""

STEP_S = FRAMES_PER_STEP / 30.0


@dataclass(frozen=True)
class Coded:
    """One sequence as codes.

    Attributes:
        name: Of the sequence.
        split: "train" or "held".
        weight: Sampling weight.
        parts: Codes per part, (T, Q).
        audio: (2T, Q), or None.
        captions: Descriptions.
        emotion: Label, or None.
        transcript: Everything said in it, empty where that is not known.
    """

    name: str
    split: str
    weight: float
    parts: dict[Part, IntArray]
    audio: IntArray | None
    captions: tuple[str, ...]
    emotion: str | None
    transcript: str

    @property
    def num_steps(self) -> int:
        """Motion steps."""
        return len(next(iter(self.parts.values())))


def prepare(prepared: Path, pack: Path, transcripts: Path | None, out: Path) -> int:
    """Encode the starter's prepared data with a pack's tokenizers, once.

    Args:
        prepared: The starter's prepared data (`build/data`).
        pack: The pack's folder.
        transcripts: Table with the columns `file` and `transcript`, or None.
        out: The file to write, npz.

    Returns:
        Number of sequences.
    """
    motion, audio = load_pack_tokenizers(load_pack(pack))
    said: dict[str, str] = {}
    if transcripts is not None:
        with transcripts.open(encoding="utf-8", newline="") as file:
            said = {row["file"]: row["transcript"] for row in csv.DictReader(file)}
    items: list[Coded] = []
    for split in ("train", "held"):
        for sequence in (*load_captured(prepared, split), *load_performances(prepared, split)):
            coded = encode_sequence(sequence, 0, motion, audio)
            text, held = _spoken(sequence, said)
            items.append(
                Coded(
                    sequence.name,
                    "held" if held else split,
                    sequence.weight,
                    {part: codes.numpy() for part, codes in coded.parts.items()},
                    None if coded.audio is None else coded.audio.numpy(),
                    sequence.captions[:CAPTIONS],
                    sequence.emotion,
                    text,
                )
            )
    sizes = {part.value: (t.num_quantizers, t.codebook_size) for part, t in motion.items()}
    write(items, sizes | {"audio": (audio.num_quantizers, audio.codebook_size)}, out)
    return len(items)


_SYNTHESISED = re.compile(r"(?:flite|espeak)-.*-(\d+)(?:\+(\d+))?#")


def _spoken(sequence: MotionSequence, said: dict[str, str]) -> tuple[str, bool]:
    """What is said in a performance, where its name tells; and whether that holds it out."""
    if found := _SYNTHESISED.match(sequence.name):
        numbers = [int(number) for number in found.groups() if number is not None]
        text = " ".join(SENTENCES[number] for number in numbers)
        return text, any(number % HELD_SENTENCES == 0 for number in numbers)
    return sequence.transcript or said.get(sequence.name.split("#")[0], ""), False


def write(items: Sequence[Coded], sizes: dict[str, tuple[int, int]], out: Path) -> None:
    """Write sequences as one file.

    Args:
        items: The sequences.
        sizes: Levels and codebook size of every part and of "audio".
        out: The file, npz.
    """
    flat: dict[str, list[IntArray]] = {name: [] for name in sizes}
    lines: list[dict[str, Any]] = []
    for item in items:
        for part, codes in item.parts.items():
            flat[part.value].append(codes)
        if item.audio is not None:
            flat["audio"].append(item.audio)
        lines.append(
            {
                "name": item.name,
                "split": item.split,
                "weight": item.weight,
                "steps": item.num_steps,
                "parts": [part.value for part in item.parts],
                "audio": item.audio is not None,
                "captions": item.captions,
                "emotion": item.emotion,
                "transcript": item.transcript,
            }
        )
    arrays = {
        name: np.concatenate(pieces or [np.zeros((0, sizes[name][0]), np.int64)]).astype(np.uint16)
        for name, pieces in flat.items()
    }
    table = json.dumps({"sizes": sizes, "items": lines}).encode()
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("wb") as file:
        np.savez_compressed(file, table=np.frombuffer(table, np.uint8), **arrays)  # type: ignore[arg-type]


def read(path: Path) -> tuple[list[Coded], dict[str, tuple[int, int]]]:
    """Read what `write` wrote: the sequences, and levels and codebook sizes by name.

    Raises:
        DataError: If the file is not of that kind.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            held: dict[str, npt.NDArray[Any]] = {name: file[name] for name in file.files}
        table = json.loads(held.pop("table").tobytes())
        places = dict.fromkeys(held, 0)
        items: list[Coded] = []

        def cut(name: str, steps: int) -> IntArray:
            begin = places[name]
            places[name] = begin + steps
            return held[name][begin : begin + steps].astype(np.int64)

        for line in table["items"]:
            steps = int(line["steps"])
            parts = {Part(name): cut(name, steps) for name in line["parts"]}
            audio = cut("audio", steps * MOTION_TIME) if line["audio"] else None
            items.append(
                Coded(
                    line["name"],
                    line["split"],
                    line["weight"],
                    parts,
                    audio,
                    tuple(line["captions"]),
                    line["emotion"],
                    line["transcript"],
                )
            )
        return items, {name: (int(size[0]), int(size[1])) for name, size in table["sizes"].items()}
    except (OSError, KeyError, ValueError, IndexError) as problem:
        raise DataError(
            f"{path.name} holds no coded sequences; write it with the prepare command."
        ) from problem


class CodedWindows:
    """Windows of coded sequences, each kind of sequence as likely as its weights say.

    Args:
        items: Sequences.
        window_steps: Longest window of motion.
        stride_steps: Between the begins of two windows.
        recordings: Whole recordings with their words in place of windows of motion.
        recording_steps: Longer recordings are left out; in motion steps.
    """

    def __init__(
        self,
        items: Sequence[Coded],
        window_steps: int,
        stride_steps: int,
        recordings: bool = False,
        recording_steps: int = 64,
    ) -> None:
        self._windows: list[tuple[Coded, int, int]] = []
        weights: list[float] = []
        for item in items:
            if recordings:
                if item.transcript and item.audio is not None and item.num_steps <= recording_steps:
                    self._windows.append((item, 0, item.num_steps))
                    weights.append(1.0)
                continue
            room = max(item.num_steps - window_steps, 0)
            begins = sorted({*range(0, room + 1, stride_steps), room})
            for begin in begins:
                self._windows.append((item, begin, min(begin + window_steps, item.num_steps)))
            # A captured training sequence counts by its weight however long it is, all others by length.
            weighted = item.captions and item.split == "train"
            weights += [item.weight / len(begins) if weighted else 1.0] * len(begins)
        self._recordings = recordings
        self.weights: npt.NDArray[np.float64] = np.array(weights)

    def __len__(self) -> int:
        """How many windows."""
        return len(self._windows)

    def __getitem__(self, index: int) -> Window:
        """One window."""
        item, begin, end = self._windows[index]
        audio = None if item.audio is None else item.audio[begin * MOTION_TIME : end * MOTION_TIME]
        parts = {part: item.parts[part][begin:end] for part in PARTS if part in item.parts}
        captions = item.captions
        window = Window(
            item.name,
            begin * STEP_S,
            (end - begin) * STEP_S,
            parts,
            audio,
            "",
            captions,
            tuple(parts) if captions else (),
            item.emotion,
        )
        if self._recordings:
            return replace(window, parts={}, transcript=item.transcript, emotion=None)
        return window
