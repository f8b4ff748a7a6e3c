# SPDX-License-Identifier: GPL-3.0-or-later
"""Training the four-part language model: codes, streams, the stage, and its file through the import."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.data.__main__ import main as data_main
from engine.data.feature_files import record_features
from engine.data.four_part_codes import (
    HeldOut,
    StreamCodes,
    StreamSource,
    StreamWindows,
    read_streams,
    write_streams,
)
from engine.data.readers.base import Item, Record
from engine.data.readers.beat2 import Beat2Reader
from engine.errors import DataError, EngineError
from engine.pipeline import load_engine
from engine.published.four_part import NUM_ADDED, ORDER, StreamWords, steps_of
from engine.published.four_part_engine import FourPartEngine
from engine.published.four_part_files import FOUR_PART_LAYOUTS
from engine.published.importer import import_published
from engine.published.qwen import PREFIX, QwenConfig, QwenModel
from engine.specs import PARTS, GenerateRequest, Part, SamplingOptions
from engine.training.__main__ import main as training_main
from engine.training.four_part_stage import (
    FourPartJob,
    FourPartLoss,
    StreamBatch,
    collate_streams,
    stream_row,
)
from engine.training.place import Place
from engine.training.stage_recipe import load_stage_recipe, stage_recipe_path
from engine.training.trainer import parameter_groups

from .test_data_readers import write_beat2

for package in ("transformers", "accelerate"):
    pytest.importorskip(package, reason=f"needs {package} (requirements of training)")

from .test_published_four_part import BASE, download, qwen, sound, vocab  # noqa: E402

TAKES = [("2_scott_0_1_1", "train"), ("2_scott_0_2_2", "train"), ("2_scott_0_3_3", "train")]
SIZES = {"num_words": BASE, "d_model": 32, "d_ff": 48, "num_layers": 3, "num_heads": 4, "num_key_heads": 2,
         "head_width": 16}  # fmt: skip


def training(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["engine.training", *map(str, words)])
    return training_main()


def write_sounds(folder: Path, count: int = 50) -> Path:
    """Codes of four seconds of sound for each take."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, _) in enumerate(TAKES):
        np.save(folder / f"{name}.npy", sound(count, seed)[None])
    return folder


def write_corpus(root: Path) -> None:
    """Three takes of four seconds and what was heard in them, and the published files."""
    write_beat2(root / "BEAT2", TAKES, frames=127)
    write_sounds(root / "heard")
    torch.manual_seed(0)
    download(root / "files")


def prepare(root: Path, *words: object) -> int:
    told = ["four-part", "--source", "beat2", "--root", root / "BEAT2", "--tokenizers", root / "files"]
    told += ["--sound-codes", root / "heard", "--processes", 1, "--out", root / "codes", *words]
    return data_main([str(word) for word in told])


def windows_of(
    folder: Path, window: int = 12, stride: int = 12, least: int = 6
) -> tuple[StreamWindows, StreamWindows]:
    held = HeldOut(0.03, 0)
    return read_streams([folder], ("train",), held, window_steps=window, stride_steps=stride, min_steps=least)


def small_recipe(folder: Path, **more: object) -> Path:
    """The published recipe for a small model and a few float32 steps; everything else is as it stands."""
    text = stage_recipe_path("published/four-part").read_text(encoding="utf-8")
    changes = {
        "precision": '"no"', "max_steps": 40, "batch": 2, "warm_up": 2, "learning_rate": 3e-3, "log_steps": 1,
        "evaluate_steps": 10, "evaluate_batches": 1, "start": '""', "window_steps": 12, "stride_steps": 12,
        "min_steps": 6, **SIZES, **more,
    }  # fmt: skip
    for key, value in changes.items():
        text, count = re.subn(rf"(?m)^{key} = [^#\n]*", f"{key} = {value} ", text)
        assert count == 1, key
    path = folder / "four-part.toml"
    path.write_text(text, encoding="utf-8")
    return path


# --- streams --------------------------------------------------------------------------------------------


def codes_of(num_steps: int, parts: tuple[Part, ...] = PARTS) -> StreamCodes:
    audio = np.arange(2 * num_steps) + 100
    return StreamCodes(
        audio, {part: np.arange(num_steps * steps_of(part)) + 7 * ORDER.index(part) for part in parts}
    )


def test_a_stream_word_by_word() -> None:
    """Spec 4.2, with the numbers of its own table of words."""
    words, at = StreamWords(**vocab()), vocab()
    ids, labels = stream_row(words, codes_of(2))
    prompt = [at["bos"], *(at["audio_offset"] + c for c in (100, 101, 102, 103)), at["sep"]]
    answer = [
        at["face_s"], *(at["face_offset"] + c for c in range(8)),
        at["up_s"], at["upper_offset"] + 7, at["upper_offset"] + 8,
        at["low_s"], at["lower_offset"] + 14, at["lower_offset"] + 15,
        at["hand_s"], at["hand_offset"] + 21, at["hand_offset"] + 22,
        at["eos"],
    ]  # fmt: skip
    assert ids == prompt + answer
    assert labels == [-100] * 6 + answer


def test_a_face_alone_teaches_its_codes_and_the_marks() -> None:
    words, at = StreamWords(**vocab()), vocab()
    ids, labels = stream_row(words, codes_of(2, (Part.FACE,)))
    whole = stream_row(words, codes_of(2))[0]
    assert len(ids) == len(whole) and ids[:15] == whole[:15]
    marks = [at["up_s"], -100, -100, at["low_s"], -100, -100, at["hand_s"], -100, -100, at["eos"]]
    assert labels == [-100] * 6 + whole[6:15] + marks
    places = [index for index, label in enumerate(labels) if index > 14 and label == -100]
    assert [ids[index] for index in places] == [
        at[f"{name}_offset"] for name in ("upper", "lower", "hand") for _ in range(2)
    ]


def test_shorter_rows_are_filled_up_behind_their_ends() -> None:
    words = StreamWords(**vocab())
    rows = [stream_row(words, codes_of(2)), stream_row(words, codes_of(3))]
    batch = collate_streams(words, rows)
    assert batch.ids.shape == batch.labels.shape == (2, 34)
    assert batch.ids[1].tolist() == rows[1][0] and batch.labels[1].tolist() == rows[1][1]
    assert batch.ids[0].tolist() == [*rows[0][0], *[vocab()["pad"]] * 9]
    assert batch.labels[0].tolist() == [*rows[0][1], *[-100] * 9]


def test_the_loss_is_that_of_transformers() -> None:
    """With labels that transformers shifts itself, as the release's program does."""
    theirs, words = qwen(), StreamWords(**vocab())
    batch = collate_streams(words, [stream_row(words, codes_of(2)), stream_row(words, codes_of(3))])
    model = QwenModel(QwenConfig(BASE + NUM_ADDED, 32, 48, 3, 4, 2, 16))
    model.load_state_dict(
        {k.removeprefix(PREFIX): v for k, v in theirs.state_dict().items() if k != "lm_head.weight"}
    )
    loss = FourPartLoss(model).eval()
    sums, counts = loss(batch)
    attended = (batch.ids != words.pad).long()
    with torch.no_grad():
        wanted = theirs(input_ids=batch.ids, attention_mask=attended, labels=batch.labels).loss
    assert counts.tolist() == [19 + 26] * 2
    assert float((sums[0] / counts[0]).detach()) == pytest.approx(float(wanted), rel=1e-4)
    sums, counts = loss.train()(batch)
    assert counts.tolist() == [45, 0] and sums[1] == 0


def test_bfloat16_learns_the_same() -> None:
    """The recipe's precision: weights stay float32, and gradients point where those of float32 do."""
    words = StreamWords(**vocab())
    batch = collate_streams(words, [stream_row(words, codes_of(2)), stream_row(words, codes_of(3))])
    torch.manual_seed(0)
    loss = FourPartLoss(QwenModel(QwenConfig(BASE + NUM_ADDED, 32, 48, 3, 4, 2, 16)))
    found: list[tuple[float, torch.Tensor]] = []
    for rounded in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=rounded):
            sums, _ = loss(batch)
        loss.zero_grad()
        sums[0].backward()
        gradients = [weight.grad.flatten() for weight in loss.parameters() if weight.grad is not None]
        assert len(gradients) == len(list(loss.parameters()))
        found.append((float(sums[0].detach()), torch.cat(gradients)))
    (plain, one), (rough, other) = found
    assert rough != plain and rough == pytest.approx(plain, rel=0.01) and other.dtype == torch.float32
    assert float(torch.cosine_similarity(one, other, dim=0)) > 0.99


def test_what_decays() -> None:
    """Spec 4.2: neither norms nor embeddings."""
    recipe = load_stage_recipe("published/four-part").run
    module = FourPartLoss(QwenModel(QwenConfig(BASE + NUM_ADDED, 32, 48, 1, 4, 2, 16)))
    names = {id(weight): name for name, weight in module.named_parameters()}
    decays = {
        names[id(weight)]: group["weight_decay"]
        for group in parameter_groups(module, recipe)
        for weight in group["params"]
    }
    assert set(decays) == set(names.values())
    for name, decay in decays.items():
        assert decay == (0.0 if "norm" in name or "embed" in name else 0.05), name


# --- codes ----------------------------------------------------------------------------------------------


def test_codes_are_the_tokenizers_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_corpus(tmp_path)
    assert prepare(tmp_path) == 0
    assert "3 records read, 0 left out" in capsys.readouterr().out
    train, held = windows_of(tmp_path / "codes" / "beat2", 25, 25, 25)
    assert (len(train), len(held)) == (2, 1)
    coder = StreamSource(tmp_path / "files", tmp_path / "heard").load()
    assert train.tokenizers == held.tokenizers == coder.fingerprint
    reader = Beat2Reader(tmp_path / "BEAT2")
    found = sorted([held[0], train[0], train[1]], key=lambda codes: codes.audio.tolist())
    sounds = sorted((sound(50, seed) for seed in range(3)), key=lambda codes: codes.tolist())
    features = record_features(reader.read(reader.items()[0]), list(FOUR_PART_LAYOUTS.values()), 25)
    for codes, heard in zip(found, sounds, strict=True):
        assert codes.audio.tolist() == heard.tolist() and codes.num_steps == 25
        for part, layout in FOUR_PART_LAYOUTS.items():
            frames = torch.from_numpy(features[layout])[None]
            wanted = coder.tokenizers[part].encode(frames)[0]
            assert codes.parts[part].tolist() == wanted.tolist() and len(wanted) == 25 * steps_of(part)


def test_windows_share_their_time(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    assert prepare(tmp_path) == 0
    folder = tmp_path / "codes" / "beat2"
    whole, _ = windows_of(folder, 25, 25, 25)
    train, held = windows_of(folder, 10, 8, 6)
    assert (len(train), len(held)) == (6, 3), "0 to 10, 8 to 18 and 16 to 25"
    for index in range(6):
        window, source, begin = train[index], whole[index // 3], 8 * (index % 3)
        end = min(begin + 10, 25)
        assert window.audio.tolist() == source.audio[2 * begin : 2 * end].tolist()
        for part in PARTS:
            many = steps_of(part)
            assert window.parts[part].tolist() == source.parts[part][begin * many : end * many].tolist()
    assert len(windows_of(folder, 12, 12, 6)[1]) == 2 and len(windows_of(folder, 12, 12, 1)[1]) == 3
    with pytest.raises(DataError, match=r"fewer than two recordings of 4\.16 s"):
        windows_of(folder, 26, 26, 26)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "2_scott_0_2_2.npy is missing from heard"),
        (np.array([16384] * 50), "2_scott_0_2_2.npy holds numbers outside 0 to 16383"),
        (np.zeros(100, np.int64), "2_scott_0_2_2.npy is 8.0 s of sound at 12.5 codes a second, but"),
        (np.zeros(50, np.float32), "2_scott_0_2_2.npy cannot be read as a listened-to sound"),
    ],
)
def test_a_wrong_sound_names_itself_and_the_rest_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Any, said: str
) -> None:
    write_corpus(tmp_path)
    path = tmp_path / "heard" / "2_scott_0_2_2.npy"
    path.unlink()
    if content is not None:
        np.save(path, content)
    assert prepare(tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"left out 2_scott_0_2_2: {said}") and len(lines) == 2
    assert lines[1] == "2 records read, 1 left out"
    train, held = windows_of(tmp_path / "codes" / "beat2", 25, 25, 25)
    assert len(train) == len(held) == 1


class FaceReader:
    """BEAT2's takes, of which the first has its face alone, and the second none."""

    source = "made"

    def __init__(self, root: Path) -> None:
        self.reader = Beat2Reader(root)

    def items(self) -> list[Item]:
        """As BEAT2."""
        return self.reader.items()

    def read(self, item: Item) -> Record:
        """Fewer parts."""
        record = self.reader.read(item)
        number = [name for name, _ in TAKES].index(item.name)
        parts = ((Part.FACE,), (Part.UPPER, Part.LOWER), PARTS)[number]
        return replace(record, parts=parts)


def test_records_of_a_face_alone(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    source = StreamSource(tmp_path / "files", tmp_path / "heard")
    total = write_streams(FaceReader(tmp_path / "BEAT2"), source, tmp_path / "codes")
    assert total.records == 2 and [problem.item for problem in total.problems] == ["2_scott_0_2_2"]
    assert "has no face" in total.problems[0].reason
    train, held = windows_of(tmp_path / "codes" / "made", 25, 25, 25)
    found = {tuple(codes.audio.tolist()): set(codes.parts) for codes in (train[0], held[0])}
    assert found == {tuple(sound(50, 0).tolist()): {Part.FACE}, tuple(sound(50, 2).tolist()): set(PARTS)}


def test_what_cannot_be_prepared_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_corpus(tmp_path)
    assert prepare(tmp_path, "--sound-codes", tmp_path / "none") == 1
    assert "no folder none" in capsys.readouterr().err
    face = tmp_path / "files" / "pretrained_cpt/face/face_lom.ckpt"
    face.rename(tmp_path / "face_lom.ckpt")
    assert prepare(tmp_path) == 1
    assert "face/face_lom.ckpt" in capsys.readouterr().err
    assert not (tmp_path / "codes").exists()
    (tmp_path / "face_lom.ckpt").rename(face)
    for path in (tmp_path / "heard").iterdir():
        path.unlink()
    assert prepare(tmp_path) == 1
    assert "No recording of beat2 can be used" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        data_main(["four-part", "--source", "beat2", "--root", str(tmp_path)])


def test_an_imported_pack_makes_the_same_codes(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    pack = import_published(tmp_path / "files", tmp_path / "pack").pack.root
    one = StreamSource(tmp_path / "files", tmp_path / "heard").load()
    assert StreamSource(pack, tmp_path / "heard").load().fingerprint == one.fingerprint


# --- the stage ------------------------------------------------------------------------------------------


def test_the_published_figures() -> None:
    recipe = load_stage_recipe("published/four-part")
    run, (backbone, streams) = recipe.run, recipe.four_part()
    assert (run.learning_rate, run.beta_1, run.beta_2, run.weight_decay) == (2e-4, 0.9, 0.95, 0.05)
    assert (run.warm_up, run.floor, run.clip, run.batch) == (500, 0.1, 1.0, 4)
    assert (run.max_steps, run.precision, streams.held_share) == (40000, "bf16", 0.03)
    assert streams.window_steps * 2 == 512
    words = StreamWords.from_rows(backbone.num_words + NUM_ADDED)
    assert (words.base, words.face_offset, words.bos) == (151936, 151936 + 16384, 151936 + 16384 + 1280)
    longest = stream_row(words, codes_of(256))[0]
    assert len(longest) == 512 + 7 * 256 + 7 <= 2560


def test_a_trained_model_takes_the_published_ones_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Codes, the stage, the file, and the import with that file in it, which then generates."""
    write_corpus(tmp_path)
    assert prepare(tmp_path) == 0
    run, corpus = tmp_path / "run", tmp_path / "codes" / "beat2"
    told = ("stage", "--recipe", small_recipe(tmp_path), "--shards", corpus, "--out", run)
    assert training(monkeypatch, *told) == 0
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    losses = [line["tokens"] for line in lines if "norm" in line]
    assert len(losses) == 40 and losses[0] == pytest.approx(np.log(BASE + NUM_ADDED), rel=0.05)
    assert losses[-1] < 0.7 * losses[0]
    rates = [line["rate"] for line in lines if "norm" in line]
    assert rates[0] == pytest.approx(1.5e-3, rel=0.01) and max(rates) < 3e-3 and rates[-1] < 3.2e-4
    held = [line for line in lines if "held_out_loss" in line]
    assert len(held) == 4 and 0 <= held[-1]["held_out_accuracy_tokens"] <= 1

    file = tmp_path / "files" / "qwen3-0.6B_4part.pt"
    published = torch.load(file, weights_only=True)
    assert training(monkeypatch, "export-four-part", "--weights", run / "best.pt", "--out", file) == 0
    content = torch.load(file, weights_only=True)
    assert set(content) == set(published) and content["cfg"] == published["cfg"]
    assert content["vocab"] == published["vocab"] == vocab()
    assert {k: v.shape for k, v in content["model"].items()} == {
        k: v.shape for k, v in published["model"].items()
    }
    best = min(held, key=lambda line: line["held_out_loss"])
    assert (content["step"], content["val_loss"], content["val_acc"]) == (
        best["step"], best["held_out_loss"], best["held_out_accuracy_tokens"],
    )  # fmt: skip

    loaded = load_engine(import_published(tmp_path / "files", tmp_path / "pack").pack.root, "cpu")
    assert isinstance(loaded, FourPartEngine)
    trained = content["model"]["model.embed_tokens.weight"]
    assert torch.equal(loaded.language.embed_tokens.weight, trained[BASE:])
    greedy = SamplingOptions(temperature=0.0)
    result = loaded.generate(GenerateRequest(audio_codes=sound(25), sampling=greedy))
    assert result.clip.num_frames == 60 and set(result.codes) == set(PARTS)


def test_the_backbone_keeps_what_it_knew(tmp_path: Path) -> None:
    """In one file or several, its own words and layers are kept; another model is named."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    write_corpus(tmp_path)
    assert prepare(tmp_path) == 0
    train, held = windows_of(tmp_path / "codes" / "beat2")
    torch.manual_seed(1)
    config = Qwen3Config(
        vocab_size=BASE, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, tie_word_embeddings=True,
    )  # fmt: skip
    theirs: Any = Qwen3ForCausalLM(config)
    for name, size in (("one", "1GB"), ("several", "20KB")):
        folder = tmp_path / name
        theirs.save_pretrained(folder, max_shard_size=size)
        assert (len(list(folder.glob("*.safetensors"))) > 1) is (name == "several")
        recipe = load_stage_recipe(small_recipe(tmp_path, start=f'"{folder}"'))
        model = FourPartJob(recipe, train, held).model
        for key, tensor in theirs.model.state_dict().items():
            mine = model.state_dict()[key]
            assert torch.equal(mine[:BASE] if key == "embed_tokens.weight" else mine, tensor), key
        new = model.embed_tokens.weight[BASE:]
        assert len(new) == NUM_ADDED and bool(new.std(0).min() > 0) and float(new.detach().abs().max()) < 0.2
    for changes, said in (
        ({"d_model": 64}, "another size at model"),
        ({"num_layers": 4}, r"lacks model\.layers\.3"),
        ({"num_heads": 3}, "cannot be built"),
    ):
        recipe = load_stage_recipe(small_recipe(tmp_path, start=f'"{tmp_path / "one"}"', **changes))
        with pytest.raises(EngineError, match=said):
            FourPartJob(recipe, train, held)


def test_batches_are_drawn_again_alike(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    assert prepare(tmp_path) == 0
    recipe = load_stage_recipe(small_recipe(tmp_path))
    job = FourPartJob(recipe, *windows_of(tmp_path / "codes" / "beat2"))
    one, again = (job.batch(Place(3, 0, 1, 0, 1)) for _ in range(2))
    assert isinstance(one, StreamBatch) and torch.equal(one.ids, again.ids)
    assert any(not torch.equal(one.ids, job.batch(Place(step, 0, 1, 0, 1)).ids) for step in range(4, 9))
    assert job.count(one) == int((one.labels != -100).sum())
    halves = [job.batch(Place(3, 0, 1, process, 2)) for process in range(2)]
    assert sum(map(job.count, halves)) == job.count(one)


def test_runs_that_make_no_file_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "file.pt"
    torch.save({"model": {}, "job": {"stage": "tuning"}, "progress": {}}, tmp_path / "best.pt")
    for told, said in (
        (("--weights", tmp_path / "best.pt"), "of another stage"),
        (("--weights", tmp_path / "other.pt"), "no other.pt in"),
        ((), "--weights FOLDER/best.pt"),
    ):
        assert training(monkeypatch, "export-four-part", *told, "--out", out) == 1
        assert said in capsys.readouterr().err
    assert not out.exists()
    assert training(monkeypatch, "stage", "--recipe", "published/four-part", "--out", tmp_path / "run") == 1
    assert "--shards" in capsys.readouterr().err
