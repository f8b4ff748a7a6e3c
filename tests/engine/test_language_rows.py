# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows at places of their own in one batch: each row's states are those of the plain model."""

from __future__ import annotations

import copy

import pytest
import torch

from engine.language import decoder
from engine.language.decoder import DecoderWeights, TorchDecoderWeights, onnx_is_there
from engine.language.model import LanguageModel, LanguageModelConfig

NUM_WORDS, LENGTH, MEMORY = 500, 40, 9


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    torch.manual_seed(0)
    config = LanguageModelConfig(
        vocab_size=NUM_WORDS, d_model=32, d_kv=8, d_ff=64, num_heads=4, num_layers=2, num_decoder_layers=3,
        dropout=0.0,
    )  # fmt: skip
    made = LanguageModel(config).eval()
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return made


def engines(model: LanguageModel) -> list[DecoderWeights]:
    """Every engine that runs here."""
    found: list[DecoderWeights] = [TorchDecoderWeights(model)]
    if onnx_is_there():
        from engine.language.onnx_decoder import OnnxDecoderWeights

        found.append(OnnxDecoderWeights(model))
    return found


@torch.inference_mode()
def check(model: LanguageModel, weights: DecoderWeights) -> None:
    """Rows begin, wait, read several words at once, end at the last place and are used again."""
    torch.manual_seed(1)
    requests = [torch.randn(count, 32) for count in (7, 5, MEMORY)]
    words = [torch.randint(0, NUM_WORDS, (LENGTH,)).tolist() for _ in requests]
    rows, places = weights.start_rows(3, LENGTH, MEMORY), [0, 0, 0]

    def feed(*counts: int) -> None:
        some = [words[row][places[row] : places[row] + count] for row, count in enumerate(counts)]
        states = rows.feed(some)
        for row, count in enumerate(counts):
            places[row] += count
            if count:
                mask = torch.ones((1, len(requests[row])), dtype=torch.bool)
                ids = torch.tensor([words[row][: places[row]]])
                expected = model.decode(ids, requests[row][None], mask)[0, -1]
                assert (states[row] - expected).abs().max() < 1e-5, (type(rows).__name__, row, places)

    rows.begin(0, requests[0])
    feed(5, 0, 0)
    feed(1, 0, 0)
    rows.begin(1, requests[1])
    feed(1, 4, 0)
    rows.begin(2, requests[2])
    feed(2, 3, 1)
    for _ in range(10):
        feed(1, 1, 1)
    feed(0, 1, 0)
    requests[0], places[0] = requests[2][:3], 0
    rows.begin(0, requests[0])
    feed(8, 1, 1)
    while places[2] < LENGTH:
        feed(1, 0, 1)
    feed(1, 1, 0)


def test_rows_go_their_own_ways(model: LanguageModel) -> None:
    for weights in engines(model):
        check(model, weights)


@torch.inference_mode()
def test_eight_bits_of_a_rounded_model_need_its_decoder_no_more(model: LanguageModel) -> None:
    if not onnx_is_there():
        pytest.skip("needs onnxruntime")
    from engine.language.onnx_decoder import OnnxDecoderWeights

    torch.manual_seed(2)
    request = torch.randint(0, NUM_WORDS, (1, MEMORY))
    mask, words = torch.ones_like(request, dtype=torch.bool), torch.randint(0, NUM_WORDS, (6,))
    memory = model.encode(request, mask)
    expected = model.decode(words[None], memory, mask)[0, -1]
    rounded = LanguageModel(model.config).eval().requires_grad_(False)
    rounded.load_state_dict(model.state_dict())
    rounded.half()
    weights = OnnxDecoderWeights(rounded, 8, spare=True)
    left = sum(weight.numel() for weight in rounded.decoder.parameters())
    assert left < 0.35 * sum(weight.numel() for weight in model.decoder.parameters())
    encoded = rounded.encode(request, mask)
    rows = weights.start_rows(1, LENGTH, MEMORY)
    rows.begin(0, encoded[0])
    states = rows.feed([words.tolist()])[0]
    assert encoded.dtype == torch.float32
    assert 0.0 < float((encoded - memory).norm() / memory.norm()) < 2e-3
    assert 0.0 < float((states - expected).norm() / expected.norm()) < 0.1
    assert weights.head_rows(3, 8).dtype == torch.float32
    wanted = states @ rounded.lm_head.weight.float().T
    torch.testing.assert_close(weights.scores(states[None])[0], wanted)


@torch.inference_mode()
@pytest.mark.parametrize("bits", [8, 32])
def test_the_runtime_keeps_weights_of_its_own(
    model: LanguageModel, bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the graph was made of is given back, so nothing may be read there later."""
    if not onnx_is_there():
        pytest.skip("needs onnxruntime")
    from engine.language import onnx_decoder

    graphs: list[onnx_decoder.Graph] = []

    def kept(model: LanguageModel, bits: int, spare: bool) -> onnx_decoder.Graph:
        graphs.append(step_graph(model, bits, spare))
        return graphs[-1]

    step_graph = onnx_decoder.step_graph
    monkeypatch.setattr(onnx_decoder, "step_graph", kept)
    weights = onnx_decoder.OnnxDecoderWeights(copy.deepcopy(model), bits)

    def states() -> torch.Tensor:
        rows = weights.start_rows(1, LENGTH, MEMORY)
        rows.begin(0, torch.ones(MEMORY, model.config.d_model))
        return rows.feed([[3, 4, 5]])

    before = states()
    for array in graphs[0].weights.values():
        array[...] = 0
    assert torch.equal(states(), before) and len(graphs[0].weights) > 20


@torch.inference_mode()
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("has_onnx", [False, True])
def test_only_a_large_model_is_rounded_and_only_where_that_is_asked_for(
    model: LanguageModel, large: bool, has_onnx: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if has_onnx and not onnx_is_there():
        pytest.skip("needs onnxruntime")
    monkeypatch.setattr(decoder, "EXACT_WEIGHTS", 0 if large else 10**9)
    monkeypatch.setattr(decoder, "onnx_is_there", lambda: has_onnx)
    torch.manual_seed(3)
    request, words = torch.randint(0, NUM_WORDS, (1, MEMORY)), torch.randint(0, NUM_WORDS, (6,))
    mask = torch.ones_like(request, dtype=torch.bool)
    memory = model.encode(request, mask)
    expected = model.decode(words[None], memory, mask)[0, -1]
    for fast in (False, True):
        rows = decoder.decoder_weights(model, fast).start_rows(1, LENGTH, MEMORY)
        rows.begin(0, memory[0])
        error = float((rows.feed([words.tolist()])[0] - expected).norm() / expected.norm())
        assert error < 1e-4 or (fast and large and error < 0.1)
        assert error > 1e-4 or not (fast and large)
