# SPDX-License-Identifier: GPL-3.0-or-later
"""LibriSpeech (Panayotov et al. 2015): read speech with transcripts.

Layout below the root: `<set>/<speaker>/<chapter>/<speaker>-<chapter>-<number>.flac` and in each chapter
`<speaker>-<chapter>.trans.txt`, one line per utterance: its name, then its words in capitals. The set's name
gives the split. Where a forced alignment lies beside a sound (`<utterance>.TextGrid`), its words have times.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ...audio.waveform import check_waveform, load_audio
from ...errors import DataError
from ..splits import HELD_OUT_AUDIO
from .base import Item, Record, read_text
from .textgrid import read_words

_SET_SPLITS = {"train": "train", "dev": "val", "test": "test"}

HELD_OUT_SPEAKERS = frozenset(
    name.removeprefix("librispeech/").partition("-")[0]
    for name in HELD_OUT_AUDIO
    if name.startswith("librispeech/")
)
"""Speakers that the starter's evaluation holds out: all they say belongs to the test split."""


@dataclass(frozen=True)
class LibriSpeechReader:
    """The corpus below a folder that holds sets such as `train-clean-100`."""

    root: Path
    source: str = "librispeech"

    def items(self) -> list[Item]:
        """All utterances by name; raises `DataError` if there is none or a set is unknown."""
        items: list[Item] = []
        for path in sorted(self.root.glob("*/*/*/*.flac")):
            name = path.relative_to(self.root).with_suffix("").as_posix()
            folder, speaker = name.split("/")[:2]
            split = _SET_SPLITS.get(folder.partition("-")[0])
            if split is None:
                raise DataError(
                    f"{folder} is no set of LibriSpeech; name it as train-..., dev-... or test-...."
                )
            items.append(Item(name, "test" if speaker in HELD_OUT_SPEAKERS else split))
        if not items:
            raise DataError(
                f"{self.root.name} holds no <set>/<speaker>/<chapter>/*.flac; choose LibriSpeech's folder."
            )
        return items

    def read(self, item: Item) -> Record:
        """One utterance."""
        path = self.root / f"{item.name}.flac"
        speaker, chapter = path.parts[-3:-1]
        lines = _transcripts(path.parent / f"{speaker}-{chapter}.trans.txt")
        if path.stem not in lines:
            raise DataError(
                f"{speaker}-{chapter}.trans.txt has no line for {path.stem}; copy the chapter again."
            )
        aligned = path.with_suffix(".TextGrid")
        return Record(
            name=item.name,
            source=self.source,
            split=item.split,
            speaker=speaker,
            wave=check_waveform(*load_audio(path)),
            transcript=lines[path.stem].lower(),
            words=read_words(aligned) if aligned.exists() else (),
        )


@lru_cache(maxsize=4)
def _transcripts(path: Path) -> dict[str, str]:
    """Words of each utterance of a chapter."""
    rows = (line.partition(" ") for line in read_text(path).splitlines())
    return {name: words.strip() for name, _, words in rows if words.strip()}
