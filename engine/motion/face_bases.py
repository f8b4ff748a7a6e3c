# SPDX-License-Identifier: GPL-3.0-or-later
"""ARKit face channels to those of other faces and back, and to a jaw bone where there are no shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from .arkit import ARKIT_INDEX, ARKIT_NAMES
from .arrays import AnyFloatArray, DoubleArray, FloatArray
from .clip import Clip
from .face_names import FACE_KINDS
from .rotations import axis_angle_to_matrix, matrix_to_axis_angle
from .skeleton import JOINT_NAMES

RIDGE = 1e-3
"""Pull towards small weights, in squared ARKit weight; it decides where shapes can stand for one another."""

SWEEPS = 300
"""Passes of coordinate descent; a mixture is then within 0.003 of the ARKit weights it is sought for."""

JAW = JOINT_NAMES.index("jaw")

JAW_OPEN, JAW_SIDE = float(np.radians(18.7)), float(np.radians(4.8))
"""Turn of the jaw joint at jawOpen 1 about X, and at jawLeft 1 about Y, radians: those that fit the shapes of
the default character best in the least squares sense, its chin seen from its jaw joint."""

_STILL = 1e-4
"""Largest jaw turn that counts as none, radians."""


def from_arkit(values: AnyFloatArray, kind: str, channels: Sequence[str]) -> FloatArray:
    """Turn ARKit weights into the channels that a character has.

    Args:
        values: ARKit weights in the order of `ARKIT_NAMES`, (F, 52).
        kind: Kind of face, a key of `FACE_KINDS`.
        channels: C channels of that kind, those that have a shape.

    Returns:
        Values from 0 to 1, (F, C).
    """
    weights = np.clip(values.astype(np.float64), 0.0, 1.0)
    if FACE_KINDS[kind].poses:
        return _nearest_mixture(weights, _poses(kind, tuple(channels))).astype(np.float32)
    return (weights @ _controls(kind, tuple(channels)).T).astype(np.float32)


def to_arkit(values: AnyFloatArray, kind: str, channels: Sequence[str]) -> FloatArray:
    """Turn a character's channels, (F, C), into ARKit weights, (F, 52), 0 where nothing tells."""
    if FACE_KINDS[kind].poses:
        weights = values @ _poses(kind, tuple(channels))
    else:
        share = _controls(kind, tuple(channels))
        weights = values @ (share / np.maximum(share.sum(axis=0), 1.0))
    return np.clip(weights, 0.0, 1.0).astype(np.float32)


def covered(kind: str, channels: Sequence[str]) -> list[int]:
    """Indices of the ARKit channels about which some channels of a kind tell anything."""
    table = _poses if FACE_KINDS[kind].poses else _controls
    return np.flatnonzero(table(kind, tuple(channels)).any(axis=0)).tolist()


def jaw_moves(clip: Clip) -> bool:
    """Whether the jaw joint of a clip turns at all."""
    return bool(np.abs(clip.poses[:, JAW]).max() > _STILL)


def with_jaw_bone(clip: Clip) -> Clip:
    """Open the jaw joint as the ARKit channels say, for faces without shapes.

    A clip whose jaw joint turns already, or that has no ARKit channels, stays as it is.
    """
    if clip.basis != "arkit" or jaw_moves(clip):
        return clip
    columns = {name: index for index, name in enumerate(clip.expression_names)}

    def channel(name: str) -> DoubleArray:
        if name not in columns:
            return np.zeros(clip.num_frames)
        return np.clip(clip.expressions[:, columns[name]].astype(np.float64), 0.0, 1.0)

    turn = np.zeros((clip.num_frames, 2, 3))
    turn[:, 0, 1] = JAW_SIDE * (channel("jawLeft") - channel("jawRight"))
    turn[:, 1, 0] = JAW_OPEN * channel("jawOpen")
    matrices = axis_angle_to_matrix(turn)
    poses = clip.poses.copy()
    poses[:, JAW] = matrix_to_axis_angle(matrices[:, 0] @ matrices[:, 1])
    return replace(clip, poses=poses)


def jaw_channels(clip: Clip) -> Clip:
    """Read the jaw channels off the jaw joint, which then rests; inverse of `with_jaw_bone`.

    A clip whose jaw does not turn, or turns as no channels say, stays as it is.
    """
    if clip.basis != "arkit" or not jaw_moves(clip):
        return clip
    matrix = axis_angle_to_matrix(clip.poses[:, JAW].astype(np.float64))
    side = np.arctan2(-matrix[:, 2, 0], matrix[:, 0, 0]) / JAW_SIDE
    opening = np.arctan2(-matrix[:, 1, 2], matrix[:, 1, 1]) / JAW_OPEN
    expressions, poses = clip.expressions.copy(), clip.poses.copy()
    values = {"jawOpen": opening, "jawLeft": np.maximum(side, 0.0), "jawRight": np.maximum(-side, 0.0)}
    for name, value in values.items():
        expressions[:, clip.expression_names.index(name)] = np.clip(value, 0.0, 1.0)
    poses[:, JAW] = 0.0
    read = replace(clip, poses=poses, expressions=expressions)
    explained = np.abs(with_jaw_bone(read).poses[:, JAW] - clip.poses[:, JAW]).max() < 10 * _STILL
    return read if explained else clip


@lru_cache(maxsize=16)
def _poses(kind: str, channels: tuple[str, ...]) -> DoubleArray:
    """ARKit weights of each channel, (C, 52)."""
    table = np.zeros((len(channels), len(ARKIT_NAMES)))
    for row, channel in enumerate(channels):
        for name, weight in FACE_KINDS[kind].poses[channel].items():
            table[row, ARKIT_INDEX[name]] = weight
    return table


@lru_cache(maxsize=16)
def _controls(kind: str, channels: tuple[str, ...]) -> DoubleArray:
    """1 where a channel follows an ARKit channel, (C, 52)."""
    rows = {channel: row for row, channel in enumerate(channels)}
    table = np.zeros((len(channels), len(ARKIT_NAMES)))
    for name, controls in FACE_KINDS[kind].controls.items():
        for control in controls:
            if control in rows:
                table[rows[control], ARKIT_INDEX[name]] = 1.0
    return table


def _nearest_mixture(weights: DoubleArray, poses: DoubleArray) -> DoubleArray:
    """Shares from 0 to 1, (F, C), whose mixture of poses (C, 52) comes nearest to ARKit weights (F, 52).

    Least squares with bounds by coordinate descent: the sum of squares is strictly convex, so that there is
    one answer, which moves smoothly with the weights.
    """
    gram = poses @ poses.T + RIDGE * np.eye(len(poses))
    aim = weights @ poses.T
    shares = np.zeros((len(weights), len(poses)))
    for _ in range(SWEEPS):
        for column in range(len(poses)):
            rest = aim[:, column] - shares @ gram[:, column] + shares[:, column] * gram[column, column]
            shares[:, column] = np.clip(rest / gram[column, column], 0.0, 1.0)
    return shares
