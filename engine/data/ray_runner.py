# SPDX-License-Identifier: GPL-3.0-or-later
"""Shards made on a Ray cluster, for corpora larger than one machine: every shard is a row of a Ray dataset.

Ray is optional: the extra `ray` in pyproject.toml. The corpus, this code and the
folder of the shards must lie where every machine sees them under the same path; what travels is a number.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError

HERE = "local"
"""Address that starts Ray on this machine alone."""

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class RayPlace:
    """Where Ray runs.

    Attributes:
        address: `HERE`, "auto" for the cluster this machine belongs to, or a head's address.
        workers: Most shards made at once.
    """

    address: str
    workers: int


def run_on_ray(
    make: Callable[[], Callable[[int], None]], numbers: Sequence[int], place: RayPlace
) -> Iterator[int]:
    """Make shards on Ray.

    Args:
        make: Called once in every worker; gives what makes the shard of a number.
        numbers: Shards to make.
        place: Where.

    Yields:
        Numbers of finished shards, as they come.

    Raises:
        DataError: If Ray is not installed whole.
    """
    ray, data = _ray("ray"), _ray("ray.data")
    started = not ray.is_initialized()
    if started:
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        here = {"num_cpus": max(place.workers, 1)} if place.address == HERE else {"address": place.address}
        ray.init(runtime_env={"env_vars": {"PYTHONPATH": paths}}, include_dashboard=False, **here)
    try:
        rows = data.from_items([{"number": number} for number in numbers], override_num_blocks=len(numbers))
        done = rows.map(
            _ShardMaker, fn_constructor_args=(make,), concurrency=min(place.workers, len(numbers)), num_cpus=1
        )
        for row in done.iter_rows():
            yield int(row["number"])
    finally:
        if started:
            ray.shutdown()


class _ShardMaker:
    """A worker's state: the tokenizers, loaded once."""

    def __init__(self, make: Callable[[], Callable[[int], None]]) -> None:
        import torch

        torch.set_num_threads(1)
        self.run = make()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Make one shard."""
        self.run(int(row["number"]))
        return row


def _ray(name: str) -> Any:
    """A module of Ray."""
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        raise DataError(
            f"Ray cannot be used here ({problem}); install pyproject.toml's extra ray, or leave --ray out."
        ) from problem
