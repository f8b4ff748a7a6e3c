# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads the tokenizers of a pack."""

from __future__ import annotations

from functools import partial

from ..packs import Pack
from ..specs import PARTS, Part
from .audio_tokenizer import StarterAudioTokenizer
from .motion_vqvae import MotionVQVAE, MotionVQVAEConfig

WEIGHTS_FILE = "tokenizers.safetensors"


def load_pack_tokenizers(pack: Pack) -> tuple[dict[Part, MotionVQVAE], StarterAudioTokenizer]:
    """The tokenizer of every part and that of speech, ready to encode and decode.

    Raises:
        PackError: If a description or a weight is missing or does not fit.
    """
    motion: dict[Part, MotionVQVAE] = {}
    for part in PARTS:
        config = MotionVQVAEConfig.from_dict(pack.table("tokenizers", part.value))
        make = partial(MotionVQVAE, config, part)
        motion[part] = pack.build_module(WEIGHTS_FILE, make, f"{part.value}.").eval()
    config = MotionVQVAEConfig.from_dict(pack.table("tokenizers", "audio"), "speech")
    audio = pack.build_module(WEIGHTS_FILE, partial(StarterAudioTokenizer, config), "audio.")
    return motion, audio.eval()
