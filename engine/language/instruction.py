# SPDX-License-Identifier: GPL-3.0-or-later
"""What an animator may write as an instruction. Standard library only."""

from __future__ import annotations

import unicodedata

from ..errors import InstructionError
from ..specs import MAX_INSTRUCTION_LENGTH

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


def _readable(char: str) -> str:
    """The character itself, or a space for symbols, marks of emoji and control characters."""
    category = unicodedata.category(char)
    if category[0] in "LNPZ" or (category == "Mn" and not 0xFE00 <= ord(char) <= 0xFE0F):
        return char
    return char if char in "+=<>$~^`|" else " "
