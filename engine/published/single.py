# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engines of the published releases share: they make one request at a time, without an emotion."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import RequestError
from ..specs import (
    CancelCheck,
    GenerateRequest,
    GenerateResult,
    ProgressCallback,
    ShowCallback,
    no_report,
)

Generate = Callable[
    [GenerateRequest, ProgressCallback | None, CancelCheck | None, ShowCallback | None], GenerateResult
]
"""An engine's `generate`."""


def one_by_one(
    generate: Generate,
    requests: Sequence[GenerateRequest],
    progress: ProgressCallback | None,
    cancel: CancelCheck | None,
    show: ShowCallback | None,
) -> list[GenerateResult]:
    """Turn several requests into motion, one after the other; progress is the whole's, the first is shown."""
    report = progress or no_report
    results: list[GenerateResult] = []
    for number, request in enumerate(requests):

        def share(fraction: float, text: str, number: int = number) -> None:
            report((number + fraction) / len(requests), text)

        results.append(generate(request, share, cancel, None if number else show))
    return results


def refuse_emotion(request: GenerateRequest) -> None:
    """Raise `RequestError` where a request names an emotion: the published models know none."""
    if request.emotion is not None:
        raise RequestError("The published model takes no emotion; leave the emotion to the speech.")
