# SPDX-License-Identifier: GPL-3.0-or-later
"""Which device is taken, and what is said where a graphics card does not work."""

from __future__ import annotations

import pytest
import torch

from engine.devices import chosen_device
from engine.errors import DeviceError

TOO_OLD = (
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by "
    "downloading and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx"
)
"""What torch says of a driver that is too old."""


def card(monkeypatch: pytest.MonkeyPatch, built: bool, available: bool, says: str = "") -> None:
    """A machine whose torch was built for graphics cards or not, and whose card works or not."""

    def init() -> None:
        if says:
            raise RuntimeError(says)

    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: built)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "init", init)


def test_a_card_that_works_is_taken_unless_the_processor_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card(monkeypatch, built=True, available=True)
    assert [chosen_device(device) for device in ("auto", "cpu", "cuda")] == ["cuda", "cpu", "cuda"]
    card(monkeypatch, built=True, available=False, says=TOO_OLD)
    assert [chosen_device(device) for device in ("auto", "cpu")] == ["cpu", "cpu"]
    with pytest.raises(DeviceError, match="no device 'tpu'"):
        chosen_device("tpu")


@pytest.mark.parametrize(
    ("built", "says", "sentence"),
    [
        (False, "", r"^The engine that is installed is the one for the processor: press Install Engine"),
        (True, TOO_OLD, r"\(The NVIDIA driver on your system is too old \(found version 11040\)\): bring"),
        (True, "Found no NVIDIA driver on your system. Please check", r"\(Found no NVIDIA driver on your"),
        (True, "No CUDA GPUs are available", r"\(No CUDA GPUs are available\)"),
        (True, "", r"\(there is none\)"),
    ],
)
def test_what_is_wrong_with_a_card_is_said(
    built: bool, says: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    card(monkeypatch, built, available=False, says=says)
    with pytest.raises(DeviceError, match=sentence) as caught:
        chosen_device("cuda")
    assert str(caught.value).endswith("or choose the CPU or automatic in the preferences.")
