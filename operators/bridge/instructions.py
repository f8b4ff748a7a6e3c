# SPDX-License-Identifier: GPL-3.0-or-later
"""Instructions on the timeline: text strips of the Video Sequencer on a channel named after a part.

The channel is muted, so the strips never show in a picture and never keep the 3D scene from being rendered,
while they can be dragged, trimmed and split like any other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import bpy

from ...engine.specs import Part, Segment
from ..generation import PART_LABELS

PART_COLOURS: dict[Part, str] = {
    Part.FACE: "COLOR_01",
    Part.HANDS: "COLOR_03",
    Part.UPPER: "COLOR_05",
    Part.LOWER: "COLOR_04",
}
"""Colour tags, so that the four channels are told apart."""

MAX_CHANNEL = 128
"""Blender's highest channel."""

NEW_LENGTH_S = 3.0
"""Length of a new instruction where there is room."""


def strips_of(scene: bpy.types.Scene) -> Any:
    """The scene's own strips under whichever name this Blender has for them; empty without a sequencer."""
    editor = scene.sequence_editor
    if editor is None:
        return ()
    return editor.strips if hasattr(editor, "strips") else editor.sequences


def part_of(scene: bpy.types.Scene, strip: Any) -> Part | None:
    """The part that a text strip speaks to: its channel is named like it. None for every other strip."""
    if strip.type != "TEXT":
        return None
    name = scene.sequence_editor.channels[strip.channel].name.strip().casefold()
    return next((part for part, label in PART_LABELS.items() if label.casefold() == name), None)


def instruction_strips(scene: bpy.types.Scene, part: Part) -> list[Any]:
    """Strips with instructions for a part; muted ones do not count."""
    return [strip for strip in strips_of(scene) if part_of(scene, strip) is part and not strip.mute]


@dataclass(frozen=True)
class Told:
    """An instruction on the timeline: its scene frames, the end not included, and its words."""

    frame_start: int
    frame_end: int
    text: str


def read_told(scene: bpy.types.Scene, part: Part) -> tuple[Told, ...]:
    """All instructions for a part, in the order of their time."""
    found = [
        Told(int(strip.frame_final_start), int(strip.frame_final_end), strip.text)
        for strip in instruction_strips(scene, part)
    ]
    return tuple(sorted(found, key=lambda told: told.frame_start))


def segments_between(
    told: Iterable[Told], origin: int, frames: tuple[int, int], fps: float
) -> tuple[Segment, ...]:
    """Those instructions that reach into some frames, in seconds from another frame on.

    Args:
        told: Instructions in the order of their time.
        origin: Scene frame of second 0.
        frames: First and last frame that count.
        fps: Frames per second of the scene.
    """
    return tuple(
        Segment((one.frame_start - origin) / fps, (one.frame_end - origin) / fps, one.text)
        for one in told
        if one.frame_start <= frames[1] and one.frame_end > frames[0]
    )


def spoken_strip(scene: bpy.types.Scene) -> Any:
    """The active sound strip; where an instruction is active, the sound strip that it lies over longest.

    Raises:
        AudioError: If there is none.
    """
    from .sound import active_sound_strip

    return find_spoken_strip(scene) or active_sound_strip(scene)


def find_spoken_strip(scene: bpy.types.Scene) -> Any | None:
    """The strip that `spoken_strip` gives, or None."""
    active = scene.sequence_editor.active_strip if scene.sequence_editor is not None else None
    if active is None or active.type == "SOUND":
        return active
    if part_of(scene, active) is None:
        return None
    sounds = [strip for strip in strips_of(scene) if strip.type == "SOUND" and not strip.mute]
    shared = [(_shared_frames(strip, active), -strip.channel, strip) for strip in sounds]
    frames, _, strip = max(shared, default=(0, 0, None), key=lambda item: item[:2])
    return strip if frames > 0 else None


def add_instruction(scene: bpy.types.Scene, part: Part, text: str, fps: float) -> Any:
    """Put an instruction at the current frame, or behind the one that is there, as long as there is room.

    The part's channel is made, named and muted where there is none. The new strip is the active one.
    """
    editor = scene.sequence_editor or scene.sequence_editor_create()
    strips = strips_of(scene)
    channel = _channel_of(editor, strips, part)
    places = sorted(
        (int(strip.frame_final_start), int(strip.frame_final_end))
        for strip in strips
        if strip.channel == channel
    )
    start = scene.frame_current
    for first, stop in places:
        if first <= start < stop:
            start = stop
    room = min((first for first, _ in places if first > start), default=None)
    end = start + max(round(NEW_LENGTH_S * fps), 1)
    end = end if room is None else min(end, room)
    name = PART_LABELS[part]
    length = {"length": end - start} if bpy.app.version >= (5, 0, 0) else {"frame_end": end}
    strip = strips.new_effect(name, "TEXT", channel=channel, frame_start=start, **length)
    strip.text, strip.color_tag = text, PART_COLOURS[part]
    for other in strips:
        other.select = False
    strip.select = True
    editor.active_strip = strip
    return strip


def _channel_of(editor: Any, strips: Iterable[Any], part: Part) -> int:
    """Number of a part's channel; above all strips where it has none yet."""
    label = PART_LABELS[part]
    for number in range(1, MAX_CHANNEL + 1):
        if editor.channels[number].name.strip().casefold() == label.casefold():
            return number
    others = {name.casefold() for name in PART_LABELS.values()}
    used = [strip.channel for strip in strips]
    used += [n for n in range(1, MAX_CHANNEL + 1) if editor.channels[n].name.strip().casefold() in others]
    number = min(max(used, default=0) + 1, MAX_CHANNEL)
    editor.channels[number].name, editor.channels[number].mute = label, True
    return number


def _shared_frames(one: Any, other: Any) -> int:
    first = max(one.frame_final_start, other.frame_final_start)
    return int(min(one.frame_final_end, other.frame_final_end) - first)
