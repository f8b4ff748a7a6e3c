# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a language model that was trained in the published layout as a pack of the published kind.

Such a model learnt the registry's wordings and not the published demo's, so the pack holds templates, and the
engine asks in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..data.coding import CoderSource
from ..errors import EngineError
from ..language.model import LanguageModelConfig
from ..packs import Pack
from ..published.centres import read_centres
from ..published.choice import Choice, Release
from ..published.files import Weights, look_at
from ..published.importer import check_target, write_models
from ..published.language import language_shapes
from ..published.model import FOLLOWS
from ..published.prompts import WORDINGS, Wordings
from ..published.speech_files import read_speech
from ..specs import PARTS, Task
from ..tokenizers.config import config_from_dict
from ..tokenizers.vocabulary import Layout, Vocabulary
from .pack_export import stage_state, stage_training
from .tasks.grammar import Length
from .tasks.registry import TASKS
from .trainer import LEARNT

FOLLOWED = {
    Release.SPEECH: Task.AUDIO_TO_MOTION,
    Release.TEXT: Task.TEXT_TO_MOTION,
}
"""The task that makes a model follow a source."""

ASKED = (Task.AUDIO_TO_MOTION, Task.TEXT_TO_MOTION, Task.AUDIO_TEXT_TO_MOTION)
"""Tasks that the engine asks a model of the published kind for."""

LICENCE = "Under the terms of the data that it was trained on and of the weights that it began with."

_CARD = """# {name}

Trained with Kinesics, on the wordings of its registry of tasks, in the layout of The Language of Motion
(Chen, Zhang et al., CVPR 2025, arXiv 2412.10523). {licence}

## What it is asked

{asked}
"""


def export_published(best: Path, tokenizers: CoderSource, words: Path, out: Path) -> Pack:
    """Write the best weights of stage 3 in the published layout as a pack that the extension loads.

    Args:
        best: `best.pt` of stage 3.
        tokenizers: The joined motion tokenizers, the speech model and its centres it was trained with.
        words: FLAN-T5's `tokenizer.json`.
        out: Pack folder; an older pack there is replaced, anything else is left alone.

    Returns:
        The pack.

    Raises:
        EngineError: If the weights are of another kind, learnt nothing that can be asked, or a file is
            missing or not the one they were trained with.
    """
    check_target(out)
    state = stage_state(best)
    job: Mapping[str, Any] = state["job"]
    vocabulary = Vocabulary.from_dict(job["vocabulary"])
    if vocabulary.layout is not Layout.PUBLISHED or LEARNT not in job:
        raise EngineError("Only a language model that was trained in the published layout makes this pack.")
    wordings = learnt_wordings(job)
    follows = [release for release, task in FOLLOWED.items() if task in wordings.templates]
    if not follows:
        raise EngineError("This model learnt no motion from speech or words; train stage 3 from it first.")
    hubert, centres = tokenizers.speech_files()
    if tokenizers.load().fingerprint != job[LEARNT]["tokenizers"]:
        raise EngineError("These tokenizers are not the ones the language model was trained with.")
    config = config_from_dict(LanguageModelConfig, job["model"], "the language model")
    files = look_at([tokenizers.path, words])
    motion = {network.part: network for network in files.motion}
    if not files.words:
        raise EngineError(f"{words.name} is not FLAN-T5's vocabulary; give its tokenizer.json with --words.")
    name = "The Language of Motion, trained with Kinesics"
    choice = Choice(
        release=follows[0],
        motion={part: motion[part] for part in PARTS},
        root=motion[None],
        language=(Weights(best, {key: f"model.{key}" for key in language_shapes(config)}), config),
        words=words,
        speech=(*read_speech(hubert), centres, read_centres(centres)),
        body=None,
        judge=None,
        notes=(),
    )
    about = {
        "name": name,
        "version": "1",
        "licence": LICENCE,
        "release": follows[0].value,
        FOLLOWS: [release.value for release in follows],
        WORDINGS: wordings.to_dict(),
        "training": stage_training(state),
    }
    asked = "\n".join(f"- {template}" for template in wordings.templates.values())
    card = _CARD.format(name=name, licence=LICENCE, asked=asked)
    return write_models([(choice, vocabulary)], tokenizers.layer, about, card, out)


def learnt_wordings(job: Mapping[str, Any]) -> Wordings:
    """Templates for what a model learnt: of each task the first one that says a length.

    Args:
        job: What `LanguageJob.describe` said.
    """
    learnt = job[LEARNT]
    known = set(learnt["mixture"])
    if not learnt["combined"]:  # only then does a window hold a speech and a described motion
        known.discard(Task.AUDIO_TEXT_TO_MOTION)
    told = {task.kind.value: task.templates for task in TASKS if task.length is Length.SECONDS}
    templates = {task: next(filter(_is_asked_first, told[task.value])) for task in ASKED if task in known}
    return Wordings(templates, int(learnt["window_steps"]), int(learnt["max_length"]))


def _is_asked_first(template: str) -> bool:
    """Whether the instruction stands before the sound: a request that is too long loses its end."""
    return "{audio}" not in template or template.index("{audio}") > template.find("{caption}")
