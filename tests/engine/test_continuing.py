# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs that are trained on from their own weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.errors import EngineError, PackError
from engine.evaluation.card import record
from engine.evaluation.report import Row, Run
from engine.language.layout import MARK_SCALE, instruction_states
from engine.language.text_encoder import TextEncoder
from engine.motion.features import STARTER_DIMS
from engine.packs import Pack, load_pack
from engine.pipeline import Engine, load_engine
from engine.specs import PARTS, GenerateRequest, Part, PartDirection, Source
from engine.training import language_training
from engine.training.__main__ import main
from engine.training.continuing import (
    CONTINUED_FILE,
    LOUDER,
    continue_pack,
    export_continued,
    louden,
    marked_config,
    pack_model,
)
from engine.training.corpora import MotionSequence
from engine.training.recipe import Recipe, load_recipe
from tests.stage_material import write_asking_pack
from tests.tiny_pack import write_tiny_pack

RUN = Run("pack", "hash", 20, False, "a machine", 1.0)
BODY = (Part.LOWER, Part.UPPER)


def sequence(name: str, parts: tuple[Part, ...], action: str) -> MotionSequence:
    random = np.random.default_rng(len(name))
    features = {p: random.normal(size=(80, STARTER_DIMS[p])).astype(np.float32) for p in parts}
    if parts == BODY:
        return MotionSequence(name, features, 1.0, ("walk forward", "jump"), action=action)
    heard = random.normal(size=(160, 44)).astype(np.float32)
    return MotionSequence(name, features, audio=heard, emotion="fear", action=action)


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pack:
    captured = [sequence("walk", BODY, "turn_left"), sequence("jumps", BODY, "boxing")]
    spoken = [sequence("said", PARTS, "speech"), sequence("stands", PARTS, "idle")]
    monkeypatch.setattr(language_training, "load_captured", lambda *_: captured)
    monkeypatch.setattr(language_training, "load_performances", lambda *_: spoken)
    return write_asking_pack(tmp_path / "asking")[0]


@pytest.fixture
def recipe() -> Recipe:
    found = load_recipe("starter_gpu")
    assert found.further is not None and found.further_questions is not None
    further = replace(
        found.further, max_steps=4, batch=2, window_steps=10, warm_up=1, favoured={"boxing": 0.5},
        learning_rate=1e-2, average_decay=0.5, marked="",
    )  # fmt: skip
    return replace(found, further=further, further_questions=replace(found.further_questions, rows=2))


def test_a_pack_is_trained_on_from_its_own_weights(pack: Pack, recipe: Recipe, tmp_path: Path) -> None:
    path = continue_pack(recipe, pack.root, tmp_path, tmp_path / "run")
    assert path == tmp_path / "run" / CONTINUED_FILE
    state = torch.load(path, weights_only=True)
    assert state["done"] and state["step"] == 4
    before, after = pack_model(pack, 0.0).state_dict(), state["averaged"]
    assert before.keys() == after.keys() and any(
        not torch.equal(before[name], after[name]) for name in before
    )
    largest = max(float((before[name] - after[name]).abs().max()) for name in before if "bias" not in name)
    assert largest < 0.2, "four steps from where the pack was, not from anywhere"

    made = export_continued(pack.root, path, "starter_gpu", tmp_path / "new")
    assert made.version == "0.2.1" and pack.version == "0.2.0"
    (note,) = made.value(list, "training", "further")
    assert note["steps"] == 4 and note["from_version"] == "0.2.0"
    assert made.table("training")["command"] == pack.table("training")["command"]
    for name in pack.table("files"):
        same = made.table("files", name) == pack.table("files", name)
        assert same is (name not in ("language_model.safetensors", "README.md")), name
    assert "Version 0.2.1: 4 steps" in made.file("README.md").read_text(encoding="utf-8")
    load_engine(made.root, "cpu")


def test_a_pack_may_be_replaced_by_itself_trained_on(pack: Pack, recipe: Recipe, tmp_path: Path) -> None:
    path = continue_pack(recipe, pack.root, tmp_path, tmp_path / "run")
    record(pack.root, [Row("text", "walks", "20 of 20", passed=True)], RUN)
    card = tmp_path / "card.md"
    card.write_text("Mine.")
    for version in ("0.2.1", "0.2.2"):
        export_continued(pack.root, path, "starter_gpu", pack.root, card)
        again = load_pack(pack.root)
        assert again.version == version and "evaluation" not in again.info
    assert [note["from_version"] for note in again.value(list, "training", "further")] == ["0.2.0", "0.2.1"]
    assert again.file("README.md").read_text() == "Mine."


def test_what_cannot_be_trained_on_says_so(
    recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = write_tiny_pack(tmp_path / "silent")
    with pytest.raises(EngineError, match="does not answer in words"):
        continue_pack(recipe, silent.root, tmp_path, tmp_path)
    with pytest.raises(EngineError, match=r"no \[further\]"):
        continue_pack(load_recipe("starter"), silent.root, tmp_path, tmp_path)
    with pytest.raises(EngineError, match="train the pack first"):
        export_continued(silent.root, tmp_path / "none.pt", "starter_gpu", tmp_path / "new")
    monkeypatch.setattr("sys.argv", ["training", "continue", "--pack", str(silent.root)])
    assert main() == 1 and "[further]" in capsys.readouterr().err


def test_an_unknown_favoured_action_is_named(pack: Pack, recipe: Recipe, tmp_path: Path) -> None:
    assert recipe.further is not None
    wrong = replace(recipe, further=replace(recipe.further, favoured={"flying": 0.5}))
    with pytest.raises(EngineError, match="flying"):
        continue_pack(wrong, pack.root, tmp_path, tmp_path / "run")


def test_an_earlier_pack_may_be_blended_in(pack: Pack, recipe: Recipe, tmp_path: Path) -> None:
    path = continue_pack(recipe, pack.root, tmp_path, tmp_path / "run")
    whole = export_continued(pack.root, path, "starter_gpu", tmp_path / "whole")
    blended = export_continued(pack.root, path, "starter_gpu", tmp_path / "blended", blend=(pack.root, 0.25))
    old, new, found = (pack_model(p, 0.0).lm_head.weight for p in (pack, whole, blended))
    far = (found - (0.25 * old + 0.75 * new)).abs().max().item()
    assert far < 0.02 * old.abs().max().item(), "but for the rounding of both"
    (note,) = blended.value(list, "training", "further")
    assert note["blended"] == "0.25 of version 0.2.0"
    other = write_tiny_pack(tmp_path / "other")
    with pytest.raises(EngineError, match="another model"):
        export_continued(pack.root, path, "starter_gpu", tmp_path / "new", blend=(other.root, 0.5))


def test_words_may_be_marked_that_were_not(pack: Pack, recipe: Recipe, tmp_path: Path) -> None:
    assert recipe.further is not None
    plain, marked = load_engine(pack.root, "cpu"), "forward; jump run"
    assert isinstance(plain, Engine)
    texts = ["walk forward", "jump", "stand still"]
    encoder = TextEncoder.load(
        marked_config(pack, marked), pack.tensors("text_encoder.safetensors"), pack.file("tokenizer.json")
    )
    before = instruction_states(plain.text_encoder, texts)
    after = instruction_states(encoder, texts)
    wide = pack_model(pack, 0.0, encoder.config.state_width)
    for old, new in zip(before, after, strict=True):
        assert new.shape[1] == old.shape[1] + 2 and torch.equal(new[:, :-2], old)
        told = [model.text_projection(states) for model, states in ((plain.model, old), (wide, new))]
        torch.testing.assert_close(told[0], told[1])
    assert [states[0, -2:].tolist() for states in after] == [[MARK_SCALE, 0.0], [0.0, MARK_SCALE], [0.0, 0.0]]
    assert [states[:, -2].count_nonzero() for states in after] == [2, 0, 0], "the sentence and the word"

    louden(wide, encoder, texts)
    forward, jump = after[0][3], after[1][2]  # the sentence and the start mark stand before them
    apart = wide.text_projection(forward) - wide.text_projection(jump)
    plainly = plain.model.text_projection(forward[:-2]) - plain.model.text_projection(jump[:-2])
    torch.testing.assert_close(apart, (1.0 + LOUDER) * plainly)

    trained = replace(recipe, further=replace(recipe.further, marked=marked))
    path = continue_pack(trained, pack.root, tmp_path, tmp_path / "run")
    made = export_continued(pack.root, path, "mine", tmp_path / "new", blend=(pack.root, 0.5), marked=marked)
    engine = load_engine(made.root, "cpu")
    assert isinstance(engine, Engine) and engine.text_encoder.config.marked == marked
    assert engine.model.text_projection.weight[:, -2:].abs().max() > 0, "the columns are learned"
    asked = PartDirection(Source.TEXT, "walk forward")
    request = GenerateRequest({Part.LOWER: asked, Part.UPPER: asked}, duration_s=1.0)
    assert engine.generate(request).clip.num_frames == 30
    with pytest.raises(EngineError, match="begin with these"):
        marked_config(made, "jump")
    with pytest.raises(PackError, match="'leap'"):
        TextEncoder.load(
            marked_config(pack, "leap"), pack.tensors("text_encoder.safetensors"), pack.file("tokenizer.json")
        )
