# SPDX-License-Identifier: GPL-3.0-or-later
"""The decoder-only model of four parts as a job of the trainer, and its file as published (spec 2.7, 4.2).

A row is one stream: the sound's codes, then one block of each part's. Only what follows the sound is learnt.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.four_part_codes import StreamCodes, StreamWindows
from ..errors import EngineError
from ..published.four_part import NUM_ADDED, ORDER, StreamWords, steps_of
from ..published.qwen import HEAD, PREFIX, QwenConfig, QwenModel, qwen_shapes
from ..weights.weight_file import open_weights
from ..whole_files import whole_file
from .language_stages import grow
from .loop import read_best
from .place import Place
from .stage_recipe import BackboneRecipe, StageRecipe
from .task_loss import UNLEARNT
from .trainer import LEARNT, LOG

ARCH = "pretrained_4part"
"""What the published file calls its kind (spec 2.7)."""

TABLE = "model.embed_tokens.weight"
"""The table of words, in a file and in `FourPartLoss`."""

SPREAD = 0.02
"""Deviation of random matrices: `initializer_range` of the published Qwen3."""


@dataclass(frozen=True)
class StreamBatch:
    """Rows filled up to one length.

    Attributes:
        ids: Words, (B, T), int64.
        labels: The same, `UNLEARNT` where nothing is learnt, (B, T), int64.
    """

    ids: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> StreamBatch:
        """The same batch on a device."""
        return StreamBatch(self.ids.to(device), self.labels.to(device))


def stream_row(words: StreamWords, codes: StreamCodes) -> tuple[list[int], list[int]]:
    """One stream: bos, sound, sep, each part's mark and codes, eos.

    A part without codes has zeros that are not learnt, its mark is; so are rows of faces alone made, spec 4.2
    (which does not say what stands there: the zeros are ours).

    Args:
        words: The numbering.
        codes: A window's codes.

    Returns:
        Words and labels, (1 + 2L + 1 + 4 + 7L + 1,) each.
    """
    ids = [words.bos, *(codes.audio + words.audio_offset).tolist(), words.sep]
    labels = [UNLEARNT] * len(ids)
    for part in ORDER:
        count = codes.num_steps * steps_of(part)
        has = part in codes.parts
        block = ((codes.parts[part] if has else np.zeros(count, np.int64)) + words.offset(part)).tolist()
        ids += [words.mark(part), *block]
        labels += [words.mark(part), *(block if has else [UNLEARNT] * count)]
    return [*ids, words.eos], [*labels, words.eos]


def collate_streams(words: StreamWords, rows: Sequence[tuple[list[int], list[int]]]) -> StreamBatch:
    """Rows filled up behind their ends with `pad`, which is not learnt."""
    longest = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([[*row, *[words.pad] * (longest - len(row))] for row, _ in rows])
    return StreamBatch(ids, torch.tensor([[*row, *[UNLEARNT] * (longest - len(row))] for _, row in rows]))


class FourPartLoss(nn.Module):
    """Cross entropy of the next word over the whole table, as published; right words where it evaluates.

    Args:
        model: The language model, its table whole.
    """

    names = ("tokens",)
    metrics = ("accuracy_tokens",)
    undecayed = frozenset({TABLE})
    """Weights that do not decay besides norms: embeddings (spec 4.2), and so the head, which is the same."""

    def __init__(self, model: QwenModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: StreamBatch) -> tuple[Tensor, Tensor]:
        """Summed loss in nats and right words (0 of 0 in training), and of how many words each, (2,) both.

        Args:
            batch: Rows.
        """
        wanted = batch.labels[:, 1:]
        learnt = wanted != UNLEARNT
        states = self.model(batch.ids[:, :-1])[learnt]  # (B, T, d_model) -> (N, d_model)
        logits = F.linear(states, self.model.head).float()
        nats = F.cross_entropy(logits, wanted[learnt], reduction="sum")
        count = learnt.sum().float()
        if self.training:
            nothing = torch.zeros_like(count)
            return torch.stack([nats, nothing]), torch.stack([count, nothing])
        right = (logits.argmax(1) == wanted[learnt]).sum().float()
        return torch.stack([nats, right]), torch.stack([count, count])


class FourPartJob:
    """Training of the four-part language model.

    Args:
        recipe: The stage's figures.
        train: Windows to learn from.
        held: Held-out windows.
    """

    def __init__(self, recipe: StageRecipe, train: StreamWindows, held: StreamWindows) -> None:
        self.recipe, self.train, self.held = recipe, train, held
        backbone, _ = recipe.four_part()
        torch.manual_seed(recipe.run.seed)
        self.model = build_backbone(backbone)
        self.words = StreamWords.from_rows(self.model.config.num_rows)
        self.module: nn.Module = FourPartLoss(self.model)
        self.names: tuple[str, ...] = FourPartLoss.names
        self.metrics: tuple[str, ...] = FourPartLoss.metrics

    def batch(self, place: Place) -> StreamBatch:
        """Rows of a step; the row's number and the step seed its draw."""
        return self._draw(self.train, place, 0)

    def held_out(self, place: Place) -> StreamBatch:
        """Held-out rows, always the same."""
        return self._draw(self.held, place, 1)

    def count(self, batch: StreamBatch) -> int:
        """Words learnt."""
        return int((batch.labels != UNLEARNT).sum())

    def describe(self) -> dict[str, Any]:
        """Sizes and numbering, and what was learnt from."""
        backbone, _ = self.recipe.four_part()
        return {
            "stage": self.recipe.stage,
            "pretrained": backbone.pretrained,
            "model": self.model.config.to_dict(),
            "vocabulary": self.words.to_dict(),
            LEARNT: {"tokenizers": self.train.tokenizers},
        }

    def _draw(self, windows: StreamWindows, place: Place, kind: int) -> StreamBatch:
        chosen = [int(draw.integers(len(windows))) for draw in place.draws(self.recipe.run, kind)]
        return collate_streams(self.words, [stream_row(self.words, windows[index]) for index in chosen])


def build_backbone(recipe: BackboneRecipe) -> QwenModel:
    """The model a recipe asks for, with the words of sound and motion behind those it knew.

    Args:
        recipe: Its sizes, and the folder of weights it begins with: safetensors files under transformers'
            names, in one piece or several.

    Raises:
        EngineError: If sizes are impossible, or the weights do not fit.
    """
    try:
        config = QwenConfig(
            num_rows=recipe.num_words + NUM_ADDED,
            d_model=recipe.d_model,
            d_ff=recipe.d_ff,
            num_layers=recipe.num_layers,
            num_heads=recipe.num_heads,
            num_key_heads=recipe.num_key_heads,
            head_width=recipe.head_width,
        )
    except ValueError as problem:
        raise EngineError(f"The recipe's backbone cannot be built ({problem}).") from problem
    model = QwenModel(config)
    if recipe.start:
        _fill(model, Path(recipe.start), recipe.num_words)
        return model
    for weight in model.parameters():
        if weight.ndim > 1:
            nn.init.normal_(weight, std=SPREAD)
    return model


@torch.no_grad()
def _fill(model: QwenModel, folder: Path, num_words: int) -> None:
    """Copy published weights; new words begin near the mean of the old ones, which is ours."""
    wanted = {PREFIX + name: shape for name, shape in qwen_shapes(model.config).items()}
    wanted[TABLE] = rows = (num_words, model.config.d_model)
    own = {PREFIX + name: tensor for name, tensor in model.state_dict().items()}
    table: Tensor | None = None
    head: Tensor | None = None
    for path in sorted(folder.glob("*.safetensors")):
        with open_weights(path) as file:
            shapes = {name: file.shapes[name] for name in (*wanted, HEAD) if name in file.shapes}
            for name, tensor in file.read(shapes).items():
                if shapes[name] != wanted.get(name, rows):
                    raise EngineError(
                        f"{folder.name} has another size at {name}; change the recipe's [backbone]."
                    )
                if name == HEAD:
                    head = tensor.float()
                    continue
                if name == TABLE:
                    table = tensor.float()
                    grow(own[name], table, None)
                else:
                    own[name].copy_(tensor)
                del wanted[name]
    if wanted:
        raise EngineError(
            f"{folder.name} lacks {min(wanted)}; download the backbone's safetensors files into that folder."
        )
    if head is not None and table is not None and not torch.equal(head, table):
        raise EngineError(
            f"{folder.name} has an output head of its own; use Qwen3-0.6B or 1.7B, which have none."
        )


def export_four_part(best: Path, out: Path) -> None:
    """Write a run's best weights as the published file, which `import-lom` reads (spec 2.7).

    Args:
        best: `best.pt` of a run; its log, if it lies beside it, gives the held-out accuracy.
        out: File to write, such as `qwen3-0.6B_4part.pt`.

    Raises:
        EngineError: If the weights are missing or of another kind, or the file cannot be written.
    """
    state = read_best(best, "four-part", "published/four-part")
    job, progress = state["job"], state["progress"]
    content: dict[str, Any] = {
        "model": {**state["model"], HEAD: state["model"][TABLE]},
        "cfg": {"arch": ARCH, "pretrained": job["pretrained"]},
        "vocab": job["vocabulary"],
        "step": progress["step"],
        "val_loss": progress["best_loss"],
    }
    accuracy = _held_out_accuracy(best.with_name(LOG), progress["step"])
    if accuracy is not None:
        content["val_acc"] = accuracy
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(out) as draft:
        torch.save(content, draft)


def _held_out_accuracy(log: Path, step: int) -> float | None:
    """Share of right words at a step, None where the log does not say."""
    if not log.is_file():
        return None
    name = f"held_out_{FourPartLoss.metrics[0]}"
    for line in log.read_text(encoding="utf-8").splitlines():
        values = json.loads(line)
        if values["step"] == step and name in values:
            return float(values[name])
    return None
