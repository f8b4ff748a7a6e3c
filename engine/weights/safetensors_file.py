# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads safetensors files whose header has been checked against their bytes, and writes them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..errors import PackError

if TYPE_CHECKING:
    from torch import Tensor

MAX_HEADER_BYTES = 5_000_000

VALUES_AT_ONCE = 1 << 20
"""Values of a tensor that are checked at a time."""

_ITEM_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "F16": 2, "BF16": 2, "I32": 4, "F32": 4, "I64": 8}
"""Types a file may hold, with their sizes."""

_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")
"""How the library's messages end when the system refused; `std::io::Error` of Rust writes it so."""


def read_safetensors(path: Path, prefix: str = "") -> dict[str, Tensor]:
    """Tensors of one file, on the CPU.

    Args:
        path: The file.
        prefix: Only tensors whose names begin so are read; it is taken off.

    Returns:
        Tensors by name.

    Raises:
        PackError: If the file is damaged or holds values that are not finite numbers.
    """
    from safetensors import SafetensorError, safe_open

    safetensors_shapes(path)
    try:
        with safe_open(path, framework="pt") as held:
            wanted = [key for key in held.keys() if key.startswith(prefix)]  # noqa: SIM118  (not a dict)
            tensors: dict[str, Tensor] = {key[len(prefix) :]: held.get_tensor(key) for key in wanted}
    except (SafetensorError, OSError, ValueError) as problem:
        raise damaged(path.name, "it cannot be read") from problem
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not _is_finite(tensor):
            raise damaged(path.name, f"{prefix}{key} holds values that are not numbers")
    return tensors


def _is_finite(tensor: Tensor) -> bool:
    """Whether all values are numbers; looked at a piece at a time, since each look takes a copy's memory."""
    return all(bool(piece.isfinite().all()) for piece in tensor.flatten().split(VALUES_AT_ONCE))


def safetensors_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors, after checking that the header describes the file's bytes exactly.

    Format: 8 bytes little-endian header length, JSON header, data
    (https://github.com/huggingface/safetensors).

    Raises:
        PackError: If it does not.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(MAX_HEADER_BYTES, size - 8):
            raise damaged(path.name, "its header is too large")
        raw = stream.read(length)
    try:
        header = json.loads(raw)
        entries = {str(key): value for key, value in header.items() if key != "__metadata__"}
        total = sum(_entry_bytes(entry) for entry in entries.values())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as problem:
        raise damaged(path.name, "its header cannot be read") from problem
    if total != size - 8 - length:
        raise damaged(path.name, "its header does not describe its contents")
    return {name: tuple(entry["shape"]) for name, entry in entries.items()}


def write_safetensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors to a file.

    Raises:
        OSError: If the system refuses; the library has another error for that.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, path)
    except SafetensorError as problem:
        if found := _SYSTEM_ERROR.search(str(problem)):
            raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from problem
        raise


def damaged(name: str, why: str) -> PackError:
    """The error for a file of a model that cannot be used."""
    return PackError(f"The file {name} is damaged ({why}); download it again.")


def _entry_bytes(entry: dict[str, object]) -> int:
    """Bytes of one tensor by its shape and type, which must be those of its place in the file."""
    total = _ITEM_BYTES[cast("str", entry["dtype"])]
    for extent in cast("list[int]", entry["shape"]):
        if type(extent) is not int or extent < 0:
            raise ValueError("shape")
        total *= extent
    begin, end = cast("list[int]", entry["data_offsets"])
    if type(begin) is not int or type(end) is not int or begin < 0 or end - begin != total:
        raise ValueError("offsets")
    return total
