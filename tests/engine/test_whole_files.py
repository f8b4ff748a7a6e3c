# SPDX-License-Identifier: GPL-3.0-or-later
"""Writers on a disk that fills up, in folders that may not be written, and with steps that fail."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.errors import EngineError, StorageError
from engine.evaluation.card import record
from engine.evaluation.report import Row, Run
from engine.line_cache import LineCache
from engine.lines import LineRecord
from engine.motion.arkit import ARKIT_NAMES
from engine.motion.arkit_csv import write_arkit_csv
from engine.motion.clip import Clip
from engine.motion.clip_io import load_npz, save_amass, save_beat2, save_npz
from engine.packs import PACK_FILE, load_pack, write_pack
from engine.whole_files import PART, whole_file, write_whole

# numpy leaves an archive that it could not write to the garbage collector, which complains once more.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on a file's size")
INFO = {"kind": "starter", "name": "Test", "version": "1", "licence": "MIT"}


def clip(frames: int = 300) -> Clip:
    """A motion whose files are longer than the limit below."""
    values = np.random.default_rng(frames)
    return Clip(
        30.0, values.normal(size=(frames, 55, 3)), values.normal(size=(frames, 3)),
        values.random((frames, 52)), ARKIT_NAMES, "arkit",
    )  # fmt: skip


@contextmanager
def full_disk(limit: int = 4096) -> Generator[None, None, None]:
    """No file of this process gets longer than this; the system fails the write that would pass it."""
    import resource

    earlier = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, earlier[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, earlier)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_card(folder: Path, size: int) -> None:
    """A pack's card with a table of so many rows in it."""
    rows = [Row("Topic", f"row {number}", "1", "1", True) for number in range(size)]
    if not (folder / PACK_FILE).exists():
        (folder / PACK_FILE).write_text('name = "x"\n')
    record(folder, rows, Run("x", "y", 1, True, "machine", 1.0))


def store_line(folder: Path, size: int) -> None:
    """A line's motion in a cache."""
    LineCache(folder, 1 << 30).store(clip(size), LineRecord("sound", 0.0, 1.0, ("walk",), "rest"))


def pack_of(folder: Path, size: int) -> None:
    """A pack with weights and words."""
    tensors = {"model.safetensors": {"a": torch.full((size, 9), float(size))}}
    write_pack(folder / "pack", INFO, tensors, {"words.json": b"0" * 9 * size})


WRITERS: dict[str, Callable[[Path, int], None]] = {
    "text": lambda folder, size: write_whole(folder / "a.txt", "é\r\n" * 9 * size),
    "clip": lambda folder, size: save_npz(clip(size), folder / "a.npz"),
    "amass": lambda folder, size: save_amass(clip(size), folder / "a.npz"),
    "beat2": lambda folder, size: save_beat2(clip(size), folder / "a.npz"),
    "face": lambda folder, size: write_arkit_csv(clip(size), folder / "a.csv"),
    "card": write_card,
    "line": store_line,
    "pack": pack_of,
}
"""Everything the engine writes for later, in two sizes: 10 is short, 300 is longer than the limit."""


@posix_only
@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path, 10)
    before = contents(tmp_path)
    with full_disk(2048), pytest.raises(StorageError, match="disk is full: make room"):
        WRITERS[name](tmp_path, 300)
    assert contents(tmp_path) == before
    WRITERS[name](tmp_path, 300)
    assert contents(tmp_path) != before


@posix_only
@pytest.mark.parametrize("name", sorted(set(WRITERS) - {"card", "line"}))
def test_a_full_disk_leaves_nothing_new(tmp_path: Path, name: str) -> None:
    with full_disk(2048), pytest.raises(StorageError, match="disk is full"):
        WRITERS[name](tmp_path, 300)
    assert contents(tmp_path) == {}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failing_step_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, step: str
) -> None:
    WRITERS[name](tmp_path, 10)
    before = contents(tmp_path)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(StorageError, match="disk is full"):
        patch.setattr(os, step, fail)
        WRITERS[name](tmp_path, 300)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", sorted(set(WRITERS) - {"card"}))
@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_folder_that_may_not_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    """The tests may run as a user who may write everywhere, so the system's answer is put in its mouth."""

    def refuse(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch, pytest.raises(StorageError, match="write-protected") as caught:
        patch.setattr(os, "open", refuse)
        patch.setattr(os, "mkdir", refuse)
        WRITERS[name](tmp_path, 10)
    assert str(tmp_path) in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="folder does not exist"):
        save_npz(clip(2), tmp_path / "gone" / "a.npz")


def test_a_folder_in_the_files_place_stays(tmp_path: Path) -> None:
    (tmp_path / "a.npz").mkdir()
    with pytest.raises(StorageError, match=r"a\.npz cannot be written"):
        save_npz(clip(2), tmp_path / "a.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_a_write_protected_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("locked by version control")
    path.chmod(0o444)
    if os.access(path, os.W_OK):  # root
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(StorageError, match="write-protected"):
        write_whole(path, "new")
    assert path.read_text() == "locked by version control"


def test_another_failure_is_passed_on_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "a.txt") as draft:
        draft.write_text("half")
        _ = 1 / 0
    assert not list(tmp_path.iterdir())


def test_an_error_of_ours_inside_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no frames"), whole_file(tmp_path / "a.txt"):
        raise EngineError("no frames")


@posix_only
def test_a_file_is_as_readable_as_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    mask = os.umask(0o022)
    try:
        write_whole(path, "1")
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        path.chmod(0o660)
        write_whole(path, "2")
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
    finally:
        os.umask(mask)


@posix_only
def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    path = tmp_path / "a.txt"
    path.symlink_to(tmp_path / "far" / "b.txt")
    write_whole(path, "1")
    assert path.is_symlink() and (tmp_path / "far" / "b.txt").read_text() == "1"


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 251 + ".txt")
    write_whole(path, b"1")
    assert path.read_bytes() == b"1"


def test_what_is_being_written_cannot_be_taken_for_the_file(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a.npz") as draft:
        assert draft.name.startswith("a.npz.") and draft.suffix == PART and draft.parent == tmp_path
        assert not (tmp_path / "a.npz").exists()
        draft.write_bytes(b"1")
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_a_pack_whose_replacement_was_killed_comes_back(tmp_path: Path) -> None:
    """Between the two renames there is nothing under the pack's name."""
    pack_of(tmp_path, 10)
    (tmp_path / "pack").rename(tmp_path / ".pack-old")
    assert load_pack(tmp_path / "pack").version == "1"
    pack_of(tmp_path, 20)
    assert [path.name for path in tmp_path.iterdir()] == ["pack"]


def test_what_killed_processes_left_of_a_pack_goes_after_a_day(tmp_path: Path) -> None:
    old, young = tmp_path / ".pack-draft-a", tmp_path / ".pack-draft-b"
    for folder in (old, young):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"half")
    os.utime(old, (0.0, 0.0))
    pack_of(tmp_path, 10)
    assert sorted(path.name for path in tmp_path.iterdir()) == [young.name, "pack"]


@posix_only
def test_a_line_that_cannot_be_kept_can_be_kept_later(tmp_path: Path) -> None:
    record = LineRecord("sound", 0.0, 1.0, ("walk",), "rest")
    cache = LineCache(tmp_path, 1 << 30)
    with full_disk(), pytest.raises(StorageError):
        cache.store(clip(), record)
    assert cache.load(record.key) is None
    cache.store(clip(), record)
    found = cache.load(record.key)
    assert found is not None and found[0].num_frames == 300


def test_a_clip_can_be_read_as_soon_as_it_is_there(tmp_path: Path) -> None:
    for frames in (3, 5):
        save_npz(clip(frames), tmp_path / "a.npz")
        assert load_npz(tmp_path / "a.npz").num_frames == frames
