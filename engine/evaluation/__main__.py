# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m engine.evaluation`: measure a pack, print one table, and write it to
`docs/evaluation.md`, with plots beside it in `docs/evaluation/`, and onto the pack's card.

Exit status 0 when every goal is reached, 1 when one is missed, 2 when something needed is missing.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import EngineError
from ..whole_files import write_whole
from .action_rows import action_bounds_note
from .both_rows import control_rows, edit_rows, together_rows, variety_rows
from .card import pack_hash, record
from .closure_rows import closure_rows
from .engine_rows import resident_gb, speed_rows, tokenizer_rows
from .held_out import load_captured, load_speech
from .plots import draw_figures
from .probes import ACTION_PROBES, PROBES
from .report import Row, Run, json_report, markdown_page, terminal_table
from .speech_rows import seam_rows, speech_rows
from .studio import Studio
from .text_rows import bounds_note, captured_rows, check_captured, foot_rows, probe_rows

QUICK_SEEDS, QUICK_FILES, QUICK_LONG = 5, 8, 1
FURTHER = (
    "actions",
    "wordings",
    "retrieval",
    "emotion",
    "reading",
    "pace",
    "fit",
    "co-speech",
    "physics",
)
"""Topics measured only with `--science` or by name; most put packs in place, `actions`, `reading`, `pace` and
`fit` have goals."""
PERFORMED = ("emotion", "co-speech")
"""Further topics that need the prepared performances."""

TOPICS = ("tokenizers", "text", "speech", "both", "seams", "control", "speed")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name; None takes the process's own.
    """
    options = _parser().parse_args(arguments)
    try:
        if options.captured_only:
            return show_captured(options.build)
        if options.beat2:
            return evaluate_on_beat2(options)
        return evaluate(options)
    except EngineError as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m engine.evaluation", description=__doc__)
    parser.add_argument("--pack", type=Path, default=Path("packs/starter"), help="folder of the pack")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the data")
    parser.add_argument("--build", type=Path, default=Path("build/data"), help="folder of the prepared data")
    parser.add_argument("--quick", action="store_true", help="fewer seeds and files, about two minutes")
    parser.add_argument("--seeds", type=int, default=20, help="seeds per instruction")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--only", choices=(*TOPICS, *FURTHER), nargs="+", help="only these topics; writes no page"
    )
    parser.add_argument("--science", action="store_true", help="further topics too: " + ", ".join(FURTHER))
    parser.add_argument("--gesture-encoder", type=Path, help="co-speech: the published AESKConv_240_100.bin")
    parser.add_argument(
        "--mean-velocity", type=Path, help="co-speech: the published mean_vel_smplxflame_30.npy"
    )
    parser.add_argument(
        "--beat2", type=Path, help="co-speech metrics of any pack on BEAT2's test split below this folder"
    )
    parser.add_argument("--speakers", type=int, nargs="*", default=[2], help="of --beat2; none takes all")
    parser.add_argument("--smplx", type=Path, help="with --beat2: SMPL-X npz, to compare faces by vertices")
    parser.add_argument("--bert", type=Path, help="emotion: folder of a model for BERTScore")
    parser.add_argument(
        "--captured-only", action="store_true", help="probe the prepared data, no pack needed"
    )
    parser.add_argument("--out", type=Path, default=Path("docs/evaluation.md"))
    parser.add_argument("--json", type=Path, default=Path("build/evaluation.json"))
    return parser


def prepare(data: Path, build: Path, performances: bool) -> None:
    """Make the prepared data where it is absent, before anything is measured.

    Args:
        data: Folder of the data.
        build: Folder of the prepared data.
        performances: Whether they are needed beside the captured motion.
    """
    if performances and not (build / "performances" / "index.json").is_file():
        from ..training.recipe import load_recipe
        from ..training.starter import prepare_data

        print("preparing captured motion and performances (once)", file=sys.stderr)
        prepare_data(data, build, load_recipe("starter").performance_hours)
    if not (build / "captured.npz").is_file():
        from ..data import captured

        print("preparing captured motion (once)", file=sys.stderr)
        captured.main(["--data", str(data), "--out", str(build)])


def evaluate(options: argparse.Namespace) -> int:
    """Measure everything asked for.

    Args:
        options: From the command line.

    Returns:
        Exit status.
    """
    from ..errors import PackError
    from ..pipeline import Engine, load_engine

    begin = time.perf_counter()
    wanted: Sequence[str] = options.only or (*TOPICS, *(FURTHER if options.science else ()))
    prepare(options.data, options.build, any(topic in PERFORMED for topic in wanted))
    speech, captured = load_speech(options.data), load_captured(options.build)
    memory = resident_gb()
    started = time.perf_counter()
    engine = load_engine(options.pack, options.device)
    load_s = time.perf_counter() - started
    if not isinstance(engine, Engine):
        raise PackError(
            "Only packs of the starter's kind reach these goals; measure another kind with --beat2."
        )
    quick = bool(options.quick)
    studio = Studio(
        engine=engine,
        speech=speech,
        captured=captured,
        num_seeds=min(options.seeds, QUICK_SEEDS) if quick else options.seeds,
        num_files=QUICK_FILES if quick else 20,
        num_long=QUICK_LONG if quick else 4,
        say=lambda line: print(f"[{time.perf_counter() - begin:5.0f} s] {line}", file=sys.stderr, flush=True),
    )
    groups: dict[str, Callable[[], list[Row]]] = {
        # Time and memory first: what the other rows keep in memory is not the engine's.
        "speed": lambda: speed_rows(studio, load_s, memory),
        "tokenizers": lambda: tokenizer_rows(studio, engine.tokenizers),
        "text": lambda: text_group(studio),
        "speech": lambda: [*speech_rows(studio), *closure_rows(studio)],
        "both": lambda: [*together_rows(studio), *edit_rows(studio)],
        "seams": lambda: seam_rows(studio),
        "control": lambda: [*control_rows(studio), *variety_rows(studio)],
    }
    made = {topic: group() for topic, group in groups.items() if topic in wanted}
    rows = [row for topic in TOPICS if topic in made for row in made[topic]]
    if further := [topic for topic in FURTHER if topic in wanted]:
        from .further import Material, further_rows

        material = Material(options.build, options.gesture_encoder, options.bert, options.mean_velocity)
        rows += [row for topic in further for row in further_rows(topic, studio, engine, material)]
    notes = (bounds_note(studio), *([action_bounds_note(studio.captured)] if options.science else []))
    run = _run(options, studio.num_seeds, begin, quick, notes)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    write_whole(options.json, json_report(rows, run))
    page = options.json if options.only else options.out
    drawings = draw_figures(rows, page.with_suffix(""))
    print(terminal_table(rows))
    if not options.only:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(options.out, markdown_page(rows, run, drawings))
        if not quick:
            record(options.pack, rows, run)
    return int(any(row.passed is False for row in rows))


def evaluate_on_beat2(options: argparse.Namespace) -> int:
    """Measure a pack of any kind against captured motion; prints the table and writes it as JSON.

    Args:
        options: From the command line.

    Returns:
        Exit status: there are no goals, so 0.
    """
    from ..data.readers.base import describe_problems
    from ..data.readers.beat2 import Beat2Reader
    from ..motion.body_model import SmplxBody
    from ..pipeline import load_engine
    from .aeskconv import PUBLISHED, load_gesture_encoder
    from .beat2_rows import beat2_rows, face_vertices, read_recordings
    from .cospeech_rows import Encode, face_channels
    from .gesture_features import AUTOENCODER, load_autoencoder
    from .published_rows import load_mean_velocity

    begin = time.perf_counter()
    encoders: dict[str, Encode] = {}
    if options.gesture_encoder:
        encoders[PUBLISHED] = load_gesture_encoder(options.gesture_encoder).latents
    if (own := options.build.parent / AUTOENCODER).is_file():
        encoders["our autoencoder"] = load_autoencoder(own).latents
    face = face_vertices(SmplxBody(options.smplx)) if options.smplx else face_channels
    recordings = read_recordings(Beat2Reader(options.beat2, frozenset(options.speakers)))
    for line in describe_problems(len(recordings.sounds), recordings.problems):
        print(line, file=sys.stderr)
    engine = load_engine(options.pack, options.device)
    average = load_mean_velocity(options.mean_velocity) if options.mean_velocity else None
    rows = beat2_rows(engine, recordings, encoders, face, average, lambda line: print(line, file=sys.stderr))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    write_whole(options.json, json_report(rows, _run(options, len(recordings.sounds), begin)))
    print(terminal_table(rows))
    return 0


def _run(
    options: argparse.Namespace,
    num_seeds: int,
    begin: float,
    quick: bool = False,
    notes: tuple[str, ...] = (),
) -> Run:
    """What was measured on, from a start of `time.perf_counter` until now."""
    import torch

    return Run(
        pack=options.pack.name,
        pack_hash=pack_hash(options.pack),
        num_seeds=num_seeds,
        quick=quick,
        machine=f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        seconds=time.perf_counter() - begin,
        notes=notes,
    )


def text_group(studio: Studio) -> list[Row]:
    """Probes, the same on captured clips, and feet.

    Args:
        studio: Engine and material.
    """
    probes, walks = probe_rows(studio)
    return [*probes, *captured_rows(studio), *foot_rows(studio, walks)]


def show_captured(build: Path) -> int:
    """Print how the prepared captured clips fare on the probes of their own labels.

    Args:
        build: Folder of the prepared data.

    Returns:
        0 when at least 95 % of the training clips of every label pass.
    """
    items = load_captured(build)
    good = True
    for split in ("held", "train"):
        for check in check_captured(items, split, (*PROBES, *ACTION_PROBES)):
            count = len(check.measures)
            print(f"{split:5s} {check.probe.prompt:16s} {check.passed:4d} of {count:4d}")
            for name, reasons in check.failures[:12]:
                print(f"        {name}: {'; '.join(reasons)}")
            good &= split == "held" or check.passed >= 0.95 * count
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
