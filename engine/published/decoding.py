# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion from the published language model: block by block with exact lengths, or free as its demo draws.

The decoder starts with the padding word (spec 3.2). In the free way it writes whatever it likes until its end
mark, which transformers' `generate` gives too, draw for draw. In the other it writes one block for each part,
chooses itself which comes next, and can write nothing but that part's poses, exactly as many as asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import Cancelled
from ..language.biases import UNTIMED
from ..language.decoder import DecoderWeights, StepDecoder
from ..language.drafting import draw_steps
from ..specs import PARTS, CancelCheck, Part, SamplingOptions
from ..tokenizers.vocabulary import Vocabulary

PAD, END = 0, 1
"""Words of T5: the padding, which also starts the decoder, and the end mark."""

MAX_WORDS = 512
"""Longest text the published model reads or writes (spec 3.3, 3.6)."""

PUBLISHED_TOP_K = 50
"""Likeliest words among which the published demo draws: its library's default (spec 3.6)."""


@dataclass(frozen=True)
class BlockRequest:
    """What one batch of windows is asked for.

    Attributes:
        prompts: Words of each row's request, ended by the end mark.
        num_steps: Codes of each part (T).
        allowed: Parts whose blocks the model may write.
        wanted: Parts that are needed; writing stops when all are there.
        known: Codes already decided, (B, T), int64, -1 where one is to be drawn; parts may be absent.
        uniform: Random numbers in [0, 1), (B, len(allowed) * T), float32.
    """

    prompts: list[list[int]]
    num_steps: int
    allowed: tuple[Part, ...]
    wanted: frozenset[Part]
    known: Mapping[Part, Tensor]
    uniform: Tensor


def start_decoder(weights: DecoderWeights, prompts: list[list[int]], length: int) -> StepDecoder:
    """Read the requests and make room for an answer; what is padded is hidden.

    Args:
        weights: The model.
        prompts: Words of each row.
        length: Most words of the answer, the start included.
    """
    model, device = weights.model, weights.head.device
    longest = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), longest), PAD, dtype=torch.int64)
    mask = torch.zeros((len(prompts), longest), dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = torch.tensor(prompt)
        mask[row, : len(prompt)] = True
    ids, mask = ids.to(device), mask.to(device)
    encoded = model.encode(ids, mask)
    times = torch.full((length,), UNTIMED, device=device)
    memory_times = torch.full((longest,), UNTIMED, device=device)
    self_bias = model.decoder.self_bias(times, times)
    cross_bias = model.decoder.cross_bias(times, memory_times)
    return weights.start(encoded, mask, self_bias, cross_bias)


@torch.inference_mode()
def write_freely(
    weights: DecoderWeights,
    prompt: list[int],
    options: SamplingOptions,
    generator: torch.Generator,
    on_step: Callable[[int], None] | None = None,
    cancel: CancelCheck | None = None,
) -> list[int]:
    """Write as transformers' `generate(max_length=512, do_sample=True)` does, one row at a time.

    Args:
        weights: The model.
        prompt: Words of the request.
        options: Temperature (0 takes the likeliest word) and top-k; the rest does not count.
        generator: Drawn from once for each word, as `torch.multinomial` draws.
        on_step: Called with the words written so far.
        cancel: Asked before every word.

    Returns:
        The words, without the start and the end mark.

    Raises:
        Cancelled: When `cancel` said so.
    """
    decoder = start_decoder(weights, [prompt], MAX_WORDS)
    written: list[int] = []
    last = PAD
    with weights.stepping():
        while len(written) < MAX_WORDS - 1:
            if cancel is not None and cancel():
                raise Cancelled("Stopped; nothing was changed.")
            states = decoder.advance(torch.tensor([[last]], device=weights.head.device))
            scores = weights.scores(states).float().cpu()
            last = _next_word(scores, options, generator)
            if last == END:
                break
            written.append(last)
            if on_step is not None:
                on_step(len(written))
    return written


def _next_word(logits: Tensor, options: SamplingOptions, generator: torch.Generator) -> int:
    """Draw one word from its scores, (1, words), as `torch.multinomial` draws."""
    if options.temperature <= 0.0:
        return int(logits.argmax(dim=-1))
    logits = logits / options.temperature
    if options.top_k > 0:
        least = logits.topk(min(options.top_k, logits.shape[-1])).values[:, -1:]
        logits = logits.masked_fill(logits < least, float("-inf"))
    return int(torch.multinomial(logits.softmax(dim=-1), 1, generator=generator))


@torch.inference_mode()
def write_blocks(
    weights: DecoderWeights,
    vocabulary: Vocabulary,
    request: BlockRequest,
    options: SamplingOptions,
    on_step: Callable[[int], None] | None = None,
    cancel: CancelCheck | None = None,
) -> dict[Part, Tensor]:
    """Write blocks of exact length until all wanted parts are there.

    Args:
        weights: The model.
        vocabulary: Numbers of the parts' codes.
        request: What to write.
        options: How to draw.
        on_step: Called with the codes decided so far.
        cancel: Asked before every code.

    Returns:
        Codes of every part that each row has, the wanted ones among them, (B, T), int64.

    Raises:
        Cancelled: When `cancel` said so.
    """
    writer = _Writer(weights, vocabulary, request, options, on_step, cancel)
    with weights.stepping():
        return writer.run()


class _Writer:
    """One call of `write_blocks`. Rows may write their parts in different orders."""

    def __init__(
        self,
        weights: DecoderWeights,
        vocabulary: Vocabulary,
        request: BlockRequest,
        options: SamplingOptions,
        on_step: Callable[[int], None] | None,
        cancel: CancelCheck | None,
    ) -> None:
        self.weights, self.request, self.options = weights, request, options
        self.on_step, self.cancel = on_step, cancel
        batch, steps, device = len(request.prompts), request.num_steps, weights.head.device
        self.decoder = start_decoder(weights, request.prompts, 1 + len(request.allowed) * (steps + 2))
        self.rows = torch.arange(batch, device=device)
        blocks = [vocabulary.blocks[part] for part in PARTS]
        self.base = min(block.first for block in blocks)
        self.head = weights.head_rows(self.base, max(block.stop for block in blocks))
        self.first = torch.tensor([block.first for block in blocks], device=device)
        self.starts = torch.tensor([block.start for block in blocks], device=device)
        self.ends = torch.tensor([block.end for block in blocks], device=device)
        is_code = torch.zeros((len(PARTS), len(self.head)), dtype=torch.bool)
        for index, block in enumerate(blocks):
            is_code[index, block.first - self.base : block.start - self.base] = True
        self.is_code = is_code.to(device)
        known = torch.full((batch, len(PARTS), steps), -1, dtype=torch.int64)
        for part, codes in request.known.items():
            known[:, PARTS.index(part)] = codes
        self.codes = known.to(device)
        self.uniform = request.uniform.to(device)
        left = torch.tensor([part in request.allowed for part in PARTS], device=device)
        self.left = left.repeat(batch, 1)
        self.pending = torch.full((batch, 1), PAD, dtype=torch.int64, device=device)

    def run(self) -> dict[Part, Tensor]:
        """Write block after block."""
        wanted = [PARTS.index(part) for part in PARTS if part in self.request.wanted]
        for number in range(len(self.request.allowed)):
            if not bool(self.left[:, wanted].any()):
                break
            self._block(number)
        whole = (self.codes >= 0).all(-1).all(0).tolist()
        return {part: self.codes[:, index].cpu() for index, part in enumerate(PARTS) if whole[index]}

    def _block(self, number: int) -> None:
        """Let each row choose a part that it has not written, and write its codes."""
        steps = self.request.num_steps
        if self.cancel is not None and self.cancel():
            raise Cancelled("Stopped; nothing was changed.")
        states = self.decoder.advance(self.pending)
        scores = F.linear(states, self.head).float()[:, self.starts - self.base]
        part = scores.masked_fill(~self.left, float("-inf")).argmax(dim=-1)  # (B,)
        self.left[self.rows, part] = False
        self.pending = self.starts[part][:, None]
        undecided = (self.codes[self.rows, part] < 0).any(0).tolist()
        for is_open, group in groupby(range(steps), undecided.__getitem__):
            places = list(group)
            if not is_open:
                self._tell(number * steps + places[-1] + 1)
            else:
                wanted = _Steps(self, part, number * steps, places)
                drawn = draw_steps(self.decoder, self.pending, wanted, self.cancel)
                for place, codes in zip(places, drawn, strict=True):
                    self.codes[self.rows, part, place] = codes[:, 0]
                    self._tell(number * steps + place + 1)
                self.pending, places = self.pending[:, :0], places[-1:]
            words = self.codes[self.rows, part][:, places] + self.first[part][:, None]
            self.pending = torch.cat([self.pending, words], dim=1)
        self.pending = torch.cat([self.pending, self.ends[part][:, None]], dim=1)

    def _tell(self, done: int) -> None:
        if self.on_step is not None:
            self.on_step(done)


@dataclass(frozen=True)
class _Steps:
    """Steps of one block, as `draw_steps` wants them.

    Attributes:
        writer: Whose.
        part: Number of each row's part, (B,).
        first: Which random number the block begins with.
        places: Of the steps in it; some rows may have decided codes there.
    """

    writer: _Writer
    part: Tensor
    first: int
    places: list[int]

    @property
    def count(self) -> int:
        return len(self.places)

    def draw(self, states: Tensor, step: int) -> Tensor:
        writer, part, place = self.writer, self.part, self.places[step]
        scores = F.linear(states, writer.head).float().masked_fill(~writer.is_code[part], float("-inf"))
        drawn = writer.weights.draw(scores, writer.uniform[:, self.first + place], writer.options)
        known = writer.codes[writer.rows, part, place]
        return torch.where(known < 0, drawn + writer.base - writer.first[part], known)[:, None]

    def words(self, drawn: Tensor) -> Tensor:
        return drawn + self.writer.first[self.part][:, None]
