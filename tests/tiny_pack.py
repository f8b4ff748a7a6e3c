# SPDX-License-Identifier: GPL-3.0-or-later
"""A pack of untrained, tiny networks in the real layout, for tests that need an engine but no quality."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn

from engine.language.model import LanguageModel, LanguageModelConfig
from engine.language.text_encoder import TextEncoderConfig, _Network
from engine.packs import Pack, write_pack
from engine.specs import PARTS, Part
from engine.tokenizers.audio_tokenizer import StarterAudioTokenizer, starter_audio_config
from engine.tokenizers.motion_vqvae import MotionVQVAE, starter_config
from engine.tokenizers.vocabulary import BlockSize, starter_vocabulary

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "walk",
    "forward",
    "run",
    "jump",
    "in",
    "a",
    "circle",
    "stand",
    "still",
]
LEVELS = {Part.FACE: 2, Part.HANDS: 1, Part.UPPER: 2, Part.LOWER: 2}


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def _shake(module: nn.Module) -> None:
    """Give codebooks and statistics values, as training would."""
    for name, buffer in module.named_buffers():
        if name.endswith("codebooks"):
            buffer.normal_()
        elif name.endswith("feature_std"):
            buffer.fill_(0.1)


def write_tiny_pack(root: Path, seed: int = 0) -> Pack:
    """Write the pack under `root` and return it."""
    torch.manual_seed(seed)
    tokenizers = {
        p: MotionVQVAE(starter_config(p, width=16, num_quantizers=LEVELS[p], code_dim=8), p) for p in PARTS
    }
    audio = StarterAudioTokenizer(starter_audio_config(width=16, code_dim=8))
    for module in (*tokenizers.values(), audio):
        _shake(module)
    tokenizers[Part.LOWER].feature_mean[2] = 0.95
    encoder_config = TextEncoderConfig(
        num_layers=1, width=16, num_heads=2, hidden=32, num_words=len(WORDS), num_positions=64
    )
    network = _Network(encoder_config)
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.fill_(1.0) if tensor.ndim < 2 else tensor.normal_()
    vocabulary = starter_vocabulary({p: BlockSize(LEVELS[p], 256) for p in PARTS}, num_text=len(WORDS))
    config = LanguageModelConfig(
        vocab_size=vocabulary.size,
        embedding_offset=vocabulary.num_text,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_heads=4,
        num_layers=1,
        num_decoder_layers=2,
        text_width=16,
        time_reach=8,
        depth_ff=24,
        dropout=0.0,
    )
    weights = {f"{p.value}.{k}": v for p, t in tokenizers.items() for k, v in t.state_dict().items()}
    weights |= {f"audio.{k}": v for k, v in audio.state_dict().items()}
    info = {
        "kind": "starter",
        "name": "Tiny",
        "version": "0.0.1",
        "licence": "CC0-1.0",
        "vocabulary": vocabulary.to_dict(),
        "tokenizers": {
            **{p.value: t.config.to_dict() for p, t in tokenizers.items()},
            "audio": audio.config.to_dict(),
        },
        "text_encoder": encoder_config.to_dict(),
        "language_model": config.to_dict(),
    }
    tensors = {
        "language_model.safetensors": LanguageModel(config).state_dict(),
        "tokenizers.safetensors": weights,
        "text_encoder.safetensors": network.state_dict(),
    }
    return write_pack(
        root, info, tensors, {"tokenizer.json": _tokenizer().to_str(), "README.md": "Untrained."}
    )
