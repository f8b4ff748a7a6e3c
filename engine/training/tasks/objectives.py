# SPDX-License-Identifier: GPL-3.0-or-later
"""The objectives of stage 2: parts aligned in space and time, sound aligned with words.

As the paper describes them (arXiv 2412.10523, section 3.2): from any non-empty subset of the parts to any
disjoint one; masked spans and continuation, where all parts share the hidden steps, over the *whole*
sequence (the public loader's spans fall into its first quarter, spec 3.3); sound to words, words to sound,
and sound with hidden spans.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from ...data.window import Window
from ...errors import DataError
from ...language.templates import name_parts
from ...motion.arrays import IntArray
from ...specs import PARTS
from ..stage_recipe import SpanRecipe
from .registry import HIDDEN, Codes, Example, Slot, disjoint

MIN_STEPS = 4
"""Steps below which there is nothing to hide or to continue."""


class Objective(StrEnum):
    """What is predicted from what."""

    SPATIAL = "spatial"
    MASKED_MOTION = "masked_motion"
    CONTINUATION = "continuation"
    AUDIO_TO_TEXT = "audio_to_text"
    TEXT_TO_AUDIO = "text_to_audio"
    MASKED_AUDIO = "masked_audio"


def fits(objective: Objective, window: Window) -> bool:
    """Whether a window holds what an objective needs."""
    if objective is Objective.SPATIAL:
        return len(window.parts) > 1
    if objective in (Objective.MASKED_MOTION, Objective.CONTINUATION):
        return window.num_steps >= MIN_STEPS
    if window.audio is None or len(window.audio) < MIN_STEPS:
        return False
    return objective is Objective.MASKED_AUDIO or bool(window.transcript)


def hidden_spans(
    num_steps: int, share: float, shortest: int, longest: int, random: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Steps that spans hide, drawn over the whole sequence until enough are hidden.

    Args:
        num_steps: Steps of the sequence.
        share: Share of them to hide at least; one step stays visible, one is hidden.
        shortest: Steps of the shortest span.
        longest: Steps of the longest one.
        random: Of lengths and places.

    Returns:
        (num_steps,), True where hidden.
    """
    hidden = np.zeros(num_steps, np.bool_)
    wanted = min(max(1, round(share * num_steps)), num_steps - 1)
    while hidden.sum() < wanted:
        length = min(int(random.integers(shortest, longest + 1)), wanted - int(hidden.sum()))
        begin = int(random.integers(1 - length, num_steps))  # spans may hang over, or ends were hidden less
        hidden[max(begin, 0) : begin + length] = True
    return hidden


def make_example(
    objective: Objective, window: Window, random: np.random.Generator, spans: SpanRecipe
) -> Example:
    """Make an example of a window.

    Args:
        objective: One that fits it.
        window: The window.
        random: Of parts and spans.
        spans: Lengths and shares.

    Raises:
        DataError: If the window lacks something.
    """
    if not fits(objective, window):
        raise DataError(f"{window.name} does not hold what {objective} needs; leave it out.")
    whole = tuple(Codes(part, window.parts[part]) for part in PARTS if part in window.parts)
    if objective is Objective.SPATIAL:
        given, wanted = disjoint(whole, random)
        words = f"Predict the motion of {name_parts(block.part for block in wanted)} from "
        return _example(objective, words, Slot("the motion", given), ".", wanted)
    if objective is Objective.MASKED_MOTION:
        hidden = hidden_spans(
            window.num_steps, spans.motion_share, spans.motion_shortest, spans.motion_longest, random
        )
        given = tuple(Codes(block.part, _hide(block.codes, hidden)) for block in whole)
        return _example(objective, "Complete the hidden steps of ", Slot("the motion", given), ".", whole)
    if objective is Objective.CONTINUATION:
        head = min(max(1, int(window.num_steps * spans.head_share)), window.num_steps - 1)
        given = tuple(Codes(block.part, block.codes[:head]) for block in whole)
        rest = tuple(Codes(block.part, block.codes[head:]) for block in whole)
        return _example(objective, "Continue ", Slot("the motion", given), ".", rest)
    assert window.audio is not None
    sound = (Codes(None, window.audio),)
    if objective is Objective.AUDIO_TO_TEXT:
        return _example(objective, "Transcribe ", Slot("the speech", sound), ".", window.transcript)
    if objective is Objective.TEXT_TO_AUDIO:
        text = f'Say "{window.transcript}"'
        return Example(objective, "Say {transcript}", (text,), sound)
    hidden = hidden_spans(
        len(window.audio), spans.audio_share, spans.audio_shortest, spans.audio_longest, random
    )
    masked = Slot("the speech", (Codes(None, _hide(window.audio, hidden)),))
    return _example(objective, "Complete the hidden steps of ", masked, ".", sound)


def draw_objective(window: Window, random: np.random.Generator, weights: Mapping[str, float]) -> Objective:
    """Draw an objective that a window allows.

    Args:
        window: The window.
        random: Of the choice.
        weights: Relative chance of each objective by name; one left out never comes.

    Raises:
        DataError: If the window allows none that is wanted.
    """
    wanted = [objective for objective in Objective if weights.get(objective, 0.0) > 0]
    allowed = [objective for objective in wanted if fits(objective, window)]
    if not allowed:
        raise DataError(f"{window.name} fits no objective that is wanted; leave it out.")
    chances = np.array([weights[objective] for objective in allowed])
    return allowed[int(random.choice(len(allowed), p=chances / chances.sum()))]


def _example(
    objective: Objective, before: str, slot: Slot, after: str, target: tuple[Codes, ...] | str
) -> Example:
    return Example(objective, f"{before}{{{slot.noun}}}{after}", (before, slot, after), target)


def _hide(codes: IntArray, hidden: npt.NDArray[np.bool_]) -> IntArray:
    masked = codes.copy()
    masked[hidden] = HIDDEN
    return masked
