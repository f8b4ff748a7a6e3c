# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the trained models as a pack: half-precision weights, descriptions, licence and model card."""

from __future__ import annotations

import subprocess
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from ..data.text_encoder_export import CREDIT, TOKENIZER_FILE, WEIGHTS_FILE
from ..language.text_encoder import TextEncoderConfig
from ..packs import write_pack
from ..specs import AUDIO_HZ, MOTION_FPS
from .language_training import load_tokenizers, model_config, trained_vocabulary
from .recipe import Recipe

CARD = Path(__file__).parent / "model_card.md"
LICENCE = "CC-BY-4.0"
CREDITS = [
    "Carnegie Mellon University Graphics Lab Motion Capture Database, mocap.cs.cmu.edu, NSF EIA-0196217: "
    "free for research and commercial use; body motion and its descriptions",
    "LibriSpeech (Panayotov et al. 2015), CC BY 4.0: speech",
    "LJSpeech (Ito and Johnson 2017), public domain: speech",
    CREDIT + ": frozen text encoder",
]


def export_pack(recipe: Recipe, out: Path, text_encoder: Path, pack: Path) -> None:
    """Write the pack.

    Args:
        recipe: The run's figures.
        out: Folder with the checkpoints.
        text_encoder: Folder with the exported sentence encoder.
        pack: Folder to write; an older pack there is replaced.
    """
    motion, audio = load_tokenizers(recipe, out)
    vocabulary = trained_vocabulary(motion, audio)
    config = model_config(recipe, vocabulary, TextEncoderConfig().width)
    weights = torch.load(out / "language.pt", weights_only=True, map_location="cpu")
    tokenizers = {f"{part.value}.{k}": v for part, t in motion.items() for k, v in t.state_dict().items()}
    tokenizers |= {f"audio.{k}": v for k, v in audio.state_dict().items()}
    info = {
        "kind": "starter",
        "name": "Kinesics starter",
        "version": "0.1.0",
        "licence": LICENCE,
        "data": {"credits": CREDITS},
        "training": {
            "command": "make train-starter",
            "commit": _commit(),
            "language_model_steps": int(weights["step"]),
            "minutes": round(float(weights["spent_s"]) / 60, 1),
        },
        "rates": {
            "motion_fps": MOTION_FPS,
            "audio_hz": AUDIO_HZ,
            "code_steps_per_s": 7.5,
            "audio_steps_per_s": 15,
        },
        "layouts": {"face": "arkit52", "hands": "hands180", "upper": "upper78", "lower": "starter62"},
        "vocabulary": vocabulary.to_dict(),
        "tokenizers": {
            **{part.value: t.config.to_dict() for part, t in motion.items()},
            "audio": audio.config.to_dict(),
        },
        "text_encoder": TextEncoderConfig().to_dict(),
        "language_model": config.to_dict(),
    }
    write_pack(
        pack,
        info,
        {
            "language_model.safetensors": _half(weights["averaged"]),
            "tokenizers.safetensors": _half(tokenizers),
            "text_encoder.safetensors": load_file(text_encoder / WEIGHTS_FILE),
        },
        {"tokenizer.json": text_encoder / TOKENIZER_FILE, "README.md": CARD.read_text(encoding="utf-8")},
    )


def _half(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Floating weights as float16."""
    return {k: v.half().contiguous() if v.is_floating_point() else v.contiguous() for k, v in tensors.items()}


def _commit() -> str:
    result = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return result.stdout.strip() or "unknown"
