# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of stages 2 and 3: whole, as often as the recipe says, and by figures that stand in the recipe."""

from __future__ import annotations

import json
import math
import tomllib
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tokenizers import Tokenizer, models, pre_tokenizers

from engine.data.coding import Coded
from engine.data.readers.base import Record, Word
from engine.data.shards import Manifest, ShardWriter, shard_path, write_manifest
from engine.errors import DataError, EngineError
from engine.language.model import LanguageModel, LanguageModelConfig
from engine.specs import PARTS
from engine.tokenizers.vocabulary import published_vocabulary
from engine.training.language_stages import Draws, LanguageJob
from engine.training.loop import BOARD
from engine.training.place import Place
from engine.training.recipe import RECIPES, LanguageRecipe
from engine.training.stage_recipe import (
    STAGES,
    BackboneRecipe,
    HiddenRecipe,
    ModelRecipe,
    RunRecipe,
    SpanRecipe,
    StageRecipe,
    StreamRecipe,
    TokenizerNetwork,
    WindowRecipe,
    load_stage_recipe,
)
from engine.training.stages import check_lengths
from engine.training.task_loss import TextBatch
from engine.training.task_rows import PublishedRows
from engine.training.tasks.objectives import Objective
from engine.training.tasks.patterns import Kind
from engine.training.trainer import LOG, Trainer
from engine.training.window_source import JoinedWindows, WindowDraw, inset, sharded
from tests.stage_material import tiny_job, tiny_windows

AUDIO_HZ, STEP_HZ = 50.0, 7.5
WORD_S = 0.4
"""A word begins so often in the corpus below."""

SAID = {Objective.AUDIO_TO_TEXT.value, Objective.TEXT_TO_AUDIO.value}


def write_corpus(folder: Path, source: str, record: Record, coded: Coded) -> Path:
    levels = {part.value: 1 for part in PARTS} | {"audio": 1}
    manifest = Manifest(
        source=source,
        items="0",
        num_items=1,
        shard_items=1,
        tokenizers="f00",
        step_hz=STEP_HZ,
        audio_hz=AUDIO_HZ,
        levels=levels,
    )
    write_manifest(folder / source, manifest)
    writer = ShardWriter(manifest)
    writer.add(record, coded)
    writer.write(shard_path(folder / source, 0), [])
    return folder / source


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """40 s as BEAT2 has them, words with times, and a read sentence of 593 codes as LibriSpeech has them.

    Four sound codes in a row are the same, and tell when they are heard.
    """
    folder = tmp_path_factory.mktemp("corpora")
    words = tuple(Word(f"w{k}", k * WORD_S, k * WORD_S + 0.3) for k in range(round(40 / WORD_S)))
    steps = np.arange(300)[:, None]
    talk = Coded({part: steps % 256 for part in PARTS}, np.arange(2000)[:, None] // 4)
    read = Coded({}, np.arange(593)[:, None] // 4)
    return [
        write_corpus(folder, "beat2", Record("talk", "beat2", "train", words=words), talk),
        write_corpus(
            folder, "librispeech",
            Record("read", "librispeech", "train", transcript=" ".join(f"w{k}" for k in range(29))), read,
        ),
    ]  # fmt: skip


def published_job(name: str, corpora: list[Path]) -> LanguageJob:
    """A published recipe over the corpora, with a tiny model and one token per word."""
    recipe = load_stage_recipe(f"published/{name}")
    _, windows = recipe.language()
    vocabulary = published_vocabulary(face_size=256, body_size=256, audio_size=500)
    tokens = {"</s>": 1, "[UNK]": 2} | {f"w{k}": 3 + k for k in range(100)}
    tokenizer = Tokenizer(models.WordLevel(tokens, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    sizes = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_heads": 2, "num_layers": 1, "num_decoder_layers": 1}
    model = LanguageModel(LanguageModelConfig(vocab_size=vocabulary.size, **sizes))
    draw = WindowDraw(JoinedWindows([sharded(corpora, windows)]), windows.combined)
    rows = PublishedRows(vocabulary, tokenizer, windows.max_length)
    return LanguageJob(recipe, model, vocabulary, rows, Draws(draw, draw))


def sound_and_words(job: LanguageJob, ids: list[int]) -> tuple[list[int], list[int]]:
    """Codes of the sound in a source or target, and the numbers of the words of the corpus in it."""
    block = job.vocabulary.audio_block
    codes = [i - block.first for i in ids if block.first <= i < block.first + 500]
    if block.start in ids:
        assert ids.index(block.end) - ids.index(block.start) == len(codes) + 1, "whole and nothing between"
    return codes, [i - 3 for i in ids if 3 <= i < 103]


@pytest.mark.parametrize("name", ["pretraining", "pretraining-one-speaker", "all-tasks"])
def test_words_are_those_that_are_heard(name: str, corpora: list[Path]) -> None:
    """Windows of 16 s are 800 codes of sound; all of them are in the row, and the words said in them only."""
    job = published_job(name, corpora)
    lengths: Counter[int] = Counter()
    for step in range(20):
        batch = job.batch(Place(step, 0, 1, 0, 1))
        assert isinstance(batch, TextBatch) and int(batch.too_long.sum()) == 0
        for source, labels, task in zip(batch.ids, batch.labels, batch.tasks, strict=True):
            if job.tasks[int(task)] not in SAID:
                continue
            given, wanted = source[source > 0].tolist(), labels[labels > 0].tolist()
            assert given[-1] == wanted[-1] == PublishedRows.end
            codes, words = (
                one or other
                for one, other in zip(sound_and_words(job, given), sound_and_words(job, wanted), strict=True)
            )
            lengths[len(codes)] += 1
            begin, end = codes[0] * 4 / AUDIO_HZ, (codes[-1] + 1) * 4 / AUDIO_HZ
            inside = [k for k in range(100) if begin - 0.05 <= k * WORD_S and k * WORD_S + 0.3 <= end + 0.05]
            assert words[0] - inside[0] in (0, 1) and inside[-1] - words[-1] in (0, 1)
            assert words == list(range(words[0], words[-1] + 1))
    assert set(lengths) == {800, 587}, "587 of the 593 codes are whole steps of motion"


@pytest.mark.parametrize("name", ["pretraining", "pretraining-one-speaker", "all-tasks", "text", "speech"])
def test_published_windows_fit_their_rows(name: str) -> None:
    recipe = load_stage_recipe(f"published/{name}")
    codes_hz = 30.0 if name in ("text", "speech") else STEP_HZ
    check_lengths(recipe, AUDIO_HZ / codes_hz)
    assert recipe.windows is not None
    short = replace(recipe, windows=replace(recipe.windows, max_length=488))
    with pytest.raises(EngineError, match=r"need rows of \d+ tokens; the recipe's max_length is 488"):
        check_lengths(short, AUDIO_HZ / codes_hz)


def test_rows_that_are_too_long_are_left_out_and_counted() -> None:
    job = tiny_job("pretraining", layout="published")
    assert isinstance(job.rows, PublishedRows)
    job.rows.max_length = 60
    left_out, batches = 0, [job.batch(Place(step, 0, 1, 0, 1)) for step in range(10)]
    for batch in batches:
        assert max(batch.ids.shape[1], batch.labels.shape[1]) <= 60
        left_out += int(batch.too_long.sum())
        for row in (*batch.ids.tolist(), *batch.labels.tolist()):
            for block in (job.vocabulary.audio_block, *job.vocabulary.blocks.values()):
                assert row.count(block.start) == row.count(block.end), "a block that begins ends"
    assert left_out > 10
    with torch.no_grad():
        sums, counts = job.module(batches[0])
    number = (*job.names, *job.metrics).index("too_long")
    assert (float(sums[number]), float(counts[number])) == (float(batches[0].too_long.sum()), 8.0)
    job.rows.max_length = 5
    with pytest.raises(DataError, match="max_length"):
        job.batch(Place(0, 0, 1, 0, 1))


@pytest.mark.parametrize("layout", ["published", "starter"])
def test_speech_with_words_is_asked_about_as_often_as_the_recipe_says(layout: str) -> None:
    """A third of the windows has words and fits all six objectives: two of them are audio <-> text."""
    job = tiny_job("pretraining", layout=layout)
    job.recipe = replace(job.recipe, hidden=HiddenRecipe(margins=0.2))
    levels = {part: 1 for part in PARTS} if layout == "published" else None
    windows = tiny_windows(levels, 1, 8) if levels else tiny_windows()
    talking, walking, _ = windows
    source = JoinedWindows([[replace(talking, transcript="stand still"), walking, talking]])
    job.draws = Draws(WindowDraw(source), WindowDraw(source))
    told: Counter[str] = Counter()
    for step in range(50):
        told.update(job.tasks[int(task)] for task in job.batch(Place(step, 0, 1, 0, 1)).tasks)
    assert sum(told.values()) == 400
    expected = 400 / 3 * 2 / 6
    assert abs(told["audio_to_text"] + told["text_to_audio"] - expected) < 3 * (expected * 8 / 9) ** 0.5
    assert set(told) == set(Objective)


def test_sound_beyond_the_motion_is_for_the_starters_motion_alone() -> None:
    """Its share is the recipe's; tasks about words take the window whole, and its words with it."""
    talking = replace(tiny_windows()[0], transcript="stand still")
    inner = inset(talking)[0].num_steps
    for layout, margins, expected in (("starter", 0.2, 0.8), ("starter", 1.0, 0.0), ("published", 0.2, 0.0)):
        job = tiny_job("tuning", layout=layout)
        job.recipe = replace(job.recipe, hidden=HiddenRecipe(margins=margins))
        shorter = total = 0
        for seed in range(300):
            example, told = job._example(talking, np.random.default_rng(seed))
            if isinstance(example.target, str):
                assert example.target in ("fear", "stand still")
                if example.target == "stand still":
                    assert len(example.inputs[0].codes) == 2 * talking.num_steps and told.heard is None
                continue
            if example.task.startswith("audio_to_motion"):
                total += 1
                shorter += len(example.target[0].codes) == inner
                assert (told.heard is None) is (len(example.target[0].codes) == talking.num_steps)
        assert total > 30 and abs(shorter / total - expected) < 0.2


def figures(recipe: StageRecipe) -> dict[str, set[str]]:
    """Figures that a recipe of this stage, layout and mixture uses, by table."""
    found = {"run": names(RunRecipe)}
    if recipe.stage == "tokenizer":
        return found | {"network": names(TokenizerNetwork)}
    if recipe.stage == "four-part":
        streams = names(StreamRecipe) - {"shortest_steps"}
        return found | {"backbone": names(BackboneRecipe), "streams": streams}
    starter_only = {"word_limit", "time_reach", "depth_ff", "reads"}
    if recipe.stage == "later-speech":
        return found | {"model": names(ModelRecipe) - starter_only, "streams": names(StreamRecipe)}
    model, _ = recipe.language()
    published = model.layout == "published"
    found["model"] = names(ModelRecipe) - (starter_only if published else {"words"})
    found["windows"] = names(WindowRecipe) - (
        {"phases", "performance_phases"} if published else {"max_length"}
    )
    found["hidden"] = set() if published else names(HiddenRecipe)
    if recipe.stage == "pretraining":
        found["spans"] = names(SpanRecipe) - {"gap_share", "quoted"}
        return found
    wanted = set(recipe.mixture)
    captioned = {Kind.TEXT_TO_MOTION, Kind.AUDIO_TEXT_TO_MOTION}
    found["spans"] = {
        name
        for name, kinds in (
            ("head_share", {Kind.CONTINUE}), ("gap_share", {Kind.IN_BETWEEN}), ("quoted", captioned),
        )
        if wanted & kinds
    }  # fmt: skip
    return found


def names(table: type) -> set[str]:
    return {item.name for item in fields(table)}


BY_EXPERIMENT = {
    "run": {"save_steps", "evaluate_steps", "evaluate_batches", "seed"},
    "model": {"start"},
    "windows": {"phases", "performance_phases"},
}
"""What the experiments set themselves, or their data has."""


@pytest.mark.parametrize("path", sorted(STAGES.rglob("*.toml")), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_figure_that_is_used_stands_in_the_recipe(path: Path) -> None:
    """None is left to a default that nobody sees, and none stands there that does nothing."""
    told = tomllib.loads(path.read_text(encoding="utf-8"))
    for table, wanted in figures(load_stage_recipe(path)).items():
        if path.parent.name.startswith("experiments"):
            wanted = wanted - BY_EXPERIMENT.get(table, set())
        assert set(told.get(table, {})) == wanted, table


def test_held_out_rows_are_measured(tmp_path: Path) -> None:
    """A stage of one task has the perplexity of its loss; all measures are in the log and on the board."""
    for layout, stream in (("starter", "words"), ("published", "tokens")):
        job = tiny_job("tuning", layout=layout, evaluate_steps=4, max_steps=8)
        task = "motion_to_emotion"
        job = LanguageJob(
            replace(job.recipe, mixture={task: 1.0}), job.model, job.vocabulary, job.rows, job.draws
        )
        Trainer(job, job.recipe.run, tmp_path / layout).run()
        lines = [json.loads(line) for line in (tmp_path / layout / LOG).read_text().splitlines()]
        held = [line for line in lines if "held_out_loss" in line]
        assert [line["step"] for line in held] == [4, 8]
        for line in held:
            assert line[f"held_out_perplexity_{task}"] == pytest.approx(math.exp(line["held_out_loss"]))
            assert 0.0 <= line[f"held_out_accuracy_{stream}"] <= 1.0
        assert held[-1][f"held_out_accuracy_{stream}"] > 0.9, "one label, learned by heart"
        shown = EventAccumulator(str(tmp_path / layout / BOARD)).Reload().Tags()["scalars"]
        assert {name for name in held[-1] if name.startswith("held_out")} <= set(shown)
        trained = [line for line in lines if "norm" in line]
        assert not any(name.startswith(("accuracy", "perplexity")) for line in trained for name in line)


@pytest.mark.parametrize("layout", ["starter", "published"])
def test_measures_add_up_to_the_loss(layout: str) -> None:
    """Nats of all tasks are those of all streams, and a code is right if no other is likelier."""
    job = tiny_job("pretraining", layout=layout)
    module, batch = job.module.eval(), job.batch(Place(0, 0, 1, 0, 1))
    with torch.no_grad():
        sums, counts = module(batch)
        again, _ = module.train()(batch)
    found = dict(
        zip((*job.names, *job.metrics), zip(sums.tolist(), counts.tolist(), strict=True), strict=True)
    )
    losses = [found[name] for name in job.names]
    tasks = [found[name] for name in job.metrics if name.startswith("perplexity")]
    assert sum(n for n, _ in tasks) == pytest.approx(sum(n for n, _ in losses), rel=1e-4)
    assert sum(c for _, c in tasks) == sum(c for _, c in losses) == job.count(batch)
    assert sum(c > 0 for _, c in tasks) > 2
    torch.testing.assert_close(again[: len(job.names)], sums[: len(job.names)])
    right = [found[f"accuracy_{name}"] for name in job.names]
    assert [c for _, c in right] == [c for _, c in losses] and sum(n for n, _ in right) > 0
    if isinstance(batch, TextBatch):
        model = job.model.eval()
        with torch.no_grad():
            states = model.decode(batch.inputs, model.encode(batch.ids, batch.mask), batch.mask)
            told = model.logits(states, 0, model.config.vocab_size).argmax(2)
        assert right[0][0] == int((told == batch.labels).sum())


@pytest.mark.parametrize("name", ["starter", "starter_gpu"])
def test_the_starters_recipes_say_what_is_hidden(name: str) -> None:
    """Of rows beside the requests too, and what the objectives and tasks in them hide."""
    told = tomllib.loads((RECIPES / f"{name}.toml").read_text(encoding="utf-8"))
    asked = {"pretraining": told["language"]["pretraining"]}
    asked |= {part: told[part]["questions"] for part in ("tuning", "finish", "further") if part in told}
    assert len(asked) == (2 if name == "starter" else 4)
    for part, figures in asked.items():
        assert set(figures["hidden"]) == names(HiddenRecipe), part
        of_words = {"gap_share", "quoted"}
        expected = names(SpanRecipe) - of_words if part == "pretraining" else {"head_share", *of_words}
        assert set(figures["spans"]) == expected, part
    defaults = {"favoured", "marked"}  # of packs that are trained on
    nested = {"pretraining"}
    assert set(told["language"]) - nested == names(LanguageRecipe) - defaults
