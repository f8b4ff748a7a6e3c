# SPDX-License-Identifier: GPL-3.0-or-later
"""Starter tokenizers: living codebooks, training, resuming, contract, normalisation."""

from __future__ import annotations

import pytest
import torch

from engine.errors import PackError
from engine.motion.features import STARTER_DIMS
from engine.specs import PARTS, Part
from engine.tokenizers import motion_vqvae
from engine.tokenizers.audio_tokenizer import (
    StarterAudioTokenizer,
    speech_channel_weights,
    speech_statistics,
    starter_audio_config,
)
from engine.tokenizers.base import MotionTokenizer
from engine.tokenizers.losses import (
    STD_FLOOR,
    LossWeights,
    feature_statistics,
    starter_channel_weights,
    starter_loss,
)
from engine.tokenizers.motion_vqvae import Family, MotionVQVAE, MotionVQVAEConfig, starter_config, stretches
from engine.tokenizers.quantizer import (
    RESTART_AT,
    EMAResidualQuantizer,
    PublishedQuantizer,
    code_perplexity,
    nearest_codes,
)

SMALL = MotionVQVAEConfig(
    Family.STARTER, feature_dim=12, width=24, codebook_size=32, num_quantizers=2, code_dim=8
)


def waves(count: int, frames: int, features: int, seed: int) -> torch.Tensor:
    """Smooth motion-like features, (count, frames, features)."""
    generator = torch.Generator().manual_seed(seed)
    phase, speed = torch.rand(2, count, 1, 4, generator=generator) * 6.0
    basis = torch.randn(4, features, generator=torch.Generator().manual_seed(99))
    return torch.sin(phase + speed * torch.arange(frames)[None, :, None] / 30.0) @ basis


def train(model: MotionVQVAE, steps: int, first: int = 0) -> list[float]:
    """Train on fixed batches and return the losses; randomness depends on the step alone."""
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    weights = torch.ones(model.config.feature_dim)
    model.train()
    losses: list[float] = []
    for step in range(first, first + steps):
        torch.manual_seed(step)
        batch = waves(16, 32, model.config.feature_dim, step)
        loss = starter_loss(model(batch), weights).total
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("part", PARTS)
def test_the_contract(part: Part) -> None:
    model = MotionVQVAE(starter_config(part, width=16, num_quantizers=3, code_dim=8), part).eval()
    assert isinstance(model, MotionTokenizer)
    assert (model.stride, model.frame_rate, model.num_quantizers) == (4, 7.5, 3)
    torch.nn.init.normal_(model.quantizer.codebooks)  # type: ignore[union-attr]
    for frames, steps in ((64, 16), (61, 16), (1, 1)):
        features = torch.randn(2, frames, STARTER_DIMS[part])
        codes = model.encode(features)
        assert codes.shape == (2, steps * 3) and codes.dtype == torch.int64
        assert model.decode(codes).shape == (2, steps * 4, STARTER_DIMS[part])
    assert MotionVQVAEConfig.from_dict(model.config.to_dict()) == model.config


def test_decoding_is_what_training_saw() -> None:
    model = MotionVQVAE(SMALL)
    train(model, 3)
    model.eval()
    model.set_statistics(torch.full((12,), 5.0), torch.full((12,), 3.0))
    features = waves(2, 32, 12, 0) * 3.0 + 5.0
    output = model(features)
    codes = model.encode(features)
    assert torch.equal(codes, output.codes.flatten(1))
    torch.testing.assert_close(model.decode(codes), output.reconstruction, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(output.normalised_target, waves(2, 32, 12, 0), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        output.reconstruction, output.normalised_reconstruction * 3.0 + 5.0, atol=1e-5, rtol=1e-5
    )


def test_training_learns_and_keeps_the_codebooks_alive() -> None:
    torch.manual_seed(0)
    model = MotionVQVAE(SMALL)
    losses = train(model, 60)
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    model.eval()
    perplexity = model(waves(32, 32, 12, 1000)).perplexity
    assert (perplexity > 0.4 * SMALL.codebook_size).all()


def test_training_resumes_exactly() -> None:
    torch.manual_seed(0)
    straight = MotionVQVAE(SMALL)
    stopped = MotionVQVAE(SMALL)
    stopped.load_state_dict(straight.state_dict())
    train(straight, 16)
    train(stopped, 8)
    resumed = MotionVQVAE(SMALL)
    resumed.load_state_dict(stopped.state_dict())
    train(resumed, 8, first=8)
    for name, value in straight.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_dead_codes_are_replaced_by_live_vectors() -> None:
    torch.manual_seed(0)
    quantizer = EMAResidualQuantizer(8, 4).train()
    vectors = torch.randn(1, 64, 4)
    quantizer(vectors)
    quantizer.codebooks[0, 3] = 1e3
    quantizer.cluster_size[0, 3] = 0.0
    quantizer.cluster_sum[0, 3] = 0.0
    quantizer(vectors)
    assert (vectors[0] - quantizer.codebooks[0, 3]).abs().sum(-1).min() < 1e-6
    before = quantizer.codebooks.clone()
    quantizer.eval()(vectors)
    assert torch.equal(quantizer.codebooks, before)


def test_each_level_refines_the_one_before() -> None:
    torch.manual_seed(0)
    quantizer = EMAResidualQuantizer(16, 6, 3).train()
    vectors = torch.randn(4, 64, 6)
    for _ in range(RESTART_AT[-1] + 5):
        quantizer(vectors)
    quantizer.eval()
    codes = quantizer.codes(vectors)
    errors = [(quantizer.lookup(codes[..., : n + 1]) - vectors).square().mean().item() for n in range(3)]
    assert errors[0] > 1.2 * errors[1] > 1.4 * errors[2]
    torch.testing.assert_close(quantizer(vectors).values, quantizer.lookup(codes))


def test_gradients_pass_straight_through() -> None:
    vectors = torch.randn(2, 5, 4, requires_grad=True)
    for quantizer in (PublishedQuantizer(8, 4), EMAResidualQuantizer(8, 4, 2)):
        (gradient,) = torch.autograd.grad(quantizer(vectors).values.sum(), vectors)
        assert torch.equal(gradient, torch.ones_like(vectors))
        (pull,) = torch.autograd.grad(quantizer(vectors).loss, vectors)
        assert pull.abs().sum() > 0


def test_fewer_levels_in_training_only() -> None:
    torch.manual_seed(0)
    quantizer = EMAResidualQuantizer(8, 4, 4, level_dropout=1.0).train()
    vectors = torch.randn(64, 3, 4)
    output = quantizer(vectors)
    full = torch.stack([quantizer.lookup(output.codes[..., :n]) for n in range(1, 5)])
    quantizer.eval()
    torch.testing.assert_close(quantizer(vectors).values, quantizer.lookup(quantizer.codes(vectors)))
    # Codebooks moved after the values were made, so compare which level count is nearest per sequence.
    nearest = (full - output.values).square().sum((2, 3)).argmin(0)
    assert set(nearest.tolist()) == {0, 1, 2}


def test_nearest_and_perplexity() -> None:
    book = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    assert nearest_codes(torch.tensor([[0.9, 0.1], [0.1, 0.0]]), book).tolist() == [1, 0]
    assert float(code_perplexity(torch.tensor([0, 1, 2, 3]), 8)) == pytest.approx(4.0, abs=1e-3)
    assert float(code_perplexity(torch.tensor([5, 5]), 8)) == pytest.approx(1.0, abs=1e-3)


def test_units_are_clipped_when_decoding() -> None:
    model = MotionVQVAE(starter_config(Part.LOWER, width=16, code_dim=8)).eval()
    torch.nn.init.normal_(model.quantizer.codebooks, std=50.0)  # type: ignore[union-attr]
    features = model.decode(torch.randint(0, 256, (1, 40)))
    contacts = features[..., 4:8]
    assert contacts.min() == 0.0 and contacts.max() == 1.0
    assert features[..., 8:].abs().max() > 1.0


def test_statistics_keep_rotations_straight() -> None:
    features = torch.randn(500, 62) * torch.linspace(0.001, 2.0, 62)
    mean, std = feature_statistics(Part.LOWER, features)
    torch.testing.assert_close(mean, features.mean(0))
    joints = std[8:].reshape(9, 6)
    assert (joints == joints[:, :1]).all()
    assert std.min() == pytest.approx(STD_FLOOR)
    model = MotionVQVAE(starter_config(Part.LOWER, width=8, code_dim=4))
    model.set_statistics(mean, std)
    torch.testing.assert_close(model.denormalise(model.normalise(features)), features, atol=1e-4, rtol=1e-4)
    for wrong in (torch.zeros(62), torch.ones(61)):
        with pytest.raises(ValueError, match=r"deviation|channels"):
            model.set_statistics(mean, wrong)


def test_loss_terms() -> None:
    model = MotionVQVAE(SMALL).train()
    batch = waves(4, 32, 12, 0)
    output = model(batch)
    off = LossWeights(velocity=0.0, acceleration=0.0, commitment=0.0)
    loss = starter_loss(output, torch.ones(12), off)
    assert loss.total == loss.features
    weights = torch.zeros(12)
    weights[3] = 1.0
    lone = torch.nn.functional.smooth_l1_loss(
        output.normalised_reconstruction[..., 3], output.normalised_target[..., 3]
    )
    torch.testing.assert_close(starter_loss(output, weights, off).total, lone)
    assert starter_loss(output, torch.ones(12)).total > loss.total
    for part in PARTS:
        assert starter_channel_weights(part).shape == (STARTER_DIMS[part],)


@pytest.mark.parametrize(
    "change",
    [{"family": "other"}, {"width": 0}, {"width": "big"}, {"unknown": 1}, {"codebook_size": 2.5}],
)
def test_damaged_descriptions_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(PackError, match="the face"):
        MotionVQVAEConfig.from_dict({**SMALL.to_dict(), **change}, "the face")


def test_the_audio_tokenizer() -> None:
    torch.manual_seed(0)
    model = StarterAudioTokenizer(starter_audio_config(width=16, codebook_size=32, code_dim=8))
    assert (model.frame_rate, model.stride, model.num_quantizers) == (15.0, 4, 2)
    features = torch.rand(4, 120, 44)
    model.set_statistics(*speech_statistics(features.flatten(0, 1)))
    starter_loss(model(features), speech_channel_weights()).total.backward()
    model.eval()
    for frames in (1, 2, 30, 31):  # motion frames at 30 fps
        codes = model.encode(torch.rand(1, 2 * frames, 44))
        assert codes.shape == (1, -(-frames // 2) * 2)
    assert (speech_channel_weights()[40:] > speech_channel_weights()[0]).all()
    with pytest.raises(PackError, match="44 features"):
        StarterAudioTokenizer(SMALL)


def test_stretches_keep_every_step_once() -> None:
    for num_steps in (1, 512, 513, 1500):
        kept = [step for begin, end, part in stretches(num_steps) for step in list(range(begin, end))[part]]
        assert kept == list(range(num_steps))


@pytest.mark.parametrize("frames", [400, 403])
def test_a_long_motion_is_read_in_stretches_as_it_is_at_once(
    frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = MotionVQVAE(starter_config(Part.LOWER, width=24, code_dim=8)).eval()
    features = waves(1, frames, model.config.feature_dim, 5)
    with torch.inference_mode():
        codes = model.encode(features)
        whole = model.decode(codes)
        monkeypatch.setattr(motion_vqvae, "STRETCH_STEPS", 16)
        assert torch.equal(model.encode(features), codes)
        torch.testing.assert_close(model.decode(codes), whole, atol=1e-5, rtol=1e-5)
