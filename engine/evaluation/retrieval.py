# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics of text and motion in a common space (spec 6.3), pure functions of embeddings.

R-precision: in groups of 32, is the motion's own text among the k nearest? Matching distance: how far the
two lie apart. FID, diversity and multimodality are of the motions alone. Where the field draws groups or
pairs at random, the mean over all of them is taken here; what is uncertain is which clips there are, and
`reach` says how much.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ..motion.arrays import FloatArray
from .metrics import frechet_distance

GROUP = 32
"""Texts a motion is compared with, its own among them."""

RESAMPLES = 500
"""Of the clips, for one interval."""

Indices = npt.NDArray[np.int64]


def r_precision(texts: FloatArray, motions: FloatArray, group: int = GROUP, top: int = 3) -> FloatArray:
    """Share of motions whose own text is among the nearest 1, 2, ... `top`, (top,).

    The mean over all groups that a motion's own text and the others can make: of those that lie nearer than
    its own, a group holds a hypergeometric number. Texts that say the same count as the motion's own: two
    walks called "walk forward" are no error.

    Args:
        texts: Embeddings, (N, D).
        motions: Embeddings of the same items, (N, D).
        group: Texts per group; all where there are fewer.
        top: Most ranks counted.
    """
    from scipy.stats import hypergeom

    distance = np.linalg.norm(motions[:, None] - texts[None], axis=-1)
    nearer = (distance < np.diagonal(distance)[:, None] - 1e-9).sum(axis=1)
    others = len(texts) - 1
    drawn = min(group - 1, others)
    ranks = np.arange(top)[:, None]
    return np.asarray(hypergeom.cdf(ranks, others, nearer, drawn).mean(axis=1))


def chance_precision(group: int = GROUP, top: int = 3) -> FloatArray:
    """What guessing gives, (top,)."""
    return np.arange(1, top + 1) / group


def matching_distance(texts: FloatArray, motions: FloatArray) -> float:
    """Mean distance of a motion from its own text."""
    return float(np.linalg.norm(texts - motions, axis=-1).mean())


def embedding_fid(made: FloatArray, real: FloatArray) -> float:
    """Frechet distance of two sets of motions, (N, D) and (M, D)."""
    return frechet_distance(made, real)


def diversity(motions: FloatArray, origins: npt.ArrayLike) -> float:
    """Mean distance of two motions of different origin; nan where all are of one.

    Args:
        motions: Embeddings, (N, D).
        origins: What each was made of, (N,); two of one origin are no pair.
    """
    owner = np.asarray(origins)
    apart = owner[:, None] != owner[None]
    distance = np.linalg.norm(motions[:, None] - motions[None], axis=-1)
    return float(distance[apart].mean()) if apart.any() else float("nan")


def multimodality(groups: Sequence[tuple[FloatArray, npt.ArrayLike]]) -> float:
    """`diversity` of the motions of one text, mean over the texts that have motions of different origin.

    nan where no text has.

    Args:
        groups: Motions and origins of each text.
    """
    spread = np.array([diversity(motions, origins) for motions, origins in groups])
    known = np.isfinite(spread)
    return float(spread[known].mean()) if known.any() else float("nan")


def resampled(origins: Sequence[object], random: np.random.Generator) -> Indices:
    """Indices of items, as many origins drawn with replacement as there are, with all items of each.

    Args:
        origins: Of each item: items made of one recording are not independent.
        random: Draws.
    """
    places: dict[object, list[int]] = {}
    for place, origin in enumerate(origins):
        places.setdefault(origin, []).append(place)
    members = list(places.values())
    drawn = random.integers(len(members), size=len(members)).tolist()
    return np.array([place for number in drawn for place in members[number]])


def reach(measure: Callable[[np.random.Generator], npt.ArrayLike], times: int = RESAMPLES) -> FloatArray:
    """Half of the 95 % interval of one or several measures: 1.96 deviations over resamples (Efron 1979).

    Not their percentiles: a resample has fewer different clips, which alone makes an FID larger. For the same
    reason the interval of an FID of few recordings is rather too wide.

    Args:
        measure: Resamples and measures once.
        times: Resamples.
    """
    values = np.array([measure(np.random.default_rng(seed)) for seed in range(times)], dtype=np.float64)
    return np.asarray(1.96 * np.nanstd(values, axis=0, ddof=1))
