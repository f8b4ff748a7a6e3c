# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads motion capture files in the Biovision hierarchy format (BVH).

Format: the HIERARCHY section nests joints with an OFFSET and a CHANNELS line each; the MOTION section has one
row of numbers per frame, in the order in which the channels were declared. Rotations are applied in the
declared order from left to right, so `CHANNELS 3 Zrotation Xrotation Yrotation` means R = Rz Rx Ry. Angles
are degrees.
"""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import ClipError
from .arrays import FloatArray
from .rotations import axis_angle_to_matrix

MAX_JOINTS = 1000
"""Most joints of a skeleton: no body has more."""

PIECE_LENGTH = 1 << 16
"""Characters of rows that are read at a time."""

_TIMES = re.compile(r"MOTION\s*[^\n:]*:([^\n:]*)\n[^\n:]*:([^\n:]*)(?:\n|$)")
"""`Frames: 40` and `Frame Time: 0.033`, whatever the words before the colons."""

_AXES = {"X": 0, "Y": 1, "Z": 2}
_CHANNELS = frozenset(axis + kind for axis in _AXES for kind in ("position", "rotation"))


@dataclass(frozen=True)
class BvhJoint:
    """One joint of a hierarchy.

    Attributes:
        name: The file's name for it; an end site is called `<parent>_end`.
        parent: Index of the parent, -1 for the root.
        offset: Rest offset from the parent in the file's length unit, (3,).
        channels: Channel names in declared order; empty for an end site.
        first_channel: Column of the first channel in a motion row.
    """

    name: str
    parent: int
    offset: tuple[float, float, float]
    channels: tuple[str, ...]
    first_channel: int


@dataclass(frozen=True)
class BvhMotion:
    """A parsed file.

    Attributes:
        joints: Joints in file order, parents before children, end sites included.
        fps: Frames per second.
        values: Channel values, (F, number of channels).
    """

    joints: tuple[BvhJoint, ...]
    fps: float
    values: npt.NDArray[np.float64]

    @property
    def num_frames(self) -> int:
        """Number of rows of the motion section."""
        return len(self.values)

    def index(self, name: str) -> int:
        """Index of the joint called `name`.

        Raises:
            ClipError: If the file has no such joint.
        """
        for i, joint in enumerate(self.joints):
            if joint.name == name:
                return i
        raise ClipError(f"The motion file has no joint called '{name}'; use a skeleton that has it.")

    def local_rotations(self) -> FloatArray:
        """Local joint rotations, (F, joints, 3, 3); identity for end sites."""
        result = np.tile(np.eye(3), (self.num_frames, len(self.joints), 1, 1))
        for i, joint in enumerate(self.joints):
            for k, channel in enumerate(joint.channels):
                if not channel.endswith("rotation"):
                    continue
                axis_angle = np.zeros((self.num_frames, 3))
                axis_angle[:, _AXES[channel[0]]] = np.radians(self.values[:, joint.first_channel + k])
                result[:, i] = result[:, i] @ np.asarray(axis_angle_to_matrix(axis_angle))
        return result.astype(np.float32)

    def global_pose(self) -> tuple[FloatArray, FloatArray]:
        """Global rotations (F, joints, 3, 3) and positions (F, joints, 3) in the file's length unit."""
        local = self.local_rotations().astype(np.float64)
        rotations = np.empty_like(local)
        positions = np.empty((self.num_frames, len(self.joints), 3))
        for i, joint in enumerate(self.joints):
            place = np.tile(np.asarray(joint.offset, dtype=np.float64), (self.num_frames, 1))
            for k, channel in enumerate(joint.channels):
                if channel.endswith("position"):
                    # A position channel replaces the offset's coordinate (all known writers do so for the
                    # root).
                    place[:, _AXES[channel[0]]] = self.values[:, joint.first_channel + k]
            if joint.parent < 0:
                rotations[:, i], positions[:, i] = local[:, i], place
            else:
                above = rotations[:, joint.parent]
                rotations[:, i] = above @ local[:, i]
                positions[:, i] = positions[:, joint.parent] + np.einsum("fij,fj->fi", above, place)
        return rotations.astype(np.float32), positions.astype(np.float32)


def parse_bvh(text: str) -> BvhMotion:
    """Parses the text of a BVH file.

    Args:
        text: The whole file.

    Returns:
        Joints and channel values.

    Raises:
        ClipError: If the text is not a BVH file or its rows do not fit its channels.
    """
    start = text.find("MOTION")
    head = text[: max(start, 0)]
    if "HIERARCHY" not in head:
        raise ClipError(
            "The motion file is not in BVH format; choose a file with HIERARCHY and MOTION sections."
        )
    try:
        joints, num_channels = _parse_hierarchy(head)
    except (IndexError, ValueError) as error:
        raise ClipError("The joint hierarchy of the BVH file is damaged; export the file again.") from error
    try:
        found = _TIMES.match(text, start)
        if found is None:
            raise ValueError("no number of frames and their time")
        num_frames, frame_s = int(found[1]), float(found[2])
        values = _numbers(text, found.end())
    except ValueError as error:
        raise ClipError("The motion section of the BVH file is damaged; export the file again.") from error
    if (
        frame_s <= 0
        or num_frames < 1
        or values.size != num_frames * num_channels
        or not np.isfinite(values).all()
    ):
        raise ClipError("The BVH file's rows do not fit its channels; export the file again.")
    return BvhMotion(joints, 1.0 / frame_s, values.reshape(num_frames, num_channels))


def _numbers(text: str, place: int) -> npt.NDArray[np.float64]:
    """Numbers of a text from a place on, a piece at a time: as words they would take ten times the file.

    Raises:
        ValueError: If a word is no number.
    """
    values = array("d")
    while place < len(text):
        stop = text.find("\n", place + PIECE_LENGTH)
        stop = len(text) if stop < 0 else stop
        values.extend(map(float, text[place:stop].split()))
        place = stop
    return np.frombuffer(values, dtype=np.float64) if len(values) else np.zeros(0)


def _parse_hierarchy(head: str) -> tuple[tuple[BvhJoint, ...], int]:
    """Reads the nested joints; returns them and the number of channels."""
    tokens = head.split()
    joints: list[BvhJoint] = []
    open_joints: list[int] = []
    name, i, num_channels = "", 0, 0
    while i < len(tokens):
        word = tokens[i]
        if word in ("ROOT", "JOINT"):
            name, i = tokens[i + 1], i + 2
        elif word == "End":
            name, i = f"{joints[open_joints[-1]].name}_end", i + 2
        elif word == "OFFSET":
            x, y, z = (float(value) for value in tokens[i + 1 : i + 4])
            parent = open_joints[-2] if len(open_joints) > 1 else -1
            if parent >= len(joints) or len(joints) >= MAX_JOINTS:
                raise ValueError("a joint below one without a place, or too many of them")
            joints.append(BvhJoint(name, parent, (x, y, z), (), num_channels))
            i += 4
        elif word == "CHANNELS":
            count = int(tokens[i + 1])
            last = joints[-1]
            channels = tuple(tokens[i + 2 : i + 2 + count])
            if len(channels) != count or not _CHANNELS.issuperset(channels):
                raise ValueError("unknown channel")
            joints[-1] = BvhJoint(last.name, last.parent, last.offset, channels, num_channels)
            num_channels += count
            i += 2 + count
        elif word == "{":
            open_joints.append(len(joints))
            i += 1
        elif word == "}":
            open_joints.pop()
            i += 1
        else:
            i += 1
    if not joints or open_joints:
        raise ClipError("The joint hierarchy of the BVH file is damaged; export the file again.")
    return tuple(joints), num_channels
