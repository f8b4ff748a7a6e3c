# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a request: what drives each part, in which order the blocks come, how long ones are cut."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .audio.waveform import check_waveform
from .errors import RequestError
from .language.instruction import check_instruction
from .language.layout import BLOCK_ORDER
from .motion.arrays import FloatArray
from .motion.clip import Clip
from .specs import AUDIO_HZ, EMOTIONS, MOTION_FPS, PARTS, GenerateRequest, Part, Source

TEXT_ONLY_S = 5.0
MAX_DURATION_S = 7200.0

WINDOW_STEPS = 32
"""Motion steps generated at once; the language model was trained on windows up to this length."""

OVERLAP_STEPS = 8
"""Steps a window takes over from the one before, as codes already decided."""


def windows(num_steps: int, size: int = WINDOW_STEPS, overlap: int = OVERLAP_STEPS) -> list[tuple[int, int]]:
    """Cut a request into windows.

    Args:
        num_steps: Motion steps in all.
        size: Steps of a window.
        overlap: Steps a window takes over from the one before.

    Returns:
        (first step, steps already decided) per window; the last window ends with the request.
    """
    result = [(0, 0)]
    decided = min(size, num_steps)
    while decided < num_steps:
        start = min(decided - overlap, num_steps - size)
        result.append((start, decided - start))
        decided = start + size
    return result


def check_sound(request: GenerateRequest) -> FloatArray | None:
    """The request's sound at `AUDIO_HZ`, or None; raises `AudioError` if it cannot be used."""
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
    if request.emotion is not None and request.emotion not in EMOTIONS:
        raise RequestError(f"There is no emotion {request.emotion!r}; choose one of {', '.join(EMOTIONS)}.")
    duration = request.duration_s
    if duration is None:
        duration = len(wave) / AUDIO_HZ if wave is not None else TEXT_ONLY_S
    if not math.isfinite(duration) or not 1.0 / MOTION_FPS <= duration <= MAX_DURATION_S:
        raise RequestError(
            f"A motion must last between one frame and {MAX_DURATION_S / 3600:.0f} hours; change it."
        )
    return max(1, round(duration * MOTION_FPS))


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


def drawn_steps(free: tuple[int, int], start: int, num_decided: int, length: int) -> tuple[int, int]:
    """Say which steps of a window are drawn; those before and after are taken as they are.

    Args:
        free: First step of the request that is drawn, and the step after the last one.
        start: First step of the window.
        num_decided: Steps at its head that earlier windows decided.
        length: Steps of the window.

    Returns:
        First step and the step after the last one, counted in the window; equal where nothing is drawn.
    """
    first = min(max(num_decided, free[0] - start), length)
    return first, min(max(first, free[1] - start), length)


def block_order(sources: dict[Part, Source]) -> tuple[Part, ...]:
    """Say in which order the blocks of a request are generated.

    Kept parts come first, then parts with words, then parts from speech alone; within each the lower body
    comes before the upper, the hands and the face.
    """
    rank = {Source.KEEP: 0, Source.TEXT: 1, Source.BOTH: 1, Source.SPEECH: 2}
    return tuple(sorted(BLOCK_ORDER, key=lambda part: (rank[sources[part]], BLOCK_ORDER.index(part))))


def resolve_sources(request: GenerateRequest) -> tuple[dict[Part, Source], dict[Part, str]]:
    """Say for every part what drives it.

    Parts left out follow the speech; without speech they follow the first instruction given to another part.

    Args:
        request: The request.

    Returns:
        Source per part, and the checked instruction per part driven by text.

    Raises:
        RequestError: If a part has nothing to follow.
        InstructionError: If an instruction cannot be used.
    """
    sources: dict[Part, Source] = {}
    texts: dict[Part, str] = {}
    for part, direction in request.directions.items():
        sources[part] = direction.source
        if direction.source in (Source.TEXT, Source.BOTH):
            texts[part] = check_instruction(direction.text)
    speech = request.waveform is not None
    spare = next((texts[part] for part in BLOCK_ORDER if part in texts), None)
    for part in PARTS:
        wanted = sources.get(part)
        if wanted in (None, Source.SPEECH) and not speech:
            if wanted is None and spare is not None:
                sources[part], texts[part] = Source.TEXT, spare
            else:
                raise RequestError(
                    f"The {_word(part)} should follow the speech but there is no sound; "
                    "choose a sound strip or write an instruction."
                )
        elif wanted is None:
            sources[part] = Source.SPEECH
        elif wanted is Source.BOTH and not speech:
            raise RequestError(
                f"The {_word(part)} should follow speech and text but there is no sound; choose a strip."
            )
    return sources, texts


def _word(part: Part) -> str:
    return {Part.UPPER: "upper body", Part.LOWER: "lower body"}.get(part, part.value)
