# SPDX-License-Identifier: GPL-3.0-or-later
"""Features of a corpus: one pass over it, killed runs that go on, and windows read back."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from scipy.interpolate import interp1d

from engine.data.__main__ import main
from engine.data.feature_files import (
    PUBLISHED_LAYOUTS,
    FeatureManifest,
    FeatureWindows,
    interpolate_clip,
    read_features,
    record_features,
    write_features,
)
from engine.data.readers.base import Item, Record
from engine.data.readers.bvh_folder import BvhFolderReader
from engine.data.shards import MANIFEST_FILE, shard_path, write_manifest
from engine.errors import DataError
from engine.motion.clip import Clip, smplx_expression_names
from engine.motion.published_features import Layout, layout_width, published_features
from engine.specs import PARTS, Part
from tests.killing import kill_when
from tests.miniature_bvh import miniature

BODY = (Part.HANDS, Part.UPPER, Part.LOWER)


@dataclass
class MadeReader:
    """Records of 1 to 4 seconds: the first has no face, the third no motion, the fourth cannot be read."""

    count: int = 8
    source: str = "made"
    read_names: list[str] = field(default_factory=list)

    def items(self) -> list[Item]:
        return [Item(f"r{i:03d}", "val" if i % 4 == 1 else "train") for i in range(self.count)]

    def read(self, item: Item) -> Record:
        self.read_names.append(item.name)
        number = int(item.name[1:])
        if number == 3:
            raise DataError(f"{item.name}.npz is damaged; copy it again.")
        if number == 2:
            return Record(item.name, self.source, item.split, wave=np.zeros(16000, np.float32))
        clip = Clip.rest(30 * (1 + number % 4) + 7, 30)
        swing = np.random.default_rng(number).normal(0, 0.3, (clip.num_frames, 55, 3)).astype(np.float32)
        clip = replace(
            clip, poses=swing, basis="smplx", expressions=np.zeros((clip.num_frames, 0)), expression_names=()
        )
        return Record(item.name, self.source, item.split, clip=clip, parts=PARTS if number else BODY)


def write_bvh_folder(root: Path, count: int) -> None:
    (root / "clips").mkdir(parents=True)
    lines = ["file,trial,description,split"]
    for number in range(count):
        name = f"clips/{number:03d}.bvh"
        (root / name).write_text(miniature({"LeftArm": (number % 40, 0, 0)}, 1.3))
        lines.append(f"{name},99_{number:03d},walk,{'val' if number % 5 == 4 else 'train'}")
    (root / "index.csv").write_text("\n".join(lines) + "\n")


def shard_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# --- writing ------------------------------------------------------------------------------------------


def test_a_corpus_is_read_once_for_all_layouts(tmp_path: Path) -> None:
    reader = MadeReader()
    total = write_features(reader, PUBLISHED_LAYOUTS, tmp_path, shard_items=3)
    assert reader.read_names == [item.name for item in reader.items()]
    assert total.records == 6 and [problem.item for problem in total.problems] == ["r003"]
    assert total.motion_s == sum(1 + number % 4 for number in (0, 1, 4, 5, 6, 7))
    for layout in PUBLISHED_LAYOUTS:
        first = 1 if layout is Layout.FACE_106 else 0
        windows = read_features([tmp_path / "made"], layout, 30, 30, ("train", "val"))
        wanted = [number for number in (0, 1, 4, 5, 6, 7) if number >= first]
        assert len(windows) == sum(1 + number % 4 for number in wanted)
        found = np.concatenate([windows[index] for index in range(len(windows))])
        records = [MadeReader().read(Item(f"r{number:03d}", "train")) for number in wanted]
        made = [record_features(record, [layout])[layout] for record in records]
        np.testing.assert_array_equal(found, np.concatenate(made))
        assert found.shape[1] == layout_width(layout) and found.dtype == np.float32
        clip = records[-1].clip
        if layout is Layout.UPPER_78 and clip is not None:
            np.testing.assert_array_equal(made[-1], published_features(clip, layout)[: len(made[-1])])


def test_one_and_two_processes_write_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_bvh_folder(tmp_path / "bvh", 6)
    (tmp_path / "bvh" / "clips" / "004.bvh").write_text("HIERARCHY")
    command = ["features", "--source", "bvh", "--root", str(tmp_path / "bvh"), "--shard-items", "2"]
    for processes in ("1", "2"):
        out = tmp_path / processes
        assert main([*command, "--processes", processes, "--out", str(out)]) == 0
        printed = capsys.readouterr()
        assert "left out clips/004.bvh" in printed.out and "5 records read, 1 left out" in printed.out
        last = printed.err.splitlines()[-1]
        assert "6/6" in last and "3 of 3 shards, 5 records, 1 left out" in last
    one = shard_bytes(tmp_path / "1" / "bvh")
    assert len(one) == 4 and shard_bytes(tmp_path / "2" / "bvh") == one


@pytest.mark.timeout(600)
def test_a_killed_run_goes_on_over_two_processes(
    tmp_path: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_bvh_folder(tmp_path / "bvh", 60)
    layouts = ["--layout", "upper78", "lower61", "--shard-items", "2"]
    words = ["features", "--source", "bvh", "--root", str(tmp_path / "bvh"), *layouts, "--processes", "2"]
    killed = tmp_path / "killed" / "bvh"
    kill_when(
        lambda: len(list(killed.glob("shard-*.safetensors"))) >= 2,
        [sys.executable, "-m", "engine.data", *words, "--out", str(tmp_path / "killed")],
        repository,
    )
    done = {path.name: path.stat().st_mtime_ns for path in killed.glob("shard-*.safetensors")}
    assert 2 <= len(done) < 30
    assert main([*words, "--out", str(tmp_path / "killed")]) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith(f"bvh: {len(done)} of 30 shards are there already")
    assert printed.out == "60 records read, 0 left out\n"
    for name, made in done.items():
        assert (killed / name).stat().st_mtime_ns == made
    reader = BvhFolderReader(tmp_path / "bvh")
    write_features(reader, (Layout.UPPER_78, Layout.LOWER_61), tmp_path / "whole", shard_items=2)
    assert shard_bytes(killed) == shard_bytes(tmp_path / "whole" / "bvh")


# --- 25 frames per second ---------------------------------------------------------------------------


@pytest.mark.parametrize("num_frames", [30, 31, 36, 37, 95, 127])
def test_frames_between_are_those_of_cubic_splines(num_frames: int) -> None:
    """Every frame is where scipy's other cubic interpolation has it, the one that the published data took."""
    random = np.random.default_rng(num_frames)
    clip = replace(
        Clip.rest(num_frames, 30),
        poses=random.normal(0, 0.3, (num_frames, 55, 3)),
        trans=random.normal(0, 0.3, (num_frames, 3)),
        expressions=random.normal(0, 1, (num_frames, 100)),
        expression_names=smplx_expression_names(100),
        basis="smplx",
    )
    found = interpolate_clip(clip, 25)
    assert (found.fps, found.num_frames) == (25, int((num_frames - 1) / 30 * 25) + 1)
    times, wanted = np.arange(num_frames) / 30, np.arange(found.num_frames) / 25
    for name in ("poses", "trans", "expressions"):
        made = interp1d(times, getattr(clip, name), kind="cubic", axis=0)(wanted)
        np.testing.assert_allclose(getattr(found, name), made, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(found.poses[::5], clip.poses[::6], atol=1e-6)  # every fifth is a captured one


def test_features_have_the_rate_asked_for(tmp_path: Path) -> None:
    total = write_features(MadeReader(), [Layout.FACE_112, Layout.LOWER_61], tmp_path, fps=25)
    assert total.records == 6
    assert total.motion_s == sum(1 + number % 4 for number in (0, 1, 4, 5, 6, 7)), "seconds as at 30"
    windows = read_features([tmp_path / "made"], Layout.FACE_112, 25, 25, ("train", "val"), 25)
    assert len(windows) == sum(1 + number % 4 for number in (1, 4, 5, 6, 7))
    clip = MadeReader().read(Item("r001", "val")).clip
    assert clip is not None
    whole = published_features(interpolate_clip(clip, 25), Layout.FACE_112)
    np.testing.assert_array_equal(np.concatenate([windows[0], windows[1]]), whole[:50])
    with pytest.raises(DataError, match=r"another way \(fps differ\)"):
        write_features(MadeReader(), [Layout.FACE_112, Layout.LOWER_61], tmp_path)
    with pytest.raises(DataError, match="cannot have 24 frames per second; choose 30 or 25"):
        write_features(MadeReader(), [Layout.FACE_112], tmp_path, fps=24)


def test_another_rate_is_refused_with_the_remedy(tmp_path: Path) -> None:
    for fps in (30, 25):
        write_features(MadeReader(2), [Layout.FACE_106, Layout.FACE_112], tmp_path / str(fps), fps=fps)
    with pytest.raises(
        DataError, match=r"at 25 frames per second, not face106 at 30; .*face106 --fps 30 .*--out"
    ):
        read_features([tmp_path / "25" / "made"], Layout.FACE_106, 30, 30, ("val",))
    with pytest.raises(
        DataError, match=r"at 30 frames per second, not face112 at 25; .*face112 --fps 25 .*--out"
    ):
        read_features([tmp_path / "30" / "made"], Layout.FACE_112, 30, 30, ("val",), 25)
    path = tmp_path / "30" / "made" / MANIFEST_FILE
    held = json.loads(path.read_text())
    assert held.pop("fps") == 30
    path.write_text(json.dumps(held))  # as folders were until rates were written down
    assert len(read_features([path.parent], Layout.FACE_106, 30, 30, ("val",))) == 2


def test_what_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no tokenizer of full330"):
        write_features(MadeReader(), [Layout.FULL_330], tmp_path)
    with pytest.raises(DataError, match="made has no motion of face or upper"):
        write_features(OnlySound(), [Layout.UPPER_78, Layout.FACE_106], tmp_path)
    write_features(MadeReader(2), [Layout.UPPER_78], tmp_path / "out")
    with pytest.raises(DataError, match=r"another way \(layouts differ\)"):
        write_features(MadeReader(2), [Layout.LOWER_54], tmp_path / "out")


class OnlySound(MadeReader):
    def items(self) -> list[Item]:
        return [Item("r002", "train")]


def test_faces_in_other_channels_count_as_none(tmp_path: Path) -> None:
    class Arkit(MadeReader):
        def read(self, item: Item) -> Record:
            return Record(item.name, "made", item.split, clip=Clip.rest(60, 30), parts=PARTS)

    reader = Arkit(1)
    with pytest.raises(DataError, match="no motion of face"):
        write_features(reader, [Layout.FACE_106], tmp_path / "face")
    total = write_features(reader, [Layout.UPPER_78, Layout.FACE_106], tmp_path / "both")
    assert total.records == 1 and not total.problems
    assert len(read_features([tmp_path / "both" / "made"], Layout.UPPER_78, 60, 1, ("train",))) == 1


# --- reading ------------------------------------------------------------------------------------------


def test_windows_come_in_the_order_of_the_corpora(tmp_path: Path) -> None:
    write_features(MadeReader(), [Layout.LOWER_54], tmp_path, shard_items=2)
    write_features(MadeReader(2, "other"), [Layout.LOWER_54], tmp_path)
    folders = [tmp_path / "made", tmp_path / "other"]
    windows = read_features(folders, Layout.LOWER_54, 50, 20, ("train",))
    wanted: list[np.ndarray] = []
    for reader in (MadeReader(), MadeReader(2, "other")):
        for item in reader.items():
            if item.split != "train" or item.name == "r003":
                continue
            features = record_features(reader.read(item), [Layout.LOWER_54])
            frames = features.get(Layout.LOWER_54, np.zeros((0, 54), np.float32))
            wanted += [frames[begin : begin + 50] for begin in range(0, len(frames) - 49, 20)]
    assert len(windows) == len(wanted) == 7
    for index, frames in enumerate(wanted):
        np.testing.assert_array_equal(windows[index], frames)
    with pytest.raises(IndexError):
        windows[len(wanted)]


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no shards in none; run .* features first"):
        read_features([tmp_path / "none"], Layout.LOWER_54, 30, 30, ("train",))
    write_features(MadeReader(), [Layout.LOWER_54], tmp_path, shard_items=4)
    folder = tmp_path / "made"
    with pytest.raises(DataError, match=r"made holds lower54 at 30 .* not upper78 at 30; make these with"):
        read_features([folder], Layout.UPPER_78, 30, 30, ("train",))
    for length, splits in ((121, ("train", "val")), (30, ("test",))):
        with pytest.raises(DataError, match="motion of the lower as long as a window"):
            read_features([folder], Layout.LOWER_54, length, 30, splits)
    write_hollow_shard(shard_path(folder, 1), [60], width=55)
    with pytest.raises(DataError, match=r"shard-00001\.safetensors has 55 channels under lower54; delete it"):
        read_features([folder], Layout.LOWER_54, 30, 30, ("train",))
    shard_path(folder, 1).unlink()
    with pytest.raises(DataError, match=r"shard-00001\.safetensors is missing .* features to its end"):
        read_features([folder], Layout.LOWER_54, 30, 30, ("train",))
    shard_path(folder, 0).write_bytes(b"half a shard")
    with pytest.raises(DataError, match=r"shard-00000\.safetensors is damaged"):
        read_features([folder], Layout.LOWER_54, 30, 30, ("train",))
    (folder / "manifest.json").write_text('{"source": "made"}')
    with pytest.raises(DataError, match=r"damaged or of another kind; make .* features"):
        read_features([folder], Layout.LOWER_54, 30, 30, ("train",))


def write_hollow_shard(path: Path, lengths: Sequence[int], width: int = 54) -> None:
    """A shard of `LOWER_54` whose frames are a hole in the file, zeros that take no room."""
    edges = np.cumsum([0, *lengths], dtype=np.int64).tobytes()
    splits = bytes(len(lengths))
    size = 4 * sum(lengths) * width
    places = {
        "lower54.offsets": ("I64", [len(lengths) + 1], len(edges)),
        "lower54": ("F32", [sum(lengths), width], size),
        "splits": ("U8", [len(lengths)], len(splits)),
    }
    header, begin = {}, 0
    for name, (kind, shape, length) in places.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, begin + length]}
        begin += length
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + edges)
        file.seek(size, 1)
        file.write(splits)


def test_a_million_windows_cost_little_memory(tmp_path: Path) -> None:
    folder, layout = tmp_path / "made", Layout.LOWER_54
    manifest = FeatureManifest(source="made", items="0", num_items=20, shard_items=10, layouts=[layout.value])
    write_manifest(folder, manifest)
    for number in range(2):
        write_hollow_shard(shard_path(folder, number), [50_031] * 10)
    tracemalloc.start()
    windows: FeatureWindows = read_features([folder], layout, 32, 1, ("train",))
    assert len(windows) == 20 * 50_000
    for index in range(0, len(windows), 50_021):
        assert windows[index].shape == (32, 54)
    assert windows[len(windows) - 1].shape == (32, 54)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6
