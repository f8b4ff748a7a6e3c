# SPDX-License-Identifier: GPL-3.0-or-later
"""Shards made on a Ray cluster, for corpora larger than one machine: every shard is a row of a Ray dataset.

The corpus and the folder of the shards must lie where every machine sees them; what travels is a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..cluster import RayPlace, on_ray, ray_module


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
        DeviceError: If Ray is not installed whole.
    """
    data = ray_module("ray.data")
    with on_ray(place):
        rows = data.from_items([{"number": number} for number in numbers], override_num_blocks=len(numbers))
        done = rows.map(
            _ShardMaker, fn_constructor_args=(make,), concurrency=min(place.workers, len(numbers)), num_cpus=1
        )
        for row in done.iter_rows():
            yield int(row["number"])


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
