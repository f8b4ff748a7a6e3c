# SPDX-License-Identifier: GPL-3.0-or-later
"""Engine tests run as on a machine without Blender and without a network."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from engine.motion.character_asset import CharacterAsset, load_character

os.environ.setdefault("HF_HUB_OFFLINE", "1")


class _NoBlender:
    """Import hook that makes `import bpy` fail, as in a plain Python."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] in {"bpy", "mathutils", "aud", "gpu"}:
            raise ImportError(f"an engine test imported {name}, which the engine must do without")
        return None


sys.meta_path.insert(0, _NoBlender())


@pytest.fixture(scope="module")
def character_file(repository: Path) -> Path:
    """The built character."""
    path = repository / "assets" / "character.npz"
    if not path.is_file():
        pytest.skip("needs assets/character.npz: run `make assets/character.npz`")
    return path


@pytest.fixture(scope="module")
def character(character_file: Path) -> CharacterAsset:
    """It, read."""
    return load_character(character_file)
