# SPDX-License-Identifier: GPL-3.0-or-later
"""Which device a model runs on, and why a graphics card does not."""

from __future__ import annotations

from typing import NoReturn

import torch

from .errors import DeviceError


def chosen_device(device: str) -> str:
    """The device that a choice comes to here: "cpu" or "cuda".

    Args:
        device: "auto", "cpu" or "cuda"; auto takes a GPU where there is one.

    Raises:
        DeviceError: If the device is absent, with what is wrong.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise DeviceError(f"There is no device {device!r}; choose auto, cpu or cuda.")
    if device != "cpu" and torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        _refuse_card()
    return "cpu"


def _refuse_card() -> NoReturn:
    """Say why there is no CUDA."""
    if not torch.backends.cuda.is_built():
        raise DeviceError(
            "The engine that is installed is the one for the processor: press Install Engine for the one for "
            "graphics cards, or choose the CPU or automatic in the preferences."
        )
    try:
        torch.cuda.init()
        reason = "there is none"
    except (RuntimeError, AssertionError) as problem:
        reason = str(problem).split(". ")[0].rstrip(".")  # more follows about where drivers are found
    raise DeviceError(
        f"The graphics card cannot be used ({reason}): bring its driver up to date, or choose the CPU or "
        "automatic in the preferences."
    )
