# SPDX-License-Identifier: GPL-3.0-or-later
"""The field's further metrics, topic by topic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..asking import Asker
from ..motion.features import starter_clip
from ..pipeline import Engine
from ..training.corpora import load_performances
from . import science_rows
from .action_rows import Judge, action_rows
from .aeskconv import PUBLISHED, load_gesture_encoder
from .cospeech_rows import Encode, cospeech_rows
from .emotion_rows import TOPIC as EMOTION
from .emotion_rows import description_rows, emotion_rows
from .fresh_rows import fresh_rows
from .gesture_features import AUTOENCODER, load_or_train_autoencoder, performance_motions
from .published_rows import load_mean_velocity
from .reading_rows import READING, fit_rows, pace_rows, reading_rows
from .report import Row
from .studio import Studio

NO_WORDS = "not measured: this pack was not trained to answer in words"

MOST_PERFORMANCES = 96
"""Held-out performances whose emotion is asked for."""


@dataclass(frozen=True)
class Material:
    """Files beside the pack.

    Attributes:
        data: Folder of the prepared data.
        gesture_encoder: The published `AESKConv_240_100.bin`, if it is at hand.
        bert: Folder of BERTScore's model, if it is at hand.
        mean_velocity: The published `mean_vel_smplxflame_30.npy`, if it is at hand.
    """

    data: Path
    gesture_encoder: Path | None = None
    bert: Path | None = None
    mean_velocity: Path | None = None

    @property
    def evaluator(self) -> Path:
        """Where our evaluator of text and motion is kept."""
        return self.data.parent / "evaluator.safetensors"

    @property
    def autoencoder(self) -> Path:
        """Where our gesture autoencoder is kept."""
        return self.data.parent / AUTOENCODER


def further_rows(topic: str, studio: Studio, engine: Engine, material: Material) -> list[Row]:
    """The rows of one further topic.

    Args:
        topic: One of the command line's.
        studio: Engine and material.
        engine: The loaded pack.
        material: Files beside it.
    """
    if topic == "physics":
        return science_rows.physics_rows(studio)
    if topic == "pace":
        return pace_rows(studio)
    if topic == "fit":
        return fit_rows(studio)
    if topic == "emotion":
        return answer_rows(studio, engine, material)
    if topic == "reading":
        if not engine.vocabulary.num_words:
            return [Row(READING, "accuracy", NO_WORDS)]
        return reading_rows(studio, Asker(engine))
    if topic == "co-speech":
        return speech_rows(studio, material)
    evaluator = science_rows.our_evaluator(studio, engine.text_encoder, material.evaluator)
    if topic == "actions":
        return action_rows(studio, Judge(evaluator, engine.text_encoder), engine.tokenizers)
    if topic == "wordings":
        return fresh_rows(studio, Judge(evaluator, engine.text_encoder))
    return science_rows.retrieval_rows(studio, engine.text_encoder, evaluator)


def answer_rows(studio: Studio, engine: Engine, material: Material) -> list[Row]:
    """What the pack says of motions, or that it does not."""
    if not engine.vocabulary.num_words:
        return [Row(EMOTION, "accuracy", NO_WORDS)]
    held = [s for s in load_performances(material.data, "held") if s.emotion is not None]
    chosen = np.random.default_rng(0).permutation(len(held))[:MOST_PERFORMANCES]
    labelled = [(starter_clip(held[n].features), str(held[n].emotion)) for n in chosen.tolist()]
    asker = Asker(engine)
    return [
        *emotion_rows(studio, asker, labelled, material.bert),
        *description_rows(studio, asker, studio.captured, material.bert),
    ]


def speech_rows(studio: Studio, material: Material) -> list[Row]:
    """Co-speech metrics, and how good our own features are."""
    studio.say("our gesture autoencoder")
    autoencoder = load_or_train_autoencoder(material.autoencoder, material.data)
    encoders: dict[str, Encode] = {"our autoencoder": autoencoder.latents}
    if material.gesture_encoder is not None:
        encoders[PUBLISHED] = load_gesture_encoder(material.gesture_encoder).latents
    mean_velocity = load_mean_velocity(material.mean_velocity) if material.mean_velocity else None
    lost = autoencoder.error(performance_motions(material.data, "held"))
    what = "our autoencoder: variance of held-out performances that does not come back"
    return [
        *cospeech_rows(studio, encoders, mean_velocity),
        Row("co-speech", what, f"{lost:.0%} (the mean pose instead: 100%)", value=lost),
    ]
