# SPDX-License-Identifier: GPL-3.0-or-later
"""Speech to codes: the starter's own tokenizer, and HuBERT + k-means of the published models."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..audio.features import FEATURE_HZ, LOUDNESS, NUM_FEATURES
from ..errors import AudioError, PackError
from ..specs import AUDIO_HZ
from .motion_vqvae import Family, MotionVQVAE, MotionVQVAEConfig
from .quantizer import nearest_codes

if TYPE_CHECKING:
    from transformers import HubertModel

HUBERT_STRIDE = 320
"""Samples per HuBERT step: 50 steps per second."""

HUBERT_RECEPTIVE_FIELD = 400
"""Samples that the first step of HuBERT's convolutions sees."""

NORM_FRAMES = 16_000
"""Frames of the first convolution (3200 per second) that are summed up at once."""

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


class _Scaled(nn.Module):
    """x times a scale plus a shift, (B, channels, 1) each."""

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, T) -> same, in place."""
        return x.mul_(self.scale).add_(self.shift)


class HubertTokenizer(nn.Module):
    """HuBERT hidden states to the nearest k-means centre, 50 codes per second (spec section 5).

    Long sounds are read in chunks that share context on both sides; of each chunk only the steps
    inside it are kept, so no step is lost between chunks and none drifts. The first convolution's
    normalisation is that of the whole sound. Samples are not normalised.

    Args:
        model: The network, in evaluation mode.
        centres: K-means centres, (K, hidden size), float32.
        layer: Hidden state compared with the centres: 12 as in the published scripts, 9 is the
            layer the published centres were fitted on; 0 is the input of the first layer.
        chunk_s: Seconds of sound whose steps are kept from one pass.
        context_s: Seconds of sound added on both sides of a chunk.
    """

    centres: Tensor
    stride = HUBERT_STRIDE
    num_quantizers = 1

    def __init__(
        self,
        model: HubertModel,
        centres: Tensor,
        *,
        layer: int = 12,
        chunk_s: float = 30.0,
        context_s: float = 2.0,
    ) -> None:
        super().__init__()
        config = model.config
        if not 0 <= layer <= config.num_hidden_layers:
            raise PackError(
                f"The speech model has {config.num_hidden_layers} layers, so layer {layer} cannot be read; "
                "choose a lower one."
            )
        if centres.ndim != 2 or centres.shape[1] != config.hidden_size:
            raise PackError(
                f"The speech model's centres have shape {tuple(centres.shape)} but need "
                f"{config.hidden_size} columns; use the centres made for this model."
            )
        if int(np.prod(config.conv_stride)) != HUBERT_STRIDE:
            raise PackError("The speech model does not give 50 steps per second; use a HuBERT base model.")
        self.model = model.eval()
        self.layer = layer
        self.chunk_steps = max(1, round(chunk_s * AUDIO_HZ / HUBERT_STRIDE))
        self.context_steps = max(0, round(context_s * AUDIO_HZ / HUBERT_STRIDE))
        self.register_buffer("centres", centres.float())

    @classmethod
    def from_files(
        cls, model_dir: Path, centres_path: Path, *, layer: int = 12, device: str | torch.device = "cpu"
    ) -> HubertTokenizer:
        """Load a local transformers folder (config.json + model.safetensors) and an npz of centres.

        Args:
            model_dir: Folder in the layout of `facebook/hubert-base-ls960`.
            centres_path: npz with the array `centres` (K, hidden size).
            layer: See the class.
            device: Where the network runs.

        Raises:
            PackError: If a file is missing, unsafe or does not fit.
        """
        for path in (model_dir / "config.json", model_dir / "model.safetensors", centres_path):
            if not path.is_file():
                raise PackError(f"The speech model's file {path.name} is missing; copy it there.")
        from safetensors import SafetensorError
        from transformers import HubertConfig, HubertModel

        try:
            config = HubertConfig(**json.loads((model_dir / "config.json").read_text("utf-8")))
            model, report = HubertModel.from_pretrained(  # type: ignore[misc]
                model_dir,
                config=config,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
        except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as problem:
            raise PackError(
                f"The speech model in {model_dir.name} cannot be read ({problem}); download it again."
            ) from problem
        # Neither the mask vector (training only) nor anything else may be silently random.
        if lost := [key for key in report["missing_keys"] if not key.endswith("masked_spec_embed")]:
            raise PackError(
                f"The speech model in {model_dir.name} lacks {len(lost)} weights, such as {lost[0]}; "
                "download it again."
            )
        try:
            with np.load(centres_path, allow_pickle=False) as data:
                centres = torch.from_numpy(np.asarray(data["centres"], dtype=np.float32))
        except (OSError, ValueError, KeyError) as problem:
            raise PackError(
                f"{centres_path.name} does not hold the speech model's centres; make it again with the "
                "array named centres."
            ) from problem
        return cls(model, centres, layer=layer).to(device)

    @property
    def frame_rate(self) -> float:
        """Code steps per second."""
        return AUDIO_HZ / HUBERT_STRIDE

    @property
    def codebook_size(self) -> int:
        """Number of centres."""
        return len(self.centres)

    @torch.no_grad()
    def hidden_states(self, waveform: Tensor) -> Tensor:
        """States of the chosen layer.

        Args:
            waveform: Samples at 16 kHz in [-1, 1], (B, N).

        Returns:
            (B, T, hidden size) with T = (N - 400) // 320 + 1.

        Raises:
            AudioError: If the sound is shorter than one step.
        """
        num_samples = waveform.shape[1]
        if num_samples < HUBERT_RECEPTIVE_FIELD:
            raise AudioError("The sound is too short to hold speech; choose one of at least 0.25 seconds.")
        steps = (num_samples - HUBERT_RECEPTIVE_FIELD) // HUBERT_STRIDE + 1
        kept: list[Tensor] = []
        with self._normalised_as_a_whole(waveform):
            for start in range(0, steps, self.chunk_steps):
                stop = min(start + self.chunk_steps, steps)
                first = max(0, start - self.context_steps)
                last = min(steps, stop + self.context_steps)
                # The last pass takes the samples after its last step too, as a pass over the whole would.
                end = num_samples if last == steps else (last - 1) * HUBERT_STRIDE + HUBERT_RECEPTIVE_FIELD
                output = self.model(waveform[:, first * HUBERT_STRIDE : end], output_hidden_states=True)
                kept.append(output.hidden_states[self.layer][:, start - first : stop - first].clone())
        return torch.cat(kept, 1)

    @contextmanager
    def _normalised_as_a_whole(self, waveform: Tensor) -> Generator[None]:
        """Have the first convolution's normalisation, which goes over time, see the whole sound (B, N).

        A chunk alone would be normalised by itself, so that codes would depend on how a sound is cut.
        """
        first: Any = self.model.feature_extractor.conv_layers[0]
        norm = first.layer_norm
        if not isinstance(norm, nn.GroupNorm) or waveform.shape[1] <= self.chunk_steps * HUBERT_STRIDE:
            yield
            return
        kernel, stride = first.conv.kernel_size[0], first.conv.stride[0]
        count, sums = (waveform.shape[1] - kernel) // stride + 1, []
        for start in range(0, count, NORM_FRAMES):
            stop = min(start + NORM_FRAMES, count)
            y = first.conv(waveform[:, None, start * stride : (stop - 1) * stride + kernel])
            plain = y.sum(-1, dtype=torch.float64)
            sums.append(torch.stack([plain, y.square_().sum(-1, dtype=torch.float64)]))
        mean, square = torch.stack(sums).sum(0) / count  # (B, channels) each
        scale = norm.weight * (square - mean.square() + norm.eps).rsqrt()
        first.layer_norm = _Scaled(scale[..., None].float(), (norm.bias - mean * scale)[..., None].float())
        try:
            yield
        finally:
            first.layer_norm = norm

    @torch.no_grad()
    def encode_as_published(self, waveform: Tensor) -> Tensor:
        """Codes (1, T), int64, of samples at 16 kHz (1, N) as the published script makes them.

        It reads 100 s at a time, each alone; chunks too short for one step are dropped (spec 5).

        Raises:
            AudioError: If the sound is shorter than one step.
        """
        kept = [
            self.model(chunk, output_hidden_states=True).hidden_states[self.layer][0]
            for chunk in waveform.split(PUBLISHED_CHUNK, 1)
            if chunk.shape[1] >= HUBERT_RECEPTIVE_FIELD
        ]
        if not kept:
            raise AudioError("The sound is too short to hold speech; choose one of at least 0.25 seconds.")
        return nearest_codes(torch.cat(kept), self.centres)[None]

    def encode(self, features: Tensor) -> Tensor:
        """Codes (B, T), int64, of samples at 16 kHz (B, N); see `hidden_states`."""
        states = self.hidden_states(features)
        return nearest_codes(states.flatten(0, 1), self.centres).reshape(states.shape[:2])
