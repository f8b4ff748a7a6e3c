# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line: `python -m engine.data prepare|features|four-part`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..cluster import HERE, RayPlace
from ..errors import EngineError
from ..motion.published_features import Layout
from .coding import CoderSource, add_speech_options
from .feature_files import FEATURE_FPS, FEATURE_SHARD_ITEMS, PART_OF, PUBLISHED_LAYOUTS, write_features
from .four_part_codes import STREAM_SHARD_ITEMS, StreamSource, write_streams
from .prepare import SHARD_ITEMS, prepare
from .readers.amass import AmassReader
from .readers.base import Reader, describe_problems
from .readers.beat2 import Beat2Reader
from .readers.bvh_folder import BvhFolderReader
from .readers.librispeech import LibriSpeechReader
from .shard_run import RunOptions
from .shards import Summary

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
    """Parse the command line and go through one corpus; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m engine.data",
        description="Turn a corpus into shards. A stopped run goes on with the same command.",
    )
    parser.add_argument(
        "command",
        choices=("prepare", "features", "four-part"),
        help="prepare: codes for language models; features: frames for training tokenizers; four-part: codes "
        "for the four-part language model",
    )
    parser.add_argument("--source", choices=SOURCES, required=True, help="layout of the corpus")
    parser.add_argument("--root", type=Path, required=True, help="its folder")
    parser.add_argument(
        "--out",
        type=Path,
        help="folder of all prepared corpora; build/shards, build/features or build/four-part",
    )
    parser.add_argument("--speakers", type=int, nargs="*", default=[], help="beat2: only these speakers")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many work at once")
    parser.add_argument(
        "--ray",
        nargs="?",
        const=HERE,
        metavar="ADDRESS",
        help="work on Ray; without an address on this machine, auto: the cluster it belongs to",
    )
    parser.add_argument(
        "--shard-items", type=int, help=f"items per shard; {SHARD_ITEMS}, features: {FEATURE_SHARD_ITEMS}"
    )
    parser.add_argument(
        "--layout",
        nargs="+",
        choices=[layout.value for layout in PART_OF],
        default=[layout.value for layout in PUBLISHED_LAYOUTS],
        help="features: which channels, all in one pass; by default those that stage 1 learns from",
    )
    parser.add_argument(
        "--fps",
        type=int,
        choices=FEATURE_FPS,
        default=FEATURE_FPS[0],
        help="features: frames per second; face-v2 learns from 25",
    )
    parser.add_argument(
        "--tokenizers",
        type=Path,
        default=Path("packs/starter"),
        help="prepare: a pack, the folder stage 1 wrote its checkpoints to, or a published file; four-part: "
        "a folder of published files, or a four-part pack",
    )
    parser.add_argument(
        "--sound-codes",
        type=Path,
        metavar="FOLDER",
        help="four-part: what GLM-4-Voice's tokenizer heard in each recording, NAME.npy",
    )
    parser.add_argument("--recipe", default="starter", help="prepare: recipe of these checkpoints")
    add_speech_options(parser)
    given = parser.parse_args(arguments)
    if min(given.processes, 1 if given.shard_items is None else given.shard_items) < 1:
        parser.error("--processes and --shard-items must be at least 1")
    if given.command == "four-part" and given.sound_codes is None:
        parser.error("four-part needs --sound-codes")
    try:
        total = _run(given)
    except EngineError as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; the same command goes on from here.", file=sys.stderr)
        return 130
    print("\n".join(describe_problems(total.records, total.problems)))
    return 0


def _run(given: argparse.Namespace) -> Summary:
    reader = build_reader(given.source, given.root, given.speakers)
    ray = None if given.ray is None else RayPlace(given.ray, given.processes)
    options = RunOptions(given.processes, ray, stream=sys.stderr)
    if given.command == "features":
        layouts = [Layout(name) for name in given.layout]
        out, size = given.out or Path("build/features"), given.shard_items or FEATURE_SHARD_ITEMS
        return write_features(reader, layouts, out, options, fps=given.fps, shard_items=size)
    if given.command == "four-part":
        streams = StreamSource(given.tokenizers, given.sound_codes)
        out, size = given.out or Path("build/four-part"), given.shard_items or STREAM_SHARD_ITEMS
        return write_streams(reader, streams, out, options, shard_items=size)
    source = CoderSource(given.tokenizers, given.recipe, given.hubert, given.centres, given.layer)
    out, size = given.out or Path("build/shards"), given.shard_items or SHARD_ITEMS
    return prepare(reader, source, out, options, shard_items=size)


if __name__ == "__main__":
    sys.exit(main())
