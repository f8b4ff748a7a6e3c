# SPDX-License-Identifier: GPL-3.0-or-later
"""A session for work that needs nothing of Blender while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from ..engine.errors import Cancelled
from .generate import Watched
from .job import STOPPED, IsCancelled, Job, JobState, ReportProgress

ResultT = TypeVar("ResultT")


class JobSession(Watched, Generic[ResultT]):
    """One function in a thread, watched by a `MotionOperator`."""

    def __init__(self, work: Callable[[ReportProgress, IsCancelled], ResultT]) -> None:
        """Prepare without starting anything."""
        self.work = work
        self.job: Job[ResultT] | None = None
        self.state = JobState(0.0, "Starting", 0.0, None, False)

    def tick(self) -> bool:
        """Look at the job, which the first look starts.

        Returns:
            Whether it has ended.
        """
        if self.cancel_requested:
            return True
        if self.job is None:
            self.job = Job(self.work)
            self.job.start()
        self.state = self.job.poll()
        return self.state.finished

    def run_to_end(self) -> ResultT:
        """Do all of the work here and now, without a thread."""
        return self.work(lambda _fraction, _text: None, lambda: False)

    def result(self) -> ResultT:
        """What the work returned.

        Raises:
            EngineError: What went wrong, or `Cancelled`.
        """
        if self.job is None:
            raise Cancelled(STOPPED)
        return self.job.result()
