# SPDX-License-Identifier: GPL-3.0-or-later
"""What eight-bit weights would change in a small model, which keeps its own: both decoders on one motion.

    python benchmarks/precision.py [--pack packs/starter] [--audio FILE] [--seconds 8]

A motion is drawn with float32 weights. At every code both decoders, which were fed the same past, say which
code they think likeliest, guidance included, and how likely each is. At least 99 % must agree; the motions
that the two likeliest choices stand for must lie within 2 mm of each other on average.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine import pipeline  # noqa: E402
from engine.audio.waveform import load_audio  # noqa: E402
from engine.language.decoder import StepDecoder, TorchDecoderWeights  # noqa: E402
from engine.language.drawing import StepDraw  # noqa: E402
from engine.language.layout import BLOCK_ORDER  # noqa: E402
from engine.language.onnx_decoder import OnnxDecoderWeights  # noqa: E402
from engine.motion.features import starter_clip  # noqa: E402
from engine.motion.kinematics import clip_joint_positions  # noqa: E402
from engine.specs import PARTS, GenerateRequest, Part, PartDirection, Source  # noqa: E402

AGREE_LIMIT, DISTANCE_LIMIT_MM = 0.99, 2.0
INSTRUCTIONS = ("walk forward", "jump", None)


class Pair(TorchDecoderWeights):
    """The float32 decoder, with the eight-bit one fed the same."""

    def __init__(self, engine: pipeline.Engine) -> None:
        super().__init__(engine.model)
        self.rounded = OnnxDecoderWeights(engine.model, 8)
        self.states = torch.empty(0)
        self.likeliest: dict[tuple[tuple[int, int], ...], list[list[Tensor]]] = {}
        self.variation: list[Tensor] = []

    def start(self, encoded: Tensor, mask: Tensor, self_bias: Tensor, cross_bias: Tensor) -> StepDecoder:
        """As the float32 decoder; what the other one says is left in `states`."""
        exact = super().start(encoded, mask, self_bias, cross_bias)
        return _Both(self, exact, self.rounded.start(encoded, mask, self_bias, cross_bias))

    def draw_step(self, states: Tensor, uniform: Tensor, asked: StepDraw) -> Tensor:
        """Draw with float32, and note what either decoder would choose."""
        drawn = super().draw_step(states, uniform, asked)
        both, engines = [states, self.states], [self, self.rounded]
        chosen: list[list[Tensor]] = [[], []]
        for level, (first, stop) in enumerate(asked.levels):
            chances = []
            for index in range(2):
                if level:
                    rows = drawn[:, level - 1] + asked.levels[level - 1][0]
                    both[index] = engines[index].deepen(both[index], rows.repeat(len(both[index])))
                logits = F.linear(both[index], self.head_rows(first, stop))
                if len(logits) > 1:
                    logits = logits[1:] + asked.guidance * (logits[:1] - logits[1:])
                chances.append((logits / asked.options.temperature).softmax(dim=-1))
                chosen[index].append(chances[index].argmax(dim=-1))
            self.variation.append((chances[0] - chances[1]).abs().sum(dim=-1) / 2)
        self.likeliest.setdefault(asked.levels, []).append([torch.cat(codes) for codes in chosen])
        return drawn


class _Both:
    def __init__(self, pair: Pair, exact: StepDecoder, rounded: StepDecoder) -> None:
        self.pair, self.exact, self.rounded = pair, exact, rounded

    @property
    def position(self) -> int:
        """Tokens fed so far."""
        return self.exact.position

    def advance(self, ids: Tensor) -> Tensor:
        """Feed both."""
        self.pair.states = self.rounded.advance(ids)
        return self.exact.advance(ids)


def joints(engine: pipeline.Engine, codes: dict[Part, Tensor]) -> np.ndarray:
    """Joint positions of codes, each (T * Q,), relative to the pelvis, (F, 55, 3), metres."""
    with torch.inference_mode():
        features = {part: engine.tokenizers[part].decode(codes[part][None])[0].numpy() for part in PARTS}
    places = clip_joint_positions(starter_clip(features))
    return places - places[:, :1]


def main() -> int:
    """Print the table; 1 when eight bits change too much."""
    parser = argparse.ArgumentParser(description="What eight-bit weights change.")
    parser.add_argument("--pack", type=Path, default=ROOT / "packs" / "starter")
    parser.add_argument("--audio", type=Path, default=ROOT / "examples" / "hello.flac")
    parser.add_argument("--seconds", type=float, default=8.0)
    arguments = parser.parse_args()
    engine = pipeline.load_engine(arguments.pack, "cpu")
    assert isinstance(engine, pipeline.Engine)
    wave, rate = load_audio(arguments.audio)
    wave = np.resize(wave, round(arguments.seconds * rate)).astype(np.float32)
    agreed, total, variation, distances = 0, 0, [], []
    for text in INSTRUCTIONS:
        directions = {} if text is None else {Part.LOWER: PartDirection(Source.TEXT, text)}
        engine.weights = pair = Pair(engine)
        engine.generate(GenerateRequest(directions=directions, waveform=wave, sample_rate=rate))
        sides: list[dict[Part, Tensor]] = [{}, {}]
        for part, drawn in zip(BLOCK_ORDER, pair.likeliest.values(), strict=True):
            for side in range(2):
                sides[side][part] = torch.cat([codes[side] for codes in drawn])
        agreed += sum(int((sides[0][part] == sides[1][part]).sum()) for part in PARTS)
        total += sum(len(sides[0][part]) for part in PARTS)
        variation.append(float(torch.cat(pair.variation).mean()))
        apart = np.linalg.norm(joints(engine, sides[0]) - joints(engine, sides[1]), axis=-1)
        distances.append(float(apart.mean()) * 1e3)
    share, distance = agreed / total, float(np.mean(distances))
    print(f"likeliest code the same at {share:.2%} of {total} positions (goal {AGREE_LIMIT:.0%})")
    print(f"total variation of what is drawn {np.mean(variation):.4f}")
    print(f"motion of the likeliest codes {distance:.2f} mm apart (goal {DISTANCE_LIMIT_MM:g} mm)")
    return int(share < AGREE_LIMIT or distance > DISTANCE_LIMIT_MM)


if __name__ == "__main__":
    sys.exit(main())
