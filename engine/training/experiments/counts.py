# SPDX-License-Identifier: GPL-3.0-or-later
"""How well emotions are told by counting codes: what the rows hold, whatever a model makes of them.

A softmax regression on how often each code occurs in the motion, learnt from the very rows that a run of
stage 3 sees of this task, and measured on the held-out rows that all runs are measured on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ...evaluation.libraries import development_library
from ...language.biases import UNTIMED
from ...language.task_layout import TaskBatch
from ...motion.arrays import FloatArray, IntArray
from ...tokenizers.vocabulary import Vocabulary
from ..language_stages import LanguageJob
from ..place import Place
from ..tasks.patterns import Kind


def emotions_by_counts(job: LanguageJob, held: Sequence[TaskBatch]) -> dict[str, Any]:
    """Share of emotions told right, and the number of rows learnt from.

    Args:
        job: Draws what is learnt from, all tasks of stage 3.
        held: Held-out rows of this task alone.

    Raises:
        EngineError: If scikit-learn is not installed.
    """
    seen = (job.batch(Place(step, 0, 1, 0, 1)) for step in range(job.recipe.run.max_steps))
    counts, emotions = _counts(seen, job.tasks.index(Kind.MOTION_TO_EMOTION), job.vocabulary)
    regression = development_library("sklearn.linear_model").LogisticRegression(max_iter=1000)
    regression.fit(counts, emotions)
    told = regression.score(*_counts(held, 0, job.vocabulary))
    return {"rows": len(counts), "emotion_accuracy": float(told)}


def _counts(batches: Iterable[TaskBatch], task: int, vocabulary: Vocabulary) -> tuple[FloatArray, IntArray]:
    """How often each code occurs in a motion, (rows, codes), and the words for the emotions, (rows,).

    Only rows of one task are counted.
    """
    first = vocabulary.num_text
    counts: list[IntArray] = []
    emotions: list[int] = []
    for batch in batches:
        for row in (batch.tasks == task).nonzero()[:, 0].tolist():
            codes = batch.ids[row][batch.times[row] != UNTIMED]
            counts.append(
                np.bincount(codes[codes >= first].numpy() - first, minlength=vocabulary.size - first)
            )
            emotions.append(int(batch.targets[row, 0, 0]))
    return np.stack(counts).astype(np.float32), np.array(emotions)
