# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the trained models as a pack: compact weights, descriptions, licence and model card."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from ..data.coding import CoderSource
from ..data.text_encoder_export import CREDIT, TOKENIZER_FILE, WEIGHTS_FILE
from ..errors import EngineError
from ..language.text_encoder import TextEncoderConfig
from ..language.words import WORDS_FILE, WordList
from ..packs import STARTER, Pack, write_pack
from ..specs import AUDIO_HZ, MOTION_FPS, Part
from ..tokenizers.audio_tokenizer import StarterAudioTokenizer
from ..tokenizers.motion_vqvae import MotionVQVAE
from ..weights.row_scales import quantise_rows
from .language_training import (
    FINISHED_FILE,
    LANGUAGE_FILE,
    TUNED_FILE,
    load_tokenizers,
    model_config,
    trained_vocabulary,
)
from .recipe import Recipe

CARD = Path(__file__).parent / "model_card.md"
LICENCE = "CC-BY-4.0"
TABLES = ("shared.weight", "reading.weight", "lm_head.weight")
CREDITS = [
    "Carnegie Mellon University Graphics Lab Motion Capture Database, mocap.cs.cmu.edu, NSF EIA-0196217: "
    "free for research and commercial use; body motion and its descriptions",
    "LibriSpeech (Panayotov et al. 2015), CC BY 4.0: speech",
    "LJSpeech (Ito and Johnson 2017), public domain: speech",
    CREDIT + ": frozen text encoder",
]


def export_pack(recipe: Recipe, recipe_name: str, out: Path, text_encoder: Path, pack: Path) -> None:
    """Write the pack.

    Args:
        recipe: The run's figures.
        recipe_name: Its name, for the pack's card.
        out: Folder with the checkpoints.
        text_encoder: Folder with the exported sentence encoder.
        pack: Folder to write; an older pack there is replaced.

    Raises:
        EngineError: If a checkpoint is missing.
    """
    needed = [LANGUAGE_FILE, TUNED_FILE, *([FINISHED_FILE] if recipe.finish else [])]
    for name in (*needed, WORDS_FILE):
        if not (out / name).is_file():
            raise EngineError(
                f"There is no {name} in {out.name}; train the language model and tune it first."
            )
    motion, audio = load_tokenizers(recipe, out)
    words = WordList.read(out / WORDS_FILE)
    vocabulary = replace(trained_vocabulary(motion, audio), num_words=len(words))
    config = model_config(recipe, vocabulary, TextEncoderConfig().width)
    parts = [torch.load(out / name, weights_only=True, map_location="cpu") for name in needed]
    training = {
        "command": f"python -m engine.training starter --recipe {recipe_name}",
        "commit": commit(),
        "parts": [Path(name).stem for name in needed],
        "steps": [int(part["step"]) for part in parts],
        "minutes": [round(float(part["spent_s"]) / 60, 1) for part in parts],
    }
    described = {
        "vocabulary": vocabulary.to_dict(),
        "language_model": config.to_dict(),
        "text_encoder": TextEncoderConfig().to_dict(),
    }
    files = {WORDS_FILE: words.to_json()}
    _write(pack, motion, audio, parts[-1]["averaged"], text_encoder, training, described, files)


def export_stage(
    best: Path,
    tokenizers: Path,
    text_encoder: Path,
    pack: Path,
    text_config: TextEncoderConfig | None = None,
) -> Pack:
    """Write the best weights of stage 2 or 3 as a pack that also answers in words.

    Args:
        best: `best.pt` of a run in the starter's layout.
        tokenizers: A pack or the folder of stage 1 whose codes it was trained on.
        text_encoder: Folder with the exported sentence encoder.
        pack: Folder to write; an older pack there is replaced.
        text_config: Sizes of the sentence encoder; None for MiniLM's.

    Raises:
        EngineError: If the weights are of another kind.
    """
    state = stage_state(best)
    job = state["job"]
    if job["vocabulary"]["layout"] != "starter":
        raise EngineError(
            "A language model in the published layout makes a pack with its own tokenizers and words; give "
            "--tokenizers, --hubert, --centres and --words."
        )
    coder = CoderSource(tokenizers).load()
    if not isinstance(coder.audio, StarterAudioTokenizer):
        raise EngineError("A starter pack needs the starter's own tokenizers.")
    training = stage_training(state)
    model = {name.removeprefix("model."): tensor for name, tensor in state["model"].items()}
    described = {
        "vocabulary": job["vocabulary"],
        "language_model": job["model"],
        "text_encoder": (text_config or TextEncoderConfig()).to_dict(),
    }
    words = {WORDS_FILE: WordList(tuple(job["words"])).to_json()}
    return _write(pack, coder.motion, coder.audio, model, text_encoder, training, described, words)


def stage_state(best: Path) -> dict[str, Any]:
    """A `best.pt` of stage 2 or 3; raises `EngineError` if it is none."""
    if not best.is_file():
        raise EngineError(f"There is no {best.name} in {best.parent.name}; train a stage first.")
    state = torch.load(best, weights_only=True, map_location="cpu")
    if "job" not in state or state["job"]["stage"] == "tokenizer":
        raise EngineError(f"{best.name} holds no language model of stage 2 or 3; choose its best.pt.")
    return state


def stage_training(state: Mapping[str, Any]) -> dict[str, object]:
    """How weights of a stage came about, for a pack's description."""
    return {
        "command": "python -m engine.training stage",
        "commit": commit(),
        "language_model_steps": int(state["progress"]["step"]),
        "minutes": round(float(state["progress"]["spent_s"]) / 60, 1),
    }


def _write(
    pack: Path,
    motion: dict[Part, MotionVQVAE],
    audio: StarterAudioTokenizer,
    model: dict[str, Tensor],
    text_encoder: Path,
    training: Mapping[str, object],
    described: Mapping[str, object],
    files: dict[str, str],
) -> Pack:
    """Put everything into the pack's folder."""
    tokenizers = {f"{part.value}.{k}": v for part, t in motion.items() for k, v in t.state_dict().items()}
    tokenizers |= {f"audio.{k}": v for k, v in audio.state_dict().items()}
    info = {
        "kind": STARTER,
        "name": "Kinesics starter",
        "version": "0.2.0",
        "licence": LICENCE,
        "data": {"credits": CREDITS},
        "training": training,
        "rates": {
            "motion_fps": MOTION_FPS,
            "audio_hz": AUDIO_HZ,
            "code_steps_per_s": 7.5,
            "audio_steps_per_s": 15,
        },
        "layouts": {"face": "arkit52", "hands": "hands180", "upper": "upper78", "lower": "starter62"},
        "tokenizers": {
            **{part.value: t.config.to_dict() for part, t in motion.items()},
            "audio": audio.config.to_dict(),
        },
        **described,
    }
    return write_pack(
        pack,
        info,
        {
            "language_model.safetensors": compact_language_model(model),
            "tokenizers.safetensors": halved(tokenizers),
            "text_encoder.safetensors": load_file(text_encoder / WEIGHTS_FILE),
        },
        {
            "tokenizer.json": text_encoder / TOKENIZER_FILE,
            "README.md": CARD.read_text(encoding="utf-8"),
            **files,
        },
    )


def compact_language_model(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a pack keeps of a language model: float16, and as int8 the encoder's matrices and the tables.

    The encoder is read once per window and forgives rounding best: of the draws of the most likely code, more
    than 99 in 100 stay the same, where int8 for the whole model changes more (`docs/training.md`). A table
    has a row, and so a scale, for each code and word.
    """
    compact: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        rounded = name.startswith("encoder.") and "bias" not in name
        if tensor.ndim == 2 and (rounded or name in TABLES):
            compact |= quantise_rows(name, tensor)
        else:
            compact |= halved({name: tensor})
    return compact


def halved(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Floating weights as float16."""
    return {k: v.half().contiguous() if v.is_floating_point() else v.contiguous() for k, v in tensors.items()}


def commit() -> str:
    """The checkout's commit, for a pack's card."""
    result = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return result.stdout.strip() or "unknown"
