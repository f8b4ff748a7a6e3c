# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests through a whole engine with untrained weights: lengths, sources, keeping, seeds, bad input."""

from __future__ import annotations

import json
import re
import resource
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from engine import listening, pipeline
from engine.__main__ import build_parser, build_request, main
from engine.errors import (
    AudioError,
    Cancelled,
    DeviceError,
    EngineError,
    InstructionError,
    PackError,
    RequestError,
)
from engine.language.decoding import WindowRequest, generate_window
from engine.motion.clip import Clip
from engine.motion.clip_io import load_npz
from engine.pipeline import Engine, load_engine
from engine.requests import block_order, resolve_sources
from engine.specs import PARTS, GenerateRequest, Part, PartDirection, SamplingOptions, Source
from engine.toml_writer import to_toml
from engine.windows import windows
from tests.tiny_pack import write_tiny_pack


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pack") / "tiny"
    write_tiny_pack(root)
    return root


@pytest.fixture(scope="module")
def engine(pack: Path) -> Engine:
    engine = load_engine(pack, "cpu")
    assert isinstance(engine, Engine)
    return engine


def speech(seconds: float) -> np.ndarray:
    """A voiced, syllable-like sound."""
    time = np.arange(int(seconds * 16000)) / 16000
    return (0.3 * np.sin(2 * np.pi * 140 * time) * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * time))).astype(
        np.float32
    )


TEXT = PartDirection(Source.TEXT, "walk forward")


@pytest.mark.parametrize("seconds", [0.26, 1.0, 1.9, 4.27, 9.99])
def test_length_equals_the_sound_to_the_frame(engine: Engine, seconds: float) -> None:
    result = engine.generate(GenerateRequest(waveform=speech(seconds)))
    assert result.clip.num_frames == round(seconds * 30)
    assert result.clip.expressions.shape == (result.clip.num_frames, 52)
    assert np.isfinite(result.clip.poses).all() and np.isfinite(result.clip.trans).all()


def test_speech_and_text_in_one_request(engine: Engine) -> None:
    request = GenerateRequest(directions={Part.LOWER: TEXT}, waveform=speech(2.0), emotion="happiness")
    result = engine.generate(request)
    assert set(result.codes) == set(PARTS)
    assert len(result.codes[Part.LOWER]) == 15 * 2


def test_same_seed_same_motion_and_batching_changes_nothing_but_rounding(engine: Engine) -> None:
    requests = [
        GenerateRequest(directions={Part.LOWER: TEXT}, sampling=SamplingOptions(seed=s)) for s in (1, 2, 1)
    ]
    one, two = engine.generate(requests[0]), engine.generate(requests[0])
    assert np.array_equal(one.clip.poses, two.clip.poses) and np.array_equal(one.clip.trans, two.clip.trans)
    many = engine.generate_many(requests)
    assert many[0].codes == many[2].codes != many[1].codes


def test_kept_parts_come_back_bit_identical(engine: Engine) -> None:
    first = engine.generate(GenerateRequest(waveform=speech(3.0)))
    directions = {part: PartDirection(Source.KEEP) for part in PARTS} | {Part.LOWER: TEXT}
    second = engine.generate(GenerateRequest(directions, speech(3.0), kept=first.clip))
    again = second.clip.with_part(Part.LOWER, first.clip)
    assert np.array_equal(again.poses, first.clip.poses)
    assert np.array_equal(again.trans, first.clip.trans)
    assert np.array_equal(again.expressions, first.clip.expressions)
    assert not np.array_equal(second.clip.poses, first.clip.poses)


def test_keeping_the_lower_body_keeps_the_root(engine: Engine) -> None:
    kept = engine.generate(GenerateRequest(directions={Part.LOWER: TEXT}, duration_s=2.0)).clip
    directions = {Part.LOWER: PartDirection(Source.KEEP)}
    made = engine.generate(GenerateRequest(directions, speech(2.0), kept=kept)).clip
    assert np.array_equal(made.trans, kept.trans)
    assert np.array_equal(made.poses[:, 0], kept.poses[:, 0])


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[WindowRequest]:
    """Every window the engine asks the model for."""
    seen: list[WindowRequest] = []

    def spy(
        weights: object, vocabulary: object, window: WindowRequest, *rest: object
    ) -> dict[Part, torch.Tensor]:
        seen.append(window)
        return generate_window(weights, vocabulary, window, *rest)

    monkeypatch.setattr(pipeline, "generate_window", spy)
    return seen


def test_gestures_to_speech_listen_more_closely(engine: Engine, seen: list[WindowRequest]) -> None:
    engine.generate(GenerateRequest({Part.UPPER: TEXT}, speech(1.0)))
    told, spoken = SamplingOptions().text_guidance, SamplingOptions().speech_guidance
    assert seen[0].guidance[Part.UPPER] == told and seen[0].guidance[Part.HANDS] > spoken
    assert seen[0].guidance[Part.FACE] == seen[0].guidance[Part.LOWER] == spoken


def test_gestures_listen_most_closely_over_legs_that_follow_words(
    engine: Engine, seen: list[WindowRequest]
) -> None:
    engine.generate(GenerateRequest(waveform=speech(1.0)))
    engine.generate(GenerateRequest({Part.LOWER: TEXT}, speech(1.0)))
    standing, walking = (window.guidance for window in seen)
    assert walking[Part.UPPER] == walking[Part.HANDS] > standing[Part.UPPER]
    assert walking[Part.FACE] == standing[Part.FACE] and walking[Part.LOWER] > standing[Part.LOWER]


def test_beside_kept_parts_legs_obey_more_and_hands_follow_the_body(
    engine: Engine, seen: list[WindowRequest]
) -> None:
    kept = engine.generate(GenerateRequest({Part.UPPER: TEXT}, duration_s=1.0)).clip
    seen.clear()
    directions = {Part.UPPER: PartDirection(Source.KEEP), Part.LOWER: TEXT}
    engine.generate(GenerateRequest(directions, speech(1.0), kept=kept))
    told, spoken = SamplingOptions().text_guidance, SamplingOptions().speech_guidance
    assert seen[0].guidance[Part.LOWER] > told
    assert seen[0].guidance[Part.HANDS] == spoken


def test_windows_cover_every_step_once() -> None:
    for total in (1, 31, 32, 33, 40, 56, 57, 300):
        decided = 0
        for start, known in windows(total):
            assert start + known == decided
            decided = min(start + 32, total)
        assert decided == total


def test_missing_parts_follow_speech_or_the_text() -> None:
    sources, _ = resolve_sources(GenerateRequest({Part.LOWER: TEXT}, speech(1.0)))
    assert sources[Part.FACE] is Source.SPEECH and sources[Part.LOWER] is Source.TEXT
    sources, texts = resolve_sources(GenerateRequest({Part.LOWER: TEXT}))
    assert all(source is Source.TEXT for source in sources.values())
    assert texts[Part.FACE] == "walk forward"
    order = block_order(
        {
            Part.FACE: Source.KEEP,
            Part.HANDS: Source.SPEECH,
            Part.UPPER: Source.SPEECH,
            Part.LOWER: Source.TEXT,
        }
    )
    assert order == (Part.FACE, Part.LOWER, Part.UPPER, Part.HANDS)


def stretch_request(kept: Clip, free: tuple[int, int], **settings: object) -> GenerateRequest:
    """The upper body and the hands anew in some frames, face and lower body kept."""
    directions = {part: PartDirection(Source.KEEP) for part in (Part.FACE, Part.LOWER)}
    values = {"waveform": speech(kept.duration_s), "duration_s": kept.duration_s, "kept": kept, "free": free}
    return GenerateRequest(directions, **{**values, **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize(("num_frames", "free"), [(120, (32, 88)), (118, (33, 90)), (400, (32, 368))])
def test_a_stretch_is_drawn_between_kept_frames(
    engine: Engine, num_frames: int, free: tuple[int, int]
) -> None:
    """What lies around the stretch is the model's reading of the kept motion, in one window or several."""
    kept = engine.generate(GenerateRequest(directions={Part.LOWER: TEXT}, duration_s=num_frames / 30)).clip
    result = engine.generate(stretch_request(kept, free))
    assert set(result.codes) == {Part.UPPER, Part.HANDS} and result.clip.num_frames == num_frames
    steps = -(-num_frames // 4)
    known = engine._encode_kept(kept, list(result.codes), steps)
    first, stop = free[0] // 4, -(-free[1] // 4)
    for part, codes in result.codes.items():
        levels = engine.vocabulary.num_levels(part)
        made, was = np.reshape(codes, (steps, levels)), known[part].numpy().reshape(steps, levels)
        assert np.array_equal(made[:first], was[:first]) and np.array_equal(made[stop:], was[stop:])
        assert (made[first:stop] != was[first:stop]).mean() > 0.5
    for part in (Part.FACE, Part.LOWER):
        assert np.array_equal(result.clip.with_part(part, kept).poses, result.clip.poses)
    assert np.array_equal(result.clip.trans, kept.trans)


def test_a_stretch_goes_on_from_the_frames_before(engine: Engine) -> None:
    """Other frames before it, with the same dice, give other motion in it."""
    kept = engine.generate(GenerateRequest(directions={Part.LOWER: TEXT}, duration_s=4.0)).clip
    other = engine.generate(
        GenerateRequest(directions={Part.LOWER: TEXT}, duration_s=4.0, sampling=SamplingOptions(seed=5))
    ).clip
    mixed = other.slice(0, 30).joined(kept.slice(30, 120))
    one, two = (engine.generate(stretch_request(clip, (32, 88))).codes[Part.UPPER] for clip in (kept, mixed))
    levels = engine.vocabulary.num_levels(Part.UPPER)
    assert one[8 * levels : 22 * levels] != two[8 * levels : 22 * levels]
    assert engine.generate(stretch_request(kept, (32, 88))).codes[Part.UPPER] == one


def test_a_stretch_hears_its_own_place_in_the_sound() -> None:
    """Features from a second of a sound on are those of the whole sound there; outside it is silent."""
    wave = speech(14.0) * np.linspace(0.3, 1.0, 14 * 16000, dtype=np.float32)
    whole = listening.heard_features(wave, 0.0, 420)
    part = listening.heard_features(wave, 6.0, 60)
    assert part.shape == (120, 44) and np.abs(part - whole[360:480]).max() < 1e-5
    early = listening.heard_features(wave, -1.0, 60)
    assert early.shape == (120, 44) and np.abs(early[70:] - whole[10:60]).max() < 0.2
    late = listening.heard_features(wave, 30.0, 60)
    assert late.shape == (120, 44) and late.max() <= 0.0


def test_a_long_sound_is_heard_piece_by_piece_as_at_once(engine: Engine) -> None:
    steps = 700  # 93 s, three pieces
    wave = np.resize(speech(7.3) * np.linspace(0.2, 1.0, 116800, dtype=np.float32), 95 * 16000)
    features = torch.from_numpy(listening.heard_features(wave, 1.5, steps * 4))
    whole = engine.audio_tokenizer.encode(features[None]).view(2 * steps, -1)
    heard = listening.Listening(engine.audio_tokenizer, wave, 1.5, steps)
    assert torch.equal(heard.upto(32)[:80], whole[:80]) and not heard.upto(32)[300:].any()
    assert torch.equal(heard.upto(steps), whole)


@pytest.mark.parametrize("free", [(-1, 20), (40, 40), (40, 121)])
def test_a_stretch_outside_the_motion(engine: Engine, free: tuple[int, int]) -> None:
    with pytest.raises(RequestError, match="outside the motion; choose a range within it"):
        engine.generate(stretch_request(Clip.rest(120, 30.0), free))


def test_a_stretch_needs_motion_around_it(engine: Engine) -> None:
    with pytest.raises(RequestError, match="select a character with motion"):
        engine.generate(GenerateRequest(waveform=speech(4.0), free=(32, 88)))


@pytest.mark.parametrize(
    ("request_", "error", "word"),
    [
        (GenerateRequest(), RequestError, "sound"),
        (GenerateRequest({Part.FACE: PartDirection(Source.SPEECH)}), RequestError, "sound"),
        (GenerateRequest({Part.LOWER: PartDirection(Source.BOTH, "walk")}), RequestError, "sound"),
        (GenerateRequest({Part.LOWER: PartDirection(Source.TEXT, " ")}), InstructionError, "empty"),
        (GenerateRequest({Part.LOWER: PartDirection(Source.TEXT, "x" * 2000)}), InstructionError, "shorten"),
        (GenerateRequest({Part.LOWER: PartDirection(Source.TEXT, "向前走")}), InstructionError, "English"),
        (GenerateRequest({Part.LOWER: PartDirection(Source.TEXT, "🚶🚶")}), InstructionError, "words"),
        (GenerateRequest({Part.LOWER: PartDirection(Source.KEEP)}, speech(1.0)), RequestError, "keep"),
        (GenerateRequest({Part.LOWER: TEXT}, emotion="joyous"), RequestError, "emotion"),
        (GenerateRequest({Part.LOWER: TEXT}, duration_s=0.0), RequestError, "must last"),
        (GenerateRequest({Part.LOWER: TEXT}, duration_s=float("nan")), RequestError, "must last"),
        (GenerateRequest(waveform=np.zeros(16000, np.float32)), AudioError, "silent"),
        (GenerateRequest(waveform=speech(0.1)), AudioError, "longer"),
        (GenerateRequest(waveform=np.full(16000, np.nan, np.float32)), AudioError, "number"),
    ],
)
def test_bad_requests_get_one_sentence(
    engine: Engine, request_: GenerateRequest, error: type[EngineError], word: str
) -> None:
    with pytest.raises(error, match=word) as caught:
        engine.generate(request_)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message


def test_progress_rises_and_cancel_stops(engine: Engine) -> None:
    seen: list[float] = []
    engine.generate(
        GenerateRequest(waveform=speech(9.0)), progress=lambda fraction, text: seen.append(fraction)
    )
    assert seen == sorted(seen) and seen[0] == 0.0 and seen[-1] == 1.0 and len(seen) > 100
    with pytest.raises(Cancelled):
        engine.generate(GenerateRequest(waveform=speech(9.0)), cancel=lambda: len(seen) > 0)


def test_unknown_device(pack: Path) -> None:
    with pytest.raises(DeviceError, match="auto"):
        load_engine(pack, "tpu")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("language_model.d_model", 10_000_000),
        ("language_model.d_model", 10**12),
        ("language_model.d_model", -1),
        ("language_model.d_model", 0),
        ("language_model.d_model", "wide"),
        ("language_model.vocab_size", None),
        ("language_model.num_layers", 10**9),
        ("language_model.time_reach", 9_000_000),
        ("language_model.new_setting", 1),
        ("text_encoder.width", 10_000_000),
        ("text_encoder.num_layers", 10**9),
        ("text_encoder.num_positions", 0),
        ("tokenizers.upper.width", 1_000_000),
        ("tokenizers.upper.num_quantizers", 10**9),
        ("tokenizers.upper.frame_fps", float("inf")),
        ("tokenizers.audio.codebook_size", 10_000_000),
        ("vocabulary.num_text", 10**9),
    ],
)
def test_sizes_of_a_hostile_pack_are_refused(pack: Path, tmp_path: Path, place: str, value: object) -> None:
    """One sentence, at once, and without taking memory for what the files do not hold."""
    root = tmp_path / "pack"
    shutil.copytree(pack, root)
    card = tomllib.loads((root / "pack.toml").read_text("utf-8"))
    *tables, name = place.split(".")
    table = card
    for key in tables:
        table = table[key]
    if value is None:
        del table[name]
    else:
        table[name] = value
    (root / "pack.toml").write_text(to_toml(card), "utf-8")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PackError) as caught:
        load_engine(root, "cpu")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB
    message = str(caught.value)
    assert message.endswith(".") and re.search("; (download|update)", message) and "\n" not in message


def test_command_line(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound, out = tmp_path / "line.wav", tmp_path / "clip.npz"
    soundfile.write(sound, np.stack([speech(1.5)] * 2, 1), 16000, subtype="PCM_24")
    status = main(
        [
            "generate",
            "--audio",
            str(sound),
            "--lower",
            "walk forward",
            "--pack",
            str(pack),
            "--json",
            "--out",
            str(out),
        ]
    )
    assert status == 0
    times = json.loads(capsys.readouterr().out)
    assert set(times) == {"load_s", "compute_s", "motion_s"} and times["motion_s"] == 1.5
    with np.load(out) as arrays:
        assert arrays["poses"].shape == (45, 165) and arrays["trans"].shape == (45, 3)
        assert arrays["expressions"].shape == (45, 52) and len(arrays["expression_names"]) == 52
        assert {"betas", "gender", "mocap_frame_rate", "model"} <= set(arrays.files)
    assert isinstance(load_npz(out), Clip)
    assert main(["info", str(pack)]) == 0
    assert "Tiny" in capsys.readouterr().out


def test_every_option_of_the_command_line_arrives(pack: Path, tmp_path: Path) -> None:
    sound = tmp_path / "line.wav"
    soundfile.write(sound, speech(1.0), 16000)
    fixed = ["generate", "--pack", str(pack), "--out", "clip.npz"]
    parse = build_parser().parse_args
    texts = ["--face", "smile", "--hands", "wave", "--upper", "bow", "--lower", "jump", "--text", "run"]
    numbers = ["--emotion", "anger", "--seconds", "2.5", "--seed", "7", "--temperature", "0.5"]
    request = build_request(parse([*fixed, *texts, *numbers]))
    assert {part.value: direction.text for part, direction in request.directions.items()} == {
        "face": "smile",
        "hands": "wave",
        "upper": "bow",
        "lower": "jump",
    }
    assert (request.emotion, request.duration_s, request.waveform) == ("anger", 2.5, None)
    assert (request.sampling.seed, request.sampling.temperature) == (7, 0.5)
    assert parse([*fixed, "--device", "cuda"]).device == "cuda"
    alone = build_request(parse([*fixed, "--text", "run"]))
    assert {part: direction.text for part, direction in alone.directions.items()} == dict.fromkeys(
        PARTS, "run"
    )
    heard = build_request(parse([*fixed, "--audio", str(sound), "--lower", "jump"]))
    sources, _ = resolve_sources(heard)
    assert sources == dict.fromkeys(PARTS, Source.SPEECH) | {Part.LOWER: Source.TEXT}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--text", "walk", "--seconds", "nan"], "must last"),
        (["--text", "walk", "--seconds", "-2"], "must last"),
        (["--text", "walk", "--temperature", "nan"], "temperature"),
        (["--text", "walk", "--temperature", "-1"], "temperature"),
        (["--text", "walk", "--seed", "-3"], "seed"),
        (["--lower", ""], "empty"),
        (["--audio", "gone.wav"], "does not exist"),
        (["--text", "walk", "--out", "no/such/folder/clip.npz"], "folder"),
    ],
)
def test_wrong_options_get_one_sentence(
    pack: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["generate", "--pack", str(pack), "--out", "clip.npz", *options]) == 1
    said = capsys.readouterr().err.strip()
    assert message in said and said.endswith(".") and "\n" not in said
    assert not list(tmp_path.rglob("*.npz"))


def test_command_line_says_what_is_wrong(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "clip.npz"
    assert main(["generate", "--pack", str(pack), "--out", str(out)]) == 1
    assert "nothing to follow" in capsys.readouterr().err
    assert main(["generate", "--text", "walk", "--pack", str(tmp_path / "none"), "--out", str(out)]) == 1
    assert capsys.readouterr().err.strip().endswith(".")
    assert not out.exists()


def test_a_memory_limit_counts_before_anything_is_loaded(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_engine(pack, "cpu", 10**6)
    monkeypatch.setattr("engine.memory.BYTES_PER_VALUE", 1_000_000)
    with pytest.raises(DeviceError, match="raise the memory limit in the preferences"):
        load_engine(pack, "cpu", 1000)
