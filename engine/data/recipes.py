# SPDX-License-Identifier: GPL-3.0-or-later
"""Recipes: which training items are made of a capture, action by action.

Every item is measured with the evaluation's own probes and must pass a stricter bound than the evaluation
sets, so that each caption says what the motion does.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..motion.arrays import DoubleArray
from ..motion.clip import Clip
from ..motion.kinematics import clip_joint_positions
from ..specs import MOTION_FPS
from .cleaning import Capture
from .editing import (
    LocalMotion,
    bend_path,
    best_cycle,
    circle_turn_rate,
    crossfade,
    from_clip,
    oscillate,
    raised,
    repeat_cycle,
    reversed_in_time,
    runs_of,
    standing_contacts,
    to_clip,
    warp,
)
from .workshop import MIN_FRAMES, Workshop, both_sides, draw_for

MAX_TURN_RATE = 24.0
"""Where the pelvis heading turns faster than this, rad/s, it has none (upside down): clips are cut there.
Salsa spins reach 20 rad/s."""

TURN_DEG, TURN_FRAMES, LATEST_TURN = (66.0, 90.0), (28, 34), 6
"""Degrees and frames of a turn on the way, and the frame at which it begins at the latest.

It begins at once and always lasts about a second. Where a turn may begin or end at any moment, going on is
likelier at every single one, and a model that draws the likely goes straight on, or round for ever. At 75
degrees per second it is also told from walking in a circle, at 55: turns of 1.4 seconds had a circle's codes,
and came out as anything from 10 to 220 degrees. Slower curves, of 10 to 19 degrees per second, have nearly
the codes of straight walks.
"""

WALK_CYCLE_COST, RUN_CYCLE_COST = 0.75, 1.2
"""Largest mismatch of a cycle's ends, radians, summed over two frames (see `editing.pose_distance`)."""


def looped_gait(clip: Clip, is_run: bool, num_frames: int, factor: float = 1.0) -> LocalMotion | None:
    """A walk or run of any length made of a captured one; None where no cycle fits.

    Args:
        clip: Captured walk or run.
        is_run: Whether to look for the shorter cycle of a run.
        num_frames: Wanted length.
        factor: Speed-up of time.
    """
    motion = from_clip(warp(clip, factor) if abs(factor - 1) > 1e-3 else clip)
    motion = motion.cut(2, motion.num_frames - 2)
    shortest = round((16 if is_run else 25) / factor)
    longest = round((30 if is_run else 130) / factor)
    start, end, cost = best_cycle(motion, shortest, longest, prefer_long=1.2)
    if cost > (RUN_CYCLE_COST if is_run else WALK_CYCLE_COST):
        return None
    return repeat_cycle(motion, start, end, num_frames)


def walks(shop: Workshop, capture: Capture) -> None:
    """Walks: as captured, repeated at three speeds, on circles, round corners, winding, and backwards."""
    draw = draw_for(capture, "walk")
    for source, mirror in both_sides(capture):
        shop.add(source, from_clip(source.clip), "walk_forward", "walk_forward", mirror, replant=False)
        slow, fast = draw.uniform(0.72, 0.9), draw.uniform(1.1, 1.28)
        for factor in (1.0, slow, fast):
            gait = looped_gait(source.clip, False, draw.randint(240, 300), factor)
            if gait is None:
                shop.drop("walk_forward: no cycle")
                continue
            words = f"{mirror}, cycle repeated, time x {factor:.2f}"
            shop.add(source, gait, "walk_forward", "walk_forward", words, looped=True)
            _walk_backwards(shop, source, words, draw, factor)
            if factor != fast:
                _circles(shop, source, words, draw, factor)
            if factor == 1.0:
                _turns(shop, source, gait, words, draw)


def _walk_backwards(shop: Workshop, source: Capture, words: str, draw: random.Random, factor: float) -> None:
    # People walk backwards more slowly than forwards.
    gait = looped_gait(source.clip, False, draw.randint(240, 300), factor * draw.uniform(0.78, 0.95))
    if gait is not None:
        shop.add(
            source,
            reversed_in_time(gait),
            "walk_backwards",
            "walk_backwards",
            words + ", time reversed",
            looped=True,
        )


def _circles(shop: Workshop, source: Capture, words: str, draw: random.Random, factor: float) -> None:
    for sign, side in ((1.0, "left"), (-1.0, "right")):
        gait = looped_gait(source.clip, False, draw.randint(250, 310), factor * draw.uniform(0.95, 1.05))
        if gait is None:
            continue
        speed = float(np.abs(gait.velocity[:, 1]).mean())
        radius = float(np.clip(speed / draw.uniform(0.72, 1.2), 0.7, 2.2))
        bent = bend_path(gait, sign * circle_turn_rate(gait, radius))
        edit = f"{words}, path bent to a circle of {radius:.1f} m"
        shop.add(source, bent, "walk_circle", "walk_circle", edit, side=side, looped=True)


def turn_rate(num_frames: int, draw: random.Random) -> DoubleArray:
    """Rate of one turn at the beginning of a walk, eased in and out over a quarter second, (F,), rad/s."""
    begin, length = draw.randint(0, LATEST_TURN), draw.randint(*TURN_FRAMES)
    frames = np.arange(num_frames)
    shape = np.clip(np.minimum(frames - begin + 4, begin + length - frames) / 8.0, 0.0, 1.0)
    return np.radians(draw.uniform(*TURN_DEG)) * MOTION_FPS * shape / shape.sum()


def _turns(shop: Workshop, source: Capture, gait: LocalMotion, words: str, draw: random.Random) -> None:
    """A turn at the beginning, or a winding path."""
    frames = np.arange(gait.num_frames)
    if draw.random() < 0.5:
        sign, side = draw.choice(((1.0, "left"), (-1.0, "right")))
        bent = bend_path(gait, sign * turn_rate(gait.num_frames, draw))
        shop.add(source, bent, "rest", "turn_left", words + f", path bent {side}", side=side, looped=True)
    elif draw.random() < 0.5:
        rate = 0.9 * np.sin(2 * np.pi * (frames / draw.uniform(90, 130) + draw.random()))
        shop.add(source, bend_path(gait, rate), "rest", "zigzag", words + ", path winding", looped=True)


def runs(shop: Workshop, capture: Capture) -> None:
    """Runs: repeated at several speeds, on circles and backwards."""
    draw = draw_for(capture, "run")
    for source, mirror in both_sides(capture):
        for factor in (1.0, draw.uniform(0.84, 0.95), draw.uniform(1.05, 1.16)):
            words = f"{mirror}, cycle repeated, time x {factor:.2f}"
            gait = looped_gait(source.clip, True, draw.randint(180, 260), factor)
            if gait is None:
                shop.drop("run_forward: no cycle")
                continue
            shop.add(source, gait, "run_forward", "run_forward", words, looped=True)
            back = looped_gait(source.clip, True, draw.randint(180, 260), factor * draw.uniform(0.82, 0.98))
            if back is not None:
                edit = words + ", time reversed"
                shop.add(source, reversed_in_time(back), "run_backwards", "run_backwards", edit, looped=True)
        gait = looped_gait(source.clip, True, 240, draw.uniform(0.85, 1.0))
        if gait is not None:
            sign, side = draw.choice(((1.0, "left"), (-1.0, "right")))
            radius = float(np.abs(gait.velocity[:, 1]).mean()) / draw.uniform(0.6, 0.95)
            bent = bend_path(gait, sign * circle_turn_rate(gait, radius))
            edit = f"{mirror}, cycle repeated, path bent to a circle of {radius:.1f} m"
            shop.add(source, bent, "rest", "run_circle", edit, side=side, looped=True)


@dataclass(frozen=True)
class JumpEvent:
    """A captured jump: frames in the air and how far the root rises over its standing level, metres."""

    take_off: int
    landing: int
    rise_m: float
    distance_m: float


def find_jumps(clip: Clip, lowest: float = 0.2) -> list[JumpEvent]:
    """Stretches in which both feet are off the floor for 5 to 18 frames and the root rises at least `lowest`
    metres."""
    positions = clip_joint_positions(clip)
    feet = positions[:, [7, 8, 10, 11], 1] - np.percentile(positions[:, [7, 8, 10, 11], 1], 5, axis=0)
    events: list[JumpEvent] = []
    for start, stop in runs_of((feet > 0.06).all(1), 5):
        around = clip.trans[max(start - 60, 0) : stop + 60, 1]
        standing = float(np.percentile(around, 60))
        rise = float(clip.trans[start:stop, 1].max()) - min(standing, 0.95)
        tucked = float(feet[start:stop].min(1).max())
        if stop - start <= 18 and lowest <= rise <= 0.62 and tucked < 0.6:
            distance = float(np.linalg.norm((clip.trans[stop - 1] - clip.trans[start])[[0, 2]]))
            events.append(JumpEvent(start, stop, rise, distance))
    return events


def jumps(shop: Workshop, capture: Capture, reaching: bool = False) -> None:
    """Jumps cut to begin at most 20 frames before take-off: single ones with a landing, and several in a
    row."""
    draw = draw_for(capture, "jump")
    for source, mirror in both_sides(capture):
        events = find_jumps(source.clip)
        for event in events:
            action = "jump_forward" if event.distance_m > 0.45 else "jump"
            for take in range(5):
                factor = 1.0 if take == 0 else draw.uniform(0.92, 1.1)
                words = f"{mirror}, cut, time x {factor:.2f}"
                extra = ("jump up to grab something", "jump and reach up") if reaching else ()
                jump = _one_jump(source.clip, event, draw, factor)
                shop.add(source, jump, "jump", action, words, extra=extra)
                row = jump
                while row.num_frames < 240:
                    row = crossfade(row, _one_jump(source.clip, draw.choice(events), draw, factor), 10)
                again = "jump_repeat" if event.distance_m <= 0.45 else "jump_forward"
                shop.add(
                    source, row.cut(0, 300), "jump", again, words + ", repeated", looped=True, extra=extra
                )


def _one_jump(clip: Clip, event: JumpEvent, draw: random.Random, factor: float) -> LocalMotion:
    """Cuts one jump out, from the crouch to about a second after landing, raised to at least 0.3 m."""
    start = max(event.take_off - draw.randint(9, 20), 0)
    stop = min(event.landing + draw.randint(24, 40), clip.num_frames)
    later = runs_of(~standing_contacts(clip)[event.landing + 8 : stop].astype(bool).any(1), 3)
    if later:  # the next jump begins: stop before its crouch
        stop = max(event.landing + 8 + later[0][0] - 6, event.landing + 10)
    wanted = draw.uniform(0.3, 0.42)
    motion = from_clip(clip.slice(start, stop))
    extra = float(np.clip(wanted - event.rise_m, 0.0, 0.1))
    motion = raised(motion, event.take_off - start, event.landing - start, extra)
    short = round(MIN_FRAMES * factor) + 2 - motion.num_frames
    if short > 0:
        motion = _held(motion, short + draw.randint(0, 12))
    if abs(factor - 1) < 1e-3:
        return motion
    return from_clip(warp(to_clip(motion), factor))


def _held(motion: LocalMotion, num_frames: int) -> LocalMotion:
    """Goes on by swaying back and forth over the last frames."""
    length = min(12, motion.num_frames - 1)
    last = motion.cut(motion.num_frames - length, motion.num_frames)
    sway = reversed_in_time(last)
    while sway.num_frames < num_frames + 2:
        sway = sway.then(reversed_in_time(sway))
    # Landing leaves some speed in the root: let it fade.
    fade = np.exp(-np.arange(sway.num_frames) / 8.0)
    sway = replace(sway, velocity=sway.velocity * fade[:, None], turn=sway.turn * fade)
    return motion.then(sway.cut(0, num_frames))


def standing_windows(capture: Capture) -> list[Clip]:
    """Stretches in which someone stands quietly: slow joints, straight legs and body, feet down, hands
    low."""
    if capture.trial.startswith(("05_", "49_18", "49_19", "49_20")):
        return []  # ballet positions and one-legged balance are no plain standing
    positions = clip_joint_positions(capture.clip)[:, :22]
    speed = np.linalg.norm(np.diff(positions, axis=0), axis=-1).max(1) * MOTION_FPS
    quiet = np.append(speed, speed[-1]) < 0.45
    wrists = (positions[:, [20, 21], 1] - positions[:, 9:10, 1]).max(1) < -0.1
    feet = positions[:, [10, 11], 1].max(1) < 0.09
    upright = (positions[:, 0, 1] > 0.9) & (positions[:, 15, 1] - positions[:, 0, 1] > 0.565)
    return [capture.clip.slice(a, b) for a, b in runs_of(quiet & wrists & feet & upright, 15)]


def stands(shop: Workshop, captures: list[Capture], num_items: int, seed: str) -> None:
    """Standing: sway over captured quiet stretches, the lower body of one with the upper body of another."""
    pool = [(capture, clip) for capture in captures for clip in standing_windows(capture)]
    if not pool:
        return
    draw = random.Random(seed)
    for number in range(num_items):
        capture, clip = pool[number % len(pool)]
        other, second = draw.choice(pool)
        if draw.random() < 0.5:
            clip, second = clip.mirrored(), second.mirrored()
        num_frames = draw.randint(210, 300)
        lower = from_clip(oscillate(clip, num_frames, draw))
        upper = from_clip(oscillate(second, num_frames, draw))
        joints = lower.quaternions.copy()
        joints[:, 9:] = upper.quaternions[:, 9:]
        motion = replace(lower, quaternions=joints, contacts=np.ones_like(lower.contacts))
        edit = f"swaying over a quiet stretch, upper body of {other.trial}"
        shop.add(
            capture, motion, "stand_still", "stand_still", edit, looped=True, other_trials=(other.trial,)
        )


def turning_round(shop: Workshop, capture: Capture) -> None:
    """Clips of walking, stopping and turning on the spot."""
    for source, mirror in both_sides(capture):
        shop.add(source, from_clip(source.clip), "rest", "walk_around", mirror, replant=False)
        motion = from_clip(source.clip)
        turned = np.abs(np.convolve(motion.turn, np.ones(60), mode="same")) / MOTION_FPS
        middle = int(turned.argmax())
        part = motion.cut(max(middle - 75, 0), middle + 90)
        shop.add(source, part, "rest", "turn_around", mirror + ", cut", replant=False)


def whole_clip(action: str) -> Callable[[Workshop, Capture], None]:
    """Recipe of a clip that is used as it is, and mirrored."""

    def make(shop: Workshop, capture: Capture) -> None:
        near_floor = action not in (
            "climb_ladder",
            "climb_steps",
            "playground",
            "sit",
            "acrobatics",
            "uneven",
        )
        for source, mirror in both_sides(capture):
            motion = from_clip(source.clip, near_floor)
            extra = [source.description.replace(" - ", ", ")]
            parts = runs_of(np.abs(motion.turn) < MAX_TURN_RATE, MIN_FRAMES)
            for start, stop in parts:
                edit = mirror if (start, stop) == (0, motion.num_frames) else mirror + ", cut"
                shop.add(source, motion.cut(start, stop), "rest", action, edit, replant=False,
                         near_floor=near_floor, extra=extra)  # fmt: skip
            if not parts:
                shop.drop("rest: pelvis heading undefined")

    return make


def signed_speed(motion: LocalMotion) -> DoubleArray:
    """Forward speed averaged over a second, (F,), m/s."""
    return np.convolve(motion.velocity[:, 1], np.ones(31) / 31, mode="same")


def captured_backwards(shop: Workshop, capture: Capture) -> None:
    """The stretches of a clip in which someone really walks backwards, and those in which they walk
    forwards."""
    for source, mirror in both_sides(capture):
        motion = from_clip(source.clip)
        speed = signed_speed(motion)
        for start, stop in runs_of(speed < -0.6, MIN_FRAMES):
            shop.add(
                source,
                motion.cut(start, stop),
                "walk_backwards",
                "walk_backwards",
                mirror + ", cut",
                replant=False,
            )
        for start, stop in runs_of(speed > 0.7, MIN_FRAMES):
            shop.add(source, motion.cut(start, stop), "rest", "walk_around", mirror + ", cut", replant=False)
