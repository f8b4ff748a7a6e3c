# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens npz files of strangers: nothing is unpickled, and types and sizes are checked before reading."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ClipError

MAX_ARRAY_BYTES = 1 << 30
"""Largest array accepted from a file: two hours of motion at 100 frames per second, in float64."""

_READ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    OverflowError,
    MemoryError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,
    SyntaxError,
)


@contextmanager
def _reading(name: str, wanted: str) -> Generator[None, None, None]:
    """Turn whatever a damaged file raises into one sentence."""
    try:
        yield
    except _READ_ERRORS as error:
        raise ClipError(f"{name} is damaged or of another kind; choose {wanted}.") from error


@contextmanager
def open_npz(path: Path, wanted: str) -> Generator[NpzReader, None, None]:
    """Open a file for reading single arrays.

    Args:
        path: The file.
        wanted: What the user should choose instead, for the messages ("an npz in the BEAT2 layout").

    Raises:
        ClipError: If the file is missing or no npz; reading an array raises the same for damaged ones.
    """
    if not path.is_file():
        raise ClipError(f"There is no file {path.name}; choose {wanted}.")
    with _reading(path.name, wanted):
        archive = zipfile.ZipFile(path)
    with archive:
        yield NpzReader(path, archive, wanted)


class NpzReader:
    """Reads single arrays of an open npz.

    Attributes:
        name: File name, for messages.
        keys: Names of the arrays in the file.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile, wanted: str) -> None:
        self.name = path.name
        self.wanted = wanted
        self.archive = archive
        self.keys = {info.filename.removesuffix(".npy") for info in archive.infolist()}

    def numbers(self, key: str) -> npt.NDArray[np.float64]:
        """Read an array of finite numbers.

        Raises:
            ClipError: If it is absent, damaged, too large, pickled or not finite.
        """
        array = self._read(key, "fiu").astype(np.float64)
        if not np.isfinite(array).all():
            raise ClipError(
                f"The {key} in {self.name} hold values that are not finite; repair or export it again."
            )
        return array

    def words(self, key: str) -> tuple[str, ...]:
        """Read an array of strings, or nothing if it is absent.

        Raises:
            ClipError: If it is damaged, too large or pickled.
        """
        if key not in self.keys:
            return ()
        array = self._read(key, "US")
        if array.dtype.kind == "S":
            array = np.char.decode(array, "utf-8", "replace")
        return tuple(str(word) for word in array.reshape(-1))

    def _read(self, key: str, kinds: str) -> npt.NDArray[Any]:
        if key not in self.keys:
            raise ClipError(f"{self.name} has no {key}; choose {self.wanted}.")
        with _reading(self.name, self.wanted):
            return self._read_checked(key, kinds)

    def _read_checked(self, key: str, kinds: str) -> npt.NDArray[Any]:
        info = self.archive.getinfo(f"{key}.npy")
        with self.archive.open(info) as stream:
            version = np.lib.format.read_magic(stream)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }
            if version not in read_header:
                raise ValueError("unknown npy version")
            shape, _, dtype = read_header[version](stream)
        size = int(np.prod([int(length) for length in shape], dtype=object)) * dtype.itemsize
        if dtype.hasobject or dtype.kind not in kinds:
            raise ClipError(f"The {key} in {self.name} are not plain values; export the file again.")
        if max(size, info.file_size) > MAX_ARRAY_BYTES:
            raise ClipError(f"The {key} in {self.name} are too large to open; choose a smaller file.")
        if size > info.file_size:
            raise ValueError("array longer than its file")
        with self.archive.open(info) as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)
