# SPDX-License-Identifier: GPL-3.0-or-later
"""Read Emotion and Describe Motion: what a model reads from the body, on any motion of a known armature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
from bpy.props import BoolProperty

from ..engine.errors import Cancelled
from ..engine.specs import EMOTIONS, MOTION_FPS
from . import engine_host, polls
from .errors import TargetLostError
from .generate import MotionOperator, device_of, pack_folder, preferences_of
from .job import STOPPED
from .sessions import ReadingSession, read_motion
from .wording import worded

if TYPE_CHECKING:
    from ..engine.motion.clip import Clip
    from .job import IsCancelled, ReportProgress

MARK_S = 2.0
"""Seconds of motion that one marker speaks of."""

MARKER = "Emotion: "
"""How the names of markers begin that Read Emotion set."""


@dataclass(frozen=True)
class Place:
    """What is read.

    Attributes:
        armature_name: Character.
        armature_uid: Blender's number for it in this session.
        scene_name: Its scene.
        first: First scene frame.
        last: Last scene frame.
        fps: Frames per second of the scene.
        pack_dir: Folder of the model pack.
        device: auto, cpu or cuda.
    """

    armature_name: str
    armature_uid: int
    scene_name: str
    first: int
    last: int
    fps: float
    pack_dir: Path
    device: str

    @property
    def num_samples(self) -> int:
        """Frames at the engine's rate."""
        return max(1, round((self.last - self.first + 1) / self.fps * MOTION_FPS))


@dataclass(frozen=True)
class Feeling:
    """The emotion of a stretch.

    Attributes:
        frame: Scene frame of its beginning.
        chances: Of each of `EMOTIONS`; they add up to 1.
    """

    frame: int
    chances: tuple[float, ...]

    @property
    def label(self) -> str:
        """The likeliest emotion."""
        return EMOTIONS[self.chances.index(self.chance)]

    @property
    def chance(self) -> float:
        """Of the likeliest emotion."""
        return max(self.chances)


def read_place(context: bpy.types.Context) -> Place:
    """The preview range, else all of the motion.

    Raises:
        EngineError: If the engine cannot run here.
    """
    from .bridge.sound import scene_fps
    from .bridge.stand_in import take_frames

    engine_host.check_packages()
    scene, armature = context.scene, polls.needed_character(context)
    frames = take_frames(armature, scene)
    first, last = frames.start, frames.stop - 1
    if scene.use_preview_range:
        first, last = scene.frame_preview_start, scene.frame_preview_end
    preferences = preferences_of(context)
    return Place(
        armature_name=armature.name,
        armature_uid=armature.session_uid,
        scene_name=scene.name,
        first=first,
        last=last,
        fps=scene_fps(scene),
        pack_dir=pack_folder(preferences),
        device=device_of(preferences),
    )


def feelings_of(
    clip: Clip, place: Place, progress: ReportProgress, cancelled: IsCancelled, over_time: bool
) -> list[Feeling]:
    """The emotion of a motion as a whole and, if wanted, of every `MARK_S` of it; runs in the worker.

    Raises:
        EngineError: If the pack cannot say, or the motion is too short; `Cancelled`.
    """
    with engine_host.engine_for(place.pack_dir, place.device, progress, cancelled) as engine:
        from ..engine.asking import MIN_ASKED_S, Asker, AskRequest

        asker = Asker(engine)
        length, least = round(MARK_S * MOTION_FPS), round(MIN_ASKED_S * MOTION_FPS)
        starts = range(0, max(clip.num_frames - least, 0) + 1, length) if over_time else ()
        pieces = [clip, *(clip.slice(start, start + length) for start in starts)]
        found: list[Feeling] = []
        for start, piece in zip((0, *starts), pieces, strict=True):
            progress(len(found) / len(pieces), "Reading the emotion")
            if cancelled():
                raise Cancelled(STOPPED)
            said = asker.emotion(AskRequest(piece)).probabilities
            frame = place.first + round(start / MOTION_FPS * place.fps)
            found.append(Feeling(frame, tuple(said[name] for name in EMOTIONS)))
    return found


def words_of(clip: Clip, place: Place, progress: ReportProgress, cancelled: IsCancelled) -> str:
    """A sentence for a motion; runs in the worker.

    Raises:
        EngineError: If the pack cannot say, or the motion is too short.
    """
    with engine_host.engine_for(place.pack_dir, place.device, progress, cancelled) as engine:
        from ..engine.asking import Asker, AskRequest

        progress(0.5, "Describing the motion")
        return Asker(engine).describe(AskRequest(clip)).text


class AskSession(ReadingSession):
    """Reads the motion of a place, then asks about it in a thread."""

    def __init__(self, context: bpy.types.Context, ask: Callable[..., Any]) -> None:
        """Prepare without starting anything.

        Args:
            context: Its character and scene count.
            ask: What is asked, with the clip, the place, a progress callback and a cancel check.

        Raises:
            EngineError: If the engine cannot run here, or there is no character.
        """
        self.place = place = read_place(context)
        of = (place.armature_name, place.armature_uid, place.scene_name)
        super().__init__(
            read_motion(*of, place.first, place.num_samples, MOTION_FPS),
            lambda clip, *watched: ask(clip, place, *watched),
        )


class KINESICS_OT_read_emotion(MotionOperator, bpy.types.Operator):
    """Say how the body feels in the preview range, or in all of the motion: the chance of each emotion. Works
    on motion from elsewhere, too, and nothing leaves this machine"""

    bl_idname = "kinesics.read_emotion"
    bl_label = "Read Emotion"

    over_time: BoolProperty(
        name="Markers",
        description="Also put a marker on the timeline wherever the likeliest emotion changes",
    )

    def new_session(self, context: bpy.types.Context) -> AskSession:
        """The reading, not started."""
        return AskSession(context, partial(feelings_of, over_time=self.over_time))

    def _write(self, session: AskSession, found: Sequence[Feeling]) -> set[str]:
        place = session.place
        reading = note(place)
        reading.has_emotion, reading.chances = True, found[0].chances
        if self.over_time:
            set_markers(bpy.data.scenes[place.scene_name], place, found[1:])
        whole = found[0]
        text = f"Frames {place.first} to {place.last}: {whole.label} {whole.chance:.0%}"
        self.report({"INFO"}, worded(text))
        return {"FINISHED"}


class KINESICS_OT_describe_motion(MotionOperator, bpy.types.Operator):
    """Say in words what the body does in the preview range, or in all of the motion. Works on motion from
    elsewhere, too, and nothing leaves this machine"""

    bl_idname = "kinesics.describe_motion"
    bl_label = "Describe Motion"

    def new_session(self, context: bpy.types.Context) -> AskSession:
        """The reading, not started."""
        return AskSession(context, words_of)

    def _write(self, session: AskSession, text: str) -> set[str]:
        place = session.place
        note(place).words = text
        self.report({"INFO"}, worded(f"Frames {place.first} to {place.last}: {text}"))
        return {"FINISHED"}


def note(place: Place) -> Any:
    """The scene's reading, now of this place; answers of another place are gone.

    Raises:
        TargetLostError: If the scene was deleted meanwhile.
    """
    scene = bpy.data.scenes.get(place.scene_name)
    if scene is None:
        raise TargetLostError(
            f'The scene "{place.scene_name}" was deleted while its motion was being read: choose another one.'
        )
    reading = scene.kinesics_reading
    now = (place.armature_name, place.first, place.last)
    if (reading.of, reading.first, reading.last) != now:
        reading.has_emotion, reading.words = False, ""
        reading.of, reading.first, reading.last = now
    return reading


def set_markers(scene: bpy.types.Scene, place: Place, found: Sequence[Feeling]) -> None:
    """Mark where the likeliest emotion changes; earlier such markers in the range go."""
    for marker in list(scene.timeline_markers):
        if marker.name.startswith(MARKER) and place.first <= marker.frame <= place.last:
            scene.timeline_markers.remove(marker)
    before = ""
    for feeling in found:
        if feeling.label != before:
            scene.timeline_markers.new(f"{MARKER}{feeling.label} {feeling.chance:.0%}", frame=feeling.frame)
        before = feeling.label


CLASSES = (KINESICS_OT_read_emotion, KINESICS_OT_describe_motion)
