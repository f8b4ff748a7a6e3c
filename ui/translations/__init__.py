# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the panels in other languages, for Blender to show in the language the animator chose."""

from __future__ import annotations

import tomllib
from pathlib import Path

from ...operators import CONTEXT

Catalogue = dict[tuple[str, str], str]
"""Translations by Blender's context and the English text."""

CONTEXTS = (CONTEXT, "*", "Operator")
"""Where Blender looks for a text: first where this extension's names are, "*" for tooltips and the rest."""


def read_catalogue(language: str) -> Catalogue:
    """Read one language's file, `<language>.toml`: English texts and translations, in groups for readers.

    Args:
        language: Blender's name of it, such as "zh_HANS".
    """
    groups = tomllib.loads(Path(__file__).with_name(f"{language}.toml").read_text(encoding="utf-8"))
    return {
        (context, english): text
        for group in groups.values()
        for english, text in group.items()
        for context in CONTEXTS
    }


def attach() -> None:
    """Give Blender the texts of every language there is a file for."""
    import bpy

    languages = sorted(path.stem for path in Path(__file__).parent.glob("*.toml"))
    bpy.app.translations.register(__name__, {name: read_catalogue(name) for name in languages})


def detach() -> None:
    """Take them away again."""
    import bpy

    bpy.app.translations.unregister(__name__)


CLASSES = ()
