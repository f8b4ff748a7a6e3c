# SPDX-License-Identifier: GPL-3.0-or-later
"""What the published models are asked, word for word (spec 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..tokenizers.published_strings import audio_string
from ..tokenizers.vocabulary import Vocabulary
from .decoding import END, MAX_WORDS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from .model import PublishedModel

AUDIO_STEPS_PER_S = 50
"""Numbers per second of the speech model."""

SPEECH_REQUEST = (
    "Based on {audio}, generate a synchronized movement sequence involving both upper, lower, face and hands "
    "body."
)
"""The published demo's request for motion to speech; {audio} is the sound between its start and end."""


def request_for(heard: Sequence[int], vocabulary: Vocabulary) -> str:
    """The request for motion to some sound."""
    return SPEECH_REQUEST.format(audio=audio_string(heard, vocabulary))


def speech_prompt(
    heard: Sequence[int], start: int, num_steps: int, steps_per_s: float, model: PublishedModel
) -> str:
    """The request for one window of a speech.

    Args:
        heard: Numbers of the whole sound.
        start: First code of the window.
        num_steps: Codes of each part in it.
        steps_per_s: Codes per second.
        model: Gives the vocabulary.
    """
    first = int(start * AUDIO_STEPS_PER_S / steps_per_s)
    count = int(num_steps * AUDIO_STEPS_PER_S / steps_per_s)
    return request_for(heard[first : first + count], model.vocabulary)


def prompt_words(text: str, words: Tokenizer) -> list[int]:
    """Words of a request; one that is too long is cut, and its end mark kept."""
    ids = words.encode(text).ids
    return ids if len(ids) <= MAX_WORDS else [*ids[: MAX_WORDS - 1], END]
