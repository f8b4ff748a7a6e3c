# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a request: what drives each part, in which order the blocks come, how long ones are cut."""

from __future__ import annotations

import math

from .errors import RequestError
from .language.instruction import check_instruction
from .language.layout import BLOCK_ORDER
from .specs import PARTS, GenerateRequest, Part, Source

WINDOW_STEPS = 32
"""Motion steps generated at once; the language model was trained on windows up to this length."""

OVERLAP_STEPS = 8
"""Steps a window takes over from the one before, as codes already decided."""


def windows(num_steps: int) -> list[tuple[int, int]]:
    """Cut a request into windows.

    Args:
        num_steps: Motion steps in all.

    Returns:
        (first step, steps already decided) per window; the last window ends with the request.
    """
    result = [(0, 0)]
    decided = min(WINDOW_STEPS, num_steps)
    while decided < num_steps:
        start = min(decided - OVERLAP_STEPS, num_steps - WINDOW_STEPS)
        result.append((start, decided - start))
        decided = start + WINDOW_STEPS
    return result


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
