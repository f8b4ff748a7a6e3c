# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the network that closes the lips, on synthetic voices whose phonemes are known.

Recorded voices differ from synthetic ones in room, microphone and vocal tract, so each crop is heard through
others: its bands are shifted (vocal tract length perturbation, Jaitly and Hinton 2013), coloured and noisy.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..audio.features import NUM_MELS, speech_features
from ..data.performer.lip_reader import disturbed
from ..data.performer.mouth import mouth_from_phonemes
from ..data.synthesis import synthetic_speech
from ..errors import EngineError
from ..lips import LIPS_FILE, LIPS_TABLE, LipCloser, LipConfig, levelled
from ..motion.arrays import FloatArray
from ..packs import Pack, load_pack, rewrite_pack
from ..tokenizers.config import PlainValue, config_to_dict
from .loop import Log
from .pack_export import halved
from .recipe import LipsRecipe

if TYPE_CHECKING:
    from ..data.synthesis import SyntheticSpeech

LIPS_CHECKPOINT = "lips.pt"
CROP_FRAMES, AROUND_FRAMES = 75, 60
"""Frames of motion that are learned of a sentence at a time, and those on either side that are heard for the
level."""

TRACT = 0.09
"""Standard deviation of the logarithm of a vocal tract's length."""

LIPS_SEED = 29


def train_lips(recipe: LipsRecipe, out: Path, seed: int = LIPS_SEED) -> Path:
    """Train the network, unless that was done; return its checkpoint's path.

    Args:
        recipe: The run's figures.
        out: Folder for the checkpoint and the log.
        seed: Of voices, weights and draws.

    Raises:
        EngineError: If no synthetic voice is installed.
    """
    checkpoint = out / LIPS_CHECKPOINT
    if checkpoint.is_file():
        return checkpoint
    rng = np.random.default_rng(seed)
    speech = list(synthetic_speech(recipe.speech_minutes * 60.0, rng))
    if not speech:
        raise EngineError("Lips are learned from synthetic voices; install espeak-ng and flite.")
    torch.manual_seed(seed)
    network = LipCloser(LipConfig(recipe.width))
    fit_lips(network, speech, recipe, Log(out / "log.jsonl", "lips"), rng)
    torch.save({"model": network.state_dict(), "width": recipe.width}, checkpoint)
    return checkpoint


def fit_lips(
    network: LipCloser,
    speech: list[SyntheticSpeech],
    recipe: LipsRecipe,
    log: Log,
    rng: np.random.Generator,
) -> None:
    """Learn from sentences with phoneme times.

    Args:
        network: Is trained in place.
        speech: Sentences.
        recipe: The run's figures.
        log: Told the loss.
        rng: Of crops and disturbances.
    """
    known = [speech_features(spoken.wave) for spoken in speech]
    goals = [
        mouth_from_phonemes(spoken.phonemes, features).press.astype(np.float32)
        for spoken, features in zip(speech, known, strict=True)
    ]
    optimiser = torch.optim.AdamW(network.parameters(), recipe.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.learning_rate, total_steps=recipe.steps)
    running = 0.0
    for step in range(recipe.steps):
        heard, wanted = [], []
        for number in rng.integers(len(known), size=recipe.batch):
            crop, goal = _crop(known[number], goals[number], rng)
            heard.append(crop)
            wanted.append(goal)
        inputs = functional.dropout(torch.from_numpy(np.stack(heard)), recipe.dropout)
        loss = functional.binary_cross_entropy_with_logits(
            network(inputs), torch.from_numpy(np.stack(wanted))
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        now = float(loss.detach())
        running = 0.98 * running + 0.02 * now if step else now
        if (step + 1) % 250 == 0:
            log.write(step + 1, loss=running)


def _crop(features: FloatArray, goal: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Some frames of a sentence from another mouth in another room, (75, 84), and its closed lips, (75,)."""
    begin = int(rng.integers(max(len(goal) - CROP_FRAMES, 0) + 1))
    first = max(begin - AROUND_FRAMES, 0)
    around = features[2 * first : 2 * (begin + CROP_FRAMES + AROUND_FRAMES)]
    around = around[: len(around) // 2 * 2]
    heard = levelled(disturbed(_another_tract(around, rng), rng))[begin - first :][:CROP_FRAMES]
    wanted = goal[begin : begin + len(heard)]
    return (
        np.pad(heard, ((0, CROP_FRAMES - len(heard)), (0, 0))),
        np.pad(wanted, (0, CROP_FRAMES - len(wanted))),
    )


def _another_tract(features: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Speech features as of a longer or shorter vocal tract: the mel bands shifted and stretched."""
    places = np.arange(NUM_MELS) * np.exp(rng.normal(0.0, TRACT)) + rng.normal(0.0, 0.3)
    places = np.clip(places, 0.0, NUM_MELS - 1.0)
    low = places.astype(int)
    share = (places - low).astype(np.float32)
    changed = features.copy()
    changed[:, :NUM_MELS] = (
        features[:, low] * (1.0 - share) + features[:, np.minimum(low + 1, NUM_MELS - 1)] * share
    )
    return changed


def compact_lips(checkpoint: Path) -> tuple[dict[str, Tensor], dict[str, PlainValue]]:
    """What a pack keeps of a checkpoint: float16 weights, and their description."""
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")
    return halved(state["model"]), config_to_dict(LipConfig(state["width"]))


def add_lips(root: Path, checkpoint: Path, out: Path) -> Pack:
    """Write a pack anew with a network for the lips in it.

    Args:
        root: The old pack's folder.
        checkpoint: What `train_lips` left.
        out: Folder to write; an older pack there is replaced, also the old one itself.
    """
    pack = load_pack(root)
    tensors, described = compact_lips(checkpoint)
    return rewrite_pack(pack, out, {LIPS_TABLE: described}, {LIPS_FILE: tensors})
