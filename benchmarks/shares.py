# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the time of one request goes: 10 s of speech above, "walk forward" below.

    python benchmarks/shares.py [--pack packs/starter] [--audio FILE] [--seconds 10] [--threads N] [--fast]

A published pack follows the speech with the whole body; `benchmarks/published_memory.py` makes one of random
weights in `build/published-size/pack`. Functions of the engine are timed from outside while a request runs.
All that is not the language model (hearing, turning codes into motion, planting the feet) may take 15 % of
the time at most.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine import listening, pipeline  # noqa: E402
from engine.audio.waveform import load_audio  # noqa: E402
from engine.language import decoding  # noqa: E402
from engine.packs import PUBLISHED, load_pack  # noqa: E402
from engine.published import engine as published  # noqa: E402
from engine.specs import GenerateRequest, Part, PartDirection, Source  # noqa: E402

LIMIT = 0.15
"""Largest share of everything but the language model."""

Stages = tuple[tuple[str, Any, str, bool], ...]

STAGES: Stages = (
    ("check the sound", pipeline, "check_sound", False),
    ("speech features", listening, "heard_features", False),
    ("speech to codes, beside the features", listening.Listening, "_encode", False),
    ("words to states", pipeline, "instruction_states", True),
    ("language model: read the request", decoding, "_read", True),
    ("language model: write the motion", decoding, "_write", True),
    ("codes to motion, beside the two below", pipeline.Engine, "_build", False),
    ("place the joints", pipeline, "starter_clip", False),
    ("plant the feet", pipeline, "planted", False),
)
"""Name, where the function lives, its name, and whether it belongs to the language model."""

PUBLISHED_STAGES: Stages = (
    ("check the sound", published, "check_sound", False),
    ("speech to numbers (HuBERT)", published._Generation, "_heard", False),
    ("language model, one window", published, "write_blocks", True),
    ("language model, a line of windows", published, "write_line", True),
    ("codes to motion", published._Generation, "_features", False),
    ("put the parts together, place the root", published._Generation, "_clip", False),
    ("plant the feet", published, "planted", False),
)
"""The same for a published model."""


class Watch:
    """Seconds spent in functions, those that they call taken off."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner: list[float] = []

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed under a name."""

        def call(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.perf_counter() - start
                self.seconds[name] = self.seconds.get(name, 0.0) + spent - self._inner.pop()
                if self._inner:
                    self._inner[-1] += spent

        return call


def main() -> int:
    """Print the table; 1 when the rest takes more than its share."""
    parser = argparse.ArgumentParser(description="Shares of the time of one request.")
    parser.add_argument("--pack", type=Path, default=ROOT / "packs" / "starter")
    parser.add_argument("--audio", type=Path, default=ROOT / "examples" / "hello.flac")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0 leaves torch's choice")
    parser.add_argument("--fast", action="store_true", help="a published model's decoder in eight bits")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    engine = pipeline.load_engine(arguments.pack, "cpu", fast=arguments.fast)
    is_published = load_pack(arguments.pack).kind == PUBLISHED
    stages = PUBLISHED_STAGES if is_published else STAGES
    below = {} if is_published else {Part.LOWER: PartDirection(Source.TEXT, "walk forward")}
    wave, rate = load_audio(arguments.audio)
    request = GenerateRequest(
        directions=below,
        waveform=np.resize(wave, round(arguments.seconds * rate)).astype(np.float32),
        sample_rate=rate,
    )
    engine.generate(request)  # warms up
    watch = Watch()
    for name, place, function, _ in stages:
        setattr(place, function, watch.timed(name, getattr(place, function)))
    total = engine.generate(request).compute_s
    print(f"{arguments.seconds:g} s of speech in {total:.2f} s")
    for name in watch.seconds:
        print(f"  {name:40} {watch.seconds[name] * 1e3:8.1f} ms {watch.seconds[name] / total:6.1%}")
    rest = total - sum(watch.seconds.get(name, 0.0) for name, _, _, is_model in stages if is_model)
    print(f"  {'all but the language model':40} {rest * 1e3:8.1f} ms {rest / total:6.1%}")
    if rest / total > LIMIT:
        print(f"over the limit: {LIMIT:.0%}")
    return int(rest / total > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
