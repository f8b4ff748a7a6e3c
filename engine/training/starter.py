# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole starter run: data, tokenizers two at a time, the language model in two parts, the pack."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from ..data import text_encoder_export
from ..errors import EngineError
from ..language.text_encoder import TextEncoder, TextEncoderConfig
from ..specs import Part
from .language_training import finish_language, train_language, tune_language
from .lip_training import add_lips, train_lips
from .pack_export import export_pack
from .recipe import LANES, Recipe


def run_starter(recipe: Recipe, recipe_name: str, data: Path, work: Path, pack: Path, scale: float) -> None:
    """Do everything that is not done yet; a killed run goes on where it stopped.

    Args:
        recipe: The run's figures.
        recipe_name: Its name, for the child processes and the pack's card.
        data: Folder with the raw data.
        work: Folder for prepared data, checkpoints and logs.
        pack: Folder the pack is written to.
        scale: Factor on the time budgets, for the child processes.
    """
    prepared, out = work / "data", work / "training"
    prepare_data(data, prepared, recipe.performance_hours)
    encoder = load_text_encoder(work)
    with ThreadPoolExecutor(2) as pool:
        lanes = [pool.submit(_train_lane, names, recipe_name, work, scale) for names in LANES]
        for lane in lanes:
            lane.result().check_returncode()
    train_language(recipe, prepared, out, encoder)
    tune_language(recipe, prepared, out, encoder)
    if recipe.finish is not None:
        finish_language(recipe, prepared, out, encoder)
    export_pack(recipe, recipe_name, out, work / "text_encoder", pack)
    try:
        add_lips(pack, train_lips(recipe.lips, out), pack)
    except EngineError as problem:
        print(f"The pack has nothing that closes the lips: {problem}", flush=True)


def prepare_data(data: Path, prepared: Path, hours: float) -> None:
    """Convert captured motion and make the performances, unless they are there."""
    if not (prepared / "captured.json").exists():
        _python("engine.data.captured", "--data", str(data), "--out", str(prepared)).check_returncode()
    if not (prepared / "performances" / "index.json").exists():
        _python(
            "engine.data.performer", "--data", str(data), "--out", str(prepared), "--hours", str(hours)
        ).check_returncode()


def load_text_encoder(work: Path) -> TextEncoder:
    """Export the frozen sentence encoder if needed, and load it."""
    folder = work / "text_encoder"
    if not (folder / text_encoder_export.WEIGHTS_FILE).exists():
        text_encoder_export.export_text_encoder(folder)
    from safetensors.torch import load_file

    tensors = load_file(folder / text_encoder_export.WEIGHTS_FILE)
    return TextEncoder.load(TextEncoderConfig(), tensors, folder / text_encoder_export.TOKENIZER_FILE)


def _train_lane(
    names: tuple[str, ...], recipe_name: str, work: Path, scale: float
) -> subprocess.CompletedProcess[str]:
    last: subprocess.CompletedProcess[str] | None = None
    threads = "1" if not torch.cuda.is_available() else str(os.cpu_count() or 1)
    for name in names:
        last = _python(
            "engine.training",
            "tokenizer",
            "--part",
            name,
            "--recipe",
            recipe_name,
            "--work",
            str(work),
            "--scale",
            str(scale),
            threads=threads,
        )
        last.check_returncode()
    assert last is not None
    return last


def _python(module: str, *arguments: str, threads: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ)
    if threads:
        environment["OMP_NUM_THREADS"] = threads
    return subprocess.run([sys.executable, "-m", module, *arguments], env=environment, check=False, text=True)


TOKENIZER_NAMES = (*(part.value for part in Part), "audio")
