# SPDX-License-Identifier: GPL-3.0-or-later
"""Sound strips and files to waveforms: formats, trims, offsets, rates, and everything that can be wrong."""

from __future__ import annotations

import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.blender.support import KEY, REPOSITORY, add_strip, bpy, needs_audaspace, write_sound

RATE = 16000


@pytest.fixture
def sound(module: Any) -> Any:
    return module("operators.bridge.sound")


@pytest.fixture
def errors(module: Any) -> Any:
    return module("engine.errors")


def ramp(path: Path, seconds: float = 6.0, rate: int = RATE) -> Path:
    """A file whose samples tell their own time: value = 0.1 + 0.8 t / seconds, as 32-bit float."""
    import soundfile

    times = np.arange(round(seconds * rate)) / rate
    soundfile.write(path, 0.1 + 0.8 * times / seconds, rate, subtype="FLOAT")
    return path


def times_of(samples: np.ndarray, seconds: float = 6.0) -> np.ndarray:
    """The time each sample of `ramp` came from."""
    return ((samples[:, 0] if samples.ndim == 2 else samples) - 0.1) / 0.8 * seconds


def used_samples(sound: Any, source: Any) -> tuple[np.ndarray, int]:
    """The samples a source uses, before the engine's own preparation."""
    return sound.used_samples(source)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".wav", {}),
        (".wav", {"subtype": "PCM_24"}),
        (".wav", {"subtype": "FLOAT"}),
        (".wav", {"rate": 8000}),
        (".wav", {"rate": 44100, "channels": 2}),
        (".flac", {"rate": 48000, "channels": 2}),
        (".ogg", {"rate": 22050}),
        (".mp3", {"rate": 44100}),
    ],
)
def test_formats(sound: Any, tmp_path: Path, suffix: str, options: dict[str, Any]) -> None:
    path = write_sound(tmp_path / f"a{suffix}", 2.0, **options)
    waveform = sound.read_waveform(sound.file_source(str(path)))
    assert waveform.dtype == np.float32 and waveform.ndim == 1
    assert len(waveform) == pytest.approx(2 * RATE, abs=0.06 * RATE)
    assert 0.1 < np.abs(waveform).max() <= 1.0
    # The tone starts at 150 Hz; counting zero crossings tells whether rate and channels were understood.
    start = waveform[1000 : 1000 + RATE // 4]
    assert np.sum(np.diff(np.sign(start)) != 0) * 2 == pytest.approx(170, abs=20)


def add_colour(scene: Any, start: int, end: int) -> Any:
    """A picture strip: it makes the sequencer render without a camera."""
    editor = scene.sequence_editor or scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    length = {"length": end - start} if bpy.app.version >= (5, 0, 0) else {"frame_end": end}
    return strips.new_effect("Colour", "COLOR", channel=2, frame_start=start, **length)


def film(path: Path, seconds: float, speech: Path) -> Path:
    """A mp4 film with AAC sound, made by Blender itself."""
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, round(seconds * 30)
    add_strip(speech, 1)
    add_colour(scene, 1, scene.frame_end + 1)
    scene.render.resolution_x = scene.render.resolution_y = 32
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "VIDEO"
    settings.file_format = "FFMPEG"
    scene.render.ffmpeg.format = "MPEG4"
    scene.render.ffmpeg.codec = "H264"
    scene.render.ffmpeg.audio_codec = "AAC"
    scene.render.use_file_extension = False
    scene.render.filepath = str(path)
    bpy.ops.render.render(animation=True)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.context.scene.render.fps = 30
    return path


@needs_audaspace
def test_mp4_films(sound: Any, errors: Any, tmp_path: Path, speech: Path) -> None:
    path = film(tmp_path / "film.mp4", 2.0, speech)
    waveform = sound.read_waveform(sound.file_source(str(path)))
    assert len(waveform) == pytest.approx(2 * RATE, abs=0.1 * RATE)
    strip = add_strip(path, 5)
    waveform = sound.read_waveform(sound.strip_source(strip, 30.0))
    assert len(waveform) == round(strip.frame_final_duration / 30 * RATE)
    strip.sound.pack()
    path.unlink()
    again = sound.read_waveform(sound.strip_source(strip, 30.0))
    assert np.abs(again - waveform).max() < 1e-4


@needs_audaspace
@pytest.mark.parametrize(("fps", "base"), [(24, 1.0), (25, 1.0), (30, 1.001), (30, 1.0), (60, 1.0)])
def test_strip_takes_what_it_plays(sound: Any, scene: Any, tmp_path: Path, fps: int, base: float) -> None:
    scene.render.fps, scene.render.fps_base = fps, base
    rate = fps / base
    strip = add_strip(ramp(tmp_path / "ramp.wav"), 11)
    strip.frame_offset_start, strip.frame_offset_end = 20, 15
    place = sound.strip_place(strip)
    assert place.frame_start == 31
    samples, file_rate = used_samples(sound, sound.strip_source(strip, sound.scene_fps(scene)))
    assert len(samples) == round((place.frame_end - place.frame_start) / rate * file_rate)
    first_s = 20 / rate
    assert times_of(samples)[0] == pytest.approx(first_s, abs=1e-3)
    assert times_of(samples)[RATE] == pytest.approx(first_s + 1.0, abs=1e-3)


@needs_audaspace
def test_animation_offset_and_sound_offset(sound: Any, scene: Any, tmp_path: Path) -> None:
    strip = add_strip(ramp(tmp_path / "ramp.wav"), 1)
    strip.animation_offset_start = 15
    samples, _ = used_samples(sound, sound.strip_source(strip, 30.0))
    assert times_of(samples)[0] == pytest.approx(0.5, abs=1e-3)
    strip.animation_offset_start = 0
    if hasattr(strip, "sound_offset"):
        strip.sound_offset = 0.25
        samples, _ = used_samples(sound, sound.strip_source(strip, 30.0))
        assert not samples[: RATE // 4].any()
        assert times_of(samples)[RATE // 4] == pytest.approx(0.0, abs=1e-3)


def test_strip_that_begins_before_its_sound_and_ends_after_it(sound: Any, tmp_path: Path) -> None:
    """Silence stands where the strip has no sound, so speech stays where it is on the timeline."""
    path = ramp(tmp_path / "ramp.wav", 1.0)
    source = sound.SoundSource("Line", str(path), None, -0.5, 2.0)
    samples, rate = used_samples(sound, source)
    assert len(samples) == 2 * rate
    assert not samples[: rate // 2].any() and not samples[3 * rate // 2 :].any()
    assert times_of(samples, 1.0)[rate // 2] == pytest.approx(0.0, abs=1e-3)
    assert len(sound.read_waveform(source)) == 2 * RATE


TRIMS: list[dict[str, float]] = [
    {},
    {"frame_offset_start": 30, "frame_offset_end": 30},
    {"frame_offset_start": 30.7},
    {"frame_offset_start": -10.6},
    {"animation_offset_start": 1},
    {"animation_offset_start": 5, "frame_offset_start": 30, "frame_offset_end": 30},
    {"animation_offset_start": 7, "frame_offset_start": 30.6},
    {"animation_offset_start": 16, "animation_offset_end": 9},
    {"animation_offset_start": 9, "frame_offset_start": 30, "sound_offset": 0.417},
    {"sound_offset": -0.25},
]


@needs_audaspace
@pytest.mark.parametrize(("fps", "base"), [(24, 1.0), (30, 1.0), (30, 1.001), (60, 1.0)])
@pytest.mark.parametrize("trims", TRIMS, ids=lambda trims: "+".join(trims) or "whole")
def test_what_blender_mixes_is_what_is_read(
    sound: Any, scene: Any, tmp_path: Path, fps: int, base: float, trims: dict[str, float]
) -> None:
    """Blender's own mixdown of the scene is what is read of a trimmed and moved strip, to 0.01 frames.

    Blender fills a table of the sound's speed from the strip's first frame on and may read it one frame
    earlier, where nothing was written. A longer cut, made first, has that frame filled too.
    """
    import soundfile

    scene.render.fps, scene.render.fps_base = fps, base
    strip = add_strip(ramp(tmp_path / "ramp.wav"), 11)
    strip.animation_offset_start = 20
    bpy.context.view_layer.update()
    strip.animation_offset_start = 0
    for name, value in trims.items():
        setattr(strip, name, value)
    place = sound.strip_place(strip)
    scene.frame_start, scene.frame_end = place.frame_start, place.frame_end - 1
    mixed = tmp_path / "mixed.flac"
    bpy.ops.sound.mixdown(filepath=str(mixed), container="FLAC", codec="FLAC", format="S24")
    blender, rate = soundfile.read(mixed, always_2d=True)
    mine, my_rate = used_samples(sound, sound.strip_source(strip, sound.scene_fps(scene)))
    for second in (0.75, 2.0, 3.0):
        heard = times_of(blender[[int(second * rate)]] * np.sqrt(2))
        assert heard == pytest.approx(times_of(mine[[int(second * my_rate)]]), abs=0.01 * base / fps)


@needs_audaspace
def test_packed_sound_needs_no_file(sound: Any, tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.flac", 1.0)
    strip = add_strip(path)
    with_file = sound.read_waveform(sound.strip_source(strip, 30.0))
    strip.sound.pack()
    path.unlink()
    assert np.array_equal(sound.read_waveform(sound.strip_source(strip, 30.0)), with_file)


@needs_audaspace
def test_muted_strip_is_used(sound: Any, speech: Path) -> None:
    strip = add_strip(speech)
    strip.mute = True
    assert len(sound.read_waveform(sound.strip_source(strip, 30.0))) == 2 * RATE


@needs_audaspace
def test_missing_file(sound: Any, errors: Any, tmp_path: Path, speech: Path) -> None:
    strip = add_strip(speech)
    speech.unlink()
    with pytest.raises(errors.AudioError, match=r'sound file of strip "Line 1" is missing .*: restore it'):
        sound.strip_source(strip, 30.0)
    with pytest.raises(errors.AudioError, match="does not exist: choose another"):
        sound.file_source(str(speech))


def test_no_strip_and_wrong_strip(sound: Any, errors: Any, scene: Any) -> None:
    with pytest.raises(errors.AudioError, match="No strip is active: add speech"):
        sound.active_sound_strip(scene)
    colour = add_colour(scene, 1, 11)
    scene.sequence_editor.active_strip = colour
    with pytest.raises(errors.AudioError, match='"Colour" is not a sound: click a sound strip'):
        sound.active_sound_strip(scene)


@needs_audaspace
def test_add_speech_puts_a_strip_on_the_timeline(scene: Any, speech: Path) -> None:
    scene.frame_current, scene.frame_end, scene.sync_mode = 31, 40, "NONE"
    scene.kinesics.audio_source = "FILE"
    assert bpy.ops.kinesics.add_speech(filepath=str(speech)) == {"FINISHED"}
    strip = scene.sequence_editor.active_strip
    assert (strip.type, strip.name, strip.frame_final_start) == ("SOUND", speech.stem, 31)
    assert scene.frame_end == strip.frame_final_end - 1 > 40
    assert (scene.sync_mode, scene.kinesics.audio_source) == ("AUDIO_SYNC", "STRIP")
    first_channel = strip.channel
    scene.sync_mode = "FRAME_DROP"
    assert bpy.ops.kinesics.add_speech(filepath=str(speech)) == {"FINISHED"}
    second = scene.sequence_editor.active_strip
    assert second.channel != first_channel and second.frame_final_start == 31
    assert scene.sync_mode == "FRAME_DROP", "a choice of the animator was changed"


@needs_audaspace
def test_add_speech_refuses_what_it_cannot_read(scene: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound at all" * 50)
    for path, said in ((broken, "damaged or of an unknown format"), (tmp_path / "gone", "does not exist")):
        with pytest.raises(RuntimeError, match=said):
            bpy.ops.kinesics.add_speech(filepath=str(path))
        editor = scene.sequence_editor
        assert editor is None or editor.active_strip is None


def silent(path: Path) -> Path:
    import soundfile

    soundfile.write(path, np.zeros(RATE), RATE)
    return path


def broken_numbers(path: Path) -> Path:
    import soundfile

    samples = 0.1 * np.sin(np.arange(RATE) / 20)
    samples[500:600] = np.nan
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return path


def cut_off(path: Path) -> Path:
    path.write_bytes(b"RIFF\x00\x00\x00\x00WAVEfm")
    return path


def noise_named_mp4(path: Path) -> Path:
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    return path.rename(path.with_suffix(".mp4"))


def text_named_wav(path: Path) -> Path:
    path.write_text("not a sound at all")
    return path


def empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def header_alone(path: Path) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
    return path


BAD_SOUNDS: list[tuple[Callable[[Path], Path], str]] = [
    (silent, "silent"),
    (lambda path: write_sound(path, 0.1), "at least 0.25 s"),
    (broken_numbers, "damaged"),
    (cut_off, "damaged|cannot read the format"),
    (noise_named_mp4, "damaged|cannot read the format"),
    (text_named_wav, "damaged|cannot read the format"),
    (empty, "is empty"),
    (header_alone, "no samples"),
]


@pytest.mark.parametrize(("make", "message"), BAD_SOUNDS)
def test_bad_sounds_say_what_is_wrong(
    sound: Any, errors: Any, tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    path = make(tmp_path / "bad.wav")
    with pytest.raises(errors.AudioError, match=message) as caught:
        sound.read_waveform(sound.file_source(str(path)))
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


@needs_audaspace
@pytest.mark.parametrize("kind", ["cut film", "film without sound", "noise"])
def test_corrupt_films_never_end_the_process(tmp_path: Path, speech: Path, kind: str) -> None:
    """`aud` aborts the process on files it cannot open; so each is read in a process of its own."""
    path = tmp_path / "bad.mp4"
    if kind == "noise":
        path.write_bytes(b"\x00\x00\x00\x18ftypmp42" + np.random.default_rng(0).bytes(20000))
    else:
        film(path, 1.0, speech if kind == "cut film" else silent(tmp_path / "s.wav"))
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2] if kind == "cut film" else data.replace(b"soun", b"xxxx"))
    code = f"""
import sys, os
sys.path.insert(0, {str(REPOSITORY.parent)!r})
import importlib
name = {REPOSITORY.name!r}
import bpy
sound = importlib.import_module(name + ".operators.bridge.sound")
errors = importlib.import_module(name + ".engine.errors")
try:
    print("READ", len(sound.read_waveform(sound.file_source({str(path)!r}))))
except errors.AudioError as error:
    print("SENTENCE", error)
sys.stdout.flush()
os._exit(0)
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr[-500:]
    assert "SENTENCE" in run.stdout, run.stdout


@needs_audaspace
def test_retimed_strip_is_refused(sound: Any, errors: Any, speech: Path) -> None:
    class Retimed:
        """A strip with retiming keys; adding real ones ends a Blender without window."""

        def __init__(self, strip: Any) -> None:
            self.strip, self.retiming_keys = strip, [object(), object()]

        def __getattr__(self, name: str) -> Any:
            return getattr(self.strip, name)

    with pytest.raises(errors.AudioError, match="is retimed: render its sound"):
        sound.strip_source(Retimed(add_strip(speech)), 30.0)


def test_module_reads_no_blender_data_while_decoding(sound: Any) -> None:
    """`read_waveform` runs in a worker thread, where Blender's data must not be touched."""
    import ast
    import inspect

    decoding = ("_decode", "_skip", "_used_span", "_decode_with_aud", "_open_with_aud", "_aud_samples")
    for name in ("read_waveform", "used_samples", *decoding):
        tree = ast.parse(inspect.getsource(getattr(sound, name)))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "bpy"], name
    assert KEY in sound.__name__
