# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion editing: what each edit promises, on a walk made by a formula."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from engine.data.cleaning import Capture
from engine.data.editing import (
    LocalMotion,
    bend_path,
    best_cycle,
    circle_turn_rate,
    crossfade,
    finish,
    from_clip,
    oscillate,
    pose_distance,
    raised,
    repeat_cycle,
    reversed_in_time,
    runs_of,
    smooth,
    standing_contacts,
    to_clip,
    warp,
)
from engine.data.recipes import find_jumps, jumps, standing_windows, stands, walks
from engine.data.workshop import BOUNDS, Workshop
from engine.evaluation.body_measures import measure_clip
from engine.motion.clip import Clip
from engine.motion.features import starter_clip
from engine.motion.kinematics import clip_joint_positions
from engine.motion.skeleton import DEFAULT_SKELETON
from engine.specs import Part

CYCLE = 32
"""Frames of the formula's walking cycle."""


def walking(frames: int = 110, speed: float = 1.1) -> Clip:
    """A simple walk along +Z: swinging legs and arms, arms hanging."""
    clip = Clip.rest(frames, 30)
    phase = 2 * np.pi * np.arange(frames) / CYCLE
    poses, trans = clip.poses.copy(), clip.trans.copy()
    for side, shift in ((0, 0.0), (1, np.pi)):
        poses[:, 1 + side, 0] = -0.1 - 0.42 * np.sin(phase + shift)
        poses[:, 4 + side, 0] = 0.25 + 0.35 * np.cos(phase + shift)
        poses[:, 7 + side, 0] = -poses[:, 1 + side, 0] - poses[:, 4 + side, 0]
        poses[:, 16 + side, 2] = -1.2 if side == 0 else 1.2
        poses[:, 18 + side, 1] = -0.3 + 0.1 * np.sin(phase) if side == 0 else 0.3 + 0.1 * np.sin(phase)
    trans[:, 2] = speed * np.arange(frames) / 30
    trans[:, 1] = 0.93 + 0.01 * np.cos(2 * phase)
    return replace(clip, poses=poses, trans=trans)


def jumping(frames: int = 90, rise: float = 0.35) -> Clip:
    """Stands, jumps straight up at frame 40 for 15 frames, stands."""
    clip = Clip.rest(frames, 30)
    poses, trans = clip.poses.copy(), clip.trans.copy()
    poses[:, 16, 2], poses[:, 17, 2] = -1.2, 1.2
    share = np.clip((np.arange(frames) - 40) / 15, 0, 1)
    trans[:, 1] = 0.94 + rise * 4 * share * (1 - share)
    return replace(clip, poses=poses, trans=trans)


def test_a_clip_survives_the_local_layout() -> None:
    clip = walking().moved(turn=0.4)
    again = to_clip(from_clip(clip)).moved(turn=0.4)
    shift = clip.trans[0] - again.trans[0]
    np.testing.assert_allclose(again.trans + shift, clip.trans, atol=1e-3)
    np.testing.assert_allclose(again.poses, clip.poses, atol=1e-3)


def test_reversal_retraces_the_path_on_a_bend() -> None:
    motion = bend_path(from_clip(walking()), np.full(110, 0.7))
    there, back = (
        clip_joint_positions(to_clip(motion)),
        clip_joint_positions(to_clip(reversed_in_time(motion))),
    )
    # Frame for frame in the opposite order, compared by what a rigid move cannot change.
    flat = [0, 2]
    np.testing.assert_allclose(
        np.linalg.norm(there[::-1][:, 0][:, flat] - there[-1, 0][flat], axis=-1),
        np.linalg.norm(back[:, 0][:, flat] - back[0, 0][flat], axis=-1),
        atol=2e-3,
    )
    np.testing.assert_allclose(there[::-1][:, :, 1], back[:, :, 1], atol=1e-3)
    assert measure_clip(to_clip(reversed_in_time(motion))).forward_speed == pytest.approx(
        -measure_clip(to_clip(motion)).forward_speed, abs=0.02
    )
    twice = reversed_in_time(reversed_in_time(motion))
    np.testing.assert_allclose(twice.velocity[:-1], motion.velocity[:-1], atol=1e-9)
    np.testing.assert_allclose(twice.turn[:-1], motion.turn[:-1], atol=1e-9)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_circle_closes_and_turns_to_its_side(sign: float) -> None:
    motion = repeat_cycle(from_clip(walking()), 8, 8 + CYCLE, 300)
    bent = bend_path(motion, sign * circle_turn_rate(motion, 1.2))
    clip = to_clip(bent)
    measures = measure_clip(clip)
    assert np.sign(measures.turned_deg) == sign
    assert abs(measures.turned_deg) == pytest.approx(np.degrees(1.1 / 1.2 * 299 / 30), rel=0.05)
    centre = (clip.trans.min(0) + clip.trans.max(0)) / 2
    radii = np.linalg.norm((clip.trans - centre)[:, [0, 2]], axis=1)
    assert radii.min() > 1.0 and radii.max() < 1.4


def test_the_best_cycle_is_a_whole_step_pair() -> None:
    motion = from_clip(walking())
    start, end, cost = best_cycle(motion, 20, 45)
    assert (end - start) == pytest.approx(CYCLE, abs=1)
    assert cost < 0.2
    assert pose_distance(motion)[10, 10 + CYCLE // 2] > 5 * cost
    assert best_cycle(motion.cut(0, 20), 25, 40)[2] == np.inf


def test_repetition_keeps_speed_and_stays_smooth() -> None:
    motion = from_clip(walking())
    start, end, _ = best_cycle(motion, 20, 45)
    longer = repeat_cycle(motion, start, end, 260)
    assert longer.num_frames == 260
    measures = measure_clip(to_clip(longer))
    assert measures.forward_speed == pytest.approx(1.1, abs=0.05)
    assert abs(measures.turned_deg) < 10
    steps = np.abs(
        np.diff(clip_joint_positions(to_clip(longer))[:, :22] - to_clip(longer).trans[:, None], axis=0)
    )
    usual = np.abs(np.diff(clip_joint_positions(walking())[:, :22] - walking().trans[:, None], axis=0))
    assert steps.max() < 1.6 * usual.max()


def test_warp_changes_speed() -> None:
    assert measure_clip(warp(walking(), 1.25)).forward_speed == pytest.approx(1.1 * 1.25, rel=0.01)
    assert warp(walking(), 0.8).num_frames == pytest.approx(110 / 0.8, abs=2)


def test_raised_lifts_only_the_flight() -> None:
    motion = from_clip(jumping(rise=0.22))
    higher = raised(motion, 40, 55, 0.1)
    assert higher.height.max() - motion.height.max() == pytest.approx(0.1, abs=0.01)
    np.testing.assert_array_equal(higher.height[:39], motion.height[:39])
    np.testing.assert_array_equal(higher.height[56:], motion.height[56:])


def test_crossfade_and_cut_lengths() -> None:
    motion = from_clip(walking())
    assert crossfade(motion.cut(0, 40), motion.cut(50, 90), 10).num_frames == 70
    assert isinstance(motion.cut(3, 9), LocalMotion) and motion.cut(3, 9).num_frames == 6
    np.testing.assert_allclose(smooth(np.full(20, 3.0), 15), 3.0)
    assert runs_of(np.array([1, 1, 0, 1, 1, 1], bool), 3) == [(3, 6)]


def test_contacts_need_a_low_foot() -> None:
    contacts = standing_contacts(jumping())
    assert contacts[:30].all()
    assert not contacts[44:50].any()


def test_finish_plants_the_feet_of_a_bent_walk() -> None:
    def sliding(lower_upper: dict[Part, np.ndarray]) -> float:
        toes = clip_joint_positions(starter_clip(lower_upper))[:, [10, 11]]
        speed = np.linalg.norm(np.diff(toes[..., [0, 2]], axis=0), axis=-1) * 30
        low = toes[:-1, :, 1].argmin(1)
        return float(np.median(np.take_along_axis(speed, low[:, None], 1)))

    gait = repeat_cycle(from_clip(walking()), 8, 8 + CYCLE, 150)
    bent = bend_path(gait, circle_turn_rate(gait, 1.0))
    # The formula's feet slide: say which foot is down, as a capture would.
    phase = 2 * np.pi * (np.arange(150) + 8) / CYCLE
    left = (np.cos(phase) < -0.2).astype(np.float32)
    right = (np.cos(phase) > 0.2).astype(np.float32)
    bent = replace(bent, contacts=np.stack([left, right, left, right], 1))
    assert sliding(finish(bent, replant=True)) < 0.6 * sliding(finish(bent, replant=False))


def test_oscillation_stays_in_place_and_is_slow() -> None:
    clip = walking(20, speed=0.05)
    swaying = oscillate(clip, 200, random.Random(1))
    assert swaying.num_frames == 200
    assert swaying.trans[:, 2].min() >= clip.trans[:, 2].min() - 1e-5
    assert swaying.trans[:, 2].max() <= clip.trans[:, 2].max() + 1e-5


def test_jumps_are_found_and_become_items_that_rise() -> None:
    clip = jumping()
    (event,) = find_jumps(clip)
    assert 38 <= event.take_off <= 44 and 50 <= event.landing <= 56
    assert event.rise_m == pytest.approx(0.35, abs=0.03)
    assert find_jumps(walking()) == []
    shop = Workshop()
    jumps(shop, Capture("99_01", "jump", clip, 0))
    assert len(shop.items) >= 8
    for item in shop.items:
        measures = measure_clip(starter_clip({Part.LOWER: item.lower, Part.UPPER: item.upper}))
        assert all(bound.holds(measures) for bound in BOUNDS["jump"])
    single = next(item for item in shop.items if not item.looped)
    height = single.lower[:, 2]
    assert int(height.argmax()) <= 20 + 15  # begins at most 20 frames before take-off
    assert len(single.lower) >= 66


def test_walks_become_every_kind_of_item() -> None:
    shop = Workshop()
    walks(shop, Capture("99_02", "walk", walking(), 0))
    made = {item.group for item in shop.items}
    assert {"walk_forward", "walk_circle", "walk_backwards"} <= made, shop.dropped
    for item in shop.items:
        clip = starter_clip({Part.LOWER: item.lower, Part.UPPER: item.upper})
        measures = measure_clip(clip)
        assert all(bound.holds(measures) for bound in BOUNDS.get(item.group, ()))
        assert item.mean_speed == pytest.approx(measures.forward_speed, abs=2e-3)
    sides = {("left" if np.mean(item.lower[:, 3]) > 0 else "right", "mirrored" in item.edit)
             for item in shop.items if item.group == "walk_circle"}  # fmt: skip
    assert len(sides) == 4
    for item in shop.items:
        if item.group == "walk_circle":
            wrong = "clockwise" if item.lower[:, 3].mean() > 0 else "counterclockwise"
            assert not any(wrong in caption.split() for caption in item.captions)


def test_standing_items_stand() -> None:
    still = walking(40, speed=0.0)
    rest = Clip.rest(40, 30).poses
    poses = rest.copy()
    poses[:, 16, 2], poses[:, 17, 2] = -1.2, 1.2
    poses[:, 3, 0] = 0.02 * np.sin(np.arange(40) / 12)
    trans = still.trans.copy()
    trans[:, 1] = DEFAULT_SKELETON.standing_height - 0.005
    capture = Capture("99_03", "walk", replace(still, poses=poses, trans=trans), 0)
    assert len(standing_windows(capture)) == 1
    assert standing_windows(Capture("99_04", "walk", walking(), 0)) == []
    shop = Workshop()
    stands(shop, [capture], 3, "test")
    assert [item.group for item in shop.items] == ["stand_still"] * 3
    stands(shop, [Capture("99_04", "walk", walking(), 0)], 3, "test")
    assert len(shop.items) == 3
