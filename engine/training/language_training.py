# SPDX-License-Identifier: GPL-3.0-or-later
"""The language model's training run: codes from the trained tokenizers, windows, cross-entropy."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..data.captions import told_pace
from ..errors import EngineError
from ..language.layout import instruction_states
from ..language.model import LanguageModel, LanguageModelConfig
from ..language.task_layout import TaskBatch
from ..language.text_encoder import TextEncoder
from ..language.words import WORDS_FILE, WordList, collect_words
from ..specs import Part
from ..tokenizers.audio_tokenizer import StarterAudioTokenizer, starter_audio_config
from ..tokenizers.motion_vqvae import MotionVQVAE
from ..tokenizers.vocabulary import BlockSize, Vocabulary, starter_vocabulary
from .corpora import MotionSequence, load_captured, load_performances, performance_transcripts
from .language_stages import start_from
from .loop import Checkpoint, Log, Schedule, count_parameters, device_for_training, seed_step
from .questions import Asked, Questions
from .recipe import LanguageRecipe, Recipe
from .task_loss import TaskLoss
from .task_rows import StarterRows
from .tasks.objectives import Objective
from .tasks.patterns import Kind
from .tokenizer_training import build_tokenizer
from .windows import FRAMES_PER_STEP, Batch, CodedSequence, WindowMixer, encode_sequence

LANGUAGE_FILE, TUNED_FILE, FINISHED_FILE = "language.pt", "tuned.pt", "finished.pt"
FINISH_SEED = 7
"""So far are the draws of the last part from those of the earlier ones."""


def load_tokenizers(recipe: Recipe, out: Path) -> tuple[dict[Part, MotionVQVAE], StarterAudioTokenizer]:
    """Load what stage 1 left in `out`."""
    motion: dict[Part, MotionVQVAE] = {}
    for part in recipe.tokenizers.parts:
        refined = out / f"refined-{part.value}.pt"  # the same codes, a decoder trained further
        motion[part] = build_tokenizer(part, recipe)
        motion[part].load_state_dict(
            _weights(refined if refined.exists() else out / f"tokenizer-{part.value}.pt")
        )
        motion[part].eval()
    audio = StarterAudioTokenizer(starter_audio_config(width=recipe.tokenizers.audio.width))
    audio.load_state_dict(_weights(out / "tokenizer-audio.pt"))
    return motion, audio.eval()


def _weights(path: Path) -> dict[str, Tensor]:
    return torch.load(path, weights_only=True, map_location="cpu")["model"]


def trained_vocabulary(motion: dict[Part, MotionVQVAE], audio: StarterAudioTokenizer) -> Vocabulary:
    """Vocabulary over the trained codebooks."""
    return starter_vocabulary(
        {part: BlockSize(t.num_quantizers, t.codebook_size) for part, t in motion.items()},
        BlockSize(audio.num_quantizers, audio.codebook_size),
    )


def model_config(recipe: Recipe, vocabulary: Vocabulary, text_width: int) -> LanguageModelConfig:
    """Configuration of the starter's language model."""
    own = recipe.language
    return LanguageModelConfig(
        vocab_size=vocabulary.size,
        embedding_offset=vocabulary.num_text,
        d_model=own.d_model,
        d_kv=own.d_kv,
        d_ff=own.d_ff,
        num_heads=own.num_heads,
        num_layers=own.num_layers,
        num_decoder_layers=own.num_decoder_layers,
        text_width=text_width,
        time_reach=own.time_reach,
        depth_ff=own.depth_ff,
        reads=vocabulary.num_words > 0,
        dropout=own.dropout,
    )


def prepare_mixer(
    recipe: Recipe, data: Path, out: Path, encoder: TextEncoder, split: str = "train", seed: int = 0
) -> tuple[WindowMixer, list[str]]:
    """The sampler over a split as the trained tokenizers see it; and its captions."""
    return mix_windows(recipe, data, *load_tokenizers(recipe, out), encoder, split, seed)


def mix_windows(
    recipe: Recipe,
    data: Path,
    motion: dict[Part, MotionVQVAE],
    audio: StarterAudioTokenizer,
    encoder: TextEncoder,
    split: str = "train",
    seed: int = 0,
) -> tuple[WindowMixer, list[str]]:
    """Encode all sequences of a split at every phase and make the sampler over them; and its captions."""
    captured, performed = load_captured(data, split), load_performances(data, split)
    captions = sorted({c for s in captured for c in (*s.captions, *s.in_context)})
    table = {caption: row for row, caption in enumerate(captions)}
    states: list[Tensor] = []
    for begin in range(0, len(captions), 64):
        states += instruction_states(encoder, captions[begin : begin + 64])

    coded = _encode_all(captured, recipe.phases, motion, audio, table)
    print(f"{split}: {len(captured)} captured sequences as codes, {len(captions)} captions", flush=True)
    spoken = _encode_all(performed, recipe.performance_phases, motion, audio, table)
    print(f"{split}: {len(performed)} performances as codes", flush=True)
    weighted = [(c, s.weight) for c, s in zip(coded, captured, strict=True)]
    vocabulary = trained_vocabulary(motion, audio)
    paces = {row: pace for row, caption in enumerate(captions) if (pace := told_pace(caption))}
    return WindowMixer(weighted, spoken, states, vocabulary, recipe.language, seed, paces), captions


def _encode_all(
    sequences: Sequence[MotionSequence],
    phases: int,
    motion: dict[Part, MotionVQVAE],
    audio: StarterAudioTokenizer,
    captions: dict[str, int],
) -> list[list[CodedSequence]]:
    """Each sequence as codes at `phases` frame offsets, one sequence per core at a time."""
    offsets = range(0, FRAMES_PER_STEP, FRAMES_PER_STEP // phases)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def encode(sequence: MotionSequence) -> list[CodedSequence]:
        return [encode_sequence(sequence, offset, motion, audio, captions) for offset in offsets]

    with ThreadPoolExecutor(threads) as pool:
        coded = list(pool.map(encode, sequences))
    torch.set_num_threads(threads)
    return coded


def batch_loss(
    model: LanguageModel, batch: Batch, vocabulary: Vocabulary, smoothing: float
) -> dict[Part, Tensor]:
    """Cross-entropy per learned part, each () in nats per code.

    The head is read only at the codes a position may hold, as in generation.
    """
    device = model.lm_head.weight.device
    encoder, plan = batch.encoder, batch.plan
    mask = encoder.mask.to(device)
    times = encoder.times.to(device)
    memory = model.encode(
        encoder.ids.to(device), mask, times, encoder.text_states.to(device), encoder.is_text.to(device)
    )
    states = model.decode(
        batch.inputs.to(device), memory, mask, plan.key_times.to(device), plan.query_times.to(device), times
    )
    losses: dict[Part, Tensor] = {}
    for part in batch.learned:
        levels, begin = plan.levels[part], plan.starts[part]
        total = states.new_zeros((), dtype=torch.float32)
        own = states[:, begin : begin + plan.num_steps]
        target = batch.targets[part][:, ::levels].to(device)
        for level in range(levels):
            if level:
                first = vocabulary.part_range(part, level - 1)[0]
                own = model.deepen(own, target.clamp_min(0) + first)
                target = batch.targets[part][:, level::levels].to(device)
            logits = model.logits(own, *vocabulary.part_range(part, level))
            total = total + F.cross_entropy(
                logits.float().transpose(1, 2), target, ignore_index=-1, label_smoothing=smoothing
            )
        losses[part] = total / levels
    return losses


def _parameter_groups(model: LanguageModel, own: LanguageRecipe) -> list[dict[str, Any]]:
    """Matrices decay, norms do not, and attention biases, whose useful size is several units, move faster."""
    groups: dict[str, list[torch.nn.Parameter]] = {"matrix": [], "norm": [], "bias": []}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        kind = "bias" if name.endswith("_bias.weight") else "matrix" if parameter.ndim > 1 else "norm"
        groups[kind].append(parameter)
    decay = 0.0 if own.words_only else own.weight_decay
    found = [
        {"params": groups["matrix"], "weight_decay": decay, "speed": 1.0},
        {"params": groups["norm"], "weight_decay": 0.0, "speed": 1.0},
        {"params": groups["bias"], "weight_decay": 0.0, "speed": own.bias_speed},
    ]
    return [group for group in found if group["params"]]


def _learn_words_only(model: LanguageModel) -> None:
    """Freeze all but what answers in words are made of: requests are obeyed as before, to the bit.

    Of the vocabulary's tables only the rows of words move; `_forget_requests` sees to that.
    """
    model.requires_grad_(False)
    for table in (model.reading, model.shared, model.lm_head):
        table.requires_grad_(True)


def _forget_requests(model: LanguageModel, first_word: int) -> None:
    """Drop the gradients of all rows before the first word's."""
    for table in (model.shared.weight, model.lm_head.weight):
        if table.grad is not None:
            table.grad[:first_word] = 0.0


def train_language(
    recipe: Recipe, data: Path, out: Path, encoder: TextEncoder, seed: int = 0, start: Path | None = None
) -> Path:
    """Train the language model: requests beside the objectives of pretraining; return its checkpoint's path.

    The words it can write are left beside the checkpoint.

    Args:
        recipe: The run's figures.
        data: Folder of the prepared data.
        out: Folder with the tokenizers' checkpoints; also receives this one.
        encoder: Frozen sentence encoder.
        seed: Of initial weights and draws.
        start: Checkpoint of an earlier run whose weights to begin with.
    """
    mixer, captions = prepare_mixer(recipe, data, out, encoder, seed=seed)
    describing = sorted({captions[row] for phases in mixer.captured for row in phases[0].captions})
    words = collect_words(describing, performance_transcripts(data), recipe.language.word_limit)
    (out / WORDS_FILE).write_text(words.to_json(), encoding="utf-8")
    _train_part(recipe, mixer, captions, words, encoder, out / LANGUAGE_FILE, seed, start, Objective)
    return out / LANGUAGE_FILE


def tune_language(recipe: Recipe, data: Path, out: Path, encoder: TextEncoder, seed: int = 0) -> Path:
    """Go on with the language model: requests beside questions in all tasks; return the checkpoint's path.

    Args:
        recipe: The run's figures.
        data: Folder of the prepared data.
        out: Folder with the checkpoints of the tokenizers and of `train_language`.
        encoder: Frozen sentence encoder.
        seed: Of the draws.
    """
    recipe = replace(recipe, language=recipe.tuning)
    mixer, captions = prepare_mixer(recipe, data, out, encoder, seed=seed)
    words, start = WordList.read(out / WORDS_FILE), out / LANGUAGE_FILE
    _train_part(recipe, mixer, captions, words, encoder, out / TUNED_FILE, seed, start, Kind)
    return out / TUNED_FILE


def finish_language(recipe: Recipe, data: Path, out: Path, encoder: TextEncoder, seed: int = 0) -> Path:
    """Go on with the tuned model by the recipe's `finish`; return the checkpoint's path.

    Args:
        recipe: The run's figures.
        data: Folder of the prepared data.
        out: Folder with the checkpoints of the tokenizers and of `tune_language`.
        encoder: Frozen sentence encoder.
        seed: Of the draws.

    Raises:
        EngineError: If the recipe has no such part.
    """
    if recipe.finish is None or recipe.last_questions is None:
        raise EngineError(
            "The recipe has no [finish] with [finish.questions]; add them, or leave it at tuning."
        )
    recipe = replace(recipe, language=recipe.finish, questions=recipe.last_questions)
    seed += FINISH_SEED
    mixer, captions = prepare_mixer(recipe, data, out, encoder, seed=seed)
    words, start = WordList.read(out / WORDS_FILE), out / TUNED_FILE
    _train_part(recipe, mixer, captions, words, encoder, out / FINISHED_FILE, seed, start, Kind)
    return out / FINISHED_FILE


def _train_part(
    recipe: Recipe,
    mixer: WindowMixer,
    captions: Sequence[str],
    words: WordList,
    encoder: TextEncoder,
    path: Path,
    seed: int,
    start: Path | None,
    named: type[Kind] | type[Objective],
) -> None:
    """One part of the language model's training, with the figures of `recipe.language`."""
    vocabulary = replace(mixer.vocabulary, num_words=len(words))
    torch.manual_seed(seed)
    model = LanguageModel(model_config(recipe, vocabulary, encoder.config.state_width))
    if start is not None:
        start_from(model, start, vocabulary)
    questions = questions_beside(recipe, mixer, captions, words, encoder, seed, named)
    train(model, mixer, questions, recipe.language, path)


def questions_beside(
    recipe: Recipe,
    mixer: WindowMixer,
    captions: Sequence[str],
    words: WordList,
    encoder: TextEncoder,
    seed: int,
    named: type[Kind] | type[Objective] = Kind,
) -> Questions | None:
    """What is asked beside a mixer's requests, or None where the recipe asks nothing."""
    figures = recipe.pretraining if named is Objective else recipe.questions
    if not figures.rows:
        return None
    vocabulary = replace(mixer.vocabulary, num_words=len(words))
    rows = StarterRows(vocabulary, words, encoder, figures.hidden)
    asked = Asked(mixer.captured, [*mixer.spoken, *mixer.idle], captions)
    return Questions(asked, rows, figures, recipe.language.window_steps, seed, named)


class Draws(Dataset[tuple[Batch | None, TaskBatch | None]]):
    """What each step learns from. The step's number seeds all draws: a run goes on as if never stopped.

    Args:
        mixer: Draws requests.
        questions: Draws questions, or None.
        size: Requests of a step; 0 for none.
    """

    def __init__(self, mixer: WindowMixer, questions: Questions | None, size: int) -> None:
        self.mixer, self.questions, self.size = mixer, questions, size

    def __getitem__(self, step: int) -> tuple[Batch | None, TaskBatch | None]:
        """The step's rows."""
        for drawn in (self.mixer, self.questions):
            if drawn:
                drawn.random = np.random.default_rng([drawn.seed, step])
        requests = self.mixer.batch(self.size) if self.size else None
        return requests, self.questions.batch() if self.questions else None

    def from_step(self, step: int, stop: int) -> Iterator[tuple[Batch | None, TaskBatch | None]]:
        """Rows of the steps from one to another; beside a GPU, spare cores draw ahead."""
        ahead = max(0, min(12, (os.cpu_count() or 1) - 2)) if torch.cuda.is_available() else 0
        loader: DataLoader[tuple[Batch | None, TaskBatch | None]] = DataLoader(
            self, batch_size=None, sampler=range(step, stop), num_workers=ahead, collate_fn=_as_drawn
        )
        return iter(loader)


def _as_drawn(drawn: Any) -> Any:
    """Rows are a batch already."""
    return drawn


def train(
    model: LanguageModel, mixer: WindowMixer, questions: Questions | None, own: LanguageRecipe, path: Path
) -> None:
    """Train a model until its steps or minutes are over, from its checkpoint where there is one.

    The step runs in bfloat16; the optimiser moves float32 weights, of which `working` is the rounded copy.

    Args:
        model: With its first weights.
        mixer: Draws requests.
        questions: Draws questions, or None.
        own: Figures.
        path: The checkpoint.
    """
    vocabulary, device = mixer.vocabulary, device_for_training()
    model.to(device)
    first_word = 0
    if own.words_only and questions:
        first_word = questions.rows.vocabulary.words_range[0] - model.config.embedding_offset
        _learn_words_only(model)
    averaged = copy.deepcopy(model).eval().requires_grad_(False)
    optimiser = torch.optim.AdamW(
        _parameter_groups(model, own), own.learning_rate, betas=(0.9, 0.98), fused=True
    )
    schedule = Schedule(own.learning_rate, own.warm_up, own.max_steps, own.minutes)
    running: dict[str, Tensor] = {}
    modules = {"model": model, "averaged": averaged, "optimiser": optimiser}
    checkpoint = Checkpoint(path, modules, schedule, running)
    log = Log(path.parent / "log.jsonl", path.stem)
    step, done = checkpoint.load()
    print(f"{path.stem}: {count_parameters(model) / 1e6:.2f}M parameters, from step {step}", flush=True)
    last_saved = schedule.spent_s
    working = copy.deepcopy(model).to(torch.bfloat16).train()
    answers = questions and TaskLoss(working, questions.rows.vocabulary)
    draws = Draws(mixer, questions, 0 if first_word else own.batch).from_step(step, own.max_steps)
    while not done:
        schedule.tick()
        if schedule.progress(step) >= 1.0:
            break
        batch, task = next(draws)
        seed_step(mixer.seed, step)  # of dropout
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(step) * group["speed"]
        working.zero_grad(set_to_none=True)
        losses: dict[str, Tensor] = {}
        if batch is not None:
            requested = batch_loss(working, batch, vocabulary, own.label_smoothing)
            codes = {part: batch.targets[part].shape[1] for part in requested}
            total = torch.stack([requested[p] * codes[p] for p in requested]).sum()
            (total / sum(codes.values())).backward()
            losses |= {part.value: value for part, value in requested.items()}
        if questions and answers and task is not None:
            told = _question_losses(answers, task.to(device))
            (questions.recipe.weight * torch.stack(list(told.values())).sum()).backward()
            losses |= {f"asked_{name}": value for name, value in told.items()}
        for precise, rounded in zip(model.parameters(), working.parameters(), strict=True):
            precise.grad = None if rounded.grad is None else rounded.grad.float()
        _forget_requests(model, first_word)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
        _refresh(working, model)
        _average(averaged, model, min(own.average_decay, (1 + step) / (10 + step)))
        for name, value in losses.items():
            running[name] = torch.lerp(running.get(name, value.detach()), value.detach(), 0.05)
        if step % 25 == 0:
            log.write(step, minutes=schedule.spent_s / 60, **{k: float(v) for k, v in running.items()})
        if schedule.spent_s - last_saved > own.checkpoint_minutes * 60:
            checkpoint.save(step)
            last_saved = schedule.spent_s
    checkpoint.save(step, done=True)


def _question_losses(answers: TaskLoss, batch: TaskBatch) -> dict[str, Tensor]:
    """Nats per word of the answers in words, and per code of those in motion."""
    sums, counts = answers(batch)
    is_word = torch.tensor([name == "words" for name in answers.names], device=sums.device)
    groups = {"words": is_word, "motion": ~is_word}
    return {
        name: sums[own].sum() / counts[own].sum() for name, own in groups.items() if counts[own].sum() > 0
    }


@torch.no_grad()
def _refresh(working: LanguageModel, model: LanguageModel) -> None:
    for rounded, precise in zip(working.parameters(), model.parameters(), strict=True):
        rounded.copy_(precise)


@torch.no_grad()
def _average(averaged: LanguageModel, model: LanguageModel, decay: float) -> None:
    for kept, now in zip(averaged.parameters(), model.parameters(), strict=True):
        kept.lerp_(now, 1.0 - decay)
