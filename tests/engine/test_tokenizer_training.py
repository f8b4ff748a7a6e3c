# SPDX-License-Identifier: GPL-3.0-or-later
"""The starter's stage 1 on made-up sequences: a run that stops goes on exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.motion.features import STARTER_DIMS
from engine.specs import PARTS, Part
from engine.tokenizers.losses import starter_loss
from engine.training import tokenizer_training
from engine.training.corpora import MotionSequence
from engine.training.loop import Schedule
from engine.training.recipe import Recipe, load_recipe
from engine.training.tokenizer_training import refine_decoder, train_audio_tokenizer, train_motion_tokenizer

STEPS, STOP_AT = 14, 10


class Stopped(Exception):
    """Stands for a kill: nothing is saved any more."""


def sequence(name: str, parts: tuple[Part, ...]) -> MotionSequence:
    random = np.random.default_rng(len(name))
    features = {p: random.normal(size=(90, STARTER_DIMS[p])).astype(np.float32) for p in parts}
    heard = random.normal(size=(180, 44)).astype(np.float32) if Part.FACE in parts else None
    return MotionSequence(name, features, audio=heard, action=name, main=name == "walk")


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """Tiny networks and sequences; each step takes a minute, and every fourth one is kept."""
    captured = [sequence(name, (Part.UPPER, Part.LOWER)) for name in ("walk", "jumps")]
    spoken = [sequence("said", PARTS)]
    monkeypatch.setattr(tokenizer_training, "load_captured", lambda *_: captured)
    monkeypatch.setattr(tokenizer_training, "load_performances", lambda *_: spoken)

    def tick(schedule: Schedule) -> None:
        schedule.spent_s += 60.0

    monkeypatch.setattr(Schedule, "tick", tick)
    found = load_recipe("starter")
    budget = {"minutes": 30.0, "max_steps": STEPS, "width": 16}
    lower = replace(
        found.tokenizers.parts[Part.LOWER],
        **budget, num_quantizers=2, codebook_size=8, captured_share=0.5,
    )  # fmt: skip
    tokenizers = replace(
        found.tokenizers,
        window_frames=16, batch=4, code_dim=8, warm_up=2, checkpoint_minutes=3.0,
        parts={Part.LOWER: lower}, audio=replace(found.tokenizers.audio, **budget),
    )  # fmt: skip
    return replace(found, tokenizers=tokenizers)


def losses_of(run: Callable[[], Path], monkeypatch: pytest.MonkeyPatch, stop_at: int = -1) -> list[float]:
    """Each step's loss; the run is stopped in the middle of a step."""
    seen: list[float] = []

    def noted(*arguments: Any) -> Any:
        if len(seen) == stop_at:
            raise Stopped
        found = starter_loss(*arguments)
        seen.append(float(found.total.detach()))
        return found

    monkeypatch.setattr(tokenizer_training, "starter_loss", noted)
    if stop_at < 0:
        run()
    else:
        with pytest.raises(Stopped):
            run()
    return seen


def check(run: Callable[[Path], Path], whole: Path, broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is stopped and begun again has the losses and the end of one that is not."""
    expected = losses_of(lambda: run(whole), monkeypatch)
    assert len(expected) == STEPS and len(set(expected)) == STEPS
    assert losses_of(lambda: run(broken), monkeypatch, STOP_AT) == expected[:STOP_AT]
    resumed = losses_of(lambda: run(broken), monkeypatch)
    assert STEPS - STOP_AT < len(resumed) < STEPS, "from a checkpoint before the kill"
    assert resumed == expected[-len(resumed) :]
    first, second = (torch.load(run(folder), weights_only=True) for folder in (whole, broken))
    for name, tensor in first["model"].items():
        assert torch.equal(second["model"][name], tensor), name
    moments = first["optimiser"]["state"]
    assert moments and all(
        torch.equal(second["optimiser"]["state"][n]["exp_avg_sq"], m["exp_avg_sq"])
        for n, m in moments.items()
    )


def test_a_motion_tokenizer_goes_on_exactly(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New entries of the codebook and left-out levels are drawn by torch, windows by numpy."""
    check(
        lambda out: train_motion_tokenizer(Part.LOWER, recipe, tmp_path, out),
        tmp_path / "whole", tmp_path / "broken", monkeypatch,
    )  # fmt: skip


def test_the_audio_tokenizer_goes_on_exactly(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(
        lambda out: train_audio_tokenizer(recipe, tmp_path, out),
        tmp_path / "whole", tmp_path / "broken", monkeypatch,
    )  # fmt: skip


def test_a_decoder_is_refined_exactly(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("whole", "broken"):
        train_motion_tokenizer(Part.LOWER, recipe, tmp_path, tmp_path / name)

    def refine(out: Path) -> Path:
        return refine_decoder(Part.LOWER, recipe, tmp_path, out, minutes=float(STEPS + 1))

    check(refine, tmp_path / "whole", tmp_path / "broken", monkeypatch)


def test_statistics_are_those_of_the_drawn_frames(recipe: Recipe, tmp_path: Path) -> None:
    """They do not hang on what was drawn before."""
    groups = [([sequence("walk", (Part.LOWER,))], 1.0)]
    sampler = tokenizer_training.WindowSampler(groups, Part.LOWER, 16, torch.device("cpu"))
    first = sampler.frames(np.random.default_rng(0), 50)
    sampler.batch(np.random.default_rng(1), 4)
    assert torch.equal(sampler.frames(np.random.default_rng(0), 50), first)
