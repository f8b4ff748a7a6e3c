# SPDX-License-Identifier: GPL-3.0-or-later
"""Faces of all kinds: recognised by the names of their shapes, moved as ARKit's channels say, read back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.motion.arkit import ARKIT_INDEX, ARKIT_NAMES
from engine.motion.arrays import FloatArray
from engine.motion.clip import Clip
from engine.motion.face_bases import (
    JAW,
    JAW_OPEN,
    covered,
    from_arkit,
    jaw_channels,
    to_arkit,
    with_jaw_bone,
)
from engine.motion.face_names import FACE_KINDS, mapping_of_face, recognise_face

READY_PLAYER_ME = [f"viseme_{name}" for name in (
    "sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "I", "O", "U")]  # fmt: skip
VRCHAT = [f"vrc.v_{name}" for name in (
    "sil", "pp", "ff", "th", "dd", "kk", "ch", "ss", "nn", "rr", "aa", "e", "ih", "oh", "ou")]  # fmt: skip
VROID = ["Fcl_ALL_Neutral", "Fcl_ALL_Joy", "Fcl_EYE_Close", "Fcl_EYE_Close_L", "Fcl_EYE_Close_R",
         "Fcl_MTH_A", "Fcl_MTH_I", "Fcl_MTH_U", "Fcl_MTH_E", "Fcl_MTH_O", "Fcl_HA_Hide"]  # fmt: skip
CONTROLS = [f"CTRL_expressions_{name}" for name in (
    "jawOpen", "mouthFunnelUL", "mouthFunnelUR", "mouthFunnelDL", "mouthFunnelDR", "eyeLookRightL",
    "eyeLookLeftL", "mouthStickyUC")]  # fmt: skip


def weights(**values: float) -> FloatArray:
    """One frame of ARKit weights."""
    frame = np.zeros((1, len(ARKIT_NAMES)), dtype=np.float32)
    for name, value in values.items():
        frame[0, ARKIT_INDEX[name]] = value
    return frame


def one(frame: FloatArray, kind: str) -> dict[str, float]:
    """What a frame is on a whole face of one kind."""
    channels = FACE_KINDS[kind].channels
    return dict(zip(channels, from_arkit(frame, kind, channels)[0].tolist(), strict=True))


@pytest.mark.parametrize(
    ("names", "kind", "found"),
    [
        (list(ARKIT_NAMES), "arkit", 52),
        ([name[0].upper() + name[1:] for name in ARKIT_NAMES], "arkit", 52),
        ([f"Head_BS.{name}" for name in ARKIT_NAMES], "arkit", 52),
        ([*ARKIT_NAMES, *READY_PLAYER_ME], "arkit", 52),
        (READY_PLAYER_ME, "oculus", 14),
        (VRCHAT, "oculus", 14),
        (["aa", "ih", "ou", "ee", "oh", "blink", "happy"], "vrm", 7),
        (["A", "I", "U", "E", "O", "Blink", "Joy", "Sorrow"], "vrm", 8),
        (VROID, "vrm", 8),
        (CONTROLS, "metahuman", 7),
        ([name.lower() for name in CONTROLS], "metahuman", 7),
        (["jaw open", "smile"], "arkit", 1),
    ],
)
def test_faces_are_recognised_by_their_names(names: list[str], kind: str, found: int) -> None:
    mapping = recognise_face(names)
    assert mapping is not None
    assert (mapping.kind, len(mapping.shapes)) == (kind, found)
    assert set(mapping.shapes.values()) <= set(names)


def test_strange_shapes_are_not_taken_for_a_face() -> None:
    assert recognise_face(["Fat", "Thin", "A", "Nose Up", "viseme_aa"]) is None
    assert recognise_face([]) is None


def test_arkit_stays_what_it_is_within_0_and_1() -> None:
    values = np.random.default_rng(0).uniform(-0.2, 1.3, (9, 52)).astype(np.float32)
    assert np.array_equal(from_arkit(values, "arkit", ARKIT_NAMES), np.clip(values, 0.0, 1.0))
    some = ("mouthFunnel", "jawOpen")
    columns = [ARKIT_INDEX[name] for name in some]
    assert np.array_equal(from_arkit(values, "arkit", some), np.clip(values[:, columns], 0.0, 1.0))


def test_metahuman_controls_follow_and_tell_the_channels() -> None:
    face = one(weights(eyeLookInLeft=0.7, mouthPressRight=0.4, mouthFunnel=0.9, browInnerUp=0.3), "metahuman")
    moved = {name: value for name, value in face.items() if value}
    assert moved == pytest.approx(
        {"eyeLookRightL": 0.7, "mouthPressUR": 0.4, "mouthPressDR": 0.4, "browRaiseInL": 0.3,
         "browRaiseInR": 0.3} | dict.fromkeys(("mouthFunnelUL", "mouthFunnelUR", "mouthFunnelDL",
                                               "mouthFunnelDR"), 0.9)
    )  # fmt: skip
    channels = FACE_KINDS["metahuman"].channels
    values = np.random.default_rng(1).uniform(size=(20, 52)).astype(np.float32)
    back = to_arkit(from_arkit(values, "metahuman", channels), "metahuman", channels)
    assert np.abs(back - values).max() < 1e-6
    assert covered("metahuman", channels) == list(range(52))


@pytest.mark.parametrize("kind", ["oculus", "vrm"])
def test_a_pose_is_its_own_shape_and_nothing_else(kind: str) -> None:
    for channel, pose in FACE_KINDS[kind].poses.items():
        if channel == "blink":
            continue
        face = one(weights(**pose), kind)
        face.pop("blink", None)
        best = max(face, key=face.__getitem__)
        assert best == channel and face[channel] > 0.6, (channel, face)
    silence = one(weights(), kind)
    assert not any(silence.values())


@pytest.mark.parametrize("kind", ["oculus", "vrm"])
def test_mixtures_come_back_as_the_same_face(kind: str) -> None:
    channels = mapping_of_face(kind, [n for names in FACE_KINDS[kind].names.values() for n in names]).shapes
    shares = np.random.default_rng(2).uniform(0.0, 0.3, (50, len(channels)))
    face = to_arkit(shares, kind, tuple(channels))
    again = from_arkit(face, kind, tuple(channels))
    assert again.min() >= 0.0 and again.max() <= 1.0
    assert np.abs(to_arkit(again, kind, tuple(channels)) - face).max() < 0.01


def test_what_is_no_mixture_comes_as_near_as_it_can() -> None:
    """The best answer of a slow search is no better."""
    kind, channels = "oculus", FACE_KINDS["oculus"].channels
    rng = np.random.default_rng(3)
    face = np.zeros((1, 52), dtype=np.float32)
    mouth = covered(kind, channels)
    face[0, mouth] = rng.uniform(size=len(mouth))

    def distance(shares: FloatArray) -> float:
        table = np.stack([to_arkit(row[None], kind, channels)[0] for row in np.eye(len(channels))])
        return float(np.square(shares @ table - face).sum())

    found = from_arkit(face, kind, channels)
    nearby = np.clip(found + rng.normal(0.0, 0.05, (3000, len(channels))), 0.0, 1.0)
    assert distance(found) <= min(distance(row[None]) for row in nearby) + 2e-3


def test_visemes_move_smoothly() -> None:
    """A mouth that opens evenly never jumps from one viseme to another."""
    times = np.linspace(0.0, 1.0, 200)[:, None]
    first, second = (weights(**FACE_KINDS["oculus"].poses[name]) for name in ("aa", "U"))
    shares = from_arkit(first * (1 - times) + second * times, "oculus", FACE_KINDS["oculus"].channels)
    assert np.abs(np.diff(shares, axis=0)).max() < 0.03


def test_a_jaw_bone_speaks_where_there_are_no_shapes() -> None:
    clip = Clip.rest(30, 30.0)
    expressions = clip.expressions.copy()
    expressions[:, ARKIT_INDEX["jawOpen"]] = np.linspace(0.0, 1.0, 30)
    expressions[:, ARKIT_INDEX["jawLeft"]] = np.linspace(0.5, 0.0, 30)
    clip = replace(clip, expressions=expressions)
    opened = with_jaw_bone(clip)
    assert opened.poses[29, JAW] == pytest.approx([JAW_OPEN, 0.0, 0.0], abs=1e-6)
    assert opened.poses[0, JAW, 1] > 0.03
    read = jaw_channels(replace(opened, expressions=np.zeros_like(expressions)))
    assert np.abs(read.expressions - expressions).max() < 1e-4
    assert not read.poses[:, JAW].any()


def test_a_jaw_that_moves_by_itself_is_left_alone() -> None:
    clip = Clip.rest(3, 30.0)
    poses = clip.poses.copy()
    poses[:, JAW] = (0.1, 0.0, 0.2)
    expressions = np.ones_like(clip.expressions)
    turned = replace(clip, poses=poses, expressions=expressions)
    assert with_jaw_bone(turned) is turned
    assert jaw_channels(turned) is turned
    bare = replace(clip, expressions=np.zeros((3, 0)), expression_names=(), basis="none")
    assert with_jaw_bone(bare) is bare and jaw_channels(bare) is bare
