# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics of text and motion in a common space (spec 6.3), pure functions of embeddings.

R-precision: in groups of 32, is the motion's own text among the k nearest? Matching distance: how far the
two lie apart. FID, diversity and multimodality are of the motions alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..motion.arrays import FloatArray
from .metrics import frechet_distance

GROUP = 32
"""Texts a motion is compared with, its own among them."""

PAIRS = 300
"""Pairs of motions a diversity is measured on."""


def r_precision(
    texts: FloatArray, motions: FloatArray, random: np.random.Generator, group: int = GROUP, top: int = 3
) -> FloatArray:
    """Share of motions whose own text is among the nearest 1, 2, ... `top`, (top,).

    Texts that say the same count as the motion's own: two walks called "walk forward" are no error.

    Args:
        texts: Embeddings, (N, D).
        motions: Embeddings of the same items, (N, D).
        random: Shuffles the items into groups; what does not fill a last group is left out.
        group: Items per group; all where there are fewer.
        top: Most ranks counted.
    """
    group = min(group, len(texts))
    order = random.permutation(len(texts))[: len(texts) // group * group].reshape(-1, group)
    hits = np.zeros(top)
    for rows in order:
        distance = np.linalg.norm(motions[rows][:, None] - texts[rows][None], axis=-1)
        own = np.diagonal(distance)[:, None]
        rank = (distance < own - 1e-9).sum(axis=1)
        hits += [(rank < k).sum() for k in range(1, top + 1)]
    return hits / order.size


def chance_precision(group: int = GROUP, top: int = 3) -> FloatArray:
    """What guessing gives, (top,)."""
    return np.arange(1, top + 1) / group


def matching_distance(texts: FloatArray, motions: FloatArray) -> float:
    """Mean distance of a motion from its own text."""
    return float(np.linalg.norm(texts - motions, axis=-1).mean())


def embedding_fid(made: FloatArray, real: FloatArray) -> float:
    """Frechet distance of two sets of motions, (N, D) and (M, D)."""
    return frechet_distance(made, real)


def diversity(motions: FloatArray, random: np.random.Generator, pairs: int = PAIRS) -> float:
    """Mean distance of random pairs of motions."""
    first, second = random.integers(0, len(motions), (2, pairs))
    return float(np.linalg.norm(motions[first] - motions[second], axis=-1).mean())


def multimodality(groups: Sequence[FloatArray], random: np.random.Generator, pairs: int = 10) -> float:
    """Mean distance of random pairs of motions made for one text, over the texts.

    Args:
        groups: Motions of each text, (K, D) with K > 1.
        random: Draws the pairs.
        pairs: Per text.
    """
    values: list[float] = []
    for motions in groups:
        for _ in range(pairs):
            a, b = random.choice(len(motions), 2, replace=False)
            values.append(float(np.linalg.norm(motions[a] - motions[b])))
    return float(np.mean(values))
