# SPDX-License-Identifier: GPL-3.0-or-later
"""Stage 1 as a job of the trainer: the published motion tokenizers, with the published losses (spec 2.8)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.feature_files import FeatureWindows
from ..errors import EngineError
from ..motion.published_features import Layout, global_input, layout_width
from ..specs import Part
from ..tokenizers.motion_vqvae import Family, MotionVQVAE, MotionVQVAEConfig
from ..tokenizers.published_losses import face_loss, lower_loss, root_loss, rotation_loss
from .place import Place
from .stage_recipe import StageRecipe, TokenizerNetwork
from .trainer import BEST

ROOT = "root"
"""Name of the network that finds the root's path."""

PUBLISHED_NAMES = {
    "face": "vae_face",
    "hands": "vae_hand",
    "upper": "vae_upper",
    "lower": "vae_lower",
    ROOT: "vae_global",
}
"""Prefix of each network in a published file."""

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    Part.FACE.value: face_loss,
    Part.HANDS.value: rotation_loss,
    Part.UPPER.value: rotation_loss,
    Part.LOWER.value: lower_loss,
}


class TokenizerLoss(nn.Module):
    """The part's own loss and, with weight 1, the quantizer's.

    A part's features are also compared, and the use of its codes counted, when it evaluates.

    Args:
        network: The tokenizer, or the root's network.
        part: A part's name, or `ROOT`.
    """

    names = ("windows",)
    metrics = ("feature_error", "codebook_perplexity")

    def __init__(self, network: MotionVQVAE, part: str) -> None:
        super().__init__()
        self.network, self.part = network, part

    def forward(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Summed loss and measures, and the number of windows of each, (3,) both.

        Measures are the mean absolute error of the features in their own units, and the effective number of
        codes in a batch; both 0 of 0 in training and for the root's network.

        Args:
            batch: Raw features, (B, F, D).
        """
        if self.part == ROOT:
            # Contacts are hidden from the network too (spec 2.8); it must find them.
            output = self.network(global_input(batch[..., :54]))
            fps = self.network.config.frame_fps
            own = root_loss(output.reconstruction, batch[..., 54:57], batch[..., 57:61], fps)
        else:
            output = self.network(batch)
            own = LOSSES[self.part](output.reconstruction, batch)
        mean = own.float() + output.commitment_loss.float()
        means = torch.stack([mean, torch.zeros_like(mean), torch.zeros_like(mean)])
        windows = torch.zeros_like(means)
        windows[0] = len(batch)
        if not self.training and self.part != ROOT:
            error = (output.reconstruction - batch).abs().mean().float()
            means = torch.stack([mean, error, output.perplexity.float().mean()])
            windows[:] = len(batch)
        return means * windows, windows


class TokenizerJob:
    """One network of stage 1.

    Args:
        recipe: The stage's figures.
        train: Windows to learn from.
        held: Held-out windows.
    """

    def __init__(self, recipe: StageRecipe, train: FeatureWindows, held: FeatureWindows) -> None:
        if recipe.network is None:
            raise EngineError("This recipe trains a language model; choose one of stage 1.")
        self.recipe, self.train, self.held = recipe, train, held
        torch.manual_seed(recipe.run.seed)
        self.network = build_network(recipe.network)
        self.module: nn.Module = TokenizerLoss(self.network, recipe.network.part)
        self.names: tuple[str, ...] = TokenizerLoss.names
        self.metrics: tuple[str, ...] = TokenizerLoss.metrics

    def batch(self, place: Place) -> Tensor:
        """Windows of a step, (B, F, D)."""
        return self._draw(self.train, place, 0)

    def held_out(self, place: Place) -> Tensor:
        """Held-out windows."""
        return self._draw(self.held, place, 1)

    def count(self, batch: Any) -> int:
        """Windows."""
        return len(batch)

    def describe(self) -> dict[str, Any]:
        """The network."""
        assert self.recipe.network is not None
        return {"stage": "tokenizer", "part": self.recipe.network.part, **self.network.config.to_dict()}

    def _draw(self, windows: FeatureWindows, place: Place, kind: int) -> Tensor:
        chosen = [int(draw.integers(len(windows))) for draw in place.draws(self.recipe.run, kind)]
        return torch.from_numpy(np.stack([windows[index] for index in chosen]))


def join_tokenizers(folder: Path, out: Path) -> None:
    """Put the best networks of all parts, or of one, into a file of the published layout (spec 2.7).

    Args:
        folder: With one run per part in it: `face`, `hands`, `upper`, `lower`, `root`. Or one run, whose
            network then stands alone in the file, as the four-part release's face does.
        out: File to write.

    Raises:
        EngineError: If a run is missing, is none of stage 1, or has another frame rate than the others.
    """
    state: dict[str, Tensor] = {}
    rates: dict[float, str] = {}
    alone = (folder / BEST).is_file()
    for name in [""] if alone else PUBLISHED_NAMES:
        best = folder / name / BEST
        if not best.is_file():
            raise EngineError(f"There is no {BEST} in {folder.name}/{name}; train that tokenizer first.")
        saved = torch.load(best, weights_only=True, map_location="cpu")
        part = saved["job"].get("part", "") if alone else name
        if part not in PUBLISHED_NAMES:
            raise EngineError(f"The run in {folder.name} is of no tokenizer; choose one of stage 1.")
        rates[saved["job"]["frame_fps"]] = part
        state |= {
            f"{PUBLISHED_NAMES[part]}.{key.removeprefix('network.')}": tensor
            for key, tensor in saved["model"].items()
        }
    if len(rates) > 1:
        told = " and ".join(f"the {part} {fps:g}" for fps, part in rates.items())
        raise EngineError(
            f"A file of all tokenizers has one frame rate, but {told} frames per second; write what differs "
            f"to a file of its own, with {folder.name}/PART as --weights."
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": state}, out)


def build_network(recipe: TokenizerNetwork) -> MotionVQVAE:
    """The untrained network of a recipe.

    Raises:
        EngineError: If the recipe's names are unknown or do not go together.
    """
    try:
        part = None if recipe.part == ROOT else Part(recipe.part)
        config = MotionVQVAEConfig(
            Family(recipe.family),
            feature_dim=layout_width(Layout(recipe.features)),
            width=recipe.width,
            codebook_size=recipe.codebook_size,
            num_layers=recipe.num_layers,
            frame_fps=float(recipe.frame_fps),
        )
    except ValueError as problem:
        raise EngineError(f"The recipe's network cannot be built ({problem}).") from problem
    if (part is None) != (config.family is Family.CONV_PLAIN):
        raise EngineError("The root's network is of the family conv_plain, and only that one.")
    return MotionVQVAE(config, part)
