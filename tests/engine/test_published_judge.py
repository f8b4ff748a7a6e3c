# SPDX-License-Identifier: GPL-3.0-or-later
"""The network that published scores are computed with, against a layer written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.published.judge import encoder_shapes, motion_latents


def weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    held: dict[str, torch.Tensor] = {}
    for name, shape in encoder_shapes().items():
        values = torch.randn(shape, generator=generator)
        scale = 1.0 if len(shape) == 1 else float(np.prod(shape[1:])) ** -0.5
        held[name] = (values > 0.5).float() if name.endswith("mask") else values * scale
    return held


def by_hand(held: dict[str, torch.Tensor], x: np.ndarray, index: int) -> np.ndarray:
    """One layer in plain sums, (channels, F) -> (channels, F / 2), float64."""
    layer = {
        name.removeprefix(f"encoder.layers.{index}.0."): tensor.double().numpy()
        for name, tensor in held.items()
        if name.startswith(f"encoder.layers.{index}.")
    }
    padded = np.pad(x, ((0, 0), (1, 1)))
    kernel = layer["residual.0.weight"] * layer["residual.0.mask"]
    count = x.shape[1] // 2
    y = np.stack(
        [
            np.einsum("oik,ik->o", kernel, padded[:, 2 * t : 2 * t + 4]) + layer["residual.0.bias"]
            for t in range(count)
        ],
        axis=1,
    )
    groups = y.reshape(10, -1)
    groups = (groups - groups.mean(1, keepdims=True)) / np.sqrt(groups.var(1, keepdims=True) + 1e-5)
    y = groups.reshape(y.shape) * layer["residual.1.weight"][:, None] + layer["residual.1.bias"][:, None]
    short = (layer["shortcut.weight"] * layer["shortcut.mask"])[:, :, 0]
    y = y + short @ x[:, ::2] + layer["shortcut.bias"][:, None]
    if "common.0.weight" in layer:
        y = layer["common.0.weight"] @ y
    return np.tanh(y)


def test_latents_match_plain_sums() -> None:
    held = weights()
    motion = torch.randn(2, 32, 330, generator=torch.Generator().manual_seed(4))
    found = motion_latents(held, motion)
    assert found.shape == (2, 2, 240)
    for row in range(2):
        x = motion[row].double().numpy().T
        for index in range(4):
            x = by_hand(held, x, index)
        np.testing.assert_allclose(found[row].numpy(), x.T, atol=1e-4)
    with pytest.raises(ValueError, match="multiple of 16"):
        motion_latents(held, motion[:, :20])
