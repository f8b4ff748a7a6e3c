# SPDX-License-Identifier: GPL-3.0-or-later
"""The published model's files to a pack and back, and every way the files can be missing or bad."""

from __future__ import annotations

import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from engine.__main__ import main
from engine.errors import Cancelled, PackError
from engine.motion.smplx_file import load_smplx_mesh
from engine.packs import load_pack, write_pack
from engine.published import files as published_files_module
from engine.published import importer
from engine.published.centres import read_centres
from engine.published.choice import FIRST_VERSION, MissingFilesError, Release
from engine.published.importer import ImportOptions, ImportReport, import_published
from engine.published.language import published_words
from engine.published.model import PublishedModel, load_body, load_published, releases_of
from engine.specs import PARTS, Part
from engine.tokenizers.motion_vqvae import Family
from engine.tokenizers.published import load_published_tokenizers, read_state_dict
from engine.tokenizers.vocabulary import published_vocabulary

from . import published_files as made

for package in ("transformers", "joblib", "sklearn"):
    pytest.importorskip(package, reason=f"needs {package} (requirements of training)")

VQ = "pretrained_cpt/emage_vq/vq_emage_speaker_2.ckpt"
LM = "pretrained_cpt/lom_a2m/Instruct_Mixed_A2M_LM.ckpt"
TEXT_VQ = "pretrained_cpt/lom_vq_ds/lom_vq.ckpt"
WORDS = "t5_models/flan-t5-base/tokenizer.json"
HUBERT = "hubert_models/hubert_base_ls960.pt"
CENTRES = "hubert_models/hubert_base_ls960_L9_km500.bin"


class Imported(NamedTuple):
    folder: Path
    report: ImportReport
    model: PublishedModel


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """The speech model's files, imported once; tests leave them as they are."""
    root = tmp_path_factory.mktemp("published")
    folder = made.download(root / "model_files")
    made.save_body(folder / "smplx_models/smplx/SMPLX_MALE.npz")
    made.save_body(folder / "smplx_models/smplx/SMPLX_NEUTRAL_2020.npz")
    made.save_judge(folder / "weights/AESKConv_240_100.bin")
    report = import_published(folder, root / "pack")
    return Imported(folder, report, load_published(root / "pack"))


@pytest.fixture
def folder(speech: Imported, tmp_path: Path) -> Path:
    """A copy of the files that a test may change."""
    return Path(shutil.copytree(speech.folder, tmp_path / "model_files"))


@pytest.fixture
def text_folder(tmp_path: Path) -> Path:
    return made.download(tmp_path / "text_files", "text")


def change_state(path: Path, change: Callable[[made.Tensors], object]) -> None:
    """Write a Lightning file again with other weights."""
    state = dict(read_state_dict(path))
    change(state)
    made.lightning(state, path)


# --- what comes out ---------------------------------------------------------------------------------


def test_motion_networks_come_back(speech: Imported) -> None:
    expected = load_published_tokenizers(speech.folder / VQ)
    for part in PARTS:
        ours, theirs = speech.model.tokenizers.parts[part], expected.parts[part]
        assert ours.config == theirs.config and ours.stride == 1 and ours.codebook_size == made.CODEBOOK
        features = torch.randn(1, 20, ours.config.feature_dim)
        assert torch.equal(ours.encode(features), theirs.encode(features))
        codes = torch.randint(0, made.CODEBOOK, (1, 9))
        assert torch.equal(ours.decode(codes), theirs.decode(codes))
    root = speech.model.tokenizers.root
    assert root.config.family is Family.CONV_PLAIN
    assert torch.equal(
        root(torch.ones(1, 9, 61)).reconstruction, expected.root(torch.ones(1, 9, 61)).reconstruction
    )


@torch.no_grad()
def test_the_language_model_comes_back_with_a_head_of_its_own(speech: Imported) -> None:
    expected, ours = made.language_model(), speech.model.language
    assert not torch.equal(ours.lm_head.weight, ours.shared.weight)
    for name, tensor in expected.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor)
    ids, mask = torch.randint(0, 300, (2, 12)), torch.ones(2, 12, dtype=torch.bool)
    mask[1, 8:] = False
    written = torch.randint(0, 300, (2, 5))
    found, wanted = (
        m.logits(m.decode(written, m.encode(ids, mask), mask), 0, made.NUM_WORDS) for m in (ours, expected)
    )
    assert torch.equal(found, wanted)
    # What is padded has no influence, which published code leaves to its library.
    ids[1, 8:] = 77
    again = ours.logits(ours.decode(written, ours.encode(ids, mask), mask), 0, made.NUM_WORDS)
    assert torch.allclose(again, found, atol=1e-5)


def test_speech_is_heard_as_transformers_hears_it(speech: Imported) -> None:
    heard = speech.model.speech
    assert heard is not None and heard.layer == 12
    sound = torch.randn(1, 16000, generator=torch.Generator().manual_seed(1)) * 0.1
    with torch.no_grad():
        states = made.hubert()(sound, output_hidden_states=True).hidden_states[12]
    torch.testing.assert_close(heard.hidden_states(sound), states, atol=1e-5, rtol=1e-5)
    wanted = torch.cdist(states.double(), torch.from_numpy(made.centres()).double()[None]).argmin(-1)
    assert torch.equal(heard.encode(sound), wanted)


def test_words_and_numbers(speech: Imported) -> None:
    vocabulary, words = speech.model.vocabulary, speech.model.words
    assert vocabulary.size == made.NUM_WORDS == words.get_vocab_size()
    assert (vocabulary.audio_start, vocabulary.audio_end) == (
        vocabulary.audio_block.first + 500,
        vocabulary.audio_block.first + 501,
    )
    start, five = vocabulary.audio_start, vocabulary.audio_token(0, 5)
    ids = words.encode("a man <audio_id_500><audio_id_5>, generate a").ids
    # A word start is marked after an added word too, as the published code's tokenizer does.
    assert ids == [4, 5, start, five, 3, 7, 8, 4, 1]
    for part in PARTS:
        assert words.token_to_id(f"<{made.WORDS[part]}_id_16>") == vocabulary.start(part)


def test_the_pack_says_what_it_holds_and_no_places(speech: Imported) -> None:
    pack = speech.report.pack
    assert (pack.kind, pack.value(int, "speech", "layer")) == ("published", 12)
    assert pack.table("layouts") == {
        "face": "face106",
        "hands": "hands180",
        "upper": "upper78",
        "lower": "lower61",
    }
    assert pack.value(float, "rates", "code_steps_per_s") == 30
    assert set(pack.table("files")) == {
        "motion.safetensors", "language_model.safetensors", "speech.safetensors", "body.safetensors",
        "scores.safetensors", "tokenizer.json", "README.md",
    }  # fmt: skip
    assert speech.report.notes == ()
    for name in ("pack.toml", "README.md"):
        assert str(speech.folder.parent) not in (pack.root / name).read_text("utf-8")
    assert "motion networks: vq_emage_speaker_2.ckpt" in speech.report.sources


def test_body_and_score_network(speech: Imported) -> None:
    body = load_body(speech.report.pack)
    wanted = load_smplx_mesh(speech.folder / "smplx_models/smplx/SMPLX_NEUTRAL_2020.npz")
    assert body is not None and "SMPL-X body: SMPLX_NEUTRAL_2020.npz" in speech.report.sources
    for name in importer.BODY_ARRAYS:
        assert np.array_equal(getattr(body, name), getattr(wanted, name))
    held = speech.report.pack.tensors("scores.safetensors")
    assert len(held) == 56 and held["encoder.layers.0.0.residual.0.weight"].shape == (330, 330, 4)


def test_the_text_model_without_speech(text_folder: Path, tmp_path: Path) -> None:
    """Hands are `vae_hands` in this file, a pose covers four frames, and no sound is needed."""
    report = import_published(text_folder, tmp_path / "pack")
    model = load_published(tmp_path / "pack")
    assert model.speech is None and report.pack.value(str, "release") == "text"
    assert {t.stride for t in model.tokenizers.parts.values()} == {4}
    assert model.tokenizers.parts[Part.HANDS].config.feature_dim == 180
    assert report.pack.value(str, "layouts", "lower") == "lower54"
    assert report.pack.value(float, "rates", "code_steps_per_s") == 7.5
    assert load_body(report.pack) is None
    for what in ("HuBERT", "centres", "SMPL-X", "AESKConv"):
        assert any(what in note for note in report.notes)


def test_the_reference_networks_go_through(
    speech: Imported, folder: Path, tmp_path: Path, shared_dir: Path
) -> None:
    reference = shared_dir / "reference/lom-vectors/v1_a2m/vq_emage_speaker_2.ckpt"
    shutil.copyfile(reference, folder / VQ)
    import_published(folder, tmp_path / "pack")
    ours, theirs = load_published(tmp_path / "pack").tokenizers, load_published_tokenizers(reference)
    for mine, other in ((ours.root, theirs.root), *((ours.parts[p], theirs.parts[p]) for p in PARTS)):
        assert all(torch.equal(mine.state_dict()[k], v) for k, v in other.state_dict().items())


def test_real_vocabularies() -> None:
    sizes = dict.fromkeys(PARTS, 256)
    released = published_words(33644, sizes, 500, "lm")
    assert released == published_vocabulary() and (released.audio_start, released.audio_end) == (33639, 33640)
    later = published_words(33644, sizes, 502, "lm")
    assert later == published_vocabulary(audio_size=502, num_audio_extra=0) and later.audio_start == 33641
    for rows, start in ((33644, 501), (33643, 500), (32128, 500)):
        with pytest.raises(PackError, match=rf"{rows} words"):
            published_words(rows, sizes, start, "lm")


# --- other arrangements of the files ------------------------------------------------------------------


def test_options(folder: Path, tmp_path: Path) -> None:
    import_published(folder, tmp_path / "pack", ImportOptions(audio_layer=9, audio_start=502))
    model = load_published(tmp_path / "pack")
    assert model.speech is not None and model.speech.layer == 9
    assert model.vocabulary.audio_start == model.vocabulary.audio_block.first + 502
    assert model.vocabulary.size == made.NUM_WORDS


@pytest.mark.parametrize("layout", ["safetensors", "old names", "prefixed", "chain"])
def test_every_layout_of_the_speech_model(
    speech: Imported, folder: Path, tmp_path: Path, layout: str
) -> None:
    from safetensors.torch import save_file

    (folder / HUBERT).unlink()
    target = folder / "hubert_models/facebook"
    network = made.hubert()
    if layout == "safetensors":
        network.save_pretrained(target)
    elif layout == "chain":
        made.save_fairseq(target / "hubert.pt", _use_new_zipfile_serialization=False)
    else:
        target.mkdir()
        state = made.hubert_state(network)
        if layout == "prefixed":
            state = {f"hubert.{name}": tensor for name, tensor in state.items()} | {
                "lm_head.bias": torch.zeros(3)
            }
            save_file(state, target / "model.safetensors")
        else:
            torch.save(state, target / "pytorch_model.bin")
    import_published(folder, tmp_path / "pack")
    held = load_pack(tmp_path / "pack").tensors("speech.safetensors")
    wanted = speech.report.pack.tensors("speech.safetensors")
    assert held.keys() == wanted.keys() and all(torch.equal(held[name], wanted[name]) for name in wanted)


def test_centres_of_every_layout(speech: Imported, tmp_path: Path) -> None:
    import joblib
    from sklearn.cluster import KMeans

    wanted = torch.from_numpy(made.centres())
    assert torch.equal(read_centres(speech.folder / CENTRES), wanted)
    for key in ("centres", "cluster_centers_"):
        np.savez(tmp_path / "centres.npz", **{key: made.centres()})
        assert torch.equal(read_centres(tmp_path / "centres.npz"), wanted)
    model = KMeans(n_clusters=made.NUM_CENTRES, n_init=1).fit(made.centres())
    model.cluster_centers_ = np.asfortranarray(made.centres().astype(np.float64))
    for protocol in (2, 3, 4, 5):
        joblib.dump(model, tmp_path / "k.bin", protocol=protocol)
        assert torch.equal(read_centres(tmp_path / "k.bin"), wanted)


def test_both_models_in_one_folder(folder: Path, text_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(text_folder, folder, dirs_exist_ok=True)
    both = import_published(folder, tmp_path / "a").pack
    assert both.value(str, "release") == "speech" and releases_of(both) == FIRST_VERSION
    assert {"motion networks: vq_emage_speaker_2.ckpt", "motion networks: lom_vq.ckpt"} <= set(
        both.value(list, "sources")
    )
    for release, stride in ((Release.SPEECH, 1), (Release.TEXT, 4)):
        model = load_published(both.root, release=release)
        assert model.tokenizers.parts[Part.LOWER].stride == stride
    report = import_published(folder, tmp_path / "b", ImportOptions(Release.TEXT))
    assert report.pack.value(str, "release") == "text"
    assert "language model: Instruct_Mixed_T2M_LM.ckpt" in report.sources


def test_a_file_for_each_part(text_folder: Path, tmp_path: Path) -> None:
    """`lom_vq_ds_new/<part>/epoch=N.ckpt`; a face of the second version beside it is left alone."""
    state = read_state_dict(text_folder / TEXT_VQ)
    (text_folder / TEXT_VQ).unlink()
    for word in ("face", "hands", "upper", "lower", "global"):
        own = {name: tensor for name, tensor in state.items() if name.startswith(f"vae_{word}.")}
        made.lightning(own, text_folder / f"lom_vq_ds_new/{word}/epoch=409.ckpt")
    second = made.MotionVQVAE(made.MotionVQVAEConfig(Family.DSUS1_PAPER, 112, 8, 32, 3, code_dim=8))
    face = {f"vae_face.{name}": tensor for name, tensor in second.state_dict().items()}
    made.lightning(face, text_folder / "face/face_lom.ckpt")
    import_published(text_folder, tmp_path / "pack")
    tokenizers = load_published(tmp_path / "pack").tokenizers
    for part in PARTS:
        weight = tokenizers.parts[part].state_dict()["encoder.main.0.weight"]
        word = "hands" if part is Part.HANDS else part.value
        assert torch.equal(weight, state[f"vae_{word}.encoder.main.0.weight"])


def test_emage_files_name_their_part_by_folder(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = read_state_dict(folder / VQ)
    (folder / VQ).unlink()
    for word, target in {
        "face": "face",
        "hand": "hands",
        "upper": "upper",
        "lower": "lower",
        "global": "global",
    }.items():
        prefix = f"vae_{word}."
        own = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
        (folder / "emage_vq" / target).mkdir(parents=True)
        if target in ("face", "hands"):
            save_file(own, folder / "emage_vq" / target / "model.safetensors")
        else:
            named = {f"module.{name}": tensor for name, tensor in own.items()}
            torch.save({"model_state": named}, folder / "emage_vq" / target / "weights.bin")
    import_published(folder, tmp_path / "pack")
    held = load_published(tmp_path / "pack").tokenizers.parts[Part.HANDS].state_dict()
    assert torch.equal(held["encoder.main.0.bias"], state["vae_hand.encoder.main.0.bias"])


def test_a_language_model_file_may_hold_motion_networks_too(folder: Path, tmp_path: Path) -> None:
    """The published demo takes those of the other file, so an odd copy here does no harm."""
    torch.manual_seed(9)
    other = made.motion_state()
    change_state(folder / LM, lambda state: state.update(other))
    report = import_published(folder, tmp_path / "pack")
    assert "motion networks: vq_emage_speaker_2.ckpt" in report.sources
    (folder / VQ).unlink()
    report = import_published(folder, tmp_path / "pack")
    assert "motion networks: Instruct_Mixed_A2M_LM.ckpt" in report.sources


# --- what is missing or does not fit -----------------------------------------------------------------

MISSING = {
    VQ: ("face, hands, upper, lower", "huggingface.co/JuzeZhang", "vae_global"),
    LM: ("language model", "Instruct_Mixed_A2M_LM.ckpt"),
    WORDS: ("FLAN-T5", "google/flan-t5-base"),
    HUBERT: ("HuBERT", "hubert_base_ls960.pt"),
    CENTRES: ("centres", "km500"),
}


@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_is_named(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(MissingFilesError) as caught:
        import_published(folder, tmp_path / "pack")
    message = str(caught.value)
    assert all(word in message for word in MISSING[name])
    assert all(re.fullmatch(r"[^.\n].*;.*\.", line) for line in message.split("\n"))
    assert not re.search(r"\b(tokens?|codes?|checkpoints?)\b", message)
    assert not (tmp_path / "pack").exists()


def test_everything_missing_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(MissingFilesError) as caught:
        import_published(tmp_path, tmp_path / "pack", ImportOptions(Release.SPEECH))
    assert len(str(caught.value).split("\n")) == 6
    with pytest.raises(PackError, match="no folder"):
        import_published(tmp_path / "gone", tmp_path / "pack")


def drop(name: str) -> Callable[[made.Tensors], object]:
    return lambda state: state.pop(name)


def put(name: str, tensor: torch.Tensor) -> Callable[[made.Tensors], object]:
    return lambda state: state.update({name: tensor})


T5 = "lm.language_model."
NAN = torch.full((8,), torch.nan)
BIAS = f"{T5}encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
NARROW = made.MotionVQVAEConfig(Family.CONV, 77, 8, 16, 2, code_dim=8)


def drop_all(prefix: str) -> Callable[[made.Tensors], object]:
    return lambda state: [state.pop(name) for name in list(state) if name.startswith(prefix)]


def narrow(state: made.Tensors) -> None:
    held = made.MotionVQVAE(NARROW).state_dict()
    state.update({f"vae_upper.{name}": tensor for name, tensor in held.items()})


BROKEN: dict[str, tuple[str, Callable[[made.Tensors], object], str]] = {
    "no head": (LM, drop(f"{T5}lm_head.weight"), r"language model \(first difference lm_head\.weight"),
    "no block": (LM, drop(f"{T5}decoder.block.1.layer.1.EncDecAttention.k.weight"), r"block\.1\.layer\.1"),
    "no position bias": (LM, drop(BIAS), "relative_attention"),
    "no decoder": (LM, drop_all(f"{T5}decoder."), "sizes out of range"),
    "another width": (LM, put(f"{T5}encoder.final_layer_norm.weight", torch.ones(9)), "final_layer_norm"),
    "a cube of words": (LM, put(f"{T5}shared.weight", torch.ones(2, 2, 2)), "language model"),
    "word tables differ": (
        LM,
        put(f"{T5}decoder.embed_tokens.weight", torch.zeros(made.NUM_WORDS, 8)),
        "differ",
    ),
    "the second version's rows": (LM, put(f"{T5}shared.weight", torch.ones(49784, 1)), "four-part model"),
    "the second version's names": (
        LM,
        put(f"{T5}encoder.block.0.layer.0.self_attention_layer.self_attention.Wq.weight", torch.ones(1)),
        "second version's older language model",
    ),
    "a number that is none": (LM, put(f"{T5}encoder.final_layer_norm.weight", NAN), "not numbers"),
    "a motion bias missing": (VQ, drop("vae_upper.encoder.main.3.bias"), r"upper.*encoder\.main\.3\.bias"),
    "an unknown motion weight": (VQ, put("vae_face.extra", torch.ones(1)), "face.*extra"),
    "a motion number that is none": (
        VQ,
        put("vae_face.encoder.main.0.bias", NAN),
        r"main\.0\.bias.*not numbers",
    ),
    "a variational network": (VQ, put("vae_hand.fc_mu.weight", torch.ones(8, 8)), "variational"),
    "no root network": (VQ, drop_all("vae_global."), "vae_global"),
    "a codebook of no dimension": (
        VQ,
        put("vae_face.quantizer.embedding.weight", torch.tensor(1.0)),
        "the face",
    ),
    "odd channels": (VQ, narrow, "77 channels"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_weights_are_named(folder: Path, tmp_path: Path, case: str) -> None:
    name, change, message = BROKEN[case]
    change_state(folder / name, change)
    with pytest.raises(PackError, match=message):
        import_published(folder, tmp_path / "pack")
    assert not (tmp_path / "pack").exists()


def test_unknown_weights_beside_the_language_model_do_no_harm(folder: Path, tmp_path: Path) -> None:
    change_state(folder / LM, put(f"{T5}encoder.cache", torch.ones(1)))
    import_published(folder, tmp_path / "pack")
    assert "encoder.cache" not in load_pack(tmp_path / "pack").tensors("language_model.safetensors")


def test_incomplete_speech_models_are_named(folder: Path, tmp_path: Path) -> None:
    held = torch.load(folder / HUBERT, weights_only=True)
    for name, replacement in {
        "encoder.layers.3.fc1.weight": None,
        "encoder.pos_conv.0.weight_g": None,
        "encoder.layers.11.final_layer_norm.bias": torch.zeros(3),
        "feature_extractor.conv_layers.1.2.1.weight": torch.ones(8),
    }.items():
        state = dict(held["model"])
        state.pop(name, None)
        if replacement is not None:
            state[name] = replacement
        torch.save({"model": state}, folder / HUBERT)
        with pytest.raises(PackError, match="HuBERT base model"):
            import_published(folder, tmp_path / "pack")


def test_files_that_do_not_belong_together(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PackError, match="layer 13"):
        import_published(folder, tmp_path / "pack", ImportOptions(audio_layer=13))
    with pytest.raises(PackError, match="audio that starts at number 400"):
        import_published(folder, tmp_path / "pack", ImportOptions(audio_start=400))
    np.savez(folder / "centres.npz", centres=np.zeros((501, made.HIDDEN)))
    (folder / CENTRES).unlink()
    with pytest.raises(PackError, match="501 centres"):
        import_published(folder, tmp_path / "pack")
    np.savez(folder / "centres.npz", centres=np.zeros((20, 7)))
    with pytest.raises(MissingFilesError, match="centres"):
        import_published(folder, tmp_path / "pack")


# --- hostile folders and files --------------------------------------------------------------------------


class Evil:
    """Would touch a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("name", [VQ, LM, HUBERT, CENTRES])
def test_programs_in_files_are_not_run(folder: Path, tmp_path: Path, name: str) -> None:
    evil = Evil(tmp_path / "ran")
    contents = [pickle.dumps(evil, 2), pickle.dumps({"model": evil, "cluster_centers_": evil}, 4)]
    for content in contents:
        (folder / name).write_bytes(content)
        with pytest.raises(MissingFilesError, match=rf"{Path(name).name} is damaged"):
            import_published(folder, tmp_path / "pack")
    torch.save({"state_dict": {"a": torch.ones(1)}, "model": {}, "x": evil}, folder / name)
    with pytest.raises(MissingFilesError, match=r"system"):
        import_published(folder, tmp_path / "pack")
    assert not (tmp_path / "ran").exists()


def forged_centres(path: Path, old: bytes, new: bytes) -> bytes:
    content = path.read_bytes()
    assert old in content
    return content.replace(old, new, 1)


@pytest.mark.parametrize(
    "case", ["evil", "cut", "absurd", "negative", "objects", "nan", "packed", "empty", "other"]
)
def test_hostile_centres(speech: Imported, tmp_path: Path, case: str) -> None:
    import joblib
    from sklearn.cluster import KMeans

    path = tmp_path / "k.bin"
    shutil.copyfile(speech.folder / CENTRES, path)
    wanted = b"K" + bytes([made.NUM_CENTRES]) + b"K" + bytes([made.HIDDEN]) + b"\x86"
    model = KMeans(n_clusters=2, n_init=1).fit(np.random.default_rng(0).random((9, 3)))
    if case == "evil":
        model.labels_ = Evil(tmp_path / "ran")
        joblib.dump(model, path)
    elif case == "cut":
        path.write_bytes(path.read_bytes()[:3000])
    elif case == "absurd":
        path.write_bytes(forged_centres(path, wanted, b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86"))
    elif case == "negative":
        path.write_bytes(forged_centres(path, wanted, b"J\xff\xff\xff\xffK\x01\x86"))
    elif case == "objects":
        model.cluster_centers_ = np.array([[Evil(tmp_path / "ran")]], dtype=object)
        joblib.dump(model, path)
    elif case == "nan":
        model.cluster_centers_ = np.array([[0.0, np.nan]])
        joblib.dump(model, path)
    elif case == "packed":
        joblib.dump(model, path, compress=("zlib", 9))
    elif case == "empty":
        path.write_bytes(b"")
    else:
        joblib.dump({"a": np.ones(3)}, path)
    with pytest.raises(PackError, match=r"k\.bin is damaged .*; download it again\."):
        read_centres(path)
    assert not (tmp_path / "ran").exists()


def test_hostile_npz(tmp_path: Path) -> None:
    path = tmp_path / "k.npz"
    np.savez(path, centres=np.array([[1.0, np.nan]]))
    with pytest.raises(PackError, match="not finite"):
        read_centres(path)
    np.savez(path, centres=np.array([[Evil(tmp_path / "ran")]], dtype=object))
    with pytest.raises(PackError, match="centres"):
        read_centres(path)
    np.savez(path, centres=np.zeros(5))
    with pytest.raises(PackError, match="shape"):
        read_centres(path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(PackError, match="damaged"):
        read_centres(path)
    assert not (tmp_path / "ran").exists()


def test_links_out_of_the_folder_are_not_followed(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder / LM, tmp_path / "outside.ckpt")
    (folder / LM).symlink_to(tmp_path / "outside.ckpt")
    with pytest.raises(MissingFilesError, match="link that leads out"):
        import_published(folder, tmp_path / "pack")
    (folder / LM).unlink()
    shutil.move(tmp_path / "outside.ckpt", folder / "inside.ckpt")
    (folder / LM).symlink_to(folder / "inside.ckpt")  # as the Hugging Face cache keeps its files
    import_published(folder, tmp_path / "pack")


def test_placeholders_and_wrong_vocabularies(folder: Path, tmp_path: Path) -> None:
    (folder / LM).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 990345061\n")
    with pytest.raises(MissingFilesError, match="git lfs pull"):
        import_published(folder, tmp_path / "pack")
    for content in ("{}", "[" * 100_000, "\0"):
        (folder / WORDS).write_text(content)
        with pytest.raises(MissingFilesError, match=r"tokenizer\.json cannot be read"):
            import_published(folder, tmp_path / "pack")
    made.save_words(folder / WORDS, 500)
    with pytest.raises(MissingFilesError, match="FLAN-T5"):
        import_published(folder, tmp_path / "pack")


def test_limits(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(PackError, match="more than 3 files"):
        patch.setattr(published_files_module, "MAX_FILES", 3)
        import_published(folder, tmp_path / "pack")
    with monkeypatch.context() as patch, pytest.raises(PackError, match="far larger"):
        patch.setattr(importer, "MAX_READ_BYTES", 1000)
        import_published(folder, tmp_path / "pack")
    with monkeypatch.context() as patch, pytest.raises(PackError, match="no room"):
        patch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
        import_published(folder, tmp_path / "pack")
    with monkeypatch.context() as patch, pytest.raises(MissingFilesError, match="far too large"):
        patch.setattr(published_files_module, "MAX_TEXT_BYTES", 10)
        import_published(folder, tmp_path / "pack")
    assert not (tmp_path / "pack").exists()


def test_nothing_else_is_overwritten(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "pack"
    out.mkdir()
    (out / "novel.txt").write_text("years of work")
    with pytest.raises(PackError, match="other files"):
        import_published(folder, out)
    with pytest.raises(PackError, match="not a folder"):
        import_published(folder, out / "novel.txt")
    assert (out / "novel.txt").read_text() == "years of work"
    (out / "novel.txt").unlink()
    import_published(folder, out)
    import_published(folder, out)  # an older pack is replaced


def test_it_can_be_stopped_at_any_time(folder: Path, tmp_path: Path) -> None:
    calls = 0

    def count() -> bool:
        nonlocal calls
        calls += 1
        return False

    told: list[float] = []
    import_published(folder, tmp_path / "pack", None, lambda fraction, _: told.append(fraction), count)
    assert told == sorted(told) and told[0] == 0.0 and told[-1] == 1.0 and calls > 10
    shutil.rmtree(tmp_path / "pack")
    for stop in (0, calls // 2, calls - 1):
        left = iter([False] * stop + [True])
        with pytest.raises(Cancelled):
            import_published(folder, tmp_path / "pack", None, None, lambda left=left: next(left))
        assert not (tmp_path / "pack").exists()


# --- the pack -----------------------------------------------------------------------------------------------


def rewrite(pack_root: Path, out: Path, **changes: Any) -> Path:
    """Write a pack again with other facts."""
    pack = load_pack(pack_root)
    names = list(pack.table("files"))
    info = {k: v for k, v in pack.info.items() if k not in ("format", "files")} | changes
    tensors = {name: pack.tensors(name) for name in names if name.endswith(".safetensors")}
    write_pack(out, info, tensors, {name: pack.file(name) for name in names if name not in tensors})
    return out


def test_packs_that_contradict_themselves(speech: Imported, tmp_path: Path) -> None:
    pack = speech.report.pack
    with pytest.raises(PackError, match="does not hold the published model"):
        load_published(rewrite(pack.root, tmp_path / "a", kind="starter"))
    vocabulary = published_words(made.NUM_WORDS, dict.fromkeys(PARTS, made.CODEBOOK), 502, "").to_dict()
    load_published(rewrite(pack.root, tmp_path / "b", vocabulary=vocabulary))
    real = published_vocabulary().to_dict()
    with pytest.raises(PackError, match="does not fit"):
        load_published(rewrite(pack.root, tmp_path / "c", vocabulary=real))
    language = {**pack.table("language_model"), "d_ff": 32}
    with pytest.raises(PackError, match=r"language_model\.safetensors"):
        load_published(rewrite(pack.root, tmp_path / "d", language_model=language))
    model = {**pack.table("speech", "model"), "num_layers": 11}
    with pytest.raises(PackError, match=r"speech\.safetensors"):
        load_published(rewrite(pack.root, tmp_path / "e", speech={"layer": 9, "model": model}))
    with pytest.raises(PackError, match="layer 13"):
        load_published(rewrite(pack.root, tmp_path / "f", speech={**pack.table("speech"), "layer": 13}))


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["import-lom", str(folder), "--out", str(tmp_path / "pack"), "--audio-layer", "9"]
    assert main(arguments) == 0
    assert "language model: Instruct_Mixed_A2M_LM.ckpt" in capsys.readouterr().out
    assert main(["info", str(tmp_path / "pack")]) == 0
    assert "The Language of Motion, speech to motion" in capsys.readouterr().out
    assert main([*arguments, "--model", "text"]) == 1
    message = capsys.readouterr().err
    assert "lom_vq_ds/lom_vq.ckpt" in message and "Instruct_Mixed_T2M_LM.ckpt" in message
