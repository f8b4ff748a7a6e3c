# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the field's further metrics, each beside captured motion (or the performer) and chance.

None decides a goal, and the evaluator is trained the first time it is asked for (`further`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..language.text_encoder import TextEncoder
from ..specs import MOTION_FPS
from .evaluator import Captioned, Evaluator, load_or_train
from .held_out import CapturedItem
from .labels import repeated
from .metrics import frechet_distance
from .quality import SOLE_M, ground_penetration, jerk
from .report import Mark, Row
from .retrieval import GROUP, chance_precision, diversity, matching_distance, multimodality, r_precision
from .studio import Studio, positions_of, text_request

TEXT_S = 4.0
"""Length of clips generated for the retrieval rows."""

MOST_TEXTS = 96
"""Captions of held-out clips that are asked for."""

FEW_TEXTS = 8
"""Captions asked for with many seeds, for multimodality."""


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
        rows.append(_precision_row(f"R-precision 1, 2, 3, {label}", label, told, [m for m, _ in precise]))
    chance = chance_precision(min(GROUP, len(held))).tolist()
    rows.append(_precision_row("- chance", "chance", ", ".join(f"{c:.2f}" for c in chance), chance))
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


def _precision_row(what: str, series: str, told: str, shares: Sequence[float]) -> Row:
    marks = tuple(
        Mark("retrieval", f"top {rank}", series.removeprefix("- "), share)
        for rank, share in enumerate(shares, 1)
    )
    return Row("retrieval", what, told, value=shares[2], marks=marks)


def _interval(what: str, label: str, mean: float, reach: float) -> Row:
    return Row("retrieval", f"{what}, {label}", f"{mean:.3f} \u00b1 {reach:.3f}", value=mean)


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
