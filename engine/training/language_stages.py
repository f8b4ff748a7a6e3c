# SPDX-License-Identifier: GPL-3.0-or-later
"""Stages 2 and 3 as jobs of the trainer: windows -> objectives or tasks -> rows -> losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.window import Window
from ..errors import DataError, EngineError
from ..language.model import LanguageModel, LanguageModelConfig
from ..language.task_layout import collate
from ..language.words import WordList
from ..tokenizers.vocabulary import Layout, Vocabulary
from ..weights.weight_file import open_weights
from .place import Place
from .stage_recipe import ModelRecipe, StageRecipe
from .task_loss import UNLEARNT, TaskLoss, TextLoss, collate_text, count_targets
from .task_rows import LongRowError, PublishedRows, StarterRows, Told
from .tasks.objectives import Objective, draw_objective, fits, make_example
from .tasks.patterns import Kind
from .tasks.registry import Example, Shares, draw_task
from .trainer import LEARNT
from .window_source import WindowDraw, inset

READING = "reading.weight"
"""Where a model sums up a motion; an earlier stage may lack it, then it begins at zero."""

TRIES = 64
"""Windows drawn for one row before the data is said not to fit the mixture."""


@dataclass(frozen=True)
class Draws:
    """Windows to learn from and held-out ones."""

    train: WindowDraw
    held: WindowDraw


class LanguageJob:
    """Stage 2 or 3.

    Args:
        recipe: The stage's figures.
        model: The language model.
        vocabulary: Its ids.
        rows: How examples become rows; its kind goes with the vocabulary's layout.
        draws: Windows.
        tokenizers: Fingerprint of what made the codes.
    """

    def __init__(
        self,
        recipe: StageRecipe,
        model: LanguageModel,
        vocabulary: Vocabulary,
        rows: StarterRows | PublishedRows,
        draws: Draws,
        tokenizers: str = "",
    ) -> None:
        self.tokenizers = tokenizers
        known = set(Objective if recipe.stage == "pretraining" else Kind)
        if unknown := sorted(set(recipe.mixture) - known):
            raise EngineError(f"The recipe's mixture names {unknown[0]!r}, which stage {recipe.stage} lacks.")
        self.recipe, self.model, self.vocabulary = recipe, model, vocabulary
        self.rows, self.draws = rows, draws
        self.tasks = tuple(name for name, share in recipe.mixture.items() if share > 0)
        starter = isinstance(rows, StarterRows)
        loss = TaskLoss(model, vocabulary, self.tasks) if starter else TextLoss(model, self.tasks)
        self.module: torch.nn.Module = loss
        self.names, self.metrics = loss.names, loss.metrics

    def batch(self, place: Place) -> Any:
        """Rows of a step; the row's number and the step seed all its draws."""
        return self._rows(self.draws.train, place, 0)

    def held_out(self, place: Place) -> Any:
        """Held-out rows, always the same."""
        return self._rows(self.draws.held, place, 1)

    def count(self, batch: Any) -> int:
        """Codes, words or tokens learned."""
        if isinstance(self.rows, StarterRows):
            return count_targets(batch)
        return int((batch.labels != UNLEARNT).sum())

    def describe(self) -> dict[str, Any]:
        """Sizes and ids, and what was learnt."""
        _, windows = self.recipe.language()
        return {
            "stage": self.recipe.stage,
            "model": self.model.config.to_dict(),
            "vocabulary": self.vocabulary.to_dict(),
            "words": list(self.rows.words.words) if isinstance(self.rows, StarterRows) else [],
            LEARNT: {
                "mixture": {name: share for name, share in self.recipe.mixture.items() if share > 0},
                "combined": windows.combined,
                "window_steps": windows.window_steps,
                "max_length": windows.max_length,
                "tokenizers": self.tokenizers,
            },
        }

    def _rows(self, draw: WindowDraw, place: Place, kind: int) -> Any:
        found = [self._row(draw, random) for random in place.draws(self.recipe.run, kind)]
        return collate(found) if isinstance(self.rows, StarterRows) else collate_text(found)

    def _row(self, draw: WindowDraw, random: np.random.Generator) -> Any:
        too_long = 0
        for _ in range(TRIES):
            window = draw.draw(random)
            try:
                example, told = self._example(window, random)
            except DataError:
                continue  # nothing in the mixture fits this window; another one is drawn
            task = self.tasks.index(example.task.split(".")[0])
            if isinstance(self.rows, StarterRows):
                return replace(self.rows.row(example, told, random), task=task)
            try:
                return replace(self.rows.row(example), task=task, too_long=too_long)
            except LongRowError:
                too_long += 1  # never cut: what is left would not hold the answer; logged as `too_long`
        if too_long:
            raise DataError("Hardly any example fits the recipe's rows; raise its max_length.")
        raise DataError("Hardly any window fits the recipe's mixture; change it or prepare other data.")

    def _example(self, window: Window, random: np.random.Generator) -> tuple[Example, Told]:
        """An example, and what else its window tells.

        In the starter's layout sound may go on beyond the motion; tasks that need the words of a window take
        it whole, as those said in its margins belong to it.
        """
        recipe, inner, heard = self.recipe, window, None
        speaks = window.audio is not None and bool(window.parts)
        if isinstance(self.rows, StarterRows) and speaks and random.random() >= recipe.hidden.margins:
            inner, heard = inset(window)
        if recipe.stage == "pretraining":
            objective = draw_objective(window, random, recipe.mixture)
            if not fits(objective, inner):
                inner, heard = window, None
            example = make_example(objective, inner, random, recipe.spans)
        else:
            shares = Shares(recipe.spans.head_share, recipe.spans.gap_share, recipe.spans.quoted)
            weights: Mapping[Kind, float] = {Kind(name): value for name, value in recipe.mixture.items()}
            task = draw_task(window, random, weights)
            if not task.fits(inner):
                inner, heard = window, None
            example = task.fill(inner, random, None, shares)
        sound = next((block.codes for block in example.inputs if block.part is None), None)
        told = Told(
            described=inner.described,
            caption=example.caption,
            emotion=inner.emotion,
            heard=heard if sound is inner.audio else None,
        )
        return example, told


def language_config(recipe: ModelRecipe, vocabulary: Vocabulary, text_width: int) -> LanguageModelConfig:
    """Sizes of the model a recipe asks for."""
    starter = vocabulary.layout is Layout.STARTER
    return LanguageModelConfig(
        vocab_size=vocabulary.size,
        embedding_offset=vocabulary.num_text if starter else 0,
        d_model=recipe.d_model,
        d_kv=recipe.d_kv,
        d_ff=recipe.d_ff,
        num_heads=recipe.num_heads,
        num_layers=recipe.num_layers,
        num_decoder_layers=recipe.num_decoder_layers,
        text_width=text_width if starter else 0,
        time_reach=recipe.time_reach,
        depth_ff=recipe.depth_ff,
        reads=recipe.reads,
        dropout=recipe.dropout,
    )


def start_from(model: LanguageModel, start: Path, vocabulary: Vocabulary) -> None:
    """Fill a model with earlier weights.

    Args:
        model: The model.
        start: FLAN-T5's folder (`model.safetensors` or `pytorch_model.bin`), or a checkpoint of this trainer
            or of the starter's own.
        vocabulary: Its ids.

    Raises:
        EngineError: If the weights do not fit.
    """
    if start.is_dir():
        own = {name: t.clone() for name, t in model.state_dict().items()}
        held = _flan(start, set(own))
    else:
        saved = torch.load(start, weights_only=True, map_location="cpu")
        held = saved["averaged"] if "averaged" in saved else saved["model"]
        held = {name.removeprefix("model."): tensor for name, tensor in held.items()}
        own = {name: t.clone() for name, t in model.state_dict().items()}
    held.setdefault(READING, torch.zeros(0, own["shared.weight"].shape[1]))
    if missing := sorted(set(own) - set(held)):
        raise EngineError(f"{start.name} lacks {missing[0]}; choose weights of this model's kind.")
    kept = vocabulary.num_text if vocabulary.layout is Layout.PUBLISHED else None
    for name, tensor in own.items():
        given = held[name].to(tensor.dtype)
        if name == READING:
            tensor[: len(given)].copy_(given)
        elif name in ("shared.weight", "lm_head.weight"):
            grow(tensor, given, kept if start.is_dir() else None)
        elif given.shape == tensor.shape:
            tensor.copy_(given)
        else:
            raise EngineError(f"{start.name} has another size at {name}; change the recipe's [model].")
    model.load_state_dict(own)


def _flan(folder: Path, names: set[str]) -> dict[str, Tensor]:
    """FLAN-T5's weights under our names, which are its own."""
    path = next((p for n in ("model.safetensors", "pytorch_model.bin") if (p := folder / n).is_file()), None)
    if path is None:
        raise EngineError(
            f"There is no model.safetensors or pytorch_model.bin in {folder.name}; download FLAN-T5 into it."
        )
    with open_weights(path) as file:
        return dict(file.read(sorted(names & set(file.shapes))))


def grow(rows: Tensor, given: Tensor, kept: int | None) -> None:
    """Copy the rows of words both have; new ones begin near the mean of the old ones.

    FLAN-T5 has 28 more rows than its tokenizer has words; the published additions take their places
    (spec 3.1), so only `kept` rows are words.
    """
    count = min(len(rows), len(given)) if kept is None else kept
    if rows.shape[1] != given.shape[1] or count > len(given):
        raise EngineError("The weights' words have another width; change the recipe's d_model.")
    rows[:count] = given[:count]
    if count < len(rows):
        mean, spread = given[:count].mean(0), given[:count].std(0)
        noise = torch.randn(len(rows) - count, rows.shape[1], generator=torch.Generator().manual_seed(0))
        rows[count:] = mean + 0.5 * spread * noise


def load_words(state: Mapping[str, Any]) -> WordList:
    """The words of a checkpoint's model."""
    return WordList(tuple(state["job"]["words"]))
