# SPDX-License-Identifier: GPL-3.0-or-later
"""Jumps that hang in the air come down as gravity has it."""

from __future__ import annotations

import numpy as np
import pytest

from engine.motion.arrays import FloatArray
from engine.motion.falling import GRAVITY, OFF_FLOOR, fallen
from engine.motion.features import LOWER_CONTACTS, LOWER_HEIGHT, LOWER_ROTATIONS, rest_features, starter_clip
from engine.motion.kinematics import clip_joint_positions
from engine.motion.planting import planted
from engine.motion.skeleton import DEFAULT_SKELETON, SOLE_THICKNESS
from engine.specs import MOTION_FPS, Part

STANDING = DEFAULT_SKELETON.standing_height
APEX = 0.3
BEFORE = 20


def jumping(hang_s: float, after_s: float = 1.0) -> FloatArray:
    """Straight legs that stand, rise by `APEX`, stay there for a while and fall, (F, 62)."""
    fall_s = float(np.sqrt(2.0 * APEX / GRAVITY))
    times = np.arange(round((2 * fall_s + hang_s + after_s) * MOTION_FPS)) / MOTION_FPS
    from_top = np.maximum(fall_s - times, times - fall_s - hang_s).clip(0.0)
    rise = np.concatenate([np.zeros(BEFORE), (APEX - 0.5 * GRAVITY * from_top**2).clip(0.0)])
    lower = rest_features(Part.LOWER, len(rise))
    lower[:, LOWER_HEIGHT] += rise
    lower[:, LOWER_CONTACTS] = (rise <= 0.0)[:, None]
    return lower


def off_floor_s(lower: FloatArray) -> float:
    return float((lower[:, LOWER_HEIGHT] > STANDING + OFF_FLOOR).sum()) / MOTION_FPS


@pytest.mark.parametrize("hang_s", [0.4, 0.7, 1.2])
def test_a_jump_that_hangs_falls_from_its_highest_moment(hang_s: float) -> None:
    hanging, jump = jumping(hang_s), jumping(0.0)
    found = fallen(hanging)
    assert abs(off_floor_s(found) - off_floor_s(jump)) < 0.07
    assert found[:, LOWER_HEIGHT].max() == hanging[:, LOWER_HEIGHT].max()
    falls = slice(BEFORE, BEFORE + 14)  # until just before the jump without hanging lands
    assert np.abs(found[falls, LOWER_HEIGHT] - jump[falls, LOWER_HEIGHT]).max() < 0.06
    assert np.array_equal(found[:BEFORE], hanging[:BEFORE])
    assert np.abs(found[-5:] - hanging[-5:]).max() < 0.01
    assert found[:, LOWER_ROTATIONS].tobytes() == hanging[:, LOWER_ROTATIONS].tobytes()


def test_who_has_landed_stands_and_the_knees_give() -> None:
    found = fallen(jumping(0.7))
    landed = BEFORE + round(2 * np.sqrt(2.0 * APEX / GRAVITY) * MOTION_FPS) + 1
    assert (found[landed:, LOWER_CONTACTS] == 1.0).all()
    clip = planted(starter_clip({Part.LOWER: found}), found[:, LOWER_CONTACTS])
    places = clip_joint_positions(clip)
    soles = places[:, (10, 11), 1] - SOLE_THICKNESS
    assert soles.min() > -0.03
    pelvis = places[landed - 4 :, 0, 1]
    assert 0.03 < STANDING - pelvis.min() < 0.15
    assert np.linalg.norm(clip.poses[landed - 4 :, 4], axis=1).max() > 0.3  # radians of the left knee


def test_a_jump_that_does_not_hang_is_left_alone() -> None:
    for hang_s in (0.0, 0.1):
        jump = jumping(hang_s)
        assert fallen(jump) is jump


def test_a_motion_that_ends_in_the_air_falls_until_it_ends() -> None:
    hanging = jumping(1.5)[: BEFORE + 36]
    found = fallen(hanging)
    assert found[:, LOWER_HEIGHT].max() == hanging[:, LOWER_HEIGHT].max()
    assert found[-1, LOWER_HEIGHT] < STANDING


def test_feet_that_stand_on_something_stay_there() -> None:
    on_a_step = jumping(0.7)
    on_a_step[:, LOWER_CONTACTS] = 1.0
    assert fallen(on_a_step) is on_a_step


def test_who_hangs_for_long_holds_on_to_something() -> None:
    on_a_bar = jumping(4.0)
    assert fallen(on_a_bar) is on_a_bar


def test_a_handstand_does_not_fall() -> None:
    upside_down = jumping(0.7)
    upside_down[:, LOWER_ROTATIONS.start : LOWER_ROTATIONS.start + 6] = (1, 0, 0, 0, -1, 0)
    upside_down[:, LOWER_HEIGHT] += 0.3
    assert fallen(upside_down) is upside_down
