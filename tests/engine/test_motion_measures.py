# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures and picture of one clip, on motion whose answers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.motion.clip import Clip
from engine.motion.measures import MAX_LAG, foot_slide, jitter, measure
from engine.motion.picture import MOMENTS, SIZE, clip_picture

FPS = 30.0


def test_a_still_body_has_no_jitter_and_does_not_slide() -> None:
    found = measure(Clip.rest(40, FPS))
    assert (found.jitter, found.foot_slide, found.lip_sync) == (0.0, 0.0, None)


def test_jitter_is_the_mean_jerk() -> None:
    times = np.arange(300) / FPS
    positions = np.zeros((300, 55, 3))
    positions[..., 0] = (2.0 * times**3)[:, None]  # jerk 12 m/s^3
    assert jitter(positions, FPS) == pytest.approx(12.0)
    assert jitter(positions[::2], FPS / 2) == pytest.approx(12.0), "the same at another rate"
    assert jitter(positions[:3], FPS) == 0.0


def test_a_body_pushed_over_the_floor_slides_as_fast() -> None:
    clip = Clip.rest(60, FPS)
    trans = clip.trans.copy()
    trans[:, 0] += np.arange(60) / FPS * 0.25
    assert measure(replace(clip, trans=trans)).foot_slide == pytest.approx(0.25, rel=1e-3)
    assert foot_slide(np.zeros((1, 55, 3)), FPS) == 0.0


def test_lips_in_time_late_and_shut() -> None:
    envelope = np.abs(np.sin(np.arange(120) * 0.31)) * np.abs(np.sin(np.arange(120) * 0.047))
    clip = Clip.rest(120, FPS)
    jaw = clip.expression_names.index("jawOpen")

    def sync(moving: np.ndarray) -> float:
        expressions = clip.expressions.copy()
        expressions[:, jaw] = moving
        found = measure(replace(clip, expressions=expressions), envelope.astype(np.float32)).lip_sync
        assert found is not None
        return found

    assert sync(0.7 * envelope) == pytest.approx(1.0)
    assert sync(np.roll(envelope, 3)) > 0.95, "a lag within reach is looked for"
    assert sync(np.roll(envelope, 3 * MAX_LAG)) < 0.9
    assert sync(np.zeros(120)) == 0.0
    short = replace(clip, expressions=clip.expressions).slice(0, 2)
    assert measure(short, envelope[:2].astype(np.float32)).lip_sync == 0.0


def test_picture_shows_three_figures_that_move() -> None:
    clip = Clip.rest(61, FPS)
    poses = clip.poses.copy()
    poses[:, 16, 2] = np.linspace(-1.2, 0.9, 61)
    still, moving = clip_picture(clip), clip_picture(replace(clip, poses=poses))
    assert still.shape == (SIZE, SIZE, 4) and still.dtype == np.float32
    assert still.min() >= 0.0 and still.max() <= 1.0 and (still[..., 3] == 1.0).all()
    drawn = np.abs(still[..., :3] - still[0, 0, :3]).max(axis=-1) > 0.1
    assert not drawn[[0, -1]].any(), "head and feet are inside"
    columns = np.flatnonzero(drawn[: SIZE // 5].any(axis=0))
    assert len(np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)) == 2 * len(MOMENTS), "six feet"
    assert np.abs(still - moving).max() > 0.3


def test_picture_does_not_depend_on_place_and_heading() -> None:
    clip = Clip.rest(10, FPS)
    assert np.abs(clip_picture(clip.moved(turn=1.3, shift=(4.0, -2.0))) - clip_picture(clip)).max() < 1e-3
