# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings, preferences and panels."""

from __future__ import annotations

from types import ModuleType


def _modules() -> tuple[ModuleType, ...]:
    """What is registered, in that order: settings first, then what shows them."""
    from . import (
        face_table,
        menus,
        panels,
        preferences,
        properties,
        reading_panel,
        rig_table,
        shape_panel,
        shape_properties,
        translations,
    )

    return (
        shape_properties,
        properties,
        preferences,
        panels,
        shape_panel,
        reading_panel,
        rig_table,
        face_table,
        menus,
        translations,
    )


def register() -> None:
    """Register settings first, then what shows them."""
    import bpy

    from ..operators import describe, register_class

    for module in _modules():
        for cls in module.CLASSES:
            if issubclass(cls, bpy.types.Panel):
                describe(cls)
            register_class(cls)
    for module in _modules():
        if hasattr(module, "attach"):
            module.attach()


def unregister() -> None:
    """Take all of it away, last first."""
    import bpy

    for module in reversed(_modules()):
        if hasattr(module, "detach"):
            module.detach()
    for module in reversed(_modules()):
        for cls in reversed(module.CLASSES):
            bpy.utils.unregister_class(cls)
