# SPDX-License-Identifier: GPL-3.0-or-later
"""One loop for every stage, on Hugging Face Accelerate: one CPU, one GPU, or several processes.

Two properties make runs repeatable, and both are tested:

* a batch is a pure function of the step, and so is the randomness of dropout: a run that was killed draws
  again exactly what it would have drawn, and its loss curve is the same;
* losses are summed over what is learned and divided by the count over *all* processes and micro-batches,
  so that gradients do not depend on how a batch was shared out.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import (
    DistributedDataParallelKwargs,
    FullyShardedDataParallelPlugin,
    KwargsHandler,
    broadcast_object_list,
)
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from ..errors import EngineError
from .loop import BOARD, means
from .place import Place
from .stage_recipe import RunRecipe

CHECKPOINT, BEST, LOG = "checkpoint.pt", "best.pt", "log.jsonl"

LEARNT = "learnt"
"""What a description says of the data; a run may go on with other data."""

_MIX = 1_000_003
"""Spreads seeds of steps, micro-batches and processes apart."""


class Job(Protocol):
    """What a stage trains.

    Attributes:
        module: Called with a batch; gives sums of K losses and then of M measures, (K + M,), and how many
            terms each has, (K + M,). Only `module` is wrapped, so it must do all that needs a gradient.
        names: What the K losses are.
        metrics: What the M measures are, as in `loop.means`.
    """

    module: nn.Module
    names: tuple[str, ...]
    metrics: tuple[str, ...]

    def batch(self, place: Place) -> Any:
        """A batch on the CPU, the same whenever it is asked for."""
        ...

    def held_out(self, place: Place) -> Any:
        """A batch of held-out data; `place.step` counts them."""
        ...

    def count(self, batch: Any) -> int:
        """Terms of the loss over all names."""
        ...

    def describe(self) -> dict[str, Any]:
        """Plain values that say what the weights are of, kept in every checkpoint."""
        ...


@dataclass
class Progress:
    """How far a run is; kept in its checkpoint."""

    step: int = 0
    spent_s: float = 0.0
    best_loss: float = math.inf
    best_step: int = -1
    done: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a run came to: its progress, and each step's loss as logged."""

    progress: Progress
    losses: dict[int, float] = field(default_factory=lambda: {})


def make_accelerator(recipe: RunRecipe, out: Path) -> Accelerator:
    """Devices and precision of a run; several processes are those of `accelerate launch` or `torchrun`.

    On CPUs Accelerate would quietly keep the weights whole; there `_share_out` shares them out.
    """
    plugin = None
    if recipe.sharding == "full" and torch.cuda.is_available():
        plugin = FullyShardedDataParallelPlugin(
            fsdp_version=2,
            auto_wrap_policy="size_based_wrap",
            min_num_params=1_000_000,
            reshard_after_forward=True,
            cpu_ram_efficient_loading=False,
        )
    # Which weights a batch needs depends on its tasks: one without a second level has no depth network.
    handlers: list[KwargsHandler] = [DistributedDataParallelKwargs(find_unused_parameters=True)]
    return Accelerator(
        cpu=not torch.cuda.is_available(),
        mixed_precision=recipe.precision,
        log_with="tensorboard",
        project_dir=out,
        kwargs_handlers=handlers,
        fsdp_plugin=plugin,
    )


def _share_out(module: nn.Module, num_processes: int) -> None:
    """Share a network's weights out over processes on CPUs (FSDP), in place.

    Raises:
        EngineError: If there is one process only.
    """
    if num_processes == 1:
        raise EngineError(
            "Weights are shared out over several processes only; start the training with `torchrun`, or set "
            'sharding = "none" in the recipe.'
        )
    # Processes exchange gradients of the weights that were used, which must be the same ones in all.
    module.register_forward_hook(_use_all)
    fully_shard(module, mesh=init_device_mesh("cpu", (num_processes,)))


def _use_all(module: nn.Module, _inputs: object, output: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Have the losses depend on every weight, by nothing."""
    losses, counts = output
    unused = torch.stack([weight.flatten()[0] for weight in module.parameters() if weight.requires_grad])
    return losses + 0.0 * unused.sum(), counts


class Trainer:
    """Trains one job.

    Args:
        job: What.
        recipe: How.
        out: Folder for checkpoint, best weights, log and TensorBoard files.
    """

    def __init__(self, job: Job, recipe: RunRecipe, out: Path) -> None:
        self.job, self.recipe, self.out = job, recipe, out
        out.mkdir(parents=True, exist_ok=True)
        self.accelerator = make_accelerator(recipe, out)
        world = self.accelerator.num_processes
        if recipe.batch % (recipe.accumulate * world):
            raise EngineError(
                f"A batch of {recipe.batch} cannot be shared out over {recipe.accumulate} micro-batches and "
                f"{world} processes; change the recipe's batch."
            )
        by_hand = recipe.sharding == "full" and self.accelerator.device.type == "cpu"
        if by_hand:
            _share_out(job.module, world)
        optimiser = torch.optim.AdamW(
            parameter_groups(job.module, recipe),
            recipe.learning_rate,
            betas=(recipe.beta_1, recipe.beta_2),
        )
        if by_hand:
            self.module, self.optimiser = job.module, self.accelerator.prepare(optimiser)
        else:
            self.module, self.optimiser = self.accelerator.prepare(job.module, optimiser)
        self.progress = Progress()
        self.averaged: dict[str, Tensor] = {}
        self._load()

    def run(self, stop_at: int | None = None) -> Outcome:
        """Train until the steps or the time are over.

        Args:
            stop_at: Leave after this step without an end, as if the run had been interrupted there.
        """
        recipe, progress, accelerator = self.recipe, self.progress, self.accelerator
        losses: dict[int, float] = {}
        since = time.monotonic()
        accelerator.init_trackers(
            BOARD, init_kwargs={"tensorboard": {"purge_step": progress.step + 1}} if progress.step else {}
        )
        with ThreadPoolExecutor(1) as pool:
            upcoming = pool.submit(self._draw, progress.step)
            while not progress.done and progress.step != stop_at:
                batches = upcoming.result()
                upcoming = pool.submit(self._draw, progress.step + 1)
                report = self._step(batches)
                progress.step += 1
                progress.spent_s += time.monotonic() - since
                since = time.monotonic()
                progress.done = self._share() >= 1.0
                losses[progress.step] = report["loss"]
                if progress.step % recipe.log_steps == 0 or progress.done:
                    self._log(report)
                if progress.step % recipe.evaluate_steps == 0 or progress.done:
                    self._evaluate()
                if progress.step % recipe.save_steps == 0 or progress.done:
                    self._save()
            upcoming.cancel()
        self._leave()
        return Outcome(progress, losses)

    def _leave(self) -> None:
        """End the trackers and the processes' group.

        Threads of the group need Python to let go of a tensor, and abort a process that is ending meanwhile.
        What wraps the module would keep the group, and is dropped; the group itself goes last, on return.
        """
        group = dist.group.WORLD
        self.accelerator.wait_for_everyone()
        self.module = self._bare()
        self.accelerator.end_training()
        self.accelerator.free_memory()
        del group

    def _draw(self, step: int) -> list[Any]:
        return [self.job.batch(self._place(step, micro)) for micro in range(self.recipe.accumulate)]

    def _place(self, step: int, micro: int = 0, num_micro: int | None = None) -> Place:
        accelerator = self.accelerator
        count = self.recipe.accumulate if num_micro is None else num_micro
        return Place(step, micro, count, accelerator.process_index, accelerator.num_processes)

    def _step(self, batches: Sequence[Any]) -> dict[str, float]:
        """One optimiser step; gives the mean losses over all processes."""
        accelerator, recipe = self.accelerator, self.recipe
        torch.manual_seed(
            (recipe.seed * _MIX + self.progress.step) * _MIX + accelerator.process_index
        )  # of dropout
        rate = self._rate()
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["speed"]
        device = accelerator.device
        terms = torch.tensor(float(sum(map(self.job.count, batches))), device=device)
        terms = self._total(terms).clamp_min(1.0)
        num_losses = len(self.job.names)
        sums, counts = torch.zeros(2, num_losses + len(self.job.metrics), device=device)
        self.module.train()
        for number, batch in enumerate(batches):
            with self._synced(number + 1 == len(batches)):
                with accelerator.autocast():
                    own, found = self.module(batch.to(device))
                # Gradients are averaged over processes; the sum over all is wanted.
                accelerator.backward(own[:num_losses].sum() * accelerator.num_processes / terms)
            sums += own.detach()
            counts += found
        norm = accelerator.clip_grad_norm_(self.module.parameters(), recipe.clip or math.inf)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self._average()
        report = self._means(sums, counts)
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        return report | {"rate": rate, "norm": float(norm) if norm is not None else math.nan}

    @contextlib.contextmanager
    def _synced(self, last: bool) -> Generator[None, None, None]:
        """Processes exchange gradients with the last micro-batch only."""
        with contextlib.nullcontext() if last else self.accelerator.no_sync(self.module):
            yield

    def _total(self, value: Tensor) -> Tensor:
        """Sum over processes."""
        total = self.accelerator.reduce(value, reduction="sum")
        assert isinstance(total, Tensor)
        return total

    def _means(self, sums: Tensor, counts: Tensor) -> dict[str, float]:
        totals: list[list[float]] = self._total(torch.stack([sums, counts])).tolist()
        return means(self.job.names, self.job.metrics, *totals)

    def _share(self) -> float:
        """Share of the run that is over, alike in all processes."""
        progress, recipe = self.progress, self.recipe
        if recipe.minutes:
            told = [progress.spent_s]
            broadcast_object_list(told)
            progress.spent_s = told[0]
            return max(progress.step / recipe.max_steps, progress.spent_s / (60.0 * recipe.minutes))
        return progress.step / recipe.max_steps

    def _rate(self) -> float:
        """Linear warm-up, then a cosine down to the floor."""
        recipe, step = self.recipe, self.progress.step
        cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, self._share())))
        warm = min(1.0, (step + 1) / recipe.warm_up) if recipe.warm_up else 1.0
        return recipe.learning_rate * warm * (recipe.floor + (1.0 - recipe.floor) * cosine)

    @torch.no_grad()
    def _average(self) -> None:
        if not self.recipe.average_decay:
            return
        step = self.progress.step + 1
        decay = min(self.recipe.average_decay, (1 + step) / (10 + step))
        for name, parameter in self.module.named_parameters():
            if name in self.averaged:
                self.averaged[name].lerp_(parameter, 1.0 - decay)
            else:
                self.averaged[name] = parameter.detach().clone()

    @torch.no_grad()
    def _swap(self) -> None:
        """Exchange the weights in use with the averaged ones."""
        for name, parameter in self.module.named_parameters():
            if name in self.averaged:
                kept = parameter.detach().clone()
                parameter.copy_(self.averaged[name])
                self.averaged[name].copy_(kept)

    @torch.no_grad()
    def _evaluate(self) -> None:
        """Held-out losses and measures of the averaged weights; those of the lowest loss are the best."""
        accelerator, progress = self.accelerator, self.progress
        device = accelerator.device
        sums, counts = torch.zeros(2, len(self.job.names) + len(self.job.metrics), device=device)
        self._swap()
        self.module.eval()
        for number in range(self.recipe.evaluate_batches):
            batch = self.job.held_out(self._place(number, 0, 1))
            with accelerator.autocast():
                own, terms = self.module(batch.to(device))
            sums += own
            counts += terms
        found = self._means(sums, counts)
        if found["loss"] < progress.best_loss:
            progress.best_loss, progress.best_step = found["loss"], progress.step
            state = get_model_state_dict(self._bare(), options=_WHOLE)
            self._write(BEST, {"model": state, "progress": asdict(progress), "job": self.job.describe()})
        self._swap()
        self._log({f"held_out_{name}": value for name, value in found.items()})

    def _log(self, values: dict[str, float]) -> None:
        """One line of JSON, and the same to TensorBoard."""
        step = self.progress.step
        self.accelerator.log(values, step=step)
        if not self.accelerator.is_main_process:
            return
        line = {"step": step, "minutes": round(self.progress.spent_s / 60, 3), **values}
        with (self.out / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        words = "  ".join(f"{key} {value:.4g}" for key, value in values.items())
        print(f"{step:7d}  {words}", flush=True)

    def _bare(self) -> nn.Module:
        """The module without the wrapper that exchanges gradients."""
        return self.accelerator.unwrap_model(self.module)

    def _save(self) -> None:
        """Write the state of the run under a passing name, then rename it: it is whole or absent."""
        bare, optimiser = self._bare(), self.optimiser.optimizer
        state = {
            "model": get_model_state_dict(bare, options=_WHOLE),
            "optimiser": get_optimizer_state_dict(bare, optimiser, options=_WHOLE),
            "progress": asdict(self.progress),
            "job": self.job.describe(),
        }
        if self.averaged:
            self._swap()
            # On a CPU the state is the weights themselves, and the next swap would change it.
            averaged = get_model_state_dict(bare, options=_WHOLE)
            state["averaged"] = {
                name: tensor.clone() for name, tensor in averaged.items() if isinstance(tensor, Tensor)
            }
            self._swap()
        self._write(CHECKPOINT, state)

    def _write(self, name: str, state: dict[str, Any]) -> None:
        if self.accelerator.is_main_process:
            passing = self.out / f"{name}.part"
            torch.save(state, passing)
            os.replace(passing, self.out / name)
        self.accelerator.wait_for_everyone()

    def _load(self) -> None:
        """Go on from the checkpoint, if there is one; what was logged after it is cut off the log."""
        path = self.out / CHECKPOINT
        if not path.exists():
            return
        state = torch.load(path, weights_only=True, map_location="cpu")
        if _kind(state["job"]) != _kind(self.job.describe()):
            raise EngineError(
                f"{self.out.name} holds a run of another model; choose an empty folder, or delete this one."
            )
        bare = self._bare()
        if "averaged" in state:
            set_model_state_dict(bare, state["averaged"], options=_WHOLE)
            self.averaged = {n: p.detach().clone() for n, p in self.module.named_parameters()}
        set_model_state_dict(bare, state["model"], options=_WHOLE)
        set_optimizer_state_dict(bare, self.optimiser.optimizer, state["optimiser"], options=_WHOLE)
        self.progress = Progress(**state["progress"])
        if self.accelerator.is_main_process and (self.out / LOG).exists():
            lines = (self.out / LOG).read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if _logged_step(line) <= self.progress.step]
            (self.out / LOG).write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self.accelerator.wait_for_everyone()


_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def _kind(described: dict[str, Any]) -> dict[str, Any]:
    """What a run's checkpoints must share."""
    return {name: value for name, value in described.items() if name != LEARNT}


def _logged_step(line: str) -> int:
    """Step of a log's line; a line that was cut off by the kill counts as never written."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError):
        return 2**62


def parameter_groups(module: nn.Module, recipe: RunRecipe) -> list[dict[str, Any]]:
    """Matrices decay; norms, biases and what a module names `undecayed` do not; see also `bias_speed`."""
    undecayed: frozenset[str] = getattr(module, "undecayed", frozenset())
    groups: dict[str, list[nn.Parameter]] = {"matrix": [], "vector": [], "bias": []}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            flat = parameter.ndim <= 1 or name in undecayed
            kind = "bias" if name.endswith("_bias.weight") else "vector" if flat else "matrix"
            groups[kind].append(parameter)
    speeds = {"matrix": 1.0, "vector": 1.0, "bias": recipe.bias_speed}
    return [
        {
            "params": parameters,
            "weight_decay": recipe.weight_decay if kind == "matrix" else 0.0,
            "speed": speeds[kind],
        }
        for kind, parameters in groups.items()
        if parameters
    ]
