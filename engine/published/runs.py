# SPDX-License-Identifier: GPL-3.0-or-later
"""Which passes a request needs, and what the model is asked in each.

An imported model follows the speech or one instruction. One that was trained with Kinesics may have learnt
both in one pass: some parts follow the speech and the others obey the instruction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import RequestError
from ..specs import PARTS, Part, Source, Task
from .choice import Release
from .prompts import AUDIO_STEPS_PER_S, TEXT_PARTS, Wordings, prompt_words, speech_prompt

if TYPE_CHECKING:
    from .model import PublishedModel

JOINT_PARTS = ({Part.LOWER}, {Part.UPPER, Part.LOWER})
"""Parts that obeyed an instruction beside a speech in training (`engine.training.window_source`)."""


@dataclass(frozen=True)
class Run:
    """One pass through a model.

    Attributes:
        release: What it follows; SPEECH where it follows both.
        parts: Parts that are taken from it.
        text: Instruction, or "" for speech alone.
        worded: Parts that obey the instruction while the others follow the speech; else empty.
    """

    release: Release
    parts: tuple[Part, ...]
    text: str
    worded: tuple[Part, ...] = ()

    @property
    def task(self) -> Task:
        """What is asked for."""
        if self.worded:
            return Task.AUDIO_TEXT_TO_MOTION
        return Task.AUDIO_TO_MOTION if self.release is Release.SPEECH else Task.TEXT_TO_MOTION

    def prompt(
        self, heard: Sequence[int], start: int, num_steps: int, steps_per_s: float, model: PublishedModel
    ) -> list[int]:
        """Words of one window's request, end mark included.

        Args:
            heard: Numbers of the whole sound; empty without one.
            start: First code of the window.
            num_steps: Codes of each part in it.
            steps_per_s: Codes per second.
            model: The model.
        """
        if model.wordings is None:
            text = self.text or speech_prompt(heard, start, num_steps, steps_per_s, model)
            return prompt_words(text, model.words)
        ratio = AUDIO_STEPS_PER_S / steps_per_s
        first = round(start * ratio)  # as `engine.data.sharded` cuts it
        piece = heard[first : first + round(num_steps * ratio)]
        return model.wordings.request(self.task, piece, num_steps, steps_per_s, model, self.text, self.worded)


def release_of(source: Source, part: Part) -> Release:
    """What a model must follow for a source; raises `RequestError` for speech and text in one part."""
    if source is Source.BOTH:
        raise RequestError(
            f"The published model cannot follow speech and text with the same part ({part.value}); choose "
            "one of them for it."
        )
    return Release.SPEECH if source is Source.SPEECH else Release.TEXT


def plan_runs(
    sources: Mapping[Part, Source], texts: Mapping[Part, str], wordings: Wordings | None
) -> list[Run]:
    """One run for what follows the speech and one for each instruction, or one for both if that was learnt.

    Args:
        sources: What drives each part.
        texts: Instruction of each part that has one.
        wordings: Of a model trained with Kinesics.

    Raises:
        RequestError: If a part is to follow speech and text at once.
    """
    parts: dict[tuple[Release, str], list[Part]] = {}
    for part in PARTS:
        if sources[part] is Source.KEEP:
            continue
        release = release_of(sources[part], part)
        members = parts.setdefault((release, texts.get(part, "")), [])
        if release is Release.SPEECH or part in TEXT_PARTS:
            members.append(part)
    runs = [Run(release, tuple(members), text) for (release, text), members in parts.items() if members]
    if wordings is None or Task.AUDIO_TEXT_TO_MOTION not in wordings.templates or len(runs) != 2:
        return runs
    spoken, worded = sorted(runs, key=lambda run: run.release is Release.TEXT)
    if spoken.release is worded.release or set(worded.parts) not in JOINT_PARTS:
        return runs
    both = tuple(part for part in PARTS if part in (*spoken.parts, *worded.parts))
    return [Run(Release.SPEECH, both, worded.text, worded.parts)]
