# SPDX-License-Identifier: GPL-3.0-or-later
"""The language model against transformers' T5, and its cached decoding against the uncached pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.errors import Cancelled
from engine.language.biases import UNTIMED, time_bucket
from engine.language.decoder import DecoderWeights, TorchDecoderWeights
from engine.language.decoding import WindowRequest, generate_window
from engine.language.drawing import draw, draw_in_numpy
from engine.language.graph_decoder import GraphDecoderWeights
from engine.language.layout import (
    BLOCK_ORDER,
    Condition,
    audio_steps,
    build_encoder_batch,
    fill_decoder,
    plan_decoder,
)
from engine.language.model import ABSENT, LanguageModel, LanguageModelConfig
from engine.specs import PARTS, Part, SamplingOptions, Source
from engine.tokenizers.vocabulary import BlockSize, starter_vocabulary

LEVELS = {Part.FACE: 2, Part.HANDS: 1, Part.UPPER: 2, Part.LOWER: 2}
VOCABULARY = starter_vocabulary(
    {p: BlockSize(q, 16) for p, q in LEVELS.items()}, BlockSize(2, 16), num_text=50
)
STEPS = 6


def tiny_model() -> LanguageModel:
    torch.manual_seed(0)
    config = LanguageModelConfig(
        vocab_size=VOCABULARY.size,
        embedding_offset=50,
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_heads=4,
        num_layers=2,
        num_decoder_layers=2,
        text_width=12,
        time_reach=8,
        depth_ff=24,
        dropout=0.0,
    )
    model = LanguageModel(config).eval()
    for name, parameter in model.named_parameters():
        if "bias" in name:
            torch.nn.init.normal_(parameter)
    return model


def tiny_request(order: tuple[Part, ...], guidance: float, forced: dict[Part, torch.Tensor]) -> WindowRequest:
    torch.manual_seed(1)
    rows = 2
    speech = Condition(
        {part: Source.SPEECH for part in PARTS}, {}, "anger", torch.randint(0, 16, (audio_steps(STEPS), 2))
    )
    words = Condition({part: Source.TEXT for part in PARTS}, {part: 0 for part in PARTS})
    conditions = [speech, words]
    if guidance != 1.0:
        conditions += [Condition.empty()] * rows
    return WindowRequest(
        plan=plan_decoder(order, STEPS, VOCABULARY),
        encoder=build_encoder_batch(conditions, [torch.randn(3, 12)], STEPS, VOCABULARY),
        forced=forced,
        guidance={part: guidance for part in order},
        uniform=torch.rand(rows, 200),
    )


def torch_engine(model: LanguageModel) -> DecoderWeights:
    return TorchDecoderWeights(model)


def onnx_engine(model: LanguageModel) -> DecoderWeights:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    from engine.language.onnx_decoder import OnnxDecoderWeights

    return OnnxDecoderWeights(model, bits=32)


def graph_engine(model: LanguageModel) -> DecoderWeights:
    """The GPU's engine; on a CPU its steps run without being recorded."""
    return GraphDecoderWeights(model)


ENGINES = pytest.mark.parametrize("engine", [torch_engine, onnx_engine, graph_engine])


def uncached_scores(
    model: LanguageModel, request: WindowRequest, inputs: torch.Tensor, part: Part, codes: torch.Tensor
) -> torch.Tensor:
    """Scores of every code of a block by the whole-sequence pass, (rows, steps * levels, 16)."""
    e, plan, levels = request.encoder, request.plan, LEVELS[part]
    with torch.no_grad():
        memory = model.encode(e.ids, e.mask, e.times, e.text_states, e.is_text)
        states = model.decode(inputs, memory, e.mask, plan.key_times, plan.query_times, e.times)
        own = states[:, plan.starts[part] : plan.starts[part] + STEPS]
        scores = []
        for level in range(levels):
            window = VOCABULARY.part_range(part, level)
            scores.append(model.logits(own, *window))
            if level + 1 < levels:
                own = model.deepen(own, codes[:, level::levels] + window[0])
    return torch.stack(scores, dim=2).flatten(1, 2)


def test_matches_transformers_t5() -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    torch.manual_seed(0)
    sizes = {"vocab_size": 300, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_heads": 4, "num_layers": 2}
    config = transformers.T5Config(
        **sizes,
        num_decoder_layers=3,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=0,
    )
    theirs = transformers.T5ForConditionalGeneration(config).eval()
    # transformers 5 ties the head again whatever was asked; the published head is its own matrix.
    theirs.lm_head.weight = torch.nn.Parameter(torch.randn(300, 64) * 0.1)
    ours = LanguageModel(LanguageModelConfig(**sizes, num_decoder_layers=3)).eval()
    state = {k: v for k, v in theirs.state_dict().items() if "embed_tokens" not in k}
    ours.load_state_dict(state, strict=True)
    ids, decoder_ids = torch.randint(1, 300, (2, 40)), torch.randint(0, 300, (2, 150))
    mask = torch.ones(2, 40, dtype=torch.bool)
    mask[1, 30:] = False
    expected = theirs(input_ids=ids, attention_mask=mask.long(), decoder_input_ids=decoder_ids).logits
    found = ours.logits(ours.decode(decoder_ids, ours.encode(ids, mask), mask), 0, 300)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_training_and_inference_attention_agree() -> None:
    model = tiny_model()
    request = tiny_request(BLOCK_ORDER, 1.0, {})
    e = request.encoder
    inference = model.encode(e.ids, e.mask, e.times, e.text_states, e.is_text)
    model.train()
    training = model.encode(e.ids, e.mask, e.times, e.text_states, e.is_text)
    torch.testing.assert_close(training, inference, atol=1e-5, rtol=1e-5)


@ENGINES
@pytest.mark.parametrize("guidance", [1.0, 2.5])
@pytest.mark.parametrize("order", [BLOCK_ORDER, (Part.FACE, Part.LOWER)])
def test_cached_greedy_is_the_uncached_argmax(
    engine: Callable[[LanguageModel], DecoderWeights], order: tuple[Part, ...], guidance: float
) -> None:
    model = tiny_model()
    request = tiny_request(order, guidance, {})
    codes = generate_window(engine(model), VOCABULARY, request, SamplingOptions(temperature=0.0))
    for part in order:
        assert codes[part].shape == (2, STEPS * LEVELS[part])
        if guidance == 1.0:
            inputs = fill_decoder(request.plan, codes, VOCABULARY)
            logits = uncached_scores(model, request, inputs, part, codes[part])
        else:
            twice = {p: torch.cat([c, c]) for p, c in codes.items()}
            inputs = fill_decoder(request.plan, twice, VOCABULARY)
            logits = uncached_scores(model, request, inputs, part, twice[part])
            logits = logits[2:] + guidance * (logits[:2] - logits[2:])
        assert torch.equal(logits.argmax(-1), codes[part])


@ENGINES
def test_forced_codes_stay_and_steer(engine: Callable[[LanguageModel], DecoderWeights]) -> None:
    model = tiny_model()
    forced = {Part.LOWER: torch.randint(0, 16, (2, STEPS * 2)), Part.UPPER: torch.randint(0, 16, (2, 4))}
    weights, options = engine(model), SamplingOptions()
    codes = generate_window(weights, VOCABULARY, tiny_request(BLOCK_ORDER, 1.0, forced), options)
    assert torch.equal(codes[Part.LOWER], forced[Part.LOWER])
    assert torch.equal(codes[Part.UPPER][:, :4], forced[Part.UPPER])
    other = {**forced, Part.LOWER: (forced[Part.LOWER] + 5) % 16}
    changed = generate_window(weights, VOCABULARY, tiny_request(BLOCK_ORDER, 1.0, other), options)
    assert not torch.equal(changed[Part.FACE], codes[Part.FACE])


@ENGINES
def test_a_forced_tail_stays_and_later_blocks_see_it(
    engine: Callable[[LanguageModel], DecoderWeights],
) -> None:
    """The lower body's last two steps are given: its own drawn codes do not see them, the upper body's do."""
    model = tiny_model()
    weights, options = engine(model), SamplingOptions(temperature=0.0)
    tail = {Part.LOWER: torch.randint(0, 16, (2, 2 * LEVELS[Part.LOWER]))}
    request = replace(tiny_request(BLOCK_ORDER, 1.0, {}), forced_tail=tail)
    codes = generate_window(weights, VOCABULARY, request, options)
    num_drawn = codes[Part.LOWER].shape[1] - tail[Part.LOWER].shape[1]
    assert torch.equal(codes[Part.LOWER][:, num_drawn:], tail[Part.LOWER])
    free = generate_window(weights, VOCABULARY, replace(request, forced_tail={}), options)
    assert torch.equal(codes[Part.LOWER][:, :num_drawn], free[Part.LOWER][:, :num_drawn])
    inputs = fill_decoder(request.plan, codes, VOCABULARY)
    scores = uncached_scores(model, request, inputs, Part.UPPER, codes[Part.UPPER])
    assert torch.equal(scores.argmax(-1), codes[Part.UPPER])


def test_rows_may_drop_out_and_several_tokens_come_at_once() -> None:
    """All engines, fed alike in uneven pieces, the second half of the rows leaving half way."""
    model = tiny_model()
    torch.manual_seed(2)
    length, memory = 12, 9
    encoded, mask = torch.randn(4, memory, 32), torch.rand(4, memory) < 0.8
    mask[:, 0] = True
    times = torch.arange(length) // 2
    self_bias = model.decoder.self_bias(times, times).detach()
    cross_bias = model.decoder.cross_bias(times, torch.arange(memory)).detach()
    ids = torch.randint(50, VOCABULARY.size, (4, length, 2))
    ids[:, ::3, 1] = ABSENT
    with torch.inference_mode():
        reused = graph_engine(model)
        reused.start(encoded + 1.0, ~mask, self_bias, cross_bias).advance(ids)  # leaves its traces
        makers = (torch_engine(model), onnx_engine(model), reused)
        decoders = [weights.start(encoded, mask, self_bias, cross_bias) for weights in makers]
        for rows, begin, end in [(4, 0, 3), (4, 3, 4), (4, 4, 6), (2, 6, 9), (2, 9, 10), (2, 10, 12)]:
            expected, *found = (decoder.advance(ids[:rows, begin:end]) for decoder in decoders)
            for states in found:
                torch.testing.assert_close(states, expected, atol=1e-4, rtol=1e-4)
            assert [decoder.position for decoder in decoders] == [end] * 3


def test_eight_bits_hardly_change_what_is_likely() -> None:
    """The rounded weights are as near as their rounding error allows, and no nearer: they are really used."""
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    from engine.language.onnx_decoder import OnnxDecoderWeights

    model = tiny_model()
    request = tiny_request((Part.LOWER,), 1.0, {})
    e, plan = request.encoder, request.plan
    with torch.inference_mode():
        encoded = model.encode(e.ids, e.mask, e.times, e.text_states, e.is_text)
        self_bias = model.decoder.self_bias(plan.query_times, plan.key_times)
        cross_bias = model.decoder.cross_bias(plan.query_times, e.times)
        inputs = torch.randint(50, VOCABULARY.size, (2, 6))
        exact, rounded = (
            weights.start(encoded, e.mask, self_bias, cross_bias).advance(inputs)
            for weights in (torch_engine(model), OnnxDecoderWeights(model))
        )
    error = float((exact - rounded).abs().mean() / exact.abs().mean())
    assert 0.0 < error < 0.05


def test_a_hidden_step_shows_only_the_mask() -> None:
    plan = plan_decoder((Part.LOWER, Part.HANDS), STEPS, VOCABULARY)
    codes = {p: torch.randint(0, 16, (2, STEPS * LEVELS[p])) for p in plan.order}
    codes[Part.HANDS][0, -1] = -1  # behind the end of its sequence
    hidden = torch.zeros(2, STEPS, dtype=torch.bool)
    hidden[1, 3] = True
    ids = fill_decoder(plan, codes, VOCABULARY, {Part.LOWER: hidden})
    assert ids.shape == (2, plan.length, 2) and plan.length == 2 * (STEPS + 2)
    assert ids[1, 1 + 3].tolist() == [VOCABULARY.mask(Part.LOWER), ABSENT]
    assert ids[0, 1 + 3].tolist() == [
        VOCABULARY.code_token(Part.LOWER, level, int(codes[Part.LOWER][0, 6 + level])) for level in (0, 1)
    ]
    assert ids[0, plan.starts[Part.HANDS] + STEPS].tolist() == [VOCABULARY.mask(Part.HANDS), ABSENT]
    assert ids[0, 0].tolist() == [VOCABULARY.start(Part.LOWER), ABSENT]


def test_cancel_between_steps() -> None:
    asked = iter([False] * 5 + [True])
    with pytest.raises(Cancelled):
        generate_window(
            TorchDecoderWeights(tiny_model()),
            VOCABULARY,
            tiny_request(BLOCK_ORDER, 1.0, {}),
            SamplingOptions(),
            cancel=lambda: next(asked),
        )


def test_draw_follows_the_distribution_and_its_limits() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).expand(4000, 4)
    uniform = torch.linspace(0, 0.99999, 4000)
    counts = (
        torch.bincount(draw(logits, uniform, SamplingOptions(temperature=1.0, top_p=1.0)), minlength=4) / 4000
    )
    torch.testing.assert_close(counts, torch.tensor([0.5, 0.3, 0.15, 0.05]), atol=0.005, rtol=0)
    assert set(draw(logits, uniform, SamplingOptions(temperature=1.0, top_p=0.75)).tolist()) == {0, 1}
    assert set(draw(logits, uniform, SamplingOptions(temperature=1.0, top_p=1.0, top_k=3)).tolist()) == {
        0,
        1,
        2,
    }
    assert set(draw(logits, uniform, SamplingOptions(temperature=0.0)).tolist()) == {0}


@pytest.mark.parametrize(
    "options",
    [
        SamplingOptions(temperature=0.0),
        SamplingOptions(temperature=1.0, top_p=1.0),
        SamplingOptions(temperature=0.7, top_p=0.8),
        SamplingOptions(temperature=1.3, top_p=0.9, top_k=5),
        SamplingOptions(temperature=1.0, top_p=1.0, top_k=3),
    ],
)
def test_numpy_draws_as_torch_does(options: SamplingOptions) -> None:
    random = torch.Generator().manual_seed(0)
    logits, uniform = torch.randn(2000, 32, generator=random) * 2, torch.rand(2000, generator=random)
    drawn = draw(logits, uniform, options)
    assert len(drawn.unique()) > 3
    np.testing.assert_array_equal(draw_in_numpy(logits.numpy(), uniform.numpy(), options), drawn)


def test_time_buckets() -> None:
    times = torch.tensor([0, 3, UNTIMED])
    expected = [[9, 12, 0], [6, 9, 0], [0, 0, 0]]
    assert time_bucket(times, times, 8).tolist() == expected
    assert time_bucket(torch.tensor([0]), torch.tensor([100, -100]), 8).tolist() == [[17, 1]]


def test_guided_row_reads_nothing_of_the_request() -> None:
    batch = build_encoder_batch([Condition.empty()], [torch.randn(3, 12)], STEPS, VOCABULARY)
    assert int(batch.mask.sum()) == 1 + 2 * len(PARTS)
    assert not bool(batch.is_text.any())
