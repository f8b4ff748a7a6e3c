# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that a user may add to the evaluation: mean velocities, and how `make evaluate` passes them on."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from engine.errors import EngineError
from engine.evaluation import __main__ as evaluation
from engine.evaluation import cospeech_rows, further, metrics, published_rows
from engine.evaluation.held_out import Speech
from engine.evaluation.published_rows import average_speeds, load_mean_velocity
from engine.evaluation.studio import positions_of
from engine.motion.arrays import FloatArray
from engine.motion.clip import Clip

ROOT = Path(__file__).parents[2]


def waving(rate: float, seconds: float = 10.0) -> Clip:
    """Arms and spine that turn on and on, rad/s at the mean, slower once a second but never at rest."""
    clip = Clip.rest(round(seconds * 30), 30.0)
    poses = clip.poses.copy()
    phase = 2 * np.pi * np.arange(len(poses)) / 30
    turned = rate * (phase + 0.5 * np.sin(phase)) / (2 * np.pi)
    for joint in (3, 6, 9, 16, 17, 18, 19):
        poses[:, joint, 2] = turned
    return replace(clip, poses=poses.astype(np.float32))


def clicks(seconds: float = 10.0) -> Speech:
    """A short burst of noise every half a second."""
    random = np.random.default_rng(0)
    time_s = np.arange(round(seconds * 16000)) / 16000
    loud = np.exp(-20 * (time_s % 0.5))
    return Speech("clicks", (0.3 * loud * random.normal(size=len(time_s))).clip(-1, 1).astype(np.float32))


def material(rate: float) -> cospeech_rows.Material:
    """The performer moves at 0.5 rad/s, the measured group at another rate, with the same rhythm."""
    taught = [waving(0.5), waving(0.5)]
    made = cospeech_rows.Group("generated", [waving(rate), waving(rate)])
    return cospeech_rows.Material([clicks(), clicks()], taught, [made])


def beats_of(rate: float, average: FloatArray) -> float:
    """Corrected beat consistency of the group that moves at a rate, threshold 0.3."""
    scene = material(rate)
    return cospeech_rows.beat_rows(scene, scene.groups[0], average)[0].value


def test_a_group_that_hardly_moves_has_no_beats_by_the_performers_speeds() -> None:
    performers = average_speeds(positions_of(material(0.5).targets))
    faint = average_speeds(positions_of([waving(0.005)]))
    assert beats_of(0.5, performers) > 0.0
    assert beats_of(0.005, performers) == 0.0
    assert beats_of(0.005, faint) > 0.0, "by its own speeds it beat as much as anyone"


def test_published_beats_are_read_by_the_performers_speeds_too() -> None:
    sounds = [clicks(), clicks()]
    rows = published_rows.published_rows([waving(0.005)] * 2, sounds, [waving(0.5)] * 2)
    found = {row.what: row for row in rows}
    assert found["beat consistency, threshold 0.3, generated"].value == 0.0
    assert found["beat consistency, threshold 0.3, performer"].value > 0.0
    assert "another's sound" in found["beat consistency, threshold 0.1, performer"].measured


def test_published_mean_velocities_are_read_from_their_file(tmp_path: Path) -> None:
    path = tmp_path / "mean_vel_smplxflame_30.npy"
    speeds = np.linspace(0.0, 2.7, 55)
    np.save(path, speeds)
    found = load_mean_velocity(path)
    np.testing.assert_allclose(found[1:], speeds[1:], rtol=1e-6)
    assert found.dtype == np.float32 and 0 < found[0] < 1e-3, "a pelvis held at the origin has none"
    np.save(path, speeds[None])
    np.testing.assert_array_equal(load_mean_velocity(path), found)
    still = speeds.copy()
    still[metrics.UPPER_JOINTS[0]] = 0.0
    unknown = np.where(speeds > 1, np.nan, speeds)
    for wrong in (speeds[:54], still, unknown, np.ones(55, dtype=np.int64), np.float64(1.0)):
        np.save(path, wrong)
        with pytest.raises(EngineError, match="each of 55 joints"):
            load_mean_velocity(path)
    path.write_bytes(b"no array")
    with pytest.raises(EngineError, match="cannot be read"):
        load_mean_velocity(path)
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(EngineError, match="cannot be read"):
        load_mean_velocity(path)
    with pytest.raises(EngineError, match="cannot be read"):
        load_mean_velocity(tmp_path / "none.npy")


def test_given_mean_velocities_reach_every_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mean_vel_smplxflame_30.npy"
    np.save(path, np.full(55, 1000.0))
    monkeypatch.setattr(cospeech_rows, "gather", lambda _: material(0.4))
    monkeypatch.setattr(
        further, "load_or_train_autoencoder", lambda *_: SimpleNamespace(latents=arms, error=len)
    )
    monkeypatch.setattr(further, "performance_motions", lambda *_: [])
    scene = SimpleNamespace(say=print, engine=SimpleNamespace(window_joints=lambda _: []))

    def beats(given: Path | None) -> float:
        rows = further.speech_rows(scene, further.Material(tmp_path, mean_velocity=given))  # type: ignore[arg-type]
        return next(row.value for row in rows if row.what == "BC, threshold 0.3, generated")

    assert beats(None) > 0.0
    assert beats(path) == 0.0, "nothing is fast beside 1 km/s"


def arms(clips: list[Clip]) -> FloatArray:
    """A stand-in for gesture features."""
    return np.concatenate([clip.poses[::16, 16:18].reshape(-1, 6) for clip in clips])


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_evaluate_passes_the_files_on() -> None:
    def command(*variables: str) -> list[str]:
        told = subprocess.run(
            ["make", "--dry-run", "evaluate", *variables],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return next(line for line in told.splitlines() if "engine.evaluation" in line).split()

    given = command("GESTURE_ENCODER=a.bin", "MEAN_VELOCITY=b.npy", "BERT=c")
    options = evaluation._parser().parse_args([word.strip('"') for word in given[3:]])
    assert (options.gesture_encoder, options.mean_velocity, options.bert) == (
        Path("a.bin"),
        Path("b.npy"),
        Path("c"),
    )
    assert options.science and options.pack == Path("packs/starter")
    plain = evaluation._parser().parse_args([word.strip('"') for word in command()[3:]])
    assert plain.gesture_encoder is plain.mean_velocity is plain.bert is None
