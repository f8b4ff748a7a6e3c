# SPDX-License-Identifier: GPL-3.0-or-later
"""The progress bar of a run over a corpus: its items, and behind them what the finished shards hold."""

from __future__ import annotations

from types import TracebackType
from typing import TextIO

from tqdm import tqdm

from .shards import Summary

LOG_EVERY_S = 30.0
"""Least seconds between two lines where the bar goes to a file or a pipe."""


class Progress:
    """Adds up what shards hold, and shows how far the run is.

    On a terminal the bar changes in place; elsewhere it is a line of its own now and then.

    Args:
        name: Name of the corpus.
        num_items: Its items.
        num_shards: The shards they fill.
        stream: Where the bar goes; None shows nothing.
        total: What the shards hold that are there already.
        done_items: Items of these shards.
        done_shards: How many they are.
    """

    def __init__(
        self,
        name: str,
        num_items: int,
        num_shards: int,
        stream: TextIO | None,
        *,
        total: Summary,
        done_items: int,
        done_shards: int,
    ) -> None:
        self.total, self.num_shards, self.done_shards = total, num_shards, done_shards
        in_place = stream is not None and stream.isatty()
        if stream is not None and done_shards:
            print(f"{name}: {done_shards} of {num_shards} shards are there already", file=stream, flush=True)
        self._bar = tqdm(
            desc=name,
            total=num_items,
            initial=done_items,
            unit=" items",
            file=stream if stream is None or in_place else _Lines(stream),
            disable=stream is None,
            mininterval=0.1 if in_place else LOG_EVERY_S,
            miniters=1,
            dynamic_ncols=in_place,
        )
        self._describe()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def advance(self, num_items: int) -> None:
        """Count items that are done, be their shard finished or not."""
        self._bar.update(num_items)

    def finish(self, shard: Summary) -> None:
        """Count a finished shard; its items have been counted already."""
        self.total.add(shard)
        self.done_shards += 1
        self._describe()

    def _describe(self) -> None:
        total = self.total
        self._bar.set_postfix_str(
            f"{self.done_shards} of {self.num_shards} shards, {total.records} records, "
            f"{len(total.problems)} left out, {total.motion_s / 3600:.2f} h motion, "
            f"{total.sound_s / 3600:.2f} h sound",
            refresh=False,
        )


class _Lines:
    """A stream for tqdm in which every state of the bar is a line, and no line comes twice."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.last = stream, ""

    def write(self, text: str) -> None:
        line = text.strip("\r\n ")
        if line and line != self.last:
            self.last = line
            print(line, file=self.stream, flush=True)

    def flush(self) -> None:
        self.stream.flush()
