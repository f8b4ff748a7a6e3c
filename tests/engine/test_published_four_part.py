# SPDX-License-Identifier: GPL-3.0-or-later
"""The four-part release: its files to a pack, its stream against transformers' Qwen3, its motion."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.__main__ import main
from engine.errors import Cancelled, PackError, RequestError
from engine.motion.clip import Clip
from engine.motion.clip_io import load_npz
from engine.motion.kinematics import clip_joint_positions
from engine.motion.skeleton import SOLE_THICKNESS
from engine.packs import load_pack
from engine.pipeline import load_engine
from engine.published import four_part_engine
from engine.published.choice import MissingFilesError, Release
from engine.published.four_part import NUM_ADDED, NUM_CODES, ORDER, StreamRequest, StreamWords, write_stream
from engine.published.four_part_engine import FourPartEngine, local_root_motion
from engine.published.importer import ImportOptions, import_published
from engine.published.qwen import QwenModel, qwen_weights, recognise_qwen
from engine.published.single import one_by_one
from engine.specs import (
    PARTS,
    CancelCheck,
    GenerateRequest,
    GenerateResult,
    Part,
    PartDirection,
    ProgressCallback,
    SamplingOptions,
    ShowCallback,
    Source,
)
from engine.tokenizers.motion_vqvae import Family, MotionVQVAE, MotionVQVAEConfig
from tests.tiny_pack import write_tiny_pack

from . import published_files as made

pytest.importorskip("transformers", reason="needs transformers (requirements of training)")

BASE = 40
"""Written words of the small Qwen3."""

GREEDY = SamplingOptions(temperature=0.0)
WIDTHS = {Part.FACE: 112, Part.HANDS: 180, Part.UPPER: 78, Part.LOWER: 54}


def qwen(tied: bool = True, rope_theta: float = 1_000_000.0) -> Any:
    """A small Qwen3 of transformers with random weights, enlarged as the release does."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(5)
    config = Qwen3Config(
        vocab_size=BASE, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, tie_word_embeddings=tied, initializer_range=0.3,
        rope_parameters={"rope_type": "default", "rope_theta": rope_theta},
    )  # fmt: skip
    model: Any = Qwen3ForCausalLM(config)
    model.resize_token_embeddings(BASE + NUM_ADDED, mean_resizing=False)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(torch.randn(weight.shape) * 0.3 + ("norm" in name))
    assert (model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()) is tied
    return model.eval()


def vocab() -> dict[str, int]:
    """The numbering as the release writes it."""
    names = ["audio_offset", "face_offset", "upper_offset", "lower_offset", "hand_offset"]
    counts = [0, 16384, 512, 256, 256]
    table = {"base": BASE} | dict(zip(names, (BASE + np.cumsum(counts)).tolist(), strict=True))
    first = table["hand_offset"] + 256
    marks = ["bos", "sep", "face_s", "up_s", "low_s", "hand_s", "eos", "pad", "vocab_size"]
    return table | {name: first + index for index, name in enumerate(marks)}


def save_language(path: Path, model: Any, words: dict[str, int] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "model": model.state_dict(), "cfg": {"arch": "pretrained_4part", "pretrained": "Qwen/Qwen3-0.6B"},
        "vocab": vocab() if words is None else words, "step": 40000, "val_loss": 3.1, "val_acc": 0.2,
    }  # fmt: skip
    torch.save(content, path)
    return path


def network(part: Part | None) -> MotionVQVAE:
    if part is None:
        return MotionVQVAE(MotionVQVAEConfig(Family.CONV_PLAIN, 61, 8, 1, 4, code_dim=8))
    family = Family.DSUS1_PAPER if part is Part.FACE else Family.DSUS_PAPER
    return MotionVQVAE(MotionVQVAEConfig(family, WIDTHS[part], 8, NUM_CODES[part], 3, code_dim=8))


def download(folder: Path) -> Path:
    """Everything the four-part model needs, in the places of the published download."""
    weights = folder / "pretrained_cpt"
    made.lightning(
        {f"vae_face.{k}": v for k, v in network(Part.FACE).state_dict().items()},
        weights / "face/face_lom.ckpt",
    )
    body: made.Tensors = {}
    for part in (Part.HANDS, Part.UPPER, Part.LOWER):
        name = "hands" if part is Part.HANDS else part.value
        body |= {f"vae_{name}.{k}": v for k, v in network(part).state_dict().items()}
    old_face = made.motion_network(Part.FACE, "text").state_dict()
    body |= {f"vae_face.{k}": v for k, v in old_face.items()}
    body |= {f"vae_global.{k}": torch.zeros_like(v) for k, v in network(None).state_dict().items()}
    made.lightning(body, weights / "lom_vq_ds/lom_vq.ckpt")
    root = {f"vae_global.{k}": v for k, v in network(None).state_dict().items()}
    made.lightning(root, weights / "VAE_Global_from_Lower54/vibes_global.ckpt")
    save_language(folder / "qwen3-0.6B_4part.pt", qwen())
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return download(tmp_path_factory.mktemp("four_part") / "files")


@pytest.fixture(scope="module")
def pack(folder: Path) -> Path:
    return import_published(folder, folder.parent / "pack").pack.root


@pytest.fixture(scope="module")
def engine(pack: Path) -> FourPartEngine:
    loaded = load_engine(pack, "cpu")
    assert isinstance(loaded, FourPartEngine)
    return loaded


def sound(count: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.random.default_rng(seed).integers(0, 16384, count)


def ours(theirs: Any) -> QwenModel:
    state = theirs.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    config = recognise_qwen(shapes, "file", theirs.config.rope_parameters["rope_theta"])
    weights = qwen_weights(config, BASE, True, lambda names: {name: state[name] for name in names})
    model = QwenModel(replace(config, num_rows=NUM_ADDED, tied="lm_head.weight" not in weights))
    model.load_state_dict(weights)
    return model.eval()


# --- the language model ---------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("rope_theta", [10_000.0, 1_000_000.0])
@torch.inference_mode()
def test_scores_are_those_of_transformers(tied: bool, rope_theta: float) -> None:
    theirs = qwen(tied, rope_theta)
    model = ours(theirs)
    ids = torch.randint(BASE, BASE + NUM_ADDED, (2, 70), generator=torch.Generator().manual_seed(1))
    wanted = theirs(ids).logits[:, :, BASE:]
    decoder = model.start(2, 70)
    pieces = [decoder.advance(part - BASE) for part in ids.split([40, 1, 1, 20, 8], dim=1)]
    found = torch.cat(pieces, dim=1) @ model.head.T
    assert (wanted.std() > 0.5) and torch.allclose(found, wanted, atol=1e-3)


@torch.inference_mode()
def plain_greedy(theirs: Any, audio: list[int], steps: int) -> dict[Part, list[int]]:
    """The stream as the release's own program writes it: the whole stream again for every word."""
    words = vocab()
    offsets = {p: words[f"{'hand' if p is Part.HANDS else p.value}_offset"] for p in ORDER}
    marks = dict(zip(ORDER, ("face_s", "up_s", "low_s", "hand_s"), strict=True))
    stream = [words["bos"], *(code + words["audio_offset"] for code in audio), words["sep"]]
    blocks: dict[Part, list[int]] = {}
    for part in ORDER:
        stream.append(words[marks[part]])
        blocks[part] = []
        for _ in range(steps * (4 if part is Part.FACE else 1)):
            logits = theirs(torch.tensor([stream])).logits[0, -1]
            code = int(logits[offsets[part] : offsets[part] + NUM_CODES[part]].argmax())
            blocks[part].append(code)
            stream.append(code + offsets[part])
    return blocks


def test_greedy_streams_are_those_of_transformers(engine: FourPartEngine) -> None:
    audio = sound(9).tolist()
    wanted = plain_greedy(qwen(), audio, 4)
    request = StreamRequest(torch.tensor(audio), 4, frozenset(PARTS), {}, torch.zeros(28))
    found = write_stream(engine.language, engine.words, request, GREEDY)
    assert {part: codes.tolist() for part, codes in found.items()} == wanted
    assert len({code for codes in wanted.values() for code in codes}) > 5
    half = torch.tensor([*wanted[Part.FACE][:7], *[-1] * 9])
    request = replace(request, known={Part.FACE: half, Part.UPPER: torch.tensor(wanted[Part.UPPER])})
    again = write_stream(engine.language, engine.words, request, GREEDY)
    assert {part: codes.tolist() for part, codes in again.items()} == wanted


def test_the_wider_output_head_is_kept(tmp_path: Path, folder: Path) -> None:
    files = download(tmp_path / "files")
    save_language(files / "qwen3-0.6B_4part.pt", qwen(tied=False))
    loaded = load_engine(import_published(files, tmp_path / "pack").pack.root, "cpu")
    assert isinstance(loaded, FourPartEngine)
    assert not torch.equal(loaded.language.head, loaded.language.embed_tokens.weight)
    assert torch.equal(loaded.language.head, qwen(tied=False).lm_head.weight[BASE:])


# --- the import -----------------------------------------------------------------------------------------


def test_the_pack_holds_the_newer_networks(folder: Path, engine: FourPartEngine) -> None:
    assert engine.tokenizers.parts[Part.FACE].config.feature_dim == 112
    assert engine.tokenizers.parts[Part.FACE].stride == 1
    assert {engine.tokenizers.parts[part].stride for part in PARTS if part is not Part.FACE} == {4}
    saved = torch.load(folder / "pretrained_cpt/VAE_Global_from_Lower54/vibes_global.ckpt")["state_dict"]
    name = "encoder.main.0.weight"
    assert torch.equal(engine.tokenizers.root.state_dict()[name], saved[f"vae_global.{name}"])
    assert engine.words == StreamWords(**vocab())
    assert engine.words == StreamWords.from_rows(BASE + NUM_ADDED)
    assert engine.language.embed_tokens.num_embeddings == NUM_ADDED


def test_the_report_says_what_is_needed(folder: Path, tmp_path: Path) -> None:
    report = import_published(folder, tmp_path / "pack", ImportOptions(release=Release.FOUR_PART))
    assert any("GLM-4-Voice" in note and "--audio-codes" in note for note in report.notes)
    assert report.pack.value(str, "release") == "four-part"


def test_beside_the_first_version_it_is_left_out_with_a_note(tmp_path: Path) -> None:
    for package in ("joblib", "sklearn"):
        pytest.importorskip(package, reason=f"needs {package} (requirements of training)")
    files = made.download(download(tmp_path / "files"))
    report = import_published(files, tmp_path / "pack")
    assert report.pack.value(str, "release") == "speech"
    assert any("left out" in note for note in report.notes)
    import_published(files, tmp_path / "other", ImportOptions(release=Release.FOUR_PART))
    assert isinstance(load_engine(tmp_path / "other", "cpu"), FourPartEngine)


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("pretrained_cpt/face/face_lom.ckpt", "face/face_lom.ckpt"),
        ("pretrained_cpt/lom_vq_ds/lom_vq.ckpt", "hands, upper, lower"),
        ("qwen3-0.6B_4part.pt", "LoM-a2m-4part"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, lost: str, said: str) -> None:
    files = download(tmp_path / "files")
    (files / lost).unlink()
    with pytest.raises(MissingFilesError, match=said):
        import_published(files, tmp_path / "pack", ImportOptions(release=Release.FOUR_PART))
    assert not (tmp_path / "pack").exists()


def test_another_backbone_is_refused_by_name(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    files = download(tmp_path / "files")
    sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=BASE + NUM_ADDED, **sizes))
    save_language(files / "qwen3-0.6B_4part.pt", model)
    with pytest.raises(PackError, match=r"4part\.pt holds a four-part model made from GPT-2"):
        import_published(files, tmp_path / "pack")


@pytest.mark.parametrize("case", ["weight", "words", "overlap", "rope"])
def test_damaged_language_models_are_named(tmp_path: Path, case: str) -> None:
    files = download(tmp_path / "files")
    path, model, words = files / "qwen3-0.6B_4part.pt", qwen(), vocab()
    if case == "weight":
        state = model.state_dict()
        del state["model.layers.1.mlp.up_proj.weight"]
        torch.save({"model": state, "vocab": words}, path)
    elif case == "rope":
        path.with_name("config.json").write_text('{"model_type": "qwen3", "rope_theta": "fast"}')
    else:
        words |= {"vocab_size": 99999} if case == "words" else {"face_offset": words["audio_offset"] + 5}
        save_language(path, model, words)
    with pytest.raises(PackError, match=r"4part\.pt"):
        import_published(files, tmp_path / "pack")


def test_the_backbone_says_how_positions_turn(tmp_path: Path) -> None:
    files = download(tmp_path / "files")
    table = {"model_type": "qwen3", "rope_parameters": {"rope_theta": 10000.0}}
    (files / "config.json").write_text(json.dumps(table))
    loaded = load_engine(import_published(files, tmp_path / "pack").pack.root, "cpu")
    assert isinstance(loaded, FourPartEngine) and loaded.language.config.rope_theta == 10000.0


# --- motion ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 24, 25, 26, 61])
def test_length_equals_the_sound_to_the_frame(engine: FourPartEngine, count: int) -> None:
    made_now = engine.generate(GenerateRequest(audio_codes=sound(count)))
    assert made_now.clip.num_frames == round(count / 12.5 * 30)
    assert made_now.clip.fps == 30 and made_now.clip.basis == "smplx"
    for part, codes in made_now.codes.items():
        assert min(codes) >= 0 and max(codes) < NUM_CODES[part]
        assert len(codes) == len(made_now.codes[Part.UPPER]) * (4 if part is Part.FACE else 1)


def test_seeds(engine: FourPartEngine) -> None:
    request = GenerateRequest(audio_codes=sound(20))
    first, second = engine.generate(request), engine.generate(request)
    other = engine.generate(replace(request, sampling=SamplingOptions(seed=1)))
    assert first.codes == second.codes and np.array_equal(first.clip.poses, second.clip.poses)
    assert first.codes != other.codes
    sharp = SamplingOptions(seed=1, temperature=2.0, top_k=1)
    greedy = engine.generate(replace(request, sampling=GREEDY)).codes
    assert engine.generate(replace(request, sampling=sharp)).codes == greedy


def test_windows_go_on_from_each_other(engine: FourPartEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(four_part_engine, "WINDOW_STEPS", 6)
    monkeypatch.setattr(four_part_engine, "OVERLAP_STEPS", 2)
    asked: list[StreamRequest] = []
    answers: list[dict[Part, torch.Tensor]] = []

    def spy(model: Any, words: Any, request: StreamRequest, *rest: Any) -> dict[Part, torch.Tensor]:
        asked.append(request)
        answers.append(write_stream(model, words, request, *rest))
        return answers[-1]

    monkeypatch.setattr(four_part_engine.four_part, "write_stream", spy)
    result = engine.generate(GenerateRequest(audio_codes=sound(20)))
    assert [len(request.audio) for request in asked] == [12, 12]
    assert asked[1].audio.tolist() == sound(20)[8:].tolist()
    for part in PARTS:
        many = 4 if part is Part.FACE else 1
        head, rest = asked[1].known[part][: 2 * many], asked[1].known[part][2 * many :]
        assert torch.equal(head, answers[0][part][-2 * many :]) and bool((rest == -1).all())
        assert len(result.codes[part]) == 10 * many


def test_kept_parts_and_a_stretch(engine: FourPartEngine) -> None:
    kept = engine.generate(GenerateRequest(audio_codes=sound(50))).clip
    keep = {Part.HANDS: PartDirection(Source.KEEP)}
    request = GenerateRequest(audio_codes=sound(50, 1), directions=keep, kept=kept)
    result = engine.generate(request)
    assert Part.HANDS not in result.codes
    assert np.array_equal(result.clip.poses[:, 25:55], kept.poses[:, 25:55])
    assert np.allclose(result.clip.trans[0, [0, 2]], kept.trans[0, [0, 2]], atol=0.2)
    whole = engine.generate(replace(request, directions={}, free=(48, 72)))
    assert whole.clip.num_frames == kept.num_frames and set(whole.codes) == set(PARTS)


def test_the_feet_stand_on_the_floor(engine: FourPartEngine) -> None:
    clip = engine.generate(GenerateRequest(audio_codes=sound(40), plant_feet=False)).clip
    assert clip_joint_positions(clip)[:, [10, 11], 1].min() == pytest.approx(SOLE_THICKNESS, abs=1e-3)


def test_the_compatible_way_is_the_release(engine: FourPartEngine) -> None:
    request = GenerateRequest(audio_codes=sound(9), sampling=GREEDY)
    result = engine.generate_as_published(request)
    assert result.codes == plain_greedy(qwen(), sound(9).tolist(), 4)
    assert result.clip.num_frames == 16 and result.clip.fps == 25
    lower = engine.decode(Part.LOWER, torch.tensor(result.codes[Part.LOWER]))
    assert np.allclose(result.clip.trans, plain_root(engine, lower), atol=1e-4)
    assert np.array_equal(result.clip.trans[0], np.zeros(3))
    face = engine.decode(Part.FACE, torch.tensor(result.codes[Part.FACE])).numpy()
    assert np.allclose(result.clip.expressions, face[:, 12:], atol=1e-6)
    assert len(engine.generate_as_published(replace(request, audio_codes=sound(1))).codes[Part.UPPER]) == 1


@torch.inference_mode()
def plain_root(engine: FourPartEngine, lower: torch.Tensor) -> np.ndarray[Any, Any]:
    """Spec 4.2: velocities per frame as the pelvis sees them, turned and added up from frame 1."""
    frames = len(lower)
    a, b = lower[:, :54].reshape(frames, 9, 2, 3).unbind(2)
    first = torch.nn.functional.normalize(a, dim=-1)
    second = torch.nn.functional.normalize(b - (first * b).sum(-1, keepdim=True) * first, dim=-1)
    whole = torch.cat([torch.stack([first, second], 2).reshape(frames, 54), torch.zeros(frames, 7)], 1)
    velocity = engine.tokenizers.root(whole[None]).reconstruction[0, :, 54:57]
    pelvis = torch.stack([first[:, 0], second[:, 0], torch.linalg.cross(first[:, 0], second[:, 0])], 1)
    place, places = torch.zeros(3), [torch.zeros(3)]
    for index in range(1, frames):
        place = place + pelvis[index] @ velocity[index]
        places.append(place)
    return torch.stack(places).numpy()


def test_the_root_moves(engine: FourPartEngine) -> None:
    lower = engine.decode(Part.LOWER, torch.arange(10))
    root, contacts = local_root_motion(engine.tokenizers.root, lower)
    assert np.abs(root).max() > 1e-3 and np.allclose(root, plain_root(engine, lower), atol=1e-4)
    assert contacts.shape == (40, 4) and contacts.min() >= 0 and contacts.max() <= 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"audio_codes": None}, "GLM-4-Voice"),
        ({"audio_codes": np.array([16384])}, "0 to 16383"),
        ({"audio_codes": np.array([], dtype=np.int64)}, "one at least"),
        ({"directions": {Part.UPPER: PartDirection(Source.TEXT, "wave")}}, "speech only"),
        ({"emotion": "happiness"}, "no emotion"),
        ({"duration_s": 9.0}, "the whole sound listened to"),
    ],
)
def test_bad_requests(engine: FourPartEngine, change: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        engine.generate(replace(GenerateRequest(audio_codes=sound(10)), **change))


def test_stopping(engine: FourPartEngine) -> None:
    calls = iter([False] * 5 + [True])
    with pytest.raises(Cancelled):
        engine.generate(GenerateRequest(audio_codes=sound(10)), cancel=lambda: next(calls))


def test_progress_rises_to_its_end(engine: FourPartEngine) -> None:
    told: list[float] = []
    engine.generate(GenerateRequest(audio_codes=sound(10)), lambda share, _: told.append(share))
    assert told == sorted(told) and told[0] == 0.0 and 0.9 < told[-1] <= 1.0


def test_the_command(pack: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import-lom", str(folder), "--model", "four-part", "--out", str(tmp_path / "pack")]) == 0
    assert load_pack(tmp_path / "pack").kind == "published"
    codes, out = tmp_path / "codes.npy", tmp_path / "motion.npz"
    np.save(codes, sound(10)[None])
    command = ["generate", "--pack", str(pack), "--device", "cpu", "--out", str(out)]
    assert main([*command, "--audio-codes", str(codes)]) == 0
    clip: Clip = load_npz(out)
    assert clip.num_frames == 24
    assert main([*command, "--audio-codes", str(codes), "--compatible"]) == 0
    codes.write_bytes(b"no codes")
    capsys.readouterr()
    assert main([*command, "--audio-codes", str(codes)]) == 1
    assert "codes.npy cannot be read" in capsys.readouterr().err


def test_other_models_hear_the_sound_itself(tmp_path: Path) -> None:
    starter = load_engine(write_tiny_pack(tmp_path / "pack").root, "cpu")
    with pytest.raises(RequestError, match="the sound itself"):
        starter.generate(GenerateRequest(audio_codes=sound(10)))


def test_progress_over_several_requests_never_falls() -> None:
    told: list[float] = []

    def generate(
        request: GenerateRequest,
        progress: ProgressCallback | None,
        cancel: CancelCheck | None,
        show: ShowCallback | None,
    ) -> GenerateResult:
        assert progress is not None and show is None
        for fraction in (0.0, 0.5, 1.0):
            progress(fraction, "Moving the body")
        return GenerateResult(Clip.rest(1, 30), 1 / 30, 0.0, {})

    requests = [GenerateRequest(), GenerateRequest()]
    assert len(one_by_one(generate, requests, lambda fraction, _text: told.append(fraction), None, None)) == 2
    assert told == [0.0, 0.25, 0.5, 0.5, 0.75, 1.0]
