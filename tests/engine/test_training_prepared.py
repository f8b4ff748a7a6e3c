# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows of the starter's own prepared data."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from engine.specs import Part
from engine.training import window_source
from engine.training.corpora import MotionSequence
from engine.training.stage_recipe import WindowRecipe
from engine.training.window_source import MOTION_TIME, PreparedWindows

STEPS = 12


def sequence(name: str, steps: int, transcript: str) -> MotionSequence:
    features = {Part.FACE: np.zeros((steps * 4, 52), np.float32)}
    return MotionSequence(name, features, emotion="fear", transcript=transcript)


def coded(given: MotionSequence, *_: object) -> SimpleNamespace:
    """One code a step, counted from 0, and its sound."""
    steps = given.num_frames // 4
    codes = torch.arange(steps)[:, None]
    return SimpleNamespace(parts={Part.FACE: codes}, audio=torch.arange(steps * MOTION_TIME)[:, None])


def test_what_is_said_holds_for_windows_over_a_whole_recording_only(monkeypatch: pytest.MonkeyPatch) -> None:
    spoken = [
        sequence("short", STEPS, "hello there"),
        sequence("long", 2 * STEPS, "a much longer story"),
        sequence("unknown", STEPS, ""),
    ]
    monkeypatch.setattr(window_source, "load_captured", lambda *_: [])
    monkeypatch.setattr(window_source, "load_performances", lambda *_: spoken)
    monkeypatch.setattr(window_source, "encode_sequence", coded)
    recipe = WindowRecipe(window_steps=STEPS, stride_steps=STEPS, max_length=256, performance_phases=1)
    windows = PreparedWindows(Path("none"), {}, None, recipe)  # type: ignore[arg-type]
    found = [(w.name, w.start_s, w.transcript) for w in (windows[i] for i in range(len(windows)))]
    assert found == [
        ("prepared/short", 0.0, "hello there"),
        ("prepared/long", 0.0, ""),
        ("prepared/long", pytest.approx(STEPS * 4 / 30), ""),
        ("prepared/unknown", 0.0, ""),
    ]
    heard = windows[2].audio
    assert heard is not None and heard[0, 0] == STEPS * MOTION_TIME
