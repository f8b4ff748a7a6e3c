# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables kept under a name, one small JSON file each, in the extension's own folder of the user."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import bpy

from .errors import CharacterError

PACKAGE = __package__.rpartition(".")[0] if __package__ else ""
MAX_PRESET_BYTES = 100_000
MAX_NAME_LENGTH = 63
"""Longest name of a bone or shape key in Blender."""


def folder(kind: str) -> Path:
    """Where the presets of one kind lie, made when absent."""
    return Path(bpy.utils.extension_path_user(PACKAGE, path=kind, create=True))


def names(kind: str) -> list[str]:
    """Names of the presets of one kind."""
    return sorted(path.stem for path in folder(kind).glob("*.json"))


def save(kind: str, name: str, table: dict[str, Any]) -> None:
    """Keep a table under a name; one of that name is replaced.

    Raises:
        CharacterError: If the name cannot be one of a file.
        StorageError: If the file cannot be written.
    """
    from ..engine.whole_files import write_whole

    if not re.fullmatch(r"\w[\w .-]{0,60}", name) or name.endswith("."):
        raise CharacterError(
            "A preset's name is made of letters, digits, blanks, dots and dashes: choose another one."
        )
    target = folder(kind) / f"{name}.json"
    write_whole(target, json.dumps(table, indent=1))


def damaged(name: str) -> CharacterError:
    """The error for a preset that cannot be used."""
    return CharacterError(f'The preset "{name}" is missing or damaged: choose another one or save it again.')


def load(kind: str, name: str) -> dict[str, Any]:
    """Read a preset; what is in it is for the caller to check.

    Raises:
        CharacterError: If it is missing or no table.
    """
    path = folder(kind) / f"{name}.json"
    try:
        if path.stat().st_size > MAX_PRESET_BYTES:
            raise damaged(name)
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(name) from error
    if not isinstance(table, dict):
        raise damaged(name)
    return table


def is_name(value: object) -> bool:
    """Whether a value can be the name of a bone or shape key."""
    return isinstance(value, str) and len(value) <= MAX_NAME_LENGTH
