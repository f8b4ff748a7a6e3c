# SPDX-License-Identifier: GPL-3.0-or-later
"""Which rows of a step's batch a process draws, and what each of them is drawn by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .stage_recipe import RunRecipe


@dataclass(frozen=True)
class Place:
    """Which micro-batch: of which step, which one of the step, and which process' share of it."""

    step: int
    micro: int
    num_micro: int
    process: int
    num_processes: int

    def rows(self, batch: int) -> range:
        """Rows of a whole step's batch that belong here."""
        share = batch // self.num_micro // self.num_processes
        begin = (self.micro * self.num_processes + self.process) * share
        return range(begin, begin + share)

    def draws(self, run: RunRecipe, kind: int) -> list[np.random.Generator]:
        """A generator for each of these rows, the same however many processes share the step.

        Args:
            run: Has the seed and the rows of a whole step.
            kind: 0 for rows to learn from, 1 for held-out ones.
        """
        return [np.random.default_rng([run.seed, kind, self.step, row]) for row in self.rows(run.batch)]
