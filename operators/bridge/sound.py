# SPDX-License-Identifier: GPL-3.0-or-later
"""Sound strips of the sequencer and sound files -> waveforms.

Reading a strip (`strip_source`, `file_source`) happens in the main thread and only notes where the sound is
and which seconds of it are used; decoding (`read_waveform`) touches no Blender data and may run in a worker
thread.
"""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import bpy
import numpy as np
import numpy.typing as npt

from ...engine.errors import AudioError
from ...engine.specs import AUDIO_HZ

WAVEFORM_SUFFIXES = (
    ".wav",
    ".flac",
    ".ogg",
    ".mp3",
    ".mp4",
    ".m4a",
    ".aac",
    ".mov",
    ".mkv",
    ".aif",
    ".aiff",
    ".opus",
)
"""File names the file dialog offers."""

EXACT_SEEK = ("PCM_", "FLOAT", "DOUBLE")
"""How the names of sample formats begin in which any sample can be gone to; those of FLAC are of the first.
In Vorbis, libsndfile 1.2.2 was seen to come out elsewhere near the end, and in MP3 rounds otherwise."""

SKIP_SAMPLES = 1 << 20
"""Samples that are read at a time where they are not used."""

MAX_CHANNEL = 128
"""Blender's highest channel of strips."""

if TYPE_CHECKING:
    from soundfile import SoundFile

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SoundSource:
    """Where a sound is and which seconds of it are used.

    Attributes:
        label: Name for messages and for the action.
        path: Absolute path of the file, or of where a packed sound came from.
        packed: Bytes of a packed sound, or None.
        start_s: First second used, counted in the file; negative where the strip begins before its sound.
        duration_s: Seconds used, or None for the whole file.
    """

    label: str
    path: str
    packed: bytes | None = field(default=None, repr=False)
    start_s: float = 0.0
    duration_s: float | None = None


@dataclass(frozen=True)
class StripPlace:
    """Where a strip lies on the timeline: scene frames, the end not included."""

    frame_start: int
    frame_end: int


def scene_fps(scene: bpy.types.Scene) -> float:
    """Frames per second of a scene, 29.97 and the like included."""
    return scene.render.fps / scene.render.fps_base


def active_sound_strip(scene: bpy.types.Scene) -> Any:
    """The active strip of the sequencer.

    Raises:
        AudioError: If there is no active strip or it is no sound.
    """
    editor = scene.sequence_editor
    strip = editor.active_strip if editor is not None else None
    if strip is None:
        raise AudioError(
            "No strip is active: add speech with Add > Sound in the Video Sequencer and click the strip, or "
            "choose "
            "a sound file in the Speech box."
        )
    if strip.type != "SOUND":
        raise AudioError(
            f'The active strip "{strip.name}" is not a sound: click a sound strip in the Video Sequencer.'
        )
    return strip


def add_sound_strip(scene: bpy.types.Scene, source: SoundSource, frame: int) -> Any:
    """Add a sound strip in a channel that is free from a frame on, and make it the active one."""
    editor = scene.sequence_editor or scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    taken = {strip.channel for strip in strips if strip_place(strip).frame_end > frame}
    channel = min(set(range(1, MAX_CHANNEL + 1)) - taken, default=MAX_CHANNEL)
    strip = strips.new_sound(source.label, source.path, channel=channel, frame_start=frame)
    for other in strips:
        other.select = False
    strip.select = True
    editor.active_strip = strip
    return strip


def strip_place(strip: Any) -> StripPlace:
    """Frames that a strip covers, trims respected."""
    return StripPlace(int(strip.frame_final_start), int(strip.frame_final_end))


def strip_source(strip: Any, fps: float, with_packed: bool = True) -> SoundSource:
    """Note which seconds of its sound a strip plays.

    Muting and volume are the mix's affair and do not change the motion. Blender counts what is cut off a
    strip's start in whole frames, the two offsets added and the rest dropped (measured against its mixdown in
    4.5.15 and 5.0.1: within 0.002 of a frame). Where `animation_offset_start` is set, Blender's own sound can
    be off by a frame or more, and otherwise in the next run: its seeking may read the strip's speed one frame
    before the first that it has filled in. That cannot be foreseen, so it is not followed.

    Args:
        strip: Sound strip.
        fps: Frames per second of its scene.
        with_packed: Whether the bytes of a packed sound are taken, too, which takes time.

    Raises:
        AudioError: If the strip has no sound, its file is missing, or it is retimed.
    """
    sound = strip.sound
    if sound is None:
        raise AudioError(f'The strip "{strip.name}" has no sound: remove it and add the sound file again.')
    if len(getattr(strip, "retiming_keys", ())) > 0:
        raise AudioError(
            f'The strip "{strip.name}" is retimed: render its sound to a file (Render > Render Audio) and '
            "use that."
        )
    packed_file = sound.packed_file
    packed = bytes(packed_file.data) if packed_file is not None and with_packed else None
    path = bpy.path.abspath(sound.filepath, library=sound.library)
    if packed_file is None and not Path(path).is_file():
        raise AudioError(
            f'The sound file of strip "{strip.name}" is missing ({path}): restore it or use File > External '
            "Data > "
            "Find Missing Files."
        )
    place = strip_place(strip)
    cut_frames = int(strip.frame_offset_start + strip.animation_offset_start)
    start_s = cut_frames / fps - float(getattr(strip, "sound_offset", 0))
    return SoundSource(strip.name, path, packed, start_s, max(place.frame_end - place.frame_start, 1) / fps)


def file_source(filepath: str) -> SoundSource:
    """Note a sound file chosen by its path, which may be relative to the .blend.

    Raises:
        AudioError: If none is chosen or it does not exist.
    """
    if not filepath.strip():
        raise AudioError("No sound file is chosen: choose one in the Speech box.")
    path = Path(bpy.path.abspath(filepath))
    if not path.is_file():
        raise AudioError(f"The sound file {path} does not exist: choose another one in the Speech box.")
    return SoundSource(path.stem, str(path))


def sound_duration(source: SoundSource) -> float:
    """Seconds of sound that `read_waveform` will give, from the file's head alone.

    Raises:
        AudioError: If the file cannot be read.
    """
    if source.duration_s is not None:
        return source.duration_s
    try:
        import soundfile

        return float(soundfile.info(source.path).duration) - source.start_s
    except (ImportError, RuntimeError):
        _, rate, length = _open_with_aud(source.path, source)
        return length / rate - source.start_s


def read_waveform(source: SoundSource) -> FloatArray:
    """Decode a sound as the engine wants it; touches no Blender data.

    Returns:
        Mono samples at 16 kHz, (N,), exactly as long as the strip; silence where the strip has no sound.

    Raises:
        AudioError: If it cannot be decoded, is silent, too short, too long or damaged.
    """
    from ...engine.audio.waveform import check_waveform

    wave = check_waveform(*used_samples(source))
    if source.duration_s is None:
        return wave
    num_samples = round(source.duration_s * AUDIO_HZ)
    return np.pad(wave[:num_samples], (0, max(num_samples - len(wave), 0)))


def used_samples(source: SoundSource) -> tuple[FloatArray, int]:
    """The samples a strip plays, with silence where it has no sound; the rest of a long file is not kept.

    Returns:
        The mean of the channels, (N,), float32, and samples per second.

    Raises:
        AudioError: If the sound cannot be decoded, the strip lies outside it, or plays too much of it.
    """
    from ...engine.audio.waveform import check_duration

    if source.duration_s is not None:
        check_duration(source.duration_s)
    used, rate, has_sound = _decode(source)
    if has_sound and len(used) == 0:
        raise AudioError(
            f'The strip "{source.label}" lies wholly outside its sound: move its handles back over it.'
        )
    if source.duration_s is None:
        return used, rate
    num_wanted = round(source.duration_s * rate)
    before = min(max(-round(source.start_s * rate), 0), num_wanted)
    return np.pad(used, (before, max(num_wanted - before - len(used), 0))), rate


def _used_span(source: SoundSource, rate: int) -> tuple[int, int | None]:
    """First sample of a file that a strip plays, and how many there are to play; None for all that follow."""
    first = round(source.start_s * rate)
    if source.duration_s is None:
        return max(first, 0), None
    return max(first, 0), max(round(source.duration_s * rate) + min(first, 0), 0)


def _decode(source: SoundSource) -> tuple[FloatArray, int, bool]:
    """Those samples of a sound that are used, (N,), samples per second, and whether it has any at all."""
    if source.packed is None:
        path = Path(source.path)
        if not path.is_file():  # it was there when the job began
            raise AudioError(f'The sound file "{path.name}" is missing: restore it and try again.')
        if path.stat().st_size == 0:
            raise AudioError(f'The sound file "{path.name}" is empty: copy it again.')
    try:
        import soundfile
    except ImportError:
        return _decode_with_aud(source)
    from ...engine.audio.waveform import check_duration, read_mono

    try:
        with soundfile.SoundFile(source.path if source.packed is None else io.BytesIO(source.packed)) as file:
            first, num_used = _used_span(source, file.samplerate)
            if num_used is None:
                check_duration((file.frames - first) / file.samplerate)
            if file.subtype.startswith(EXACT_SEEK):
                file.seek(min(first, file.frames))
            else:
                _skip(file, first)
            return read_mono(file, num_used), int(file.samplerate), file.frames > 0
    except (soundfile.LibsndfileError, soundfile.SoundFileRuntimeError):
        return _decode_with_aud(source)


def _skip(file: SoundFile, num_samples: int) -> None:
    """Read so many samples on: in a format of overlapping blocks a seek may come out somewhere else."""
    while num_samples > 0 and (read := len(file.read(min(num_samples, SKIP_SAMPLES), dtype="float32"))):
        num_samples -= read


def _decode_with_aud(source: SoundSource) -> tuple[FloatArray, int, bool]:
    """Decode what only Blender's own audio library reads, such as the AAC sound of a mp4 film."""
    if source.packed is None:
        return _aud_samples(source.path, source)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"sound{Path(source.path).suffix}"
        path.write_bytes(source.packed)
        return _aud_samples(str(path), source)


def _open_with_aud(path: str, source: SoundSource) -> tuple[Any, int, int]:
    """A sound of Blender's audio library, samples per second and their number.

    Raises:
        AudioError: If it cannot be opened.
    """
    name = Path(source.path).name or source.label
    try:
        import aud
    except ImportError as error:
        raise AudioError(
            f'This Blender cannot read the format of "{name}": convert it to WAV, FLAC, OGG or MP3.'
        ) from error
    unreadable = AudioError(
        f'The sound "{name}" is damaged or of an unknown format: convert it to WAV or FLAC.'
    )
    sound, failure = aud.Sound.file(path), cast(type[Exception], aud.error)
    # `data` ends the whole process on a file that cannot be opened; `specs` and `length` raise instead.
    try:
        rate, channels = sound.specs
        length = sound.length
    except failure as error:
        raise unreadable from error
    if rate <= 0 or channels <= 0 or length == 0:
        raise unreadable
    return sound, int(rate), int(length)


def _aud_samples(path: str, source: SoundSource) -> tuple[FloatArray, int, bool]:
    from ...engine.audio.waveform import check_duration

    sound, rate, length = _open_with_aud(path, source)
    first, num_used = _used_span(source, rate)
    if num_used is None:
        check_duration((length - first) / rate)
    else:
        sound = sound.limit(0.0, (first + num_used) / rate)
    samples = np.asarray(sound.data(), dtype=np.float32)
    samples = samples.reshape(-1, int(sound.specs[1]))[first:]
    return samples[:num_used].mean(axis=1, dtype=np.float32), rate, True
