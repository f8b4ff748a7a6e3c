# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own features for the Frechet gesture distance: an autoencoder of body motion, trained on our data.

The published distance compares motions in the latents of an autoencoder trained on BEAT2 (`aeskconv`); its
weights are not ours to ship. This one has the same purpose on the starter's features: legs, root, upper body
and hands of performances, four halvings of time, so that a latent covers 16 frames as there. Its figures
compare packs measured with the same file and never with published ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import EngineError
from ..motion.arrays import FloatArray
from ..motion.clip import Clip
from ..motion.features import STARTER_DIMS, starter_features
from ..specs import Part
from ..weights.safetensors_file import write_safetensors
from ..whole_files import whole_file

BODY = (Part.LOWER, Part.UPPER, Part.HANDS)
WIDTH = 128
LATENT = 32
"""Few enough that the covariance of some hundred latents is known."""

HALVINGS = 4
STRIDE = 2**HALVINGS
WINDOW_FRAMES = 64
STEPS = 400
BATCH = 32
AUTOENCODER = "gesture_autoencoder.safetensors"
"""File that keeps a trained one, beside the prepared data."""

LEAST_STD = 0.03
"""Floor of a feature's deviation: what hardly moves must not be blown up."""


class GestureAutoencoder(nn.Module):
    """Whole-body features (B, F, 320) -> latents (B, LATENT, F / 16) and back."""

    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self) -> None:
        super().__init__()
        dims = sum(STARTER_DIMS[part] for part in BODY)
        self.register_buffer("feature_mean", torch.zeros(dims))
        self.register_buffer("feature_std", torch.ones(dims))
        down: list[nn.Module] = []
        up: list[nn.Module] = [nn.Conv1d(LATENT, WIDTH, 1)]
        for level in range(HALVINGS):
            down += [nn.Conv1d(WIDTH if level else dims, WIDTH, 4, stride=2, padding=1), nn.GELU()]
            up += [nn.GELU(), nn.ConvTranspose1d(WIDTH, WIDTH, 4, stride=2, padding=1)]
        self.encoder = nn.Sequential(*down, nn.Conv1d(WIDTH, LATENT, 1))
        self.decoder = nn.Sequential(*up, nn.GELU(), nn.Conv1d(WIDTH, dims, 3, padding=1))

    def normalised(self, features: Tensor) -> Tensor:
        """Features (B, F, D) -> (B, D, F), each of mean 0 and deviation 1 over the training data."""
        return ((features - self.feature_mean) / self.feature_std).transpose(1, 2)

    def forward(self, features: Tensor) -> Tensor:
        """Mean squared error of what comes back, in deviations."""
        wanted = self.normalised(features)
        return functional.mse_loss(self.decoder(self.encoder(wanted)), wanted)

    @torch.inference_mode()
    def latents(self, clips: Sequence[Clip]) -> FloatArray:
        """Latents of all clips, one after the other, (N, LATENT); one covers 16 frames.

        Raises:
            EngineError: If no clip is long enough.
        """
        found: list[FloatArray] = []
        for clip in clips:
            frames = clip.num_frames // STRIDE * STRIDE
            if frames:
                features = torch.from_numpy(whole_body(clip)[None, :frames])
                found.append(self.encoder(self.normalised(features))[0].T.numpy())
        if not found:
            raise EngineError(f"A clip needs {STRIDE} frames for the gesture distance.")
        return np.concatenate(found)

    @torch.inference_mode()
    def error(self, motions: Sequence[FloatArray]) -> float:
        """Share of the variance of windows that does not come back; 1 for a decoder that tells the mean.

        Args:
            motions: Whole-body features, (F, 320) each, of at least a window.
        """
        windows = [m[a : a + WINDOW_FRAMES] for m in motions for a in range(0, len(m) - 63, WINDOW_FRAMES)]
        batch = torch.from_numpy(np.stack(windows))
        return float(self(batch) / self.normalised(batch).square().mean())


def whole_body(clip: Clip) -> FloatArray:
    """Legs with root, upper body and hands of a clip, (F, 320)."""
    held = starter_features(clip)
    return np.concatenate([held[part] for part in BODY], axis=1).astype(np.float32)


def train_autoencoder(
    motions: Sequence[FloatArray], *, steps: int = STEPS, seed: int = 0
) -> GestureAutoencoder:
    """Train the autoencoder; about a minute on one core.

    Args:
        motions: Whole-body features, (F, 320) each; never held-out ones.
        steps: Optimiser steps.
        seed: Of weights and draws.

    Raises:
        EngineError: If no motion is as long as a window.
    """
    held = [motion for motion in motions if len(motion) >= WINDOW_FRAMES]
    if not held:
        raise EngineError("The gesture autoencoder needs motions of two seconds at least.")
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    model = GestureAutoencoder()
    sample = torch.from_numpy(np.concatenate([motion[::5] for motion in held]))
    model.feature_mean.copy_(sample.mean(0))
    model.feature_std.copy_(sample.std(0).clamp_min(LEAST_STD))
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    shares = np.array([len(motion) for motion in held]) / sum(len(motion) for motion in held)
    for _ in range(steps):
        drawn = [held[int(number)] for number in random.choice(len(held), BATCH, p=shares)]
        starts = [int(random.integers(len(motion) - WINDOW_FRAMES + 1)) for motion in drawn]
        windows = [m[begin : begin + WINDOW_FRAMES] for m, begin in zip(drawn, starts, strict=True)]
        loss = model(torch.from_numpy(np.stack(windows)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def load_or_train_autoencoder(path: Path, data: Path, steps: int = STEPS) -> GestureAutoencoder:
    """The autoencoder kept in a file, or a new one of the prepared performances that is then kept there.

    Args:
        path: The file.
        data: Folder of the prepared data.
        steps: Optimiser steps of a new one.

    Raises:
        EngineError: If the data is absent, or the file is of another autoencoder.
    """
    if path.exists():
        return load_autoencoder(path)
    model = train_autoencoder(performance_motions(data, "train"), steps=steps)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as draft:
        write_safetensors(model.state_dict(), draft)
    return model


def load_autoencoder(path: Path) -> GestureAutoencoder:
    """The autoencoder kept in a file.

    Raises:
        EngineError: If the file is of another autoencoder.
    """
    from safetensors.torch import load_file

    model = GestureAutoencoder()
    try:
        model.load_state_dict(load_file(path))
    except RuntimeError as problem:
        raise EngineError(
            f"{path.name} is of another autoencoder; delete it, and it is trained anew."
        ) from problem
    return model.eval()


def performance_motions(data: Path, split: str) -> list[FloatArray]:
    """Whole-body features of the prepared performances, (F, 320) each.

    Args:
        data: Folder of the prepared data.
        split: "train" or "held".
    """
    from ..training.corpora import load_performances

    return [
        np.concatenate([sequence.features[part] for part in BODY], axis=1)
        for sequence in load_performances(data, split)
    ]
