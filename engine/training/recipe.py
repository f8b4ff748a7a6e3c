# SPDX-License-Identifier: GPL-3.0-or-later
"""Recipes: every figure of a training run, read from TOML into frozen dataclasses."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EngineError
from ..specs import Part
from .stage_recipe import HiddenRecipe

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
    codebook_size: int
    position_weight: float
    speed_weight: float
    rotation_weight: float
    drift_weight: float
    checkpoint_minutes: float
    parts: dict[Part, TokenizerRecipe]
    audio: AudioRecipe


@dataclass(frozen=True)
class LanguageRecipe:
    """The language model's figures."""

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


@dataclass(frozen=True)
class QuestionRecipe:
    """Rows of the registry's tasks beside the rows of requests.

    Attributes:
        rows: Of them in a step.
        weight: Of their loss beside that of the requests.
        some_parts: Share of emotions that are asked of some parts only.
        mixture: Relative chance of each kind of task.
        hidden: What is hidden from them.
    """

    rows: int
    weight: float
    some_parts: float
    mixture: dict[str, float]
    hidden: HiddenRecipe


@dataclass(frozen=True)
class Recipe:
    """A whole run; `tuning` is the language model's second part, in which questions are learned too."""

    performance_hours: float
    phases: int
    performance_phases: int
    tokenizers: TokenizersRecipe
    language: LanguageRecipe
    tuning: LanguageRecipe
    questions: QuestionRecipe

    @property
    def minutes(self) -> float:
        """Training minutes: the longer lane of tokenizers, then the language model in its two parts."""
        own = {part.value: figures.minutes for part, figures in self.tokenizers.parts.items()}
        own["audio"] = self.tokenizers.audio.minutes
        return max(sum(own[name] for name in lane) for lane in LANES) + (
            self.language.minutes + self.tuning.minutes
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
        questions = dict(tuning.pop("questions"))
        hidden = HiddenRecipe(**questions.pop("hidden"))
        return Recipe(
            performance_hours=values["data"]["performance_hours"],
            phases=values["data"]["phases"],
            performance_phases=values["data"]["performance_phases"],
            tokenizers=TokenizersRecipe(parts=parts, audio=audio, **tokenizers),
            language=LanguageRecipe(**_scaled(language, scale)),
            tuning=LanguageRecipe(**_scaled(language | tuning, scale)),
            questions=QuestionRecipe(hidden=hidden, **questions),
        )
    except (OSError, KeyError, TypeError, tomllib.TOMLDecodeError) as problem:
        raise EngineError(
            f"The recipe {path.name} cannot be used ({problem}); compare it with recipes/starter.toml."
        ) from problem


def _scaled(values: dict[str, Any], scale: float) -> dict[str, Any]:
    return {**values, "minutes": values["minutes"] * scale}
