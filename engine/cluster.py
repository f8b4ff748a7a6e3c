# SPDX-License-Identifier: GPL-3.0-or-later
"""Ray, which shares work out among machines. It is optional: the extra `ray` in pyproject.toml.

This code and all files that the work reads or writes must lie where every machine sees them, under the same
path.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import DeviceError

HERE = "local"
"""Address that starts Ray on this machine alone."""

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class RayPlace:
    """Where Ray runs.

    Attributes:
        address: `HERE`, "auto" for the cluster this machine belongs to, or a head's address.
        workers: Most jobs at once.
    """

    address: str
    workers: int


@contextlib.contextmanager
def on_ray(place: RayPlace) -> Generator[Any]:
    """Ray's own module, connected to a place; what was begun here ends with the block.

    Raises:
        DeviceError: If Ray is not installed whole.
    """
    ray = ray_module("ray")
    started = not ray.is_initialized()
    if started:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # or it would report to its makers
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        here = {"num_cpus": max(place.workers, 1)} if place.address == HERE else {"address": place.address}
        ray.init(runtime_env={"env_vars": {"PYTHONPATH": paths}}, include_dashboard=False, **here)
    try:
        yield ray
    finally:
        if started:
            ray.shutdown()


def ray_module(name: str) -> Any:
    """A module of Ray.

    Raises:
        DeviceError: If it is not there.
    """
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        raise DeviceError(
            f"Ray cannot be used here ({problem}); install pyproject.toml's extra ray, or leave --ray out."
        ) from problem
