# SPDX-License-Identifier: GPL-3.0-or-later
"""The windows of one long line in one batch, as far as their continuation allows.

A window starts from the last codes of the one before, part by part. So it needs no more of it than the block
of the part that it writes, and while one window writes its second part the next one can write its first: with
four parts, four windows are written at a time. The first window chooses the order of the parts, and the
others keep to it. What is drawn is what windows written one after the other would draw.

Only as many windows as are being written take memory, however long the line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import Cancelled
from ..language.decoder import DecoderWeights
from ..specs import PARTS, CancelCheck, Part, SamplingOptions
from ..tokenizers.vocabulary import Vocabulary
from .decoding import PAD


@dataclass(frozen=True)
class LineRequest:
    """What one line is asked for.

    Attributes:
        prompts: Words of each window's request, ended by the end mark.
        starts: First code of each window, rising (W,).
        num_steps: Codes of each part in a window (T).
        allowed: Parts whose blocks the model may write.
        wanted: Parts that are needed; a window ends when all are there.
        codes: Codes of the whole line, (1, N), int64, -1 where one is to be drawn, which it then is in place.
        uniform: Random numbers in [0, 1) of each window, (W, len(allowed) * T), float32.
        at_once: Most windows that are written at a time; the result does not depend on it.
    """

    prompts: list[list[int]]
    starts: list[int]
    num_steps: int
    allowed: tuple[Part, ...]
    wanted: frozenset[Part]
    codes: Mapping[Part, Tensor]
    uniform: Tensor
    at_once: int = len(PARTS)


def write_line(
    weights: DecoderWeights,
    vocabulary: Vocabulary,
    request: LineRequest,
    options: SamplingOptions,
    on_step: Callable[[int], None] | None = None,
    on_window: Callable[[int], None] | None = None,
    cancel: CancelCheck | None = None,
) -> None:
    """Write all windows of a line into its codes.

    Args:
        weights: The model.
        vocabulary: Numbers of the parts' codes.
        request: What to write.
        options: How to draw.
        on_step: Called with the codes drawn so far.
        on_window: Called with the number of every finished window, in their order.
        cancel: Asked before every code.

    Raises:
        Cancelled: When `cancel` said so.
    """
    _LineWriter(weights, vocabulary, request, options, on_step, on_window, cancel).run()


@dataclass
class _Row:
    """A window that is being written.

    Attributes:
        window: Its number.
        slot: The decoder's row.
        pending: Words that are decided and not fed yet.
        block: Number of its part in the order.
        part: Its part.
        step: Next code of the part.
    """

    window: int
    slot: int
    pending: list[int]
    block: int = -1
    part: Part = PARTS[0]
    step: int = 0


class _LineWriter:
    """One call of `write_line`."""

    def __init__(
        self,
        weights: DecoderWeights,
        vocabulary: Vocabulary,
        request: LineRequest,
        options: SamplingOptions,
        on_step: Callable[[int], None] | None,
        on_window: Callable[[int], None] | None,
        cancel: CancelCheck | None,
    ) -> None:
        self.weights, self.vocabulary, self.request, self.options = weights, vocabulary, request, options
        self.on_step, self.on_window, self.cancel = on_step, on_window, cancel
        self.num_windows, self.num_drawn = len(request.prompts), 0
        size = min(len(request.allowed), self.num_windows, request.at_once)
        length = 1 + len(request.allowed) * (request.num_steps + 2)
        self.decoder = weights.start_rows(size, length, max(len(prompt) for prompt in request.prompts))
        self.slots: list[_Row | None] = [None] * size
        self.order: list[Part] = []
        self.depth = len(request.allowed)
        blocks = vocabulary.blocks
        self.base = min(blocks[part].first for part in PARTS)
        self.head = weights.head_rows(self.base, max(blocks[part].stop for part in PARTS))
        codes = {part: torch.arange(blocks[part].first, blocks[part].start) for part in PARTS}
        self.is_code = {
            part: torch.zeros(len(self.head), dtype=torch.bool).index_fill_(0, some - self.base, True)
            for part, some in codes.items()
        }

    @torch.inference_mode()
    def run(self) -> None:
        """Phase after phase, in each of which one window begins and every window at work writes one block."""
        window = 0
        while window < self.num_windows or any(self.slots):
            if window < self.num_windows and None in self.slots:
                self._begin(window, self.slots.index(None))
                window += 1
            with self.weights.stepping():
                rows = self._phase()
            for row in rows:
                if row.block == self.depth - 1:
                    self.slots[row.slot] = None
                    if self.on_window is not None:
                        self.on_window(row.window)

    def _begin(self, window: int, slot: int) -> None:
        """Read a window's request, and give it a row that is free."""
        ids = torch.tensor([self.request.prompts[window]], device=self.weights.head.device)
        encoded = self.weights.model.encode(ids, torch.ones_like(ids, dtype=torch.bool))
        self.decoder.begin(slot, encoded[0])
        self.slots[slot] = _Row(window, slot, [PAD])

    def _phase(self) -> list[_Row]:
        """One block of every window at work; the first window leads, and the others follow its choice.

        Returns:
            The rows at work, in the order of their windows.
        """
        rows = sorted((row for row in self.slots if row is not None), key=lambda row: row.window)
        for row in rows:
            row.block, row.step = row.block + 1, 0
            if row.block == len(self.order):
                self._choose(row)
            row.part = self.order[row.block]
            row.pending.append(self.vocabulary.blocks[row.part].start)
        at_work = [row for row in rows if self._advance(row)]
        while at_work:
            scores = self._scores(at_work)
            uniform = torch.stack([self._number(row) for row in at_work])
            drawn = self.weights.draw(scores, uniform, self.options).tolist()
            for row, word in zip(at_work, drawn, strict=True):
                first = self.vocabulary.blocks[row.part].first
                self._codes(row)[row.step] = word + self.base - first
                self.num_drawn += 1
            at_work = [row for row in at_work if self._advance(row)]
            if self.on_step is not None:
                self.on_step(self.num_drawn)
        for row in rows:
            row.pending.append(self.vocabulary.blocks[row.part].end)
        return rows

    def _choose(self, row: _Row) -> None:
        """Let the first window choose its next part."""
        left = [part for part in PARTS if part in self.request.allowed and part not in self.order]
        starts = torch.tensor([self.vocabulary.blocks[part].start for part in left]) - self.base
        states = self._feed([row])
        scores = F.linear(states, self.head).float().cpu()[0, starts]
        self.order.append(left[int(scores.argmax())])
        if self.request.wanted.issubset(self.order):
            self.depth = len(self.order)

    def _advance(self, row: _Row) -> bool:
        """Take over the codes that are decided; False at the end of the block."""
        codes, first = self._codes(row), self.vocabulary.blocks[row.part].first
        while row.step < self.request.num_steps and int(codes[row.step]) >= 0:
            row.pending.append(first + int(codes[row.step]))
            row.step += 1
        return row.step < self.request.num_steps

    def _codes(self, row: _Row) -> Tensor:
        """Codes of a row's part in its window, (T,)."""
        start = self.request.starts[row.window]
        return self.request.codes[row.part][0, start : start + self.request.num_steps]

    def _number(self, row: _Row) -> Tensor:
        return self.request.uniform[row.window, row.block * self.request.num_steps + row.step]

    def _scores(self, rows: list[_Row]) -> Tensor:
        """Scores of each row's possible words, (rows, words), on the CPU."""
        scores = F.linear(self._feed(rows), self.head).float().cpu()
        allowed = torch.stack([self.is_code[row.part] for row in rows])
        return scores.masked_fill(~allowed, float("-inf"))

    def _feed(self, rows: list[_Row]) -> Tensor:
        """Feed what is pending of some rows, while the others wait; their states, (rows, d_model)."""
        if self.cancel is not None and self.cancel():
            raise Cancelled("Stopped; nothing was changed.")
        places = [row.slot for row in rows]
        words: list[list[int]] = [[] for _ in self.slots]
        for place, row in zip(places, rows, strict=True):
            words[place], row.pending = row.pending, []
        return self.decoder.feed(words)[places]
