# SPDX-License-Identifier: GPL-3.0-or-later
"""The published demo as it is, odd things included, for comparing with it (spec 1.6, 3.6, 3.7)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..errors import RequestError
from ..language.decoder import DecoderWeights
from ..motion.arrays import FloatArray
from ..motion.clip import Clip
from ..specs import MOTION_FPS, PARTS, CancelCheck, Part, ProgressCallback, SamplingOptions
from ..tokenizers.assembly import decode_published
from ..tokenizers.published_strings import parse_as_published
from .decoding import MAX_WORDS, PUBLISHED_TOP_K, write_freely
from .model import PublishedModel
from .prompts import AUDIO_STEPS_PER_S, prompt_words, request_for

WINDOW = 120
"""Codes of each part in a window, `TEST_LENGTH` of the demo."""

HEARD = int(WINDOW * AUDIO_STEPS_PER_S / MOTION_FPS)
"""Numbers of sound in a window."""


def as_published(
    model: PublishedModel,
    weights: DecoderWeights,
    wave: FloatArray | None,
    text: str | None,
    options: SamplingOptions,
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
) -> tuple[Clip, dict[Part, list[int]]]:
    """Make a motion as the demo does.

    Args:
        model: The model for speech or for text.
        weights: Its language model's.
        wave: Speech at 16 kHz, (N,); needed without a text.
        text: Instruction, or None for speech.
        options: Seed and temperature (0 takes the likeliest word); the demo's draw has no other settings.
        progress: Told how far it is.
        cancel: Asked before every word.

    Returns:
        The clip, and the codes of every part.

    Raises:
        EngineError: If there is nothing to follow, or the sound cannot be used.
    """
    requests = (
        [text]
        if text is not None
        else [request_for(heard, model.vocabulary) for heard in _heard(model, wave, cancel)]
    )
    generator = torch.Generator().manual_seed(options.seed & (2**63 - 1))
    options = replace(options, top_k=PUBLISHED_TOP_K)
    answers: list[dict[Part, list[int]]] = []
    for number, request in enumerate(requests):

        def on_step(done: int, number: int = number) -> None:
            if progress is not None:
                progress(0.97 * (number + done / MAX_WORDS) / len(requests), "Moving the body")

        prompt = prompt_words(request, model.words)
        written = write_freely(weights, prompt, options, generator, on_step, cancel)
        spelt = model.words.decode(written, skip_special_tokens=True)
        answers.append(parse_as_published(spelt, model.vocabulary))
    length = WINDOW if text is None else max(len(codes) for codes in answers[0].values())
    whole = {part: [c for answer in answers for c in fitted(answer[part], length)] for part in PARTS}
    codes = {
        part: in_range(values, model.vocabulary.parts[part].codebook_size) for part, values in whole.items()
    }
    clip = decode_published(model.tokenizers, {part: row.to(model.device) for part, row in codes.items()})
    return clip, {part: row[0].tolist() for part, row in codes.items()}


def fitted(codes: list[int], length: int) -> list[int]:
    """Codes cut to a length, or filled up with the code 0."""
    return [*codes, *[0] * (length - len(codes))][:length]


def in_range(codes: list[int], codebook_size: int) -> Tensor:
    """Codes brought into the codebook's range, (1, T), int64."""
    return torch.tensor([codes]).clamp(0, codebook_size - 1)


def _heard(model: PublishedModel, wave: FloatArray | None, cancel: CancelCheck | None) -> list[list[int]]:
    """Numbers of the sound in each window; the last window may be empty."""
    if wave is None or model.speech is None:
        raise RequestError(
            "There is no speech to follow; choose a sound, and a pack made with the speech model."
        )
    sound = torch.from_numpy(wave)[None].to(model.device)
    heard = model.speech.encode_as_published(sound, cancel)[0].tolist()
    return [heard[start : start + HEARD] for start in range(0, len(heard) + 1, HEARD)]
