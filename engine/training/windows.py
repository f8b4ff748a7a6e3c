# SPDX-License-Identifier: GPL-3.0-or-later
"""Prepared data as codes, and random batches of windows for the language model.

A batch shares one layout (window length, block order); rows differ in what they ask. Composition happens
here: a lower body from captured motion with its caption, the rest from a performance with its speech.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..errors import EngineError
from ..language.layout import (
    BLOCK_ORDER,
    MOTION_TIME,
    Condition,
    DecoderPlan,
    EncoderBatch,
    build_encoder_batch,
    fill_decoder,
    plan_decoder,
    window_audio,
)
from ..specs import FRAMES_PER_STEP, PARTS, Part, Source
from ..tokenizers.motion_vqvae import MotionVQVAE
from ..tokenizers.vocabulary import Vocabulary
from ..windows import OVERLAP_STEPS
from .corpora import MotionSequence
from .recipe import LanguageRecipe

AUDIO_FRAMES_PER_STEP = 8
EARLY_ACTIONS = ("jump", "jump_forward", "leap", "cartwheel", "kick")
"""Actions that happen once: windows begin near their beginning."""

OFTEN_EARLY, EARLY_SHARE = ("turn_left", "kick_ball", "climb_ladder", "climb_steps"), 0.75
"""Actions whose windows begin near their beginning in this share of the draws. Later windows of a long
request go on from the middle: there only the steps behind those that a window takes over from the one before
are learned, and these are seen. Else a request could begin in the middle too."""

LATEST_BEGINNING = 3
"""Step at which a window near its action's beginning begins at the latest."""

WORDED = (Source.TEXT, Source.BOTH)
"""Sources that come with an instruction."""


@dataclass(frozen=True)
class CodedSequence:
    """One sequence at one frame offset.

    Attributes:
        parts: Codes per part, (T, Q), int64.
        audio: (2T, Q), int64, or None.
        captions: Rows of the caption table: what describes it.
        in_context: The same of further instructions.
        action: Class of motion.
        emotion: Label or None.
        transcript: What is said in the whole of it, where that is known.
    """

    parts: dict[Part, Tensor]
    audio: Tensor | None
    captions: tuple[int, ...]
    action: str
    emotion: str | None
    transcript: str = ""
    in_context: tuple[int, ...] = ()

    @property
    def instructions(self) -> tuple[int, ...]:
        """Rows of all instructions it obeys."""
        return self.captions + self.in_context

    @property
    def num_steps(self) -> int:
        """Motion steps."""
        return len(next(iter(self.parts.values())))


@torch.inference_mode()
def encode_sequence(
    sequence: MotionSequence,
    phase: int,
    tokenizers: dict[Part, MotionVQVAE],
    audio_tokenizer: MotionVQVAE,
    captions: Mapping[str, int] | None = None,
) -> CodedSequence:
    """Turn one sequence into codes, starting `phase` frames in.

    Args:
        sequence: Features, and sound if it has any.
        phase: Frames left out at its begin.
        tokenizers: Of the parts.
        audio_tokenizer: Of the sound.
        captions: Row of each instruction in a table of their states; None leaves all of them out.
    """
    steps = (sequence.num_frames - phase) // FRAMES_PER_STEP
    parts: dict[Part, Tensor] = {}
    for part, features in sequence.features.items():
        cut = torch.from_numpy(features[phase : phase + steps * FRAMES_PER_STEP])[None]
        parts[part] = tokenizers[part].encode(cut).view(steps, -1)
    audio = None
    if sequence.audio is not None:
        begin = phase * 2
        cut = torch.from_numpy(sequence.audio[begin : begin + steps * AUDIO_FRAMES_PER_STEP])[None]
        audio = audio_tokenizer.encode(cut).view(steps * MOTION_TIME, -1)
    rows, more = (), ()
    if captions is not None:
        rows, more = (tuple(captions[c] for c in told) for told in (sequence.captions, sequence.in_context))
    said = "" if phase else sequence.transcript
    return CodedSequence(parts, audio, rows, sequence.action, sequence.emotion, said, more)


@dataclass(frozen=True)
class Batch:
    """One training step's tensors."""

    encoder: EncoderBatch
    plan: DecoderPlan
    inputs: Tensor
    targets: dict[Part, Tensor]
    learned: tuple[Part, ...]


class WindowMixer:
    """Draws batches.

    Args:
        captured: Each captured sequence at its phases, with its sampling weight.
        performed: Each performance at its phases.
        caption_states: Frozen text states of the caption table, (L, width) each.
        vocabulary: The unified vocabulary.
        recipe: Mixture, hiding and layout shares.
        seed: Of the draws.
        paces: Captions that tell a pace, "slow" or "fast", by their rows of the caption table.
    """

    def __init__(
        self,
        captured: Sequence[tuple[list[CodedSequence], float]],
        performed: Sequence[list[CodedSequence]],
        caption_states: Sequence[Tensor],
        vocabulary: Vocabulary,
        recipe: LanguageRecipe,
        seed: int,
        paces: Mapping[int, str] | None = None,
    ) -> None:
        self.captured = [phases for phases, _ in captured]
        weights = np.array([w for _, w in captured], dtype=np.float64)
        self.captured_weights = weights / weights.sum()
        self.spoken = [p for p in performed if p[0].action != "idle"]
        self.idle = [p for p in performed if p[0].action == "idle"] or self.spoken
        lengths = np.array([p[0].num_steps for p in self.spoken], dtype=np.float64)
        self.spoken_weights = lengths / lengths.sum()
        self.states = caption_states
        self.vocabulary = vocabulary
        self.recipe = recipe
        self.seed = seed
        self.random = np.random.default_rng(seed)
        self.paced = _by_pace(self.captured, paces or {})
        self.by_action: dict[str, list[list[CodedSequence]]] = {}
        for phases in self.captured:
            self.by_action.setdefault(phases[0].action, []).append(phases)
        if unknown := sorted(set(recipe.favoured) - set(self.by_action)):
            raise EngineError(f"The recipe favours {unknown[0]!r}, which the data lacks; correct its name.")

    def batch(self, size: int) -> Batch:
        """Draw one batch."""
        random, recipe = self.random, self.recipe
        num_steps = recipe.window_steps
        if random.random() < recipe.short_window_share:
            num_steps = int(random.integers(10, recipe.window_steps))
        order, kept, mixture = self._layout()
        plan = plan_decoder(order, num_steps, self.vocabulary)
        conditions: list[Condition] = []
        codes: list[dict[Part, Tensor]] = []
        texts: list[Tensor] = []
        going_on: list[tuple[Part, ...]] = []
        for _ in range(size):
            kind = random.choice(list(mixture), p=np.array(list(mixture.values())) / sum(mixture.values()))
            condition, row, parts = self._row(kind, num_steps, order, kept, texts)
            conditions.append(condition)
            codes.append(row)
            going_on.append(parts)
        encoder = build_encoder_batch(conditions, texts or [self.states[0]], num_steps, self.vocabulary)
        targets = {part: torch.stack([row[part].reshape(-1) for row in codes]) for part in order}
        learned = tuple(p for p in order if p not in kept)
        hidden = {part: self._hide_steps(size, num_steps) for part in learned}
        later = {part: torch.tensor([part in parts for parts in going_on]) for part in learned}
        for part, rows in later.items():
            hidden[part][rows, :OVERLAP_STEPS] = False
        inputs = fill_decoder(plan, targets, self.vocabulary, hidden)
        for part, rows in later.items():
            targets[part][rows, : OVERLAP_STEPS * plan.levels[part]] = -1
        return Batch(encoder, plan, inputs, targets, learned)

    def _layout(self) -> tuple[tuple[Part, ...], frozenset[Part], Mapping[str, float]]:
        """Blocks in order, those that are given, and the mixture of requests."""
        random, shares, mixture = self.random, self.recipe.layouts, self.recipe.mixture
        kind = random.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values()))
        order = list(BLOCK_ORDER)
        if kind == "worded_legs":
            return (Part.LOWER,), frozenset(), {name: mixture[name] for name in ("text", "speech_text")}
        if kind == "worded_body":
            return (Part.LOWER, Part.UPPER), frozenset(), {"text": 1.0}
        if kind == "shuffled":
            random.shuffle(order)  # type: ignore[arg-type]
        elif kind == "subset":
            wanted = set(random.choice(4, int(random.integers(1, 4)), replace=False).tolist())
            order = [p for i, p in enumerate(BLOCK_ORDER) if i in wanted]
        elif kind == "kept_first":
            given = set(random.choice(4, int(random.integers(1, 4)), replace=False).tolist())
            kept = [p for i, p in enumerate(BLOCK_ORDER) if i in given]
            return (*kept, *(p for p in BLOCK_ORDER if p not in kept)), frozenset(kept), mixture
        return tuple(order), frozenset(), mixture

    def _row(
        self, kind: str, num_steps: int, order: Sequence[Part], kept: frozenset[Part], texts: list[Tensor]
    ) -> tuple[Condition, dict[Part, Tensor], tuple[Part, ...]]:
        """What is asked, the codes of every part, and the parts that go on from the middle of an action."""
        random = self.random
        caption = -1
        sources: dict[Part, Source | None] = {part: Source.SPEECH for part in PARTS}
        rows: dict[Part, Tensor] = {}
        text_of: dict[Part, int] = {}
        by_text: tuple[Part, ...] = ()
        later: tuple[Part, ...] = ()
        if kind != "speech":
            by_text = (Part.LOWER,) if kind == "speech_text" else (Part.LOWER, Part.UPPER)
            phases, captions = self._captured()
            item = phases[random.integers(len(phases))]
            start = self._start(item, num_steps)
            rows |= {part: self._cut(item.parts[part], start, num_steps) for part in by_text}
            if item.action in OFTEN_EARLY and start > LATEST_BEGINNING:
                later = by_text
            caption = int(random.choice(captions))
        speechless = kind == "text" and random.random() < 0.65
        pool, weights = (self.idle, None) if speechless else (self.spoken, self.spoken_weights)
        phases = pool[random.choice(len(pool), p=weights)]
        performance = phases[random.integers(len(phases))]
        start = self._start(performance, num_steps)
        for part in PARTS:
            if part not in rows:
                rows[part] = self._cut(performance.parts[part], start, num_steps)
        if speechless:
            by_text = PARTS
        if by_text:
            texts.append(self._hide_words(self.states[caption]))
            # Beside speech, a worded part may say "speech and text" too: it obeys the words all the same.
            both = not speechless and random.random() < 0.25
            for part in by_text:
                sources[part] = Source.BOTH if both else Source.TEXT
                text_of[part] = len(texts) - 1
        audio = None
        if not speechless and performance.audio is not None:
            audio = window_audio(performance.audio, start, num_steps)
        for part in PARTS:
            if part in kept:
                sources[part] = Source.KEEP
            elif part not in order:
                sources[part] = None
            if sources[part] not in WORDED:
                text_of.pop(part, None)
        emotion = None if speechless else performance.emotion
        return self._hide(Condition(sources, text_of, emotion, audio)), rows, later

    def _captured(self) -> tuple[list[CodedSequence], tuple[int, ...]]:
        """A captured sequence and the captions it may get; now and then one of an action that the recipe
        favours, or one whose captions tell its pace, or its first caption alone."""
        random, favoured = self.random, self.recipe.favoured
        if favoured and (draw := random.random()) < sum(favoured.values()):
            place = int(np.searchsorted(np.cumsum(list(favoured.values())), draw, side="right"))
            group = self.by_action[list(favoured)[min(place, len(favoured) - 1)]]
            phases = group[random.integers(len(group))]
        elif self.paced and random.random() < self.recipe.paced:
            telling = self.paced[random.integers(len(self.paced))]
            return telling[random.integers(len(telling))]
        else:
            phases = self.captured[random.choice(len(self.captured), p=self.captured_weights)]
        plainly = self.recipe.plainly
        if plainly and random.random() < plainly:
            return phases, phases[0].captions[:1]
        return phases, phases[0].instructions

    def _hide(self, condition: Condition) -> Condition:
        """Hide all, the text or the emotion at random, so that guidance has something to compare with."""
        random, hidden = self.random, self.recipe.hidden
        draw = random.random()
        if draw < hidden["all"]:
            return Condition.empty()
        if draw < hidden["all"] + hidden["text"]:
            sources = {p: None if s in WORDED else s for p, s in condition.sources.items()}
            condition = replace(condition, sources=sources, texts={})
        if random.random() < hidden["emotion"]:
            condition = replace(condition, emotion=None)
        return condition

    def _hide_words(self, states: Tensor) -> Tensor:
        if len(states) < 4 or self.random.random() >= self.recipe.hidden["words"]:
            return states
        seen = torch.from_numpy(self.random.random(len(states)) < 0.75)
        return states[seen] if bool(seen.any()) else states

    def _start(self, item: CodedSequence, num_steps: int) -> int:
        room = item.num_steps - num_steps
        if room <= 0:
            return 0
        often = item.action in OFTEN_EARLY and self.random.random() < EARLY_SHARE
        if often or item.action in EARLY_ACTIONS:
            room = min(room, LATEST_BEGINNING)
        return int(self.random.integers(0, room + 1))

    def _cut(self, codes: Tensor, start: int, num_steps: int) -> Tensor:
        """(T, Q) -> (num_steps, Q), -1 behind the end."""
        cut = codes[start : start + num_steps]
        if len(cut) < num_steps:
            cut = torch.cat([cut, cut.new_full((num_steps - len(cut), cut.shape[1]), -1)])
        return cut

    def _hide_steps(self, size: int, num_steps: int) -> Tensor:
        """Steps of a block that what follows may not look back at, (size, num_steps), bool.

        With the whole past in sight, the next step follows from it nearly always, and the request is
        hardly read: a walk that has begun to turn goes on turning. Hidden steps make the request worth
        reading (word dropout, Bowman et al. 2016, arXiv 1511.06349). In some blocks all of them are hidden.
        """
        hidden, draw = self.recipe.hidden, self.random.random((size, 1))
        shares = self.random.random((size, 1)) * (draw < hidden["steps"] + hidden["past"])
        shares[draw < hidden["past"]] = 1.0
        return torch.from_numpy(self.random.random((size, num_steps)) < shares)


def _by_pace(
    captured: Sequence[list[CodedSequence]], paces: Mapping[int, str]
) -> list[list[tuple[list[CodedSequence], tuple[int, ...]]]]:
    """Sequences whose captions tell a pace, with these captions, in groups of one action and one pace."""
    groups: dict[tuple[str, str], list[tuple[list[CodedSequence], tuple[int, ...]]]] = {}
    for phases in captured:
        telling = tuple(row for row in phases[0].instructions if row in paces)
        if telling:
            groups.setdefault((phases[0].action, paces[telling[0]]), []).append((phases, telling))
    return [groups[key] for key in sorted(groups)]
