# SPDX-License-Identifier: GPL-3.0-or-later
"""How well labels are told: accuracy, macro-F1 and confusion, with intervals, against chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]

LEVEL = 0.95
"""Confidence of every interval."""


@dataclass(frozen=True)
class LabelScore:
    """Told labels against true ones.

    Attributes:
        labels: Their order in the confusion.
        confusion: Rows are true labels, columns told ones, (K, K).
        accuracy: Share told right.
        interval: Interval of the accuracy.
        macro_f1: Mean F1 over the labels that occur.
        chance: Accuracy of telling every true label's share at random, sum of p^2.
    """

    labels: tuple[str, ...]
    confusion: Counts
    accuracy: float
    interval: tuple[float, float]
    macro_f1: float
    chance: float


def score_labels(true: Sequence[str], told: Sequence[str], labels: Sequence[str]) -> LabelScore:
    """Compare labels.

    Args:
        true: At least one.
        told: As many.
        labels: All that can be told.
    """
    from sklearn.metrics import confusion_matrix, f1_score

    held = [label for label in labels if label in set(true)]
    found: Any = confusion_matrix(true, told, labels=list(labels))
    right = np.array([a == b for a, b in zip(true, told, strict=True)])
    zero: Any = 0.0  # F1 of a label that is never told; the library's types want a word
    shares = np.array([list(true).count(label) for label in labels]) / len(true)
    return LabelScore(
        labels=tuple(labels),
        confusion=found.astype(np.int64),
        accuracy=float(right.mean()),
        interval=wilson(int(right.sum()), len(right)),
        macro_f1=float(f1_score(true, told, labels=held, average="macro", zero_division=zero)),
        chance=float((shares**2).sum()),
    )


def wilson(right: int, total: int) -> tuple[float, float]:
    """Wilson's interval of a share (1927), good for few trials and shares near 0 or 1."""
    from scipy import stats

    z = float(stats.norm.ppf(0.5 + LEVEL / 2))
    share = right / total
    centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    reach = z / (1 + z**2 / total) * np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    return max(0.0, float(centre - reach)), min(1.0, float(centre + reach))


def confusion_table(score: LabelScore) -> str:
    """The confusion in Markdown, true labels down, told ones across."""
    head = "| true \\ told | " + " | ".join(score.labels) + " |"
    lines = [head, "|---" * (len(score.labels) + 1) + "|"]
    for label, row in zip(score.labels, score.confusion.tolist(), strict=True):
        lines.append(f"| {label} | " + " | ".join(str(value) for value in row) + " |")
    return "\n".join(lines)
