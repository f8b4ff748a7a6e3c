# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of a pack's answers: the emotion a motion shows, and what a motion is, each beside chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..motion.clip import Clip
from ..specs import EMOTIONS, MOTION_FPS
from .held_out import CapturedItem
from .labels import LabelScore, score_labels
from .report import Mark, Row
from .studio import Studio, speech_request
from .wording import chance_words, score_words

if TYPE_CHECKING:
    from ..asking import Asker

TOPIC = "emotion"

MOST_DESCRIBED = 64
"""Captured clips that are described in words."""


def emotion_rows(
    studio: Studio, asker: Asker, performances: Sequence[tuple[Clip, str]], bert: Path | None = None
) -> list[Row]:
    """Emotion told from held-out performances, and from clips generated with an emotion asked for.

    Args:
        studio: Engine and recordings.
        asker: The pack, asked which emotion a motion shows.
        performances: Held-out performances with their labels.
        bert: Folder of BERTScore's model, if there is one.
    """
    from ..asking import AskRequest

    def told(clips: Sequence[Clip]) -> list[str]:
        return [asker.emotion(AskRequest(clip)).label for clip in clips]

    studio.say(f"emotions of {len(performances)} performances")
    true = [label for _, label in performances]
    heard = told([clip for clip, _ in performances])
    sounds = studio.voices()
    asked = [EMOTIONS[number % len(EMOTIONS)] for number in range(len(sounds))]
    requests = [
        replace(speech_request(sound, seed), emotion=label)
        for seed, (sound, label) in enumerate(zip(sounds, asked, strict=True))
    ]
    made = told(studio.clips(requests, "speech with an emotion"))
    return [
        *score_rows("held-out performances", score_labels(true, heard, EMOTIONS), "emotion-performed"),
        *word_rows("labels of held-out performances", heard, [[label] for label in true], bert),
        *score_rows(
            "generated with the emotion asked for", score_labels(asked, made, EMOTIONS), "emotion-generated"
        ),
        *word_rows("labels of generated clips", made, [[label] for label in asked], bert),
    ]


def description_rows(
    studio: Studio, asker: Asker, items: Sequence[CapturedItem], bert: Path | None = None
) -> list[Row]:
    """What the pack says captured clips are, against their captions.

    Args:
        studio: Says progress.
        asker: The pack.
        items: Prepared clips; held-out ones with captions are described.
        bert: Folder of BERTScore's model, if there is one.
    """
    from ..asking import AskRequest

    held = [i for i in items if i.split == "held" and i.captions and len(i.lower) >= MOTION_FPS]
    if not held:
        return []
    chosen = [held[int(n)] for n in np.random.default_rng(0).permutation(len(held))[:MOST_DESCRIBED]]
    studio.say(f"descriptions of {len(chosen)} captured clips")
    told = [asker.describe(AskRequest(item.clip())).text for item in chosen]
    return word_rows(
        "descriptions of held-out captured clips", told, [item.captions for item in chosen], bert
    )


def word_rows(
    what: str, told: Sequence[str], references: Sequence[Sequence[str]], bert: Path | None
) -> list[Row]:
    """Texts against their references, and against those of other items.

    Args:
        what: Which texts.
        told: One for each clip.
        references: Of each.
        bert: Folder of BERTScore's model, if there is one.
    """
    score, chance = score_words(told, references, bert), chance_words(told, references, bert)
    return [
        Row(TOPIC, f"words, {what}", score.text(), value=score.cider),
        Row(TOPIC, "- chance, the same words of other clips", chance.text(), value=chance.cider),
    ]


def score_rows(what: str, score: LabelScore, figure: str) -> list[Row]:
    """Accuracy with its interval, macro-F1, chance, and one row of the confusion for each true label.

    Args:
        what: Which motions.
        score: Of their labels.
        figure: Where the confusion is drawn.
    """
    low, high = score.interval
    total = int(score.confusion.sum())
    rows = [
        Row(
            TOPIC,
            f"accuracy, {what}",
            f"{score.accuracy:.2f} ({low:.2f} to {high:.2f}) of {total}",
            value=score.accuracy,
        ),
        Row(TOPIC, f"macro-F1, {what}", f"{score.macro_f1:.2f}", value=score.macro_f1),
        Row(TOPIC, "- chance, labels drawn as they occur", f"{score.chance:.2f}", value=score.chance),
    ]
    for label, counts in zip(score.labels, score.confusion.tolist(), strict=True):
        named = list(zip(score.labels, counts, strict=True))
        said = ", ".join(f"{other} {count}" for other, count in named if count)
        marks = tuple(Mark(figure, label, other, count / max(sum(counts), 1)) for other, count in named)
        rows.append(Row(TOPIC, f"- {label} is told as", said or "does not occur", marks=marks))
    return rows
