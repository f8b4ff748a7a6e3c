# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast this machine trains the published recipes, and the hours for the paper's data at that speed.

    python benchmarks/training.py [--steps 3] [--rows 2]

Every step is the trainer's own: forwards, backwards and the optimiser's, of networks of the recipes' sizes
on random values of the real widths and lengths. On a GPU batches and precision are the recipe's; on a CPU the
language models' batch is `--rows`, in float32. Features and codes are made as `engine.data` makes them, from
values in memory.
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
from engine.data.feature_files import FeatureWindows  # noqa: E402
from engine.motion.contacts import foot_contacts  # noqa: E402
from engine.motion.features import rest_features, starter_clip  # noqa: E402
from engine.motion.kinematics import clip_joint_positions  # noqa: E402
from engine.motion.published_features import Layout, layout_width, published_features  # noqa: E402
from engine.specs import AUDIO_HZ, MOTION_FPS, Part  # noqa: E402
from engine.tokenizers.audio_tokenizer import HubertTokenizer  # noqa: E402
from engine.training.stage_recipe import RunRecipe, load_stage_recipe  # noqa: E402
from engine.training.task_loss import TextBatch, TextLoss, collate_text  # noqa: E402
from engine.training.task_rows import TextRow  # noqa: E402
from engine.training.tokenizer_stage import TokenizerJob  # noqa: E402
from engine.training.trainer import Job, Place, Trainer  # noqa: E402

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
    """A job of the published layout whose rows are as long as they may be.

    Args:
        length: Ids of a row's source, and of its target.
    """

    def __init__(self, length: int, batch: int) -> None:
        model = flan_case().model.train().requires_grad_(True)
        self.module: nn.Module = TextLoss(model)
        self.names: tuple[str, ...] = TextLoss.names
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


def tokenizer(name: str, steps: int) -> Measured:
    """Stage 1: one network."""
    recipe = load_stage_recipe(f"published/{name}")
    network = recipe.network
    assert network is not None
    length, width = network.window_frames, layout_width(Layout(network.features))
    random = np.random.default_rng(0)
    frames = random.standard_normal((4096, width)).astype(np.float32)
    starts = np.stack([np.zeros(64, np.int64), np.arange(64, dtype=np.int64) * 63], axis=1)
    windows = FeatureWindows([frames], starts, length)
    speed = windows_per_second(TokenizerJob(recipe, windows, windows), recipe.run, steps)
    epoch = MOTION_H * 3600 * MOTION_FPS / network.stride_frames
    return Measured(
        f"stage 1, {name}: {EPOCHS} epochs", f"{speed:.0f} windows/s", EPOCHS * epoch / speed / 3600
    )


def language(name: str, steps: int, rows: int) -> Measured:
    """Stage 2 or 3."""
    recipe = load_stage_recipe(f"published/{name}")
    assert recipe.windows is not None
    run = recipe.run if CUDA else replace(recipe.run, batch=rows, accumulate=1, precision="no")
    speed = windows_per_second(RandomRows(recipe.windows.max_length, run.batch), run, steps)
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


def features(seconds: float = 60.0) -> Measured:
    """All layouts' features of a clip."""
    lower = rest_features(Part.LOWER, round(seconds * MOTION_FPS))
    clip = replace(starter_clip({Part.LOWER: lower}), basis="smplx")

    def work() -> None:
        for layout in (Layout.FACE_106, Layout.HANDS_180, Layout.UPPER_78, Layout.LOWER_54):
            published_features(clip, layout)
        published_features(clip, Layout.LOWER_61, foot_contacts(clip_joint_positions(clip), clip.fps))

    speed = seconds_per_second(work, seconds)
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
    found = [features(), hubert()]
    found += [tokenizer(name, 20) for name in TOKENIZERS]
    found += [language(name, arguments.steps, arguments.rows) for name in LANGUAGE]
    machine = torch.cuda.get_device_name() if CUDA else f"{torch.get_num_threads()} threads of this CPU"
    print(f"on {machine}; the paper's data: {MOTION_H:.0f} h of motion, {SPEECH_H:.0f} h more of speech")
    print("| step | measured | hours |\n|---|---|---|")
    for row in found:
        print(f"| {row.what} | {row.speed} | {row.hours:,.1f} |")
    print(f"| together, one after another | | {sum(row.hours for row in found):,.0f} |")


if __name__ == "__main__":
    main()
