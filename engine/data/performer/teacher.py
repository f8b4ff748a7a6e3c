# SPDX-License-Identifier: GPL-3.0-or-later
"""The procedural performer: speech in, a performance out. A teacher for training, not for inference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...audio.features import FEATURE_HZ, NUM_FEATURES, speech_features
from ...motion.arrays import FloatArray
from ...specs import EMOTIONS, MOTION_FPS
from .body import perform_upper
from .face import perform_face
from .gestures import GESTURES
from .hands import perform_hands
from .lip_reader import LipReader
from .lower import perform_lower
from .mouth import Phonemes, gated, mouth_from_phonemes, mouth_from_sound
from .plan import make_plan
from .prosody import analyse
from .style import draw_style


@dataclass(frozen=True)
class Performance:
    """Part features of one performance (layouts of `engine.motion.features`).

    Attributes:
        face: ARKit channels, (F, 52).
        hands: 30 finger joints as 6D, (F, 180).
        upper: 13 joints as 6D, (F, 78).
        lower: Root motion, contacts and 9 joints as 6D, (F, 62).
        fps: Frames per second.
    """

    face: FloatArray
    hands: FloatArray
    upper: FloatArray
    lower: FloatArray
    fps: int = MOTION_FPS


def perform(
    wave: FloatArray,
    *,
    emotion: str,
    seed: int,
    phonemes: Phonemes | None = None,
    reader: LipReader | None = None,
) -> Performance:
    """Perform a speech.

    Args:
        wave: Mono samples at `AUDIO_HZ`, (N,).
        emotion: One of `EMOTIONS`.
        seed: The performer: style and every choice.
        phonemes: Visemes with their times where they are known; otherwise the lips follow the sound.
        reader: Refines lips that follow the sound; without one they follow rules alone.

    Returns:
        Motion of all parts, `num_motion_frames(N)` frames.
    """
    return perform_features(
        speech_features(wave), emotion=emotion, seed=seed, phonemes=phonemes, reader=reader
    )


def perform_features(
    features: FloatArray,
    *,
    emotion: str,
    seed: int,
    phonemes: Phonemes | None = None,
    reader: LipReader | None = None,
) -> Performance:
    """Perform a speech whose features (2F, 44) are known; see `perform`."""
    rng = np.random.default_rng((seed, EMOTIONS.index(emotion)))
    style = draw_style(rng, emotion, len(GESTURES))
    prosody = analyse(features)
    plan = make_plan(prosody, style, rng)
    if phonemes:
        mouth = mouth_from_phonemes(phonemes, features)
    else:
        mouth = gated(reader.read(features) if reader else mouth_from_sound(features), prosody.active)
    upper = perform_upper(plan, rng)
    face = perform_face(plan, mouth, upper, rng)
    return Performance(face, perform_hands(plan, rng), upper.features, perform_lower(plan, rng))


def silent_features(num_frames: int) -> FloatArray:
    """Features of digital silence, (2F, 44)."""
    return speech_features(np.zeros(round(num_frames * 16000 / MOTION_FPS), np.float32))[: 2 * num_frames]


def idle(num_frames: int, seed: int, emotion: str = "neutral") -> Performance:
    """Stand in silence: breath, blinks, glances, relaxed hands.

    Args:
        num_frames: Frames wanted.
        seed: The performer.
        emotion: One of `EMOTIONS`.

    Returns:
        Motion of all parts, `num_frames` frames.
    """
    return perform_features(silent_features(num_frames), emotion=emotion, seed=seed)


__all__ = [
    "FEATURE_HZ",
    "NUM_FEATURES",
    "Performance",
    "idle",
    "perform",
    "perform_features",
    "silent_features",
]
