# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion VQ-VAEs: one class for every published architecture family and for the starter pack.

The networks are those of EMAGE / Language of Motion (`lom/archs/lom_vq.py`), with their state-dict
keys, so that published weights load with `strict=True`. The starter family is the 4x family with a
residual quantizer, a 1x1 projection to a smaller code space, and its own feature normalisation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn

from ..motion.features import LOWER_CONTACTS, STARTER_DIMS
from ..specs import MOTION_FPS, Part
from .base import split_levels
from .config import PlainValue, config_from_dict, config_to_dict
from .quantizer import EMAResidualQuantizer, PublishedQuantizer, Quantized

LEAKY_SLOPE = 0.2
"""Negative slope of every LeakyReLU in the published networks."""

STRETCH_STEPS = 512
"""Code steps that the networks read at once."""

CONTEXT_STEPS = 32
"""Steps read beyond a stretch: three times what the deepest network sees."""


class Family(StrEnum):
    """Architecture families; the comment gives the class name in the published code."""

    STARTER = "starter"  # ours: the networks of DSUS_PAPER, residual quantizer
    CONV = "conv"  # VQVAEConvZero: no down-sampling
    CONV_PLAIN = "conv_plain"  # VAEConvZero: the same without quantizer (global translation)
    DSUS_PAPER = "dsus_paper"  # VQVAEConvZeroDSUS_PaperVersion: stride 2^(L-1)
    DSUS1_PAPER = "dsus1_paper"  # VQVAEConvZeroDSUS1_PaperVersion: stride 1
    DSUS2_PAPER = "dsus2_paper"  # VQVAEConvZeroDSUS2_PaperVersion: stride 2^(L-2)
    DSUS = "dsus"  # VQVAEConvZeroDSUS: kernel 4, stride 2^L, L <= 2


@dataclass(frozen=True)
class MotionVQVAEConfig:
    """Shape of one motion tokenizer.

    Attributes:
        family: Architecture family.
        feature_dim: Features per frame (D).
        width: Channels of the convolutions (`code_num` of the published code).
        codebook_size: Entries per codebook (K).
        num_layers: Layers (L, `vae_layer` of the published code).
        num_quantizers: Codes per step (Q); 1 outside the starter family.
        code_dim: Size of a codebook entry in the starter family; elsewhere it equals `width`.
        frame_fps: Frames per second of the features.
        ema_decay: Decay of the codebook averages (starter).
        reset_below: Average use per batch below which a code is replaced (starter).
        level_dropout: Share of training sequences rebuilt from fewer levels (starter).
        unit_start: First feature channel that lives in [0, 1]; decoding clips to it (starter).
        unit_stop: End of those channels; equal to `unit_start` when there are none.
    """

    family: Family
    feature_dim: int
    width: int = 256
    codebook_size: int = 256
    num_layers: int = 3
    num_quantizers: int = 1
    code_dim: int = 128
    frame_fps: float = float(MOTION_FPS)
    ema_decay: float = 0.99
    reset_below: float = 0.3
    level_dropout: float = 0.0
    unit_start: int = 0
    unit_stop: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "family", Family(self.family))
        if self.family is not Family.STARTER and self.num_quantizers != 1:
            raise ValueError("Only the starter family has more than one code per step.")
        if self.family is Family.DSUS and self.num_layers > 2:
            raise ValueError("The kernel-4 family is only defined for one or two layers.")
        if min(self.feature_dim, self.width, self.codebook_size, self.num_layers) < 1:
            raise ValueError("Sizes of a motion tokenizer must be positive.")

    @property
    def stride(self) -> int:
        """Frames per code step."""
        layers = self.num_layers
        if self.family in (Family.STARTER, Family.DSUS_PAPER):
            return 2 ** (layers - 1)
        if self.family is Family.DSUS2_PAPER:
            return 2 ** max(layers - 2, 0)
        return 2**layers if self.family is Family.DSUS else 1

    def to_dict(self) -> dict[str, PlainValue]:
        """Plain values for `pack.toml`."""
        return config_to_dict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object], what: str = "a body part") -> MotionVQVAEConfig:
        """Read what `to_dict` wrote; raises `PackError` naming `what` if it cannot be used."""
        return config_from_dict(cls, values, what)


@dataclass(frozen=True)
class VQVAEOutput:
    """One training pass.

    Attributes:
        reconstruction: Rebuilt features in raw scale, (B, F, D).
        normalised_reconstruction: The same in normalised scale, (B, F, D).
        normalised_target: Input in normalised scale, (B, F, D).
        commitment_loss: Loss of the quantizer, ().
        codes: (B, T, Q), int64.
        perplexity: Effective number of codes per level, (Q,).
    """

    reconstruction: Tensor
    normalised_reconstruction: Tensor
    normalised_target: Tensor
    commitment_loss: Tensor
    codes: Tensor
    perplexity: Tensor


class ResBlock(nn.Module):
    """x + conv(leaky(conv(x))); no norm, no activation after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(_conv(channels, channels), _leaky(), _conv(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, T) to (B, C, T)."""
        return x + self.model(x)


def _conv(source: int, target: int, kernel: int = 3, stride: int = 1) -> nn.Conv1d:
    return nn.Conv1d(source, target, kernel, stride, 1)


def _leaky() -> nn.Module:
    return nn.LeakyReLU(LEAKY_SLOPE)


def _up() -> nn.Module:
    return nn.Upsample(scale_factor=2, mode="nearest")


class ConvStack(nn.Module):
    """A sequence under the published key `main`."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.main = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, T) to (B, C', T')."""
        return self.main(x)


def build_encoder(config: MotionVQVAEConfig) -> ConvStack:
    """Convolutions from features (B, D, F) to latents (B, width, T)."""
    family, width, layers = config.family, config.width, config.num_layers
    modules: list[nn.Module] = []
    source = config.feature_dim
    for index in range(layers if family is not Family.DSUS else 2):
        kernel, stride = 3, 1
        if family is Family.DSUS and index < layers:
            kernel, stride = 4, 2
        elif (family in (Family.STARTER, Family.DSUS_PAPER) and index >= 1) or (
            family is Family.DSUS2_PAPER and index >= 2
        ):
            stride = 2
        modules += [_conv(source, width, kernel, stride), _leaky(), ResBlock(width)]
        source = width
    return ConvStack(modules)


def build_decoder(config: MotionVQVAEConfig) -> ConvStack:
    """Convolutions from latents (B, width, T) to features (B, D, T * stride)."""
    family, width, layers, features = config.family, config.width, config.num_layers, config.feature_dim
    modules: list[nn.Module] = []
    if family in (Family.CONV, Family.CONV_PLAIN, Family.DSUS):
        modules += [ResBlock(width), ResBlock(width)]
        for index in range(layers):
            if family is Family.DSUS:
                modules.append(_up())
            modules += [_conv(width, features if index == layers - 1 else width), _leaky()]
        modules.append(_conv(features, features))
        return ConvStack(modules)
    upsampled = {Family.DSUS1_PAPER: 0, Family.DSUS2_PAPER: layers - 2}.get(family, layers - 1)
    for index in range(layers):
        modules.append(ResBlock(width))
        if index < upsampled:
            modules.append(_up())
        modules.append(_conv(width, width))
    modules += [_leaky(), _conv(width, features)]
    return ConvStack(modules)


class MotionVQVAE(nn.Module):
    """Tokenizer of one part. Features go in and come out in raw scale.

    Args:
        config: Shape of the network.
        part: Part whose features it holds, for messages; None for the global translation network.
    """

    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, config: MotionVQVAEConfig, part: Part | None = None) -> None:
        super().__init__()
        self.config = config
        self.part = part
        self.encoder = build_encoder(config)
        starter = config.family is Family.STARTER
        self.quantizer: EMAResidualQuantizer | PublishedQuantizer | None = None
        if starter:
            self.quantizer_in = nn.Conv1d(config.width, config.code_dim, 1)
            self.quantizer = EMAResidualQuantizer(
                config.codebook_size,
                config.code_dim,
                config.num_quantizers,
                decay=config.ema_decay,
                reset_below=config.reset_below,
                level_dropout=config.level_dropout,
            )
            self.quantizer_out = nn.Conv1d(config.code_dim, config.width, 1)
        elif config.family is not Family.CONV_PLAIN:
            self.quantizer = PublishedQuantizer(config.codebook_size, config.width)
        self.decoder = build_decoder(config)
        # Published weights know no normalisation: there the buffers stay out of the state dict.
        self.register_buffer("feature_mean", torch.zeros(config.feature_dim), persistent=starter)
        self.register_buffer("feature_std", torch.ones(config.feature_dim), persistent=starter)
        self.apply(_initialise)

    @property
    def stride(self) -> int:
        """Frames per code step."""
        return self.config.stride

    @property
    def frame_rate(self) -> float:
        """Code steps per second."""
        return self.config.frame_fps / self.config.stride

    @property
    def codebook_size(self) -> int:
        """Entries of each codebook."""
        return self.config.codebook_size

    @property
    def num_quantizers(self) -> int:
        """Codes per step."""
        return self.config.num_quantizers

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Set the feature normalisation, (D,) each; `std` must be positive."""
        if mean.shape != self.feature_mean.shape or std.shape != self.feature_std.shape:
            raise ValueError(f"Statistics must have {self.config.feature_dim} channels.")
        if not bool((std > 0).all()):
            raise ValueError("Every standard deviation must be positive.")
        self.feature_mean.copy_(mean)
        self.feature_std.copy_(std)

    def normalise(self, features: Tensor) -> Tensor:
        """Raw to normalised features, (..., D)."""
        return (features - self.feature_mean) / self.feature_std

    def denormalise(self, features: Tensor) -> Tensor:
        """Normalised to raw features, (..., D)."""
        return features * self.feature_std + self.feature_mean

    def encoder_output(self, features: Tensor) -> Tensor:
        """Latents before quantization, (B, T, width or code_dim), of raw features (B, F, D)."""
        # (B, F, D) -> (B, D, F)
        latents = self.encoder(self.normalise(features).transpose(1, 2))
        if self.config.family is Family.STARTER:
            latents = self.quantizer_in(latents)
        return latents.transpose(1, 2)

    def encode(self, features: Tensor) -> Tensor:
        """Codes of raw features.

        Args:
            features: (B, F, D), float32. F need not be a multiple of the stride.

        Returns:
            Step-major codes, (B, ceil(F / stride) * Q), int64.
        """
        if self.quantizer is None:
            raise TypeError("The global translation network has no codes.")
        return torch.cat(
            [
                self.quantizer.codes(
                    self.encoder_output(features[:, begin * self.stride : end * self.stride])
                )[:, kept]
                for begin, end, kept in stretches(-(-features.shape[1] // self.stride))
            ],
            dim=1,
        ).flatten(1)

    def decode(self, codes: Tensor) -> Tensor:
        """Raw features of step-major codes.

        Args:
            codes: (B, T * Q), integers.

        Returns:
            (B, T * stride, D), float32.

        Raises:
            CodeRangeError: If a code is outside the codebook or a step is incomplete.
        """
        if self.quantizer is None:
            raise TypeError("The global translation network has no codes.")
        levels = split_levels(codes, self.num_quantizers, self.codebook_size)
        vectors = self.quantizer.lookup(levels)
        frames = self.stride
        rebuilt = [
            self._decode_latents(vectors[:, begin:end])[:, kept.start * frames : kept.stop * frames]
            for begin, end, kept in stretches(levels.shape[1])
        ]
        return self.clip_units(self.denormalise(torch.cat(rebuilt, dim=1)))

    def clip_units(self, features: Tensor) -> Tensor:
        """Clip the channels that live in [0, 1]; features (..., D) are returned otherwise as they are."""
        start, stop = self.config.unit_start, self.config.unit_stop
        if stop > start:
            features[..., start:stop] = features[..., start:stop].clamp(0.0, 1.0)
        return features

    def _decode_latents(self, latents: Tensor) -> Tensor:
        """Normalised features (B, T * stride, D) of latents (B, T, C)."""
        # (B, T, C) -> (B, C, T)
        channels_first = latents.transpose(1, 2)
        if self.config.family is Family.STARTER:
            channels_first = self.quantizer_out(channels_first)
        return self.decoder(channels_first).transpose(1, 2)

    def forward(self, features: Tensor) -> VQVAEOutput:
        """Encode, quantize and rebuild raw features (B, F, D); outputs are cut back to F frames."""
        target = self.normalise(features)
        latents = self.encoder_output(features)
        if self.quantizer is None:
            none = latents.new_zeros(latents.shape[0], latents.shape[1], 0, dtype=torch.long)
            quantized = Quantized(latents, none, latents.new_zeros(()), latents.new_zeros(0))
        else:
            # Under bfloat16 autocast the codebooks stay in float32, or small moves of a code round away.
            with torch.autocast(latents.device.type, enabled=False):
                quantized = self.quantizer(latents.float())
        rebuilt = self._decode_latents(quantized.values).float()[:, : features.shape[1]]
        return VQVAEOutput(
            self.denormalise(rebuilt), rebuilt, target, quantized.loss, quantized.codes, quantized.perplexity
        )


def stretches(num_steps: int) -> list[tuple[int, int, slice]]:
    """Cut a long motion so that the networks' memory does not grow with it.

    Each stretch is read with more steps on both sides than the convolutions see, so the result is that of the
    whole.

    Args:
        num_steps: Steps T.

    Returns:
        (first step read, step after the last one read, which of those read are kept).
    """
    result: list[tuple[int, int, slice]] = []
    for start in range(0, max(num_steps, 1), STRETCH_STEPS):
        stop = min(start + STRETCH_STEPS, num_steps)
        begin, end = max(start - CONTEXT_STEPS, 0), min(stop + CONTEXT_STEPS, num_steps)
        result.append((begin, end, slice(start - begin, stop - begin)))
    return result


def _initialise(module: nn.Module) -> None:
    """Xavier-normal weights and zero biases, as the published code starts."""
    if isinstance(module, nn.Conv1d):
        nn.init.xavier_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


_UNIT_CHANNELS: dict[Part, tuple[int, int]] = {
    Part.FACE: (0, STARTER_DIMS[Part.FACE]),
    Part.LOWER: (LOWER_CONTACTS.start, LOWER_CONTACTS.stop),
}
"""Starter channels that live in [0, 1]: ARKit values, foot contacts."""


def starter_config(
    part: Part,
    *,
    width: int = 192,
    codebook_size: int = 256,
    num_quantizers: int = 2,
    code_dim: int = 128,
    level_dropout: float = 0.1,
) -> MotionVQVAEConfig:
    """Configuration of one starter tokenizer: stride 4, residual codes, 30 fps features."""
    start, stop = _UNIT_CHANNELS.get(part, (0, 0))
    return MotionVQVAEConfig(
        family=Family.STARTER,
        feature_dim=STARTER_DIMS[part],
        width=width,
        codebook_size=codebook_size,
        num_layers=3,
        num_quantizers=num_quantizers,
        code_dim=code_dim,
        level_dropout=level_dropout,
        unit_start=start,
        unit_stop=stop,
    )
