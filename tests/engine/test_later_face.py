# SPDX-License-Identifier: GPL-3.0-or-later
"""The later face tokenizer: from BEAT2 at 30 frames per second to a file that the four-part import reads."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.data.__main__ import main as data_main
from engine.data.feature_files import read_features
from engine.motion.published_features import Layout
from engine.motion.rotations import axis_angle_to_matrix, matrix_to_rotation_6d
from engine.pipeline import load_engine
from engine.published.files import look_at
from engine.published.four_part_engine import FourPartEngine
from engine.published.importer import import_published
from engine.specs import Part
from engine.tokenizers.motion_vqvae import Family
from engine.training.__main__ import main as training_main
from engine.training.stage_recipe import load_stage_recipe, stage_recipe_path
from engine.training.tokenizer_stage import build_network

from .test_data_readers import write_beat2

for package in ("transformers", "accelerate"):
    pytest.importorskip(package, reason=f"needs {package} (requirements of training)")

RES_BLOCKS = (
    *("encoder.main.2", "encoder.main.5", "encoder.main.8"),
    *("decoder.main.0", "decoder.main.2", "decoder.main.4"),
)
PLAIN = ("encoder.main.3", "encoder.main.6", "decoder.main.1", "decoder.main.3", "decoder.main.5")


def published_shapes(width: int) -> dict[str, tuple[int, ...]]:
    """Weights of the published file, by their names below `vae_face.` (spec, appendix A, of width 512)."""
    blocks = tuple(f"{block}.model.{index}" for block in RES_BLOCKS for index in (0, 2))
    shapes: dict[str, tuple[int, ...]] = {"quantizer.embedding.weight": (512, width)}
    for name, sizes in {
        "encoder.main.0": (width, 112, 3), "decoder.main.7": (112, width, 3),
        **dict.fromkeys((*PLAIN, *blocks), (width, width, 3)),
    }.items():  # fmt: skip
        shapes |= {f"{name}.weight": sizes, f"{name}.bias": sizes[:1]}
    return shapes


def swing(num_frames: int, size: int, phase: float) -> np.ndarray:
    """A slow swing that a cubic follows closely, (F, size)."""
    return 0.3 * np.sin(np.arange(num_frames)[:, None] / 30 * 4 + phase + np.arange(size))


def write_faces(root: Path) -> None:
    """BEAT2 of two takes whose heads, jaws and expressions move."""
    takes = [("2_scott_0_1_1", "train"), ("2_scott_0_2_2", "val")]
    write_beat2(root, takes, frames=127)
    for phase, (name, _) in enumerate(takes):
        path = root / "smplxflame_30" / f"{name}.npz"
        with np.load(path) as held:
            content = dict(held)
        content["poses"][:, 45:48], content["poses"][:, 66:69] = (
            swing(127, 3, phase),
            swing(127, 3, phase + 1),
        )
        content["expressions"] = swing(127, 100, phase + 2).astype(np.float32)
        np.savez(path, **content)


def training(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["engine.training", *map(str, words)])
    return training_main()


def features(root: Path, *words: object) -> Path:
    """Run `python -m engine.data features` on BEAT2; returns the corpus' folder."""
    out = root / "-".join(map(str, ("features", *words)))
    told = ["features", "--source", "beat2", "--root", root / "BEAT2", "--processes", 1, "--out", out, *words]
    assert data_main([str(word) for word in told]) == 0
    return out / "beat2"


def small_recipe(folder: Path, name: str = "face-v2") -> Path:
    """A published recipe for a narrow network and a few steps; everything else is as it stands."""
    text = stage_recipe_path(f"published/{name}").read_text(encoding="utf-8")
    changes = {
        **{"width": 8, "max_steps": 60, "batch": 4, "learning_rate": 3e-3},
        **{"log_steps": 1, "evaluate_steps": 10, "evaluate_batches": 1},
    }
    for key, value in changes.items():
        text, count = re.subn(rf"(?m)^{key} = [^#\n]*", f"{key} = {value} ", text)
        assert count == 1, key
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_network_is_the_published_one() -> None:
    network = load_stage_recipe("published/face-v2").network
    assert network is not None
    model = build_network(network)
    assert {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()} == published_shapes(512)
    assert (model.frame_rate, model.codebook_size) == (25.0, 512)


def test_beat2_becomes_25_frames_per_second(tmp_path: Path) -> None:
    write_faces(tmp_path / "BEAT2")
    folder = features(tmp_path, "--layout", "face112", "--fps", 25)
    windows = read_features([folder], Layout.FACE_112, 100, 1, ("train",), 25)
    assert len(windows) == 1, "four whole seconds of the 127 frames"
    time = np.arange(100) * 30 / 25  # in captured frames
    for begin, phase in ((0, 0), (6, 1)):
        turns = 0.3 * np.sin(time[:, None] / 30 * 4 + phase + np.arange(3))
        wanted = matrix_to_rotation_6d(axis_angle_to_matrix(turns))
        np.testing.assert_allclose(windows[0][:, begin : begin + 6], wanted, atol=1e-4)
    wanted = 0.3 * np.sin(time[:, None] / 30 * 4 + 2 + np.arange(100))
    np.testing.assert_allclose(windows[0][:, 12:], wanted, atol=1e-4)


def test_a_trained_face_takes_the_published_ones_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features, stage 1, the file, and the four-part model's import with that file in it."""
    from .test_published_four_part import download

    write_faces(tmp_path / "BEAT2")
    corpus = features(tmp_path, "--layout", "face112", "--fps", 25)
    run = tmp_path / "run"
    told = ("stage", "--recipe", small_recipe(tmp_path), "--features", corpus, "--out", run)
    assert training(monkeypatch, *told) == 0
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    losses = [line["windows"] for line in lines if "norm" in line]
    errors = [line["held_out_feature_error"] for line in lines if "held_out_loss" in line]
    assert len(losses) == 60 and losses[-1] < 0.7 * losses[0]
    assert len(errors) == 6 and errors[-1] < 0.9 * errors[0]

    torch.manual_seed(0)
    folder = download(tmp_path / "files")
    file = folder / "pretrained_cpt/face/face_lom.ckpt"
    before = torch.load(file, weights_only=True)["state_dict"]
    assert training(monkeypatch, "join-tokenizers", "--weights", run, "--out", file) == 0
    state = torch.load(file, weights_only=True)["state_dict"]
    assert {k: tuple(t.shape) for k, t in state.items()} == {
        f"vae_face.{name}": shape for name, shape in published_shapes(8).items()
    }
    (found,) = look_at([file]).motion
    assert (found.part, found.config.family, found.config.codebook_size) == (
        Part.FACE,
        Family.DSUS1_PAPER,
        512,
    )

    engine = load_engine(import_published(folder, tmp_path / "pack").pack.root, "cpu")
    assert isinstance(engine, FourPartEngine)
    face = engine.tokenizers.parts[Part.FACE]
    assert (face.config.feature_dim, face.frame_rate) == (112, 25.0)
    held = torch.load(run / "best.pt", weights_only=True)["model"]
    for name, tensor in face.state_dict().items():
        assert torch.equal(tensor, held[f"network.{name}"]), name
    assert not torch.equal(
        face.state_dict()["decoder.main.7.weight"], before["vae_face.decoder.main.7.weight"]
    )
    windows = read_features([corpus], Layout.FACE_112, 50, 50, ("val",), 25)
    assert face.encode(torch.from_numpy(windows[0])[None]).shape == (1, 50), "a code for every frame"


def test_a_recipe_refuses_frames_of_another_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_faces(tmp_path / "BEAT2")
    remedy = "make these with python -m engine.data features --layout {} --fps {} and a new folder as --out."
    for recipe, words, held, wanted in (
        ("face-v2", ("--layout", "face112"), "face112 at 30", ("face112", 25)),
        ("face-v2", ("--layout", "face106", "--fps", 25), "face106 at 25", ("face112", 25)),
        ("face", ("--layout", "face106", "--fps", 25), "face106 at 25", ("face106", 30)),
    ):
        corpus = tmp_path / "-".join(map(str, ("features", *words))) / "beat2"
        if not corpus.exists():
            assert features(tmp_path, *words) == corpus
        capsys.readouterr()
        told = ("--recipe", small_recipe(tmp_path, recipe), "--features", corpus, "--out", tmp_path / "run")
        assert training(monkeypatch, "stage", *told) == 1
        layout, fps = wanted
        assert capsys.readouterr().err == (
            f"beat2 holds {held} frames per second, not {layout} at {fps}; {remedy.format(*wanted)}\n"
        )
    assert not (tmp_path / "run").exists()


def test_runs_that_make_no_file_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("face", "hands", "upper", "lower", "root"):
        (tmp_path / part).mkdir()
        job = {"part": part, "frame_fps": 25.0 if part == "face" else 30.0}
        torch.save({"model": {"network.w": torch.zeros(1)}, "job": job}, tmp_path / part / "best.pt")
    out = tmp_path / "all.pt"
    assert training(monkeypatch, "join-tokenizers", "--weights", tmp_path, "--out", out) == 1
    assert re.search(r"the face 25 and the \w+ 30 frames per second; write", capsys.readouterr().err)
    (tmp_path / "language").mkdir()
    torch.save({"model": {}, "job": {"stage": "tuning"}}, tmp_path / "language" / "best.pt")
    assert training(monkeypatch, "join-tokenizers", "--weights", tmp_path / "language", "--out", out) == 1
    assert "the run in language is of no tokenizer" in capsys.readouterr().err.lower()
    assert not out.exists()
