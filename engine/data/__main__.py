# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line: `python -m engine.data prepare|features`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..cluster import HERE, RayPlace
from ..errors import EngineError
from ..motion.published_features import Layout
from .coding import CoderSource
from .feature_files import PART_OF, write_features
from .prepare import SHARD_ITEMS, prepare
from .readers.amass import AmassReader
from .readers.base import MAX_NAMED, Reader, describe_problems
from .readers.beat2 import Beat2Reader
from .readers.bvh_folder import BvhFolderReader
from .readers.librispeech import LibriSpeechReader

LINE_WIDTH = 150
"""Columns a progress line may take; blanks cover the rest of the line before."""

SOURCES = ("beat2", "amass", "librispeech", "bvh")


def build_reader(source: str, root: Path, speakers: Sequence[int] = ()) -> Reader:
    """The reader of a corpus.

    Args:
        source: One of `SOURCES`.
        root: Its folder.
        speakers: BEAT2 only: numbers of the speakers wanted; empty for all.
    """
    if source == "beat2":
        return Beat2Reader(root, tuple(speakers))
    readers = {"amass": AmassReader, "librispeech": LibriSpeechReader, "bvh": BvhFolderReader}
    return readers[source](root)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and prepare one corpus; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m engine.data", description="Tokenise a corpus into shards."
    )
    parser.add_argument(
        "command",
        choices=("prepare", "features"),
        help="prepare: codes for language models; features: frames for training tokenizers",
    )
    layouts = [layout.value for layout in PART_OF]
    parser.add_argument("--layout", choices=layouts, help="features: which channels")
    parser.add_argument("--source", choices=SOURCES, required=True, help="layout of the corpus")
    parser.add_argument("--root", type=Path, required=True, help="its folder")
    parser.add_argument(
        "--out", type=Path, help="folder of all prepared corpora; build/shards or build/features"
    )
    parser.add_argument(
        "--tokenizers",
        type=Path,
        default=Path("packs/starter"),
        help="a pack, the folder stage 1 wrote its checkpoints to, or a published file",
    )
    parser.add_argument("--recipe", default="starter", help="recipe of these checkpoints")
    parser.add_argument(
        "--hubert", type=Path, help="with a published file: hubert_base_ls960.pt, or a folder of transformers"
    )
    parser.add_argument(
        "--centres", type=Path, help="with a published file: hubert_base_ls960_L9_km500.bin, or an npz"
    )
    parser.add_argument(
        "--layer", type=int, default=12, help="with a published file: the model's hidden layer"
    )
    parser.add_argument("--speakers", type=int, nargs="*", default=[], help="beat2: only these speakers")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many work at once")
    parser.add_argument(
        "--ray",
        nargs="?",
        const=HERE,
        metavar="ADDRESS",
        help="prepare: work on Ray; without an address on this machine, auto: the cluster it belongs to",
    )
    parser.add_argument("--shard-items", type=int, default=SHARD_ITEMS, help="items per shard")
    options = parser.parse_args(arguments)
    if min(options.processes, options.shard_items) < 1:
        parser.error("--processes and --shard-items must be at least 1")
    reader = build_reader(options.source, options.root, options.speakers)
    if options.command == "features":
        if options.layout is None:
            parser.error("--layout says which channels")
        return _features(reader, Layout(options.layout), options.out or Path("build/features"))
    source = CoderSource(options.tokenizers, options.recipe, options.hubert, options.centres, options.layer)
    terminal = sys.stdout.isatty()

    def report(line: str) -> None:
        """One line that changes on a terminal, a line each in a log."""
        print(f"\r{line:<{LINE_WIDTH}}" if terminal else line, end="" if terminal else "\n", flush=True)

    try:
        total = prepare(
            reader,
            source,
            options.out or Path("build/shards"),
            processes=options.processes,
            shard_items=options.shard_items,
            ray=None if options.ray is None else RayPlace(options.ray, options.processes),
            report=report,
        )
    except EngineError as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; the same command goes on from here.", file=sys.stderr)
        return 130
    if terminal:
        print()
    print("\n".join(describe_problems(total.records, total.problems)))
    return 0


def _features(reader: Reader, layout: Layout, out: Path) -> int:
    """Write one layout's feature file; returns the exit status."""
    try:
        problems = write_features(reader, layout, out)
    except EngineError as problem:
        print(problem, file=sys.stderr)
        return 1
    for problem in problems[:MAX_NAMED]:
        print(f"left out {problem.item}: {problem.reason}")
    print(f"{out / reader.source / layout}.f32 is written, {len(problems)} left out")
    return 0


if __name__ == "__main__":
    sys.exit(main())
