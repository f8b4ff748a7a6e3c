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
from .requests import fitted_kept, resolve_directions
from .specs import PARTS, GenerateRequest, GenerateResult, Part, Source

DRAFTS = 3
"""Drafts per stretch. With 1, 2 and 3 of them, 2.5 %, 1.3 % and 1.3 % of the frames at the ends of gaps in
captured walks accelerated more than the 99th percentile of the clip, and 3.3 %, 1.3 % and 0 % near them."""

SEED_STEP = 1_000_003
"""From the seed of one draft to that of the next, so that drafts are no takes of their own."""

BLEND_FRAMES = 8
"""Blend length that drafts are joined with to compare them."""

NEAR_FRAMES = 12
"""Frames behind an end of a stretch that are looked at."""

NUM_BODY_JOINTS = 22

BODY = (Part.HANDS, Part.UPPER, Part.LOWER)


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
    positions = clip_joint_positions(joined)[:, :NUM_BODY_JOINTS]
    acceleration = np.linalg.norm(np.diff(positions, n=2, axis=0), axis=-1).mean(axis=1)
    near = np.zeros(len(acceleration), dtype=bool)
    for end in (first, stop):
        near[max(end - NEAR_FRAMES, 0) : end + NEAR_FRAMES] = True
    near[: max(first - 2, 0)] = False
    near[stop:] = False
    return float(acceleration[near].max())
