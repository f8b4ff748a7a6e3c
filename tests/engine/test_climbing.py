# SPDX-License-Identifier: GPL-3.0-or-later
"""Heights of climbs, told by the feet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.motion.arrays import FloatArray
from engine.motion.climbing import climbed
from engine.motion.features import (
    LOWER_CONTACTS,
    LOWER_HEIGHT,
    rest_features,
    starter_clip,
    starter_features,
)
from engine.motion.skeleton import DEFAULT_SKELETON
from engine.specs import Part

STANDING = DEFAULT_SKELETON.standing_height
SWING = 12
"""Frames in which a foot goes to its next rung."""


def stepping(rise: float, num_steps: int) -> FloatArray:
    """Legs that step up: one foot is lifted, the body follows it, then the other foot, (F, 62).

    Args:
        rise: Of every step, metres; 0 marks time.
        num_steps: Steps, left and right in turn.
    """
    thigh = float(np.linalg.norm(DEFAULT_SKELETON.offsets[4]))
    shin = float(np.linalg.norm(DEFAULT_SKELETON.offsets[7]))
    straight = thigh + shin - 0.01
    soles = [np.zeros(2)]
    pelvis = [0.0]
    contacts = [np.ones(2)]
    for step in range(num_steps):
        foot, goal = step % 2, soles[-1].max() + rise
        begin, base = soles[-1][foot], pelvis[-1]
        for frame in range(1, 2 * SWING + 1):
            at = soles[-1].copy()
            lifted = min(frame / SWING, 1.0)
            at[foot] = begin + (goal - begin) * lifted + 0.05 * np.sin(np.pi * lifted)
            soles.append(at)
            contacts.append(np.where(np.arange(2) == foot, float(frame >= SWING), 1.0))
            up = max(frame - SWING, 0) / SWING
            pelvis.append(base + (at.min() - base) * up)
    height, sole = np.array(pelvis), np.array(soles)
    poses = np.zeros((len(height), 55, 3), dtype=np.float32)
    for foot in (0, 1):
        reach = straight + height - sole[:, foot]
        hip = np.arccos((thigh**2 + reach**2 - shin**2) / (2 * thigh * reach))
        knee = np.pi - np.arccos((thigh**2 + shin**2 - reach**2) / (2 * thigh * shin))
        poses[:, 1 + foot, 0], poses[:, 4 + foot, 0], poses[:, 7 + foot, 0] = -hip, knee, hip - knee
    still = starter_clip({Part.LOWER: rest_features(Part.LOWER, len(height))})
    trans = still.trans.copy()
    trans[:, 1] += height
    lower = starter_features(replace(still, poses=poses, trans=trans))[Part.LOWER]
    lower[:, LOWER_CONTACTS] = np.tile(np.array(contacts), 2)
    return lower


def test_a_climb_whose_height_was_lost_is_as_high_again_as_its_rungs() -> None:
    true = stepping(0.3, 6)
    flat = true.copy()
    flat[:, LOWER_HEIGHT] = STANDING + 0.2 * (true[:, LOWER_HEIGHT] - STANDING)
    found = climbed(flat)
    assert true[:, LOWER_HEIGHT].max() > STANDING + 1.0
    assert np.abs(found[:, LOWER_HEIGHT] - true[:, LOWER_HEIGHT]).max() < 0.1
    assert np.abs(np.diff(found[:, LOWER_HEIGHT])).max() < 0.06  # it rises, it does not jump
    others = np.arange(62) != LOWER_HEIGHT
    assert np.array_equal(found[:, others], flat[:, others])


def test_a_climb_of_the_right_height_keeps_it() -> None:
    true = stepping(0.3, 6)
    assert np.abs(climbed(true)[:, LOWER_HEIGHT] - true[:, LOWER_HEIGHT]).max() < 0.05


def test_steps_on_one_floor_are_not_touched() -> None:
    level = stepping(0.0, 8)
    assert climbed(level) is level


def test_a_foot_held_up_is_no_climb() -> None:
    once = stepping(0.3, 1)  # one foot on a box, the other on the floor
    assert climbed(once) is once


def test_a_leap_lands_where_it_was_known_to_be() -> None:
    level = stepping(0.0, 2)
    leap = np.concatenate([level, level])
    middle = slice(len(level), len(level) + 20)
    leap[middle, LOWER_CONTACTS] = 0.0
    leap[middle, LOWER_HEIGHT] += 0.5 * np.linspace(0.0, 1.0, 20, dtype=np.float32)  # and comes down at once
    assert climbed(leap) is leap
