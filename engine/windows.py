# SPDX-License-Identifier: GPL-3.0-or-later
"""How a request is cut into windows: which steps each one draws, after which, and what drives the parts.

A window ends where an instruction does, so everything a window draws stands under the same words; what came
before is seen as motion already decided, so the joint is generated like any other moment.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from .errors import RequestError
from .language.instruction import check_instruction
from .specs import MOTION_FPS, Part, PartDirection, Segment, Source

WINDOW_STEPS = 32
"""Motion steps generated at once; the language model was trained on windows up to this length."""

OVERLAP_STEPS = 8
"""Steps a window takes over from the one before, as codes already decided."""

MIN_SEGMENT_S = 0.5
"""Shortest time for which an instruction can be followed."""

OVERLAP_TOLERANCE_S = 1e-3
"""So much may segments overlap: frames are no exact seconds."""


@dataclass(frozen=True)
class Window:
    """Steps that are drawn at once.

    Attributes:
        start: First step.
        num_decided: Steps at its head that earlier windows decided.
        length: Steps in all.
        sources: What drives each part in the steps that are drawn.
        texts: Instruction there, per part driven by text.
        turning: Parts whose instruction is another than in the steps just before.
    """

    start: int
    num_decided: int
    length: int
    sources: dict[Part, Source]
    texts: dict[Part, str]
    turning: frozenset[Part]

    @property
    def layout(self) -> tuple[object, ...]:
        """Windows of the same layout can share a batch: they differ in words only."""
        sources = tuple(sorted(self.sources.items()))
        return (self.start, self.num_decided, self.length, sources, self.turning)


def plan_windows(
    directions: Mapping[Part, PartDirection], num_steps: int, frames_per_step: int
) -> tuple[Window, ...]:
    """Cut a request into windows.

    Args:
        directions: What each part does, see `requests.resolve_directions`.
        num_steps: Motion steps in all.
        frames_per_step: Frames that one step covers.

    Returns:
        Windows in the order they are drawn; together they draw every step once.
    """
    steps_per_s = MOTION_FPS / frames_per_step
    ends = {
        round(second * steps_per_s)
        for direction in directions.values()
        for segment in direction.segments
        for second in (segment.start_s, segment.end_s)
    }
    spans = windows(num_steps, cuts=ends)
    stops = [*(start + num_decided for start, num_decided in spans[1:]), num_steps]
    result: list[Window] = []
    for (start, num_decided), stop in zip(spans, stops, strict=True):
        second = (start + num_decided + 0.5) / steps_per_s
        driven = {part: driven_at(direction, second) for part, direction in directions.items()}
        sources = {part: source for part, (source, _) in driven.items()}
        texts = {part: text for part, (_, text) in driven.items() if text}
        before = result[-1].texts if result else texts
        turning = frozenset(part for part, text in texts.items() if before.get(part) != text)
        result.append(Window(start, num_decided, stop - start, sources, texts, turning))
    return tuple(result)


def windows(
    num_steps: int, size: int = WINDOW_STEPS, overlap: int = OVERLAP_STEPS, cuts: Iterable[int] = ()
) -> list[tuple[int, int]]:
    """Cut steps into windows.

    Args:
        num_steps: Motion steps in all.
        size: Steps of a window.
        overlap: Steps a window takes over from the one before; more where it would be shorter than `size`
            otherwise, but never more than these from before a cut.
        cuts: Steps at which a window must end and another begin to draw.

    Returns:
        (first step, steps already decided) per window; the last window ends with the request.
    """
    ends = sorted({num_steps, *(cut for cut in cuts if 0 < cut < num_steps)})
    result: list[tuple[int, int]] = []
    begin = decided = 0
    for end in ends:
        while decided < end:
            stop = min(max(decided - overlap, 0) + size, end)
            start = max(min(decided - overlap, stop - size), begin - overlap, 0)
            result.append((start, decided - start))
            decided = stop
        begin = end
    return result


def checked_segments(segments: Iterable[Segment], whose: str) -> tuple[Segment, ...]:
    """Put instructions in the order of their time and refuse those that cannot be followed.

    Args:
        segments: Instructions of one part.
        whose: Says in messages which part that is, such as "for the lower body".

    Raises:
        RequestError: If two overlap, or one is too short.
        InstructionError: If a text cannot be used.
    """
    result = tuple(
        replace(segment, text=check_instruction(segment.text))
        for segment in sorted(segments, key=lambda segment: segment.start_s)
    )
    for segment in result:
        length_s = segment.end_s - segment.start_s
        if not (math.isfinite(length_s) and length_s >= MIN_SEGMENT_S - OVERLAP_TOLERANCE_S):
            raise RequestError(
                f'The instruction "{segment.text}" {whose} lasts {length_s:.2f} s; '
                f"make it last at least {MIN_SEGMENT_S} s."
            )
    for before, after in pairwise(result):
        if after.start_s < before.end_s - OVERLAP_TOLERANCE_S:
            raise RequestError(
                f'The instructions "{before.text}" and "{after.text}" {whose} overlap in time; '
                "move or shorten one of them."
            )
    return result


def driven_at(direction: PartDirection, second: float) -> tuple[Source, str]:
    """Say what drives a part at one moment.

    Within a segment that is its words, with the speech unless the part follows words alone. Elsewhere it is
    what the direction says; without words of its own, a part that follows words alone goes on with the
    segment before (or begins with the first one), and one that follows both is left to the speech.

    Args:
        direction: What the part does; segments in the order of their time.
        second: The moment.

    Returns:
        Source, and the instruction, empty where words do not count.
    """
    source, text = direction.source, direction.text
    if source is Source.KEEP:
        return source, ""
    within = next((s for s in direction.segments if s.start_s <= second < s.end_s), None)
    if within is not None:
        return (Source.TEXT if source is Source.TEXT else Source.BOTH), within.text
    if source is Source.SPEECH or (source is Source.BOTH and not text):
        return Source.SPEECH, ""
    return source, text or _held(direction.segments, second)


def _held(segments: tuple[Segment, ...], second: float) -> str:
    """Words of the last segment that began before a moment, or of the first one; empty without any."""
    before = [segment.text for segment in segments if segment.start_s <= second]
    return before[-1] if before else next((segment.text for segment in segments), "")


def drawn_steps(free: tuple[int, int], window: Window) -> tuple[int, int]:
    """Say which steps of a window are drawn; those before and after are taken as they are.

    Args:
        free: First step of the request that is drawn, and the step after the last one.
        window: The window.

    Returns:
        First step and the step after the last one, counted in the window; equal where nothing is drawn.
    """
    first = min(max(window.num_decided, free[0] - window.start), window.length)
    return first, min(max(first, free[1] - window.start), window.length)
