# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors and reports in the animator's language. They hold values, so Blender alone cannot look them up.

The sentences of a language are in `<language>.toml`, with a name in braces wherever a value goes. They are
read when the first one is shown.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import bpy
from bpy.app.translations import pgettext_rpt

from .. import CONTEXT

OURS = "our_"
"""How the names of values begin that are words of ours, such as a body part, and not an animator's name."""


def worded(said: object) -> str:
    """What an error or a text says, in the language in which Blender reports to the animator."""
    text = str(said)
    if _named("Done") == "Done":
        return text
    wording = Wording(read_sentences(bpy.app.translations.locale), _named)
    return "\n".join(wording.translated(line) for line in text.split("\n"))


@cache
def read_sentences(language: str) -> dict[str, str]:
    """The sentences of a language by the English ones; those come first that leave least open.

    Args:
        language: Blender's name of it, such as "zh_HANS"; there are none where it has no file.
    """
    path = Path(__file__).with_name(f"{language}.toml")
    groups = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    sentences = [item for group in groups.values() for item in group.items()]
    return dict(sorted(sentences, key=lambda item: -len(re.sub(r"{\w+}", "", item[0]))))


@dataclass(frozen=True)
class Wording:
    """One language.

    Attributes:
        sentences: What `read_sentences` says.
        named: Blender's word for a name in our panels, the same where it has none.
    """

    sentences: Mapping[str, str]
    named: Callable[[str], str]

    def translated(self, text: str) -> str:
        """A sentence in this language; the same if it is not known."""
        if text in self.sentences or self.named(text) != text:
            return self.sentences.get(text) or self.named(text)
        for english, sentence in self.sentences.items():
            values = _values(english, text)
            if values is not None:
                ours = {name: self._our_words(values[name]) for name in values if name.startswith(OURS)}
                return sentence.format_map(values | ours)
        return text

    def _our_words(self, text: str) -> str:
        """A sentence or words within a sentence, which begin small there; or a list of such words."""
        for begun in (text[:1].upper() + text[1:], text):
            translated = self.translated(begun)
            if translated != begun:
                return translated
        first, comma, rest = text.partition(", ")
        return self._our_words(first) + self.sentences[comma] + self._our_words(rest) if comma else text


def _named(text: str) -> str:
    return str(pgettext_rpt(text, CONTEXT))


def _values(english: str, text: str) -> dict[str, str] | None:
    """What a text has in the places of a sentence, None if it is another sentence."""
    if not (text.startswith(english.partition("{")[0]) and text.endswith(english.rpartition("}")[2])):
        return None
    pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+?)", re.escape(english))
    found = re.fullmatch(pattern, text)
    return found.groupdict() if found else None
