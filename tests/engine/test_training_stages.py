# SPDX-License-Identifier: GPL-3.0-or-later
"""Stages 2 and 3 on tiny data: objectives, rows, losses, and packs that answer in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.asking import Asker, AskRequest
from engine.data.feature_files import write_features
from engine.data.readers.base import Item, Record
from engine.errors import DataError, EngineError, PackError
from engine.language.layout import AUDIO_MARGIN, BLOCK_ORDER, Condition, fill_decoder, plan_decoder
from engine.language.model import ABSENT, LanguageModel, LanguageModelConfig
from engine.language.task_layout import Question, TimedCodes, lay_out
from engine.language.words import WordList, collect_words
from engine.motion.clip import Clip
from engine.motion.published_features import Layout
from engine.packs import load_pack
from engine.pipeline import load_engine
from engine.specs import EMOTIONS, PARTS, Part
from engine.tokenizers.vocabulary import published_vocabulary
from engine.training.language_stages import language_config, start_from
from engine.training.place import Place
from engine.training.stage_recipe import STAGES, load_stage_recipe, stage_recipe_path
from engine.training.stages import StageData, tokenizer_job
from engine.training.task_loss import count_targets
from engine.training.task_rows import PublishedRows
from engine.training.tasks.objectives import Objective, draw_objective, fits, hidden_spans, make_example
from engine.training.tasks.patterns import Kind
from engine.training.tokenizer_stage import join_tokenizers
from engine.training.trainer import Trainer
from engine.training.window_source import JoinedWindows, WindowDraw, inset
from tests.stage_material import LEVELS, tiny_job, tiny_recipe, tiny_vocabulary, tiny_windows


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_every_recipe_can_be_read() -> None:
    names = sorted(path.relative_to(STAGES).with_suffix("").as_posix() for path in STAGES.rglob("*.toml"))
    recipes = {name: load_stage_recipe(name) for name in names}
    assert {"published/pretraining", "published/speech", "published/text", "starter/tuning"} <= set(names)
    trained = {r.network.part for r in recipes.values() if r.network is not None}
    assert trained == {*(part.value for part in PARTS), "root"}
    for name, recipe in recipes.items():
        known = {"pretraining": set(Objective), "tuning": set(Kind)}.get(recipe.stage, set[str]())
        assert set(recipe.mixture) <= known, name
    stages = {"tokenizer", "pretraining", "tuning", "four-part", "later-speech"}
    assert {r.stage for r in recipes.values()} == stages
    assert set(recipes["starter/tuning"].mixture) == set(Kind)
    assert set(recipes["starter/pretraining"].mixture) == set(Objective)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("batch = 24", 'batch = "24"', "batch"),
        ("batch = 24", "batch = 24\nbatches = 1", "batches"),
        ("max_steps = 20000", "", "max_steps"),
        ('stage = "tuning"', 'stage = "tokenizer"', "stage"),
        ('precision = "bf16"', 'precision = "half"', "precision"),
    ],
)
def test_a_broken_recipe_is_named(tmp_path: Path, before: str, after: str, reason: str) -> None:
    text = stage_recipe_path("starter/tuning").read_text(encoding="utf-8")
    assert before in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises(EngineError, match=rf"mine\.toml.*{reason}"):
        load_stage_recipe(path)


@pytest.mark.parametrize(
    ("features", "reason"),
    [("face113", "not a valid Layout"), ("upper78", "upper78 is no layout of the face")],
)
def test_channels_of_another_part_are_named(tmp_path: Path, features: str, reason: str) -> None:
    text = stage_recipe_path("published/face-v2").read_text(encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('"face112"', f'"{features}"'), encoding="utf-8")
    with pytest.raises(EngineError, match=rf"mine\.toml.*{reason}"):
        load_stage_recipe(path)


def test_spans_reach_the_whole_sequence() -> None:
    seen = np.zeros(40, int)
    for seed in range(300):
        hidden = hidden_spans(40, 0.25, 2, 6, rng(seed))
        assert hidden.sum() == 10
        seen += hidden
    assert seen.min() > 0.5 * seen.max(), "every step is hidden about as often"
    assert hidden_spans(4, 1.0, 1, 9, rng()).sum() == 3, "one step stays visible"
    edges = np.flatnonzero(np.diff(np.pad(hidden_spans(400, 0.05, 5, 5, rng(1)).astype(int), 1)))
    lengths = (edges[1::2] - edges[::2]).tolist()
    assert len(lengths) > 2 and 5 in lengths and max(lengths) <= 10, "single steps come in spans"


def test_parts_share_the_hidden_steps() -> None:
    recipe = tiny_recipe("pretraining")
    window = tiny_windows()[0]
    example = make_example(Objective.MASKED_MOTION, window, rng(), recipe.spans)
    masks = [(block.codes < 0).all(axis=1) for block in example.inputs]
    assert len(masks) == len(PARTS) and masks[0].any() and all((m == masks[0]).all() for m in masks)
    assert not isinstance(example.target, str)
    for given, wanted in zip(example.inputs, example.target, strict=True):
        assert (given.codes == wanted.codes)[~masks[0]].all() and (wanted.codes >= 0).all()


def test_spatial_draws_every_pair_of_disjoint_subsets() -> None:
    recipe, window = tiny_recipe("pretraining"), tiny_windows()[0]
    pairs = set()
    for seed in range(1500):
        example = make_example(Objective.SPATIAL, window, rng(seed), recipe.spans)
        given, wanted = (frozenset(b.part for b in blocks) for blocks in (example.inputs, example.target))
        assert given and wanted and not given & wanted
        pairs.add((given, wanted))
    assert len(pairs) == 3**4 - 2 * 2**4 + 1  # 3^n - 2 * 2^n + 1 ordered pairs of non-empty disjoint sets


def test_objectives_need_what_they_are_made_of() -> None:
    recipe = tiny_recipe("pretraining")
    talking, walking, read = tiny_windows()
    assert {o for o in Objective if fits(o, talking)} == set(Objective) - {
        Objective.AUDIO_TO_TEXT,
        Objective.TEXT_TO_AUDIO,
    }
    assert fits(Objective.AUDIO_TO_TEXT, read) and not fits(Objective.SPATIAL, read)
    with pytest.raises(DataError, match="fits no objective"):
        draw_objective(walking, rng(), {"masked_audio": 1.0})
    speech = make_example(Objective.TEXT_TO_AUDIO, read, rng(), recipe.spans)
    assert read.transcript in speech.text and not isinstance(speech.target, str)
    rest = make_example(Objective.CONTINUATION, walking, rng(), recipe.spans)
    assert not isinstance(rest.target, str)
    for head, tail in zip(rest.inputs, rest.target, strict=True):
        assert head.part is not None
        np.testing.assert_array_equal(np.concatenate([head.codes, tail.codes]), walking.parts[head.part])


def test_words_can_be_written_and_spelled(tmp_path: Path) -> None:
    words = collect_words(["Walk forward.", "he's jumping"], ["to be or not to be", "be quick"], 13)
    assert set(EMOTIONS) <= set(words.words) and {"walk", "he's", "jumping"} <= set(words.words)
    assert "be" in words.words and "quick" not in words.words, "the commonest words come first"
    for text in ("walk forward", "he's quick to go", "xyzzy 42 walk", "a bb a"):
        assert words.decode(words.encode(text)) == text
    assert len(words.encode("walk")) == 1 and len(words.encode("quick")) == 5
    path = tmp_path / "words.json"
    path.write_text(words.to_json())
    assert WordList.read(path) == words
    path.write_text('["Walk", "walk"]')
    with pytest.raises(PackError):
        WordList.read(path)


def test_answers_are_laid_out_as_in_generation() -> None:
    """The decoder's side of a task is the one the engine draws: same tokens, same times."""
    vocabulary = tiny_vocabulary()
    codes = {part: torch.randint(0, 16, (1, 6 * LEVELS[part])) for part in BLOCK_ORDER}
    plan = plan_decoder(BLOCK_ORDER, 6, vocabulary)
    answer = [TimedCodes(part, codes[part].view(6, -1)) for part in BLOCK_ORDER]
    row = lay_out(Question(Condition.empty(), [], 0), vocabulary, answer)
    filled = fill_decoder(plan, codes, vocabulary)[0]
    assert torch.equal(row.inputs[:, : filled.shape[1]], filled)
    assert torch.equal(row.key_times, plan.key_times) and torch.equal(row.query_times, plan.query_times)
    for part in BLOCK_ORDER:
        begin, levels = plan.starts[part], LEVELS[part]
        first = torch.tensor([vocabulary.part_range(part, level)[0] for level in range(levels)])
        assert torch.equal(row.targets[begin : begin + 6, :levels] - first, codes[part].view(6, -1))
        assert bool((row.targets[begin + 6 : begin + 8] == ABSENT).all()), "starts and ends are not learned"


def test_rows_of_one_batch_do_not_touch_each_other() -> None:
    job = tiny_job("tuning")
    batch = job.batch(Place(0, 0, 1, 0, 1))
    module = job.module.eval()
    with torch.no_grad():
        sums, counts = module(batch)
        alone = [module(job.batch(Place(0, 0, 1, row, 8))) for row in range(8)]
    torch.testing.assert_close(sum(s for s, _ in alone), sums, rtol=1e-4, atol=1e-3)
    assert torch.equal(sum(c for _, c in alone), counts)
    assert float(counts[: len(job.names)].sum()) == count_targets(batch)


def test_sound_goes_on_beyond_a_window() -> None:
    window = tiny_windows()[0]
    inner, heard = inset(window)
    assert heard is not None and inner.audio is not None and window.audio is not None
    assert len(heard) == 2 * inner.num_steps + 2 * AUDIO_MARGIN
    np.testing.assert_array_equal(heard[AUDIO_MARGIN:-AUDIO_MARGIN], inner.audio)
    np.testing.assert_array_equal(window.parts[Part.LOWER][3:-3], inner.parts[Part.LOWER])


def test_combined_windows_come_with_both(tmp_path: Path) -> None:
    draw = WindowDraw(JoinedWindows([tiny_windows()]), combined=1.0)
    drawn = [draw.draw(rng(seed)) for seed in range(30)]
    both = [w for w in drawn if w.audio is not None and w.captions]
    assert both and all(set(w.described) <= {Part.LOWER, Part.UPPER} for w in both)


@pytest.mark.parametrize("stage", ["pretraining", "tuning"])
def test_a_stage_learns(stage: str, tmp_path: Path) -> None:
    job = tiny_job(stage)
    outcome = Trainer(job, job.recipe.run, tmp_path).run()
    first, last = (np.mean([outcome.losses[s] for s in steps]) for steps in (range(1, 5), range(21, 25)))
    assert last < 0.9 * first
    assert outcome.progress.done and outcome.progress.best_step > 0
    assert (tmp_path / "best.pt").exists() and list(tmp_path.rglob("events.out.tfevents.*"))


def test_the_published_layout_spells_codes_as_words(tmp_path: Path) -> None:
    job = tiny_job("tuning", layout="published")
    assert isinstance(job.rows, PublishedRows)
    vocabulary = job.vocabulary
    batch = job.batch(Place(0, 0, 1, 0, 1))
    assert bool((batch.labels[:, 0] != -100).all())
    starts = {vocabulary.start(part) for part in PARTS} | {vocabulary.audio_start}
    assert starts & set(batch.ids.flatten().tolist()) and starts & set(batch.labels.flatten().tolist())
    ends = [int(row[row != -100][-1]) for row in batch.labels]
    assert set(ends) == {PublishedRows.end}
    outcome = Trainer(job, job.recipe.run, tmp_path).run(stop_at=12)
    assert outcome.losses[12] < outcome.losses[1]


def test_published_weights_are_one_switch(tmp_path: Path) -> None:
    """A folder with T5's files fills the model; rows of added words begin near the words' mean."""
    from safetensors.torch import save_file

    vocabulary = published_vocabulary(face_size=8, body_size=8, audio_size=8)
    sizes = {"d_model": 16, "d_kv": 4, "d_ff": 24, "num_heads": 2, "num_layers": 1, "num_decoder_layers": 1}
    torch.manual_seed(0)
    theirs = LanguageModel(LanguageModelConfig(vocab_size=32128, **sizes))
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    ours = LanguageModel(LanguageModelConfig(vocab_size=vocabulary.size, **sizes))
    start_from(ours, tmp_path, vocabulary)
    assert torch.equal(ours.shared.weight[:32100], theirs.shared.weight[:32100])
    added = ours.lm_head.weight[32100:]
    assert not torch.equal(added[:28], theirs.lm_head.weight[32100:32128])
    assert bool(((added.mean(0) - theirs.lm_head.weight[:32100].mean(0)).abs() < 0.2).all())
    for name, tensor in theirs.state_dict().items():
        if name not in ("shared.weight", "lm_head.weight"):
            assert torch.equal(ours.state_dict()[name], tensor)
    wider = LanguageModel(replace(ours.config, d_ff=32))
    with pytest.raises(EngineError, match="another size"):
        start_from(wider, tmp_path, vocabulary)


def test_a_trained_stage_becomes_a_pack_that_answers(tmp_path: Path) -> None:
    from tests.stage_material import write_asking_pack

    pack, clips = write_asking_pack(tmp_path)
    engine = load_engine(pack.root, "cpu")
    asker = Asker(engine)
    answers = [asker.emotion(AskRequest(clip)) for clip in clips]
    assert [answer.label for answer in answers] == ["anger", "sadness"], "two clips learned by heart"
    assert all(sum(a.probabilities.values()) == pytest.approx(1.0, abs=1e-5) for a in answers)
    assert set(answers[0].probabilities) == set(EMOTIONS)
    said = [asker.describe(AskRequest(clip)).text for clip in clips]
    assert said == ["walk forward", "jump"]
    ranked = asker.rank(AskRequest(clips[1]), ["walk forward", "stand still", "jump"])
    assert ranked[0].text == "jump" and ranked[0].log_probability > ranked[1].log_probability


def test_published_tokenizers_train_from_feature_files(tmp_path: Path) -> None:
    """Stage 1: a corpus -> feature files -> two networks with the published losses."""
    corpus = TwoClips()
    assert write_features(corpus, (Layout.UPPER_78, Layout.LOWER_61), tmp_path).problems == []
    for part, family, layout in (("upper", "dsus_paper", "upper78"), ("root", "conv_plain", "lower61")):
        recipe = load_stage_recipe(f"published/{part}")
        assert recipe.network is not None
        assert (recipe.network.family, recipe.network.features) == (family, layout)
        recipe = replace(
            recipe,
            network=replace(recipe.network, width=8, codebook_size=8, num_layers=2, window_frames=32),
            run=replace(recipe.run, max_steps=12, batch=4, learning_rate=5e-3, evaluate_batches=1),
        )
        job = tokenizer_job(recipe, StageData(features=[tmp_path / "tiny"]))
        assert len(job.train) == len(range(0, 90 - 31, 20))  # whole seconds only
        losses = Trainer(job, recipe.run, tmp_path / part).run().losses
        assert losses[12] < losses[1]
    with pytest.raises(EngineError, match="train that tokenizer"):
        join_tokenizers(tmp_path, tmp_path / "tokenizers.pt")
    with pytest.raises(DataError, match=r"holds lower61, upper78 at 30 .* not face106 at 30; make these"):
        tokenizer_job(load_stage_recipe("published/face"), StageData(features=[tmp_path / "tiny"]))


class TwoClips:
    """A corpus of one training and one validation clip of three seconds."""

    source = "tiny"

    def items(self) -> list[Item]:
        return [Item("a", "train"), Item("b", "val")]

    def read(self, item: Item) -> Record:
        random = np.random.default_rng(len(item.split))
        rest = Clip.rest(95, 30)
        swing = np.sin(np.arange(95)[:, None, None] * 0.2) * random.normal(0, 0.3, (1, 55, 3))
        clip = replace(rest, poses=swing.astype(np.float32))
        return Record(item.name, self.source, item.split, clip=clip, parts=PARTS)


@pytest.mark.parametrize("stage", ["pretraining", "tuning"])
def test_the_starters_stages_build_the_starters_model(repository: Path, stage: str) -> None:
    """All but the words, which each run collects, and the dropout of training."""
    shipped = load_pack(repository / "packs/starter").table("language_model")
    recipe, _ = load_stage_recipe(f"starter/{stage}").language()
    own = language_config(recipe, tiny_vocabulary(3), shipped["text_width"]).to_dict()
    assert own | {name: shipped[name] for name in ("vocab_size", "embedding_offset", "dropout")} == shipped
