# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts with emotions of their own: one pass per emotion, each seeing what the passes before it made.

A model takes one emotion for the whole body. So all parts are made with the first emotion, then those of each
further one are made anew with theirs while the others are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .requests import check_emotion
from .specs import (
    PARTS,
    CancelCheck,
    GenerateRequest,
    GenerateResult,
    MotionEngine,
    Part,
    PartDirection,
    ProgressCallback,
    ShowCallback,
    Source,
)


class PartEmotions:
    """An engine that heeds the emotion of each part; see `MotionEngine`."""

    def __init__(self, engine: MotionEngine) -> None:
        """Take the engine that makes each pass."""
        self._engine = engine

    def generate(
        self,
        request: GenerateRequest,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
        show: ShowCallback | None = None,
    ) -> GenerateResult:
        """Turn one request into motion, each part with its own emotion."""
        return self.generate_many([request], progress, cancel, show)[0]

    def generate_many(
        self,
        requests: Sequence[GenerateRequest],
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
        show: ShowCallback | None = None,
    ) -> list[GenerateResult]:
        """Turn several requests into motion, each part with its own emotion."""
        groups = [emotion_groups(request) for request in requests]
        num_passes = max(len(group) for group in groups)
        results: list[GenerateResult | None] = [None] * len(requests)
        for number in range(num_passes):

            def share(fraction: float, text: str, number: int = number) -> None:
                if progress is not None:
                    progress((number + fraction) / num_passes, text)

            members = [index for index, group in enumerate(groups) if len(group) > number]
            asked = [_asked(requests[i], results[i], *groups[i][number]) for i in members]
            seen = show if members[0] == 0 else None
            passed = self._engine.generate_many(asked, share, cancel, seen)
            for index, made in zip(members, passed, strict=True):
                earlier = results[index]
                if earlier is not None:
                    codes, seconds = earlier.codes | made.codes, earlier.compute_s + made.compute_s
                    made = replace(made, codes=codes, compute_s=seconds)
                results[index] = made
        return [result for result in results if result is not None]


def emotion_groups(request: GenerateRequest) -> list[tuple[str | None, tuple[Part, ...]]]:
    """The emotions of a request with the parts that are made with each, that of the request first.

    Raises:
        RequestError: If there is no such emotion.
    """
    found: dict[str | None, list[Part]] = {request.emotion: []}
    for part in PARTS:
        direction = request.directions.get(part, PartDirection())
        emotion = direction.emotion or request.emotion
        check_emotion(emotion)
        if direction.source is not Source.KEEP:
            found.setdefault(emotion, []).append(part)
    groups = [(emotion, tuple(parts)) for emotion, parts in found.items() if parts]
    return groups or [(request.emotion, ())]


def _asked(
    request: GenerateRequest, earlier: GenerateResult | None, emotion: str | None, parts: tuple[Part, ...]
) -> GenerateRequest:
    """One pass of a request: the first makes all parts, a later one only its own."""
    if earlier is None:
        return replace(request, emotion=emotion)
    directions = {
        part: request.directions[part] if part in parts else PartDirection(Source.KEEP) for part in PARTS
    }
    return replace(request, directions=directions, emotion=emotion, kept=earlier.clip)
