# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the field's further metrics, each beside captured motion (or the performer) and chance.

None decides a goal, and the evaluator is trained the first time it is asked for (`further`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..language.text_encoder import TextEncoder
from ..motion.arrays import FloatArray
from ..specs import MOTION_FPS
from .evaluator import Captioned, Evaluator, load_or_train
from .held_out import CapturedItem
from .quality import SOLE_M, ground_penetration, jerk
from .report import Mark, Row
from .retrieval import (
    GROUP,
    Indices,
    chance_precision,
    diversity,
    embedding_fid,
    matching_distance,
    multimodality,
    r_precision,
    reach,
    resampled,
)
from .studio import Studio, positions_of, text_request

TEXT_S = 4.0
"""Length of clips generated for the retrieval rows."""

MOST_TEXTS = 96
"""Captions of held-out clips that are asked for."""

FEW_TEXTS = 8
"""Captions asked for with many seeds, for multimodality."""


def with_captions(items: Sequence[CapturedItem], split: str) -> list[CapturedItem]:
    """Captured clips of a split that have captions and a second of motion."""
    return [item for item in items if item.split == split and item.captions and len(item.lower) >= MOTION_FPS]


def captioned(items: Sequence[CapturedItem], split: str) -> list[Captioned]:
    """The same as our evaluator takes them."""
    return [Captioned(_body(item), item.captions, item.action) for item in with_captions(items, split)]


def _body(item: CapturedItem) -> FloatArray:
    """Features of lower and upper body, (F, 140)."""
    return np.concatenate([item.lower, item.upper], axis=1)


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
    everything = with_captions(studio.captured, "held")
    # Clips of one recording follow each other: an even choice holds as many recordings as it can.
    held = [
        everything[n] for n in np.unique(np.linspace(0, len(everything) - 1, MOST_TEXTS).round().astype(int))
    ]
    texts = [item.captions[0] for item in held]
    recordings = [item.source_trial for item in held]
    requests = [text_request(text, TEXT_S, seed) for seed, text in enumerate(texts)]
    made = evaluator.embed_clips(studio.clips(requests, "held-out captions"))
    real = evaluator.embed_features([_body(item) for item in held])
    words = evaluator.embed_texts(encoder, texts)

    def anew(measure: Callable[[Indices], npt.ArrayLike]) -> FloatArray:
        """Half of the interval of a measure of the chosen clips."""
        return reach(lambda random: measure(resampled(recordings, random)))

    rows: list[Row] = []
    for label, motions in (("generated", made), ("- captured", real)):
        precise = r_precision(words, motions)
        spans = anew(lambda i, m=motions: r_precision(words[i], m[i]))
        told = ", ".join(f"{share:.2f} \u00b1 {span:.2f}" for share, span in zip(precise, spans, strict=True))
        rows.append(_precision_row(f"R-precision 1, 2, 3, {label}", label, told, precise.tolist()))
    chance = chance_precision(min(GROUP, len(held))).tolist()
    rows.append(_precision_row("- chance", "chance", ", ".join(f"{c:.2f}" for c in chance), chance))
    shuffled = np.random.default_rng(0).permutation(len(held))
    wrong = real[shuffled]
    for label, motions in (("generated", made), ("- captured", real), ("- captured, wrong text", wrong)):
        span = anew(lambda i, m=motions: matching_distance(words[i], m[i]))
        rows.append(_interval("matching distance", label, matching_distance(words, motions), span))
    span = anew(lambda i: embedding_fid(made[i], real[i]))
    rows.append(_interval("FID", "generated to captured", embedding_fid(made, real), span))
    first = np.isin(np.arange(len(held)), shuffled[: len(held) // 2])

    def halves(chosen: Indices) -> float:
        """FID of the chosen clips of one half to those of the other; nan where a half has no two."""
        one, other = chosen[first[chosen]], chosen[~first[chosen]]
        return embedding_fid(real[one], real[other]) if min(len(one), len(other)) > 1 else float("nan")

    distance = halves(np.arange(len(held)))
    rows.append(_interval("FID", "- one half of captured to the other", distance, anew(halves)))
    for label, motions in (("generated", made), ("- captured", real)):
        span = anew(lambda i, m=motions: diversity(m[i], i))
        rows.append(_interval("diversity", label, diversity(motions, np.arange(len(held))), span))
    return [*rows, *multimodality_rows(studio, everything, evaluator)]


def multimodality_rows(studio: Studio, held: Sequence[CapturedItem], evaluator: Evaluator) -> list[Row]:
    """Spread of clips of one text: of seeds, and of captured clips of different recordings.

    Args:
        studio: Engine and amount.
        held: Captured clips with captions.
        evaluator: Ours.
    """
    of_text: dict[str, list[CapturedItem]] = {}
    for item in held:
        of_text.setdefault(item.captions[0], []).append(item)
    few = sorted(of_text, key=lambda text: -len({item.source_trial for item in of_text[text]}))[:FEW_TEXTS]
    many = [text_request(text, TEXT_S, seed) for text in few for seed in range(studio.num_seeds)]
    embedded = evaluator.embed_clips(studio.clips(many, "captions with many seeds"))
    seeds = [str(seed) for seed in range(studio.num_seeds)]
    made = [(motions, seeds) for motions in np.split(embedded, len(few))]
    real = [
        (
            evaluator.embed_features([_body(item) for item in of_text[text]]),
            [item.source_trial for item in of_text[text]],
        )
        for text in few
    ]

    def anew(groups: Sequence[tuple[FloatArray, list[str]]], random: np.random.Generator) -> float:
        """Of texts drawn anew, and of seeds or recordings drawn anew within each."""
        drawn: list[tuple[FloatArray, npt.ArrayLike]] = []
        for number in random.integers(len(groups), size=len(groups)).tolist():
            motions, origins = groups[number]
            chosen = resampled(origins, random)
            drawn.append((motions[chosen], np.array(origins)[chosen]))
        return multimodality(drawn)

    return [
        _interval("multimodality", label, spread, reach(lambda random, g=groups: anew(g, random)))
        for label, groups in (("generated", made), ("- captured, of different recordings", real))
        if np.isfinite(spread := multimodality(groups))
    ]


def _precision_row(what: str, series: str, told: str, shares: Sequence[float]) -> Row:
    marks = tuple(
        Mark("retrieval", f"top {rank}", series.removeprefix("- "), share)
        for rank, share in enumerate(shares, 1)
    )
    return Row("retrieval", what, told, value=shares[2], marks=marks)


def _interval(what: str, label: str, value: float, span: FloatArray) -> Row:
    """A row of one value and half of its interval."""
    return Row("retrieval", f"{what}, {label}", f"{value:.3f} \u00b1 {float(span):.3f}", value=value)


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
