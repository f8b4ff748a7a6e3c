# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes on a character: deliver what was made into its list, try one, say what is in it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import bpy

from ..engine.specs import PartDirection, Source
from . import delivery
from .generation import PART_LABELS, GeneratePlan, Motion, Review

if TYPE_CHECKING:
    from ..engine.specs import Part
    from .bridge.takes import Take

TAKE_NAME = "Take"


def deliver_takes(
    plan: GeneratePlan, armature: bpy.types.Object, motions: list[Motion]
) -> delivery.Delivery:
    """Add motions to a character's takes and show the first of them.

    Each take has an action of its own: a copy of what moves the character now, with the new motion written
    in. So trying a take swaps the action and nothing else. What moved the character before stays listed.

    Raises:
        CharacterError: If something cannot be written; then nothing was.
    """
    from ..engine.motion.arkit import ARKIT_NAMES
    from .bridge import action, takes

    parts, last = delivery.unlocked(armature, plan.written_parts), motions[0].clip.num_frames - 1
    if plan.stretch is None:
        delivery.check_target(armature, parts, ARKIT_NAMES)
    else:
        delivery.check_stretch(armature, parts, ARKIT_NAMES, plan.write_start, plan.write_start + last)
    first_number = next_number(armature)
    takes.keep_current(armature, f"Before {TAKE_NAME} {first_number}")
    first = len(takes.takes_of(armature))
    before = [(item, action.playing(item)) for item in (armature, *takes.face_keys(armature))]
    whole = partial(delivery.deliver, keep_modes=True)
    put = whole if plan.stretch is None else delivery.deliver_stretch
    done: list[delivery.Delivery] = []
    for number, motion in enumerate(motions, first_number):
        for datablock, playing in before:
            action.play(datablock, playing)
        name = f"{plan.action_name} {TAKE_NAME} {number}"
        takes.duplicate_actions(armature, name)
        done.append(put(motion.clip, armature, parts, plan.write_start, name))
        take = takes.add_take(armature, f"{TAKE_NAME} {number}")
        take.number, take.seed = number, motion.seed
        take.instruction = instruction_text(plan.directions, plan.emotion)
        take.frame_start, take.frame_end = plan.write_start, plan.write_start + last
        if motion.review is not None:
            note_review(take, motion.review)
    armature.kinesics_takes.index = first
    return done[0]


def next_number(armature: bpy.types.Object) -> int:
    """Number of the next take: one more than the highest there is."""
    from .bridge import takes

    return 1 + max((take.number for take in takes.takes_of(armature)), default=0)


def note_review(take: Take, review: Review) -> None:
    """Keep measures and picture of a take."""
    from .bridge import takes

    measures = review.measures
    take.measured, take.changed = True, False
    take.has_sync = measures.lip_sync is not None
    take.lip_sync = measures.lip_sync or 0.0
    take.jitter, take.foot_slide = measures.jitter, measures.foot_slide
    takes.set_picture(take.action, review.picture)


def instruction_text(directions: dict[Part, PartDirection], emotion: str | None) -> str:
    """What was asked, one line per part that was made, and one for the emotion."""
    words = {Source.SPEECH: "speech", Source.KEEP: ""}
    lines: list[str] = []
    for part, direction in directions.items():
        said = words.get(direction.source, direction.text.strip())
        if direction.source is Source.BOTH:
            said += ", with the speech"
        if said:
            lines.append(f"{PART_LABELS[part]}: {said}")
    return "\n".join([*lines, *([f"Emotion: {emotion}"] if emotion else [])])


def try_chosen(armature: bpy.types.Object) -> None:
    """Show the take that is chosen in the list; one whose action is gone, or a busy NLA, changes nothing."""
    from .bridge import takes

    chosen = armature.kinesics_takes
    if not 0 <= chosen.index < len(chosen.items) or chosen.items[chosen.index].action is None:
        return
    if in_tweak_mode(armature) or takes.shown_take(armature) == chosen.items[chosen.index]:
        return
    takes.keep_current(armature, f"Before {chosen.items[chosen.index].name}")
    takes.show_take(armature, chosen.items[chosen.index])


def in_tweak_mode(armature: bpy.types.Object) -> bool:
    """Whether an NLA strip of the character is being tweaked, which fixes its action."""
    return armature.animation_data is not None and armature.animation_data.use_tweak_mode
