# SPDX-License-Identifier: GPL-3.0-or-later
"""Tremble goes, motion stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.motion.clip import Clip
from engine.motion.features import LOWER_CONTACTS, LOWER_ROTATIONS
from engine.motion.kinematics import clip_joint_positions
from engine.motion.rotations import axis_angle_to_rotation_6d
from engine.motion.steadying import steadied, steadied_trunk
from engine.specs import Part

FRAMES = np.arange(120)


def test_tremble_goes_and_a_step_s_swing_stays() -> None:
    swing = np.sin(2.0 * np.pi * FRAMES / 30.0)[:, None] * np.ones(62)
    tremble = 0.05 * np.where(FRAMES % 2, 1.0, -1.0)[:, None]
    made = (swing + tremble).astype(np.float32)
    quiet = steadied(Part.LOWER, made)
    inside = slice(4, -4)
    assert np.abs(quiet - swing)[inside, LOWER_ROTATIONS].max() < 0.03
    assert np.abs(np.diff(quiet - swing, n=2, axis=0))[inside, LOWER_ROTATIONS].max() < 0.01
    assert quiet[:, LOWER_CONTACTS].tobytes() == made[:, LOWER_CONTACTS].tobytes()
    assert quiet.dtype == np.float32 and quiet.shape == made.shape


def test_a_body_on_kept_legs_is_steadied_more() -> None:
    tremble = 0.05 * np.random.default_rng(1).normal(size=(len(FRAMES), 78)).astype(np.float32)
    alone, beside = steadied(Part.UPPER, tremble), steadied(Part.UPPER, tremble, on_kept=True)
    left = [np.abs(np.diff(values, n=2, axis=0)).mean() for values in (alone, beside)]
    assert left[1] < 0.8 * left[0]


def test_a_punch_keeps_its_speed_and_its_guard_does_not_tremble() -> None:
    angle = 2.0 / (1.0 + np.exp(-(FRAMES - 60) / 0.7))  # a joint turns by 2 rad within a tenth of a second
    tremble = np.where(np.abs(FRAMES - 60) > 10, 0.03 * np.where(FRAMES % 2, 1.0, -1.0), 0.0)
    turned = np.zeros((len(FRAMES), 3))
    turned[:, 0] = angle + tremble
    made = np.tile(axis_angle_to_rotation_6d(turned), 13).astype(np.float32)
    calm = steadied(Part.UPPER, made)
    around, before = slice(57, 64), slice(4, 50)
    speeds = [np.abs(np.diff(values[around], axis=0)).max() for values in (made, calm)]
    assert speeds[1] > 0.95 * speeds[0]
    jerks = [np.abs(np.diff(values[before], n=2, axis=0)).max() for values in (made, calm)]
    assert jerks[1] < 0.2 * jerks[0]


def test_a_trunk_rides_out_the_tremble_of_the_pelvis() -> None:
    clip = Clip.rest(len(FRAMES), 30.0)
    poses = clip.poses.copy()
    poses[:, 0, 1] = 0.5 * np.sin(2.0 * np.pi * FRAMES / 60.0)
    poses[:, 0, 0] = np.random.default_rng(0).normal(0.0, 0.02, len(FRAMES))
    kept = replace(clip, poses=poses)
    calm = steadied_trunk(kept)
    assert np.delete(calm.poses, 3, axis=1).tobytes() == np.delete(kept.poses, 3, axis=1).tobytes()
    jerks = [
        np.linalg.norm(np.diff(clip_joint_positions(c)[:, 20], n=2, axis=0), axis=-1).mean()
        for c in (kept, calm)
    ]
    assert jerks[1] < 0.4 * jerks[0]
    still = replace(clip, poses=np.zeros_like(poses))
    assert np.abs(steadied_trunk(still).poses).max() < 1e-6
