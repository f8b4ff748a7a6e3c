# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's decoding loop against transformers' own `generate` and CTranslate2, same weights and process.

    python benchmarks/decode.py [--pack packs/starter] [--runs 3] [--threads N]
        [--case starter published] [--only "in use" int8]

Both run the decoder over as many positions, sampled with top-p 0.95, from the same encoder input in one row,
and draw one code at each. transformers keeps its cache and reads the whole output head; the starter's time
biases, which its T5 does not have, are left out there and paid for here. What a motion of the starter needs
beyond that, further quantizer levels, has a row of its own. Before anything is timed, both must give the same
scores on the same tokens. The memory floor is what a step would take if it did nothing but read the decoder's
weights, at eight bits each, at the speed measured here.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine.language.biases import UNTIMED  # noqa: E402
from engine.language.decoder import DecoderWeights, TorchDecoderWeights, decoder_weights  # noqa: E402
from engine.language.decoding import WindowRequest, generate_window  # noqa: E402
from engine.language.layout import BLOCK_ORDER, EncoderBatch, plan_decoder  # noqa: E402
from engine.language.model import LanguageModel, LanguageModelConfig  # noqa: E402
from engine.specs import PARTS, SamplingOptions  # noqa: E402
from engine.tokenizers.vocabulary import BlockSize, Layout, Vocabulary  # noqa: E402

STARTER_INPUT = 170
"""About what a window of speech with its margins and one instruction has."""

TARGET = 4.0
"""How many times faster the engine must be."""

IN_USE, ALL_LEVELS = "engine, as in use", "in use, all levels"
"""What animators have; and drawing all that a motion needs, which transformers cannot."""

SMALL_ROUNDS = 5
"""How much oftener the starter is timed: its runs are short, and vary more."""

BANDWIDTH_BYTES = 1 << 29
"""Read to measure the memory's speed; far more than any cache holds."""


@dataclass(frozen=True)
class Case:
    """One set of weights.

    Attributes:
        name: For the table.
        model: The engine's model.
        vocabulary: Its numbering.
        num_steps: Motion steps of one window.
        encoder_tokens: Length of its encoder input.
    """

    name: str
    model: LanguageModel
    vocabulary: Vocabulary
    num_steps: int
    encoder_tokens: int


def starter_case(folder: Path) -> Case:
    """The starter pack's weights; random ones of its recipe's size where it is absent."""
    if (folder / "pack.toml").exists():
        from engine.pipeline import Engine, load_engine
        from engine.windows import WINDOW_STEPS

        engine = load_engine(folder, "cpu")
        assert isinstance(engine, Engine)
        return Case("starter pack", engine.model, engine.vocabulary, WINDOW_STEPS, STARTER_INPUT)
    from engine.training.recipe import load_recipe

    recipe = load_recipe("starter")
    language, tokenizers = recipe.language, recipe.tokenizers
    size = tokenizers.codebook_size
    parts = {part: BlockSize(tokenizers.parts[part].num_quantizers, size) for part in PARTS}
    vocabulary = Vocabulary(Layout.STARTER, 30522, parts, BlockSize(2, size))
    config = LanguageModelConfig(
        vocab_size=vocabulary.size,
        embedding_offset=vocabulary.num_text,
        d_model=language.d_model,
        d_kv=language.d_kv,
        d_ff=language.d_ff,
        num_heads=language.num_heads,
        num_layers=language.num_layers,
        num_decoder_layers=language.num_decoder_layers,
        text_width=384,
        time_reach=language.time_reach,
        depth_ff=language.depth_ff,
    )
    return Case(
        "starter size, random", LanguageModel(config), vocabulary, language.window_steps, STARTER_INPUT
    )


def flan_case(
    d_model: int = 768, d_kv: int = 64, d_ff: int = 2048, num_heads: int = 12, num_layers: int = 12
) -> Case:
    """Random weights of FLAN-T5-base's size with the published vocabulary (lom-spec 3.1): 4 s of motion."""
    parts = {part: BlockSize(1, 256) for part in PARTS}
    vocabulary = Vocabulary(Layout.PUBLISHED, 32100, parts, BlockSize(1, 500), 2)
    config = LanguageModelConfig(
        vocab_size=vocabulary.size,
        d_model=d_model,
        d_kv=d_kv,
        d_ff=d_ff,
        num_heads=num_heads,
        num_layers=num_layers,
        num_decoder_layers=num_layers,
    )
    return Case("FLAN-T5-base size, random", LanguageModel(config), vocabulary, 120, 230)


def as_transformers(model: LanguageModel) -> Any:
    """The same weights in transformers' T5."""
    from transformers import T5Config, T5ForConditionalGeneration

    config = model.config
    rows = config.vocab_size - config.embedding_offset
    twin = T5ForConditionalGeneration(
        T5Config(
            vocab_size=rows,
            d_model=config.d_model,
            d_kv=config.d_kv,
            d_ff=config.d_ff,
            num_heads=config.num_heads,
            num_layers=config.num_layers,
            num_decoder_layers=config.num_decoder_layers,
            relative_attention_num_buckets=config.num_buckets,
            relative_attention_max_distance=config.max_distance,
            layer_norm_epsilon=config.layer_norm_epsilon,
            feed_forward_proj="gated-gelu",
            tie_word_embeddings=False,
            dropout_rate=0.0,
            decoder_start_token_id=0,
            eos_token_id=rows - 1,
            pad_token_id=0,
        )
    )
    # transformers 5 ties the output head to the embedding in memory; T5 v1.1 and this model keep them apart.
    twin.lm_head.weight = torch.nn.Parameter(twin.lm_head.weight.detach().clone())
    twin.encoder.embed_tokens = twin.decoder.embed_tokens = twin.shared
    report = twin.load_state_dict(model.state_dict(), strict=False)
    lost = [name for name in report.missing_keys if not name.endswith("embed_tokens.weight")]
    added = [
        name
        for name in report.unexpected_keys
        if not name.startswith(("text_projection.", "depth.", "reading.")) and "time_bias" not in name
    ]
    if lost or added:
        raise RuntimeError(f"the weights do not fit transformers' T5: lacking {lost}, unknown {added}")
    return twin.eval()


@torch.inference_mode()
def largest_difference(model: LanguageModel, twin: Any, ids: Tensor) -> float:
    """Largest difference of the two models' scores on the same tokens, time biases off.

    Args:
        model: The engine's.
        twin: transformers'.
        ids: Encoder and decoder input, rows of the embedding table, (1, L).
    """
    plain = LanguageModel(replace(model.config, time_reach=0, text_width=0, depth_ff=0)).eval()
    kept = {name: value for name, value in model.state_dict().items() if name in plain.state_dict()}
    plain.load_state_dict(kept)
    mask, offset = torch.ones_like(ids, dtype=torch.bool), plain.config.embedding_offset
    memory = plain.encode(ids + offset, mask)
    ours = plain.logits(plain.decode(ids + offset, memory, mask), offset, plain.config.vocab_size)
    theirs = twin(input_ids=ids, attention_mask=mask.long(), decoder_input_ids=ids).logits
    return float((ours - theirs).abs().max())


def ctranslate2_contestant(
    twin: Any, ids: Tensor, num_positions: int, folder: Path, compute_type: str
) -> Callable[[], int]:
    """The same weights in CTranslate2, sampled alike; its conversion is written to `folder`.

    Args:
        twin: transformers' model.
        ids: Encoder input, (1, L).
        num_positions: Positions to write.
        folder: A folder of one's own.
        compute_type: "float32" or "int8".
    """
    ctranslate2: Any = importlib.import_module("ctranslate2")
    loaders: Any = importlib.import_module("ctranslate2.converters.transformers")
    spec = loaders.T5Loader().get_model_spec(twin)
    words = [f"w{index}" for index in range(twin.config.vocab_size)]
    spec.register_source_vocabulary(words)
    spec.register_target_vocabulary(words)
    config = spec.config
    config.bos_token = config.decoder_start_token = words[0]
    config.eos_token, config.unk_token = words[-1], words[-2]
    spec.validate()
    spec.optimize(quantization=compute_type)
    spec.save(str(folder))
    translator = ctranslate2.Translator(
        str(folder), compute_type=compute_type, intra_threads=torch.get_num_threads()
    )
    source = [[words[index] for index in ids[0].tolist()]]

    def run() -> int:
        (written,) = translator.translate_batch(
            source,
            beam_size=1,
            sampling_topk=0,
            sampling_topp=0.95,
            min_decoding_length=num_positions,
            max_decoding_length=num_positions,
        )
        return len(written.hypotheses[0])

    return run


def bandwidth() -> float:
    """Bytes per second that torch's threads read from memory, the best of five."""
    values = torch.ones(BANDWIDTH_BYTES // 4)
    best = 0.0
    for _ in range(5):
        start = time.perf_counter()
        values.sum()
        best = max(best, BANDWIDTH_BYTES / (time.perf_counter() - start))
    return best


def encoder_batch(case: Case, ids: Tensor) -> EncoderBatch:
    """A request of rows of the embedding table, (B, L), as the engine takes it."""
    config = case.model.config
    mask = torch.ones_like(ids, dtype=torch.bool)
    return EncoderBatch(
        ids=ids + config.embedding_offset,
        mask=mask,
        times=torch.full((ids.shape[1],), UNTIMED),
        text_states=torch.zeros(*ids.shape, max(config.text_width, 1)),
        is_text=torch.zeros_like(mask),
    )


def transformers_contestant(twin: Any, ids: Tensor, num_positions: int) -> Callable[[], int]:
    """transformers' own `generate`, sampled with top-p 0.95.

    Args:
        twin: transformers' model.
        ids: Encoder input, (1, L), on the model's device.
        num_positions: Positions to write.
    """
    from transformers import DynamicCache, EncoderDecoderCache

    @torch.inference_mode()
    def run() -> int:
        # Made here, since transformers 5.12 sizes it by the encoder's depth, which may differ.
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        out = twin.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            past_key_values=cache,
            do_sample=True,
            top_p=0.95,
            top_k=0,
            min_new_tokens=num_positions,
            max_new_tokens=num_positions,
        )
        return out.shape[1] - 1

    return run


def compare(case: Case, runs: int, only: list[str]) -> list[tuple[str, list[float]]]:
    """Time the loops in turns.

    Args:
        case: The weights.
        runs: Of each, beside one that warms up.
        only: Words in the names of those that are timed; none for all.

    Returns:
        Name and seconds of every run of each.
    """
    from engine.language.onnx_decoder import OnnxDecoderWeights

    model = case.model.eval()
    config, vocabulary = model.config, case.vocabulary
    twin = as_transformers(model)
    num_positions = case.num_steps * len(PARTS)
    rows = config.vocab_size - config.embedding_offset
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, rows - 1, (1, case.encoder_tokens), generator=generator)
    difference = largest_difference(model, twin, ids)
    if difference > 1e-2:
        raise RuntimeError(f"{case.name}: the two models differ by {difference:.3g} on the same tokens")

    def ours(weights: DecoderWeights, vocabulary: Vocabulary) -> Callable[[], int]:
        plan = plan_decoder(BLOCK_ORDER, case.num_steps, vocabulary)
        uniform = torch.rand(1, plan.num_draws, generator=generator)
        request = WindowRequest(plan, encoder_batch(case, ids), forced={}, guidance={}, uniform=uniform)

        def run() -> int:
            codes = generate_window(weights, vocabulary, request, SamplingOptions(top_p=0.95))
            return sum(block.shape[1] // plan.levels[part] for part, block in codes.items())

        return run

    def converted(kind: str) -> Callable[[], int]:
        folder = Path(tempfile.mkdtemp(prefix="kinesics-"))
        contestant = ctranslate2_contestant(twin, ids, num_positions, folder, kind)
        shutil.rmtree(folder)
        return contestant

    in_use = decoder_weights(model)
    one_level = {part: BlockSize(1, size.codebook_size) for part, size in vocabulary.parts.items()}
    flat = replace(vocabulary, parts=one_level)
    makers = {
        "transformers generate": lambda: transformers_contestant(twin, ids, num_positions),
        "engine, torch float32": lambda: ours(TorchDecoderWeights(model), flat),
        "engine, torch bfloat16": lambda: ours(TorchDecoderWeights(model, torch.bfloat16), flat),
        "engine, ONNX float32": lambda: ours(OnnxDecoderWeights(model), flat),
        IN_USE: lambda: ours(in_use, flat),
        "engine, ONNX 8 bits": lambda: ours(OnnxDecoderWeights(model, 8), flat),
    }
    if flat != vocabulary:
        makers[ALL_LEVELS] = lambda: ours(in_use, vocabulary)
    if importlib.util.find_spec("ctranslate2") is None:
        print("CTranslate2 is not installed (pip install ctranslate2), so it is left out")
    else:
        makers["CTranslate2 float32"] = lambda: converted("float32")
        makers["CTranslate2 int8"] = lambda: converted("int8")
    contestants = {
        name: make() for name, make in makers.items() if not only or any(word in name for word in only)
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for run in range(runs + 1):
        for name, contestant in contestants.items():
            start = time.perf_counter()
            made = contestant()
            if made != num_positions:
                raise RuntimeError(f"{name} made {made} positions instead of {num_positions}")
            if run:  # the first round warms up
                seconds[name].append(time.perf_counter() - start)
    codes = case.num_steps * sum(size.num_levels for size in vocabulary.parts.values())
    print(f"\n{case.name}: {num_positions} positions, {codes} codes on all levels")
    print(f"largest difference of scores {difference:.1e}")
    weights = sum(p.numel() for p in model.decoder.parameters())
    floor = num_positions * weights / bandwidth()
    print(f"memory floor at eight bits {floor:.3f} s, {num_positions / floor:.0f} positions a second")
    return list(seconds.items())


def main() -> int:
    """Print one table per set of weights; 1 when the engine's loop is below the target."""
    parser = argparse.ArgumentParser(description="Time the decoding loop against transformers.")
    parser.add_argument("--pack", type=Path, default=ROOT / "packs" / "starter")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0 leaves torch's choice")
    parser.add_argument(
        "--case", nargs="+", choices=("starter", "published"), default=["starter", "published"]
    )
    parser.add_argument("--only", nargs="+", default=[], help="words in the names of those that are timed")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    slow = False
    for kind in arguments.case:
        is_starter = kind == "starter"
        case = starter_case(arguments.pack) if is_starter else flan_case()
        rows = compare(case, arguments.runs * (SMALL_ROUNDS if is_starter else 1), arguments.only)
        base = statistics.median(rows[0][1])
        print(f"  {'':24} {'median':>8} {'best':>8}   against the first")
        for name, values in rows:
            seconds = statistics.median(values)
            print(f"  {name:24} {seconds:8.3f} {min(values):8.3f} s {base / seconds:6.1f} x")
            slow = slow or (name == IN_USE and not arguments.only and base / seconds < TARGET)
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
