# SPDX-License-Identifier: GPL-3.0-or-later
"""Several drafts of a stretch between kept frames, of which the one that fits best is taken.

The model goes on from what comes before a stretch and does not aim at what comes after it, so drafts differ
in how well they meet that: where the feet are in their step, and where the body stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .motion.clip import Clip
from .motion.joining import MIN_FRAMES, join
from .motion.kinematics import clip_joint_positions
from .motion.measures import accelerations
from .motion.sequencing import BODY
from .requests import fitted_kept, resolve_directions
from .specs import PARTS, GenerateRequest, GenerateResult, Source

DRAFTS = 3
"""Drafts per stretch. In a trial with 1, 2 and 3 of them, 3.3 %, 1.3 % and 0 % of the frames near the ends
of gaps in captured walks accelerated more than the clip's 99th percentile; a fourth brought nothing more."""

SEED_STEP = 1_000_003
"""From the seed of one draft to that of the next, so that drafts are no takes of their own."""

BLEND_FRAMES = 8
"""Blend length that drafts are joined with to compare them: the extension's default."""

NEAR_FRAMES = 12
"""Frames behind an end of a stretch that are looked at."""


def with_drafts(requests: Sequence[GenerateRequest]) -> tuple[list[GenerateRequest], list[slice]]:
    """Ask for several drafts where a stretch is to be made.

    Args:
        requests: What is asked for.

    Returns:
        What to make, and which of that belongs to each request.
    """
    wanted: list[GenerateRequest] = []
    places: list[slice] = []
    for request in requests:
        start = len(wanted)
        for number in range(DRAFTS if _is_stretch(request) else 1):
            seed = (request.sampling.seed + number * SEED_STEP) % 2**63
            drawn = replace(request.sampling, seed=seed) if number else request.sampling
            wanted.append(replace(request, sampling=drawn))
        places.append(slice(start, len(wanted)))
    return wanted, places


def best_draft(request: GenerateRequest, drafts: Sequence[GenerateResult]) -> GenerateResult:
    """The draft whose joints accelerate least, at their worst moment, when it is joined.

    Args:
        request: What was asked for.
        drafts: One or more.
    """
    if len(drafts) == 1:
        return drafts[0]
    return min(drafts, key=lambda draft: _worst_moment(request, draft.clip))


def _is_stretch(request: GenerateRequest) -> bool:
    """Whether new frames end at kept ones."""
    if request.free is None or request.kept is None:
        return False
    return request.free[1] < request.kept.num_frames and request.free[1] - request.free[0] >= MIN_FRAMES


def _worst_moment(request: GenerateRequest, made: Clip) -> float:
    """Highest mean acceleration of the body's joints near the ends of the stretch."""
    kept = fitted_kept(request, PARTS, made.num_frames)
    assert kept is not None and request.free is not None
    first, stop = request.free
    directions = resolve_directions(request)
    parts = [part for part in BODY if directions[part].source is not Source.KEEP]
    joined = join(kept, made, parts, first, min(stop, kept.num_frames) - 1, BLEND_FRAMES)
    begin = max(first - 2, 0)
    moments = accelerations(clip_joint_positions(joined), joined.fps)[1:-1][begin:stop]
    place = np.arange(begin, begin + len(moments))
    return float(moments[(place < first + NEAR_FRAMES) | (place >= stop - NEAR_FRAMES)].max())
