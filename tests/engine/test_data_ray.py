# SPDX-License-Identifier: GPL-3.0-or-later
"""Shards made on Ray, here over two workers of this machine; skipped where Ray is not installed."""

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
from engine.data.prepare import prepare
from engine.data.readers.librispeech import LibriSpeechReader
from engine.data.shard_run import RunOptions
from engine.errors import DeviceError
from engine.specs import AUDIO_HZ
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


@pytest.mark.timeout(900)
@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed (the extra ray of pyproject.toml)"
)
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
