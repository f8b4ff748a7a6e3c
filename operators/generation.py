# SPDX-License-Identifier: GPL-3.0-or-later
"""One result from plan to clip, on plain data only: what the worker thread does."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.errors import DeviceError, EngineError, RequestError
from ..engine.specs import MOTION_FPS, Part, PartDirection, Source
from . import engine_host

if TYPE_CHECKING:
    from ..engine.asking import EmotionAnswer
    from ..engine.motion.arrays import FloatArray
    from ..engine.motion.clip import Clip
    from ..engine.motion.measures import Measures
    from ..engine.specs import MotionEngine, ShowCallback
    from .bridge.sound import SoundSource
    from .job import IsCancelled, ReportProgress

LOAD_SHARE = 0.1
"""Part of the progress bar for sound and model loading."""

PART_LABELS: dict[Part, str] = {
    Part.FACE: "Face",
    Part.HANDS: "Hands",
    Part.UPPER: "Upper Body",
    Part.LOWER: "Lower Body",
}
"""The parts in an animator's words."""


KEYS_PER_FRAME = 275
"""Keys that a frame of a character takes: four for each of 55 bones, three for the hips, 52 of the face."""

BYTES_PER_KEY = 66
"""Memory of one key in Blender, measured in 4.5.15 on motions of 43,200 frames."""

BYTES_PER_FRAME = 16_000
"""Memory in which a frame is made: sound, features and poses; 10 kB of it in the engine."""

MAX_SEED = 2**31 - 1
"""Largest seed the settings can hold."""

CONTEXT_S = 32 / 30
"""Seconds of motion before and after a stretch that the model sees."""


@dataclass(frozen=True)
class Stretch:
    """Frames of a scene whose motion is made anew between kept frames.

    Attributes:
        first: First scene frame; it keeps its pose.
        last: Last scene frame; it keeps its pose.
        blend_frames: Frames over which the new motion takes over at each end, at least.
        num_around: Frames before and after that the model sees.
    """

    first: int
    last: int
    blend_frames: int
    num_around: int

    @property
    def read_first(self) -> int:
        """First scene frame that is read."""
        return self.first - self.num_around

    @property
    def num_read(self) -> int:
        """Frames that are read."""
        return self.last - self.first + 1 + 2 * self.num_around

    def free(self, fps: float) -> tuple[int, int]:
        """Engine frames of what is read that are made anew, the end not included."""
        last = self.num_around + self.last - self.first
        return (
            math.floor(self.num_around / fps * MOTION_FPS),
            min(math.ceil(last / fps * MOTION_FPS) + 1, max(1, round(self.num_read / fps * MOTION_FPS))),
        )

    def joined(self, kept: Clip, made: Clip, parts: tuple[Part, ...]) -> Clip:
        """The stretch joined to the kept motion around it, with that; all clips cover what is read."""
        from ..engine.motion.joining import join

        first = self.num_around
        return join(kept, made, parts, first, first + self.last - self.first, self.blend_frames)

    def alone(self, whole: Clip) -> Clip:
        """The stretch without the motion around it."""
        return whole.slice(self.num_around, self.num_around + self.last - self.first + 1)


@dataclass(frozen=True)
class GeneratePlan:
    """Everything a job needs, read from the scene before it starts.

    Attributes:
        directions: What each of the four parts shall do; second 0 of its segments is `frame_start`.
        sound: Speech, or None for text alone.
        duration_s: Length of the motion; None takes the whole sound.
        emotion: One of the engine's emotions, or None.
        seed: Seed of the draw.
        fps: Rate of the scene.
        frame_start: Scene frame of the first pose and of the sound's first moment.
        armature_name: Character to write to.
        armature_uid: Blender's number for that object in this session.
        scene_name: Scene the request came from.
        action_name: Name of a new action.
        pack_dir: Folder of the model pack.
        device: auto, cpu or cuda.
        stretch: What is made anew, or None for the whole length.
        variation: How freely the motion is drawn, as a factor of the model's own freedom.
        num_takes: Takes to make for the list, each with a seed of its own; 0 writes one motion at once.
    """

    directions: dict[Part, PartDirection]
    sound: SoundSource | None
    duration_s: float | None
    emotion: str | None
    seed: int
    fps: float
    frame_start: int
    armature_name: str
    armature_uid: int
    scene_name: str
    action_name: str
    pack_dir: Path
    device: str
    stretch: Stretch | None = None
    variation: float = 1.0
    num_takes: int = 0

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seed of each motion that is made."""
        return tuple((self.seed + index) % (MAX_SEED + 1) for index in range(max(1, self.num_takes)))

    @property
    def written_parts(self) -> tuple[Part, ...]:
        """Parts whose channels the result replaces."""
        return tuple(part for part in Part if self.directions[part].source is not Source.KEEP)

    @property
    def write_start(self) -> int:
        """Scene frame of the first key."""
        return self.frame_start if self.stretch is None else self.stretch.first


@dataclass(frozen=True)
class Review:
    """What helps to choose between takes.

    Attributes:
        measures: Lip sync, jitter and sliding feet.
        picture: Small picture, see `engine.motion.picture`.
        emotion: What the body shows; None where the pack cannot say.
    """

    measures: Measures
    picture: FloatArray
    emotion: EmotionAnswer | None = None


@dataclass(frozen=True)
class Motion:
    """One motion that was made.

    Attributes:
        clip: At the scene's rate, one frame per scene frame that is written.
        seed: Seed of the draw.
        review: For takes only.
        whole: Of a stretch, the same with the kept motion around it.
    """

    clip: Clip
    seed: int
    review: Review | None = None
    whole: Clip | None = None


def check_directions(directions: dict[Part, PartDirection], has_speech: bool) -> None:
    """Find what is missing in the four parts before anything is started.

    Raises:
        RequestError: If nothing is asked for, or instructions on the timeline overlap or are too short.
        InstructionError: If a text is needed and empty, too long or not in English.
    """
    from ..engine.language.instruction import check_instruction
    from ..engine.windows import checked_segments

    if all(direction.source is Source.KEEP for direction in directions.values()):
        raise RequestError(
            "All four parts are set to Keep: choose Speech or Text for at least one that is not locked."
        )
    for part, direction in directions.items():
        has_words = direction.source in (Source.TEXT, Source.BOTH)
        try:
            checked_segments(direction.segments, "on the timeline")
            if has_words and (direction.text.strip() or not direction.segments):
                check_instruction(direction.text)
        except EngineError as error:
            raise type(error)(f"{PART_LABELS[part]}: {error}") from error
    if not has_speech and not any(_is_worded(direction) for direction in directions.values()):
        raise RequestError("There is neither speech nor text: choose a sound, or write a text for one part.")


def check_room(duration_s: float, fps: float, num_motions: int) -> None:
    """Refuse motion that this machine's memory cannot hold; Blender would end without a word, and unsaved.

    Args:
        duration_s: Length of one motion.
        fps: Rate of the scene.
        num_motions: Motions that are kept.

    Raises:
        DeviceError: With how much it is and the remedy.
    """
    from ..engine.memory import free_memory_mb

    num_keys = duration_s * fps * KEYS_PER_FRAME * num_motions
    undone = 2  # Blender keeps what it may have to undo
    need_mb = (undone * num_keys * BYTES_PER_KEY + duration_s * MOTION_FPS * BYTES_PER_FRAME) / 1e6
    free_mb = free_memory_mb()
    if need_mb > free_mb:
        raise DeviceError(
            f"This motion has {num_keys / 1e6:.0f} million keys, for which Blender needs about "
            f"{need_mb / 1e3:.1f} GB of memory where {max(free_mb, 0.0) / 1e3:.1f} GB are free: make it in "
            "shorter strips, or close other programs."
        )


def _is_worded(direction: PartDirection) -> bool:
    """Whether words drive a part, at least for a while."""
    return direction.source in (Source.TEXT, Source.BOTH) or bool(direction.segments)


def _without_speech(directions: dict[Part, PartDirection]) -> dict[Part, PartDirection]:
    """Directions where there is no sound: words alone count, and what has none is left open."""
    return {
        part: direction if direction.source is Source.KEEP else replace(direction, source=Source.TEXT)
        for part, direction in directions.items()
        if direction.source is Source.KEEP or _is_worded(direction)
    }


def _later(directions: dict[Part, PartDirection], seconds: float) -> dict[Part, PartDirection]:
    """Directions for a motion that begins so many seconds earlier."""
    return {
        part: replace(
            direction,
            segments=tuple(
                replace(segment, start_s=segment.start_s + seconds, end_s=segment.end_s + seconds)
                for segment in direction.segments
            ),
        )
        for part, direction in directions.items()
    }


def make_motions(
    plan: GeneratePlan,
    kept: Clip | None,
    progress: ReportProgress,
    cancelled: IsCancelled,
    show: ShowCallback | None = None,
) -> list[Motion]:
    """Read the sound, run the engine and bring the motions to the scene's rate.

    Args:
        plan: What to do.
        kept: Current motion where a part is kept, at the engine's rate; of a stretch, at the scene's rate.
        progress: Told how far it is.
        cancelled: Asked between steps.
        show: Given what is finished of the first motion, at the engine's rate.

    Returns:
        One motion per seed of the plan, at `plan.fps`.

    Raises:
        EngineError: With a sentence for the animator.
    """
    progress(0.0, "Reading the sound" if plan.sound else "Reading the text")
    with engine_host.importing():
        from ..engine.audio import waveform as _  # noqa: F401  (brings scipy)
        from ..engine.emotions import PartEmotions
        from ..engine.specs import AUDIO_HZ, GenerateRequest, SamplingOptions
        from .bridge.sound import read_waveform
    waveform = read_waveform(plan.sound) if plan.sound else None
    stretch = plan.stretch
    duration_s = len(waveform) / AUDIO_HZ if waveform is not None else plan.duration_s
    if stretch is not None:
        duration_s = stretch.num_read / plan.fps
    directions = plan.directions if waveform is not None else _without_speech(plan.directions)
    lead_s = 0.0 if stretch is None else (plan.frame_start - stretch.read_first) / plan.fps
    request = GenerateRequest(
        directions=_later(directions, lead_s),
        waveform=waveform,
        sample_rate=AUDIO_HZ,
        duration_s=duration_s,
        emotion=plan.emotion,
        audio_start_s=-lead_s,
        kept=_fitted(kept, duration_s),
        free=None if stretch is None else stretch.free(plan.fps),
    )
    freedom = request.sampling.temperature * plan.variation
    samplings = [SamplingOptions(seed=seed, temperature=freedom) for seed in plan.seeds]
    requests = [replace(request, sampling=sampling) for sampling in samplings]
    with engine_host.engine_for(plan.pack_dir, plan.device, progress, cancelled) as engine:
        progress(LOAD_SHARE, "Making the motion")
        if duration_s is not None:
            check_room(duration_s, plan.fps, len(requests))
        results = PartEmotions(engine).generate_many(
            requests,
            lambda done, text: progress(LOAD_SHARE + done * (1.0 - LOAD_SHARE), text),
            cancelled,
            show,
        )
        motions: list[Motion] = []
        for seed, result in zip(plan.seeds, results, strict=True):
            progress(1.0, "Looking at the takes" if plan.num_takes else "Bringing it to the scene's rate")
            length_s = duration_s if duration_s is not None else result.motion_s
            clip = at_scene_rate(result.clip, plan.fps, length_s)
            whole = None
            if stretch is not None and kept is not None:
                whole = stretch.joined(kept, clip, plan.written_parts)
                clip = stretch.alone(whole)
            review = _review(plan, clip, waveform, engine) if plan.num_takes else None
            motions.append(Motion(clip, seed, review, whole))
    return motions


def _review(plan: GeneratePlan, clip: Clip, waveform: FloatArray | None, engine: MotionEngine) -> Review:
    """Measure and draw a motion at the scene's rate, and ask a pack that can say which emotion it shows."""
    import numpy as np

    from ..engine.asking import MIN_ASKED_S, Asker, AskRequest, can_answer
    from ..engine.audio.features import envelope
    from ..engine.motion.measures import measure
    from ..engine.motion.picture import clip_picture

    heard = None
    if waveform is not None:
        lead = plan.write_start - plan.frame_start
        heard = np.pad(envelope(waveform, plan.fps), (max(-lead, 0), 0))[max(lead, 0) :]
    asked = can_answer(engine) and clip.duration_s >= MIN_ASKED_S
    emotion = Asker(engine).emotion(AskRequest(clip)) if asked else None
    return Review(measure(clip, heard), clip_picture(clip), emotion)


def at_scene_rate(clip: Clip, fps: float, duration_s: float) -> Clip:
    """Resample so that frame i is exactly at i / fps, one for every scene frame of the duration.

    After the clip's last frame, that one is held.
    """
    num_frames = max(1, round(duration_s * fps))
    num_held = math.ceil((num_frames - 1) / fps * clip.fps - 1e-6) - (clip.num_frames - 1)
    if num_held > 0:
        last = clip.slice(clip.num_frames - 1, clip.num_frames)
        clip = clip.joined(last.resample(clip.fps, num_held))
    return (clip if abs(clip.fps - fps) < 1e-6 else clip.resample(fps)).slice(0, num_frames)


def _fitted(kept: Clip | None, duration_s: float | None) -> Clip | None:
    """Bring a clip to the exact number of engine frames of the request."""
    if kept is None or duration_s is None:
        return kept
    return at_scene_rate(kept, MOTION_FPS, duration_s)
