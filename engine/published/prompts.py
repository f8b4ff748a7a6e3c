# SPDX-License-Identifier: GPL-3.0-or-later
"""What models are asked: the published ones word for word (spec 3.3), others in their training's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import PackError
from ..language.templates import filled, name_parts, placeholders, split_at
from ..packs import Pack
from ..specs import MOTION_FPS, PARTS, Part, Task
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

TEXT_PARTS = (Part.UPPER, Part.LOWER)
"""Parts that instructions speak of: the described motion had no face, and most of it no hands (spec 3.5)."""

WORDINGS = "wordings"
"""Table of `pack.toml` with the templates of a model trained with Kinesics."""

KNOWN = frozenset({"audio", "caption", "seconds", "frames", "wanted", "worded", "spoken"})
"""Placeholders that a pack's templates may have."""

MAX_TEMPLATE = 400
"""Characters of the longest template."""

MIN_WINDOW, MAX_SIZE = 4, 8192
"""Least and most codes of a window and words of a request."""


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


@dataclass(frozen=True)
class Wordings:
    """How a model that was trained with Kinesics is asked: in the words of its training.

    The imported models have none; they are asked as their demo asks.

    Attributes:
        templates: Template per task that it learnt. Placeholders: `{audio}`, `{caption}`, `{seconds}`,
            `{frames}`, and `{wanted}`, `{worded}`, `{spoken}` for parts.
        window_steps: Codes of each part in the longest window of its training.
        max_words: Words of the longest request and answer there, end mark included.
    """

    templates: Mapping[Task, str]
    window_steps: int
    max_words: int

    def to_dict(self) -> dict[str, object]:
        """Plain values for `pack.toml`."""
        sizes = {"window_steps": self.window_steps, "max_words": self.max_words}
        return {**sizes, **{task.value: template for task, template in self.templates.items()}}

    @classmethod
    def from_pack(cls, pack: Pack) -> Wordings | None:
        """Read what `to_dict` wrote, or None in a pack without it.

        Raises:
            PackError: If it is damaged.
        """
        if WORDINGS not in pack.info:
            return None
        templates = {task: pack.value(str, WORDINGS, task) for task in Task if task in pack.table(WORDINGS)}
        found = cls(templates, *(pack.value(int, WORDINGS, name) for name in ("window_steps", "max_words")))
        if not templates or not all(_is_usable(template) for template in templates.values()):
            raise PackError("The pack's templates cannot be filled; export the model again.")
        if not (MIN_WINDOW <= found.window_steps <= MAX_SIZE and MIN_WINDOW <= found.max_words <= MAX_SIZE):
            raise PackError("The pack's windows have an impossible size; export the model again.")
        return found

    def request(
        self,
        task: Task,
        heard: Sequence[int],
        num_steps: int,
        steps_per_s: float,
        model: PublishedModel,
        caption: str = "",
        worded: Sequence[Part] = (),
    ) -> list[int]:
        """Words of one window's request, laid out as in training: codes between separately cut texts.

        Args:
            task: What is asked for.
            heard: Numbers of the window's sound.
            num_steps: Codes of each part.
            steps_per_s: Codes per second.
            model: Gives vocabulary and words.
            caption: The instruction.
            worded: Parts that obey it where the others follow the sound.
        """
        seconds = num_steps / steps_per_s
        words = {
            "caption": caption.strip().rstrip("."),
            "seconds": f"{seconds:.1f}",
            "frames": str(round(seconds * MOTION_FPS)),
            "wanted": name_parts(PARTS if task is not Task.TEXT_TO_MOTION else TEXT_PARTS),
            "worded": name_parts(worded),
            "spoken": name_parts(part for part in PARTS if part not in worded),
        }
        block = model.vocabulary.audio_block
        ids: list[int] = []
        for text, name in split_at(self.templates[task], frozenset({"audio"})):
            if text.strip():
                ids += model.words.encode(filled(text, words), add_special_tokens=False).ids
            if name:
                ids += [block.start, *(block.first + number for number in heard), block.end]
        return [*ids[: self.max_words - 1], END]


def _is_usable(template: str) -> bool:
    """Whether a template of a pack is a short text with known placeholders."""
    return len(template) <= MAX_TEMPLATE and placeholders(template) <= KNOWN
