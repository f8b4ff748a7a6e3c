# SPDX-License-Identifier: GPL-3.0-or-later
"""How a rig is built: where its joints are when it is posed, and how large its parts are beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .arrays import DoubleArray, IntArray
from .body_parts import BODY
from .rig_guess import RestPose
from .rig_names import NECK, SPINE, RigMapping
from .skeleton import DEFAULT_SKELETON, JOINT_NAMES, PARENTS

_JOINTS = {name: joint for joint, name in enumerate(JOINT_NAMES)}
_REST = DEFAULT_SKELETON.rest_joints.astype(np.float64)
_HIPS, _SHOULDERS = (_REST[1] + _REST[2]) / 2.0, (_REST[16] + _REST[17]) / 2.0
_TRUNK = ("spine1", "spine2", "spine3")
HEAD_HEIGHT = 0.175
"""From the head joint to the top of the default character's head, metres."""

HEAD_SHARE = 0.4
"""How much the length of a head bone tells of a head's size, as an exponent; the trunk tells the rest."""

LIKELY = (0.6, 1.6)
"""Parts of a body are not smaller or larger than this beside its legs; other ratios come from odd joints."""


@dataclass(frozen=True)
class Build:
    """How a rig is built, as far as it matters to hands that touch it. M bones, B parts of the body.

    Attributes:
        heads: Where the bones begin at rest, (M, 3), engine axes, rig units.
        holders: The bone that carries each bone's head along, (M,); the first one's does not count.
        marks: The bone that carries the place of each joint, (55,).
        offsets: From that bone's head to the joint at rest, (55, 3), engine axes, rig units.
        sizes: Rig units per metre of the default character in the axes of each part of the body, (B, 3).
        arms: Bones of upper arm and forearm on both sides.
    """

    heads: DoubleArray
    holders: IntArray
    marks: IntArray
    offsets: DoubleArray
    sizes: DoubleArray
    arms: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]


def own_build() -> Build:
    """The default character's, whose bones are the 55 joints."""
    return Build(
        heads=_REST,
        holders=np.array([0, *PARENTS[1:]]),
        marks=np.arange(len(JOINT_NAMES)),
        offsets=np.zeros((len(JOINT_NAMES), 3)),
        sizes=np.ones((len(BODY), 3)),
        arms=(((16,), (18,)), ((17,), (19,))),
    )


def build_of(
    rest: RestPose,
    mapping: RigMapping,
    names: Sequence[str],
    axes: DoubleArray,
    corrections: DoubleArray,
    scale: float,
) -> Build:
    """Measure a rig.

    Args:
        rest: The rig at rest.
        mapping: Which bone is which.
        names: The mapped bones in their order, the pelvis first.
        axes: Engine axes to the rig's, (3, 3).
        corrections: Turns from the rest pose to the T-pose by joint, (55, 3, 3).
        scale: Rig units per metre.
    """
    place = {name: number for number, name in enumerate(names)}
    index = {name: bone for bone, name in enumerate(rest.names)}
    heads = np.array([rest.heads[index[name]] for name in names]) @ axes
    bone_of = {slot: place[bones[0]] for slot, bones in mapping.bones.items() if bones}
    marks, offsets = np.zeros(len(JOINT_NAMES), dtype=np.int64), np.zeros((len(JOINT_NAMES), 3))
    for joint, name in enumerate(JOINT_NAMES):
        if name in bone_of:
            marks[joint] = bone_of[name]
        elif name in _TRUNK:
            continue
        elif joint:  # as far from the joint above as ours, in the rig's size
            above = PARENTS[joint]
            marks[joint] = marks[above]
            offsets[joint] = offsets[above] + corrections[above].T @ (_REST[joint] - _REST[above]) * scale
    hips = (heads[bone_of["left_hip"]] + heads[bone_of["right_hip"]]) / 2.0
    shoulders = (heads[bone_of["left_shoulder"]] + heads[bone_of["right_shoulder"]]) / 2.0
    trunk = [place[name] for name in mapping.bones[SPINE]]
    top = place[mapping.bones[NECK][0]] if mapping.bones.get(NECK) else bone_of["head"]
    marks[_JOINTS["neck"]], offsets[_JOINTS["neck"]] = top, 0.0
    for name in _TRUNK:
        joint = _JOINTS[name]
        marks[joint], offsets[joint] = _on_spine(heads, hips, shoulders, trunk, top, name)
    arms = tuple(
        tuple(
            tuple(place[name] for name in mapping.bones[f"{side}_{half}"]) for half in ("shoulder", "elbow")
        )
        for side in ("left", "right")
    )
    joints = heads[marks] + offsets
    return Build(
        heads=heads,
        holders=np.array(_holders(rest, names, index, place)),
        marks=marks,
        offsets=offsets,
        sizes=_sizes(joints, hips, bone_of, rest, mapping, axes, scale),
        arms=((arms[0][0], arms[0][1]), (arms[1][0], arms[1][1])),
    )


def joint_places(turns: DoubleArray, root: DoubleArray, build: Build) -> DoubleArray:
    """Where the joints of a posed rig are.

    Args:
        turns: Turns of the bones from the rest pose, seen in the rig's space, engine axes, (F, M, 3, 3).
        root: Where the first bone begins, (F, 3), engine axes, rig units.
        build: The rig.

    Returns:
        (F, 55, 3), rig units; the pelvis, whose place says nothing about a body, is where its bone begins.
    """
    heads = np.empty(turns.shape[:-1])
    heads[:, 0] = root
    for bone, holder in enumerate(build.holders.tolist()):
        if bone:
            heads[:, bone] = heads[:, holder] + turns[:, holder] @ (build.heads[bone] - build.heads[holder])
    return heads[:, build.marks] + np.einsum("fkij,kj->fki", turns[:, build.marks], build.offsets)


def _holders(
    rest: RestPose, names: Sequence[str], index: Mapping[str, int], place: Mapping[str, int]
) -> list[int]:
    """The mapped bone above each one, whether or not it passes its turn on; the first where none is."""
    found: list[int] = []
    for name in names:
        above = rest.parents[index[name]]
        while above >= 0 and rest.names[above] not in place:
            above = rest.parents[above]
        found.append(place[rest.names[above]] if above >= 0 else 0)
    return found


def _on_spine(
    heads: DoubleArray, hips: DoubleArray, shoulders: DoubleArray, trunk: list[int], top: int, name: str
) -> tuple[int, DoubleArray]:
    """Which bone of the spine carries a joint of ours along, and where the joint is from that bone's head.

    Where in the flesh the spine lies differs from rig to rig; hips and shoulders lie alike.
    """
    line = np.array([hips, *heads[trunk], heads[top]])
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    ours = _REST[_JOINTS[name]] - _HIPS
    share = float(ours[1] / (_REST[_JOINTS["neck"]] - _HIPS)[1])
    ends = np.concatenate([[0.0], np.cumsum(steps)])
    piece = int(np.clip(np.searchsorted(ends, share * ends[-1], side="right") - 1, 0, len(steps) - 1))
    bone = trunk[max(piece - 1, 0)] if piece else 0
    way = shoulders - hips
    size = float(np.linalg.norm(way) / np.linalg.norm(_SHOULDERS - _HIPS))
    beside = ours - (_SHOULDERS - _HIPS) * ours[1] / (_SHOULDERS - _HIPS)[1]
    return bone, hips + way * ours[1] / (_SHOULDERS - _HIPS)[1] + beside * size - heads[bone]


def _sizes(
    joints: DoubleArray,
    hips: DoubleArray,
    bone_of: Mapping[str, int],
    rest: RestPose,
    mapping: RigMapping,
    axes: DoubleArray,
    scale: float,
) -> DoubleArray:
    """Rig units per metre in the axes of each part, (B, 3): legs by their length, the trunk by its joints."""

    def ratio(first: str, second: str) -> float:
        ours = np.linalg.norm(_REST[_JOINTS[first]] - _REST[_JOINTS[second]])
        return float(np.linalg.norm(joints[_JOINTS[first]] - joints[_JOINTS[second]]) / ours)

    trunk = float(
        np.linalg.norm(joints[_JOINTS["neck"]] - hips) / np.linalg.norm(_REST[_JOINTS["neck"]] - _HIPS)
    )
    shoulders = ratio("left_shoulder", "right_shoulder")
    depth = float(np.sqrt(shoulders * trunk))
    head = _head_size(joints, bone_of, rest, mapping, axes)
    sizes = np.full((len(BODY), 3), scale)
    for number, part in enumerate(BODY):
        if part.name in ("belly", "chest"):
            sizes[number] = shoulders, trunk, depth
        elif part.name == "hips":
            sizes[number] = np.sqrt(shoulders * ratio("left_hip", "right_hip")), trunk, depth
        elif part.name == "head":
            sizes[number] = trunk * (head / trunk) ** HEAD_SHARE if head else trunk
        elif part.side >= 0:
            sizes[number] = np.sqrt(scale * trunk)
    return np.clip(sizes, LIKELY[0] * scale, LIKELY[1] * scale)


def _head_size(
    joints: DoubleArray,
    bone_of: Mapping[str, int],
    rest: RestPose,
    mapping: RigMapping,
    axes: DoubleArray,
) -> float:
    """Rig units per metre of a head, by how far apart its eyes are or by its bone; 0 if unknown."""
    eyes = [_JOINTS[f"{side}_eye_smplhf"] for side in ("left", "right")]
    if all(JOINT_NAMES[eye] in bone_of for eye in eyes):
        ours = float(np.linalg.norm(_REST[eyes[0]] - _REST[eyes[1]]))
        return float(np.linalg.norm(joints[eyes[0]] - joints[eyes[1]])) / ours
    bone = rest.names.index(mapping.bones["head"][0])
    way = (rest.tails[bone] - rest.heads[bone]) @ axes
    return float(way[1]) / HEAD_HEIGHT if way[1] > 0.7 * np.linalg.norm(way) else 0.0
