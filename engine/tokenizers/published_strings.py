# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes as the published models spell them: `<face_id_256><face_id_3>...<face_id_257>` (spec 3.1, 3.6)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..specs import PARTS, Part
from .vocabulary import NUM_MOTION_TOKENS, Vocabulary

PART_WORDS: dict[Part, str] = {
    Part.FACE: "face",
    Part.HANDS: "hand",
    Part.UPPER: "upper",
    Part.LOWER: "lower",
}
"""Name of each part inside the published tokens."""

_PARTS_BY_WORD = {word: part for part, word in PART_WORDS.items()}
_TOKEN = re.compile(r"<(motion|face|hand|upper|lower|audio)_id_(\d{1,6})>")
_MOTION_START, _MOTION_END = 0, 1


def token_strings(vocabulary: Vocabulary) -> list[str]:
    """Every added token in the order of its ids, the first one at `vocabulary.num_text`."""
    names = [f"<motion_id_{i}>" for i in range(NUM_MOTION_TOKENS)]
    for part in PARTS:
        block = vocabulary.blocks[part]
        names += [f"<{PART_WORDS[part]}_id_{i}>" for i in range(block.stop - block.first)]
    audio = vocabulary.audio_block
    return names + [f"<audio_id_{i}>" for i in range(audio.stop - audio.first)]


def token_id(token: str, vocabulary: Vocabulary) -> int:
    """Id of one added token.

    Raises:
        ValueError: If the vocabulary has no such token.
    """
    if match := _TOKEN.fullmatch(token):
        word, number = match[1], int(match[2])
        if word == "motion":
            first, stop = vocabulary.num_text, vocabulary.num_text + NUM_MOTION_TOKENS
        else:
            block = vocabulary.audio_block if word == "audio" else vocabulary.blocks[_PARTS_BY_WORD[word]]
            first, stop = block.first, block.stop
        if number < stop - first:
            return first + number
    raise ValueError(f"The vocabulary has no token {token!r}.")


def _wrapped(word: str, codes: Sequence[int], codebook_size: int) -> str:
    numbers = [codebook_size, *codes, codebook_size + 1]
    return "".join(f"<{word}_id_{number}>" for number in numbers)


def part_string(part: Part, codes: Sequence[int], vocabulary: Vocabulary) -> str:
    """Start token, codes and end token of one part."""
    return _wrapped(PART_WORDS[part], codes, vocabulary.parts[part].codebook_size)


def audio_string(codes: Sequence[int], vocabulary: Vocabulary) -> str:
    """Start token, codes and end token of audio."""
    return _wrapped("audio", codes, vocabulary.audio.codebook_size)


def motion_string(upper: Sequence[int], lower: Sequence[int]) -> str:
    """The interleaved stream: per step the upper and the lower body's code."""
    steps = "".join(f"<upper_id_{u}><lower_id_{v}>" for u, v in zip(upper, lower, strict=True))
    return f"<motion_id_{_MOTION_START}>{steps}<motion_id_{_MOTION_END}>"


def parse_parts(text: str, vocabulary: Vocabulary) -> dict[Part, list[int]]:
    """Codes of each part in a generated string.

    Of each part the first block counts, to its end token or the end of the string. Where the interleaved
    stream occurs, codes come from it alone. Special numbers and other parts' tokens inside a block
    are left out, spaces between tokens do no harm, and a part without codes is absent (the
    published parser gives it the code 0, which is a real pose).
    """
    tokens = [(match[1], int(match[2])) for match in _TOKEN.finditer(text)]
    if ("motion", _MOTION_START) in tokens:
        stream = tokens[tokens.index(("motion", _MOTION_START)) + 1 :]
        if ("motion", _MOTION_END) in stream:
            stream = stream[: stream.index(("motion", _MOTION_END))]
        blocks = {part: stream for part in PARTS}
    else:
        blocks = {part: _first_block(tokens, part, vocabulary) for part in PARTS}
    codes = {
        part: [
            n for word, n in block if word == PART_WORDS[part] and n < vocabulary.parts[part].codebook_size
        ]
        for part, block in blocks.items()
    }
    return {part: found for part, found in codes.items() if found}


def parse_as_published(text: str, vocabulary: Vocabulary) -> dict[Part, list[int]]:
    """Codes of each part as the published parser finds them, odd things included.

    Only tokens that stand next to each other count, special numbers inside a block stay (the demo brings
    them into range later), and a part without codes gets the code 0.
    """
    motion = f"<motion_id_{_MOTION_START}>", f"<motion_id_{_MOTION_END}>"
    codes: dict[Part, list[int]] = {}
    for part, word in PART_WORDS.items():
        size = vocabulary.parts[part].codebook_size
        start, end = motion if motion[0] in text else (f"<{word}_id_{size}>", f"<{word}_id_{size + 1}>")
        _, _, rest = text.partition(start)
        pieces = f"{start}{rest.partition(end)[0]}{end}".split("><")[1:-1]
        numbers = [re.fullmatch(rf"{word}_id_(\d{{1,6}})", piece) for piece in pieces]
        codes[part] = [int(match[1]) for match in numbers if match] or [0]
    return codes


def _first_block(tokens: list[tuple[str, int]], part: Part, vocabulary: Vocabulary) -> list[tuple[str, int]]:
    """Tokens between a part's first start token and its end token or the end."""
    word, size = PART_WORDS[part], vocabulary.parts[part].codebook_size
    if (word, size) not in tokens:
        return []
    block = tokens[tokens.index((word, size)) + 1 :]
    return block[: block.index((word, size + 1))] if (word, size + 1) in block else block
