# SPDX-License-Identifier: GPL-3.0-or-later
"""Motions of lines on disk: written whole or not at all, read as a stranger's files are, limited in size."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from .errors import ClipError
from .lines import LineRecord
from .motion.clip import Clip
from .motion.clip_io import load_npz, save_npz
from .whole_files import PART, storage_error, write_whole

MAX_RECORD_BYTES = 8 << 20
"""Longest record that is read: two hours of steps."""

_KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class LineCache:
    """A folder of motions by the keys of their records.

    Attributes:
        folder: Where they lie; made when the first one is stored.
        limit_bytes: Above this much, those that were not used for the longest time are deleted.
    """

    folder: Path
    limit_bytes: int

    def load(self, key: str) -> tuple[Clip, LineRecord] | None:
        """The motion of a key and what it was made from; None where it is not there or no longer readable."""
        if not _KEY.fullmatch(key) or not self._clip_path(key).is_file():
            return None
        try:
            record_path = self._record_path(key)
            if record_path.stat().st_size > MAX_RECORD_BYTES:
                return None
            record = LineRecord.from_json(record_path.read_text("utf-8"))
            clip = load_npz(self._clip_path(key))
            for path in (record_path, self._clip_path(key)):
                os.utime(path)
        except (OSError, ValueError, TypeError, ClipError):
            return None
        return (clip, record) if record.key == key else None

    def store(self, clip: Clip, record: LineRecord) -> None:
        """Keep a motion.

        Raises:
            StorageError: If the folder cannot be written.
        """
        key = record.key
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(self.folder, error) from error
        # The clip comes last: a record without one is as good as nothing.
        write_whole(self._record_path(key), record.to_json())
        save_npz(clip, self._clip_path(key))
        self._prune(key)

    def clear(self) -> int:
        """Delete everything that is kept.

        Returns:
            Bytes that were freed.
        """
        entries = self._entries()
        for path, _, _ in entries:
            path.unlink(missing_ok=True)
        return sum(size for _, size, _ in entries)

    def _prune(self, newest: str) -> None:
        """Delete the longest unused until the rest fits; the newest stays in any case."""
        entries = self._entries()
        total = sum(size for _, size, _ in entries)
        for path, size, _ in sorted(entries, key=lambda entry: entry[2]):
            if total <= self.limit_bytes:
                return
            if path.stem != newest:
                with contextlib.suppress(OSError):  # another Blender reads it
                    path.unlink(missing_ok=True)
                    total -= size

    def _entries(self) -> list[tuple[Path, int, float]]:
        """Path, bytes and time of last use of every file; leftovers of a crash are the oldest."""
        found: list[tuple[Path, int, float]] = []
        for path in self.folder.glob("*"):
            if path.suffix in (".npz", ".json", PART) and _KEY.match(path.name):
                with contextlib.suppress(FileNotFoundError):  # another Blender may have deleted it
                    stat = path.stat()
                    found.append((path, stat.st_size, 0.0 if path.suffix == PART else stat.st_mtime))
        return found

    def _clip_path(self, key: str) -> Path:
        return self.folder / f"{key}.npz"

    def _record_path(self, key: str) -> Path:
        return self.folder / f"{key}.json"
