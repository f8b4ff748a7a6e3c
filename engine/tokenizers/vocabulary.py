# SPDX-License-Identifier: GPL-3.0-or-later
"""One numbering for everything the language model reads and writes.

Text comes first, then a block of codes per part and one for audio. In a block of Q levels with K codes
each, code k of level q has the id `first + q * K + k`; the block's start, end and mask follow the codes.
The published layout (spec 3.1) begins its blocks with three tokens of an interleaved motion stream;
the starter layout adds emotions, part tags and sources at the end, and, where a model also answers in
words, the words it can write (`engine.language.words`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import cast

from ..errors import CodeRangeError, PackError
from ..specs import EMOTIONS, PARTS, Part, Source

NUM_STARTER_TEXT = 30522
"""Word pieces of the starter's text encoder (MiniLM)."""

NUM_PUBLISHED_TEXT = 32100
"""Word pieces of flan-t5-base's tokenizer."""

NUM_MOTION_TOKENS = 3
"""Start, end and mask of the published interleaved motion stream."""

SOURCES: tuple[Source, ...] = (Source.SPEECH, Source.TEXT, Source.BOTH, Source.KEEP)
"""Order of the source tokens; the token for "nothing said" follows them."""


class Layout(StrEnum):
    """Which blocks a vocabulary has."""

    STARTER = "starter"
    PUBLISHED = "published"


@dataclass(frozen=True)
class CodeBlock:
    """Ids of one modality.

    Attributes:
        first: Id of level 0, code 0.
        num_levels: Quantizer levels (Q).
        codebook_size: Codes per level (K).
        num_extra: Ids of the block after start, end and mask.
    """

    first: int
    num_levels: int
    codebook_size: int
    num_extra: int = 0

    @property
    def start(self) -> int:
        """Id that opens the block."""
        return self.first + self.num_levels * self.codebook_size

    @property
    def end(self) -> int:
        """Id that closes the block."""
        return self.start + 1

    @property
    def mask(self) -> int:
        """Id that stands for a hidden code."""
        return self.start + 2

    @property
    def stop(self) -> int:
        """First id after the block."""
        return self.start + 3 + self.num_extra

    def token(self, level: int, code: int) -> int:
        """Id of one code.

        Raises:
            CodeRangeError: If the level or the code does not exist.
        """
        if not (0 <= level < self.num_levels and 0 <= code < self.codebook_size):
            raise CodeRangeError(
                f"Code {code} of level {level} lies outside {self.num_levels} levels of "
                f"{self.codebook_size} codes; use codes of this pack."
            )
        return self.first + level * self.codebook_size + code

    def level_range(self, level: int) -> tuple[int, int]:
        """First id and the id after the last of one level."""
        first = self.token(level, 0)
        return first, first + self.codebook_size


@dataclass(frozen=True)
class BlockSize:
    """Size of one modality's codebooks."""

    num_levels: int
    codebook_size: int


@dataclass(frozen=True)
class Vocabulary:
    """The numbering.

    Attributes:
        layout: Which blocks there are.
        num_text: Ids of text, [0, num_text).
        parts: Codebooks of each of the four parts.
        audio: Codebooks of audio.
        num_audio_extra: Published layouts have further audio tokens after the mask.
        num_words: Words a model of the starter layout can write, begin and end included; 0 for none.
    """

    layout: Layout
    num_text: int
    parts: Mapping[Part, BlockSize]
    audio: BlockSize
    num_audio_extra: int = 0
    num_words: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "layout", Layout(self.layout))
        if set(self.parts) != set(PARTS):
            raise ValueError(
                "A vocabulary needs codes for the face, the hands, the upper and the lower body."
            )
        sizes = [*self.parts.values(), self.audio]
        least = min(min(s.num_levels, s.codebook_size) for s in sizes)
        if min(self.num_text, self.num_words) < 0 or least < 1:
            raise ValueError("Sizes of a vocabulary must be positive.")

    @cached_property
    def blocks(self) -> dict[Part, CodeBlock]:
        """Block of each part."""
        first = self.num_text + (NUM_MOTION_TOKENS if self.layout is Layout.PUBLISHED else 0)
        blocks: dict[Part, CodeBlock] = {}
        for part in PARTS:
            size = self.parts[part]
            blocks[part] = CodeBlock(first, size.num_levels, size.codebook_size)
            first = blocks[part].stop
        return blocks

    @cached_property
    def audio_block(self) -> CodeBlock:
        """Block of audio, after the parts."""
        first = self.blocks[PARTS[-1]].stop
        return CodeBlock(first, self.audio.num_levels, self.audio.codebook_size, self.num_audio_extra)

    @property
    def size(self) -> int:
        """Number of ids."""
        if self.layout is Layout.PUBLISHED:
            return self.audio_block.stop
        return self.words_range[1]

    @property
    def words_range(self) -> tuple[int, int]:
        """First id and the id after the last of the words the model can write."""
        self._need_starter()
        first = self._first_source + len(SOURCES) + 1
        return first, first + self.num_words

    def num_levels(self, part: Part) -> int:
        """Codes of one part per step."""
        return self.parts[part].num_levels

    def code_token(self, part: Part, level: int, code: int) -> int:
        """Id of one code of a part."""
        return self.blocks[part].token(level, code)

    def part_range(self, part: Part, level: int) -> tuple[int, int]:
        """First id and the id after the last of one level of a part."""
        return self.blocks[part].level_range(level)

    def start(self, part: Part) -> int:
        """Id that opens a part's block."""
        return self.blocks[part].start

    def end(self, part: Part) -> int:
        """Id that closes a part's block."""
        return self.blocks[part].end

    def mask(self, part: Part) -> int:
        """Id that stands for a hidden code of a part."""
        return self.blocks[part].mask

    @property
    def num_audio_levels(self) -> int:
        """Audio codes per step."""
        return self.audio.num_levels

    def audio_token(self, level: int, code: int) -> int:
        """Id of one audio code."""
        return self.audio_block.token(level, code)

    @property
    def audio_start(self) -> int:
        """Id that opens the audio."""
        return self.audio_block.start

    @property
    def audio_end(self) -> int:
        """Id that closes the audio."""
        return self.audio_block.end

    @property
    def audio_mask(self) -> int:
        """Id that stands for unheard audio."""
        return self.audio_block.mask

    def emotion(self, label: str | None) -> int:
        """Id of an emotion of `specs.EMOTIONS`, or of "none given"."""
        self._need_starter()
        return self.audio_block.stop + (len(EMOTIONS) if label is None else EMOTIONS.index(label))

    def part_tag(self, part: Part) -> int:
        """Id that names a part in a prompt."""
        self._need_starter()
        return self._first_tag + PARTS.index(part)

    def source(self, source: Source | None) -> int:
        """Id of what drives a part, or of "nothing said"."""
        self._need_starter()
        return self._first_source + (len(SOURCES) if source is None else SOURCES.index(source))

    @property
    def _first_tag(self) -> int:
        return self.audio_block.stop + len(EMOTIONS) + 1

    @property
    def _first_source(self) -> int:
        return self._first_tag + len(PARTS)

    def _need_starter(self) -> None:
        if self.layout is not Layout.STARTER:
            raise ValueError("The published layout says emotions, parts and sources in words.")

    def to_dict(self) -> dict[str, object]:
        """Plain values for `pack.toml`."""
        return {
            "layout": self.layout.value,
            "num_text": self.num_text,
            "num_audio_extra": self.num_audio_extra,
            "size": self.size,
            **({"num_words": self.num_words} if self.num_words else {}),
            **{part.value: _size_table(self.parts[part]) for part in PARTS},
            "audio": _size_table(self.audio),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Vocabulary:
        """Read what `to_dict` wrote.

        Raises:
            PackError: If something is missing or does not fit.
        """
        try:
            vocabulary = cls(
                layout=Layout(str(values["layout"])),
                num_text=_whole(values["num_text"]),
                parts={part: _read_size(values[part.value]) for part in PARTS},
                audio=_read_size(values["audio"]),
                num_audio_extra=_whole(values.get("num_audio_extra", 0)),
                num_words=_whole(values.get("num_words", 0)),
            )
            if vocabulary.size != _whole(values["size"]):
                raise ValueError(f"{vocabulary.size} ids in place of {values['size']}")
        except (KeyError, TypeError, ValueError) as problem:
            raise PackError(
                f"The pack's vocabulary cannot be used ({problem}); download the pack again."
            ) from problem
        return vocabulary


def starter_vocabulary(
    parts: Mapping[Part, BlockSize] | None = None,
    audio: BlockSize = BlockSize(2, 256),
    *,
    num_text: int = NUM_STARTER_TEXT,
) -> Vocabulary:
    """The starter layout: text, face, hands, upper, lower, audio, emotions, part tags, sources."""
    return Vocabulary(Layout.STARTER, num_text, parts or {part: BlockSize(2, 256) for part in PARTS}, audio)


def published_vocabulary(
    *, face_size: int = 256, body_size: int = 256, audio_size: int = 500, num_audio_extra: int = 2
) -> Vocabulary:
    """The published layout (spec 3.1).

    Args:
        face_size: Face codes; 256 in v1, 512 in the later T5 configuration.
        body_size: Codes of hands, upper and lower body.
        audio_size: Number of the audio start token: 500 in the released weights, 502 at the
            repository's head, 16386 in the later T5 configuration.
        num_audio_extra: Audio tokens after the mask: 2 in the release (they enclose audio with its
            transcript), 0 elsewhere.
    """
    sizes = {part: BlockSize(1, face_size if part is Part.FACE else body_size) for part in PARTS}
    return Vocabulary(Layout.PUBLISHED, NUM_PUBLISHED_TEXT, sizes, BlockSize(1, audio_size), num_audio_extra)


def _size_table(size: BlockSize) -> dict[str, int]:
    return {"num_levels": size.num_levels, "codebook_size": size.codebook_size}


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not a whole number")
    return value


def _read_size(value: object) -> BlockSize:
    if not isinstance(value, Mapping):
        raise TypeError(f"{value!r} is not a table")
    table = cast("Mapping[str, object]", value)
    return BlockSize(_whole(table["num_levels"]), _whole(table["codebook_size"]))
