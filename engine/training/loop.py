# SPDX-License-Identifier: GPL-3.0-or-later
"""What every training run shares: time budget, learning-rate schedule, checkpoints that resume."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import EngineError

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

BOARD = "tensorboard"
"""Folder of TensorBoard's files."""

PERPLEXITY = "perplexity_"
"""Beginning of the name of a measure that is a perplexity."""


class Schedule:
    """Warm-up, then a cosine to 5 % over whichever ends first: the steps or the minutes.

    Args:
        peak: Highest learning rate.
        warm_up: Steps of linear warm-up.
        max_steps: Last step.
        minutes: Time budget, counted over all resumed runs.
    """

    def __init__(self, peak: float, warm_up: int, max_steps: int, minutes: float) -> None:
        self.peak, self.warm_up, self.max_steps = peak, warm_up, max_steps
        self.budget_s = minutes * 60.0
        self.spent_s = 0.0
        self._since = time.monotonic()

    def tick(self) -> None:
        """Count the time since the last tick."""
        now = time.monotonic()
        self.spent_s += now - self._since
        self._since = now

    def progress(self, step: int) -> float:
        """Share of the run that is over, in [0, 1]."""
        return min(1.0, max(step / self.max_steps, self.spent_s / self.budget_s))

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        cosine = 0.5 * (1.0 + math.cos(math.pi * self.progress(step)))
        return self.peak * min(1.0, (step + 1) / self.warm_up) * (0.05 + 0.95 * cosine)


def seed_step(seed: int, step: int) -> np.random.Generator:
    """Make everything random in a step depend on its number alone, so that a resumed run repeats it.

    Torch's generators, of dropout and of codebooks' new entries, are seeded on every device.

    Args:
        seed: Of the run.
        step: Steps done.

    Returns:
        A generator for the step's rows.
    """
    torch.manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1)[0]))
    return np.random.default_rng([seed, step])


class Checkpoint:
    """One file that a killed run resumes from, written to a temporary name and renamed.

    It holds no generator's state: `seed_step` makes that a function of the step.

    Args:
        path: The file.
        modules: Everything with a state: models, optimisers.
        schedule: Its spent time is kept.
        running: Running means of what is logged; kept too.
    """

    def __init__(
        self,
        path: Path,
        modules: dict[str, Any],
        schedule: Schedule,
        running: dict[str, Tensor] | None = None,
    ) -> None:
        self.path, self.modules, self.schedule = path, modules, schedule
        self.running = {} if running is None else running
        path.parent.mkdir(parents=True, exist_ok=True)

    def save(self, step: int, done: bool = False) -> None:
        """Write the state."""
        state: dict[str, Any] = {name: module.state_dict() for name, module in self.modules.items()}
        state |= {
            "step": step,
            "done": done,
            "spent_s": self.schedule.spent_s,
            "running": self.running,
        }
        temporary = self.path.with_suffix(".tmp")
        torch.save(state, temporary)
        os.replace(temporary, self.path)

    def load(self) -> tuple[int, bool]:
        """Read the state if there is one; return the next step and whether the run had ended."""
        if not self.path.exists():
            return 0, False
        state = torch.load(self.path, weights_only=True)
        for name, module in self.modules.items():
            module.load_state_dict(state[name])
        self.schedule.spent_s = state["spent_s"]
        self.running.update(state.get("running", {}))  # a checkpoint of before has none
        return state["step"], state["done"]


def read_best(best: Path, stage: str, recipe: str) -> dict[str, Any]:
    """What `stage` kept of a run's best step.

    Args:
        best: Its `best.pt`.
        stage: The stage it must be of.
        recipe: A recipe of that stage, for the message.

    Raises:
        EngineError: If the file is missing or of another stage.
    """
    if not best.is_file():
        raise EngineError(f"There is no {best.name} in {best.parent.name}; train {recipe} first.")
    state = torch.load(best, weights_only=True, map_location="cpu")
    if state.get("job", {}).get("stage") != stage:
        raise EngineError(f"The run in {best.parent.name} is of another stage; choose one of {recipe}.")
    return state


class Log:
    """One JSON line per report, the same to TensorBoard, and in words on the terminal.

    Args:
        path: File of lines; TensorBoard's files are in `tensorboard` beside it.
        name: Of the run.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self._board: SummaryWriter | None = None
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, step: int, **values: float) -> None:
        """Report; what a run that was killed had reported of later steps is dropped from TensorBoard."""
        if self._board is None:
            from torch.utils.tensorboard.writer import SummaryWriter

            self._board = SummaryWriter(self.path.parent / BOARD / self.name, purge_step=step)
        for name, value in values.items():
            self._board.add_scalar(name, value, step)
        self._board.flush()
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"run": self.name, "step": step, **values}) + "\n")
        words = "  ".join(f"{key} {value:.4g}" for key, value in values.items())
        print(f"{self.name:>8} {step:6d}  {words}", flush=True)


def means(
    names: Sequence[str], metrics: Sequence[str], sums: Sequence[float], counts: Sequence[float]
) -> dict[str, float]:
    """What is reported of summed losses and measures.

    Args:
        names: Of the K losses.
        metrics: Of the M measures behind them. Sums of one that begins with `PERPLEXITY` are in nats, and the
            exponential of their mean is reported.
        sums: Over all rows, (K + M,).
        counts: Terms of each, (K + M,); what has none is left out.

    Returns:
        Means by name, and as "loss" the mean over the terms of all losses.
    """
    found = {n: s / c for n, s, c in zip((*names, *metrics), sums, counts, strict=True) if c}
    for name in found:
        if name.startswith(PERPLEXITY):
            found[name] = math.exp(min(found[name], 100.0))  # a run that diverged stays a number
    return {"loss": sum(sums[: len(names)]) / max(sum(counts[: len(names)]), 1.0), **found}


def device_for_training() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def count_parameters(model: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
