# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps MakeHuman's rig to the 55 SMPL-X joints and turns its A-pose into the T-pose.

The T-pose is the pose whose linear-blend skinning gives back the artist's A-pose exactly: each
vertex is moved by the inverse of its blended matrix. A character whose arms hang at its sides
therefore looks as modelled, and the corrections needed lie at the shoulders of the T-pose.
"""

from __future__ import annotations

import numpy as np
from makehuman import Array, SourceRig

from engine.motion.skeleton import JOINT_NAMES, MIRROR, NUM_JOINTS, PARENTS

LEG_ADDUCTION = np.radians(4.5)
"""The A-pose stands with spread legs; this brings the ankles under the hips."""

PELVIS_ABOVE_HIPS = 0.06
"""Height of the SMPL-X pelvis above the hip joints in metres."""

FOREARM_TWIST_SHARE = 0.5
"""Part of the palm-down twist taken by the forearm; the wrist takes the rest."""

_FINGER_NUMBERS = {"thumb": 1, "index": 2, "middle": 3, "ring": 4, "pinky": 5}
_HEAD_PREFIXES = (
    "neck03", "head", "oris", "levator", "special", "orbicularis", "oculi", "temporalis", "risorius",
)  # fmt: skip

_MIDLINE = {
    "root": {"pelvis": 1.0},
    "spine05": {"pelvis": 1.0},
    "spine04": {"pelvis": 0.5, "spine1": 0.5},
    "spine03": {"spine1": 1.0},
    "spine02": {"spine2": 1.0},
    "spine01": {"spine3": 1.0},
    "neck01": {"neck": 1.0},
    "neck02": {"neck": 0.7, "head": 0.3},
}
_SIDED = {
    "upperleg01": {"hip": 1.0},
    "upperleg02": {"hip": 1.0},
    "lowerleg01": {"knee": 1.0},
    "lowerleg02": {"knee": 1.0},
    "foot": {"ankle": 1.0},
    "clavicle": {"collar": 1.0},
    "shoulder01": {"collar": 1.0},
    "upperarm01": {"shoulder": 1.0},
    "upperarm02": {"shoulder": 1.0},
    "lowerarm01": {"elbow": 1.0},
    "lowerarm02": {"elbow": 1.0},
    "wrist": {"wrist": 1.0},
    "eye": {"eye_smplhf": 1.0},
}


def joints_of_bone(bone: str) -> dict[str, float]:
    """Shares of the SMPL-X joints that take over a MakeHuman bone's weights."""
    name, _, letter = bone.partition(".")
    if name in _MIDLINE:
        return _MIDLINE[name]
    side = {"L": "left_", "R": "right_"}.get(letter, "")
    if name == "pelvis":
        return {"pelvis": 1.0}
    if name == "breast":
        return {"spine2": 0.5, "spine3": 0.5}
    if name in _SIDED:
        return {side + joint: share for joint, share in _SIDED[name].items()}
    if name.startswith("toe"):
        return {side + "foot": 1.0}
    if name.startswith("metacarpal"):
        return {side + "wrist": 1.0}
    for finger, number in _FINGER_NUMBERS.items():
        if name.startswith(f"finger{number}-"):
            return {f"{side}{finger}{name[-1]}": 1.0}
    if name.startswith(("jaw", "tongue")):
        return {"jaw": 1.0}
    if name.startswith(_HEAD_PREFIXES):
        return {"head": 1.0}
    raise KeyError(bone)


def joint_positions(rig: SourceRig) -> Array:
    """SMPL-X joints inside the A-posed body, (55, 3), exactly symmetric."""
    heads = rig.heads
    hip = heads["upperleg01.L"]
    places: dict[str, Array] = {
        "pelvis": np.array([0.0, hip[1] + PELVIS_ABOVE_HIPS, hip[2]]),
        "spine1": heads["spine03"],
        "spine2": 0.7 * heads["spine02"] + 0.3 * rig.tails["spine02"],
        "spine3": heads["spine01"],
        "neck": heads["neck01"],
        "head": heads["head"],
        "jaw": heads["jaw"],
        "left_hip": hip,
        "left_knee": heads["lowerleg01.L"],
        "left_ankle": heads["foot.L"],
        "left_foot": np.mean([heads[f"toe{toe}-1.L"] for toe in (1, 2, 3)], axis=0),
        "left_collar": heads["clavicle.L"],
        "left_shoulder": heads["upperarm01.L"],
        "left_elbow": heads["lowerarm01.L"],
        "left_wrist": heads["wrist.L"],
        "left_eye_smplhf": heads["eye.L"],
    }
    for finger, number in _FINGER_NUMBERS.items():
        for phalanx in (1, 2, 3):
            places[f"left_{finger}{phalanx}"] = heads[f"finger{number}-{phalanx}.L"]
    joints = np.zeros((NUM_JOINTS, 3))
    for index, name in enumerate(JOINT_NAMES):
        if name in places:
            joints[index] = places[name]
    for index, name in enumerate(JOINT_NAMES):
        if name.startswith("right_"):
            joints[index] = joints[MIRROR[index]] * (-1, 1, 1)
        elif not name.startswith("left_"):
            joints[index, 0] = 0.0
    return joints


def _unit(vector: Array) -> Array:
    return vector / np.linalg.norm(vector)


def _frame(first: Array, second: Array) -> Array:
    """Orthonormal columns: `first`, `second` made orthogonal to it, and their cross product."""
    x = _unit(first)
    y = _unit(second - x * (x @ second))
    return np.column_stack([x, y, np.cross(x, y)])


def _shortest(start: Array, end: Array) -> Array:
    """Smallest rotation from one direction to another, (3, 3)."""
    a, b = _unit(start), _unit(end)
    axis = np.cross(a, b)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1.0 + a @ b)


def _about_x(angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def t_pose_rotations(joints: Array) -> Array:
    """Global rotation of every joint from the A-pose to the T-pose, (55, 3, 3).

    Arms and fingers come to lie along the X axis with the palms down, the legs together under
    the hips; spine, head and feet keep their directions.
    """
    index = {name: row for row, name in enumerate(JOINT_NAMES)}
    at = {name: joints[row] for name, row in index.items()}
    turns = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
    x, z = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])

    c, s = np.cos(-LEG_ADDUCTION), np.sin(-LEG_ADDUCTION)
    leg = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    turns[index["left_hip"]] = turns[index["left_knee"]] = leg

    upper = at["left_elbow"] - at["left_shoulder"]
    fore = at["left_wrist"] - at["left_elbow"]
    hinge = np.cross(upper, fore)  # the elbow bends about -Y when the palm faces down
    straight = np.column_stack([x, -np.array([0.0, 1.0, 0.0]), np.cross(x, [0.0, -1.0, 0.0])])
    turns[index["left_shoulder"]] = straight @ _frame(upper, hinge).T
    fore_turn = straight @ _frame(fore, hinge).T
    along = at["left_middle1"] - at["left_wrist"]
    across = at["left_index1"] - at["left_pinky1"]
    palm = np.column_stack([x, z, np.cross(x, z)])
    hand = palm @ _frame(along, across).T
    rest = hand @ fore_turn.T
    twist = np.arctan2(rest[2, 1] - rest[1, 2], rest[1, 1] + rest[2, 2])
    turns[index["left_elbow"]] = _about_x(FOREARM_TWIST_SHARE * twist) @ fore_turn
    turns[index["left_wrist"]] = hand
    for finger in _FINGER_NUMBERS:
        names = [f"left_{finger}{phalanx}" for phalanx in (1, 2, 3)]
        for row, name in enumerate(names):
            if finger == "thumb":
                turns[index[name]] = hand
                continue
            first, last = (row, row + 1) if row < 2 else (row - 1, row)
            bone = hand @ (at[names[last]] - at[names[first]])
            lead = hand @ (at[names[1]] - at[names[0]])
            flat = _unit(np.array([lead[0], 0.0, lead[2]]))
            turns[index[name]] = _shortest(bone, flat) @ hand
    mirror = np.diag([-1.0, 1.0, 1.0])
    for row, name in enumerate(JOINT_NAMES):
        if name.startswith("right_"):
            turns[row] = mirror @ turns[MIRROR[row]] @ mirror
    return turns


def t_pose_joints(joints: Array, turns: Array) -> Array:
    """Joint positions after `turns`, pelvis kept in place, (55, 3)."""
    posed = joints.copy()
    for row in range(1, NUM_JOINTS):
        parent = PARENTS[row]
        posed[row] = posed[parent] + turns[parent] @ (joints[row] - joints[parent])
    return posed


def blended_matrices(weights: Array, joints: Array, posed: Array, turns: Array) -> Array:
    """Affine matrices T-pose -> A-pose blended by skin weights, (V, 3, 4)."""
    back = np.transpose(turns, (0, 2, 1))
    shift = joints - np.einsum("jab,jb->ja", back, posed)
    affine = np.concatenate([back, shift[:, :, None]], axis=2)  # (J, 3, 4)
    return np.einsum("vj,jab->vab", weights, affine)


def to_t_pose(vertices: Array, matrices: Array) -> Array:
    """Vertices whose blended skinning gives back `vertices`, (V, 3)."""
    return np.linalg.solve(matrices[:, :, :3], (vertices - matrices[:, :, 3])[:, :, None])[:, :, 0]


def offsets_to_t_pose(offsets: Array, matrices: Array) -> Array:
    """Shape offsets carried into the T-pose, (V, 3)."""
    return np.linalg.solve(matrices[:, :, :3], offsets[:, :, None])[:, :, 0]
