# SPDX-License-Identifier: GPL-3.0-or-later
"""Physical probes on stick figures whose motion is known by construction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.evaluation import probes
from engine.evaluation.body_measures import count_steps, longest_run, measure
from engine.evaluation.probes import ACTION_PROBES, PROBES, probe_for

FPS = 30.0


def figure(
    seconds: float = 5.0,
    speed: float = 0.0,
    turn_deg: float = 0.0,
    step_hz: float = 0.0,
    hops: tuple[float, ...] = (),
    hop_m: float = 0.35,
    feet_rise: float = 1.0,
    start_deg: float = 0.0,
) -> np.ndarray:
    """A stick figure (F, 55, 3): constant speed along a turning heading, swinging ankles, hops."""
    num_frames = round(seconds * FPS)
    t = np.arange(num_frames) / FPS
    heading = np.radians(start_deg + turn_deg * t / seconds)
    forward = np.stack([np.sin(heading), np.zeros_like(t), np.cos(heading)], axis=1)
    left = np.stack([np.cos(heading), np.zeros_like(t), -np.sin(heading)], axis=1)
    root = np.concatenate([np.zeros((1, 3)), np.cumsum(forward[:-1] * speed / FPS, axis=0)])
    lift = np.zeros_like(t)
    for hop in hops:
        phase = (t - hop) / 0.5
        lift = np.maximum(lift, np.where((phase > 0) & (phase < 1), 4 * phase * (1 - phase) * hop_m, 0))
    root[:, 1] = 0.95 + lift
    positions = np.repeat(root[:, None], 55, axis=1)
    for right, sign in ((False, 1.0), (True, -1.0)):
        side = sign * left
        positions[:, 2 if right else 1] += 0.1 * side
        positions[:, 17 if right else 16] += 0.2 * side + np.array([0, 0.5, 0])
        swing = sign * 0.25 * np.sin(np.pi * step_hz * t)[:, None] * forward * (step_hz > 0)
        ankle = root + 0.1 * side + swing
        ankle[:, 1] = 0.08 + lift * feet_rise
        positions[:, 8 if right else 7] = ankle
        positions[:, 11 if right else 10] = ankle + 0.12 * forward - np.array([0, 0.06, 0])
    return positions


GOOD = {
    "walk_forward": {"speed": 1.2, "step_hz": 1.8},
    "walk_backwards": {"speed": -0.9, "step_hz": 1.6},
    "walk_circle": {"seconds": 8.0, "speed": 1.0, "step_hz": 1.7, "turn_deg": -300.0},
    "run_forward": {"speed": 3.2, "step_hz": 2.6},
    "run_backwards": {"speed": -2.4, "step_hz": 2.4},
    "jump": {"hops": (1.0, 3.0)},
    "stand_still": {},
}


@pytest.mark.parametrize("action", list(GOOD))
def test_each_action_passes_its_own_probe_and_no_other(action: str) -> None:
    measures = measure(figure(**GOOD[action]), FPS)
    passed = [probe.action for probe in PROBES if probe.passes(measures)]
    assert passed == [action], probe_for(action).failures(measures)


@pytest.mark.parametrize("start_deg", [0.0, 90.0, -135.0, 180.0])
def test_speed_does_not_depend_on_where_the_figure_faces(start_deg: float) -> None:
    measures = measure(figure(speed=1.3, step_hz=1.8, start_deg=start_deg), FPS)
    assert measures.forward_speed == pytest.approx(1.3, abs=1e-6)
    backwards = measure(figure(speed=-1.0, start_deg=start_deg), FPS)
    assert backwards.forward_speed == pytest.approx(-1.0, abs=1e-6)


def test_left_turn_is_positive() -> None:
    assert measure(figure(turn_deg=200.0, start_deg=170.0), FPS).turned_deg == pytest.approx(200.0, abs=2.0)
    assert measure(figure(turn_deg=-90.0), FPS).turned_deg == pytest.approx(-90.0, abs=1.0)


def test_gliding_is_not_walking() -> None:
    measures = measure(figure(speed=1.2), FPS)
    assert not probe_for("walk_forward").passes(measures)
    assert probe_for("walk_forward").failures(measures) == ["steps per second 0.8..3.5, is 0.00"]


def test_turning_to_and_fro_is_no_circle() -> None:
    there = figure(seconds=4.0, speed=1.0, step_hz=1.7, turn_deg=200.0)
    back = there[::-1]
    measures = measure(np.concatenate([there, back]), FPS)
    assert not probe_for("walk_circle").passes(measures)
    assert measures.turn_steadiness < 0.1


def test_jump_needs_both_feet_off_and_a_human_height() -> None:
    jump = probe_for("jump")
    assert not jump.passes(measure(figure(hops=(1.0,), feet_rise=0.0), FPS))
    assert not jump.passes(measure(figure(hops=(1.0,), hop_m=0.1), FPS))
    assert not jump.passes(measure(figure(hops=(1.0,), hop_m=0.9), FPS))
    assert measure(figure(hops=(1.0,), hop_m=0.4), FPS).rise_m == pytest.approx(0.4, abs=0.01)


def test_lying_down_is_not_standing() -> None:
    positions = figure()
    positions[:, 0, 1] = 0.2
    assert not probe_for("stand_still").passes(measure(positions, FPS))


def test_pass_rate_and_bounds() -> None:
    good = measure(figure(**GOOD["walk_forward"]), FPS)
    probe = probe_for("walk_forward")
    assert probes.pass_rate(probe, [good, replace(good, forward_speed=2.5)]) == 0.5
    assert probes.pass_rate(probe, []) == 0.0
    assert "0.6..2" in probe.text()


def test_longest_run_and_steps() -> None:
    assert longest_run(np.array([1, 1, 0, 1, 1, 1], bool)) == 3
    assert longest_run(np.zeros(4, bool)) == 0
    assert count_steps(np.array([0.1, 0.02, -0.02, 0.1, -0.1, -0.2, 0.2])) == 2


def person(**motion: object) -> np.ndarray:
    """`figure` with a trunk, thighs and hanging arms, (F, 55, 3)."""
    positions = figure(**motion)  # type: ignore[arg-type]
    root = positions[:, 0]
    for hip, knee in ((1, 4), (2, 5)):
        positions[:, knee] = positions[:, hip] - np.array([0, 0.42, 0])
    positions[:, 9], positions[:, 12] = root + np.array([0, 0.3, 0]), root + np.array([0, 0.5, 0])
    for shoulder, wrist in ((16, 20), (17, 21)):
        positions[:, wrist] = positions[:, shoulder] - np.array([0, 0.55, 0])
    return positions


def kicking() -> np.ndarray:
    """A foot that swings through half a turn about the hip in a quarter of a second."""
    positions = person(seconds=4.0)
    angle = np.pi * np.clip((np.arange(len(positions)) - 60) / 8, 0, 1)
    swing = 0.8 * np.stack([np.zeros_like(angle), 1 - np.cos(angle), np.sin(angle)], axis=1)
    positions[:, [7, 10]] += swing[:, None]
    return positions


def boxing() -> np.ndarray:
    """Fists before the chest that shoot out at 2.4 m/s twice a second."""
    positions = person(seconds=6.0)
    reach = 0.3 + 0.19 * np.sin(4 * np.pi * np.arange(len(positions)) / FPS)
    for shoulder, wrist in ((16, 20), (17, 21)):
        forward = np.stack([np.zeros_like(reach), np.full_like(reach, -0.05), reach], axis=1)
        positions[:, wrist] = positions[:, shoulder] + forward
    return positions


def climbing() -> np.ndarray:
    """Everything rises by 0.8 m over three seconds and stays there."""
    positions = person(seconds=8.0)
    positions[..., 1] += 0.8 * np.clip(np.arange(len(positions)) / FPS / 3, 0, 1)[:, None]
    return positions


def sitting() -> np.ndarray:
    """Thighs flat from the second second on."""
    positions = person(seconds=8.0)
    for hip, knee in ((1, 4), (2, 5)):
        positions[60:, knee] = positions[60:, hip] + np.array([0, -0.05, 0.42])
    return positions


def wheeling() -> np.ndarray:
    """The trunk turns over once."""
    positions = person(seconds=4.0)
    turn = 2 * np.pi * np.clip((np.arange(len(positions)) - 40) / 40, 0, 1)
    away = 0.5 * np.stack([np.sin(turn), np.cos(turn), np.zeros_like(turn)], axis=1)
    positions[:, 12] = positions[:, 0] + away
    return positions


PHYSICAL = {
    "turn_left": person(seconds=8.0, speed=1.1, step_hz=1.7, turn_deg=90.0),
    "turn_right": person(seconds=8.0, speed=1.1, step_hz=1.7, turn_deg=-90.0),
    "kick": kicking(),
    "box": boxing(),
    "climb": climbing(),
    "sit": sitting(),
    "cartwheel": wheeling(),
}


@pytest.mark.parametrize("action", list(PHYSICAL))
def test_each_further_action_meets_its_own_bounds_and_no_others(action: str) -> None:
    measures = measure(PHYSICAL[action], FPS)
    passed = [probe.action for probe in ACTION_PROBES if not probe.learned and probe.passes(measures)]
    assert passed == [action], probe_for(action).failures(measures)


@pytest.mark.parametrize("motion", [{}, {"speed": 1.2, "step_hz": 1.8}, {"speed": 3.2, "step_hz": 2.6}])
def test_standing_walking_and_running_are_no_further_action(motion: dict[str, float]) -> None:
    measures = measure(person(**motion), FPS)
    assert not [probe.action for probe in ACTION_PROBES if probe.passes(measures)]


def test_at_least_fourteen_actions_are_probed() -> None:
    assert len({probe.action for probe in (*PROBES, *ACTION_PROBES)}) >= 14


def test_one_bad_frame_is_no_kick() -> None:
    positions = person(seconds=4.0)
    positions[50, [7, 10]] += np.array([0, 0, 0.3])
    assert measure(positions, FPS).kick_speed < 6.6
