# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the list of wheels the engine runs on: engine/installing/wheels.toml.

    python tools/lock_wheels.py [--index URL] [--leave-out]

Versions are those of requirements.txt. pip fetches each wheel for each platform and Python into build/wheels,
from where it is set up to fetch them or from the index named; the hashes of what came are written down.
`--leave-out` writes the list without a target of which pip lacks a wheel, instead of failing.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine.installing.lock import CUDA, LOCK_FILE, Wheel, file_sha256, target_name  # noqa: E402

CACHE = ROOT / "build" / "wheels"
PYTHONS = ("3.11", "3.13")
"""Of Blender 4.2 to 5.0, and of 5.1 and later."""
PLATFORMS = {
    "linux-x64": (*(f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 24, 17)), "manylinux2014_x86_64"),
    "windows-x64": ("win_amd64",),
    "macos-arm64": ("macosx_14_0_arm64",),
}
"""Tags of wheels by Blender's name of the platform; a Mac's tag takes older ones in."""
PACKAGES = (
    "torch",
    "scipy",
    "soundfile",
    "safetensors",
    "tokenizers",
    "onnx",
    "onnxruntime",
    "cffi",
    "filelock",
    "flatbuffers",
    "fsspec",
    "Jinja2",
    "MarkupSafe",
    "ml_dtypes",
    "mpmath",
    "networkx",
    "packaging",
    "protobuf",
    "pycparser",
    "setuptools",
    "sympy",
    "typing_extensions",
)
"""What the engine imports and what that imports. numpy is Blender's own. huggingface_hub, which tokenizers
names, serves downloads only; without it nothing in the extension can reach the network."""
OTHER_VERSIONS = {"scipy": "1.15.3"}
"""The scipy of requirements.txt wants numpy 1.26; Blender 4.2 and 4.3 bring an older one."""
CUDA_TORCH = "2.14.1"
"""torch for NVIDIA cards under Linux, as PyPI has it; what it needs beside `PACKAGES` comes with it. It is
newer than the one for the processor, since PyPI had all that belongs to it."""
CUDA_TAGS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in (26, 25, 18, 12, 5)),
    "manylinux2010_x86_64",
    "manylinux1_x86_64",
)
"""Tags of NVIDIA's own wheels that `PLATFORMS` lacks."""
HEADER = """\
# Wheels the engine runs on, by platform and Python; written by tools/lock_wheels.py.
"""


@dataclass(frozen=True)
class Target:
    """One platform and one Python."""

    system: str
    python: str
    cuda: bool = False

    @property
    def name(self) -> str:
        """As the list writes it."""
        return target_name(self.system, self.python, CUDA if self.cuda else "")


def pinned() -> dict[str, str]:
    """Version of each package, from requirements.txt."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if re.fullmatch(r"[\w.-]+==[\w.+]+", line))
    return {name: OTHER_VERSIONS.get(name, pins[name]) for name in PACKAGES}


def fetch(requirement: str, target: Target, index: str | None, folder: Path = CACHE) -> Path | None:
    """Have pip put one wheel into the folder.

    Returns:
        The wheel, or None if pip finds none for this target.
    """
    name = requirement.partition("==")[0]
    landing = folder / target.name / name
    landing.mkdir(parents=True, exist_ok=True)
    for old in landing.glob("*.whl"):
        if requirement.partition("==")[2] == old.name.split("-")[1]:
            return old
        old.unlink()
    if not downloaded(["--no-deps", requirement], target, index, landing):
        print(f"{target.name}: pip finds no {requirement}", file=sys.stderr)
        return None
    return next(landing.glob("*.whl"))


def fetch_cuda(target: Target, index: str | None, folder: Path = CACHE) -> list[Path] | None:
    """Have pip put torch for NVIDIA cards into the folder, with what it needs beside `PACKAGES`.

    Returns:
        The wheels, or None if pip lacks one.
    """
    landing = folder / target.name / "cuda"
    landing.mkdir(parents=True, exist_ok=True)
    constraints = landing / "constraints.txt"
    ours = pinned() | {"torch": CUDA_TORCH}
    constraints.write_text("".join(f"{name}=={version}\n" for name, version in ours.items()))
    if not downloaded(["-c", str(constraints), f"torch=={CUDA_TORCH}"], target, index, landing):
        print(f"{target.name}: pip lacks something that torch {CUDA_TORCH} needs", file=sys.stderr)
        return None
    known = {name.lower().replace("-", "_") for name in PACKAGES} - {"torch"}
    return [path for path in sorted(landing.glob("*.whl")) if path.name.split("-")[0].lower() not in known]


def downloaded(words: list[str], target: Target, index: str | None, landing: Path) -> bool:
    """Whether pip could put what is asked for into a folder."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:"]
    command += ["--dest", str(landing), "--python-version", target.python, "--implementation", "cp"]
    tags = PLATFORMS[target.system] + (CUDA_TAGS if target.cuda else ())
    command += [word for tag in tags for word in ("--platform", tag)]
    command += ["--index-url", index] if index else []
    return subprocess.run([*command, *words], capture_output=True, text=True, check=False).returncode == 0


def described(path: Path, name: str, target: Target) -> Wheel:
    """The entry of a wheel that was fetched."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(info.file_size for info in archive.infolist())
    version = path.name.split("-")[1]
    return Wheel(name, version, path.name, file_sha256(path), path.stat().st_size, unpacked, (target.name,))


def wheels_of(target: Target, index: str | None) -> list[Wheel] | None:
    """Every wheel of a target, or None if pip lacks one."""
    versions = pinned()
    found: list[Wheel] = []
    if target.cuda:
        del versions["torch"]
        paths = fetch_cuda(target, index)
        if paths is None:
            return None
        found = [described(path, path.name.split("-")[0].replace("_", "-"), target) for path in paths]
    for name, version in versions.items():
        cpu = "+cpu" if name == "torch" and target.system == "linux-x64" else ""
        path = fetch(f"{name}=={version}{cpu}", target, index)
        if path is None:
            return None
        found.append(described(path, name, target))
    return found


def merged(wheels: list[Wheel]) -> list[Wheel]:
    """One entry for a file that serves several targets."""
    by_file: dict[str, Wheel] = {}
    for wheel in wheels:
        known = by_file.get(wheel.file)
        targets = tuple(sorted({*(known.targets if known else ()), *wheel.targets}))
        by_file[wheel.file] = replace(wheel, targets=targets)
    return sorted(by_file.values(), key=lambda wheel: (wheel.name.lower(), wheel.file))


def written(wheels: list[Wheel]) -> str:
    """The list as TOML."""
    blocks = [HEADER]
    for wheel in wheels:
        targets = ", ".join(f'"{target}"' for target in wheel.targets)
        blocks.append(
            f'[[wheel]]\nname = "{wheel.name}"\nversion = "{wheel.version}"\nfile = "{wheel.file}"\n'
            f'sha256 = "{wheel.sha256}"\nbytes = {wheel.size}\nunpacked_bytes = {wheel.unpacked}\n'
            f"targets = [{targets}]\n"
        )
    return "\n".join(blocks)


def main() -> int:
    """Fetch everything, then write the list; 1 if a target lacks a wheel and must not be left out."""
    parser = argparse.ArgumentParser(description="Write the list of wheels the engine runs on.")
    parser.add_argument("--index", help="package index to take instead of pip's own")
    parser.add_argument("--leave-out", action="store_true", help="leave out a target where pip lacks a wheel")
    arguments = parser.parse_args()
    wheels: list[Wheel] = []
    missing: list[str] = []
    plain = [Target(system, python) for system in PLATFORMS for python in PYTHONS]
    for target in (*plain, *(Target("linux-x64", python, cuda=True) for python in PYTHONS)):
        found = wheels_of(target, arguments.index)
        if found is None:
            missing.append(target.name)
            continue
        wheels += found
        print(f"{target.name}: {len(found)} wheels", flush=True)
    if missing and not arguments.leave_out:
        return 1
    LOCK_FILE.write_text(written(merged(wheels)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
