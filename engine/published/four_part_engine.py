# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs an imported four-part model: codes of a sound to a stream of words, the stream to a clip (spec 4.2).

The sound comes as codes, since the network that makes them (GLM-4-Voice's) is not part of Kinesics. Sounds
longer than the model was trained on run in windows, each starting with the last codes of the one before.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..errors import RequestError
from ..memory import in_halves
from ..motion.arrays import FloatArray
from ..motion.clip import Clip
from ..motion.kinematics import clip_joint_positions
from ..motion.planting import planted
from ..motion.published_features import PART_LAYOUTS, global_input, integrate_local_velocity, layout_width
from ..motion.rotations import rotation_6d_to_matrix
from ..motion.skeleton import FOOT_JOINTS, SOLE_THICKNESS
from ..packs import Pack
from ..requests import check_length, fitted_kept, put_back
from ..specs import (
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
from ..tokenizers.assembly import CONTACT_CHANNELS, ROOT_CHANNELS, published_clip
from ..tokenizers.motion_vqvae import MotionVQVAE
from ..weights.sketching import sketching
from ..windows import windows
from . import four_part
from .four_part import AUDIO_PER_STEP, BODY_STRIDE, MAX_AUDIO, NUM_CODES, StreamRequest, StreamWords, steps_of
from .four_part_files import NEEDS_LISTENER
from .importer import LANGUAGE_FILE
from .kept import kept_features, started
from .model import read_tokenizers
from .qwen import QwenConfig, QwenModel
from .single import one_by_one, refuse_emotion

WINDOW_STEPS = MAX_AUDIO // AUDIO_PER_STEP
"""Codes of the body in one window: 41 s."""

OVERLAP_STEPS = 8
"""Codes of the body that a window takes over from the one before: 1.3 s."""

_CODES_PER_STEP = sum(steps_of(part) for part in PARTS)
_SLACK_S = 1.0
"""So much longer than its sound's codes may a motion be: the last code holds on."""


class FourPartEngine:
    """A loaded four-part pack; the counterpart of `pipeline.Engine`. Not safe for two threads at once.

    Args:
        pack: The pack.
        device: Where the networks run; the language model is rounded to bfloat16 on a GPU, as published.
    """

    def __init__(self, pack: Pack, device: torch.device) -> None:
        self.pack, self.device = pack, device
        self.words = StreamWords.from_dict(pack.table("vocabulary"))
        self.tokenizers = read_tokenizers(pack, (), "", NUM_CODES, device)
        config = QwenConfig.from_dict(pack.table("language_model"))
        with sketching():
            model = QwenModel(config)
        pack.load_module(LANGUAGE_FILE, model)
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        self.language = model.eval().requires_grad_(False).to(device, dtype)

    def generate(
        self,
        request: GenerateRequest,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
        show: ShowCallback | None = None,
    ) -> GenerateResult:
        """Turn one request into motion, exactly as long as asked for; nothing of it is shown before.

        Raises:
            EngineError: With one sentence for the animator; `Cancelled` when `cancel` said so.
        """
        began = time.perf_counter()
        report = progress or no_report
        [(clip, codes)] = in_halves(lambda one: [_Generation(self, one[0], report, cancel).run()], [request])
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
        """Turn the codes of one sound into motion as the published program does, at its 25 frames a second.

        What is longer than 41 s is cut, an odd code at the end is left out, and the root starts at zero.

        Raises:
            EngineError: With one sentence for the animator; `Cancelled` when `cancel` said so.
        """
        began = time.perf_counter()
        audio = _audio_codes(request)[:MAX_AUDIO]
        steps = max(1, len(audio) // AUDIO_PER_STEP)
        generator = torch.Generator().manual_seed(request.sampling.seed & (2**63 - 1))
        uniform = torch.rand(steps * _CODES_PER_STEP, generator=generator)
        wanted = StreamRequest(audio, steps, frozenset(PARTS), {}, uniform)
        report = _share(progress or no_report, 0.0, 1.0, steps)
        codes = four_part.write_stream(self.language, self.words, wanted, request.sampling, report, cancel)
        clip, _ = self.assemble({part: self.decode(part, values) for part, values in codes.items()})
        rows = {part: values.tolist() for part, values in codes.items()}
        return GenerateResult(clip, clip.duration_s, time.perf_counter() - began, rows)

    @torch.inference_mode()
    def decode(self, part: Part, codes: Tensor) -> Tensor:
        """Rebuilt features of one part, (F, width)."""
        return self.tokenizers.parts[part].decode(codes[None].to(self.device))[0]

    @torch.inference_mode()
    def assemble(self, features: Mapping[Part, Tensor]) -> tuple[Clip, FloatArray | None]:
        """Put parts together as the release does; unequal ones are cut to the shortest.

        Returns:
            The clip at 25 fps, its root starting at zero, and contacts of joints 7, 8, 10, 11, (F, 4), where
            the lower body is among the parts.
        """
        frames = min(len(values) for values in features.values())
        features = {part: values[:frames] for part, values in features.items()}
        root, contacts = None, None
        if Part.LOWER in features:
            root, contacts = local_root_motion(self.tokenizers.root, features[Part.LOWER])
        arrays = {part: values.float().cpu().numpy() for part, values in features.items()}
        return published_clip(arrays, root, frames, four_part.MOTION_FPS), contacts


class _Generation:
    """One request on its way to a clip."""

    def __init__(
        self,
        engine: FourPartEngine,
        request: GenerateRequest,
        report: ProgressCallback,
        cancel: CancelCheck | None,
    ) -> None:
        self.engine, self.request, self.report, self.cancel = engine, request, report, cancel
        for part, direction in request.directions.items():
            if direction.source in (Source.TEXT, Source.BOTH) or direction.segments:
                raise RequestError(
                    f"The four-part model follows speech only; take the instruction off the {part.value}, or "
                    "choose another model pack."
                )
        refuse_emotion(request)
        self.audio = _audio_codes(request)
        heard_s = len(self.audio) / AUDIO_PER_STEP * BODY_STRIDE / four_part.MOTION_FPS
        if request.duration_s is None:
            request = replace(request, duration_s=heard_s - max(request.audio_start_s, 0.0))
        self.num_frames = check_length(request, None)
        if request.audio_start_s + self.num_frames / MOTION_FPS > heard_s + _SLACK_S:
            raise RequestError(
                f"Only {heard_s:.1f} s of the sound were listened to, less than the motion asked for; have "
                "the whole sound listened to."
            )
        kept = {part for part, direction in request.directions.items() if direction.source is Source.KEEP}
        self.made = [part for part in PARTS if part not in kept]
        kept_parts = [part for part in PARTS if request.free or part not in self.made]
        self.kept = fitted_kept(request, kept_parts, self.num_frames)
        self.frames_made = -(-self.num_frames * four_part.MOTION_FPS // MOTION_FPS)
        self.num_steps = -(-self.frames_made // BODY_STRIDE)

    def run(self) -> tuple[Clip, dict[Part, list[int]]]:
        """Make the clip.

        Returns:
            The clip, and the codes of the parts that were made.
        """
        if self.kept is not None and not self.made:
            return self.kept, {}
        self.report(0.0, "Moving the body")
        codes = self._codes()
        features = {part: self.engine.decode(part, codes[part]) for part in self.made}
        self.report(0.97, "Building the motion")
        return self._clip(features), {part: codes[part].tolist() for part in self.made}

    def _codes(self) -> dict[Part, Tensor]:
        """Codes of every part, window after window."""
        codes = self._known()
        random = torch.Generator().manual_seed(self.request.sampling.seed & (2**63 - 1))
        cuts = windows(self.num_steps, WINDOW_STEPS, OVERLAP_STEPS)
        for index, (start, _) in enumerate(cuts):
            length = min(WINDOW_STEPS, self.num_steps - start)
            stop = start + length
            places = {part: slice(start * steps_of(part), stop * steps_of(part)) for part in PARTS}
            request = StreamRequest(
                audio=self._heard(start, length),
                num_steps=length,
                wanted=frozenset(self.made),
                known={part: codes[part][place].clone() for part, place in places.items()},
                uniform=torch.rand(length * _CODES_PER_STEP, generator=random),
            )
            report = _share(self.report, 0.95 * index / len(cuts), 0.95 / len(cuts), length)
            engine = self.engine
            drawn = four_part.write_stream(
                engine.language, engine.words, request, self.request.sampling, report, self.cancel
            )
            for part, values in drawn.items():
                codes[part][places[part]] = values
        return codes

    def _heard(self, start: int, length: int) -> Tensor:
        """Codes of the sound in a window; the first and the last hold on beyond the sound."""
        shift = round(self.request.audio_start_s * four_part.MOTION_FPS / BODY_STRIDE * AUDIO_PER_STEP)
        places = torch.arange(start * AUDIO_PER_STEP, (start + length) * AUDIO_PER_STEP) + shift
        return self.audio[places.clamp(0, len(self.audio) - 1)]

    def _known(self) -> dict[Part, Tensor]:
        """Codes that are not drawn, -1 where one is: kept parts, and all around a stretch."""
        codes = {
            part: torch.full((self.num_steps * steps_of(part),), -1, dtype=torch.int64) for part in PARTS
        }
        if self.kept is None:
            return codes
        kept = self.kept.resample(four_part.MOTION_FPS)
        for part in PARTS:
            network = self.engine.tokenizers.parts[part]
            widths = {layout_width(layout): layout for layout in PART_LAYOUTS[part]}
            seen = kept_features(kept, widths[network.config.feature_dim])
            if seen is None or (part in self.made and self.request.free is None):
                continue
            count = self.num_steps * BODY_STRIDE
            values = np.pad(seen[:count], ((0, max(count - len(seen), 0)), (0, 0)), mode="edge")
            codes[part] = network.encode(torch.from_numpy(values)[None].to(self.engine.device))[0].cpu()
            if part in self.made and self.request.free is not None:
                first, stop = (frame / MOTION_FPS * four_part.MOTION_FPS for frame in self.request.free)
                steps = math.floor(first / BODY_STRIDE), math.ceil(stop / BODY_STRIDE)
                codes[part][steps[0] * steps_of(part) : steps[1] * steps_of(part)] = -1
        return codes

    def _clip(self, features: Mapping[Part, Tensor]) -> Clip:
        """At the engine's rate and length, on the floor, with kept parts put back untouched."""
        clip, contacts = self.engine.assemble(features)
        clip = clip.slice(0, self.frames_made).resample(MOTION_FPS, self.num_frames)
        if contacts is not None:
            toes = clip_joint_positions(clip)[:, list(FOOT_JOINTS[2:]), 1]
            lift = np.array([0.0, SOLE_THICKNESS - toes.min(), 0.0], dtype=np.float32)
            clip = replace(clip, trans=clip.trans + lift)
        if self.kept is not None:
            clip = put_back(started(clip, self.kept), self.kept, self.made)
        if contacts is not None and self.request.plant_feet:
            places = np.linspace(0, self.frames_made - 1, self.num_frames).round().astype(np.int64)
            clip = planted(clip, contacts[places])
        return clip


def local_root_motion(network: MotionVQVAE, lower: Tensor) -> tuple[FloatArray, FloatArray]:
    """Follow the root by velocities in the pelvis' own frame, as the four-part release does.

    Args:
        network: The root network.
        lower: Decoded lower body features, (F, 54).

    Returns:
        Root positions from zero on, (F, 3), metres, and contacts of joints 7, 8, 10, 11, (F, 4), in [0, 1].
    """
    channels = network(global_input(lower, keep_contacts=False)[None]).reconstruction[0]
    facing = rotation_6d_to_matrix(lower[:, :6])
    root = integrate_local_velocity(channels[:, ROOT_CHANNELS], facing, torch.zeros_like(channels[0, :3]))
    contacts = channels[:, CONTACT_CHANNELS].clamp(0.0, 1.0)
    return root.float().cpu().numpy(), contacts.float().cpu().numpy()


def _audio_codes(request: GenerateRequest) -> Tensor:
    """The request's codes of its sound, (A,); raises `RequestError` if they cannot be used."""
    if request.audio_codes is None:
        raise RequestError(NEEDS_LISTENER)
    codes = torch.from_numpy(np.asarray(request.audio_codes).astype(np.int64)).reshape(-1)
    if not len(codes) or int(codes.min()) < 0 or int(codes.max()) >= four_part.NUM_AUDIO:
        raise RequestError(
            f"A listened-to sound is numbers from 0 to {four_part.NUM_AUDIO - 1}, one at least; make the "
            "file with GLM-4-Voice's speech tokenizer."
        )
    return codes


def _share(report: ProgressCallback, begin: float, size: float, num_steps: int) -> Callable[[int], None]:
    """Progress of one window, told as a share of the whole."""
    return lambda done: report(begin + size * done / (num_steps * _CODES_PER_STEP), "Moving the body")
