# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads a pack of the first version; `four_part_engine` loads one of the four-part release."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch

from ..errors import PackError
from ..language.decoder import is_large
from ..language.model import LanguageModel, LanguageModelConfig
from ..language.text_encoder import read_tokenizer
from ..memory import give_back
from ..motion.published_features import Layout, layout_width
from ..motion.smplx_file import SmplxMesh
from ..packs import PUBLISHED, Pack, load_pack
from ..specs import PARTS, Part
from ..tokenizers.audio_tokenizer import HubertTokenizer
from ..tokenizers.config import config_from_dict
from ..tokenizers.motion_vqvae import MotionVQVAE, MotionVQVAEConfig
from ..tokenizers.published import PublishedTokenizers
from ..tokenizers.published_strings import token_strings
from ..tokenizers.vocabulary import Vocabulary
from ..weights.sketching import sketching
from .choice import FIRST_VERSION, Release
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
from .prompts import Wordings
from .speech import SpeechConfig, build_speech, lent_layers

if TYPE_CHECKING:
    from tokenizers import Tokenizer


SPEECH_LAYERS = "encoder.layers."
"""How the names of the speech model's layers begin."""

ENCODER = "encoder."
"""How the names of the language model's encoder begin."""

FOLLOWS = "follows"
"""Key of `pack.toml`: the releases whose part the one model of a pack trained with Kinesics plays."""

ResultT = TypeVar("ResultT")

GPU_REACH_S = 7200.0
"""Seconds that the speech model hears on both sides on a GPU, where attention to all of a sound is cheap."""


class PublishedModel:
    """One of a pack's models. Each network is read when it is first used, in evaluation mode.

    Args:
        pack: The pack.
        release: Which of its models.
        device: Where the networks run.
        fast: Round a language model of the published size on a CPU: kept in float16, sums in float32.
    """

    def __init__(
        self, pack: Pack, release: Release, device: str | torch.device = "cpu", fast: bool = False
    ) -> None:
        if pack.kind != PUBLISHED:
            raise PackError(f"The pack {pack.name} does not hold the published model; choose one that does.")
        self.pack, self.release, self.device, self.fast = pack, release, device, fast
        self._table, self._prefix = place_of(pack, release)
        self.vocabulary = Vocabulary.from_dict(pack.table(*self._table, "vocabulary"))
        self.wordings = Wordings.from_pack(pack)

    @cached_property
    def layouts(self) -> dict[Part, Layout]:
        """Meaning of each part's channels, told by their number."""
        widths = {layout_width(layout): layout for layout in Layout}
        return {part: widths[self.tokenizers.parts[part].config.feature_dim] for part in PARTS}

    @cached_property
    def tokenizers(self) -> PublishedTokenizers:
        """Motion networks of the four parts, and the root network."""
        sizes = {part: self.vocabulary.parts[part].codebook_size for part in PARTS}
        return read_tokenizers(self.pack, self._table, self._prefix, sizes, self.device)

    @cached_property
    def language(self) -> LanguageModel:
        """The language model; its output head is a matrix of its own.

        `encode` and `decode` take the mask of what is padded, which published code leaves to its library.
        """
        return self.read_language(lambda model: model)

    def read_language(self, use: Callable[[LanguageModel], ResultT]) -> ResultT:
        """Read the language model, and do something with its decoder and its tables.

        On a CPU a model of the published size is read in two steps, so that its encoder is not in memory
        beside whatever copies of the decoder are made meanwhile.

        Args:
            use: Given the model, whose encoder may have no memory yet.

        Returns:
            What `use` returns.
        """
        if "language" in self.__dict__:
            return use(self.language)
        table = self.pack.table(*self._table, "language_model")
        config = config_from_dict(LanguageModelConfig, table, "the language model")
        if config.vocab_size != self.vocabulary.size or config.embedding_offset:
            raise PackError("The pack's vocabulary does not fit its language model; import the model again.")
        with sketching():
            model = LanguageModel(config).eval().requires_grad_(False)
        name = self._prefix + LANGUAGE_FILE
        if is_large(model) and torch.device(self.device).type == "cpu":
            dtype = torch.float16 if self.fast else torch.float32
            self.pack.load_rounded(name, model, dtype, lambda key: not key.startswith(ENCODER))
            result = use(model)
            give_back()
            self.pack.load_rounded(name, model, dtype, lambda key: key.startswith(ENCODER))
        else:
            self.pack.load_module(name, model)
            result = use(model.to(self.device))
        self.__dict__["language"] = model.requires_grad_(False)
        return result

    @cached_property
    def words(self) -> Tokenizer:
        """Splits text into numbers; knows the added words such as `<face_id_0>` too."""
        return _words(self.pack, self.vocabulary)

    def forget_speech(self) -> None:
        """Give the speech model's memory back; it is read again when it is needed again."""
        self.__dict__.pop("speech", None)

    @cached_property
    def speech(self) -> HubertTokenizer | None:
        """Speech to numbers, or None in a pack made without it."""
        if "speech" not in self.pack.info:
            return None
        return _speech(self.pack, self.vocabulary, self.device)


def read_tokenizers(
    pack: Pack, table: tuple[str, ...], prefix: str, codebooks: Mapping[Part, int], device: str | torch.device
) -> PublishedTokenizers:
    """Motion networks of a pack.

    Args:
        pack: The pack.
        table: Where its `pack.toml` describes the model.
        prefix: How the model's files begin.
        codebooks: Codes of each part that the language model knows.
        device: Where the networks run.

    Raises:
        PackError: If they are damaged, or do not fit the language model.
    """
    networks: dict[Part | None, MotionVQVAE] = {}
    for part in (*PARTS, None):
        name = part.value if part else ROOT_NAME
        config = MotionVQVAEConfig.from_dict(pack.table(*table, "tokenizers", name), f"the {name}")
        if part and config.codebook_size != codebooks[part]:
            raise PackError(f"The pack's vocabulary does not fit the {name}; import the model again.")
        network = MotionVQVAE(config, part)
        pack.load_module(prefix + MOTION_FILE, network, f"{name}.")
        networks[part] = network.eval().requires_grad_(False).to(device)
    return PublishedTokenizers({part: networks[part] for part in PARTS}, networks[None])


def place_of(pack: Pack, release: Release) -> tuple[tuple[str, ...], str]:
    """Where one of a pack's models is: its table in `pack.toml`, and how its files begin.

    Raises:
        PackError: If the pack does not hold it.
    """
    if release in _own(pack):
        return (), ""
    if release.value in pack.info:
        return (release.value,), f"{release.value}_"
    if FOLLOWS in pack.info:
        raise PackError(
            f"The model of this pack was not trained to follow {_FOLLOWS[release]}; choose another pack."
        )
    raise PackError(
        f"This model pack cannot follow {_FOLLOWS[release]}; import the published model again from a folder "
        "that holds the files for it too."
    )


def releases_of(pack: Pack) -> tuple[Release, ...]:
    """What a pack's models follow: one of them for each, or, where the pack says so, one for all."""
    own = _own(pack)
    return tuple(release for release in Release if release in own or release.value in pack.info)


def _own(pack: Pack) -> tuple[Release, ...]:
    """What the first of a pack's models follows; raises `PackError` if that cannot be read."""
    said = [pack.value(str, "release")]
    if FOLLOWS in pack.info:
        said = [name for name in pack.value(list, FOLLOWS) if isinstance(name, str)]
    found = tuple(release for release in Release if release.value in said)
    if not found or (FOLLOWS in pack.info and not set(found) <= set(FIRST_VERSION)):
        raise PackError("The pack does not say what its model follows; import or export the model again.")
    return found


_FOLLOWS = {
    Release.SPEECH: "speech",
    Release.TEXT: "written instructions",
    Release.FOUR_PART: "a listened-to sound",
}


def load_published(
    root: Path, device: str | torch.device = "cpu", release: Release | None = None
) -> PublishedModel:
    """Load a published pack whole.

    Args:
        root: The pack's folder.
        device: Where the networks run.
        release: Which of its models; None takes the first.

    Returns:
        The model.

    Raises:
        PackError: If the pack is missing, damaged, of another kind, or its files do not fit each other.
    """
    pack = load_pack(root)
    if pack.kind != PUBLISHED:
        raise PackError(f"The pack {pack.name} does not hold the published model; choose one that does.")
    model = PublishedModel(pack, release or releases_of(pack)[0], device)
    _ = model.tokenizers, model.language, model.words, model.speech
    return model


def load_body(pack: Pack) -> SmplxMesh | None:
    """The SMPL-X body of a pack, or None where it has none; raises `PackError` if it is damaged."""
    if BODY_FILE not in pack.table("files"):
        return None
    held = pack.tensors(BODY_FILE)
    if set(held) != set(BODY_ARRAYS):
        raise PackError(f"The pack's file {BODY_FILE} lacks arrays; import the model again.")
    return SmplxMesh(**{name: held[name].numpy() for name in BODY_ARRAYS})


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
    with sketching():
        model = build_speech(config)
    centres = pack.tensors(SPEECH_FILE, CENTRES_NAME)[""]
    if len(centres) > vocabulary.audio.codebook_size:
        raise PackError("The pack's vocabulary does not fit its speech model; import the model again.")
    layer = pack.value(int, "speech", "layer")
    if torch.device(device).type != "cpu":
        pack.load_module(SPEECH_FILE, model, SPEECH_PREFIX)
        tokenizer = HubertTokenizer(model, centres, layer=layer, reach_s=GPU_REACH_S)
        return tokenizer.requires_grad_(False).to(device)
    pack.load_but(SPEECH_FILE, model, SPEECH_PREFIX, SPEECH_LAYERS)
    start = SPEECH_PREFIX + SPEECH_LAYERS
    return HubertTokenizer(
        model,
        centres,
        layer=layer,
        layers=lambda: lent_layers(model, lambda index: pack.tensors(SPEECH_FILE, f"{start}{index}.")),
    )
