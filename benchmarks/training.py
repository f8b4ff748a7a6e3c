# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast this machine trains the published recipes, and the hours for the paper's data at that speed.

    python benchmarks/training.py [--steps 3] [--rows 2]

Every step is the trainer's own: forwards, backwards and the optimiser's, of networks of the recipes' sizes
on values of the real widths. On a GPU batches and precision are the recipe's; on a CPU the language models'
batch is `--rows`, in float32. Features are written and read as `engine.data` does it. Rows of the language
models are random: source and target together are as long as the recipe lets one of them be, somewhat more
than the codes and words of a window.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.decode import flan_case  # noqa: E402
from engine.data.feature_files import PUBLISHED_LAYOUTS, read_features, write_features  # noqa: E402
from engine.data.readers.base import Item, Record  # noqa: E402
from engine.motion.clip import Clip, smplx_expression_names  # noqa: E402
from engine.motion.features import rest_features, starter_clip  # noqa: E402
from engine.motion.published_features import Layout  # noqa: E402
from engine.specs import AUDIO_HZ, MOTION_FPS, PARTS, Part  # noqa: E402
from engine.tokenizers.audio_tokenizer import HubertTokenizer  # noqa: E402
from engine.training.place import Place  # noqa: E402
from engine.training.stage_recipe import RunRecipe, load_stage_recipe  # noqa: E402
from engine.training.task_loss import TextBatch, TextLoss, collate_text  # noqa: E402
from engine.training.task_rows import TextRow  # noqa: E402
from engine.training.tokenizer_stage import TokenizerJob  # noqa: E402
from engine.training.trainer import Job, Trainer  # noqa: E402

MOTION_H, SPEECH_H = 60.0, 1000.0
"""The paper's data, hours: BEAT2 speaks for its 60 h too."""

EPOCHS = 300
"""Of a tokenizer; the released ones ran for 189 to 439 (spec 2.7)."""

TOKENIZERS = ("face", "hands", "upper", "lower", "root")
LANGUAGE = ("pretraining", "all-tasks")
CUDA = torch.cuda.is_available()


@dataclass(frozen=True)
class Measured:
    """One step of the way: what was measured, and the hours that the paper's data takes."""

    what: str
    speed: str
    hours: float


class RandomRows:
    """A job of the published layout with random rows.

    Args:
        length: Ids of a row's source, and of its target.
        batch: Rows of a step.
    """

    def __init__(self, length: int, batch: int) -> None:
        model = flan_case().model.train().requires_grad_(True)
        loss = TextLoss(model)
        self.module: nn.Module = loss
        self.names, self.metrics = loss.names, loss.metrics
        self._length, self._batch, self._words = length, batch, model.config.vocab_size

    def batch(self, place: Place) -> TextBatch:
        """Random rows."""
        random = np.random.default_rng(place.step)
        sides = random.integers(2, self._words, (len(place.rows(self._batch)), 2, self._length)).tolist()
        return collate_text([TextRow(source, target) for source, target in sides])

    held_out = batch

    def count(self, batch: Any) -> int:
        """Ids that are learned."""
        return int((batch.labels != -100).sum())

    def describe(self) -> dict[str, Any]:
        """Nothing is kept."""
        return {}


def windows_per_second(job: Job, run: RunRecipe, steps: int) -> float:
    """Run the trainer, one step to warm up and some to measure."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(job, replace(run, log_steps=steps + 2), Path(folder))
        trainer.run(stop_at=1)
        start = trainer.progress.spent_s
        trainer.run(stop_at=1 + steps)
        if CUDA:
            torch.cuda.synchronize()
        return run.batch * steps / (trainer.progress.spent_s - start)


@dataclass(frozen=True)
class MadeUp:
    """A corpus of minutes of standing, for its features: what they say does not matter for the time."""

    source: str = "made-up"

    def items(self) -> list[Item]:
        """Four to learn from and one to be held out."""
        return [Item(f"minute {number}", "train" if number < 4 else "val") for number in range(5)]

    def read(self, item: Item) -> Record:
        """One minute."""
        return Record(item.name, self.source, item.split, clip=minute(), parts=PARTS)


def minute() -> Clip:
    """60 s of standing with an SMPL-X face."""
    clip = starter_clip({Part.LOWER: rest_features(Part.LOWER, 60 * MOTION_FPS)})
    names = smplx_expression_names(100)
    return replace(clip, basis="smplx", expression_names=names, expressions=np.zeros((clip.num_frames, 100)))


def tokenizer(name: str, steps: int, corpus: Path) -> Measured:
    """Stage 1: one network, on feature files."""
    recipe = load_stage_recipe(f"published/{name}")
    network = recipe.network
    assert network is not None
    length, stride = network.window_frames, network.stride_frames
    train, held = (
        read_features([corpus], Layout(network.features), length, stride, (split,))
        for split in ("train", "val")
    )
    speed = windows_per_second(TokenizerJob(recipe, train, held), recipe.run, steps)
    epoch = MOTION_H * 3600 * MOTION_FPS / stride
    return Measured(
        f"stage 1, {name}: {EPOCHS} epochs", f"{speed:.0f} windows/s", EPOCHS * epoch / speed / 3600
    )


def language(name: str, steps: int, rows: int) -> Measured:
    """Stage 2 or 3."""
    recipe = load_stage_recipe(f"published/{name}")
    assert recipe.windows is not None
    run = recipe.run if CUDA else replace(recipe.run, batch=rows, accumulate=1, precision="no")
    speed = windows_per_second(RandomRows(recipe.windows.max_length // 2, run.batch), run, steps)
    needed = recipe.run.max_steps * recipe.run.batch
    what = f"{name}: {recipe.run.max_steps:,} steps of {recipe.run.batch}"
    return Measured(what, f"{speed:.2f} windows/s", needed / speed / 3600)


def seconds_per_second(work: Callable[[], object], seconds: float) -> float:
    """Seconds of sound or motion that one second of work does."""
    work()
    start = time.perf_counter()
    work()
    if CUDA:
        torch.cuda.synchronize()
    return seconds / (time.perf_counter() - start)


def features(folder: Path) -> Measured:
    """Feature files of all layouts that stage 1 reads."""
    start = time.perf_counter()
    write_features(MadeUp(), PUBLISHED_LAYOUTS, folder)
    speed = 60.0 * len(MadeUp().items()) / (time.perf_counter() - start)
    return Measured("features of five layouts", f"{speed:.0f} s of motion/s", MOTION_H / speed)


def hubert(seconds: float = 20.0) -> Measured:
    """Codes of sound: HuBERT base."""
    from transformers import HubertConfig, HubertModel

    device = "cuda" if CUDA else "cpu"
    heard = HubertTokenizer(HubertModel(HubertConfig()), torch.randn(500, 768)).to(device)
    sound = torch.randn(1, round(seconds * AUDIO_HZ), device=device) * 0.1
    with torch.inference_mode():
        speed = seconds_per_second(lambda: heard.encode(sound), seconds)
    return Measured("codes of sound, HuBERT base", f"{speed:.1f} s of sound/s", (SPEECH_H + MOTION_H) / speed)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Training speed, and hours at the paper's scale.")
    parser.add_argument("--steps", type=int, default=3, help="steps measured of each language model")
    parser.add_argument("--rows", type=int, default=2, help="rows of a step on a CPU")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = [features(Path(folder)), hubert()]
        corpus = Path(folder) / MadeUp().source
        found += [tokenizer(name, 20, corpus) for name in TOKENIZERS]
    found += [language(name, arguments.steps, arguments.rows) for name in LANGUAGE]
    machine = torch.cuda.get_device_name() if CUDA else f"{torch.get_num_threads()} threads of this CPU"
    print(f"on {machine}; the paper's data: {MOTION_H:.0f} h of motion, {SPEECH_H:.0f} h more of speech")
    print("| step | measured | hours |\n|---|---|---|")
    for row in found:
        print(f"| {row.what} | {row.speed} | {row.hours:,.1f} |")
    print(f"| together, one after another | | {sum(row.hours for row in found):,.0f} |")


if __name__ == "__main__":
    main()
