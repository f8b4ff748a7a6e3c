# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawn with guesses ahead is what the exact decoder draws alone; guesses are taken and thrown away."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from engine.errors import Cancelled
from engine.language import decoder as decoder_module
from engine.language.biases import UNTIMED
from engine.language.decoder import decoder_weights, onnx_is_there
from engine.language.decoding import generate_window
from engine.language.drafting import MOST_AHEAD, DraftedDecoder, Pace
from engine.language.drawing import draw, draw_by_race
from engine.language.layout import BLOCK_ORDER, EncoderBatch
from engine.language.model import LanguageModel, LanguageModelConfig
from engine.published.decoding import BlockRequest, write_blocks
from engine.specs import PARTS, Part, SamplingOptions
from engine.tokenizers.vocabulary import BlockSize, Layout, Vocabulary

from .test_language_model import LEVELS, STEPS, VOCABULARY, tiny_model, tiny_request

if not onnx_is_there():
    pytest.skip("needs onnxruntime", allow_module_level=True)

from engine.language.onnx_decoder import OnnxDecoderWeights

WAYS = [
    SamplingOptions(temperature=0.0),
    SamplingOptions(temperature=0.8, top_p=0.95),
    SamplingOptions(temperature=2.0, top_p=1.0, top_k=7),
]


@pytest.fixture
def guesses(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Guesses made, and those of them that came true, of every reading."""
    noted: list[tuple[int, int]] = []
    learn = Pace.learn

    def note(self: Pace, num_guesses: int, num_true: int) -> None:
        noted.append((num_guesses, num_true))
        learn(self, num_guesses, num_true)

    monkeypatch.setattr(Pace, "learn", note)
    return noted


def some_rows(request: EncoderBatch, rows: list[int]) -> EncoderBatch:
    return replace(
        request,
        ids=request.ids[rows],
        mask=request.mask[rows],
        text_states=request.text_states[rows],
        is_text=request.is_text[rows],
    )


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_windows_are_as_drawn_without_guesses(
    guidance: float, large: bool, guesses: list[tuple[int, int]]
) -> None:
    """Several levels of codes, given heads and tails, one block without guidance behind those with it."""
    model = tiny_model()
    plain, drafted = OnnxDecoderWeights(model), OnnxDecoderWeights(model, drafted=True)
    plain.large = drafted.large = large
    request = tiny_request(BLOCK_ORDER, guidance, {})
    request = replace(
        request,
        encoder=some_rows(request.encoder, [0, 2] if guidance != 1.0 else [0]),
        guidance={part: guidance for part in BLOCK_ORDER[:3]},
        forced={Part.HANDS: torch.randint(0, 16, (1, 2))},
        forced_tail={Part.UPPER: torch.randint(0, 16, (1, LEVELS[Part.UPPER]))},
    )
    for seed in range(10):
        torch.manual_seed(seed)
        asked = replace(request, uniform=torch.rand(1, request.plan.num_draws))
        for options in WAYS:
            told: list[int] = []
            expected = generate_window(plain, VOCABULARY, asked, options)
            found = generate_window(drafted, VOCABULARY, asked, options, told.append)
            assert all(torch.equal(found[part], expected[part]) for part in BLOCK_ORDER)
            assert told == sorted(told) and len(told) == 4 * STEPS - 3
    check_guesses(guesses)


def check_guesses(guesses: list[tuple[int, int]]) -> None:
    """Some came true and some did not, at the first place and further on."""
    assert any(num == true > 2 for num, true in guesses)
    assert any(num > true == 0 for num, true in guesses) and any(num > true > 0 for num, true in guesses)


def published_weights(**arguments: bool) -> tuple[OnnxDecoderWeights, Vocabulary]:
    parts = {part: BlockSize(1, 24) for part in PARTS}
    vocabulary = Vocabulary(Layout.PUBLISHED, 60, parts, BlockSize(1, 20), 2)
    torch.manual_seed(3)
    config = LanguageModelConfig(
        vocab_size=vocabulary.size, d_model=32, d_kv=8, d_ff=64, num_heads=4, num_layers=2,
        num_decoder_layers=3, dropout=0.0,
    )  # fmt: skip
    model = LanguageModel(config).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.25)
    return OnnxDecoderWeights(model, **arguments), vocabulary


def test_blocks_are_as_written_without_guesses(guesses: list[tuple[int, int]]) -> None:
    """The model chooses its parts' order itself; known codes may lie anywhere."""
    (plain, vocabulary), (drafted, _) = published_weights(), published_weights(drafted=True)
    upper = torch.full((1, 20), -1)
    upper[0, [0, 1, 9, 19]] = torch.tensor([3, 4, 5, 6])
    for seed in range(4):
        torch.manual_seed(seed)
        prompt = [*torch.randint(2, 60, (7,)).tolist(), 1]
        uniform = torch.rand(1, 80)
        request = BlockRequest([prompt], 20, PARTS, frozenset(PARTS), {Part.UPPER: upper}, uniform)
        for options in WAYS:
            expected = write_blocks(plain, vocabulary, request, options)
            found = write_blocks(drafted, vocabulary, request, options)
            assert all(torch.equal(found[part], expected[part]) for part in PARTS)
            assert found[Part.UPPER][0, [0, 1, 9, 19]].tolist() == [3, 4, 5, 6]
    check_guesses(guesses)


def test_several_windows_are_written_without_guesses(guesses: list[tuple[int, int]]) -> None:
    (plain, vocabulary), (drafted, _) = published_weights(), published_weights(drafted=True)
    prompts = [[5, 6, 1], [7, 8, 9, 1], [4, 1]]
    request = BlockRequest(prompts, 5, PARTS, frozenset(PARTS), {}, torch.rand(3, 20))
    expected, found = (write_blocks(w, vocabulary, request, SamplingOptions()) for w in (plain, drafted))
    assert all(torch.equal(found[part], expected[part]) for part in PARTS) and not guesses


def test_stopping_between_readings(guesses: list[tuple[int, int]]) -> None:
    weights, vocabulary = published_weights(drafted=True)
    request = BlockRequest([[5, 6, 1]], 20, PARTS, frozenset(PARTS), {}, torch.rand(1, 80))
    asked = iter([False, False, False, True])  # the choice of the part, two readings
    with pytest.raises(Cancelled):
        write_blocks(weights, vocabulary, request, SamplingOptions(), cancel=lambda: next(asked))
    assert len(guesses) == 2


def test_guesses_are_made_while_they_pay() -> None:
    pace = Pace()
    for _ in range(40):
        pace.learn(pace.best(), pace.best())
    assert pace.best() == MOST_AHEAD
    for _ in range(40):
        pace.learn(pace.best(), 0)
    assert pace.best() == 0
    waited = 0
    while not pace.best():
        pace.learn(0, 0)
        waited += 1
    assert 10 < waited < 200, "tried again now and then"


@torch.inference_mode()
@pytest.mark.parametrize(("large", "fast"), [(True, False), (True, True), (False, False)])
def test_a_large_model_guesses_unless_it_is_rounded_anyway(
    large: bool, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder_module, "EXACT_WEIGHTS", 0 if large else 10**9)
    weights = decoder_weights(tiny_model(), fast)
    assert weights.large is large
    model, times = weights.model, torch.full((5,), UNTIMED)
    biases = (model.decoder.self_bias(times, times), model.decoder.cross_bias(times, times))
    started = weights.start(torch.ones(1, 5, 32), torch.ones(1, 5, dtype=torch.bool), *biases)
    assert isinstance(started, DraftedDecoder) is (large and not fast)


# --- drawing by race -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [*WAYS[1:], SamplingOptions(temperature=1.0, top_p=0.6), SamplingOptions(0, 1.3, 0, 1.0)]
)
def test_a_race_has_the_chances_of_the_other_draw(options: SamplingOptions) -> None:
    torch.manual_seed(5)
    scores, uniform = torch.randn(12) * 1.5, torch.arange(0, 1, 1 / 2**15)
    rows = scores.expand(len(uniform), 12)
    exact, found = (
        way(rows, uniform, options).bincount(minlength=12) / len(uniform) for way in (draw, draw_by_race)
    )
    assert torch.equal(exact > 0, found > 0)
    assert (exact - found).abs().max() < 0.01


def test_a_race_without_freedom_takes_the_likeliest() -> None:
    scores = torch.randn(50, 9)
    assert torch.equal(draw_by_race(scores, torch.rand(50), WAYS[0]), scores.argmax(-1))


def test_a_race_is_hardly_moved_by_a_slight_error() -> None:
    """In a flat choice among 256 codes a sum of chances moves all codes behind it; a race moves a few."""
    torch.manual_seed(6)
    scores, uniform = torch.randn(4000, 256) * 0.5, torch.rand(4000)
    wrong, options = scores + torch.randn_like(scores) * 0.02, SamplingOptions(temperature=1.0, top_p=1.0)
    same = [
        float((way(scores, uniform, options) == way(wrong, uniform, options)).float().mean())
        for way in (draw, draw_by_race)
    ]
    assert same[0] < 0.5 and same[1] > 0.97


def test_a_number_decides_alone_whatever_else_is_drawn() -> None:
    scores, uniform = torch.randn(6, 40), torch.rand(6)
    together = draw_by_race(scores, uniform, WAYS[1])
    alone = [draw_by_race(scores[i : i + 1], uniform[i : i + 1], WAYS[1]) for i in range(6)]
    assert torch.equal(together, torch.cat(alone))
