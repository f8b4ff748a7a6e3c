# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes on a character: deliver what was made into its list, try one, say what is in it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import bpy

from ..engine.specs import PartDirection, Source
from . import delivery, ghost
from .errors import CharacterError
from .generation import PART_LABELS, GeneratePlan, Motion, Review

if TYPE_CHECKING:
    from ..engine.specs import Part
    from .bridge.reducing import Limits, Reduction
    from .bridge.takes import Take

TAKE_NAME = "Take"

_SAME_WHEN_REDUCED = (
    "number", "seed", "merged", "instruction", "has_sync", "lip_sync", "frame_start", "frame_end",
    "emotion", "emotion_chance",
)  # fmt: skip
"""What a take with fewer keys has from the one it was made of."""


def deliver_takes(plan: GeneratePlan, armature: bpy.types.Object, motions: list[Motion]) -> delivery.Delivery:
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
    _note_shown(armature)
    first = len(takes.takes_of(armature))
    before = [(item, action.playing(item)) for item in (armature, *takes.face_keys(armature))]
    done: list[delivery.Delivery] = []
    for number, motion in enumerate(motions, first_number):
        for datablock, playing in before:
            action.play(datablock, playing)
        name = f"{plan.action_name} {TAKE_NAME} {number}"
        takes.begin_take(armature, name)
        place = (armature, parts, plan.write_start, name)
        if plan.stretch is None:
            done.append(delivery.deliver(motion.clip, *place, keep_modes=True))
        else:
            done.append(delivery.deliver_stretch(motion.clip, *place, motion.whole))
        take = takes.add_take(armature, f"{TAKE_NAME} {number}")
        take.number, take.seed = number, motion.seed
        take.instruction = instruction_text(plan.directions, plan.emotion)
        take.frame_start, take.frame_end = plan.write_start, plan.write_start + last
        if motion.review is not None:
            note_review(take, motion.review)
    takes.show_take(armature, takes.takes_of(armature)[first])
    armature.kinesics_takes.index = first
    return done[0]


def merge_takes(armature: bpy.types.Object, scene: bpy.types.Scene, chosen: dict[Part, int]) -> Take:
    """Make a take of parts from others, each channel copied to the bit, and show it.

    Args:
        armature: Character.
        scene: Its scene, for the rate.
        chosen: Place in the list of the take that gives each part.

    Raises:
        CharacterError: If the action of one was deleted, or has modifiers, which cannot be copied, or if a
            locked part would change.
    """
    from ..engine.specs import Part
    from .bridge import action, takes
    from .bridge.armature import read_rig

    givers = {part: takes.takes_of(armature)[index] for part, index in chosen.items()}
    check_mergeable(givers)
    shown = takes.shown_take(armature)
    for part in (part for part in delivery.locked_parts(armature) if givers[part] != shown):
        raise CharacterError(
            f'{PART_LABELS[part]} of "{armature.name}" is locked: choose the take on show for it, or open '
            "its lock in the Regenerate box."
        )
    rig = read_rig(armature)
    number = next_number(armature)
    sync = givers[Part.FACE] if givers[Part.FACE].has_sync else None
    values = {
        "merged": True,
        "instruction": _merged_instruction(givers),
        "has_sync": sync is not None,
        "lip_sync": sync.lip_sync if sync is not None else 0.0,
    }
    ranges = [(take.frame_start, take.frame_end) for take in givers.values() if take.measured]
    sources = {part: takes.body_of(take) for part, take in givers.items()}
    base = givers[Part.FACE].action
    name = f"{base.name.rpartition(f' {TAKE_NAME} ')[0] or base.name} {TAKE_NAME} {number}"
    takes.keep_current(armature, f"Before {TAKE_NAME} {number}")  # may move the list in memory
    _note_shown(armature)
    takes.show_take(armature, takes.takes_of(armature)[chosen[Part.FACE]])
    takes.begin_take(armature, name)
    for part, source in sources.items():
        if part is not Part.FACE:
            takes.take_over(armature, rig, part, source)
    take = takes.add_take(armature, f"{TAKE_NAME} {number}")
    take.number = number
    for key, value in values.items():
        setattr(take, key, value)
    ranges = ranges or [tuple(round(end) for end in action.key_range(armature))]
    take.frame_start, take.frame_end = min(start for start, _ in ranges), max(end for _, end in ranges)
    measure_shown(armature, scene, take)
    armature.kinesics_takes.index = len(takes.takes_of(armature)) - 1
    return take


def reduce_shown(armature: bpy.types.Object, scene: bpy.types.Scene, limits: Limits) -> Reduction:
    """Put a take with fewer keys beside the one on show, which stays as it is for the way back.

    Locked parts keep all of their keys.

    Raises:
        CharacterError: If nothing moves the character, its rig is unknown, or everything is locked.
    """
    from ..engine.specs import Part
    from .bridge import action, takes
    from .bridge.armature import read_rig
    from .bridge.reducing import reduce_action

    now = action.playing(armature)
    if now is None:
        raise CharacterError(f'"{armature.name}" has no action to reduce: press Generate first.')
    rig, free = read_rig(armature), delivery.unlocked(armature, tuple(Part))
    kept_bones = [takes.part_bones(rig, part) for part in Part if part not in free]
    takes.keep_current(armature, now.action.name)
    _note_shown(armature)
    shown = takes.shown_take(armature)
    title, dense = shown.name, list(takes.takes_of(armature)).index(shown)
    takes.begin_take(armature, f"{now.action.name} Reduced")
    done = reduce_action(armature, limits, frozenset().union(*kept_bones), Part.FACE not in free)
    take = takes.add_take(armature, f"{title} Reduced")
    dense_take = takes.takes_of(armature)[dense]
    for name in _SAME_WHEN_REDUCED:
        setattr(take, name, getattr(dense_take, name))
    if not dense_take.measured:
        take.frame_start, take.frame_end = (round(end) for end in action.key_range(armature))
    measure_shown(armature, scene, take)
    armature.kinesics_takes.index = len(takes.takes_of(armature)) - 1
    return done


def measure_shown(armature: bpy.types.Object, scene: bpy.types.Scene, take: Take) -> None:
    """Measure and draw the take on show as it is now; its lip sync stays, since that needs the sound."""
    from ..engine.motion.measures import measure
    from ..engine.motion.picture import clip_picture
    from .bridge.armature import read_rig
    from .bridge.sampling import current_clip
    from .bridge.sound import scene_fps

    num_frames = max(take.frame_end - take.frame_start + 1, 1)
    clip = current_clip(armature, read_rig(armature), scene, take.frame_start, num_frames, scene_fps(scene))
    measures = replace(measure(clip), lip_sync=take.lip_sync if take.has_sync else None)
    note_review(take, Review(measures, clip_picture(clip)))


def check_mergeable(givers: dict[Part, Take]) -> None:
    """Refuse takes whose channels cannot be copied.

    Raises:
        CharacterError: Naming the take and the remedy.
    """
    from .bridge import action, takes

    for take in givers.values():
        if take.action is None:
            raise CharacterError(f'The action of "{take.name}" was deleted: choose another take.')
        if any(len(curve.modifiers) for curve in action.curves_in(takes.body_of(take))):
            raise CharacterError(
                f'Curves of "{take.name}" have modifiers, which cannot be merged: bake them in the Graph '
                "Editor."
            )


def _merged_instruction(givers: dict[Part, Take]) -> str:
    """What each part was asked for, and the take it comes from."""
    lines: list[str] = []
    for part, take in givers.items():
        label = PART_LABELS[part]
        said = next((s for s in take.instruction.splitlines() if s.startswith(f"{label}: ")), f"{label}:")
        lines.append(f"{said} ({take.name})")
    return "\n".join(lines)


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
    if review.emotion is not None:
        take.emotion = review.emotion.label
        take.emotion_chance = review.emotion.probabilities[review.emotion.label]
    takes.set_picture(take.action, review.picture)


def instruction_text(directions: dict[Part, PartDirection], emotion: str | None) -> str:
    """What was asked, one line per part that was made, and one for the emotion."""
    words = {Source.SPEECH: "speech", Source.KEEP: ""}
    lines: list[str] = []
    for part, direction in directions.items():
        said = words.get(direction.source, direction.text.strip())
        if direction.segments:
            said = ", then ".join([*([said] if said else []), *(s.text.strip() for s in direction.segments)])
        if direction.source is Source.BOTH:
            said += ", with the speech"
        if said and direction.emotion:
            said += f", {direction.emotion}"
        if said:
            lines.append(f"{PART_LABELS[part]}: {said}")
    return "\n".join([*lines, *([f"Emotion: {emotion}"] if emotion else [])])


def try_chosen(armature: bpy.types.Object) -> None:
    """Show the take that is chosen in the list; one whose action is gone, or a busy NLA, changes nothing."""
    from .bridge import takes

    chosen = armature.kinesics_takes
    if not 0 <= chosen.index < len(chosen.items) or chosen.items[chosen.index].action is None:
        return
    if in_tweak_mode(armature):
        return
    if takes.shown_take(armature) != chosen.items[chosen.index]:
        takes.keep_current(armature, f"Before {chosen.items[chosen.index].name}")
        _note_shown(armature)
        takes.show_take(armature, chosen.items[chosen.index])
    _note_shown(armature)


def _note_shown(armature: bpy.types.Object) -> None:
    """Remember what is on show now, for the ghost."""
    from .bridge import takes

    take = takes.shown_take(armature)
    ghost.note_shown(armature, take.action if take is not None else None)


def shown_name(armature: bpy.types.Object) -> str | None:
    """Name of the take on show, None where none is."""
    from .bridge import takes

    take = takes.shown_take(armature)
    return take.name if take is not None else None


def in_tweak_mode(armature: bpy.types.Object) -> bool:
    """Whether an NLA strip of the character is being tweaked, which fixes its action."""
    return armature.animation_data is not None and armature.animation_data.use_tweak_mode
