# SPDX-License-Identifier: GPL-3.0-or-later
"""The procedural performer: a possible body that follows the sound and differs from seed to seed."""

from __future__ import annotations

import time
from functools import cache

import numpy as np
import pytest

from engine.audio.features import envelope, speech_features
from engine.data.performer import Performance, idle, perform
from engine.data.performer.limbs import mirror_rotation, two_bone
from engine.data.performer.prosody import analyse, rhythm_clock, select_accents
from engine.data.performer.style import MOODS, draw_style
from engine.motion.arkit import ARKIT_INDEX
from engine.motion.arrays import FloatArray
from engine.motion.features import integrate_root, starter_clip
from engine.motion.kinematics import clip_joint_positions
from engine.motion.rotations import axis_angle_to_matrix
from engine.motion.skeleton import JOINT_NAMES
from engine.specs import AUDIO_HZ, EMOTIONS, MOTION_FPS, Part

BEATS = [0.6, 0.85, 1.3, 1.6, 1.95, 2.4, 2.7, 3.1, 5.2, 5.5, 5.9, 6.3, 6.55, 7.0, 7.4, 7.8]
PAUSE = (3.6, 5.0)


@cache
def speech(seconds: float = 9.0) -> FloatArray:
    """Vowels of changing pitch, loudness and colour at `BEATS`, with a pause in between, (N,)."""
    rng = np.random.default_rng(4)
    sound = rng.normal(0.0, 2e-4, round(seconds * AUDIO_HZ))
    for index, start in enumerate(BEATS):
        clock = np.arange(round(0.2 * AUDIO_HZ)) / AUDIO_HZ
        pitch = 120.0 * (1.0 + 0.25 * (index % 3 == 0)) * (1.0 - 0.3 * clock)
        phase = 2 * np.pi * np.cumsum(pitch) / AUDIO_HZ
        first, second = ((700, 1200), (320, 2300), (350, 800))[index % 3]
        vowel = np.zeros_like(clock)
        for k in range(1, 30):
            hz = 120.0 * k
            gain = np.exp(-(((hz - first) / 180) ** 2)) + 0.5 * np.exp(-(((hz - second) / 250) ** 2)) + 0.02
            vowel += gain * np.sin(k * phase)
        vowel *= np.hanning(len(clock)) ** 0.4 * (0.12 if index % 3 == 0 else 0.07)
        at = round(start * AUDIO_HZ)
        sound[at : at + len(vowel)] += vowel
    return sound.astype(np.float32)


@cache
def performed(emotion: str = "neutral", seed: int = 1) -> Performance:
    """A performance of `speech`."""
    return perform(speech(), emotion=emotion, seed=seed)


def joints(done: Performance) -> FloatArray:
    """Positions relative to the pelvis, (F, 55, 3)."""
    clip = starter_clip(
        {Part.FACE: done.face, Part.HANDS: done.hands, Part.UPPER: done.upper, Part.LOWER: done.lower}
    )
    return clip_joint_positions(clip)


def channel(done: Performance, name: str) -> FloatArray:
    """One face channel, (F,)."""
    return done.face[:, ARKIT_INDEX[name]]


def place(name: str) -> int:
    """Index of a joint."""
    return JOINT_NAMES.index(name)


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_shapes_and_values(emotion: str) -> None:
    done = performed(emotion)
    frames = round(9.0 * MOTION_FPS)
    for features, size in ((done.face, 52), (done.hands, 180), (done.upper, 78), (done.lower, 62)):
        assert features.shape == (frames, size)
        assert features.dtype == np.float32
        assert np.isfinite(features).all()
    assert done.face.min() >= 0.0 and done.face.max() <= 1.0


def test_same_seed_same_motion_other_seed_other_motion() -> None:
    again = perform(speech(), emotion="neutral", seed=1)
    for name in ("face", "hands", "upper", "lower"):
        assert np.array_equal(getattr(again, name), getattr(performed(), name))
    takes = [joints(performed(seed=seed))[:, [20, 21]] for seed in range(10)]
    for index, take in enumerate(takes):
        for other in takes[:index]:
            assert np.linalg.norm(take - other, axis=-1).mean() > 0.04


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("emotion", ["neutral", "anger", "sadness"])
def test_the_body_is_possible(emotion: str, seed: int) -> None:
    where = joints(performed(emotion, seed))
    body = where - where[:, :1]
    for side, sign in (("left", 1.0), ("right", -1.0)):
        wrist, elbow = body[:, place(f"{side}_wrist")], body[:, place(f"{side}_elbow")]
        shoulder = body[:, place(f"{side}_shoulder")]
        assert (sign * wrist[:, 0]).min() > -0.12  # hands stay on their own side, or nearly
        assert wrist[:, 1].max() < body[:, place("head"), 1].min() + 0.1
        assert wrist[:, 1].min() > -0.25
        trunk = np.hypot(wrist[:, 0] / 0.15, (wrist[:, 2] - 0.02) / 0.10)
        assert trunk[wrist[:, 1] < 0.4].min(initial=9.0) > 1.0  # outside the trunk
        upper, fore = elbow - shoulder, wrist - elbow
        bend = np.arccos(
            np.clip(
                (upper * fore).sum(-1) / np.linalg.norm(upper, axis=-1) / np.linalg.norm(fore, axis=-1), -1, 1
            )
        )
        assert bend.min() > 0.1 and bend.max() < 2.6  # neither locked nor folded
        assert np.median(elbow[:, 1]) < np.median(shoulder[:, 1]) - 0.15  # arms hang, no T-pose
        speed = np.linalg.norm(np.diff(where[:, place(f"{side}_wrist")], axis=0), axis=-1) * MOTION_FPS
        assert speed.max() < 4.5


def test_elbows_bend_forward() -> None:
    body = joints(performed("neutral", 2))
    for side in ("left", "right"):
        shoulder, elbow, wrist = (body[:, place(f"{side}_{j}")] for j in ("shoulder", "elbow", "wrist"))
        straight = shoulder + 0.5 * (wrist - shoulder)
        assert ((elbow - straight)[:, 2] < 0.02).mean() > 0.95  # the elbow lies behind the line to the wrist


@pytest.mark.parametrize("seed", range(12))
def test_feet_stay_planted_and_knees_bend_forward(seed: int) -> None:
    done = performed("neutral", seed)
    where = joints(done)
    for index, (ankle, knee, hip) in enumerate(((7, 4, 1), (8, 5, 2))):
        held = (done.lower[1:, 4 + index] > 0.5) & (done.lower[:-1, 4 + index] > 0.5)
        speed = np.linalg.norm(np.diff(where[:, ankle], axis=0), axis=-1) * MOTION_FPS
        assert held.mean() > 0.8
        assert np.percentile(speed[held], 95) < 0.03
        line = 0.5 * (where[:, hip] + where[:, ankle])
        assert (where[:, knee] - line)[:, 2].min() > 0.0
    assert 0.85 < done.lower[:, 2].mean() < 1.0
    path, headings = integrate_root(done.lower)
    assert np.ptp(path[:, [0, 2]], axis=0).max() < 0.3
    assert np.abs(headings).max() < 0.5


def test_jaw_follows_the_sound_and_closes_in_silence() -> None:
    jaw, curve = channel(performed(), "jawOpen"), envelope(speech())
    correlations = [np.corrcoef(np.roll(jaw, -lag), curve)[0, 1] for lag in range(-3, 4)]
    assert correlations[3] > 0.6
    assert abs(int(np.argmax(correlations)) - 3) <= 1
    quiet = slice(round((PAUSE[0]) * MOTION_FPS), round((PAUSE[1] - 0.2) * MOTION_FPS))
    assert jaw[quiet].max() < 0.03
    assert (channel(performed(), "mouthClose") <= jaw + 1e-6).all()


def test_vowels_shape_the_lips() -> None:
    done = performed()
    frames = [np.arange(round((b + 0.05) * MOTION_FPS), round((b + 0.18) * MOTION_FPS)) for b in BEATS]
    by_vowel = [np.concatenate(frames[kind::3]) for kind in range(3)]  # ah, ee, oo
    means = {n: [float(channel(done, n)[f].mean()) for f in by_vowel] for n in
             ("jawOpen", "mouthStretchLeft", "mouthPucker")}  # fmt: skip
    assert np.argmax(means["jawOpen"]) == 0
    assert np.argmax(means["mouthStretchLeft"]) == 1
    assert np.argmax(means["mouthPucker"]) == 2


def test_known_phonemes_close_the_lips() -> None:
    phonemes = [("silence", 0.0, 0.6), ("ah", 0.6, 0.8), ("m", 0.8, 0.9), ("ee", 0.9, 1.1), ("f", 1.1, 1.2),
                ("oo", 1.3, 1.5), ("silence", 1.5, 9.0)]  # fmt: skip
    done = perform(speech(), emotion="neutral", seed=3, phonemes=phonemes)
    at = round(0.85 * MOTION_FPS)
    assert channel(done, "mouthPressLeft")[at] > 0.3
    assert channel(done, "jawOpen")[at] - channel(done, "mouthClose")[at] < 0.06
    assert channel(done, "mouthRollLower")[round(1.15 * MOTION_FPS)] > 0.2
    assert channel(done, "mouthPucker")[round(1.4 * MOTION_FPS)] > 0.4


def test_blinks_and_gaze() -> None:
    takes = [performed("neutral", seed) for seed in range(8)]
    blinks = 0
    for done in takes:
        shut = channel(done, "eyeBlinkLeft") > 0.7
        blinks += int((np.diff(shut.astype(int)) == 1).sum())
        assert np.abs(channel(done, "eyeBlinkLeft") - channel(done, "eyeBlinkRight")).max() < 1e-6
        assert np.abs(channel(done, "eyeLookOutLeft") - channel(done, "eyeLookInRight")).max() < 1e-6
        assert (channel(done, "eyeLookOutLeft") * channel(done, "eyeLookInLeft")).max() == 0.0
    assert 10 <= blinks / (8 * 9.0 / 60.0) <= 40  # a minute


def test_emotions_show() -> None:
    def mean(emotion: str, name: str) -> float:
        return float(np.mean([channel(performed(emotion, seed), name).mean() for seed in range(3)]))

    assert mean("happiness", "mouthSmileLeft") > mean("neutral", "mouthSmileLeft") + 0.15
    assert mean("sadness", "mouthFrownLeft") > 0.15
    assert mean("anger", "browDownLeft") > 0.3
    assert mean("surprise", "eyeWideLeft") > 0.2
    assert mean("disgust", "noseSneerRight") > 0.2
    uneven: list[float] = []
    for seed in range(3):
        done = performed("contempt", seed)
        left, right = (channel(done, "mouthSmile" + side).mean() for side in ("Left", "Right"))
        uneven.append(abs(float(left - right)))
    assert max(uneven) > 0.1
    assert set(MOODS) == set(EMOTIONS)


def test_idle_is_quiet_but_alive() -> None:
    still = idle(240, seed=5)
    assert still.face.shape[0] == 240
    assert channel(still, "jawOpen").max() < 0.03
    speed = np.linalg.norm(np.diff(joints(still), axis=0), axis=-1) * MOTION_FPS
    assert 1e-4 < speed[:, place("spine3")].mean() < 0.05
    assert speed[:, place("left_wrist")].max() < 0.4
    lively = np.linalg.norm(np.diff(joints(performed()), axis=0), axis=-1) * MOTION_FPS
    assert lively[:, [20, 21]].mean() > 3.0 * speed[:, [20, 21]].mean()


def test_phrases_syllables_and_rhythm() -> None:
    prosody = analyse(speech_features(speech()))
    assert len(prosody.phrases) == 2
    assert abs(prosody.phrases[1, 0] - BEATS[8]) < 0.25
    nearest = np.abs(prosody.syllables[:, None] - np.array(BEATS)[None, :]).min(axis=1)
    assert len(prosody.syllables) >= len(BEATS) - 2
    assert nearest.max() < 0.08
    accents, _ = select_accents(prosody, 0.5, 0.2)
    assert np.diff(accents).min() >= 0.5
    pace = np.diff(rhythm_clock(prosody, accents)) * MOTION_FPS
    pause = slice(round((PAUSE[0] + 0.2) * MOTION_FPS), round((PAUSE[1] - 0.2) * MOTION_FPS))
    assert pace.min() > 0.0
    assert pace[pause].mean() < 0.5 * pace[: round(3.0 * MOTION_FPS)].mean()


def test_strokes_come_with_speech_not_with_pauses() -> None:
    speaking, pausing = [], []
    for seed in range(8):
        where = joints(performed("happiness", seed))
        speed = np.linalg.norm(np.diff(where[:, [20, 21]], axis=0), axis=-1).max(axis=1) * MOTION_FPS
        speaking.append(speed[round(0.5 * 30) : round(3.2 * 30)].mean())
        pausing.append(speed[round(4.3 * 30) : round(4.7 * 30)].mean())
    assert np.mean(speaking) > 1.3 * np.mean(pausing)


def test_unknown_emotion_is_refused() -> None:
    with pytest.raises(ValueError, match="Unknown emotion"):
        draw_style(np.random.default_rng(0), "boredom", 3)


def test_two_bone_reaches_and_never_locks() -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(0.0, 0.25, (200, 3))
    first, second, hinge = two_bone(target, (0.3, 0.26), np.array([0.3, -1.0, -0.5]))
    end = 0.3 * first + 0.26 * second
    near = np.linalg.norm(target, axis=1) < 0.5
    near &= np.linalg.norm(target, axis=1) > 0.08
    assert np.abs(end - target)[near].max() < 1e-6
    assert np.linalg.norm(end, axis=1).max() < 0.999 * 0.56
    assert np.abs((first * hinge).sum(-1)).max() < 1e-9


def test_mirroring_a_rotation_mirrors_its_effect() -> None:
    turn = axis_angle_to_matrix(np.array([0.2, 0.5, -0.3]))
    flip = np.diag([-1.0, 1.0, 1.0])
    point = np.array([0.3, 0.1, 0.7])
    assert np.abs(mirror_rotation(turn) @ (flip @ point) - flip @ (turn @ point)).max() < 1e-12


def test_speed() -> None:
    perform(speech(), emotion="neutral", seed=1)
    began = time.process_time()
    for seed in range(5):
        perform(speech(), emotion="neutral", seed=seed)
    assert (time.process_time() - began) / (5 * 9.0) < 1.0 / 60.0  # over 100 times real time on a free core
