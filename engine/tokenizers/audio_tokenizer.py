# SPDX-License-Identifier: GPL-3.0-or-later
"""Speech to codes: the starter's own tokenizer, and HuBERT + k-means of the published models."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..audio.features import FEATURE_HZ, LOUDNESS, NUM_FEATURES
from ..errors import AudioError, PackError
from ..specs import AUDIO_HZ, CancelCheck
from .hubert import Hubert
from .hubert_pass import BLOCK_STEPS, HUBERT_RECEPTIVE_FIELD, HUBERT_STRIDE, HubertPass
from .motion_vqvae import Family, MotionVQVAE, MotionVQVAEConfig
from .quantizer import nearest_codes

if TYPE_CHECKING:
    from transformers import HubertModel

REACH_S = 90.0
"""Seconds that attention hears on both sides: sounds of up to two minutes are heard whole."""

PUBLISHED_CHUNK = 1_600_000
"""Samples that the published script reads at once."""


def starter_audio_config(
    *, width: int = 128, codebook_size: int = 256, num_quantizers: int = 2, code_dim: int = 96
) -> MotionVQVAEConfig:
    """Configuration of the starter's audio tokenizer: 60 Hz features, 15 steps per second."""
    return MotionVQVAEConfig(
        family=Family.STARTER,
        feature_dim=NUM_FEATURES,
        width=width,
        codebook_size=codebook_size,
        num_layers=3,
        num_quantizers=num_quantizers,
        code_dim=code_dim,
        frame_fps=float(FEATURE_HZ),
    )


class StarterAudioTokenizer(MotionVQVAE):
    """The starter's motion network on speech features: (B, 2F, 44) at 60 Hz to (B, T * Q) codes.

    F motion frames at 30 fps make T = ceil(F / 2) steps. `decode` rebuilds the features, which
    training needs; nothing plays them.

    Args:
        config: From `starter_audio_config`.
    """

    def __init__(self, config: MotionVQVAEConfig) -> None:
        if config.family is not Family.STARTER or config.feature_dim != NUM_FEATURES:
            raise PackError(
                f"The pack's speech tokenizer must read {NUM_FEATURES} features; "
                "use a pack made for this version of Kinesics."
            )
        super().__init__(config)


def speech_statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of speech features (N, 44) for `set_statistics`, (44,) each."""
    features = features.float()
    return features.mean(0), features.std(0, unbiased=False).clamp_min(0.05)


def speech_channel_weights(prosody: float = 6.0) -> Tensor:
    """Weight of each speech feature, (44,): loudness, onsets, pitch and voicing lead.

    Args:
        prosody: Weight of the four prosody channels; the 40 mels have 1.
    """
    weights = torch.ones(NUM_FEATURES)
    weights[LOUDNESS:] = prosody
    return weights


class HubertTokenizer(nn.Module):
    """HuBERT hidden states to the nearest k-means centre, 50 codes per second (spec section 5).

    A sound is read as a whole, in bounded memory (`hubert_pass`): no step is lost and none drifts. Samples
    are not normalised.

    Args:
        model: The network, in evaluation mode: the one here, or transformers', whose names are the same.
        centres: K-means centres, (K, hidden size), float32.
        layer: Hidden state compared with the centres: 12 as in the published scripts, 9 is the
            layer the published centres were fitted on; 0 is the input of the first layer.
        reach_s: Seconds of sound that attention hears on both sides, at least; in a sound of up to that
            length each moment hears all of it.
        layers: Gives the transformer's layers one after the other, each ready to work; None takes them as
            they are in the network.
    """

    centres: Tensor
    stride = HUBERT_STRIDE
    num_quantizers = 1

    def __init__(
        self,
        model: Hubert | HubertModel,
        centres: Tensor,
        *,
        layer: int = 12,
        reach_s: float = REACH_S,
        layers: Callable[[], Iterable[nn.Module]] | None = None,
    ) -> None:
        super().__init__()
        parts: Any = model  # the modules inside are known by their names
        num_layers, (width,) = len(parts.encoder.layers), parts.encoder.layer_norm.normalized_shape
        if not 0 <= layer <= num_layers:
            raise PackError(
                f"The speech model has {num_layers} layers, so layer {layer} cannot be read; "
                "choose a lower one."
            )
        if centres.ndim != 2 or centres.shape[1] != width:
            raise PackError(
                f"The speech model's centres have shape {tuple(centres.shape)} but need "
                f"{width} columns; use the centres made for this model."
            )
        strides = [layer.conv.stride[0] for layer in parts.feature_extractor.conv_layers]
        if math.prod(strides) != HUBERT_STRIDE:
            raise PackError("The speech model does not give 50 steps per second; use a HuBERT base model.")
        if not isinstance(model, Hubert) and model.config.do_stable_layer_norm:
            raise PackError("The speech model is one of the large kinds; use a HuBERT base model.")
        self.model = model.eval()
        self.layer = layer
        self.reach_steps = max(1, round(reach_s * self.frame_rate / BLOCK_STEPS)) * BLOCK_STEPS
        self.layers = layers or model.get_submodule("encoder.layers").children
        self.register_buffer("centres", centres.float())

    @property
    def frame_rate(self) -> float:
        """Code steps per second."""
        return AUDIO_HZ / HUBERT_STRIDE

    @property
    def codebook_size(self) -> int:
        """Number of centres."""
        return len(self.centres)

    @torch.no_grad()
    def hidden_states(self, waveform: Tensor, cancel: CancelCheck | None = None) -> Tensor:
        """States of the chosen layer.

        Args:
            waveform: Samples at 16 kHz in [-1, 1], (B, N).
            cancel: Asked meanwhile.

        Returns:
            (B, T, hidden size) with T = (N - 400) // 320 + 1.

        Raises:
            AudioError: If the sound is shorter than one step.
            Cancelled: When `cancel` said so.
        """
        if waveform.shape[1] < HUBERT_RECEPTIVE_FIELD:
            raise AudioError("The sound is too short to hold speech; choose one of at least 0.25 seconds.")
        layers = islice(self.layers(), self.layer)
        return HubertPass(self.model, layers, self.reach_steps, cancel).states(waveform)

    def encode_as_published(self, waveform: Tensor, cancel: CancelCheck | None = None) -> Tensor:
        """Codes (1, T), int64, of samples at 16 kHz (1, N) as the published script makes them.

        It reads 100 s at a time, each alone; chunks too short for one step are dropped (spec 5).

        Raises:
            AudioError: If the sound is shorter than one step.
            Cancelled: When `cancel` said so.
        """
        chunks = waveform.split(PUBLISHED_CHUNK, 1)
        kept = [chunk for chunk in chunks if chunk.shape[1] >= HUBERT_RECEPTIVE_FIELD]
        return torch.cat([self.encode(chunk, cancel) for chunk in kept or chunks], 1)

    def encode(self, features: Tensor, cancel: CancelCheck | None = None) -> Tensor:
        """Codes (B, T), int64, of samples at 16 kHz (B, N); see `hidden_states`."""
        states = self.hidden_states(features, cancel)
        return nearest_codes(states.flatten(0, 1), self.centres).reshape(states.shape[:2])
