# SPDX-License-Identifier: GPL-3.0-or-later
"""What the starter's language model loses by being stored compactly: hardly a draw changes."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.language.layout import (
    BLOCK_ORDER,
    Condition,
    build_encoder_batch,
    fill_decoder,
    instruction_states,
    plan_decoder,
)
from engine.language.model import LanguageModel
from engine.pipeline import Engine, load_engine
from engine.specs import PARTS, GenerateRequest, Part, PartDirection, SamplingOptions, Source
from engine.training.pack_export import compact_language_model
from engine.weights.row_scales import expand_rows

STARTER = Path(__file__).parents[2] / "packs" / "starter"
TEXTS = ("walk forward", "walk in a circle", "run forward", "jump", "stand still", "dance")
STEPS = 24


@pytest.fixture(scope="module")
def engine() -> Engine:
    found = load_engine(STARTER, "cpu")
    assert isinstance(found, Engine)
    return found


@pytest.fixture(scope="module")
def codes(engine: Engine) -> dict[Part, Tensor]:
    """Codes that the pack itself draws, (B, T * levels) per part."""
    requests = [
        GenerateRequest(
            {Part.LOWER: PartDirection(Source.TEXT, text)},
            duration_s=STEPS * 4 / 30,
            sampling=SamplingOptions(seed=seed),
        )
        for seed, text in enumerate(TEXTS)
    ]
    made = engine.generate_many(requests)
    return {part: torch.tensor([result.codes[part] for result in made]) for part in PARTS}


@torch.inference_mode()
def likeliest(engine: Engine, model: LanguageModel, codes: dict[Part, Tensor]) -> Tensor:
    """The likeliest code at every position, given those before, (N,)."""
    vocabulary = engine.vocabulary
    plan = plan_decoder(BLOCK_ORDER, STEPS, vocabulary)
    sources: dict[Part, Source | None] = dict.fromkeys(PARTS, Source.TEXT)
    conditions = [Condition(sources, dict.fromkeys(PARTS, row)) for row in range(len(TEXTS))]
    asked = build_encoder_batch(conditions, instruction_states(engine.text_encoder, TEXTS), STEPS, vocabulary)
    memory = model.encode(asked.ids, asked.mask, asked.times, asked.text_states, asked.is_text)
    inputs = fill_decoder(plan, codes, vocabulary)
    states = model.decode(inputs, memory, asked.mask, plan.key_times, plan.query_times, asked.times)
    found: list[Tensor] = []
    for part in plan.order:
        levels, begin = plan.levels[part], plan.starts[part]
        own = states[:, begin : begin + STEPS]
        for level in range(levels):
            if level:
                before = codes[part][:, level - 1 :: levels] + vocabulary.part_range(part, level - 1)[0]
                own = model.deepen(own, before)
            found.append(model.logits(own, *vocabulary.part_range(part, level)).argmax(-1).flatten())
    return torch.cat(found)


def test_compact_weights_draw_alike(engine: Engine, codes: dict[Part, Tensor]) -> None:
    """The pack may hold rounded weights already: a fine model is one that rounds to them, or near them."""
    torch.manual_seed(0)
    fine = {name: tensor.clone() for name, tensor in engine.model.state_dict().items()}
    compact = compact_language_model(fine)
    for name, tensor in compact.items():
        if tensor.dtype == torch.int8:
            step = compact[f"{name}.scale"].float()[:, None]
            fine[name] += (torch.rand_like(fine[name]) - 0.5) * step
    precise, rounded = copy.deepcopy(engine.model), copy.deepcopy(engine.model)
    precise.load_state_dict(fine)
    rounded.load_state_dict(expand_rows(compact_language_model(fine)))
    ours, theirs = (likeliest(engine, model, codes) for model in (precise, rounded))
    assert len(ours) == STEPS * len(TEXTS) * sum(engine.vocabulary.num_levels(part) for part in PARTS)
    assert float((ours == theirs).float().mean()) >= 0.99
    assert not all(torch.equal(a, b) for a, b in zip(precise.parameters(), rounded.parameters(), strict=True))


def test_compact_weights_are_smaller(engine: Engine) -> None:
    state = engine.model.state_dict()
    size = sum(t.numel() * t.element_size() for t in compact_language_model(state).values())
    assert size < 0.88 * sum(2 * t.numel() for t in state.values())
