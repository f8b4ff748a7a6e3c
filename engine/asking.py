# SPDX-License-Identifier: GPL-3.0-or-later
"""From a motion to words: which emotion it shows, and what it is.

A pack can be asked when it was trained to answer (`words.json` is part of it). A long motion is read in
windows as long as those of training; what the windows say is averaged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor

from .errors import PackError, RequestError
from .language.layout import Condition, instruction_states
from .language.questions import DESCRIPTION_QUESTION, EMOTION_QUESTION
from .language.task_layout import Question, TimedCodes, collate, decode_batch, encode_batch, lay_out
from .language.words import WORDS_FILE, WordList
from .motion.clip import Clip
from .motion.features import starter_features
from .pipeline import Engine
from .specs import EMOTIONS, FRAMES_PER_STEP, MOTION_FPS, PARTS, MotionEngine, Part, Source
from .windows import WINDOW_STEPS

MAX_WINDOWS = 32
"""Windows read of one motion; of a longer one, as many spread evenly."""

DESCRIBED: tuple[Part, ...] = (Part.UPPER, Part.LOWER)
"""Parts that descriptions speak of, in the captions that packs learn from."""

MAX_ANSWER = 24
"""Pieces of the longest description."""

MIN_ASKED_S = 0.5
"""Shortest motion that can be asked about."""


@dataclass(frozen=True)
class AskRequest:
    """A motion to be asked about.

    Attributes:
        clip: The motion.
        parts: Parts that are looked at; empty for all where an emotion is asked for, and for the body where a
            description is.
    """

    clip: Clip
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class EmotionAnswer:
    """Which emotion a motion shows.

    Attributes:
        label: The likeliest of `EMOTIONS`.
        probabilities: Of every label; they add up to 1.
    """

    label: str
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Description:
    """What a motion is.

    Attributes:
        text: Small-letter words.
        log_probability: Mean over its words and the windows, nats.
    """

    text: str
    log_probability: float


def can_answer(engine: MotionEngine) -> TypeGuard[Engine]:
    """Whether a loaded pack was trained to say what a motion shows."""
    return isinstance(engine, Engine) and engine.vocabulary.num_words > 0


class Asker:
    """Asks a loaded pack about motions.

    Args:
        engine: The loaded pack.

    Raises:
        PackError: If the pack cannot answer in words.
    """

    def __init__(self, engine: MotionEngine) -> None:
        if not can_answer(engine):
            raise PackError(
                "This model pack was not trained to say what a motion shows: choose one that was, as Model "
                "Pack in the preferences."
            )
        self.engine = engine
        self.words = WordList.read(engine.pack.file(WORDS_FILE))
        if len(self.words) != engine.vocabulary.num_words:
            raise PackError("The pack's words do not fit its model; download the pack again.")

    def emotion(self, request: AskRequest) -> EmotionAnswer:
        """Say which emotion a motion shows.

        Raises:
            RequestError: If the motion is too short.
        """
        windows = self._windows(request.clip, request.parts or PARTS, EMOTION_QUESTION)
        labels = torch.tensor([self.words.word_id(label) for label in EMOTIONS])
        scores = windows.scores([])[:, -1, labels]  # (W, 8)
        chances = scores.log_softmax(-1).mean(0).softmax(-1).tolist()
        held = dict(zip(EMOTIONS, chances, strict=True))
        return EmotionAnswer(max(EMOTIONS, key=held.__getitem__), held)

    def describe(self, request: AskRequest) -> Description:
        """Say what a motion is, taking the likeliest word each time.

        Raises:
            RequestError: If the motion is too short.
        """
        windows = self._windows(request.clip, request.parts or DESCRIBED, DESCRIPTION_QUESTION)
        ids: list[int] = []
        total = 0.0
        while len(ids) < MAX_ANSWER:
            chances = windows.scores(ids)[:, -1].log_softmax(-1).mean(0)
            chances[self.words.begin] = -math.inf
            chosen = int(chances.argmax())
            total += float(chances[chosen])
            ids.append(chosen)
            if chosen == self.words.end:
                break
        return Description(self.words.decode(ids), total / len(ids))

    def rank(self, request: AskRequest, descriptions: Sequence[str]) -> list[Description]:
        """Order descriptions by how well they fit a motion, the best one first.

        A description fits by as much as the motion makes it likelier: common words would win else.

        Raises:
            RequestError: If the motion is too short or a description has no words.
        """
        windows = self._windows(request.clip, request.parts or DESCRIBED, DESCRIPTION_QUESTION)
        unseen = windows.without_motion()
        found: list[tuple[float, Description]] = []
        for text in descriptions:
            ids = [*self.words.encode(text), self.words.end]
            if len(ids) == 1:
                raise RequestError("A description needs words; write what the motion could be.")
            seen, blind = windows.likelihood(ids), unseen.likelihood(ids)
            found.append((seen - blind, Description(text, seen / len(ids))))
        return [told for _, told in sorted(found, key=lambda one: -one[0])]

    def _windows(self, clip: Clip, parts: Sequence[Part], text: str) -> _Windows:
        """The windows of a motion with the question."""
        clip = clip.resample(MOTION_FPS)
        if clip.num_frames < MIN_ASKED_S * MOTION_FPS:
            raise RequestError("The motion is too short to be read: choose half a second or more of it.")
        codes = self._codes(clip, parts)
        steps = clip.num_frames // FRAMES_PER_STEP
        length = min(WINDOW_STEPS, steps)
        count = min(MAX_WINDOWS, math.ceil(steps / length))
        states = instruction_states(self.engine.text_encoder, [text])
        condition = Condition(dict.fromkeys(codes, Source.KEEP), dict.fromkeys(codes, 0))
        starts: list[int] = np.linspace(0, steps - length, count).round().astype(int).tolist()
        cuts = [[TimedCodes(p, held[at : at + length]) for p, held in codes.items()] for at in starts]
        return _Windows(self.engine, [Question(condition, states, 0, given) for given in cuts])

    @torch.inference_mode()
    def _codes(self, clip: Clip, parts: Sequence[Part]) -> dict[Part, Tensor]:
        """Codes of the parts that the clip has, (T, Q) each."""
        steps = clip.num_frames // FRAMES_PER_STEP
        codes: dict[Part, Tensor] = {}
        for part, features in starter_features(clip).items():
            if part in parts:
                cut = np.ascontiguousarray(features[: steps * FRAMES_PER_STEP], np.float32)
                codes[part] = self.engine.tokenizers[part].encode(torch.from_numpy(cut)[None]).view(steps, -1)
        if not codes:
            raise RequestError("The motion has none of the wanted parts; choose others.")
        return {part: codes[part] for part in PARTS if part in codes}


class _Windows:
    """A motion's windows, each with the same question, encoded once for all answers."""

    def __init__(self, engine: Engine, questions: Sequence[Question]) -> None:
        self.engine, self.questions = engine, questions
        self._memory: Tensor | None = None

    def without_motion(self) -> _Windows:
        """The same with every step hidden."""
        return _Windows(
            self.engine, [replace(q, given=[_hidden(block) for block in q.given]) for q in self.questions]
        )

    @torch.inference_mode()
    def scores(self, ids: Sequence[int]) -> Tensor:
        """Scores of every word after begin and each of `ids`, (W, len(ids) + 1, words), on the CPU."""
        vocabulary, model = self.engine.vocabulary, self.engine.model
        batch = collate([lay_out(question, vocabulary, ids) for question in self.questions])
        batch = batch.to(model.lm_head.weight.device)
        if self._memory is None:
            self._memory = encode_batch(model, batch)
        states = decode_batch(model, batch, self._memory)
        return model.logits(states, *vocabulary.words_range).float().cpu()

    def likelihood(self, ids: Sequence[int]) -> float:
        """Log likelihood of an answer, mean over the windows, nats."""
        chances = self.scores(ids[:-1]).log_softmax(-1)  # (W, n, words)
        return float(chances[:, torch.arange(len(ids)), torch.tensor(ids)].sum(1).mean())


def _hidden(block: TimedCodes) -> TimedCodes:
    """The block with every step hidden."""
    return replace(block, codes=torch.full_like(block.codes, -1))
