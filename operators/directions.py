# SPDX-License-Identifier: GPL-3.0-or-later
"""Save and Load Direction: what the four parts shall do, kept under a name for other shots and files."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import EnumProperty, StringProperty

from ..engine.errors import EngineError
from ..engine.specs import MAX_INSTRUCTION_LENGTH, Part
from . import polls, presets, shaping
from .errors import CharacterError
from .generation import PART_LABELS
from .wording import worded

PRESETS = "directions"
"""Kind of the presets, and the name of their folder."""

OF_A_PART = ("source", "text", "emotion")
OF_ALL = ("emotion", "part_emotions", "variation")
"""Settings of the scene that a preset holds; the energies, which are a character's, come beside them."""


def direction_table(scene: bpy.types.Scene, character: bpy.types.Object | None) -> dict[str, Any]:
    """The direction as it is set; without a character, without energies.

    Raises:
        CharacterError: If a text is too long for an instruction.
    """
    settings = scene.kinesics
    table = {name: getattr(settings, name) for name in OF_ALL}
    parts: dict[str, dict[str, Any]] = {}
    for part in Part:
        held = {name: getattr(getattr(settings, part.value), name) for name in OF_A_PART}
        held["text"] = _one_line(held["text"])
        if len(held["text"]) > MAX_INSTRUCTION_LENGTH:
            raise CharacterError(
                f"The text of {PART_LABELS[part]} has more than {MAX_INSTRUCTION_LENGTH} characters: "
                "shorten it."
            )
        if character is not None:
            held["energy"] = round(getattr(character.kinesics_shape, f"energy_{part.value}"), 4)
        parts[part.value] = held
    return {**table, "parts": parts}


def set_direction(scene: bpy.types.Scene, character: bpy.types.Object | None, name: str) -> None:
    """Set everything a preset holds; of a damaged one, nothing.

    Raises:
        CharacterError: If it is missing or damaged.
    """
    table = presets.load(PRESETS, name)
    settings, shape = scene.kinesics, character.kinesics_shape if character is not None else None
    parts = table.get("parts")
    wanted = [(settings, key, table.get(key)) for key in OF_ALL]
    energies: list[tuple[Any, str, Any]] = []
    for part in Part:
        held = parts.get(part.value) if isinstance(parts, dict) else None
        if not isinstance(held, dict):
            raise presets.damaged(name)
        wanted += [(getattr(settings, part.value), key, held.get(key)) for key in OF_A_PART]
        if shape is not None and "energy" in held:
            energies.append((shape, f"energy_{part.value}", held["energy"]))
    if not all(_fits(*item) for item in wanted + energies):
        raise presets.damaged(name)
    for owner, key, value in wanted:
        setattr(owner, key, value)
    if character is not None:
        _set_energies(character, energies)


def _set_energies(character: bpy.types.Object, energies: list[tuple[Any, str, Any]]) -> None:
    """Set what differs, and shape the motion on show once, as the sliders do."""
    from .bridge import shape_settings

    changed = [item for item in energies if abs(getattr(item[0], item[1]) - item[2]) > 1e-4]
    with shape_settings.quietly():
        for owner, key, value in changed:
            setattr(owner, key, value)
    if changed:
        shaping.changed(character)


def _one_line(text: str) -> str:
    """A text without line breaks and other marks that nobody sees."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _fits(owner: Any, key: str, value: object) -> bool:
    """Whether a setting can have a value."""
    setting = owner.bl_rna.properties[key]
    if setting.type == "ENUM":
        return isinstance(value, str) and value in setting.enum_items
    if setting.type == "BOOLEAN":
        return isinstance(value, bool)
    if setting.type == "FLOAT":
        number = isinstance(value, float | int) and not isinstance(value, bool)
        return number and setting.hard_min <= value <= setting.hard_max
    return isinstance(value, str) and len(value) <= MAX_INSTRUCTION_LENGTH and value.isprintable()


class DirectionOperator:
    """What both share."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether nothing is being made from the settings."""
        return polls.is_free(cls)


class KINESICS_OT_save_direction(DirectionOperator, bpy.types.Operator):
    """Keep what the four parts shall do, with emotions and energies, for other shots and files"""

    bl_idname = "kinesics.save_direction"
    bl_label = "Save Direction"
    bl_options = {"REGISTER"}

    name: StringProperty(name="Name", description="Name of the preset", default="My Direction", maxlen=60)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask for the name."""
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Save it."""
        try:
            table = direction_table(context.scene, polls.character_of(context))
            presets.save(PRESETS, self.name, table)
        except EngineError as error:
            self.report({"ERROR"}, worded(error))
            return {"CANCELLED"}
        self.report({"INFO"}, worded(f'Saved the direction "{self.name}"'))
        return {"FINISHED"}


_shown: list[tuple[str, str, str]] = []


def _items(_operator: bpy.types.Operator, _context: bpy.types.Context | None) -> list[tuple[str, str, str]]:
    """Presets as menu items; Blender needs them to be kept alive."""
    _shown[:] = [(name, name, worded(f"Use the direction {name}")) for name in presets.names(PRESETS)]
    return _shown


class KINESICS_OT_load_direction(DirectionOperator, bpy.types.Operator):
    """Take what the four parts shall do, with emotions and energies, from a preset"""

    bl_idname = "kinesics.load_direction"
    bl_label = "Load Direction"
    bl_options = {"UNDO"}

    preset: EnumProperty(name="Preset", description="Direction to take", items=_items)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Load it."""
        try:
            set_direction(context.scene, polls.character_of(context), self.preset)
        except EngineError as error:
            self.report({"ERROR"}, worded(error))
            return {"CANCELLED"}
        self.report({"INFO"}, worded(f'Took the direction "{self.preset}"'))
        return {"FINISHED"}


CLASSES = (KINESICS_OT_save_direction, KINESICS_OT_load_direction)
