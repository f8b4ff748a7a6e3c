# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the corpus: `python -m engine.data.performer --data ../shared/data --out build/data`."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path

from .corpus import build_corpus


def main() -> None:
    """Read the arguments, build the corpus and print what it holds."""
    parser = argparse.ArgumentParser(prog="python -m engine.data.performer", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds speech/")
    parser.add_argument("--out", type=Path, default=Path("build/data"), help="build folder")
    parser.add_argument("--hours", type=float, default=4.5, help="length of the performances for training")
    parser.add_argument("--seed", type=int, default=0, help="seed of every choice")
    options = parser.parse_args()
    began = time.perf_counter()
    entries = build_corpus(options.data, options.out, options.hours, options.seed)
    elapsed = time.perf_counter() - began
    frames: Counter[str] = Counter()
    for entry in entries:
        frames[entry.kind if entry.split == "train" else "held out"] += entry.frames
    for kind, count in sorted(frames.items()):
        print(f"{kind:12s} {count / 30 / 60:7.1f} min")
    print(f"{len(entries)} performances, {sum(frames.values()) / 108000:.2f} h, written in {elapsed:.0f} s")


if __name__ == "__main__":
    main()
