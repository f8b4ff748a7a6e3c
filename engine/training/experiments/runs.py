# SPDX-License-Identifier: GPL-3.0-or-later
"""The runs of the experiments: which there are, how one is trained, and how it is measured.

Ablation: stage 2 whole, without one family of objectives, or left out, then the same number of steps of
stage 3. Data efficiency: stage 3 on nested shares of its sequences, with the whole stage 2 and without, and
without but with its steps added to stage 3.
Stage 3 holds the *paired* tasks only, those that need a caption, an emotion or a sound beside the motion.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import EngineError
from ...language.layout import instruction_states
from ...language.model import LanguageModel
from ...language.task_layout import TaskBatch, decode_batch
from ...language.text_encoder import TextEncoder, TextEncoderConfig
from ...language.words import WordList, collect_words
from ...packs import load_pack
from ...specs import EMOTIONS, Part
from ...tokenizers.vocabulary import BlockSize, Vocabulary, starter_vocabulary
from ..language_stages import Draws, LanguageJob, language_config, start_from
from ..loop import count_parameters, device_for_training
from ..place import Place
from ..stage_recipe import HiddenRecipe, StageRecipe, load_stage_recipe
from ..task_loss import TaskLoss
from ..task_rows import QUESTIONS, StarterRows
from ..tasks.objectives import Objective
from ..tasks.patterns import Kind
from ..trainer import BEST, Trainer
from ..window_source import JoinedWindows, WindowDraw
from .coded import Coded, CodedWindows, read
from .counts import emotions_by_counts

WITHOUT: dict[str, frozenset[str]] = {
    "full": frozenset(),
    "no_audio_text": frozenset({Objective.AUDIO_TO_TEXT, Objective.TEXT_TO_AUDIO, Objective.MASKED_AUDIO}),
    "no_spatial": frozenset({Objective.SPATIAL}),
    "no_temporal": frozenset({Objective.MASKED_MOTION, Objective.CONTINUATION}),
}
"""Variants of stage 2, and the objectives each lacks."""

NONE, LONGER = "none", "longer"
"""No stage 2; and no stage 2, but its steps added to stage 3."""

COUNTS = "counts"
"""No model: emotions told by counting codes in the rows of stage 3."""

SHARES = (1.0, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32)
RECORDINGS = 0.25
"""Share of stage 2's windows that are whole recordings with their words."""

SENTENCES_FILE = "sentences.pt"


@dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        stage: "pretraining", "tuning", or `COUNTS`, which trains no model.
        variant: One of `WITHOUT`, `NONE` or `LONGER`.
        seed: Of initial weights, draws and the order of the sequences.
        share: Of stage 3's sequences.
    """

    stage: str
    variant: str
    seed: int
    share: float = 1.0

    @property
    def name(self) -> str:
        """Unique name."""
        return f"{self.stage}-{self.variant}-{round(1 / self.share)}-seed{self.seed}"

    @property
    def after(self) -> str | None:
        """The run whose weights this one begins with."""
        if self.stage != "tuning" or self.variant in (NONE, LONGER):
            return None
        return Run("pretraining", self.variant, self.seed).name


def plan(seeds: Sequence[int], shares: Sequence[float] = SHARES) -> list[Run]:
    """All runs, complete seeds first; each stands behind the one it begins with."""
    runs: list[Run] = []
    for seed in seeds:
        runs += [Run("pretraining", variant, seed) for variant in WITHOUT]
        runs += [Run("tuning", variant, seed) for variant in (*WITHOUT, NONE)]
        runs += [Run("tuning", variant, seed, share) for share in shares[1:] for variant in ("full", NONE)]
        runs += [Run("tuning", LONGER, seed, share) for share in shares]
        runs.append(Run(COUNTS, NONE, seed))
    return runs


@dataclass(frozen=True)
class Settings:
    """What all runs share.

    Attributes:
        coded: The file of coded sequences.
        pack: Folder with the sentence encoder.
        recipe: Folder below `recipes/stages` that holds both stages' recipes.
        out: Folder of weights, logs and results.
        held_batches: Batches of held-out rows per task.
    """

    coded: Path
    pack: Path
    recipe: str
    out: Path
    held_batches: int = 4


class Bench:
    """Data, words and held-out rows, read once per process.

    Args:
        settings: Where they are.
        encoder: Sentence encoder; None reads the pack's.
    """

    def __init__(self, settings: Settings, encoder: TextEncoder | None = None) -> None:
        self.settings = settings
        self.recipes = {s: load_stage_recipe(f"{settings.recipe}/{s}") for s in ("pretraining", "tuning")}
        items, sizes = read(settings.coded)
        self.train = [item for item in items if item.split == "train"]
        self.held = [item for item in items if item.split == "held"]
        if not self.train or not self.held:
            raise EngineError("The coded sequences lack a train or a held split; prepare them anew.")
        self.words = collect_words(
            [caption for item in items for caption in item.captions],
            [item.transcript for item in self.train],
            self.recipes["tuning"].language()[0].word_limit,
        )
        self.vocabulary = _vocabulary(sizes, self.words)
        self.encoder = encoder or pack_text_encoder(settings.pack)

    @cached_property
    def sentences(self) -> dict[str, torch.Tensor]:
        """States of every sentence of the data; encoded once and kept beside the results."""
        path = self.settings.out / SENTENCES_FILE
        if path.exists():
            return torch.load(path, weights_only=True)
        items = [*self.train, *self.held]
        texts = {caption.strip().rstrip(".") for item in items for caption in item.captions}
        texts |= {f'Say "{item.transcript}"' for item in items if item.transcript}
        ordered = sorted(texts | set(QUESTIONS.values()))
        states: list[torch.Tensor] = []
        for begin in range(0, len(ordered), 64):
            states += instruction_states(self.encoder, ordered[begin : begin + 64])
        table = {text: state.contiguous().clone() for text, state in zip(ordered, states, strict=True)}
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(table, path)
        return table

    def rows(self, hidden: HiddenRecipe) -> StarterRows:
        """Rows that hide what is said."""
        rows = StarterRows(self.vocabulary, self.words, self.encoder, hidden)
        rows.know(self.sentences)
        return rows

    def model(self, recipe: StageRecipe) -> LanguageModel:
        """A new model, the same for the same seed."""
        torch.manual_seed(recipe.run.seed)
        return LanguageModel(
            language_config(recipe.language()[0], self.vocabulary, self.encoder.config.state_width)
        )

    def draw(self, items: Sequence[Coded], recipe: StageRecipe) -> WindowDraw:
        """Windows of some sequences, as a stage draws them."""
        _, windows = recipe.language()
        sources = [
            CodedWindows(group, windows.window_steps, windows.stride_steps)
            for group in ([i for i in items if i.captions], [i for i in items if not i.captions])
            if group
        ]
        if recipe.stage == "pretraining":
            said = CodedWindows(items, windows.window_steps, windows.stride_steps, recordings=True)
            wanted = sum(map(len, sources)) * RECORDINGS / (1 - RECORDINGS)
            sources += [said] * round(wanted / max(len(said), 1)) if len(said) else []
        return WindowDraw(JoinedWindows(sources), windows.combined)

    @cached_property
    def held_rows(self) -> dict[str, list[TaskBatch]]:
        """Held-out rows of every task of stage 3, the same for all runs."""
        base = self.recipes["tuning"]
        # Nothing is hidden from these rows, and nothing of theirs depends on a run's seed.
        recipe = replace(base, hidden=HiddenRecipe(emotion=0.0, plain=1.0, margins=1.0))
        recipe = replace(recipe, run=replace(recipe.run, seed=0))
        draw, rows, model = self.draw(self.held, recipe), self.rows(recipe.hidden), self.model(recipe)
        found: dict[str, list[TaskBatch]] = {}
        for kind in base.mixture:
            job = LanguageJob(
                replace(recipe, mixture={kind: 1.0}), model, self.vocabulary, rows, Draws(draw, draw)
            )
            found[kind] = [job.held_out(Place(b, 0, 1, 0, 1)) for b in range(self.settings.held_batches)]
        return found


def _vocabulary(sizes: dict[str, tuple[int, int]], words: WordList) -> Vocabulary:
    blocks = {name: BlockSize(*size) for name, size in sizes.items()}
    plain = starter_vocabulary({part: blocks[part.value] for part in Part}, blocks["audio"])
    return replace(plain, num_words=len(words))


def pack_text_encoder(folder: Path) -> TextEncoder:
    """The sentence encoder of a pack."""
    pack = load_pack(folder)
    return TextEncoder.load(
        TextEncoderConfig.from_dict(pack.table("text_encoder")),
        pack.tensors("text_encoder.safetensors"),
        pack.file("tokenizer.json"),
    )


def chosen(items: Sequence[Coded], share: float, seed: int) -> list[Coded]:
    """A share of the captured sequences and of the performances; a smaller share lies within a larger one."""
    random = np.random.default_rng(seed)
    found: list[Coded] = []
    for group in ([i for i in items if i.captions], [i for i in items if not i.captions]):
        order = random.permutation(len(group))
        found += [group[place] for place in order[: math.ceil(len(group) * share)]]
    return found


def run_recipe(bench: Bench, run: Run) -> StageRecipe:
    """A run's figures."""
    recipe = bench.recipes["pretraining" if run.stage == "pretraining" else "tuning"]
    steps = recipe.run.max_steps
    if run.variant == LONGER:
        steps += bench.recipes["pretraining"].run.max_steps
    figures = replace(
        recipe.run, seed=run.seed, max_steps=steps, save_steps=steps, evaluate_steps=steps, evaluate_batches=1
    )
    mixture = {k: v for k, v in recipe.mixture.items() if k not in WITHOUT.get(run.variant, frozenset())}
    return replace(recipe, run=figures, mixture=mixture)


def train_run(bench: Bench, run: Run) -> dict[str, Any]:
    """Train and measure one run; for `COUNTS`, learn from its rows without a model.

    Args:
        bench: Data and rows.
        run: Which.

    Returns:
        Its line of the results.
    """
    began = time.monotonic()
    line: dict[str, Any] = {"run": run.name, "stage": run.stage, "variant": run.variant, "seed": run.seed}
    line["share"] = run.share
    recipe, folder = run_recipe(bench, run), bench.settings.out / run.name
    items = bench.train if run.stage == "pretraining" else chosen(bench.train, run.share, run.seed)
    model = bench.model(recipe)
    draws = Draws(bench.draw(items, recipe), bench.draw(bench.held, recipe))
    job = LanguageJob(recipe, model, bench.vocabulary, bench.rows(recipe.hidden), draws)
    if run.stage == COUNTS:
        line |= emotions_by_counts(job, bench.held_rows[Kind.MOTION_TO_EMOTION])
        return line | {"seconds": round(time.monotonic() - began, 2)}
    if run.after is not None:
        start_from(model, bench.settings.out / run.after / BEST, bench.vocabulary)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "printed.txt").open("w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
        outcome = Trainer(job, recipe.run, folder).run()
    line |= {
        "steps": outcome.progress.step, "batch": recipe.run.batch, "sequences": len(items),
        "parameters": count_parameters(model), "device": _device_name(),
        "held_out_loss": outcome.progress.best_loss,
    }  # fmt: skip
    if run.stage == "tuning":
        start_from(model, folder / BEST, bench.vocabulary)
        line |= measure(bench, model)
    return line | {"seconds": round(time.monotonic() - began, 2)}


@torch.inference_mode()
def measure(bench: Bench, model: LanguageModel) -> dict[str, Any]:
    """Nats per code or word on each task's held-out rows, and how often the emotion is told.

    Args:
        bench: Holds the rows.
        model: What to measure.
    """
    device = device_for_training()
    loss = TaskLoss(model.to(device).eval(), bench.vocabulary)
    tasks: dict[str, float] = {}
    right = total = 0
    counts = np.zeros(len(EMOTIONS), np.int64)
    labels = torch.tensor([bench.words.word_id(e) for e in EMOTIONS], device=device)
    labels = labels + bench.vocabulary.words_range[0]
    for kind, batches in bench.held_rows.items():
        sums, terms = 0.0, 0.0
        for batch in (b.to(device) for b in batches):
            own, found = loss(batch)
            sums, terms = sums + float(own.sum()), terms + float(found.sum())
            if kind == Kind.MOTION_TO_EMOTION:
                # The first thing the decoder predicts is the label.
                scores = model.logits(decode_batch(model, batch)[:, 0], *bench.vocabulary.words_range)
                told = labels[scores[:, labels - bench.vocabulary.words_range[0]].argmax(1)]
                right += int((told == batch.targets[:, 0, 0]).sum())
                total += len(told)
                counts += (batch.targets[:, :1, 0] == labels).sum(0).cpu().numpy()
        tasks[kind] = sums / terms
    line: dict[str, Any] = {"tasks": tasks}
    if total:
        line |= {"emotion_accuracy": right / total, "commonest_emotion": int(counts.max()) / total}
    return line


def _device_name() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
