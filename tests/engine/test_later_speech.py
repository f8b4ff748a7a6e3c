# SPDX-License-Identifier: GPL-3.0-or-later
"""Training the second version's T5 on the codes of the four-part model: rows, the stage, and its file."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import AddedToken
from torch.nn import functional

from engine.data.four_part_codes import StreamCodes
from engine.errors import EngineError, PackError
from engine.language.text_encoder import read_tokenizer
from engine.published.four_part import NUM_CODES, steps_of
from engine.published.language import OLDER_SECOND_ROWS, PREFIX, recognise_language
from engine.published.prompts import request_for
from engine.specs import PARTS, Part
from engine.tokenizers.published_strings import token_strings
from engine.training.later_speech_stage import (
    MAX_LENGTH,
    LaterSpeechJob,
    later_row,
    later_vocabulary,
    shortened,
)
from engine.training.place import Place
from engine.training.stage_recipe import load_stage_recipe, stage_recipe_path
from engine.training.task_loss import TextBatch, collate_text
from engine.training.task_rows import INSTRUCTION_TOKENS, PublishedRows

for package in ("transformers", "accelerate"):
    pytest.importorskip(package, reason=f"needs {package} (requirements of training)")

from .published_files import save_words  # noqa: E402
from .test_four_part_training import prepare, training, windows_of, write_corpus  # noqa: E402

SIZES = {"d_model": 16, "d_ff": 24, "d_kv": 8, "num_heads": 2, "num_layers": 1, "num_decoder_layers": 1}


@pytest.fixture
def rows(tmp_path: Path) -> PublishedRows:
    """At full size of the vocabulary, of which few pieces are words."""
    return PublishedRows.read(later_vocabulary(), save_words(tmp_path / "tokenizer.json"), MAX_LENGTH)


def codes_of(num_steps: int, parts: tuple[Part, ...] = PARTS) -> StreamCodes:
    audio = np.arange(2 * num_steps) + 16000
    return StreamCodes(
        audio, {part: np.arange(num_steps * steps_of(part)) + 50 * PARTS.index(part) for part in parts}
    )


def small_recipe(folder: Path, **more: object) -> Path:
    """The published recipe for a small model and a few float32 steps; everything else is as it stands."""
    text = stage_recipe_path("published/speech-v2").read_text(encoding="utf-8")
    words = save_words(folder / "tokenizer.json")
    changes = {
        "precision": '"no"', "max_steps": 30, "batch": 2, "learning_rate": 1e-2, "log_steps": 1,
        "evaluate_steps": 10, "evaluate_batches": 1, "start": '""', "words": f'"{words}"', "window_steps": 12,
        "shortest_steps": 3, "stride_steps": 12, "min_steps": 6, "dropout": 0.0, **SIZES, **more,
    }  # fmt: skip
    for key, value in changes.items():
        text, count = re.subn(rf"(?m)^{key} = [^#\n]*", lambda _, k=key, v=value: f"{k} = {v} ", text)
        assert count == 1, key
    path = folder / "speech-v2.toml"
    path.write_text(text, encoding="utf-8")
    return path


# --- rows -----------------------------------------------------------------------------------------------


def test_a_row_token_by_token(rows: PublishedRows) -> None:
    """Spec 4.1: its ids, and the blocks of its forced plan."""
    row = later_row(rows, codes_of(2))
    assert row.target == [
        32615, *range(32103, 32111), 32616,
        32874, 32618 + 50, 32618 + 51, 32875,
        33133, 32877 + 100, 32877 + 101, 33134,
        33392, 33136 + 150, 33136 + 151, 33393,
        1,
    ]  # fmt: skip
    assert len(row.target) == 7 * 2 + 9
    sound = [33395 + 16386, *(33395 + number for number in range(16000, 16004)), 33395 + 16387]
    before, behind = (
        rows.tokenizer.encode(text, add_special_tokens=False).ids
        for text in (
            "Based on ",
            ", generate a synchronized movement sequence involving both upper, lower, face and hands body.",
        )
    )
    assert row.source == [*before, *sound, *behind, 1]


def test_the_request_is_the_published_string(rows: PublishedRows, tmp_path: Path) -> None:
    """The same ids as of the whole string with the codes among T5's words, as the release does it."""
    codes, vocabulary = codes_of(2), later_vocabulary()
    text = request_for(codes.audio.tolist(), vocabulary)
    assert text.startswith("Based on <audio_id_16386><audio_id_16000>") and "<audio_id_16387>, gen" in text
    words = read_tokenizer(tmp_path / "tokenizer.json")
    words.add_tokens([AddedToken(word, special=False, normalized=True) for word in token_strings(vocabulary)])
    assert words.get_vocab_size() == vocabulary.size
    assert later_row(rows, codes).source == words.encode(text).ids


def test_a_face_alone_teaches_its_block_and_the_end(rows: PublishedRows) -> None:
    """Spec 3.4: nothing from the hands' first id to the lower body's last one."""
    whole, face = later_row(rows, codes_of(2)), later_row(rows, codes_of(2, (Part.FACE,)))
    assert face.source == whole.source and face.target == [*whole.target[:10], *[-100] * 12, 1]
    batch = collate_text([whole, face])
    assert batch.inputs[1].tolist() == [0, *whole.target[:10], *[0] * 12], "transformers shifts labels so"


def test_windows_of_full_length_fit(rows: PublishedRows) -> None:
    number = np.zeros(256, np.int64)
    parts = {part: number.repeat(steps_of(part)) for part in PARTS}
    row = later_row(rows, StreamCodes(np.zeros(512, np.int64), parts))
    assert len(row.target) == 7 * 256 + 9 <= MAX_LENGTH and 512 + 2 + INSTRUCTION_TOKENS + 1 <= MAX_LENGTH


def test_pieces_of_windows_share_their_time() -> None:
    random, lengths = np.random.default_rng(0), set[int]()
    for _ in range(100):
        piece = shortened(codes_of(8), 2, random)
        count, begin = piece.num_steps, (int(piece.audio[0]) - 16000) // 2
        lengths.add(count)
        assert piece.audio.tolist() == list(range(16000 + 2 * begin, 16000 + 2 * (begin + count)))
        for part in PARTS:
            first = 50 * PARTS.index(part) + begin * steps_of(part)
            assert piece.parts[part].tolist() == list(range(first, first + count * steps_of(part)))
    assert lengths == set(range(2, 9))
    assert shortened(codes_of(3), 5, random).num_steps == 3


# --- the stage ------------------------------------------------------------------------------------------


def test_the_published_figures() -> None:
    recipe = load_stage_recipe("published/speech-v2")
    run, (model, streams) = recipe.run, recipe.later_speech()
    assert (run.learning_rate, run.beta_1, run.beta_2, run.weight_decay) == (2e-4, 0.9, 0.99, 0.0)
    assert (run.batch, run.precision, run.seed) == (8, "bf16", 1234)
    assert run.floor * run.learning_rate == pytest.approx(1e-6)
    assert (streams.window_steps, streams.shortest_steps, MAX_LENGTH) == (256, 64, 2048)
    speech, _ = load_stage_recipe("published/speech").language()
    assert replace(model, start="", words="") == replace(speech, start="", words="")
    vocabulary = later_vocabulary()
    assert vocabulary.size == OLDER_SECOND_ROWS == 49784
    assert {part: size.codebook_size for part, size in vocabulary.parts.items()} == NUM_CODES
    with pytest.raises(EngineError, match="choose published/speech-v2"):
        load_stage_recipe("published/four-part").later_speech()


def test_it_learns_and_its_file_has_published_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Codes, the stage, and its weights through transformers' own T5."""
    from transformers import T5Config, T5ForConditionalGeneration

    write_corpus(tmp_path)
    assert prepare(tmp_path) == 0
    run, corpus, recipe = tmp_path / "run", tmp_path / "codes" / "beat2", small_recipe(tmp_path)
    assert training(monkeypatch, "stage", "--recipe", recipe, "--shards", corpus, "--out", run) == 0
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    losses = [line["tokens"] for line in lines if "norm" in line]
    assert len(losses) == 30 and losses[-1] < 0.7 * losses[0]
    held = [line for line in lines if "held_out_loss" in line]
    assert len(held) == 3 and held[-1]["held_out_loss"] < held[0]["held_out_loss"] + 1
    assert 0 <= held[-1]["held_out_accuracy_tokens"] <= 1

    out = tmp_path / "speech_v2.ckpt"
    assert training(monkeypatch, "export-later-speech", "--weights", run / "best.pt", "--out", out) == 0
    state = torch.load(out, weights_only=True)["state_dict"]
    shapes = {name.removeprefix(PREFIX): tuple(tensor.shape) for name, tensor in state.items()}
    with pytest.raises(PackError, match="second version's older language model"):
        recognise_language(shapes, out.name)
    made: Any = T5Config
    config = made(
        vocab_size=49784, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_decoder_layers=1, num_heads=2,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False, dropout_rate=0.0,
    )  # fmt: skip
    theirs = T5ForConditionalGeneration(config).eval()
    theirs.lm_head = torch.nn.Linear(16, 49784, bias=False)
    theirs.load_state_dict({name.removeprefix(PREFIX): tensor for name, tensor in state.items()})

    job = LaterSpeechJob(load_stage_recipe(recipe), *windows_of(corpus))
    job.module.load_state_dict(torch.load(run / "best.pt", weights_only=True)["model"])
    batch = job.held_out(Place(0, 0, 1, 0, 1))
    sums, counts = job.module.eval()(batch)
    with torch.no_grad():
        found = theirs(input_ids=batch.ids, attention_mask=batch.mask.long(), decoder_input_ids=batch.inputs)
        wanted = functional.cross_entropy(found.logits.flatten(0, 1), batch.labels.flatten())
    assert float((sums[0] / counts[0]).detach()) == pytest.approx(float(wanted), rel=1e-4)

    torch.save({"model": {}, "job": {"stage": "tuning"}, "progress": {}}, tmp_path / "best.pt")
    for told, said in (
        (("--weights", tmp_path / "best.pt"), "of another stage"),
        (("--weights", tmp_path / "other.pt"), "no other.pt in"),
        ((), "--weights FOLDER/best.pt"),
    ):
        assert training(monkeypatch, "export-later-speech", *told, "--out", tmp_path / "no.ckpt") == 1
        assert said in capsys.readouterr().err
    assert not (tmp_path / "no.ckpt").exists()
    assert training(monkeypatch, "stage", "--recipe", recipe, "--out", tmp_path / "none") == 1
    assert "--shards" in capsys.readouterr().err


def test_batches_are_drawn_again_alike_and_begin_with_flan(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    assert prepare(tmp_path) == 0
    windows = windows_of(tmp_path / "codes" / "beat2")
    job = LaterSpeechJob(load_stage_recipe(small_recipe(tmp_path)), *windows)
    one, again = (job.batch(Place(3, 0, 1, 0, 1)) for _ in range(2))
    assert isinstance(one, TextBatch) and torch.equal(one.labels, again.labels)
    assert any(not torch.equal(one.labels, job.batch(Place(step, 0, 1, 0, 1)).labels) for step in (4, 5, 6))
    assert job.count(one) == int((one.labels != -100).sum())
    assert sum(job.count(job.batch(Place(3, 0, 1, process, 2))) for process in range(2)) == job.count(one)
    assert max(len(row) for row in job.held_out(Place(0, 0, 1, 0, 1)).labels) == 7 * 12 + 9

    flan = tmp_path / "flan"
    flan.mkdir()
    save_words(flan / "tokenizer.json")
    state = job.model.state_dict()
    given = {name: torch.randn_like(tensor) for name, tensor in state.items() if name != "reading.weight"}
    for name in ("shared.weight", "lm_head.weight"):
        given[name] = given[name][:32128].clone()
    torch.save(given, flan / "pytorch_model.bin")
    recipe = small_recipe(tmp_path, start=f'"{flan}"', words='""')
    started = LaterSpeechJob(load_stage_recipe(recipe), *windows).model.state_dict()
    for name, tensor in given.items():
        table = name in ("shared.weight", "lm_head.weight")
        assert torch.equal(started[name][:32100] if table else started[name], tensor[:32100]), name
    assert not torch.equal(started["shared.weight"][32100:32128], given["shared.weight"][32100:])
