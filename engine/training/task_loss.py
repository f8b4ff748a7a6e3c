# SPDX-License-Identifier: GPL-3.0-or-later
"""What is learned from a batch of tasks: cross-entropy over the ids each position may hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..language.model import ABSENT, LanguageModel
from ..language.task_layout import TaskBatch, decode_batch, streams
from ..tokenizers.vocabulary import Vocabulary
from .loop import PERPLEXITY
from .task_rows import TextRow

UNLEARNT = -100
"""Label of a word or token that is not learnt; T5's decoder reads its padding in its place."""

TOO_LONG = "too_long"
"""Examples of the published layout that did not fit, per row that did."""

ACCURACY = "accuracy_"
"""Beginning of the name of the share of a stream's codes or words that are told right."""


class _Measured(nn.Module):
    """A loss that also measures, when it evaluates: what is told right, and nats of each task.

    Args:
        model: The language model.
        streams: Names of the losses.
        tasks: Names of the tasks that rows tell by their number; without any, nothing is measured.
    """

    def __init__(self, model: LanguageModel, streams: Sequence[str], tasks: Sequence[str]) -> None:
        super().__init__()
        self.model, self.num_tasks = model, len(tasks)
        self.names = tuple(streams)
        measured = [f"{ACCURACY}{name}" for name in streams] + [f"{PERPLEXITY}{task}" for task in tasks]
        self.metrics: tuple[str, ...] = tuple(measured) if tasks else ()

    @property
    def measures(self) -> bool:
        """Whether this pass measures."""
        return self.num_tasks > 0 and not self.training


class TaskLoss(_Measured):
    """Loss of the starter's layout.

    Args:
        model: The language model.
        vocabulary: Its ids.
        tasks: Names of the tasks that rows tell by their number; without any, nothing is measured.
    """

    def __init__(self, model: LanguageModel, vocabulary: Vocabulary, tasks: Sequence[str] = ()) -> None:
        ranges = streams(vocabulary)
        super().__init__(model, list(ranges), tasks)
        self.streams = ranges

    def forward(self, batch: TaskBatch) -> tuple[Tensor, Tensor]:
        """Summed losses in nats and their numbers of codes or words, (K,) each.

        Where tasks are named, what is measured follows: numbers of right ones per stream, and nats per task,
        out of how many; (K + M,) each, 0 of 0 in training.
        """
        model = self.model
        states = decode_batch(model, batch)
        sums: list[Tensor] = []
        counts: list[int] = []
        right = states.new_zeros(len(self.streams), dtype=torch.float32)
        by_task = states.new_zeros(2, self.num_tasks, dtype=torch.float32)
        for number, ranges in enumerate(self.streams.values()):
            first, stop = ranges[0]
            chosen = (batch.targets[..., 0] >= first) & (batch.targets[..., 0] < stop)
            own, ids = states[chosen], batch.targets[chosen]  # (N, d_model), (N, Q)
            total = states.new_zeros((), dtype=torch.float32)
            for level, (first, stop) in enumerate(ranges):
                if level:
                    own = model.deepen(own[None], ids[None, :, level - 1])[0]
                logits, goals = model.logits(own, first, stop).float(), ids[:, level] - first
                nats = functional.cross_entropy(logits, goals, reduction="none")  # (N,)
                total = total + nats.sum()
                if self.measures:
                    right[number] += (logits.argmax(1) == goals).sum()
                    tasks = batch.tasks[:, None].expand_as(chosen)[chosen]
                    by_task.index_add_(1, tasks, torch.stack([nats, torch.ones_like(nats)]))
            sums.append(total)
            counts.append(int(chosen.sum()) * len(ranges))
        losses = torch.stack(sums)
        terms = torch.tensor(counts, dtype=torch.float32, device=states.device)
        if not self.num_tasks:
            return losses, terms
        measured = terms if self.measures else torch.zeros_like(terms)
        return torch.cat([losses, right, by_task[0]]), torch.cat([terms, measured, by_task[1]])


def count_targets(batch: TaskBatch) -> int:
    """Codes and words that a batch learns."""
    return int((batch.targets != ABSENT).sum())


@dataclass(frozen=True)
class TextBatch:
    """Rows of the published layout, padded with T5's padding; labels of padding are `UNLEARNT`.

    `tasks` and `too_long` are as in `TextRow`, (B,) each.
    """

    ids: Tensor
    mask: Tensor
    inputs: Tensor
    labels: Tensor
    tasks: Tensor
    too_long: Tensor

    def to(self, device: torch.device) -> TextBatch:
        """Copy to a device."""
        return TextBatch(*(getattr(self, field.name).to(device) for field in fields(self)))


def collate_text(rows: list[TextRow]) -> TextBatch:
    """Pad rows; the decoder begins with the padding id, as T5 does (spec 3.2)."""
    length, reach = max(len(r.source) for r in rows), max(len(r.target) for r in rows)
    ids = torch.tensor([r.source + [0] * (length - len(r.source)) for r in rows])
    counts = torch.tensor([len(r.source) for r in rows])
    labels = torch.tensor([r.target + [UNLEARNT] * (reach - len(r.target)) for r in rows])
    inputs = torch.cat([torch.zeros(len(rows), 1, dtype=torch.int64), labels[:, :-1].clamp_min(0)], dim=1)
    return TextBatch(
        ids=ids,
        mask=torch.arange(length) < counts[:, None],
        inputs=inputs,
        labels=labels,
        tasks=torch.tensor([row.task for row in rows]),
        too_long=torch.tensor([row.too_long for row in rows]),
    )


class TextLoss(_Measured):
    """Loss of the published layout: over the whole vocabulary, the end included (spec 3.4).

    Args:
        model: The language model.
        tasks: Names of the tasks that rows tell by their number; without any, nothing is measured.
    """

    def __init__(self, model: LanguageModel, tasks: Sequence[str] = ()) -> None:
        super().__init__(model, ["tokens"], tasks)
        if tasks:
            self.metrics = (*self.metrics, TOO_LONG)

    def forward(self, batch: TextBatch) -> tuple[Tensor, Tensor]:
        """Summed loss in nats and its number of tokens, (1,) each.

        Where tasks are named, what is measured follows, (1 + M,) each: right tokens, nats per task (both 0 of
        0 in training), and examples that did not fit.
        """
        model = self.model
        memory = model.encode(batch.ids, batch.mask)
        states = model.decode(batch.inputs, memory, batch.mask)
        logits = model.logits(states, 0, model.config.vocab_size).float()
        nats = functional.cross_entropy(
            logits.flatten(0, 1), batch.labels.flatten(), ignore_index=UNLEARNT, reduction="none"
        ).view(batch.labels.shape)
        learned = batch.labels != UNLEARNT
        total, count = nats.sum()[None], learned.sum()[None].float()
        if not self.num_tasks:
            return total, count
        right, told = torch.zeros_like(count), torch.zeros_like(count)
        by_task = nats.new_zeros(2, self.num_tasks)
        if self.measures:
            right, told = (logits.argmax(2) == batch.labels).sum()[None].float(), count
            by_task.index_add_(1, batch.tasks, torch.stack([nats.sum(1), learned.sum(1).float()]))
        left_out = batch.too_long.sum()[None].float()
        rows = torch.full_like(left_out, float(len(batch.too_long)))
        return torch.cat([total, right, by_task[0], left_out]), torch.cat([count, told, by_task[1], rows])
