# SPDX-License-Identifier: GPL-3.0-or-later
"""One long line with a model of the published size: its windows one after the other, and four at a time.

    python benchmarks/line.py [--seconds 60] [--alone] [--fast]

Random weights of FLAN-T5-base's size with the published vocabulary, as in use, or in eight bits. Each window
reads a request of about 230 words and writes 4 s of four parts (480 codes), a sixth of which it takes over
from the one before (lom-spec 3.5). Faster than real time is less than a second of work for one of motion.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.decode import flan_case  # noqa: E402
from engine.language.decoder import decoder_weights  # noqa: E402
from engine.published.choice import Release  # noqa: E402
from engine.published.decoding import BlockRequest, write_blocks  # noqa: E402
from engine.published.engine import OVERLAP_STEPS, WINDOW_STEPS  # noqa: E402
from engine.published.line import LineRequest, write_line  # noqa: E402
from engine.specs import MOTION_FPS, PARTS, Part, SamplingOptions  # noqa: E402
from engine.windows import windows  # noqa: E402


def main() -> int:
    """Print both; 1 when four at a time is slower than real time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--alone", action="store_true", help="also one window after the other")
    parser.add_argument("--fast", action="store_true", help="in eight bits")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    case = flan_case()
    model = case.model.eval().requires_grad_(False)  # as a pack of this size is loaded
    weights, words = decoder_weights(model, arguments.fast), case.vocabulary
    num_steps = round(arguments.seconds * MOTION_FPS)
    starts = [start for start, _ in windows(num_steps, WINDOW_STEPS, OVERLAP_STEPS[Release.SPEECH])]
    prompts = [torch.randint(2, 32000, (case.encoder_tokens,)).tolist() for _ in starts]
    uniform = torch.rand(len(starts), 4 * WINDOW_STEPS)

    def codes() -> dict[Part, Tensor]:
        return {part: torch.full((1, num_steps), -1) for part in PARTS}

    def alone() -> None:
        line = codes()
        for window, start in enumerate(starts):
            place = slice(start, start + WINDOW_STEPS)
            known = {part: values[:, place] for part, values in line.items()}
            request = BlockRequest(
                [prompts[window]], WINDOW_STEPS, PARTS, frozenset(PARTS), known, uniform[window : window + 1]
            )
            for part, values in write_blocks(weights, words, request, SamplingOptions()).items():
                line[part][:, place] = values

    def together() -> None:
        request = LineRequest(prompts, starts, WINDOW_STEPS, PARTS, frozenset(PARTS), codes(), uniform)
        write_line(
            weights,
            words,
            request,
            SamplingOptions(),
            on_window=lambda window: ends.append(time.perf_counter()),
        )

    ends: list[float] = []
    print(f"{arguments.seconds:g} s of motion, {len(starts)} windows, {4 * num_steps} codes")
    slow = False
    for name, run in (("one after the other", alone), ("four at a time", together)):
        if run is alone and not arguments.alone:
            continue
        begin = time.perf_counter()
        run()
        spent = time.perf_counter() - begin
        print(
            f"  {name:22} {spent:7.1f} s, {4 * num_steps / spent:6.0f} codes a second, "
            f"{arguments.seconds / spent:.2f} x real time"
        )
        slow = spent > arguments.seconds
    print(f"  first window after {ends[0] - begin:.1f} s")
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
