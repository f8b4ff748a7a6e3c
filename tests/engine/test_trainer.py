# SPDX-License-Identifier: GPL-3.0-or-later
"""The trainer in processes of its own: killed and resumed, and shared out over two of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState

from engine.errors import EngineError
from engine.training.place import Place
from engine.training.trainer import Trainer
from tests.stage_material import tiny_job


def start(
    repository: Path, out: Path, *options: str, rank: int = 0, port: int | None = None
) -> subprocess.Popen[str]:
    """A tiny run; with a port one of two processes that share it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    if port is not None:
        environment |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.train_tiny", str(out), *options],
        cwd=repository,
        env=environment,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[str], expected: int = 0) -> None:
    _, errors = process.communicate(timeout=280)
    assert process.returncode == expected, errors[-2000:]


def in_two(repository: Path, out: Path, *options: str) -> None:
    """Run in two processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [start(repository, out, *options, rank=rank, port=port) for rank in (0, 1)]
    for process in processes:
        finish(process)


def log(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{k: v for k, v in line.items() if k != "minutes"} for line in lines]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return torch.load(out / "checkpoint.pt", weights_only=True)["model"]


@pytest.fixture(autouse=True)
def own_state() -> Iterator[None]:
    """Accelerate remembers precision and devices for a whole process; each test has its own."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def whole(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    finish(start(repository, out))
    return out


def test_a_killed_run_goes_on_with_the_same_curve(repository: Path, whole: Path, tmp_path: Path) -> None:
    dropping = ("--dropout", "0.3")
    expected, found = tmp_path / "whole", tmp_path / "killed"
    finish(start(repository, expected, *dropping))
    first, second = (next(line["loss"] for line in log(folder)) for folder in (expected, whole))
    assert first != second, "something is left out at random"
    finish(start(repository, found, "--kill-at", "5", *dropping), -signal.SIGKILL)
    assert not (found / "checkpoint.pt.part").exists()
    reached = [line["step"] for line in log(found)]
    assert 3 <= max(reached) < 8, "killed between two checkpoints"
    finish(start(repository, found, *dropping))
    assert log(found) == log(expected)
    for name, tensor in weights(expected).items():
        assert torch.equal(weights(found)[name], tensor), name


@pytest.mark.parametrize("sharding", ["none", "full"])
def test_two_processes_learn_what_one_does(
    repository: Path, whole: Path, tmp_path: Path, sharding: str
) -> None:
    """With the weights whole in each (DDP), and shared out over them (FSDP)."""
    in_two(repository, tmp_path, "--accumulate", "2", "--sharding", sharding)
    for found, expected in zip(log(tmp_path), log(whole), strict=True):
        assert found == pytest.approx(expected, rel=2e-3, abs=1e-4)
    first, second = weights(tmp_path), weights(whole)
    assert set(first) == set(second)
    for name, tensor in second.items():
        torch.testing.assert_close(first[name], tensor, rtol=1e-2, atol=2e-3, msg=name)


@pytest.mark.parametrize("sharding", ["none", "full"])
def test_two_processes_have_the_gradients_of_one(repository: Path, tmp_path: Path, sharding: str) -> None:
    """Of every parameter, in one step: what is left is the order in which float32 is summed."""
    finish(start(repository, tmp_path / "one", "--gradients"))
    in_two(repository, tmp_path / "two", "--gradients", "--accumulate", "2", "--sharding", sharding)
    one, two = (torch.load(tmp_path / name / "gradients.pt", weights_only=True) for name in ("one", "two"))
    assert set(one) <= set(two) and len(one) > 20
    largest = max(float(gradient.abs().max()) for gradient in one.values())
    for name, gradient in two.items():
        expected = one.get(name, torch.zeros_like(gradient))
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6 * largest, msg=name)


def test_shares_of_a_batch_are_its_rows() -> None:
    job = tiny_job("tuning")
    whole_rows = list(Place(3, 0, 1, 0, 1).rows(8))
    shared = [r for m in range(2) for p in range(2) for r in Place(3, m, 2, p, 2).rows(8)]
    assert shared == whole_rows
    together = job.batch(Place(3, 0, 1, 0, 1))
    assert sum(job.count(job.batch(Place(3, m, 2, p, 2))) for m in range(2) for p in range(2)) == job.count(
        together
    )


def test_a_folder_of_another_run_is_left_alone(tmp_path: Path) -> None:
    job = tiny_job("tuning", max_steps=1)
    Trainer(job, job.recipe.run, tmp_path).run()
    before = (tmp_path / "checkpoint.pt").read_bytes()
    other = tiny_job("pretraining", max_steps=1)
    with pytest.raises(EngineError, match="another model"):
        Trainer(other, other.recipe.run, tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_the_best_weights_are_those_of_the_lowest_held_out_loss(tmp_path: Path) -> None:
    job = tiny_job("tuning", max_steps=6, evaluate_steps=1, learning_rate=0.5, clip=0.0)
    outcome = Trainer(job, job.recipe.run, tmp_path).run()
    held = {line["step"]: line["held_out_loss"] for line in log(tmp_path) if "held_out_loss" in line}
    assert len(held) == 6
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    lowest = min(held, key=lambda step: held[step])
    assert best["progress"]["best_step"] == lowest == outcome.progress.best_step


def test_a_time_budget_ends_a_run(tmp_path: Path) -> None:
    job = tiny_job("tuning", max_steps=10_000, minutes=1e-4, batch=1)
    outcome = Trainer(job, job.recipe.run, tmp_path).run()
    assert outcome.progress.done and outcome.progress.step < 50


def test_a_batch_that_cannot_be_shared_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="divides"):
        tiny_job("tuning", batch=6, accumulate=4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_one_process_has_nobody_to_share_weights_with(tmp_path: Path) -> None:
    job = tiny_job("tuning", sharding="full")
    with pytest.raises(EngineError, match="several processes only"):
        Trainer(job, job.recipe.run, tmp_path)


def test_half_precision_learns_too(tmp_path: Path) -> None:
    job = tiny_job("pretraining", precision="bf16", max_steps=10)
    losses = Trainer(job, job.recipe.run, tmp_path).run().losses
    assert losses[10] < losses[1]
