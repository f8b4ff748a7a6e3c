# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens npz files of strangers: nothing is unpickled, and types and sizes are checked before reading."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ..errors import ClipError

MAX_ARRAY_BYTES = 1 << 30
"""Largest array accepted from a file: two hours of motion at 100 frames per second, in float64."""

SMALL_ARRAY_BYTES = 160_000_000
"""What an array of a packed file may take however small the file: two hours of a body that stands still."""

MOST_TIMES_FILE = 4
"""A larger array may be so many times as large as its file; motion packs to a half or less only where most of
it stands still."""

MAX_HEADER_BYTES = 10_000
"""Largest header of an array; numpy refuses longer ones, but only after reading them."""

MAX_WORDS_BYTES = 1 << 20
"""Largest array of names."""

READ_ERRORS = (
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
"""What reading a damaged npy or npz may raise."""


def npy_layout(stream: IO[bytes]) -> tuple[int, np.dtype[Any]]:
    """Bytes and type of the array that an npy describes; nothing but its header is read.

    Raises:
        ValueError: If it is no npy, and others of `READ_ERRORS`.
    """
    version = np.lib.format.read_magic(stream)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read_header:
        raise ValueError("unknown npy version")
    width = 2 if version == (1, 0) else 4
    if int.from_bytes(stream.read(width), "little") > MAX_HEADER_BYTES:  # numpy would make room for it
        raise ValueError("an endless header")
    stream.seek(-width, 1)
    shape, _, dtype = read_header[version](stream)
    if min(shape, default=0) < 0:
        raise ValueError("a negative length")
    return int(np.prod([int(length) for length in shape], dtype=object)) * dtype.itemsize, dtype


def _holds_characters(array: npt.NDArray[Any]) -> bool:
    """Whether an array of text holds characters that exist; Python fails on others."""
    numbers = np.frombuffer(array.astype(array.dtype.newbyteorder("<")).tobytes(), "<u4")
    return not bool(((numbers > 0x10FFFF) | ((numbers >= 0xD800) & (numbers < 0xE000))).any())


@contextmanager
def _reading(name: str, wanted: str) -> Generator[None, None, None]:
    """Turn whatever a damaged file raises into one sentence."""
    try:
        yield
    except READ_ERRORS as error:
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
        self._file_bytes = path.stat().st_size
        self.keys = {info.filename.removesuffix(".npy") for info in archive.infolist()}

    def numbers(self, key: str) -> npt.NDArray[np.float64]:
        """Read an array of finite numbers.

        Raises:
            ClipError: If it is absent, damaged, too large, pickled or not finite.
        """
        array = self._read(key, "fiu").astype(np.float64)
        if array.size and not np.abs(array).max() <= np.finfo(np.float32).max:
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
        array = self._read(key, "US", MAX_WORDS_BYTES)
        if array.dtype.kind == "S":
            array = np.char.decode(array, "utf-8", "replace")
        elif not _holds_characters(array):
            raise ClipError(f"{self.name} is damaged or of another kind; choose {self.wanted}.")
        return tuple(str(word) for word in array.reshape(-1))

    def _read(self, key: str, kinds: str, most: float = math.inf) -> npt.NDArray[Any]:
        if key not in self.keys:
            raise ClipError(f"{self.name} has no {key}; choose {self.wanted}.")
        with _reading(self.name, self.wanted):
            return self._read_checked(key, kinds, most)

    def _read_checked(self, key: str, kinds: str, most: float) -> npt.NDArray[Any]:
        info = self.archive.getinfo(f"{key}.npy")
        with self.archive.open(info) as stream:
            size, dtype = npy_layout(stream)
        if dtype.hasobject or dtype.kind not in kinds:
            raise ClipError(f"The {key} in {self.name} are not plain values; export the file again.")
        most = min(most, MAX_ARRAY_BYTES, max(SMALL_ARRAY_BYTES, MOST_TIMES_FILE * self._file_bytes))
        if max(size, info.file_size) > most:
            raise ClipError(f"The {key} in {self.name} are too large to open; choose a smaller file.")
        if size > info.file_size:
            raise ValueError("array longer than its file")
        with self.archive.open(info) as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)
