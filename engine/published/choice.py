# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the files found make one model, and what is missing for it.

The download holds two models: one for speech, whose motion networks keep every frame, and one for written
text, whose networks shorten time (spec 2.5).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from ..errors import PackError
from ..language.model import LanguageModelConfig
from ..specs import PARTS, Part
from .files import WIDTHS, Findings, MotionNetwork, Weights
from .speech import SpeechConfig

HOME = "huggingface.co/JuzeZhang/language_of_motion"

WHERE_MOTION = (
    "The motion networks for the {parts} are missing; download {file} from " + HOME + " into the folder."
)
WHERE_ROOT = (
    "The network for the path over the floor (vae_global) is missing; download the motion networks from "
    + HOME
    + " into the folder."
)
WHERE_LANGUAGE = "The language model is missing; download {file} from " + HOME + " into the folder."
WHERE_WORDS = (
    "The vocabulary of FLAN-T5 is missing; download tokenizer.json from huggingface.co/google/flan-t5-base "
    "into the folder."
)
WHERE_SPEECH = (
    "The speech model HuBERT is missing; download dl.fbaipublicfiles.com/hubert/hubert_base_ls960.pt into "
    "the folder."
)
WHERE_CENTRES = (
    "The centres of the speech model are missing; download "
    "dl.fbaipublicfiles.com/hubert/hubert_base_ls960_L9_km500.bin into the folder."
)
WHERE_BODY = (
    "There is no SMPL-X body; it is only needed for meshes and comes from smpl-x.is.tue.mpg.de "
    "(SMPLX_NEUTRAL_2020.npz)."
)
WHERE_JUDGE = (
    "There is no AESKConv_240_100.bin; it is only needed for published scores and comes with BEAT2 from "
    "huggingface.co/datasets/H-Liu1997/BEAT2."
)


class Release(StrEnum):
    """The models of the download: two of the first version, and the decoder-only one with four parts."""

    SPEECH = "speech"
    TEXT = "text"
    FOUR_PART = "four-part"


FIRST_VERSION = (Release.SPEECH, Release.TEXT)
"""The releases that may share a pack."""


_MOTION_FILE = {Release.SPEECH: "emage_vq/vq_emage_speaker_2.ckpt", Release.TEXT: "lom_vq_ds/lom_vq.ckpt"}
_LANGUAGE_FILE = {Release.SPEECH: "Instruct_Mixed_A2M_LM.ckpt", Release.TEXT: "Instruct_Mixed_T2M_LM.ckpt"}
_LANGUAGE_WORD = {Release.SPEECH: "a2m", Release.TEXT: "t2m"}
_BODY_ORDER = ("neutral_2020", "neutral")
T = TypeVar("T")


class MissingFilesError(PackError):
    """Files are missing. Its text is one sentence for each, on a line of its own."""


@dataclass(frozen=True)
class Choice:
    """The files of one model.

    Attributes:
        release: Which model.
        motion: Network of each part.
        root: The root network.
        language: The language model.
        words: Vocabulary of written language.
        speech: The speech model with its centres, where it is needed or there.
        body: SMPL-X model, or None.
        judge: Network for published scores, or None.
        notes: What is absent but not needed.
    """

    release: Release
    motion: dict[Part, MotionNetwork]
    root: MotionNetwork
    language: tuple[Weights, LanguageModelConfig]
    words: Path
    speech: tuple[Weights, SpeechConfig, Path, Tensor] | None
    body: Path | None
    judge: Weights | None
    notes: tuple[str, ...]


def choose(findings: Findings, release: Release | None = None) -> list[Choice]:
    """Choose the files of each model that is there.

    Args:
        findings: Everything in the folder.
        release: Which of the first version's models; None takes each one whose files are there, the one for
            speech first.

    Returns:
        The files of one or two models, which never share a language model.

    Raises:
        MissingFilesError: If something is missing; it says what and where it comes from.
    """
    wanted = [release] if release else FIRST_VERSION
    attempts = [_attempt(findings, one) for one in wanted]
    choices: list[Choice] = []
    for choice, _ in attempts:
        taken = [other.language[0].path for other in choices]
        if choice is not None and choice.language[0].path not in taken:
            choices.append(choice)
    if not choices:
        _, missing = min(attempts, key=lambda attempt: len(attempt[1]))
        raise MissingFilesError("\n".join([*missing, *findings.refused]))
    return choices


def _attempt(findings: Findings, release: Release) -> tuple[Choice | None, list[str]]:
    """One model's files, or what is missing for it."""
    motion = _motion(findings, release)
    home = motion[PARTS[0]].weights.path if PARTS[0] in motion else None
    root = _first(
        [network for network in findings.motion if network.part is None], lambda n: n.weights.path != home
    )
    language = _language(findings, release)
    speech = _speech(findings)
    missing: list[str] = []
    if lost := [part.value for part in PARTS if part not in motion]:
        missing.append(WHERE_MOTION.format(parts=", ".join(lost), file=_MOTION_FILE[release]))
    if root is None:
        missing.append(WHERE_ROOT)
    if language is None:
        missing.append(WHERE_LANGUAGE.format(file=_LANGUAGE_FILE[release]))
    if not findings.words:
        missing.append(WHERE_WORDS)
    no_speech = _missing_speech(findings, speech is not None)
    if release is Release.SPEECH:
        missing += no_speech
    if missing or root is None or language is None:
        return None, missing
    body = _first(findings.bodies, _body_rank)
    judge = _first(findings.judges, lambda weights: 0)
    notes = [*no_speech, *([] if body else [WHERE_BODY]), *([] if judge else [WHERE_JUDGE])]
    choice = Choice(release, motion, root, language, findings.words[0], speech, body, judge, tuple(notes))
    return choice, []


def _missing_speech(findings: Findings, is_whole: bool) -> list[str]:
    """What is missing to hear speech."""
    missing = [] if findings.speech else [WHERE_SPEECH]
    fitting = findings.centres and not findings.speech
    return [] if is_whole else [*missing, *([] if fitting else [WHERE_CENTRES])]


def _motion(findings: Findings, release: Release) -> dict[Part, MotionNetwork]:
    """Networks of one release, from one file as far as possible and all with the same time step."""
    fitting = [
        network
        for network in findings.motion
        if network.part is not None
        and (network.config.stride == 1) == (release is Release.SPEECH)
        and network.config.feature_dim in _first_version(network.part)
    ]
    if not fitting:
        return {}
    talkers = {weights.path for weights, _ in findings.language}
    count = {network.weights.path: 0 for network in fitting}
    for network in fitting:
        count[network.weights.path] += 1
    # The most complete file first; of equals one without a language model, as the published demo does.
    fitting.sort(key=lambda n: (-count[n.weights.path], n.weights.path in talkers, n.weights.path.as_posix()))
    stride = fitting[0].config.stride
    chosen: dict[Part, MotionNetwork] = {}
    for network in fitting:
        if network.part is not None and network.config.stride == stride:
            chosen.setdefault(network.part, network)
    return chosen


def _first_version(part: Part) -> tuple[int, ...]:
    """Channels of a part in the first version; the second's wider face goes with another language model."""
    return WIDTHS[part][:1] if part is Part.FACE else WIDTHS[part]


def _language(findings: Findings, release: Release) -> tuple[Weights, LanguageModelConfig] | None:
    """The language model named after the release, else one named after neither."""
    others = [word for other, word in _LANGUAGE_WORD.items() if other is not release]
    fitting = [
        (weights, config)
        for weights, config in findings.language
        if not _says(weights.path, others) or _says(weights.path, [_LANGUAGE_WORD[release]])
    ]
    return _first(fitting, lambda found: not _says(found[0].path, [_LANGUAGE_WORD[release]]))


def _says(path: Path, words: Iterable[str]) -> bool:
    """Whether a file's or its folder's name holds one of some words."""
    held = re.split(r"[^a-z0-9]+", f"{path.parent.name}_{path.stem}".lower())
    return any(word in held for word in words)


def _speech(findings: Findings) -> tuple[Weights, SpeechConfig, Path, Tensor] | None:
    """A speech model and centres of its width."""
    for weights, config in findings.speech:
        for path, centres in findings.centres:
            if centres.shape[1] == config.hidden_size:
                return weights, config, path, centres
    return None


def _body_rank(path: Path) -> int:
    """The body the published demo uses first, then any neutral one."""
    ranks = [rank for rank, word in enumerate(_BODY_ORDER) if word in path.stem.lower()]
    return ranks[0] if ranks else len(_BODY_ORDER)


def _first(items: list[T], rank: Callable[[T], int | bool]) -> T | None:
    """The first of the best."""
    return min(items, key=rank) if items else None
