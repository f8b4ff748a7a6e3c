# SPDX-License-Identifier: GPL-3.0-or-later
"""Guess which bones of an unknown rig are which, from its hierarchy and proportions alone.

A body is a tree: two legs reach the lowest points on both sides, two arms the farthest ones, and a head the
highest one near the middle. The branching bones are the pelvis and the chest. Within a limb, the two longest
neighbouring stretches are its upper and lower half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .arrays import DoubleArray
from .rig_names import NECK, SPINE, RigMapping


@dataclass(frozen=True)
class RestPose:
    """Bones of a rig at rest, in the rig's own space; parents come before children.

    Attributes:
        names: N bone names.
        parents: Index of each bone's parent, -1 for none.
        heads: Where the bones begin, (N, 3).
        tails: Where they end, (N, 3).
        turns: Their orientations, (N, 3, 3), rotations.
        inherits: Whether a bone turns along with its parent.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    heads: DoubleArray
    tails: DoubleArray
    turns: DoubleArray
    inherits: tuple[bool, ...]

    @property
    def above(self) -> dict[str, str]:
        """The bone that carries each bone, "" for none."""
        return {
            name: self.names[parent] if parent >= 0 else ""
            for name, parent in zip(self.names, self.parents, strict=True)
        }

    def chain(self, bone: int) -> list[int]:
        """From the root to a bone."""
        found = [bone]
        while self.parents[found[-1]] >= 0:
            found.append(self.parents[found[-1]])
        return found[::-1]


LONGEST_LIMB = 60
"""Bones of a chain that may be a limb; its halves are looked for among all threes of them."""


def guess(rest: RestPose) -> RigMapping:
    """Guess a mapping; slots that cannot be made out are left empty."""
    places = rest.heads
    if len(places) < 10:
        return RigMapping("guess", {})
    size = np.ptp(places, axis=0)
    up = 2 if size[2] >= size[1] else 1
    middle = float(np.median(places[:, 0]))
    side, height = places[:, 0] - middle, places[:, up]
    near = 0.02 * float(size[up])
    inner = set(rest.parents)
    leaves = [bone for bone in range(len(places)) if bone not in inner]
    left = [bone for bone in leaves if side[bone] > near]
    right = [bone for bone in leaves if side[bone] < -near]
    centre = [bone for bone in range(len(places)) if abs(side[bone]) <= near]
    if not left or not right or not centre:
        return RigMapping("guess", {})
    bones: dict[str, tuple[int, ...]] = {}
    feet = [rest.chain(min(some, key=lambda bone: height[bone])) for some in (left, right)]
    arms = [rest.chain(max(some, key=lambda bone: abs(side[bone]))) for some in (left, right)]
    head = rest.chain(max(centre, key=lambda bone: height[bone]))
    pelvis, chest = _fork(feet[0], feet[1]), _fork(arms[0], arms[1])
    if pelvis is None or chest is None or chest not in head:
        return RigMapping("guess", {})
    bones["pelvis"] = (pelvis,)
    trunk = rest.chain(chest)
    bones[SPINE] = tuple(trunk[trunk.index(pelvis) + 1 :]) if pelvis in trunk else (chest,)
    top = [bone for bone in head[head.index(chest) + 1 :] if height[bone] > height[chest]]
    if top:
        bones[NECK], bones["head"] = _neck_and_head(top, height)
    for name, leg, arm in (("left", feet[0], arms[0]), ("right", feet[1], arms[1])):
        bones |= {f"{name}_{slot}": (bone,) for slot, bone in _leg(rest, leg, pelvis, up).items()}
        bones |= {f"{name}_{slot}": (bone,) for slot, bone in _arm(rest, arm, chest).items()}
    named = {slot: tuple(rest.names[bone] for bone in some) for slot, some in bones.items() if some}
    return RigMapping("guess", named)


def _fork(first: Sequence[int], second: Sequence[int]) -> int | None:
    """The last bone that two chains share."""
    shared = [bone for bone, other in zip(first, second, strict=False) if bone == other]
    return shared[-1] if shared else None


def _neck_and_head(top: list[int], height: DoubleArray) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The head is the second bone above the chest, or the only one; bones above it belong to the face."""
    if len(top) == 1:
        return (), (top[0],)
    gaps = np.diff([height[bone] for bone in top])
    head = (
        1 + int(np.argmax(gaps[1:] > 2.0 * gaps[0]))
        if len(gaps) > 1 and (gaps[1:] > 2.0 * gaps[0]).any()
        else 1
    )
    return tuple(top[:head]), (top[head],)


def _halves(rest: RestPose, chain: list[int]) -> tuple[int, int, int] | None:
    """Places in a chain of upper half, lower half and end: the stretches whose shorter one is longest."""
    best, found = 0.0, None
    if len(chain) > LONGEST_LIMB:
        return None
    for i in range(len(chain)):
        for j in range(i + 1, len(chain)):
            for k in range(j + 1, len(chain)):
                a, b, c = (rest.heads[chain[place]] for place in (i, j, k))
                shorter = min(float(np.linalg.norm(b - a)), float(np.linalg.norm(c - b)))
                bent = np.linalg.norm(c - a) < 0.8 * (np.linalg.norm(b - a) + np.linalg.norm(c - b))
                if shorter > best * 1.02 and not bent:
                    best, found = shorter, (i, j, k)
    return None if found is None else _tightened(rest, chain, *found)


def _tightened(rest: RestPose, chain: list[int], i: int, j: int, k: int) -> tuple[int, int, int]:
    """Leave out what comes before the upper half, as a collar, and after the lower half, as fingers."""

    def length(first: int, second: int) -> float:
        return float(np.linalg.norm(rest.heads[chain[second]] - rest.heads[chain[first]]))

    start = max(place for place in range(i, j) if place == i or length(place, j) >= 0.7 * length(j, k))
    end = min(
        place for place in range(j + 1, k + 1) if place == k or length(j, place) >= 0.8 * length(start, j)
    )
    return start, j, end


def _leg(rest: RestPose, chain: list[int], pelvis: int, up: int) -> dict[str, int]:
    """Hip, knee, ankle and foot below the pelvis."""
    below = [bone for bone in chain[chain.index(pelvis) + 1 :]]
    steps = np.diff(rest.heads[below], axis=0)
    flat = [
        place for place in range(1, len(steps)) if abs(steps[place, up]) < 0.6 * np.linalg.norm(steps[place])
    ]
    stop = flat[0] + 1 if flat else len(below)
    found = _halves(rest, below[:stop])
    if found is None:
        return {}
    hip, knee, ankle = (below[place] for place in found)
    leg = {"hip": hip, "knee": knee, "ankle": ankle}
    if found[2] + 1 < len(below):
        leg["foot"] = below[found[2] + 1]
    return leg


def _arm(rest: RestPose, chain: list[int], chest: int) -> dict[str, int]:
    """Collar, shoulder, elbow and wrist; a hand is where fingers branch off."""
    out = chain[chain.index(chest) + 1 :]
    hands = [place for place, bone in enumerate(out) if rest.parents.count(bone) >= 3]
    found = _halves(rest, out[: hands[-1] + 1] if hands else out)
    if found is None:
        return {}
    shoulder, elbow, wrist = (out[place] for place in found)
    arm = {"shoulder": shoulder, "elbow": elbow, "wrist": wrist}
    if found[0] > 0:
        arm["collar"] = out[0]
    return arm
