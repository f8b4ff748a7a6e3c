# SPDX-License-Identifier: GPL-3.0-or-later
"""The stream of the four-part release, and writing it (spec 4.2).

Sound first, then one block for each part without end marks: face at 25 codes a second, upper body, lower body
and hands at a quarter of that. Only that part's codes can be drawn, exactly as many as asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import Cancelled, PackError
from ..language.drawing import draw
from ..specs import CancelCheck, Part, SamplingOptions
from ..tokenizers.config import PlainValue, config_from_dict, config_to_dict
from .qwen import QwenModel

MOTION_FPS = 25
"""Frames per second of the four-part release."""

BODY_STRIDE = 4
"""Frames, and codes of the face, for one code of the other parts."""

AUDIO_PER_STEP = 2
"""Codes of sound for one code of the body."""

MAX_AUDIO = 512
"""Codes of sound in the longest stream that the model was trained on."""

ORDER = (Part.FACE, Part.UPPER, Part.LOWER, Part.HANDS)
"""Blocks in the order of the stream."""

NUM_AUDIO = 16384
NUM_CODES = {Part.FACE: 512, Part.UPPER: 256, Part.LOWER: 256, Part.HANDS: 256}
NUM_MARKS = 8
NUM_ADDED = NUM_AUDIO + sum(NUM_CODES.values()) + NUM_MARKS
"""Words that the release adds to its language model's own: 17,672."""


def steps_of(part: Part) -> int:
    """Codes of one part in a step of the body."""
    return BODY_STRIDE if part is Part.FACE else 1


@dataclass(frozen=True)
class StreamWords:
    """Where each kind of word begins, as the release's file says it under `vocab`.

    Attributes:
        base: First added word.
        audio_offset: First code of sound; the other offsets likewise.
        bos: Mark that opens the stream.
        sep: Mark after the sound.
        face_s: Mark before the face; the other parts likewise.
        eos: Mark that closes the stream.
        pad: Fills up a batch in training.
        vocab_size: Rows of the table of words.
    """

    base: int
    audio_offset: int
    face_offset: int
    upper_offset: int
    lower_offset: int
    hand_offset: int
    bos: int
    sep: int
    face_s: int
    up_s: int
    low_s: int
    hand_s: int
    eos: int
    pad: int
    vocab_size: int

    def __post_init__(self) -> None:
        runs = [(self.audio_offset, NUM_AUDIO)]
        runs += [(self.offset(part), NUM_CODES[part]) for part in ORDER]
        marks = (self.bos, self.sep, self.face_s, self.up_s, self.low_s, self.hand_s, self.eos, self.pad)
        runs = sorted([*runs, *((mark, 1) for mark in marks)])
        ends = [first + count for first, count in runs]
        if not 0 <= self.base <= runs[0][0] or ends[-1] > self.vocab_size:
            raise ValueError("words outside the table")
        if any(end > first for end, (first, _) in zip(ends, runs[1:], strict=False)):
            raise ValueError("words that overlap")

    @classmethod
    def from_rows(cls, num_rows: int) -> StreamWords:
        """The release's own numbering for a table of words of this length."""
        base = num_rows - NUM_ADDED
        names = [item.name for item in fields(cls)][1:-1]
        counts = (NUM_AUDIO, *(NUM_CODES[part] for part in ORDER), *(1 for _ in range(NUM_MARKS)))
        places = accumulate(counts, initial=base)
        return cls(base=base, vocab_size=num_rows, **dict(zip(names, places, strict=False)))

    @classmethod
    def from_table(cls, values: Mapping[str, int], num_rows: int, file_name: str) -> StreamWords:
        """What a file says under `vocab`; the release's own numbering where it says nothing.

        Raises:
            PackError: If the numbers contradict each other or the table of words.
        """
        try:
            if not values:
                return cls.from_rows(num_rows)
            words = cls(**{item.name: values[item.name] for item in fields(cls)})
            if words.vocab_size != num_rows:
                raise ValueError(f"{words.vocab_size} words for a table of {num_rows}")
        except (KeyError, ValueError) as problem:
            raise PackError(
                f"The numbering of words in {file_name} cannot be used ({problem}); download it again."
            ) from problem
        return words

    def to_dict(self) -> dict[str, PlainValue]:
        """Plain values for `pack.toml`."""
        return config_to_dict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> StreamWords:
        """Read what `to_dict` wrote; raises `PackError`."""
        return config_from_dict(cls, values, "the language model's words")

    def offset(self, part: Part) -> int:
        """First code of a part."""
        return {
            Part.FACE: self.face_offset,
            Part.UPPER: self.upper_offset,
            Part.LOWER: self.lower_offset,
            Part.HANDS: self.hand_offset,
        }[part]

    def mark(self, part: Part) -> int:
        """Mark that opens a part's block."""
        return {
            Part.FACE: self.face_s,
            Part.UPPER: self.up_s,
            Part.LOWER: self.low_s,
            Part.HANDS: self.hand_s,
        }[part]


@dataclass(frozen=True)
class StreamRequest:
    """What one stream is asked for.

    Attributes:
        audio: Codes of the sound, (A,).
        num_steps: Codes of each part of the body (T); the face has four times as many.
        wanted: Parts that are needed; writing stops after the last of them.
        known: Codes already decided, (n,) per part, -1 where one is to be drawn; parts may be absent.
        uniform: Random numbers in [0, 1), (7 * T,), float32.
    """

    audio: Tensor
    num_steps: int
    wanted: frozenset[Part]
    known: Mapping[Part, Tensor]
    uniform: Tensor


@torch.inference_mode()
def write_stream(
    model: QwenModel,
    words: StreamWords,
    request: StreamRequest,
    options: SamplingOptions,
    on_step: Callable[[int], None] | None = None,
    cancel: CancelCheck | None = None,
) -> dict[Part, Tensor]:
    """Write one block after another.

    Args:
        model: The language model, whose table begins with the word `words.base`.
        words: Its numbering.
        request: What to write.
        options: How to draw.
        on_step: Called with the codes decided so far.
        cancel: Asked before every code.

    Returns:
        Codes of every part up to the last wanted one, (n,), int64.

    Raises:
        Cancelled: When `cancel` said so.
    """
    device = model.embed_tokens.weight.device
    total = len(request.audio) + 2 + sum(1 + request.num_steps * steps_of(part) for part in ORDER)
    decoder = model.start(1, total)
    pending = [words.bos, *(request.audio + words.audio_offset).tolist(), words.sep]
    result: dict[Part, Tensor] = {}
    done = 0
    for part in ORDER[: 1 + max(ORDER.index(part) for part in request.wanted)]:
        count, first = request.num_steps * steps_of(part), words.offset(part)
        codes = request.known[part].tolist() if part in request.known else [-1] * count
        rows = slice(first - words.base, first - words.base + NUM_CODES[part])
        pending.append(words.mark(part))
        for place in range(count):
            if cancel is not None and cancel():
                raise Cancelled("Stopped; nothing was changed.")
            if codes[place] < 0:
                ids = torch.tensor([pending], device=device) - words.base
                states = decoder.advance(ids)[:, -1]
                logits = F.linear(states, model.head[rows]).float()
                uniform = request.uniform[done : done + 1].to(device)
                codes[place], pending = int(draw(logits, uniform, options)), []
            pending.append(codes[place] + first)
            done += 1
            if on_step is not None:
                on_step(done)
        result[part] = torch.tensor(codes)
    return result
