# SPDX-License-Identifier: GPL-3.0-or-later
"""Published metrics against the values of the public code."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from engine.evaluation import metrics

SHARED = Path(os.environ.get("KINESICS_SHARED", Path(__file__).parents[3] / "shared"))
VECTORS = SHARED / "reference" / "lom-vectors" / "metrics.npz"


@pytest.fixture(scope="module")
def vectors() -> dict[str, np.ndarray]:
    if not VECTORS.is_file():
        pytest.skip(f"the reference vectors are not at {VECTORS}")
    with np.load(VECTORS, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def test_l1_diversity(vectors: dict[str, np.ndarray]) -> None:
    joints = vectors["joints"]
    before = joints.copy()
    assert metrics.l1_diversity([joints]) == pytest.approx(float(vectors["l1div"]), rel=1e-4)
    np.testing.assert_array_equal(joints, before)
    np.testing.assert_allclose(metrics.absolute_deviation(joints), vectors["joints_after_l1div"], atol=1e-6)


@pytest.mark.parametrize(
    ("joints_key", "value_key"),
    [("joints", "bc_clean"), ("joints_after_l1div", "bc_official_after_inplace_l1div")],
)
def test_beat_consistency_official(vectors: dict[str, np.ndarray], joints_key: str, value_key: str) -> None:
    positions = vectors[joints_key].reshape(200, 55, 3)
    score = metrics.beat_consistency(
        positions, vectors["onset_times"], vectors["avg_vel"], official_slip=True
    )
    assert score == pytest.approx(float(vectors[value_key]), rel=1e-4)


def test_beat_counts_official_and_corrected(vectors: dict[str, np.ndarray]) -> None:
    speeds = metrics.joint_speeds(vectors["joints"].reshape(200, 55, 3))
    official = metrics.motion_beats(speeds, vectors["avg_vel"], official_slip=True)
    np.testing.assert_array_equal([len(b) for b in official], vectors["beats_counts_clean"])
    corrected = metrics.motion_beats(speeds, vectors["avg_vel"])
    assert [len(b) for b in corrected] != [len(b) for b in official]


def test_frechet_distance(vectors: dict[str, np.ndarray]) -> None:
    distance = metrics.frechet_distance(vectors["fid_a"], vectors["fid_b"])
    assert distance == pytest.approx(float(vectors["fid"]), rel=1e-3)
    assert metrics.frechet_distance(vectors["fid_a"], vectors["fid_a"]) == pytest.approx(0.0, abs=1e-4)


def test_frechet_distance_is_exact_with_fewer_vectors_than_dimensions() -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(size=(12, 5)), random.normal(size=(9, 5)) @ random.normal(size=(5, 5))
    few = metrics.frechet_distance(first, second)
    wide = np.linalg.qr(random.normal(size=(40, 5)))[0].T
    assert metrics.frechet_distance(first @ wide, second @ wide) == pytest.approx(few, rel=1e-9)
    one, other = np.array([[0.0], [2.0]]), np.array([[5.0], [5.0]])
    assert metrics.frechet_distance(one, other) == pytest.approx(4.0**2 + 2.0), (
        "gap 4, deviations 2 ** 0.5 and 0"
    )


def test_face_errors(vectors: dict[str, np.ndarray]) -> None:
    made, wanted = vectors["face_verts_rec"], vectors["face_verts_tar"]
    assert metrics.face_mse(made, wanted) == pytest.approx(float(vectors["l2_loss"]), rel=1e-4)
    assert metrics.lvd_official(made, wanted) == pytest.approx(float(vectors["lvel_loss_official"]), rel=1e-4)
    assert metrics.lvd_corrected(made, wanted) == pytest.approx(
        float(vectors["lvel_loss_true_velocity"]), rel=1e-4
    )


def test_body_errors(vectors: dict[str, np.ndarray]) -> None:
    made, wanted = vectors["body_rec"], vectors["body_tar"]
    assert metrics.mpjpe_mm(made, wanted) == pytest.approx(float(vectors["mpjpe_mm"]), rel=1e-4)
    assert metrics.pa_mpjpe_mm(made, wanted) == pytest.approx(float(vectors["pampjpe_mm"]), rel=1e-4)
    assert metrics.accel_mm(made, wanted) == pytest.approx(float(vectors["accel_mm"]), rel=1e-4)


def test_corrected_beats_follow_the_onsets() -> None:
    fps, num_frames = 30, 300
    seconds = np.arange(num_frames) / fps
    onsets = np.arange(0.5, 5.5, 1.0)
    # Slowest at every onset (counted from frame 60), fastest half-way between two of them.
    phase = 2 * np.pi * (seconds - 2.0 - 0.5)
    positions = np.zeros((num_frames, 55, 3))
    positions[:, :, 0] = (seconds - 0.6 * np.sin(phase) / (2 * np.pi))[:, None]
    average = np.ones(55)
    on_beat = metrics.beat_consistency(positions, onsets, average)
    off_beat = metrics.beat_consistency(positions, onsets + 0.5, average)
    assert on_beat > 0.98
    assert off_beat < 0.4
    assert metrics.beat_consistency(positions, onsets, average, threshold=0.5) == 0.0


def test_beat_score_without_beats_is_zero() -> None:
    assert metrics.beat_score(np.array([1.0]), np.array([])) == 0.0
    assert metrics.beat_score(np.array([]), np.array([1.0])) == 0.0


def test_centred_diversity_ignores_travel() -> None:
    still = np.zeros((50, 3, 3))
    still[:, 1, 1] = np.sin(np.arange(50))
    walking = still + np.arange(50)[:, None, None]
    assert metrics.l1_diversity_centred([walking]) == pytest.approx(metrics.l1_diversity_centred([still]))
    assert metrics.l1_diversity([walking.reshape(50, -1)]) > metrics.l1_diversity([still.reshape(50, -1)])


def test_similarity_alignment_undoes_a_similarity() -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(size=(4, 22, 3))
    angle = 0.7
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    moved = 1.7 * target @ turn + np.array([0.3, -1.0, 2.0])
    assert metrics.pa_mpjpe_mm(moved, target) < 1e-6
    assert metrics.mpjpe_mm(moved, target) > 100.0
