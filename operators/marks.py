# SPDX-License-Identifier: GPL-3.0-or-later
"""Mark Beats: markers on the timeline at the beats of the speech, or at every syllable."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import bpy
from bpy.props import EnumProperty

from ..engine.errors import RequestError
from . import engine_host, polls
from .errors import TargetLostError
from .generate import MotionOperator, read_speech
from .sessions import JobSession
from .wording import worded

if TYPE_CHECKING:
    from .bridge.sound import SoundSource
    from .job import IsCancelled, ReportProgress

KINDS = (
    ("BEATS", "Beats", "Syllables that stand out from those around: where gestures fall", "MARKER", 0),
    ("SYLLABLES", "Every Syllable", "Wherever a syllable sets in", "MARKER_HLT", 1),
    ("NONE", "None", "Take the marks away again, in all of the timeline", "X", 2),
)

NAMES = {"BEATS": "Beat", "SYLLABLES": "Syllable"}
"""Names of the markers; markers of other names are left alone."""


@dataclass(frozen=True)
class Marks:
    """Where markers shall be.

    Attributes:
        scene_name: Scene of the timeline.
        name: Name of the markers.
        seconds: Their times from the sound's start; none only takes earlier ones away.
        first: Scene frame of the sound's start.
        end: Scene frame after its end; None for all of the timeline.
        fps: Frames per second of the scene.
    """

    scene_name: str
    name: str
    seconds: tuple[float, ...]
    first: int
    end: int | None
    fps: float


def heard_times(
    source: SoundSource, kind: str, progress: ReportProgress, cancelled: IsCancelled
) -> tuple[float, ...]:
    """Seconds at which beats, or all syllables, set in, from the sound's start; runs in the worker.

    Raises:
        EngineError: If the sound cannot be read.
    """
    progress(0.0, "Reading the sound")
    with engine_host.importing():
        from ..engine.audio.features import rhythm
        from .bridge.sound import read_waveform
    wave = read_waveform(source)
    progress(0.5, "Listening to the speech")
    heard = rhythm(wave)
    return tuple((heard.beats if kind == "BEATS" else heard.onsets).tolist())


class KINESICS_OT_mark_beats(MotionOperator, bpy.types.Operator):
    """Put a marker on the timeline at every beat of the speech, or at every syllable, or take these markers
    away. Earlier ones over this speech are replaced, and other markers are left alone"""

    bl_idname = "kinesics.mark_beats"
    bl_label = "Mark Beats"

    kind: EnumProperty(name="Mark", description="What is marked", items=KINDS)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether nothing else runs."""
        return polls.is_free(cls)

    def new_session(self, context: bpy.types.Context) -> JobSession[Marks]:
        """The listening, not started."""
        from .bridge.sound import scene_fps, sound_duration

        kind, fps = self.kind, scene_fps(context.scene)
        none = Marks(context.scene.name, "", (), 0, None, fps)
        if kind == "NONE":
            return JobSession(lambda *_watched: none)
        engine_host.check_packages()
        source, first = read_speech(context.scene)
        if source is None:
            raise RequestError("There is no speech to listen to: choose Strip or File in the Speech box.")
        end = first + max(1, round(sound_duration(source) * fps))
        place = replace(none, name=NAMES[kind], first=first, end=end)
        return JobSession(lambda *watched: replace(place, seconds=heard_times(source, kind, *watched)))

    def _write(self, session: JobSession[Marks], made: Marks) -> set[str]:
        count = set_marks(made)
        self.report({"INFO"}, worded(f"Set {count} markers" if made.name else f"Took {count} markers away"))
        return {"FINISHED"}


def set_marks(marks: Marks) -> int:
    """Put the markers where they shall be, in the place of those over the same sound.

    Returns:
        How many were set, or, where none shall be, taken away.

    Raises:
        TargetLostError: If the scene was deleted meanwhile.
    """
    scene = bpy.data.scenes.get(marks.scene_name)
    if scene is None:
        raise TargetLostError(
            f'The scene "{marks.scene_name}" was deleted, so nothing was marked: choose another one.'
        )
    earlier = [
        marker
        for marker in list(scene.timeline_markers)
        if marker.name in NAMES.values() and (marks.end is None or marks.first <= marker.frame < marks.end)
    ]
    for marker in earlier:
        scene.timeline_markers.remove(marker)
    if not marks.name or marks.end is None:
        return len(earlier)
    frames = {min(marks.first + round(second * marks.fps), marks.end - 1) for second in marks.seconds}
    for frame in sorted(frames):
        scene.timeline_markers.new(marks.name, frame=frame)
    return len(frames)


CLASSES = (KINESICS_OT_mark_beats,)
