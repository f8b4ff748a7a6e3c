# SPDX-License-Identifier: GPL-3.0-or-later
"""K-means centres of the speech model: from scikit-learn's joblib pickle, or from an npz.

joblib (`numpy_pickle.py`) writes a pickle in which an array is a `NumpyArrayWrapper` with type, shape and
order; its values follow in the file right behind the step that fills the wrapper. `InertUnpickler` reads
the structure, only the centres' values are read, and no other class than those of a k-means may occur.
"""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, cast

import numpy as np
import torch
from torch import Tensor

from ..errors import ClipError, PackError
from ..motion.npz_reader import open_npz
from ..weights.inert_pickle import READ_ERRORS, ForbiddenNameError, InertUnpickler, Made, Name
from ..weights.safetensors_file import damaged

CENTRES_KEY = "cluster_centers_"
NPZ_KEYS = ("centres", "centers", CENTRES_KEY)
"""Names under which an npz may hold the centres."""

MAX_CENTRES_BYTES = 256_000_000

ALLOWED = re.compile(
    r"sklearn\.cluster\.(_kmeans|k_means_)\.(MiniBatch)?KMeans"
    r"|(sklearn\.externals\.)?joblib\.numpy_pickle\.NumpyArrayWrapper"
    r"|numpy\.(ndarray|dtype)|numpy\._?core\.multiarray\.(scalar|_reconstruct)"
    r"|numpy\.random\.(_pickle\.__(randomstate|bit_generator)_ctor|mtrand\.RandomState|_mt19937\.MT19937)"
    r"|_codecs\.encode|copy_?reg\._reconstructor|(builtins|__builtin__)\.object"
)
"""Every name in a pickled k-means, old and new."""


@dataclass(frozen=True)
class _Place:
    """Where an array's values lie in the file."""

    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    order: str


class _KMeansUnpickler(InertUnpickler):
    """Finds the arrays of a joblib pickle and passes over their values."""

    def __init__(self, stream: mmap.mmap) -> None:
        super().__init__(cast("IO[bytes]", stream), lambda name: ALLOWED.fullmatch(name) is not None)
        self._mapped = stream

    def build(self, made: Made) -> object:
        """Turn a filled array wrapper into its place, and go on behind its values."""
        if not isinstance(made.maker, Name) or not made.maker.full.endswith("NumpyArrayWrapper"):
            return made
        state = cast("dict[str, object]", made.state)
        dtype = _dtype(state["dtype"])
        shape = tuple(int(cast("int", extent)) for extent in cast("tuple[object, ...]", state["shape"]))
        if state.get("numpy_array_alignment_bytes") is not None:
            self._mapped.seek(self._mapped.read(1)[0], 1)
        place = _Place(self._mapped.tell(), shape, dtype, str(state["order"]))
        if min(shape, default=0) < 0:
            raise ValueError("a negative size")
        self._mapped.seek(prod(shape) * dtype.itemsize, 1)
        return place


def _dtype(made: object) -> np.dtype[np.generic]:
    """Plain number type of a pickled `numpy.dtype('f4', False, True)` with its byte order."""
    if not isinstance(made, Made) or not isinstance(made.maker, Name) or made.maker.full != "numpy.dtype":
        raise ValueError("an unknown type")
    code = made.arguments[0]
    order = cast("tuple[object, ...]", made.state)[1] if made.state else "|"
    if not isinstance(code, str) or not re.fullmatch(r"[fiu][1248]", code) or order not in ("<", "|", "="):
        raise ValueError("an unknown type")
    return np.dtype(code)


def read_centres(path: Path) -> Tensor:
    """Read the centres.

    Args:
        path: A joblib pickle of a scikit-learn k-means, not packed, or an npz with the array
            `centres` or `cluster_centers_`.

    Returns:
        (K, D), float32.

    Raises:
        PackError: If the file is damaged, unsafe, or holds no centres.
    """
    if path.suffix.lower() == ".npz":
        return _from_npz(path)
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            if mapped[:1] != b"\x80":
                raise ValueError("packed or of another kind")
            array = _from_pickle(mapped)
    except ForbiddenNameError as problem:
        raise damaged(path.name, str(problem)) from problem
    except (*READ_ERRORS, ArithmeticError) as problem:
        raise damaged(path.name, "the centres of the speech model cannot be read from it") from problem
    return _checked(array, path.name)


def _from_pickle(mapped: mmap.mmap) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """Values of the centres in a pickled k-means."""
    model = _KMeansUnpickler(mapped).load()
    state = cast("dict[str, object]", model.state) if isinstance(model, Made) else {}
    place = state[CENTRES_KEY]
    if not isinstance(place, _Place) or prod(place.shape) * place.dtype.itemsize > MAX_CENTRES_BYTES:
        raise ValueError("no centres")
    values = np.frombuffer(mapped, place.dtype, prod(place.shape), place.start).copy()
    return values.reshape(place.shape, order="F" if place.order == "F" else "C")


def _from_npz(path: Path) -> Tensor:
    """Centres of an npz."""
    try:
        with open_npz(path, f"an npz with the array {NPZ_KEYS[0]}") as reader:
            key = next((name for name in NPZ_KEYS if name in reader.keys), NPZ_KEYS[0])
            return _checked(reader.numbers(key), path.name)
    except ClipError as problem:
        raise PackError(str(problem)) from problem


def _checked(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], name: str) -> Tensor:
    """Centres as a matrix of finite numbers."""
    if array.ndim != 2 or 0 in array.shape or array.nbytes > MAX_CENTRES_BYTES:
        raise damaged(name, f"its centres have the shape {array.shape}")
    centres = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    if not bool(centres.isfinite().all()):
        raise damaged(name, "its centres hold values that are not numbers")
    return centres
