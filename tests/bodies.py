# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies of several builds with MPFB2's rigs and weights, and poses in which a hand touches the body.

What counts here are the meshes alone: the default character's on the source's side, MakeHuman's on the rig's.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from engine.motion.character_asset import load_character
from engine.motion.kinematics import forward_kinematics
from engine.motion.retargeting import CarriedPose, MappedRig
from engine.motion.rig_guess import RestPose
from engine.motion.rig_names import RigMapping, recognise
from engine.motion.rotations import axis_angle_to_matrix
from engine.motion.skeleton import DEFAULT_SKELETON, JOINT_NAMES, PARENTS
from engine.motion.two_bones import reach
from tools.makehuman import data_root, load_base_mesh, shape_body

Array = np.ndarray
REPOSITORY = Path(__file__).resolve().parents[1]
REST = DEFAULT_SKELETON.rest_joints.astype(np.float64)
RIGS = {
    "mixamo": "standard/{}.mixamo",
    "unreal": "standard/{}.game_engine",
    "mpfb_default": "standard/{}.default",
    "cmu": "standard/{}.cmu_mb",
    "rigify_metarig": "rigify/{}.human_toes",
}
_UNIVERSAL = "macrodetails/universal"
BUILDS = {
    "man": ("macrodetails/caucasian-male-young", f"{_UNIVERSAL}-male-young-averagemuscle-averageweight"),
    "slim woman": ("macrodetails/asian-female-young", f"{_UNIVERSAL}-female-young-averagemuscle-minweight"),
    "heavy man": ("macrodetails/caucasian-male-young", f"{_UNIVERSAL}-male-young-averagemuscle-maxweight"),
    "strong man": ("macrodetails/african-male-young", f"{_UNIVERSAL}-male-young-maxmuscle-averageweight"),
    "child": ("macrodetails/caucasian-female-child",
              f"{_UNIVERSAL}-female-child-averagemuscle-averageweight"),
}  # fmt: skip


@dataclass(frozen=True)
class Mesh:
    """A mesh that skin weights move.

    Attributes:
        vertices: At rest, (V, 3), Y up.
        quads: Faces, (Q, 4).
        weights: Of each bone, (V, N).
        hand: Vertices of the left hand.
        body: Vertices of everything but the left arm.
    """

    vertices: Array
    quads: Array
    weights: Array
    hand: Array
    body: Array

    def posed(self, turns: Array, places: Array, heads: Array) -> Array:
        """Vertices, (V, 3), from turns, (N, 3, 3), and places, (N, 3), of bones that begin at `heads`."""
        moves = places - np.einsum("nij,nj->ni", turns, heads)
        mixed = (self.weights @ turns.reshape(-1, 9)).reshape(-1, 3, 3)
        return (mixed @ self.vertices[:, :, None])[..., 0] + self.weights @ moves

    def gap(self, vertices: Array) -> float:
        """How far the hand is from the body, or how deep in it (negative), metres."""
        normals = np.zeros_like(vertices)
        corners = vertices[self.quads]
        faces = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
        for corner in range(4):
            np.add.at(normals, self.quads[:, corner], faces)
        distance, nearest = cKDTree(vertices[self.body]).query(vertices[self.hand])
        nearest = self.body[nearest]
        inside = np.sum((vertices[self.hand] - vertices[nearest]) * normals[nearest], axis=1) < 0.0
        return float(np.where(inside, -distance, distance).min())


@cache
def source_mesh() -> Mesh:
    """The default character."""
    asset = load_character(REPOSITORY / "assets" / "character.npz")
    own, used = asset.weights.argmax(axis=1), np.unique(asset.quads)
    hand = [20, *range(25, 40)]
    body = ~np.isin(own[used], [13, 16, 18, *hand])
    return Mesh(
        asset.vertices.astype(np.float64), asset.quads, asset.weights.astype(np.float64),
        used[np.isin(own[used], hand)], used[body],
    )  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """A body with a rig."""

    rest: RestPose
    mapping: RigMapping
    mesh: Mesh

    def gaps(self, pose: CarriedPose, rig: MappedRig, frames: list[int]) -> list[float]:
        """How far its left hand is from its body in some frames."""
        heads = self.rest.heads @ rig.axes
        channel = {name: number for number, name in enumerate(rig.bone_names)}
        found: list[float] = []
        for frame in frames:
            turns, places = np.tile(np.eye(3), (len(heads), 1, 1)), heads.copy()
            for bone, name in enumerate(self.rest.names):
                above = self.rest.parents[bone]
                if above >= 0:
                    turns[bone] = turns[above]
                    places[bone] = places[above] + turns[above] @ (heads[bone] - heads[above])
                if name in channel:
                    turns[bone] = pose.turns[frame, channel[name]]
                if channel.get(name) == 0:
                    places[bone] = pose.hips[frame] + turns[bone] @ rig.root
            found.append(self.mesh.gap(self.mesh.posed(turns, places, heads)))
        return found


@cache
def figure(rig: str, build: str) -> Figure:
    """One of the bodies with one of MPFB2's rigs, standing on the floor."""
    root = data_root()
    base = load_base_mesh(root)
    vertices = shape_body(root, base, dict.fromkeys(BUILDS[build], 1.0))
    vertices[:, 1] -= vertices[np.unique(base.quads["body"]), 1].min()
    bones, table = (
        json.loads((root / f"mpfb2/rigs/{RIGS[rig].format(what)}.json").read_text())
        for what in ("rig", "weights")
    )
    bones, table = bones.get("bones", bones), table["weights"]
    order: list[str] = []

    def add(bone: str) -> None:
        above = bones[bone].get("parent", "")
        if above and above not in order:
            add(above)
        if bone not in order:
            order.append(bone)

    def point(rule: dict[str, Any]) -> Array:
        if rule["strategy"] == "VERTEX":
            return vertices[rule["vertex_index"]]
        cube = rule["strategy"] == "CUBE"
        return vertices[np.unique(base.quads[rule["cube_name"]]) if cube else rule["vertex_indices"]].mean(0)

    for bone in bones:
        add(bone)
    to_blender = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    heads, tails = (np.array([point(bones[name][end]) for name in order]) @ to_blender.T
                    for end in ("head", "tail"))  # fmt: skip
    parents = tuple(order.index(bones[n]["parent"]) if bones[n].get("parent") else -1 for n in order)
    rest = RestPose(
        tuple(order), parents, heads, tails, np.tile(np.eye(3), (len(order), 1, 1)), (True,) * len(order)
    )
    mapping = recognise(order, rest.above)
    assert mapping is not None
    weights = np.zeros((len(vertices), len(order)))
    for name, rows in table.items():
        bone = re.sub(r"^DEF-(.*[LR])\.001$", r"\1", name)  # the lower half of a limb of Rigify's
        if bone in order and "helper" not in bone:
            pairs = np.asarray(rows, dtype=np.float64).reshape(-1, 2)
            weights[pairs[:, 0].astype(int), order.index(bone)] += pairs[:, 1]
    total = weights.sum(axis=1)
    weights /= np.maximum(total, 1e-9)[:, None]
    used = np.unique(base.quads["body"])
    quads = np.searchsorted(used, base.quads["body"])  # the helpers of clothes are left out
    vertices, weights, bound = vertices[used], weights[used], total[used] > 0.1
    own = weights.argmax(axis=1)
    hand, arm = (
        np.array([order.index(mapping.bones[slot][0]) in rest.chain(bone) for bone in range(len(order))])
        for slot in ("left_wrist", "left_collar")
    )
    on_hand, elsewhere = (np.flatnonzero(bound & some) for some in (hand[own], ~arm[own]))
    return Figure(rest, mapping, Mesh(vertices, quads, weights, on_hand, elsewhere))


@dataclass(frozen=True)
class Touch:
    """Where the left hand goes: on its way from `far` towards `near`, until it touches.

    Attributes:
        far: Where the way begins, from the pelvis joint, metres.
        near: Where it leads to.
        fingers: Which way the fingers point.
        palm: Which way the palm looks.
        bent: How far the hips are bent, radians.
    """

    far: tuple[float, float, float]
    near: tuple[float, float, float]
    fingers: tuple[float, float, float]
    palm: tuple[float, float, float]
    bent: float = 0.0


TOUCHES = {
    "belly": Touch((0.05, 0.12, 0.45), (0.0, 0.12, 0.0), (-1, 0, 0.1), (0, 0, -1)),
    "waist": Touch((0.4, 0.12, 0.1), (0.0, 0.12, 0.04), (0, -0.3, 1), (-1, 0, 0)),
    "chest": Touch((-0.02, 0.33, 0.45), (-0.02, 0.33, 0.0), (-1, 0.4, 0.1), (0, 0, -1)),
    "cheek": Touch((0.3, 0.6, 0.12), (0.0, 0.6, 0.1), (0, 1, 0.2), (-1, 0, 0)),
    "chin": Touch((0.04, 0.42, 0.3), (0.0, 0.55, 0.11), (-0.3, 1, -0.2), (0, 0, -1)),
    "brow": Touch((0.1, 0.66, 0.4), (0.0, 0.68, 0.0), (-1, 0.3, 0), (0, 0, -1)),
    "head": Touch((0.1, 1.0, 0.03), (0.0, 0.6, 0.03), (-1, 0, 0), (0, -1, 0)),
    "thigh": Touch((0.2, -0.25, 0.3), (0.12, -0.25, 0.0), (0, -1, 0.1), (0, 0, -1)),
    "thigh of one who sits": Touch((0.14, 0.2, 0.3), (0.11, -0.2, 0.3), (-0.3, 0, 1), (0, -1, 0), 1.5),
    "knee of one who sits": Touch((0.14, 0.25, 0.42), (0.11, -0.1, 0.42), (-0.1, 0, 1), (0, -1, 0), 1.5),
    "other shoulder": Touch((-0.2, 0.6, 0.25), (-0.17, 0.36, 0.02), (-0.7, 0.2, -1), (0, -1, -0.3)),
}
_HAND = [20, *range(25, 40)]
_ARM = [16, 18, *_HAND]


def hanging(bent: float = 0.0) -> Array:
    """Turns of the joints in the world, arms hanging away from the body, (55, 3, 3)."""
    world = np.tile(np.eye(3), (55, 1, 1))
    for side, sign in ((0, -1.0), (1, 1.0)):
        down = axis_angle_to_matrix(np.array([0.0, 0.0, sign * 0.9]))
        world[[16 + side, 18 + side, 20 + side, *range(25 + 15 * side, 40 + 15 * side)]] = down
    world[[1, 2]] = axis_angle_to_matrix(np.array([-bent, 0.0, 0.0]))
    return world


def local(world: Array) -> Array:
    """Turns of the joints against the ones above, (..., 55, 3, 3)."""
    result = world.copy()
    above = np.array(PARENTS[1:])
    result[..., 1:, :, :] = np.swapaxes(world[..., above, :, :], -1, -2) @ world[..., 1:, :, :]
    return result


@cache
def touching(name: str) -> Array:
    """Turns of the joints in the world when the hand touches there, (55, 3, 3)."""
    touch = TOUCHES[name]
    return _led(hanging(touch.bent), touch)


CROSSINGS = {
    "folded": ((-0.1, 0.2), (0.5, (0.0, 0.0, 0.35)), (-1, 0.1, -0.4), (0, 0, -1)),
    "hand under elbow": ((-0.1, 0.2), (0.97, (0.0, -0.35, 0.2)), (-1, 0.2, 0.2), (0, 1, 0)),
    "hand on hand": ((0.02, 0.3), None, (-1, 0.4, 0.1), (0, 0, -1)),
}
"""Where on the trunk one hand goes; how far down the other's upper arm that one goes and from where it comes,
none for the other hand; which way its fingers point and its palm looks."""


@cache
def crossing(name: str) -> Array:
    """Turns of the joints in the world when the left arm lies over the right one, (55, 3, 3)."""
    (x, y), goal, fingers, palm = CROSSINGS[name]
    below = mirrored(_led(hanging(), Touch((x, y, 0.4), (x, y, 0.0), (-1, 0.2, -0.3), (0, 0, -1))))
    places = forward_kinematics(local(below), np.zeros(3), REST)[0]
    near, way = np.array([-x, y, 0.0]), np.array([0.0, 0.0, 0.45])
    if goal:
        near, way = places[17] + goal[0] * (places[19] - places[17]), np.array(goal[1])
    return _led(below, Touch(tuple(near + way), tuple(near), fingers, palm))


def mirrored(world: Array) -> Array:
    """Turns of the joints, (55, 3, 3), with left and right exchanged."""
    flip = np.diag([-1.0, 1.0, 1.0])
    other = {"left": "right", "right": "left"}
    names = [re.sub("left|right", lambda found: other[found[0]], name) for name in JOINT_NAMES]
    return flip @ world[[JOINT_NAMES.index(name) for name in names]] @ flip


def _led(start: Array, touch: Touch) -> Array:
    """Turns of the joints in the world when the left hand was led until it touches, (55, 3, 3)."""
    root = np.array([0.0, DEFAULT_SKELETON.standing_height, 0.0])
    places = forward_kinematics(local(start), root, REST)[0]
    fingers = np.array(touch.fingers, dtype=np.float64) / np.linalg.norm(touch.fingers)
    palm = np.array(touch.palm, dtype=np.float64)
    palm = palm - fingers * (palm @ fingers)
    palm /= np.linalg.norm(palm)
    hand = np.stack([fingers, -palm, np.cross(fingers, -palm)], axis=1)
    far, near = (root + np.array(end, dtype=np.float64) for end in (touch.far, touch.near))
    shoulder, elbow, wrist = places[[16, 18, 20]]
    low, high, world, gap = 0.0, 1.0, start, np.inf
    for _ in range(9):
        share = (low + high) / 2.0
        wanted = far + (near - far) * share - 0.09 * fingers - shoulder
        hinge = start[18] @ np.array([0.0, -1.0, 0.0])
        more = reach((elbow - shoulder)[None], (wrist - elbow)[None], wanted[None], hinge[None])[0]
        world = start.copy()
        world[16], world[18], world[_HAND] = more[0] @ start[16], more[1] @ start[18], hand
        mesh = source_mesh()
        placed = forward_kinematics(local(world), root, REST)[0]
        gap = mesh.gap(mesh.posed(world, placed, REST))
        low, high = (share, high) if gap > 0.0 else (low, share)
    assert abs(gap) < 0.01, (touch, gap)
    return world
