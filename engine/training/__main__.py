# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line: `python -m engine.training COMMAND`; `COMMANDS` lists them."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from ..data.coding import CoderSource, add_speech_options
from ..errors import EngineError
from ..specs import Part
from .continuing import continue_pack, export_continued
from .language_training import finish_language, train_language, tune_language
from .lip_training import add_lips, train_lips
from .pack_export import export_pack, export_stage
from .published_export import export_published
from .recipe import load_recipe
from .stage_recipe import load_stage_recipe
from .starter import TOKENIZER_NAMES, load_text_encoder, run_starter
from .tokenizer_training import refine_decoder, train_audio_tokenizer, train_motion_tokenizer

STAGE_COMMANDS = ("stage", "export-stage", "join-tokenizers", "export-four-part", "export-later-speech")
COMMANDS = (
    "starter", "tokenizer", "refine", "language", "tune", "finish", "continue", "lips", "export",
    *STAGE_COMMANDS,
)  # fmt: skip


def add_stage_options(parser: argparse.ArgumentParser) -> None:
    """Options of `stage` and `export-stage`; --recipe and --out are shared."""
    stage = parser.add_argument_group("stage", "one stage by a recipe of recipes/stages")
    stage.add_argument("--shards", type=Path, nargs="*", default=[], help="prepared corpora")
    stage.add_argument("--prepared", type=Path, help="the starter's prepared data, as build/data")
    stage.add_argument("--features", type=Path, nargs="*", default=[], help="stage 1: feature files")
    stage.add_argument("--tokenizers", type=Path, help="pack, folder of stage 1 or published file")
    add_speech_options(parser)
    stage.add_argument("--words", type=Path, help="export-stage, published layout: FLAN-T5's tokenizer.json")
    stage.add_argument(
        "--weights",
        type=Path,
        help="export-stage, export-four-part, export-later-speech: a best.pt; join-tokenizers: folder of the "
        "parts' runs, or of one run",
    )


def run_stage_command(arguments: argparse.Namespace) -> None:
    """Run one of `STAGE_COMMANDS`."""
    tokenizers: Path = arguments.tokenizers or arguments.work / "training"
    source = CoderSource(
        tokenizers, hubert=arguments.hubert, centres=arguments.centres, layer=arguments.layer
    )
    if arguments.command == "export-stage":
        if arguments.weights is None:
            raise EngineError("Say which weights make the pack: --weights FOLDER/best.pt.")
        if arguments.words is not None:
            export_published(arguments.weights, source, arguments.words, arguments.out)
        else:
            export_stage(arguments.weights, tokenizers, arguments.work / "text_encoder", arguments.out)
        return
    if arguments.command == "join-tokenizers":
        from .tokenizer_stage import join_tokenizers

        if arguments.weights is None:
            raise EngineError("Say where the parts' runs are: --weights FOLDER.")
        join_tokenizers(arguments.weights, arguments.out)
        return
    if arguments.command in ("export-four-part", "export-later-speech"):
        from .four_part_stage import export_four_part
        from .later_speech_stage import export_later_speech

        if arguments.weights is None:
            raise EngineError("Say which weights make the file: --weights FOLDER/best.pt.")
        export = export_four_part if arguments.command == "export-four-part" else export_later_speech
        export(arguments.weights, arguments.out)
        return
    from .stages import StageData, run_stage

    data = StageData(arguments.shards, arguments.prepared, arguments.features, source, arguments.work)
    run_stage(load_stage_recipe(arguments.recipe), data, arguments.out)


def main() -> int:
    """Parse the command line and run one command."""
    parser = argparse.ArgumentParser(prog="python -m engine.training", description="Train the starter pack.")
    parser.add_argument(
        "command",
        choices=COMMANDS,
    )
    parser.add_argument("--recipe", default="starter", help="name in engine/training/recipes or a TOML file")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the raw data")
    parser.add_argument(
        "--work", type=Path, default=Path("build"), help="prepared data, checkpoints and logs"
    )
    parser.add_argument("--out", type=Path, default=Path("packs/starter"), help="folder of the finished pack")
    parser.add_argument(
        "--pack", type=Path, default=Path("packs/starter"), help="continue, lips: the pack that is trained on"
    )
    parser.add_argument("--card", type=Path, help="continue: a model card for the new pack")
    parser.add_argument("--blend", type=Path, help="continue: an earlier pack to blend the weights with")
    parser.add_argument("--blend-share", type=float, default=0.1, help="its share, 0 to 1")
    parser.add_argument("--part", choices=TOKENIZER_NAMES, help="which tokenizer")
    parser.add_argument("--start", type=Path, help="language: begin with this checkpoint's weights")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on every time budget")
    parser.add_argument("--minutes", type=float, help="minutes for the whole run; sets --scale")
    add_stage_options(parser)
    arguments = parser.parse_args()
    try:
        if arguments.command in STAGE_COMMANDS:
            run_stage_command(arguments)
            return 0
        scale = arguments.scale
        if arguments.minutes:
            scale = arguments.minutes / load_recipe(arguments.recipe).minutes
        recipe = load_recipe(arguments.recipe, scale)
        prepared, training = arguments.work / "data", arguments.work / "training"
        if arguments.command == "starter":
            run_starter(recipe, arguments.recipe, arguments.data, arguments.work, arguments.out, scale)
        elif arguments.command == "tokenizer":
            if arguments.part == "audio":
                train_audio_tokenizer(recipe, prepared, training)
            elif arguments.part:
                train_motion_tokenizer(Part(arguments.part), recipe, prepared, training)
            else:
                parser.error("--part says which tokenizer to train")
        elif arguments.command == "refine":
            if arguments.part in (None, "audio"):
                parser.error("--part says which motion tokenizer's decoder to refine")
            refine_decoder(Part(arguments.part), recipe, prepared, training, arguments.minutes or 5.0)
        elif arguments.command == "language":
            train_language(
                recipe, prepared, training, load_text_encoder(arguments.work), start=arguments.start
            )
        elif arguments.command == "tune":
            tune_language(recipe, prepared, training, load_text_encoder(arguments.work))
        elif arguments.command == "continue":
            checkpoint = continue_pack(recipe, arguments.pack, prepared, training)
            blend = (arguments.blend, arguments.blend_share) if arguments.blend else None
            marked = recipe.further.marked if recipe.further else ""
            export_continued(
                arguments.pack, checkpoint, arguments.recipe, arguments.out, arguments.card, blend, marked
            )
        elif arguments.command == "lips":
            add_lips(arguments.pack, train_lips(recipe.lips, training), arguments.out)
        elif arguments.command == "finish":
            finish_language(recipe, prepared, training, load_text_encoder(arguments.work))
        else:
            export_pack(recipe, arguments.recipe, training, arguments.work / "text_encoder", arguments.out)
    except EngineError as problem:
        print(problem, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as problem:
        step = " ".join(problem.cmd[2:])
        print(f"The step '{step}' failed; its message stands above, and the same command goes on from there.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
