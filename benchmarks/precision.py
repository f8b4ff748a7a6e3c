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
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine import pipeline  # noqa: E402
from engine.audio.waveform import load_audio  # noqa: E402
from engine.language import decoding  # noqa: E402
from engine.language.decoder import DecoderWeights, StepDecoder, TorchDecoderWeights  # noqa: E402
from engine.language.onnx_decoder import OnnxDecoderWeights  # noqa: E402
from engine.motion.features import starter_clip  # noqa: E402
from engine.motion.kinematics import clip_joint_positions  # noqa: E402
from engine.specs import PARTS, GenerateRequest, Part, PartDirection, SamplingOptions, Source  # noqa: E402
from engine.tokenizers.vocabulary import Vocabulary  # noqa: E402

AGREE_LIMIT, DISTANCE_LIMIT_MM = 0.99, 2.0
INSTRUCTIONS = ("walk forward", "jump", None)


class Pair(TorchDecoderWeights):
    """The float32 decoder, with the eight-bit one fed the same."""

    def __init__(self, engine: pipeline.Engine) -> None:
        super().__init__(engine.model)
        self.rounded = OnnxDecoderWeights(engine.model, 8)
        self.twin: StepDecoder | None = None
        self.states = torch.empty(0)

    def start(self, encoded: Tensor, mask: Tensor, self_bias: Tensor, cross_bias: Tensor) -> StepDecoder:
        """As the float32 decoder; what the other one says is left in `states`."""
        exact = super().start(encoded, mask, self_bias, cross_bias)
        return _Both(self, exact, self.rounded.start(encoded, mask, self_bias, cross_bias))


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


class Record:
    """Stands in for the engine's draw of a step, and notes what either decoder would choose."""

    def __init__(self) -> None:
        self.draw = decoding._draw_step
        self.likeliest: dict[Part, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        self.variation: list[Tensor] = []

    def __call__(
        self,
        weights: DecoderWeights,
        vocabulary: Vocabulary,
        part: Part,
        states: Tensor,
        uniform: Tensor,
        guidance: float,
        options: SamplingOptions,
    ) -> Tensor:
        """Draw as the engine does; arguments as there."""
        assert isinstance(weights, Pair)
        drawn = self.draw(weights, vocabulary, part, states, uniform, guidance, options)
        batch, levels = uniform.shape
        both, engines = [states, weights.states], [weights, weights.rounded]
        chosen: list[list[Tensor]] = [[], []]
        for level in range(levels):
            first, stop = vocabulary.part_range(part, level)
            offset, chances = weights.config.embedding_offset, []
            for index in range(2):
                if level:
                    ids = drawn[:, level - 1] + vocabulary.part_range(part, level - 1)[0]
                    ids = ids.repeat(len(both[index]) // batch)
                    both[index] = engines[index].deepen(both[index], ids)
                logits = F.linear(both[index], weights.head[first - offset : stop - offset])
                if len(logits) > batch:
                    logits = logits[batch:] + guidance * (logits[:batch] - logits[batch:])
                chances.append((logits / options.temperature).softmax(dim=-1))
                chosen[index].append(chances[index].argmax(dim=-1))
            self.variation.append((chances[0] - chances[1]).abs().sum(dim=-1) / 2)
        self.likeliest[part].append((torch.stack(chosen[0], 1)[0], torch.stack(chosen[1], 1)[0]))
        return drawn


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
    engine.weights = Pair(engine)
    wave, rate = load_audio(arguments.audio)
    wave = np.resize(wave, round(arguments.seconds * rate)).astype(np.float32)
    agreed, total, variation, distances = 0, 0, [], []
    for text in INSTRUCTIONS:
        record = decoding._draw_step = Record()
        directions = {} if text is None else {Part.LOWER: PartDirection(Source.TEXT, text)}
        engine.generate(GenerateRequest(directions=directions, waveform=wave, sample_rate=rate))
        decoding._draw_step = record.draw
        sides = [
            {part: torch.cat([pair[side] for pair in pairs]) for part, pairs in record.likeliest.items()}
            for side in range(2)
        ]
        agreed += sum(int((sides[0][part] == sides[1][part]).sum()) for part in PARTS)
        total += sum(len(sides[0][part]) for part in PARTS)
        variation.append(float(torch.cat(record.variation).mean()))
        apart = np.linalg.norm(joints(engine, sides[0]) - joints(engine, sides[1]), axis=-1)
        distances.append(float(apart.mean()) * 1e3)
    share, distance = agreed / total, float(np.mean(distances))
    print(f"likeliest code the same at {share:.2%} of {total} positions (goal {AGREE_LIMIT:.0%})")
    print(f"total variation of what is drawn {np.mean(variation):.4f}")
    print(f"motion of the likeliest codes {distance:.2f} mm apart (goal {DISTANCE_LIMIT_MM:g} mm)")
    return int(share < AGREE_LIMIT or distance > DISTANCE_LIMIT_MM)


if __name__ == "__main__":
    sys.exit(main())
