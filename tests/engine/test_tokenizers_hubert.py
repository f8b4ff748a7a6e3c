# SPDX-License-Identifier: GPL-3.0-or-later
"""HuBERT codes through transformers: real convolutions, random small transformer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.parametrize import remove_parametrizations

from engine.errors import AudioError, Cancelled, PackError
from engine.published.speech_files import load_speech
from engine.tokenizers.audio_tokenizer import REACH_S, HubertTokenizer
from engine.tokenizers.base import Tokenizer
from engine.tokenizers.hubert import Hubert

from . import published_files as made

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


def ours(network: Any) -> Hubert:
    """The same weights in the network that packs are read into."""
    remove_parametrizations(network.encoder.pos_conv_embed.conv, "weight", leave_parametrized=True)
    network.masked_spec_embed = None
    sizes = network.config
    same = Hubert(
        conv_width=sizes.conv_dim[0],
        hidden_size=sizes.hidden_size,
        num_layers=sizes.num_hidden_layers,
        feed_forward=sizes.intermediate_size,
        position_kernel=sizes.num_conv_pos_embeddings,
        position_groups=sizes.num_conv_pos_embedding_groups,
        head_width=sizes.hidden_size // sizes.num_attention_heads,
    )
    same.load_state_dict(network.state_dict())
    return same.eval()


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
    """HuBERT base's own size, at the layer the published scripts read and the one its centres are of.

    12 s go through the convolutions in six pieces.
    """
    torch.manual_seed(0)
    network = transformers.HubertModel(transformers.HubertConfig()).eval()
    with torch.no_grad():
        states = network(sound(12.0), output_hidden_states=True).hidden_states
    own = ours(network)
    for layer in (9, 12):
        found = HubertTokenizer(own, torch.zeros(1, 768), layer=layer).hidden_states(sound(12.0))
        torch.testing.assert_close(found, states[layer], atol=1e-4, rtol=1e-4)
        held = states[layer][0]
        chosen = held[torch.randperm(len(held), generator=torch.Generator().manual_seed(1))[:100]]
        codes = HubertTokenizer(own, chosen, layer=layer).encode(sound(12.0))
        assert torch.equal(codes[0], torch.cdist(held.double(), chosen.double()).argmin(-1))
        assert len(codes[0].unique()) > 50


@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("seconds", [0.025, 5.0, 5.02, 33.33, 119.9])
@torch.no_grad()
def test_a_sound_in_pieces_is_that_in_one_pass(norm: str, seconds: float) -> None:
    """Pieces of 2 s in the convolutions, blocks of 30 s in the layers: no step lost, shifted or changed."""
    network = model(2, norm).eval()
    expected = network(sound(seconds)).last_hidden_state
    found = HubertTokenizer(network, centres(), layer=2).hidden_states(sound(seconds))
    assert found.shape == (1, (int(seconds * 16000) - 400) // 320 + 1, WIDTH)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
    chosen = expected[0, :: max(1, expected.shape[1] // 50)]
    codes = HubertTokenizer(network, chosen, layer=2).encode(sound(seconds))
    assert torch.equal(codes, torch.cdist(expected.double(), chosen.double()[None]).argmin(-1))


@pytest.mark.parametrize(("reach_s", "seconds"), [(30.0, 100.0), (REACH_S, 250.0)])
@torch.no_grad()
def test_beyond_its_reach_attention_hears_what_is_near(reach_s: float, seconds: float) -> None:
    """In blocks of 30 s: the first block hears 30 s more than the reach, and no step is lost or shifted."""
    network = model(1).eval()
    for name in "qk":  # random attention hears everything alike
        network.get_submodule(f"encoder.layers.0.attention.{name}_proj").weight.mul_(30.0)
    whole = network(sound(seconds)).last_hidden_state[0]
    states = HubertTokenizer(network, centres(), layer=1, reach_s=reach_s).hidden_states(sound(seconds))[0]
    assert states.shape == whole.shape == ((int(seconds * 16000) - 400) // 320 + 1, WIDTH)
    for start in range(5, len(states) - 5, 1500):  # block by block, so that a drift would show in the last
        block = slice(start, min(start + 1500, len(states) - 5))
        errors = [(states - whole.roll(shift, 0))[block].square().mean() for shift in (-1, 0, 1)]
        assert errors[1] < 0.5 * min(errors[0], errors[2])
    assert not torch.allclose(states, whole, atol=1e-3, rtol=0)
    heard = round((reach_s + 30.0) * 50)
    near = network.encoder.layers[0](
        HubertTokenizer(network, centres(), layer=0).hidden_states(sound(seconds))[:, :heard]
    )
    torch.testing.assert_close(states[:1500], near[0][0, :1500], atol=1e-4, rtol=1e-4)


def test_layers_that_are_odd_are_heard_alike() -> None:
    """An odd kernel of the position convolution, other groups and heads than the released ones."""
    odd = config(1)
    odd.num_conv_pos_embeddings, odd.num_conv_pos_embedding_groups, odd.num_attention_heads = 15, 4, 4
    torch.manual_seed(3)
    network = transformers.HubertModel(odd).eval()
    with torch.no_grad():
        expected = network(sound(3.0)).last_hidden_state
    found = HubertTokenizer(ours(network), centres(), layer=1).hidden_states(sound(3.0))
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


def test_listening_can_be_stopped() -> None:
    asked = iter([False] * 8)
    with pytest.raises(Cancelled):
        HubertTokenizer(model(), centres(), layer=2).encode(sound(60.0), lambda: next(asked, True))


def test_loading_from_files(tmp_path: Path) -> None:
    """fairseq's file with joblib's centres and transformers' folder with an npz are the same tokenizer."""
    network = made.hubert()
    network.save_pretrained(tmp_path)
    np.savez(tmp_path / "centres.npz", centres=made.centres())
    expected = HubertTokenizer(network, torch.from_numpy(made.centres()), layer=2).encode(sound(1.0))
    found = load_speech(tmp_path, tmp_path / "centres.npz", 2)
    assert torch.equal(found.encode(sound(1.0)), expected)
    same = load_speech(made.save_fairseq(tmp_path / "a.pt"), made.save_centres(tmp_path / "a.bin"), 2)
    theirs = same.state_dict()
    assert {name: tensor.tolist() for name, tensor in found.state_dict().items()} == {
        name: tensor.tolist() for name, tensor in theirs.items()
    }
    with pytest.raises(PackError, match="layer 13"):
        load_speech(tmp_path, tmp_path / "centres.npz", 13)
    np.savez(tmp_path / "narrow.npz", centres=np.zeros((4, 3), np.float32))
    with pytest.raises(PackError, match="columns"):
        load_speech(tmp_path, tmp_path / "narrow.npz")
    np.savez(tmp_path / "other.npz", other=np.zeros(3))
    with pytest.raises(PackError, match=r"other\.npz"):
        load_speech(tmp_path, tmp_path / "other.npz")
    with pytest.raises(PackError, match=r"gone\.npz is missing"):
        load_speech(tmp_path, tmp_path / "gone.npz")
    with pytest.raises(PackError, match=r"no speech model at gone"):
        load_speech(tmp_path / "gone", tmp_path / "centres.npz")


def test_large_kinds_are_refused() -> None:
    large = config()
    large.do_stable_layer_norm = True
    with pytest.raises(PackError, match="large"):
        HubertTokenizer(transformers.HubertModel(large), centres(), layer=2)


def test_incomplete_weights_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    made.hubert().save_pretrained(tmp_path)
    np.savez(tmp_path / "centres.npz", centres=made.centres())
    weights = load_file(tmp_path / "model.safetensors")
    name = "encoder.layers.1.final_layer_norm.weight"
    del weights[name]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PackError, match=rf"first difference {name}"):
        load_speech(tmp_path, tmp_path / "centres.npz")
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(PackError, match=r"model\.safetensors"):
        load_speech(tmp_path, tmp_path / "centres.npz")


def test_sounds_that_are_too_short() -> None:
    tokenizer = HubertTokenizer(model(), centres(), layer=2)
    assert tokenizer.encode(torch.zeros(1, 400)).shape == (1, 1)
    with pytest.raises(AudioError, match="too short"):
        tokenizer.encode(torch.zeros(1, 399))
