# SPDX-License-Identifier: GPL-3.0-or-later
"""Face shapes known by name, and what each of them is in ARKit's 52 channels.

A kind of face is a set of channels that a character may have as shape keys. `poses` says what a channel at 1
amounts to in ARKit weights. Where those poses are mixtures, as visemes are, the channels of a frame are the
mixture that comes nearest; where one ARKit channel goes to several controls of its own, `controls` says to
which, and nothing has to be sought (see `face_bases`).

Where names and poses come from:

- arkit: Apple's `ARFaceAnchor.BlendShapeLocation`, 52 values from 0 to 1.
- metahuman: the raw controls of Epic's face board, `CTRL_expressions.*`, as Unreal's animation curves name
  them. Which ARKit channel goes to which follows the table of Epic's `PA_MetaHuman_ARKit_Mapping` by name; it
  is one to one, or one to the same control on several sides of the lips. An eye that looks "in" looks to the
  other side of the character.
- oculus: the 15 visemes of Meta's Lip Sync, with the names Ready Player Me and VRChat use for them. `sil` is
  the face at rest and stays 0. Their poses are this project's own, from the articulation that Meta's viseme
  reference pictures, in the mixtures of ARKit channels that its performer draws with (viseme groups after
  Fisher 1968).
- vrm: the preset expressions of VRM 1.0 (VRMC_vrm, expressionPreset) and their names in VRM 0 (A, I, U, E, O,
  Blink, Joy, Sorrow) and in VRoid's meshes (Fcl_...). The five vowels have the poses of the like visemes;
  `relaxed`, `neutral` and Fun name no pose and stay 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .arkit import ARKIT_NAMES

Pose = Mapping[str, float]
"""ARKit weights by channel; a name without its side stands for both."""

MANY = 20
"""So many ARKit shapes are a whole face, whatever visemes a character has besides."""


@dataclass(frozen=True)
class FaceKind:
    """One set of face channels.

    Attributes:
        label: What animators call it.
        names: Names of the shapes to look for, by channel.
        poses: ARKit weights that each channel amounts to, for channels that mix.
        controls: Channels that follow each ARKit channel, for kinds that do not mix.
    """

    label: str
    names: Mapping[str, tuple[str, ...]]
    poses: Mapping[str, Pose] = field(default_factory=dict[str, Pose])
    controls: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels in order."""
        return tuple(self.names)


@dataclass(frozen=True)
class FaceMapping:
    """Which shapes of a character are which channels.

    Attributes:
        kind: Kind of face, a key of `FACE_KINDS`.
        shapes: Shape of each channel that the character has.
    """

    kind: str
    shapes: Mapping[str, str]


def _both(**weights: float) -> dict[str, float]:
    """A pose; channels that exist per side only are given to both sides."""
    pose: dict[str, float] = {}
    for name, weight in weights.items():
        sides = (name,) if name in ARKIT_NAMES else (f"{name}Left", f"{name}Right")
        pose |= dict.fromkeys(sides, weight)
    return pose


_VOWELS: dict[str, Pose] = {
    "aa": _both(jawOpen=0.62, mouthStretch=0.06, mouthLowerDown=0.17, mouthUpperUp=0.08, mouthFunnel=0.08),
    "ih": _both(jawOpen=0.17, mouthStretch=0.42, mouthSmile=0.20, mouthLowerDown=0.16, mouthUpperUp=0.09),
    "ou": _both(jawOpen=0.16, mouthPucker=0.75, mouthFunnel=0.25),
    "ee": _both(jawOpen=0.38, mouthStretch=0.22, mouthSmile=0.10, mouthLowerDown=0.17, mouthUpperUp=0.09),
    "oh": _both(jawOpen=0.42, mouthPucker=0.20, mouthFunnel=0.55, mouthLowerDown=0.09),
}

_VISEMES: dict[str, Pose] = {
    "PP": _both(jawOpen=0.04, mouthClose=0.04, mouthPress=0.50, mouthRollLower=0.35, mouthRollUpper=0.28),
    "FF": _both(jawOpen=0.07, mouthRollLower=0.60, mouthUpperUp=0.13, mouthLowerDown=0.05),
    "TH": _both(jawOpen=0.14, mouthLowerDown=0.17, mouthUpperUp=0.10, mouthStretch=0.09, tongueOut=0.35),
    "DD": _both(jawOpen=0.13, mouthLowerDown=0.13, mouthUpperUp=0.07, mouthStretch=0.11),
    "kk": _both(jawOpen=0.19, mouthLowerDown=0.05, mouthStretch=0.05, mouthFunnel=0.10),
    "CH": _both(jawOpen=0.07, mouthFunnel=0.75, mouthPucker=0.20, mouthLowerDown=0.12, mouthUpperUp=0.07),
    "SS": _both(jawOpen=0.05, mouthStretch=0.26, mouthSmile=0.13, mouthLowerDown=0.20, mouthUpperUp=0.12),
    "nn": _both(jawOpen=0.22, mouthLowerDown=0.12, mouthUpperUp=0.06, tongueOut=0.15),
    "RR": _both(jawOpen=0.24, mouthPucker=0.30, mouthFunnel=0.32, mouthLowerDown=0.09),
    "aa": _VOWELS["aa"],
    "E": _VOWELS["ee"],
    "I": _VOWELS["ih"],
    "O": _VOWELS["oh"],
    "U": _VOWELS["ou"],
}

_EXPRESSIONS: dict[str, Pose] = {
    **_VOWELS,
    "blinkLeft": _both(eyeBlinkLeft=1.0),
    "blinkRight": _both(eyeBlinkRight=1.0),
    "blink": _both(eyeBlink=1.0),
    "lookUp": _both(eyeLookUp=1.0),
    "lookDown": _both(eyeLookDown=1.0),
    "lookLeft": _both(eyeLookOutLeft=1.0, eyeLookInRight=1.0),
    "lookRight": _both(eyeLookInLeft=1.0, eyeLookOutRight=1.0),
    "happy": _both(mouthSmile=0.85, cheekSquint=0.60, eyeSquint=0.30),
    "angry": _both(browDown=0.90, noseSneer=0.40, mouthFrown=0.25),
    "sad": _both(browInnerUp=0.90, mouthFrown=0.70),
    "surprised": _both(browInnerUp=0.70, browOuterUp=0.90, eyeWide=0.90),
}

_METAHUMAN: dict[str, str] = {
    "browInnerUp": "browRaiseInL browRaiseInR",
    "cheekPuff": "mouthCheekBlowL mouthCheekBlowR",
    "jawForward": "jawFwd", "jawLeft": "jawLeft", "jawRight": "jawRight", "jawOpen": "jawOpen",
    "mouthClose": "mouthLipsTogetherUL mouthLipsTogetherUR mouthLipsTogetherDL mouthLipsTogetherDR",
    "mouthFunnel": "mouthFunnelUL mouthFunnelUR mouthFunnelDL mouthFunnelDR",
    "mouthPucker": "mouthLipsPurseUL mouthLipsPurseUR mouthLipsPurseDL mouthLipsPurseDR",
    "mouthLeft": "mouthLeft", "mouthRight": "mouthRight",
    "mouthRollLower": "mouthLowerLipRollInL mouthLowerLipRollInR",
    "mouthRollUpper": "mouthUpperLipRollInL mouthUpperLipRollInR",
    "mouthShrugLower": "jawChinRaiseDL jawChinRaiseDR",
    "mouthShrugUpper": "jawChinRaiseUL jawChinRaiseUR",
    "tongueOut": "tongueOut",
}  # fmt: skip
_METAHUMAN_SIDES: dict[str, str] = {
    "browDown": "browDown{s}", "browOuterUp": "browRaiseOuter{s}", "cheekSquint": "eyeCheekRaise{s}",
    "eyeBlink": "eyeBlink{s}", "eyeLookDown": "eyeLookDown{s}", "eyeLookUp": "eyeLookUp{s}",
    "eyeLookIn": "eyeLook{other}{s}", "eyeLookOut": "eyeLook{side}{s}", "eyeSquint": "eyeSquintInner{s}",
    "eyeWide": "eyeWiden{s}", "mouthDimple": "mouthDimple{s}", "mouthFrown": "mouthCornerDepress{s}",
    "mouthLowerDown": "mouthLowerLipDepress{s}", "mouthPress": "mouthPressU{s} mouthPressD{s}",
    "mouthSmile": "mouthCornerPull{s}", "mouthStretch": "mouthStretch{s}",
    "mouthUpperUp": "mouthUpperLipRaise{s}", "noseSneer": "noseWrinkle{s}",
}  # fmt: skip


def _metahuman_controls() -> dict[str, tuple[str, ...]]:
    """The controls of each ARKit channel, both sides spelled out."""
    controls = {channel: tuple(names.split()) for channel, names in _METAHUMAN.items()}
    for channel, names in _METAHUMAN_SIDES.items():
        for side, other in (("Left", "Right"), ("Right", "Left")):
            filled = names.format(s=side[0], side=side, other=other)
            controls[f"{channel}{side}"] = tuple(filled.split())
    return {channel: controls[channel] for channel in ARKIT_NAMES}


_CONTROLS = _metahuman_controls()
_VISEME_ALIASES = {"E": ("eh", "ee"), "I": ("ih",), "O": ("oh",), "U": ("ou",)}
_EXPRESSION_NAMES: dict[str, str] = {
    "aa": "aa A Fcl_MTH_A", "ih": "ih I Fcl_MTH_I", "ou": "ou U Fcl_MTH_U", "ee": "ee E Fcl_MTH_E",
    "oh": "oh O Fcl_MTH_O", "blinkLeft": "blinkLeft Blink_L Fcl_EYE_Close_L",
    "blinkRight": "blinkRight Blink_R Fcl_EYE_Close_R", "blink": "blink Fcl_EYE_Close",
    "lookUp": "lookUp", "lookDown": "lookDown", "lookLeft": "lookLeft", "lookRight": "lookRight",
    "happy": "happy Joy Fcl_ALL_Joy", "angry": "angry Fcl_ALL_Angry", "sad": "sad Sorrow Fcl_ALL_Sorrow",
    "surprised": "surprised Fcl_ALL_Surprised",
}  # fmt: skip

FACE_KINDS: dict[str, FaceKind] = {
    "arkit": FaceKind(
        "ARKit", {name: (name,) for name in ARKIT_NAMES}, controls={name: (name,) for name in ARKIT_NAMES}
    ),
    "metahuman": FaceKind(
        "MetaHuman",
        {
            name: (f"CTRL_expressions_{name}",)
            for name in dict.fromkeys(control for names in _CONTROLS.values() for control in names)
        },
        controls=_CONTROLS,
    ),
    "oculus": FaceKind(
        "Oculus visemes",
        {
            name: tuple(
                f"{prefix}{alias}"
                for prefix in ("viseme_", "vrc.v_", "v_")
                for alias in (name, *_VISEME_ALIASES.get(name, ()))
            )
            for name in _VISEMES
        },
        poses=_VISEMES,
    ),
    "vrm": FaceKind(
        "VRM expressions",
        {name: tuple(_EXPRESSION_NAMES[name].split()) for name in _EXPRESSIONS},
        poses=_EXPRESSIONS,
    ),
}
"""Every kind of face that is known, by its key, those that say more about a face first."""

_NEEDED = {"arkit": 1, "metahuman": 3, "oculus": 5, "vrm": 3}
"""Least number of shapes that make a kind; single letters of VRM are found by chance."""


def plain_shape(name: str) -> str:
    """A channel or shape name without case, separators and the common ways to write sides and numbers.

    jawOpen, JawOpen and jaw_open are one channel; so are mouthSmileLeft and mouthSmile_L, and Exp000 and
    expression_0.
    """
    name = re.sub(r"[._ -]+l$", "left", re.sub(r"[._ -]+r$", "right", name.strip().lower()))
    letters = re.sub(r"[^a-z0-9]", "", name)
    numbered = re.fullmatch(r"exp(?:ression)?s?(\d+)", letters)
    return f"exp{int(numbered.group(1))}" if numbered else letters


def find_shapes(wanted: Mapping[str, tuple[str, ...]], present: Iterable[str]) -> dict[str, str]:
    """The shape of each channel, for those that have one.

    A prefix that ends in a dot, colon or bar, as exporters put before every name, may be left out.
    """
    found: dict[str, str] = {}
    for name in present:
        for shown in (re.sub(r"^.*[.:|]", "", name), name):
            found[plain_shape(shown)] = name
    matches: dict[str, str] = {}
    for channel, names in wanted.items():
        match = next((found[plain_shape(name)] for name in names if plain_shape(name) in found), None)
        if match is not None:
            matches[channel] = match
    return matches


def mapping_of_face(kind: str, present: Iterable[str]) -> FaceMapping:
    """Look for the shapes of one kind of face."""
    shapes = find_shapes(FACE_KINDS[kind].names, present)
    if kind == "vrm" and {"blinkLeft", "blinkRight"} <= shapes.keys():
        shapes.pop("blink", None)  # both eyes have shapes of their own
    return FaceMapping(kind, shapes)


def recognise_face(present: Iterable[str]) -> FaceMapping | None:
    """The kind of face whose channels these shapes are, or None where none of them is known.

    Characters often have visemes beside a whole ARKit face; both at once would open the mouth twice.
    """
    names = list(present)
    found = {kind: mapping_of_face(kind, names) for kind in FACE_KINDS}
    if len(found["arkit"].shapes) >= MANY:
        return found["arkit"]
    good = [mapping for kind, mapping in found.items() if len(mapping.shapes) >= _NEEDED[kind]]
    return max(good, key=lambda mapping: len(mapping.shapes), default=None)
