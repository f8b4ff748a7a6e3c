# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps that a quick decoder guesses and an exact one checks, several in one reading of its weights.

A step of one row is bound by reading the weights, so a few positions more in it take little more time. The
quick decoder draws some steps one after the other; the exact one then reads them all at once and draws each
again with the same random numbers. Steps up to the first that comes out otherwise stand, and that one as the
exact decoder has it, so what is drawn is what the exact decoder alone would draw, however it is drawn, up to
the rounding of its sums. Speculative decoding (Leviathan, Kalman & Matias 2023, arXiv 2211.17192), whose
guesses are accepted by chance where here they are compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from ..errors import Cancelled
from ..specs import CancelCheck

if TYPE_CHECKING:
    from .decoder import StepDecoder

MOST_AHEAD = 8
"""Steps guessed at most; more would take long to check, and to throw away."""

MOST_ROWS = 2
"""Rows with which a guess is much cheaper than an exact step: a window, and its unconditional row."""

GUESS_COST, CHECK_COST = 0.35, 1.1
"""Time of a guess with its place in the check, and of the check, in exact steps (FLAN-T5-base, two cores)."""

AT_FIRST, AT_LEAST = 0.8, 0.4
"""Share of guesses that is expected to come true, at the beginning and at the worst."""

LEARNING, FORGETTING = 0.05, 0.003
"""How much one guess says about the next ones, and how fast hope returns while none is made."""


class CheckedDecoder(Protocol):
    """A decoder whose position can be set back; entries behind it are written anew."""

    position: int

    def advance(self, ids: Tensor) -> Tensor:
        """As `StepDecoder.advance`."""
        ...

    def read(self, ids: Tensor) -> Tensor:
        """Feed the next tokens, as `advance`; states of them all, (R, n, d_model)."""
        ...


class Steps(Protocol):
    """Steps of one block that are to be drawn."""

    @property
    def count(self) -> int:
        """How many."""
        ...

    def draw(self, states: Tensor, step: int) -> Tensor:
        """Draw one, (B, levels), from the states before it, (R, d_model)."""
        ...

    def words(self, drawn: Tensor) -> Tensor:
        """What is fed after such a draw, as `StepDecoder.advance` takes it."""
        ...


class DraftedDecoder:
    """`StepDecoder` that can draw several steps at a time.

    Args:
        exact: Whose states count.
        quick: Guesses; on the same memory of keys and values, so that it goes on from the exact ones.
    """

    def __init__(self, exact: CheckedDecoder, quick: CheckedDecoder) -> None:
        self.exact, self.quick, self.pace = exact, quick, Pace()

    @property
    def position(self) -> int:
        """Tokens fed so far."""
        return self.exact.position

    def advance(self, ids: Tensor) -> Tensor:
        """Feed the next tokens to the exact decoder, as `StepDecoder` says."""
        return self.exact.advance(ids)

    def draw(self, pending: Tensor, steps: Steps, first: int) -> list[Tensor]:
        """Feed what is pending and draw some steps; all but the last have been fed then.

        Args:
            pending: As `advance` takes it.
            steps: What is to be drawn.
            first: Which of them comes next.

        Returns:
            One step or more, (B, levels) each.
        """
        num_guesses = min(self.pace.best(), steps.count - first - 1)
        fed, guesses = [pending], list[Tensor]()
        self.quick.position = self.exact.position
        for step in range(first, first + num_guesses):
            guesses.append(steps.draw(self.quick.advance(fed[-1]), step))
            fed.append(steps.words(guesses[-1]))
        states = self.exact.read(torch.cat(fed, dim=1))[:, -1 - num_guesses :]
        drawn = [steps.draw(states[:, 0], first)]
        while len(drawn) <= num_guesses and torch.equal(drawn[-1], guesses[len(drawn) - 1]):
            drawn.append(steps.draw(states[:, len(drawn)], first + len(drawn)))
        self.exact.position -= num_guesses + 1 - len(drawn)
        self.pace.learn(num_guesses, len(drawn) - 1)
        return drawn


def draw_steps(
    decoder: StepDecoder, pending: Tensor, steps: Steps, cancel: CancelCheck | None
) -> Iterator[Tensor]:
    """Draw steps of one block: one at a time, or as many as a drafted decoder gets right.

    Args:
        decoder: Decoder state of a batch of windows.
        pending: Tokens before the first step, as `StepDecoder.advance` takes them.
        steps: What is to be drawn.
        cancel: Asked before every reading of the weights.

    Yields:
        Step after step, (B, levels); the decoder is not fed the last one of all.

    Raises:
        Cancelled: When `cancel` said so.
    """
    done = 0
    while done < steps.count:
        if cancel is not None and cancel():
            raise Cancelled("Stopped; nothing was changed.")
        if isinstance(decoder, DraftedDecoder) and len(pending) <= MOST_ROWS:
            drawn = decoder.draw(pending, steps, done)
        else:
            drawn = [steps.draw(decoder.advance(pending), done)]
        yield from drawn
        done += len(drawn)
        pending = steps.words(drawn[-1])


class Pace:
    """How far to guess ahead: as far as pays with the share of guesses that came true lately."""

    def __init__(self) -> None:
        self.share = AT_FIRST

    def best(self) -> int:
        """Number of guesses with most steps for the time."""
        best, most, steps = 0, 1.0, 1.0
        for count in range(1, MOST_AHEAD + 1):
            steps += self.share**count
            gain = steps / (CHECK_COST + count * GUESS_COST)
            if gain > most:
                best, most = count, gain
        return best

    def learn(self, num_guesses: int, num_true: int) -> None:
        """Take over what became of some guesses."""
        if not num_guesses:
            self.share += FORGETTING * (1.0 - self.share)
        for number in range(min(num_true + 1, num_guesses)):
            self.share += LEARNING * (float(number < num_true) - self.share)
        self.share = max(self.share, AT_LEAST)
