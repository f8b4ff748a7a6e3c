# SPDX-License-Identifier: GPL-3.0-or-later
"""Add Character and Add SMPL-X Character: an armature with the SMPL-X bones and a skinned mesh."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
from bpy.props import StringProperty

from ..engine.errors import EngineError
from .wording import worded

CHARACTER_NAME = "Kinesics Character"
SMPLX_NAME = "SMPL-X Character"
EXPRESSION_LIMIT = 5.0
"""Sliders of SMPL-X expressions run over this many standard deviations to both sides."""


def asset_path() -> Path:
    """Where the default character's mesh lies."""
    return Path(__file__).resolve().parent.parent / "assets" / "character.npz"


def add_default_character(context: bpy.types.Context) -> bpy.types.Object:
    """Make the default character at the 3D cursor.

    Returns:
        Its armature, active and selected.

    Raises:
        EngineError: If the asset is missing or damaged; nothing has been made then.
    """
    from ..engine.motion.character_asset import load_character
    from .bridge import character_mesh
    from .bridge.armature import build_armature

    asset = load_character(asset_path())
    armature = build_armature(CHARACTER_NAME)
    body = character_mesh.build_mesh(
        f"{armature.name} Body", armature, asset.vertices, asset.quads, asset.weights
    )
    character_mesh.paint(body, asset.materials, asset.quad_materials, asset.colours)
    character_mesh.add_shape_keys(
        body, [character_mesh.ShapeKey(name, *shape) for name, shape in asset.shapes.items()]
    )
    return _present(context, armature)


def add_smplx_character(context: bpy.types.Context, path: Path) -> bpy.types.Object:
    """Make a character from a SMPL-X model file at the 3D cursor.

    Returns:
        Its armature, active and selected.

    Raises:
        EngineError: If the file cannot be used; nothing has been made then.
    """
    from ..engine.motion.skeleton import Skeleton
    from ..engine.motion.smplx_file import load_smplx_mesh
    from .bridge import character_mesh, expressions
    from .bridge.armature import build_armature

    model = load_smplx_mesh(path)
    armature = build_armature(SMPLX_NAME, Skeleton(model.rest_joints))
    body = character_mesh.build_mesh(
        f"{armature.name} Body", armature, model.vertices, model.triangles, model.weights
    )
    rows = np.arange(len(model.vertices))
    character_mesh.add_shape_keys(
        body,
        [
            character_mesh.ShapeKey(f"Exp{index:03d}", rows, offsets, -EXPRESSION_LIMIT, EXPRESSION_LIMIT)
            for index, offsets in enumerate(model.expressions)
        ],
    )
    # The map of its face is fitted and kept now, so that no motion has to wait for it.
    names = [block.name for block in body.data.shape_keys.key_blocks]
    expressions.fit_of(armature, body, expressions.expression_shapes(names))
    return _present(context, armature)


def _present(context: bpy.types.Context, armature: bpy.types.Object) -> bpy.types.Object:
    """Put a new character at the cursor and choose it in the panel."""
    armature.location = context.scene.cursor.location
    armature.show_in_front = True
    armature.data.display_type = "STICK"
    context.scene.kinesics.character = armature
    return armature


class _AddCharacter:
    """What both operators share."""

    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether something can be added to the scene."""
        if context.collection is None or context.collection.library is not None:
            cls.poll_message_set("The active collection is linked from another file: choose a local one")
            return False
        return True


class KINESICS_OT_add_character(_AddCharacter, bpy.types.Operator):
    """Add a person with the SMPL-X bones and the 52 ARKit face shapes"""

    bl_idname = "kinesics.add_character"
    bl_label = "Add Character"

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Make it."""
        try:
            armature = add_default_character(context)
        except EngineError as error:
            self.report({"ERROR"}, worded(error))
            return {"CANCELLED"}
        self.report({"INFO"}, worded(f"Added {armature.name}"))
        return {"FINISHED"}


class KINESICS_OT_add_smplx_character(_AddCharacter, bpy.types.Operator):
    """Add a character from a SMPL-X model file of yours (.npz). SMPL-X models may be used for
    non-commercial research only, unless you hold another licence"""

    bl_idname = "kinesics.add_smplx_character"
    bl_label = "Add SMPL-X Character"

    filepath: StringProperty(
        name="SMPL-X Model",
        description="SMPL-X model file (.npz) of your own",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )
    filter_glob: StringProperty(default="*.npz", options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask for the file, starting from the one in the preferences."""
        from .generate import preferences_of

        preferences = preferences_of(context)
        if preferences is not None and preferences.smplx_path:
            self.filepath = preferences.smplx_path
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Read it and make the character."""
        try:
            armature = add_smplx_character(context, Path(bpy.path.abspath(self.filepath)))
        except EngineError as error:
            self.report({"ERROR"}, worded(error))
            return {"CANCELLED"}
        self.report({"INFO"}, worded(f"Added {armature.name}"))
        return {"FINISHED"}


CLASSES = (KINESICS_OT_add_character, KINESICS_OT_add_smplx_character)
