# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the published model's files in a folder, by what is in them rather than by their names.

Only descriptions are read here: names and shapes of weights, not their values. Hidden folders and links that
lead out of the folder are left alone.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from ..errors import Cancelled, ClipError, PackError
from ..language.model import LanguageModelConfig
from ..language.text_encoder import read_tokenizer
from ..motion.npz_reader import open_npz
from ..motion.published_features import Layout, layout_width
from ..motion.smplx_file import ARRAYS
from ..specs import CancelCheck, Part
from ..tokenizers.motion_vqvae import MotionVQVAEConfig
from ..tokenizers.published import PART_PREFIXES, ROOT_PREFIX, recognise_tokenizer
from ..tokenizers.vocabulary import NUM_PUBLISHED_TEXT
from ..weights.weight_file import WeightFile, open_weights
from .centres import NPZ_KEYS, read_centres
from .four_part import StreamWords
from .judge import is_judge, recognise_judge
from .language import language_names, recognise_language
from .qwen import ROPE_THETA, QwenConfig, is_qwen, recognise_qwen
from .speech import SpeechConfig, recognise_speech, speech_names

MAX_FILES = 20_000
MAX_TEXT_BYTES = 50_000_000
"""Largest `tokenizer.json` that is opened; flan-t5-base's has 2.4 MB."""

WIDTHS: dict[Part | None, tuple[int, ...]] = {
    Part.FACE: (layout_width(Layout.FACE_106), layout_width(Layout.FACE_112)),
    Part.HANDS: (layout_width(Layout.HANDS_180),),
    Part.UPPER: (layout_width(Layout.UPPER_78),),
    Part.LOWER: (layout_width(Layout.LOWER_54), layout_width(Layout.LOWER_61)),
    None: (layout_width(Layout.LOWER_61),),
}
"""Channels that a network of each part may have; None is the root network."""

TORCH_SUFFIXES = (".ckpt", ".bin", ".pt", ".pth")
GPT2_POSITIONS = "transformer.wpe.weight"
"""GPT-2's table of positions, which is among its weights (transformers' name)."""

_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_POINTER = b"version https://git-lfs"

_FOLDER_WORDS: tuple[tuple[str, Part | None], ...] = (
    ("face", Part.FACE),
    ("hand", Part.HANDS),
    ("upper", Part.UPPER),
    ("lower", Part.LOWER),
    ("global", None),
)
"""How the folders of EMAGE's files are called, whose weights do not name their part."""


@dataclass(frozen=True)
class Weights:
    """Some weights of one file.

    Attributes:
        path: The file.
        names: Name in our network -> name in the file.
    """

    path: Path
    names: Mapping[str, str]

    def read(self, wanted: list[str]) -> dict[str, Tensor]:
        """Read weights by our names; raises `PackError`."""
        with open_weights(self.path) as file:
            held = file.read([self.names[name] for name in wanted])
        return {name: held[self.names[name]] for name in wanted}


@dataclass(frozen=True)
class MotionNetwork:
    """The network of one part, or the root network (part None)."""

    weights: Weights
    part: Part | None
    config: MotionVQVAEConfig


@dataclass(frozen=True)
class FourPartModel:
    """The decoder-only language model of a file, and the numbering of its words."""

    weights: Weights
    config: QwenConfig
    words: StreamWords


@dataclass(frozen=True)
class Findings:
    """Everything of use in a folder.

    Attributes:
        motion: Networks of parts and root networks.
        language: Language models of the first version.
        four_part: Language models of the four-part release.
        speech: Speech models.
        centres: Files of centres, with their values.
        words: Vocabularies of written language (`tokenizer.json`).
        bodies: SMPL-X models.
        judges: Networks that published scores are computed with.
        refused: A sentence for each file that looked like one of these but cannot be used.
    """

    motion: list[MotionNetwork] = field(default_factory=list[MotionNetwork])
    language: list[tuple[Weights, LanguageModelConfig]] = field(
        default_factory=list[tuple[Weights, LanguageModelConfig]]
    )
    four_part: list[FourPartModel] = field(default_factory=list[FourPartModel])
    speech: list[tuple[Weights, SpeechConfig]] = field(default_factory=list[tuple[Weights, SpeechConfig]])
    centres: list[tuple[Path, Tensor]] = field(default_factory=list[tuple[Path, Tensor]])
    words: list[Path] = field(default_factory=list[Path])
    bodies: list[Path] = field(default_factory=list[Path])
    judges: list[Weights] = field(default_factory=list[Weights])
    refused: list[str] = field(default_factory=list[str])


def find_files(folder: Path, cancel: CancelCheck | None = None) -> Findings:
    """Look through a folder and everything below it.

    Args:
        folder: Where the downloaded files are.
        cancel: Asked before each file.

    Raises:
        PackError: If there is no such folder, or it holds far more than a download.
        Cancelled: If `cancel` said so.
    """
    if not folder.is_dir():
        raise PackError(f"There is no folder {folder.name}; choose the folder with the downloaded files.")
    findings = Findings()
    for path in _walk(folder.resolve(), findings.refused):
        if cancel is not None and cancel():
            raise Cancelled("The import was stopped.")
        try:
            _look(path, folder.resolve(), findings)
        except (PackError, ClipError) as problem:
            findings.refused.append(str(problem))
        except OSError as problem:
            findings.refused.append(f"The file {path.name} cannot be opened ({problem.strerror}); check it.")
    return findings


def look_at(paths: Iterable[Path]) -> Findings:
    """See what some files are.

    Raises:
        EngineError: If one cannot be used.
    """
    findings = Findings()
    for path in paths:
        _look(path, path.parent, findings)
    return findings


def _walk(folder: Path, refused: list[str]) -> Iterator[Path]:
    """Files that may belong to the model, in a fixed order."""
    count = 0
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        count += len(names) + len(folders)
        if count > MAX_FILES:
            raise PackError(
                f"The folder {folder.name} holds more than {MAX_FILES} files; choose the folder with the "
                "downloaded model files only."
            )
        for name in sorted(names):
            path = Path(root, name)
            known = (
                path.suffix.lower() in (*TORCH_SUFFIXES, ".safetensors", ".npz") or name == "tokenizer.json"
            )
            if name.startswith(".") or not known:
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(folder):
                refused.append(f"{name} is a link that leads out of the folder; copy the file itself there.")
            elif path.is_file():
                yield path


def _look(path: Path, folder: Path, findings: Findings) -> None:
    """See what one file is; a file of another kind is passed over."""
    with path.open("rb") as stream:
        start = stream.read(len(_POINTER))
    if start == _POINTER:
        raise PackError(
            f"The file {path.name} is only a placeholder of Git LFS; fetch it with `git lfs pull`."
        )
    if path.name == "tokenizer.json":
        if _is_published_text(path):
            findings.words.append(path)
    elif path.suffix.lower() == ".npz":
        _look_npz(path, findings)
    elif (
        path.suffix.lower() in TORCH_SUFFIXES and start[:1] == b"\x80" and not start.startswith(_LEGACY_TORCH)
    ):
        findings.centres.append((path, read_centres(path)))
    else:
        with open_weights(path) as file:
            _look_weights(path, file, path.relative_to(folder), findings)


def _is_published_text(path: Path) -> bool:
    """Whether a vocabulary has flan-t5-base's size."""
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise PackError(f"The file {path.name} is far too large for a vocabulary; download it again.")
    return read_tokenizer(path).get_vocab_size() == NUM_PUBLISHED_TEXT


def _look_npz(path: Path, findings: Findings) -> None:
    """A body model, centres, or motion that is none of ours."""
    with open_npz(path, "a model file") as reader:
        keys = reader.keys
    if keys.issuperset(ARRAYS):
        findings.bodies.append(path)
    elif keys.intersection(NPZ_KEYS):
        findings.centres.append((path, read_centres(path)))


def _look_weights(path: Path, file: WeightFile, place: Path, findings: Findings) -> None:
    """Every network in a file of weights; one file may hold several."""
    shapes = file.shapes
    for part, names in _motion_names(shapes, place):
        try:
            findings.motion.append(_motion(path, file, part, names))
        except PackError as problem:  # a damaged part must not hide the others
            findings.refused.append(str(problem))
    if names := language_names(shapes):
        config = recognise_language({mine: shapes[name] for mine, name in names.items()}, path.name)
        findings.language.append((Weights(path, names), config))
    if GPT2_POSITIONS in shapes and file.numbers("vocab"):
        raise PackError(
            f"The file {path.name} holds a four-part model made from GPT-2, which is not imported; download "
            "the one made from Qwen3, huggingface.co/JuzeZhang/LoM-a2m-4part."
        )
    if is_qwen(shapes):
        config = recognise_qwen(shapes, path.name, _rope_theta(path))
        words = StreamWords.from_table(file.numbers("vocab"), config.num_rows, path.name)
        findings.four_part.append(FourPartModel(Weights(path, {n: n for n in shapes}), config, words))
    if names := speech_names(shapes):
        speech = recognise_speech({mine: shapes[name] for mine, name in names.items()}, path.name)
        findings.speech.append((Weights(path, names), speech))
    if is_judge(shapes):
        findings.judges.append(Weights(path, recognise_judge(shapes, path.name)))


def _rope_theta(path: Path) -> float:
    """Base of the rotary positions, from the backbone's `config.json` beside a file where there is one."""
    place = path.with_name("config.json")
    if not place.is_file() or place.stat().st_size > MAX_TEXT_BYTES:
        return ROPE_THETA
    try:
        found: object = json.loads(place.read_text("utf-8"))
        table = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
        if table.get("model_type") != "qwen3":
            return ROPE_THETA
        inner = table.get("rope_parameters")  # where transformers 5 writes it
        held = cast("dict[str, Any]", inner) if isinstance(inner, dict) else table
        return float(held.get("rope_theta", ROPE_THETA))
    except (ValueError, TypeError, RecursionError) as problem:
        raise PackError(f"The file config.json beside {path.name} cannot be read; remove it.") from problem


def _motion(path: Path, file: WeightFile, part: Part | None, names: Mapping[str, str]) -> MotionNetwork:
    """Recognise one network and check that its channels are a known layout of its part."""
    config = recognise_tokenizer({mine: file.shapes[name] for mine, name in names.items()}, path.name, part)
    if config.feature_dim not in WIDTHS[part]:
        whose = part.value if part else "root motion"
        raise PackError(
            f"The network for the {whose} in {path.name} has {config.feature_dim} channels, which no "
            "published model has; download it again."
        )
    return MotionNetwork(Weights(path, names), part, config)


def _motion_names(names: Mapping[str, object], place: Path) -> Iterator[tuple[Part | None, dict[str, str]]]:
    """Weights of each motion network in a file, with their names there."""
    prefixes: list[tuple[Part | None, str]] = [(None, ROOT_PREFIX)]
    prefixes += [(part, prefix) for part, several in PART_PREFIXES.items() for prefix in several]
    for part, prefix in prefixes:
        if found := {name.removeprefix(prefix): name for name in names if name.startswith(prefix)}:
            yield part, found
    if "encoder.main.0.weight" in names:
        words = re.split(r"[^a-z]+", place.as_posix().lower())
        for word, part in _FOLDER_WORDS:
            if any(held.startswith(word) for held in words):
                yield part, {name: name for name in names}
                return
