# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of one scene: what the next Generate shall do. Nothing about a running job lives here."""

from __future__ import annotations

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from ..engine.specs import EMOTIONS, MAX_INSTRUCTION_LENGTH
from ..operators import take_list
from ..operators.generation import MAX_SEED
from .shape_properties import KinesicsShape

SOURCES = (
    ("SPEECH", "Speech", "Follow the speech"),
    ("TEXT", "Text", "Do what the text says"),
    ("BOTH", "Both", "Do what the text says, in time with the speech"),
    ("KEEP", "Keep", "Leave this part's keys exactly as they are"),
)

AUDIO_SOURCES = (
    ("STRIP", "Strip", "Speech is the active sound strip of the Video Sequencer", "SEQ_SEQUENCER", 0),
    ("FILE", "File", "Speech is a sound file", "FILE_SOUND", 1),
    ("NONE", "None", "No speech: text alone", "PANEL_CLOSE", 2),
)

RANGES = (
    ("PREVIEW", "Preview", "The preview range of the timeline: press P over it and drag"),
    ("KEYS", "Keys", "From the first to the last selected key of the character"),
    ("STRIP", "Strip", "The active sound strip of the Video Sequencer"),
)

SEED_MODES = (
    ("PINNED", "Pinned", "The same seed every time: the same directions give the same motion", "PINNED", 0),
    ("NEXT", "Next", "The next seed every time: each motion is another variation", "FORWARD", 1),
    ("RANDOM", "Random", "Any seed every time", "QUESTION", 2),
)

RELATIVE_PATHS = (
    {"ANIMATABLE"} if bpy.app.version < (4, 5, 0) else {"ANIMATABLE", "PATH_SUPPORTS_BLEND_RELATIVE"}
)
"""Options of a path that may be relative to the .blend, which Blender wants to be told since 4.5."""

_EMOTION_TIPS = {"neutral": "Move without a strong emotion"}
_EMOTIONS = tuple(
    (name.upper(), name.capitalize(), _EMOTION_TIPS.get(name, f"Move with {name}")) for name in EMOTIONS
)
_EMOTION_ITEMS = (("ANY", "From Speech", "Leave the emotion open"), *_EMOTIONS)
_PART_EMOTIONS = (("SAME", "As Chosen Below", "The emotion that is chosen for the whole body"), *_EMOTIONS)


_LOCK = "Nothing that makes, imports, shapes or reduces motion changes this part of this character"


def _is_armature(_settings: bpy.types.PropertyGroup, item: bpy.types.Object) -> bool:
    return item.type == "ARMATURE"


class KinesicsPart(bpy.types.PropertyGroup):
    """What one part of the body shall do."""

    source: EnumProperty(name="Source", description="What drives this part", items=SOURCES, default="SPEECH")
    text: StringProperty(
        name="Text",
        description=f"What this part shall do, in English, at most {MAX_INSTRUCTION_LENGTH} characters",
    )
    emotion: EnumProperty(name="Emotion", description="How this part feels", items=_PART_EMOTIONS)
    redo: BoolProperty(name="Make Anew", description="Regenerate makes this part anew", default=True)


class KinesicsLocks(bpy.types.PropertyGroup):
    """Parts of one character that nothing may write."""

    face: BoolProperty(name="Lock Face", description=_LOCK, override={"LIBRARY_OVERRIDABLE"})
    hands: BoolProperty(name="Lock Hands", description=_LOCK, override={"LIBRARY_OVERRIDABLE"})
    upper: BoolProperty(name="Lock Upper Body", description=_LOCK, override={"LIBRARY_OVERRIDABLE"})
    lower: BoolProperty(name="Lock Lower Body", description=_LOCK, override={"LIBRARY_OVERRIDABLE"})


class KinesicsTakeFace(bpy.types.PropertyGroup):
    """What a take moves one face by; its name is that of the shape keys."""

    action: PointerProperty(type=bpy.types.Action)
    slot: StringProperty()


class KinesicsTake(bpy.types.PropertyGroup):
    """One motion of a character, kept for review. The reference to the action keeps it in the file, and so
    does that to the source, which is the motion as it was made while the action is a shaped one."""

    action: PointerProperty(type=bpy.types.Action)
    slot: StringProperty()
    faces: CollectionProperty(type=KinesicsTakeFace)
    shape: PointerProperty(type=KinesicsShape)
    source: PointerProperty(type=bpy.types.Action)
    source_slot: StringProperty()
    source_faces: CollectionProperty(type=KinesicsTakeFace)
    shaped: StringProperty()
    stamp: StringProperty()
    name: StringProperty(name="Name", description="Name of this take in the list")
    keep: BoolProperty(name="Keep", description="Keep this take when the rest is deleted")
    number: IntProperty()
    seed: IntProperty()
    instruction: StringProperty()
    frame_start: IntProperty()
    frame_end: IntProperty()
    merged: BoolProperty()
    measured: BoolProperty()
    changed: BoolProperty()
    has_sync: BoolProperty()
    lip_sync: FloatProperty()
    jitter: FloatProperty()
    foot_slide: FloatProperty()
    emotion: StringProperty()
    emotion_chance: FloatProperty()


def _try_take(takes: KinesicsTakes, _context: bpy.types.Context) -> None:
    take_list.try_chosen(takes.id_data)


class KinesicsTakes(bpy.types.PropertyGroup):
    """All takes of one character."""

    items: CollectionProperty(type=KinesicsTake, override={"LIBRARY_OVERRIDABLE", "USE_INSERTION"})
    index: IntProperty(
        name="Take",
        description="Click a take to see it on the character",
        update=_try_take,
        override={"LIBRARY_OVERRIDABLE"},
    )


class KinesicsLine(bpy.types.PropertyGroup):
    """What was written for one strip of the dialogue; its name is that of the strip."""

    key: StringProperty()
    fingerprint: StringProperty()
    signature: StringProperty()
    frame_start: IntProperty()
    piece_start: IntProperty()
    piece_end: IntProperty()


class KinesicsDialogue(bpy.types.PropertyGroup):
    """The dialogue of one character as it was written last."""

    lines: CollectionProperty(type=KinesicsLine, override={"LIBRARY_OVERRIDABLE", "USE_INSERTION"})
    action: StringProperty()


class KinesicsSettings(bpy.types.PropertyGroup):
    """What the next Generate shall do."""

    character: PointerProperty(
        name="Character",
        description="Armature with SMPL-X bones that gets the motion; empty takes the selected one",
        type=bpy.types.Object,
        poll=_is_armature,
    )
    audio_source: EnumProperty(
        name="Speech", description="Where the speech comes from", items=AUDIO_SOURCES, default="STRIP"
    )
    audio_path: StringProperty(
        name="Sound File",
        description="Speech as wav, flac, ogg, mp3 or mp4",
        subtype="FILE_PATH",
        options=RELATIVE_PATHS,
    )
    frame_start: IntProperty(name="Start Frame", description="Frame where the motion begins", default=1)
    duration_s: FloatProperty(
        name="Length",
        description="Length of the motion",
        default=5.0,
        min=0.5,
        max=600.0,
        subtype="TIME_ABSOLUTE",
    )
    emotion: EnumProperty(name="Emotion", description="How the speech feels", items=_EMOTION_ITEMS)
    part_emotions: BoolProperty(
        name="Emotion per Part",
        description="Give each part an emotion of its own; every further emotion takes the time of one more "
        "Generate",
    )
    seed: IntProperty(
        name="Seed",
        description="Another number gives another variation; the same gives the same motion",
        min=0,
        max=MAX_SEED,
    )
    seed_mode: EnumProperty(
        name="Next Seed", description="Which seed the next motion has", items=SEED_MODES, default="PINNED"
    )
    variation: FloatProperty(
        name="Variation",
        description="Lower stays near the likeliest motion, higher strays from it; 1 suits the model best",
        default=1.0,
        min=0.25,
        max=1.5,
        subtype="FACTOR",
    )
    num_takes: IntProperty(
        name="Takes", description="How many takes to make at once", default=3, min=1, max=16
    )
    takes_of_range: BoolProperty(
        name="Range Only",
        description="Make anew only the range and the parts that are chosen in the Regenerate box",
    )
    regenerate_range: EnumProperty(name="Range", description="Frames to make anew", items=RANGES)
    blend_frames: IntProperty(
        name="Blend",
        description="Frames in which the new motion takes over at each end; joints that would jerk take more",
        default=8,
        min=1,
        max=250,
    )
    dialogue_channel: IntProperty(
        name="Channel",
        description="Channel of this character's speech in the Video Sequencer; 0 takes all sound strips",
        min=0,
        max=128,
    )
    dialogue_index: IntProperty(name="Strip", description="A strip of the dialogue", options={"SKIP_SAVE"})
    face: PointerProperty(type=KinesicsPart)
    hands: PointerProperty(type=KinesicsPart)
    upper: PointerProperty(type=KinesicsPart)
    lower: PointerProperty(type=KinesicsPart)


CLASSES = (
    KinesicsPart,
    KinesicsLocks,
    KinesicsTakeFace,
    KinesicsTake,
    KinesicsTakes,
    KinesicsLine,
    KinesicsDialogue,
    KinesicsSettings,
)


def attach() -> None:
    """Give every scene its settings and every object its locks, takes and dialogue."""
    bpy.types.Scene.kinesics = PointerProperty(type=KinesicsSettings)
    bpy.types.Object.kinesics_locks = PointerProperty(type=KinesicsLocks, override={"LIBRARY_OVERRIDABLE"})
    bpy.types.Object.kinesics_dialogue = PointerProperty(
        type=KinesicsDialogue, override={"LIBRARY_OVERRIDABLE"}
    )
    bpy.types.Object.kinesics_takes = PointerProperty(type=KinesicsTakes, override={"LIBRARY_OVERRIDABLE"})


def detach() -> None:
    """Take them away again."""
    del bpy.types.Object.kinesics_takes
    del bpy.types.Object.kinesics_dialogue
    del bpy.types.Object.kinesics_locks
    del bpy.types.Scene.kinesics
