# SPDX-License-Identifier: GPL-3.0-or-later
"""How well emotions are told by counting codes: what the rows hold, whatever a model makes of them.

A softmax regression on how often each code occurs in the motion, learnt from as many rows as a run of stage 3
sees of this task, and measured on the held-out rows that all runs are measured on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...evaluation.libraries import development_library
from ...language.biases import UNTIMED
from ...language.task_layout import TaskBatch
from ...motion.arrays import FloatArray, IntArray
from ...tokenizers.vocabulary import Vocabulary
from ..language_stages import Draws, LanguageJob
from ..place import Place
from ..tasks.patterns import Kind

if TYPE_CHECKING:
    from .runs import Bench


def emotions_by_counts(bench: Bench, seed: int) -> dict[str, Any]:
    """Share of emotions told right, and the number of rows learnt from.

    Args:
        bench: Data and held-out rows.
        seed: Of the draws.

    Raises:
        EngineError: If scikit-learn is not installed.
    """
    base = bench.recipes["tuning"]
    run = replace(base.run, seed=seed)
    rows = run.max_steps * run.batch * base.mixture[Kind.MOTION_TO_EMOTION] / sum(base.mixture.values())
    recipe = replace(base, run=run, mixture={Kind.MOTION_TO_EMOTION: 1.0})
    draw = bench.draw(bench.train, recipe)
    job = LanguageJob(
        recipe, bench.model(recipe), bench.vocabulary, bench.rows(recipe.hidden), Draws(draw, draw)
    )
    learnt = [job.batch(Place(step, 0, 1, 0, 1)) for step in range(math.ceil(rows / run.batch))]
    regression = development_library("sklearn.linear_model").LogisticRegression(max_iter=1000)
    regression.fit(*_counts(learnt, bench.vocabulary))
    told = regression.score(*_counts(bench.held_rows[Kind.MOTION_TO_EMOTION], bench.vocabulary))
    return {"rows": len(learnt) * run.batch, "emotion_accuracy": float(told)}


def _counts(batches: Sequence[TaskBatch], vocabulary: Vocabulary) -> tuple[FloatArray, IntArray]:
    """How often each code occurs in a motion, (rows, codes), and the words for the emotions, (rows,)."""
    first = vocabulary.num_text
    counts = [
        np.bincount(ids[(ids >= 0) & (times != UNTIMED)[:, None]] - first, minlength=vocabulary.size - first)
        for batch in batches
        for ids, times in zip(batch.ids.numpy(), batch.times.numpy(), strict=True)
    ]
    emotions = np.concatenate([batch.targets[:, 0, 0].numpy() for batch in batches])
    return np.stack(counts).astype(np.float32), emotions
