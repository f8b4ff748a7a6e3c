# SPDX-License-Identifier: GPL-3.0-or-later
"""The speech model from its published files, without making a pack of them."""

from __future__ import annotations

from pathlib import Path

from ..errors import PackError
from ..tokenizers.audio_tokenizer import HubertTokenizer
from ..weights.weight_file import open_weights
from .centres import read_centres
from .files import Weights
from .speech import SpeechConfig, build_speech, recognise_speech, speech_names, speech_weights

FOLDER_FILES = ("model.safetensors", "pytorch_model.bin")
"""Weights in a folder as transformers writes it."""


def speech_file(model: Path) -> Path:
    """The file of weights that a path names: itself, or the one in a folder of transformers.

    Raises:
        PackError: If there is none.
    """
    if model.is_file():
        return model
    if path := next((path for name in FOLDER_FILES if (path := model / name).is_file()), None):
        return path
    raise PackError(
        f"There is no speech model at {model.name}; give fairseq's hubert_base_ls960.pt, or a folder with "
        f"{' or '.join(FOLDER_FILES)}."
    )


def read_speech(model: Path) -> tuple[Weights, SpeechConfig]:
    """Where the speech model's weights are, and its sizes.

    Raises:
        PackError: If there is none, or it is damaged or of another kind.
    """
    path = speech_file(model)
    with open_weights(path) as file:
        names, shapes = speech_names(file.shapes), file.shapes
    config = recognise_speech({mine: shapes[name] for mine, name in names.items()}, path.name)
    return Weights(path, names), config


def load_speech(model: Path, centres: Path, layer: int = 12) -> HubertTokenizer:
    """Load HuBERT and its centres as a tokenizer, with the weights and the rounding that a pack has.

    Args:
        model: fairseq's file, or transformers' file or folder; the same weights give the same tokenizer.
        centres: The published joblib pickle of the k-means, or an npz with the array `centres`.
        layer: Layer that is compared with the centres, see `HubertTokenizer`.

    Raises:
        PackError: If a file is missing, damaged, unsafe, or they do not fit each other.
    """
    weights, config = read_speech(model)
    if not centres.is_file():
        raise PackError(f"The speech model's file {centres.name} is missing; copy it there.")
    network = build_speech(config)
    network.load_state_dict(speech_weights(config, weights.read))
    return HubertTokenizer(network, read_centres(centres), layer=layer).requires_grad_(False)
