# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of one scene: what the next Generate shall do. Nothing about a running job lives here."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from ..engine.specs import EMOTIONS, MAX_INSTRUCTION_LENGTH

SOURCES = (
    ("SPEECH", "From Speech", "Follow the speech", "SOUND", 0),
    ("TEXT", "Text", "Do what the text says", "TEXT", 1),
    ("BOTH", "Both", "Do what the text says, in time with the speech", "OUTLINER_DATA_SPEAKER", 2),
    ("KEEP", "Keep", "Leave this part's keys exactly as they are", "LOCKED", 3),
)

AUDIO_SOURCES = (
    ("STRIP", "Strip", "Speech is the active sound strip of the Video Sequencer", "SEQ_SEQUENCER", 0),
    ("FILE", "File", "Speech is a sound file", "FILE_SOUND", 1),
    ("NONE", "None", "No speech: text alone", "PANEL_CLOSE", 2),
)

RANGES = (
    ("PREVIEW", "Preview", "The preview range of the timeline: press P over it and drag", "PREVIEW_RANGE", 0),
    ("KEYS", "Keys", "From the first to the last selected key of the character", "KEYFRAME_HLT", 1),
    ("STRIP", "Strip", "The active sound strip of the Video Sequencer", "SEQ_SEQUENCER", 2),
)

RELATIVE_PATHS = (
    {"ANIMATABLE"} if bpy.app.version < (4, 5, 0) else {"ANIMATABLE", "PATH_SUPPORTS_BLEND_RELATIVE"}
)
"""Options of a path that may be relative to the .blend, which Blender wants to be told since 4.5."""

_EMOTION_ITEMS = (
    ("ANY", "From Speech", "Leave the emotion open"),
    *((name.upper(), name.capitalize(), f"Move with {name}") for name in EMOTIONS),
)


_LOCK = "Neither Generate nor Regenerate nor Import Motion changes this part of this character"


def _is_armature(_settings: bpy.types.PropertyGroup, item: bpy.types.Object) -> bool:
    return item.type == "ARMATURE"


class KinesicsPart(bpy.types.PropertyGroup):
    """What one part of the body shall do."""

    source: EnumProperty(name="Source", description="What drives this part", items=SOURCES, default="SPEECH")
    text: StringProperty(
        name="Text",
        description=f"What this part shall do, in English, at most {MAX_INSTRUCTION_LENGTH} characters",
    )
    redo: BoolProperty(name="Make Anew", description="Regenerate makes this part anew", default=True)


class KinesicsLocks(bpy.types.PropertyGroup):
    """Parts of one character that nothing may write."""

    face: BoolProperty(name="Lock Face", description=_LOCK, override={"LIBRARY_OVERRIDABLE"})
    hands: BoolProperty(name="Lock Hands", description=_LOCK, override={"LIBRARY_OVERRIDABLE"})
    upper: BoolProperty(name="Lock Upper Body", description=_LOCK, override={"LIBRARY_OVERRIDABLE"})
    lower: BoolProperty(name="Lock Lower Body", description=_LOCK, override={"LIBRARY_OVERRIDABLE"})


class KinesicsSettings(bpy.types.PropertyGroup):
    """What the next Generate shall do."""

    character: PointerProperty(
        name="Character",
        description="Armature with SMPL-X bones that gets the motion; empty takes the selected one",
        type=bpy.types.Object,
        poll=_is_armature,
    )
    audio_source: EnumProperty(name="Speech", items=AUDIO_SOURCES, default="STRIP")
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
    seed: IntProperty(
        name="Seed",
        description="Another number gives another variation; the same gives the same motion",
        min=0,
    )
    regenerate_range: EnumProperty(name="Range", description="Frames to make anew", items=RANGES)
    blend_frames: IntProperty(
        name="Blend",
        description="Frames in which the new motion takes over at each end; joints that would jerk take more",
        default=8,
        min=1,
        max=250,
    )
    face: PointerProperty(type=KinesicsPart)
    hands: PointerProperty(type=KinesicsPart)
    upper: PointerProperty(type=KinesicsPart)
    lower: PointerProperty(type=KinesicsPart)


CLASSES = (KinesicsPart, KinesicsLocks, KinesicsSettings)


def attach() -> None:
    """Give every scene its settings and every object its locks."""
    bpy.types.Scene.kinesics = PointerProperty(type=KinesicsSettings)
    bpy.types.Object.kinesics_locks = PointerProperty(type=KinesicsLocks, override={"LIBRARY_OVERRIDABLE"})


def detach() -> None:
    """Take them away again."""
    del bpy.types.Object.kinesics_locks
    del bpy.types.Scene.kinesics
