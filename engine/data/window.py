# SPDX-License-Identifier: GPL-3.0-or-later
"""A window: a stretch of one recording as codes, with the words that hold for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..errors import DataError
from ..motion.arrays import IntArray
from ..specs import Part


@dataclass(frozen=True)
class Window:
    """A stretch of one recording.

    Attributes:
        name: The recording's name, with its source: "beat2/2_scott_0_1_1".
        start_s: Where the window begins in the recording, seconds.
        duration_s: How long it lasts, seconds.
        parts: Codes per part that was captured, (T, Q) each.
        audio: Codes of the sound, (S, Q), or None.
        transcript: Words spoken within the window, or an empty string where they are not known.
        captions: Descriptions of the motion in the window.
        described: Parts that the captions speak of.
        emotion: One of `EMOTIONS` that holds throughout, or None.
    """

    name: str
    start_s: float
    duration_s: float
    parts: dict[Part, IntArray]
    audio: IntArray | None = None
    transcript: str = ""
    captions: tuple[str, ...] = ()
    described: tuple[Part, ...] = ()
    emotion: str | None = None

    @property
    def num_steps(self) -> int:
        """Motion steps T; 0 without motion."""
        return len(next(iter(self.parts.values()))) if self.parts else 0


def combine(speech: Window, described: Window, parts: tuple[Part, ...]) -> Window:
    """Put some parts of a described motion under a speech: one body that talks and does something else.

    Args:
        speech: Gives the sound, its words, the emotion and all other parts.
        described: Gives `parts` and their captions.
        parts: Parts taken from it.

    Returns:
        A window as long as the shorter of the two, from their beginnings.

    Raises:
        DataError: If `described` lacks one of the parts, or `speech` has no motion.
    """
    if not speech.parts or not parts or not set(parts) <= set(described.parts):
        raise DataError(
            "Two windows can be combined only if both have motion of the parts that each shall give."
        )
    steps = min(speech.num_steps, described.num_steps)
    share = steps / speech.num_steps
    mixed = {part: codes[:steps] for part, codes in speech.parts.items() if part not in parts}
    mixed |= {part: described.parts[part][:steps] for part in parts}
    audio = None if speech.audio is None else speech.audio[: round(len(speech.audio) * share)]
    return replace(
        speech,
        name=f"{speech.name}+{described.name}",
        duration_s=speech.duration_s * share,
        parts=mixed,
        audio=audio,
        transcript=speech.transcript if steps == speech.num_steps else "",
        captions=described.captions,
        described=parts,
    )
