# SPDX-License-Identifier: GPL-3.0-or-later
"""What is learned from a batch of tasks: cross-entropy over the ids each position may hold."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..language.model import ABSENT, LanguageModel
from ..language.task_layout import TaskBatch, decode_batch, streams
from ..tokenizers.vocabulary import Vocabulary
from .task_rows import TextRow


class TaskLoss(nn.Module):
    """Loss of the starter's layout.

    Args:
        model: The language model.
        vocabulary: Its ids.
    """

    def __init__(self, model: LanguageModel, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.model = model
        self.streams = streams(vocabulary)

    @property
    def names(self) -> tuple[str, ...]:
        """What the losses are of."""
        return tuple(self.streams)

    def forward(self, batch: TaskBatch) -> tuple[Tensor, Tensor]:
        """Summed losses in nats and their numbers of codes or words, (K,) each."""
        model = self.model
        states = decode_batch(model, batch)
        sums: list[Tensor] = []
        counts: list[int] = []
        for ranges in self.streams.values():
            first, stop = ranges[0]
            chosen = (batch.targets[..., 0] >= first) & (batch.targets[..., 0] < stop)
            own, ids = states[chosen], batch.targets[chosen]  # (N, d_model), (N, Q)
            total = states.new_zeros((), dtype=torch.float32)
            for level, (first, stop) in enumerate(ranges):
                if level:
                    own = model.deepen(own[None], ids[None, :, level - 1])[0]
                logits = model.logits(own, first, stop).float()
                total = total + functional.cross_entropy(logits, ids[:, level] - first, reduction="sum")
            sums.append(total)
            counts.append(int(chosen.sum()) * len(ranges))
        return torch.stack(sums), torch.tensor(counts, dtype=torch.float32, device=states.device)


def count_targets(batch: TaskBatch) -> int:
    """Codes and words that a batch learns."""
    return int((batch.targets != ABSENT).sum())


@dataclass(frozen=True)
class TextBatch:
    """Rows of the published layout, padded with T5's padding; labels of padding are -100."""

    ids: Tensor
    mask: Tensor
    inputs: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> TextBatch:
        """Copy to a device."""
        return TextBatch(*(t.to(device) for t in (self.ids, self.mask, self.inputs, self.labels)))


def collate_text(rows: list[TextRow]) -> TextBatch:
    """Pad rows; the decoder begins with the padding id, as T5 does (spec 3.2)."""
    length, reach = max(len(r.source) for r in rows), max(len(r.target) for r in rows)
    ids = torch.tensor([r.source + [0] * (length - len(r.source)) for r in rows])
    counts = torch.tensor([len(r.source) for r in rows])
    labels = torch.tensor([r.target + [-100] * (reach - len(r.target)) for r in rows])
    inputs = torch.cat([torch.zeros(len(rows), 1, dtype=torch.int64), labels[:, :-1].clamp_min(0)], dim=1)
    return TextBatch(ids, torch.arange(length) < counts[:, None], inputs, labels)


class TextLoss(nn.Module):
    """Loss of the published layout: over the whole vocabulary, the end included (spec 3.4)."""

    names = ("tokens",)

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: TextBatch) -> tuple[Tensor, Tensor]:
        """Summed loss in nats and its number of tokens, (1,) each."""
        model = self.model
        memory = model.encode(batch.ids, batch.mask)
        states = model.decode(batch.inputs, memory, batch.mask)
        logits = model.logits(states, 0, model.config.vocab_size).float()
        total = functional.cross_entropy(
            logits.flatten(0, 1), batch.labels.flatten(), ignore_index=-100, reduction="sum"
        )
        return total[None], (batch.labels != -100).sum()[None].float()
