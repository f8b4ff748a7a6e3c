# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs an imported pack: requests to prompts, prompts to codes, codes to a clip.

Speech and words go to two models, as in the paper: one run for the parts that follow the speech, one for each
instruction, merged by parts. The two write at different rates; each part is rebuilt on its own and cut to the
length asked for. Long requests run in windows, each starting with the last codes of the one before.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..errors import RequestError
from ..glimpses import Glimpses, decoded_between, moved_to
from ..language.decoder import DecoderWeights, decoder_weights, is_large
from ..memory import give_back, in_halves, is_full
from ..motion.arrays import FloatArray
from ..motion.clip import Clip
from ..motion.planting import planted
from ..packs import Pack
from ..requests import check_length, check_sound, fitted_kept, free_steps, put_back, resolve_sources
from ..specs import (
    AUDIO_HZ,
    MOTION_FPS,
    PARTS,
    CancelCheck,
    GenerateRequest,
    GenerateResult,
    Part,
    ProgressCallback,
    ShowCallback,
    Source,
    no_report,
)
from ..tokenizers.assembly import published_clip, root_motion
from ..tokenizers.hubert_pass import HUBERT_RECEPTIVE_FIELD, HUBERT_STRIDE
from ..windows import windows
from .choice import Release
from .compatible import as_published
from .decoding import BlockRequest, write_blocks
from .four_part_engine import FourPartEngine
from .kept import kept_features, started
from .line import LineRequest, write_line
from .model import PublishedModel, place_of, releases_of
from .prompts import TEXT_PARTS
from .runs import Run, plan_runs, release_of
from .single import one_by_one, refuse_emotion

WINDOW_STEPS = 120
"""Codes of each part in one window: what the published models were trained on (spec 3.5)."""

OVERLAP_STEPS = {Release.SPEECH: 20, Release.TEXT: 8}
"""Codes a window takes over from the one before: two thirds of a second of speech, one of written text."""

_Share = tuple[float, float]
"""Where a run's progress begins in the whole, and how much of it it is."""


class LoadedModel:
    """One of a pack's models, ready to write.

    Args:
        model: The model.
    """

    def __init__(self, model: PublishedModel) -> None:
        self.model = model

    @cached_property
    def weights(self) -> DecoderWeights:
        """Weights of the language model as the decoder wants them; the model itself may lose its decoder."""
        model = self.model
        return model.read_language(
            lambda language: decoder_weights(language, model.fast, spare=is_large(language))
        )

    @property
    def stride(self) -> int:
        """Frames per code."""
        return self.model.tokenizers.parts[Part.LOWER].stride

    @property
    def steps_per_s(self) -> float:
        """Codes per second of each part."""
        return MOTION_FPS / self.stride

    @property
    def window_steps(self) -> int:
        """Codes of each part in one window."""
        return self.model.wordings.window_steps if self.model.wordings else WINDOW_STEPS

    def windows(self, num_steps: int, release: Release) -> list[tuple[int, int]]:
        """First code and codes taken over of each window of some codes."""
        overlap = OVERLAP_STEPS[release]
        if self.model.wordings:  # one model for all; as long as the imported ones of the same rate
            overlap = OVERLAP_STEPS[Release.SPEECH if self.stride == 1 else Release.TEXT]
        return windows(num_steps, self.window_steps, min(overlap, self.window_steps // 2))


class PublishedEngine:
    """A loaded published pack; the counterpart of `pipeline.Engine`. Not safe for two threads at once.

    Its language models are rounded where `fast` says so, see `decoder_weights`.
    """

    def __init__(self, pack: Pack, device: torch.device, fast: bool = False) -> None:
        self.pack = pack
        self.device = device
        places = {release: place_of(pack, release) for release in releases_of(pack)}
        held = {place: LoadedModel(PublishedModel(pack, r, device, fast)) for r, place in places.items()}
        self.models = {release: held[place] for release, place in places.items()}
        self.wordings = next(iter(self.models.values())).model.wordings
        _ = next(iter(self.models.values())).weights  # so that a damaged pack is known at once

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
            The motion, exactly as long as asked for.

        Raises:
            EngineError: With one sentence for the animator; `Cancelled` when `cancel` said so.
        """
        began = time.perf_counter()
        report = progress or no_report
        report(0.0, "Listening to the speech")
        [(clip, codes)] = in_halves(
            lambda one: [_Generation(self, one[0], report, cancel, show).run()], [request]
        )
        if self.device.type == "cpu":
            give_back()
        report(1.0, "Done")
        return GenerateResult(clip, clip.num_frames / MOTION_FPS, time.perf_counter() - began, codes)

    def generate_many(
        self,
        requests: Sequence[GenerateRequest],
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
        show: ShowCallback | None = None,
    ) -> list[GenerateResult]:
        """Turn several requests into motion, one after the other."""
        return one_by_one(self.generate, requests, progress, cancel, show)

    def generate_as_published(
        self,
        request: GenerateRequest,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
    ) -> GenerateResult:
        """Turn one request into motion exactly as the published demo does, faults included.

        Speech or one instruction drives all parts; windows know nothing of each other, what is missing is
        filled with the code 0, and the motion may be up to 4 s longer than the sound.

        Raises:
            EngineError: With one sentence for the animator; `Cancelled` when `cancel` said so.
        """
        began = time.perf_counter()
        if self.wordings is not None:
            raise RequestError("A model that was trained with Kinesics has no published demo to follow.")
        wave = check_sound(request)
        sources, texts = resolve_sources(request)
        if len({(sources[part], texts.get(part)) for part in PARTS}) != 1:
            raise RequestError(
                "The compatible way follows either the speech or one instruction with the whole body; "
                "give one of them."
            )
        release = release_of(sources[Part.LOWER], Part.LOWER)
        place_of(self.pack, release)
        loaded = self.models[release]
        clip, codes = as_published(
            loaded.model, loaded.weights, wave, texts.get(Part.LOWER), request.sampling, progress, cancel
        )
        return GenerateResult(clip, clip.num_frames / MOTION_FPS, time.perf_counter() - began, codes)


def load_published_engine(
    pack: Pack, device: torch.device, fast: bool = False
) -> PublishedEngine | FourPartEngine:
    """Load an imported pack, whichever release it holds, see `PublishedEngine`; raises `PackError`."""
    if pack.value(str, "release") == Release.FOUR_PART.value:
        return FourPartEngine(pack, device)
    return PublishedEngine(pack, device, fast)


class _Generation:
    """One request on its way to a clip."""

    def __init__(
        self,
        engine: PublishedEngine,
        request: GenerateRequest,
        report: ProgressCallback,
        cancel: CancelCheck | None,
        show: ShowCallback | None,
    ) -> None:
        self.engine, self.request, self.report, self.cancel = engine, request, report, cancel
        self.wave = check_sound(request)
        self.sources, texts = resolve_sources(request)
        self.num_frames = check_length(request, self.wave)
        refuse_emotion(request)
        if any(direction.segments for direction in request.directions.values()):
            raise RequestError(
                "The published model follows one instruction per part from beginning to end; remove the "
                "instructions on the timeline."
            )
        self.runs = plan_runs(self.sources, texts, engine.wordings)
        for run in self.runs:
            place_of(engine.pack, run.release)
        self.made = [part for part in PARTS if self.sources[part] is not Source.KEEP]
        kept_parts = [part for part in PARTS if request.free or part not in self.made]
        self.kept = fitted_kept(request, kept_parts, self.num_frames)
        self.random = torch.Generator().manual_seed(request.sampling.seed & (2**63 - 1))
        self.codes: dict[Part, Tensor] = {}
        whole = None if request.free else show
        self.glimpses = (
            Glimpses(whole, self.num_frames, self._seen, self._built, self.kept) if whole else None
        )

    def run(self) -> tuple[Clip, dict[Part, list[int]]]:
        """Make the clip.

        Returns:
            The clip, and the codes of the parts that were made.
        """
        if self.kept is not None and not self.made:
            return self.kept, {}
        features: dict[Part, Tensor] = {}
        for number, run in enumerate(self.runs):
            loaded = self.engine.models[run.release]
            drawn = self._codes(run, loaded, number)
            features |= {part: self._features(loaded, part, values) for part, values in drawn.items()}
        self.report(0.97, "Building the motion")
        return self._clip(features), {part: values[0].tolist() for part, values in self.codes.items()}

    def _codes(self, run: Run, loaded: LoadedModel, number: int) -> dict[Part, Tensor]:
        """Codes of one run's parts, (1, T), window after window."""
        num_steps = math.ceil(self.num_frames / loaded.stride)
        allowed = TEXT_PARTS if run.release is Release.TEXT else PARTS
        codes = self._known(run, loaded, num_steps, allowed)
        self.codes |= {part: codes[part] for part in run.parts}
        heard = self._heard(loaded.model) if run.release is Release.SPEECH else []
        cuts = loaded.windows(num_steps, run.release) if run.parts else []
        share = (number / len(self.runs), 1 / len(self.runs))
        if len(cuts) == 1:
            self._one_window(run, loaded, codes, heard, share)
        elif cuts:
            self._line(run, loaded, codes, heard, cuts, share)
        return {part: codes[part] for part in run.parts}

    def _one_window(
        self, run: Run, loaded: LoadedModel, codes: dict[Part, Tensor], heard: list[int], share: _Share
    ) -> None:
        """Write the codes of a run that is one window."""
        allowed, length = tuple(codes), codes[Part.LOWER].shape[1]
        request = BlockRequest(
            prompts=[run.prompt(heard, 0, length, loaded.steps_per_s, loaded.model)],
            num_steps=length,
            allowed=allowed,
            wanted=frozenset(run.parts),
            known=codes,
            uniform=torch.rand((1, len(allowed) * length), generator=self.random),
        )
        drawn = write_blocks(
            loaded.weights,
            loaded.model.vocabulary,
            request,
            self.request.sampling,
            self._on_step(share, len(allowed) * length),
            self.cancel,
        )
        for part, values in drawn.items():
            codes[part][:] = values
        self._glimpse(loaded, 0, length)

    def _line(
        self,
        run: Run,
        loaded: LoadedModel,
        codes: dict[Part, Tensor],
        heard: list[int],
        cuts: list[tuple[int, int]],
        share: _Share,
    ) -> None:
        """Write the codes of a run's windows, each going on from the one before."""
        allowed, rate, model, steps = tuple(codes), loaded.steps_per_s, loaded.model, loaded.window_steps
        starts = [start for start, _ in cuts]
        draws = (1, len(allowed) * steps)
        request = LineRequest(
            prompts=[run.prompt(heard, start, steps, rate, model) for start in starts],
            starts=starts,
            num_steps=steps,
            allowed=allowed,
            wanted=frozenset(run.parts),
            codes=codes,
            uniform=torch.cat([torch.rand(draws, generator=self.random) for _ in cuts]),
        )
        total = len(allowed) * codes[Part.LOWER].shape[1]
        known = {part: values.clone() for part, values in codes.items()}
        for at_once in (len(allowed), 1):
            try:
                write_line(
                    loaded.weights,
                    model.vocabulary,
                    replace(request, at_once=at_once),
                    self.request.sampling,
                    self._on_step(share, total),
                    lambda window: self._glimpse(loaded, sum(cuts[window]), cuts[window][0] + steps),
                    self.cancel,
                )
                return
            except (MemoryError, RuntimeError) as problem:
                if not is_full(problem) or at_once == 1:
                    raise
            for part, values in known.items():  # once more from the beginning, one window at a time
                codes[part].copy_(values)

    def _on_step(self, share: _Share, total: int) -> Callable[[int], None]:
        """Progress of one run, told as a share of the whole."""
        begin, size = share
        return lambda done: self.report(
            0.02 + 0.95 * (begin + size * min(done / total, 1.0)), "Moving the body"
        )

    def _glimpse(self, loaded: LoadedModel, first: int, stop: int) -> None:
        """Show some steps, which all runs so far have made."""
        if self.glimpses is not None:
            self.glimpses.add(list(self.codes), first * loaded.stride, stop * loaded.stride)

    def _known(
        self, run: Run, loaded: LoadedModel, num_steps: int, allowed: Sequence[Part]
    ) -> dict[Part, Tensor]:
        """Codes that are not drawn, (1, T) per part, -1 where one is; only a stretch has any."""
        codes = {part: torch.full((1, num_steps), -1, dtype=torch.int64) for part in allowed}
        if self.request.free is None or self.kept is None:
            return codes
        first, stop = free_steps(self.request, self.num_frames, loaded.stride)
        for part in allowed:
            seen = kept_features(self.kept, loaded.model.layouts[part])
            if seen is None:
                continue
            short = num_steps * loaded.stride - len(seen)
            values = torch.from_numpy(np.pad(seen, ((0, short), (0, 0)), mode="edge"))
            known = loaded.model.tokenizers.parts[part].encode(values[None].to(self.engine.device)).cpu()
            if part in run.parts:
                known[:, first:stop] = -1
            codes[part] = known
        return codes

    @torch.inference_mode()
    def _heard(self, model: PublishedModel) -> list[int]:
        """Numbers of the sound from the motion's first moment to its last, 50 a second; silence outside."""
        assert self.wave is not None
        speech = model.speech
        if speech is None:
            raise RequestError("This model pack was made without the speech model; import it again with it.")
        start = round(self.request.audio_start_s * AUDIO_HZ)
        count = math.ceil(self.num_frames * AUDIO_HZ / MOTION_FPS / HUBERT_STRIDE)
        length = (count - 1) * HUBERT_STRIDE + HUBERT_RECEPTIVE_FIELD
        sound = np.zeros(length, dtype=np.float32)
        piece = self.wave[max(start, 0) : max(start + length, 0)]
        lead = max(-start, 0)
        sound[lead : lead + len(piece)] = piece[: max(length - lead, 0)]
        heard = speech.encode(torch.from_numpy(sound)[None].to(self.engine.device), self.cancel)[0].tolist()
        if self.engine.device.type == "cpu":
            del speech
            model.forget_speech()
            give_back()
        return heard

    @torch.inference_mode()
    def _features(self, loaded: LoadedModel, part: Part, codes: Tensor) -> Tensor:
        """Rebuilt features of one part, (F, width)."""
        return loaded.model.tokenizers.parts[part].decode(codes.to(self.engine.device))[0, : self.num_frames]

    def _run_of(self, part: Part) -> Run:
        """The run that makes a part."""
        return next(run for run in self.runs if part in run.parts)

    def _seen(self, part: Part, first: int, stop: int) -> FloatArray:
        """Features of some frames for a glimpse, (stop - first, width)."""
        model = self.engine.models[self._run_of(part).release].model
        codes = self.codes[part][0].to(self.engine.device)
        return decoded_between(model.tokenizers.parts[part], codes, first, stop)

    @torch.inference_mode()
    def _built(self, features: Mapping[Part, FloatArray], last: Clip | None) -> Clip:
        """A glimpse's clip."""
        num_frames = len(next(iter(features.values())))
        root = None
        if Part.LOWER in features:
            network = self.engine.models[self._run_of(Part.LOWER).release].model.tokenizers.root
            lower = torch.from_numpy(features[Part.LOWER]).to(self.engine.device)
            root, _ = root_motion(network, lower, keep_contacts=False)
        clip = published_clip(features, root, num_frames)
        if last is None:
            return started(clip, self.kept) if self.kept is not None else clip
        return moved_to(clip, last)

    @torch.inference_mode()
    def _clip(self, features: Mapping[Part, Tensor]) -> Clip:
        """Put the parts together, place the root, plant the feet, put kept parts back untouched."""
        root, contacts = None, None
        if Part.LOWER in features:
            network = self.engine.models[self._run_of(Part.LOWER).release].model.tokenizers.root
            root, contacts = root_motion(network, features[Part.LOWER], keep_contacts=False)
        arrays = {part: values.float().cpu().numpy() for part, values in features.items()}
        clip = published_clip(arrays, root, self.num_frames)
        if self.kept is not None:
            clip = put_back(started(clip, self.kept), self.kept, self.made)
        if contacts is not None and self.request.plant_feet:
            clip = planted(clip, contacts)
        return clip
