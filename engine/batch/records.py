# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of every line: a small file each, which is what a batch goes on from when it was stopped."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..whole_files import write_whole
from .table import Line

RECORDS = "records"
"""Folder of these files, in that of the batch."""

MAX_RECORD_BYTES = 64 << 10
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class LineResult:
    """What became of one line.

    Attributes:
        name: Of its files.
        number: Its row.
        key: Tells what it was made from, see `line_key`.
        files: What was written, as names in the batch's folder.
        problem: Why nothing was made; empty where something was.
        motion_s: Seconds of motion.
        compute_s: Seconds it took.
        lip_sync: See `engine.motion.measures`; NaN without sound.
        jitter: m/s^3.
        foot_slide: m/s.
    """

    name: str
    number: int
    key: str = ""
    files: tuple[str, ...] = ()
    problem: str = ""
    motion_s: float = 0.0
    compute_s: float = 0.0
    lip_sync: float = math.nan
    jitter: float = 0.0
    foot_slide: float = 0.0


def line_key(line: Line, model: str) -> str:
    """Tell what a line is made from: other ingredients, other key.

    Args:
        line: The line, whose sound is read.
        model: Tells the model pack.

    Raises:
        OSError: If the sound cannot be read.
    """
    told: dict[str, Any] = {
        "instructions": {part.value: text for part, text in line.instructions.items()},
        "rest": [line.name, line.emotion, line.seed, line.seconds, line.export, model],
        "files": [_content(path) for path in (line.audio, line.character)],
    }
    return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=16).hexdigest()


def _content(path: Path | None) -> str:
    if path is None:
        return ""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def store(result: LineResult, folder: Path) -> None:
    """Keep what became of a line.

    Raises:
        StorageError: If the folder cannot be written.
    """
    write_whole(folder / RECORDS / f"{result.name}.json", json.dumps(asdict(result)))


def finished(line: Line, model: str, folder: Path) -> LineResult | None:
    """What an earlier run made of the same line; None where it has still to be made."""
    path = folder / RECORDS / f"{line.name}.json"
    try:
        if path.stat().st_size > MAX_RECORD_BYTES:
            return None
        held: dict[str, Any] = json.loads(path.read_text("utf-8"))
        told: dict[str, Any] = {**held, "number": line.number, "files": tuple(held["files"])}
        found = LineResult(**told)
        numbers = (found.motion_s, found.compute_s, found.lip_sync, found.jitter, found.foot_slide)
        if found.problem or found.key != line_key(line, model):
            return None
        if not all(isinstance(number, float) for number in numbers):
            return None
        there = found.files and all((folder / Path(name).name).is_file() for name in found.files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if there else None
