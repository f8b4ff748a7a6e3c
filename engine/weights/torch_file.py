# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads tensors of files that `torch.save` wrote, without running anything in them.

The pickle inside is read by `InertUnpickler`: every tensor is first known by name, type, shape and place.
Types, sizes and bounds are checked there and then, and only the tensors asked for are read. Both
containers are known: the zip of torch 1.6 and later (`<name>/data.pkl`, `<name>/data/<key>`), and the
older chain of pickles with the values behind it (torch's `serialization.py`).
"""

from __future__ import annotations

import io
import mmap
import re
import zipfile
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any, Protocol, cast

import torch
from torch import Tensor

from ..errors import PackError
from .inert_pickle import READ_ERRORS, ForbiddenNameError, InertUnpickler, Name
from .safetensors_file import damaged

MAX_PICKLE_BYTES = 64_000_000
MAX_READ_BYTES = 8 << 30
"""Most bytes of weights read at a time; the published language model has 1 GB."""

MAX_RECORDS = 100_000
_CHUNK_BYTES = 16 << 20

ALLOWED = re.compile(
    r"(torch|collections|omegaconf|fairseq|argparse|typing|numpy|enum|copyreg|copy_reg|_codecs|pathlib|"
    r"lightning|lightning_fabric|lightning_utilities|pytorch_lightning|lom)\.[\w.]+"
    r"|(builtins|__builtin__)\.(list|dict|set|frozenset|tuple|int|long|float|str|unicode|bool|bytes|bytearray|"
    r"complex|object)"
)
"""Names that published files hold. None is imported or called; any other is a sign of a file that is
something else, and ends the reading."""

_DTYPES: dict[str, torch.dtype] = {
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.DoubleStorage": torch.float64,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}

_LEGACY_MAGIC, _LEGACY_VERSION = 0x1950A86A20F9469CFC6C, 1001
_TENSOR_MAKERS = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")
_PARAMETER_MAKER = "torch._utils._rebuild_parameter"


@dataclass(frozen=True, eq=False)
class _Storage:
    """A run of values in the file."""

    key: str
    dtype: torch.dtype
    count: int

    @property
    def num_bytes(self) -> int:
        """Size in the file."""
        return self.count * self.dtype.itemsize


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor that has not been read yet; it lies inside its storage and is no larger.

    Attributes:
        storage: Run of values it lies in.
        offset: Its first value there.
        shape: Its extents.
        stride: Distance of neighbours along each axis, in values.
    """

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class TensorUnpickler(InertUnpickler):
    """An inert reader that knows tensors, parameters and ordered tables."""

    def make(self, maker: object, arguments: tuple[Any, ...]) -> object:
        """Describe a tensor, open a table, or remember the call."""
        name = maker.full if isinstance(maker, Name) else ""
        if name in _TENSOR_MAKERS:
            return _describe(*arguments[:4])
        if name == _PARAMETER_MAKER:
            return arguments[0]
        if name == "collections.OrderedDict" and not arguments:
            return {}
        return super().make(maker, arguments)

    def persistent(self, key: object) -> object:
        """Describe a storage: ('storage', type, key, device, count), in old files with an empty view."""
        if not isinstance(key, tuple):
            return super().persistent(key)
        word, kind, name, _, count, *view = cast("tuple[Any, ...]", key)
        if word != "storage" or any(view) or not isinstance(kind, Name) or kind.full not in _DTYPES:
            raise ValueError("an unknown storage")
        return _Storage(str(name), _DTYPES[kind.full], _count(count))


def _count(value: object) -> int:
    """A plain whole number that is not negative."""
    if type(value) is not int or value < 0:
        raise ValueError("a size that is not a number")
    return value


def _describe(storage: object, offset: object, shape: object, stride: object) -> StoredTensor:
    """Check that a tensor lies inside its storage and is no larger, as one that repeats values may be."""
    if not (isinstance(storage, _Storage) and isinstance(shape, tuple) and isinstance(stride, tuple)):
        raise ValueError("a tensor without storage")
    extents = tuple(_count(value) for value in cast("tuple[object, ...]", shape))
    steps = tuple(_count(value) for value in cast("tuple[object, ...]", stride))
    first = _count(offset)
    reach = sum((extent - 1) * step for extent, step in zip(extents, steps, strict=True))
    size = prod(extents)
    if size and (first + reach >= storage.count or size > storage.count):
        raise ValueError("a tensor outside its storage")
    return StoredTensor(storage, first, extents, steps)


class _Container(Protocol):
    """Where storages lie."""

    def value(self) -> object:
        """Read the pickle."""
        ...

    def storage(self, storage: _Storage) -> bytearray:
        """Read one storage, exactly `storage.num_bytes` long."""
        ...


class _Zip:
    """The zip container; its records are stored as they are, never packed."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        infos = archive.infolist()
        self.records = {info.filename: info for info in infos}
        if len(self.records) != len(infos) or len(infos) > MAX_RECORDS:
            raise ValueError("records that occur twice or too many of them")
        packed = any(info.compress_type != zipfile.ZIP_STORED for info in infos)
        if packed or sum(info.file_size for info in infos) > path.stat().st_size:
            raise ValueError("records larger than the file")
        if any(name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) for name in self.records):
            raise ValueError("records outside the file")
        pickles = [name for name in self.records if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise ValueError("no data.pkl")
        self.root = pickles[0].removesuffix("data.pkl")
        order = self.records.get(self.root + "byteorder")
        if order and archive.read(order) != b"little":
            raise ValueError("another byte order")

    def value(self) -> object:
        """Read the pickle."""
        info = self.records[self.root + "data.pkl"]
        if info.file_size > MAX_PICKLE_BYTES:
            raise ValueError("a description that is too large")
        return TensorUnpickler(io.BytesIO(self.archive.read(info)), is_allowed).load()

    def storage(self, storage: _Storage) -> bytearray:
        """Read one storage."""
        info = self.records[f"{self.root}data/{storage.key}"]
        if info.file_size != storage.num_bytes:
            raise ValueError("a storage of another size")
        values = bytearray(storage.num_bytes)
        with self.archive.open(info) as stream:
            done = 0
            while chunk := stream.read(_CHUNK_BYTES):
                values[done : done + len(chunk)] = chunk
                done += len(chunk)
        return values


class _Chain:
    """The older container: four pickles, a fifth with the storages' keys, then per key a count and values."""

    def __init__(self, stream: mmap.mmap) -> None:
        self.stream = stream
        self.starts: dict[str, tuple[int, int]] = {}

    def value(self) -> object:
        """Read the pickles and find the storages."""
        unpicklers = [TensorUnpickler(cast("IO[bytes]", self.stream), is_allowed) for _ in range(5)]
        if unpicklers[0].load() != _LEGACY_MAGIC or unpicklers[1].load() != _LEGACY_VERSION:
            raise ValueError("not a file of torch.save")
        system = unpicklers[2].load()
        if not isinstance(system, dict) or cast("dict[str, object]", system).get("little_endian") is not True:
            raise ValueError("another byte order")
        found = unpicklers[3].load()
        keys = unpicklers[4].load()
        if not isinstance(keys, list):
            raise ValueError("no list of storages")
        sizes = _storages(found)
        for key in cast("list[object]", keys):
            count = int.from_bytes(self.stream.read(8), "little")
            storage = sizes.get(str(key))
            if storage is None or storage.count != count or str(key) in self.starts:
                raise ValueError("a storage of another size")
            self.starts[str(key)] = self.stream.tell(), storage.num_bytes
            self.stream.seek(storage.num_bytes, 1)
        return found

    def storage(self, storage: _Storage) -> bytearray:
        """Read one storage."""
        start, num_bytes = self.starts[storage.key]
        values = bytearray(self.stream[start : start + num_bytes])
        if len(values) != storage.num_bytes:
            raise EOFError("a storage that ends early")
        return values


def _storages(value: object) -> dict[str, _Storage]:
    """Storages of all tensors anywhere in a value."""
    found: dict[str, _Storage] = {}
    seen: set[int] = set()
    left: list[Any] = [value]
    while left:
        item = left.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, StoredTensor):
            found[item.storage.key] = item.storage
        elif isinstance(item, dict):
            left.extend(cast("dict[object, object]", item).values())
        elif isinstance(item, (list, tuple)):
            left.extend(cast("list[object]", item))
        elif isinstance(item, _Storage):
            found[item.key] = item
        elif hasattr(item, "arguments"):
            left.extend((item.arguments, item.state))
    return found


def is_allowed(name: str) -> bool:
    """Whether a published file may name this class or function."""
    return ALLOWED.fullmatch(name) is not None


class TorchFile:
    """An open file whose tensors are known and checked but not read.

    Attributes:
        name: File name, for messages.
        tensors: Every tensor of the file's table of weights.
    """

    def __init__(self, name: str, container: _Container) -> None:
        self.name = name
        self._container = container
        value = container.value()
        table = cast("Mapping[object, object]", value) if isinstance(value, dict) else {}
        self._whole = table
        for key in ("state_dict", "model_state", "model"):
            held = table.get(key)
            if isinstance(held, dict):
                table = cast("Mapping[object, object]", held)
                break
        self.tensors = {
            str(key).removeprefix("module."): value
            for key, value in table.items()
            if isinstance(value, StoredTensor)
        }

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor."""
        return {name: stored.shape for name, stored in self.tensors.items()}

    def numbers(self, key: str) -> dict[str, int]:
        """Whole numbers by name in one of the file's tables; empty where there is no such table."""
        held = self._whole.get(key)
        table = cast("Mapping[object, object]", held) if isinstance(held, dict) else {}
        return {str(name): value for name, value in table.items() if type(value) is int}

    def read(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Read some tensors.

        Args:
            names: Which, each one of `tensors`.

        Returns:
            Tensors by name, in the file's types; one that is stored under two names shares its memory.

        Raises:
            PackError: If they are too large, damaged, or hold values that are not finite.
        """
        wanted = {name: self.tensors[name] for name in names}
        storages = {stored.storage.key: stored.storage for stored in wanted.values()}
        if sum(storage.num_bytes for storage in storages.values()) > MAX_READ_BYTES:
            raise damaged(self.name, f"its weights exceed {MAX_READ_BYTES >> 30} GB")
        with _naming(self.name):
            runs = {
                key: torch.frombuffer(self._container.storage(storage), dtype=storage.dtype)
                for key, storage in storages.items()
                if storage.count
            }
            tensors = {name: _cut(runs, stored) for name, stored in wanted.items()}
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise damaged(self.name, f"{name} holds values that are not numbers")
        return tensors


def _cut(runs: Mapping[str, Tensor], stored: StoredTensor) -> Tensor:
    """One tensor out of its storage."""
    if not prod(stored.shape):
        return torch.empty(stored.shape, dtype=stored.storage.dtype)
    run = runs[stored.storage.key]
    view = run.as_strided(stored.shape, stored.stride, stored.offset)
    return view if view.numel() == run.numel() and view.is_contiguous() else view.clone().contiguous()


@contextmanager
def _naming(name: str) -> Generator[None, None, None]:
    """Turn whatever a damaged or forged file raises into one sentence."""
    try:
        yield
    except ForbiddenNameError as problem:
        raise damaged(name, str(problem)) from problem
    except (*READ_ERRORS, RuntimeError, zipfile.BadZipFile) as problem:
        raise damaged(name, "it cannot be read") from problem


@contextmanager
def open_torch_file(path: Path) -> Generator[TorchFile, None, None]:
    """Open a file of `torch.save`: a Lightning, EMAGE or fairseq file, or a plain table of tensors.

    Raises:
        PackError: If it is missing, damaged, or names anything a file of weights does not need.
    """
    if not path.is_file():
        raise PackError(f"The model file {path.name} is missing; choose the downloaded file.")
    with path.open("rb") as stream:
        if stream.read(4) == b"PK\x03\x04":
            with _naming(path.name):
                archive = zipfile.ZipFile(path)
            with archive:
                with _naming(path.name):
                    opened = TorchFile(path.name, _Zip(path, archive))
                yield opened
            return
        with _naming(path.name):
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        with mapped:
            with _naming(path.name):
                opened = TorchFile(path.name, _Chain(mapped))
            yield opened
