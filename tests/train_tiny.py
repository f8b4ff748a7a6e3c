# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny run of stage 3 in a process of its own: `python -m tests.train_tiny OUT [--kill-at STEP] ...`."""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from engine.training.language_stages import LanguageJob
from engine.training.place import Place
from engine.training.trainer import Trainer
from tests.stage_material import tiny_job


class Killed:
    """A job that kills its own process when a step is drawn."""

    def __init__(self, job: LanguageJob, step: int) -> None:
        self.job, self.step = job, step
        self.module, self.names, self.metrics = job.module, job.names, job.metrics
        self.held_out, self.count, self.describe = job.held_out, job.count, job.describe

    def batch(self, place: Place) -> Any:
        if place.step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.job.batch(place)


def keep_gradients(trainer: Trainer, path: Path) -> None:
    """Write what the optimiser is given for each parameter, whole, just before its step."""

    def keep(*_: object) -> None:
        found = {
            name: parameter.grad.full_tensor() if isinstance(parameter.grad, DTensor) else parameter.grad
            for name, parameter in trainer.module.named_parameters()
            if parameter.grad is not None
        }
        if trainer.accelerator.is_main_process:
            torch.save({name.removeprefix("module."): tensor for name, tensor in found.items()}, path)

    trainer.optimiser.optimizer.register_step_pre_hook(keep)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--sharding", default="none")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--gradients", action="store_true", help="keep those of the first step, and end")
    parser.add_argument("--kill-at", type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    job = tiny_job(
        "tuning",
        dropout=options.dropout,
        clip=0.0 if options.gradients else 1.0,  # clipped gradients would hide a wrong factor
        max_steps=options.steps,
        accumulate=options.accumulate,
        sharding=options.sharding,
        save_steps=3,
        evaluate_steps=4,
    )
    trained = Killed(job, options.kill_at) if options.kill_at is not None else job
    trainer = Trainer(trained, job.recipe.run, options.out)
    if options.gradients:
        keep_gradients(trainer, options.out / "gradients.pt")
    trainer.run(stop_at=1 if options.gradients else None)
    if options.sharding == "none":  # shared-out weights hold the group as long as there is a module
        assert not group_threads(), "they may abort a process that ends"


def group_threads() -> list[str]:
    """Threads of this process that exchange tensors with others; none is found but on Linux."""
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if "gloo" in name]


if __name__ == "__main__":
    main()
