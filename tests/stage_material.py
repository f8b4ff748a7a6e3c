# SPDX-License-Identifier: GPL-3.0-or-later
"""Tiny windows, models and packs for the tests of stages 2 and 3."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from engine.asking import DESCRIBED
from engine.data.coding import CoderSource
from engine.data.readers.base import Record
from engine.data.text_encoder_export import TOKENIZER_FILE, WEIGHTS_FILE
from engine.data.window import Window
from engine.language.model import LanguageModel, LanguageModelConfig
from engine.language.text_encoder import TextEncoder, TextEncoderConfig, _Network
from engine.language.words import WordList, collect_words
from engine.motion.clip import Clip
from engine.packs import Pack
from engine.specs import PARTS, Part
from engine.tokenizers.vocabulary import BlockSize, Vocabulary, published_vocabulary, starter_vocabulary
from engine.training.language_stages import Draws, LanguageJob
from engine.training.pack_export import export_stage
from engine.training.stage_recipe import HiddenRecipe, ModelRecipe, RunRecipe, StageRecipe, WindowRecipe
from engine.training.stages import task_vocabulary
from engine.training.task_rows import PublishedRows, StarterRows
from engine.training.tasks.objectives import Objective
from engine.training.tasks.patterns import Kind
from engine.training.trainer import Trainer
from engine.training.window_source import JoinedWindows, WindowDraw
from tests.tiny_pack import WORDS, _tokenizer, write_tiny_pack

LEVELS = {Part.FACE: 2, Part.HANDS: 1, Part.UPPER: 2, Part.LOWER: 3}
TINY_TEXT = TextEncoderConfig(
    num_layers=1, width=16, num_heads=2, hidden=32, num_words=len(WORDS), num_positions=64
)


def tiny_recipe(stage: str, layout: str = "starter") -> StageRecipe:
    names = Objective if stage == "pretraining" else Kind
    return StageRecipe(
        stage=stage,
        run=RunRecipe(
            max_steps=24,
            batch=8,
            learning_rate=1e-2,
            average_decay=0.9,
            log_steps=1,
            save_steps=5,
            evaluate_steps=12,
            evaluate_batches=1,
        ),
        model=ModelRecipe(
            layout, d_model=32, d_ff=48, d_kv=8, num_heads=4, num_layers=1, num_decoder_layers=1, dropout=0.0
        ),
        windows=WindowRecipe(window_steps=20, stride_steps=4, max_length=256),
        mixture={name.value: 1.0 for name in names},
        hidden=HiddenRecipe(all=0.05, steps=0.0),
    )


def tiny_vocabulary(words: int = 0) -> Vocabulary:
    sizes = {part: BlockSize(levels, 16) for part, levels in LEVELS.items()}
    plain = starter_vocabulary(sizes, BlockSize(2, 16), num_text=50)
    return replace(plain, num_words=words)


def tiny_windows(levels: dict[Part, int] = LEVELS, audio_levels: int = 2, size: int = 16) -> list[Window]:
    """A performance with speech, a described walk, and a read sentence."""
    random = np.random.default_rng(0)

    def codes(steps: int, count: int) -> np.ndarray:
        return random.integers(0, size, (steps, count))

    talking = Window(
        "tiny/talking",
        0.0,
        20 / 7.5,
        {part: codes(20, levels[part]) for part in PARTS},
        codes(40, audio_levels),
        emotion="fear",
    )
    walking = Window(
        "tiny/walking",
        0.0,
        16 / 7.5,
        {part: codes(16, levels[part]) for part in (Part.UPPER, Part.LOWER)},
        captions=("walk forward", "a person walks"),
        described=(Part.UPPER, Part.LOWER),
    )
    read = Window("tiny/read", 0.0, 2.0, {}, codes(30, audio_levels), transcript="stand still in a circle")
    return [talking, walking, read]


def tiny_encoder() -> TextEncoder:
    torch.manual_seed(0)
    network = _Network(TINY_TEXT)
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.fill_(1.0) if tensor.ndim < 2 else tensor.normal_()
    return TextEncoder(TINY_TEXT, network.state_dict(), _tokenizer())


def tiny_words() -> WordList:
    windows = tiny_windows()
    return collect_words([c for w in windows for c in w.captions], [w.transcript for w in windows])


def tiny_job(stage: str, layout: str = "starter", dropout: float = 0.0, **run: object) -> LanguageJob:
    recipe = tiny_recipe(stage, layout)
    recipe = replace(recipe, run=replace(recipe.run, **run))  # type: ignore[arg-type]
    if layout == "published":
        vocabulary = published_vocabulary(face_size=8, body_size=8, audio_size=8)
        vocabulary = replace(vocabulary, num_text=60)
        tokenizer = Tokenizer(models.WordLevel({"</s>": 1, "[UNK]": 2, "walk": 3}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
        rows: StarterRows | PublishedRows = PublishedRows(vocabulary, tokenizer, 256)
        windows = tiny_windows(dict.fromkeys(PARTS, 1), 1, 8)
    else:
        words = tiny_words()
        vocabulary = tiny_vocabulary(len(words))
        rows = StarterRows(vocabulary, words, tiny_encoder(), recipe.hidden)
        windows = tiny_windows()
    starter = layout == "starter"
    torch.manual_seed(0)
    model = LanguageModel(
        LanguageModelConfig(
            vocab_size=vocabulary.size,
            embedding_offset=50 if starter else 0,
            d_model=32,
            d_kv=8,
            d_ff=48,
            num_heads=4,
            num_layers=1,
            num_decoder_layers=1,
            text_width=16 if starter else 0,
            time_reach=8 if starter else 0,
            depth_ff=24 if starter else 0,
            dropout=dropout,
        )
    )
    source = JoinedWindows([windows])
    return LanguageJob(recipe, model, vocabulary, rows, Draws(WindowDraw(source, 0.3), WindowDraw(source)))


def write_asking_pack(folder: Path) -> tuple[Pack, list[Clip]]:
    """Train a tiny model on what two motions show and are called, and make a pack of it."""
    base = write_tiny_pack(folder / "base")
    source = CoderSource(base.root)
    coder = source.load()
    random = np.random.default_rng(3)
    clips: list[Clip] = []
    windows: list[Window] = []
    for emotion, caption in (("anger", "walk forward"), ("sadness", "jump")):
        rest = Clip.rest(64, 30)
        poses = rest.poses + random.normal(0, 0.6, rest.poses.shape[1:]).astype(np.float32)
        clips.append(replace(rest, poses=poses.astype(np.float32)))
        parts = coder.encode(Record(caption, "tiny", "train", clip=clips[-1], parts=PARTS)).parts
        windows.append(
            Window(caption, 0.0, 64 / 30, parts, captions=(caption,), described=DESCRIBED, emotion=emotion)
        )
    words = collect_words(["walk forward", "stand still", "jump"])
    vocabulary = replace(task_vocabulary(coder, words), num_text=len(WORDS))
    recipe = tiny_recipe("tuning")
    recipe = replace(
        recipe,
        run=replace(recipe.run, max_steps=160, batch=8, log_steps=160, save_steps=160, evaluate_steps=160),
        mixture={"motion_to_emotion": 1.0, "motion_to_text": 1.0},
        hidden=HiddenRecipe(plain=1.0),
    )
    held = base.tensors("text_encoder.safetensors")
    encoder = TextEncoder.load(TINY_TEXT, held, base.file("tokenizer.json"))
    torch.manual_seed(0)
    config = LanguageModelConfig(
        vocab_size=vocabulary.size,
        embedding_offset=vocabulary.num_text,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_heads=4,
        num_layers=1,
        num_decoder_layers=1,
        text_width=16,
        time_reach=8,
        depth_ff=24,
        reads=True,
        dropout=0.0,
    )
    draw = WindowDraw(JoinedWindows([windows]))
    rows = StarterRows(vocabulary, words, encoder, recipe.hidden)
    job = LanguageJob(recipe, LanguageModel(config), vocabulary, rows, Draws(draw, draw))
    Trainer(job, recipe.run, folder / "run").run()
    text = folder / "text"
    text.mkdir()
    shutil.copyfile(base.file("text_encoder.safetensors"), text / WEIGHTS_FILE)
    shutil.copyfile(base.file("tokenizer.json"), text / TOKENIZER_FILE)
    return export_stage(folder / "run" / "best.pt", base.root, text, folder / "pack", TINY_TEXT), clips
