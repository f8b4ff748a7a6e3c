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
from .errors import TargetLostError
from .generation import GeneratePlan, Motion, make_motions
from .job import STOPPED, IsCancelled, Job, JobState, ReportProgress

if TYPE_CHECKING:
    from ..engine.motion.clip import Clip
    from .bridge.preview import Preview

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
    _AnyJobSession = JobSession[Any]
else:
    # typing caches what is subscripted, and with it this module: Blender then hangs as it exits.
    _AnyJobSession = JobSession


class ReadingSession(_AnyJobSession):
    """Work on what a character does, which is read in the main thread before the thread starts."""

    def __init__(
        self,
        reading: Generator[float, None, Clip] | None,
        work: Callable[[Clip | None, ReportProgress, IsCancelled], Any],
    ) -> None:
        """Prepare without starting anything.

        Args:
            reading: Steps that read the motion, or None where none is needed.
            work: What is done with it in the thread.
        """
        super().__init__(lambda progress, cancelled: work(self._motion, progress, cancelled))
        self._reading = reading
        self._motion: Clip | None = None
        if reading is not None:
            self.state = JobState(0.0, "Reading the current motion", 0.0, None, False)

    def tick(self) -> bool:
        """Go on for a moment.

        Returns:
            Whether the job has ended.
        """
        if not self.cancel_requested and not self._read_on(READ_BUDGET_S):
            return False
        return super().tick()

    def run_to_end(self) -> Any:
        """Do all of the work here and now, without a thread."""
        self._read_on(float("inf"))
        return super().run_to_end()

    def _read_on(self, budget_s: float) -> bool:
        """Read for a while; True once that is done."""
        if self._reading is None:
            return True
        end = time.perf_counter() + budget_s
        while time.perf_counter() < end:
            try:
                next(self._reading)
            except StopIteration as stop:
                self._motion, self._reading = stop.value, None
                return True
        return False


class Session(ReadingSession):
    """One running Generate: reads kept parts, then makes motions."""

    def __init__(self, plan: GeneratePlan) -> None:
        """Prepare without starting anything."""
        super().__init__(_kept_reader(plan), self._make)
        self.plan = plan
        self.preview: Preview | None = None

    def tick(self) -> bool:
        """Go on for a moment, and show what is finished.

        Returns:
            Whether the job has ended.
        """
        if self.job is None and not self.cancel_requested:
            self.preview = self.preview or _preview(self.plan)
        ended = super().tick()
        if self.preview is not None and not ended:
            self._show(self.preview)
        return ended

    def cancel(self) -> None:
        """Ask everything to stop, and put the preview away."""
        super().cancel()
        self._end_preview()

    def result(self) -> list[Motion]:
        """The motions; the character is as it was before."""
        self._end_preview()
        return super().result()

    def _make(self, kept: Clip | None, progress: ReportProgress, cancelled: IsCancelled) -> list[Motion]:
        show = self.preview.add if self.preview is not None else None
        return make_motions(self.plan, kept, progress, cancelled, show)

    def _show(self, preview: Preview) -> None:
        try:
            armature = delivery.find_target(self.plan.armature_name, self.plan.armature_uid)
        except TargetLostError:  # said when the motion is written
            self._end_preview()
            return
        preview.tick(delivery.locked_parts(armature))

    def _end_preview(self) -> None:
        if self.preview is not None:
            self.preview.end()
            self.preview = None


def _preview(plan: GeneratePlan) -> Preview | None:
    """A preview for the character of a plan; None for a stretch, which is joined only when it is complete."""
    from ..engine.motion.arkit import ARKIT_NAMES
    from ..engine.motion.clip import smplx_expression_names
    from ..engine.motion.published_features import NUM_EXPRESSIONS
    from .bridge.preview import Preview
    from .bridge.shape_keys import find_face_meshes

    if plan.stretch is not None:
        return None
    armature = delivery.find_target(plan.armature_name, plan.armature_uid)
    rig, arkit = delivery.check_target(armature, plan.written_parts, ARKIT_NAMES)
    faces = {"arkit": arkit}
    if Part.FACE in plan.written_parts:
        faces["smplx"] = find_face_meshes(armature, smplx_expression_names(NUM_EXPRESSIONS))
    return Preview(armature, rig, faces, plan.scene_name, plan.frame_start, plan.fps)


def read_motion(
    name: str, uid: int, scene_name: str, frame_start: int, num_frames: int, fps: float
) -> Generator[float, None, Clip]:
    """Read what a character does as `sample_clip` does, and find it anew after every pause.

    Args:
        name: Name of the character.
        uid: Blender's number for it in this session.
        scene_name: Scene whose time counts; where it is gone, another one of the character.
        frame_start: Scene frame of the first sample.
        num_frames: Number of samples.
        fps: Samples per second.

    Raises:
        CharacterError: If its rig is unknown.
        TargetLostError: If it is gone.
    """
    from .bridge.armature import read_rig
    from .bridge.sampling import sample_clip

    armature = delivery.find_target(name, uid)
    scene = bpy.data.scenes.get(scene_name) or armature.users_scene[0]
    steps = sample_clip(armature, read_rig(armature), scene, frame_start, num_frames, fps)
    while True:
        delivery.find_target(name, uid)
        try:
            yield next(steps)
        except StopIteration as stop:
            return stop.value
        except ReferenceError as error:
            raise delivery.target_lost(name) from error


def _kept_reader(plan: GeneratePlan) -> Generator[float, None, Clip] | None:
    """Steps that read the current motion where a part or a frame is kept; None where none is."""
    if plan.stretch is None and len(plan.written_parts) == len(Part):
        return None
    return _read_kept(plan)


def _read_kept(plan: GeneratePlan) -> Generator[float, None, Clip]:
    """Read the current motion over the range of the request."""
    from .bridge.sound import sound_duration

    duration_s = plan.duration_s
    if duration_s is None and plan.sound is not None:
        duration_s = sound_duration(plan.sound)
    place = (plan.frame_start, max(1, round((duration_s or 0.0) * MOTION_FPS)), MOTION_FPS)
    if plan.stretch is not None:
        place = (plan.stretch.read_first, plan.stretch.num_read, plan.fps)
    return (yield from read_motion(plan.armature_name, plan.armature_uid, plan.scene_name, *place))
