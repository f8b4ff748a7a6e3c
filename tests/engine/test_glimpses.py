# SPDX-License-Identifier: GPL-3.0-or-later
"""Finished windows shown while the rest is made: they cover the motion, look like it and do not change it."""

from __future__ import annotations

import numpy as np
import pytest

from engine.motion.clip import Clip
from engine.pipeline import Engine, load_engine
from engine.specs import PARTS, GenerateRequest, Glimpse, Part, PartDirection, SamplingOptions, Source
from tests.tiny_pack import write_tiny_pack

WALK = PartDirection(Source.TEXT, "walk forward")
NUM_FRAMES = 400


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    root = tmp_path_factory.mktemp("pack") / "tiny"
    write_tiny_pack(root)
    engine = load_engine(root, "cpu")
    assert isinstance(engine, Engine)
    return engine


def request(**more: object) -> GenerateRequest:
    wave = (np.random.default_rng(0).standard_normal(round(NUM_FRAMES / 30 * 16000)) * 0.1).astype(np.float32)
    return GenerateRequest({Part.LOWER: WALK}, wave, plant_feet=False, **more)  # pyright: ignore


def watched(engine: Engine, asked: GenerateRequest) -> tuple[Clip, list[Glimpse]]:
    seen: list[Glimpse] = []
    return engine.generate(asked, show=seen.append).clip, seen


def test_windows_are_shown_in_order_and_the_result_is_the_same_to_the_bit(engine: Engine) -> None:
    clip, seen = watched(engine, request())
    ends = [glimpse.first + glimpse.clip.num_frames for glimpse in seen]
    assert (
        len(seen) == 4 and [glimpse.first for glimpse in seen] == [0, *ends[:-1]] and ends[-1] == NUM_FRAMES
    )
    assert all(glimpse.parts == PARTS for glimpse in seen)
    alone = engine.generate(request()).clip
    for name in ("poses", "trans", "expressions"):
        assert getattr(clip, name).tobytes() == getattr(alone, name).tobytes()
    # Only the last frames of a window lack what comes after them.
    upper = [3, 6, 9, 16, 17]
    for glimpse in seen:
        inner = slice(glimpse.first, glimpse.first + glimpse.clip.num_frames - 60)
        same = glimpse.clip.poses[:-60, upper] - clip.poses[inner, upper]
        assert np.abs(same).max(initial=0.0) < 1e-4


def test_the_root_goes_on_from_window_to_window(engine: Engine) -> None:
    clip, seen = watched(engine, request(sampling=SamplingOptions(seed=3)))
    shown = np.concatenate([glimpse.clip.pelvis_positions for glimpse in seen])
    steps = np.linalg.norm(np.diff(shown[:, [0, 2]], axis=0), axis=1)
    true = np.linalg.norm(np.diff(clip.pelvis_positions[:, [0, 2]], axis=0), axis=1)
    assert true.max() > 0.0 and steps.max() < 3.0 * true.max()
    assert np.array_equal(shown[0, [0, 2]], clip.pelvis_positions[0, [0, 2]])


def test_kept_parts_are_seen_as_they_are_and_stretches_are_not_shown(engine: Engine) -> None:
    kept, _ = watched(engine, request(sampling=SamplingOptions(seed=5)))
    directions = {part: PartDirection(Source.KEEP) for part in (Part.FACE, Part.LOWER)}
    asked = GenerateRequest(directions, request().waveform, kept=kept)
    _, seen = watched(engine, asked)
    for glimpse in seen:
        assert glimpse.parts == (Part.HANDS, Part.UPPER)
        frames = slice(glimpse.first, glimpse.first + glimpse.clip.num_frames)
        assert np.array_equal(glimpse.clip.trans, kept.trans[frames])
        assert np.array_equal(glimpse.clip.expressions, kept.expressions[frames])
    stretch = GenerateRequest(waveform=request().waveform, kept=kept, free=(100, 200))
    assert watched(engine, stretch)[1] == []


def test_only_the_first_of_several_motions_is_shown(engine: Engine) -> None:
    asked = [request(sampling=SamplingOptions(seed=seed)) for seed in (1, 2)]
    seen: list[Glimpse] = []
    made = engine.generate_many(asked, show=seen.append)
    assert sum(glimpse.clip.num_frames for glimpse in seen) == NUM_FRAMES
    first = np.abs(seen[0].clip.poses[:40, 16] - made[0].clip.poses[:40, 16]).max()
    other = np.abs(seen[0].clip.poses[:40, 16] - made[1].clip.poses[:40, 16]).max()
    assert first < 1e-4 < other
