# SPDX-License-Identifier: GPL-3.0-or-later
"""Items of what people ask for: turns, punches, kicks and climbs, each where its caption says."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from engine.data.asked_for import (
    MORE,
    climbs,
    corners,
    kick_speeds,
    kicks,
    laughs,
    peaks,
    punch_speeds,
    punches,
)
from engine.data.cleaning import Capture
from engine.data.recipes import LATEST_TURN, turn_rate
from engine.data.workshop import Item, Workshop
from engine.evaluation.body_measures import Measures, measure_clip
from engine.evaluation.probes import ACTION_PROBES
from engine.motion.clip import Clip
from engine.motion.features import starter_clip
from engine.motion.skeleton import DEFAULT_SKELETON
from engine.specs import Part
from tests.engine.test_data_editing import walking


def measured(item: Item) -> Measures:
    return measure_clip(starter_clip({Part.LOWER: item.lower, Part.UPPER: item.upper}))


def standing(frames: int) -> Clip:
    rest = Clip.rest(frames, 30)
    trans = rest.trans.copy()
    trans[:, 1] = DEFAULT_SKELETON.standing_height - 0.005
    return replace(rest, trans=trans)


def boxing() -> Clip:
    """One elbow stretches twice within three frames."""
    clip = standing(150)
    poses = clip.poses.copy()
    bent = np.full(150, 2.2)
    for hit in (50, 110):
        bent[hit : hit + 3] = (1.5, 0.7, 0.1)
        bent[hit + 3 : hit + 20] = np.linspace(0.1, 2.2, 17)
    poses[:, 18, 1] = -bent
    return replace(clip, poses=poses)


def test_peaks_are_apart_and_high_enough() -> None:
    speeds = np.zeros(60)
    speeds[[5, 9, 30, 50]] = 2.0, 3.0, 1.0, 2.0
    assert peaks(speeds, 1.5) == [9, 50]
    assert peaks(np.zeros(9), 1.0) == []


def test_walks_turn_to_both_sides_and_say_so() -> None:
    shop = Workshop()
    corners(shop, Capture("99_02", "walk", walking(), 0))
    assert len(shop.items) == 8 and {item.action for item in shop.items} == {"turn_left"}
    probes = {probe.side: probe for probe in ACTION_PROBES if probe.side}
    sides = []
    for item in shop.items:
        side = "left" if "bent left" in item.edit else "right"
        found = measured(item)
        assert probes[side].passes(found), probes[side].failures(found)
        late = item.lower[60:, 3]
        assert abs(float(late.sum())) / 30 < 0.2, "straight on behind the turn"
        other = "right" if side == "left" else "left"
        assert not any(other in caption.split() for caption in item.captions)
        sides.append(side)
    assert sides.count("left") == 4


def test_punches_follow_one_another() -> None:
    clip = boxing()
    assert peaks(punch_speeds(clip), 1.6) and max(punch_speeds(clip)) > 1.6
    shop = Workshop()
    punches(shop, Capture("99_05", "boxing", clip, 0))
    assert len(shop.items) == 24 and {item.action for item in shop.items} == {"boxing"}
    for item in shop.items:
        made = starter_clip({Part.LOWER: item.lower, Part.UPPER: item.upper})
        assert len(peaks(punch_speeds(made), 1.4)) >= 3, "several in six seconds"
    quiet = Workshop()
    punches(quiet, Capture("99_06", "boxing", standing(150), 0))
    assert not quiet.items and quiet.dropped


def test_kicks_begin_before_the_foot_is_fast() -> None:
    clip = standing(160)
    poses = clip.poses.copy()
    poses[100:106, 1, 0] = -np.linspace(0.2, 1.9, 6)
    poses[106:140, 1, 0] = -np.linspace(1.9, 0.0, 34)
    shop = Workshop()
    kicks(shop, Capture("99_07", "soccer", replace(clip, poses=poses), 0))
    assert len(shop.items) == 16
    for item in shop.items:
        made = starter_clip({Part.LOWER: item.lower, Part.UPPER: item.upper})
        speeds = kick_speeds(made)
        assert 20 <= int(speeds.max(axis=1).argmax()) <= 66
        told = {foot for foot in ("left", "right") if any(f"{foot} foot" in text for text in item.in_context)}
        assert told <= {("left", "right")[int(speeds.max(axis=0).argmax())]}
    assert any("left foot" in text for item in shop.items for text in item.in_context)
    assert any("right foot" in text for item in shop.items for text in item.in_context)


def test_climbs_begin_on_the_floor_and_end_at_the_top() -> None:
    clip = standing(240)
    trans = clip.trans.copy()
    trans[:, 1] += np.interp(np.arange(240), (90, 170, 200, 240), (0.0, 0.9, 0.9, 0.0))
    shop = Workshop()
    climbs("climb_ladder", shop, Capture("99_08", "climb ladder", replace(clip, trans=trans), 0))
    assert len(shop.items) == 12
    for item in shop.items:
        height = item.lower[:, 2]
        assert height[0] == pytest.approx(trans[0, 1], abs=0.02) and height.max() > 1.6
        assert height[-1] > 1.2, "the way down is left out"


def test_laughter_is_repeated_at_other_speeds() -> None:
    shop = Workshop()
    laughs(shop, Capture("99_09", "laugh", standing(240), 0))
    lengths = {len(item.lower) for item in shop.items}
    assert len(shop.items) == 8 and len(lengths) > 4 and 240 in lengths
    assert all(240 / 1.15 - 1 <= length <= 240 / 0.92 + 1 for length in lengths)


def test_turns_last_a_second_from_the_start() -> None:
    for seed in range(20):
        rate = turn_rate(240, random.Random(seed))
        turning = np.flatnonzero(rate)
        assert turning[0] <= LATEST_TURN and turning[-1] <= 45, "then it goes straight on"
        assert 65.0 <= np.degrees(rate.sum() / 30.0) <= 91.0


def test_more_is_made_of_known_actions() -> None:
    from engine.data.captured import action_of

    words = {"walk": "walk", "boxing": "boxing", "kick_ball": "soccer - kick ball"}
    words |= {"climb_ladder": "climb ladder", "climb_steps": "climb 3 steps", "laugh": "laugh"}
    assert {action_of("99_01", text) for text in words.values()} == set(MORE)
