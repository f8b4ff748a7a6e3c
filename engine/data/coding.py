# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns records into codes, with the tokenizers of a pack, of a training run, or published ones.

Which features a part is described by follows from the width its tokenizer reads: the starter's layouts or the
published ones. A part that was not captured, or whose face channels are of the other basis (ARKit values for
a tokenizer of SMPL-X coefficients), has no codes; nothing is put in its place.
"""

from __future__ import annotations

import hashlib
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..audio.features import speech_features
from ..errors import DataError
from ..motion.arrays import FloatArray, IntArray
from ..motion.clip import Clip
from ..motion.contacts import foot_contacts
from ..motion.features import STARTER_DIMS, starter_features
from ..motion.kinematics import clip_joint_positions
from ..motion.published_features import PART_LAYOUTS, Layout, layout_width, published_features
from ..packs import load_pack
from ..published.speech_files import load_speech
from ..specs import MOTION_FPS, Part
from ..tokenizers.audio_tokenizer import HubertTokenizer, StarterAudioTokenizer
from ..tokenizers.motion_vqvae import MotionVQVAE
from ..tokenizers.pack_tokenizers import load_pack_tokenizers
from ..tokenizers.published import load_published_tokenizers
from .readers.base import Record

MAX_CODES = 1 << 15
"""Largest codebook: shards hold 16 bits per code, one of them for the sign."""


@dataclass(frozen=True)
class Coded:
    """Codes of one record: (T, Q) per part and (S, Q) of the sound, int64."""

    parts: dict[Part, IntArray]
    audio: IntArray | None


class Coder:
    """Tokenizers of all parts and of sound.

    Args:
        motion: Tokenizer per part; all must have the same steps per second.
        audio: Tokenizer of sound.

    Raises:
        DataError: If the steps differ or a width is of no known layout.
    """

    def __init__(
        self, motion: Mapping[Part, MotionVQVAE], audio: StarterAudioTokenizer | HubertTokenizer
    ) -> None:
        self.motion = dict(motion)
        self.audio = audio
        rates = {tokenizer.frame_rate for tokenizer in self.motion.values()}
        if len(rates) != 1:
            raise DataError(
                f"The parts' tokenizers make {sorted(rates)} steps per second; use tokenizers of one rate."
            )
        (self.step_hz,) = rates
        self.audio_hz = audio.frame_rate
        if max(t.codebook_size for t in (*self.motion.values(), audio)) > MAX_CODES:
            raise DataError(f"Shards hold codes below {MAX_CODES} only; use smaller codebooks.")
        for part, tokenizer in self.motion.items():
            _layout(part, tokenizer.config.feature_dim)

    @property
    def levels(self) -> dict[str, int]:
        """Codes per step of every part and of the sound, by name."""
        return {part.value: t.num_quantizers for part, t in self.motion.items()} | {
            "audio": self.audio.num_quantizers
        }

    @property
    def fingerprint(self) -> str:
        """Hash of all weights and settings: equal fingerprints make equal codes."""
        return fingerprint(
            (f"layer {m.layer}" if isinstance(m, HubertTokenizer) else repr(m.config), m)
            for m in (*self.motion.values(), self.audio)
        )

    @torch.inference_mode()
    def encode(self, record: Record) -> Coded:
        """Codes of a record; frames that do not fill a last step are dropped.

        Raises:
            DataError: If nothing of it has codes.
            AudioError: If its sound is too short for the tokenizer.
        """
        parts = self._encode_clip(record.clip, record.parts) if record.clip is not None else {}
        audio = None if record.wave is None else self._encode_sound(record.wave)
        if not parts and audio is None:
            raise DataError(f"{record.name} has no whole step for these tokenizers; leave it off the list.")
        return Coded(parts, audio)

    def _encode_clip(self, clip: Clip, wanted: tuple[Part, ...]) -> dict[Part, IntArray]:
        stride = round(MOTION_FPS / self.step_hz)
        steps = clip.num_frames // stride
        codes: dict[Part, IntArray] = {}
        for part, features in self._features(clip, wanted).items():
            if steps:
                cut = torch.from_numpy(features[: steps * stride])[None]
                codes[part] = _levels(self.motion[part].encode(cut), self.motion[part].num_quantizers)
        return codes

    def _features(self, clip: Clip, wanted: tuple[Part, ...]) -> dict[Part, FloatArray]:
        """Features of the wanted parts that the clip has, (F, D) each."""
        features: dict[Part, FloatArray] = {}
        layouts = {part: _layout(part, self.motion[part].config.feature_dim) for part in wanted}
        if any(layout is None for layout in layouts.values()):
            features = {p: values for p, values in starter_features(clip).items() if p in wanted}
        for part, layout in layouts.items():
            if layout is None:
                continue
            features.pop(part, None)
            contacts = None
            if layout is Layout.LOWER_61:
                contacts = foot_contacts(clip_joint_positions(clip), clip.fps)
            if part is not Part.FACE or clip.basis == "smplx":
                features[part] = published_features(clip, layout, contacts)
        return features

    def _encode_sound(self, wave: FloatArray) -> IntArray:
        is_starter = isinstance(self.audio, StarterAudioTokenizer)
        heard = torch.from_numpy(speech_features(wave) if is_starter else np.asarray(wave))[None]
        return _levels(self.audio.encode(heard), self.audio.num_quantizers)


def add_speech_options(parser: ArgumentParser) -> None:
    """Options of a command that say which speech model goes with published tokenizers, see `CoderSource`."""
    parser.add_argument(
        "--hubert", type=Path, help="with a published file: hubert_base_ls960.pt, or a folder of transformers"
    )
    parser.add_argument(
        "--centres", type=Path, help="with a published file: hubert_base_ls960_L9_km500.bin, or an npz"
    )
    parser.add_argument(
        "--layer", type=int, default=12, help="with a published file: the model's hidden layer"
    )


@dataclass(frozen=True)
class CoderSource:
    """Where tokenizers come from; small enough to send to other processes.

    Attributes:
        path: A pack's folder, the folder in which stage 1 left its checkpoints, or a published file with the
            tokenizers of all parts.
        recipe: Recipe of the run, for its checkpoints.
        hubert: Speech model that goes with a published file: fairseq's file, or transformers' folder.
        centres: Its k-means centres: the published joblib file, or an npz.
        layer: Its hidden layer.
    """

    path: Path
    recipe: str = "starter"
    hubert: Path | None = None
    centres: Path | None = None
    layer: int = 12

    def speech_files(self) -> tuple[Path, Path]:
        """The speech model and its centres; raises `DataError` if they are not given."""
        if self.hubert is None or self.centres is None:
            raise DataError(
                "Published motion tokenizers need their speech model; pass it with --hubert and its centres "
                "with --centres."
            )
        return self.hubert, self.centres

    def load(self) -> Coder:
        """Load the tokenizers.

        Raises:
            EngineError: If a file is missing, damaged or does not fit.
        """
        if self.path.is_file():
            audio = load_speech(*self.speech_files(), self.layer)
            return Coder({p: t.eval() for p, t in load_published_tokenizers(self.path).parts.items()}, audio)
        if (self.path / "pack.toml").is_file():
            return Coder(*load_pack_tokenizers(load_pack(self.path)))
        if not (self.path / "tokenizer-audio.pt").is_file():
            raise DataError(
                f"There are no tokenizers in {self.path.name}; choose a pack's folder or the one stage 1 "
                "wrote to."
            )
        # Training reads what this package prepares; only here is it the other way round.
        from ..training.language_training import load_tokenizers
        from ..training.recipe import load_recipe

        return Coder(*load_tokenizers(load_recipe(self.recipe), self.path))


def fingerprint(modules: Iterable[tuple[str, nn.Module]]) -> str:
    """Hash of settings, as text, and weights of several networks."""
    digest = hashlib.sha256()
    for settings, module in modules:
        digest.update(settings.encode())
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _layout(part: Part, width: int) -> Layout | None:
    """Published layout of a part's features, None for the starter's; raises `DataError` for other widths."""
    if width == STARTER_DIMS[part]:
        return None
    for layout in PART_LAYOUTS[part]:
        if layout_width(layout) == width:
            return layout
    raise DataError(
        f"No known layout of the {part.value} has {width} columns; use tokenizers of a known one."
    )


def _levels(codes: Tensor, num_levels: int) -> IntArray:
    """(1, T * Q) -> (T, Q)."""
    return codes.view(-1, num_levels).cpu().numpy()
