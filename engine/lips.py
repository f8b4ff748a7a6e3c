# SPDX-License-Identifier: GPL-3.0-or-later
"""Closes a speaking face's lips where the sound says so: on m, b and p.

The language model hears two codes per step of 0.13 s. Its jaw follows the syllables, but its lips met on 57
of 122 of these sounds in synthesised speech whose phonemes are known, where chance gives 42. Yet a mouth that
does not close is what an eye notices first. So a small network hears the sound itself, in frames of 17 ms,
and says when the lips meet (on 119 of the 122); all other shapes of the mouth stay the language model's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn

from .audio.features import FEATURE_HZ, LOUDNESS, MEL, NUM_MELS, VOICING
from .motion.arkit import ARKIT_INDEX, PRESSED, channels_of
from .motion.arrays import DoubleArray, FloatArray
from .packs import Pack
from .tokenizers.config import config_from_dict

LIPS_FILE = "lips.safetensors"
LIPS_TABLE = "lips"

COLUMNS = (*range(NUM_MELS), LOUDNESS, VOICING)
"""What of the speech features is heard."""

LEVEL_S = 1.5
"""Standard deviation of the Gaussian over which the colour of a voice and its room is averaged and taken off,
seconds. Without that a network of synthetic voices heard 12 % of the closures of a recorded one (LJSpeech,
its phonemes placed by aligning a synthetic voice); with it, and with vocal tracts of other lengths while
training, 61 %."""

OPEN, CLOSED = 0.25, 0.5
"""Chances below which lips stay apart, and above which they meet."""

CLOSE, JAW = ARKIT_INDEX["mouthClose"], ARKIT_INDEX["jawOpen"]

PARTED = ("mouthFunnel", "mouthPucker", "mouthStretch", "mouthLowerDown", "mouthUpperUp")
"""Channels that part the lips or round them, and rest while they meet."""

_PRESS = np.array([ARKIT_INDEX[channel] for name in PRESSED for channel in channels_of(name)])
_PRESS_AMOUNTS = np.array([amount for name, amount in PRESSED.items() for _ in channels_of(name)])
_PART = np.array([ARKIT_INDEX[channel] for name in PARTED for channel in channels_of(name)])
_LEAST_JAW = 0.05


@dataclass(frozen=True)
class LipConfig:
    """Size of the network: channels of each layer."""

    width: int

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError("the width must be positive")


class LipCloser(nn.Module):
    """Convolutions over a third of a second of sound.

    Args:
        config: Its size.
    """

    def __init__(self, config: LipConfig) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.layers = nn.Sequential(
            nn.Conv1d(2 * len(COLUMNS), width, 5, padding=2),
            nn.ReLU(),
            nn.Conv1d(width, width, 3, padding=2, dilation=2),
            nn.ReLU(),
            nn.Conv1d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(width, 1, 1),
        )

    def forward(self, heard: Tensor) -> Tensor:
        """Logits of lips that meet.

        Args:
            heard: What `levelled` leaves, (B, F, 84).

        Returns:
            (B, F).
        """
        return self.layers(heard.transpose(1, 2))[:, 0]

    @torch.inference_mode()
    def closed(self, features: FloatArray) -> FloatArray:
        """How closed the lips are, 0 to 1.

        Args:
            features: Of the sound, (2F, 44).

        Returns:
            (F,) at the motion's rate.
        """
        chance = torch.sigmoid(self(torch.from_numpy(levelled(features))[None]))[0].numpy()
        return np.clip((chance - OPEN) / (CLOSED - OPEN), 0.0, 1.0)


def levelled(features: FloatArray) -> FloatArray:
    """Speech features without the colour of the voice and the room, two in a row for each frame of motion.

    Args:
        features: (2F, 44).

    Returns:
        (F, 84), float32.
    """
    heard = features[:, COLUMNS].astype(np.float64)
    weight = np.clip(features[:, LOUDNESS : LOUDNESS + 1].astype(np.float64) - 0.2, 0.0, 1.0) + 1e-3
    heard[:, MEL] -= _around(heard[:, MEL] * weight) / _around(weight)
    return heard.reshape(len(heard) // 2, -1).astype(np.float32)


def _around(values: DoubleArray) -> DoubleArray:
    return gaussian_filter1d(values, LEVEL_S * FEATURE_HZ, axis=0, mode="constant", truncate=2.5)


def with_lips_closed(face: FloatArray, closed: FloatArray) -> FloatArray:
    """A face whose lips meet where they should, and only there.

    Args:
        face: ARKit channels, (F, 52).
        closed: How closed the lips are, 0 to 1, (F,).

    Returns:
        (F, 52).
    """
    jaw = np.maximum(face[:, JAW], 0.0)
    before = np.clip(face[:, CLOSE] / np.maximum(jaw, _LEAST_JAW), 0.0, 1.0)
    result = face.copy()
    result[:, CLOSE] = jaw * closed
    change = (closed - before)[:, None]
    result[:, _PRESS] = np.clip(face[:, _PRESS] + change * _PRESS_AMOUNTS, 0.0, 1.0)
    result[:, _PART] *= np.minimum((1.0 - closed) / np.maximum(1.0 - before, 1e-3), 1.0)[:, None]
    return result


def load_lip_closer(pack: Pack) -> LipCloser | None:
    """A pack's network for the lips; None for a pack without one.

    Raises:
        PackError: If it is damaged.
    """
    if LIPS_FILE not in pack.table("files"):
        return None
    config = config_from_dict(LipConfig, pack.table(LIPS_TABLE), "the lips")
    return pack.build_module(LIPS_FILE, lambda: LipCloser(config)).float().eval()
