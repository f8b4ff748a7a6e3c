# SPDX-License-Identifier: GPL-3.0-or-later
"""The prepared data as one list of sequences: captured motion with captions, performances with speech."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import EngineError
from ..motion.arrays import FloatArray
from ..specs import Part


@dataclass(frozen=True)
class MotionSequence:
    """One continuous recording at 30 fps.

    Attributes:
        name: Unique name.
        features: Raw starter features per part it holds, (F, D) each.
        weight: Sampling weight.
        captions: Instructions that describe it; empty for performances.
        in_context: Further instructions it obeys, with what surrounds the action.
        audio: Speech features at 60 Hz, (2F, 44), or None.
        emotion: Label of a performance, or None.
        action: Class of captured motion, "speech" or "idle" for performances.
        transcript: Everything said in it, empty where that is not known.
        main: Whether it belongs to one of the classes with many edits (walks, runs, jumps, standing).
    """

    name: str
    features: dict[Part, FloatArray]
    weight: float = 1.0
    captions: tuple[str, ...] = ()
    in_context: tuple[str, ...] = ()
    audio: FloatArray | None = None
    emotion: str | None = None
    action: str = "speech"
    transcript: str = ""
    main: bool = False

    @property
    def num_frames(self) -> int:
        """Frames at 30 fps."""
        return len(next(iter(self.features.values())))


def load_captured(folder: Path, split: str) -> list[MotionSequence]:
    """Read what `python -m engine.data.captured` wrote.

    Args:
        folder: Its output folder.
        split: "train" or "held".

    Returns:
        Sequences with lower and upper features.

    Raises:
        EngineError: If the files are absent.
    """
    array_file, table_file = folder / "captured.npz", folder / "captured.json"
    if not array_file.exists():
        raise EngineError(
            f"There is no prepared motion in {folder}; run python -m engine.data.captured first."
        )
    arrays = np.load(array_file, allow_pickle=False)
    items = json.loads(table_file.read_text(encoding="utf-8"))
    lower, upper, offsets = (arrays[k] for k in ("lower", "upper", "offsets"))
    sequences: list[MotionSequence] = []
    for item, begin, end in zip(items, offsets[:-1], offsets[1:], strict=True):
        if item["split"] != split:
            continue
        features = {
            Part.LOWER: lower[begin:end].astype(np.float32),
            Part.UPPER: upper[begin:end].astype(np.float32),
        }
        sequences.append(
            MotionSequence(
                item["name"],
                features,
                item["weight"],
                tuple(item["captions"]),
                tuple(item.get("in_context", ())),
                action=item["action"],
                main=item["group"] != "rest",
            )
        )
    return sequences


def load_performances(folder: Path, split: str) -> list[MotionSequence]:
    """Read what `python -m engine.data.performer` wrote.

    Args:
        folder: The folder that holds `performances/`.
        split: "train" or "held".

    Returns:
        Sequences with all four parts and speech features.

    Raises:
        EngineError: If the files are absent.
    """
    root = folder / "performances"
    if not (root / "index.json").exists():
        raise EngineError(f"There are no performances in {root}; run python -m engine.data.performer first.")
    table = json.loads((root / "index.json").read_text(encoding="utf-8"))
    wanted = [clip for clip in table["clips"] if clip["split"] == split]
    sequences: list[MotionSequence] = []
    for shard in sorted({clip["shard"] for clip in wanted}):
        with np.load(root / shard, allow_pickle=False) as arrays:
            held = {key: arrays[key] for key in (*(part.value for part in Part), "speech", "offsets")}
        for clip in wanted:
            if clip["shard"] != shard:
                continue
            begin, end = held["offsets"][clip["row"] : clip["row"] + 2]
            sequences.append(
                MotionSequence(
                    f"{clip['name']}#{clip['seed']}@{clip['speed']}",
                    {part: held[part.value][begin:end].astype(np.float32) for part in Part},
                    audio=held["speech"][2 * begin : 2 * end].astype(np.float32),
                    emotion=clip["emotion"],
                    action="idle" if clip["kind"] == "idle" else "speech",
                    transcript=clip.get("transcript", ""),  # data of before transcripts has none
                )
            )
    return sequences


def performance_transcripts(folder: Path) -> list[str]:
    """What is said in the training performances, where it is known.

    Args:
        folder: The folder that holds `performances/`.
    """
    table = json.loads((folder / "performances" / "index.json").read_text(encoding="utf-8"))
    return [
        clip["transcript"] for clip in table["clips"] if clip["split"] == "train" and clip.get("transcript")
    ]


def stack_features(
    sequences: Sequence[MotionSequence], part: Part
) -> tuple[FloatArray, list[tuple[int, int]]]:
    """Join one part's features end to end.

    Args:
        sequences: Any sequences; those without the part are left out.
        part: The part.

    Returns:
        (N, D) and the (begin, end) of each sequence.
    """
    pieces = [s.features[part] for s in sequences if part in s.features]
    edges = np.cumsum([0] + [len(p) for p in pieces])
    return np.concatenate(pieces), list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
