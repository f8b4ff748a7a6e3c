# SPDX-License-Identifier: GPL-3.0-or-later
"""Small files in exactly the layouts of the published model's download (spec 2.5 to 2.7, 3.2, 5, 6.2)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.language.model import LanguageModel, LanguageModelConfig
from engine.specs import PARTS, Part
from engine.tokenizers.motion_vqvae import Family, MotionVQVAE, MotionVQVAEConfig

Tensors = dict[str, torch.Tensor]

WORDS = {Part.FACE: "face", Part.HANDS: "hand", Part.UPPER: "upper", Part.LOWER: "lower"}
WIDTHS = {Part.FACE: 106, Part.HANDS: 180, Part.UPPER: 78, Part.LOWER: 61}
CODEBOOK = 16
AUDIO_START = 500
NUM_WORDS = 32100 + 3 + 4 * (CODEBOOK + 3) + 505
NUM_CENTRES = 20
HIDDEN = 64


def motion_network(part: Part | None, release: str = "speech") -> MotionVQVAE:
    """A network of one part, or the root network, with random weights."""
    if part is None:
        return MotionVQVAE(MotionVQVAEConfig(Family.CONV_PLAIN, 61, 8, 1, 4, code_dim=8))
    if release == "text":
        width = 54 if part is Part.LOWER else WIDTHS[part]
        return MotionVQVAE(MotionVQVAEConfig(Family.DSUS_PAPER, width, 8, CODEBOOK, 3, code_dim=8))
    layers = 4 if part is Part.LOWER else 2
    return MotionVQVAE(MotionVQVAEConfig(Family.CONV, WIDTHS[part], 8, CODEBOOK, layers, code_dim=8))


def motion_state(release: str = "speech", hands: str = "hand") -> Tensors:
    """All networks under a Lightning file's names, with keys of others."""
    words = WORDS | {Part.HANDS: hands}
    state: Tensors = {"smplx.v_template": torch.zeros(4, 3), "_losses.losses_train.total": torch.zeros(())}
    for part in PARTS:
        state |= {f"vae_{words[part]}.{k}": v for k, v in motion_network(part, release).state_dict().items()}
    return state | {f"vae_global.{k}": v for k, v in motion_network(None).state_dict().items()}


def lightning(state: Mapping[str, torch.Tensor], path: Path, **more: object) -> Path:
    """Write a Lightning file with the usual things around the weights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "epoch": 3,
        "global_step": 1200,
        "pytorch-lightning_version": "2.4.0",
        "optimizer_states": [{"state": {0: {"step": torch.tensor(5.0), "exp_avg": torch.zeros(3)}}}],
        "state_dict": dict(state),
        **more,
    }
    torch.save(content, path)
    return path


def language_model(num_words: int = NUM_WORDS) -> LanguageModel:
    """A small T5 with an untied head."""
    torch.manual_seed(3)
    config = LanguageModelConfig(
        vocab_size=num_words, d_model=8, d_kv=4, d_ff=16, num_heads=2, num_layers=2, num_decoder_layers=3,
        dropout=0.0,
    )  # fmt: skip
    return LanguageModel(config).eval()


def language_state(model: LanguageModel) -> Tensors:
    """Weights as Lightning names them, the word table under its three names."""
    state = dict(model.state_dict())
    for stack in ("encoder", "decoder"):
        state[f"{stack}.embed_tokens.weight"] = state["shared.weight"]
    return {f"lm.language_model.{name}": tensor for name, tensor in state.items()}


def hubert() -> Any:
    """A small HuBERT with the real convolutions and twelve layers."""
    import transformers

    torch.manual_seed(4)
    config = transformers.HubertConfig(
        conv_dim=(8,) * 7,
        hidden_size=HIDDEN,
        num_attention_heads=1,
        num_hidden_layers=12,
        intermediate_size=32,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )
    return transformers.HubertModel(config).eval()


def hubert_state(model: Any) -> Tensors:
    """Weights under transformers' older names, as in the published file."""
    old = {"original0": "weight_g", "original1": "weight_v"}
    state: Tensors = {}
    for name, tensor in model.state_dict().items():
        head, _, last = name.rpartition(".parametrizations.weight.")
        state[f"{head}.{old[last]}" if head else name] = tensor
    return state


_FAIRSEQ = (
    ("feature_projection.projection", "post_extract_proj"),
    ("feature_projection.layer_norm", "layer_norm"),
    ("encoder.pos_conv_embed.conv", "encoder.pos_conv.0"),
    ("feed_forward.intermediate_dense", "fc1"),
    ("feed_forward.output_dense", "fc2"),
    (".attention.", ".self_attn."),
    ("masked_spec_embed", "mask_emb"),
)


def fairseq_state(model: Any) -> Tensors:
    """The same weights under fairseq's names, with those only training needs."""
    state: Tensors = {"final_proj.weight": torch.zeros(4, 4), "label_embs_concat": torch.zeros(4, 4)}
    for name, tensor in hubert_state(model).items():
        for mine, theirs in _FAIRSEQ:
            name = name.replace(mine, theirs)
        parts = name.split(".")
        if name.startswith("feature_extractor"):
            parts[3] = {"conv": "0", "layer_norm": "2"}[parts[3]]
        elif parts[:2] == ["encoder", "layers"] and parts[3] == "layer_norm":
            parts[3] = "self_attn_layer_norm"
        state[".".join(parts)] = tensor
    return state


def save_fairseq(path: Path, **kind: Any) -> Path:
    """Write a fairseq file: configuration, dictionaries and weights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"args": None, "cfg": {"model": {"_name": "hubert"}}, "model": fairseq_state(hubert())}
    torch.save(content, path, **kind)
    return path


def centres() -> np.ndarray[Any, np.dtype[np.float32]]:
    """K-means centres of the small HuBERT."""
    return np.random.default_rng(5).standard_normal((NUM_CENTRES, HIDDEN)).astype(np.float32)


def save_centres(path: Path) -> Path:
    """Write the centres as scikit-learn's model in a joblib pickle."""
    import joblib
    from sklearn.cluster import MiniBatchKMeans

    path.parent.mkdir(parents=True, exist_ok=True)
    points = np.random.default_rng(6).standard_normal((80, HIDDEN)).astype(np.float32)
    draw = np.random.RandomState(0)
    model = MiniBatchKMeans(n_clusters=NUM_CENTRES, n_init=1, random_state=draw).fit(points)
    model.cluster_centers_ = centres()
    joblib.dump(model, path)
    return path


def save_words(path: Path, size: int = 32100) -> Path:
    """Write a vocabulary of FLAN-T5's kind and size: unigram pieces, end mark, word starts marked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pieces = ["<pad>", "</s>", "<unk>", "▁", "▁a", "▁man", "▁walks", ",", "▁generate"]
    pieces += [f"▁filler{i}" for i in range(size - len(pieces))]
    first, end = {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}
    marker = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    content = {
        "version": "1.0",
        "added_tokens": [{"id": i, "content": pieces[i], **special} for i in range(3)],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, marker]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [first, end],
            "pair": [first, {"Sequence": {"id": "B", "type_id": 0}}, end],
            "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}},
        },
        "decoder": marker,
        "model": {
            "type": "Unigram", "unk_id": 2, "byte_fallback": False,
            "vocab": [[piece, 0.0 if i < 3 else -float(i) / 1000 - 1] for i, piece in enumerate(pieces)],
        },
    }  # fmt: skip
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def save_body(path: Path) -> Path:
    """Write a SMPL-X file with few vertices."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    weights = rng.random((6, 55)) + 0.1
    np.savez(
        path,
        v_template=rng.standard_normal((6, 3)),
        f=np.array([[0, 1, 2], [3, 4, 5]]),
        weights=weights / weights.sum(1, keepdims=True),
        J_regressor=np.full((55, 6), 1 / 6),
        shapedirs=rng.standard_normal((6, 3, 400)),
    )
    return path


def save_judge(path: Path) -> Path:
    """Write EMAGE's file of the network for scores."""
    from engine.published.judge import encoder_shapes

    path.parent.mkdir(parents=True, exist_ok=True)
    layers = [f"decoder.main.{b}.model.{s}" for b in (0, 1) for s in (0, 2)]
    layers += [f"decoder.main.{i}" for i in (3, 6, 9, 12, 14)] + ["fc_mu", "fc_logvar"]
    state = {name: torch.zeros(shape) for name, shape in encoder_shapes().items()}
    state |= {f"{layer}.{kind}": torch.zeros(2) for layer in layers for kind in ("weight", "bias")}
    torch.save({"model_state": {f"module.{name}": tensor for name, tensor in state.items()}}, path)
    return path


def download(folder: Path, release: str = "speech") -> Path:
    """Everything one model needs, in the places of the published download."""
    torch.manual_seed(0)
    vq = "emage_vq/vq_emage_speaker_2.ckpt" if release == "speech" else "lom_vq_ds/lom_vq.ckpt"
    lm = "lom_a2m/Instruct_Mixed_A2M_LM.ckpt" if release == "speech" else "lom_t2m/Instruct_Mixed_T2M_LM.ckpt"
    weights = folder / "pretrained_cpt"
    lightning(motion_state(release, "hand" if release == "speech" else "hands"), weights / vq)
    lightning(language_state(language_model()), weights / lm)
    save_words(folder / "t5_models/flan-t5-base/tokenizer.json")
    if release == "speech":
        save_fairseq(folder / "hubert_models/hubert_base_ls960.pt")
        save_centres(folder / "hubert_models/hubert_base_ls960_L9_km500.bin")
    return folder
