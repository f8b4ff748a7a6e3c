# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the extension's zips with Blender's own command line, check what is inside, and validate them.

    python tools/package.py [--out dist]                   the light zip: the engine is installed on demand
    python tools/package.py --full [--target linux-x64-py3.11]   also the zips with the engine inside

A full zip is the light one with the wheels of one platform and one Python beside it, each as it was published
and of the hash in engine/installing/wheels.toml. pip fetches them into build/wheels once.

Needs a Python with the bpy wheel, whose `blender_ext.py` is the same script `blender --command extension`
runs. What stays out is named in blender_manifest.toml; this script fails when something slipped through.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from lock_wheels import PLATFORMS, PYTHONS, ROOT, Target, fetch

from engine.errors import InstallError
from engine.installing.lock import Wheel, file_sha256, read_lock, wheels_for

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
    "engine/installing/wheels.toml",
    "packs/starter/pack.toml",
)
"""Without these the extension installs but cannot do its job."""
MANIFEST = "blender_manifest.toml"
BLENDERS = {
    "3.11": 'blender_version_min = "4.2.0"\nblender_version_max = "5.1.0"',
    "3.13": 'blender_version_min = "5.1.0"',
}
"""Which Blenders bring which Python, as the manifest says it; the first that does not fit ends it."""
ANY_BLENDER = 'blender_version_min = "4.2.0"'
TARGETS = {
    target.name: target for target in (Target(system, python) for system in PLATFORMS for python in PYTHONS)
}
"""What full zips are made for."""


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


def faults_of(names: list[str], wheels: tuple[str, ...] = ()) -> list[str]:
    """What is wrong with the list of files in the zip, in sentences; wheels are allowed by name only."""
    faults = [f"{name} must not ship" for name in names if any(part in name for part in FORBIDDEN)]
    faults += [
        f"{name} is unexpected" for name in names if name.split("/")[0] not in ALLOWED and name not in wheels
    ]
    faults += [f"{name} is missing" for name in wheels if name not in names]
    return faults + [f"{name} is missing" for name in REQUIRED if name not in names]


def build(output_dir: Path) -> Path:
    """Build, check and validate the light zip.

    Args:
        output_dir: Folder for `<id>-<version>.zip`; made when absent.

    Returns:
        Path of the zip.

    Raises:
        RuntimeError: If Blender's script fails or the zip holds the wrong files.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    for old in output_dir.glob("kinesics-*.zip"):
        old.unlink()
    blender("build", "--source-dir", str(ROOT), "--output-dir", str(output_dir))
    archives = sorted(output_dir.glob("kinesics-*.zip"))
    if len(archives) != 1:
        raise RuntimeError(f"expected one zip in {output_dir}, found {[path.name for path in archives]}")
    check(archives[0])
    return archives[0]


def build_full(light: Path, target: Target) -> Path:
    """Build, check and validate the zip of one target, with the engine inside.

    Args:
        light: The light zip, which it extends and lies beside.
        target: Platform and Python.

    Returns:
        Path of the zip.

    Raises:
        InstallError: If the list has no wheels for the target.
        RuntimeError: If a wheel cannot be had as it is listed, or Blender's script fails.
    """
    wheels = wheels_for(target.name, read_lock())
    files = [fetched(wheel, target) for wheel in wheels]
    names = tuple(f"wheels/{path.name}" for path in files)
    output = light.with_name(f"{light.stem}-{target.name}-full.zip")
    with tempfile.TemporaryDirectory(dir=light.parent, prefix=".stage-") as stage_name:
        stage = Path(stage_name)
        with zipfile.ZipFile(light) as archive:
            archive.extractall(stage)
        (stage / "wheels").mkdir()
        for path, name in zip(files, names, strict=True):
            os.link(path, stage / name)
        manifest = stage / MANIFEST
        manifest.write_text(full_manifest(manifest.read_text("utf-8"), target, names), "utf-8")
        blender("build", "--source-dir", str(stage), "--output-filepath", str(output))
    check(output, names)
    return output


def full_manifest(text: str, target: Target, wheels: tuple[str, ...]) -> str:
    """The manifest of a full zip: what it runs on, and its wheels.

    Raises:
        RuntimeError: If the manifest does not say what it is expected to.
    """
    if text.count(ANY_BLENDER) != 1 or text.count("[permissions]") != 1:
        raise RuntimeError(f"{MANIFEST} has another form than tools/package.py knows")
    listed = "".join(f'  "./{name}",\n' for name in wheels)
    text = text.replace(ANY_BLENDER, BLENDERS[target.python])
    extra = f'platforms = ["{target.system}"]\nwheels = [\n{listed}]\n\n'
    return text.replace("[permissions]", f"{extra}[permissions]")


def fetched(wheel: Wheel, target: Target) -> Path:
    """A wheel in build/wheels, with the hash that is listed.

    Raises:
        RuntimeError: If pip finds none, or another file.
    """
    path = fetch(f"{wheel.name}=={wheel.version}", target, None)
    if path is None or path.name != wheel.file or file_sha256(path) != wheel.sha256:
        raise RuntimeError(f"{wheel.file} cannot be had as it is listed; pip brought {path and path.name}")
    return path


def check(archive_path: Path, wheels: tuple[str, ...] = ()) -> None:
    """Look into a zip, and have Blender do so.

    Raises:
        RuntimeError: If something is there that must not be, or is missing.
    """
    with zipfile.ZipFile(archive_path) as archive:
        faults = faults_of([name for name in archive.namelist() if not name.endswith("/")], wheels)
    if faults:
        raise RuntimeError(f"{archive_path.name}: " + "; ".join(faults[:20]))
    blender("validate", str(archive_path))


def blender(*words: str) -> None:
    """Run one verb of Blender's extension command line."""
    run([sys.executable, str(extension_cli()), *words])


def run(command: list[str]) -> None:
    """Run Blender's script and pass its words on only when it fails."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0 or "FATAL_ERROR" in result.stdout:
        raise RuntimeError(f"{' '.join(command[1:3])} failed:\n{result.stdout}{result.stderr}")


def main() -> int:
    """Build the zips and print where they are; targets the list leaves out are named."""
    parser = argparse.ArgumentParser(description="Build the extension's zips.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder for the zips")
    parser.add_argument("--full", action="store_true", help="also those with the engine inside")
    parser.add_argument("--target", choices=TARGETS, action="append", help="only these full zips")
    arguments = parser.parse_args()
    status = 0
    try:
        light = build(arguments.out)
    except (RuntimeError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    report(light)
    listed = {target for wheel in read_lock() for target in wheel.targets} & TARGETS.keys()
    if arguments.full and not arguments.target and TARGETS.keys() - listed:
        print(f"not listed in wheels.toml, so left out: {', '.join(sorted(TARGETS.keys() - listed))}")
    for name in arguments.target or (sorted(listed) if arguments.full else ()):
        try:
            report(build_full(light, TARGETS[name]))
        except (RuntimeError, InstallError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            status = 1
    return status


def report(archive: Path) -> None:
    """Print a zip's name and size."""
    print(f"{archive} ({archive.stat().st_size / 1e6:.1f} MB, validated by Blender's own check)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
