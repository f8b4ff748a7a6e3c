# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading weight files: everything torch.save writes, and every way to attack the reader."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import PackError
from engine.weights import torch_file
from engine.weights.inert_pickle import ForbiddenNameError, InertUnpickler, Made
from engine.weights.torch_file import open_torch_file
from engine.weights.weight_file import open_weights

STATE = {
    "weight": torch.arange(12.0).reshape(3, 4),
    "turned": torch.arange(12.0).reshape(3, 4).t(),
    "part": torch.arange(12.0)[4:9],
    "half": torch.ones(2).half(),
    "brain": torch.full((2,), 1.5).bfloat16(),
    "double": torch.ones(1, dtype=torch.float64),
    "count": torch.tensor(7),
    "empty": torch.zeros(0, 3),
}
FORMATS = pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "chain"])


def save(path: Path, content: object, is_zip: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=is_zip)
    return path


@FORMATS
@pytest.mark.parametrize("table", ["state_dict", "model_state", "model", ""])
def test_what_torch_saves_is_read(tmp_path: Path, is_zip: bool, table: str) -> None:
    named = OrderedDict((f"module.{k}" if table == "model_state" else k, v) for k, v in STATE.items())
    held: dict[str, object] = {**named, "shared": STATE["weight"]}
    held["parameter"] = torch.nn.Parameter(torch.ones(2))
    path = save(tmp_path / "a.ckpt", {table: held, "epoch": 3} if table else held, is_zip)
    with open_torch_file(path) as file:
        assert file.shapes["turned"] == (4, 3)
        tensors = file.read(file.tensors)
    assert tensors.keys() == {*STATE, "shared", "parameter"}
    for name, tensor in STATE.items():
        assert torch.equal(tensors[name], tensor) and tensors[name].dtype == tensor.dtype
        assert tensors[name].is_contiguous()


def test_only_what_is_asked_for_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.ckpt", {"state_dict": {"small": torch.ones(3), "large": torch.ones(1000)}})
    monkeypatch.setattr(torch_file, "MAX_READ_BYTES", 100)
    with open_torch_file(path) as file:
        assert torch.equal(file.read(["small"])["small"], torch.ones(3))
        with pytest.raises(PackError, match="exceed"):
            file.read(["large"])


def test_safetensors_are_opened_the_same_way(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2, 3), "b": torch.zeros(1)}, tmp_path / "a.safetensors")
    with open_weights(tmp_path / "a.safetensors") as file:
        assert file.shapes == {"a": (2, 3), "b": (1,)}
        assert file.read(["a"]).keys() == {"a"}
    with pytest.raises(PackError, match="missing"), open_weights(tmp_path / "b.safetensors"):
        pass


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(value=plain, protocol=st.integers(2, 5))
def test_plain_values_come_back_as_they_were(value: object, protocol: int) -> None:
    # Protocol 2 writes bytes as a call of a function, which is not made.
    stream = io.BytesIO(pickle.dumps(value, max(protocol, 3)))
    assert InertUnpickler(stream, lambda name: False).load() == value


class Evil:
    """Would touch a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.path}",)


def test_nothing_is_called(tmp_path: Path) -> None:
    written = pickle.dumps([Evil(tmp_path / "ran")])
    with pytest.raises(ForbiddenNameError, match=r"(posix|nt)\.system"):
        InertUnpickler(io.BytesIO(written), lambda name: False).load()
    allowed = InertUnpickler(io.BytesIO(written), lambda name: True).load()
    assert isinstance(allowed, list) and isinstance(allowed[0], Made)
    assert not (tmp_path / "ran").exists()


@FORMATS
def test_unsafe_files_are_refused(tmp_path: Path, is_zip: bool) -> None:
    """The weights themselves are fine; the file is still not what it says it is."""
    content = {"state_dict": {"a": torch.ones(1)}, "callbacks": Evil(tmp_path / "ran")}
    path = save(tmp_path / "evil.ckpt", content, is_zip)
    with pytest.raises(PackError, match=r"evil\.ckpt.*system"), open_torch_file(path):
        pass
    assert not (tmp_path / "ran").exists()


def test_a_call_that_would_fill_memory_is_not_made(tmp_path: Path) -> None:
    class Huge:
        def __reduce__(self) -> tuple[object, ...]:
            return bytearray, (1 << 50,)

    path = save(tmp_path / "a.ckpt", {"state_dict": {"a": torch.ones(1)}, "x": Huge()})
    with open_torch_file(path) as file:
        assert file.shapes == {"a": (1,)}


def rewritten(path: Path, change: Callable[[str, bytes], bytes | None], **kind: Any) -> None:
    """Write a zip again with some of its records changed or left out."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", **kind) as archive:
        for name, content in records.items():
            changed = change(name, content)
            if changed is not None:
                archive.writestr(name, changed)


def added(path: Path, name: str, content: bytes) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, content)


def in_pickle(old: bytes, new: bytes) -> Callable[[Path], None]:
    """Change the pickle of a file."""

    def change(name: str, content: bytes) -> bytes:
        if name.endswith("data.pkl"):
            assert content.count(old) == 1
            return content.replace(old, new)
        return content

    return lambda path: rewritten(path, change)


def cut(path: Path, count: int) -> None:
    path.write_bytes(path.read_bytes()[:count])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(struct.pack("<4f", 0, 1, 2, 3)) + 1] ^= 0xFF
    path.write_bytes(content)


TWENTY, SHAPE = b"K\x14t", b"K\x04K\x05\x86"
"""In the pickle of a (4, 5) tensor: the storage's 20 values, and the shape."""

FORGED: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"<html>not found</html>"),
    "cut in the directory": lambda path: cut(path, path.stat().st_size - 10),
    "cut in the values": lambda path: cut(path, 700),
    "a changed value": flip,
    "more values than there are": in_pickle(TWENTY, b"J\xff\xff\xff\x7ft"),
    "a storage of absurd size": in_pickle(TWENTY, b"\x8a\x07\xff\xff\xff\xff\xff\xff\x7ft"),
    "a tensor outside its storage": in_pickle(SHAPE, b"M\x00\x04M\x00\x05\x86"),
    "a negative shape": in_pickle(SHAPE, b"J\xff\xff\xff\xffK\x05\x86"),
    "a shape of text": in_pickle(SHAPE, b"K\x04U\x01a\x86"),
    "a tensor that repeats its values": in_pickle(
        SHAPE + b"q\nK\x05K\x01\x86", b"M\xff\xffM\xff\xff\x86q\nK\x00K\x00\x86"
    ),
    "an unknown type": in_pickle(b"FloatStorage", b"QInt8Storage"),
    "packed records": lambda path: rewritten(path, lambda _, c: c, compression=zipfile.ZIP_DEFLATED),
    "no values": lambda path: rewritten(path, lambda n, c: None if "/data/" in n else c),
    "no description": lambda path: rewritten(path, lambda n, c: None if n.endswith("data.pkl") else c),
    "big-endian": lambda path: rewritten(path, lambda n, c: b"big" if n.endswith("byteorder") else c),
    "a record outside": lambda path: added(path, "../../outside", b"x"),
    "an absolute record": lambda path: added(path, "/outside", b"x"),
    "two descriptions": lambda path: added(path, "other/data.pkl", b"x"),
    "a pickle without end": lambda path: rewritten(
        path, lambda n, c: c[:-1] if n.endswith("data.pkl") else c
    ),
    "a pickle that takes too much": lambda path: rewritten(
        path, lambda n, c: b"\x80\x020." if n.endswith("data.pkl") else c
    ),
}


@pytest.mark.parametrize("case", FORGED)
def test_forged_and_damaged_files_are_refused(tmp_path: Path, case: str) -> None:
    path = save(tmp_path / "bad.ckpt", {"state_dict": {"a": torch.arange(20.0).reshape(4, 5)}})
    with open_torch_file(path) as file:  # sound before it is damaged
        assert file.read(["a"])["a"].shape == (4, 5)
    FORGED[case](path)
    with pytest.raises(PackError, match=r"bad\.ckpt.*;"), open_torch_file(path) as file:
        file.read(file.tensors)
    assert not (tmp_path.parent / "outside").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_numbers_are_refused(tmp_path: Path, value: float) -> None:
    path = save(tmp_path / "bad.ckpt", {"state_dict": {"a": torch.tensor([0.0, value])}})
    with open_torch_file(path) as file, pytest.raises(PackError, match="a holds values that are not numbers"):
        file.read(["a"])


def test_old_files_that_promise_more_than_they_hold(tmp_path: Path) -> None:
    path = save(tmp_path / "bad.pt", {"model": {"a": torch.arange(20.0)}}, is_zip=False)
    content = path.read_bytes()
    assert content.count(struct.pack("<q", 20)) == 1
    for forged in (
        content[:-4],
        content.replace(struct.pack("<q", 20), struct.pack("<q", 1 << 40)),
        content[:40],
    ):
        path.write_bytes(forged)
        with pytest.raises(PackError, match=r"bad\.pt"), open_torch_file(path) as file:
            file.read(file.tensors)


def test_keys_that_take_for_ever_to_compare(tmp_path: Path) -> None:
    """Forty pairs of pairs as a key: hashing it would visit 2 ** 40 values."""
    nested: Any = ()
    for _ in range(40):
        nested = (nested, nested)
    doubling = pickle.dumps(nested, 2)[2:-1]
    stream = io.BytesIO(b"\x80\x02}" + doubling + b"K\x01s.")
    assert InertUnpickler(stream, lambda name: False).load() == {}
