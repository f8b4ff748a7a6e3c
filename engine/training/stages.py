# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the job a stage recipe describes, from folders, and runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ..data.coding import Coder, CoderSource
from ..data.feature_files import read_features
from ..data.four_part_codes import HeldOut, StreamWindows, read_streams
from ..data.sharded import TRAINING_SPLITS
from ..errors import EngineError
from ..language.model import LanguageModel
from ..language.text_encoder import TextEncoder
from ..language.words import WordList, collect_words
from ..motion.published_features import Layout
from ..specs import Part
from ..tokenizers.audio_tokenizer import HubertTokenizer
from ..tokenizers.vocabulary import BlockSize, Vocabulary, published_vocabulary, starter_vocabulary
from .corpora import load_captured, performance_transcripts
from .four_part_stage import FourPartJob
from .language_stages import Draws, LanguageJob, language_config, load_words, start_from
from .later_speech_stage import LaterSpeechJob
from .stage_recipe import StageRecipe, StreamRecipe
from .starter import load_text_encoder
from .task_rows import PublishedRows, StarterRows, longest_row
from .tokenizer_stage import TokenizerJob
from .trainer import Job, Outcome, Trainer
from .window_source import JoinedWindows, PreparedWindows, WindowDraw, WindowSource, sharded


@dataclass(frozen=True)
class StageData:
    """Where a stage's data lies.

    Attributes:
        shards: Folders of prepared corpora, stages 2 and 3, the four-part model and the second version's T5.
        prepared: The starter's prepared data, or None.
        features: Folders of feature files, stage 1.
        tokenizers: What made the codes, and makes those of `prepared`.
        work: Holds the exported sentence encoder.
        limit: Sequences of each kind taken from `prepared`; None for all.
    """

    shards: Sequence[Path] = ()
    prepared: Path | None = None
    features: Sequence[Path] = ()
    tokenizers: CoderSource = field(default_factory=lambda: CoderSource(Path("build/training")))
    work: Path = Path("build")
    limit: int | None = None


def run_stage(recipe: StageRecipe, data: StageData, out: Path) -> Outcome:
    """Train one stage, or go on with it.

    Args:
        recipe: The stage's figures.
        data: Where its data lies.
        out: Folder for checkpoints and logs.

    Raises:
        EngineError: If data is missing or does not fit the recipe.
    """
    makers: dict[str, Callable[[StageRecipe, StageData], Job]] = {
        "tokenizer": tokenizer_job,
        "four-part": four_part_job,
        "later-speech": later_speech_job,
    }
    job = makers.get(recipe.stage, language_job)(recipe, data)
    return Trainer(job, recipe.run, out).run()


def tokenizer_job(recipe: StageRecipe, data: StageData) -> TokenizerJob:
    """Stage 1."""
    network = recipe.network
    if network is None or not data.features:
        raise EngineError("Stage 1 learns from feature files; give their folders with --features.")
    layout, fps = Layout(network.features), network.frame_fps
    length, stride = network.window_frames, network.stride_frames
    train, held = (
        read_features(data.features, layout, length, stride, splits, fps)
        for splits in (TRAINING_SPLITS, ("val",))
    )
    return TokenizerJob(recipe, train, held)


def four_part_job(recipe: StageRecipe, data: StageData) -> FourPartJob:
    """The four-part language model."""
    _, windows = recipe.four_part()
    return FourPartJob(recipe, *_streams(recipe, windows, data))


def later_speech_job(recipe: StageRecipe, data: StageData) -> LaterSpeechJob:
    """The second version's T5."""
    _, windows = recipe.later_speech()
    return LaterSpeechJob(recipe, *_streams(recipe, windows, data))


def _streams(
    recipe: StageRecipe, windows: StreamRecipe, data: StageData
) -> tuple[StreamWindows, StreamWindows]:
    if not data.shards:
        raise EngineError(
            "This stage learns from the folders of engine.data four-part; give them with --shards."
        )
    return read_streams(
        data.shards,
        TRAINING_SPLITS,
        HeldOut(windows.held_share, recipe.run.seed),
        window_steps=windows.window_steps,
        stride_steps=windows.stride_steps,
        min_steps=windows.min_steps,
    )


def language_job(recipe: StageRecipe, data: StageData, encoder: TextEncoder | None = None) -> LanguageJob:
    """Stage 2 or 3.

    Args:
        recipe: The stage's figures.
        data: Where its data lies.
        encoder: Sentence encoder of the starter's layout; None loads the one in `data.work`.
    """
    model_recipe, windows = recipe.language()
    coder = data.tokenizers.load()
    train, held = _sources(recipe, data, coder, False), _sources(recipe, data, coder, True)
    draws = Draws(WindowDraw(train, windows.combined), WindowDraw(held, windows.combined))
    start = Path(model_recipe.start) if model_recipe.start else None
    torch.manual_seed(recipe.run.seed)
    if model_recipe.layout == "starter":
        words = _words(start, data, recipe)
        vocabulary = task_vocabulary(coder, words)
        encoder = encoder or load_text_encoder(data.work)
        rows = StarterRows(vocabulary, words, encoder, recipe.hidden)
        model = LanguageModel(language_config(model_recipe, vocabulary, encoder.config.state_width))
    else:
        vocabulary = _published(coder)
        check_lengths(recipe, coder.audio_hz / coder.step_hz)
        names = Path(model_recipe.words) if model_recipe.words else (start or Path()) / "tokenizer.json"
        rows = PublishedRows.read(vocabulary, names, windows.max_length)
        model = LanguageModel(language_config(model_recipe, vocabulary, 0))
    if start is not None:
        start_from(model, start, vocabulary)
    return LanguageJob(recipe, model, vocabulary, rows, draws, coder.fingerprint)


def check_lengths(recipe: StageRecipe, sound_per_step: float) -> None:
    """See that windows of full length fit into the published layout's rows.

    Args:
        recipe: The stage's figures.
        sound_per_step: Sound steps per motion step of the tokenizers.

    Raises:
        EngineError: If they do not: windows would be left out, the longest ones first.
    """
    _, windows = recipe.language()
    needed = longest_row(recipe.mixture, windows.window_steps, sound_per_step)
    if needed > windows.max_length:
        raise EngineError(
            f"Windows of {windows.window_steps} steps need rows of {needed} tokens; the recipe's max_length "
            f"is {windows.max_length}. Raise it, or shorten window_steps."
        )


def task_vocabulary(coder: Coder, words: WordList) -> Vocabulary:
    """The starter's ids over a coder's codebooks, with words to write at the end."""
    plain = starter_vocabulary(
        {part: BlockSize(t.num_quantizers, t.codebook_size) for part, t in coder.motion.items()},
        BlockSize(coder.audio.num_quantizers, coder.audio.codebook_size),
    )
    return Vocabulary(plain.layout, plain.num_text, plain.parts, plain.audio, num_words=len(words))


def _published(coder: Coder) -> Vocabulary:
    """The published ids over a coder's codebooks; two audio words more enclose audio with its transcript."""
    sizes = {part: tokenizer.codebook_size for part, tokenizer in coder.motion.items()}
    if len({size for part, size in sizes.items() if part is not Part.FACE}) != 1:
        raise EngineError("The published layout needs as many codes for hands, upper and lower body.")
    return published_vocabulary(
        face_size=sizes[Part.FACE], body_size=sizes[Part.LOWER], audio_size=coder.audio.codebook_size
    )


def _sources(recipe: StageRecipe, data: StageData, coder: Coder, held_out: bool) -> JoinedWindows:
    _, windows = recipe.language()
    found: list[WindowSource] = []
    if data.shards:
        source = sharded(data.shards, windows, held_out)
        if source.tokenizers != coder.fingerprint:
            raise EngineError("The shards were prepared with other tokenizers than --tokenizers names.")
        found.append(source)
    if data.prepared is not None:
        if isinstance(coder.audio, HubertTokenizer):
            raise EngineError("The starter's prepared data needs the starter's tokenizers.")
        split = "held" if held_out else "train"
        found.append(PreparedWindows(data.prepared, coder.motion, coder.audio, windows, split, data.limit))
    if not found:
        raise EngineError("There is nothing to learn from; give --shards or --prepared.")
    return JoinedWindows(found)


def _words(start: Path | None, data: StageData, recipe: StageRecipe) -> WordList:
    """Words of the stage before, or those of the data."""
    if start is not None and start.is_file():
        state = torch.load(start, weights_only=True, map_location="cpu")
        if "job" in state:
            return load_words(state)
    model, windows = recipe.language()
    captions: list[str] = []
    transcripts: list[str] = []
    if data.shards:
        captions, transcripts = sharded(data.shards, windows).texts()
    if data.prepared is not None:
        captions += [caption for s in load_captured(data.prepared, "train") for caption in s.captions]
        transcripts += performance_transcripts(data.prepared)
    return collect_words(captions, transcripts, model.word_limit)
