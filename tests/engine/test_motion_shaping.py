# SPDX-License-Identifier: GPL-3.0-or-later
"""Shaping a finished motion: energy, holding still, root and feet, as pure functions on clips."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import ClipError
from engine.evaluation.quality import knee_pop
from engine.motion import joining
from engine.motion.arrays import FloatArray
from engine.motion.clip import Clip
from engine.motion.energy import with_energy
from engine.motion.feet_track import FeetTrack
from engine.motion.hold import Hold, hold_still, hold_weight
from engine.motion.joining import join
from engine.motion.kinematics import clip_joint_positions
from engine.motion.measures import foot_slide
from engine.motion.planting import known_feet, planted, unplanted
from engine.motion.root_path import Path as FloorPath
from engine.motion.root_path import follow, in_place, travelled
from engine.motion.rotations import axis_angle_to_matrix, geodesic_angle, heading_angle
from engine.motion.shaping import Feet, Root, Shaping, shape
from engine.motion.skeleton import JOINT_NAMES, PART_JOINTS
from engine.specs import PARTS, Part

WALKS = ("franc/35_01.bvh", "franc/16_15.bvh")
SMOOTH_FACE = 0.5
JAW_OPEN = Clip.rest(1, 30).expression_names.index("jawOpen")
BLINK = Clip.rest(1, 30).expression_names.index("eyeBlinkLeft")


@pytest.fixture(scope="module")
def walks(shared_dir: Path) -> list[Clip]:
    from engine.data.cleaning import CAPTURE_ARCHIVE
    from engine.data.retarget import retarget
    from engine.motion.bvh import parse_bvh

    with zipfile.ZipFile(shared_dir / "data" / CAPTURE_ARCHIVE) as archive:
        texts = [archive.read(name).decode() for name in WALKS]
    return [replace(retarget(parse_bvh(text)).clip, fps=30.0) for text in texts]


def waving(num_frames: int = 240, seed: int = 0) -> Clip:
    """Every joint, the pelvis and the face move smoothly about a posture that is not the T-pose."""
    rng = np.random.default_rng(seed)
    times = np.arange(num_frames)[:, None] / 30.0

    def wave(width: int, size: float) -> FloatArray:
        speed = rng.uniform(3.0, 6.0, width)
        return (size * np.sin(times * speed + rng.uniform(0, 6, width))).astype(np.float32)

    rest = Clip.rest(num_frames, 30)
    posture = rng.normal(0.0, 0.2, 165).astype(np.float32)
    return replace(
        rest,
        poses=(posture + wave(165, 0.15)).reshape(num_frames, 55, 3),
        trans=rest.trans + wave(3, 0.03),
        expressions=SMOOTH_FACE + wave(52, 0.45),
    )


def everything(clip: Clip) -> list[bytes]:
    return [clip.poses.tobytes(), clip.trans.tobytes(), clip.expressions.tobytes()]


def constant(clip: Clip, value: float) -> FloatArray:
    return np.full(clip.num_frames, value, dtype=np.float32)


def spread(clip: Clip, joint: int) -> float:
    """Mean angle between a joint's rotations and its own middle one."""
    matrices = axis_angle_to_matrix(clip.poses[:, joint].astype(np.float64))
    middle = np.linalg.svd(matrices.mean(axis=0))
    return float(geodesic_angle(matrices, np.broadcast_to(middle.U @ middle.Vh, matrices.shape)).mean())


def peak_acceleration(values: FloatArray) -> float:
    return float(np.linalg.norm(np.diff(values.astype(np.float64), n=2, axis=0), axis=-1).max()) * 900


def test_nothing_asked_leaves_every_bit() -> None:
    clip = waving()
    assert everything(shape(clip, Shaping())) == everything(clip)
    ones = {part: constant(clip, 1.0) for part in PARTS}
    assert everything(shape(clip, Shaping(energy=ones))) == everything(clip)
    assert Shaping(energy=ones).parts == ()


@pytest.mark.parametrize("part", PARTS)
def test_energy_changes_its_own_part_alone_and_only_where_it_is_not_one(part: Part) -> None:
    clip = waving()
    energy = constant(clip, 1.0)
    energy[100:140] = 1.5
    changed = with_energy(clip, {part: energy})
    others = [joint for other in PARTS if other is not part for joint in PART_JOINTS[other]]
    assert changed.poses[:, others].tobytes() == clip.poses[:, others].tobytes()
    outside = np.r_[0:100, 140:240]
    assert everything(replace(changed, poses=changed.poses[outside], trans=changed.trans[outside],
                              expressions=changed.expressions[outside])) == [
        clip.poses[outside].tobytes(), clip.trans[outside].tobytes(), clip.expressions[outside].tobytes()
    ]  # fmt: skip
    inside = np.abs(
        changed.poses[100:140, list(PART_JOINTS[part])] - clip.poses[100:140, list(PART_JOINTS[part])]
    )
    assert inside.max() > 0.01
    assert (changed.trans.tobytes() != clip.trans.tobytes()) == (part is Part.LOWER)
    assert (changed.expressions.tobytes() != clip.expressions.tobytes()) == (part is Part.FACE)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.5, 2.0])
def test_movement_grows_with_energy_and_the_posture_stays(value: float) -> None:
    clip = waving()
    changed = with_energy(clip, {Part.UPPER: constant(clip, value)})
    for joint in PART_JOINTS[Part.UPPER]:
        if joint in (18, 19):  # elbows stop when they are straight
            continue
        assert spread(changed, joint) == pytest.approx(value * spread(clip, joint), rel=0.12, abs=0.02)
        means = [
            axis_angle_to_matrix(c.poses[:, joint].astype(np.float64)).mean(axis=0) for c in (clip, changed)
        ]
        assert np.abs(means[0] - means[1]).max() < 0.05


def test_energy_follows_its_curve_without_a_jump() -> None:
    clip = waving()
    ramp = np.interp(np.arange(240), [80, 160], [0.2, 1.8]).astype(np.float32)
    changed = with_energy(clip, {Part.UPPER: ramp})
    limit = 1.9 * max(peak_acceleration(clip.poses[:, j]) for j in PART_JOINTS[Part.UPPER])
    assert max(peak_acceleration(changed.poses[:, j]) for j in PART_JOINTS[Part.UPPER]) < limit


@pytest.mark.parametrize(
    ("name", "axis"),
    [
        ("left_knee", (1, 0, 0)),
        ("left_elbow", (0, -1, 0)),
        ("right_elbow", (0, 1, 0)),
        ("left_index2", (0, 0, -1)),
    ],
)
def test_hinges_do_not_bend_backwards(name: str, axis: tuple[int, int, int]) -> None:
    clip = Clip.rest(240, 30)
    joint = JOINT_NAMES.index(name)
    bend = 0.5 + 0.45 * np.sin(np.arange(240) / 6.0)
    poses = clip.poses.copy()
    poses[:, joint] = bend[:, None] * np.array(axis)
    part = next(part for part in PARTS if joint in PART_JOINTS[part])
    changed = with_energy(replace(clip, poses=poses), {part: constant(clip, 2.0)})
    bent = changed.poses[:, joint] @ np.array(axis, dtype=np.float32)
    assert bent.min() > 0.0
    assert bent.max() > 0.5 + 1.8 * 0.45
    assert peak_acceleration(bent[:, None]) < 6.0 * peak_acceleration(bend[:, None].astype(np.float32))


def test_hinges_of_real_people_bend_that_way(walks: list[Clip]) -> None:
    from engine.motion.energy import _BENDS

    for clip in walks:
        for name in ("left_knee", "right_knee", "left_elbow", "right_elbow"):
            joint = JOINT_NAMES.index(name)
            assert np.median(clip.poses[:, joint] @ _BENDS[joint]) > 0.1, name


def test_a_calm_mouth_closes_and_a_big_one_stays_within_its_shapes() -> None:
    clip = waving()
    expressions = np.clip(clip.expressions * 2.2 - 0.6, 0.0, 1.0)
    clip = replace(clip, expressions=expressions)
    calm, big = (with_energy(clip, {Part.FACE: constant(clip, value)}).expressions for value in (0.4, 2.0))
    closed = expressions[:, JAW_OPEN] == 0.0
    assert closed.any() and (calm[closed, JAW_OPEN] == 0.0).all() and (big[closed, JAW_OPEN] == 0.0).all()
    assert calm[:, JAW_OPEN].max() == pytest.approx(0.4 * expressions[:, JAW_OPEN].max())
    assert big.max() <= 1.0 and big[:, JAW_OPEN].mean() > 1.05 * expressions[:, JAW_OPEN].mean()
    assert (calm[:, BLINK] == expressions[:, BLINK]).all()


def test_energy_neither_turns_nor_carries_the_body_away(walks: list[Clip]) -> None:
    for clip in walks:
        changed = with_energy(clip, {Part.LOWER: constant(clip, 2.0)})
        assert np.abs(changed.trans - clip.trans).max() < 0.15
        headings = [np.unwrap(heading_angle(axis_angle_to_matrix(c.poses[:, 0]))) for c in (clip, changed)]
        assert np.abs(headings[0] - headings[1]).max() < 0.35


@pytest.mark.parametrize(
    "values", [np.full(240, 2.5), np.full(240, np.nan), np.full(239, 1.0), np.full(240, -0.1)]
)
def test_energy_out_of_range_is_refused(values: FloatArray) -> None:
    with pytest.raises(ClipError, match="set it again"):
        with_energy(waving(), {Part.UPPER: values})


def test_hold_keeps_the_pose_and_eases_in_and_out() -> None:
    clip = waving()
    hold = Hold(100, 150, 15, frozenset(PARTS))
    held = hold_still(clip, hold)
    assert np.abs(held.poses[100:151] - held.poses[100]).max() < 1e-5
    assert np.abs(held.trans[100:151] - clip.trans[100]).max() < 1e-6
    assert np.abs(held.expressions[100:151] - clip.expressions[100]).max() < 1e-6
    assert np.abs(held.poses[100] - clip.poses[100]).max() < 1e-5
    outside = np.r_[0:86, 165:240]
    for name in ("poses", "trans", "expressions"):
        assert getattr(held, name)[outside].tobytes() == getattr(clip, name)[outside].tobytes()
    # Velocity goes on at all four ends: acceleration is no larger there than within the ease.
    change = np.linalg.norm(np.diff(held.poses.reshape(240, -1).astype(np.float64), n=2, axis=0), axis=1)
    source = np.linalg.norm(np.diff(clip.poses.reshape(240, -1).astype(np.float64), n=2, axis=0), axis=1)
    assert change[98] < 0.3 * change[86:98].max() and change[149] < 0.9 * change[149:164].max()
    assert change[84:166].max() < 2.5 * source.max()


def test_hold_of_some_parts_leaves_the_others() -> None:
    clip = waving()
    held = hold_still(clip, Hold(60, 90, 8, frozenset({Part.HANDS, Part.UPPER})))
    untouched = [*PART_JOINTS[Part.FACE], *PART_JOINTS[Part.LOWER]]
    assert held.poses[:, untouched].tobytes() == clip.poses[:, untouched].tobytes()
    assert held.expressions.tobytes() == clip.expressions.tobytes()
    assert held.trans.tobytes() == clip.trans.tobytes()


def test_hold_outside_the_motion_does_nothing_and_one_over_its_start_holds_the_first_pose() -> None:
    clip = waving()
    assert everything(hold_still(clip, Hold(400, 500, 8, frozenset(PARTS)))) == everything(clip)
    held = hold_still(clip, Hold(-50, 20, 8, frozenset(PARTS)))
    assert np.abs(held.poses[:21] - clip.poses[0]).max() < 1e-5


def test_a_walker_who_holds_walks_on_from_there(walks: list[Clip]) -> None:
    clip = walks[0]
    middle = clip.num_frames // 2
    held = hold_still(clip, Hold(middle, middle + 30, 12, frozenset({Part.LOWER})))
    assert np.abs(np.diff(held.trans[middle : middle + 31], axis=0)).max() < 1e-6
    assert held.trans[: middle - 12].tobytes() == clip.trans[: middle - 12].tobytes()
    after = middle + 30 + 12
    steps = [np.linalg.norm(np.diff(c.trans[after:], axis=0), axis=1) for c in (clip, held)]
    assert np.abs(steps[0] - steps[1]).max() < 1e-4
    assert peak_acceleration(held.trans) < 3.0 * peak_acceleration(clip.trans)
    shaped = shape(clip, Shaping(holds=(Hold(middle, middle + 30, 12, frozenset({Part.LOWER})),)))
    feet = clip_joint_positions(shaped)[middle : middle + 31, [10, 11]]
    assert np.abs(np.diff(feet, axis=0)).max() * 30 < 0.05


def test_weight_of_a_hold_is_smooth() -> None:
    weight = hold_weight(Hold(50, 60, 20, frozenset(PARTS)), 120)
    assert weight[50:61].min() == 1.0 and weight[30] == 0.0 and weight[80] == 0.0
    assert np.abs(np.diff(weight, n=2)).max() < 0.02


def test_in_place_removes_travel_and_keeps_height(walks: list[Clip]) -> None:
    clip = walks[0].moved(turn=0.7)
    for keep_turn in (True, False):
        placed = in_place(clip, keep_turn)
        assert (placed.trans[:, [0, 2]] == clip.trans[0, [0, 2]]).all()
        assert placed.trans[:, 1].tobytes() == clip.trans[:, 1].tobytes()
        assert placed.poses[:, 1:].tobytes() == clip.poses[:, 1:].tobytes()
        if keep_turn:
            assert placed.poses.tobytes() == clip.poses.tobytes()
    headings = heading_angle(axis_angle_to_matrix(in_place(clip, False).poses[:, 0]))
    assert np.abs(headings - headings[0]).max() < 1e-3


def circle(radius: float = 1.5) -> FloorPath:
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    return FloorPath(radius * np.stack([np.sin(angles), np.cos(angles)], axis=1), closed=True)


def test_places_and_headings_along_paths() -> None:
    line = FloorPath(np.array([[0.0, 0.0], [0.0, 0.0], [2.0, 0.0]]))
    places, headings = line.at(np.array([0.0, 1.0, 5.0]))
    assert np.abs(places - [[0, 0], [1, 0], [5, 0]]).max() < 1e-6, "straight on past its end"
    assert np.abs(headings - np.pi / 2).max() < 1e-6
    ways = np.linspace(0.0, 3 * 2 * np.pi * 1.5, 400)
    places, headings = circle().at(ways)
    assert np.abs(np.linalg.norm(places, axis=1) - 1.5).max() < 0.01
    assert headings[-1] - headings[0] == pytest.approx(3 * 2 * np.pi, abs=0.2)
    assert np.abs(np.diff(headings, n=2)).max() < 0.02


@pytest.mark.parametrize(
    "points", [np.zeros((1, 2)), np.zeros((5, 2)), np.full((3, 2), np.nan), np.zeros((4, 3))]
)
def test_what_is_no_path_is_refused(points: FloatArray) -> None:
    with pytest.raises(ClipError, match="choose another curve"):
        FloorPath(points)


def test_walkers_follow_a_curve(walks: list[Clip]) -> None:
    for clip in walks:
        path = circle()
        led = shape(clip, Shaping(root=Root.FOLLOW, path=path))
        walked = travelled(clip)
        assert walked[-1] == pytest.approx(np.linalg.norm(clip.trans[-1] - clip.trans[0]), rel=0.3)
        places, ahead = path.at(walked)
        assert np.linalg.norm(led.trans[:, [0, 2]] - places, axis=1).max() < 0.25
        facing = np.unwrap(heading_angle(axis_angle_to_matrix(led.poses[:, 0])))
        off = (facing - ahead + np.pi) % (2 * np.pi) - np.pi
        assert np.abs(off).mean() < 0.25
        assert led.poses[:, 12:].tobytes() == clip.poses[:, 12:].tobytes(), "only legs and pelvis change"
        slides = [foot_slide(clip_joint_positions(c), 30) for c in (led, follow(clip, path), clip)]
        assert slides[0] < 0.06, slides
        assert knee_pop([clip_joint_positions(led)], 30) <= 1.25 * knee_pop([clip_joint_positions(clip)], 30)


def test_who_stands_stays_where_the_curve_begins() -> None:
    clip = waving()
    assert travelled(clip)[-1] < 0.02
    led = follow(clip, circle())
    assert np.abs(led.trans[:, [0, 2]] - [0.0, 1.5]).max() < 0.12


def test_planted_feet_slide_less_and_free_ones_are_left(walks: list[Clip]) -> None:
    clip = walks[0]
    swinging = {Part.LOWER: constant(clip, 1.4)}
    free = shape(clip, Shaping(energy=swinging, feet=Feet.FREE))
    assert everything(free) == everything(with_energy(clip, swinging))
    planted = shape(clip, Shaping(energy=swinging))
    slides = [foot_slide(clip_joint_positions(c), 30) for c in (free, planted)]
    assert slides[1] < 0.5 * slides[0]
    assert everything(shape(clip, Shaping(feet=Feet.FREE))) == everything(clip)
    assert Shaping(feet=Feet.PLANTED).parts == (Part.LOWER,)


def test_following_nothing_is_refused() -> None:
    with pytest.raises(ClipError, match="choose one"):
        shape(waving(), Shaping(root=Root.FOLLOW))


def test_planting_is_noted_and_taken_back(walks: list[Clip]) -> None:
    for clip in walks:
        energy = {Part.LOWER: constant(clip, 1.3)}
        loose = with_energy(clip, energy)
        made = planted(loose, known_feet(clip).contacts)
        assert np.abs(made.poses - loose.poses).max() > 0.02
        free = shape(made, Shaping(feet=Feet.FREE))
        assert np.abs(free.poses - loose.poses).max() < 1e-4 and np.abs(free.trans - loose.trans).max() < 1e-5
        # At another rate, cut out, turned and moved, it is taken back as well.
        elsewhere = made.resample(24.0).slice(5, 60).moved(0.5, (1.0, 2.0))
        wanted = loose.resample(24.0).slice(5, 60).moved(0.5, (1.0, 2.0))
        free = unplanted(elsewhere)
        assert np.abs(clip_joint_positions(free) - clip_joint_positions(wanted)).max() < 0.01
        assert everything(shape(made, Shaping())) == everything(made)


def test_feet_of_a_stretch_meet_those_around_it(walks: list[Clip], monkeypatch: pytest.MonkeyPatch) -> None:
    kept = planted(walks[0], known_feet(walks[0]).contacts)
    loose = with_energy(walks[0], {Part.LOWER: constant(walks[0], 1.3)})
    made = planted(loose, known_feet(walks[0]).contacts)
    joined = join(kept, made, [Part.LOWER], 20, 60, 8)
    assert joined.feet is not None and kept.feet is not None and made.feet is not None
    outside = np.r_[0:21, 60 : kept.num_frames]
    assert np.abs(joined.feet.values[outside] - kept.feet.values[outside]).max() < 1e-6
    monkeypatch.setattr(joining, "replanted", lambda clip, *_: clip)
    again, joined = joined, join(kept, made, [Part.LOWER], 20, 60, 8)
    assert np.abs(again.poses - joined.poses).max() > 1e-3
    places = [clip_joint_positions(unplanted(clip)) for clip in (again, joined)]
    assert np.abs(places[0] - places[1]).max() < 1e-4, "what planting changed can still be taken back"
    assert joined.feet is not None
    assert np.abs(joined.feet.values[28:53, :22] - made.feet.values[28:53, :22]).max() < 1e-6
    lengths = [np.linalg.norm(feet.root[28:53], axis=1) for feet in (joined.feet, made.feet)]
    assert np.abs(lengths[0] - lengths[1]).max() < 1e-5, "turned as the new motion is"
    assert join(walks[0], walks[0], [Part.LOWER], 20, 60, 8).feet is None


def test_feet_of_another_length_are_refused() -> None:
    clip = waving()
    with pytest.raises(ClipError, match="another length"):
        replace(clip, feet=known_feet(clip).slice(0, 10))
    with pytest.raises(ClipError, match="damaged"):
        FeetTrack(np.zeros((3, 4)), np.zeros((3, 5, 3)), np.zeros((3, 3)))
