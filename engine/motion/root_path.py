# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a body goes: in place, or along a path, without changing how it moves."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ..errors import ClipError
from .arrays import DoubleArray
from .clip import Clip
from .rotations import axis_angle_to_matrix, heading_angle, matrix_to_axis_angle, yaw_matrix

STEP_S = 0.5
"""About the time of one step: slower changes of place and heading are travel, faster ones are gait."""

STANDS, WALKS = 0.05, 0.2
"""A body slower than the first stands, faster than the second walks, m/s; shifting weight is no travel."""

SPACING = 0.05
"""Metres between the points that a path is measured by."""

CORNER = 0.2
"""Metres in which a body turns at a corner of a path."""


@dataclass(frozen=True)
class Path:
    """A line over the floor.

    Attributes:
        points: X and Z of its points, (N, 2), metres.
        closed: Whether its end is its beginning.
    """

    points: DoubleArray
    closed: bool = False

    def __post_init__(self) -> None:
        """Check the points.

        Raises:
            ClipError: If they are no line.
        """
        points = np.asarray(self.points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1:] != (2,) or not np.isfinite(points).all() or len(points) < 2:
            raise ClipError("A path needs two points at least; choose another curve.")
        if np.linalg.norm(np.diff(points, axis=0), axis=1).sum() < SPACING:
            raise ClipError("The path has no length over the floor; choose another curve.")
        object.__setattr__(self, "points", points)

    def at(self, ways: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """Places and headings along the path.

        Args:
            ways: Metres along it from its beginning, not negative, (F,). Past the end of an open path it goes
                straight on; a closed one begins again.

        Returns:
            Places, X and Z, (F, 2), and unwrapped headings, (F,), radians from +Z towards +X.
        """
        line = self._long_enough(float(ways.max(initial=0.0)))
        along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
        even = np.linspace(0.0, along[-1], max(2, round(along[-1] / SPACING) + 1))
        spots = np.stack([np.interp(even, along, line[:, axis]) for axis in range(2)], axis=1)
        directions = np.gradient(spots, axis=0)
        headings = np.unwrap(np.arctan2(directions[:, 0], directions[:, 1]))
        headings = gaussian_filter1d(headings, CORNER / (even[1] - even[0]), mode="nearest")
        places = np.stack([np.interp(ways, along, line[:, axis]) for axis in range(2)], axis=1)
        return places, np.interp(ways, even, headings)

    def _long_enough(self, reach: float) -> DoubleArray:
        """Points of the path without doubles, repeated or drawn out until it is longer than that."""
        points = self.points
        if self.closed:
            points = np.concatenate([points, points[:1]])
        apart = np.linalg.norm(np.diff(points, axis=0), axis=1) > 1e-6
        points = points[np.concatenate([[True], apart])]
        length = float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
        if self.closed:
            return np.concatenate([points, *[points[1:]] * int(reach // length + 1)])
        way = (points[-1] - points[-2]) / np.linalg.norm(points[-1] - points[-2])
        return np.concatenate([points, points[-1:] + way * (max(reach - length, 0.0) + 1.0)])


def in_place(clip: Clip, keep_turn: bool) -> Clip:
    """Keep the pelvis over the spot where it begins; its height stays.

    Args:
        clip: The motion.
        keep_turn: Let the body turn as it does; else it faces one way.
    """
    trans = clip.trans.copy()
    trans[:, [0, 2]] = trans[0, [0, 2]]
    if keep_turn:
        return replace(clip, trans=trans)
    matrices = axis_angle_to_matrix(clip.poses[:, 0].astype(np.float64))
    heading = heading_angle(matrices)
    poses = clip.poses.copy()
    poses[1:, 0] = matrix_to_axis_angle(yaw_matrix(heading[0] - heading) @ matrices)[1:]
    return replace(clip, poses=poses, trans=trans)


def travelled(clip: Clip) -> DoubleArray:
    """Metres that a body has walked at each frame, (F,); swaying and shifting weight do not count."""
    course = _course(clip.trans[:, [0, 2]].astype(np.float64), clip.fps)
    steps = np.linalg.norm(np.diff(course, axis=0), axis=1)
    walking = np.clip((steps * clip.fps - STANDS) / (WALKS - STANDS), 0.0, 1.0)
    return np.concatenate([[0.0], np.cumsum(steps * walking**2 * (3.0 - 2.0 * walking))])


def follow(clip: Clip, path: Path) -> Clip:
    """Lead a body along a path: as far along it as it walks, and facing along it.

    What it does about its own smoothed course and heading (swaying, twisting, looking aside) stays.
    """
    matrices = axis_angle_to_matrix(clip.poses[:, 0].astype(np.float64))
    heading = np.unwrap(heading_angle(matrices))
    facing = _course(heading, clip.fps)
    places, ahead = path.at(travelled(clip))
    turn = yaw_matrix(ahead - facing)
    level = clip.pelvis_positions.astype(np.float64) * np.array([1.0, 0.0, 1.0])
    aside = (turn @ (level - _course(level, clip.fps))[..., None])[..., 0]
    poses, trans = clip.poses.copy(), clip.trans.copy()
    poses[:, 0] = matrix_to_axis_angle(turn @ matrices)
    trans[:, [0, 2]] = places + aside[:, [0, 2]] - clip.pelvis_rest[[0, 2]]
    return replace(clip, poses=poses, trans=trans)


def _course(values: DoubleArray, fps: float) -> DoubleArray:
    """Values (F, ...) without gait; at both ends they go on as they do there."""
    width = min(round(4 * STEP_S * fps), len(values) - 1)
    around = [(width, width)] + [(0, 0)] * (values.ndim - 1)
    longer = np.pad(values, around, mode="reflect", reflect_type="odd")
    return gaussian_filter1d(longer, STEP_S * fps, axis=0, mode="nearest")[width : width + len(values)]
