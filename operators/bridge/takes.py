# SPDX-License-Identifier: GPL-3.0-or-later
"""The takes of a character, kept on its object: each refers to the actions that hold its keys.

The reference alone keeps an action in the file, so takes need no fake user, travel with the object when it is
saved, appended or copied, and leave nothing behind when they are deleted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import bpy

from . import action, feet, shape_keys, shape_settings
from .action import Playing

if TYPE_CHECKING:
    from ...engine.motion.arrays import FloatArray
    from ...engine.motion.retargeting import MappedRig
    from ...engine.specs import Part
    from .armature import Rig

ICON_SIZE = 32
"""Width and height of an action's icon in pixels, Blender's own."""

Take = Any
"""One item of the list; see `ui.properties.KinesicsTake`."""


def takes_of(armature: bpy.types.Object) -> Any:
    """The list of takes of a character, in the order in which they were made."""
    return armature.kinesics_takes.items


def face_keys(armature: bpy.types.Object) -> list[bpy.types.Key]:
    """Shape key datablocks of all meshes of a character that can be animated."""
    found = [mesh.data.shape_keys for mesh in shape_keys.meshes_of(armature)]
    return [keys for keys in found if keys is not None and keys.library is None]


def shown_take(armature: bpy.types.Object) -> Take | None:
    """The take whose action moves the character now, or None."""
    now = action.playing(armature)
    if now is None:
        return None
    return next((take for take in takes_of(armature) if take.action == now.action), None)


def add_take(armature: bpy.types.Object, name: str) -> Take:
    """Put what moves the character now into its list."""
    take = takes_of(armature).add()
    take.name = name
    record(armature, take)
    return take


def record(armature: bpy.types.Object, take: Take) -> None:
    """Let a take hold what moves the character now."""
    body = action.playing(armature)
    take.action, take.slot = (body.action, body.slot) if body is not None else (None, "")
    take.faces.clear()
    for keys in face_keys(armature):
        now = action.playing(keys)
        if now is not None:
            face = take.faces.add()
            face.name, face.action, face.slot = keys.name, now.action, now.slot


def show_take(armature: bpy.types.Object, take: Take) -> None:
    """Swap the character's action and slot, and those of its face, for those of a take."""
    action.play(armature, Playing(take.action, take.slot))
    mine = {used for other in takes_of(armature) for used in actions_of(other)}
    keys_here = face_keys(armature)
    in_order = not any(keys.name in take.faces for keys in keys_here)  # a copy has other names
    for order, keys in enumerate(keys_here):
        face = take.faces.get(keys.name)
        if face is None and in_order and order < len(take.faces):
            face = take.faces[order]
        now = action.playing(keys)
        if face is not None and face.action is not None:
            action.play(keys, Playing(face.action, face.slot))
        elif now is not None and now.action in mine:
            action.play(keys, None)
    shape_settings.copy_settings(take.shape, armature.kinesics_shape)


def keep_current(armature: bpy.types.Object, name: str) -> None:
    """Take an action that is in no list into it, where showing another one would lose it."""
    if action.playing(armature) is not None and shown_take(armature) is None:
        add_take(armature, name)


def copied_actions(armature: bpy.types.Object, name: str) -> list[tuple[bpy.types.ID, Playing]]:
    """Copies of the actions that move a character and its face, with what each would move."""
    copies: dict[bpy.types.Action, bpy.types.Action] = {}
    found: list[tuple[bpy.types.ID, Playing]] = []
    for datablock in (armature, *face_keys(armature)):
        now = action.playing(datablock)
        if now is None:
            continue
        if now.action not in copies:
            copies[now.action] = now.action.copy()
            copies[now.action].name = name if datablock == armature else f"{name} {datablock.name}"
            copies[now.action].use_fake_user = False
        found.append((datablock, Playing(copies[now.action], now.slot)))
    return found


def duplicate_actions(armature: bpy.types.Object, name: str) -> None:
    """Put copies in the place of the actions that move a character and its face."""
    for datablock, copy in copied_actions(armature, name):
        action.play(datablock, copy)


def begin_take(armature: bpy.types.Object, name: str) -> None:
    """Put copies in their place for a new take, which is not shaped, whatever the one before was."""
    from ...engine.specs import Part

    duplicate_actions(armature, name)
    shape_settings.clear_settings(armature, tuple(Part))


def separate(armature: bpy.types.Object) -> None:
    """Before keys are written: let go of an action that another character lists among its takes as well."""
    take = shown_take(armature)
    if take is None or not any(
        other.action == take.action
        for item in bpy.data.objects
        if item != armature and item.type == "ARMATURE"
        for other in takes_of(item)
    ):
        return
    duplicate_actions(armature, take.action.name)
    record(armature, take)


def mark_changed(armature: bpy.types.Object) -> None:
    """Note that keys were written to the take on show, whose measures no longer hold."""
    take = shown_take(armature)
    if take is not None:
        take.changed = True


def body_of(take: Take) -> Playing:
    """What a take moves the bones by."""
    return Playing(take.action, take.slot)


def take_over(armature: bpy.types.Object, rig: Rig | MappedRig, part: Part, source: Playing) -> None:
    """Put one part's bone channels of another action in the place of those the character follows now."""
    from ...engine.specs import Part

    names = part_bones(rig, part)
    now = action.playing(armature)
    if now is None:
        return
    action.remove_curves(now, [curve for curve in action.curves_in(now) if bone_of(curve) in names])
    if part is Part.LOWER:
        action.remove_curves(now, [curve for curve in action.curves_in(now) if feet.is_feet(curve)])
    for curve in action.curves_in(source):
        if bone_of(curve) in names or (part is Part.LOWER and feet.is_feet(curve)):
            action.copy_curve(armature, curve)
    now.action.update_tag()


def part_bones(rig: Rig | MappedRig, part: Part) -> frozenset[str]:
    """Names of the bones of a part."""
    return frozenset(rig.bone_names[bone] for bone in rig.bones_of((part,)))


def bone_of(curve: bpy.types.FCurve) -> str:
    """Bone whose channel a curve is; empty for others."""
    found = re.match(r'pose\.bones\["((?:[^"\\]|\\.)*)"\]', curve.data_path)
    return bpy.utils.unescape_identifier(found[1]) if found else ""


def push_down(armature: bpy.types.Object, name: str) -> None:
    """Turn the actions on show into NLA strips on a new track of the character and of each face."""
    for datablock in (armature, *face_keys(armature)):
        now = action.playing(datablock)
        if now is not None:
            _add_strip(datablock, name, now)
            action.play(datablock, None)


def push_parts_down(
    armature: bpy.types.Object, rig: Rig | MappedRig, name: str, labels: dict[Part, str]
) -> None:
    """Turn what is on show into one NLA track per part, each with an action of its own.

    Channels of bones outside the four parts, and of the object, go with the lower body.
    """
    from ...engine.specs import Part

    body = action.playing(armature)
    faces = {keys: action.playing(keys) for keys in face_keys(armature)}
    for part in Part:
        others = frozenset().union(*(part_bones(rig, other) for other in Part if other is not part))
        wanted = part_bones(rig, part)
        title = f"{name} {labels[part]}"
        if body is not None:
            copy = Playing(body.action.copy(), body.slot)
            copy.action.name = title
            gone = [
                curve
                for curve in action.curves_in(copy)
                if bone_of(curve) in others or (part is not Part.LOWER and bone_of(curve) not in wanted)
            ]
            action.remove_curves(copy, gone)
            action.remove_other_slots(copy)
            if action.curves_in(copy):
                _add_strip(armature, title, copy)
            else:
                bpy.data.actions.remove(copy.action)
    for keys, now in faces.items():
        if now is not None:
            copy = Playing(now.action.copy(), now.slot)
            copy.action.name = f"{name} {keys.name}"
            action.remove_other_slots(copy)
            _add_strip(keys, f"{name} {labels[Part.FACE]}", copy)
            action.play(keys, None)
    action.play(armature, None)


def _add_strip(datablock: bpy.types.ID, name: str, source: Playing) -> None:
    """Put an action on a new NLA track, so that it plays at the frames it has keys on."""
    track = datablock.animation_data.nla_tracks.new()
    track.name = name
    start = source.action.frame_range[0]
    strip = track.strips.new(name, math.floor(start), source.action)
    if hasattr(strip, "action_slot"):
        strip.action_slot = source.action.slots.get(source.slot)
    if strip.frame_start != start:
        strip.frame_start_ui = start


def actions_of(take: Take) -> Iterator[bpy.types.Action]:
    """Every action a take refers to."""
    for holder in (take, *take.faces, *take.source_faces):
        if holder.action is not None:
            yield holder.action
    if take.source is not None:
        yield take.source


def remove_take(armature: bpy.types.Object, index: int) -> None:
    """Take one out of the list, with its actions where nothing else uses them.

    Where it is on show, the one that follows is shown; the last take leaves the character without motion.
    """
    from ...engine.specs import Part

    takes = takes_of(armature)
    used = set(actions_of(takes[index]))
    was_shown = shown_take(armature) == takes[index]
    takes.remove(index)
    if was_shown:
        following = next((take for take in [*takes[index:], *reversed(takes[:index])] if take.action), None)
        if following is not None:
            show_take(armature, following)
        else:
            for datablock in (armature, *face_keys(armature)):
                now = action.playing(datablock)
                if now is not None and now.action in used:
                    action.play(datablock, None)
            shape_settings.clear_settings(armature, tuple(Part))
    remove_unused(used)


def remove_unused(actions: set[bpy.types.Action]) -> None:
    """Remove those actions that nothing refers to any more."""
    for unused in [item for item in actions if item.users == 0]:
        bpy.data.actions.remove(unused)


def set_picture(target: bpy.types.Action, picture: FloatArray) -> None:
    """Make a picture the preview and the icon of an action, which are saved with it.

    Args:
        target: The action.
        picture: Red, green, blue and opacity, lowest row first, (S, S, 4), S a multiple of `ICON_SIZE`.
    """
    preview = target.preview_ensure()
    size = len(picture)
    preview.image_size = (size, size)
    preview.image_pixels_float.foreach_set(picture.ravel())
    step = size // ICON_SIZE
    icon = picture.reshape(ICON_SIZE, step, ICON_SIZE, step, 4).mean(axis=(1, 3))
    preview.icon_size = (ICON_SIZE, ICON_SIZE)
    preview.icon_pixels_float.foreach_set(icon.ravel())
