# SPDX-License-Identifier: GPL-3.0-or-later
"""The decoder on a GPU against transformers' `generate`, and a minute of speech, random weights of real size.

    python benchmarks/decode_gpu.py [--runs 3] [--tiny] [--device cuda]

One process. FLAN-T5-base's size with the published vocabulary (33,644 words), 230 words read, 480 positions
written, bfloat16 on both sides, sampled with top-p 0.95. The bandwidth floor is what a position would take if
it did nothing but read the decoder's weights, at the speed of a copy within the device's memory measured in
the same run. A minute of speech is 15 windows of 4 s at once: HuBERT base hears it, the language model writes
every window, the motion networks and the root network rebuild it. Without a GPU, or with `--tiny`, the
networks are small: that only shows that everything runs.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))

from decode import Case, as_transformers, encoder_batch, flan_case, transformers_contestant  # noqa: E402

from engine.language.decoder import DecoderWeights  # noqa: E402
from engine.language.decoding import WindowRequest, generate_window  # noqa: E402
from engine.language.graph_decoder import GraphDecoderWeights  # noqa: E402
from engine.language.layout import BLOCK_ORDER, plan_decoder  # noqa: E402
from engine.motion.published_features import Layout, layout_width  # noqa: E402
from engine.published.speech import SpeechConfig, build_speech  # noqa: E402
from engine.specs import AUDIO_HZ, MOTION_FPS, Part, SamplingOptions  # noqa: E402
from engine.tokenizers.assembly import published_clip, root_motion  # noqa: E402
from engine.tokenizers.audio_tokenizer import HubertTokenizer  # noqa: E402
from engine.tokenizers.motion_vqvae import Family, MotionVQVAE, MotionVQVAEConfig  # noqa: E402

TIMES_TRANSFORMERS, SHARE_OF_FLOOR, MINUTE_LIMIT_S = 10.0, 0.4, 1.0
"""What the engine must reach."""

MINUTE_S, WINDOW_STEPS, REQUEST_WORDS = 60, 120, 230
COPY_BYTES = 1 << 30


def tiny_case() -> Case:
    """A case in all but size as the real one, for machines without a GPU."""
    case = flan_case(d_model=64, d_kv=8, d_ff=64, num_heads=4, num_layers=2)
    return replace(case, name="tiny, random", num_steps=8, encoder_tokens=20)


def median_s(run: Callable[[], object], runs: int) -> float:
    """Median seconds of some runs after one to warm up, the device's work included."""
    seconds: list[float] = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def copy_speed(device: str, num_bytes: int) -> float:
    """Bytes per second read in a copy within the device's memory; as many again are written."""
    source = torch.ones(num_bytes // 4, device=device)
    target = torch.empty_like(source)
    return 2 * num_bytes / median_s(lambda: target.copy_(source), 5)


def window_request(case: Case, batch: int) -> WindowRequest:
    """As many windows, each with words of its own."""
    generator = torch.Generator().manual_seed(0)
    plan = plan_decoder(BLOCK_ORDER, case.num_steps, case.vocabulary)
    ids = torch.randint(
        1, case.model.config.vocab_size - 1, (batch, case.encoder_tokens), generator=generator
    )
    uniform = torch.rand(batch, plan.num_draws, generator=generator)
    return WindowRequest(plan, encoder_batch(case, ids), forced={}, guidance={}, uniform=uniform)


def compare(case: Case, device: str, runs: int, weights: DecoderWeights) -> tuple[float, float, float]:
    """Seconds for one window: transformers in bfloat16, the engine, and the memory's floor."""
    request = window_request(case, 1)
    num_positions = case.num_steps * len(request.plan.order)
    twin = as_transformers(case.model.cpu()).to(device, torch.bfloat16)
    case.model.to(device)
    theirs = transformers_contestant(twin, request.encoder.ids.to(device), num_positions)
    options = SamplingOptions(top_p=0.95)
    engine_s = median_s(lambda: generate_window(weights, case.vocabulary, request, options), runs)
    theirs_s = median_s(theirs, min(runs, 3))
    num_weights = sum(parameter.numel() for parameter in case.model.decoder.parameters())
    copy = copy_speed(device, COPY_BYTES if device == "cuda" else 1 << 26)
    return theirs_s, engine_s, num_positions * 2 * num_weights / copy


class Minute:
    """Everything between a minute of sound and a clip, with random weights."""

    def __init__(self, case: Case, weights: DecoderWeights, device: str, tiny: bool) -> None:
        self.case, self.weights, self.device = case, weights, device
        speech = (
            SpeechConfig(conv_width=16, hidden_size=64, num_layers=1, feed_forward=64)
            if tiny
            else SpeechConfig()
        )
        centres = torch.randn(500, speech.hidden_size)
        self.hubert = HubertTokenizer(build_speech(speech), centres, layer=speech.num_layers).to(device)
        width = 16 if tiny else 256
        self.parts = {
            part: network(Family.CONV, layout, width, layers) for part, (layout, layers) in LAYOUTS.items()
        }
        self.root = network(Family.CONV_PLAIN, Layout.LOWER_61, width, 4)
        for motion in (*self.parts.values(), self.root):
            motion.to(device)
        self.request = window_request(case, math.ceil(MINUTE_S * MOTION_FPS / WINDOW_STEPS))
        self.sound = torch.randn(1, MINUTE_S * AUDIO_HZ) * 0.1
        self.seconds: dict[str, float] = {}

    def run(self) -> None:
        """Make the clip and note how long each stage took."""
        start = time.perf_counter()

        def note(stage: str) -> None:
            nonlocal start
            if self.device == "cuda":
                torch.cuda.synchronize()
            now = time.perf_counter()
            self.seconds[stage], start = now - start, now

        heard = self.hubert.encode(self.sound.to(self.device)).cpu()
        if heard.shape[1] != (MINUTE_S * AUDIO_HZ - 400) // 320 + 1:
            raise RuntimeError("the speech model lost steps")
        note("hearing")
        codes = generate_window(self.weights, self.case.vocabulary, self.request, SamplingOptions(top_p=0.95))
        note("writing")
        with torch.inference_mode():
            features: dict[Part, Tensor] = {}
            for part, motion in self.parts.items():
                features[part] = motion.decode(codes[part].reshape(1, -1).to(self.device))[0]
            root, _ = root_motion(self.root, features[Part.LOWER], keep_contacts=False)
        arrays = {part: values.float().cpu().numpy() for part, values in features.items()}
        published_clip(arrays, root, len(root))
        note("rebuilding")


LAYOUTS = {
    Part.FACE: (Layout.FACE_106, 2),
    Part.HANDS: (Layout.HANDS_180, 2),
    Part.UPPER: (Layout.UPPER_78, 2),
    Part.LOWER: (Layout.LOWER_61, 4),
}
"""Channels and layers of the published speech release (lom-spec 2.5)."""


def network(family: Family, layout: Layout, width: int, layers: int) -> MotionVQVAE:
    """A motion network with random weights."""
    config = MotionVQVAEConfig(family, layout_width(layout), width, 256, layers, code_dim=width)
    return MotionVQVAE(config).eval().requires_grad_(False)


def main() -> int:
    """Print one table; 1 when a goal is missed on a GPU."""
    parser = argparse.ArgumentParser(description="Time the decoding loop on a GPU.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tiny", action="store_true", help="small networks, to see that everything runs")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    device, began = arguments.device, time.perf_counter()
    tiny = arguments.tiny or device != "cuda"
    torch.manual_seed(0)
    case = tiny_case() if tiny else flan_case()
    case.model.eval().requires_grad_(False)
    name = torch.cuda.get_device_name() if device == "cuda" else device
    print(f"{case.name} on {name}, torch {torch.__version__}", flush=True)
    weights = GraphDecoderWeights(case.model.to(device), torch.bfloat16)
    theirs_s, engine_s, floor_s = compare(case, device, arguments.runs, weights)
    positions = case.num_steps * len(BLOCK_ORDER)
    print(f"{'one window':28}{'seconds':>9}{'tokens/s':>11}{'times':>8}{'of floor':>10}")
    for row, seconds in (
        ("transformers, bfloat16", theirs_s),
        ("engine, bfloat16", engine_s),
        ("floor", floor_s),
    ):
        share = f"{floor_s / seconds:.0%}"
        print(
            f"{row:28}{seconds:9.3f}{positions / seconds:11.0f}{theirs_s / seconds:8.1f}{share:>10}",
            flush=True,
        )
    minute = Minute(case, weights, device, tiny)
    whole_s = median_s(minute.run, arguments.runs)
    stages = ", ".join(f"{stage} {seconds:.3f}" for stage, seconds in minute.seconds.items())
    print(f"{MINUTE_S} s of speech in {whole_s:.3f} s ({stages} in the last run)")
    if device == "cuda":
        print(f"memory at most {torch.cuda.max_memory_allocated() / 1e6:.0f} MB")
    print(f"{time.perf_counter() - began:.0f} s in all")
    missed = (
        theirs_s / engine_s < TIMES_TRANSFORMERS
        or floor_s / engine_s < SHARE_OF_FLOOR
        or whole_s > MINUTE_LIMIT_S
    )
    return int(device == "cuda" and missed)


if __name__ == "__main__":
    sys.exit(main())
