# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m engine.training stage`: what the command line says is what is trained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.motion.published_features import Layout
from engine.training import stages
from engine.training.__main__ import main
from engine.training.stage_recipe import StageRecipe, load_stage_recipe, stage_recipe_path
from engine.training.stages import StageData


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr("sys.argv", ["training", *map(str, arguments)])
    return main()


def test_what_is_said_reaches_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[StageRecipe, StageData, Path]] = []
    monkeypatch.setattr(stages, "run_stage", lambda *given: seen.append(given))
    shards = [tmp_path / "beat2", tmp_path / "amass"]
    assert command(
        monkeypatch, "stage", "--recipe", "published/pretraining", "--shards", *shards,
        "--tokenizers", tmp_path / "tokenizers.pt", "--hubert", tmp_path / "hubert",
        "--centres", tmp_path / "km500.npz", "--work", tmp_path / "work", "--out", tmp_path / "out",
    ) == 0  # fmt: skip
    assert command(
        monkeypatch, "stage", "--recipe", "starter/tuning", "--prepared", tmp_path / "data",
        "--work", tmp_path / "work", "--out", tmp_path / "mine",
    ) == 0  # fmt: skip
    (recipe, data, out), (second, prepared, mine) = seen
    assert recipe == load_stage_recipe("published/pretraining") and out == tmp_path / "out"
    assert (data.shards, data.prepared, data.features, data.work) == (shards, None, [], tmp_path / "work")
    source = data.tokenizers
    assert (source.path, source.hubert, source.centres) == (
        tmp_path / "tokenizers.pt", tmp_path / "hubert", tmp_path / "km500.npz",
    )  # fmt: skip
    assert second == load_stage_recipe("starter/tuning") and mine == tmp_path / "mine"
    assert (prepared.shards, prepared.prepared) == ([], tmp_path / "data")
    assert prepared.tokenizers.path == tmp_path / "work" / "training", "where the starter's stage 1 left them"


def windows(
    folders: Sequence[Path], layout: Layout, length: int, stride: int, splits: Sequence[str], fps: int
) -> Any:
    """Swings of the upper body in place of a corpus' features."""
    assert [folder.name for folder in folders] == ["beat2"] and layout is Layout.UPPER_78 and fps == 30
    random = np.random.default_rng(len(splits))
    return random.normal(0, 0.3, (4, length, 78)).astype(np.float32)


def test_a_stage_is_trained_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "read_features", windows)
    text = stage_recipe_path("published/upper").read_text(encoding="utf-8")
    path, out = tmp_path / "tiny.toml", tmp_path / "upper"

    def run(max_steps: int) -> list[dict[str, float]]:
        changes = {
            "max_steps": max_steps, "batch": 2, "width": 8, "codebook_size": 8, "num_layers": 2,
            "evaluate_steps": 2, "save_steps": 2, "log_steps": 1, "evaluate_batches": 1,
        }  # fmt: skip
        lines = [
            f"{name} = {changes.get(name, rest.strip())}" if found else line
            for line in text.splitlines()
            for name, found, rest in [(line.split("=")[0].strip(), "=" in line, line.partition("=")[2])]
        ]
        path.write_text("\n".join(lines), encoding="utf-8")
        told = ("stage", "--recipe", path, "--features", tmp_path / "beat2", "--out", out)
        assert command(monkeypatch, *told) == 0
        return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]

    first = run(2)
    assert [line["step"] for line in first if "norm" in line] == [1, 2]
    held = first[-1]
    assert held["held_out_feature_error"] > 0 and 1.0 <= held["held_out_codebook_perplexity"] <= 8.0
    assert torch.load(out / "best.pt", weights_only=True)["job"]["part"] == "upper"
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    state["progress"]["done"] = False
    torch.save(state, out / "checkpoint.pt")
    assert [line["step"] for line in run(4) if "norm" in line] == [1, 2, 3, 4]


def test_what_cannot_be_trained_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for told, reason in (
        (("--recipe", "published/none"), "none.toml cannot be used"),
        (("--recipe", "published/face"), "--features"),
        (("--recipe", "published/face", "--features", tmp_path), "features first"),
    ):
        assert command(monkeypatch, "stage", *told, "--out", tmp_path / "out") == 1
        assert reason in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command(monkeypatch, "stage", "--no-such-option")
