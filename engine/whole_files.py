# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are there whole or not at all, whenever the process is killed or the disk is full.

A file is written beside its place under a passing name that ends in `.part`, brought to the disk, and
renamed; a rename replaces the earlier file in one step (POSIX `rename`, Windows `MoveFileEx`). The folder is
brought to the disk too, so that the rename itself outlives a power cut.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Generator
from pathlib import Path

from .errors import StorageError

PART = ".part"
"""Ending of files that are being written; one that stays was left by a process that was killed."""
MAX_STEM = 60
"""Characters of the file's own name that its passing name keeps, so that no file system finds it too long."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP)
"""What file systems answer that have no way to bring a file to the disk, such as some of the network's."""


@contextlib.contextmanager
def whole_file(path: Path, ending: str = PART) -> Generator[Path, None, None]:
    """Write a file in any way under a passing name; it takes its place when the block ends well.

    Args:
        path: Where the file belongs; an earlier one stays untouched until then, and when anything fails.
        ending: End of the passing name, for writers that go by it.

    Yields:
        The passing name of an empty file in the same folder.

    Raises:
        StorageError: If the system refuses: the disk is full, the folder is read-only or gone.
    """
    place = Path(os.path.realpath(path))  # a link stays a link
    try:
        draft = _draft(place, ending)
        try:
            yield draft
            sync_file(draft)
            os.replace(draft, place)
        finally:
            with contextlib.suppress(OSError):  # what went wrong before is what counts
                draft.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(path, error) from error
    sync_folder(place.parent)


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file, text as UTF-8 with its line ends as they are.

    Raises:
        StorageError: If the system refuses; the earlier file is still there.
    """
    with whole_file(path) as draft:
        draft.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def storage_error(path: Path, error: OSError) -> StorageError:
    """The sentence for a system's refusal to write a file or folder."""
    if error.errno in _FULL:
        remedy = "the disk is full: make room there or choose another folder"
    elif error.errno in _FORBIDDEN:
        remedy = "it, or its folder, is write-protected or open elsewhere: choose a place you may write to"
    elif not path.parent.is_dir():
        remedy = "its folder does not exist: choose another one"
    else:
        remedy = f"{error.strerror or error}: choose another folder or name"
    return StorageError(f"{path} cannot be written, {remedy}.")


def sync_file(path: Path) -> None:
    """Bring a file's contents to the disk."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system knows how (Windows does it by itself)."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):  # the files are in place; only a power cut could still lose the names
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _draft(place: Path, ending: str) -> Path:
    """An empty file of its own beside the place, as readable as the earlier file or as new ones are."""
    if place.exists() and not os.access(place, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))
    draft = place.with_name(f"{place.name[:MAX_STEM]}.{secrets.token_hex(4)}{ending}")
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    if place.exists():
        shutil.copymode(place, draft)
    return draft
