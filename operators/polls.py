# SPDX-License-Identifier: GPL-3.0-or-later
"""Conditions shared by operators: cheap, and they say why not."""

from __future__ import annotations

import bpy

from .errors import CharacterError


def character_of(context: bpy.types.Context) -> bpy.types.Object | None:
    """The chosen character, else the active armature, else the armature of the active mesh."""
    chosen = context.scene.kinesics.character
    if chosen is not None and chosen.name in context.scene.objects:
        return chosen
    active = context.view_layer.objects.active if context.view_layer else None
    if active is None:
        return None
    return active if active.type == "ARMATURE" else active.find_armature()


def needed_character(context: bpy.types.Context) -> bpy.types.Object:
    """The character; raises `CharacterError` if there is none."""
    armature = character_of(context)
    if armature is None and instanced_character(context):
        raise CharacterError(
            "The character is inside an instance of a collection, which cannot be moved: use Object > "
            "Library Override > Make, or Object > Apply > Make Instances Real."
        )
    if armature is None:
        raise CharacterError("There is no character: use Add Character, or select the armature of one.")
    return armature


def instanced_character(context: bpy.types.Context) -> bool:
    """Whether the active object is an instance of a collection that has an armature."""
    active = context.view_layer.objects.active if context.view_layer else None
    if active is None or active.instance_type != "COLLECTION" or active.instance_collection is None:
        return False
    return any(item.type == "ARMATURE" for item in active.instance_collection.all_objects)


def has_character(operator: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    """Whether there is an armature to drive."""
    if character_of(context) is None and instanced_character(context):
        operator.poll_message_set("Override the instance, or make it real, and select its armature")
        return False
    if character_of(context) is None:
        operator.poll_message_set("Add a character, or select the armature of one")
        return False
    return True


def is_free(operator: type[bpy.types.Operator]) -> bool:
    """Whether no other motion is being made."""
    from . import generate

    if generate.current_session() is not None:
        operator.poll_message_set("A motion is being made: wait for it or cancel it")
        return False
    return True
