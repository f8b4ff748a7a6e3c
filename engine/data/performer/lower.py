# SPDX-License-Identifier: GPL-3.0-or-later
"""Standing legs: weight shifts on planted feet, soft knees, now and then a small step.

People who stand and talk shift their weight every few seconds (Duarte and Zatsiorsky 1999, "Patterns of
center of pressure migration during prolonged unconstrained standing": shifts, fidgets and drifts).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...motion.arrays import FloatArray
from ...motion.clip import Clip
from ...motion.features import lower_features
from ...motion.rotations import matrix_to_axis_angle
from ...motion.skeleton import DEFAULT_SKELETON, PART_JOINTS, SOLE_THICKNESS
from ...specs import MOTION_FPS, Part
from .curves import Array, drift, frame_times, keyed, wander
from .limbs import MIRROR, about, euler_yxz, mirror_rotation, solve_leg, unit
from .plan import Plan


def perform_lower(plan: Plan, rng: np.random.Generator) -> FloatArray:
    """Animate pelvis and legs of a standing speaker.

    Args:
        plan: Who does what when.
        rng: Source of chance.

    Returns:
        The starter layout of the lower body (`engine.motion.features`), (F, 62), float32.
    """
    style = plan.style
    num_frames = plan.prosody.num_frames
    times = frame_times(num_frames)
    weight = _weight(plan, times, rng)
    moved = 0.6 * drift(rng, num_frames, 4, 4.0) + 0.8 * wander(rng, plan.clock, 4, 2.4)
    yaw = 0.035 * moved[:, 0] * style.sway - 0.05 * weight
    roll = 0.035 * weight + 0.006 * moved[:, 1]  # hip of the loaded leg rises
    pitch = 0.25 * style.lean + 0.008 * moved[:, 2]
    pelvis = euler_yxz(yaw, pitch, roll)
    feet, turns, contacts, stepping = _feet(plan, times, weight, rng)
    middle = 0.5 * (feet[0] + feet[1])
    position = np.empty((num_frames, 3))
    position[:, 0] = middle[:, 0] + 0.24 * style.stance * weight + 0.004 * moved[:, 3]
    position[:, 2] = middle[:, 2] + 0.012 * style.sway * moved[:, 2] + 0.03
    position[:, 1] = _pelvis_height(position, pelvis, feet, plan) - 0.006 * stepping
    joints = [pelvis]
    solved = [_leg(side, position, pelvis, feet[side], turns[side]) for side in (0, 1)]
    hips, knees, ankles = zip(*solved, strict=True)
    still = np.broadcast_to(np.eye(3), pelvis.shape)
    joints += [*hips, *knees, *ankles, still, still]  # 0, 1, 2, 4, 5, 7, 8, 10, 11
    return _standing_features(position, np.stack(joints, axis=1), contacts)


def _standing_features(position: Array, joints: Array, contacts: Array) -> FloatArray:
    """Starter layout (F, 62) of pelvis positions (F, 3), lower joints (F, 9, 3, 3), contacts (F, 4)."""
    clip = Clip.rest(position.shape[0], float(MOTION_FPS))
    poses = clip.poses.copy()
    poses[:, list(PART_JOINTS[Part.LOWER])] = matrix_to_axis_angle(joints)
    clip = replace(clip, poses=poses, trans=position.astype(np.float32))
    return lower_features(clip, contacts.astype(np.float32))


def _weight(plan: Plan, times: Array, rng: np.random.Generator) -> Array:
    """Where the weight rests, -1 on the right foot to 1 on the left, (F,)."""
    keys, values = [-1.0], [float(rng.uniform(-0.6, 0.6))]
    time = float(rng.uniform(0.5, plan.style.weight_s))
    while time < times[-1]:
        near = plan.prosody.phrases[:, 0] if len(plan.prosody.phrases) else np.zeros(0)
        close = near[np.abs(near - time) < 1.0]
        begin = max(float(close[0]) if len(close) else time, keys[-1] + 0.2)
        aside = (
            -np.sign(values[-1] or 1.0) * rng.uniform(0.25, 1.0)
            if rng.random() < 0.7
            else rng.uniform(-0.4, 0.4)
        )
        keys += [begin, begin + float(rng.uniform(0.9, 1.7)) / plan.style.tempo]
        values += [values[-1], float(aside)]
        time = keys[-1] + float(rng.exponential(plan.style.weight_s * 0.7)) + 1.5
    return (
        keyed(np.array(keys), np.array(values)[:, None], times)[:, 0]
        + 0.08 * drift(rng, len(times), 1, 3.0)[:, 0]
    )


def _feet(
    plan: Plan, times: Array, weight: Array, rng: np.random.Generator
) -> tuple[list[Array], list[Array], Array, Array]:
    """Ankle paths (2 x (F, 3)), foot yaws (2 x (F,)), contacts (F, 4) and a 0..1 sign of stepping (F,)."""
    style = plan.style
    rest = DEFAULT_SKELETON.rest_joints.astype(np.float64)
    contacts = np.ones((times.shape[0], 4))
    stepping = np.zeros(times.shape[0])
    ankles: list[Array] = []
    yaws: list[Array] = []
    forward = float(rng.normal(0.0, 0.03))
    for side, sign in ((0, 1.0), (1, -1.0)):
        height = SOLE_THICKNESS + rest[7 + side, 1] - rest[10 + side, 1]
        spot = np.array([sign * style.stance / 2.0, height, -0.02 + sign * forward, sign * style.toe_out])
        spot[3] += float(rng.normal(0.0, 0.05))
        keys, values = [-1.0], [spot]
        if style.steps:
            loaded = -sign * weight  # positive while the other foot carries
            free = np.flatnonzero(loaded > 0.35)
            time = float(rng.uniform(2.0, 9.0))
            while time < times[-1] - 1.0 and len(free):
                ready = free[(times[free] > time) & (stepping[free] < 0.01)]
                if len(ready) == 0:
                    break
                begin = float(times[ready[0]])
                duration = float(rng.uniform(0.36, 0.5))
                moved = values[-1].copy()
                moved[[0, 2, 3]] = spot[[0, 2, 3]] + rng.normal(0.0, 1.0, 3) * np.array([0.025, 0.04, 0.06])
                top = 0.5 * (values[-1] + moved)
                top[1] += float(rng.uniform(0.02, 0.04))
                keys += [begin, begin + 0.5 * duration, begin + duration]
                values += [values[-1], top, moved]
                airborne = (times > begin - 0.02) & (times < begin + duration + 0.02)
                contacts[airborne, side] = contacts[airborne, 2 + side] = 0.0
                stepping = np.maximum(stepping, np.exp(-(((times - begin - duration / 2) / 0.2) ** 2)))
                time = begin + float(rng.uniform(4.0, 12.0))
        path = keyed(np.array(keys), np.stack(values), times)
        ankles.append(path[:, :3])
        yaws.append(path[:, 3])
    return ankles, yaws, contacts, stepping


def _pelvis_height(position: Array, pelvis: Array, feet: list[Array], plan: Plan) -> Array:
    """Height at which the loaded leg is almost straight, (F,), metres."""
    offsets = DEFAULT_SKELETON.offsets.astype(np.float64)
    heights: list[Array] = []
    for side in (0, 1):
        hip = (pelvis @ offsets[1 + side])[:, :3]
        across = position + hip - feet[side]
        reach = (np.linalg.norm(offsets[4 + side]) + np.linalg.norm(offsets[7 + side])) * 0.99
        rise = np.sqrt(np.maximum(reach**2 - across[:, 0] ** 2 - across[:, 2] ** 2, 0.04))
        heights.append(feet[side][:, 1] - hip[:, 1] + rise)
    # a smooth minimum, so that a change of the shorter leg leaves no kink
    sharp = 0.004
    stacked = -np.stack(heights) / sharp
    return -sharp * np.logaddexp(stacked[0], stacked[1]) - 0.25 * abs(plan.style.slump) * 0.02


def _leg(side: int, position: Array, pelvis: Array, ankle: Array, yaw: Array) -> tuple[Array, Array, Array]:
    offsets = DEFAULT_SKELETON.offsets.astype(np.float64)
    hip = position + pelvis @ offsets[1 + side]
    foot = about((0.0, 1.0, 0.0), yaw)
    pole = unit(foot[:, :, 2] + np.array([0.0, 0.0, 0.6]))
    target = ankle - hip
    bones = (offsets[4 + side], offsets[7 + side])
    if not side:
        return solve_leg(target, pelvis, foot, bones, pole)
    mirrored = solve_leg(
        target @ MIRROR,
        mirror_rotation(pelvis),
        mirror_rotation(foot),
        (MIRROR @ bones[0], MIRROR @ bones[1]),
        pole @ MIRROR,
    )
    hip_local, knee, ankle_local = (mirror_rotation(r) for r in mirrored)
    return hip_local, knee, ankle_local
