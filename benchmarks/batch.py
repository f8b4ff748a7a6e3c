# SPDX-License-Identifier: GPL-3.0-or-later
"""Throughput of a batch against the same lines made one by one in one process.

Both write a motion, a contact sheet and a record per line. Lines are cut from the speech of the example at
several lengths. Starting the processes is told apart: it does not grow with the number of lines.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 1.5
LENGTHS_S = (3.0, 4.5, 6.0, 7.5)
ALIKE = 8
"""Lines that are made once more, by one process, to see whether they are the same to the byte."""


def main() -> int:
    """Measure, print a table, and fail below the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pack", type=Path, default=ROOT / "packs" / "starter")
    parser.add_argument("--lines", type=int, default=24)
    options = parser.parse_args()
    if not (options.pack / "pack.toml").is_file():
        print(f"there is no model pack in {options.pack}: run make train-starter, or give --pack")
        return 1
    sys.path.insert(0, str(ROOT))
    from engine.batch.pool import num_processes, run_lines
    from engine.batch.run import make_folders, model_of
    from engine.batch.table import read_table
    from engine.batch.work import Job, make_line
    from engine.packs import load_pack
    from engine.pipeline import load_engine

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        table = folder / "lines.csv"
        speech = ROOT / "examples" / "hello.flac"
        rows = [f"{speech},walk forward,{n},{LENGTHS_S[n % len(LENGTHS_S)]}" for n in range(options.lines)]
        table.write_text("\n".join(["audio,lower,seed,seconds", *rows]) + "\n")
        lines = read_table(table)
        total_s = sum(line.seconds or 0.0 for line in lines)
        pack = load_pack(options.pack)
        model = model_of(pack)

        one = Job(folder / "one", options.pack, model, "cpu")
        make_folders(one.out)
        engine = load_engine(options.pack, "cpu")
        make_line(engine, lines[0], one)  # the first one warms up
        begun = time.perf_counter()
        for line in lines[1:]:
            make_line(engine, line, one)
        one_s = (time.perf_counter() - begun) / (len(lines) - 1)

        many = Job(folder / "many", options.pack, model, "cpu")
        make_folders(many.out)
        processes = num_processes(0, len(lines), "cpu", pack.num_values())
        begun = time.perf_counter()
        ends = []
        for _ in run_lines(lines, many, processes):
            ends.append(time.perf_counter())
        many_s = (ends[-1] - ends[processes - 1]) / (len(lines) - processes)
        alone = Job(folder / "alone", options.pack, model, "cpu")
        make_folders(alone.out)
        list(run_lines(lines[:ALIKE], alone, 1))
        same = all(
            (alone.out / f"{line.name}.npz").read_bytes() == (many.out / f"{line.name}.npz").read_bytes()
            for line in lines[:ALIKE]
        )
    each_s = total_s / len(lines)
    print(
        f"{len(lines)} lines of {each_s:.1f} s on average, {os.cpu_count()} cores, pack {options.pack.name}"
    )
    print(f"one by one        {one_s:6.3f} s a line, {each_s / one_s:6.1f} s of motion a second")
    print(f"{processes} processes       {many_s:6.3f} s a line, {each_s / many_s:6.1f} s of motion a second")
    print(f"first line of the processes after {ends[0] - begun:.1f} s; all in {ends[-1] - begun:.1f} s")
    print(f"the same bytes: {'yes' if same else 'no'}")
    print(f"{one_s / many_s:.2f} times the throughput, at least {LIMIT:g}")
    return int(one_s / many_s < LIMIT or not same)


if __name__ == "__main__":
    sys.exit(main())
