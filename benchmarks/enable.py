# SPDX-License-Identifier: GPL-3.0-or-later
"""How long enabling the extension takes in real Blender, and that it imports nothing heavy.

    python benchmarks/enable.py [--runs 5]

Every run is a fresh Blender (the bpy wheel) with an empty user folder, since only the first enabling of a
session costs anything; the table shows the median.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "transformers", "tokenizers", "smplx", "scipy", "soundfile", "safetensors")
LIMIT_S = 0.2


def measure() -> dict[str, object]:
    """Enable the checkout as an extension in this process.

    Returns:
        Seconds and the heavy packages imported by it.
    """
    import addon_utils  # type: ignore[import-not-found]  # on the path once bpy is imported
    import bpy

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "kinesics").symlink_to(ROOT, target_is_directory=True)
        bpy.context.preferences.extensions.repos.new(name="dev", module="dev", custom_directory=folder)
        before = set(sys.modules)
        start = time.perf_counter()
        module = addon_utils.enable("bl_ext.dev.kinesics", default_set=True)
        seconds = time.perf_counter() - start
        if module is None:
            raise RuntimeError("the extension could not be enabled")
        added = set(sys.modules) - before
        addon_utils.disable("bl_ext.dev.kinesics", default_set=True)
    return {"seconds": seconds, "modules": len(added), "heavy": sorted(set(HEAVY) & added)}


def main() -> int:
    """Print the median of several fresh starts; 1 when it is too slow or heavy."""
    parser = argparse.ArgumentParser(description="Time enabling the extension.")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        import bpy  # noqa: F401  (before addon_utils, which it puts on the path)

        print(json.dumps(measure()), flush=True)
        os._exit(0)  # bpy 4.5 can hang while leaving
    runs = []
    for _ in range(arguments.runs):
        with tempfile.TemporaryDirectory() as resources:
            child = subprocess.run(
                [sys.executable, __file__, "--child"],
                env={**os.environ, "BLENDER_USER_RESOURCES": resources, "PYTHONDONTWRITEBYTECODE": ""},
                capture_output=True,
                text=True,
                timeout=120,
                check=True,
            )
        runs.append(json.loads(child.stdout.strip().splitlines()[-1]))
    seconds = statistics.median(run["seconds"] for run in runs)
    heavy = runs[0]["heavy"]
    print(
        f"{'enabling the extension, median of ' + str(len(runs)):44} {seconds:8.3f} s   (limit {LIMIT_S} s)"
    )
    print(
        f"{'modules imported by it':44} {runs[0]['modules']:8d}     heavy ones: {', '.join(heavy) or 'none'}"
    )
    return int(seconds > LIMIT_S or bool(heavy))


if __name__ == "__main__":
    sys.exit(main())
