# SPDX-License-Identifier: GPL-3.0-or-later
"""One way to open weights, whichever program wrote them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from torch import Tensor

from ..errors import PackError
from .safetensors_file import read_safetensors, safetensors_shapes
from .torch_file import open_torch_file


class WeightFile(Protocol):
    """An open file whose tensors are known and checked but not read."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of each tensor by name."""
        ...

    def numbers(self, key: str) -> Mapping[str, int]:
        """Whole numbers by name in one of the file's tables; empty where there is no such table."""
        ...

    def read(self, names: Iterable[str]) -> Mapping[str, Tensor]:
        """Read some tensors; raises `PackError` if they are damaged or not finite."""
        ...


class _SafetensorsFile:
    """A safetensors file; reading takes all of it at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.shapes = safetensors_shapes(path)

    def numbers(self, key: str) -> Mapping[str, int]:
        """Such files hold no tables."""
        return {}

    def read(self, names: Iterable[str]) -> Mapping[str, Tensor]:
        """Read some tensors."""
        held = read_safetensors(self._path)
        return {name: held[name] for name in names}


@contextmanager
def open_weights(path: Path) -> Generator[WeightFile, None, None]:
    """Open a safetensors file, or a file of `torch.save`.

    Raises:
        PackError: If it is missing, damaged or unsafe.
    """
    if path.suffix.lower() != ".safetensors":
        with open_torch_file(path) as file:
            yield file
        return
    if not path.is_file():
        raise PackError(f"The model file {path.name} is missing; choose the downloaded file.")
    yield _SafetensorsFile(path)
