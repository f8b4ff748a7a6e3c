# SPDX-License-Identifier: GPL-3.0-or-later
"""Set Up Character: recognise any rig, or guess which bone is which; tables that are kept as presets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import bpy
from bpy.props import EnumProperty, StringProperty

from ..engine.errors import EngineError
from . import polls, presets
from .errors import CharacterError
from .wording import worded

if TYPE_CHECKING:
    from ..engine.motion.rig_names import RigMapping

MANY_ROWS = {"spine": 6, "neck": 3}
"""Rows of the body parts that may have several bones; the others have one, or as many as were found."""

SIDES = {"left": "Left", "right": "Right"}

PLACES = {
    "pelvis": "Hips", "hip": "Thigh", "knee": "Shin", "ankle": "Foot", "foot": "Toes", "spine": "Spine",
    "neck": "Neck", "head": "Head", "jaw": "Jaw", "eye": "Eye", "collar": "Collarbone",
    "shoulder": "Upper Arm", "elbow": "Forearm", "wrist": "Hand", "thumb": "Thumb", "index": "Index",
    "middle": "Middle", "ring": "Ring", "pinky": "Pinky",
}  # fmt: skip
"""What animators call the bones that begin at SMPL-X joints."""

PRESETS = "rigs"
"""Kind of the presets that tables of bones are kept as."""


def slot_label(slot: str) -> str:
    """A body part in an animator's words."""
    return " ".join(word for word in slot_words(slot) if word)


def slot_words(slot: str) -> tuple[str, str, str]:
    """Side, place and number of a body part in an animator's words; empty where it has none."""
    found = re.fullmatch(r"(?:(left|right)_)?([a-z]+?)(\d?)", slot.removesuffix("_smplhf"))
    if found is None:
        return "", slot, ""
    side, place, number = found.groups(default="")
    return SIDES.get(side, ""), PLACES.get(place, place.title()), number


def kind_label(kind: str) -> str:
    """What animators call a kind of rig."""
    from ..engine.motion.rig_names import KINDS

    return KINDS[kind].label if kind in KINDS else KINDS["custom"].label


def load_preset(name: str) -> RigMapping:
    """Read a preset.

    Raises:
        CharacterError: If it is missing or damaged.
    """
    from ..engine.motion.rig_names import KINDS, SLOTS, RigMapping

    table = presets.load(PRESETS, name)
    if not isinstance(table.get("bones"), dict):
        raise presets.damaged(name)
    bones: dict[str, tuple[str, ...]] = {}
    for slot, names in table["bones"].items():
        if slot not in SLOTS or not (isinstance(names, list) and all(map(presets.is_name, names))):
            raise presets.damaged(name)
        bones[slot] = tuple(names)
    kind = table.get("kind")
    return RigMapping(kind if isinstance(kind, str) and kind in KINDS else "custom", bones)


def fill_table(armature: bpy.types.Object, mapping: RigMapping) -> None:
    """Show a mapping in the table of a character; from then on it counts."""
    from ..engine.motion.rig_names import SLOTS

    table = armature.kinesics_rig
    table.rows.clear()
    table.kind = mapping.kind
    for slot in SLOTS:
        names = list(mapping.bones.get(slot, ()))
        for number in range(max(len(names), MANY_ROWS.get(slot, 1))):
            row = table.rows.add()
            row.slot, row.bone = slot, names[number] if number < len(names) else ""


def check_local(armature: bpy.types.Object) -> None:
    """Refuse a character whose tables cannot be changed.

    Raises:
        CharacterError: If it is linked from another file.
    """
    if armature.library is not None:
        raise CharacterError(
            f'The armature "{armature.name}" is linked from another file: select it and use Object > Library '
            "Override > Make, then choose the override."
        )


def set_up(armature: bpy.types.Object) -> tuple[RigMapping | None, bool]:
    """Recognise a character and fill in its table.

    Returns:
        The mapping, or None for SMPL-X bones, which need none; and whether it is only a guess.

    Raises:
        CharacterError: If it cannot be changed or has no bones.
    """
    from ..engine.motion.rig_guess import guess
    from .bridge import armature as armature_bridge
    from .bridge import mapped_rig

    check_local(armature)
    if len(armature.data.bones) == 0:
        raise CharacterError(f'The armature "{armature.name}" has no bones: choose another one.')
    try:
        armature_bridge.read_smplx_rig(armature)
    except CharacterError:
        mapping = mapped_rig.found_mapping(armature) or _preset_for(armature)
    else:
        armature.kinesics_rig.rows.clear()
        return None, False
    guessed = mapping is None
    if mapping is None:
        mapping = guess(mapped_rig.rest_pose(armature))
    else:
        rig = mapped_rig.read_mapped(armature, mapping)
        mapped_rig.hold_switches(armature, rig, bpy.context.scene.frame_start, 1)
    fill_table(armature, mapping)
    return mapping, guessed


def _preset_for(armature: bpy.types.Object) -> RigMapping | None:
    """A preset all of whose bones the rig has."""
    for name in presets.names(PRESETS):
        try:
            mapping = load_preset(name)
        except CharacterError:
            continue
        names = [bone for bones in mapping.bones.values() for bone in bones]
        if not mapping.missing and all(bone in armature.data.bones for bone in names):
            return mapping
    return None


class CharacterOperator:
    """What the operators on a character's tables share."""

    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a character."""
        return polls.is_free(cls) and polls.has_character(cls, context)


class KINESICS_OT_set_up_character(CharacterOperator, bpy.types.Operator):
    """Find out which bone of the character is which: by the names of Rigify, Mixamo, Unreal, Auto-Rig Pro,
    VRM, MPFB, Daz and CMU rigs, else by the rig's shape. The table shows the result and can be corrected"""

    bl_idname = "kinesics.set_up_character"
    bl_label = "Set Up Character"

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Recognise, and choose the character."""
        armature = polls.character_of(context)
        try:
            mapping, guessed = set_up(armature)
        except EngineError as error:
            self.report({"ERROR"}, worded(error))
            return {"CANCELLED"}
        context.scene.kinesics.character = armature
        if mapping is None:
            self.report({"INFO"}, worded(f"{armature.name} has the SMPL-X bones: nothing to set up"))
        elif guessed:
            missing = ", ".join(slot_label(slot) for slot in mapping.missing)
            text = f"{armature.name} is an unknown rig: its bones were guessed, check them in Rig Mapping"
            self.report({"WARNING"}, worded(f"{text}; still missing: {missing}" if missing else text))
        else:
            count = sum(len(names) for names in mapping.bones.values())
            text = f"{armature.name} is a {kind_label(mapping.kind)} rig: {count} bones move"
            self.report({"INFO"}, worded(text))
        return {"FINISHED"}


class KINESICS_OT_forget_rig(CharacterOperator, bpy.types.Operator):
    """Empty the table; the bones are recognised by their names again"""

    bl_idname = "kinesics.forget_rig"
    bl_label = "Forget Table"

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Empty it."""
        polls.character_of(context).kinesics_rig.rows.clear()
        return {"FINISHED"}


class KINESICS_OT_save_rig_preset(CharacterOperator, bpy.types.Operator):
    """Keep the table for other characters with the same bones; Set Up Character finds it by itself"""

    bl_idname = "kinesics.save_rig_preset"
    bl_label = "Save Preset"
    bl_options = {"REGISTER"}

    name: StringProperty(name="Name", description="Name of the preset", default="My Rig", maxlen=60)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask for the name."""
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Save it once it is known to work."""
        from .bridge import mapped_rig

        armature = polls.character_of(context)
        try:
            mapping = mapped_rig.own_mapping(armature)
            if mapping is None:
                raise CharacterError(f'"{armature.name}" has no table: press Set Up Character first.')
            mapped_rig.read_mapped(armature, mapping)
            presets.save(PRESETS, self.name, {"kind": mapping.kind, "bones": dict(mapping.bones)})
        except EngineError as error:
            self.report({"ERROR"}, worded(error))
            return {"CANCELLED"}
        self.report({"INFO"}, worded(f'Saved the preset "{self.name}"'))
        return {"FINISHED"}


_shown_presets: list[tuple[str, str, str]] = []


def _preset_items(
    _operator: bpy.types.Operator, _context: bpy.types.Context | None
) -> list[tuple[str, str, str]]:
    """Presets as menu items; Blender needs them to be kept alive."""
    _shown_presets[:] = [(name, name, worded(f"Use the table {name}")) for name in presets.names(PRESETS)]
    return _shown_presets


class KINESICS_OT_load_rig_preset(CharacterOperator, bpy.types.Operator):
    """Take the character's table from a preset"""

    bl_idname = "kinesics.load_rig_preset"
    bl_label = "Load Preset"

    preset: EnumProperty(name="Preset", description="Table to take", items=_preset_items)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Load it if it fits."""
        from .bridge import mapped_rig

        armature = polls.character_of(context)
        try:
            mapping = load_preset(self.preset)
            mapped_rig.read_mapped(armature, mapping)
        except EngineError as error:
            self.report({"ERROR"}, worded(error))
            return {"CANCELLED"}
        fill_table(armature, mapping)
        self.report({"INFO"}, worded(f'"{armature.name}" uses the preset "{self.preset}"'))
        return {"FINISHED"}


CLASSES = (
    KINESICS_OT_set_up_character,
    KINESICS_OT_forget_rig,
    KINESICS_OT_save_rig_preset,
    KINESICS_OT_load_rig_preset,
)
