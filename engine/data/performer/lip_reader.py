# SPDX-License-Identifier: GPL-3.0-or-later
"""Lips from sound, learned from synthetic voices whose phonemes are known.

Rules of thumb find vowels well and closed lips badly. A small network sees a quarter of a second of synthetic
speech, with other loudness, spectral tilt and noise each time, and learns the mouth shapes of its phonemes;
on recorded speech its answer and the rules' are averaged. It serves the performer only and is not part of any
pack.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...audio.features import LOUDNESS, MEL, NUM_FEATURES, NUM_MELS, VOICING, speech_features
from ...motion.arrays import FloatArray
from .curves import Array
from .mouth import MouthShape, mouth_from_phonemes, mouth_from_sound
from .prosody import at_motion_rate

if TYPE_CHECKING:
    from ..synthesis import SyntheticSpeech

_OFFSETS = (-9, -6, -4, -2, 0, 2, 4, 6, 9)
_COLUMNS = (*range(NUM_MELS), LOUDNESS, VOICING)
_FIELDS = ("jaw", "pucker", "funnel", "spread", "press", "tuck", "teeth")
_SHARES = np.array([0.5, 0.75, 0.75, 0.65, 1.0, 1.0, 0.8])
"""Weight of the network against the rules for each field of the mouth."""


class LipReader:
    """A two-layer network from speech features to mouth shapes."""

    def __init__(self, weights: Sequence[FloatArray]) -> None:
        """Keep the trained weights: two matrices and biases in turn."""
        self.weights = tuple(weights)

    @staticmethod
    def train(speech: Sequence[SyntheticSpeech], seed: int = 0, rounds: int = 6) -> LipReader:
        """Learn from synthetic speech.

        Args:
            speech: Sentences with phoneme times.
            seed: Of initial weights, order and disturbances.
            rounds: Passes over the speech.

        Returns:
            The trained reader.
        """
        import torch

        rng = np.random.default_rng(seed)
        torch.manual_seed(seed)
        network = torch.nn.Sequential(
            torch.nn.Linear(len(_OFFSETS) * len(_COLUMNS), 160),
            torch.nn.ReLU(),
            torch.nn.Linear(160, len(_FIELDS)),
        )
        optimiser = torch.optim.Adam(network.parameters(), lr=2e-3, weight_decay=1e-5)
        known = [(speech_features(s.wave), s.phonemes) for s in speech]
        goals = [_stack(mouth_from_phonemes(phonemes, features)) for features, phonemes in known]
        for turn in range(rounds):
            inputs = np.concatenate([_inputs(disturbed(features, rng)) for features, _ in known])
            wanted = np.concatenate(goals).astype(np.float32)
            for group in optimiser.param_groups:
                group["lr"] = 2e-3 * (1.0 - turn / rounds) + 1e-4
            for rows in np.array_split(rng.permutation(len(inputs)), max(1, len(inputs) // 256)):
                loss = torch.nn.functional.mse_loss(
                    network(torch.from_numpy(inputs[rows])), torch.from_numpy(wanted[rows])
                )
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        state = [parameter.detach().numpy().copy() for parameter in network.parameters()]
        return LipReader(state)

    def read(self, features: FloatArray) -> MouthShape:
        """Mouth shapes of a sound from its features (2F, 44), the rules' opinion included, (F,) each."""
        first, first_bias, second, second_bias = self.weights
        hidden = np.maximum(_inputs(features) @ first.T + first_bias, 0.0)
        learned = np.clip(hidden @ second.T + second_bias, 0.0, 1.0).astype(np.float64)
        learned[:, 4] = np.clip(
            2.2 * learned[:, 4] - 0.36, 0.0, 1.0
        )  # an average of guesses closes only half
        learned[:, 5] = np.clip(2.2 * learned[:, 5] - 0.25, 0.0, 1.0)
        audible = at_motion_rate(np.clip((features[:, LOUDNESS] - 0.12) / 0.2, 0.0, 1.0))[:, None]
        ruled = _stack(mouth_from_sound(features))
        return MouthShape(*((_SHARES * learned * audible + (1.0 - _SHARES) * ruled).T))


def _stack(mouth: MouthShape) -> Array:
    return np.stack([getattr(mouth, name) for name in _FIELDS], axis=1)


def _inputs(features: FloatArray) -> FloatArray:
    """Context of each motion frame, (F, offsets * columns)."""
    columns = features[:, list(_COLUMNS)]
    centre = np.arange(features.shape[0] // 2) * 2 + 1
    index = np.clip(centre[:, None] + np.array(_OFFSETS), 0, features.shape[0] - 1)
    return columns[index].reshape(len(centre), -1).astype(np.float32)  # (F, offsets, columns)


def disturbed(features: FloatArray, rng: np.random.Generator) -> FloatArray:
    """The same speech, features (2F, 44), through another microphone in another room."""
    changed = features.copy()
    ramp = np.linspace(-0.5, 0.5, NUM_MELS)
    colour = rng.normal(0.0, 0.22) * ramp + np.interp(
        np.arange(NUM_MELS), (0, 13, 26, 39), rng.normal(0.0, 0.08, 4)
    )
    mel = changed[:, MEL] + colour
    floor = float(rng.uniform(-1.0, -0.15)) - 0.3 * ramp
    changed[:, MEL] = np.logaddexp(mel * 6.9, floor * 6.9) / 6.9  # noise adds as power
    changed[:, :NUM_FEATURES] += rng.normal(0.0, 0.02, changed.shape)
    return np.clip(changed, -1.0, 1.5).astype(np.float32)
