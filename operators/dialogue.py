# SPDX-License-Identifier: GPL-3.0-or-later
"""Generate All Strips: a whole dialogue, written strip after strip into one action of the character.

One action, because an animator then has every key of the scene in one place, walks go on through the pauses,
and hand-made changes, takes and Regenerate work across the joints. Only what changed is written.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from enum import Enum
from queue import Empty, SimpleQueue
from typing import Any

import bpy
from bpy.props import BoolProperty

from ..engine.errors import EngineError
from ..engine.specs import no_report
from . import delivery, generate, polls
from .dialogue_plan import (
    DialoguePlan,
    Shared,
    cache_folder,
    dialogue_strips,
    read_dialogue,
    read_line,
)
from .dialogue_work import DialogueWork, LineNews, Piece
from .generate import MotionOperator
from .job import Job, JobState
from .sessions import Watched
from .wording import worded

WRITING_SHARE = 0.1
"""Part of the time that may go into writing, during which Blender waits; the last pieces do not wait."""


class LineState(Enum):
    """What can be said of a strip."""

    DONE = "Done"
    MOVED = "Moved"
    CHANGED = "Changed"
    NEW = "New"
    WAITING = "Waiting"
    RUNNING = "Running"
    WRONG = "Check"


class DialogueSession(Watched):
    """One running Generate All Strips: the worker makes pieces, the main thread writes them as they come."""

    def __init__(self, plan: DialoguePlan) -> None:
        """Prepare without starting anything."""
        self.plan = plan
        self.state = JobState(0.0, "Starting", 0.0, None, False)
        self.fractions: dict[str, float] = {}
        self.problem: EngineError | None = None
        self.num_written = 0
        self._told: SimpleQueue[Piece | LineNews] = SimpleQueue()
        self._before: tuple[int, int] | None = None
        self._waiting: list[Piece] = []
        self._pieces: list[Piece] = []
        self._next_write_s = 0.0

    def tick(self) -> bool:
        """Take in what the worker has done, and write it.

        Returns:
            Whether everything has ended and is written.
        """
        if self.job is None:
            self.job = Job(
                lambda progress, cancelled: DialogueWork(self.plan, self._told.put, progress, cancelled).run()
            )
            self.job.start()
        self.state = self.job.poll()
        self._drain()
        if self.state.finished or time.monotonic() >= self._next_write_s:
            self._write_waiting()
        if self.state.finished and not self.cancel_requested:
            self._take_problem(self.job)
        return self.state.finished

    def run_to_end(self) -> int:
        """Do all of the work here and now, without a thread."""
        try:
            DialogueWork(self.plan, self._told.put, no_report, lambda: False).run()
        except EngineError as error:
            self.problem = error
        self._drain()
        self._write_waiting()
        return self.num_written

    def result(self) -> int:
        """How many strips were written."""
        return self.num_written

    def finish(self) -> None:
        """Write what an undo took back; forget strips that are gone, with the keys beyond the others."""
        self._write(self._pieces)
        armature = delivery.find_target(self.plan.armature_name, self.plan.armature_uid)
        dialogue = armature.kinesics_dialogue
        names = {line.name for line in self.plan.lines}
        whole = len({piece.number for piece in self._pieces}) == len(self.plan.lines)
        if not whole or not self._pieces:
            return
        first = min(piece.frame_start for piece in self._pieces)
        last = max(piece.frame_start + piece.clip.num_frames - 1 for piece in self._pieces)
        low, high = self._before or (first, last)
        if low < first:
            delivery.clear(armature, self.plan.parts, low, first - 1)
        if high > last:
            delivery.clear(armature, self.plan.parts, last + 1, high)
        for index in reversed(range(len(dialogue.lines))):
            if dialogue.lines[index].name not in names:
                dialogue.lines.remove(index)

    def _take_problem(self, job: Job[None]) -> None:
        """Remember why the work ended early, so that what was done can be written first."""
        try:
            job.result()
        except EngineError as error:
            self.problem = error

    def _drain(self) -> None:
        while True:
            try:
                news = self._told.get_nowait()
            except Empty:
                return
            self.fractions[self.plan.lines[news.number].name] = getattr(news, "fraction", 1.0)
            if isinstance(news, Piece):
                self._waiting.append(news)
                self._pieces.append(news)

    def _write_waiting(self) -> None:
        if not self._waiting:
            return
        began = time.monotonic()
        waiting, self._waiting = self._waiting, []
        self._write(waiting)
        took = time.monotonic() - began
        self._next_write_s = time.monotonic() + took * (1.0 / WRITING_SHARE - 1.0)

    def _write(self, pieces: Sequence[Piece]) -> None:
        """Write those pieces that are not there yet, neighbours together."""
        if not pieces:
            return
        armature = delivery.find_target(self.plan.armature_name, self.plan.armature_uid)
        if self._before is None and _moves_by_dialogue(armature):
            known = armature.kinesics_dialogue.lines
            self._before = (min(line.piece_start for line in known), max(line.piece_end for line in known))
        runs: list[list[Piece]] = []
        for piece in pieces:
            if self._is_written(armature, piece):
                self._note(armature, piece)
            elif runs and _end(runs[-1][-1]) == piece.frame_start:
                runs[-1].append(piece)
            else:
                runs.append([piece])
        for run in runs:
            clip = run[0].clip
            for piece in run[1:]:
                clip = clip.joined(piece.clip)
            name = f"{armature.name} Dialogue"
            done = delivery.deliver(clip, armature, self.plan.parts, run[0].frame_start, name)
            armature.kinesics_dialogue.action = done.action_name
            for piece in run:
                self._note(armature, piece)
            self.num_written += len(run)

    def _is_written(self, armature: bpy.types.Object, piece: Piece) -> bool:
        """Whether a piece stands in the character's action already; afresh, only if this run wrote it."""
        known = armature.kinesics_dialogue.lines.get(self.plan.lines[piece.number].name)
        same = known is not None and known.fingerprint == self._fingerprint(piece)
        return same and _moves_by_dialogue(armature)

    def _fingerprint(self, piece: Piece) -> str:
        """Names a written piece; what is made afresh differs though it has the same ingredients."""
        return f"{id(self)} {piece.fingerprint}" if self.plan.afresh else piece.fingerprint

    def _note(self, armature: bpy.types.Object, piece: Piece) -> None:
        """Remember on the character what was written for a strip."""
        line = self.plan.lines[piece.number]
        lines = armature.kinesics_dialogue.lines
        known = lines.get(line.name)
        if known is None:
            known = lines.add()
            known.name = line.name
        known.key, known.fingerprint = piece.key, self._fingerprint(piece)
        known.signature = line.signature(self.plan.common) if piece.up_to_date else ""
        known.frame_start = line.frame_start
        known.piece_start, known.piece_end = piece.frame_start, _end(piece) - 1


def _moves_by_dialogue(armature: bpy.types.Object) -> bool:
    """Whether the action that moves a character is the one its dialogue was written to."""
    animation, dialogue = armature.animation_data, armature.kinesics_dialogue
    if animation is None or animation.action is None or len(dialogue.lines) == 0:
        return False
    return animation.action.name == dialogue.action


def _end(piece: Piece) -> int:
    return piece.frame_start + piece.clip.num_frames


def state_of(context: bpy.types.Context, strip: Any, shared: Shared) -> tuple[LineState, str]:
    """What can be said of a strip, and in which words; `shared` is read once for all strips."""
    session = generate.current_session()
    if isinstance(session, DialogueSession) and any(line.name == strip.name for line in session.plan.lines):
        done = session.fractions.get(strip.name)
        if done is None:
            return LineState.WAITING, LineState.WAITING.value
        return (LineState.DONE, LineState.DONE.value) if done >= 1.0 else (LineState.RUNNING, f"{done:.0%}")
    state = _resting_state(context, strip, shared)
    return state, state.value


def _resting_state(context: bpy.types.Context, strip: Any, shared: Shared) -> LineState:
    armature = polls.character_of(context)
    try:
        line = read_line(strip, shared, with_packed=False)
    except EngineError:
        return LineState.WRONG
    known = armature.kinesics_dialogue.lines.get(strip.name) if armature is not None else None
    if known is None:
        return LineState.NEW
    if known.signature != line.signature(shared.common):
        return LineState.CHANGED
    return LineState.DONE if known.frame_start == line.frame_start else LineState.MOVED


class KINESICS_OT_generate_dialogue(MotionOperator, bpy.types.Operator):
    """Make the motion of all sound strips, one after the other, in one action. Strips that did not change are
    not made again, moved ones take their motion along, and in the pauses between them the character stands.
    What is finished stays when you cancel"""

    bl_idname = "kinesics.generate_dialogue"
    bl_label = "Generate All Strips"

    afresh: BoolProperty(
        name="Afresh",
        description="Make every strip anew, even those that did not change",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether a character and a sound strip are there and nothing else runs."""
        if not super().poll(context):
            return False
        if not dialogue_strips(context.scene):
            cls.poll_message_set("Add speech with Add > Sound in the Video Sequencer, or choose its channel")
            return False
        return True

    def new_session(self, context: bpy.types.Context) -> DialogueSession:
        """The work for all strips, not started."""
        return DialogueSession(read_dialogue(context, self.afresh))

    def _write(self, session: DialogueSession, num_written: int) -> set[str]:
        session.finish()
        total, written = len(session.plan.lines), session.num_written
        if session.problem is not None:
            self.report({"ERROR"}, worded(session.problem))
        elif session.cancel_requested:
            text = f"Stopped: what was finished stays, {written} of {total} strips written"
            self.report({"INFO"}, worded(text))
        else:
            self.report({"INFO"}, worded(f"Wrote {written} of {total} strips; the rest was there already"))
        return {"FINISHED"} if written else {"CANCELLED"} if session.problem else {"FINISHED"}


class KINESICS_OT_clear_dialogue(bpy.types.Operator):
    """Delete the finished motions of dialogue strips from the disk. Keys stay as they are; strips that change
    later are made anew as a whole"""

    bl_idname = "kinesics.clear_dialogue"
    bl_label = "Clear Dialogue Memory"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether nothing is being made."""
        return polls.is_free(cls)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Delete them."""
        from ..engine.line_cache import LineCache

        freed = LineCache(cache_folder(), 0).clear()
        self.report({"INFO"}, worded(f"Freed {freed / 1e6:.1f} MB"))
        return {"FINISHED"}


CLASSES = (KINESICS_OT_generate_dialogue, KINESICS_OT_clear_dialogue)
