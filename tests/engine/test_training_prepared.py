# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows of the starter's own prepared data."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from engine.motion.features import STARTER_DIMS
from engine.packs import load_pack
from engine.specs import Part
from engine.tokenizers.pack_tokenizers import load_pack_tokenizers
from engine.training import window_source
from engine.training.corpora import MotionSequence
from engine.training.experiments import coded as experiments_data
from engine.training.stage_recipe import WindowRecipe
from engine.training.window_source import MOTION_TIME, PreparedWindows
from tests.tiny_pack import write_tiny_pack

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


def described(split: str) -> list[MotionSequence]:
    """A captured sequence as `engine.data.captured` leaves them: captions, and further instructions."""
    frames = STEPS * 4 + 3
    features = {part: np.zeros((frames, STARTER_DIMS[part]), np.float32) for part in (Part.UPPER, Part.LOWER)}
    captions, further = ("walk forward", "stroll"), ("walk to the door", "walk home to rest")
    return [MotionSequence(f"walk {split}", features, captions=captions, in_context=further)]


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (window_source, experiments_data):
        monkeypatch.setattr(module, "load_captured", lambda _, split: described(split))
        monkeypatch.setattr(module, "load_performances", lambda *_: [])


@pytest.mark.usefixtures("walks")
def test_captured_motion_with_further_instructions_becomes_windows(tmp_path: Path) -> None:
    tokenizers, audio = load_pack_tokenizers(write_tiny_pack(tmp_path))
    recipe = WindowRecipe(window_steps=STEPS, stride_steps=STEPS, max_length=256, phases=1)
    (window,) = PreparedWindows(tmp_path, tokenizers, audio, recipe)
    assert window.captions == ("walk forward", "stroll")
    expected = tokenizers[Part.LOWER].encode(torch.zeros(1, STEPS * 4, STARTER_DIMS[Part.LOWER]))
    assert np.array_equal(window.parts[Part.LOWER], expected.view(STEPS, -1).numpy())


@pytest.mark.usefixtures("walks")
def test_captured_motion_with_further_instructions_becomes_data_of_the_experiments(tmp_path: Path) -> None:
    pack = write_tiny_pack(tmp_path / "pack")
    assert experiments_data.prepare(tmp_path, pack.root, None, tmp_path / "coded.npz") == 2
    items, sizes = experiments_data.read(tmp_path / "coded.npz")
    assert [(item.name, item.split, item.captions) for item in items] == [
        ("walk train", "train", ("walk forward", "stroll")),
        ("walk held", "held", ("walk forward", "stroll")),
    ]
    tokenizer = load_pack_tokenizers(load_pack(pack.root))[0][Part.LOWER]
    expected = tokenizer.encode(torch.zeros(1, STEPS * 4, STARTER_DIMS[Part.LOWER])).view(STEPS, -1)
    assert sizes["lower"] == (tokenizer.num_quantizers, tokenizer.codebook_size)
    assert np.array_equal(items[0].parts[Part.LOWER], expected.numpy())
