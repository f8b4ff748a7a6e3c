# SPDX-License-Identifier: GPL-3.0-or-later
"""Which graphics cards a machine has that a build of torch could use, and which build of the engine fits.

Nothing is started and no driver is loaded: files tell, which the drivers of each system lay down.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ..errors import InstallError
from .lock import CUDA, Wheel, wheels_for

CUDA_DRIVER = 580
"""First NVIDIA driver for CUDA 13 under Linux (CUDA Toolkit release notes, table of minimum drivers)."""


class Kind(Enum):
    """What torch can compute on."""

    CUDA = "NVIDIA"
    ROCM = "AMD"
    METAL = "Apple"
    CPU = "processor"


@dataclass(frozen=True)
class Accelerator:
    """One of them.

    Attributes:
        kind: Which.
        driver: Main number of its driver, where that is known.
    """

    kind: Kind
    driver: int | None = None


def found_accelerators(
    system: str = sys.platform,
    machine: str = "",
    root: Path = Path("/"),
    environment: Mapping[str, str] | None = None,
) -> tuple[Accelerator, ...]:
    """What this machine has, the best first; the processor always last.

    Args:
        system: As `sys.platform` says it.
        machine: As `platform.machine` says it; empty asks.
        root: Where the system's files are.
        environment: Where Windows says its folder; None takes the process's own.
    """
    found: list[Accelerator] = []
    if system == "linux":
        found += _linux_nvidia(root) + _linux_amd(root)
    elif system == "win32":
        windows = Path((os.environ if environment is None else environment).get("SystemRoot", r"C:\Windows"))
        found += [Accelerator(Kind.CUDA)] if (windows / "System32" / "nvcuda.dll").is_file() else []
    elif system == "darwin" and (machine or platform.machine()).lower() == "arm64":
        found.append(Accelerator(Kind.METAL))
    return (*found, Accelerator(Kind.CPU))


def _linux_nvidia(root: Path) -> list[Accelerator]:
    """The kernel module of NVIDIA's driver tells its version; under WSL the driver is Windows' own."""
    try:
        text = (root / "proc/driver/nvidia/version").read_text("utf-8", "replace")
    except OSError:
        inside_windows = (root / "usr/lib/wsl/lib/libcuda.so.1").is_file()
        return [Accelerator(Kind.CUDA)] if inside_windows else []
    number = re.search(r"\b(\d+)\.\d+", text.partition("\n")[0])
    return [Accelerator(Kind.CUDA, int(number[1]) if number else None)]


def _linux_amd(root: Path) -> list[Accelerator]:
    """AMD's compute driver lists its nodes, the processor among them; cards have SIMD units."""
    if not (root / "dev/kfd").exists():
        return []
    for properties in sorted(root.glob("sys/class/kfd/kfd/topology/nodes/*/properties")):
        try:
            text = properties.read_text("utf-8", "replace")
        except OSError:
            continue
        units = re.search(r"^simd_count (\d+)", text, re.MULTILINE)
        if units and int(units[1]):
            return [Accelerator(Kind.ROCM)]
    return []


@dataclass(frozen=True)
class Choice:
    """The build that is offered.

    Attributes:
        build: `lock.CUDA`, or empty for the processor's.
        wheels: Its wheels.
        reason: Why this one, a sentence for the animator.
    """

    build: str
    wheels: tuple[Wheel, ...]
    reason: str


def choose_build(target: str, wheels: tuple[Wheel, ...], found: tuple[Accelerator, ...]) -> Choice:
    """The build that fits what a machine has, among those that are listed for it.

    Args:
        target: Platform and Python, without a build.
        wheels: The list.
        found: What `found_accelerators` says.

    Raises:
        InstallError: If nothing is listed for this platform and Python.
    """
    builds = {build: _listed(target, build, wheels) for build in ("", CUDA)}
    best = found[0]
    old = best.kind is Kind.CUDA and best.driver is not None and best.driver < CUDA_DRIVER
    if best.kind is Kind.CUDA and builds[CUDA] and not old:
        return Choice(CUDA, builds[CUDA], "An NVIDIA graphics card was found, and is used")
    if builds[""]:
        return Choice("", builds[""], _why_processor(best, old, bool(builds[CUDA])))
    if builds[CUDA]:
        reason = "For this Blender there is only the build for NVIDIA graphics cards, which runs without, too"
        return Choice(CUDA, builds[CUDA], reason)
    wheels_for(target, wheels)
    raise InstallError(f"There is no engine for {target} yet.")


def _listed(target: str, build: str, wheels: tuple[Wheel, ...]) -> tuple[Wheel, ...]:
    """Wheels of a build, none where it is not listed."""
    try:
        return wheels_for(f"{target}-{build}" if build else target, wheels)
    except InstallError:
        return ()


def _why_processor(best: Accelerator, old: bool, has_cuda: bool) -> str:
    if best.kind is Kind.CUDA and old and has_cuda:
        return (
            f"The driver of the NVIDIA graphics card is too old ({best.driver}; {CUDA_DRIVER} or later is "
            "needed), so the processor is used"
        )
    if best.kind is Kind.CUDA:
        return (
            "An NVIDIA graphics card was found, but there is no build for it here, so the processor is used"
        )
    if best.kind is Kind.ROCM:
        return "An AMD graphics card was found, but there is no build for it, so the processor is used"
    if best.kind is Kind.METAL:
        return "On a Mac the processor is used"
    return "No graphics card was found that the engine could use, so the processor is used"
