# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes everything onto a disk that is full, and onto one that is read-only, and tells what was said.

    unshare --mount --propagation private python -m tests.full_disk FOLDER

Needs root, for the two small disks in memory that it mounts; they go with the name space.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from engine.batch.run import BatchOptions, run_batch
from engine.errors import EngineError
from engine.installing import worker
from engine.installing.lock import Wheel
from engine.motion.arkit_csv import write_arkit_csv
from engine.motion.clip import Clip
from engine.motion.clip_io import save_npz
from engine.published.importer import ImportOptions, import_published
from tests.engine.published_files import AUDIO_START, download
from tests.engine.test_installing import make_wheel
from tests.tiny_pack import write_tiny_pack

DISK_BYTES = 200_000
NUM_FRAMES = 3000


def mount(folder: Path, size: int) -> None:
    """A disk in memory at a folder."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], check=True)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def writers(made: Path) -> dict[str, Callable[[Path], object]]:
    """What writes, each given a folder on the disk; what they read lies elsewhere."""
    clip = Clip.rest(NUM_FRAMES, 30.0)
    noisy = Clip(
        30.0,
        clip.poses + _noise((NUM_FRAMES, 55, 3)),
        clip.trans,
        clip.expressions,
        clip.expression_names,
        "arkit",
    )
    pack = made / "pack"
    wheels = (make_wheel(made, "torch"), make_wheel(made, "scipy"))
    large = Wheel(
        wheels[0].name, "1.0", wheels[0].file, wheels[0].sha256, wheels[0].size, 1 << 40, wheels[0].targets
    )
    with (made / "lines.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["lower", "seconds"], *[["walk forward", "8"]] * 3])
    options = BatchOptions(pack, "cpu", 1)
    return {
        "motion": lambda disk: save_npz(noisy, disk / "a.npz"),
        "face": lambda disk: write_arkit_csv(noisy, disk / "a.csv"),
        "pack": lambda disk: write_tiny_pack(disk / "pack"),
        "import": lambda disk: import_published(
            made / "download", disk / "lom", ImportOptions(audio_start=AUDIO_START)
        ),
        "install": lambda disk: worker.install(
            disk / "home", (large, wheels[1]), worker.copy_from(made), lambda part, text: None
        ),
        "batch": lambda disk: run_batch(made / "lines.csv", disk / "out", options, lambda tally: None),
    }


def _noise(shape: tuple[int, ...]) -> object:
    import numpy as np

    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def told(write: Callable[[Path], object], disk: Path) -> dict[str, object]:
    """Run a writer; what it said, and whether the disk is as before but for folders."""
    before = contents(disk)
    try:
        write(disk)
        said = "nothing"
    except EngineError as error:
        said = str(error)
    after = contents(disk)
    kept = all(after.get(name) == content for name, content in before.items())
    return {"said": said, "kept": kept, "new": sorted(set(after) - set(before))}


def main() -> None:
    """Try both disks; prints one JSON table."""
    root = Path(sys.argv[1])
    made, full, closed = root / "made", root / "full", root / "closed"
    made.mkdir()
    write_tiny_pack(made / "pack")
    download(made / "download")
    mount(full, DISK_BYTES)
    (full / "a.npz").write_bytes(b"the earlier motion")
    (full / "filling").write_bytes(bytes(DISK_BYTES - 40_000))
    mount(closed, 1 << 30)
    (closed / "a.npz").write_bytes(b"the earlier motion")
    subprocess.run(["mount", "-o", "remount,ro", str(closed)], check=True)
    found = {
        f"{name} {disk.name}": told(write, disk)
        for name, write in writers(made).items()
        for disk in (full, closed)
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
