# SPDX-License-Identifier: GPL-3.0-or-later
"""Generate All Strips: which strips there are and what each asks for, read and checked at once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy

from ..engine.errors import AudioError, EngineError
from ..engine.specs import Part, PartDirection, Source
from . import delivery, engine_host, polls
from .bridge import instructions
from .generate import PACKAGE, device_of, pack_folder, preferences_of, read_part
from .generation import MAX_SEED, check_directions

if TYPE_CHECKING:
    from .bridge.sound import SoundSource
    from .generate import PartWish

CACHE_FOLDER = "dialogue"
"""Folder of finished motions in the extension's own user folder."""

DEFAULT_CACHE_MB = 1024


@dataclass(frozen=True)
class Line:
    """One strip of the dialogue.

    Attributes:
        name: Of the strip.
        sound: What it plays.
        frame_start: Scene frame where it begins.
        num_frames: Scene frames it covers.
        directions: What the four parts do; second 0 of their segments is `frame_start`. No part is kept.
        seed: Seed of the draw.
    """

    name: str
    sound: SoundSource
    frame_start: int
    num_frames: int
    directions: dict[Part, PartDirection]
    seed: int

    def signature(self, common: str) -> str:
        """Tells whether the strip asks for something else than before, without reading its sound."""
        sound = replace(self.sound, label="", packed=None)
        asked = (sound, self.num_frames, sorted(self.directions.items()), common)
        return hashlib.blake2b(repr(asked).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Shared:
    """What counts for every strip, so that it is read once for all of them.

    Attributes:
        fps: Rate of the scene.
        seed: Seed of the draw.
        wishes: What the settings and the timeline say of each part.
        common: What counts beside a line's own sound and words, for `Line.signature`.
    """

    fps: float
    seed: int
    wishes: dict[Part, PartWish]
    common: str


@dataclass(frozen=True)
class DialoguePlan:
    """Everything the work needs, read from the scene before it starts.

    Attributes:
        lines: Strips in the order of their time.
        parts: Parts that are written.
        emotion: One of the engine's emotions, or None.
        variation: How freely the motion is drawn, as a factor of the model's own freedom.
        seed: Seed of the standing between the lines.
        fps: Rate of the scene.
        armature_name: Character to write to.
        armature_uid: Blender's number for that object in this session.
        scene_name: Scene the request came from.
        pack_dir: Folder of the model pack.
        device: auto, cpu or cuda.
        cache_dir: Folder of finished motions.
        cache_bytes: Its limit.
        common: What counts for every line beside its own sound and words, for `Line.signature`.
        earlier: Key of the motion each strip had, by its name.
        afresh: Make every line anew, whatever is there.
    """

    lines: tuple[Line, ...]
    parts: tuple[Part, ...]
    emotion: str | None
    variation: float
    seed: int
    fps: float
    armature_name: str
    armature_uid: int
    scene_name: str
    pack_dir: Path
    device: str
    cache_dir: Path
    cache_bytes: int
    common: str
    earlier: dict[str, str]
    afresh: bool = False


def dialogue_strips(scene: bpy.types.Scene) -> list[Any]:
    """Sound strips that make up the dialogue, in the order of their time; muted ones do not count."""
    channel = scene.kinesics.dialogue_channel
    found = [
        strip
        for strip in instructions.strips_of(scene)
        if strip.type == "SOUND" and not strip.mute and channel in (0, strip.channel)
    ]
    return sorted(found, key=lambda strip: (strip.frame_final_start, strip.channel))


def read_shared(context: bpy.types.Context) -> Shared:
    """Read what counts for every strip."""
    from .bridge.sound import scene_fps

    scene, settings, preferences = context.scene, context.scene.kinesics, preferences_of(context)
    fps, pack = scene_fps(scene), pack_folder(preferences)
    common = f"{settings.emotion} {settings.variation:.4f} {settings.seed} {fps:.4f} {pack}"
    return Shared(fps, int(settings.seed), {part: read_part(scene, part) for part in Part}, common)


def read_line(strip: Any, shared: Shared, with_packed: bool = True) -> Line:
    """What one strip asks for.

    Args:
        strip: Sound strip.
        shared: What counts for every strip.
        with_packed: Whether a sound packed into the .blend is taken out; its signature needs none.

    Raises:
        AudioError: If its sound cannot be used.
    """
    from .bridge import sound as sound_bridge

    place = sound_bridge.strip_place(strip)
    frames = (place.frame_start, place.frame_end - 1)
    directions = {
        part: PartDirection()
        if wish.source is Source.KEEP
        else wish.direction(place.frame_start, frames, shared.fps)
        for part, wish in shared.wishes.items()
    }
    sound = sound_bridge.strip_source(strip, shared.fps, with_packed)
    num_frames = max(place.frame_end - place.frame_start, 1)
    return Line(strip.name, sound, place.frame_start, num_frames, directions, shared.seed)


def read_dialogue(context: bpy.types.Context, afresh: bool = False) -> DialoguePlan:
    """Turn strips and settings into plain data and check everything that can be checked at once.

    Raises:
        EngineError: With one sentence that says what is wrong and what to do.
    """
    from ..engine.motion.arkit import ARKIT_NAMES

    scene, settings = context.scene, context.scene.kinesics
    armature = polls.needed_character(context)
    engine_host.check_packages()
    wanted = {part for part in Part if getattr(settings, part.value).source != "KEEP"}
    if not wanted:
        check_directions(dict.fromkeys(Part, PartDirection(Source.KEEP)), True)
    parts = delivery.unlocked(armature, tuple(part for part in Part if part in wanted))
    delivery.check_target(armature, parts, ARKIT_NAMES)
    strips = dialogue_strips(scene)
    if not strips:
        channel = settings.dialogue_channel
        where = f" on channel {channel}" if channel else ""
        raise AudioError(
            f"There is no sound strip{where} to speak: add speech with Add > Sound in the Video Sequencer, "
            "or unmute a strip."
        )
    shared = read_shared(context)
    lines = _numbered([_checked_line(strip, shared) for strip in strips])
    _check_apart(lines)
    preferences = preferences_of(context)
    megabytes = preferences.cache_mb if preferences is not None else DEFAULT_CACHE_MB
    return DialoguePlan(
        lines=tuple(lines),
        parts=parts,
        emotion=None if settings.emotion == "ANY" else settings.emotion.lower(),
        variation=float(settings.variation),
        seed=shared.seed,
        fps=shared.fps,
        armature_name=armature.name,
        armature_uid=armature.session_uid,
        scene_name=scene.name,
        pack_dir=pack_folder(preferences),
        device=device_of(preferences),
        cache_dir=cache_folder(),
        cache_bytes=megabytes << 20,
        common=shared.common,
        earlier={line.name: line.key for line in armature.kinesics_dialogue.lines},
        afresh=afresh,
    )


def cache_folder() -> Path:
    """Where finished motions are kept: the extension's own folder for a user's files."""
    return Path(bpy.utils.extension_path_user(PACKAGE, path=CACHE_FOLDER))


def _checked_line(strip: Any, shared: Shared) -> Line:
    line = read_line(strip, shared)
    try:
        check_directions(line.directions, True)
    except EngineError as error:
        raise type(error)(f'Strip "{line.name}": {error}') from error
    return line


def _numbered(lines: Sequence[Line]) -> list[Line]:
    """The same words said again are moved to another way: repetitions get the next seeds."""
    said: dict[tuple[str, float, float | None], int] = {}
    result: list[Line] = []
    for line in lines:
        what = (line.sound.path, line.sound.start_s, line.sound.duration_s)
        result.append(replace(line, seed=(line.seed + said.get(what, 0)) % (MAX_SEED + 1)))
        said[what] = said.get(what, 0) + 1
    return result


def _check_apart(lines: Sequence[Line]) -> None:
    """Refuse strips that would have one character say two things at once.

    Raises:
        AudioError: Naming the strips and the remedy.
    """
    for one, other in pairwise(lines):
        if one.frame_start + one.num_frames <= other.frame_start:
            continue
        if one.sound.path == other.sound.path:
            raise AudioError(
                f'The strips "{one.name}" and "{other.name}" play the same sound at the same time: remove or '
                "mute one of them."
            )
        raise AudioError(
            f'The strips "{one.name}" and "{other.name}" overlap and one character cannot say both: move or '
            "mute one, or choose the channel of this character in the Dialogue box."
        )
