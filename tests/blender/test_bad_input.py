# SPDX-License-Identifier: GPL-3.0-or-later
"""What an animator can get wrong: one clear sentence with the remedy, and nothing is changed."""

from __future__ import annotations

import hashlib
import pickle
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.blender.support import (
    add_face,
    add_strip,
    bpy,
    fingerprint,
    keys_of,
    needs_audaspace,
    refusal,
    write_sound,
)
from tests.blender.test_sound import film


@pytest.fixture
def ready(scene: Any, character: Any, engine: Any, speech: Path) -> Any:
    """Settings with which Generate works."""
    scene.kinesics.audio_source = "FILE"
    scene.kinesics.audio_path = str(speech)
    return scene.kinesics


def refuses(message: str) -> None:
    """Generate says this and leaves everything as it was."""
    before = fingerprint()
    sentence = refusal(bpy.ops.kinesics.generate)
    assert re.search(message, sentence), sentence
    assert fingerprint() == before


def test_the_settings_work_to_begin_with(ready: Any, character: Any) -> None:
    assert bpy.ops.kinesics.generate() == {"FINISHED"}


def test_no_strip(ready: Any) -> None:
    ready.audio_source = "STRIP"
    refuses("No strip is active: add speech with Add > Sound")


@needs_audaspace
def test_strip_without_file(ready: Any, tmp_path: Path) -> None:
    ready.audio_source = "STRIP"
    path = write_sound(tmp_path / "gone.wav", 1.0)
    add_strip(path)
    path.unlink()
    refuses('sound file of strip "Line 1" is missing')


@needs_audaspace
def test_strip_whose_file_never_was(ready: Any, tmp_path: Path) -> None:
    ready.audio_source = "STRIP"
    add_strip(tmp_path / "never.wav")
    refuses('sound file of strip "Line 1" is missing')


@needs_audaspace
def test_strip_whose_file_was_damaged_later(ready: Any, tmp_path: Path) -> None:
    ready.audio_source = "STRIP"
    path = write_sound(tmp_path / "a.wav", 1.0)
    add_strip(path)
    path.write_bytes(b"RIFF" + bytes(4000))
    refuses('"a.wav" is damaged or of an unknown format: convert it')


@needs_audaspace
def test_strip_without_sound(ready: Any, speech: Path) -> None:
    ready.audio_source = "STRIP"
    bpy.data.sounds.remove(add_strip(speech).sound)
    refuses('strip "Line 1" has no sound: remove it and add the sound file again')


@needs_audaspace
def test_strip_trimmed_to_a_tenth_of_a_second(ready: Any, speech: Path) -> None:
    ready.audio_source = "STRIP"
    add_strip(speech).frame_final_duration = 3
    refuses("lasts only 0.10 s; it must last at least")


@needs_audaspace
def test_strip_trimmed_to_silence(ready: Any, tmp_path: Path) -> None:
    import soundfile

    ready.audio_source = "STRIP"
    path = tmp_path / "pause.wav"
    times = np.arange(32000) / 16000
    soundfile.write(path, 0.4 * np.sin(900 * times) * (times < 1.0), 16000)
    add_strip(path).frame_offset_start = 30
    refuses("is silent; choose a strip with speech")


def test_no_file_chosen(ready: Any) -> None:
    ready.audio_path = "  "
    refuses("No sound file is chosen: choose one")


def test_file_missing(ready: Any) -> None:
    ready.audio_path = "//not/there.wav"
    refuses("does not exist: choose another one")


UNREADABLE = r'"bad\.\w+" is damaged or of an unknown format: convert it|cannot read the format of "bad'
"""With Blender's audio library, and in builds without it."""


def silence(path: Path) -> None:
    import soundfile

    soundfile.write(path, np.zeros(32000), 16000)


def not_numbers(path: Path) -> None:
    import soundfile

    soundfile.write(path, np.full(32000, np.nan), 16000, subtype="FLOAT")


def some_not_numbers(path: Path) -> None:
    import soundfile

    samples = 0.3 * np.sin(np.arange(32000) / 20)
    samples[20000] = np.nan
    soundfile.write(path, samples, 16000, subtype="FLOAT")


def noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5000))


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "silent": (silence, "silent"),
    "0.1 s": (lambda path: write_sound(path, 0.1), "lasts only 0.10 s"),
    "not numbers": (not_numbers, "damaged samples"),
    "some not numbers": (some_not_numbers, "damaged samples"),
    "cut off": (lambda path: path.write_bytes(b"RIFFxxxxWAVEfmt "), UNREADABLE),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "text": (lambda path: path.write_text("hello"), UNREADABLE),
    "corrupt": (noise, UNREADABLE),
}


@pytest.mark.parametrize("kind", list(BAD_FILES))
def test_bad_sound(ready: Any, tmp_path: Path, kind: str) -> None:
    make, message = BAD_FILES[kind]
    make(tmp_path / "bad.wav")
    ready.audio_path = str(tmp_path / "bad.wav")
    refuses(message)


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".mp3", ".mp4"])
def test_corrupt_file_of_every_format(ready: Any, tmp_path: Path, suffix: str) -> None:
    noise(tmp_path / f"bad{suffix}")
    ready.audio_path = str(tmp_path / f"bad{suffix}")
    refuses(UNREADABLE)


@pytest.mark.parametrize(
    "options",
    [{"rate": 8000}, {"channels": 2, "rate": 44100}, {"subtype": "PCM_24"}, {"channels": 6, "rate": 48000}],
    ids=["8 kHz", "stereo", "24 bit", "six channels"],
)
def test_unusual_but_good_sound(ready: Any, character: Any, tmp_path: Path, options: dict[str, Any]) -> None:
    ready.audio_path = str(write_sound(tmp_path / "good.wav", 1.0, **options))
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    assert len(keys_of(character)['pose.bones["pelvis"].location', 0]) == 30


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".mp3"])
def test_other_formats(ready: Any, character: Any, tmp_path: Path, suffix: str) -> None:
    ready.audio_path = str(write_sound(tmp_path / f"good{suffix}", 1.0, rate=44100))
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    assert len(keys_of(character)['pose.bones["pelvis"].location', 0]) == pytest.approx(30, abs=2)


@needs_audaspace
@pytest.mark.parametrize("source", ["FILE", "STRIP"])
def test_mp4(engine: Any, module: Any, tmp_path: Path, speech: Path, source: str) -> None:
    path = film(tmp_path / "film.mp4", 2.0, speech)
    armature = module("operators.bridge.armature").build_armature("Ada")
    add_face(armature)
    settings = bpy.context.scene.kinesics
    settings.character, settings.audio_source, settings.audio_path = armature, source, str(path)
    if source == "STRIP":
        add_strip(path)
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    assert len(keys_of(armature)['pose.bones["pelvis"].location', 0]) == pytest.approx(60, abs=3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Lower Body: The instruction is empty"),
        ("   ", "Lower Body: The instruction is empty"),
        ("walk " * 400, "Lower Body: The instruction has 1999 characters; shorten it"),
        ("\N{GRINNING FACE}\N{WAVING HAND SIGN}", "Lower Body: The instruction has no words"),
        ("\u5411\u524d\u8d70", "Lower Body: The instruction is not in English"),
    ],
    ids=["empty", "blank", "2,000 characters", "emoji", "Chinese"],
)
def test_bad_text(ready: Any, text: str, message: str) -> None:
    ready.lower.source, ready.lower.text = "TEXT", text
    refuses(message)


def test_emoji_among_words_is_fine(ready: Any) -> None:
    ready.lower.source, ready.lower.text = "TEXT", "walk forward \N{GRINNING FACE}"
    assert bpy.ops.kinesics.generate() == {"FINISHED"}


def test_everything_kept(ready: Any) -> None:
    for part in ("face", "hands", "upper", "lower"):
        getattr(ready, part).source = "KEEP"
    refuses("All four parts are set to Keep: choose")


def test_neither_speech_nor_text(ready: Any) -> None:
    ready.audio_source = "NONE"
    refuses("neither speech nor text: choose a sound, or write")


def test_no_character(scene: Any, engine: Any, speech: Path) -> None:
    scene.kinesics.audio_source, scene.kinesics.audio_path = "FILE", str(speech)
    before = fingerprint()
    with pytest.raises(RuntimeError, match="Add a character, or select the armature of one"):
        bpy.ops.kinesics.generate()
    assert fingerprint() == before


def test_character_deleted_from_the_scene(ready: Any, character: Any) -> None:
    """The settings still point at it, but it is in no scene any more."""
    for item in list(bpy.data.objects):
        bpy.context.scene.collection.objects.unlink(item)
    before = fingerprint()
    with pytest.raises(RuntimeError, match="Add a character"):
        bpy.ops.kinesics.generate()
    assert fingerprint() == before


def test_armature_with_other_bones(ready: Any, scene: Any) -> None:
    data = bpy.data.armatures.new("Other")
    other = bpy.data.objects.new("Other", data)
    scene.collection.objects.link(other)
    bpy.context.view_layer.objects.active = other
    bpy.ops.object.mode_set(mode="EDIT")
    data.edit_bones.new("Bone").tail = (0, 0, 1)
    bpy.ops.object.mode_set(mode="OBJECT")
    ready.character = other
    refuses('The bones of "Other" are not recognised: press Set Up Character')


def test_missing_limb_bones(ready: Any, character: Any) -> None:
    bpy.context.view_layer.objects.active = character
    bpy.ops.object.mode_set(mode="EDIT")
    character.data.edit_bones.remove(character.data.edit_bones["right_knee"])
    bpy.ops.object.mode_set(mode="OBJECT")
    refuses("lacks the bones right_knee: add or rename them")


def test_two_users_of_the_same_mesh(ready: Any, scene: Any) -> None:
    face = bpy.data.objects["Face"]
    twin = bpy.data.objects.new("Twin", face.data)
    scene.collection.objects.link(twin)
    refuses(
        '"Face" is also used by "Twin", whose face would move too: use Object > Relations > Make Single User'
    )
    ready.face.source = "KEEP"
    assert bpy.ops.kinesics.generate() == {"FINISHED"}


def test_two_users_within_one_character_are_fine(ready: Any, scene: Any, character: Any) -> None:
    twin = bpy.data.objects.new("Twin", bpy.data.objects["Face"].data)
    scene.collection.objects.link(twin)
    twin.parent = character
    assert bpy.ops.kinesics.generate() == {"FINISHED"}


def library(path: Path, module: Callable[[str], Any]) -> Path:
    """A file with a character in a collection "Cast"."""
    armature = module("operators.bridge.armature").build_armature("Linked")
    add_face(armature, "Linked Face").parent = armature
    cast = bpy.data.collections.new("Cast")
    bpy.context.scene.collection.children.link(cast)
    for name in ("Linked", "Linked Face"):
        cast.objects.link(bpy.data.objects[name])
        bpy.context.scene.collection.objects.unlink(bpy.data.objects[name])
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.context.scene.render.fps = 30
    with bpy.data.libraries.load(str(path), link=True) as (_, to):
        to.collections = ["Cast"]
    bpy.context.scene.collection.children.link(bpy.data.collections["Cast"])
    return path


@pytest.fixture
def linked(scene: Any, engine: Any, speech: Path, tmp_path: Path, module: Callable[[str], Any]) -> Any:
    """A character that comes from another file."""
    library(tmp_path / "cast.blend", module)
    bpy.context.scene.kinesics.audio_source = "FILE"
    bpy.context.scene.kinesics.audio_path = str(speech)
    bpy.context.scene.kinesics.character = bpy.data.objects["Linked"]
    return bpy.context.scene.kinesics


def test_linked_armature(linked: Any) -> None:
    refuses('"Linked" is linked from another file: select it and use Object > Library Override > Make')


def test_overridden_armature_with_linked_face(linked: Any) -> None:
    cast = bpy.data.collections["Cast"]
    made = cast.override_hierarchy_create(bpy.context.scene, bpy.context.view_layer, do_fully_editable=True)
    armature = next(item for item in made.all_objects if item.type == "ARMATURE")
    assert armature.override_library is not None
    linked.character = armature
    face = next(item for item in made.all_objects if item.type == "MESH")
    if face.data.library is not None:
        refuses("face mesh .* is linked from another file: make a library override of it")
        face.data.override_create(remap_local_usages=True)
    before = len(keys_of(armature))
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    assert before == 0 and len(keys_of(armature)) >= 9 * 4 + 3
    bpy.context.scene.frame_set(40)
    assert len(keys_of(face.data.shape_keys)) == 52
    points = keys_of(armature)['pose.bones["pelvis"].location', 0]
    assert armature.pose.bones["pelvis"].location[0] == pytest.approx(points[39, 1], abs=1e-5)


def test_system_override_is_refused(linked: Any) -> None:
    cast = bpy.data.collections["Cast"]
    made = cast.override_hierarchy_create(bpy.context.scene, bpy.context.view_layer, do_fully_editable=False)
    armature = next(item for item in made.all_objects if item.type == "ARMATURE")
    linked.character = armature
    if not armature.override_library.is_system_override:
        armature.override_library.is_system_override = True
    refuses("is not editable: make it editable in the Outliner")


def test_nla_tweak_mode(ready: Any, character: Any) -> None:
    bpy.ops.kinesics.generate()
    animation = character.animation_data
    action = animation.action
    strip = animation.nla_tracks.new().strips.new("Take", 1, action)
    animation.action = None
    strip.select = True
    animation.nla_tracks.active = animation.nla_tracks[0]
    animation.use_tweak_mode = True
    if not animation.use_tweak_mode:
        pytest.skip("this Blender enters tweak mode from the NLA editor only")
    refuses("NLA strip of .* is being tweaked: leave tweak mode")


class Payload:
    """What a hostile pickle would do: make a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.folder,)


def edit_card(pack: Path, change: Callable[[dict[str, Any]], Any], module: Any) -> None:
    """Change pack.toml."""
    card = tomllib.loads((pack / "pack.toml").read_text("utf-8"))
    change(card)
    (pack / "pack.toml").write_text(module("engine.toml_writer").to_toml(card), "utf-8")


def put_weights(pack: Path, content: bytes, module: Any) -> None:
    """Replace weights, and their size and hash with them, as a hostile author would."""
    (pack / WEIGHTS).write_bytes(content)
    table = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    edit_card(pack, lambda card: card["files"].update({WEIGHTS: table}), module)


def link_weights(pack: Path) -> None:
    (pack / WEIGHTS).rename(pack.parent / WEIGHTS)
    (pack / WEIGHTS).symlink_to(pack.parent / WEIGHTS)


def enlarge(card: dict[str, Any]) -> None:
    card["language_model"]["d_model"] = 1_000_000


WEIGHTS = "language_model.safetensors"
BAD_PACKS: dict[str, tuple[Callable[[Path, Any], Any], str]] = {
    "no folder": (
        lambda pack, _: pack.rename(pack.parent / "away"),
        "no model pack at .*; choose the folder",
    ),
    "no card": (
        lambda pack, _: (pack / "pack.toml").unlink(),
        r"no pack\.toml; choose a model pack's folder",
    ),
    "card is not toml": (
        lambda pack, _: (pack / "pack.toml").write_text("= broken ["),
        r"pack\.toml is damaged .*; download it again",
    ),
    "other version": (
        lambda pack, module: edit_card(pack, lambda card: card.update(format=99), module),
        "format 99 but this Kinesics reads format 1; get the pack and the extension in matching versions",
    ),
    "file missing": (lambda pack, _: (pack / WEIGHTS).unlink(), f"{WEIGHTS} is missing; download"),
    "truncated": (
        lambda pack, _: (pack / WEIGHTS).write_bytes((pack / WEIGHTS).read_bytes()[:-4]),
        f"{WEIGHTS} is damaged .it has .*; download it again",
    ),
    "damaged": (
        lambda pack, _: (pack / WEIGHTS).write_bytes(bytes((pack / WEIGHTS).stat().st_size)),
        f"{WEIGHTS} is damaged .its contents have changed.; download it again",
    ),
    "pickle for weights": (
        lambda pack, module: put_weights(pack, pickle.dumps(Payload(pack.parent / "harm")), module),
        f"{WEIGHTS} is damaged .*; download it again",
    ),
    "name outside the folder": (
        lambda pack, module: edit_card(
            pack, lambda card: card["files"].update({"../out.bin": {"size": 1, "sha256": "0"}}), module
        ),
        "unsafe name .*; do not use this pack",
    ),
    "link": (lambda pack, _: link_weights(pack), f"{WEIGHTS} is a link, which is not safe; download"),
    "enormous sizes": (
        lambda pack, module: edit_card(pack, enlarge, module),
        f"{WEIGHTS} is damaged .*; download it again",
    ),
}


@pytest.fixture
def own_pack(scene: Any, tmp_path: Path, module: Callable[[str], Any]) -> Iterator[Path]:
    """A sound pack of untrained networks that a test may spoil, chosen in the preferences."""
    pytest.importorskip("torch", reason="needs torch to load a pack")
    from tests.tiny_pack import write_tiny_pack

    preferences = module("operators.generate").preferences_of(bpy.context)
    write_tiny_pack(tmp_path / "pack")
    preferences.pack_dir = str(tmp_path / "pack")
    module("operators.engine_host").release()
    yield tmp_path / "pack"
    preferences.pack_dir = ""
    module("operators.engine_host").release()


@pytest.mark.parametrize("kind", list(BAD_PACKS))
def test_bad_pack(
    character: Any, own_pack: Path, speech: Path, module: Callable[[str], Any], kind: str
) -> None:
    """The real loader on packs that are damaged, of another version or hostile."""
    spoil, message = BAD_PACKS[kind]
    spoil(own_pack, module)
    settings = bpy.context.scene.kinesics
    settings.audio_source, settings.audio_path = "FILE", str(speech)
    refuses(message)
    assert not (own_pack.parent / "harm").exists()
    if kind not in ("pickle for weights", "enormous sizes"):  # found when the weights are read
        assert re.search(message, refusal(bpy.ops.kinesics.check_pack))
