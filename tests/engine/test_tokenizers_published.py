# SPDX-License-Identifier: GPL-3.0-or-later
"""Published motion tokenizers, their losses and the assembly, against the reference vectors."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F

from engine.errors import CodeRangeError, PackError
from engine.motion.rotations import axis_angle_to_matrix
from engine.specs import PARTS, Part
from engine.tokenizers.assembly import decode_published
from engine.tokenizers.base import MotionTokenizer
from engine.tokenizers.motion_vqvae import Family, MotionVQVAE, MotionVQVAEConfig
from engine.tokenizers.published import (
    PublishedTokenizers,
    build_tokenizer,
    load_published_tokenizers,
    read_state_dict,
)
from engine.tokenizers.published_losses import face_loss, lower_loss, root_loss, rotation_loss

Arrays = dict[str, npt.NDArray[np.float32]]
WORDS = {Part.FACE: "face", Part.HANDS: "hand", Part.UPPER: "upper", Part.LOWER: "lower"}


@pytest.fixture(scope="module")
def checkpoint(shared_dir: Path) -> Path:
    return shared_dir / "reference/lom-vectors/v1_a2m/vq_emage_speaker_2.ckpt"


@pytest.fixture(scope="module")
def tokenizers(checkpoint: Path) -> PublishedTokenizers:
    return load_published_tokenizers(checkpoint)


@pytest.fixture(scope="module")
def expected(checkpoint: Path) -> Arrays:
    with np.load(checkpoint.with_name("expected.npz"), allow_pickle=False) as data:
        return dict(data)


def close(actual: torch.Tensor, wanted: npt.NDArray[np.float32], atol: float = 1e-4) -> None:
    torch.testing.assert_close(actual, torch.from_numpy(wanted), atol=atol, rtol=1e-4)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_matches(tokenizers: PublishedTokenizers, expected: Arrays, part: Part) -> None:
    model, word = tokenizers.parts[part], WORDS[part]
    assert isinstance(model, MotionTokenizer)
    assert (model.stride, model.frame_rate, model.codebook_size, model.num_quantizers) == (1, 30.0, 16, 1)
    features = torch.from_numpy(expected[f"{word}/x"])
    with torch.no_grad():
        close(model.encoder_output(features), expected[f"{word}/encoder_out"])
        certain = expected[f"{word}/margin"].reshape(2, -1) > 1e-3
        codes = model.encode(features).numpy()
        assert (codes == expected[f"{word}/ids"])[certain].all() and certain.mean() > 0.9
        output = model(features)
        close(output.reconstruction, expected[f"{word}/rec"])
        close(output.commitment_loss, expected[f"{word}/embedding_loss"])
        close(output.perplexity[0], expected[f"{word}/perplexity"], atol=1e-3)
        close(
            model.decode(torch.from_numpy(expected[f"{word}/given_ids"])), expected[f"{word}/given_decoded"]
        )


def test_the_root_network_matches(tokenizers: PublishedTokenizers, expected: Arrays) -> None:
    assert tokenizers.root.config.family is Family.CONV_PLAIN and tokenizers.root.config.num_layers == 4
    with torch.no_grad():
        close(tokenizers.root(torch.from_numpy(expected["global/x"])).reconstruction, expected["global/rec"])


def test_assembly_matches(tokenizers: PublishedTokenizers, expected: Arrays) -> None:
    names = {Part.FACE: "face", Part.HANDS: "hands", Part.UPPER: "upper", Part.LOWER: "lower"}
    codes = {part: torch.from_numpy(expected[f"assembly/ids_{name}"]) for part, name in names.items()}
    clip = decode_published(tokenizers, codes)
    wanted = expected["assembly/poses"].reshape(-1, 55, 3).astype(np.float64)
    difference = axis_angle_to_matrix(clip.poses.astype(np.float64)) - axis_angle_to_matrix(wanted)
    assert np.abs(difference).max() < 1e-3
    np.testing.assert_allclose(clip.expressions, expected["assembly/expressions"], atol=1e-4)
    np.testing.assert_allclose(clip.trans, expected["assembly/trans"], atol=1e-4)
    assert (clip.basis, clip.fps, clip.betas.shape) == ("smplx", 30, (300,))


def test_losses_match(shared_dir: Path) -> None:
    with np.load(shared_dir / "reference/lom-vectors/losses.npz", allow_pickle=False) as data:
        given = {name: torch.from_numpy(data[name]) for name in data.files}
    lower = given["lower61_rec"], given["lower61_tar"]
    actual = {
        "loss_upper": rotation_loss(given["upper_rec"], given["upper_tar"]),
        "loss_hand": rotation_loss(given["hand_rec"], given["hand_tar"]),
        "loss_lower54": lower_loss(lower[0][..., :54], lower[1][..., :54]),
        "loss_lower61": lower_loss(*lower),
        "loss_face": face_loss(given["face_rec"], given["face_tar"]),
        "loss_global": root_loss(given["global_rec"], given["global_tar_trans"], given["global_tar_contact"]),
    }
    for name, value in actual.items():
        torch.testing.assert_close(value.double(), given[name], rtol=1e-4, atol=1e-6, msg=name)


def test_faces_that_were_not_recorded_do_not_count() -> None:
    torch.manual_seed(0)
    rebuilt, target = torch.randn(2, 8, 106), torch.randn(2, 8, 106)
    alone = face_loss(rebuilt[:1], target[:1])
    target[1] = 0.0
    torch.testing.assert_close(face_loss(rebuilt, target), alone)
    assert face_loss(rebuilt, torch.zeros_like(target)) == 0.0


def test_head_and_jaw_count_alike() -> None:
    torch.manual_seed(0)
    rebuilt, target = torch.randn(2, 8, 106), torch.randn(2, 8, 106)
    both = [torch.cat([face[..., :6], face], dim=-1) for face in (rebuilt, target)]  # the jaw's for the head
    torch.testing.assert_close(face_loss(*both), face_loss(rebuilt, target))
    still = torch.cat([torch.tensor([1.0, 0, 0, 0, 1, 0]).expand(2, 8, 6)] * 2 + [rebuilt[..., 6:]], dim=-1)
    limit = np.arccos(1 - 1e-6)  # equal rotations, by the published clamp
    for begin in (0, 6):  # half a radian of one of the two, all through
        turned = still.clone()
        turned[..., begin : begin + 6] = torch.tensor(
            [np.cos(0.5), -np.sin(0.5), 0, np.sin(0.5), np.cos(0.5), 0]
        )
        assert float(face_loss(turned, still)) == pytest.approx((0.5 + limit) / 2, abs=1e-5)
    moved = still + torch.cat([torch.zeros(12), torch.full((100,), 0.1)])
    assert float(face_loss(moved, still)) == pytest.approx(limit + 0.01, abs=1e-5)


def test_the_roots_speed_is_per_second() -> None:
    time = torch.arange(20.0)[None, :, None] / 25
    positions = torch.cat([0.5 * time, torch.full_like(time, 0.9), -0.2 * time], dim=-1)
    rebuilt = torch.zeros(1, 20, 61)
    rebuilt[..., 54:57] = torch.tensor([0.5, 0.9, -0.2])
    contacts = torch.zeros(1, 20, 4)
    assert float(root_loss(rebuilt, positions, contacts, fps=25)) < 1e-4
    assert float(root_loss(rebuilt, positions, contacts)) > 0.1


FAMILIES = [
    (Family.CONV, 2, 1),
    (Family.CONV, 4, 1),
    (Family.CONV_PLAIN, 4, 1),
    (Family.DSUS_PAPER, 3, 4),
    (Family.DSUS_PAPER, 4, 8),
    (Family.DSUS1_PAPER, 3, 1),
    (Family.DSUS2_PAPER, 3, 2),
    (Family.DSUS, 1, 2),
    (Family.DSUS, 2, 4),
]


@pytest.mark.parametrize(("family", "layers", "stride"), FAMILIES)
def test_families_are_told_apart_by_shapes(family: Family, layers: int, stride: int) -> None:
    config = MotionVQVAEConfig(family, feature_dim=18, width=8, codebook_size=12, num_layers=layers)
    model = MotionVQVAE(config).eval()
    rebuilt = build_tokenizer(model.state_dict(), "file")
    assert (rebuilt.config.family, rebuilt.config.num_layers, rebuilt.stride) == (family, layers, stride)
    features = torch.randn(2, 64, 18)
    assert torch.equal(rebuilt(features).reconstruction, model(features).reconstruction)
    if family is not Family.CONV_PLAIN:
        codes = rebuilt.encode(features)
        assert codes.shape == (2, 64 // stride)
        assert rebuilt.decode(codes).shape == features.shape


def convolved(state: dict[str, torch.Tensor], name: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
    return F.conv1d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride, 1)


def residual(state: dict[str, torch.Tensor], name: str, x: torch.Tensor) -> torch.Tensor:
    inner = F.leaky_relu(convolved(state, f"{name}.model.0", x), 0.2)
    return x + convolved(state, f"{name}.model.2", inner)


def spec_encode(family: Family, layers: int, state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The encoder as spec 2.1 to 2.3 describes it, (B, D, F) -> (B, C, T)."""
    strides = {
        Family.DSUS_PAPER: [1, 2, 2, 2],
        Family.DSUS2_PAPER: [1, 1, 2, 2],
        Family.DSUS: [2, 2 if layers == 2 else 1],
    }.get(family, [1, 1, 1, 1])
    for index in range(2 if family is Family.DSUS else layers):
        x = F.leaky_relu(convolved(state, f"encoder.main.{3 * index}", x, strides[index]), 0.2)
        x = residual(state, f"encoder.main.{3 * index + 2}", x)
    return x


def spec_decode(family: Family, layers: int, state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The decoder as spec 2.1 to 2.3 describes it, (B, C, T) -> (B, D, F)."""
    if family in (Family.CONV, Family.CONV_PLAIN, Family.DSUS):
        x = residual(state, "decoder.main.1", residual(state, "decoder.main.0", x))
        step = 3 if family is Family.DSUS else 2
        for index in range(layers):
            if family is Family.DSUS:
                x = x.repeat_interleave(2, dim=2)
            x = F.leaky_relu(convolved(state, f"decoder.main.{step * (index + 1)}", x), 0.2)
        return convolved(state, f"decoder.main.{2 + step * layers}", x)
    ups = {Family.DSUS_PAPER: layers - 1, Family.DSUS2_PAPER: layers - 2}.get(family, 0)
    place = 0
    for index in range(layers):
        x = residual(state, f"decoder.main.{place}", x)
        if index < ups:
            x, place = x.repeat_interleave(2, dim=2), place + 1
        x, place = convolved(state, f"decoder.main.{place + 1}", x), place + 2
    return convolved(state, f"decoder.main.{place + 1}", F.leaky_relu(x, 0.2))


@pytest.mark.parametrize(("family", "layers", "stride"), [*FAMILIES, (Family.DSUS_PAPER, 1, 1)])
def test_families_compute_what_the_specification_says(family: Family, layers: int, stride: int) -> None:
    torch.manual_seed(layers)
    config = MotionVQVAEConfig(family, feature_dim=18, width=8, codebook_size=12, num_layers=layers)
    state = {name: torch.randn_like(value) * 0.3 for name, value in MotionVQVAE(config).state_dict().items()}
    model = build_tokenizer(state, "file")
    for frames in (64, 61):
        x = torch.randn(2, frames, 18)
        latents = spec_encode(family, layers, state, x.transpose(1, 2)).transpose(1, 2)
        if family is Family.CONV_PLAIN:
            rebuilt = spec_decode(family, layers, state, latents.transpose(1, 2)).transpose(1, 2)
            torch.testing.assert_close(model(x).reconstruction, rebuilt, atol=1e-5, rtol=1e-4)
            continue
        book = state["quantizer.embedding.weight"]
        codes = torch.cdist(latents.double(), book.double().expand(2, -1, -1)).argmin(-1)
        torch.testing.assert_close(model.encoder_output(x), latents, atol=1e-5, rtol=1e-4)
        assert model.stride == stride and torch.equal(model.encode(x), codes)
        rebuilt = spec_decode(family, layers, state, book[codes].transpose(1, 2)).transpose(1, 2)
        torch.testing.assert_close(model.decode(codes), rebuilt, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (MotionVQVAEConfig(Family.CONV, 106, num_layers=2), 2_231_168),
        (MotionVQVAEConfig(Family.CONV, 61, num_layers=4), 3_714_325),
        (MotionVQVAEConfig(Family.CONV_PLAIN, 61, num_layers=4), 3_648_789),
        (MotionVQVAEConfig(Family.DSUS_PAPER, 78, num_layers=3), 3_532_366),
        (MotionVQVAEConfig(Family.DSUS1_PAPER, 112, num_layers=3), 3_584_624),
    ],
)
def test_published_sizes(config: MotionVQVAEConfig, parameters: int) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in MotionVQVAE(config).parameters()) == parameters


def test_indices_of_the_paper_family() -> None:
    """State-dict names of `lom_vq.ckpt` (spec, appendix A)."""
    with torch.device("meta"):
        names = MotionVQVAE(MotionVQVAEConfig(Family.DSUS_PAPER, 78)).state_dict().keys()
    decoder = {int(name.split(".")[2]) for name in names if name.startswith("decoder.main.")}
    encoder = {int(name.split(".")[2]) for name in names if name.startswith("encoder.main.")}
    assert decoder == {0, 2, 3, 5, 6, 7, 9} and encoder == {0, 2, 3, 5, 6, 8}
    assert "quantizer.embedding.weight" in names and "decoder.main.3.model.2.bias" in names


def test_lengths_that_are_not_whole_steps() -> None:
    model = MotionVQVAE(MotionVQVAEConfig(Family.DSUS_PAPER, 6, width=8)).eval()
    assert model.encode(torch.randn(1, 61, 6)).shape == (1, 16)
    assert model(torch.randn(1, 61, 6)).reconstruction.shape == (1, 61, 6)


def rename_hands(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.replace("vae_hand.", "vae_hands."): value for name, value in state.items()}


def test_both_names_of_the_hands(checkpoint: Path, tokenizers: PublishedTokenizers, tmp_path: Path) -> None:
    state = read_state_dict(checkpoint)
    assert any(name.startswith("vae_hand.") for name in state)
    torch.save({"state_dict": rename_hands(state)}, tmp_path / "renamed.ckpt")
    again = load_published_tokenizers(tmp_path / "renamed.ckpt").parts[Part.HANDS].state_dict()
    for name, value in tokenizers.parts[Part.HANDS].state_dict().items():
        assert torch.equal(again[name], value)


def without(name: str) -> Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
    return lambda state: {key: value for key, value in state.items() if not key.startswith(name)}


BROKEN: dict[str, tuple[Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]], str]] = {
    "a bias is missing": (without("vae_upper.encoder.main.3.bias"), r"upper.*encoder\.main\.3\.bias"),
    "a part is missing": (without("vae_lower."), r"vae_lower"),
    "no root network": (without("vae_global."), r"vae_global"),
    "a shape is wrong": (
        lambda state: {**state, "vae_face.decoder.main.6.bias": torch.zeros(3)},
        r"face.*decoder\.main\.6\.bias",
    ),
    "an unknown weight": (lambda state: {**state, "vae_face.extra": torch.zeros(3)}, r"face.*extra"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_incomplete_files_are_refused(checkpoint: Path, tmp_path: Path, case: str) -> None:
    change, message = BROKEN[case]
    torch.save({"state_dict": change(read_state_dict(checkpoint))}, tmp_path / "broken.ckpt")
    with pytest.raises(PackError, match=message):
        load_published_tokenizers(tmp_path / "broken.ckpt")


def test_unsafe_and_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.ckpt"
    with pytest.raises(PackError, match="missing"):
        read_state_dict(path)

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"state_dict": {"a": torch.zeros(1)}, "extra": Evil()}, path)
    for content in (path.read_bytes(), b"not a file", pickle.dumps(Evil(), protocol=2), b""):
        path.write_bytes(content)
        with pytest.raises(PackError, match=r"evil\.ckpt"):
            read_state_dict(path)
    assert not (tmp_path / "ran").exists()
    torch.save([1, 2], path)
    with pytest.raises(PackError, match="layout"):
        read_state_dict(path)


def test_configuration_objects_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning files may hold OmegaConf objects, though that package is not installed here."""
    module = ModuleType("omegaconf.listconfig")
    kind = type("ListConfig", (), {"__module__": module.__name__, "__qualname__": "ListConfig"})
    module.ListConfig = kind  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "omegaconf", ModuleType("omegaconf"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    thing = kind()
    vars(thing)["content"] = [1, 2]
    torch.save({"hyper_parameters": {"x": thing}, "state_dict": {"a": torch.ones(1)}}, tmp_path / "a.ckpt")
    monkeypatch.delitem(sys.modules, module.__name__)
    assert torch.equal(read_state_dict(tmp_path / "a.ckpt")["a"], torch.ones(1))


def test_emage_files(tmp_path: Path) -> None:
    model = MotionVQVAE(MotionVQVAEConfig(Family.CONV, 6, width=8, codebook_size=4, num_layers=2))
    named = {f"module.{name}": value for name, value in model.state_dict().items()}
    torch.save({"model_state": named}, tmp_path / "face.bin")
    again = build_tokenizer(read_state_dict(tmp_path / "face.bin"), "face.bin", Part.FACE)
    assert again.config == MotionVQVAEConfig(Family.CONV, 6, 8, 4, 2, code_dim=8)


def test_codes_outside_the_codebook(tokenizers: PublishedTokenizers) -> None:
    for codes in (torch.tensor([[16]]), torch.tensor([[-1]]), torch.tensor([[0.5]]), torch.tensor([1])):
        with pytest.raises(CodeRangeError):
            tokenizers.parts[Part.FACE].decode(codes)
    with pytest.raises(TypeError):
        tokenizers.root.encode(torch.zeros(1, 4, 61))
