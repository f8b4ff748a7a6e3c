# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion editing in the starter's local-root layout.

The root is kept as velocity, height and turn rate in its own heading frame, so most edits are a line each:
bending a path adds to the turn rate (path editing, Gleicher 2001, "Motion path editing"), repeating a cycle
appends frames, and going backwards reverses time. Frames are blended by slerp. Edits that move planted feet
are followed by `finish`, which plants them again.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np

from ..motion.arrays import BoolArray, DoubleArray, FloatArray
from ..motion.clip import Clip
from ..motion.contacts import foot_contacts
from ..motion.features import (
    LOWER_CONTACTS,
    LOWER_HEIGHT,
    LOWER_ROTATIONS,
    LOWER_TURN,
    LOWER_VELOCITY,
    lower_features,
    starter_clip,
    starter_features,
)
from ..motion.foot_lock import plant_feet
from ..motion.kinematics import clip_joint_positions
from ..motion.rotations import (
    axis_angle_to_quaternion,
    matrix_to_quaternion,
    matrix_to_rotation_6d,
    quaternion_to_axis_angle,
    quaternion_to_matrix,
    rotation_6d_to_matrix,
    slerp,
)
from ..motion.skeleton import FOOT_JOINTS, SOLE_THICKNESS
from ..specs import MOTION_FPS, Part

_NUM_LOWER, _NUM_UPPER = 9, 13
_REST_FOOT_HEIGHTS = np.array([0.085, 0.085, SOLE_THICKNESS, SOLE_THICKNESS])


@dataclass(frozen=True)
class LocalMotion:
    """Body motion with a local root; frame i steps to frame i + 1.

    Attributes:
        velocity: Planar pelvis velocity in the heading frame (left, forward), (F, 2), m/s.
        height: Pelvis height, (F,), metres.
        turn: Turn rate, (F,), rad/s.
        quaternions: Local joint rotations, lower then upper, pelvis without heading, (F, 22, 4).
        contacts: Contacts of joints 7, 8, 10, 11, (F, 4).
    """

    velocity: DoubleArray
    height: DoubleArray
    turn: DoubleArray
    quaternions: DoubleArray
    contacts: FloatArray

    @property
    def num_frames(self) -> int:
        """Number of frames F."""
        return len(self.height)

    def cut(self, start: int, stop: int) -> LocalMotion:
        """Frames `start` to `stop` (not included)."""
        part = slice(start, stop)
        return LocalMotion(
            self.velocity[part],
            self.height[part],
            self.turn[part],
            self.quaternions[part],
            self.contacts[part],
        )

    def then(self, other: LocalMotion) -> LocalMotion:
        """Appends another motion; the root carries on from where it stands."""
        return LocalMotion(
            np.concatenate([self.velocity, other.velocity]),
            np.concatenate([self.height, other.height]),
            np.concatenate([self.turn, other.turn]),
            np.concatenate([self.quaternions, other.quaternions]),
            np.concatenate([self.contacts, other.contacts]),
        )


def standing_contacts(clip: Clip, near_floor: bool = True) -> FloatArray:
    """Contacts of the four foot joints, (F, 4), by speed and, on a flat floor, by height.

    Speed alone calls the top of a jump or a raised foot a contact; a joint more than 7 cm above its resting
    height does not stand on a flat floor.
    """
    positions = clip_joint_positions(clip)
    contacts = foot_contacts(positions, clip.fps)
    if near_floor:
        contacts = contacts * (positions[:, list(FOOT_JOINTS), 1] < _REST_FOOT_HEIGHTS + 0.07)
    contacts[-1] = contacts[-2]
    return contacts.astype(np.float32)


def from_clip(clip: Clip, near_floor: bool = True) -> LocalMotion:
    """Describes a clip at 30 fps with a local root."""
    features = starter_features(clip)
    lower, upper = features[Part.LOWER].astype(np.float64), features[Part.UPPER].astype(np.float64)
    rotations = np.concatenate([lower[:, LOWER_ROTATIONS], upper], 1).reshape(len(lower), -1, 6)
    return LocalMotion(
        velocity=lower[:, LOWER_VELOCITY],
        height=lower[:, LOWER_HEIGHT],
        turn=lower[:, LOWER_TURN],
        quaternions=matrix_to_quaternion(rotation_6d_to_matrix(rotations)),
        contacts=standing_contacts(clip, near_floor),
    )


def to_features(motion: LocalMotion) -> dict[Part, FloatArray]:
    """Starter features of the lower (F, 62) and upper (F, 78) body."""
    sixes = matrix_to_rotation_6d(quaternion_to_matrix(motion.quaternions)).reshape(motion.num_frames, -1)
    lower = np.zeros((motion.num_frames, LOWER_ROTATIONS.stop), dtype=np.float32)
    lower[:, LOWER_VELOCITY] = motion.velocity
    lower[:, LOWER_HEIGHT] = motion.height
    lower[:, LOWER_TURN] = motion.turn
    lower[:, LOWER_CONTACTS] = motion.contacts
    lower[:, LOWER_ROTATIONS] = sixes[:, : 6 * _NUM_LOWER]
    return {
        Part.LOWER: lower,
        Part.UPPER: sixes[:, 6 * _NUM_LOWER : 6 * (_NUM_LOWER + _NUM_UPPER)].astype(np.float32),
    }


def to_clip(motion: LocalMotion) -> Clip:
    """The motion as a clip that starts above the origin facing +Z."""
    return starter_clip(to_features(motion), fps=MOTION_FPS)


def finish(motion: LocalMotion, replant: bool, near_floor: bool = True) -> dict[Part, FloatArray]:
    """Final features of an edited motion.

    Args:
        motion: The edited motion with the contacts of the motion it came from.
        replant: Plant the feet again by those contacts.
        near_floor: Whether the ground is flat at height 0; see `standing_contacts`.

    Returns:
        Lower (F, 62) with contacts measured again, and upper (F, 78).
    """
    clip = to_clip(motion)
    if replant:
        clip = plant_feet(clip, motion.contacts)
    upper = starter_features(clip)[Part.UPPER]
    return {Part.LOWER: lower_features(clip, standing_contacts(clip, near_floor)), Part.UPPER: upper}


def reversed_in_time(motion: LocalMotion) -> LocalMotion:
    """Plays a motion backwards.

    The step from frame t to t + 1 becomes the step from t + 1 to t: its velocity is negated, belongs to the
    other frame, and is expressed in that frame's heading, which differs by the turn between the two.
    """
    velocity, turn = np.zeros_like(motion.velocity), np.zeros_like(motion.turn)
    angle = motion.turn[:-1] / MOTION_FPS
    left, forward = motion.velocity[:-1, 0], motion.velocity[:-1, 1]
    # Into the heading frame of t + 1: a turn by -angle.
    turned = np.stack(
        [np.cos(angle) * left - np.sin(angle) * forward, np.sin(angle) * left + np.cos(angle) * forward], 1
    )
    velocity[:-1], turn[:-1] = -turned[::-1], -motion.turn[:-1][::-1]
    if motion.num_frames > 1:
        velocity[-1], turn[-1] = velocity[-2], turn[-2]
    return LocalMotion(velocity, motion.height[::-1], turn, motion.quaternions[::-1], motion.contacts[::-1])


def oscillate(clip: Clip, num_frames: int, draw: random.Random) -> Clip:
    """Moves back and forth over a quiet stretch: eased swings between random frames of it, 1.2 to 3 s
    each."""
    places: list[DoubleArray] = []
    last = clip.num_frames - 1.0
    here, total = draw.uniform(0, last), 0
    while total < num_frames:
        low = draw.random() < 0.5
        there = draw.uniform(0, 0.35 * last) if low else draw.uniform(0.65 * last, last)
        length = round(max(draw.uniform(36, 90), 1.6 * abs(there - here)))
        share = (1 - np.cos(np.pi * np.arange(length) / length)) / 2
        places.append(here + (there - here) * share)
        here, total = there, total + length
    place = np.concatenate(places)[:num_frames]
    before = np.clip(np.floor(place).astype(np.int64), 0, clip.num_frames - 2)
    share = place - before
    quaternions = axis_angle_to_quaternion(clip.poses.astype(np.float64))
    poses = quaternion_to_axis_angle(slerp(quaternions[before], quaternions[before + 1], share[:, None]))
    trans = clip.trans[before] * (1 - share[:, None]) + clip.trans[before + 1] * share[:, None]
    rest = Clip.rest(num_frames, clip.fps)
    return replace(rest, poses=poses.astype(np.float32), trans=trans.astype(np.float32))


def raised(motion: LocalMotion, take_off: int, landing: int, extra_m: float) -> LocalMotion:
    """Lifts a jump's flight by a parabola of `extra_m` metres between take-off and landing."""
    if extra_m <= 0:
        return motion
    share = np.clip((np.arange(motion.num_frames) - take_off + 1) / (landing - take_off + 1), 0, 1)
    return replace(motion, height=motion.height + 4 * extra_m * share * (1 - share))


def warp(clip: Clip, factor: float) -> Clip:
    """Plays a clip `factor` times as fast, at the same frame rate."""
    return replace(clip.resample(clip.fps / factor), fps=clip.fps)


def bend_path(motion: LocalMotion, turn_rate: DoubleArray) -> LocalMotion:
    """Adds turn rates, (F,), rad/s, to the path; local velocity and pose stay."""
    return replace(motion, turn=motion.turn + turn_rate)


def circle_turn_rate(motion: LocalMotion, radius: float) -> DoubleArray:
    """Turn rate, (F,), that bends a path to a circle of `radius` metres; positive turns left."""
    speed = smooth(np.linalg.norm(motion.velocity, axis=1), 15)
    return speed / radius


def straightened(motion: LocalMotion) -> LocalMotion:
    """Takes the mean turn rate away, so that a repeated cycle keeps its direction."""
    return replace(motion, turn=motion.turn - motion.turn.mean())


def smooth(values: DoubleArray, width: int) -> DoubleArray:
    """Moving average over `width` frames with reflected ends. values: (F,)."""
    width = min(width, 2 * (len(values) // 2) - 1)
    if width < 3:
        return values
    padded = np.pad(values, width // 2, mode="reflect")
    return np.convolve(padded, np.ones(width) / width, mode="valid")


def pose_distance(motion: LocalMotion) -> DoubleArray:
    """How different the frames of a motion are from each other, (F, F).

    Mean joint angle in radians (hips, knees and spine count double), with speed, height and the pose's rate
    of change.
    """
    weights = np.ones(_NUM_LOWER + _NUM_UPPER)
    weights[:5] = 2.0
    dot = np.abs(np.einsum("ijk,ljk->ilj", motion.quaternions, motion.quaternions))
    angles = (2 * np.arccos(np.clip(dot, 0, 1))) @ weights / weights.sum()
    root = np.concatenate([motion.velocity * 0.12, motion.height[:, None] * 2.0], 1)
    roots = np.linalg.norm(root[:, None] - root[None], axis=-1)
    cost = angles + roots
    # The next frame must fit as well, or the direction of movement could flip.
    following = np.pad(cost[1:, 1:], ((0, 1), (0, 1)), mode="edge")
    return cost + following


def best_cycle(
    motion: LocalMotion, shortest: int, longest: int, lead: int = 4, prefer_long: float = 1.25
) -> tuple[int, int, float]:
    """Finds frames (start, end) such that `end` looks like `start`: frames start..end - 1 repeat.

    Args:
        motion: The motion to search.
        shortest: Fewest frames of a cycle.
        longest: Most frames of a cycle.
        lead: Frames kept free before `start`, for the blend.
        prefer_long: The longest cycle is taken whose cost is below this times the best.

    Returns:
        Start, end and the pair's cost in radians; cost infinity if there is no pair.
    """
    cost = pose_distance(motion)
    start, end = np.meshgrid(np.arange(len(cost)), np.arange(len(cost)), indexing="ij")
    gap = end - start
    allowed = (gap >= shortest) & (gap <= longest) & (start >= lead) & (end < len(cost) - 1)
    if not allowed.any():
        return 0, 0, float("inf")
    cost = np.where(allowed, cost, np.inf)
    good = cost <= cost.min() * prefer_long
    gaps = np.where(good, gap, 0)
    pairs = np.argwhere(gaps == gaps.max())
    chosen = min(((int(a), int(b)) for a, b in pairs), key=lambda pair: float(cost[pair]))
    return chosen[0], chosen[1], float(cost[chosen])


def repeat_cycle(motion: LocalMotion, start: int, end: int, num_frames: int, blend: int = 4) -> LocalMotion:
    """Repeats frames start..end - 1 until the motion lasts `num_frames`.

    The last `blend` frames of the cycle turn gradually into those before `start`, so that the joint is
    smooth.

    Args:
        motion: The motion.
        start: First frame of the cycle, at least `blend`.
        end: Frame that looks like `start`.
        num_frames: Wanted length.
        blend: Frames blended.
    """
    cycle = motion.cut(start, end)
    before = motion.cut(start - blend, start)
    share = np.arange(1, blend + 1) / (blend + 1.0)
    tail = mix(cycle.cut(cycle.num_frames - blend, cycle.num_frames), before, share)
    cycle = straightened(cycle.cut(0, cycle.num_frames - blend).then(tail))
    result = cycle
    while result.num_frames < num_frames:
        result = result.then(cycle)
    return result.cut(0, num_frames)


def mix(first: LocalMotion, second: LocalMotion, share: DoubleArray) -> LocalMotion:
    """Blends two motions of equal length; share (F,) is the weight of the second."""
    column = share[:, None]
    return LocalMotion(
        first.velocity * (1 - column) + second.velocity * column,
        first.height * (1 - share) + second.height * share,
        first.turn * (1 - share) + second.turn * share,
        slerp(first.quaternions, second.quaternions, column),
        np.where(column < 0.5, first.contacts, second.contacts).astype(np.float32),
    )


def crossfade(first: LocalMotion, second: LocalMotion, blend: int) -> LocalMotion:
    """Appends `second` with `blend` frames in which both are mixed."""
    share = np.arange(1, blend + 1) / (blend + 1.0)
    share = share * share * (3 - 2 * share)
    middle = mix(first.cut(first.num_frames - blend, first.num_frames), second.cut(0, blend), share)
    return first.cut(0, first.num_frames - blend).then(middle).then(second.cut(blend, second.num_frames))


def runs_of(mask: BoolArray, shortest: int) -> list[tuple[int, int]]:
    """Stretches (start, stop) of at least `shortest` true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2) if b - a >= shortest]
