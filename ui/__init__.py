# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings, preferences and panels."""

from __future__ import annotations


def register() -> None:
    """Register settings first, then what shows them."""
    import bpy

    from . import face_table, panels, preferences, properties, rig_table

    for module in (properties, preferences, panels, rig_table, face_table):
        for cls in module.CLASSES:
            bpy.utils.register_class(cls)
    for module in (properties, rig_table, face_table):
        module.attach()


def unregister() -> None:
    """Take all of it away, last first."""
    import bpy

    from . import face_table, panels, preferences, properties, rig_table

    for module in (face_table, rig_table, properties):
        module.detach()
    for module in (face_table, rig_table, panels, preferences, properties):
        for cls in reversed(module.CLASSES):
            bpy.utils.unregister_class(cls)
