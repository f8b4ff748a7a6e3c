# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotation formats: reference vectors, hard angles, and both kinds of arrays alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.motion.rotations import (
    axis_angle_to_matrix,
    axis_angle_to_quaternion,
    axis_angle_to_rotation_6d,
    geodesic_angle,
    heading_angle,
    matrix_to_axis_angle,
    matrix_to_quaternion,
    matrix_to_rotation_6d,
    quaternion_multiply,
    quaternion_to_axis_angle,
    quaternion_to_matrix,
    rotation_6d_to_axis_angle,
    rotation_6d_to_matrix,
    slerp,
    yaw_matrix,
)

Wrap = Callable[[Any], Any]
BOTH = pytest.mark.parametrize("wrap", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
ANGLES = [0.0, 1e-8, 1e-5, 1e-3, 0.5, np.pi / 2, 3.0, np.pi - 1e-3, np.pi - 1e-5, np.pi - 1e-7, np.pi]


@pytest.fixture(scope="module")
def vectors(shared_dir: Path) -> Any:
    return np.load(shared_dir / "reference" / "lom-vectors" / "rotations.npz")


@BOTH
def test_matches_the_reference_vectors(vectors: Any, wrap: Wrap) -> None:
    matrix = axis_angle_to_matrix(wrap(vectors["aa"]))
    np.testing.assert_allclose(matrix, vectors["aa_to_matrix"], atol=1e-3)
    np.testing.assert_allclose(axis_angle_to_rotation_6d(wrap(vectors["aa"])), vectors["aa_to_6d"], atol=1e-3)
    raw = wrap(vectors["six_raw"])
    np.testing.assert_allclose(rotation_6d_to_matrix(raw), vectors["six_to_matrix"], atol=1e-5)
    back = axis_angle_to_matrix(rotation_6d_to_axis_angle(raw))
    np.testing.assert_allclose(back, vectors["six_to_matrix"], atol=1e-3)
    away = np.linalg.norm(vectors["six_to_aa"], axis=-1) < 3.0
    found = np.asarray(rotation_6d_to_axis_angle(raw))
    np.testing.assert_allclose(found[away], vectors["six_to_aa"][away], atol=1e-4)


@BOTH
def test_zero_6d_is_what_the_published_code_makes_of_it(vectors: Any, wrap: Wrap) -> None:
    zero = wrap(np.zeros((1, 6), dtype=np.float32))
    np.testing.assert_array_equal(rotation_6d_to_matrix(zero), vectors["six_zero_to_matrix"])
    np.testing.assert_allclose(rotation_6d_to_axis_angle(zero), vectors["six_zero_to_aa"], atol=1e-6)


@BOTH
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_format_returns_near_zero_and_pi(wrap: Wrap, dtype: Any) -> None:
    generator = np.random.default_rng(3)
    axes = generator.normal(size=(40, 3))
    axes[:6] = np.concatenate([np.eye(3), -np.eye(3)])
    axes /= np.linalg.norm(axes, axis=-1, keepdims=True)
    axis_angle = (axes[:, None] * np.array(ANGLES)[:, None]).astype(dtype)  # (40, angles, 3)
    tolerance = 3e-6 if dtype is np.float32 else 3e-8
    given_matrix = axis_angle_to_matrix(wrap(axis_angle))
    for found in (
        axis_angle_to_matrix(matrix_to_axis_angle(given_matrix)),
        quaternion_to_matrix(matrix_to_quaternion(given_matrix)),
        rotation_6d_to_matrix(matrix_to_rotation_6d(given_matrix)),
        axis_angle_to_matrix(quaternion_to_axis_angle(axis_angle_to_quaternion(wrap(axis_angle)))),
    ):
        np.testing.assert_allclose(found, given_matrix, atol=tolerance)
    assert given_matrix.dtype == wrap(axis_angle).dtype
    identity = wrap(np.broadcast_to(np.eye(3, dtype=dtype), given_matrix.shape).copy())
    angle = np.asarray(geodesic_angle(given_matrix, identity))
    np.testing.assert_allclose(angle, np.broadcast_to(ANGLES, angle.shape), atol=10 * tolerance)


def test_formats_agree_with_scipy() -> None:
    from scipy.spatial.transform import Rotation

    rotations = Rotation.random(200, random_state=5)
    vectors = rotations.as_rotvec()
    np.testing.assert_allclose(axis_angle_to_matrix(vectors), rotations.as_matrix(), atol=1e-12)
    np.testing.assert_allclose(matrix_to_axis_angle(rotations.as_matrix()), vectors, atol=1e-9)
    product = quaternion_multiply(
        axis_angle_to_quaternion(vectors[:100]), axis_angle_to_quaternion(vectors[100:])
    )
    expected = (rotations[:100] * rotations[100:]).as_matrix()
    np.testing.assert_allclose(quaternion_to_matrix(product), expected, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-10, 10), min_size=6, max_size=6), st.floats(0, 1))
def test_slerp_turns_by_its_share_of_the_shorter_way(numbers: list[float], share: float) -> None:
    start, end = axis_angle_to_quaternion(np.array(numbers).reshape(2, 3))
    whole = geodesic_angle(quaternion_to_matrix(start), quaternion_to_matrix(end))
    middle = slerp(start, end, share)
    part = geodesic_angle(quaternion_to_matrix(start), quaternion_to_matrix(middle))
    rest = geodesic_angle(quaternion_to_matrix(middle), quaternion_to_matrix(end))
    assert abs(np.linalg.norm(middle) - 1) < 1e-9
    if whole < np.pi - 1e-3:
        assert abs(part - share * whole) < 1e-6
        assert abs(part + rest - whole) < 1e-6


def test_slerp_of_opposite_signs_is_the_short_way_and_torch_agrees() -> None:
    start, end = np.array([1.0, 0, 0, 0]), -axis_angle_to_quaternion(np.array([0.4, 0, 0]))
    middle = slerp(start, end, 0.5)
    np.testing.assert_allclose(middle, axis_angle_to_quaternion(np.array([0.2, 0, 0])), atol=1e-12)
    share = torch.tensor([0.0, 0.5])
    found = slerp(torch.tensor(start).expand(2, 4), torch.tensor(end).expand(2, 4), share)
    np.testing.assert_allclose(found[1], middle, atol=1e-7)


@BOTH
def test_yaw_turns_forward_to_the_heading(wrap: Wrap) -> None:
    angles = wrap(np.array([-3.0, -0.5, 0.0, 1.2, 3.1]))
    forward = np.asarray(yaw_matrix(angles))[..., 2]
    expected = np.stack([np.sin(angles), np.zeros(5), np.cos(angles)], -1)
    np.testing.assert_allclose(forward, expected, atol=1e-12)
    np.testing.assert_allclose(heading_angle(yaw_matrix(angles)), angles, atol=1e-12)


def test_gradients_are_finite_where_formulas_break_down() -> None:
    axis_angle = torch.zeros(3, 3)
    axis_angle[1, 0] = np.pi
    axis_angle.requires_grad_()
    matrix = axis_angle_to_matrix(axis_angle)
    loss = geodesic_angle(matrix, torch.eye(3).expand(3, 3, 3)).sum() + matrix_to_axis_angle(matrix).sum()
    loss.backward()
    six = torch.zeros(2, 6, requires_grad=True)
    rotation_6d_to_matrix(six).sum().backward()
    assert axis_angle.grad is not None and torch.isfinite(axis_angle.grad).all()
    assert six.grad is not None and torch.isfinite(six.grad).all()
