# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the extension's zip with Blender's own command line, check what is inside, and validate it.

    python tools/package.py [--out dist]

Needs a Python with the bpy wheel, whose `blender_ext.py` is the same script `blender --command extension`
runs. What stays out is named in blender_manifest.toml; this script fails when something slipped through.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = (
    "__init__.py",
    "blender_manifest.toml",
    "LICENSE",
    "README.md",
    "assets",
    "engine",
    "operators",
    "packs",
    "ui",
)
"""Everything the zip may hold at its top."""
FORBIDDEN = ("engine/data/", "engine/training/", "engine/evaluation/", "smplx/", "__pycache__", ".pyc")
"""Offline code, and the package whose licence forbids shipping it."""
REQUIRED = (
    "blender_manifest.toml",
    "__init__.py",
    "LICENSE",
    "assets/character.npz",
    "packs/starter/pack.toml",
)
"""Without these the extension installs but cannot do its job."""


def extension_cli() -> Path:
    """Path of Blender's extension command line inside the bpy wheel.

    Raises:
        FileNotFoundError: If this Python has no bpy wheel.
    """
    spec = importlib.util.find_spec("bpy")
    for location in (spec.submodule_search_locations if spec else None) or ():
        for path in Path(location).glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py"):
            return path
    raise FileNotFoundError(
        "this Python has no bpy wheel; run make venv, then .venv/bin/python tools/package.py"
    )


def faults_of(names: list[str]) -> list[str]:
    """What is wrong with the list of files in the zip, in sentences."""
    faults = [f"{name} must not ship" for name in names if any(part in name for part in FORBIDDEN)]
    faults += [f"{name} is unexpected" for name in names if name.split("/")[0] not in ALLOWED]
    return faults + [f"{name} is missing" for name in REQUIRED if name not in names]


def build(output_dir: Path) -> Path:
    """Build, check and validate the zip.

    Args:
        output_dir: Folder for `<id>-<version>.zip`; made when absent.

    Returns:
        Path of the zip.

    Raises:
        RuntimeError: If Blender's script fails or the zip holds the wrong files.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    cli = str(extension_cli())
    for old in output_dir.glob("kinesics-*.zip"):
        old.unlink()
    run([sys.executable, cli, "build", "--source-dir", str(ROOT), "--output-dir", str(output_dir)])
    archives = sorted(output_dir.glob("kinesics-*.zip"))
    if len(archives) != 1:
        raise RuntimeError(f"expected one zip in {output_dir}, found {[path.name for path in archives]}")
    with zipfile.ZipFile(archives[0]) as archive:
        faults = faults_of([name for name in archive.namelist() if not name.endswith("/")])
    if faults:
        raise RuntimeError(f"{archives[0].name}: " + "; ".join(faults[:20]))
    run([sys.executable, cli, "validate", str(archives[0])])
    return archives[0]


def run(command: list[str]) -> None:
    """Run Blender's script and pass its words on only when it fails."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0 or "FATAL_ERROR" in result.stdout:
        raise RuntimeError(f"{' '.join(command[1:3])} failed:\n{result.stdout}{result.stderr}")


def main() -> int:
    """Build the zip and print where it is."""
    parser = argparse.ArgumentParser(description="Build the extension's zip.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder for the zip")
    arguments = parser.parse_args()
    try:
        archive = build(arguments.out)
    except (RuntimeError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{archive} ({archive.stat().st_size / 1e6:.1f} MB, validated by Blender's own check)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
