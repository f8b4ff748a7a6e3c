# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a request: what drives each part, in which order the blocks come, how long it lasts."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

from .audio.waveform import check_waveform
from .errors import RequestError
from .language.instruction import check_instruction
from .language.layout import BLOCK_ORDER
from .motion.arrays import FloatArray
from .motion.clip import Clip
from .specs import AUDIO_HZ, EMOTIONS, MOTION_FPS, PARTS, GenerateRequest, Part, PartDirection, Source
from .windows import checked_segments, driven_at

TEXT_ONLY_S = 5.0
MAX_DURATION_S = 7200.0


def check_sound(request: GenerateRequest) -> FloatArray | None:
    """The request's sound at `AUDIO_HZ`, or None; raises `EngineError` if it cannot be used."""
    if request.audio_codes is not None:
        raise RequestError(
            "This model does its own listening; give it the sound itself, not what another program heard."
        )
    if request.waveform is None:
        return None
    return check_waveform(request.waveform, request.sample_rate)


def check_length(request: GenerateRequest, wave: FloatArray | None) -> int:
    """Frames of a request's motion.

    Args:
        request: The request.
        wave: Its sound at `AUDIO_HZ`, or None.

    Raises:
        RequestError: If its length or its emotion is none.
    """
    check_emotion(request.emotion)
    duration = request.duration_s
    if duration is None:
        ends = [segment.end_s for known in request.directions.values() for segment in known.segments]
        duration = len(wave) / AUDIO_HZ if wave is not None else max(ends, default=TEXT_ONLY_S)
    if not math.isfinite(duration) or not 1.0 / MOTION_FPS <= duration <= MAX_DURATION_S:
        raise RequestError(
            f"A motion must last between one frame and {MAX_DURATION_S / 3600:.0f} hours; change it."
        )
    return max(1, round(duration * MOTION_FPS))


def check_emotion(emotion: str | None) -> None:
    """Raise `RequestError` where there is no such emotion."""
    if emotion is not None and emotion not in EMOTIONS:
        raise RequestError(f"There is no emotion {emotion!r}; choose one of {', '.join(EMOTIONS)}.")


def fitted_kept(request: GenerateRequest, parts: Sequence[Part], num_frames: int) -> Clip | None:
    """The motion that a request keeps, at the engine's rate and length.

    Args:
        request: The request.
        parts: Parts that are taken from it.
        num_frames: Frames of the request's motion.

    Returns:
        None where nothing is kept.

    Raises:
        RequestError: If there is nothing to keep them from.
    """
    if not parts:
        return None
    kept = request.kept
    if kept is None:
        raise RequestError("Parts to keep need a motion to keep them from; select a character with motion.")
    if kept.fps != MOTION_FPS or kept.num_frames != num_frames:
        kept = kept.resample(MOTION_FPS, num_frames)
    return kept


def put_back(clip: Clip, kept: Clip, made: Collection[Part]) -> Clip:
    """The clip with every part that was not made taken from the kept motion, to the bit."""
    for part in PARTS:
        if part not in made:
            clip = clip.with_part(part, kept)
    return clip


def free_steps(request: GenerateRequest, num_frames: int, frames_per_step: int) -> tuple[int, int]:
    """Say which motion steps of a request are drawn: those that touch a free frame.

    Args:
        request: The request.
        num_frames: Frames of its motion.
        frames_per_step: Frames that one step covers.

    Returns:
        First step, and the step after the last one.

    Raises:
        RequestError: If the free frames lie outside the motion.
    """
    first, stop = request.free or (0, num_frames)
    if not 0 <= first < stop <= num_frames:
        raise RequestError("The frames to make anew lie outside the motion; choose a range within it.")
    return first // frames_per_step, math.ceil(stop / frames_per_step)


def block_order(sources: dict[Part, Source]) -> tuple[Part, ...]:
    """Say in which order the blocks of a request are generated.

    Kept parts come first, then parts with words, then parts from speech alone; within each the lower body
    comes before the upper, the hands and the face.
    """
    rank = {Source.KEEP: 0, Source.TEXT: 1, Source.BOTH: 1, Source.SPEECH: 2}
    return tuple(sorted(BLOCK_ORDER, key=lambda part: (rank[sources[part]], BLOCK_ORDER.index(part))))


def resolve_sources(request: GenerateRequest) -> tuple[dict[Part, Source], dict[Part, str]]:
    """Say for every part what drives it at the first moment.

    Returns:
        Source per part, and the checked instruction per part driven by text.

    Raises:
        RequestError: If a part has nothing to follow.
        InstructionError: If an instruction cannot be used.
    """
    driven = {part: driven_at(known, 0.0) for part, known in resolve_directions(request).items()}
    sources = {part: source for part, (source, _) in driven.items()}
    return sources, {part: text for part, (_, text) in driven.items() if text}


def resolve_directions(request: GenerateRequest) -> dict[Part, PartDirection]:
    """Say for every part what it does.

    Parts left out follow the speech; without speech they do what the first part with an instruction does.

    Args:
        request: The request.

    Returns:
        All four parts, with checked instructions and segments in the order of their time.

    Raises:
        RequestError: If a part has nothing to follow, or segments overlap.
        InstructionError: If an instruction cannot be used.
    """
    known = {part: _checked(part, direction) for part, direction in request.directions.items()}
    speech = request.waveform is not None
    spare = next((known[part] for part in BLOCK_ORDER if part in known and _has_words(known[part])), None)
    for part in PARTS:
        direction = known.get(part)
        if direction is None and not speech and spare is not None:
            known[part] = replace(spare, source=Source.TEXT)
        elif (direction is None or direction.source is Source.SPEECH) and not speech:
            raise RequestError(
                f"The {_word(part)} should follow the speech but there is no sound; "
                "choose a sound strip or write an instruction."
            )
        elif direction is None:
            known[part] = PartDirection(Source.SPEECH)
        elif direction.source is Source.BOTH and not speech:
            raise RequestError(
                f"The {_word(part)} should follow speech and text but there is no sound; choose a strip."
            )
    return known


def _has_words(direction: PartDirection) -> bool:
    return direction.source in (Source.TEXT, Source.BOTH)


def _checked(part: Part, direction: PartDirection) -> PartDirection:
    """A direction whose words can be used, without those that do not count."""
    if direction.source is Source.KEEP:
        return PartDirection(Source.KEEP)
    segments = checked_segments(direction.segments, f"for the {_word(part)}")
    text = ""
    if _has_words(direction) and (direction.text.strip() or not segments):
        text = check_instruction(direction.text)
    return PartDirection(direction.source, text, segments)


def _word(part: Part) -> str:
    return {Part.UPPER: "upper body", Part.LOWER: "lower body"}.get(part, part.value)
