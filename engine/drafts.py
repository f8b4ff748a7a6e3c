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

DRAFTS = 4
"""Drafts per stretch. With 3 and 4 of them, 1.9 % and 1.2 % of the frames at the ends of gaps in captured
walks accelerated more than the clip's 99th percentile (starter 0.2.3); of the clips themselves 1.2 % do."""

SEED_STEP = 1_000_003
"""From the seed of one draft to that of the next, so that drafts are no takes of their own."""

BLEND_FRAMES = 8
"""Blend length that drafts are joined with to compare them: the extension's default."""

LIMIT_PERCENTILE = 99
"""Of the kept motion's own accelerations: above it is a jump."""

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
    """The draft that jumps in the fewest frames when it is joined, and least where several do.

    A jump is a frame that accelerates more than the kept motion's 99th percentile.

    Args:
        request: What was asked for.
        drafts: One or more.
    """
    if len(drafts) == 1:
        return drafts[0]
    kept = fitted_kept(request, PARTS, drafts[0].clip.num_frames)
    assert kept is not None
    limit = float(np.percentile(accelerations(clip_joint_positions(kept), kept.fps), LIMIT_PERCENTILE))
    return min(drafts, key=lambda draft: _jumps(request, kept, draft.clip, limit))


def _is_stretch(request: GenerateRequest) -> bool:
    """Whether new frames end at kept ones."""
    if request.free is None or request.kept is None:
        return False
    return request.free[1] < request.kept.num_frames and request.free[1] - request.free[0] >= MIN_FRAMES


def _jumps(request: GenerateRequest, kept: Clip, made: Clip, limit: float) -> tuple[int, float]:
    """Frames near the ends of the stretch whose joints accelerate more than a limit in the mean; and the most
    that they do."""
    assert request.free is not None
    first, stop = request.free
    directions = resolve_directions(request)
    parts = [part for part in BODY if directions[part].source is not Source.KEEP]
    joined = join(kept, made, parts, first, min(stop, kept.num_frames) - 1, BLEND_FRAMES)
    begin = max(first - 2, 0)
    moments = accelerations(clip_joint_positions(joined), joined.fps)[1:-1][begin:stop]
    place = np.arange(begin, begin + len(moments))
    near = moments[(place < first + NEAR_FRAMES) | (place >= stop - NEAR_FRAMES)]
    return int((near > limit).sum()), float(near.max())
