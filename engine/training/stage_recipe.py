# SPDX-License-Identifier: GPL-3.0-or-later
"""Recipes of one stage each: every figure of a run through `trainer`, read from TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, cast

from ..errors import EngineError
from ..motion.published_features import PART_LAYOUTS, Layout
from ..published.four_part import AUDIO_PER_STEP, MAX_AUDIO
from ..specs import MOTION_FPS, Part

STAGES = Path(__file__).parent / "recipes" / "stages"

T = TypeVar("T")


@dataclass(frozen=True)
class RunRecipe:
    """How long and how fast; all stages alike.

    Attributes:
        max_steps: Optimiser steps.
        minutes: Time budget over all resumed runs; 0 for none. The learning rate falls over whichever ends
            first, so only a run without a budget repeats another one exactly.
        batch: Examples per optimiser step, over all processes and micro-batches.
        accumulate: Micro-batches per step.
        precision: "no" or "bf16".
        sharding: "none" keeps the weights whole in every process (DDP), "full" shares them out (FSDP).
        learning_rate: Highest.
        warm_up: Steps to reach it.
        floor: Learning rate at the end, as a share of the highest.
        beta_1: AdamW.
        beta_2: AdamW.
        weight_decay: Of matrices.
        clip: Largest norm of the gradient; 0 for no limit.
        bias_speed: Factor on the learning rate of attention biases.
        average_decay: Of the averaged weights, which are evaluated and kept; 0 keeps the last ones.
        log_steps: Steps between two entries of the log.
        save_steps: Steps between two checkpoints.
        evaluate_steps: Steps between two held-out losses; the lowest one's weights are the best.
        evaluate_batches: Batches of a held-out loss.
        seed: Of initial weights, draws and dropout.
    """

    max_steps: int
    batch: int
    learning_rate: float
    minutes: float = 0.0
    accumulate: int = 1
    precision: str = "no"
    sharding: str = "none"
    warm_up: int = 0
    floor: float = 0.05
    beta_1: float = 0.9
    beta_2: float = 0.99
    weight_decay: float = 0.0
    clip: float = 1.0
    bias_speed: float = 1.0
    average_decay: float = 0.0
    log_steps: int = 25
    save_steps: int = 500
    evaluate_steps: int = 500
    evaluate_batches: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        if self.precision not in ("no", "bf16") or self.sharding not in ("none", "full"):
            raise ValueError('precision is "no" or "bf16", sharding "none" or "full"')
        if min(self.max_steps, self.batch, self.accumulate) < 1 or self.batch % self.accumulate:
            raise ValueError("steps and batch are at least 1, and accumulate divides the batch")


@dataclass(frozen=True)
class ModelRecipe:
    """The language model.

    Attributes:
        layout: "starter": sentence states in, steps of several codes; "published": T5's own words and one
            code per position.
        start: Weights to begin with: a folder with FLAN-T5's files (published), or a checkpoint of an earlier
            stage; empty begins at random.
        words: Published layout: T5's tokenizer.json; empty takes the one in `start`.
        word_limit: Starter layout: words the model can write at most.
        reads: Starter layout: whether answers in words lean on a sum of the codes of the motion that is asked
            about, as the shipped starter's do.
    """

    layout: str
    d_model: int
    d_ff: int
    d_kv: int
    num_heads: int
    num_layers: int
    num_decoder_layers: int
    start: str = ""
    words: str = ""
    word_limit: int = 4000
    time_reach: int = 0
    depth_ff: int = 0
    dropout: float = 0.1
    reads: bool = False

    def __post_init__(self) -> None:
        if self.layout not in ("starter", "published"):
            raise ValueError('layout is "starter" or "published"')
        if self.reads and self.layout == "published":
            raise ValueError("the published layout has no sum of codes that words could lean on")


@dataclass(frozen=True)
class WindowRecipe:
    """Windows of the data, in motion steps.

    Attributes:
        window_steps: Longest window.
        stride_steps: Between the begins of two windows.
        min_steps: Shorter stretches are left out.
        max_length: Published layout: tokens of a source or target at most. An example with more is never cut:
            another one is drawn, and how often that happens is logged as `too_long`.
        phases: Prepared starter data: frame offsets at which captured motion becomes codes.
        performance_phases: The same for performances.
        combined: Share of speech windows into which the legs, or legs and trunk, of a described motion are
            put.
    """

    window_steps: int
    stride_steps: int
    min_steps: int = 4
    max_length: int = 512
    phases: int = 1
    performance_phases: int = 1
    combined: float = 0.0


@dataclass(frozen=True)
class SpanRecipe:
    """What temporal and audio objectives hide.

    Attributes:
        motion_share: Share of the motion steps hidden by spans, at least.
        motion_shortest: Steps of the shortest span.
        motion_longest: Steps of the longest one.
        audio_share: The same for the sound's steps.
        audio_shortest: Steps of the shortest span.
        audio_longest: Steps of the longest one.
        head_share: Share of the steps that a continuation is given.
        gap_share: Share of the steps that `in_between` hides in one piece.
        quoted: How often a caption behind a colon stands in quotes.
    """

    motion_share: float = 0.25
    motion_shortest: int = 1
    motion_longest: int = 8
    audio_share: float = 0.08
    audio_shortest: int = 1
    audio_longest: int = 8
    head_share: float = 0.2
    gap_share: float = 0.25
    quoted: float = 0.5


@dataclass(frozen=True)
class HiddenRecipe:
    """What is hidden from a row of the starter layout, each as a share of rows.

    Attributes:
        all: The whole request, so that guidance has something to compare with.
        emotion: The emotion beside a speech.
        steps: A random share of an answer's past steps.
        plain: Requests said as the extension says them (tags, sources and the bare caption) and not in the
            words of a template.
        margins: Windows of speech whose sound ends with them, as at a recording's edge.
    """

    all: float = 0.0
    emotion: float = 0.3
    steps: float = 0.0
    plain: float = 0.3
    margins: float = 0.2


@dataclass(frozen=True)
class TokenizerNetwork:
    """Stage 1: one published network.

    Attributes:
        part: A body part, or "root" for the network of the root's path.
        family: As in `engine.tokenizers.motion_vqvae.Family`.
        features: Layout of its features, as in `engine.motion.published_features.Layout`.
        width: Channels.
        codebook_size: Codes; not used by the root's network.
        num_layers: Layers.
        window_frames: Frames of a window.
        stride_frames: Frames between the begins of two windows.
        frame_fps: Frames per second of its features.
    """

    part: str
    family: str
    features: str
    width: int
    num_layers: int
    codebook_size: int = 256
    window_frames: int = 64
    stride_frames: int = 20
    frame_fps: int = MOTION_FPS

    def __post_init__(self) -> None:
        layout = Layout(self.features)
        if self.part in list(Part) and layout not in PART_LAYOUTS[Part(self.part)]:
            raise ValueError(f"{self.features} is no layout of the {self.part}")


@dataclass(frozen=True)
class BackboneRecipe:
    """The four-part language model: a Qwen3 whose output head is its table of words.

    Attributes:
        pretrained: What its backbone is called, for the published file's description.
        num_words: Words it knew before; those of sound and motion follow.
        start: Folder with that backbone's files; empty begins at random.
    """

    pretrained: str
    num_words: int
    d_model: int
    d_ff: int
    num_layers: int
    num_heads: int
    num_key_heads: int
    head_width: int
    start: str = ""


@dataclass(frozen=True)
class StreamRecipe:
    """Windows of the four-part language model and of the second version's T5, in steps of the body's codes.

    Attributes:
        window_steps: Longest window.
        stride_steps: Between the begins of two windows.
        min_steps: A recording's shorter end is left out.
        held_share: Share of the recordings held out.
        shortest_steps: T5 only: windows to learn from are cut to a random length, at least this; 0 leaves
            them whole.
    """

    window_steps: int
    stride_steps: int
    min_steps: int
    held_share: float
    shortest_steps: int = 0

    def __post_init__(self) -> None:
        longest = MAX_AUDIO // AUDIO_PER_STEP
        if not 1 <= self.min_steps <= self.window_steps <= longest or self.stride_steps < 1:
            raise ValueError(f"windows have min_steps to window_steps of 1 to {longest}, strides 1 at least")
        if not 0 <= self.shortest_steps <= self.window_steps:
            raise ValueError("shortest_steps is between 0 and window_steps")
        if not 0.0 < self.held_share < 1.0:
            raise ValueError("held_share is between 0 and 1")


@dataclass(frozen=True)
class StageRecipe:
    """One stage.

    Attributes:
        stage: "tokenizer", "pretraining", "tuning", "four-part" or "later-speech".
        run: How it is trained.
        network: Stage 1 only.
        model: Stages 2 and 3, and the second version's T5.
        windows: Stages 2 and 3.
        backbone: Four-part language model only.
        streams: Four-part language model and the second version's T5.
        mixture: Relative chance of each objective (stage 2) or kind of task (stage 3).
        spans: What is hidden by objectives and tasks.
        hidden: What is hidden from rows.
    """

    stage: str
    run: RunRecipe
    network: TokenizerNetwork | None = None
    model: ModelRecipe | None = None
    windows: WindowRecipe | None = None
    backbone: BackboneRecipe | None = None
    streams: StreamRecipe | None = None
    mixture: dict[str, float] = field(default_factory=lambda: {})
    spans: SpanRecipe = SpanRecipe()
    hidden: HiddenRecipe = HiddenRecipe()

    def __post_init__(self) -> None:
        wanted = {
            "tokenizer": self.network is not None,
            "pretraining": self.model is not None and self.windows is not None,
            "tuning": self.model is not None and self.windows is not None,
            "four-part": self.backbone is not None and self.streams is not None,
            "later-speech": self.model is not None and self.streams is not None,
        }
        if not wanted.get(self.stage, False):
            raise ValueError(
                'stage is "tokenizer" with a [network], "pretraining" or "tuning" with [model], [windows], '
                '"four-part" with [backbone], [streams], or "later-speech" with [model], [streams]'
            )

    def language(self) -> tuple[ModelRecipe, WindowRecipe]:
        """Model and windows of stage 2 or 3.

        Raises:
            EngineError: If the recipe is of another stage.
        """
        if self.model is None or self.windows is None:
            raise EngineError("This recipe trains another network; choose one of stage 2 or 3.")
        return self.model, self.windows

    def four_part(self) -> tuple[BackboneRecipe, StreamRecipe]:
        """Model and windows of the four-part language model.

        Raises:
            EngineError: If the recipe is of another stage.
        """
        if self.backbone is None or self.streams is None:
            raise EngineError("This recipe trains no four-part model; choose published/four-part.")
        return self.backbone, self.streams

    def later_speech(self) -> tuple[ModelRecipe, StreamRecipe]:
        """Model and windows of the second version's T5.

        Raises:
            EngineError: If the recipe is of another stage, or of another layout.
        """
        if self.model is None or self.streams is None or self.model.layout != "published":
            raise EngineError("This recipe trains no T5 of the second version; choose published/speech-v2.")
        return self.model, self.streams


def stage_recipe_path(name: str | Path) -> Path:
    """File of a recipe: a path that ends in .toml, or a name below `recipes/stages`."""
    return Path(name) if Path(name).suffix == ".toml" else STAGES / f"{name}.toml"


def load_stage_recipe(name: str | Path) -> StageRecipe:
    """Read a recipe.

    Args:
        name: Path, or name below `recipes/stages` such as "published/pretraining".

    Raises:
        EngineError: If the file is missing, or a figure is absent, unknown or impossible.
    """
    path = stage_recipe_path(name)
    tables = {
        "run": RunRecipe,
        "network": TokenizerNetwork,
        "model": ModelRecipe,
        "windows": WindowRecipe,
        "backbone": BackboneRecipe,
        "streams": StreamRecipe,
        "spans": SpanRecipe,
        "hidden": HiddenRecipe,
    }
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        for key, kind in tables.items():
            if key in values:
                values[key] = _read(kind, values[key])
        if "mixture" in values:
            values["mixture"] = {str(k): float(v) for k, v in values["mixture"].items()}
        return StageRecipe(**values)
    except (OSError, TypeError, ValueError, AttributeError) as problem:
        raise EngineError(
            f"The recipe {path.name} cannot be used ({problem}); compare it with those in recipes/stages."
        ) from problem


def _read(kind: type[T], table: Mapping[str, Any]) -> T:
    """One table; whole numbers may stand where a number is wanted, other types may not."""
    known = {item.name: item for item in fields(cast("Any", kind))}
    if unknown := sorted(set(table) - set(known)):
        raise ValueError(f"{unknown[0]} is unknown")
    missing = [n for n, f in known.items() if f.default is MISSING and n not in table]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    types = {"int": int, "float": (int, float), "str": str, "bool": bool}
    for name, value in table.items():
        wanted = str(known[name].type)
        if isinstance(value, bool) != (wanted == "bool") or not isinstance(value, types[wanted]):
            raise ValueError(f"{name} is {value!r}, not of type {wanted}")
    return kind(**table)
