# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings, preferences and panels."""

from __future__ import annotations


def register() -> None:
    """Register settings first, then what shows them."""
    import bpy

    from . import panels, preferences, properties, rig_table

    for cls in (*properties.CLASSES, *preferences.CLASSES, *panels.CLASSES, *rig_table.CLASSES):
        bpy.utils.register_class(cls)
    properties.attach()
    rig_table.attach()


def unregister() -> None:
    """Take all of it away, last first."""
    import bpy

    from . import panels, preferences, properties, rig_table

    rig_table.detach()
    properties.detach()
    for cls in reversed((*properties.CLASSES, *preferences.CLASSES, *panels.CLASSES, *rig_table.CLASSES)):
        bpy.utils.unregister_class(cls)
