# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes motion as Biovision hierarchy files: Y up, centimetres, as MotionBuilder, Maya and Unreal read them.

A BVH skeleton has no rest orientations: a joint's rotation is its bone's turn from the rest pose, seen in the
parent's. Angles are degrees in the order Z, X, Y (R = Rz Rx Ry), the order of most capture files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .arrays import DoubleArray

CENTIMETRES = 100.0
_LOOSE = 1e-5
"""A joint whose distance to its parent changes by more than this, in metres, gets channels for its place."""

_ROTATION = "Zrotation Xrotation Yrotation"
_POSITION = "Xposition Yposition Zposition"


@dataclass(frozen=True)
class WorldMotion:
    """Bones as they are seen, Y up, metres; N bones, parents before children, the first one the only root.

    Attributes:
        names: Names of the bones.
        parents: Index of each bone's parent, -1 for the root.
        heads: Where they begin at rest, (N, 3).
        tails: Where they end at rest, (N, 3).
        turns: Their turns from the rest pose, (F, N, 3, 3).
        places: Where they begin, (F, N, 3).
        fps: Frames per second.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    heads: DoubleArray
    tails: DoubleArray
    turns: DoubleArray
    places: DoubleArray
    fps: float


def bvh_text(motion: WorldMotion) -> str:
    """The text of a BVH file."""
    local, places = _local(motion)
    rest = motion.heads - np.where(
        np.array(motion.parents)[:, None] < 0, 0.0, motion.heads[motion.parents, :]
    )
    loose = np.abs(places - rest).max(axis=(0, 2)) > _LOOSE
    loose[0] = True
    children: dict[int, list[int]] = {}
    for bone, parent in enumerate(motion.parents):
        children.setdefault(parent, []).append(bone)
    lines: list[str] = []
    order: list[int] = []
    names = _plain_names(motion.names)

    def write(bone: int, depth: int) -> None:
        indent = "  " * depth
        order.append(bone)
        channels = f"6 {_POSITION} {_ROTATION}" if loose[bone] else f"3 {_ROTATION}"
        lines.extend([f"{indent}{'JOINT' if depth else 'ROOT'} {names[bone]}", f"{indent}{{"])
        lines.extend([f"{indent}  OFFSET {_row(rest[bone])}", f"{indent}  CHANNELS {channels}"])
        for child in children.get(bone, ()):
            write(child, depth + 1)
        if bone not in children:
            tip = _row(motion.tails[bone] - motion.heads[bone])
            lines.extend(
                [f"{indent}  End Site", f"{indent}  {{", f"{indent}    OFFSET {tip}", f"{indent}  }}"]
            )
        lines.append(f"{indent}}}")

    write(0, 0)
    angles = np.degrees(_euler_zxy(local))
    columns: list[DoubleArray] = []
    for bone in order:
        columns += [places[:, bone] * CENTIMETRES] if loose[bone] else []
        columns.append(angles[:, bone])
    rows = [" ".join(f"{value:.6f}" for value in row) for row in np.concatenate(columns, axis=1)]
    head = ["HIERARCHY", *lines, "MOTION", f"Frames: {len(rows)}", f"Frame Time: {1.0 / motion.fps:.8f}"]
    return "\n".join([*head, *rows]) + "\n"


def _local(motion: WorldMotion) -> tuple[DoubleArray, DoubleArray]:
    """Turns and places in the space of the parent's turn, (F, N, 3, 3) and (F, N, 3)."""
    local, places = motion.turns.copy(), motion.places.copy()
    for bone, parent in enumerate(motion.parents):
        if parent >= 0:
            back = np.swapaxes(motion.turns[:, parent], 1, 2)
            local[:, bone] = back @ motion.turns[:, bone]
            places[:, bone] = np.einsum("fij,fj->fi", back, motion.places[:, bone] - motion.places[:, parent])
    return local, places


def _euler_zxy(matrix: DoubleArray) -> DoubleArray:
    """Angles Z, X, Y, (F, N, 3), of R = Rz Rx Ry without jumps from frame to frame, radians.

    From the product's entries: R21 = sin x, R01 = -sin z cos x, R11 = cos z cos x, R20 = -cos x sin y,
    R22 = cos x cos y. Where cos x is 0, only the sum of the other two shows, and Z takes all of it.
    """
    flat = np.hypot(matrix[..., 2, 0], matrix[..., 2, 2])
    x = np.arctan2(matrix[..., 2, 1], flat)
    locked = flat < 1e-7
    z = np.where(
        locked,
        np.arctan2(matrix[..., 1, 0], matrix[..., 0, 0]),
        np.arctan2(-matrix[..., 0, 1], matrix[..., 1, 1]),
    )
    y = np.where(locked, 0.0, np.arctan2(-matrix[..., 2, 0], matrix[..., 2, 2]))
    return np.unwrap(np.stack([z, x, y], axis=-1), axis=0)


def _plain_names(names: Sequence[str]) -> list[str]:
    """Names without blanks and braces, which BVH cannot hold; two that become alike are numbered."""
    found: list[str] = []
    for name in names:
        plain = re.sub(r"[\s{}]+", "_", name)
        number = 1
        while (plain if number == 1 else f"{plain}_{number}") in found:
            number += 1
        found.append(plain if number == 1 else f"{plain}_{number}")
    return found


def _row(offset: DoubleArray) -> str:
    return " ".join(f"{value * CENTIMETRES:.6f}" for value in offset)
