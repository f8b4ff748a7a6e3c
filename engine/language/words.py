# SPDX-License-Identifier: GPL-3.0-or-later
"""The words a starter model can write: what it answers when it is asked what a motion or a sound says.

The starter reads text through a frozen sentence encoder, whose states can be read but not written, so text
as a *target* needs rows of its own. Rows for the encoder's 30,522 word pieces would hold three times the
weights of the whole model, nearly all of them for words no caption has. The list is closed instead: the
labels of emotions, the words of the captions (some 650) and the commonest words of the transcripts. A word
that is not on it is spelled, letter by letter, so that any transcript can be written all the same.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..errors import PackError
from ..specs import EMOTIONS

LETTERS = "abcdefghijklmnopqrstuvwxyz'0123456789"
BEGIN, END = "<begin>", "<end>"
MAX_WORDS = 50_000
WORDS_FILE = "words.json"
"""Name of the list in a pack."""

_WORD = re.compile(r"[a-z0-9']+")


@dataclass(frozen=True)
class WordList:
    """A closed list of words, and the letters for all others.

    Ids count from 0: begin, end, letters that begin a spelled word, letters that go on, words.

    Attributes:
        words: Lower-case words, each once.
    """

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.words)) != len(self.words) or not all(_WORD.fullmatch(word) for word in self.words):
            raise ValueError("A list of words holds each once, of small letters and digits.")

    @cached_property
    def pieces(self) -> tuple[str, ...]:
        """Every piece by its id; spelled letters as "^a" (begins a word) and "+a"."""
        spelled = [mark + letter for mark in "^+" for letter in LETTERS]
        return (BEGIN, END, *spelled, *self.words)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {piece: number for number, piece in enumerate(self.pieces)}

    def __len__(self) -> int:
        """Number of pieces."""
        return len(self.pieces)

    @property
    def begin(self) -> int:
        """Id before the first word."""
        return 0

    @property
    def end(self) -> int:
        """Id after the last word."""
        return 1

    def encode(self, text: str) -> list[int]:
        """Ids of a text's words, without begin and end; other signs are passed over."""
        ids: list[int] = []
        for word in split_words(text):
            if word in self._ids:
                ids.append(self._ids[word])
            else:
                ids += [self._ids[("+" if i else "^") + letter] for i, letter in enumerate(word)]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, up to the end."""
        words: list[str] = []
        for number in ids:
            if number == self.end:
                break
            piece = self.pieces[number]
            if piece[0] == "+" and words:
                words[-1] += piece[1:]
            elif piece != BEGIN:
                words.append(piece.lstrip("^+"))
        return " ".join(words)

    def word_id(self, word: str) -> int:
        """Id of one word of the list.

        Raises:
            PackError: If the list lacks it.
        """
        if word not in self._ids:
            raise PackError(f"The pack cannot write the word {word!r}; use a pack trained with it.")
        return self._ids[word]

    def to_json(self) -> str:
        """What a pack keeps."""
        return json.dumps(self.words, indent=0, ensure_ascii=True) + "\n"

    @classmethod
    def read(cls, path: Path) -> WordList:
        """Read what `to_json` wrote.

        Raises:
            PackError: If it cannot be used.
        """
        try:
            words = json.loads(path.read_text("utf-8"))
            if not isinstance(words, list) or len(words) > MAX_WORDS:
                raise ValueError("no list of words")
            return cls(tuple(str(word) for word in words))
        except (OSError, ValueError, RecursionError) as problem:
            raise PackError(f"The file {path.name} cannot be used; download the pack again.") from problem


def split_words(text: str) -> list[str]:
    """Small-letter words of a text."""
    return [word.strip("'") for word in _WORD.findall(text.lower()) if word.strip("'")]


def collect_words(captions: Iterable[str], transcripts: Iterable[str] = (), limit: int = 4000) -> WordList:
    """Make the list for a corpus.

    Args:
        captions: Every word of these is on it.
        transcripts: The commonest words of these fill it up.
        limit: Words beyond which no word of a transcript is taken.
    """
    words = dict.fromkeys(EMOTIONS)
    words |= dict.fromkeys(sorted({word for text in captions for word in split_words(text)}))
    counted = Counter(word for text in transcripts for word in split_words(text))
    for word, _ in sorted(counted.items(), key=lambda item: (-item[1], item[0])):
        if len(words) >= limit:
            break
        words.setdefault(word)
    return WordList(tuple(words))
