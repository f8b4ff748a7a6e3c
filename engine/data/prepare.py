# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokenises a corpus once: items are read, encoded and written shard by shard (`shard_run`).

A worker keeps no more than one record and the codes of its shard in memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import EngineError
from .coding import Coder, CoderSource
from .readers.base import Item, Problem, Reader, read_records
from .shard_run import RunOptions, list_items, make_shards
from .shards import Manifest, ShardWriter, Summary, write_manifest

SHARD_ITEMS = 64
"""Items per shard: about an hour of BEAT2, or a quarter of an hour of LibriSpeech."""


@dataclass(frozen=True)
class _Encoding:
    """What another process needs to become a worker."""

    reader: Reader
    source: CoderSource
    manifest: Manifest

    def worker(self) -> _Encoder:
        """Load the tokenizers."""
        return _Encoder(self.reader, self.source.load(), self.manifest)


@dataclass(frozen=True)
class _Encoder:
    """What a process needs for its shards."""

    reader: Reader
    coder: Coder
    manifest: Manifest

    def make(self, items: Iterable[Item], path: Path) -> Summary:
        """Make one shard."""
        writer, problems = ShardWriter(self.manifest), list[Problem]()
        for record in read_records(self.reader, problems, items):
            try:
                writer.add(record, self.coder.encode(record))
            except EngineError as error:
                problems.append(Problem(record.name, str(error)))
        return writer.write(path, problems)


def prepare(
    reader: Reader,
    source: CoderSource,
    out: Path,
    options: RunOptions | None = None,
    *,
    shard_items: int = SHARD_ITEMS,
) -> Summary:
    """Tokenise a corpus into `out/<source>`.

    Args:
        reader: The corpus.
        source: The tokenizers.
        out: Folder of all prepared corpora.
        options: How to work; None works in this process.
        shard_items: Items per shard.

    Returns:
        What all shards hold.

    Raises:
        DataError: If the corpus is empty, or the folder holds shards made in another way.
    """
    items, fingerprint = list_items(reader)
    coder = source.load()
    manifest = Manifest(
        source=reader.source,
        tokenizers=coder.fingerprint,
        step_hz=coder.step_hz,
        audio_hz=coder.audio_hz,
        levels=coder.levels,
        items=fingerprint,
        num_items=len(items),
        shard_items=shard_items,
    )
    folder = out / reader.source
    write_manifest(folder, manifest)
    task = _Encoding(reader, source, manifest)
    own = _Encoder(reader, coder, manifest)
    return make_shards(task, folder, items, shard_items, options or RunOptions(), own)
