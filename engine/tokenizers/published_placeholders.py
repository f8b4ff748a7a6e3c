# SPDX-License-Identifier: GPL-3.0-or-later
"""Fills the placeholders of published instruction templates, draw for draw (spec 3.3).

Heads, tails and masked spans are cut from the strings of the parts, whose start counts as their first piece;
the length they are cut by is divided by the frames per code once more, as published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from ..specs import PARTS, Part
from .published_strings import PART_WORDS, audio_string, motion_string, part_string
from .vocabulary import Vocabulary

QUOTED = 0.5
"""Probability that a caption stands in double quotes."""

HEAD_SHARE, MASKED_SHARE, MASKED_AUDIO_SHARE = 0.2, 0.25, 0.08
"""Shares of the motion that are shown as its head, hidden from it, and hidden from the sound."""


@dataclass(frozen=True)
class PublishedSample:
    """One piece of a recording.

    Attributes:
        codes: Codes of each part, as long as they count.
        audio: Numbers of the sound, as long as they count.
        length: Steps of the motion.
        caption: What the motion is, in words.
        emotion: Label.
        motion_fps: Frames per second.
        down_sampling: Frames per code.
    """

    codes: Mapping[Part, Sequence[int]]
    audio: Sequence[int]
    length: int
    caption: str = ""
    emotion: str = ""
    motion_fps: int = 30
    down_sampling: int = 4


def fill_as_published(template: str, sample: PublishedSample, vocabulary: Vocabulary, random: Random) -> str:
    """Put a sample into a template.

    Args:
        template: Text with placeholders such as `<Upper_Placeholder_s1>`.
        sample: What they stand for.
        vocabulary: Gives the numbers of starts, ends and masks.
        random: Drawn from for the two masked spans and then for the caption's quotes.
    """
    steps = sample.length / sample.down_sampling
    head, masked = int(steps * HEAD_SHARE + 1), int(steps * MASKED_SHARE)
    first = random.randint(0, int(steps - masked))
    masked_audio = int(len(sample.audio) * MASKED_AUDIO_SHARE)
    first_audio = random.randint(0, len(sample.audio) - masked_audio)
    caption = f'"{sample.caption}"' if random.random() < QUOTED else sample.caption
    sound = audio_string(sample.audio, vocabulary)
    hidden = f"<audio_id_{vocabulary.audio.codebook_size + 2}>"
    values = {
        "Caption_Placeholder": caption,
        "Emotion_Placeholder": sample.emotion,
        "Motion_Placeholder": motion_string(sample.codes[Part.UPPER], sample.codes[Part.LOWER]),
        "Frame_Placeholder": str(sample.length),
        "Second_Placeholder": f"{sample.length // sample.motion_fps:.1f}",
        "Audio_Placeholder": sound,
        "Audio_Placeholder_Masked": "".join(_hidden(_pieces(sound), first_audio, masked_audio, hidden)),
    }
    for part in PARTS:
        whole = part_string(part, sample.codes[part], vocabulary)
        pieces, word, size = _pieces(whole), PART_WORDS[part], vocabulary.parts[part].codebook_size
        name = f"{word.capitalize()}_Placeholder"
        values[name] = whole
        values[f"{name}_s1"] = "".join([*pieces[:head], pieces[-1]])
        values[f"{name}_s2"] = "".join([pieces[0], *pieces[head:]])
        values[f"{name}_Masked"] = "".join(_hidden(pieces, first, masked, f"<{word}_id_{size + 2}>"))
    for name, value in values.items():
        template = template.replace(f"<{name}>", value)
    return template


def _pieces(text: str) -> list[str]:
    """Tokens of a string that holds nothing else."""
    return [f"{piece}>" for piece in text.split(">")[:-1]]


def _hidden(pieces: list[str], first: int, count: int, mask: str) -> list[str]:
    """Pieces with some of them replaced."""
    return [*pieces[:first], *[mask] * count, *pieces[first + count :]]
