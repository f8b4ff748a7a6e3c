# SPDX-License-Identifier: GPL-3.0-or-later
"""Time and memory of the engine inside Blender's process, from 10 seconds to 10 minutes of speech.

    python benchmarks/memory.py [--pack packs/starter] [--audio FILE] [--seconds 10 60 300 600] [--threads N]

Blender (the bpy wheel) is imported first, and memory is counted from there, torch included. The audio is
repeated to each length. Cost must grow linearly and memory stay flat, apart from the result itself.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import threading
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

LOAD_LIMIT_S, COMPUTE_LIMIT_S, MEMORY_LIMIT_MB = 2.0, 3.0, 1500.0
LINEAR_LIMIT = 1.25
"""Cost per second at the longest length over that at the second shortest."""
GROWTH_LIMIT_MB = 250.0
"""Peak memory at the longest length over that at the second shortest: ten minutes of sound, of features and
of motion. What loading frees is given back to the system, so it does not hide any of it."""


def resident_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Peak:
    """Highest resident memory while a block runs, looked at 50 times a second."""

    def __enter__(self) -> Peak:
        self.mb, self._stop = resident_mb(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.mb = max(self.mb, resident_mb())

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.mb = max(self.mb, resident_mb())


def measure(arguments: argparse.Namespace) -> int:
    """Print the table; 1 when a limit is broken."""
    import bpy  # noqa: F401

    from engine.audio.waveform import load_audio
    from engine.specs import GenerateRequest, Part, PartDirection, Source

    base = resident_mb()
    start = time.perf_counter()
    import torch

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    import_s = time.perf_counter() - start
    torch_mb = resident_mb() - base
    start = time.perf_counter()
    from engine.pipeline import load_engine

    with Peak() as peak:
        engine = load_engine(arguments.pack, "cpu")
    load_s = time.perf_counter() - start
    print(f"import torch {import_s:.2f} s, {torch_mb:.0f} MB beyond Blender")
    print(f"load the pack {load_s:.2f} s, {peak.mb - base:.0f} MB beyond Blender")
    wave, rate = load_audio(arguments.audio)
    directions = {Part.LOWER: PartDirection(Source.TEXT, "walk forward")}
    print(f"{'speech':>8} {'compute':>9} {'per second':>11} {'peak beyond Blender':>20}")
    rows: list[tuple[float, float, float]] = []
    for seconds in sorted(arguments.seconds):
        num = round(seconds * rate)
        request = GenerateRequest(
            directions=directions, waveform=np.resize(wave, num).astype(np.float32), sample_rate=rate
        )
        times = []
        with Peak() as peak:
            for _ in range(arguments.runs if seconds <= 60 else 1):
                times.append(engine.generate(request).compute_s)
        rows.append((seconds, statistics.median(times), peak.mb - base))
        print(
            f"{seconds:7.0f}s {rows[-1][1]:8.2f}s {rows[-1][1] / seconds:10.3f}s {rows[-1][2]:17.0f} MB",
            flush=True,
        )
    faults = []
    if load_s > LOAD_LIMIT_S:
        faults.append(f"loading took {load_s:.2f} s, the limit is {LOAD_LIMIT_S} s")
    if rows[0][0] <= 10 and rows[0][1] > COMPUTE_LIMIT_S:
        faults.append(f"10 s of speech took {rows[0][1]:.2f} s, the limit is {COMPUTE_LIMIT_S} s")
    if max(row[2] for row in rows) > MEMORY_LIMIT_MB:
        faults.append(f"memory went beyond {MEMORY_LIMIT_MB:.0f} MB")
    if len(rows) > 2:
        (short_s, short_time, short_mb), (long_s, long_time, long_mb) = rows[1], rows[-1]
        ratio = (long_time / long_s) / (short_time / short_s)
        growth = long_mb - short_mb
        print(
            f"from {short_s:.0f} s to {long_s:.0f} s: cost per second x {ratio:.2f}, memory + {growth:.0f} MB"
        )
        if ratio > LINEAR_LIMIT:
            faults.append("the cost is not linear")
        if growth > GROWTH_LIMIT_MB:
            faults.append("memory is not flat")
    for fault in faults:
        print("over the limit:", fault)
    return int(bool(faults))


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Time and memory against length.")
    parser.add_argument("--pack", type=Path, default=ROOT / "packs" / "starter")
    parser.add_argument("--audio", type=Path, default=ROOT / "examples" / "hello.flac")
    parser.add_argument("--seconds", type=float, nargs="+", default=[10, 60, 300, 600])
    parser.add_argument(
        "--runs", type=int, default=3, help="runs of lengths up to a minute; the median counts"
    )
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0 leaves torch's choice")
    return measure(parser.parse_args())


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # bpy 4.5 can hang while leaving
