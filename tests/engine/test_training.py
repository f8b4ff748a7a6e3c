# SPDX-License-Identifier: GPL-3.0-or-later
"""Training: recipes, batches, a loss that falls, and runs that resume."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from engine.errors import EngineError
from engine.language.layout import AUDIO_MARGIN, BLOCK_ORDER, window_audio
from engine.language.model import LanguageModel, LanguageModelConfig
from engine.language.words import collect_words
from engine.motion.features import STARTER_DIMS
from engine.specs import PARTS, Part, Source
from engine.tokenizers.vocabulary import BlockSize, Vocabulary, starter_vocabulary
from engine.training import language_training
from engine.training.language_training import batch_loss, finish_language, train
from engine.training.loop import BOARD, Schedule
from engine.training.motion_losses import MotionLoss
from engine.training.questions import Asked, Questions
from engine.training.recipe import Recipe, load_recipe
from engine.training.task_rows import StarterRows
from engine.training.windows import CodedSequence, WindowMixer
from engine.windows import OVERLAP_STEPS
from tests.stage_material import tiny_encoder

LEVELS = {Part.FACE: 2, Part.HANDS: 1, Part.UPPER: 2, Part.LOWER: 2}
VOCABULARY = starter_vocabulary(
    {p: BlockSize(q, 16) for p, q in LEVELS.items()}, BlockSize(2, 16), num_text=50
)

CONFIG = LanguageModelConfig(
    vocab_size=VOCABULARY.size,
    embedding_offset=50,
    d_model=32,
    d_kv=8,
    d_ff=64,
    num_heads=4,
    num_layers=1,
    num_decoder_layers=1,
    text_width=12,
    time_reach=8,
    depth_ff=24,
    dropout=0.0,
)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe("starter")


def sequence(num_steps: int, parts: tuple[Part, ...], action: str) -> CodedSequence:
    codes = {part: torch.randint(0, 16, (num_steps, LEVELS[part])) for part in parts}
    performed = Part.FACE in parts
    audio = torch.arange(num_steps * 2)[:, None].expand(-1, 2) % 16 if performed else None
    return CodedSequence(codes, audio, () if performed else (0, 1), action, "fear" if performed else None)


def mixer(recipe: Recipe, seed: int = 0, **changes: object) -> WindowMixer:
    torch.manual_seed(seed)
    body = (Part.LOWER, Part.UPPER)
    captured = [([sequence(40, body, "walk_forward")], 1.0), ([sequence(14, body, "jump")], 1.0)]
    performed = [[sequence(50, PARTS, "speech")], [sequence(50, PARTS, "idle")]]
    language = replace(recipe.language, **changes)  # type: ignore[arg-type]
    return WindowMixer(
        captured, performed, [torch.randn(5, 12), torch.randn(7, 12)], VOCABULARY, language, seed
    )


def test_recipe_scales_its_times_only(recipe: Recipe) -> None:
    half = load_recipe("starter", 0.5)
    assert half.language.minutes == pytest.approx(recipe.language.minutes / 2)
    assert half.minutes == pytest.approx(recipe.minutes / 2)
    assert half.language.max_steps == recipe.language.max_steps
    assert recipe.minutes < 147, "with 3 minutes for the data, 2.5 hours in all"


def test_broken_recipe_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[data]\nphases = 4\n")
    with pytest.raises(EngineError, match=r"mine\.toml"):
        load_recipe(path)


def test_batches_hold_what_rows_ask(recipe: Recipe) -> None:
    drawn = mixer(recipe)
    sources, short, hidden, num_steps = set(), False, 0, 0
    for _ in range(40):
        batch = drawn.batch(6)
        assert batch.inputs.shape == (6, batch.plan.length, batch.plan.width)
        assert set(batch.learned) <= set(batch.plan.order)
        for part in batch.plan.order:
            codes = batch.targets[part]
            assert codes.shape == (6, batch.plan.num_codes(part))
            short |= bool((codes < 0).any())
            begin = batch.plan.starts[part]
            masked = batch.inputs[:, begin + 1 : begin + 1 + batch.plan.num_steps, 0] == VOCABULARY.mask(part)
            behind = (codes < 0).view(6, batch.plan.num_steps, -1).any(dim=2)
            assert bool((masked | ~behind).all()), "what lies behind the end is never shown"
            if part in batch.learned:
                hidden += int((masked & ~behind).sum())
                num_steps += int((~behind).sum())
            else:
                assert torch.equal(masked, behind), "parts to keep are seen whole"
        header = batch.encoder.ids[:, 2:9:2, 0].flatten().tolist()
        sources |= set(header)
    assert short, "the 14-step jump must appear in longer windows"
    expected = recipe.language.hidden["steps"] / 2  # the share of hidden steps is even between none and all
    assert abs(hidden / num_steps - expected) < 0.05
    assert {VOCABULARY.source(s) for s in (*Source, None)} <= sources


def test_the_whole_past_of_a_block_can_be_hidden(recipe: Recipe) -> None:
    hidden = {**recipe.language.hidden, "steps": 0.0, "past": 1.0}
    batch = mixer(recipe, hidden=hidden, layouts={"all_parts": 1.0}).batch(6)
    for part in batch.learned:
        begin = batch.plan.starts[part]
        shown = batch.inputs[:, begin + 1 : begin + 1 + batch.plan.num_steps, 0]
        assert bool((shown == VOCABULARY.mask(part)).all())


def test_what_goes_on_in_the_middle_is_learned_behind_the_overlap(recipe: Recipe) -> None:
    shares, nothing = {"worded_legs": 1.0}, dict.fromkeys(recipe.language.hidden, 0.0)
    own = replace(recipe.language, layouts=shares, hidden={**nothing, "past": 1.0}, short_window_share=0.0)
    turn = sequence(80, (Part.LOWER, Part.UPPER), "turn_left")
    states = [torch.randn(5, 12), torch.randn(7, 12)]
    spoken = [[sequence(50, PARTS, "speech")]]
    drawn = WindowMixer([([turn], 1.0)], spoken, states, VOCABULARY, own, 0)
    batch, levels = drawn.batch(64), LEVELS[Part.LOWER]
    targets = batch.targets[Part.LOWER].view(64, own.window_steps, levels)
    unlearned = (targets < 0).all(dim=2)
    later = unlearned[:, 0]
    assert 4 < int(later.sum()) < 28, "a quarter of the windows, but for those that begin early by chance"
    assert torch.equal(unlearned[:, :OVERLAP_STEPS], later[:, None].expand(-1, OVERLAP_STEPS))
    assert not unlearned[:, OVERLAP_STEPS:].any()
    shown = batch.inputs[:, 1 : 1 + own.window_steps, 0] != VOCABULARY.mask(Part.LOWER)
    assert torch.equal(shown, unlearned), "the overlap alone is seen where all of the past is hidden"
    first = torch.where(later, batch.inputs[:, 1, 0] - VOCABULARY.part_range(Part.LOWER, 0)[0], -1)
    assert not set(first[later].tolist()) - set(turn.parts[Part.LOWER][4:, 0].tolist())


def test_worded_legs_are_the_lower_body_by_words(recipe: Recipe) -> None:
    drawn = mixer(recipe, layouts={"worded_legs": 1.0}, hidden=dict.fromkeys(recipe.language.hidden, 0.0))
    for _ in range(5):
        batch = drawn.batch(8)
        assert batch.plan.order == batch.learned == (Part.LOWER,)
        assert batch.encoder.is_text.any(dim=1).all(), "every row has words"


def test_a_recipe_may_have_a_finish_of_its_own(recipe: Recipe, tmp_path: Path) -> None:
    assert recipe.finish is None
    full = load_recipe("starter_gpu")
    assert full.finish is not None and full.last_questions is not None
    assert full.finish.hidden["past"] > full.tuning.hidden["past"]
    assert full.finish.d_model == full.language.d_model
    assert full.minutes > full.finish.minutes
    with pytest.raises(EngineError, match=r"no \[finish\]"):
        finish_language(recipe, tmp_path, tmp_path, tiny_encoder())


def test_audio_is_aligned_with_the_window() -> None:
    audio = window_audio(torch.arange(100)[:, None].expand(-1, 2), start=10, num_steps=4)
    assert audio[:, 0].tolist() == list(range(20 - AUDIO_MARGIN, 28 + AUDIO_MARGIN))
    assert (
        window_audio(torch.arange(100)[:, None].expand(-1, 2), 0, 4)[:AUDIO_MARGIN, 0].tolist()
        == [-1] * AUDIO_MARGIN
    )


def test_captioned_rows_are_told_a_pace(recipe: Recipe) -> None:
    language = replace(recipe.language, paced=1.0)
    body = (Part.LOWER, Part.UPPER)
    drawn = WindowMixer(
        [([sequence(40, body, "walk_forward")], 1.0), ([sequence(40, body, "walk_circle")], 1.0)],
        [[sequence(50, PARTS, "speech")]],
        [torch.randn(5, 12), torch.randn(7, 12)],
        VOCABULARY,
        language,
        0,
        {1: "slow"},
    )
    found = [drawn._captured() for _ in range(40)]
    assert {captions for _, captions in found} == {(1,)}, "only captions that tell a pace"
    assert {phases[0].action for phases, _ in found} == {"walk_forward", "walk_circle"}
    language = replace(language, paced=0.0)
    drawn.recipe = language
    assert {drawn._captured()[1] for _ in range(10)} == {(0, 1)}
    drawn.recipe = replace(language, plainly=1.0)
    assert {drawn._captured()[1] for _ in range(10)} == {(0,)}, "the first caption alone"
    drawn.recipe = replace(language, plainly=1.0, favoured={"walk_circle": 1.0})
    assert {(p[0].action, rows) for p, rows in (drawn._captured() for _ in range(10))} == {
        ("walk_circle", (0,))
    }


def test_questions_ask_every_emotion_and_action_alike(recipe: Recipe) -> None:
    body = (Part.LOWER, Part.UPPER)
    captured = [[sequence(40, body, "walk_forward")] for _ in range(99)] + [[sequence(40, body, "jump")]]
    calm = [[replace(sequence(50, PARTS, "speech"), emotion="neutral")] for _ in range(99)]
    asked = Asked(captured, [*calm, [sequence(50, PARTS, "speech")]], ["walk forward", "jump"])
    words = collect_words(asked.captions)
    vocabulary = replace(VOCABULARY, num_words=len(words))
    figures = replace(recipe.questions, rows=64)
    rows = StarterRows(vocabulary, words, tiny_encoder(), figures.hidden)
    drawn = Questions(asked, rows, replace(figures, mixture={"motion_to_emotion": 1.0}), 32, 0)
    first, stop = vocabulary.words_range
    answers = drawn.batch().targets[:, 0, 0]
    told = [words.decode([int(number) - first]) for number in answers]
    assert set(told) == {"neutral", "fear"}
    assert 16 < told.count("fear") < 48, "one performance in a hundred, asked about half of the time"
    drawn = Questions(asked, rows, replace(figures, mixture={"motion_to_text": 1.0}), 32, 0)
    chance = drawn.action_chances[sorted(["walk_forward", "jump"]).index("jump")]
    assert chance == pytest.approx(1 / (1 + 99**0.5))
    mixed = replace(figures, mixture={"motion_to_text": 1.0, "in_between": 1.0})
    batch = Questions(asked, rows, mixed, 32, 0).batch()
    in_words = ((batch.targets[..., 0] >= first) & (batch.targets[..., 0] < stop)).any(dim=1)
    assert 0 < int(in_words.sum()) < 64, "answers in words and in motion"


@pytest.mark.parametrize("words_only", [False, True])
def test_tuning_learns_to_answer_and_resumes(recipe: Recipe, tmp_path: Path, words_only: bool) -> None:
    shares = {"all_parts": 1.0}
    drawn = mixer(recipe, window_steps=8, short_window_share=0.0, layouts=shares)
    calm = [[replace(sequence(50, PARTS, "speech"), emotion="neutral")]]
    asked = Asked(drawn.captured, [*drawn.spoken, *calm], ["walk forward", "jump"])
    words = collect_words(asked.captions)
    vocabulary = replace(VOCABULARY, num_words=len(words))
    emotions = {"motion_to_emotion": 1.0}
    figures = replace(recipe.questions, rows=8, weight=1.0, some_parts=0.0, mixture=emotions)
    rows = StarterRows(vocabulary, words, tiny_encoder(), figures.hidden)
    questions = Questions(asked, rows, figures, 8, 0)
    own = replace(
        recipe.tuning,
        max_steps=75,
        minutes=10.0,
        batch=2,
        learning_rate=3e-2,
        warm_up=1,
        window_steps=8,
        words_only=words_only,
    )
    torch.manual_seed(0)
    model = LanguageModel(replace(CONFIG, vocab_size=vocabulary.size, text_width=16, reads=True))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    path = tmp_path / "tuned.pt"
    train(model, drawn_for(drawn, vocabulary), questions, own, path)
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert logged[-1]["step"] == 75 and logged[-1]["asked_words"] < 0.5 * math.log(2), "label and end"
    assert ("lower" in logged[-1]) is not words_only
    board = EventAccumulator(str(tmp_path / BOARD / "tuned")).Reload().Scalars("asked_words")
    assert [event.step for event in board] == [line["step"] for line in logged]
    assert board[-1].value == pytest.approx(logged[-1]["asked_words"])
    held = torch.load(path, weights_only=True)
    assert held["done"] and held["step"] == 75
    first = vocabulary.words_range[0] - CONFIG.embedding_offset
    same = {
        name: torch.equal(held["averaged"][name][:first], tensor[:first])
        for name, tensor in before.items()
        if name != "reading.weight"
    }
    assert all(same.values()) if words_only else not any(same.values())
    assert not torch.equal(held["averaged"]["lm_head.weight"][first:], before["lm_head.weight"][first:])
    train(model, drawn_for(drawn, vocabulary), questions, own, path)
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 3, "a finished run is not run again"


def drawn_for(drawn: WindowMixer, vocabulary: Vocabulary) -> WindowMixer:
    """The mixer with captions as wide as the tiny sentence encoder's."""
    drawn.vocabulary, drawn.states = vocabulary, [torch.randn(5, 16), torch.randn(7, 16)]
    return drawn


def test_loss_starts_at_chance_and_falls(recipe: Recipe) -> None:
    drawn = mixer(recipe, window_steps=8, short_window_share=0.0)
    torch.manual_seed(0)
    model = LanguageModel(CONFIG).train()
    optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
    history = []
    for _ in range(60):
        losses = batch_loss(model, drawn.batch(8), VOCABULARY, 0.0)
        total = torch.stack(list(losses.values())).mean()
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        history.append(float(total.detach()))
    assert history[0] == pytest.approx(2.8, abs=0.8)  # ln 16 = 2.77
    assert sum(history[-10:]) / 10 < 0.8 * history[0]


def test_the_language_loop_goes_on_exactly(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`language`, `tune`, `finish` and `continue` share this loop; with dropout, requests and questions."""
    drawn = mixer(recipe, window_steps=12)
    asked = Asked(drawn.captured, [*drawn.spoken, *drawn.idle], ["walk forward", "jump"])
    words = collect_words(asked.captions)
    vocabulary = replace(VOCABULARY, num_words=len(words))
    figures = replace(recipe.questions, rows=3, weight=1.0, mixture={"motion_to_emotion": 1.0})
    questions = Questions(
        asked, StarterRows(vocabulary, words, tiny_encoder(), figures.hidden), figures, 12, 0
    )
    drawn_for(drawn, vocabulary)
    own = replace(
        recipe.tuning, max_steps=60, minutes=90.0, batch=2, warm_up=3, window_steps=12,
        words_only=False, checkpoint_minutes=7.0,
    )  # fmt: skip

    def tick(schedule: Schedule) -> None:
        schedule.spent_s += 60.0

    monkeypatch.setattr(Schedule, "tick", tick)

    def run(name: str, stop_at: int = -1) -> tuple[list[float], dict[str, object]]:
        """Each step's loss of the requests, and what is kept at the end; stopped in the middle of a step."""
        seen: list[float] = []

        def noted(*arguments: object) -> dict[Part, torch.Tensor]:
            if len(seen) == stop_at:
                raise KeyboardInterrupt
            found = batch_loss(*arguments)  # type: ignore[arg-type]
            seen.append(float(torch.stack(list(found.values())).detach().sum()))
            return found

        monkeypatch.setattr(language_training, "batch_loss", noted)
        torch.manual_seed(0)
        sizes = replace(CONFIG, vocab_size=vocabulary.size, text_width=16, reads=True, dropout=0.3)
        path = tmp_path / name / "tuned.pt"
        try:
            train(LanguageModel(sizes), drawn, questions, own, path)
        except KeyboardInterrupt:
            assert stop_at >= 0
        return seen, torch.load(path, weights_only=True)

    expected, kept = run("whole")
    assert len(expected) == 60
    assert run("broken", 37)[0] == expected[:37]
    resumed, found = run("broken")
    assert 23 < len(resumed) < 60 and resumed == expected[-len(resumed) :]
    for module in ("model", "averaged"):
        state, again = kept[module], found[module]
        assert isinstance(state, dict) and isinstance(again, dict)
        for name, tensor in state.items():
            assert torch.equal(again[name], tensor), name
    logs = [logged(tmp_path / name / "log.jsonl")[-1] for name in ("whole", "broken")]
    assert logs[0] == logs[1] and logs[0]["step"] == 50, "running means go on too"


def logged(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_motion_loss_counts_joints_speeds_and_turns(recipe: Recipe) -> None:
    weights = dict(rotation_weight=0.0, position_weight=0.0, speed_weight=0.0, drift_weight=0.0)
    rest = torch.zeros(1, 4, STARTER_DIMS[Part.LOWER])
    rest[..., 8:] = torch.tensor([1.0, 0, 0, 0, 1, 0]).repeat(9)
    turned = rest.clone()
    turned[..., 8:14] = torch.tensor([-1.0, 0, 0, 0, 1, 0])  # the pelvis faces backwards
    jumping = rest.clone()
    jumping[:, 2:] = turned[:, 2:]

    def terms(rebuilt: torch.Tensor, **on: float) -> tuple[float, float]:
        loss = MotionLoss(Part.LOWER, replace(recipe.tokenizers, **{**weights, **on}))
        total, millimetres = loss(rebuilt, rest)
        return float(total), float(millimetres)

    metres, millimetres = terms(turned, position_weight=1.0)
    assert 0.1 < metres < 0.5 and abs(millimetres - 1000 * metres) < 1e-3
    assert terms(rest, position_weight=1.0)[0] == 0.0
    assert terms(turned, speed_weight=1.0)[0] == 0.0
    assert abs(terms(jumping, speed_weight=1.0)[0] - metres * 30 / 3) < 1e-4  # one of three steps jumps
    assert abs(terms(turned, rotation_weight=1.0)[0] - (8**0.5 + 8 * 0.01) / 9) < 1e-3
    drifting = rest.clone()
    drifting[..., 3] = 30.0  # turns by a radian a frame
    assert abs(terms(drifting, drift_weight=1.0)[0] - 2.5) < 1e-5
    face = torch.zeros(1, 4, STARTER_DIMS[Part.FACE])
    assert MotionLoss(Part.FACE, recipe.tokenizers)(face, face + 1) == (torch.zeros(()), 0.0)


def test_kept_parts_are_read_but_not_learned(recipe: Recipe) -> None:
    shares = {"all_parts": 0.0, "kept_first": 1.0, "subset": 0.0, "shuffled": 0.0}
    batch = mixer(recipe, layouts=shares).batch(4)
    kept = [part for part in batch.plan.order if part not in batch.learned]
    assert kept and list(batch.plan.order[: len(kept)]) == kept
    assert kept == [part for part in BLOCK_ORDER if part in kept]
