# SPDX-License-Identifier: GPL-3.0-or-later
"""Regenerate: one stretch of some parts is made anew, everything else stays to the bit."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import bpy

from ..engine.errors import RequestError
from ..engine.specs import Part, Source
from . import delivery, polls
from .generate import MotionOperator, read_plan
from .generation import CONTEXT_S, GeneratePlan, Stretch

MIN_RANGE = 4
"""Fewest frames that can be made anew, since the first and the last keep their pose."""


def frame_range(context: bpy.types.Context, armature: bpy.types.Object) -> tuple[int, int]:
    """First and last scene frame of the chosen range.

    Raises:
        EngineError: If there is no such range.
    """
    from .bridge import action, instructions, shape_keys
    from .bridge import sound as sound_bridge

    scene = context.scene
    chosen = scene.kinesics.regenerate_range
    if chosen == "STRIP":
        place = sound_bridge.strip_place(instructions.spoken_strip(scene))
        return place.frame_start, place.frame_end - 1
    if chosen == "PREVIEW":
        if not scene.use_preview_range:
            raise RequestError(
                "No preview range is set: press P over the timeline and drag over the frames to make anew."
            )
        return scene.frame_preview_start, scene.frame_preview_end
    meshes = [mesh.data.shape_keys for mesh in shape_keys.meshes_of(armature)]
    ends = [action.selected_range(item) for item in (armature, *meshes) if item is not None]
    first, last = min(end[0] for end in ends), max(end[1] for end in ends)
    if first > last:
        raise RequestError(
            f'No key of "{armature.name}" is selected: select the keys of the range in the Dope Sheet.'
        )
    return math.floor(first + 1e-3), math.ceil(last - 1e-3)


def read_stretch_plan(context: bpy.types.Context) -> GeneratePlan:
    """Turn the settings into plain data for one stretch, and check all that can be checked at once.

    Raises:
        EngineError: With one sentence that says what is missing and what to do.
    """
    from ..engine.motion.arkit import ARKIT_NAMES

    settings = context.scene.kinesics
    armature = polls.needed_character(context)
    parts = _chosen_parts(armature, settings)
    if not _has_motion(armature):
        raise RequestError(
            f'"{armature.name}" has no motion yet: press Generate, or key or import some first.'
        )
    first, last = frame_range(context, armature)
    if last - first + 1 < MIN_RANGE:
        raise RequestError(
            f"The range has {max(last - first + 1, 0)} frames, of which the first and last keep their pose: "
            f"choose {MIN_RANGE} or more."
        )
    plan = read_plan(context, parts, (first, last))
    stretch = Stretch(first, last, int(settings.blend_frames), math.ceil(CONTEXT_S * plan.fps))
    plan = _with_sound_there(replace(plan, stretch=stretch))
    delivery.check_stretch(armature, plan.written_parts, ARKIT_NAMES, first, last)
    return plan


def _chosen_parts(armature: bpy.types.Object, settings: Any) -> tuple[Part, ...]:
    """Parts to make anew.

    Raises:
        RequestError: If none is chosen, or all that are chosen are locked or kept.
    """
    chosen = [part for part in Part if getattr(settings, part.value).redo]
    if not chosen:
        raise RequestError("No part is chosen: switch on the parts to make anew in the Regenerate box.")
    free = tuple(part for part in chosen if part not in delivery.locked_parts(armature))
    if not free:
        raise RequestError("Every chosen part is locked: open a lock in the Regenerate box.")
    if all(getattr(settings, part.value).source == "KEEP" for part in free):
        raise RequestError("Every chosen part is set to Keep: choose Speech or Text for it in Direction.")
    return free


def _has_motion(armature: bpy.types.Object) -> bool:
    """Whether anything animates the character's bones or face."""
    from .bridge import action, shape_keys, splicing

    meshes = [mesh.data.shape_keys for mesh in shape_keys.meshes_of(armature)]
    return any(
        bool(action.fcurves_of(item)) or splicing.has_strips(item)
        for item in (armature, *meshes)
        if item is not None
    )


def _with_sound_there(plan: GeneratePlan) -> GeneratePlan:
    """Leave out a sound that does not reach into the stretch.

    Raises:
        RequestError: If a part should follow it.
    """
    from .bridge.sound import sound_duration

    stretch = plan.stretch
    if plan.sound is None or stretch is None:
        return plan
    end = plan.frame_start + sound_duration(plan.sound) * plan.fps
    if stretch.first < end and stretch.last >= plan.frame_start:
        return plan
    if any(direction.source in (Source.SPEECH, Source.BOTH) for direction in plan.directions.values()):
        raise RequestError(
            f'The sound "{plan.sound.label}" does not reach into frames {stretch.first} to {stretch.last}: '
            "choose another range, or Text for the parts."
        )
    return replace(plan, sound=None)


class KINESICS_OT_regenerate(MotionOperator, bpy.types.Operator):
    """Make the chosen parts anew in the chosen frames and join them to the motion around. The first and last
    frame keep their pose, and every key outside stays as it is. Bones are keyed in their own rotation mode;
    where motion comes from NLA strips, an action above them gets keys in these frames only"""

    bl_idname = "kinesics.regenerate"
    bl_label = "Regenerate"

    def read_plan(self, context: bpy.types.Context) -> GeneratePlan:
        """What to do, from the settings."""
        return read_stretch_plan(context)


CLASSES = (KINESICS_OT_regenerate,)
