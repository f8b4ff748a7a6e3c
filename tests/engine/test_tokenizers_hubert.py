# SPDX-License-Identifier: GPL-3.0-or-later
"""HuBERT codes through transformers: real convolutions, random small transformer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.errors import AudioError, PackError
from engine.tokenizers.audio_tokenizer import HubertTokenizer
from engine.tokenizers.base import Tokenizer

transformers = pytest.importorskip("transformers", reason="needs transformers (requirements of training)")
WIDTH = 16


def config(layers: int = 2, norm: str = "group") -> Any:
    """HuBERT base's convolutions (kernels, strides), few channels, a small transformer."""
    return transformers.HubertConfig(
        conv_dim=(8,) * 7,
        feat_extract_norm=norm,
        hidden_size=WIDTH,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=32,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )


def model(layers: int = 2, norm: str = "group") -> Any:
    torch.manual_seed(0)
    return transformers.HubertModel(config(layers, norm))


def centres(count: int = 20) -> torch.Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(1))


def sound(seconds: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    length = int(seconds * 16000)
    loudness = torch.sin(torch.arange(length) / 16000 * 9.0).square()
    return (torch.randn(length, generator=generator) * 0.1 * loudness)[None]


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_whole_sounds_match_transformers(layer: int) -> None:
    network = model()
    tokenizer = HubertTokenizer(network, centres(), layer=layer)
    assert isinstance(tokenizer, Tokenizer)
    assert (tokenizer.frame_rate, tokenizer.stride, tokenizer.codebook_size) == (50.0, 320, 20)
    with torch.no_grad():
        states = network.eval()(sound(2.0), output_hidden_states=True).hidden_states[layer]
    torch.testing.assert_close(tokenizer.hidden_states(sound(2.0)), states)
    distances = torch.cdist(states.double(), centres().double()[None])
    assert torch.equal(tokenizer.encode(sound(2.0)), distances.argmin(-1))
    assert tokenizer.encode(sound(2.0)).shape == (1, (32000 - 400) // 320 + 1)


def test_the_real_size_hears_as_transformers() -> None:
    """HuBERT base's own size, at the layer the published scripts read and the one its centres are of."""
    torch.manual_seed(0)
    network = transformers.HubertModel(transformers.HubertConfig()).eval()
    with torch.no_grad():
        states = network(sound(3.0), output_hidden_states=True).hidden_states
    for layer in (9, 12):
        held = states[layer][0]
        chosen = held[torch.randperm(len(held), generator=torch.Generator().manual_seed(1))[:100]]
        found = HubertTokenizer(network, chosen, layer=layer).encode(sound(3.0))
        assert torch.equal(found[0], torch.cdist(held.double(), chosen.double()).argmin(-1))
        assert len(found[0].unique()) > 50


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_chunks_neither_lose_nor_shift_a_step(norm: str) -> None:
    """Convolutions and position embedding see at most the shared context, so chunks give equal codes."""
    network = model(0, norm)
    whole = HubertTokenizer(network, centres(), layer=0, chunk_s=1e3)
    chunked = HubertTokenizer(network, centres(), layer=0, chunk_s=0.7, context_s=0.5)
    for seconds in (0.025, 0.7, 0.72, 3.33, 5.0):
        waveform = sound(seconds)
        assert torch.equal(chunked.encode(waveform), whole.encode(waveform))
        expected = network(waveform).last_hidden_state
        torch.testing.assert_close(chunked.hidden_states(waveform), expected, atol=2e-5, rtol=1e-4)


def test_chunks_of_the_whole_network_stay_in_step() -> None:
    """Attention reaches beyond a chunk, so states differ a little but never by a step."""
    network = model()
    whole = HubertTokenizer(network, centres(), layer=2, chunk_s=1e3).hidden_states(sound(6.0))[0]
    chunked = HubertTokenizer(network, centres(), layer=2, chunk_s=2.0, context_s=1.0)
    states = chunked.hidden_states(sound(6.0))[0]
    assert states.shape == whole.shape
    errors = {shift: (states[5:-5] - whole.roll(shift, 0)[5:-5]).square().mean() for shift in (-1, 0, 1)}
    assert errors[0] < 0.5 * min(errors[-1], errors[1])


def test_loading_from_files(tmp_path: Path) -> None:
    network = model()
    network.save_pretrained(tmp_path)
    np.savez(tmp_path / "centres.npz", centres=centres().numpy())
    tokenizer = HubertTokenizer.from_files(tmp_path, tmp_path / "centres.npz", layer=2)
    expected = HubertTokenizer(network, centres(), layer=2).encode(sound(1.0))
    assert torch.equal(tokenizer.encode(sound(1.0)), expected)
    with pytest.raises(PackError, match="layer 12"):
        HubertTokenizer.from_files(tmp_path, tmp_path / "centres.npz")
    np.savez(tmp_path / "narrow.npz", centres=np.zeros((4, 3), np.float32))
    with pytest.raises(PackError, match="columns"):
        HubertTokenizer.from_files(tmp_path, tmp_path / "narrow.npz", layer=2)
    np.savez(tmp_path / "other.npz", other=np.zeros(3))
    with pytest.raises(PackError, match=r"other\.npz"):
        HubertTokenizer.from_files(tmp_path, tmp_path / "other.npz", layer=2)
    with pytest.raises(PackError, match=r"gone\.npz is missing"):
        HubertTokenizer.from_files(tmp_path, tmp_path / "gone.npz", layer=2)


def test_incomplete_weights_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    model().save_pretrained(tmp_path)
    np.savez(tmp_path / "centres.npz", centres=centres().numpy())
    weights = load_file(tmp_path / "model.safetensors")
    name = "encoder.layers.1.final_layer_norm.weight"
    del weights[name]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PackError, match=r"lacks 1 weights"):
        HubertTokenizer.from_files(tmp_path, tmp_path / "centres.npz", layer=2)
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(PackError, match="cannot be read"):
        HubertTokenizer.from_files(tmp_path, tmp_path / "centres.npz", layer=2)


def test_sounds_that_are_too_short() -> None:
    tokenizer = HubertTokenizer(model(), centres(), layer=2)
    assert tokenizer.encode(torch.zeros(1, 400)).shape == (1, 1)
    with pytest.raises(AudioError, match="too short"):
        tokenizer.encode(torch.zeros(1, 399))
