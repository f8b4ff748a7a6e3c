# SPDX-License-Identifier: GPL-3.0-or-later
"""Trunk, head and arms: posture, breath, accents through the whole body, gestures, gaze with the head.

Head movements go with stressed syllables (Hadar et al. 1983; Munhall et al. 2004); the eyes lead a gaze shift
and the head follows with part of it. Wrist, hand and fingers trail the arm by a frame or two (overlapping
action, Thomas and Johnston 1981).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ...motion.arrays import FloatArray
from ...motion.rotations import matrix_to_rotation_6d
from ...motion.skeleton import DEFAULT_SKELETON, PART_JOINTS
from ...specs import MOTION_FPS, Part
from .curves import Array, drift, frame_times, keyed, minimum_jerk, pulses, smooth, wander
from .limbs import MIRROR, about, euler_yxz, mirror_rotation, solve_arm
from .plan import Plan, arm_arrays

WRIST_LAG_S = 0.035
"""How far wrist angles trail the path of the arm."""


@dataclass(frozen=True)
class UpperMotion:
    """The upper body and what the face needs to know of it.

    Attributes:
        features: 13 joints as 6D, (F, 78), float32.
        head_yaw: Share of the gaze taken by head and trunk, left positive, (F,), radians.
        head_pitch: The same, down positive, (F,), radians.
    """

    features: FloatArray
    head_yaw: Array
    head_pitch: Array


def perform_upper(plan: Plan, rng: np.random.Generator) -> UpperMotion:
    """Animate the 13 upper-body joints.

    Args:
        plan: Who does what when.
        rng: Source of chance.

    Returns:
        Rotations in 6D and the gaze share of the head.
    """
    num_frames = plan.prosody.num_frames
    times = frame_times(num_frames)
    breath = _breath(plan, times, rng)
    spine, trunk = _spine(plan, times, breath, rng)
    neck, head, head_yaw, head_pitch = _head(plan, times, rng)
    chest = spine[0] @ spine[1] @ spine[2]
    heading = np.arctan2(chest[:, 0, 2], chest[:, 2, 2])
    upright = about((0.0, 1.0, 0.0), heading)
    shrug = pulses(plan.strokes, plan.shrugs, times, 0.3, 0.6) * 0.22
    joints: dict[int, Array] = {3: spine[0], 6: spine[1], 9: spine[2], 12: neck, 15: head}
    for side in (0, 1):
        arm = _arm(plan, side, times, chest, upright, breath, shrug, trunk, rng)
        for joint, rotation in zip((13, 16, 18, 20), arm, strict=True):
            joints[joint + side] = mirror_rotation(rotation) if side else rotation
    stacked = np.stack([joints[j] for j in PART_JOINTS[Part.UPPER]], axis=1)  # (F, 13, 3, 3)
    features = matrix_to_rotation_6d(stacked).reshape(num_frames, -1).astype(np.float32)
    return UpperMotion(features, head_yaw, head_pitch)


def _breath(plan: Plan, times: Array, rng: np.random.Generator) -> Array:
    """Filling of the chest, 0..1: quick in, slow out; breath is drawn before a phrase after a long pause."""
    starts = [-2.0]
    inhale_before = [float(s) - 0.05 for s, _ in plan.prosody.phrases]
    time = float(rng.uniform(-2.0, 0.0))
    while time < times[-1] + 6.0:
        near = [p for p in inhale_before if starts[-1] + 1.6 < p < starts[-1] + 1.6 * plan.style.breath_s]
        time = near[0] - 0.55 if near else starts[-1] + plan.style.breath_s * float(rng.uniform(0.85, 1.2))
        starts.append(max(time, starts[-1] + 1.2))
    keys, values = [], []
    for start, following in pairwise(starts):
        keys += [start, start + min(0.42 * (following - start), 1.3)]
        values += [[0.0], [float(rng.uniform(0.8, 1.1))]]
    return keyed(np.array(keys), np.array(values), times)[:, 0]


def _spine(plan: Plan, times: Array, breath: Array, rng: np.random.Generator) -> tuple[list[Array], Array]:
    """Local rotations of the three spine joints, and a signal of whole-body accents (F,)."""
    style = plan.style
    num_frames = times.shape[0]
    still = drift(rng, num_frames, 3, 6.0) * np.array([0.010, 0.014, 0.009])
    lively = wander(rng, plan.clock, 3, 1.8) * np.array([0.022, 0.036, 0.022])
    moved = (still + lively) * style.sway
    speech = smooth(plan.prosody.active, 10.0)
    accent = pulses(plan.accents, plan.strengths, times, 0.24, 0.42)
    stroke = pulses(plan.strokes, np.ones_like(plan.strokes), times, 0.26, 0.55)
    sides = pulses(plan.strokes, plan.stroke_sides, times, 0.45, 0.9)
    phrase_yaw = _phrase_keys(plan, rng, (0.05, 0.02, 0.02), times)
    pitch = style.lean + 0.02 * speech + moved[:, 0] + phrase_yaw[:, 1]
    pitch = pitch + (0.020 * accent + 0.030 * np.clip(stroke, 0, 1.2)) * style.size
    yaw = style.turn + moved[:, 1] + phrase_yaw[:, 0] - 0.055 * np.clip(sides, -1.2, 1.2) * style.size
    roll = moved[:, 2] + phrase_yaw[:, 2] + 0.02 * np.clip(sides, -1.2, 1.2)
    slump = np.full(num_frames, style.slump)
    shares = ((0.40, 0.30, 0.35, 0.15), (0.30, 0.35, 0.35, 0.35), (0.30, 0.35, 0.30, 0.50))
    chest_rise = (0.0, -0.008, -0.016)
    spine = [
        euler_yxz(yaw * s[1], pitch * s[0] + slump * s[3] + rise * breath, roll * s[2])
        for s, rise in zip(shares, chest_rise, strict=True)
    ]
    return spine, accent


def _head(plan: Plan, times: Array, rng: np.random.Generator) -> tuple[Array, Array, Array, Array]:
    """Local rotations of neck and head; yaw and pitch they give to the gaze."""
    style = plan.style
    num_frames = times.shape[0]
    still = drift(rng, num_frames, 3, 4.0) * np.array([0.010, 0.014, 0.010])
    moved = (still + wander(rng, plan.clock, 3, 1.5) * np.array([0.030, 0.040, 0.026])) * style.head
    phrase = _phrase_keys(plan, rng, (0.09, 0.04, 0.06), times) * style.head
    nods = np.where(rng.random(len(plan.accents)) < style.nod, plan.strengths, 0.15 * plan.strengths)
    nods = nods * rng.uniform(0.6, 1.3, len(nods))
    nod = pulses(plan.accents, nods, times, 0.17, 0.34) * 0.13 * style.head
    # a small lift prepares the nod
    lift = pulses(plan.accents - 0.2, nods, times, 0.2, 0.2) * 0.035 * style.head
    side = pulses(plan.accents, nods * rng.normal(0.0, 1.0, len(nods)), times, 0.2, 0.4) * 0.03 * style.head
    # the head follows a gaze shift late and in part
    share = rng.uniform(0.3, 0.6)
    follow = _followed(plan.gaze_times + 0.05, plan.gaze * share, times, 0.32)
    counter = -0.6 * style.turn
    yaw = counter + moved[:, 1] + phrase[:, 0] + follow[:, 0] + side
    pitch = (
        style.chin
        - 0.7 * style.slump
        - 0.6 * style.lean
        + moved[:, 0]
        + phrase[:, 1]
        + follow[:, 1]
        + nod
        - lift
    )
    roll = style.tilt + moved[:, 2] + phrase[:, 2] + 0.4 * side
    neck = euler_yxz(0.45 * yaw, 0.35 * pitch, 0.4 * roll)
    head = euler_yxz(0.55 * yaw, 0.65 * pitch, 0.6 * roll)
    return neck, head, yaw - counter, pitch - style.chin + 0.7 * style.slump + 0.6 * style.lean


def _arm(
    plan: Plan,
    side: int,
    times: Array,
    chest: Array,
    upright: Array,
    breath: Array,
    shrug: Array,
    accent: Array,
    rng: np.random.Generator,
) -> tuple[Array, Array, Array, Array]:
    """Local rotations of collar, shoulder, elbow and wrist of one side, as a left arm."""
    offsets = DEFAULT_SKELETON.offsets.astype(np.float64)
    collar_bone, upper, fore = (offsets[j + side] for j in (16, 18, 20))
    if side:
        collar_bone, upper, fore = MIRROR @ collar_bone, MIRROR @ upper, MIRROR @ fore
        chest, upright = mirror_rotation(chest), mirror_rotation(upright)
    length = float(np.linalg.norm(upper) + np.linalg.norm(fore))
    key_times, poses, _ = arm_arrays(plan.arms[side])
    # the three directions arrive one after another, so that a stroke bends into its end
    delays = np.array([0.05, 0.0, -0.03])
    path = np.stack(
        [keyed(key_times + delays[i], poses[:, i : i + 1], times)[:, 0] for i in range(3)], axis=1
    )
    angles = keyed(key_times + WRIST_LAG_S, poses[:, 3:], times)
    noise = drift(rng, times.shape[0], 7, 2.5)
    alive = wander(rng, plan.clock, 7, 1.2)
    lifted = np.clip((path[:, 1] + 0.95) / 0.4, 0.0, 1.0)  # 0 for a hanging arm
    path = (
        path
        + noise[:, :3] * (0.006 + 0.008 * lifted)[:, None]
        + alive[:, :3] * (0.008 + 0.045 * lifted)[:, None]
    )
    path[:, 1] += (0.004 * breath - 0.02 * accent * lifted) * 1.0
    angles = angles + (noise[:, 3:] + alive[:, 3:]) * np.array([0.03, 0.06, 0.05, 0.03])
    raised = np.clip((path[:, 1] + 0.30) / 0.5, 0.0, 1.0)
    rise = 0.03 + 0.10 * raised + 0.02 * breath + shrug - 0.35 * np.clip(plan.style.slump, -0.1, 0.3)
    forward = 0.10 * np.clip(path[:, 2], 0.0, 1.0) + 0.3 * np.clip(plan.style.slump, 0.0, 0.3)
    collar = about((0.0, 0.0, 1.0), rise) @ about((0.0, -1.0, 0.0), forward)
    shoulder_at = (collar - np.eye(3)) @ collar_bone  # shift of the shoulder by the collar
    target = _clear_of_trunk(path * length, offsets[16], length)
    target = target - 0.5 * shoulder_at
    shoulder, elbow, wrist = solve_arm(target, upright, chest @ collar, (upper, fore), angles)
    return collar, shoulder, elbow, wrist


def _clear_of_trunk(target: Array, shoulder: Array, length: float) -> Array:
    """Push wrists (F, 3, from the shoulder) out of an ellipse around the trunk, smoothly."""
    del shoulder, length
    out = target.copy()
    x = target[:, 0] + 0.175
    z = target[:, 2] - 0.045
    half_width, half_depth = 0.215, 0.165
    radius = np.sqrt((x / half_width) ** 2 + (z / half_depth) ** 2)
    softness = 0.08
    grown = 1.0 + softness * np.logaddexp(0.0, (radius - 1.0) / softness)
    scale = grown / np.maximum(radius, 0.2)
    out[:, 0] = x * scale - 0.175
    out[:, 2] = z * scale + 0.045
    return out


def _phrase_keys(plan: Plan, rng: np.random.Generator, sizes: tuple[float, ...], times: Array) -> Array:
    """Posture offsets that change as a phrase begins, (F, len(sizes))."""
    deviation = np.array(sizes)
    changes = [float(start) for start, _ in plan.prosody.phrases if rng.random() < 0.75]
    spans: list[float] = []
    for start in changes:
        if not spans or start > spans[-1] + 0.9:
            spans.append(start)
    values = [rng.standard_normal(len(sizes)) * deviation * 0.5]
    keys = [-1.0]
    for start in spans:
        keys += [max(start - 0.15, keys[-1] + 0.05), start + float(rng.uniform(0.45, 0.7))]
        values += [values[-1], np.clip(rng.standard_normal(len(sizes)), -1.8, 1.8) * deviation]
    return keyed(np.array(keys), np.stack(values), times)


def _followed(starts: Array, targets: Array, times: Array, duration_s: float) -> Array:
    """Steps between targets, each taken by a minimum-jerk move of one length, (F, D)."""
    out = np.repeat(targets[:1], times.shape[0], axis=0)
    for index in range(1, len(starts)):
        first = max(int((starts[index]) * MOTION_FPS) - 1, 0)
        if first >= times.shape[0]:
            break
        share = minimum_jerk((times[first:] - starts[index]) / duration_s)[:, None]
        out[first:] += (targets[index] - targets[index - 1]) * share
    return out
