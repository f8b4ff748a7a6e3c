# SPDX-License-Identifier: GPL-3.0-or-later
"""The second version's T5 as a job of the trainer, and its weights under published names (spec 2.7, 4.1, 7).

It learns from the windows of the four-part model: the sound stands in the request, the answer has a block of
each part's codes, and the face's is four times as long.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..data.four_part_codes import StreamCodes, StreamWindows
from ..language.model import LanguageModel
from ..motion.arrays import IntArray
from ..published.four_part import AUDIO_PER_STEP, NUM_CODES, steps_of
from ..published.language import PREFIX, WORD_TABLE, WORD_TABLE_TWINS
from ..published.prompts import SPEECH_REQUEST
from ..specs import PARTS, Part
from ..tokenizers.vocabulary import Vocabulary, published_vocabulary
from ..whole_files import whole_file
from .language_stages import READING, language_config, start_from
from .loop import read_best
from .place import Place
from .stage_recipe import StageRecipe
from .task_loss import UNLEARNT, TextBatch, TextLoss, collate_text
from .task_rows import PublishedRows, TextRow
from .tasks.patterns import Kind
from .tasks.registry import Codes, Example, Slot
from .trainer import LEARNT

AUDIO_START = 16386
"""Number of the audio start; GLM-4-Voice's codes are the 16,384 numbers from 0."""

MAX_LENGTH = 2048
"""Tokens of a request or an answer at most."""

STAGE = "later-speech"


def later_vocabulary() -> Vocabulary:
    """The second version's numbering: 49,784 ids."""
    return published_vocabulary(
        face_size=NUM_CODES[Part.FACE],
        body_size=NUM_CODES[Part.LOWER],
        audio_size=AUDIO_START,
        num_audio_extra=0,
    )


def later_row(rows: PublishedRows, codes: StreamCodes) -> TextRow:
    """One window: the published request with its sound; face, hands, upper and lower body, and the end.

    Of a part without codes nothing is learnt, its marks included (spec 3.4); the end is.

    Args:
        rows: Lays out the layout.
        codes: A window's codes.
    """
    before, behind = SPEECH_REQUEST.split("{audio}")
    count = codes.num_steps

    def held(part: Part) -> IntArray:
        return codes.parts[part] if part in codes.parts else np.zeros(count * steps_of(part), np.int64)

    example = Example(
        task=Kind.AUDIO_TO_MOTION.value,
        template=SPEECH_REQUEST,
        prompt=(before, Slot("", (Codes(None, codes.audio[:, None]),)), behind),
        target=tuple(Codes(part, held(part)[:, None]) for part in PARTS),
    )
    row = rows.row(example)
    labels: list[int] = []
    for part in PARTS:
        first, length = len(labels), count * steps_of(part) + 2
        labels += row.target[first : first + length] if part in codes.parts else [UNLEARNT] * length
    return replace(row, target=[*labels, rows.end])


def shortened(codes: StreamCodes, shortest: int, random: np.random.Generator) -> StreamCodes:
    """A piece of a window, of a random length from `shortest` steps to all, at a random place (spec 3.5)."""
    total = codes.num_steps
    count = int(random.integers(min(shortest, total), total + 1))
    begin = int(random.integers(total - count + 1))
    parts = {
        part: values[begin * steps_of(part) : (begin + count) * steps_of(part)]
        for part, values in codes.parts.items()
    }
    return StreamCodes(codes.audio[begin * AUDIO_PER_STEP : (begin + count) * AUDIO_PER_STEP], parts)


class LaterSpeechJob:
    """Training of the second version's T5.

    Args:
        recipe: The stage's figures.
        train: Windows to learn from.
        held: Held-out windows.
    """

    def __init__(self, recipe: StageRecipe, train: StreamWindows, held: StreamWindows) -> None:
        self.recipe, self.train, self.held = recipe, train, held
        sizes, streams = recipe.later_speech()
        self.shortest_steps = streams.shortest_steps
        start = Path(sizes.start) if sizes.start else None
        self.vocabulary = later_vocabulary()
        names = Path(sizes.words) if sizes.words else (start or Path()) / "tokenizer.json"
        self.rows = PublishedRows.read(self.vocabulary, names, MAX_LENGTH)
        torch.manual_seed(recipe.run.seed)
        self.model = LanguageModel(language_config(sizes, self.vocabulary, 0))
        if start is not None:
            start_from(self.model, start, self.vocabulary)
        loss = TextLoss(self.model, (Kind.AUDIO_TO_MOTION.value,))
        self.module: nn.Module = loss
        self.names, self.metrics = loss.names, loss.metrics

    def batch(self, place: Place) -> TextBatch:
        """Rows of a step; the row's number and the step seed its draws."""
        return collate_text(
            [self._row(self.train, random, True) for random in place.draws(self.recipe.run, 0)]
        )

    def held_out(self, place: Place) -> TextBatch:
        """Held-out rows, always the same, of whole windows."""
        return collate_text(
            [self._row(self.held, random, False) for random in place.draws(self.recipe.run, 1)]
        )

    def count(self, batch: TextBatch) -> int:
        """Tokens learnt."""
        return int((batch.labels != UNLEARNT).sum())

    def describe(self) -> dict[str, Any]:
        """Sizes and ids, and what was learnt from."""
        return {
            "stage": self.recipe.stage,
            "model": self.model.config.to_dict(),
            "vocabulary": self.vocabulary.to_dict(),
            LEARNT: {"tokenizers": self.train.tokenizers},
        }

    def _row(self, windows: StreamWindows, random: np.random.Generator, vary: bool) -> TextRow:
        codes = windows[int(random.integers(len(windows)))]
        if vary and self.shortest_steps:
            codes = shortened(codes, self.shortest_steps, random)
        return later_row(self.rows, codes)


def export_later_speech(best: Path, out: Path) -> None:
    """Write a run's best weights under the names of the published checkpoints (spec 2.7).

    Args:
        best: `best.pt` of a run.
        out: File to write.

    Raises:
        EngineError: If the weights are missing or of another kind.
    """
    state = read_best(best, STAGE, "published/speech-v2")
    held = {name.removeprefix("model."): tensor for name, tensor in state["model"].items()}
    weights = {PREFIX + name: tensor for name, tensor in held.items() if name != READING}
    weights |= {PREFIX + name: held[WORD_TABLE] for name in WORD_TABLE_TWINS}
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(out) as draft:
        torch.save({"state_dict": weights}, draft)
