# SPDX-License-Identifier: GPL-3.0-or-later
"""BEAT2 (EMAGE, Liu et al. 2024): speech with captured body, hands and face.

Layout below the root: `train_test_split.csv` (columns id, type), `smplxflame_30/<id>.npz`,
`wave16k/<id>.wav`, `textgrid/<id>.TextGrid`, `emotion_label/<id>.csv`. An id begins with the speaker's
number: `2_scott_0_1_1`. Motion and sound are needed; words and emotion are read where their files are.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ...audio.waveform import check_waveform, load_audio
from ...errors import DataError
from ...motion.arrays import FloatArray
from ...motion.clip import Clip
from ...motion.clip_io import load_npz
from ...specs import AUDIO_HZ, EMOTIONS, MOTION_FPS, PARTS
from .base import SPLITS, EmotionSpan, Item, Record, at_motion_fps, read_table, read_text
from .textgrid import read_words

SHORTEST_SHARE = 0.5
"""Least share of the longer of motion and sound that the shorter must cover; below it one file is partial."""


@dataclass(frozen=True)
class Beat2Reader:
    """The corpus below a folder.

    Attributes:
        root: Folder with `train_test_split.csv`.
        speakers: Numbers of the speakers wanted; empty for all. The published benchmark uses speaker 2.
    """

    root: Path
    speakers: Collection[int] = ()
    source: str = "beat2"

    def items(self) -> list[Item]:
        """Entries of the split table; raises `DataError` if it is missing or names an unknown split."""
        items: list[Item] = []
        for row in read_table(self.root / "train_test_split.csv", ("id", "type")):
            if row["type"] not in SPLITS:
                raise DataError(
                    f"train_test_split.csv gives {row['id']} the type {row['type']}; "
                    f"use one of {', '.join(SPLITS)}."
                )
            if not self.speakers or speaker_of(row["id"]) in self.speakers:
                items.append(Item(row["id"], row["type"]))
        return items

    def read(self, item: Item) -> Record:
        """One recording, motion and sound cut to the shorter of the two."""
        clip = at_motion_fps(load_npz(self.root / "smplxflame_30" / f"{item.name}.npz"))
        wave = check_waveform(*load_audio(self.root / "wave16k" / f"{item.name}.wav"))
        clip, wave = _same_length(clip, wave, item.name)
        textgrid = self.root / "textgrid" / f"{item.name}.TextGrid"
        words = read_words(textgrid) if textgrid.exists() else ()
        label = self.root / "emotion_label" / f"{item.name}.csv"
        return Record(
            name=item.name,
            source=self.source,
            split=item.split,
            speaker=str(speaker_of(item.name)),
            clip=clip,
            parts=PARTS,
            wave=wave,
            transcript=" ".join(word.text for word in words),
            words=words,
            emotion=read_emotion(label) if label.exists() else None,
        )


def speaker_of(name: str) -> int:
    """Number of the speaker: what stands before the first underscore.

    Raises:
        DataError: If the name does not begin with a number.
    """
    number = name.partition("_")[0]
    if not number.isdigit():
        raise DataError(f"{name} does not begin with a speaker's number; use BEAT2's own names.")
    return int(number)


def read_emotion(path: Path) -> EmotionSpan | None:
    """The labelled stretch of a recording.

    The file's first row carries it: the last `_` fields of its first three columns are the emotion, the begin
    and the end in seconds.

    Returns:
        The stretch, or None for the label "unknown".

    Raises:
        DataError: If the file is missing or the row is not such a one.
    """
    first = (read_text(path).splitlines() or [""])[0].split(",")
    fields = [column.strip().strip('"').rpartition("_")[2] for column in first]
    if fields[0] == "unknown":
        return None
    try:
        label, start_s, end_s = fields[0], float(fields[1]), float(fields[2])
    except (IndexError, ValueError) as error:
        raise DataError(
            f"The emotion table {path.name} has no times in its first row; copy it again."
        ) from error
    if label not in EMOTIONS or not 0.0 <= start_s < end_s:
        raise DataError(
            f"The emotion table {path.name} says {label!r} from {start_s:g} to {end_s:g} s; use one of "
            f"{', '.join(EMOTIONS)} and rising times."
        )
    return EmotionSpan(label, start_s, end_s)


def _same_length(clip: Clip, wave: FloatArray, name: str) -> tuple[Clip, FloatArray]:
    sound_s, motion_s = len(wave) / AUDIO_HZ, clip.duration_s
    shorter = min(sound_s, motion_s)
    if shorter < SHORTEST_SHARE * max(sound_s, motion_s):
        raise DataError(
            f"{name} has {motion_s:.1f} s of motion and {sound_s:.1f} s of sound, so one of its two files is "
            "partial; copy both again."
        )
    frames = max(1, int(shorter * MOTION_FPS + 1e-6))
    return clip.slice(0, frames), wave[: round(frames * AUDIO_HZ / MOTION_FPS)]
