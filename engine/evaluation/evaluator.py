# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own evaluator of text and motion, and our own gesture features, trained on our data and called ours.

The field's evaluator reads HumanML3D features and its weights were trained on AMASS; neither is at hand, and
its numbers on another skeleton mean little. This one has the same purpose: a motion encoder and a projection
of the frozen sentence encoder, trained so that a motion lies near its own caption and far from others
(InfoNCE, van den Oord et al. 2018, arXiv 1807.03748). Both its embeddings are of unit length. Its figures
compare packs measured here; they do not compare with published ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import EngineError
from ..language.text_encoder import TextEncoder
from ..motion.arrays import FloatArray
from ..motion.clip import Clip
from ..motion.features import STARTER_DIMS, starter_features
from ..specs import Part
from ..weights.safetensors_file import write_safetensors
from ..whole_files import whole_file

BODY = (Part.LOWER, Part.UPPER)
WIDTH = 128
WINDOW_FRAMES = 60
"""Frames a clip is cut to in training; longer clips are averaged over such windows."""

TEMPERATURE = 0.1

MOST_CAPTIONS = 8
"""Captions of one motion that are learned from: the sentence encoder is most of the work."""


@dataclass(frozen=True)
class Captioned:
    """A motion with what it is called.

    Attributes:
        features: Starter features of lower and upper body, (F, 140).
        captions: Texts that hold for it.
        action: Its class: motions of one class are never each other's negatives.
    """

    features: FloatArray
    captions: tuple[str, ...]
    action: str


class MotionEncoder(nn.Module):
    """Features (B, F, 140) -> embeddings of unit length, (B, WIDTH)."""

    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        dims = sum(STARTER_DIMS[part] for part in BODY)
        self.register_buffer("feature_mean", torch.zeros(dims))
        self.register_buffer("feature_std", torch.ones(dims))
        layers: list[nn.Module] = []
        for source in (dims, width, width):
            layers += [nn.Conv1d(source, width, 5, stride=2, padding=2), nn.GELU(), nn.GroupNorm(8, width)]
        self.layers = nn.Sequential(*layers)
        self.project = nn.Linear(2 * width, WIDTH)

    def forward(self, features: Tensor) -> Tensor:
        """Embed motions."""
        x = self.layers(((features - self.feature_mean) / self.feature_std).transpose(1, 2))
        pooled = torch.cat([x.mean(dim=2), x.amax(dim=2)], dim=1)
        return functional.normalize(self.project(pooled), dim=-1)


class Evaluator(nn.Module):
    """Motion and text in one space.

    Args:
        text_width: Width of the sentence encoder.
    """

    def __init__(self, text_width: int) -> None:
        super().__init__()
        self.motion = MotionEncoder()
        self.text = nn.Sequential(nn.Linear(text_width, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))

    def embed_sentences(self, pooled: Tensor) -> Tensor:
        """Pooled sentence states, (B, text width) -> (B, WIDTH)."""
        return functional.normalize(self.text(pooled), dim=-1)

    @torch.inference_mode()
    def embed_texts(self, encoder: TextEncoder, texts: Sequence[str]) -> FloatArray:
        """Embeddings of texts, (N, WIDTH)."""
        return self.embed_sentences(pooled_states(encoder, texts)).numpy()

    @torch.inference_mode()
    def embed_clips(self, clips: Sequence[Clip]) -> FloatArray:
        """Embeddings of clips, (N, WIDTH): the mean over windows, brought back to unit length."""
        return np.stack([self._embed(body_features(clip)) for clip in clips])

    @torch.inference_mode()
    def embed_features(self, features: Sequence[FloatArray]) -> FloatArray:
        """The same of starter features, (F, 140) each."""
        return np.stack([self._embed(values) for values in features])

    def _embed(self, features: FloatArray) -> FloatArray:
        count = max(1, round(len(features) / WINDOW_FRAMES))
        starts = np.linspace(0, max(len(features) - WINDOW_FRAMES, 0), count).round().astype(int)
        windows = np.stack([_cut(features, start) for start in starts.tolist()])
        return functional.normalize(self.motion(torch.from_numpy(windows)).mean(0), dim=-1).numpy()


def body_features(clip: Clip) -> FloatArray:
    """Lower and upper starter features of a clip, (F, 140)."""
    held = starter_features(clip)
    return np.concatenate([held[part] for part in BODY], axis=1).astype(np.float32)


def pooled_states(encoder: TextEncoder, texts: Sequence[str]) -> Tensor:
    """Pooled sentence states, (N, text width)."""
    pieces = [encoder.encode(texts[begin : begin + 64]).pooled for begin in range(0, len(texts), 64)]
    return torch.cat(pieces)


def train_evaluator(
    items: Sequence[Captioned], encoder: TextEncoder, *, steps: int = 1500, batch: int = 64, seed: int = 0
) -> Evaluator:
    """Train the evaluator.

    Args:
        items: Training motions; never held-out ones.
        encoder: Frozen sentence encoder.
        steps: Optimiser steps.
        batch: Motions per step, drawn evenly over classes.
        seed: Of weights and draws.

    Raises:
        EngineError: If there are fewer than two classes.
    """
    classes = sorted({item.action for item in items})
    if len(classes) < 2:
        raise EngineError("The evaluator needs captioned motions of two kinds at least.")
    of_class = {name: [item for item in items if item.action == name] for name in classes}
    captions = sorted({caption for item in items for caption in item.captions[:MOST_CAPTIONS]})
    rows = {caption: row for row, caption in enumerate(captions)}
    states = pooled_states(encoder, captions)
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    model = Evaluator(states.shape[1])
    stacked = torch.from_numpy(np.concatenate([item.features for item in items]))
    model.motion.feature_mean.copy_(stacked.mean(0))
    model.motion.feature_std.copy_(stacked.std(0).clamp_min(1e-2))
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        chosen = [random.choice(classes) for _ in range(batch)]
        drawn = [of_class[name][int(random.integers(len(of_class[name])))] for name in chosen]
        windows = np.stack([_cut(i.features, int(random.integers(0, len(i.features)))) for i in drawn])
        told = [rows[str(random.choice(item.captions[:MOST_CAPTIONS]))] for item in drawn]
        motions, texts = model.motion(torch.from_numpy(windows)), model.embed_sentences(states[told])
        logits = motions @ texts.T / TEMPERATURE
        names = np.array([item.action for item in drawn])
        same = torch.from_numpy((names[:, None] == names[None]) & ~np.eye(batch, dtype=bool))
        logits = logits.masked_fill(same, float("-inf"))
        own = torch.arange(batch)
        loss = functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def load_or_train(
    path: Path, items: Sequence[Captioned], encoder: TextEncoder, steps: int = 1500
) -> Evaluator:
    """The evaluator kept in a file, or a new one that is then kept there.

    Raises:
        EngineError: If the file is of another evaluator.
    """
    from safetensors.torch import load_file

    if not path.exists():
        model = train_evaluator(items, encoder, steps=steps)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as draft:
            write_safetensors(model.state_dict(), draft)
        return model
    model = Evaluator(encoder.config.width)
    try:
        model.load_state_dict(load_file(path))
    except RuntimeError as problem:
        raise EngineError(
            f"{path.name} is of another evaluator; delete it, and it is trained anew."
        ) from problem
    return model.eval()


def _cut(features: FloatArray, start: int) -> FloatArray:
    """A window, the last frame repeated where the motion is shorter."""
    start = max(0, min(start, len(features) - WINDOW_FRAMES))
    cut = features[start : start + WINDOW_FRAMES]
    return np.concatenate([cut, np.repeat(cut[-1:], WINDOW_FRAMES - len(cut), axis=0)])
