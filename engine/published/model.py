# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads a pack that `import_published` wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..errors import PackError
from ..language.model import LanguageModel, LanguageModelConfig
from ..language.text_encoder import read_tokenizer
from ..motion.smplx_file import SmplxMesh
from ..packs import PUBLISHED, Pack, load_pack
from ..specs import PARTS, Part
from ..tokenizers.audio_tokenizer import HubertTokenizer
from ..tokenizers.config import config_from_dict
from ..tokenizers.motion_vqvae import MotionVQVAE, MotionVQVAEConfig
from ..tokenizers.published import PublishedTokenizers
from ..tokenizers.published_strings import token_strings
from ..tokenizers.vocabulary import Vocabulary
from .importer import (
    BODY_ARRAYS,
    BODY_FILE,
    CENTRES_NAME,
    LANGUAGE_FILE,
    MOTION_FILE,
    ROOT_NAME,
    SPEECH_FILE,
    SPEECH_PREFIX,
    WORDS_FILE,
)
from .speech import SpeechConfig, build_speech

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class PublishedModel:
    """The published model in memory, every network in evaluation mode.

    Attributes:
        pack: Where it came from.
        tokenizers: Motion networks of the four parts, and the root network.
        language: The language model; its output head is a matrix of its own. `encode` and `decode` take the
            mask of what is padded, which published code leaves to its library.
        vocabulary: Numbers of all words, poses and sounds.
        words: Splits text into numbers; knows the added words such as `<face_id_0>` too.
        speech: Speech to numbers, or None in a pack made without it.
    """

    pack: Pack
    tokenizers: PublishedTokenizers
    language: LanguageModel
    vocabulary: Vocabulary
    words: Tokenizer
    speech: HubertTokenizer | None


def load_published(root: Path, device: str | torch.device = "cpu") -> PublishedModel:
    """Load a published pack.

    Args:
        root: The pack's folder.
        device: Where the networks run.

    Returns:
        Everything in it that making motion needs.

    Raises:
        PackError: If the pack is missing, damaged, of another kind, or its files do not fit each other.
    """
    pack = load_pack(root)
    if pack.kind != PUBLISHED:
        raise PackError(f"The pack {pack.name} does not hold the published model; choose one that does.")
    vocabulary = Vocabulary.from_dict(pack.table("vocabulary"))
    return PublishedModel(
        pack,
        _tokenizers(pack, vocabulary, device),
        _language(pack, vocabulary, device),
        vocabulary,
        _words(pack, vocabulary),
        _speech(pack, vocabulary, device) if "speech" in pack.info else None,
    )


def load_body(pack: Pack) -> SmplxMesh | None:
    """The SMPL-X body of a pack, or None where it has none; raises `PackError` if it is damaged."""
    if BODY_FILE not in pack.table("files"):
        return None
    held = pack.tensors(BODY_FILE)
    if set(held) != set(BODY_ARRAYS):
        raise PackError(f"The pack's file {BODY_FILE} lacks arrays; import the model again.")
    return SmplxMesh(**{name: held[name].numpy() for name in BODY_ARRAYS})


def _tokenizers(pack: Pack, vocabulary: Vocabulary, device: str | torch.device) -> PublishedTokenizers:
    """The motion networks."""
    networks: dict[Part | None, MotionVQVAE] = {}
    for part in (*PARTS, None):
        name = part.value if part else ROOT_NAME
        config = MotionVQVAEConfig.from_dict(pack.table("tokenizers", name), f"the {name}")
        if part and config.codebook_size != vocabulary.parts[part].codebook_size:
            raise PackError(f"The pack's vocabulary does not fit the {name}; import the model again.")
        network = MotionVQVAE(config, part)
        pack.load_module(MOTION_FILE, network, f"{name}.")
        networks[part] = network.eval().requires_grad_(False).to(device)
    return PublishedTokenizers({part: networks[part] for part in PARTS}, networks[None])


def _language(pack: Pack, vocabulary: Vocabulary, device: str | torch.device) -> LanguageModel:
    """The language model."""
    config = config_from_dict(LanguageModelConfig, pack.table("language_model"), "the language model")
    if config.vocab_size != vocabulary.size or config.embedding_offset:
        raise PackError("The pack's vocabulary does not fit its language model; import the model again.")
    with torch.device("meta"):
        model = LanguageModel(config)
    pack.load_module(LANGUAGE_FILE, model)
    return model.eval().requires_grad_(False).to(device)


def _words(pack: Pack, vocabulary: Vocabulary) -> Tokenizer:
    """FLAN-T5's word pieces with the added words behind them, as ordinary text (spec 3.1)."""
    from tokenizers import AddedToken

    words = read_tokenizer(pack.file(WORDS_FILE))
    added = token_strings(vocabulary)
    words.add_tokens([AddedToken(word, special=False, normalized=True) for word in added])
    last = vocabulary.num_text + len(added) - 1
    if words.token_to_id(added[0]) != vocabulary.num_text or words.token_to_id(added[-1]) != last:
        raise PackError(f"The pack's file {WORDS_FILE} is not FLAN-T5's vocabulary; import the model again.")
    return words


def _speech(pack: Pack, vocabulary: Vocabulary, device: str | torch.device) -> HubertTokenizer:
    """The speech model."""
    config = SpeechConfig.from_dict(pack.table("speech", "model"))
    model = build_speech(config)
    pack.load_module(SPEECH_FILE, model, SPEECH_PREFIX)
    centres = pack.tensors(SPEECH_FILE, CENTRES_NAME)[""]
    if len(centres) > vocabulary.audio.codebook_size:
        raise PackError("The pack's vocabulary does not fit its speech model; import the model again.")
    tokenizer = HubertTokenizer(model, centres, layer=pack.value(int, "speech", "layer"))
    return tokenizer.requires_grad_(False).to(device)
