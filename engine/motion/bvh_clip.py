# SPDX-License-Identifier: GPL-3.0-or-later
"""Captured motion of any BVH skeleton as a clip, through the mapping that rigs are moved by.

A BVH skeleton is a rig whose bones have no orientations at rest, so that what a joint's rotations make is its
turn from the rest pose. Which joint is which is told by their names, else by the skeleton's shape
(`rig_names`, `rig_guess`); axes, lengths and the rest pose do not matter (`retargeting`). The floor is where
the file's vertical axis is 0, as capture systems write it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import ClipError
from ..specs import Part
from .bvh import BvhMotion, parse_bvh
from .clip import Clip
from .retargeting import CarriedPose, MappedRig, map_rig, taken
from .rig_guess import RestPose, guess
from .rig_names import RigMapping, recognise
from .skeleton import DEFAULT_SKELETON, SOLE_THICKNESS

MAX_FILE_BYTES = 1 << 29
"""Largest file that is opened: about an hour of a body with fingers at 120 frames per second."""

MAX_VALUE = 1e6
"""Largest angle (degrees) or place (the file's unit) taken for motion rather than damage."""


def load_bvh(path: Path) -> tuple[Clip, tuple[Part, ...]]:
    """Read the motion of a BVH file.

    Returns:
        The clip, without face channels, and the parts of the body that the skeleton has joints for.

    Raises:
        ClipError: If the file is missing or damaged, or its skeleton has no body.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ClipError(f"{path.name} is too large to open; cut it into shorter takes.")
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError as error:
        raise ClipError(f"There is no file {path.name}; choose a BVH file.") from error
    except OSError as error:
        raise ClipError(f"{path.name} cannot be read; choose another BVH file.") from error
    try:
        return clip_of(parse_bvh(text))
    except ClipError as error:
        reason = str(error)
        reason = reason[0].lower() + reason[1:]
        raise ClipError(f"{path.name} cannot be used: {reason}") from error


def clip_of(motion: BvhMotion) -> tuple[Clip, tuple[Part, ...]]:
    """Carry a capture over to our joints; see `load_bvh`."""
    rest, joints = rest_pose(motion)
    mapping = recognise(rest.names, rest.above) or guess(rest)
    if mapping.missing:
        wanted = ", ".join(mapping.missing[:4])
        raise ClipError(
            f"no bones of a body are recognised in the skeleton ({wanted} missing); rename its joints as "
            "Mixamo does."
        )
    if np.abs(motion.values).max() > MAX_VALUE:
        raise ClipError("It holds places and angles that no body reaches; export it again.")
    rig = map_rig(_on_floor(rest, mapping), mapping)
    turns, places = motion.global_pose()
    index = {name: joint for name, joint in zip(rest.names, joints, strict=True)}
    order = [index[bone.name] for bone in rig.bones]
    hips = [index[mapping.bones[f"{side}_hip"][0]] for side in ("left", "right")]
    pose = CarriedPose(
        turns=rig.axes.T @ turns[:, order].astype(np.float64) @ rig.axes,
        hips=places[:, hips].astype(np.float64).mean(axis=1) @ rig.axes,
    )
    clip = taken(pose, rig, round(motion.fps, 4), rounds=0)
    if not np.isfinite(clip.poses).all() or np.abs(clip.trans).max() > 1e4:
        raise ClipError("The skeleton moves as no body can; export it again.")
    return clip, _parts(rig)


def rest_pose(motion: BvhMotion) -> tuple[RestPose, list[int]]:
    """A BVH skeleton with all rotations at zero, and the file's joint of each bone; end sites are tails."""
    places = np.zeros((len(motion.joints), 3))
    for joint, entry in enumerate(motion.joints):
        above = places[entry.parent] if entry.parent >= 0 else 0.0
        places[joint] = np.asarray(entry.offset) + above
    joints = [joint for joint, entry in enumerate(motion.joints) if entry.channels]
    place = {joint: bone for bone, joint in enumerate(joints)}
    tails = places[joints].copy()
    for joint in reversed(range(len(motion.joints))):
        parent = motion.joints[joint].parent
        if parent in place and not np.allclose(places[joint], places[parent]):
            tails[place[parent]] = places[joint]
    names: list[str] = []
    for joint in joints:
        name = motion.joints[joint].name
        names.append(name if name not in names else f"{name} {joint}")
    parents: list[int] = []
    for joint in joints:
        above = motion.joints[joint].parent
        while above >= 0 and above not in place:
            above = motion.joints[above].parent
        parents.append(place.get(above, -1))
    turns = np.tile(np.eye(3), (len(joints), 1, 1))
    rest = RestPose(tuple(names), tuple(parents), places[joints], tails, turns, (True,) * len(joints))
    return rest, joints


def _on_floor(rest: RestPose, mapping: RigMapping) -> RestPose:
    """Lift a rest pose, whose root is usually at the origin, so that it stands on the floor.

    The lower of its balls of the foot, or of its ankles where it has none, then lies as high as ours do.
    """
    rig = map_rig(rest, mapping)
    slot, height = "foot", SOLE_THICKNESS
    if not all(mapping.bones.get(f"{side}_foot") for side in ("left", "right")):
        slot = "ankle"
        height = DEFAULT_SKELETON.standing_height + float(DEFAULT_SKELETON.rest_joints[[7, 8], 1].mean())
    index = {name: bone for bone, name in enumerate(rest.names)}
    feet = [index[mapping.bones[f"{side}_{slot}"][0]] for side in ("left", "right")]
    lowest = float((rest.heads[feet] @ rig.axes)[:, 1].min())
    lift = rig.axes @ np.array([0.0, rig.scale * height - lowest, 0.0])
    return replace(rest, heads=rest.heads + lift, tails=rest.tails + lift)


def _parts(rig: MappedRig) -> tuple[Part, ...]:
    """Parts of the body that bones move; the face has none in a capture but a jaw and eyes."""
    return tuple(part for part in (Part.HANDS, Part.UPPER, Part.LOWER) if rig.bones_of((part,)))
