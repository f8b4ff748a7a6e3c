# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine without Blender: `python -m engine generate`, `batch`, `info` and `import-lom`."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path

from .batch.command import FAST_HELP, add_batch, batch
from .errors import EngineError, RequestError
from .language.instruction import parse_timed
from .published.audio_codes import load_audio_codes
from .specs import (
    EMOTIONS,
    PARTS,
    GenerateRequest,
    GenerateResult,
    MotionEngine,
    Part,
    PartDirection,
    SamplingOptions,
    Source,
)

DEFAULT_PACK = Path(__file__).parent.parent / "packs" / "starter"


def build_parser() -> argparse.ArgumentParser:
    """The command line; scripts rely on these names."""
    parser = argparse.ArgumentParser(
        prog="python -m engine", description="Speech and words to full-body motion."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    generate = commands.add_parser(
        "generate",
        help="write one motion file",
        epilog="An instruction may be several in time, in seconds, made as one continuous motion: "
        '--lower "0-3: walk forward; 3-5: turn left". One without a time holds wherever no other does.',
    )
    generate.add_argument("--audio", type=Path, help="sound file; parts without text follow it")
    generate.add_argument(
        "--audio-codes",
        type=Path,
        metavar="FILE",
        help="the sound as an imported four-part model hears it: numbers of GLM-4-Voice's tokenizer (.npy)",
    )
    for part in PARTS:
        body = " body" if part.value in ("upper", "lower") else ""
        told = f"instruction for the {part.value}{body}"
        generate.add_argument(f"--{part.value}", metavar="TEXT", help=told)
    generate.add_argument("--text", help="instruction for the body; without sound also for hands and face")
    generate.add_argument("--emotion", choices=EMOTIONS)
    generate.add_argument(
        "--seconds", type=float, help="length; default: the sound's, else of all instructions, else 5 s"
    )
    generate.add_argument("--seed", type=int, default=0)
    generate.add_argument("--temperature", type=float, default=SamplingOptions.temperature)
    generate.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    generate.add_argument("--fast", action="store_true", help=FAST_HELP)
    generate.add_argument("--pack", type=Path, default=DEFAULT_PACK)
    generate.add_argument(
        "--compatible",
        action="store_true",
        help="an imported published model moves exactly as in its own demo, faults included",
    )
    generate.add_argument("--json", action="store_true", help="print load_s, compute_s and motion_s")
    generate.add_argument("--out", type=Path, required=True, help="motion file to write (.npz)")
    lines = commands.add_parser("batch", help="make a motion file for every row of a table")
    add_batch(lines, DEFAULT_PACK)
    info = commands.add_parser("info", help="print a pack's card")
    info.add_argument("pack", type=Path)
    published = commands.add_parser("import-lom", help="make a pack from the published model's files")
    published.add_argument("folder", type=Path, help="folder with the downloaded files")
    published.add_argument("--out", type=Path, required=True, help="pack folder to write")
    published.add_argument(
        "--model",
        choices=("speech", "text", "four-part"),
        help="default: speech and text, each where its files are there; four-part where only that one is",
    )
    published.add_argument("--audio-layer", type=int, choices=(12, 9), default=12)
    published.add_argument("--audio-start", type=int, default=500, help="500 as released, 502 later")
    return parser


def build_request(arguments: argparse.Namespace) -> GenerateRequest:
    """Turn the command line into a request.

    Raises:
        EngineError: If the sound cannot be read or there is nothing to follow.
    """
    wave, rate = None, 16000
    if arguments.audio is not None:
        from .audio.waveform import load_audio

        wave, rate = load_audio(arguments.audio)
    codes = load_audio_codes(arguments.audio_codes) if arguments.audio_codes is not None else None
    directions: dict[Part, PartDirection] = {}
    for part in PARTS:
        text = getattr(arguments, part.value)
        if text is None and (wave is None or part in (Part.UPPER, Part.LOWER)):
            text = arguments.text
        if text is not None:
            directions[part] = PartDirection(Source.TEXT, *parse_timed(text))
    if wave is None and codes is None and not directions:
        raise RequestError(
            "There is nothing to follow; give a sound with --audio or an instruction with --text."
        )
    if arguments.seed < 0:
        raise RequestError("The seed must not be negative; choose 0 or more.")
    if not 0.0 <= arguments.temperature < math.inf:
        raise RequestError("The temperature must be a number from 0 up; choose 0.8 for the usual variety.")
    return GenerateRequest(
        directions=directions,
        waveform=wave,
        sample_rate=rate,
        audio_codes=codes,
        duration_s=arguments.seconds,
        emotion=arguments.emotion,
        sampling=SamplingOptions(seed=arguments.seed, temperature=arguments.temperature),
    )


def generate(arguments: argparse.Namespace) -> None:
    """Run `generate`; the slow imports come after the request is known to be sound."""
    request = build_request(arguments)
    from .motion.clip_io import save_npz
    from .pipeline import load_engine

    began = time.perf_counter()
    engine = load_engine(arguments.pack, arguments.device, fast=arguments.fast)
    load_s = time.perf_counter() - began
    result = compatible(engine, request) if arguments.compatible else engine.generate(request)
    save_npz(result.clip, arguments.out)
    if arguments.json:
        times = {"load_s": load_s, "compute_s": result.compute_s, "motion_s": result.motion_s}
        print(json.dumps({name: round(value, 4) for name, value in times.items()}))
    else:
        print(f"{result.motion_s:.2f} s of motion in {result.compute_s:.2f} s: {arguments.out}")


def compatible(engine: MotionEngine, request: GenerateRequest) -> GenerateResult:
    """Generate as the published demo does; raises `RequestError` if the pack is not the published model."""
    from .published.engine import PublishedEngine
    from .published.four_part_engine import FourPartEngine

    if not isinstance(engine, (PublishedEngine, FourPartEngine)):
        raise RequestError("Only an imported published model has a compatible way; leave out --compatible.")
    return engine.generate_as_published(request)


def print_card(root: Path) -> None:
    """Run `info`: the facts of pack.toml, then the model card."""
    from .packs import load_pack

    pack = load_pack(root)
    print(f"{pack.name} {pack.version} ({pack.kind}), licence {pack.value(str, 'licence')}")
    for name, entry in pack.table("files").items():
        assert isinstance(entry, dict)
        print(f"  {entry['size'] / 1e6:7.2f} MB  {name}")
    if "evaluation" in pack.info:
        print(f"  make evaluate: {pack.value(str, 'evaluation', 'summary')}")
    if "README.md" in pack.table("files"):
        print()
        print(pack.file("README.md").read_text(encoding="utf-8"))


def import_lom(arguments: argparse.Namespace) -> None:
    """Run `import-lom`: what was used, then what is absent but not needed."""
    from .published.choice import Release
    from .published.importer import ImportOptions, import_published

    options = ImportOptions(
        release=Release(arguments.model) if arguments.model else None,
        audio_layer=arguments.audio_layer,
        audio_start=arguments.audio_start,
    )
    report = import_published(arguments.folder, arguments.out, options)
    print(f"{report.pack.name}: {arguments.out}")
    for line in report.sources:
        print(f"  {line}")
    for line in report.notes:
        print(f"note: {line}")


def main(argv: list[str] | None = None) -> int:
    """Parse the command line and run it; expected failures end with one sentence and status 1."""
    arguments = build_parser().parse_args(argv)
    try:
        if arguments.command == "generate":
            generate(arguments)
        elif arguments.command == "batch":
            return batch(arguments)
        elif arguments.command == "import-lom":
            import_lom(arguments)
        else:
            print_card(arguments.pack)
    except EngineError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
