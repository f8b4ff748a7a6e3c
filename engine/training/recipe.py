# SPDX-License-Identifier: GPL-3.0-or-later
"""Recipes: every figure of a training run, read from TOML into frozen dataclasses."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import EngineError
from ..specs import Part
from .stage_recipe import HiddenRecipe, SpanRecipe

RECIPES = Path(__file__).parent / "recipes"

LANES = (("lower", "hands", "audio"), ("upper", "face"))
"""Tokenizers trained one after another on one core each, two lanes at once."""


@dataclass(frozen=True)
class TokenizerRecipe:
    """One motion tokenizer's figures; names as in the TOML file."""

    minutes: float
    max_steps: int
    width: int
    num_quantizers: int
    codebook_size: int
    captured_share: float


@dataclass(frozen=True)
class AudioRecipe:
    """The audio tokenizer's figures."""

    minutes: float
    max_steps: int
    width: int


@dataclass(frozen=True)
class TokenizersRecipe:
    """Figures all tokenizers share."""

    window_frames: int
    batch: int
    learning_rate: float
    warm_up: int
    code_dim: int
    position_weight: float
    speed_weight: float
    rotation_weight: float
    drift_weight: float
    checkpoint_minutes: float
    parts: dict[Part, TokenizerRecipe]
    audio: AudioRecipe


@dataclass(frozen=True)
class LanguageRecipe:
    """The language model's figures; `marked` is for packs that are trained on, see `TextEncoderConfig`."""

    minutes: float
    max_steps: int
    batch: int
    window_steps: int
    short_window_share: float
    d_model: int
    d_ff: int
    num_heads: int
    d_kv: int
    num_layers: int
    num_decoder_layers: int
    dropout: float
    time_reach: int
    depth_ff: int
    learning_rate: float
    bias_speed: float
    warm_up: int
    weight_decay: float
    label_smoothing: float
    average_decay: float
    checkpoint_minutes: float
    mixture: dict[str, float]
    hidden: dict[str, float]
    layouts: dict[str, float]
    paced: float = 0.0
    plainly: float = 0.0
    favoured: dict[str, float] = field(default_factory=lambda: {})
    words_only: bool = False
    marked: str = ""
    word_limit: int = 1500


@dataclass(frozen=True)
class QuestionRecipe:
    """Rows of the objectives of pretraining, or of the registry's tasks, beside the rows of requests.

    Attributes:
        rows: Of them in a step; 0 turns them off.
        weight: Of their loss beside that of the requests.
        some_parts: Share of emotions that are asked of some parts only.
        unseen: Share of questions for words whose motion is hidden: what the words are worth without it.
        mixture: Relative chance of each kind.
        hidden: What is hidden from them.
        spans: What objectives and tasks hide, and how often a caption is quoted.
    """

    rows: int
    weight: float
    some_parts: float
    unseen: float
    mixture: dict[str, float]
    hidden: HiddenRecipe
    spans: SpanRecipe = field(default_factory=SpanRecipe)


@dataclass(frozen=True)
class LipsRecipe:
    """The network that closes the lips.

    Attributes:
        width: Channels of its layers.
        speech_minutes: Synthetic speech that it learns from.
        steps: Of the optimiser.
        batch: Stretches of 2.5 s in a step.
        learning_rate: Highest.
        dropout: Of what is heard.
    """

    width: int = 128
    speech_minutes: float = 90.0
    steps: int = 4000
    batch: int = 24
    learning_rate: float = 3e-3
    dropout: float = 0.1


@dataclass(frozen=True)
class Recipe:
    """A whole run.

    The language model learns requests from the beginning to the end: beside the objectives of pretraining in
    its first part, `language`, and beside questions in its second one, `tuning`, and its third, `finish`,
    which a recipe may leave out. `further` is for packs that are trained on, `continuing`.
    """

    performance_hours: float
    phases: int
    performance_phases: int
    tokenizers: TokenizersRecipe
    language: LanguageRecipe
    tuning: LanguageRecipe
    pretraining: QuestionRecipe
    questions: QuestionRecipe
    finish: LanguageRecipe | None = None
    last_questions: QuestionRecipe | None = None
    further: LanguageRecipe | None = None
    further_questions: QuestionRecipe | None = None
    lips: LipsRecipe = LipsRecipe()

    @property
    def minutes(self) -> float:
        """Training minutes: the longer lane of tokenizers, then the language model in its parts."""
        own = {part.value: figures.minutes for part, figures in self.tokenizers.parts.items()}
        own["audio"] = self.tokenizers.audio.minutes
        return max(sum(own[name] for name in lane) for lane in LANES) + (
            self.language.minutes + self.tuning.minutes + (self.finish.minutes if self.finish else 0.0)
        )


def load_recipe(name: str | Path, scale: float = 1.0) -> Recipe:
    """Read a recipe.

    Args:
        name: A recipe's name in `recipes/` or a path.
        scale: Factor on every time budget.

    Returns:
        The recipe.

    Raises:
        EngineError: If the file is missing or a figure is absent or unknown.
    """
    path = Path(name) if Path(name).suffix == ".toml" else RECIPES / f"{name}.toml"
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        tokenizers = dict(values["tokenizers"])
        parts = {part: TokenizerRecipe(**_scaled(tokenizers.pop(part.value), scale)) for part in Part}
        audio = AudioRecipe(**_scaled(tokenizers.pop("audio"), scale))
        language = dict(values["language"])
        tuning = dict(values["tuning"])
        finish = dict(values["finish"]) if "finish" in values else None
        further = dict(values["further"]) if "further" in values else None
        pretraining, questions = language.pop("pretraining"), tuning.pop("questions")
        last = finish.pop("questions") if finish else None
        asked = further.pop("questions") if further else None
        ended = language | tuning | (finish or {})
        return Recipe(
            performance_hours=values["data"]["performance_hours"],
            phases=values["data"]["phases"],
            performance_phases=values["data"]["performance_phases"],
            tokenizers=TokenizersRecipe(parts=parts, audio=audio, **tokenizers),
            language=LanguageRecipe(**_scaled(language, scale)),
            tuning=LanguageRecipe(**_scaled(language | tuning, scale)),
            pretraining=_questions(pretraining),
            questions=_questions(questions),
            finish=LanguageRecipe(**_scaled(ended, scale)) if finish else None,
            last_questions=_questions(last) if last else None,
            further=LanguageRecipe(**_scaled(ended | further, scale)) if further else None,
            further_questions=_questions(asked) if asked else None,
            lips=LipsRecipe(**values.get("lips", {})),
        )
    except (OSError, KeyError, TypeError, tomllib.TOMLDecodeError) as problem:
        raise EngineError(
            f"The recipe {path.name} cannot be used ({problem}); compare it with recipes/starter.toml."
        ) from problem


def _questions(values: dict[str, Any]) -> QuestionRecipe:
    told: dict[str, Any] = {**values, "hidden": HiddenRecipe(**values["hidden"])}
    told["spans"] = SpanRecipe(**values.get("spans", {}))
    return QuestionRecipe(**told)


def _scaled(values: dict[str, Any], scale: float) -> dict[str, Any]:
    return {**values, "minutes": values["minutes"] * scale}
