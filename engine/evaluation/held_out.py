# SPDX-License-Identifier: GPL-3.0-or-later
"""What the evaluation measures on: held-out speech, held-out captured clips, and the performer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ..audio.features import envelope, onsets
from ..audio.waveform import check_waveform, load_audio
from ..data.performer.mouth import Phonemes
from ..data.splits import HELD_OUT_AUDIO
from ..errors import EngineError
from ..motion.arrays import FloatArray
from ..motion.clip import Clip
from ..motion.features import starter_clip
from ..specs import AUDIO_HZ, EMOTIONS, MOTION_FPS, Part

ItemT = TypeVar("ItemT")


@dataclass(frozen=True)
class Speech:
    """One held-out recording.

    Attributes:
        name: Folder and name without the ending.
        wave: Mono samples at `AUDIO_HZ`, (N,).
    """

    name: str
    wave: FloatArray

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.wave) / AUDIO_HZ

    def cut(self, seconds: float) -> Speech:
        """The first seconds of it, or all where it is shorter.

        Args:
            seconds: Wanted length.
        """
        return Speech(self.name, self.wave[: round(seconds * AUDIO_HZ)])

    def envelope(self) -> FloatArray:
        """Amplitude per motion frame, (F,)."""
        return envelope(self.wave, MOTION_FPS)

    def onsets(self) -> npt.NDArray[np.float64]:
        """Onset times in seconds, (K,)."""
        return onsets(self.wave)


def load_speech(data: Path, names: tuple[str, ...] = HELD_OUT_AUDIO) -> list[Speech]:
    """Read held-out recordings.

    Args:
        data: Data folder, with `speech/` in it.
        names: Which.

    Raises:
        EngineError: If one is missing.
    """
    found: list[Speech] = []
    for name in names:
        path = data / "speech" / f"{name}.flac"
        if not path.is_file():
            raise EngineError(f"The held-out recording {path} is missing; give the data folder with --data.")
        wave, rate = load_audio(path)
        found.append(Speech(name, check_waveform(wave, rate)))
    return found


def next_ones(items: Sequence[ItemT]) -> list[ItemT]:
    """For each item the one after it, for the last the first: what does not belong to it."""
    return [*items[1:], *items[:1]]


def long_speech(speeches: list[Speech], seconds: float) -> Speech:
    """One long recording made of several, repeated as needed.

    Args:
        speeches: At least one.
        seconds: Wanted length.
    """
    wave = np.concatenate([speech.wave for speech in speeches])
    wanted = round(seconds * AUDIO_HZ)
    return Speech("joined", np.resize(wave, wanted).astype(np.float32))


@dataclass(frozen=True)
class CapturedItem:
    """One prepared captured clip.

    Attributes:
        name: Unique name.
        source_trial: CMU trial it comes from.
        action: Label.
        split: "train" or "held".
        edit: What motion editing was done to it, empty for none.
        lower: Starter features, (F, 62).
        upper: Starter features, (F, 78).
        captions: Texts that describe it.
    """

    name: str
    source_trial: str
    action: str
    split: str
    edit: str
    lower: FloatArray
    upper: FloatArray
    captions: tuple[str, ...] = ()

    def clip(self) -> Clip:
        """The motion; hands and face rest."""
        return starter_clip({Part.LOWER: self.lower, Part.UPPER: self.upper})


def load_captured(folder: Path) -> list[CapturedItem]:
    """Read what `python -m engine.data.captured` wrote.

    Args:
        folder: Its output folder.

    Raises:
        EngineError: If the files are absent.
    """
    arrays, table = folder / "captured.npz", folder / "captured.json"
    if not (arrays.is_file() and table.is_file()):
        raise EngineError(
            f"There is no prepared motion in {folder}; run python -m engine.data.captured first."
        )
    listed = json.loads(table.read_text(encoding="utf-8"))
    entries = listed["items"] if isinstance(listed, dict) else listed
    with np.load(arrays, allow_pickle=False) as archive:
        lower, upper, offsets = (archive[key] for key in ("lower", "upper", "offsets"))
    return [
        CapturedItem(
            name=entry["name"],
            source_trial=str(entry.get("source_trial", "")),
            action=entry["action"],
            split=entry["split"],
            edit=str(entry.get("edit") or ""),
            lower=lower[begin:end].astype(np.float32),
            upper=upper[begin:end].astype(np.float32),
            captions=tuple(entry.get("captions", ())),
        )
        for entry, begin, end in zip(entries, offsets[:-1], offsets[1:], strict=True)
    ]


def unedited(item: CapturedItem) -> bool:
    """Whether a prepared clip is as captured.

    Args:
        item: Which.
    """
    return item.edit in ("", "none")


def performed(speech: Speech, seed: int, phonemes: Phonemes | None = None) -> Clip:
    """What the performer that taught the pack does on a recording.

    Args:
        speech: The recording.
        seed: Style and choices; also picks the emotion.
        phonemes: Where they are known; the lips follow the sound else.
    """
    from ..data.performer import perform

    performance = perform(speech.wave, emotion=EMOTIONS[seed % len(EMOTIONS)], seed=seed, phonemes=phonemes)
    return starter_clip(
        {
            Part.FACE: performance.face,
            Part.HANDS: performance.hands,
            Part.UPPER: performance.upper,
            Part.LOWER: performance.lower,
        }
    )
