# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry motion between the 55 joints and the bones of any rig, whatever its rest pose, rolls and proportions.

Every bone of a rig takes over the turn of a joint, seen in the world and counted from the T-pose. A rig whose
rest pose is no T-pose differs from it by a constant turn per bone, the correction: the smallest one that lays
the limb along the joint's limb, hands by two directions so that palms agree too. A bone's turn is then
`G C B`: its rest orientation B, the correction C, the joint's turn G. Trunk and head keep the rig's own
posture (C is none), feet stay level with the floor (C turns them about the upright only).

A trunk with more or fewer bones than three takes turns between the joints', evenly spread, the last bone
always that of the third. The hips move by the ratio of the leg lengths. Thigh and shin may be in another
ratio and hips of another width, which would let a standing foot creep; it is held where it was put down by
the smallest turn of the leg that does so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..errors import ClipError
from ..specs import Part
from .arrays import DoubleArray
from .clip import Clip
from .foot_hold import Leg, hold_feet
from .hand_hold import Source, hold_hands
from .kinematics import forward_kinematics
from .rest_turns import turns_to_t_pose
from .rig_build import Build, build_of, joint_places, own_build
from .rig_guess import RestPose
from .rig_names import KINDS, NECK, SPINE, RigMapping
from .rotations import (
    axis_angle_to_matrix,
    matrix_to_axis_angle,
    matrix_to_quaternion,
    quaternion_to_matrix,
    slerp,
)
from .skeleton import DEFAULT_SKELETON, JOINT_NAMES, PARENTS, PART_JOINTS

_JOINTS = {name: joint for joint, name in enumerate(JOINT_NAMES)}
_REST = DEFAULT_SKELETON.rest_joints.astype(np.float64)
_PART_OF = {joint: part for part, joints in PART_JOINTS.items() for joint in joints}
_TRUNK, _NECK_ENDS = (0, 3, 6, 9), (9, 12)
_OWN = own_build()
_ARMS = (16, 17, 18, 19)
READ_ROUNDS = 3
"""So often arms are tried when a pose is read, that what was written is written alike again."""

SNAP_COSINE = 0.9
"""Rest poses nearer to whole quarter turns than this are taken to stand upright and face straight on."""


@dataclass(frozen=True)
class MappedBone:
    """One bone that is moved.

    Attributes:
        name: Its name.
        joint: The joint it stands for when a pose is read, or -1 for one of several that move alike.
        turn: Two joints and a share: the bone turns like the first, that far on the way to the second.
        part: The part of the body it belongs to.
    """

    name: str
    joint: int
    turn: tuple[int, int, float]
    part: Part


@dataclass(frozen=True)
class MappedRig:
    """All that carries motion to one rig and back. M bones, parents before children, the pelvis first.

    Attributes:
        mapping: What was mapped.
        bones: The bones.
        parents: Index of the mapped bone that carries each one along, -1 for none.
        rest: Rest orientations in engine axes, (M, 3, 3).
        corrections: Turns from the rest pose to the T-pose, (M, 3, 3).
        axes: Engine axes to the rig's, (3, 3).
        scale: Rig units per metre.
        root: Where the pelvis bone begins, from the middle of the hips, at rest, (3,), engine axes.
        rest_hips: The middle of the hips at rest, (3,), engine axes, rig units.
        standing: Its height when the legs are straight and the feet are where they are at rest.
        legs: Lengths and places of both legs.
        build: Where its joints are and how large its parts are.
        keep_hands: Whether hands that are near the body are kept where they are near it.
    """

    mapping: RigMapping
    bones: tuple[MappedBone, ...]
    parents: tuple[int, ...]
    rest: DoubleArray
    corrections: DoubleArray
    axes: DoubleArray
    scale: float
    root: DoubleArray
    rest_hips: DoubleArray
    standing: float
    legs: tuple[Leg, Leg]
    build: Build
    keep_hands: bool = True

    @property
    def bone_names(self) -> tuple[str, ...]:
        """Names of the bones."""
        return tuple(bone.name for bone in self.bones)

    def bones_of(self, parts: tuple[Part, ...]) -> list[int]:
        """Indices of the bones that belong to some parts."""
        return [index for index, bone in enumerate(self.bones) if bone.part in parts]

    def index_of(self, joint: int) -> int:
        """The bone that stands for a joint, -1 where none does."""
        return next((index for index, bone in enumerate(self.bones) if bone.joint == joint), -1)

    def like(self, joint: int) -> list[int]:
        """All bones that turn as a joint does."""
        return [index for index, bone in enumerate(self.bones) if bone.turn == (joint, joint, 0.0)]


@dataclass(frozen=True)
class CarriedPose:
    """Poses of a rig.

    Attributes:
        turns: Turns of the bones from the rest pose, seen in the rig's space, engine axes, (F, M, 3, 3).
        hips: The middle of the hips, engine axes, rig units, (F, 3).
    """

    turns: DoubleArray
    hips: DoubleArray


def map_rig(rest: RestPose, mapping: RigMapping, keep_hands: bool = True) -> MappedRig:
    """Work out how motion is carried to a rig.

    Args:
        rest: The rig at rest.
        mapping: Which bone is which.
        keep_hands: Whether hands that are near the body are kept where they are near it.

    Raises:
        ClipError: If bones that a body needs are missing, or the rest pose has no legs or no up.
    """
    if mapping.missing:
        raise ClipError(f"The rig has no bones for {', '.join(mapping.missing)}; choose them in Rig Mapping.")
    index = {name: bone for bone, name in enumerate(rest.names)}
    absent = [name for names in mapping.bones.values() for name in names if name not in index]
    if absent:
        raise ClipError(f'The rig has no bone "{absent[0]}"; choose another one in Rig Mapping.')
    heads = {slot: rest.heads[index[names[0]]] for slot, names in mapping.bones.items()}
    axes = _axes(heads)
    places = {slot: head @ axes for slot, head in heads.items()}
    bones = sorted(
        _mapped_bones(mapping), key=lambda bone: (bone.turn != (0, 0, 0.0), len(rest.chain(index[bone.name])))
    )
    if KINDS[mapping.kind].carried_by_joints:
        bones = sorted(bones, key=lambda bone: (bone.turn[1], bone.turn[2]))
    parents = _carriers(rest, mapping, bones, index)
    corrections = turns_to_t_pose(places, rest, mapping, axes)
    turns = np.array([rest.turns[index[bone.name]] for bone in bones])
    hips = (places["left_hip"] + places["right_hip"]) / 2
    scale = _leg_length(places) / DEFAULT_SKELETON.leg_length
    legs = (_leg(places, "left", hips, corrections, scale), _leg(places, "right", hips, corrections, scale))
    reach = [leg.hip[1] + leg.thigh * leg.rest_thigh[1] + leg.shin * leg.rest_shin[1] for leg in legs]
    ankles = [float(places[f"{side}_ankle"][1]) for side in ("left", "right")]
    return MappedRig(
        mapping=mapping,
        bones=tuple(bones),
        parents=parents,
        rest=np.matmul(axes.T, turns),
        corrections=np.array([corrections[bone.turn[1]] for bone in bones]),
        axes=axes,
        scale=scale,
        root=places["pelvis"] - hips,
        rest_hips=hips,
        standing=float(np.mean(ankles) - np.mean(reach)),
        legs=legs,
        build=build_of(rest, mapping, [bone.name for bone in bones], axes, corrections, scale),
        keep_hands=keep_hands,
    )


def clip_to_rig(clip: Clip, rig: MappedRig) -> tuple[DoubleArray, DoubleArray]:
    """Turn a clip into bone channels.

    Returns:
        Quaternions of the bones in their own rest axes, w first, (F, M, 4), and locations of the pelvis bone
        in its rest axes, rig units, (F, 3).
    """
    return pose_to_channels(carry(clip, rig), rig)


def pose_to_channels(pose: CarriedPose, rig: MappedRig) -> tuple[DoubleArray, DoubleArray]:
    """Turn poses into bone channels, as `clip_to_rig` does."""
    local = np.empty_like(pose.turns)
    for bone, parent in enumerate(rig.parents):
        turned = pose.turns[:, bone]
        if parent >= 0:
            turned = np.swapaxes(pose.turns[:, parent], 1, 2) @ turned
        local[:, bone] = rig.rest[bone].T @ turned @ rig.rest[bone]
    root = pose.hips + pose.turns[:, 0] @ rig.root
    return matrix_to_quaternion(local), (root - rig.rest_hips - rig.root) @ rig.rest[0]


def rig_to_clip(quaternions: DoubleArray, locations: DoubleArray, rig: MappedRig, fps: float) -> Clip:
    """Turn bone channels back into a clip without face channels; arguments as `clip_to_rig` returns them."""
    local = quaternion_to_matrix(quaternions)
    turns = np.empty_like(local)
    for bone, parent in enumerate(rig.parents):
        turned = rig.rest[bone] @ local[:, bone] @ rig.rest[bone].T
        turns[:, bone] = turned if parent < 0 else turns[:, parent] @ turned
    root = locations @ rig.rest[0].T + rig.rest_hips + rig.root
    return taken(CarriedPose(turns, root - turns[:, 0] @ rig.root), rig, fps)


def carry(clip: Clip, rig: MappedRig) -> CarriedPose:
    """The pose of a rig for every frame of a clip, planted feet held."""
    places, world = _joints(clip)
    turns = np.stack([_between(world, bone.turn) for bone in rig.bones], 1) @ rig.corrections
    hips = _middle(places) * rig.scale
    hips[:, 1] += rig.standing - rig.scale * _STANDING_HIPS
    hips[:, [0, 2]] += rig.rest_hips[[0, 2]]
    for side, leg in enumerate(rig.legs):
        thigh, shin = rig.index_of(1 + side), rig.index_of(4 + side)
        ankles = places[:, 7 + side]
        held = hold_feet(
            turns[:, [thigh, shin]], hips + turns[:, 0] @ leg.hip, leg, ankles, rig.scale, clip.fps
        )
        for half, (bone, joint) in enumerate(((thigh, 1 + side), (shin, 4 + side))):
            more = held[:, half] @ np.swapaxes(turns[:, bone], 1, 2)
            for alike in rig.like(joint):
                turns[:, alike] = held[:, half] if alike == bone else more @ turns[:, alike]
    if rig.keep_hands:
        root = hips + turns[:, 0] @ rig.root
        source = Source(places, _middle(places), world, _OWN.sizes, clip.fps)
        turns = hold_hands(turns, root, hips, source, rig.build, rig.scale)
    return CarriedPose(turns, hips)


def taken(pose: CarriedPose, rig: MappedRig, fps: float, rounds: int = READ_ROUNDS) -> Clip:
    """Read a pose as a clip; joints without a bone go along with the one above. Inverse of `carry`.

    Hands that touch the rig's body touch ours in the same places, where the rig keeps hands at all.

    Args:
        pose: What the rig does.
        rig: The rig.
        fps: Frames per second.
        rounds: So often arms are tried, so that they are carried to the same pose again; 0 where motion comes
            from elsewhere and need not be.
    """
    clip = _read(pose, rig, fps)
    if not rig.keep_hands:
        return clip
    places, world = _joints(clip)
    on_rig = joint_places(pose.turns, pose.hips + pose.turns[:, 0] @ rig.root, rig.build)
    source = Source(on_rig, pose.hips, world, rig.build.sizes, fps)
    held = hold_hands(world, places[:, 0], _middle(places), source, _OWN, 1.0)
    if held is world:
        return clip
    arms, ours = [rig.index_of(joint) for joint in _ARMS], list(_ARMS)
    for _ in range(rounds):
        left = pose.turns[:, arms] @ np.swapaxes(carry(_with_arms(clip, held), rig).turns[:, arms], -1, -2)
        held[:, ours] = left @ held[:, ours]
    return _with_arms(clip, held)


def _joints(clip: Clip) -> tuple[DoubleArray, DoubleArray]:
    """Places, (F, 55, 3), and turns in the world, (F, 55, 3, 3), of the joints."""
    rotations = axis_angle_to_matrix(clip.poses.astype(np.float64))
    return forward_kinematics(rotations, clip.pelvis_positions.astype(np.float64), _REST)


def _middle(places: DoubleArray) -> DoubleArray:
    """The middle of the hips, (F, 3)."""
    return (places[:, 1] + places[:, 2]) / 2


def _with_arms(clip: Clip, world: DoubleArray) -> Clip:
    """A clip with other arms, given by the turns of all joints in the world, (F, 55, 3, 3)."""
    poses = clip.poses.copy()
    moved = [*_ARMS, 20, 21]
    above = np.array(PARENTS)[moved]
    poses[:, moved] = matrix_to_axis_angle(np.swapaxes(world[:, above], -1, -2) @ world[:, moved])
    return replace(clip, poses=poses)


def _read(pose: CarriedPose, rig: MappedRig, fps: float) -> Clip:
    """Read a pose as a clip, whatever the hands do."""
    num_frames = len(pose.hips)
    world = np.tile(np.eye(3), (num_frames, len(JOINT_NAMES), 1, 1))
    plain = pose.turns @ np.swapaxes(rig.corrections, 1, 2)
    for joint in range(len(JOINT_NAMES)):
        bone = rig.index_of(joint)
        if joint in _TRUNK[1:] or joint == _NECK_ENDS[1]:
            world[:, joint] = _within_chain(plain, rig, joint)
        elif bone >= 0:
            world[:, joint] = plain[:, bone]
        elif joint:
            world[:, joint] = world[:, PARENTS[joint]]
    local = world.copy()
    above = np.array(PARENTS[1:])
    local[:, 1:] = np.swapaxes(world[:, above], 2, 3) @ world[:, 1:]
    hips = pose.hips - np.array(
        [rig.rest_hips[0], rig.standing - rig.scale * _STANDING_HIPS, rig.rest_hips[2]]
    )
    pelvis = hips / rig.scale - world[:, 0] @ _HIPS
    rest = Clip.rest(num_frames, fps)
    return replace(
        rest,
        poses=matrix_to_axis_angle(local).astype(np.float32),
        trans=pelvis.astype(np.float32),
        expressions=np.zeros((num_frames, 0), dtype=np.float32),
        expression_names=(),
        basis="none",
    )


_HIPS = (_REST[1] + _REST[2]) / 2
_STANDING_HIPS = float(DEFAULT_SKELETON.standing_height + _HIPS[1])
_STANDING_ANKLE = float(DEFAULT_SKELETON.standing_height + _REST[7, 1])


def _mapped_bones(mapping: RigMapping) -> list[MappedBone]:
    """Every bone with the joint or joints whose turn it takes over."""
    found: list[MappedBone] = []
    for slot, names in mapping.bones.items():
        for place, name in enumerate(names):
            if slot in (SPINE, NECK):
                chain = _TRUNK if slot == SPINE else _NECK_ENDS
                way = (place + 1) / len(names) * (len(chain) - 1)
                lower = min(int(np.ceil(way - 1e-9)) - 1, len(chain) - 2)
                turn = (chain[lower], chain[lower + 1], way - lower)
                found.append(MappedBone(name, -1, turn, Part.UPPER))
                continue
            joint = _JOINTS[slot]
            turn = (joint, joint, 0.0)
            found.append(MappedBone(name, joint if place == 0 else -1, turn, _PART_OF[joint]))
    return found


def _carriers(
    rest: RestPose, mapping: RigMapping, bones: list[MappedBone], index: dict[str, int]
) -> tuple[int, ...]:
    """Which mapped bone carries each one along."""
    place = {bone.name: number for number, bone in enumerate(bones)}
    if KINDS[mapping.kind].carried_by_joints:
        return tuple(_joint_above(bones, number) for number in range(len(bones)))
    result: list[int] = []
    for bone in bones:
        at = index[bone.name]
        while rest.inherits[at] and rest.parents[at] >= 0 and rest.names[rest.parents[at]] not in place:
            at = rest.parents[at]
        above = rest.names[rest.parents[at]] if rest.parents[at] >= 0 and rest.inherits[at] else ""
        result.append(place.get(above, -1))
    return tuple(result)


def _joint_above(bones: list[MappedBone], number: int) -> int:
    """The mapped bone that comes before one in the body."""
    bone = bones[number]
    if bone.turn[0] == bone.turn[1] == 0:
        return -1
    same = [k for k in range(number) if bones[k].turn[1] == bone.turn[1] and bones[k].turn[2] < bone.turn[2]]
    if same:
        return same[-1]
    above = PARENTS[bone.turn[1]]
    while above >= 0:
        last = [k for k in range(len(bones)) if bones[k].turn[1] == above and bones[k].turn != bone.turn]
        if last:
            return last[-1]
        above = PARENTS[above]
    return -1


def _axes(heads: dict[str, DoubleArray]) -> DoubleArray:
    """Engine axes to the rig's from where its limbs are at rest, (3, 3)."""
    left = heads["left_hip"] - heads["right_hip"] + heads["left_shoulder"] - heads["right_shoulder"]
    up = heads["head"] - (heads["left_ankle"] + heads["right_ankle"]) / 2
    if np.linalg.norm(np.cross(left, up)) < 1e-6 * max(float(np.linalg.norm(up)) ** 2, 1e-12):
        raise ClipError(
            "The rig's rest pose has no recognisable left and up: choose its bones in Rig Mapping."
        )
    up = up / np.linalg.norm(up)
    left = left - up * (left @ up)
    exact = np.stack([left / np.linalg.norm(left), up, np.cross(left / np.linalg.norm(left), up)], axis=1)
    snapped = np.where(np.abs(exact) > SNAP_COSINE, np.sign(exact), 0.0)
    return snapped if np.abs(np.abs(snapped).sum(axis=0) - 1.0).max() == 0.0 else exact


def _leg_length(places: dict[str, DoubleArray]) -> float:
    """Thigh plus shin, mean of both sides."""
    ends = [
        (f"{side}_{a}", f"{side}_{b}")
        for side in ("left", "right")
        for a, b in (("hip", "knee"), ("knee", "ankle"))
    ]
    length = sum(float(np.linalg.norm(places[b] - places[a])) for a, b in ends) / 2
    if length < 1e-6:
        raise ClipError("The legs of the rig have no length: choose hip, knee and ankle in Rig Mapping.")
    return length


def _leg(
    places: dict[str, DoubleArray], side: str, hips: DoubleArray, corrections: DoubleArray, scale: float
) -> Leg:
    """Lengths and rest directions of one leg."""
    hip, knee, ankle = (places[f"{side}_{limb}"] for limb in ("hip", "knee", "ankle"))
    thigh = corrections[_JOINTS[f"{side}_hip"]] @ (knee - hip)
    shin = corrections[_JOINTS[f"{side}_knee"]] @ (ankle - knee)
    lengths = (float(np.linalg.norm(thigh)), float(np.linalg.norm(shin)))
    return Leg(
        hip=hip - hips,
        thigh=lengths[0],
        shin=lengths[1],
        rest_thigh=thigh / max(lengths[0], 1e-12),
        rest_shin=shin / max(lengths[1], 1e-12),
        to_knee=(knee - hip) / max(lengths[0], 1e-12),
        to_ankle=(ankle - knee) / max(lengths[1], 1e-12),
        ankle_height=float(ankle[1]) - scale * _STANDING_ANKLE,
    )


def _between(world: DoubleArray, turn: tuple[int, int, float]) -> DoubleArray:
    """The turn of a bone, (F, 3, 3), from those of all joints, (F, 55, 3, 3)."""
    first, second, share = turn
    if share in (0.0, 1.0):
        return world[:, second if share else first]
    ends = matrix_to_quaternion(world[:, [first, second]])
    return quaternion_to_matrix(slerp(ends[:, 0], ends[:, 1], np.full(len(ends), share)))


def _within_chain(plain: DoubleArray, rig: MappedRig, joint: int) -> DoubleArray:
    """The turn of a joint of spine or neck, (F, 3, 3), from the bones around it."""
    chain = _TRUNK if joint in _TRUNK else _NECK_ENDS
    at = float(chain.index(joint))
    known: list[tuple[float, DoubleArray]] = []
    if chain is _TRUNK:
        known.append((0.0, plain[:, 0]))
    else:
        known.append((0.0, _within_chain(plain, rig, _TRUNK[-1])))
    for number, bone in enumerate(rig.bones):
        if bone.turn[0] != bone.turn[1] and bone.turn[0] in chain and bone.turn[1] in chain:
            known.append((chain.index(bone.turn[0]) + bone.turn[2], plain[:, number]))
    known.sort(key=lambda pair: pair[0])
    below = max((pair for pair in known if pair[0] <= at + 1e-9), key=lambda pair: pair[0])
    above = min((pair for pair in known if pair[0] >= at - 1e-9), key=lambda pair: pair[0], default=below)
    if above[0] - below[0] < 1e-9:
        return below[1]
    ends = matrix_to_quaternion(np.stack([below[1], above[1]], 1))
    share = (at - below[0]) / (above[0] - below[0])
    return quaternion_to_matrix(slerp(ends[:, 0], ends[:, 1], np.full(len(ends), share)))
