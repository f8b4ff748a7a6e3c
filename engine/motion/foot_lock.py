# SPDX-License-Identifier: GPL-3.0-or-later
"""Plants feet that should stand still: moves feet and pelvis a little and re-bends the legs.

Where a foot should go is one linear least-squares problem over the whole clip and per axis (the aims are
those of Kovar et al., "Footskate cleanup for motion capture editing", 2002, solved at once instead of frame
by frame): feet in contact should not slide, legs should stay as they were, and neither feet nor pelvis
should jerk. Contacts weigh in softly, so a lock fades in and out, drifts rather than pops, and wrong
contacts give way. Each leg then follows by two-bone inverse kinematics with its knee plane and the foot's
orientation kept; close to a straight leg, where a millimetre of reach is degrees of knee, the knee angle is
smoothed instead of followed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.linalg import solveh_banded

from ..errors import ClipError
from .arrays import BoolArray, DoubleArray, FloatArray
from .clip import Clip
from .kinematics import STRETCH_FRAMES, forward_kinematics
from .rotations import axis_angle_to_matrix, cross, matrix_to_axis_angle, normalise
from .skeleton import DEFAULT_SKELETON, FOOT_JOINTS, SOLE_THICKNESS, Skeleton

_HIPS, _KNEES, _ANKLES, _TOES = (1, 2), (4, 5), (7, 8), (10, 11)

_NUM_LEG_JOINTS = 12
"""Joints up to the toes, which are the first of the skeleton."""

HEEL_LENGTH = 0.03
"""How far the heel's point of contact lies behind the ankle, metres."""

MIN_KNEE_ANGLE = 0.02
"""A knee is never straighter than this, radians."""

NEAR_FLOOR = 0.06
"""Soles further than this from the floor are hardly drawn to it, metres."""

PELVIS_HEIGHT_WEIGHT = 2.0
"""Pull of the pelvis towards its original height, per m^2."""

START_WEIGHT = 100.0
"""Pull of the pelvis to its place over the floor at the first frame, per m^2."""

INEQUALITY_WEIGHT = 500.0
"""Cost of a sole below the floor or a leg too long, per m^2."""

INEQUALITY_PASSES = 3
"""How often broken inequalities are looked for."""


@dataclass(frozen=True)
class FootLockOptions:
    """Weights of the foot lock; distances in metres, times in seconds, so they hold at any rate.

    Attributes:
        switch_on: Contact probability at which a contact begins.
        switch_off: Probability below which it ends.
        min_span_s: Shorter contacts are dropped and shorter gaps are closed.
        leg_weight: Pull of each leg towards its original pose, per m^2, where sliding counts 1 per (m/s)^2.
        leg_jerk_weight: Cost of accelerating a foot away from its original path, per (m/s^2)^2.
        root_speed_weight: Cost of changing the pelvis' speed over the floor, per (m/s)^2.
        root_acceleration_weight: Cost of accelerating the pelvis, per (m/s^2)^2.
        doubtful_speed: A contact that slides this fast (m/s) counts a quarter.
        height_weight: Pull of a standing foot to its height, per m^2.
        reach: Part of the leg's length that may be used before the pelvis is lowered.
        max_drop: Furthest the pelvis is lowered, metres.
        root_weight: Pull of the pelvis towards its original path, per m^2.
        knee_slack: How far a foot may miss its place for the knee's sake, metres.
        knee_acceleration: Angular acceleration that costs a knee as much as `knee_slack`, rad/s^2.
    """

    switch_on: float = 0.5
    switch_off: float = 0.3
    min_span_s: float = 0.1
    leg_weight: float = 0.5
    leg_jerk_weight: float = 1e-4
    root_speed_weight: float = 0.5
    root_acceleration_weight: float = 0.02
    doubtful_speed: float = 2.5
    height_weight: float = 60.0
    reach: float = 0.985
    max_drop: float = 0.06
    root_weight: float = 0.003
    knee_slack: float = 0.003
    knee_acceleration: float = 100.0


class _BandedLeastSquares:
    """Least squares over several values per frame whose terms couple at most three neighbouring frames."""

    def __init__(self, num_frames: int, num_values: int) -> None:
        self.num_frames, self.num_values = num_frames, num_values
        self.band: DoubleArray = np.zeros((3 * num_values, num_frames * num_values))
        self.right: DoubleArray = np.zeros(num_frames * num_values)

    def add(
        self,
        pattern: tuple[tuple[int, int, float], ...],
        weight: DoubleArray | float,
        target: DoubleArray | float = 0.0,
    ) -> None:
        """Add weight * (sum of factor * value[frame + later, which] - target)^2 for every frame it fits into.

        Args:
            pattern: Triples (later, which, factor) with later from 0 to 2.
            weight: One weight, or one for each frame it fits into.
            target: The same.
        """
        count = self.num_frames - max(later for later, _, _ in pattern)
        if count <= 0:
            return
        step = self.num_values
        for later_a, which_a, factor_a in pattern:
            row = step * later_a + which_a
            self.right[row : row + step * count : step] += factor_a * (np.asarray(weight) * target)
            for later_b, which_b, factor_b in pattern:
                column = step * later_b + which_b
                if row >= column:
                    entries = self.band[row - column, column : column + step * count : step]
                    entries += factor_a * factor_b * np.asarray(weight)

    def solve(self) -> DoubleArray:
        """Return the values, (F, num_values)."""
        return solveh_banded(self.band, self.right, lower=True).reshape(self.num_frames, self.num_values)


def contact_spans(
    contacts: DoubleArray, min_frames: int, switch_on: float = 0.5, switch_off: float = 0.3
) -> BoolArray:
    """Turn contact probabilities into clean spans.

    Args:
        contacts: Probabilities, (F, N).
        min_frames: Shorter contacts are dropped; gaps shorter than this are closed first.
        switch_on: Probability at which a contact begins (hysteresis).
        switch_off: Probability below which it ends.

    Returns:
        (F, N).
    """
    num_frames, num_joints = contacts.shape
    # The last decided frame (clearly on or clearly off) at or before each frame settles the undecided ones.
    decided = (contacts >= switch_on) | (contacts < switch_off)
    last = np.maximum.accumulate(np.where(decided, np.arange(num_frames)[:, None], -1), axis=0)
    state = np.where(last >= 0, np.take_along_axis(contacts, np.maximum(last, 0), axis=0) >= switch_on, False)
    for value in (False, True):  # close short gaps, then drop short contacts
        for joint in range(num_joints):
            edges = np.flatnonzero(np.diff(state[:, joint].astype(np.int8), prepend=-1, append=-1))
            for start, stop in pairwise(edges):
                inside = start > 0 and stop < num_frames
                if state[start, joint] == value and stop - start < min_frames and inside:
                    state[start:stop, joint] = not value
    return state


def plant_feet(
    clip: Clip,
    contacts: FloatArray,
    skeleton: Skeleton = DEFAULT_SKELETON,
    options: FootLockOptions | None = None,
) -> Clip:
    """Stop feet from sliding while they stand, and lift them out of the floor at height 0.

    Args:
        clip: The motion.
        contacts: Contact probabilities of joints 7, 8, 10, 11, (F, 4).
        skeleton: Bone lengths of the character.
        options: Weights; the defaults are tuned on captured walks with a tokenizer's amount of sliding.

    Returns:
        The clip with new leg rotations (joints 0 to 11 without the spine and without the toes) and root.

    Raises:
        ClipError: If there are not four contacts for every frame.
    """
    options = options or FootLockOptions()
    probabilities = np.asarray(contacts, dtype=np.float64)
    if probabilities.shape != (clip.num_frames, len(FOOT_JOINTS)) or not np.isfinite(probabilities).all():
        raise ClipError(
            "The foot lock needs four contact values for every frame; compute them from the clip."
        )
    if clip.num_frames < 3:
        return clip
    legs = _Legs(clip, skeleton)
    spans = contact_spans(
        probabilities, max(1, round(options.min_span_s * clip.fps)), options.switch_on, options.switch_off
    )
    moves = _solve_moves(legs, _contact_weights(spans), clip.fps, options)
    return legs.posed(moves, clip, options)


class _Legs:
    """Joint positions and rotations of both legs before the lock; side 0 is left."""

    def __init__(self, clip: Clip, skeleton: Skeleton) -> None:
        places = np.empty((clip.num_frames, _NUM_LEG_JOINTS, 3))
        self.world = np.empty((clip.num_frames, _NUM_LEG_JOINTS, 3, 3))
        pelvis, rest = clip.pelvis_positions.astype(np.float64), skeleton.rest_joints.astype(np.float64)
        for start in range(0, clip.num_frames, STRETCH_FRAMES):
            frames = slice(start, start + STRETCH_FRAMES)
            matrices = axis_angle_to_matrix(clip.poses[frames].astype(np.float64))
            at, turned = forward_kinematics(matrices, pelvis[frames], rest)
            places[frames], self.world[frames] = at[:, :_NUM_LEG_JOINTS], turned[:, :_NUM_LEG_JOINTS]
        self.hip, self.knee, self.ankle, self.toe = (
            places[:, list(joints)] for joints in (_HIPS, _KNEES, _ANKLES, _TOES)
        )  # each (F, 2, 3)
        offsets = skeleton.offsets.astype(np.float64)
        self.thigh_length = np.linalg.norm(offsets[list(_KNEES)], axis=-1)  # (2,)
        self.shin_length = np.linalg.norm(offsets[list(_ANKLES)], axis=-1)
        sole = skeleton.rest_joints[list(_TOES), 1].min() - SOLE_THICKNESS
        heel = np.zeros((2, 3))
        heel[:, 1] = sole - skeleton.rest_joints[list(_ANKLES), 1]
        heel[:, 2] = -HEEL_LENGTH
        self.heel = self.ankle + (self.world[:, list(_ANKLES)] @ heel[..., None])[..., 0]
        self.ball_height = self.toe[..., 1] - SOLE_THICKNESS

    @property
    def length(self) -> DoubleArray:
        """Length of the straight leg, (2,)."""
        return self.thigh_length + self.shin_length

    def posed(self, moves: DoubleArray, clip: Clip, options: FootLockOptions) -> Clip:
        """Bend the legs so that feet and pelvis make their moves.

        Args:
            moves: Displacement of left foot, right foot and pelvis, (F, 3, 3).
            clip: The clip to change.
            options: `knee_slack` and `knee_acceleration`.
        """
        target = self.ankle + moves[:, :2] - (self.hip + moves[:, 2:])  # hip to ankle, (F, 2, 3)
        axis, sideways, angle = self._knee_planes()
        reach = np.linalg.norm(target, axis=-1)
        a, b = self.thigh_length, self.shin_length
        flat = np.sqrt(np.maximum(1.0 - sideways**2, 1e-6))
        cosine = (reach**2 - a**2 - b**2) / (2 * a * b * flat)
        bent = np.arccos(np.clip(cosine, -1.0, np.cos(MIN_KNEE_ANGLE)))
        bent = _smooth_knees(bent, angle, a * b / np.maximum(reach, 0.1), clip.fps, options)
        knee_turn = axis_angle_to_matrix(axis * (bent - angle)[..., None])
        shin: DoubleArray = np.einsum("...ij,...j->...i", knee_turn, self.ankle - self.knee)
        leg_turn = _shortest_turn(self.knee - self.hip + shin, target)
        pelvis = self.world[:, :1]
        hips = leg_turn @ self.world[:, list(_HIPS)]
        knees = leg_turn @ knee_turn @ self.world[:, list(_KNEES)]
        local = np.stack(
            [
                np.swapaxes(pelvis, -1, -2) @ hips,
                np.swapaxes(hips, -1, -2) @ knees,
                np.swapaxes(knees, -1, -2) @ self.world[:, list(_ANKLES)],
            ],
            axis=1,
        )  # (F, 3, 2, 3, 3)
        poses = clip.poses.copy()
        poses[:, [*_HIPS, *_KNEES, *_ANKLES]] = matrix_to_axis_angle(local).reshape(clip.num_frames, 6, 3)
        return replace(clip, poses=poses, trans=(clip.trans + moves[:, 2]).astype(np.float32))

    def _knee_planes(self) -> tuple[DoubleArray, DoubleArray, DoubleArray]:
        """Axis each knee bends about, the shin's part along it, and the angle it is bent by.

        The axis is at right angles to the thigh: where the knee is bent that of the bend, towards a straight
        knee the thigh's own X axis, which is what a knee turns about at rest.

        Returns:
            Unit axes (F, 2, 3), sine of the shin's tilt along it (F, 2), angles (F, 2), positive when bent.
        """
        thigh, shin = normalise(self.knee - self.hip), normalise(self.ankle - self.knee)
        hinge = self.world[:, list(_HIPS)][..., 0]
        bend = cross(thigh, shin)
        bend = bend * np.where((bend * hinge).sum(-1) < 0, -1.0, 1.0)[..., None]
        axis = bend + 0.2 * hinge
        axis = normalise(axis - (axis * thigh).sum(-1)[..., None] * thigh)
        sideways = (shin * axis).sum(-1)
        angle = np.arctan2((shin * cross(axis, thigh)).sum(-1), (shin * thigh).sum(-1))
        return axis, sideways, angle


def _shortest_turn(start: DoubleArray, end: DoubleArray) -> DoubleArray:
    """Smallest rotation from one direction to another, (..., 3, 3) from (..., 3)."""
    start, end = normalise(start), normalise(end)
    normal = cross(start, end)
    sine = np.linalg.norm(normal, axis=-1, keepdims=True)
    angle = np.arctan2(sine, (start * end).sum(-1, keepdims=True))
    return axis_angle_to_matrix(normal * (angle / np.maximum(sine, 1e-9)))


def _smooth_knees(
    wanted: DoubleArray,
    before: DoubleArray,
    reach_per_sine: DoubleArray,
    fps: float,
    options: FootLockOptions,
) -> DoubleArray:
    """Follow the wanted knee angles as closely as the reach needs, without sudden changes.

    Args:
        wanted: Angles that reach the targets exactly, (F, 2), radians.
        before: Angles before the lock, (F, 2).
        reach_per_sine: Change of reach per radian, divided by the sine of the angle, (F, 2), metres.
        fps: Frames per second.
        options: `knee_slack` and `knee_acceleration`.
    """
    result = np.empty_like(wanted)
    curve = ((0, 0, fps**2), (1, 0, -2 * fps**2), (2, 0, fps**2))
    for side in range(2):
        problem = _BandedLeastSquares(len(wanted), 1)
        reach_change = reach_per_sine[:, side] * np.sin(wanted[:, side])
        problem.add(((0, 0, 1.0),), (reach_change / options.knee_slack) ** 2 + 1.0, wanted[:, side])
        accelerations = np.diff(before[:, side], n=2) * fps**2
        limit = options.knee_acceleration
        problem.add(curve, limit**-2, np.clip(accelerations, -limit, limit))
        result[:, side] = problem.solve()[:, 0]
    return np.maximum(result, MIN_KNEE_ANGLE)


def _contact_weights(spans: BoolArray) -> DoubleArray:
    """How much each contact counts, (F, 4) in [0, 1].

    While the ball of a foot stands, the heel may rise, so the ankle counts little then.
    """
    weights = spans.astype(np.float64)
    weights[:, :2] *= 1.0 - 0.9 * weights[:, 2:]
    return weights


def _solve_moves(legs: _Legs, weights: DoubleArray, fps: float, options: FootLockOptions) -> DoubleArray:
    """Displacements of left foot, right foot and pelvis, (F, 3, 3), metres; weights (F, 4)."""
    num_frames = len(weights)
    standing = weights.reshape(num_frames, 2, 2)  # (F, 4) -> (F, ankle or toe, side)
    velocity = np.diff(np.stack([legs.ankle, legs.toe], axis=1), axis=0) * fps  # (F - 1, point, side, 3)
    speed = np.linalg.norm(velocity, axis=-1)
    pairs = np.minimum(standing[:-1], standing[1:]) / (1.0 + (speed / options.doubtful_speed) ** 2) ** 2
    moves = np.zeros((num_frames, 3, 3))
    start = np.zeros(num_frames)
    start[0] = START_WEIGHT
    for direction in (0, 2):
        squares = _steady_problem(velocity[..., direction], pairs, fps, options)
        squares.add(((0, 2, 1.0),), start)
        moves[:, :, direction] = squares.solve()
    heights = _steady_problem(velocity[..., 1], 0.2 * pairs, fps, options)
    moves[:, :, 1] = _solve_heights(heights, legs, standing, moves, options)
    return moves


def _steady_problem(
    velocity: DoubleArray, weights: DoubleArray, fps: float, options: FootLockOptions
) -> _BandedLeastSquares:
    """The problem of one axis: standing points keep still, legs keep their pose, nothing jerks.

    Args:
        velocity: Velocity of ankles and toes along the axis, (F - 1, 2 points, 2 sides), m/s.
        weights: How much each must stand still, the same shape.
        fps: Frames per second.
        options: Weights.

    Returns:
        Least squares over the displacements of left foot, right foot and pelvis.
    """
    squares = _BandedLeastSquares(len(velocity) + 1, 3)
    k = fps**2
    for side in range(2):
        for point in range(2):
            pattern = ((1, side, fps), (0, side, -fps))
            squares.add(pattern, weights[:, point, side], -velocity[:, point, side])
        squares.add(((0, side, 1.0), (0, 2, -1.0)), options.leg_weight)
        jerk = ((0, side, k), (1, side, -2 * k), (2, side, k), (0, 2, -k), (1, 2, 2 * k), (2, 2, -k))
        squares.add(jerk, options.leg_jerk_weight)
    squares.add(((1, 2, fps), (0, 2, -fps)), options.root_speed_weight)
    squares.add(((0, 2, k), (1, 2, -2 * k), (2, 2, k)), options.root_acceleration_weight)
    squares.add(((0, 2, 1.0),), options.root_weight)
    return squares


def _solve_heights(
    squares: _BandedLeastSquares,
    legs: _Legs,
    standing: DoubleArray,
    moves: DoubleArray,
    options: FootLockOptions,
) -> DoubleArray:
    """Vertical displacements of left foot, right foot and pelvis, (F, 3).

    Standing soles are drawn to the floor if they are near it (a foot on a box is not), no sole sinks below
    it, and the pelvis is lowered where a leg would be over-stretched. The last two are inequalities: those
    that are broken become terms and the problem is solved again.

    Args:
        squares: The vertical problem so far.
        legs: The legs.
        standing: Weight of ankles and toes, (F, 2 points, 2 sides).
        moves: Horizontal displacements, (F, 3, 3).
        options: Weights.
    """
    squares.add(((0, 2, 1.0),), PELVIS_HEIGHT_WEIGHT)
    soles = np.stack([legs.heel[..., 1], legs.ball_height], axis=1)  # (F, point, side)
    pull = -soles / (1.0 + (soles / NEAR_FLOOR) ** 4)
    for side in range(2):
        for point in range(2):
            weight = options.height_weight * standing[:, point, side]
            squares.add(((0, side, 1.0),), weight, pull[:, point, side])
    lowest = soles.min(axis=1)  # (F, side)
    apart = legs.hip - legs.ankle
    across = np.linalg.norm((apart + moves[:, 2:] - moves[:, :2])[..., [0, 2]], axis=-1)
    allowed = np.maximum(np.linalg.norm(apart, axis=-1), options.reach * legs.length)
    tallest = np.sqrt(np.maximum(allowed**2 - across**2, 0.0)) - apart[..., 1]
    tallest = np.maximum(tallest, -options.max_drop)
    heights = squares.solve()
    sunk = stretched = np.zeros((len(heights), 2), dtype=bool)
    for _ in range(INEQUALITY_PASSES):
        new_sunk = (lowest + heights[:, :2] < -0.002) & ~sunk
        new_stretched = (heights[:, 2:] - heights[:, :2] > tallest + 0.001) & ~stretched
        if not (new_sunk.any() or new_stretched.any()):
            break
        for side in range(2):
            squares.add(((0, side, 1.0),), INEQUALITY_WEIGHT * new_sunk[:, side], -lowest[:, side])
            over = INEQUALITY_WEIGHT * new_stretched[:, side]
            squares.add(((0, 2, 1.0), (0, side, -1.0)), over, tallest[:, side])
        sunk, stretched = sunk | new_sunk, stretched | new_stretched
        heights = squares.solve()
    return heights
