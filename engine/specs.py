# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared words of the engine: parts, sources, requests and results. Standard library only.

Letters used in docstrings everywhere: B batch, F frames, T code steps, J joints, D features,
C face channels. Metres, Y up, radians and seconds unless said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    import numpy.typing as npt

    from .motion.clip import Clip

MOTION_FPS = 30
"""Frames per second of every clip inside the engine."""

FRAMES_PER_STEP = 4
"""Motion frames that one step of the starter's parts covers."""

AUDIO_HZ = 16000
"""Samples per second of every waveform inside the engine."""

MAX_INSTRUCTION_LENGTH = 300
"""Longest instruction in characters."""

MIN_AUDIO_S = 0.25
"""Shortest sound that carries any speech, in seconds."""


class Part(StrEnum):
    """The four body parts, in the order of their blocks in the published model."""

    FACE = "face"
    HANDS = "hands"
    UPPER = "upper"
    LOWER = "lower"


PARTS: tuple[Part, ...] = (Part.FACE, Part.HANDS, Part.UPPER, Part.LOWER)


class Source(StrEnum):
    """What drives one part."""

    SPEECH = "speech"
    TEXT = "text"
    BOTH = "both"
    KEEP = "keep"


class Task(StrEnum):
    """What a request asks for, derived from its sources."""

    AUDIO_TO_MOTION = "audio_to_motion"
    TEXT_TO_MOTION = "text_to_motion"
    AUDIO_TEXT_TO_MOTION = "audio_text_to_motion"
    PART_TO_PART = "part_to_part"


EMOTIONS: tuple[str, ...] = (
    "neutral",
    "happiness",
    "anger",
    "sadness",
    "contempt",
    "surprise",
    "fear",
    "disgust",
)
"""The eight labels of BEAT2, in the published order."""


@dataclass(frozen=True)
class Segment:
    """An instruction that holds for a while.

    Attributes:
        start_s: Second of the motion at which it begins; may lie before the motion.
        end_s: Second at which it ends; may lie after the motion.
        text: Instruction in English.
    """

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True)
class PartDirection:
    """What one part shall do.

    Attributes:
        source: What drives the part. KEEP copies the part from `GenerateRequest.kept` unchanged.
        text: Instruction in English; required for TEXT and BOTH without segments, ignored for the others.
        segments: Instructions with a time of their own, which must not overlap. A part that follows the
            speech follows both while they last; `engine.windows.driven_at` has the whole rule.
        emotion: One of `EMOTIONS` for this part alone, None for that of the request; heeded by
            `engine.emotions.PartEmotions`.
    """

    source: Source = Source.SPEECH
    text: str = ""
    segments: tuple[Segment, ...] = ()
    emotion: str | None = None


@dataclass(frozen=True)
class SamplingOptions:
    """How codes are drawn.

    Attributes:
        seed: Any non-negative integer below 2**63; the same seed gives the same motion.
        temperature: Softmax temperature; 0 is greedy.
        top_k: Keep the k likeliest codes, 0 for all.
        top_p: Nucleus mass in (0, 1].
        text_guidance: Classifier-free guidance scale of parts driven by text; 1 is off.
        speech_guidance: The same for parts driven by speech alone.
    """

    seed: int = 0
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 0.95
    text_guidance: float = 2.5
    speech_guidance: float = 2.0


@dataclass(frozen=True)
class GenerateRequest:
    """One request: speech and per-part text in one pass.

    Attributes:
        directions: What each part shall do; a part left out follows the speech, or, without
            audio, an instruction given to another part.
        waveform: Mono float32 samples in [-1, 1], (N,), or None for text only.
        sample_rate: Samples per second of `waveform`.
        audio_codes: The sound as an imported four-part model hears it, 12.5 numbers a second, (A,); other
            models hear `waveform`.
        duration_s: Length of the motion; None takes the audio's length, without audio the end of the last
            segment, and without any 5 s.
        emotion: One of `EMOTIONS` or None to leave it open.
        audio_start_s: Second of the sound at which the motion begins; negative where it begins before the
            sound.
        kept: Clip whose parts with source KEEP are copied; needed when any part is kept.
        free: Frames of `kept`, at `MOTION_FPS`, that are made anew, the end not included; None for all. The
            model goes on from the frames before, sees those after, and `engine.motion.joining.join` joins
            what it made to them at whatever rate the result is wanted.
        plant_feet: Correct sliding feet from the model's contacts.
        sampling: How codes are drawn.
    """

    directions: dict[Part, PartDirection] = field(default_factory=lambda: {})
    waveform: npt.NDArray[Any] | None = None
    sample_rate: int = AUDIO_HZ
    audio_codes: npt.NDArray[Any] | None = None
    duration_s: float | None = None
    emotion: str | None = None
    audio_start_s: float = 0.0
    kept: Clip | None = None
    free: tuple[int, int] | None = None
    plant_feet: bool = True
    sampling: SamplingOptions = field(default_factory=SamplingOptions)


@dataclass(frozen=True)
class GenerateResult:
    """What a request became.

    Attributes:
        clip: The motion at `MOTION_FPS`, exactly round(duration_s * MOTION_FPS) frames.
        motion_s: Length of the motion.
        compute_s: Wall-clock seconds of the whole request after load.
        codes: Codes per part, flattened over quantizer levels (step-major); kept parts absent.
    """

    clip: Clip
    motion_s: float
    compute_s: float
    codes: dict[Part, list[int]]


ProgressCallback = Callable[[float, str], None]
"""Called with the fraction done in [0, 1] and a short text for the animator."""


def no_report(fraction: float, text: str) -> None:
    """Progress nobody asked for."""


CancelCheck = Callable[[], bool]
"""Returns True once the user asked to stop; asked between decoding steps."""


@dataclass(frozen=True)
class Glimpse:
    """Frames of a motion that are there while the rest is still being made, for looking at.

    Attributes:
        first: Their first one's number in the motion.
        clip: The frames, at `MOTION_FPS`. They may differ a little from those of the result, whose feet are
            planted and whose windows are joined.
        parts: Parts that are made in them.
    """

    first: int
    clip: Clip
    parts: tuple[Part, ...]


ShowCallback = Callable[[Glimpse], None]
"""Called with what is finished of the first request's motion, in the thread that makes it; begins anew with
frame 0 where the motion is made in several passes."""


class MotionEngine(Protocol):
    """A loaded pack, ready to generate, whatever its kind. Not safe for two threads at once."""

    def generate(
        self,
        request: GenerateRequest,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
        show: ShowCallback | None = None,
    ) -> GenerateResult:
        """Turn one request into motion; raises `EngineError`, and `Cancelled` when `cancel` said so."""
        ...

    def generate_many(
        self,
        requests: Sequence[GenerateRequest],
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
        show: ShowCallback | None = None,
    ) -> list[GenerateResult]:
        """Turn several requests into motion."""
        ...
