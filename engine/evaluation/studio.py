# SPDX-License-Identifier: GPL-3.0-or-later
"""What every group of rows is handed: the engine, the held-out material and how much to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..errors import EngineError
from ..motion.arrays import FloatArray
from ..motion.clip import Clip
from ..motion.kinematics import clip_joint_positions
from ..motion.skeleton import PART_JOINTS
from ..specs import (
    GenerateRequest,
    GenerateResult,
    Part,
    PartDirection,
    SamplingOptions,
    Source,
)
from .held_out import CapturedItem, Speech

BATCH_SECONDS = 240.0
"""Motion asked for in one call of `generate_many`, in seconds: bounds memory, keeps batches full."""

SPEECH_S = 10.0
"""Length of the clips that lips and gesture are measured on."""

SPEECH_PARTS: tuple[Part, ...] = (Part.FACE, Part.HANDS, Part.UPPER)


class EngineLike(Protocol):
    """The part of `engine.pipeline.Engine` that is measured."""

    def generate(self, request: GenerateRequest) -> GenerateResult:
        """One request."""
        ...

    def generate_many(self, requests: Sequence[GenerateRequest]) -> Sequence[GenerateResult]:
        """Several requests of one kind, decoded together."""
        ...

    def window_joints(self, num_frames: int) -> list[int]:
        """First frame of every window but the first."""
        ...


def _silent(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Studio:
    """Engine, material and amount.

    Attributes:
        engine: What is measured.
        speech: Held-out recordings.
        captured: Prepared captured clips, both splits.
        num_seeds: Seeds per instruction.
        num_files: Recordings for lips and gesture.
        num_long: Long takes for the joints between windows.
        say: Called with a short line of progress.
    """

    engine: EngineLike
    speech: Sequence[Speech]
    captured: Sequence[CapturedItem]
    num_seeds: int = 20
    num_files: int = 20
    num_long: int = 4
    say: Callable[[str], None] = field(default=_silent)

    def generate(self, requests: Sequence[GenerateRequest], what: str) -> list[GenerateResult]:
        """Generate many clips, in groups of the same length for full batches.

        Args:
            requests: What to make.
            what: Said as progress.

        Returns:
            Results in the order of the requests.
        """
        self.say(f"{what}: {len(requests)} clips")
        order = sorted(range(len(requests)), key=lambda i: request_seconds(requests[i]))
        results: list[GenerateResult | None] = [None] * len(requests)
        group: list[int] = []
        for place, index in enumerate(order):
            group.append(index)
            total = sum(request_seconds(requests[i]) for i in group)
            if total >= BATCH_SECONDS or place == len(order) - 1:
                made = self.engine.generate_many([requests[i] for i in group])
                for i, result in zip(group, made, strict=True):
                    results[i] = result
                group = []
        return [result for result in results if result is not None]

    def clips(self, requests: Sequence[GenerateRequest], what: str) -> list[Clip]:
        """As `generate`, the clips alone.

        Args:
            requests: What to make.
            what: Said as progress.
        """
        return [result.clip for result in self.generate(requests, what)]

    def voices(self, seconds: float = SPEECH_S) -> list[Speech]:
        """The first seconds of `num_files` held-out recordings that are at least so long.

        One length for all: they share a batch, and swapping sounds between clips is fair.

        Args:
            seconds: Length of each.

        Raises:
            EngineError: If no recording is so long.
        """
        found = [sound.cut(seconds) for sound in self.speech if sound.seconds >= seconds][: self.num_files]
        if not found:
            raise EngineError(f"No held-out recording lasts {seconds:g} s; give the full data folder.")
        return found


def request_seconds(request: GenerateRequest) -> float:
    """Length of the motion a request asks for.

    Args:
        request: With a duration or a waveform.
    """
    if request.duration_s is not None:
        return request.duration_s
    return len(request.waveform) / request.sample_rate if request.waveform is not None else 5.0


def text_request(instruction: str, seconds: float, seed: int, plant_feet: bool = True) -> GenerateRequest:
    """Text alone: legs and upper body follow one instruction, no sound.

    Args:
        instruction: What to do.
        seconds: How long.
        seed: Of the sampling.
        plant_feet: Correct sliding feet.
    """
    direction = PartDirection(Source.TEXT, instruction)
    return GenerateRequest(
        directions={Part.LOWER: direction, Part.UPPER: direction},
        duration_s=seconds,
        plant_feet=plant_feet,
        sampling=SamplingOptions(seed=seed),
    )


def speech_request(
    speech: Speech, seed: int, *, lower: str = "", kept: Clip | None = None
) -> GenerateRequest:
    """Speech, with an instruction for the legs if given.

    Args:
        speech: The sound.
        seed: Of the sampling.
        lower: Instruction for the lower body; empty follows the speech.
        kept: Clip whose face, hands and upper body are kept.
    """
    source = Source.SPEECH if kept is None else Source.KEEP
    directions = {part: PartDirection(source) for part in SPEECH_PARTS}
    directions[Part.LOWER] = PartDirection(Source.TEXT, lower) if lower else PartDirection(Source.SPEECH)
    return GenerateRequest(
        directions=directions, waveform=speech.wave, kept=kept, sampling=SamplingOptions(seed=seed)
    )


def positions_of(clips: Sequence[Clip]) -> list[FloatArray]:
    """Joint positions of each clip, (F, 55, 3), metres.

    Args:
        clips: Any.
    """
    return [clip_joint_positions(clip) for clip in clips]


def same_part(a: Clip, b: Clip, part: Part) -> bool:
    """Whether two clips hold exactly the same bits for a part.

    Args:
        a: One clip.
        b: Another.
        part: Which part; the face counts jaw, eyes and face channels, the legs count the root.
    """
    joints = list(PART_JOINTS[part])
    same = np.array_equal(a.poses[:, joints], b.poses[:, joints])
    if part is Part.FACE:
        return same and np.array_equal(a.expressions, b.expressions)
    if part is Part.LOWER:
        return same and np.array_equal(a.trans, b.trans)
    return same
