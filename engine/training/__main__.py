# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line: `python -m engine.training starter|tokenizer|refine|language|export`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from ..errors import EngineError
from ..specs import Part
from .language_training import train_language
from .pack_export import export_pack
from .recipe import load_recipe
from .starter import TOKENIZER_NAMES, load_text_encoder, run_starter
from .tokenizer_training import refine_decoder, train_audio_tokenizer, train_motion_tokenizer


def main() -> int:
    """Parse the command line and run one command."""
    parser = argparse.ArgumentParser(prog="python -m engine.training", description="Train the starter pack.")
    parser.add_argument("command", choices=("starter", "tokenizer", "refine", "language", "export"))
    parser.add_argument("--recipe", default="starter", help="name in engine/training/recipes or a TOML file")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the raw data")
    parser.add_argument(
        "--work", type=Path, default=Path("build"), help="prepared data, checkpoints and logs"
    )
    parser.add_argument("--out", type=Path, default=Path("packs/starter"), help="folder of the finished pack")
    parser.add_argument("--part", choices=TOKENIZER_NAMES, help="which tokenizer")
    parser.add_argument("--start", type=Path, help="language: begin with this checkpoint's weights")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on every time budget")
    parser.add_argument("--minutes", type=float, help="minutes for the whole run; sets --scale")
    arguments = parser.parse_args()
    try:
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
        else:
            export_pack(recipe, training, arguments.work / "text_encoder", arguments.out)
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
