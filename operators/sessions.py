# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that goes on while a modal operator watches it and the panel shows how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import bpy

from ..engine.errors import Cancelled
from ..engine.specs import MOTION_FPS, Part, no_report
from . import delivery
from .generation import GeneratePlan, Motion, make_motions
from .job import STOPPED, IsCancelled, Job, JobState, ReportProgress

if TYPE_CHECKING:
    from ..engine.motion.clip import Clip

ResultT = TypeVar("ResultT")

REDRAW_S = 0.4
"""Seconds between two drawings of the panel while a job runs; each draws the 3D View behind it too."""

READ_BUDGET_S = 0.02
"""Seconds one look may spend on reading the current motion."""


class Watched:
    """Work that a modal operator watches and the panel shows. Nothing of it is stored in the .blend file."""

    state: JobState
    cancel_requested = False
    job: Job[Any] | None = None
    _drawn_s = 0.0
    _drawn: object = None

    def needs_drawing(self) -> bool:
        """Whether the panel would show something new; at most every `REDRAW_S`."""
        state, now = self.state, time.monotonic()
        remaining = None if state.remaining_s is None else round(state.remaining_s)
        shown = (state.message, round(state.fraction * 100), remaining)
        if shown == self._drawn or now - self._drawn_s < REDRAW_S:
            return False
        self._drawn, self._drawn_s = shown, now
        return True

    def cancel(self) -> None:
        """Ask everything to stop; returns at once."""
        self.cancel_requested = True
        if self.job is not None:
            self.job.cancel()


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
        return self.work(no_report, lambda: False)

    def result(self) -> ResultT:
        """What the work returned.

        Raises:
            EngineError: What went wrong, or `Cancelled`.
        """
        if self.job is None:
            raise Cancelled(STOPPED)
        return self.job.result()


if TYPE_CHECKING:
    _MotionJobSession = JobSession[list[Motion]]
else:
    # typing caches what is subscripted, and with it this module: Blender then hangs as it exits.
    _MotionJobSession = JobSession


class Session(_MotionJobSession):
    """One running Generate: reads kept parts in the main thread, then runs the job in its own."""

    def __init__(self, plan: GeneratePlan) -> None:
        """Prepare without starting anything."""
        super().__init__(lambda progress, cancelled: make_motions(plan, self.kept, progress, cancelled))
        self.plan = plan
        self.kept: Clip | None = None
        self._reading = _kept_reader(plan)
        if self._reading is not None:
            self.state = JobState(0.0, "Reading the current motion", 0.0, None, False)

    def tick(self) -> bool:
        """Go on for a moment.

        Returns:
            Whether the job has ended.
        """
        if not self.cancel_requested and not self._read_on(READ_BUDGET_S):
            return False
        return super().tick()

    def run_to_end(self) -> list[Motion]:
        """Do all of the work here and now, without a thread."""
        self._read_on(float("inf"))
        return super().run_to_end()

    def _read_on(self, budget_s: float) -> bool:
        """Read kept parts for a while; True once that is done."""
        if self._reading is None:
            return True
        end = time.perf_counter() + budget_s
        while time.perf_counter() < end:
            try:
                next(self._reading)
            except StopIteration as stop:
                self.kept, self._reading = stop.value, None
                return True
        return False


def _kept_reader(plan: GeneratePlan) -> Generator[float, None, Clip] | None:
    """Steps that read the current motion where a part or a frame is kept; None where none is."""
    if plan.stretch is None and len(plan.written_parts) == len(Part):
        return None
    return _read_kept(plan)


def _read_kept(plan: GeneratePlan) -> Generator[float, None, Clip]:
    """Read the current motion over the range of the request, finding the character anew after every pause."""
    from .bridge.armature import read_rig
    from .bridge.sampling import sample_clip
    from .bridge.sound import sound_duration

    duration_s = plan.duration_s
    if duration_s is None and plan.sound is not None:
        duration_s = sound_duration(plan.sound)
    armature = delivery.find_target(plan.armature_name, plan.armature_uid)
    place = (plan.frame_start, max(1, round((duration_s or 0.0) * MOTION_FPS)), MOTION_FPS)
    if plan.stretch is not None:
        place = (plan.stretch.read_first, plan.stretch.num_read, plan.fps)
    scene = bpy.data.scenes.get(plan.scene_name) or armature.users_scene[0]
    steps = sample_clip(armature, read_rig(armature), scene, *place)
    while True:
        delivery.find_target(plan.armature_name, plan.armature_uid)
        try:
            yield next(steps)
        except StopIteration as stop:
            return stop.value
        except ReferenceError as error:
            raise delivery.target_lost(plan.armature_name) from error
