# SPDX-License-Identifier: GPL-3.0-or-later
"""Imported packs at work: as the published demo draws, and as this engine does by default."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.__main__ import main
from engine.errors import Cancelled, DeviceError, PackError, RequestError
from engine.language.decoder import TorchDecoderWeights
from engine.language.drawing import draw
from engine.language.model import LanguageModel
from engine.motion.clip import Clip
from engine.motion.clip_io import load_npz
from engine.pipeline import load_engine
from engine.published import decoding
from engine.published.choice import Release
from engine.published.compatible import fitted, in_range
from engine.published.decoding import MAX_WORDS, BlockRequest, write_blocks, write_freely
from engine.published.engine import PublishedEngine
from engine.published.importer import import_published
from engine.published.prompts import prompt_words, request_for, speech_prompt
from engine.specs import PARTS, GenerateRequest, Glimpse, Part, PartDirection, SamplingOptions, Source
from engine.tokenizers.assembly import decode_published
from engine.tokenizers.published_strings import parse_as_published, part_string
from engine.tokenizers.vocabulary import BlockSize, Layout, Vocabulary
from engine.windows import windows
from tests.tiny_pack import write_tiny_pack

from . import published_files as made

for package in ("transformers", "joblib", "sklearn"):
    pytest.importorskip(package, reason=f"needs {package} (requirements of training)")

SHORT = 40
"""Longest text where transformers writes it, which takes its time."""

GREEDY = SamplingOptions(temperature=0.0)
WALK = PartDirection(Source.TEXT, "a man walks")


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both models in one pack."""
    root = tmp_path_factory.mktemp("published")
    made.download(root / "files")
    made.download(root / "files", "text")
    return import_published(root / "files", root / "pack").pack.root


@pytest.fixture(scope="module")
def engine(pack: Path) -> PublishedEngine:
    loaded = load_engine(pack, "cpu")
    assert isinstance(loaded, PublishedEngine)
    return loaded


def speech(seconds: float, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return (np.random.default_rng(seed).standard_normal(round(seconds * 16000)) * 0.1).astype(np.float32)


def transformers_model(model: LanguageModel) -> Any:
    """The same weights in transformers' T5, its output head untied."""
    from transformers import T5Config, T5ForConditionalGeneration

    config = model.config
    theirs: Any = T5ForConditionalGeneration(
        T5Config(
            vocab_size=config.vocab_size, d_model=config.d_model, d_kv=config.d_kv, d_ff=config.d_ff,
            num_layers=config.num_layers, num_decoder_layers=config.num_decoder_layers,
            num_heads=config.num_heads, feed_forward_proj="gated-gelu", dropout_rate=0.0,
            decoder_start_token_id=0, tie_word_embeddings=False,
        )
    )  # fmt: skip
    theirs.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    state = dict(model.state_dict())
    for stack in ("encoder", "decoder"):
        state[f"{stack}.embed_tokens.weight"] = state["shared.weight"]
    theirs.load_state_dict(state)
    theirs.config.scale_decoder_outputs = False
    assert theirs.lm_head.weight.data_ptr() != theirs.shared.weight.data_ptr()
    return theirs.eval()


def empty_cache() -> Any:
    """transformers 5.12 counts the encoder's layers where it makes the decoder's cache itself."""
    from transformers import DynamicCache, EncoderDecoderCache

    return EncoderDecoderCache(DynamicCache(), DynamicCache())


def loud_model(num_words: int = 400) -> LanguageModel:
    """A model whose choices are far from even, and which ends after a while."""
    model = made.language_model(num_words)
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "layer_norm" not in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.5)
    return model


# --- as the published demo -----------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("length", [3, 40])
def test_free_writing_is_transformers_generate(
    temperature: float, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "MAX_WORDS", SHORT)
    model = loud_model()
    prompt = torch.randint(2, 400, (1, length), generator=torch.Generator().manual_seed(length))
    theirs = transformers_model(model)
    torch.manual_seed(11)
    wanted = theirs.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_length=SHORT, num_beams=1,
        do_sample=temperature > 0.0, top_k=50, past_key_values=empty_cache(),
    )[0].tolist()  # fmt: skip
    options = SamplingOptions(temperature=temperature, top_k=50)
    generator = torch.Generator().manual_seed(11)
    found = write_freely(TorchDecoderWeights(model), prompt[0].tolist(), options, generator)
    assert [0, *found] == (wanted[:-1] if wanted[-1] == 1 else wanted)
    assert len(found) > 5


def plain_demo(engine: PublishedEngine, answers: Sequence[str]) -> Clip:
    """What the demo does with its model's answers to the windows of a speech (spec 3.7)."""
    model = engine.models[Release.SPEECH].model
    rows: dict[Part, list[int]] = {part: [] for part in PARTS}
    for answer in answers:
        for part, codes in parse_as_published(answer, model.vocabulary).items():
            rows[part] += (codes + [0] * 120)[:120]
    codes = {p: torch.tensor([[min(max(c, 0), made.CODEBOOK - 1) for c in row]]) for p, row in rows.items()}
    return decode_published(model.tokenizers, codes)


@pytest.mark.parametrize(("seconds", "num_windows"), [(1.0, 1), (8.02, 3)])
def test_compatible_speech_is_the_demo(
    engine: PublishedEngine, seconds: float, num_windows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """8.02 s are 400 numbers, whose third window hears nothing."""
    monkeypatch.setattr(decoding, "MAX_WORDS", SHORT)
    loaded = engine.models[Release.SPEECH]
    model = loaded.model
    assert model.speech is not None
    wave = speech(seconds)
    heard = model.speech.encode(torch.from_numpy(wave)[None])[0].tolist()
    assert len(heard) == (len(wave) - 400) // 320 + 1 and len(heard) // 200 + 1 == num_windows
    theirs = transformers_model(model.language)
    torch.manual_seed(5)
    answers = []
    for index in range(num_windows):
        text = request_for(heard[200 * index : 200 * index + 200], model.vocabulary)
        ids = torch.tensor([prompt_words(text, model.words)])
        written = theirs.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_length=512,
            do_sample=True,
            top_k=50,
            past_key_values=empty_cache(),
        )
        answers.append(model.words.decode(written[0].tolist(), skip_special_tokens=True))
    wanted = plain_demo(engine, answers)
    options = SamplingOptions(seed=5, temperature=1.0)
    found = engine.generate_as_published(GenerateRequest(waveform=wave, sampling=options)).clip
    assert found.num_frames == wanted.num_frames == 120 * num_windows
    np.testing.assert_allclose(found.poses, wanted.poses, atol=1e-5)
    np.testing.assert_allclose(found.trans, wanted.trans, atol=1e-5)
    np.testing.assert_allclose(found.expressions, wanted.expressions, atol=1e-5)


def test_compatible_text_is_as_long_as_its_longest_part(
    engine: PublishedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "MAX_WORDS", SHORT)
    result = engine.generate_as_published(
        GenerateRequest(directions=dict.fromkeys(PARTS, WALK), sampling=SamplingOptions(3, temperature=1.0))
    )
    assert len({len(codes) for codes in result.codes.values()}) == 1
    assert result.clip.num_frames == 4 * len(result.codes[Part.FACE])
    with pytest.raises(RequestError, match="whole body"):
        engine.generate_as_published(GenerateRequest({Part.LOWER: WALK}, speech(1.0)))


def test_filling_up_and_clamping() -> None:
    assert fitted([5, 6], 4) == [5, 6, 0, 0] and fitted([5, 6, 7], 2) == [5, 6]
    assert in_range([3, 258, 16], 16).tolist() == [[3, 15, 15]]


def test_published_parser(shared_dir: Path) -> None:
    import json

    cases = json.loads((shared_dir / "reference/lom-vectors/lm/strings.json").read_text("utf-8"))["parse"]
    vocabulary = Vocabulary(
        Layout.PUBLISHED, 32100, dict.fromkeys(PARTS, BlockSize(1, 256)), BlockSize(1, 500), 2
    )
    for name, case in cases.items():
        wanted = {part: case[made.WORDS[part]] for part in PARTS}
        assert parse_as_published(case["string"], vocabulary) == wanted, name


# --- blocks of exact length ------------------------------------------------------------------------------


@torch.no_grad()
def check_blocks(
    model: LanguageModel, vocabulary: Vocabulary, prompt: list[int], drawn: dict[Part, list[int]]
) -> None:
    """Every greedy choice is the likeliest of what was allowed, by a pass over the whole sequence."""
    ids, mask = torch.tensor([prompt]), torch.ones(1, len(prompt), dtype=torch.bool)
    memory = model.encode(ids, mask)
    written, left = [0], list(PARTS)

    def scores() -> torch.Tensor:
        states = model.decode(torch.tensor([written]), memory, mask)
        return model.logits(states, 0, vocabulary.size)[0, -1]

    while left and set(left) & set(drawn):
        part = max(left, key=lambda p: float(scores()[vocabulary.start(p)]))
        left.remove(part)
        written.append(vocabulary.start(part))
        first, stop = vocabulary.part_range(part, 0)
        for code in drawn[part]:
            assert int(scores()[first:stop].argmax()) == code
            written.append(first + code)
        written.append(vocabulary.end(part))


def test_greedy_blocks_are_the_likeliest(engine: PublishedEngine) -> None:
    model = loud_model(made.NUM_WORDS)
    vocabulary = engine.models[Release.SPEECH].model.vocabulary
    weights = TorchDecoderWeights(model)
    prompts = [[5, 6, 1], [40, 41, 42, 32200, 1]]
    request = BlockRequest(prompts, 4, PARTS, frozenset(PARTS), {}, torch.zeros(2, 16))
    drawn = write_blocks(weights, vocabulary, request, GREEDY)
    for row, prompt in enumerate(prompts):
        check_blocks(model, vocabulary, prompt, {part: codes[row].tolist() for part, codes in drawn.items()})
    # One row alone gives the same, and what is known stays.
    alone = replace(request, prompts=prompts[:1], uniform=torch.zeros(1, 16))
    again = write_blocks(weights, vocabulary, alone, GREEDY)
    assert all(torch.equal(again[part][0], drawn[part][0]) for part in PARTS)
    known = {Part.UPPER: torch.tensor([[7, 8, -1, 9]])}
    forced = write_blocks(weights, vocabulary, replace(alone, known=known), GREEDY)[Part.UPPER][0].tolist()
    assert forced[:2] == [7, 8] and forced[3] == 9 and 0 <= forced[2] < made.CODEBOOK


def test_writing_stops_when_the_wanted_parts_are_there(engine: PublishedEngine) -> None:
    loaded = engine.models[Release.SPEECH]
    for part in PARTS:
        request = BlockRequest([[5, 1]], 3, PARTS, frozenset([part]), {}, torch.zeros(1, 12))
        assert part in write_blocks(loaded.weights, loaded.model.vocabulary, request, GREEDY)
        only = replace(request, allowed=(part,))
        assert set(write_blocks(loaded.weights, loaded.model.vocabulary, only, GREEDY)) == {part}


# --- by default -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.26, 1.0, 4.0, 4.27, 9.99])
def test_length_equals_the_sound_to_the_frame(engine: PublishedEngine, seconds: float) -> None:
    result = engine.generate(GenerateRequest(waveform=speech(seconds)))
    num_frames = round(seconds * 30)
    assert result.clip.num_frames == num_frames
    assert result.clip.expressions.shape == (num_frames, 100) and result.clip.basis == "smplx"
    assert {part: len(codes) for part, codes in result.codes.items()} == dict.fromkeys(PARTS, num_frames)
    assert all(0 <= code < made.CODEBOOK for codes in result.codes.values() for code in codes)


def test_speech_and_text_are_two_runs_merged_by_parts(engine: PublishedEngine) -> None:
    wave = speech(3.1)
    request = GenerateRequest({Part.LOWER: WALK}, wave, plant_feet=False, sampling=GREEDY)
    merged = engine.generate(request)
    spoken = engine.generate(replace(request, directions={}))
    walked = engine.generate(
        replace(request, directions=dict.fromkeys(PARTS, WALK), waveform=None, duration_s=3.1)
    )
    assert merged.clip.num_frames == spoken.clip.num_frames == walked.clip.num_frames == 93
    expected = spoken.clip.with_part(Part.LOWER, walked.clip)
    assert np.array_equal(merged.clip.poses, expected.poses)
    assert np.array_equal(merged.clip.trans, expected.trans)
    assert len(merged.codes[Part.LOWER]) == math.ceil(93 / 4) and len(merged.codes[Part.FACE]) == 93
    # The text model knows neither face nor hands: they rest instead of holding its code 0.
    assert set(walked.codes) == {Part.UPPER, Part.LOWER}
    assert not walked.clip.expressions.any() and not walked.clip.poses[:, 25:].any()


def test_two_instructions_are_two_runs(engine: PublishedEngine) -> None:
    stand = PartDirection(Source.TEXT, "a man")
    request = GenerateRequest({Part.LOWER: WALK, Part.UPPER: stand}, duration_s=2.0, sampling=GREEDY)
    both = engine.generate(request)
    alone = engine.generate(replace(request, directions={Part.LOWER: WALK}))
    assert both.codes[Part.LOWER] == alone.codes[Part.LOWER]
    assert both.codes[Part.UPPER] != alone.codes[Part.UPPER]


def one_after_the_other(
    engine: PublishedEngine, asked: GenerateRequest, cuts: list[tuple[int, int]], size: int
) -> dict[Part, list[int]]:
    """What a line's windows are when each is written alone, the whole model run anew for every code."""
    model = engine.models[Release.SPEECH].model
    words, language = model.vocabulary, model.language
    assert asked.waveform is not None
    num_frames = round(len(asked.waveform) / 16000 * 30)
    sound = np.zeros((math.ceil(num_frames * 50 / 30) - 1) * 320 + 400, dtype=np.float32)
    sound[: len(asked.waveform)] = asked.waveform[: len(sound)]
    assert model.speech is not None
    heard = model.speech.encode(torch.from_numpy(sound)[None])[0].tolist()
    random = torch.Generator().manual_seed(asked.sampling.seed)
    codes = {part: torch.full((num_frames,), -1) for part in PARTS}
    order: list[Part] = []
    for start, _ in cuts:
        prompt = prompt_words(speech_prompt(heard, start, size, 30.0, model), model.words)
        encoded = language.encode(torch.tensor([prompt]), torch.ones((1, len(prompt)), dtype=torch.bool))
        uniform = torch.rand((1, 4 * size), generator=random)
        written = [0]

        def scores(encoded: torch.Tensor = encoded, written: list[int] = written) -> torch.Tensor:
            mask = torch.ones(encoded.shape[:2], dtype=torch.bool)
            states = language.decode(torch.tensor([written]), encoded, mask)[:, -1]
            return torch.nn.functional.linear(states, language.lm_head.weight)

        for number in range(4):
            if number == len(order):
                left = [part for part in PARTS if part not in order]
                order.append(max(left, key=lambda part: float(scores()[0, words.blocks[part].start])))
            part = order[number]
            block = words.blocks[part]
            written.append(block.start)
            for step in range(size):
                if codes[part][start + step] < 0:
                    possible = scores()[:, block.first : block.start]
                    codes[part][start + step] = int(
                        draw(possible, uniform[:, number * size + step], asked.sampling)
                    )
                written.append(block.first + int(codes[part][start + step]))
            written.append(block.end)
    return {part: values.tolist() for part, values in codes.items()}


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_windows_go_on_from_each_other(
    engine: PublishedEngine, monkeypatch: pytest.MonkeyPatch, temperature: float
) -> None:
    """Four at a time, they are what they are one after the other."""
    from engine.published import engine as module

    monkeypatch.setattr(module, "WINDOW_STEPS", 12)
    monkeypatch.setattr(module, "OVERLAP_STEPS", {Release.SPEECH: 3, Release.TEXT: 2})
    cuts = windows(62, 12, 3)
    assert cuts[:3] == [(0, 0), (9, 3), (18, 3)] and cuts[-1][1] > 3 and len(cuts) == 7
    asked = GenerateRequest(
        waveform=speech(62 / 30), sampling=SamplingOptions(seed=4, temperature=temperature)
    )
    with torch.inference_mode():
        expected = one_after_the_other(engine, asked, cuts, 12)
    assert engine.generate(asked).codes == expected


def test_a_long_line_needs_no_more_memory_than_its_windows_at_work(engine: PublishedEngine) -> None:
    weights = engine.models[Release.SPEECH].weights
    made: list[Any] = []
    start_rows = weights.start_rows

    def watched(*sizes: int) -> Any:
        made.append(sizes)
        return start_rows(*sizes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "start_rows", watched)
        result = engine.generate(GenerateRequest(waveform=speech(20.0)))
    assert [sizes[:2] for sizes in made] == [(4, 1 + 4 * 122)]
    assert {part: len(codes) for part, codes in result.codes.items()} == dict.fromkeys(PARTS, 600)


@pytest.mark.parametrize("room", [3, 1])
def test_where_memory_is_short_windows_are_written_one_at_a_time(
    engine: PublishedEngine, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    asked = GenerateRequest(waveform=speech(9.0), sampling=SamplingOptions(seed=2))
    expected = engine.generate(asked)
    weights, tried = engine.models[Release.SPEECH].weights, list[int]()
    start_rows = weights.start_rows

    def narrow(num_rows: int, length: int, memory_length: int) -> Any:
        tried.append(num_rows)
        if num_rows >= room:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return start_rows(num_rows, length, memory_length)

    monkeypatch.setattr(weights, "start_rows", narrow)
    if room == 1:
        with pytest.raises(
            DeviceError, match=r"not enough memory for this motion; make it in shorter pieces"
        ):
            engine.generate(asked)
    else:
        assert engine.generate(asked).codes == expected.codes
    assert tried == [3, 1]


@pytest.mark.parametrize("fast", [False, True])
def test_a_model_of_the_real_size_is_rounded_and_loses_what_it_does_not_need(
    fast: bool, pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.language import decoder
    from engine.published import engine as published_engine
    from engine.published import model as module

    monkeypatch.setattr(module, "is_large", lambda _: True)
    monkeypatch.setattr(decoder, "is_large", lambda _: True)
    monkeypatch.setattr(published_engine, "is_large", lambda _: True)
    loaded = load_engine(pack, "cpu", fast=fast)
    assert isinstance(loaded, PublishedEngine)
    one = loaded.models[Release.SPEECH]
    kept = torch.float16 if fast else torch.float32
    assert {weight.dtype for weight in one.model.language.parameters()} == {kept}
    result = loaded.generate(GenerateRequest(waveform=speech(1.0), sampling=GREEDY))
    assert result.clip.num_frames == 30 and "speech" not in one.model.__dict__, "heard, then forgotten"
    again = loaded.generate(GenerateRequest(waveform=speech(1.0), sampling=GREEDY))
    assert again.codes == result.codes
    if not fast:
        monkeypatch.undo()
        assert (
            load_engine(pack, "cpu").generate(GenerateRequest(waveform=speech(1.0), sampling=GREEDY)).codes
            == result.codes
        ), "not rounded, so the same"
    freely = loaded.generate_as_published(GenerateRequest(waveform=speech(0.5), sampling=GREEDY))
    assert freely.clip.num_frames == 120


def test_windows_are_shown_as_they_finish(engine: PublishedEngine) -> None:
    seen: list[Glimpse] = []
    request = GenerateRequest({Part.LOWER: WALK}, speech(10.0), plant_feet=False)
    result = engine.generate(request, show=seen.append)
    alone = engine.generate(request)
    assert result.codes == alone.codes and np.array_equal(result.clip.poses, alone.clip.poses)
    spoken = [glimpse for glimpse in seen if glimpse.parts == (Part.FACE, Part.HANDS, Part.UPPER)]
    merged = seen[len(spoken) :]
    for shown in (spoken, merged):  # the run for the speech, then the one for the words with all parts
        ends = [glimpse.first + glimpse.clip.num_frames for glimpse in shown]
        assert [glimpse.first for glimpse in shown] == [0, *ends[:-1]] and ends[-1] == 300
    assert len(spoken) == 3 and all(set(glimpse.parts) == set(PARTS) for glimpse in merged)
    assert (
        np.abs(merged[0].clip.poses[:, 25:] - result.clip.poses[: merged[0].clip.num_frames, 25:]).max()
        < 1e-4
    )
    shown = np.concatenate([glimpse.clip.pelvis_positions for glimpse in merged])
    steps, true = (np.linalg.norm(np.diff(p, axis=0), axis=1) for p in (shown, result.clip.pelvis_positions))
    assert 0.0 < steps.max() < 3.0 * true.max()


def test_the_same_seed_gives_the_same_motion(engine: PublishedEngine) -> None:
    requests = [GenerateRequest(waveform=speech(1.0), sampling=SamplingOptions(seed=s)) for s in (1, 1, 2)]
    first, same, other = engine.generate_many(requests)
    assert first.codes == same.codes and np.array_equal(first.clip.poses, same.clip.poses)
    assert first.codes != other.codes


def test_contacts_are_left_out_as_in_training(engine: PublishedEngine) -> None:
    """The root network was trained without contacts; only the compatible way passes them on."""
    from engine.tokenizers.assembly import root_motion

    tokenizers = engine.models[Release.SPEECH].model.tokenizers
    lower = torch.randn(20, 61, generator=torch.Generator().manual_seed(2))
    silent = lower.clone()
    silent[:, 57:] = 0.0
    ours, contacts = root_motion(tokenizers.root, lower, keep_contacts=False)
    assert np.array_equal(ours, root_motion(tokenizers.root, silent, keep_contacts=True)[0])
    assert not np.array_equal(ours, root_motion(tokenizers.root, lower, keep_contacts=True)[0])
    assert contacts.shape == (20, 4) and contacts.min() >= 0.0 and contacts.max() <= 1.0
    request = GenerateRequest(waveform=speech(1.0), plant_feet=False, sampling=GREEDY)
    result = engine.generate(request)
    features = tokenizers.parts[Part.LOWER].decode(torch.tensor([result.codes[Part.LOWER]]))[0]
    wanted, _ = root_motion(tokenizers.root, features, keep_contacts=False)
    np.testing.assert_allclose(result.clip.trans, wanted, atol=1e-5)


def test_kept_parts_stay_and_the_root_starts_under_them(engine: PublishedEngine) -> None:
    kept = Clip.rest(60, 30.0).moved(turn=0.7, shift=(2.0, -1.0))
    directions = {Part.FACE: PartDirection(Source.KEEP), Part.UPPER: PartDirection(Source.KEEP)}
    request = GenerateRequest(directions, speech(2.0), kept=kept, plant_feet=False)
    clip = engine.generate(request).clip
    assert clip.basis == "arkit" and np.array_equal(clip.expressions, kept.expressions)
    assert not clip.poses[:, [3, 6, 9, 12, 15]].any() and clip.poses[:, 25:].any()
    np.testing.assert_allclose(clip.pelvis_positions[0, [0, 2]], [2.0, -1.0], atol=1e-4)
    everything = GenerateRequest(dict.fromkeys(PARTS, PartDirection(Source.KEEP)), kept=kept, duration_s=2.0)
    assert np.array_equal(engine.generate(everything).clip.poses, kept.poses)


def test_a_stretch_starts_and_ends_with_kept_codes(engine: PublishedEngine) -> None:
    wave = speech(3.0)
    kept = engine.generate(GenerateRequest(waveform=wave, plant_feet=False)).clip
    request = GenerateRequest(waveform=wave, kept=kept, free=(30, 60), plant_feet=False)
    result = engine.generate(request)
    assert result.clip.num_frames == 90
    model = engine.models[Release.SPEECH].model
    from engine.motion.published_features import published_features

    features = torch.from_numpy(published_features(kept, model.layouts[Part.UPPER]))[None]
    known = model.tokenizers.parts[Part.UPPER].encode(features)[0].tolist()
    resultcodes = result.codes[Part.UPPER]
    assert resultcodes[:30] == known[:30] and resultcodes[60:] == known[60:]
    assert resultcodes[30:60] != known[30:60]


def test_sound_before_and_after_the_motion(engine: PublishedEngine) -> None:
    wave = speech(3.0)
    late = engine.generate(GenerateRequest(waveform=wave, duration_s=1.0, audio_start_s=1.0, sampling=GREEDY))
    cut = engine.generate(GenerateRequest(waveform=wave[16000:], duration_s=1.0, sampling=GREEDY))
    assert late.codes == cut.codes
    early = GenerateRequest(waveform=wave, duration_s=6.0, audio_start_s=-2.0)
    assert engine.generate(early).clip.num_frames == 180


BAD = [
    (GenerateRequest(), "no sound"),
    (GenerateRequest({Part.FACE: PartDirection(Source.BOTH, "a man")}, speech(1.0)), "speech and text"),
    (GenerateRequest(waveform=speech(1.0), emotion="anger"), "no emotion"),
    (GenerateRequest(waveform=speech(1.0), emotion="wrath"), "no emotion 'wrath'"),
    (GenerateRequest(waveform=speech(1.0), duration_s=1e9), "must last"),
    (GenerateRequest({Part.FACE: PartDirection(Source.KEEP)}, speech(1.0)), "motion to keep"),
]


@pytest.mark.parametrize(("request_", "message"), BAD)
def test_bad_requests(engine: PublishedEngine, request_: GenerateRequest, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        engine.generate(request_)


def test_a_model_that_is_not_in_the_pack(tmp_path: Path) -> None:
    import_published(made.download(tmp_path / "s"), tmp_path / "speech")
    import_published(made.download(tmp_path / "t", "text"), tmp_path / "text")
    with pytest.raises(PackError, match=r"cannot follow written instructions; import .* again"):
        load_engine(tmp_path / "speech", "cpu").generate(GenerateRequest({Part.LOWER: WALK}, speech(1.0)))
    text = load_engine(tmp_path / "text", "cpu")
    with pytest.raises(PackError, match="cannot follow speech"):
        text.generate(GenerateRequest(waveform=speech(1.0)))
    assert text.generate(GenerateRequest({Part.LOWER: WALK}, duration_s=1.0)).clip.num_frames == 30


def test_stopping(engine: PublishedEngine) -> None:
    left = iter([False] * 5 + [True] * 100)
    with pytest.raises(Cancelled):
        engine.generate(GenerateRequest(waveform=speech(2.0)), cancel=lambda: next(left))
    told: list[float] = []
    engine.generate(GenerateRequest({Part.LOWER: WALK}, speech(5.0)), lambda done, _: told.append(done))
    assert told == sorted(told) and told[0] == 0.0 and told[-1] == 1.0


def test_the_command(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import soundfile

    soundfile.write(tmp_path / "speech.wav", speech(1.2), 16000)
    arguments = ["generate", "--audio", str(tmp_path / "speech.wav"), "--out", str(tmp_path / "clip.npz")]
    assert main([*arguments, "--pack", str(pack), "--lower", "a man walks"]) == 0
    clip = load_npz(tmp_path / "clip.npz")
    assert clip.num_frames == 36 and clip.basis == "smplx" and clip.expressions.shape[1] == 100
    monkeypatch.setattr(decoding, "MAX_WORDS", SHORT)
    assert main([*arguments, "--pack", str(pack), "--compatible"]) == 0
    assert load_npz(tmp_path / "clip.npz").num_frames == 120
    write_tiny_pack(tmp_path / "tiny")
    assert main([*arguments, "--pack", str(tmp_path / "tiny"), "--compatible"]) == 1
    assert "compatible" in capsys.readouterr().err


def test_texts_that_are_too_long_keep_their_end(engine: PublishedEngine) -> None:
    model = engine.models[Release.SPEECH].model
    long = prompt_words(part_string(Part.FACE, [1] * 700, model.vocabulary), model.words)
    assert len(long) == MAX_WORDS and long[-1] == 1
