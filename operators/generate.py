# SPDX-License-Identifier: GPL-3.0-or-later
"""Generate: speech and directions become keys on a character."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy

from ..engine.errors import Cancelled, EngineError
from ..engine.specs import Part, PartDirection, Source
from . import delivery, engine_host, polls, take_list
from .generation import MAX_SEED, GeneratePlan, Motion, check_directions
from .log import LOG
from .sessions import Session, Watched
from .wording import worded

if TYPE_CHECKING:
    from .bridge.instructions import Told
    from .bridge.sound import SoundSource

TICK_S = 0.05
"""Seconds between two looks at a running job."""

MAX_LENGTH_S = 7200.0
"""No sound file is longer, so that instructions behind it need not be looked at."""

PACKAGE = __package__.rpartition(".")[0] if __package__ else ""


_session: Watched | None = None


def current_session() -> Watched | None:
    """What is being made, if anything is; for the panel."""
    return _session


def read_plan(
    context: bpy.types.Context,
    parts: Iterable[Part] = tuple(Part),
    frames: tuple[int, int] | None = None,
) -> GeneratePlan:
    """Turn the settings of the scene into plain data and check everything that can be checked at once.

    Args:
        context: Its scene's settings count.
        parts: Parts that may change; the others, and locked ones, are kept.
        frames: First and last frame whose instructions on the timeline count; None for the whole motion.

    Raises:
        EngineError: With one sentence that says what is missing and what to do.
    """
    from .bridge.sound import scene_fps

    scene = context.scene
    settings = scene.kinesics
    armature = polls.needed_character(context)
    engine_host.check_packages()
    fps = scene_fps(scene)
    sound, frame_start = read_speech(scene)
    duration_s = sound.duration_s if sound is not None else float(settings.duration_s)
    free = set(parts) - delivery.locked_parts(armature)
    if frames is None:
        frames = (frame_start, frame_start + math.ceil((duration_s or MAX_LENGTH_S) * fps) - 1)
    directions = {
        part: read_part(scene, part).direction(frame_start, frames, fps)
        if part in free
        else PartDirection(Source.KEEP)
        for part in Part
    }
    check_directions(directions, sound is not None)
    preferences = preferences_of(context)
    plan = GeneratePlan(
        directions=directions,
        sound=sound,
        duration_s=duration_s,
        emotion=None if settings.emotion == "ANY" else settings.emotion.lower(),
        seed=int(settings.seed),
        fps=fps,
        frame_start=frame_start,
        armature_name=armature.name,
        armature_uid=armature.session_uid,
        scene_name=scene.name,
        action_name=sound.label if sound is not None else _text_title(directions),
        pack_dir=pack_folder(preferences),
        device=device_of(preferences),
        variation=float(settings.variation),
    )
    from ..engine.motion.arkit import ARKIT_NAMES

    delivery.check_target(armature, plan.written_parts, ARKIT_NAMES)
    return plan


def read_speech(scene: bpy.types.Scene) -> tuple[SoundSource | None, int]:
    """The speech that is chosen, None where it is text alone, and the scene frame it begins on.

    Raises:
        EngineError: If the strip or the file cannot be used.
    """
    from .bridge import instructions
    from .bridge import sound as sound_bridge

    settings = scene.kinesics
    if settings.audio_source == "STRIP":
        strip = instructions.spoken_strip(scene)
        source = sound_bridge.strip_source(strip, sound_bridge.scene_fps(scene))
        return source, sound_bridge.strip_place(strip).frame_start
    source = sound_bridge.file_source(settings.audio_path) if settings.audio_source == "FILE" else None
    return source, int(settings.frame_start)


@dataclass(frozen=True)
class PartWish:
    """What the settings and the whole timeline say of a part.

    Attributes:
        source: What drives it.
        text: Its words wherever no instruction on the timeline holds.
        emotion: One of its own, or None.
        told: Its instructions on the timeline; none where the part is kept.
    """

    source: Source
    text: str
    emotion: str | None
    told: tuple[Told, ...]

    def direction(self, origin: int, frames: tuple[int, int], fps: float) -> PartDirection:
        """What that comes to in some frames.

        Args:
            origin: Scene frame of second 0.
            frames: First and last frame whose instructions on the timeline count.
            fps: Frames per second of the scene.
        """
        from .bridge import instructions

        segments = instructions.segments_between(self.told, origin, frames, fps)
        return PartDirection(self.source, self.text, segments, self.emotion)


def read_part(scene: bpy.types.Scene, part: Part) -> PartWish:
    """Read a part's settings and its instructions on the timeline."""
    from .bridge import instructions

    settings = getattr(scene.kinesics, part.value)
    source = Source(settings.source.lower())
    if source is Source.KEEP:
        return PartWish(source, "", None, ())
    text = settings.text if source in (Source.TEXT, Source.BOTH) else ""
    own = scene.kinesics.part_emotions and settings.emotion != "SAME"
    emotion = settings.emotion.lower() if own else None
    return PartWish(source, text, emotion, instructions.read_told(scene, part))


def pack_folder(preferences: Any) -> Path:
    """Folder of the chosen model pack; the bundled starter pack where none is chosen."""
    chosen = preferences.pack_dir.strip() if preferences is not None else ""
    if chosen:
        return Path(bpy.path.abspath(chosen))
    return Path(__file__).resolve().parents[1] / "packs" / "starter"


def device_of(preferences: Any) -> str:
    """The chosen device: auto, cpu or cuda."""
    return preferences.device.lower() if preferences is not None else "auto"


class MotionOperator:
    """What Generate and Regenerate share: a job, a timer that watches it, one write at the end."""

    bl_options = {"UNDO"}

    _timer: bpy.types.Timer | None = None

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether a character is there and nothing else runs."""
        return polls.is_free(cls) and polls.has_character(cls, context)

    def read_plan(self, context: bpy.types.Context) -> GeneratePlan:
        """What to do, from the settings."""
        return read_plan(context)

    def new_session(self, context: bpy.types.Context) -> Any:
        """The work for the settings as they are, not started."""
        plan = self.read_plan(context)
        LOG.debug("%s", plan)
        return Session(plan)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Do everything at once; Blender waits."""
        try:
            session = self.new_session(context)
            return self._write(session, session.run_to_end())
        except EngineError as error:
            self.report({"ERROR"}, worded(error))
            return {"CANCELLED"}

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Start the job and a timer that watches it."""
        global _session
        if bpy.app.background:
            return self.execute(context)
        try:
            _session = self.new_session(context)
        except EngineError as error:
            self.report({"ERROR"}, worded(error))
            return {"CANCELLED"}
        self._timer = context.window_manager.event_timer_add(TICK_S, window=context.window)
        context.window_manager.modal_handler_add(self)
        redraw_panels(context)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Look at the job; Esc stops it."""
        session: Any = _session
        if session is None:
            return self._finish(context, {"CANCELLED"})
        if event.type == "ESC" and event.value == "PRESS":
            session.cancel()
        elif event.type != "TIMER" and not session.cancel_requested:
            return {"PASS_THROUGH"}
        try:
            if not session.tick():
                if session.needs_drawing():
                    redraw_panels(context)
                return {"PASS_THROUGH"}
            outcome = self._write(session, session.result())
        except Cancelled as wish:
            self.report({"INFO"}, worded(wish))
            outcome = {"CANCELLED"}
        except EngineError as error:
            LOG.warning("nothing was made: %s", type(error).__name__)
            LOG.debug("%s", error)  # names sounds and quotes instructions
            self.report({"ERROR"}, worded(error))
            outcome = {"CANCELLED"}
        except BaseException:
            self._finish(context, {"CANCELLED"})
            raise
        return self._finish(context, outcome)

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender itself ends the operator, as when another file is loaded."""
        self._finish(context, {"CANCELLED"})

    def _write(self, session: Session, motions: list[Motion]) -> set[str]:
        plan = session.plan
        armature = delivery.find_target(plan.armature_name, plan.armature_uid)
        if plan.num_takes:
            done = take_list.deliver_takes(plan, armature, motions)
            message = f"Made {len(motions)} takes"
        else:
            motion = motions[0]
            place = (armature, plan.written_parts, plan.write_start, plan.action_name)
            if plan.stretch is None:
                done = delivery.deliver(motion.clip, *place)
            else:
                done = delivery.deliver_stretch(motion.clip, *place, motion.whole)
            message = f'Wrote {done.num_frames} frames to "{done.action_name}" with seed {plan.seed}'
            if done.settled:
                message += "; the motion around is kept as it was shaped, and the Shape settings begin anew"
        if Part.FACE in plan.written_parts and done.num_face_channels == 0:
            message += "; no mesh of this character has face shape keys, so only its jaw and eyes move"
        _move_seed_on(plan)
        LOG.info("%s", message)
        self.report({"INFO"}, worded(message))
        return {"FINISHED"}

    def _finish(self, context: bpy.types.Context, outcome: set[str]) -> set[str]:
        """End in whatever way; harmless when called twice."""
        global _session
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None
        if _session is not None:
            if outcome != {"FINISHED"}:
                _session.cancel()
            _session = None
        redraw_panels(context)
        return outcome


class KINESICS_OT_generate(MotionOperator, bpy.types.Operator):
    """Make motion for the character from the speech and the four directions, at the strip's place"""

    bl_idname = "kinesics.generate"
    bl_label = "Generate"


class KINESICS_OT_generate_cancel(bpy.types.Operator):
    """Stop making the motion; nothing has been changed so far"""

    bl_idname = "kinesics.generate_cancel"
    bl_label = "Cancel"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether something runs."""
        if _session is None:
            cls.poll_message_set("No motion is being made")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Ask the running job to stop."""
        if _session is not None:
            _session.cancel()
        return {"FINISHED"}


class KINESICS_OT_new_seed(bpy.types.Operator):
    """Choose another seed, for another variation of the same request"""

    bl_idname = "kinesics.new_seed"
    bl_label = "New Seed"
    bl_options = {"UNDO", "INTERNAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Draw a seed."""
        context.scene.kinesics.seed = random.randint(0, MAX_SEED)
        return {"FINISHED"}


def _move_seed_on(plan: GeneratePlan) -> None:
    """Set the seed of the next motion as the settings want it."""
    scene = bpy.data.scenes.get(plan.scene_name)
    if scene is None or scene.kinesics.seed_mode == "PINNED":
        return
    if scene.kinesics.seed_mode == "NEXT":
        scene.kinesics.seed = (plan.seeds[-1] + 1) % (MAX_SEED + 1)
    else:
        scene.kinesics.seed = random.randint(0, MAX_SEED)


def redraw_panels(context: bpy.types.Context) -> None:
    """Have the sidebars of all 3D Views drawn anew, and the preferences."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "PREFERENCES":
                area.tag_redraw()
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


def stop_all() -> None:
    """Cancel a running job and wait briefly for its thread; for unregister."""
    global _session
    session, _session = _session, None
    if session is not None:
        session.cancel()
        if session.job is not None:
            session.job.join(2.0)


def preferences_of(context: bpy.types.Context) -> Any:
    addon = context.preferences.addons.get(PACKAGE)
    return addon.preferences if addon is not None else None


def _text_title(directions: dict[Part, PartDirection]) -> str:
    """Name for a result without a strip: the first instruction."""
    texts = [d.text.strip() for d in directions.values() if d.source in (Source.TEXT, Source.BOTH)]
    texts += [segment.text.strip() for d in directions.values() for segment in d.segments]
    return next((text[:40] for text in texts if text), "Kinesics")


CLASSES = (KINESICS_OT_generate, KINESICS_OT_generate_cancel, KINESICS_OT_new_seed)
