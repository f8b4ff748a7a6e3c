# SPDX-License-Identifier: GPL-3.0-or-later
"""Shards: safetensors files that hold the codes of many records.

A shard has for every part and for the sound one tensor with the codes of all records one after the other,
int16 (N, Q), and `<name>.offsets` (R + 1,) int64: record r has the rows `offsets[r] : offsets[r + 1]`, none
if it lacks the part. `records` (uint8) holds a line of JSON per record, `records.offsets` where each begins;
`splits` (R,) indexes `SPLITS`; `spans` (K, 3) lists record, first and last motion step of captions that speak
of a stretch only. The header's `summary` counts. A shard appears under its name only when it is whole.

`manifest.json` beside the shards says what made them, so that no shard of other tokenizers slips in.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..specs import AUDIO_HZ, PARTS
from ..whole_files import write_whole
from .coding import Coded
from .readers.base import SPLITS, Problem, Record

FORMAT = 1
MANIFEST_FILE = "manifest.json"
STREAMS: tuple[str, ...] = (*(part.value for part in PARTS), "audio")
"""Code tensors of a shard."""


MAX_OPEN = 128
"""Shards held open at once; opening one is cheap, file handles are not endless."""


@dataclass(frozen=True, kw_only=True)
class CorpusManifest:
    """What made a folder of shards, of any kind.

    Attributes:
        source: Name of the corpus.
        items: Hash of the corpus' list of items.
        num_items: How many there are.
        shard_items: Items per shard.
        format: Version of the layout.
    """

    command: ClassVar[str]
    """Command of `python -m engine.data` that makes such shards."""

    source: str
    items: str
    num_items: int
    shard_items: int
    format: int = FORMAT

    @property
    def num_shards(self) -> int:
        """Shards the corpus fills."""
        return -(-self.num_items // self.shard_items)


@dataclass(frozen=True, kw_only=True)
class Manifest(CorpusManifest):
    """What made a folder of codes.

    Attributes:
        tokenizers: Fingerprint of the tokenizers.
        step_hz: Motion steps per second.
        audio_hz: Sound steps per second.
        levels: Codes per step of every stream.
    """

    command: ClassVar[str] = "prepare"

    tokenizers: str
    step_hz: float
    audio_hz: float
    levels: dict[str, int]


ManifestT = TypeVar("ManifestT", bound=CorpusManifest)


@dataclass
class Summary:
    """What one shard, or several, hold: records, seconds of motion and of sound, and what was left out."""

    records: int = 0
    motion_s: float = 0.0
    sound_s: float = 0.0
    problems: list[Problem] = field(default_factory=lambda: [])

    def add(self, other: Summary) -> None:
        """Count another shard's content too."""
        self.records += other.records
        self.motion_s += other.motion_s
        self.sound_s += other.sound_s
        self.problems += other.problems


def shard_path(folder: Path, number: int) -> Path:
    """File of a shard."""
    return folder / f"shard-{number:05d}.safetensors"


def write_manifest(folder: Path, manifest: CorpusManifest) -> None:
    """Write a folder's manifest, or check that the one it has is the same.

    Raises:
        DataError: If the folder holds shards made in another way.
        StorageError: If it cannot be written.
    """
    path = folder / MANIFEST_FILE
    if path.exists():
        held = asdict(read_manifest(folder, type(manifest)))
        if differing := [key for key, value in asdict(manifest).items() if held[key] != value]:
            raise DataError(
                f"{folder.name} holds shards made in another way ({', '.join(differing)} differ); choose an "
                "empty folder, or delete this one to make it anew."
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(asdict(manifest), indent=1) + "\n")


def read_manifest(folder: Path, kind: type[ManifestT]) -> ManifestT:
    """Read a folder's manifest.

    Args:
        folder: Folder of a corpus.
        kind: What its shards should hold.

    Raises:
        DataError: If it is missing, damaged, or of another kind or version.
    """
    path, command = folder / MANIFEST_FILE, f"python -m engine.data {kind.command}"
    try:
        manifest = kind(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise DataError(f"There are no shards in {folder.name}; run {command} first.") from error
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"{folder.name}/{MANIFEST_FILE} is damaged or of another kind; make the folder with {command}."
        ) from error
    if manifest.format != FORMAT:
        raise DataError(f"{folder.name} was made by another version; delete it and run {command} again.")
    return manifest


class OpenShards:
    """Shards held open for reading; the one used longest ago is closed when there are too many.

    Args:
        command: Command of `python -m engine.data` that makes them.
    """

    def __init__(self, command: str) -> None:
        self.command = command
        self._open: OrderedDict[Path, Any] = OrderedDict()

    def __getitem__(self, path: Path) -> Any:
        """An open shard.

        Raises:
            DataError: If it is missing or damaged.
        """
        from safetensors import SafetensorError, safe_open

        if path not in self._open:
            if not path.exists():
                raise DataError(
                    f"{path.name} is missing from {path.parent.name}; run python -m engine.data "
                    f"{self.command} to its end."
                )
            try:
                self._open[path] = safe_open(path, framework="np")
            except (SafetensorError, OSError) as error:
                raise _damaged(path) from error
            if len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(path)
        return self._open[path]

    def __getstate__(self) -> dict[str, Any]:
        """Other processes open the shards themselves."""
        return {"command": self.command, "_open": OrderedDict()}


def _damaged(path: Path) -> DataError:
    return DataError(f"{path.name} is damaged; delete it and run the command that made it again.")


class ShardWriter:
    """Collects the records of one shard; only their codes are kept.

    Args:
        manifest: Gives rates and levels.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.codes: dict[str, list[npt.NDArray[np.int16]]] = {name: [] for name in STREAMS}
        self.lines: list[bytes] = []
        self.splits: list[int] = []
        self.spans: list[tuple[int, int, int]] = []
        self.summary = Summary()

    def add(self, record: Record, coded: Coded) -> None:
        """Keep one record."""
        held = {part.value: codes for part, codes in coded.parts.items()}
        if coded.audio is not None:
            held["audio"] = coded.audio
        for name in STREAMS:
            empty = np.zeros((0, self.manifest.levels[name]), np.int16)
            self.codes[name].append(held[name].astype(np.int16) if name in held else empty)
        num_steps = max((len(codes) for codes in coded.parts.values()), default=0)
        for caption in record.captions:
            if caption.end_s is not None:
                begin = round(caption.start_s * self.manifest.step_hz)
                end = min(round(caption.end_s * self.manifest.step_hz), num_steps)
                if begin < end:
                    self.spans.append((len(self.lines), begin, end))
        self.lines.append(json.dumps(_line(record), ensure_ascii=False).encode())
        self.splits.append(SPLITS.index(record.split))
        self.summary.records += 1
        self.summary.motion_s += record.clip.duration_s if record.clip is not None else 0.0
        self.summary.sound_s += len(record.wave) / AUDIO_HZ if record.wave is not None else 0.0

    def write(self, path: Path, problems: Iterable[Problem]) -> Summary:
        """Write the shard, whole or not at all."""
        tensors: dict[str, npt.NDArray[Any]] = {}
        for name, pieces in self.codes.items():
            empty = np.zeros((0, self.manifest.levels[name]), np.int16)
            tensors[name] = np.concatenate([empty, *pieces])
            tensors[f"{name}.offsets"] = offsets(pieces)
        tensors["records"] = np.frombuffer(b"".join(self.lines), np.uint8).copy()
        tensors["records.offsets"] = offsets(self.lines)
        tensors["splits"] = np.array(self.splits, np.uint8)
        tensors["spans"] = np.array(self.spans, np.int64).reshape(-1, 3)
        self.summary.problems = list(problems)
        write_shard(path, tensors, self.summary)
        return self.summary


def write_shard(path: Path, tensors: dict[str, npt.NDArray[Any]], summary: Summary) -> None:
    """Write a shard of any kind, whole or not at all.

    Raises:
        StorageError: If the system refuses.
    """
    from safetensors.numpy import save

    write_whole(path, save(tensors, {"summary": json.dumps(asdict(summary))}))


def read_summary(path: Path) -> Summary:
    """What a shard holds, from its header.

    Raises:
        DataError: If it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as shard:
            values = json.loads(shard.metadata()["summary"])
        problems = [Problem(**problem) for problem in values.pop("problems")]
        return Summary(**values, problems=problems)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path) from error


def _line(record: Record) -> dict[str, Any]:
    """What a record's line of JSON holds."""
    emotion = record.emotion
    return {
        "name": f"{record.source}/{record.name}",
        "speaker": record.speaker,
        "transcript": record.transcript,
        "words": [[word.text, round(word.start_s, 3), round(word.end_s, 3)] for word in record.words],
        "captions": [[caption.text, caption.start_s, caption.end_s] for caption in record.captions],
        "emotion": None if emotion is None else [emotion.label, emotion.start_s, emotion.end_s],
        "duration_s": record.duration_s,
    }


def offsets(pieces: Iterable[Any]) -> npt.NDArray[np.int64]:
    """Where each of several pieces begins when they stand one after the other, and where the last ends."""
    return np.cumsum([0, *(len(piece) for piece in pieces)], dtype=np.int64)
