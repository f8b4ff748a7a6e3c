# SPDX-License-Identifier: GPL-3.0-or-later
"""From a request to a motion: speech and words in, a clip out, in one pass.

Long requests run in windows, see `engine.windows`. Each window starts with the last codes of the one before,
as codes already decided, so the joint is generated like any other moment; the codes of all windows are
turned into motion together, so nothing is cut or blended.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .devices import chosen_device
from .drafts import best_draft, with_drafts
from .glimpses import Glimpses, decoded_between
from .language.decoder import decoder_weights
from .language.decoding import WindowRequest, generate_window
from .language.layout import (
    Condition,
    build_encoder_batch,
    instruction_states,
    plan_decoder,
    window_audio,
)
from .language.model import LanguageModel, LanguageModelConfig
from .language.text_encoder import TextEncoder, TextEncoderConfig
from .lips import load_lip_closer
from .listening import Listening
from .memory import check_fits, free_memory_mb, give_back, in_halves, limit_gpu
from .motion.arrays import FloatArray
from .motion.climbing import climbed
from .motion.clip import Clip
from .motion.falling import fallen
from .motion.features import rest_features, starter_clip, starter_features
from .motion.planting import planted
from .motion.steadying import steadied, steadied_trunk
from .packs import STARTER, Pack, load_pack
from .requests import (
    block_order,
    check_length,
    check_sound,
    fitted_kept,
    free_steps,
    put_back,
    resolve_directions,
)
from .specs import (
    FRAMES_PER_STEP,
    MOTION_FPS,
    PARTS,
    CancelCheck,
    GenerateRequest,
    GenerateResult,
    MotionEngine,
    Part,
    ProgressCallback,
    ShowCallback,
    Source,
    no_report,
)
from .tokenizers.config import config_from_dict
from .tokenizers.pack_tokenizers import load_pack_tokenizers
from .tokenizers.vocabulary import Vocabulary
from .windows import Window, drawn_steps, plan_windows, windows

STRETCH_GUIDANCE = 2.7
"""So much further does guidance by words reach in a stretch: else the frames before outweigh the words."""

LEGS_GUIDANCE = 1.6
"""The same for legs made under a body that is kept, which else outweighs the words. On 40 recordings of the
training set a walk edited to a jump did jump in 37 with it and in 33 without; the paper's other four edits
were obeyed in all either way."""

TURN_GUIDANCE = 4.0
"""The same in a window that begins under other words than the steps before it. Measured on the starter pack:
"stand still" after walking was obeyed by 2 of 6 seeds without and 8 of 8 with it, "run forward" after
standing by none of 6 and 7 of 8."""

GESTURING = (Part.HANDS, Part.UPPER)
GESTURE_GUIDANCE = 3.5
"""So much further does guidance by the sound reach for gestures. Chosen on 40 recordings of the training set,
three takes of each. Faces and legs are nearer to the performer's without it, and so are hands made for a body
that is kept."""

WALKING_GESTURE_GUIDANCE = 4.5
"""The same over legs that follow words: on the 40 recordings, over "walk forward", gestures of starter 0.2.5
follow their own sound with p = 0.0007, with 3.5 p = 0.03."""

STRETCH_GESTURE_GUIDANCE = 2.5
"""The same in a stretch between kept frames, which has to meet them: with 3.5, 1.2 % of frames at the ends
of gaps in performances accelerated more than the clip's 99th percentile, with 2.5 0.6 % (0.2.3)."""


@dataclass(frozen=True)
class _Row:
    """One request made ready for the model.

    Attributes:
        windows: What is drawn at once, and what drives each part then; no part is left open.
        audio: What it hears, or None.
        kept: The kept clip at engine rate and length, or None.
        kept_codes: Codes of the kept parts, or of all where only a stretch is free, (T * levels,).
        free: First motion step that is drawn, and the step after the last one.
    """

    request: GenerateRequest
    num_frames: int
    windows: tuple[Window, ...]
    audio: Listening | None
    kept: Clip | None
    kept_codes: dict[Part, Tensor]
    free: tuple[int, int]

    @property
    def num_steps(self) -> int:
        """Motion steps that cover the frames."""
        return math.ceil(self.num_frames / FRAMES_PER_STEP)

    @property
    def made(self) -> list[Part]:
        """Parts that are drawn."""
        return [part for part in PARTS if self.windows[0].sources[part] is not Source.KEEP]

    def is_steadied(self, part: Part) -> bool:
        """Whether the tremble that decoding leaves is taken out: of legs, and of what follows no speech."""
        told = all(window.sources[part] in (Source.TEXT, Source.KEEP) for window in self.windows)
        return part is Part.LOWER or (told and part is not Part.FACE)

    @property
    def layout(self) -> tuple[object, ...]:
        """Rows of the same layout can share a batch."""
        options = self.request.sampling
        sampling = (
            options.temperature,
            options.top_k,
            options.top_p,
            options.text_guidance,
            options.speech_guidance,
        )
        windows = tuple(window.layout for window in self.windows)
        free = (self.request.free is None, self.free)
        return (self.num_frames, free, windows, self.audio is None, sampling)


_Made = tuple[Clip, dict[Part, list[int]]]
"""A motion, and the codes of the parts that were made."""


class Engine:
    """A loaded pack, ready to generate. Not safe for two threads at once."""

    def __init__(self, pack: Pack, device: torch.device) -> None:
        self.pack = pack
        self.device = device
        self.vocabulary = Vocabulary.from_dict(pack.table("vocabulary"))
        self.tokenizers, self.audio_tokenizer = load_pack_tokenizers(pack)
        self.text_encoder = TextEncoder.load(
            TextEncoderConfig.from_dict(pack.table("text_encoder")),
            pack.tensors("text_encoder.safetensors"),
            pack.file("tokenizer.json"),
        )
        self.lips = load_lip_closer(pack)
        config = config_from_dict(LanguageModelConfig, pack.table("language_model"), "the language model")
        self.model = pack.build_module("language_model.safetensors", partial(LanguageModel, config))
        self.weights = decoder_weights(self.model.to(device).eval())
        give_back()

    def generate(
        self,
        request: GenerateRequest,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
        show: ShowCallback | None = None,
    ) -> GenerateResult:
        """Turn one request into motion.

        Args:
            request: What to generate.
            progress: Told how far it is.
            cancel: Asked between steps.
            show: Given what is finished, window by window; without it the motion is the same.

        Returns:
            The motion.

        Raises:
            EngineError: With one sentence for the animator; `Cancelled` when `cancel` said so.
        """
        return self.generate_many([request], progress, cancel, show)[0]

    def generate_many(
        self,
        requests: Sequence[GenerateRequest],
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
        show: ShowCallback | None = None,
    ) -> list[GenerateResult]:
        """Turn several requests into motion; those of the same length and sources share a batch."""
        began = time.perf_counter()
        report = progress or no_report
        report(0.0, "Listening to the speech")
        wanted, places = with_drafts(requests)
        rows: list[_Row] = []
        for request, place in zip(requests, places, strict=True):
            row = self._prepare(request)
            rows += [replace(row, request=draft) for draft in wanted[place]]
        groups: dict[tuple[object, ...], list[int]] = {}
        for index, row in enumerate(rows):
            groups.setdefault(row.layout, []).append(index)
        clips: list[_Made | None] = [None] * len(rows)
        for number, members in enumerate(groups.values()):

            def share(fraction: float, text: str, number: int = number) -> None:
                report((number + fraction) / len(groups), text)

            def run(group: Sequence[_Row], share: ProgressCallback = share) -> list[_Made]:
                return self._run(group, share, cancel, show if group[0] is rows[0] else None)

            for index, made in zip(members, in_halves(run, [rows[i] for i in members]), strict=True):
                clips[index] = made
        give_back()
        report(1.0, "Done")
        seconds = time.perf_counter() - began
        results = [
            GenerateResult(clip, row.num_frames / MOTION_FPS, seconds, codes)
            for row, made in zip(rows, clips, strict=True)
            if made is not None
            for clip, codes in [made]
        ]
        return list(map(best_draft, requests, [results[place] for place in places]))

    def window_joints(self, num_frames: int) -> list[int]:
        """Frames at which a later window takes over, for measuring seams."""
        return [
            (start + known) * FRAMES_PER_STEP
            for start, known in windows(math.ceil(num_frames / FRAMES_PER_STEP))
        ][1:]

    def _prepare(self, request: GenerateRequest) -> _Row:
        """Check a request and encode what it brings."""
        wave = check_sound(request)
        directions = resolve_directions(request)
        num_frames = check_length(request, wave)
        steps = math.ceil(num_frames / FRAMES_PER_STEP)
        plan = plan_windows(directions, steps, FRAMES_PER_STEP)
        audio = None
        if wave is not None:
            audio = Listening(self.audio_tokenizer, wave, request.audio_start_s, steps, self.lips)
        free = free_steps(request, num_frames, FRAMES_PER_STEP)
        parts = [part for part in PARTS if request.free or directions[part].source is Source.KEEP]
        kept = fitted_kept(request, parts, num_frames)
        kept_codes = {} if kept is None else self._encode_kept(kept, parts, steps)
        return _Row(request, num_frames, plan, audio, kept, kept_codes, free)

    @torch.inference_mode()
    def _encode_kept(self, kept: Clip, parts: Sequence[Part], num_steps: int) -> dict[Part, Tensor]:
        features = starter_features(kept)
        codes: dict[Part, Tensor] = {}
        for part in parts:
            known = features.get(part)
            known = rest_features(part, kept.num_frames) if known is None else known
            values = torch.from_numpy(np.ascontiguousarray(known, dtype=np.float32))
            short = num_steps * FRAMES_PER_STEP - len(values)
            values = torch.cat([values, values[-1:].expand(short, -1)])
            codes[part] = self.tokenizers[part].encode(values[None])[0]
        return codes

    def _run(
        self,
        rows: Sequence[_Row],
        report: ProgressCallback,
        cancel: CancelCheck | None,
        show: ShowCallback | None,
    ) -> list[_Made]:
        """Generate a batch of rows of one layout, and show what is finished of the first."""
        codes = self._generate_codes(rows, report, cancel, show)
        report(0.97, "Building the motion")
        return self._build(rows, codes)

    def _generate_codes(
        self,
        rows: Sequence[_Row],
        report: ProgressCallback,
        cancel: CancelCheck | None,
        show: ShowCallback | None,
    ) -> dict[Part, Tensor]:
        """Codes of every part, (B, T * levels), window after window."""
        first, vocabulary, made = rows[0], self.vocabulary, rows[0].made
        options = first.request.sampling
        codes = {
            part: torch.zeros((len(rows), first.num_steps * vocabulary.num_levels(part)), dtype=torch.int64)
            for part in PARTS
        }
        for part in first.kept_codes:
            codes[part] = torch.stack([row.kept_codes[part] for row in rows])
        texts = sorted({text for row in rows for window in row.windows for text in window.texts.values()})
        states = instruction_states(self.text_encoder, texts)
        random = [torch.Generator().manual_seed(row.request.sampling.seed & (2**63 - 1)) for row in rows]
        planned = first.windows if made else ()
        glimpses = self._glimpses(first, codes, show) if show is not None else None
        for number, part_of in enumerate(planned):
            start, length = part_of.start, part_of.length
            order = block_order(part_of.sources)
            guidance = {part: _guidance(first, part_of, part) for part in order}
            plan = plan_decoder(order, length, vocabulary)
            conditions = [_condition(row, row.windows[number], texts) for row in rows]
            if any(guidance[part] != 1.0 for part in made):
                conditions += [Condition.empty()] * len(rows)
            head, stop = drawn_steps(first.free, part_of)
            forced: dict[Part, Tensor] = {}
            tail: dict[Part, Tensor] = {}
            for part in order:
                levels = vocabulary.num_levels(part)
                known, until = (head, stop) if part in made else (length, length)
                forced[part] = codes[part][:, start * levels : (start + known) * levels]
                tail[part] = codes[part][:, (start + until) * levels : (start + length) * levels]
            window = WindowRequest(
                plan=plan,
                encoder=build_encoder_batch(conditions, states or [torch.zeros(1, 1)], length, vocabulary),
                forced=forced,
                guidance=guidance,
                uniform=torch.stack([torch.rand(plan.num_draws, generator=g) for g in random]),
                forced_tail=tail,
            )

            def on_step(position: int, number: int = number, total: int = plan.length) -> None:
                report(0.02 + 0.95 * (number + position / total) / len(planned), "Moving the body")

            drawn = generate_window(self.weights, vocabulary, window, options, on_step, cancel)
            for part in made:
                levels = vocabulary.num_levels(part)
                codes[part][:, start * levels : (start + length) * levels] = drawn[part]
            if glimpses is not None:
                shown = start + part_of.num_decided, start + length
                glimpses.add(made, shown[0] * FRAMES_PER_STEP, shown[1] * FRAMES_PER_STEP)
        return codes

    def _glimpses(self, row: _Row, codes: dict[Part, Tensor], show: ShowCallback) -> Glimpses | None:
        """What builds the glimpses of a batch's first row; None for a stretch, which has to be joined."""
        if row.request.free is not None:
            return None

        def decode(part: Part, first: int, stop: int) -> FloatArray:
            features = decoded_between(self.tokenizers[part], codes[part][0], first, stop)
            if part is Part.FACE and row.audio is not None:
                return row.audio.with_lips_closed(features, row.windows, first)
            return features

        def build(features: Mapping[Part, FloatArray], last: Clip | None) -> Clip:
            return starter_clip(features, *_start_of(last or row.kept))

        return Glimpses(show, row.num_frames, decode, build, row.kept)

    @torch.inference_mode()
    def _build(self, rows: Sequence[_Row], codes: dict[Part, Tensor]) -> list[_Made]:
        """Codes to clips: decode, place the root, plant the feet, put kept parts back untouched."""
        made = rows[0].made
        decoded = {part: self.tokenizers[part].decode(codes[part]).numpy() for part in made}
        results: list[_Made] = []
        for index, row in enumerate(rows):
            features = {part: decoded[part][index, : row.num_frames] for part in made}
            on_kept = Part.UPPER in made and Part.LOWER not in made
            features.update(
                {part: steadied(part, features[part], on_kept) for part in made if row.is_steadied(part)}
            )
            if not features:
                assert row.kept is not None
                results.append((row.kept, {}))
                continue
            if Part.FACE in made and row.audio is not None:
                features[Part.FACE] = row.audio.with_lips_closed(features[Part.FACE], row.windows)
            if Part.LOWER in made:
                features[Part.LOWER] = fallen(climbed(features[Part.LOWER]))
            clip = starter_clip(features, *_start_of(row.kept))
            if row.kept is not None:
                clip = put_back(clip, row.kept, made)
            if on_kept and row.is_steadied(Part.UPPER):
                clip = steadied_trunk(clip)
            if Part.LOWER in made and row.request.plant_feet:
                clip = planted(clip, features[Part.LOWER][:, 4:8])
            results.append((clip, {part: codes[part][index].tolist() for part in made}))
        return results


def _start_of(kept: Clip | None) -> tuple[tuple[float, float], float]:
    """Where a new lower body starts: under the kept one."""
    if kept is None:
        return (0.0, 0.0), 0.0
    from .motion.rotations import axis_angle_to_matrix, heading_angle

    x, _, z = kept.pelvis_positions[0]
    return (float(x), float(z)), float(heading_angle(axis_angle_to_matrix(kept.poses[0, 0])))


def _guidance(row: _Row, window: Window, part: Part) -> float:
    options = row.request.sampling
    if window.sources[part] not in (Source.TEXT, Source.BOTH):
        sources = [window.sources[other] for other in GESTURING]
        further = 1.0
        if part in GESTURING and window.sources[part] is Source.SPEECH and Source.KEEP not in sources:
            walking = window.sources[Part.LOWER] in (Source.TEXT, Source.BOTH)
            further = WALKING_GESTURE_GUIDANCE if walking else GESTURE_GUIDANCE
            further = STRETCH_GESTURE_GUIDANCE if row.request.free else further
        return 1.0 + (options.speech_guidance - 1.0) * further
    further = 1.0
    if row.request.free:
        further = STRETCH_GUIDANCE
    elif part is Part.LOWER and Source.KEEP in window.sources.values():
        further = LEGS_GUIDANCE
    if part in window.turning:
        further = TURN_GUIDANCE
    return 1.0 + (options.text_guidance - 1.0) * further


def _condition(row: _Row, window: Window, texts: Sequence[str]) -> Condition:
    """What one window of a row is asked."""
    audio = None
    if row.audio is not None:
        codes = row.audio.upto(window.start + window.length)
        audio = window_audio(codes, window.start, window.length)
    rows = {part: texts.index(text) for part, text in window.texts.items()}
    return Condition(dict(window.sources), rows, row.request.emotion, audio)


def load_engine(pack_dir: Path, device: str = "auto", limit_mb: int = 0, fast: bool = False) -> MotionEngine:
    """Load a pack and the engine for its kind.

    Args:
        pack_dir: The pack's folder.
        device: "auto", "cpu" or "cuda"; auto takes a GPU where there is one.
        limit_mb: Most memory for the model, 0 for no limit. On a GPU motions are made fewer at a time to stay
            below it.
        fast: Round the decoder of a model of the published size, which changes some of its choices.

    Returns:
        The engine.

    Raises:
        PackError: If the pack is missing or damaged.
        DeviceError: If the device is absent, or the pack does not fit.
    """
    chosen = chosen_device(device)
    pack = load_pack(Path(pack_dir))
    check_fits(pack.num_values(), limit_mb, free_memory_mb() if chosen == "cpu" else math.inf)
    if chosen == "cuda":
        limit_gpu(limit_mb)
    if pack.kind != STARTER:
        from .published.engine import load_published_engine

        return load_published_engine(pack, torch.device(chosen), fast)
    return Engine(pack, torch.device(chosen))
