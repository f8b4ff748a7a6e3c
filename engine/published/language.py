# SPDX-License-Identifier: GPL-3.0-or-later
"""The published language model (T5 with an untied output head): sizes from shapes, and its vocabulary.

Names are transformers' under `lm.language_model.` (spec 2.7, 3.2). The word table is stored three times
under three names and kept once; the output head is always a matrix of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

import torch
from torch import Tensor

from ..errors import PackError
from ..language.model import LanguageModel, LanguageModelConfig
from ..specs import PARTS, Part
from ..tokenizers.published import Shapes
from ..tokenizers.vocabulary import NUM_MOTION_TOKENS, NUM_PUBLISHED_TEXT, BlockSize, Layout, Vocabulary
from ..weights.sketching import sketching

PREFIX = "lm.language_model."
WORD_TABLE = "shared.weight"
WORD_TABLE_TWINS = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
HEAD = "lm_head.weight"

RELEASED_AUDIO_START = 500
"""Number of the audio start in the released weights; 502 at the repository's head (spec 3.1)."""

OLDER_SECOND_ROWS = 49_784
"""Words of the second version's language model before it became decoder-only (spec 4.1)."""

_OLDER_SECOND_NAME = ".self_attention.Wq."
"""Part of the names that the library of that model gives its weights (FAT5, spec 3.2)."""

MAX_VOCABULARY = 1_000_000
MAX_WIDTH = 16_384
MAX_LAYERS = 100

_BIAS = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"


def language_names(names: Iterable[str]) -> dict[str, str]:
    """Which of a file's names belong to the language model: T5's name -> the file's name."""
    return {name.removeprefix(PREFIX): name for name in names if name.startswith(PREFIX)}


def recognise_language(shapes: Shapes, file_name: str) -> LanguageModelConfig:
    """Sizes of the model, and that every weight is there.

    Args:
        shapes: Shapes under T5's names.
        file_name: For messages.

    Raises:
        PackError: If a weight is missing or has another shape; unknown ones are passed over.
    """
    if shapes.get(WORD_TABLE, (0,))[0] == OLDER_SECOND_ROWS or any(_OLDER_SECOND_NAME in n for n in shapes):
        raise PackError(
            f"The file {file_name} holds the second version's older language model, which hears by another "
            "program and is not imported; download the first version's Instruct_Mixed_A2M_LM.ckpt or the "
            "four-part model, huggingface.co/JuzeZhang/LoM-a2m-4part."
        )
    try:
        buckets, heads = shapes[_BIAS]
        rows, width = shapes[WORD_TABLE]
        config = LanguageModelConfig(
            vocab_size=rows,
            d_model=width,
            d_kv=shapes["encoder.block.0.layer.0.SelfAttention.q.weight"][0] // heads,
            d_ff=shapes["encoder.block.0.layer.1.DenseReluDense.wi_0.weight"][0],
            num_heads=heads,
            num_layers=_depth(shapes, "encoder"),
            num_decoder_layers=_depth(shapes, "decoder"),
            num_buckets=buckets,
            dropout=0.0,
        )
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as problem:
        raise _unknown(file_name, str(problem).strip("'")) from problem
    sizes = config.d_model, config.d_kv, config.d_ff, config.num_heads, config.num_buckets
    depths = config.num_layers, config.num_decoder_layers
    if not (
        0 < rows <= MAX_VOCABULARY
        and all(0 < size <= MAX_WIDTH for size in sizes)
        and all(0 < depth <= MAX_LAYERS for depth in depths)
    ):
        raise _unknown(file_name, "sizes out of range")
    wanted = dict(language_shapes(config))
    wanted |= {name: wanted[WORD_TABLE] for name in WORD_TABLE_TWINS if name in shapes}
    if odd := sorted(name for name, shape in wanted.items() if shapes.get(name) != shape):
        raise _unknown(file_name, odd[0])
    return config


def language_weights(
    config: LanguageModelConfig,
    held: Iterable[str],
    read: Callable[[list[str]], Mapping[str, Tensor]],
    file_name: str,
) -> dict[str, Tensor]:
    """Weights as the pack holds them.

    Args:
        config: From `recognise_language`.
        held: All T5 names in the file.
        read: Reads weights by T5's names.
        file_name: For messages.

    Returns:
        Exactly the weights of a `LanguageModel`, float32.

    Raises:
        PackError: If the file's word tables differ, which T5's never do.
    """
    twins = sorted(set(held) & set(WORD_TABLE_TWINS))
    found = read([*language_shapes(config), *twins])
    if any(not torch.equal(found[WORD_TABLE], found[name]) for name in twins):
        raise _unknown(file_name, "word tables that differ")
    return {name: found[name].float() for name in language_shapes(config)}


@lru_cache(maxsize=8)
def language_shapes(config: LanguageModelConfig) -> Shapes:
    """Names and shapes of all weights of a model."""
    with sketching():
        return {name: tuple(t.shape) for name, t in LanguageModel(config).state_dict().items()}


def _depth(shapes: Shapes, stack: str) -> int:
    """Blocks of the encoder or the decoder."""
    return len({match[1] for name in shapes if (match := re.match(rf"{stack}\.block\.(\d+)\.", name))})


def _unknown(file_name: str, first: str) -> PackError:
    return PackError(
        f"The file {file_name} does not hold a whole language model (first difference {first}); "
        "download it again."
    )


def published_words(
    num_rows: int, codebooks: Mapping[Part, int], audio_start: int, file_name: str
) -> Vocabulary:
    """The vocabulary that fits both the motion networks and the language model.

    Args:
        num_rows: Rows of the word table.
        codebooks: Entries of each part's codebook.
        audio_start: Number of the audio start; the numbers below it are the speech model's centres.
        file_name: The language model's file, for messages.

    Raises:
        PackError: If the rows cannot be shared out.
    """
    sizes = {part: BlockSize(1, codebooks[part]) for part in PARTS}
    before_audio = NUM_PUBLISHED_TEXT + NUM_MOTION_TOKENS + sum(codebooks[part] + 3 for part in PARTS)
    extra = num_rows - before_audio - (audio_start + 3)
    if extra not in (0, 2):  # two more enclose audio with its transcript
        raise PackError(
            f"The language model in {file_name} has {num_rows} words, which do not fit motion networks with "
            f"{', '.join(str(codebooks[part]) for part in PARTS)} poses each and audio that starts at number "
            f"{audio_start}; use files of the same release, or give its audio start."
        )
    return Vocabulary(Layout.PUBLISHED, NUM_PUBLISHED_TEXT, sizes, BlockSize(1, audio_start), extra)
