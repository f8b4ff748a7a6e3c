# SPDX-License-Identifier: GPL-3.0-or-later
"""Check what pip cannot install: Python 3.11, its venv module and the system libraries Blender links to.

    python3 tools/check_system.py               says what is missing and the one command that installs it
    python3 tools/check_system.py --packages    prints only the names of the missing Debian packages

Standard library only, and runnable by any Python 3, so that an old one gets a sentence and not a traceback.
"""

from __future__ import annotations

import argparse
import ctypes
import glob
import importlib.util
import sys

LIBRARIES = {
    "libX11.so.6": "libx11-6",
    "libXext.so.6": "libxext6",
    "libXi.so.6": "libxi6",
    "libXfixes.so.3": "libxfixes3",
    "libXrender.so.1": "libxrender1",
    "libXxf86vm.so.1": "libxxf86vm1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libEGL_mesa.so.0": "libegl-mesa0",
    "libgomp.so.1": "libgomp1",
}
"""Shared libraries the bpy wheels 4.2 to 5.0 link to or load for rendering, and their Debian 12 packages."""

RENDER_DRIVERS = ("/usr/lib/*/dri/*_dri.so", "/usr/lib/dri/*_dri.so", "/usr/lib/*/libgallium-*.so")
"""Where Mesa keeps the software renderer that draws the demo's preview without a GPU."""


def loads(library: str) -> bool:
    """Whether the dynamic linker finds a shared library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def missing_packages() -> list[str]:
    """Debian packages to install, in the order of the table above."""
    missing = [package for library, package in LIBRARIES.items() if not loads(library)]
    if not any(glob.glob(pattern) for pattern in RENDER_DRIVERS):
        missing.append("libgl1-mesa-dri")
    if importlib.util.find_spec("ensurepip") is None:
        missing.append("python3-venv")
    return missing


def main() -> int:
    """Print what is missing; 0 when nothing is."""
    parser = argparse.ArgumentParser(description="Check Python and the system libraries Blender needs.")
    parser.add_argument("--packages", action="store_true", help="print only the missing Debian packages")
    arguments = parser.parse_args()
    missing = missing_packages()
    if arguments.packages:
        print(" ".join(missing))
        return 0
    failed = False
    if sys.version_info[:2] != (3, 11):
        print(
            "Kinesics needs Python 3.11, the Python inside Blender 4.2 to 5.0; this is "
            f"{sys.version_info[0]}.{sys.version_info[1]}. Name it with: make PYTHON=/path/to/python3.11 ...",
            file=sys.stderr,
        )
        failed = True
    if missing:
        print(
            "Blender needs system packages that are missing here. Install them with:\n"
            f"    sudo apt-get install -y {' '.join(missing)}",
            file=sys.stderr,
        )
        failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
