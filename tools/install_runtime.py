# SPDX-License-Identifier: GPL-3.0-or-later
"""Give a Blender's own Python what the engine needs: torch and four small packages.

    blender --background --python-exit-code 1 --python tools/install_runtime.py

Runs inside that Blender. pip puts the packages into the user's `scripts/modules` folder of this Blender
version, which Blender has on its path; nothing inside Blender's own installation changes. numpy stays the
one Blender brings, since its audio module is compiled for it.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import bpy
import numpy

PACKAGES = (
    "torch==2.13.0",
    "scipy",
    "soundfile",
    "safetensors",
    "tokenizers==0.22.2",
    "onnx==1.23.2",
    "onnxruntime==1.32.0",
)
"""torch, tokenizers and ONNX as in requirements.txt; the others as this Blender's numpy allows."""


def main() -> None:
    """Install into the user's modules folder, then check that every package can be found.

    Raises:
        SystemExit: If pip fails or a package is still missing.
    """
    target = Path(bpy.utils.user_resource("SCRIPTS", path="modules", create=True))
    python = [sys.executable, "-m"]
    if importlib.util.find_spec("pip") is None:
        subprocess.run([*python, "ensurepip", "--user"], check=True)
    constraints = target / "kinesics-constraints.txt"
    constraints.write_text(f"numpy=={numpy.__version__}\n")
    command = [
        *python,
        "pip",
        "install",
        "--upgrade",
        "--target",
        str(target),
        "-c",
        str(constraints),
        *PACKAGES,
    ]
    result = subprocess.run(command, check=False)
    constraints.unlink()
    if result.returncode != 0:
        raise SystemExit("pip could not install the packages; its message is above")
    for copy in (*target.glob("numpy"), *target.glob("numpy-*"), *target.glob("numpy.libs")):
        shutil.rmtree(copy)
    importlib.invalidate_caches()
    if str(target) not in sys.path:
        sys.path.append(str(target))
    missing = [name for name in map(package_name, PACKAGES) if importlib.util.find_spec(name) is None]
    if missing:
        raise SystemExit(f"still missing after the installation: {', '.join(missing)}")
    print(f"Kinesics can run in this Blender: packages are in {target}. Restart Blender if it is open.")


def package_name(requirement: str) -> str:
    """Name without the version."""
    return requirement.partition("==")[0]


main()
