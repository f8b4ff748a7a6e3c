# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains a finished pack on, from its own weights: no checkpoint of the run that made it is needed.

The weights are those of the pack, rounded as they ship. Tokenizers, words and sentence encoder stay what they
are, and with them every code and id. Words may be marked that were not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import EngineError
from ..language.config import LanguageModelConfig
from ..language.layout import MARK_SCALE
from ..language.model import LanguageModel
from ..language.text_encoder import TextEncoder, TextEncoderConfig
from ..language.words import WORDS_FILE, WordList
from ..packs import STARTER, Pack, load_pack, rewrite_pack
from ..tokenizers.config import config_from_dict
from ..tokenizers.pack_tokenizers import load_pack_tokenizers
from ..tokenizers.vocabulary import Vocabulary
from .language_training import mix_windows, questions_beside, train
from .pack_export import commit, compact_language_model
from .recipe import Recipe

CONTINUED_FILE = "continued.pt"
LOUDER = 3.0
"""So many times as loud as in the sentence encoder's states are marked words at first. Starter 0.2.2 turned
to the side that was asked for in 11 of 20 clips, for either side; with columns that began so, after 145 steps
that had hardly moved them, in 9 and 10 of 12."""

CONTINUE_SEED = 19
"""So far are the draws from those of the parts before."""

_READS_TEXT = "text_projection.weight"
_MODEL_FILE, _CARD_FILE = "language_model.safetensors", "README.md"


def continue_pack(recipe: Recipe, root: Path, data: Path, work: Path, seed: int = 0) -> Path:
    """Train a pack's language model on by the recipe's `further`; a killed run goes on where it stopped.

    Args:
        recipe: The run's figures. Sizes of the networks are the pack's.
        root: The pack's folder.
        data: Folder of the prepared data.
        work: Folder for the checkpoint and the log.
        seed: Of the draws.

    Returns:
        The checkpoint's path.

    Raises:
        EngineError: If the recipe has no `further`, or the pack does not answer in words.
    """
    if recipe.further is None or recipe.further_questions is None:
        raise EngineError(
            "The recipe has no [further] with [further.questions]; add them, or choose another."
        )
    pack = load_pack(root)
    vocabulary, words = _vocabulary(pack)
    recipe = replace(recipe, language=recipe.further, questions=recipe.further_questions)
    encoder = TextEncoder.load(
        marked_config(pack, recipe.language.marked),
        pack.tensors("text_encoder.safetensors"),
        pack.file("tokenizer.json"),
    )
    seed += CONTINUE_SEED
    mixer, captions = mix_windows(recipe, data, *load_pack_tokenizers(pack), encoder, seed=seed)
    mixer.vocabulary = replace(vocabulary, num_words=0)
    torch.manual_seed(seed)
    questions = questions_beside(recipe, mixer, captions, words, encoder, seed)
    model = pack_model(pack, recipe.language.dropout, encoder.config.state_width)
    own = TextEncoderConfig.from_dict(pack.table("text_encoder"))
    louden(model, encoder, captions, len(own.marked_groups))
    train(model, mixer, questions, recipe.language, work / CONTINUED_FILE)
    return work / CONTINUED_FILE


@torch.no_grad()
def louden(model: LanguageModel, encoder: TextEncoder, captions: Sequence[str], first: int = 0) -> None:
    """Begin the columns of marked words with what tells these words apart anyway, `LOUDER` times as loud.

    Args:
        model: As wide as the encoder's states with marks.
        encoder: The sentence encoder, with words marked.
        captions: Sentences, some of which hold marked words; the column of a word in none begins at zero.
        first: Columns before this one stay as they are.
    """
    width, groups = encoder.config.width, len(encoder.config.marked_groups)
    sums, counts = torch.zeros(groups, width), torch.zeros(groups)
    for begin in range(0, len(captions), 64):
        encoded = encoder.encode(captions[begin : begin + 64])
        sums += torch.einsum("blg,blw->gw", encoded.marks, encoded.states)
        counts += encoded.marks.sum(dim=(0, 1))
    found = counts > 0
    means = sums[found] / counts[found, None]
    columns = torch.zeros(groups, model.config.d_model)
    columns[found] = (
        LOUDER / MARK_SCALE * (means - means.mean(dim=0)) @ model.text_projection.weight[:, :width].T
    )
    model.text_projection.weight[:, width + first :] = columns[first:].T


def marked_config(pack: Pack, marked: str) -> TextEncoderConfig:
    """A pack's sentence encoder with words marked; where it marks some already, the new ones stand behind.

    Args:
        pack: The pack.
        marked: As `TextEncoderConfig.marked`; empty leaves the pack's own.

    Raises:
        EngineError: If the pack marks other words.
    """
    config = TextEncoderConfig.from_dict(pack.table("text_encoder"))
    if marked and not marked.startswith(config.marked):
        raise EngineError(
            f'{pack.name} marks the words "{config.marked}"; let [further] marked begin with these.'
        )
    return replace(config, marked=marked or config.marked)


def pack_model(pack: Pack, dropout: float, text_width: int = 0) -> LanguageModel:
    """A pack's language model in float32, to be trained with a dropout.

    Args:
        pack: The pack.
        dropout: While training.
        text_width: Width of the states of words, at least the pack's; 0 for the pack's. New columns are not
            heeded at first: `louden` begins them.
    """
    config = config_from_dict(LanguageModelConfig, pack.table("language_model"), "the language model")
    config = replace(config, dropout=dropout)
    model = pack.build_module(_MODEL_FILE, lambda: LanguageModel(config))
    if text_width <= config.text_width:
        return model
    wide = LanguageModel(replace(config, text_width=text_width))
    state = model.state_dict()
    state[_READS_TEXT] = functional.pad(state[_READS_TEXT], (0, text_width - config.text_width))
    wide.load_state_dict(state)
    return wide


def export_continued(
    root: Path,
    checkpoint: Path,
    recipe_name: str,
    out: Path,
    card: Path | None = None,
    blend: tuple[Path, float] | None = None,
    marked: str = "",
) -> Pack:
    """Write a pack with the averaged weights of `continue_pack` in the place of its own.

    Everything else is the old pack's, but for the last number of its version, a note of the training, and its
    measured table, which told of other weights.

    Args:
        root: The old pack's folder.
        checkpoint: What `continue_pack` left.
        recipe_name: For the note.
        out: Folder to write; an older pack there is replaced, also the old one itself.
        card: Model card to put in the place of the old one, which else gets a line about the training.
        blend: An earlier pack of the same sizes, and its share in the weights that are written: what further
            training lost of what it had comes back, most of what was learned stays (Wortsman et al. 2022,
            arXiv 2109.01903).
        marked: The words that the recipe marks.

    Raises:
        EngineError: If there is no checkpoint, or the earlier pack has other sizes.
    """
    if not checkpoint.is_file():
        raise EngineError(f"There is no {checkpoint.name} in {checkpoint.parent.name}; train the pack first.")
    pack = load_pack(root)
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")
    note: dict[str, object] = {
        "command": f"python -m engine.training continue --recipe {recipe_name}",
        "from_version": pack.version,
        "commit": commit(),
        "steps": int(state["step"]),
        "minutes": round(float(state["spent_s"]) / 60, 1),
    }
    weights: dict[str, Tensor] = state["averaged"]
    if blend is not None:
        weights = _blended(weights, *blend)
        note["blended"] = f"{blend[1]:g} of version {load_pack(blend[0]).version}"
    head, _, last = pack.version.rpartition(".")
    version = f"{head}.{int(last) + 1}" if last.isdigit() else f"{pack.version}.1"
    earlier = cast("Mapping[str, object]", pack.info.get("training", {}))
    notes = [*cast("list[object]", earlier.get("further", [])), note]
    encoder = marked_config(pack, marked)
    changed = {
        "version": version,
        "training": {**earlier, "further": notes},
        "text_encoder": encoder.to_dict(),
        "language_model": {**pack.table("language_model"), "text_width": encoder.state_width},
    }
    files: dict[str, bytes] = {}
    if card is not None:
        files[_CARD_FILE] = card.read_bytes()
    elif _CARD_FILE in pack.table("files"):
        how = f"{note['steps']} steps of `{note['command']}` from {pack.version}"
        files[_CARD_FILE] = pack.file(_CARD_FILE).read_bytes() + f"\nVersion {version}: {how}.\n".encode()
    return rewrite_pack(pack, out, changed, {_MODEL_FILE: compact_language_model(weights)}, files)


def _blended(weights: Mapping[str, Tensor], root: Path, share: float) -> dict[str, Tensor]:
    """Weights with a share of an earlier pack's."""
    earlier = pack_model(load_pack(root), 0.0, weights[_READS_TEXT].shape[1]).state_dict()
    if {n: t.shape for n, t in earlier.items()} != {n: t.shape for n, t in weights.items()}:
        raise EngineError(
            f"The pack in {root.name} has another model; blend with one it was trained on from."
        )
    return {name: torch.lerp(earlier[name], tensor.float(), 1.0 - share) for name, tensor in weights.items()}


def _vocabulary(pack: Pack) -> tuple[Vocabulary, WordList]:
    """A starter pack's ids and the words it answers in."""
    if pack.kind != STARTER or WORDS_FILE not in pack.table("files"):
        raise EngineError(
            f"{pack.name} does not answer in words; only a starter pack that does is trained on."
        )
    words = WordList.read(pack.file(WORDS_FILE))
    return Vocabulary.from_dict(pack.table("vocabulary")), words
