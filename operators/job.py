# SPDX-License-Identifier: GPL-3.0-or-later
"""Work in a thread that can be watched and stopped. Knows nothing of Blender."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from ..engine.errors import Cancelled

ResultT = TypeVar("ResultT")

ReportProgress = Callable[[float, str], None]
"""Called by the work with the fraction done in [0, 1] and a short text; raises `Cancelled` once the job shall
stop, so that every report is a place to stop at."""

IsCancelled = Callable[[], bool]
"""Asked by the work between its steps."""

STOPPED = "Stopped before anything was changed."
"""What is said of a job that was cancelled."""

FIRST_ESTIMATE_S = 0.5
"""Seconds of measured progress before a remaining time is told."""


@dataclass(frozen=True)
class JobState:
    """What can be said about a job at one moment.

    Attributes:
        fraction: Part of the work that is done, in [0, 1].
        message: What is being done, in an animator's words.
        elapsed_s: Seconds since the start.
        remaining_s: Estimated seconds to go, or None while nothing can be said.
        finished: Whether the work ended, in whatever way.
    """

    fraction: float
    message: str
    elapsed_s: float
    remaining_s: float | None
    finished: bool


class Job(Generic[ResultT]):
    """One piece of work in a daemon thread.

    The thread only puts plain data into a queue; the owner calls `poll` as often as it likes and, once the
    state says finished, `result`.
    """

    def __init__(
        self, work: Callable[[ReportProgress, IsCancelled], ResultT], name: str = "kinesics"
    ) -> None:
        """Prepare the work without starting it.

        Args:
            work: Function of a progress callback and a cancel check; runs in the thread.
            name: Name of the thread.
        """
        self._work = work
        self._progress: SimpleQueue[tuple[float, float, str]] = SimpleQueue()
        self._cancel = threading.Event()
        self._done = threading.Event()
        self._value: list[ResultT] = []
        self._error: BaseException | None = None
        self._marks: list[tuple[float, float]] = []
        self._fraction = 0.0
        self._message = ""
        self._started_s = 0.0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin the work."""
        self._started_s = time.monotonic()
        self._thread.start()

    def cancel(self) -> None:
        """Ask the work to stop; returns at once."""
        self._cancel.set()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancel.is_set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread to end.

        Returns:
            Whether it ended within the time.
        """
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def poll(self) -> JobState:
        """Take in what the thread has reported so far; never waits."""
        finished = self._done.is_set()
        while True:
            try:
                at, fraction, message = self._progress.get_nowait()
            except Empty:
                break
            self._fraction = max(self._fraction, min(max(fraction, 0.0), 1.0))
            self._message = message
            self._marks.append((at, self._fraction))
        now = time.monotonic()
        return JobState(self._fraction, self._message, now - self._started_s, self._remaining(now), finished)

    def result(self) -> ResultT:
        """What the work returned.

        Raises:
            Cancelled: If the job was cancelled.
            BaseException: Whatever the work raised.
            RuntimeError: If it is not finished.
        """
        if self._cancel.is_set():
            raise Cancelled(STOPPED)
        if not self._done.is_set():
            raise RuntimeError("the job is still running")
        if self._error is not None:
            raise self._error
        return self._value[0]

    def _remaining(self, now: float) -> float | None:
        """Seconds to go from the pace since the latest quarter of the marks began."""
        if len(self._marks) < 2 or self._fraction >= 1.0:
            return None
        first_s, first = self._marks[len(self._marks) * 3 // 4 if len(self._marks) > 8 else 0]
        last_s, last = self._marks[-1]
        if last - first <= 0.0 or last_s - self._marks[0][0] < FIRST_ESTIMATE_S:
            return None
        pace = (last - first) / (last_s - first_s) if last_s > first_s else 0.0
        return max((1.0 - last) / pace - (now - last_s), 0.0) if pace > 0.0 else None

    def _run(self) -> None:
        try:
            self._value.append(self._work(self._report, self._cancel.is_set))
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()

    def _report(self, fraction: float, message: str) -> None:
        if self._cancel.is_set():
            raise Cancelled(STOPPED)
        self._progress.put((time.monotonic(), fraction, message))
