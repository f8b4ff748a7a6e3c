# SPDX-License-Identifier: GPL-3.0-or-later
"""Drafts of a stretch: how many, and which one is taken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.drafts import DRAFTS, best_draft, with_drafts
from engine.motion.clip import Clip
from engine.specs import GenerateRequest, GenerateResult, Part, PartDirection, SamplingOptions, Source

FRAMES = np.arange(120)
DIRECTIONS = {Part.UPPER: PartDirection(Source.TEXT, "wave")}


def waving(phase: float) -> Clip:
    clip = Clip.rest(len(FRAMES), 30.0)
    poses = clip.poses.copy()
    poses[:, 16, 2] = np.sin(FRAMES / 15.0 + phase)
    return replace(clip, poses=poses)


def stretch(kept: Clip, free: tuple[int, int] | None, seed: int = 7) -> GenerateRequest:
    return GenerateRequest(
        DIRECTIONS, duration_s=4.0, kept=kept, free=free, sampling=SamplingOptions(seed=seed)
    )


def test_only_stretches_that_meet_kept_frames_get_drafts() -> None:
    kept = waving(0.0)
    plain = GenerateRequest(DIRECTIONS, duration_s=4.0)
    wanted, places = with_drafts([plain, stretch(kept, (40, 80)), stretch(kept, (40, 120)), plain])
    assert [place.stop - place.start for place in places] == [1, DRAFTS, 1, 1]
    assert wanted[0] is not None and wanted[1] == stretch(kept, (40, 80))
    seeds = [request.sampling.seed for request in wanted[places[1]]]
    assert len(set(seeds)) == DRAFTS and seeds[0] == 7
    largest = with_drafts([stretch(kept, (40, 80), 2**63 - 1)])[0]
    assert all(0 <= request.sampling.seed < 2**63 for request in largest)


def test_the_draft_that_meets_the_kept_motion_is_taken() -> None:
    kept = waving(0.0)
    drafts = [GenerateResult(waving(phase), 4.0, 0.1, {}) for phase in (2.5, 0.0, 1.5)]
    assert best_draft(stretch(kept, (40, 80)), drafts) is drafts[1]
    assert best_draft(stretch(kept, (40, 80)), drafts[::-1]) is drafts[1]
    assert best_draft(GenerateRequest(DIRECTIONS, duration_s=4.0), drafts[:1]) is drafts[0]


def test_fewer_jumps_count_more_than_a_lower_one() -> None:
    def shaken(frames: tuple[int, ...], metres: float) -> GenerateResult:
        clip = waving(0.0)
        poses = clip.poses.copy()
        for number, frame in enumerate(frames):
            poses[frame, 17, 2] += metres * (-1) ** number
        return GenerateResult(replace(clip, poses=poses), 4.0, 0.1, {})

    often, once = shaken((52, 54, 56, 58), 0.2), shaken((55,), 0.4)
    assert best_draft(stretch(waving(0.0), (40, 80)), [often, once]) is once
    assert best_draft(stretch(waving(0.0), (40, 80)), [once, often]) is once
