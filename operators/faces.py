# SPDX-License-Identifier: GPL-3.0-or-later
"""Set Up Face: which shape key is which face channel; tables that are kept as presets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import bpy
from bpy.props import EnumProperty, StringProperty

from ..engine.errors import EngineError
from . import polls, presets
from .errors import CharacterError
from .rigs import CharacterOperator, check_local
from .wording import worded

if TYPE_CHECKING:
    from ..engine.motion.face_names import FaceMapping

PRESETS = "faces"
"""Kind of the presets that tables of shapes are kept as."""

KINDS = (
    ("AUTO", "Recognise", "The kind whose shapes the character has", "VIEWZOOM", 0),
    ("arkit", "ARKit", "The 52 shapes of face capture with a phone", "USER", 1),
    ("metahuman", "MetaHuman", "The raw controls of MetaHuman's face, CTRL_expressions", "USER", 2),
    ("oculus", "Oculus Visemes", "15 mouth shapes, one for each group of sounds", "USER", 3),
    ("vrm", "VRM Expressions", "Five vowels, blinks, gaze and moods", "USER", 4),
)
"""Kinds of face as menu items."""


def kind_label(kind: str) -> str:
    """What animators call a kind of face."""
    return next((item[1] for item in KINDS if item[0] == kind), "")


def channel_label(channel: str) -> str:
    """A face channel in an animator's words."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", channel)
    return words[:1].upper() + words[1:]


def fill_table(armature: bpy.types.Object, mapping: FaceMapping) -> None:
    """Show a mapping in the table of a character; from then on it counts."""
    from ..engine.motion.face_names import FACE_KINDS

    table = armature.kinesics_face
    table.rows.clear()
    table.kind = mapping.kind
    for channel in FACE_KINDS[mapping.kind].channels:
        row = table.rows.add()
        row.channel, row.shape = channel, mapping.shapes.get(channel, "")


def set_up(armature: bpy.types.Object, kind: str) -> FaceMapping | None:
    """Recognise a character's face shapes and fill in its table.

    Args:
        armature: Character.
        kind: Kind of face, or "AUTO".

    Returns:
        The mapping; None where the character has no shapes, so that its jaw bone will speak.

    Raises:
        CharacterError: If shapes are there, and none is known.
    """
    from ..engine.motion.face_names import mapping_of_face
    from .bridge import shape_keys

    check_local(armature)
    present = [name for names in shape_keys.shape_names(armature).values() for name in names]
    if not present:
        if jaw_bone(armature):
            armature.kinesics_face.rows.clear()
            return None
        raise CharacterError(
            f'"{armature.name}" has neither face shapes nor a jaw bone: add shape keys to its face mesh, or '
            "choose its jaw in Rig Mapping."
        )
    if kind == "AUTO":
        mapping = shape_keys.found_face(armature) or _preset_for(present)
    else:
        mapping = mapping_of_face(kind, present)
    if mapping is None:
        raise CharacterError(
            f'None of the {len(present)} shape keys of "{armature.name}" is known by its name: choose a kind '
            "of face and fill in the table."
        )
    fill_table(armature, mapping)
    return mapping


def jaw_bone(armature: bpy.types.Object) -> str:
    """The bone that opens the mouth; empty where there is none.

    Raises:
        CharacterError: If the armature's bones are not recognised.
    """
    from ..engine.motion.face_bases import JAW
    from .bridge.armature import Rig, read_rig

    rig = read_rig(armature)
    bone = JAW if isinstance(rig, Rig) else rig.index_of(JAW)
    return rig.bone_names[bone] if bone >= 0 else ""


def _preset_for(present: list[str]) -> FaceMapping | None:
    """A preset all of whose shapes the character has."""
    for name in presets.names(PRESETS):
        try:
            mapping = load_preset(name)
        except CharacterError:
            continue
        if mapping.shapes and set(mapping.shapes.values()) <= set(present):
            return mapping
    return None


def load_preset(name: str) -> FaceMapping:
    """Read a preset.

    Raises:
        CharacterError: If it is missing or damaged.
    """
    from ..engine.motion.face_names import FACE_KINDS, FaceMapping

    table = presets.load(PRESETS, name)
    kind, shapes = table.get("kind"), table.get("shapes")
    if not isinstance(kind, str) or kind not in FACE_KINDS or not isinstance(shapes, dict):
        raise presets.damaged(name)
    if not shapes.keys() <= FACE_KINDS[kind].names.keys() or not all(map(presets.is_name, shapes.values())):
        raise presets.damaged(name)
    return FaceMapping(kind, shapes)


class KINESICS_OT_set_up_face(CharacterOperator, bpy.types.Operator):
    """Find out which shape key of the character is which: by the names of ARKit, MetaHuman, Oculus visemes
    and VRM, on all of its meshes. The table shows the result and can be corrected"""

    bl_idname = "kinesics.set_up_face"
    bl_label = "Set Up Face"

    kind: EnumProperty(name="Kind", description="What the shapes are", items=KINDS, default="AUTO")

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Recognise."""
        armature = polls.character_of(context)
        try:
            mapping = set_up(armature, self.kind)
        except EngineError as error:
            self.report({"ERROR"}, worded(error))
            return {"CANCELLED"}
        if mapping is None:
            text = f'{armature.name} has no face shapes: its bone "{jaw_bone(armature)}" opens the mouth'
        else:
            text = f"{armature.name} has a {kind_label(mapping.kind)} face: {len(mapping.shapes)} shapes move"
        self.report({"INFO"}, worded(text))
        return {"FINISHED"}


class KINESICS_OT_forget_face(CharacterOperator, bpy.types.Operator):
    """Empty the table; the shapes are recognised by their names again"""

    bl_idname = "kinesics.forget_face"
    bl_label = "Forget Table"

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Empty it."""
        polls.character_of(context).kinesics_face.rows.clear()
        return {"FINISHED"}


class KINESICS_OT_save_face_preset(CharacterOperator, bpy.types.Operator):
    """Keep the table for other characters with the same shapes; Set Up Face finds it by itself"""

    bl_idname = "kinesics.save_face_preset"
    bl_label = "Save Preset"
    bl_options = {"REGISTER"}

    name: StringProperty(name="Name", description="Name of the preset", default="My Face", maxlen=60)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask for the name."""
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Save it."""
        from .bridge import shape_keys

        armature = polls.character_of(context)
        try:
            mapping = shape_keys.own_face(armature)
            if mapping is None:
                raise CharacterError(f'"{armature.name}" has no table of shapes: press Set Up Face first.')
            check_shapes(armature, mapping)
            presets.save(PRESETS, self.name, {"kind": mapping.kind, "shapes": dict(mapping.shapes)})
        except EngineError as error:
            self.report({"ERROR"}, worded(error))
            return {"CANCELLED"}
        self.report({"INFO"}, worded(f'Saved the preset "{self.name}"'))
        return {"FINISHED"}


def check_shapes(armature: bpy.types.Object, mapping: FaceMapping) -> None:
    """Refuse a table with shapes that a character does not have.

    Raises:
        CharacterError: Naming the first of them.
    """
    from .bridge import shape_keys

    present = {name for names in shape_keys.shape_names(armature).values() for name in names}
    absent = next((shape for shape in mapping.shapes.values() if shape not in present), None)
    if absent is not None:
        raise CharacterError(
            f'"{armature.name}" has no shape key "{absent}"; choose another one in the table.'
        )


_shown_presets: list[tuple[str, str, str]] = []


def _preset_items(
    _operator: bpy.types.Operator, _context: bpy.types.Context | None
) -> list[tuple[str, str, str]]:
    """Presets as menu items; Blender needs them to be kept alive."""
    _shown_presets[:] = [(name, name, worded(f"Use the table {name}")) for name in presets.names(PRESETS)]
    return _shown_presets


class KINESICS_OT_load_face_preset(CharacterOperator, bpy.types.Operator):
    """Take the character's table of shapes from a preset"""

    bl_idname = "kinesics.load_face_preset"
    bl_label = "Load Preset"

    preset: EnumProperty(name="Preset", description="Table to take", items=_preset_items)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Load it if it fits."""
        armature = polls.character_of(context)
        try:
            mapping = load_preset(self.preset)
            check_shapes(armature, mapping)
        except EngineError as error:
            self.report({"ERROR"}, worded(error))
            return {"CANCELLED"}
        fill_table(armature, mapping)
        self.report({"INFO"}, worded(f'"{armature.name}" uses the preset "{self.preset}"'))
        return {"FINISHED"}


CLASSES = (
    KINESICS_OT_set_up_face,
    KINESICS_OT_forget_face,
    KINESICS_OT_save_face_preset,
    KINESICS_OT_load_face_preset,
)
