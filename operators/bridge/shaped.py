# SPDX-License-Identifier: GPL-3.0-or-later
"""The motion under a shaped one: a second action per take that holds it, and the way back to it.

A part has its motion as it was made in the take's source from the moment it is first shaped until it is
neutral again; then its channels are put back as they were, to the bit. Parts that are not shaped are never
touched. As with takes, the reference alone keeps a source in the file.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import bpy

from ...engine.specs import Part
from . import action, shape_settings, takes
from .action import Playing
from .takes import Take

if TYPE_CHECKING:
    from ...engine.motion.retargeting import MappedRig
    from .armature import Rig

Prints = dict[str, str]
"""A fingerprint per shaped part, by its name."""


def prints_of(take: Take) -> Prints:
    """Fingerprints of the shaped parts of a take, as they were written."""
    return dict(pair.split("=") for pair in take.shaped.split())


def part_print(armature: bpy.types.Object, rig: Rig | MappedRig, part: Part) -> str:
    """Fingerprint of the keys of a part that are on show."""
    digest = hashlib.sha256()
    for number, (_, curves) in enumerate(_part_curves(armature, rig, part)):
        for curve in sorted(curves, key=lambda item: (item.data_path, item.array_index)):
            keys = action.read_keys(curve.keyframe_points, ("co", "interpolation"))
            digest.update(f"{number} {curve.data_path} {curve.array_index} {curve.mute}".encode())
            digest.update(keys["co"].tobytes() + keys["interpolation"].tobytes())
    return digest.hexdigest()[:16]


def adopt(armature: bpy.types.Object, rig: Rig | MappedRig) -> None:
    """Let a shaped take hold what is on show where that is a copy of it, as a copied character may have."""
    if takes.shown_take(armature) is not None:
        return
    for take in takes.takes_of(armature):
        prints = prints_of(take)
        if prints and all(text == part_print(armature, rig, Part(part)) for part, text in prints.items()):
            takes.record(armature, take)
            return


def ensure_source(armature: bpy.types.Object, take: Take) -> None:
    """Give a take a copy of its actions, which stays as they are now."""
    if take.source is not None:
        return
    take.source_faces.clear()
    for datablock, copy in takes.copied_actions(armature, f"{take.action.name} As Made"):
        if datablock == armature:
            take.source, take.source_slot = copy.action, copy.slot
        else:
            face = take.source_faces.add()
            face.name, face.action, face.slot = datablock.name, copy.action, copy.slot


def drop_source(take: Take) -> None:
    """Take the source of a take away, with its actions where nothing else uses them."""
    used = {holder.action for holder in take.source_faces if holder.action is not None}
    used |= {take.source} if take.source is not None else set()
    take.source, take.source_slot = None, ""
    take.source_faces.clear()
    takes.remove_unused(used)


@contextmanager
def source_playing(armature: bpy.types.Object, take: Take) -> Iterator[None]:
    """Let the source of a take move the character and its face for as long as this lasts."""
    shown = [(item, action.playing(item)) for item in (armature, *takes.face_keys(armature))]
    try:
        for datablock, source in sources(armature, take):
            action.play(datablock, source)
        yield
    finally:
        for datablock, now in shown:
            action.play(datablock, now)


def sources(armature: bpy.types.Object, take: Take) -> list[tuple[bpy.types.ID, Playing]]:
    """What the source of a take would move, and by what."""
    found: list[tuple[bpy.types.ID, Playing]] = [(armature, Playing(take.source, take.source_slot))]
    here = takes.face_keys(armature)
    in_order = not any(keys.name in take.source_faces for keys in here)  # a copy has other names
    for order, keys in enumerate(here):
        face = take.source_faces.get(keys.name)
        if face is None and in_order and order < len(take.source_faces):
            face = take.source_faces[order]
        if face is not None and face.action is not None:
            found.append((keys, Playing(face.action, face.slot)))
    return found


def refresh_source(armature: bpy.types.Object, take: Take, rig: Rig | MappedRig, part: Part) -> None:
    """Put a part as it is on show into the source, where it may be older."""
    shown = {item: action.playing(item) for item in (armature, *takes.face_keys(armature))}
    with source_playing(armature, take):
        _copy_part(armature, rig, part, [(item, now) for item, now in shown.items() if now is not None])


def restore_part(armature: bpy.types.Object, take: Take, rig: Rig | MappedRig, part: Part) -> None:
    """Put a part back as it is in the source, to the bit."""
    _copy_part(armature, rig, part, sources(armature, take))


def frame_range(
    armature: bpy.types.Object, take: Take | None, rig: Rig | MappedRig
) -> tuple[int, int] | None:
    """First and last frame of the motion on show, of the source where there is one; None without keys."""
    if take is not None and take.source is not None:
        with source_playing(armature, take):
            return frame_range(armature, None, rig)
    ends: list[float] = []
    for part in Part:
        for _, curves in _part_curves(armature, rig, part):
            points = [curve.keyframe_points for curve in curves if len(curve.keyframe_points)]
            ends += [some[place].co[0] for some in points for place in (0, -1)]
    return (math.floor(min(ends) + 1e-3), math.ceil(max(ends) - 1e-3)) if ends else None


def note(armature: bpy.types.Object, take: Take, prints: Prints) -> None:
    """Note on a take how it is shaped now; without shaped parts its source goes."""
    if not prints:
        drop_source(take)
    take.shaped = " ".join(f"{part}={text}" for part, text in sorted(prints.items()))
    take.stamp = "" if shape_settings.is_neutral(armature) else shape_settings.stamp(armature)
    shape_settings.copy_settings(armature.kinesics_shape, take.shape)


def settle(armature: bpy.types.Object, parts: tuple[Part, ...]) -> bool:
    """Make some parts as they are seen now the motion itself, and their settings neutral.

    Returns:
        Whether any of them was shaped.
    """
    take = takes.shown_take(armature)
    if take is None or take.source is None:
        return False
    before = prints_of(take)
    shape_settings.clear_settings(armature, parts)
    prints = {part: text for part, text in before.items() if part not in parts}
    note(armature, take, prints)
    return len(prints) < len(before)


def _copy_part(
    armature: bpy.types.Object,
    rig: Rig | MappedRig,
    part: Part,
    givers: Iterable[tuple[bpy.types.ID, Playing]],
) -> None:
    """Replace a part's curves on show by those of other actions."""
    for datablock, curves in _part_curves(armature, rig, part):
        now = action.playing(datablock)
        if now is not None:
            action.remove_curves(now, curves)
    for datablock, giver in givers:
        if action.playing(datablock) is None:
            continue
        for curve in _of_part(armature, rig, part, datablock, giver):
            action.copy_curve(datablock, curve)
        datablock.animation_data.action.update_tag()
        datablock.update_tag()


def _part_curves(
    armature: bpy.types.Object, rig: Rig | MappedRig, part: Part
) -> list[tuple[bpy.types.ID, list[bpy.types.FCurve]]]:
    """Curves of a part that are on show, by what they move."""
    shown = [(item, action.playing(item)) for item in (armature, *takes.face_keys(armature))]
    return [(item, _of_part(armature, rig, part, item, now)) for item, now in shown if now is not None]


def _of_part(
    armature: bpy.types.Object, rig: Rig | MappedRig, part: Part, datablock: bpy.types.ID, now: Playing
) -> list[bpy.types.FCurve]:
    """Curves of a part in an action that moves one datablock."""
    if datablock == armature:
        names = takes.part_bones(rig, part)
        return [curve for curve in action.curves_in(now) if takes.bone_of(curve) in names]
    if part is not Part.FACE:
        return []
    return [curve for curve in action.curves_in(now) if curve.data_path.startswith("key_blocks")]
