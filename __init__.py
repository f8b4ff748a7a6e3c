# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinesics: speech and written directions become keyframes of a whole character."""

from __future__ import annotations


def register() -> None:
    """Add operators, settings and panels to Blender."""
    from . import operators, ui

    operators.register()
    ui.register()


def unregister() -> None:
    """Take everything away again, in reverse order."""
    from . import operators, ui

    ui.unregister()
    operators.unregister()
