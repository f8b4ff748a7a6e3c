# SPDX-License-Identifier: GPL-3.0-or-later
"""The 55 SMPL-X joints: names, hierarchy, parts, left and right, and rest positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ClipError
from ..specs import Part
from .arrays import FloatArray
from .rest_pose import REST_JOINTS

NUM_JOINTS = 55
"""Joints of SMPL-X, the fingers, jaw and eyes included."""

_BODY_NAMES = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle",
    "right_ankle", "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "jaw", "left_eye_smplhf", "right_eye_smplhf",
)  # fmt: skip
_FINGERS = ("index", "middle", "pinky", "ring", "thumb")
_HAND_NAMES = [
    f"{side}_{finger}{phalanx}" for side in ("left", "right") for finger in _FINGERS for phalanx in (1, 2, 3)
]

JOINT_NAMES: tuple[str, ...] = (*_BODY_NAMES, *_HAND_NAMES)
"""SMPL-X joint names in the model's order."""

_BODY_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15)


def _hand_parents(first: int, wrist: int) -> tuple[int, ...]:
    return tuple(
        wrist if phalanx == 0 else first + 3 * finger + phalanx - 1
        for finger in range(5)
        for phalanx in range(3)
    )


PARENTS: tuple[int, ...] = (*_BODY_PARENTS, *_hand_parents(25, 20), *_hand_parents(40, 21))
"""Parent of each joint, -1 for the pelvis; a parent always precedes its children."""

PART_JOINTS: dict[Part, tuple[int, ...]] = {
    Part.FACE: (22, 23, 24),
    Part.HANDS: tuple(range(25, 55)),
    Part.UPPER: (3, 6, 9, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21),
    Part.LOWER: (0, 1, 2, 4, 5, 7, 8, 10, 11),
}
"""Joints of each part in ascending order, as in the published data selection; each joint is in one part."""

FOOT_JOINTS: tuple[int, int, int, int] = (7, 8, 10, 11)
"""Left ankle, right ankle, left foot (ball), right foot: the joints that carry contacts."""


def _mirror_index(name: str) -> int:
    if name.startswith("left_"):
        return JOINT_NAMES.index("right_" + name.removeprefix("left_"))
    if name.startswith("right_"):
        return JOINT_NAMES.index("left_" + name.removeprefix("right_"))
    return JOINT_NAMES.index(name)


MIRROR: tuple[int, ...] = tuple(_mirror_index(name) for name in JOINT_NAMES)
"""The joint on the other side; the joint itself on the midline."""


@dataclass(frozen=True)
class Skeleton:
    """Rest positions of the 55 joints.

    Attributes:
        rest_joints: T-pose positions, (55, 3), metres, Y up, pelvis at the origin.
    """

    rest_joints: FloatArray

    def __post_init__(self) -> None:
        """Check the shape and put the pelvis at the origin."""
        joints = np.asarray(self.rest_joints, dtype=np.float32)
        if joints.shape != (NUM_JOINTS, 3) or not np.isfinite(joints).all():
            raise ClipError("The skeleton needs 55 finite joint positions; use an SMPL-X armature.")
        object.__setattr__(self, "rest_joints", joints - joints[:1])

    @property
    def offsets(self) -> FloatArray:
        """Vector from each joint's parent to the joint at rest, (55, 3), metres; zero for the pelvis."""
        parents = np.array(PARENTS)
        parents[0] = 0
        return self.rest_joints - self.rest_joints[parents]

    @property
    def leg_length(self) -> float:
        """Thigh plus shin, hip to ankle, mean of both sides, metres."""
        lengths = np.linalg.norm(self.offsets, axis=-1)
        return float(lengths[[4, 5, 7, 8]].sum() / 2.0)

    @property
    def standing_height(self) -> float:
        """Pelvis height above the sole with straight legs, metres.

        The lower toe joint then lies `SOLE_THICKNESS` above the floor.
        """
        return float(-self.rest_joints[[10, 11], 1].min()) + SOLE_THICKNESS


SOLE_THICKNESS = 0.025
"""Height of the toe joints (10, 11) above the floor when the foot stands flat, metres."""

DEFAULT_SKELETON = Skeleton(np.array(REST_JOINTS, dtype=np.float32))
"""Skeleton of the default character."""
