# SPDX-License-Identifier: GPL-3.0-or-later
"""By which constant turn each bone of a rig differs from the T-pose, whatever pose the rig rests in."""

from __future__ import annotations

import numpy as np

from .arrays import DoubleArray
from .rig_guess import RestPose
from .rig_names import RigMapping
from .rotations import smallest_turn
from .skeleton import DEFAULT_SKELETON, JOINT_NAMES

_JOINTS = {name: joint for joint, name in enumerate(JOINT_NAMES)}
_REST = DEFAULT_SKELETON.rest_joints.astype(np.float64)


def turns_to_t_pose(
    places: dict[str, DoubleArray], rest: RestPose, mapping: RigMapping, axes: DoubleArray
) -> DoubleArray:
    """Turns from the rest pose to the T-pose by joint, (55, 3, 3)."""
    result = np.tile(np.eye(3), (len(JOINT_NAMES), 1, 1))
    for side in ("left", "right"):
        upper, lower, hand = (_JOINTS[f"{side}_{limb}"] for limb in ("shoulder", "elbow", "wrist"))
        result[upper] = _along(places, f"{side}_shoulder", f"{side}_elbow", np.eye(3))
        result[lower] = _along(places, f"{side}_elbow", f"{side}_wrist", result[upper])
        result[hand] = _hand(places, side, result[lower])
        for finger in ("index", "middle", "pinky", "ring", "thumb"):
            above = result[hand]
            for phalanx in (1, 2, 3):
                name = f"{side}_{finger}{phalanx}"
                above = _along(places, name, f"{side}_{finger}{phalanx + 1}", above)
                result[_JOINTS[name]] = above
        hip, knee, ankle, foot = (_JOINTS[f"{side}_{limb}"] for limb in ("hip", "knee", "ankle", "foot"))
        result[hip] = _along(places, f"{side}_hip", f"{side}_knee", np.eye(3))
        result[knee] = _along(places, f"{side}_knee", f"{side}_ankle", result[hip])
        result[ankle] = result[foot] = _foot(places, side, rest, mapping, axes)
    return result


def _along(places: dict[str, DoubleArray], start: str, end: str, above: DoubleArray) -> DoubleArray:
    """The correction of a bone that goes on from one with the correction `above`."""
    if start not in places or end not in places:
        return above
    ours = above @ (places[end] - places[start])
    return smallest_turn(ours, _REST[_JOINTS[end]] - _REST[_JOINTS[start]]) @ above


def _hand(places: dict[str, DoubleArray], side: str, above: DoubleArray) -> DoubleArray:
    """The correction of a hand, by where its knuckles lie."""
    names = [
        f"{side}_{finger}1"
        for finger in ("index", "middle", "ring", "pinky")
        if f"{side}_{finger}1" in places
    ]
    if not names:
        return above
    wrist = f"{side}_wrist"
    ahead = f"{side}_middle1" if f"{side}_middle1" in places else names[0]
    if len(names) == 1:
        return _along(places, wrist, ahead, above)
    ours = _frame(places[ahead] - places[wrist], places[names[0]] - places[names[-1]])
    first, last = _REST[_JOINTS[names[0]]], _REST[_JOINTS[names[-1]]]
    return _frame(_REST[_JOINTS[ahead]] - _REST[_JOINTS[wrist]], first - last) @ ours.T


def _frame(ahead: DoubleArray, across: DoubleArray) -> DoubleArray:
    """Axes from two directions, (3, 3)."""
    x = ahead / max(float(np.linalg.norm(ahead)), 1e-12)
    z = across - x * (across @ x)
    z = z / max(float(np.linalg.norm(z)), 1e-12)
    return np.stack([x, np.cross(z, x), z], axis=1)


def _foot(
    places: dict[str, DoubleArray], side: str, rest: RestPose, mapping: RigMapping, axes: DoubleArray
) -> DoubleArray:
    """The turn about the upright that points a foot straight ahead as ours."""
    ankle = f"{side}_ankle"
    if f"{side}_foot" in places:
        ours = places[f"{side}_foot"] - places[ankle]
    else:
        bone = rest.names.index(mapping.bones[ankle][0])
        ours = (rest.tails[bone] - rest.heads[bone]) @ axes
    if np.linalg.norm(ours[[0, 2]]) < 0.3 * np.linalg.norm(ours):
        return np.eye(3)
    theirs = _REST[_JOINTS[f"{side}_foot"]] - _REST[_JOINTS[ankle]]
    level = np.array([1.0, 0.0, 1.0])
    return smallest_turn(ours * level, theirs * level)
