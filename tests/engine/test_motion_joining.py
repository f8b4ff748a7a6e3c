# SPDX-License-Identifier: GPL-3.0-or-later
"""New motion between kept motion: poses and velocities meet, nothing jerks, all else stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.errors import ClipError
from engine.motion.clip import Clip
from engine.motion.joining import GENTLE_TURN, join
from engine.motion.kinematics import clip_joint_positions
from engine.motion.planting import planted
from engine.motion.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from engine.motion.skeleton import PART_JOINTS
from engine.specs import PARTS, Part

FIRST, LAST, NUM = 40, 90, 130


def wave_clip(seed: int, size: float = 0.4, speed: float = 3.0, num_frames: int = NUM) -> Clip:
    """Every joint, the pelvis and the face move smoothly."""
    rng = np.random.default_rng(seed)
    times = np.arange(num_frames)[:, None] / 30.0

    def wave(width: int, scale: float) -> np.ndarray:
        return scale * np.sin(times * speed * rng.uniform(0.5, 1.5, width) + rng.uniform(0, 6, width))

    rest = Clip.rest(num_frames, 30.0)
    return replace(
        rest,
        poses=wave(165, size).reshape(num_frames, 55, 3),
        trans=rest.trans + wave(3, 0.2),
        expressions=0.5 + wave(52, 0.5),
    )


def speeds(clip: Clip, joint: int) -> np.ndarray:
    """Angular velocity of one joint, (F - 1, 3), radians per frame."""
    turns = axis_angle_to_matrix(clip.poses[:, joint].astype(np.float64))
    return matrix_to_axis_angle(np.swapaxes(turns[:-1], -1, -2) @ turns[1:])


def jerks(clip: Clip, joint: int) -> np.ndarray:
    """Change of that velocity at frames 1 to F - 2, (F - 2,)."""
    return np.linalg.norm(np.diff(speeds(clip, joint), axis=0), axis=-1)


def test_everything_else_is_bit_identical() -> None:
    kept, made = wave_clip(1), wave_clip(2)
    joined = join(kept, made, (Part.UPPER,), FIRST, LAST, 8)
    outside = np.r_[0 : FIRST + 1, LAST:NUM]
    assert joined.poses[outside].tobytes() == kept.poses[outside].tobytes()
    others = [j for part in PARTS if part is not Part.UPPER for j in PART_JOINTS[part]]
    assert joined.poses[:, others].tobytes() == kept.poses[:, others].tobytes()
    assert joined.trans.tobytes() == kept.trans.tobytes()
    assert joined.expressions.tobytes() == kept.expressions.tobytes()
    inside = joined.poses[FIRST + 1 : LAST][:, list(PART_JOINTS[Part.UPPER])]
    assert (
        (np.abs(inside - kept.poses[FIRST + 1 : LAST][:, list(PART_JOINTS[Part.UPPER])]) > 1e-6).any(-1).all()
    )


def test_the_middle_is_the_new_motion() -> None:
    """Where neither end reaches, the upper body, hands and face are exactly what was made."""
    kept, made = wave_clip(1, 0.4, 6.0, 260), wave_clip(2, 0.4, 6.0, 260)
    joined = join(kept, made, (Part.UPPER, Part.HANDS, Part.FACE), 40, 220, 8)
    joints = list(PART_JOINTS[Part.UPPER])
    middle = slice(100, 160)
    assert np.abs(joined.poses[middle, joints] - made.poses[middle, joints]).mean() < 1e-3
    assert np.abs(joined.expressions[middle] - made.expressions[middle]).mean() < 1e-3


@pytest.mark.parametrize("blend", [1, 8, 500])
@pytest.mark.parametrize(("seed", "speed"), [(2, 3.0), (3, 3.0), (4, 6.0)])
def test_velocities_meet_and_nothing_jerks(seed: int, speed: float, blend: int) -> None:
    """The body accelerates at the joins no more than 1.2 x what it does around them and in what was made."""
    kept, made = wave_clip(1, speed=speed), wave_clip(seed, speed=speed)
    joined = join(kept, made, PARTS, FIRST, LAST, blend)
    joints = range(1, 55)
    around = np.array([np.r_[jerks(kept, joint), jerks(made, joint)].max() for joint in joints])
    now = np.array([jerks(joined, joint).max() for joint in joints])
    assert now.max() <= 1.2 * around.max()
    allowed = np.maximum(1.2 * around, GENTLE_TURN / 900) + 1e-5
    assert (now <= allowed).mean() > 0.9
    places = [np.linalg.norm(np.diff(clip.trans, n=2, axis=0), axis=-1) for clip in (kept, made, joined)]
    assert places[2].max() <= max(1.2 * max(places[0].max(), places[1].max()), 1.5 / 900) + 1e-5


def end_ratios(clip: Clip) -> np.ndarray:
    """Acceleration in the three outermost frames of the stretch, by that within a second around, (108,)."""
    found = []
    for joint in range(1, 55):
        change = jerks(clip, joint)  # row i is frame i + 1
        for rows in (np.arange(FIRST - 1, FIRST + 2), np.arange(LAST - 3, LAST)):
            near = np.arange(max(rows[1] - 31, 0), min(rows[1] + 32, len(change)))
            around = np.setdiff1d(near, rows)
            found.append(change[rows].max() / max(change[around].max(), GENTLE_TURN / 900))
    return np.array(found)


@pytest.mark.parametrize("seed", range(4))
def test_no_end_stands_out_from_what_is_around_it(seed: int) -> None:
    """The new motion has a stroke of every joint just where the stretch begins, and one where it ends."""
    kept, made = wave_clip(1, 0.15), wave_clip(seed + 2, 0.15)
    stroke = np.exp(-(((np.arange(NUM)[:, None] - np.array([FIRST + 1, LAST - 1])) / 2.0) ** 2)).sum(axis=1)
    size = np.random.default_rng(seed).uniform(-0.3, 0.3, (55, 3))
    struck = replace(made, poses=made.poses + (stroke[:, None, None] * size).astype(np.float32))
    assert (end_ratios(struck) > 1.2).mean() > 0.5, "the strokes are no strokes"
    ratios = end_ratios(join(kept, struck, PARTS, FIRST, LAST, 8))
    assert ratios.max() <= 1.2, ratios.max()


def test_a_joint_far_away_takes_longer_than_the_blend() -> None:
    """Still kept motion and still new motion, 1.5 radians apart."""
    kept = Clip.rest(NUM, 30.0)
    poses = kept.poses.copy()
    poses[:, 18] = (0.0, 1.5, 0.0)
    joined = join(kept, replace(kept, poses=poses), (Part.UPPER,), FIRST, LAST, 4)
    assert jerks(joined, 18).max() <= GENTLE_TURN / 900 + 1e-5
    angle = np.linalg.norm(joined.poses[:, 18], axis=-1)
    assert angle[FIRST] == 0.0 and angle[LAST] == 0.0 and angle[FIRST:LAST].max() > 0.5


def test_new_motion_that_agrees_is_not_changed() -> None:
    kept = wave_clip(1)
    joined = join(kept, kept, PARTS, FIRST, LAST, 8)
    assert np.abs(joined.poses - kept.poses).max() < 1e-6
    assert np.abs(joined.trans - kept.trans).max() < 1e-6


def test_another_place_and_heading_on_the_floor_is_no_difference() -> None:
    kept = wave_clip(1)
    joined = join(kept, kept.moved(turn=2.0, shift=(3.0, -1.0)), (Part.LOWER,), FIRST, LAST, 8)
    assert np.abs(joined.trans - kept.trans).max() < 1e-5
    assert (
        np.abs(axis_angle_to_matrix(joined.poses[:, 0]) - axis_angle_to_matrix(kept.poses[:, 0])).max() < 1e-5
    )


def test_a_walk_into_standing_joins_the_standing() -> None:
    """Made to walk two metres where the kept motion stands: the root comes back without a jerk."""
    kept = Clip.rest(NUM, 30.0)
    trans = kept.trans.copy()
    trans[:, 2] = np.linspace(0.0, 2.0, NUM)
    joined = join(kept, replace(kept, trans=trans), (Part.LOWER,), FIRST, LAST, 8)
    outside = np.r_[0 : FIRST + 1, LAST:NUM]
    assert joined.trans[outside].tobytes() == kept.trans[outside].tobytes()
    steps = np.diff(joined.trans[:, 2])
    assert np.abs(np.diff(steps)).max() < 0.01
    assert np.abs(joined.trans[:, 2]).max() < 0.2, "it must not glide back at the end"


def test_who_stands_before_walking_is_not_shifted_while_standing() -> None:
    kept = Clip.rest(NUM, 30.0)
    trans = kept.trans.copy()
    trans[:, 2] = 1.0 * np.maximum(np.arange(NUM) - 70, 0) / 30.0
    joined = join(kept, replace(kept, trans=trans), (Part.LOWER,), FIRST, LAST, 8)
    assert np.abs(joined.trans[:58, 2]).max() < 0.03 and np.abs(joined.trans[:, 2]).max() < 0.15


def test_half_turns_written_the_other_way_round() -> None:
    """The difference between the two passes half a turn just at the join; its speed is still small."""
    times = np.arange(NUM)
    poses = np.zeros((NUM, 55, 3))
    poses[:, 18, 1] = np.pi + 0.01 * (times - FIRST + 0.5)
    kept = replace(Clip.rest(NUM, 30.0), poses=matrix_to_axis_angle(axis_angle_to_matrix(poses)))
    joined = join(kept, Clip.rest(NUM, 30.0), (Part.UPPER,), FIRST, LAST, 8)
    assert jerks(joined, 18)[: FIRST + 8].max() < 0.03


def test_face_channels_stay_between_what_both_had() -> None:
    kept, made = wave_clip(1), wave_clip(2, speed=9.0)
    joined = join(kept, made, (Part.FACE,), FIRST, LAST, 8)
    assert joined.expressions.min() >= -1e-6 and joined.expressions.max() <= 1.0 + 1e-6


def test_the_stretch_may_touch_the_clip_s_ends() -> None:
    kept, made = wave_clip(1), wave_clip(2)
    joined = join(kept, made, PARTS, 0, NUM - 1, 8)
    assert np.array_equal(joined.poses[[0, -1]], kept.poses[[0, -1]])


@pytest.mark.parametrize(
    ("made", "first", "last", "word"),
    [
        (wave_clip(2, num_frames=NUM - 1), FIRST, LAST, "length"),
        (replace(wave_clip(2), fps=24.0), FIRST, LAST, "rate"),
        (wave_clip(2), FIRST, FIRST + 2, "at least 4 frames"),
        (wave_clip(2), -1, LAST, "within"),
        (wave_clip(2), FIRST, NUM, "within"),
    ],
)
def test_bad_stretches_get_one_sentence(made: Clip, first: int, last: int, word: str) -> None:
    with pytest.raises(ClipError, match=word) as caught:
        join(wave_clip(1), made, PARTS, first, last, 8)
    assert str(caught.value).endswith(".")


def test_feet_that_stand_are_set_down_where_motions_meet() -> None:
    """Both stand, the new motion half a shoe further: the feet come along and slide less."""
    kept = Clip.rest(NUM, 30.0)
    poses = kept.poses.copy()
    poses[:, 1, 0], poses[:, 4, 0] = -0.3, 0.6
    made = replace(kept, poses=poses)
    contacts = np.ones((NUM, 4), np.float32)
    kept, made = planted(kept, contacts), planted(made, contacts)
    joined = join(kept, made, (Part.LOWER,), FIRST, LAST, 8)
    loose = join(kept, replace(made, feet=None), (Part.LOWER,), FIRST, LAST, 8)
    slides = [
        np.linalg.norm(np.diff(clip_joint_positions(c)[FIRST : LAST + 1, 7], axis=0), axis=-1).sum()
        for c in (joined, loose)
    ]
    assert slides[0] < 0.8 * slides[1]
    outside = np.r_[0 : FIRST + 1, LAST:NUM]
    assert joined.poses[outside].tobytes() == kept.poses[outside].tobytes()
    assert joined.feet is not None and kept.feet is not None
    assert joined.feet.values[outside].tobytes() == kept.feet.values[outside].tobytes()
