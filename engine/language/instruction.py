# SPDX-License-Identifier: GPL-3.0-or-later
"""What an animator may write as an instruction. Standard library only."""

from __future__ import annotations

import re
import unicodedata

from ..errors import InstructionError
from ..specs import MAX_INSTRUCTION_LENGTH, Segment

MAX_FOREIGN_SHARE = 0.3
"""Share of letters outside the Latin alphabet above which a text is not taken for English."""

_EXAMPLE = 'such as "walk forward"'


def check_instruction(text: str) -> str:
    """Clean an instruction and refuse what the model cannot follow.

    Emoji, control characters and repeated spaces are dropped; accents stay.

    Args:
        text: What the animator wrote.

    Returns:
        The text for the text encoder, at most `MAX_INSTRUCTION_LENGTH` characters.

    Raises:
        InstructionError: If nothing readable is left, the text is too long or not in English.
    """
    if not text.strip():
        raise InstructionError(f"The instruction is empty; write what the part shall do, {_EXAMPLE}.")
    cleaned = " ".join("".join(map(_readable, unicodedata.normalize("NFKC", text))).split())
    if len(cleaned) > MAX_INSTRUCTION_LENGTH:
        raise InstructionError(
            f"The instruction has {len(cleaned)} characters; shorten it to {MAX_INSTRUCTION_LENGTH} at most."
        )
    letters = [char for char in cleaned if char.isalpha()]
    if not letters:
        raise InstructionError(f"The instruction has no words; describe the motion in English, {_EXAMPLE}.")
    foreign = sum(not unicodedata.name(char, "").startswith("LATIN") for char in letters)
    if foreign > MAX_FOREIGN_SHARE * len(letters):
        raise InstructionError(f"The instruction is not in English; write it in English, {_EXAMPLE}.")
    return cleaned


_TIMED = re.compile(r"\s*(\d+(?:\.\d+)?)\s*-\s*(\d+(?:\.\d+)?)\s*s?\s*:(.*)", re.DOTALL)


def parse_timed(line: str) -> tuple[str, tuple[Segment, ...]]:
    """Read instructions with times, written in one line: "0-3: walk forward; 3-5: turn left".

    Times are seconds of the motion. One piece may stand without a time: it holds wherever no other does. A
    line without any time is one instruction, whatever stands in it.

    Returns:
        The instruction without a time, empty if there is none, and those with one.

    Raises:
        InstructionError: If several pieces have no time, or one ends before it begins.
    """
    pieces = line.split(";")
    found = [_TIMED.fullmatch(piece) for piece in pieces]
    if not any(found):
        return line, ()
    rest = [piece.strip() for piece, match in zip(pieces, found, strict=True) if not match and piece.strip()]
    if len(rest) > 1:
        raise InstructionError(
            f'Both "{rest[0]}" and "{rest[1]}" stand without a time; write one before it, such as '
            f'"0-3: {rest[0]}".'
        )
    segments = tuple(
        Segment(float(match[1]), float(match[2]), match[3].strip()) for match in found if match is not None
    )
    for segment in segments:
        if segment.end_s <= segment.start_s:
            raise InstructionError(
                f'"{segment.text}" ends before it begins; write the earlier second first, such as "3-5".'
            )
    return "".join(rest), segments


def _readable(char: str) -> str:
    """The character itself, or a space for symbols, marks of emoji and control characters."""
    category = unicodedata.category(char)
    if category[0] in "LNPZ" or (category == "Mn" and not 0xFE00 <= ord(char) <= 0xFE0F):
        return char
    return char if char in "+=<>$~^`|" else " "
