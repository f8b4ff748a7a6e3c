# SPDX-License-Identifier: GPL-3.0-or-later
"""Stage 1: the four motion tokenizers and the audio tokenizer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..motion.arrays import FloatArray, IntArray
from ..specs import Part
from ..tokenizers.audio_tokenizer import (
    StarterAudioTokenizer,
    speech_channel_weights,
    speech_statistics,
    starter_audio_config,
)
from ..tokenizers.losses import (
    feature_statistics,
    starter_channel_weights,
    starter_loss,
)
from ..tokenizers.motion_vqvae import MotionVQVAE, starter_config
from .corpora import MotionSequence, load_captured, load_performances, stack_features
from .loop import Checkpoint, Log, Schedule, count_parameters, device_for_training, seed_step
from .motion_losses import MotionLoss
from .recipe import Recipe, TokenizerRecipe, TokenizersRecipe

LossFunction = Callable[[Tensor], tuple[Tensor, dict[str, Tensor]]]
"""Takes a batch of raw features; gives the loss and what to report."""


class WindowSampler:
    """Random windows of one part.

    Everything lies on the device in one piece, so that a batch is one look-up there.

    Args:
        groups: (sequences, share) pairs; within a group windows are drawn evenly over frames.
        part: Whose features.
        window: Frames per window.
        device: Where the features lie and batches are wanted.
    """

    def __init__(
        self,
        groups: list[tuple[list[MotionSequence], float]],
        part: Part,
        window: int,
        device: torch.device,
    ) -> None:
        arrays: list[FloatArray] = []
        starts: list[IntArray] = []
        chances: list[FloatArray] = []
        before = 0
        for sequences, share in groups:
            array, edges = stack_features(sequences, part)
            own = np.concatenate([np.arange(a, max(b - window + 1, a)) for a, b in edges])
            arrays.append(array)
            starts.append(before + own)
            chances.append(np.full(len(own), share / max(len(own), 1)))
            before += len(array)
        self.features = torch.from_numpy(np.concatenate(arrays)).to(device)
        self.starts = np.concatenate(starts)
        summed = np.cumsum(np.concatenate(chances))
        self.edges = summed / summed[-1]
        self.offsets = torch.arange(window, device=device)

    def frames(self, random: np.random.Generator, limit: int = 200_000) -> Tensor:
        """Frames for the statistics, drawn as the windows are, (N, D)."""
        return self._look_up(self._draw(random, limit))

    def batch(self, random: np.random.Generator, size: int) -> Tensor:
        """Draw (size, window, D)."""
        return self._look_up(self._draw(random, size)[:, None] + self.offsets)

    def _draw(self, random: np.random.Generator, count: int) -> Tensor:
        places = np.searchsorted(self.edges, random.random(count), side="right")
        starts = self.starts[np.minimum(places, len(self.starts) - 1)]
        return torch.from_numpy(starts).to(self.features.device)

    def _look_up(self, frames: Tensor) -> Tensor:
        return self.features[frames]


def build_tokenizer(part: Part, recipe: Recipe) -> MotionVQVAE:
    """One part's tokenizer in the recipe's size, untrained."""
    shared, own = recipe.tokenizers, recipe.tokenizers.parts[part]
    config = starter_config(
        part,
        width=own.width,
        num_quantizers=own.num_quantizers,
        code_dim=shared.code_dim,
        codebook_size=own.codebook_size,
    )
    return MotionVQVAE(config, part)


def train_motion_tokenizer(part: Part, recipe: Recipe, data: Path, out: Path, seed: int = 0) -> Path:
    """Train one part's tokenizer and return its checkpoint's path.

    Args:
        part: The part.
        recipe: The run's figures.
        data: Folder of the prepared data.
        out: Folder for checkpoints and logs.
        seed: Of initial weights and draws.
    """
    shared, own = recipe.tokenizers, recipe.tokenizers.parts[part]
    path = out / f"tokenizer-{part.value}.pt"
    device = device_for_training()
    sampler = WindowSampler(_groups(own, data), part, shared.window_frames, device)
    torch.manual_seed(seed)
    model = build_tokenizer(part, recipe).to(device)
    model.set_statistics(*feature_statistics(part, sampler.frames(np.random.default_rng(seed))))
    loss = _motion_loss(model, part, shared)
    run = _Run(path, seed, own.minutes, own.max_steps)
    _train(model, loss, lambda random: sampler.batch(random, shared.batch), recipe, run)
    return path


def _motion_loss(model: MotionVQVAE, part: Part, shared: TokenizersRecipe) -> LossFunction:
    """Everything a motion tokenizer is asked for, and what is worth reporting of it."""
    weights = starter_channel_weights(part).to(device_for_training())
    by_motion = MotionLoss(part, shared)

    def loss(batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        output = model(batch)
        parts = starter_loss(output, weights)
        motion, millimetres = by_motion(output.reconstruction, batch)
        report = {
            "features": parts.features.detach(),
            "mm": millimetres,
            "used": output.perplexity.min(),
        }
        return parts.total + motion, report

    return loss


def refine_decoder(part: Part, recipe: Recipe, data: Path, out: Path, minutes: float, seed: int = 1) -> Path:
    """Train one tokenizer's decoder further while its codes stay what they are.

    A language model trained on the codes goes on working; only how they look as motion changes.

    Args:
        part: The part.
        recipe: The run's figures.
        data: Folder of the prepared data.
        out: Folder for checkpoints and logs; the tokenizer's own checkpoint is read and kept.
        minutes: Time budget.
        seed: Of the draws.

    Returns:
        The refined checkpoint's path, beside the first.
    """
    shared, own = recipe.tokenizers, recipe.tokenizers.parts[part]
    path = out / f"refined-{part.value}.pt"
    model = build_tokenizer(part, recipe)
    model.load_state_dict(torch.load(out / f"tokenizer-{part.value}.pt", weights_only=True)["model"])
    model.requires_grad_(False)
    model.decoder.requires_grad_(True)
    device = device_for_training()
    model.to(device)
    loss = _motion_loss(model, part, shared)
    sampler = WindowSampler(_groups(own, data), part, shared.window_frames, device)

    def frozen(batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        assert model.quantizer is not None
        model.quantizer.eval()
        return loss(batch)

    run = _Run(path, seed, minutes, 10**6)
    _train(model, frozen, lambda random: sampler.batch(random, shared.batch), recipe, run)
    return path


def train_audio_tokenizer(recipe: Recipe, data: Path, out: Path, seed: int = 0) -> Path:
    """Train the audio tokenizer on the performances' speech and return its checkpoint's path."""
    shared, own = recipe.tokenizers, recipe.tokenizers.audio
    path = out / "tokenizer-audio.pt"
    seen: dict[str, FloatArray] = {}
    for sequence in load_performances(data, "train"):
        if sequence.audio is not None:
            seen.setdefault(sequence.name.split("#")[0], sequence.audio)
    window = 2 * shared.window_frames
    arrays = [a for a in seen.values() if len(a) >= window]
    lengths = np.array([len(a) for a in arrays], dtype=np.float64)
    torch.manual_seed(seed)
    device = device_for_training()
    model = StarterAudioTokenizer(starter_audio_config(width=own.width)).to(device)
    frames = torch.from_numpy(np.concatenate(arrays))
    model.set_statistics(*speech_statistics(frames))
    weights = speech_channel_weights().to(device)

    def batch(random: np.random.Generator) -> Tensor:
        rows = []
        for index in random.choice(len(arrays), shared.batch, p=lengths / lengths.sum()):
            start = random.integers(0, len(arrays[index]) - window + 1)
            rows.append(arrays[index][start : start + window])
        return torch.from_numpy(np.stack(rows)).to(device)

    def loss(features: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        output = model(features)
        total = starter_loss(output, weights).total
        return total, {"loss": total.detach(), "used": output.perplexity.min()}

    _train(model, loss, batch, recipe, _Run(path, seed, own.minutes, own.max_steps))
    return path


def _groups(own: TokenizerRecipe, data: Path) -> list[tuple[list[MotionSequence], float]]:
    """Sequences a tokenizer learns from, with the share of windows drawn from each group.

    Edited walks, runs and jumps outnumber everything else; the rest is harder, so it gets half, and in it
    actions share by the root of their frames: a cartwheel is over soon, and would never be learned else.
    """
    groups: list[tuple[list[MotionSequence], float]] = []
    if own.captured_share > 0:
        captured = load_captured(data, "train")
        groups.append(([s for s in captured if s.main], own.captured_share / 2))
        by_action: dict[str, list[MotionSequence]] = {}
        for sequence in captured:
            if not sequence.main:
                by_action.setdefault(sequence.action, []).append(sequence)
        roots = {a: math.sqrt(sum(s.num_frames for s in group)) for a, group in by_action.items()}
        whole = sum(roots.values())
        groups += [(by_action[a], own.captured_share / 2 * root / whole) for a, root in roots.items()]
    if own.captured_share < 1:
        groups.append((load_performances(data, "train"), 1.0 - own.captured_share))
    return groups


@dataclass(frozen=True)
class _Run:
    """One network's checkpoint, seed and budget."""

    path: Path
    seed: int
    minutes: float
    max_steps: int


def _train(
    model: nn.Module,
    loss: LossFunction,
    batch: Callable[[np.random.Generator], Tensor],
    recipe: Recipe,
    run: _Run,
) -> None:
    """Train until the steps or the minutes are over, from the checkpoint where there is one."""
    shared, path = recipe.tokenizers, run.path
    optimiser = torch.optim.AdamW(model.parameters(), shared.learning_rate, weight_decay=1e-4, fused=True)
    schedule = Schedule(shared.learning_rate, shared.warm_up, run.max_steps, run.minutes)
    checkpoint = Checkpoint(path, {"model": model, "optimiser": optimiser}, schedule)
    log = Log(path.parent / "log.jsonl", path.stem.removeprefix("tokenizer-"))
    step, done = checkpoint.load()
    print(f"{path.stem}: {count_parameters(model) / 1e6:.2f}M parameters, from step {step}", flush=True)
    last_saved = schedule.spent_s
    model.train()
    device = device_for_training()
    while not done:
        schedule.tick()
        if schedule.progress(step) >= 1.0:
            break
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(step)
        rows = batch(seed_step(run.seed, step))
        with torch.autocast(device.type, torch.bfloat16):
            total, report = loss(rows)
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
        if step % 100 == 0:
            log.write(step, minutes=schedule.spent_s / 60, **{k: float(v) for k, v in report.items()})
        if schedule.spent_s - last_saved > shared.checkpoint_minutes * 60:
            checkpoint.save(step)
            last_saved = schedule.spent_s
    checkpoint.save(step, done=True)
