# SPDX-License-Identifier: GPL-3.0-or-later
"""Lips that meet on m, b and p, counted on the default character's mouth, with stand-in engines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from engine.data.synthesis import SyntheticSpeech
from engine.evaluation import both_rows, closure_rows
from engine.evaluation.held_out import Speech
from engine.evaluation.studio import Studio
from engine.motion.arkit import ARKIT_INDEX
from engine.motion.character_asset import CharacterAsset
from engine.motion.clip import Clip
from engine.motion.features import starter_clip
from engine.specs import GenerateRequest, GenerateResult, Part
from tests.engine.test_evaluation_rows import studio


def said(number: int) -> SyntheticSpeech:
    """Three seconds of noise, with m, b or p at a moment of its own."""
    rng = np.random.default_rng(number)
    start = 0.5 + 0.4 * number
    wave = 0.1 * rng.normal(size=48000)
    return SyntheticSpeech(
        str(number), wave.astype(np.float32), [("m", start, start + 0.1), ("ah", 2.5, 2.9)]
    )


class Mouths:
    """An engine whose jaw is open and whose lips meet in the frames that `closed` names."""

    def __init__(self, closed: Callable[[int], slice]) -> None:
        self.closed = closed

    def generate(self, request: GenerateRequest) -> GenerateResult:
        face = np.zeros((90, 52), np.float32)
        face[:, ARKIT_INDEX["jawOpen"]] = 0.3
        face[self.closed(request.sampling.seed), ARKIT_INDEX["mouthClose"]] = 0.3
        return GenerateResult(starter_clip({Part.FACE: face}), 3.0, 0.0, {})

    def generate_many(self, requests: Sequence[GenerateRequest]) -> list[GenerateResult]:
        return [self.generate(request) for request in requests]

    def window_joints(self, num_frames: int) -> list[int]:
        return []


@pytest.mark.parametrize(
    ("closed", "met", "by_chance"),
    [
        (lambda seed: slice(round(30 * (0.5 + 0.4 * seed)), round(30 * (0.6 + 0.4 * seed))), 4, 0),
        (lambda seed: slice(0, 0), 0, 0),
        (lambda seed: slice(0, 90), 4, 4),
        (lambda seed: slice(round(30 * (0.7 + 0.4 * seed)), round(30 * (0.8 + 0.4 * seed))), 0, 0),
    ],
    ids=["in time", "never", "always", "late"],
)
def test_lips_are_looked_at_when_they_should_meet(
    closed: Callable[[int], slice],
    met: int,
    by_chance: int,
    monkeypatch: pytest.MonkeyPatch,
    character_file: Path,
) -> None:
    monkeypatch.setattr(closure_rows, "speak_each", lambda *_, **__: [said(number) for number in range(4)])
    rows = closure_rows.closure_rows(Studio(Mouths(closed), [], []), character_file)
    assert rows[0].measured == f"{met} of 4" and rows[0].passed is (met == 4)
    assert rows[1].measured == f"{by_chance} of 4"
    assert rows[2].measured == "4 of 4", "the performer knows the phonemes"


def test_without_a_voice_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closure_rows, "speak_each", lambda *_, **__: [])
    (row,) = closure_rows.closure_rows(Studio(Mouths(lambda _: slice(0, 0)), [], []))
    assert row.passed is None and "espeak-ng is not installed" in row.measured


def test_the_gap_is_that_of_the_characters_lips(character: CharacterAsset) -> None:
    gap = closure_rows.LipGap(character)
    assert abs(gap.rest_mm) < 0.5
    assert gap.shapes_mm["jawOpen"] > 10.0
    assert gap.shapes_mm["mouthClose"] == pytest.approx(-gap.shapes_mm["jawOpen"], rel=0.1)
    face = np.zeros((2, 52), np.float32)
    face[1, ARKIT_INDEX["jawOpen"]] = 0.5
    at_rest, parted = gap.of(starter_clip({Part.FACE: face}))
    assert at_rest == pytest.approx(gap.rest_mm) and parted > 5.0


@pytest.mark.parametrize(("spread", "passed"), [(0.3, True), (0.0, False)])
def test_seeds_must_differ_as_speakers_do(
    spread: float, passed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def arms(_: Speech, seed: int, reach: float = 0.3) -> Clip:
        clip = Clip.rest(240, 30.0)
        clip.poses[:, 16:18, 2] = reach * np.sin(seed)
        return clip

    class Drawing(Mouths):
        def generate(self, request: GenerateRequest) -> GenerateResult:
            clip = arms(Speech("", np.zeros(1, np.float32)), request.sampling.seed, spread)
            return GenerateResult(clip, 8.0, 0.0, {})

    monkeypatch.setattr(both_rows, "performed", arms)
    found = studio()
    drawn = Studio(Drawing(lambda _: slice(0, 0)), found.speech, [], num_seeds=4, num_files=4)
    row = both_rows.variety_rows(drawn)[0]
    assert row.what == "distance between 4 seeds of one recording" and row.passed is passed
