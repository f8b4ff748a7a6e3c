# SPDX-License-Identifier: GPL-3.0-or-later
"""Shards made on Ray, here over two workers of this machine; skipped where Ray is not installed.

`make test-ray` runs these in an environment that has it.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine.cluster import HERE, RayPlace
from engine.data.coding import CoderSource
from engine.data.feature_files import write_features
from engine.data.prepare import prepare
from engine.data.readers.bvh_folder import BvhFolderReader
from engine.data.readers.librispeech import LibriSpeechReader
from engine.data.shard_run import RunOptions
from engine.errors import DeviceError
from engine.motion.published_features import Layout
from engine.specs import AUDIO_HZ
from tests.miniature_bvh import miniature
from tests.no_network.sitecustomize import taken
from tests.tiny_pack import write_tiny_pack


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny pack, and a corpus of ten utterances of which one has no transcript."""
    root = tmp_path_factory.mktemp("ray")
    write_tiny_pack(root / "pack")
    chapter = root / "speech" / "train-clean" / "1" / "2"
    chapter.mkdir(parents=True)
    names = [f"1-2-{number:04d}" for number in range(10)]
    for number, name in enumerate(names):
        wave = np.random.default_rng(number).normal(0, 0.1, AUDIO_HZ).astype(np.float32)
        soundfile.write(chapter / f"{name}.flac", wave, AUDIO_HZ)
    (chapter / "1-2.trans.txt").write_text("\n".join(f"{name} WORD" for name in names[:-1]))
    return root / "pack", root / "speech"


def shard_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_without_ray_the_command_says_what_to_install(
    tmp_path: Path, material: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack, speech = material
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DeviceError, match=r"Ray cannot be used here .*; install .* ray"):
        prepare(LibriSpeechReader(speech), CoderSource(pack), tmp_path, RunOptions(ray=RayPlace(HERE, 2)))


NEEDS_RAY = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: run `make test-ray`"
)


def check_ray_asked_no_one() -> None:
    """Ray's own parts ask a cloud's address on the local link which cloud they are in, and no one else."""
    assert all("169.254.169.254" in attempt for attempt in taken())


@pytest.mark.timeout(900)
@NEEDS_RAY
def test_two_workers_on_ray_make_the_same_shards_and_go_on(
    tmp_path: Path, material: tuple[Path, Path], repository: Path
) -> None:
    pack, speech = material
    prepare(
        LibriSpeechReader(speech),
        CoderSource(pack),
        tmp_path / "here",
        shard_items=2,
    )
    wanted = shard_bytes(tmp_path / "here" / "librispeech")
    folder = tmp_path / "ray" / "librispeech"
    folder.mkdir(parents=True)
    for name in ("manifest.json", "shard-00001.safetensors"):
        (folder / name).write_bytes(wanted[name])
    made = (folder / "shard-00001.safetensors").stat().st_mtime_ns
    command = [
        sys.executable, "-m", "engine.data", "prepare", "--source", "librispeech", "--root", str(speech),
        "--tokenizers", str(pack), "--out", str(tmp_path / "ray"), "--shard-items", "2", "--processes", "2",
        "--ray",
    ]  # fmt: skip
    run = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    shown = run.stderr.splitlines()
    assert "librispeech: 1 of 5 shards are there already" in shown
    assert any("10/10" in line and "5 of 5 shards, 9 records, 1 left out" in line for line in shown)
    assert "9 records read, 1 left out" in run.stdout.splitlines()
    assert shard_bytes(folder) == wanted
    assert (folder / "shard-00001.safetensors").stat().st_mtime_ns == made
    check_ray_asked_no_one()


@pytest.mark.timeout(900)
@NEEDS_RAY
def test_features_on_ray_are_the_same(tmp_path: Path) -> None:
    lines = ["file,trial,description"]
    for number in range(4):
        (tmp_path / f"{number}.bvh").write_text(miniature({"LeftArm": (10 * number, 0, 0)}))
        lines.append(f"{number}.bvh,99_{number},walk")
    (tmp_path / "index.csv").write_text("\n".join(lines))
    reader, layouts = BvhFolderReader(tmp_path), [Layout.UPPER_78, Layout.LOWER_61]
    write_features(reader, layouts, tmp_path / "here", shard_items=1)
    on_ray = RunOptions(ray=RayPlace(HERE, 2))
    total = write_features(reader, layouts, tmp_path / "ray", on_ray, shard_items=1)
    assert total.records == 4
    assert shard_bytes(tmp_path / "ray" / "bvh") == shard_bytes(tmp_path / "here" / "bvh")
    check_ray_asked_no_one()
