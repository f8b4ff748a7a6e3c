# SPDX-License-Identifier: GPL-3.0-or-later
"""Co-speech metrics against captured motion: a pack of any kind on the test recordings of BEAT2.

The public benchmark is speaker 2's test split. Every recording is cut to the length of the shortest, a minute
at most, so that a clip can also be held against another's sound; those below ten seconds are left out. The
published figures are of whole recordings cut into windows, with onsets of another library, so these compare
packs with one another and with what was captured, not with the paper's table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..data.readers.base import Problem, Reader, describe_problems, read_records
from ..errors import DataError
from ..motion.arrays import FloatArray
from ..motion.body_model import SmplxBody
from ..motion.clip import Clip
from ..specs import AUDIO_HZ, MOTION_FPS, MotionEngine
from .cospeech_rows import Encode, Face, Group, Material, face_channels, material_rows, still
from .held_out import Speech
from .report import Row
from .studio import speech_request

SHORTEST_S, LONGEST_S = 10.0, 60.0
"""Seconds of a recording that is measured."""

JAW = 22
"""Joint that the published face error keeps beside the expression (lom-spec 6.1)."""


@dataclass(frozen=True)
class Recordings:
    """Test recordings, all of one length.

    Attributes:
        sounds: Speech.
        clips: What was captured with each.
        problems: What could not be read.
    """

    sounds: list[Speech]
    clips: list[Clip]
    problems: list[Problem]


def read_recordings(reader: Reader, split: str = "test") -> Recordings:
    """Read a corpus' recordings that have both motion and sound.

    Args:
        reader: BEAT2, or another corpus with both.
        split: Which.

    Raises:
        DataError: If fewer than two can be measured.
    """
    problems: list[Problem] = []
    items = [item for item in reader.items() if item.split == split]
    records = [
        (record.name, record.wave, record.clip)
        for record in read_records(reader, problems, items)
        if record.clip is not None and record.wave is not None and record.duration_s >= SHORTEST_S
    ]
    if len(records) < 2:
        found = "; ".join(describe_problems(len(records), problems))
        raise DataError(
            f"The {split} split needs two recordings of {SHORTEST_S:g} s or more ({found}); "
            "give the whole corpus."
        )
    frames = min(round(LONGEST_S * MOTION_FPS), *(clip.num_frames for _, _, clip in records))
    samples = round(frames * AUDIO_HZ / MOTION_FPS)
    return Recordings(
        [Speech(name, wave[:samples]) for name, wave, _ in records],
        [clip.slice(0, frames) for _, _, clip in records],
        problems,
    )


def face_vertices(body: SmplxBody) -> Face:
    """How the published error compares faces: all vertices, the body at rest, jaw and expression its own.

    Both bodies have the model's average shape here; the published one takes the captured person's.

    Args:
        body: The user's SMPL-X model.

    Returns:
        Gives (F, 3 * vertices), metres.
    """

    def vertices(clip: Clip) -> FloatArray:
        poses = np.zeros_like(clip.poses)
        poses[:, JAW] = clip.poses[:, JAW]
        posed, _ = body.posed(
            replace(clip, poses=poses, trans=np.zeros_like(clip.trans), betas=np.zeros_like(clip.betas))
        )
        return posed.reshape(clip.num_frames, -1)

    return vertices


def beat2_rows(
    engine: MotionEngine,
    recordings: Recordings,
    encoders: dict[str, Encode],
    face: Face = face_channels,
    mean_velocity: FloatArray | None = None,
    say: Callable[[str], None] = print,
) -> list[Row]:
    """Generate motion to every recording and hold it against what was captured.

    Args:
        engine: A loaded pack of any kind; every part follows the sound.
        recordings: From `read_recordings`.
        encoders: Features of the Frechet gesture distance, by name.
        face: Values by which faces are compared.
        mean_velocity: Published mean speed of each joint, (55,), m/s, for beats; None takes the captured one.
        say: Called with a short line of progress.
    """
    made: list[Clip] = []
    for seed, sound in enumerate(recordings.sounds):
        say(f"recording {seed + 1} of {len(recordings.sounds)}: {sound.name}")
        made.append(engine.generate(speech_request(sound, seed)).clip)
    captured = recordings.clips
    groups = [
        Group("generated", made),
        Group("captured", captured),
        Group("standing still", [still(clip) for clip in captured]),
    ]
    material = Material(recordings.sounds, captured, groups, "captured motion", face)
    return material_rows(material, encoders, mean_velocity)
