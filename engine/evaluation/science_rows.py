# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the field's further metrics, each beside captured motion (or the performer) and chance.

They are topics of their own (`--only retrieval emotion distance physics`): none decides a goal, and the
evaluator is trained the first time they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..language.text_encoder import TextEncoder
from ..motion.arrays import FloatArray
from ..motion.clip import Clip
from ..specs import EMOTIONS, MOTION_FPS
from .aeskconv import load_gesture_encoder
from .evaluator import Captioned, Evaluator, load_or_train
from .held_out import CapturedItem, performed
from .labels import LabelScore, repeated, score_labels
from .metrics import frechet_distance
from .quality import ground_penetration, jerk
from .report import Row
from .retrieval import GROUP, chance_precision, diversity, matching_distance, multimodality, r_precision
from .studio import Studio, positions_of, speech_request, text_request

if TYPE_CHECKING:
    from ..asking import Asker

TEXT_S = 4.0
"""Length of clips generated for the retrieval rows."""

MOST_TEXTS = 96
"""Captions of held-out clips that are asked for."""

FEW_TEXTS = 8
"""Captions asked for with many seeds, for multimodality."""

Encode = Callable[[Sequence[Clip]], FloatArray]
"""Clips to features, (N, D)."""

SOLE_M = 0.02
"""Height over the floor below which a standing foot's lowest joint counts as sunk."""


def captioned(items: Sequence[CapturedItem], split: str) -> list[Captioned]:
    """Captured clips of a split that have captions and a second of motion."""
    return [
        Captioned(np.concatenate([item.lower, item.upper], axis=1), item.captions, item.action)
        for item in items
        if item.split == split and item.captions and len(item.lower) >= MOTION_FPS
    ]


def our_evaluator(studio: Studio, encoder: TextEncoder, path: Path) -> Evaluator:
    """The evaluator in a file, trained on the training clips where it is absent."""
    studio.say("evaluator of text and motion")
    return load_or_train(path, captioned(studio.captured, "train"), encoder)


def retrieval_rows(studio: Studio, encoder: TextEncoder, evaluator: Evaluator) -> list[Row]:
    """R-precision, matching distance, FID, diversity and multimodality of clips made from held-out captions.

    Args:
        studio: Engine and captured clips.
        encoder: The frozen sentence encoder.
        evaluator: Ours.
    """
    held = captioned(studio.captured, "held")[:MOST_TEXTS]
    texts = [item.captions[0] for item in held]
    requests = [text_request(text, TEXT_S, seed) for seed, text in enumerate(texts)]
    made = evaluator.embed_clips(studio.clips(requests, "held-out captions"))
    real = evaluator.embed_features([item.features for item in held])
    words = evaluator.embed_texts(encoder, texts)
    rows: list[Row] = []
    for label, motions in (("generated", made), ("- captured", real)):
        precise = [repeated(lambda d, k=k, m=motions: float(r_precision(words, m, d)[k])) for k in range(3)]
        told = ", ".join(f"{mean:.2f} \u00b1 {reach:.2f}" for mean, reach in precise)
        rows.append(Row("retrieval", f"R-precision 1, 2, 3, {label}", told, value=precise[2][0]))
    chance = chance_precision(min(GROUP, len(held)))
    rows.append(
        Row("retrieval", "- chance", ", ".join(f"{c:.2f}" for c in chance.tolist()), value=float(chance[2]))
    )
    shuffled = np.random.default_rng(0).permutation(len(held))
    wrong = real[shuffled]
    for label, motions in (("generated", made), ("- captured", real), ("- captured, wrong text", wrong)):
        distance = matching_distance(words, motions)
        rows.append(Row("retrieval", f"matching distance, {label}", f"{distance:.3f}", value=distance))
    half = len(real) // 2
    for label, first, second in (
        ("generated to captured", made, real),
        ("- one half of captured to the other", real[shuffled[:half]], real[shuffled[half:]]),
    ):
        distance = frechet_distance(first, second)
        rows.append(Row("retrieval", f"FID, {label}", f"{distance:.3f}", value=distance))
    for label, motions in (("generated", made), ("- captured", real)):
        rows.append(_interval("diversity", label, *repeated(lambda d, m=motions: diversity(m, d))))
    few = list(dict.fromkeys(texts))[:FEW_TEXTS]
    many = [text_request(text, TEXT_S, seed) for text in few for seed in range(studio.num_seeds)]
    embedded = evaluator.embed_clips(studio.clips(many, "captions with many seeds"))
    groups = np.split(embedded, len(few))
    if studio.num_seeds > 1:
        rows.append(_interval("multimodality", "generated", *repeated(lambda d: multimodality(groups, d))))
    return rows


def _interval(what: str, label: str, mean: float, reach: float) -> Row:
    return Row("retrieval", f"{what}, {label}", f"{mean:.3f} \u00b1 {reach:.3f}", value=mean)


def distance_rows(studio: Studio, evaluator: Evaluator, weights: Path | None) -> list[Row]:
    """Frechet gesture distance to the performer, in our features and, given its file, in the published ones.

    Args:
        studio: Engine and recordings.
        evaluator: Its motion encoder gives our features.
        weights: `AESKConv_240_100.bin`, or None.
    """
    sounds = studio.voices()
    made = studio.clips([speech_request(s, seed) for seed, s in enumerate(sounds)], "gesture distance")
    taught = [performed(sound, seed) for seed, sound in enumerate(sounds)]
    half = len(taught) // 2
    encoders: dict[str, Encode] = {"our features": evaluator.embed_clips}
    if weights is not None:
        encoders["AESKConv (FGD as published)"] = load_gesture_encoder(weights).latents
    rows: list[Row] = []
    for name, encode in encoders.items():
        found, real = encode([c for clip in made for c in _pieces(clip)]), _per_clip(taught, encode)
        whole = np.concatenate(real)
        apart = frechet_distance(np.concatenate(real[:half]), np.concatenate(real[half:]))
        still = encode([c for clip in taught for c in _pieces(_still(clip))])
        for label, value in (
            ("generated to performer", frechet_distance(found, whole)),
            ("- one half of the performer to the other", apart),
            ("- standing still to performer", frechet_distance(still, whole)),
        ):
            rows.append(Row("distance", f"{name}: {label}", f"{value:.3f}", value=value))
    return rows


def _pieces(clip: Clip) -> list[Clip]:
    """Stretches of 64 frames, the window of the published tokenizers."""
    return [clip.slice(begin, begin + 64) for begin in range(0, clip.num_frames - 63, 64)]


def _per_clip(clips: Sequence[Clip], encode: Encode) -> list[FloatArray]:
    return [encode(_pieces(clip)) for clip in clips]


def _still(clip: Clip) -> Clip:
    """The clip's first pose held."""
    poses, trans = (np.repeat(values[:1], clip.num_frames, 0) for values in (clip.poses, clip.trans))
    return replace(clip, poses=poses, trans=trans)


def emotion_rows(studio: Studio, asker: Asker, performances: Sequence[tuple[Clip, str]]) -> list[Row]:
    """Emotion told from held-out performances, and from clips generated with an emotion asked for.

    Args:
        studio: Engine and recordings.
        asker: The pack, asked which emotion a motion shows.
        performances: Held-out performances with their labels.
    """
    from ..asking import AskRequest

    def told(clips: Sequence[Clip]) -> list[str]:
        return [asker.emotion(AskRequest(clip)).label for clip in clips]

    studio.say(f"emotions of {len(performances)} performances")
    true = [label for _, label in performances]
    score = score_labels(true, told([clip for clip, _ in performances]), EMOTIONS)
    sounds = studio.voices()
    asked = [EMOTIONS[number % len(EMOTIONS)] for number in range(len(sounds))]
    requests = [
        replace(speech_request(sound, seed), emotion=label)
        for seed, (sound, label) in enumerate(zip(sounds, asked, strict=True))
    ]
    clips = studio.clips(requests, "speech with an emotion")
    made = score_labels(asked, told(clips), EMOTIONS)
    return [
        *score_rows("held-out performances", score),
        *score_rows("generated with the emotion asked for", made),
    ]


def score_rows(what: str, score: LabelScore) -> list[Row]:
    """Accuracy with its interval, macro-F1, the commonest confusion, and chance.

    Args:
        what: Which motions.
        score: Of their labels.
    """
    low, high = score.interval
    wrong = score.confusion - np.diag(np.diagonal(score.confusion))
    true, told = np.unravel_index(int(wrong.argmax()), wrong.shape)
    confused = f"{score.labels[int(true)]} told as {score.labels[int(told)]}, {int(wrong.max())} times"
    total = int(score.confusion.sum())
    return [
        Row(
            "emotion",
            f"accuracy, {what}",
            f"{score.accuracy:.2f} ({low:.2f} to {high:.2f}) of {total}",
            value=score.accuracy,
        ),
        Row("emotion", f"macro-F1, {what}", f"{score.macro_f1:.2f}", value=score.macro_f1),
        Row("emotion", "- commonest confusion", confused if wrong.any() else "none"),
        Row("emotion", "- chance, labels drawn as they occur", f"{score.chance:.2f}", value=score.chance),
    ]


def physics_rows(studio: Studio) -> list[Row]:
    """Feet below the floor, and jerk, of generated and of captured walks, and of frames in random order."""
    walks = [item for item in studio.captured if item.action == "walk_forward" and item.split == "held"]
    real = positions_of([item.clip() for item in walks if len(item.lower) >= MOTION_FPS])
    requests = [text_request("walk forward", 5.0, seed) for seed in range(studio.num_seeds)]
    made = positions_of(studio.clips(requests, "walks for physics"))
    random = np.random.default_rng(0)
    mixed = [places[random.permutation(len(places))] for places in real]
    rows: list[Row] = []
    for label, group in (("generated", made), ("- captured", real), ("- captured, frames mixed", mixed)):
        if not group:
            continue
        sunk = [ground_penetration(places, clearance=SOLE_M) for places in group]
        depth, share = 1000 * float(np.mean([d for d, _ in sunk])), float(np.mean([s for _, s in sunk]))
        shaken = float(np.mean([jerk(places, MOTION_FPS) for places in group]))
        text = f"{depth:.1f} mm, in {share:.0%} of frames"
        rows.append(Row("physics", f"feet below the floor, walks {label}", text, value=depth))
        rows.append(Row("physics", f"jerk, walks {label}", f"{shaken:.0f} m/s\u00b3", value=shaken))
    return sorted(rows, key=lambda row: "jerk" in row.what)
