# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows on the tokenizers alone, and on time and memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..motion.arrays import FloatArray
from ..motion.clip import Clip
from ..motion.contacts import foot_contacts
from ..motion.features import LOWER_TURN, starter_clip
from ..motion.kinematics import clip_joint_positions
from ..motion.rotations import axis_angle_to_matrix, geodesic_angle
from ..specs import MOTION_FPS, Part
from . import metrics
from .held_out import CapturedItem
from .probes import NUM_BODY_JOINTS
from .report import Row
from .studio import Studio, speech_request

if TYPE_CHECKING:
    from ..tokenizers.base import MotionTokenizer

MPJPE_TARGET_MM, ANGLE_TARGET_DEG = 45.0, 7.0
WINDOW = 64
"""Frames of one window, the published length."""

LOAD_TARGET_S, COMPUTE_TARGET_S, MEMORY_TARGET_GB = 2.0, 3.0, 1.5


@dataclass(frozen=True)
class CodecError:
    """What encoding and decoding costs one window.

    Attributes:
        mpjpe: Millimetres, each frame in its own true heading.
        mpjpe_drifting: Millimetres, with the decoded turn rate adding up.
        pa_mpjpe: Millimetres, after Procrustes alignment.
        angle: Mean angle between local joint rotations, degrees.
        root_drift: Distance of the roots at the end, metres per second.
        contact_agreement: Share of foot contacts that survive.
    """

    mpjpe: float
    mpjpe_drifting: float
    pa_mpjpe: float
    angle: float
    root_drift: float
    contact_agreement: float


def codec_error(true: Mapping[Part, FloatArray], decoded: Mapping[Part, FloatArray]) -> CodecError:
    """Compare one window before and after.

    Args:
        true: Lower and upper features of the window, (F, D).
        decoded: The same from the codes.
    """
    before, after = starter_clip(true), starter_clip(decoded)
    facing = dict(decoded)
    lower = np.array(decoded[Part.LOWER])
    lower[:, LOWER_TURN] = true[Part.LOWER][:, LOWER_TURN]
    facing[Part.LOWER] = lower
    places, drifting, faced = (
        clip_joint_positions(c)[:, :NUM_BODY_JOINTS] for c in (before, after, starter_clip(facing))
    )
    still, moved = (_headless_matrices(c) for c in (true, decoded))
    angle = np.degrees(geodesic_angle(still, moved))
    contacts = [_contacts(clip) > 0.5 for clip in (before, after)]
    return CodecError(
        mpjpe=metrics.mpjpe_mm(faced, places),
        mpjpe_drifting=metrics.mpjpe_mm(drifting, places),
        pa_mpjpe=metrics.pa_mpjpe_mm(faced, places),
        angle=float(angle.mean()),
        root_drift=float(np.linalg.norm(drifting[-1, 0] - places[-1, 0]) * MOTION_FPS / len(places)),
        contact_agreement=float((contacts[0] == contacts[1]).mean()),
    )


def _headless_matrices(features: Mapping[Part, FloatArray]) -> FloatArray:
    """Local rotations of the 22 body joints with the heading left out, (F, 22, 3, 3)."""
    lower = np.array(features[Part.LOWER])
    lower[:, LOWER_TURN] = 0.0
    clip = starter_clip({Part.LOWER: lower, Part.UPPER: features[Part.UPPER]})
    return np.asarray(axis_angle_to_matrix(clip.poses[:, :NUM_BODY_JOINTS].astype(np.float64)))


def _contacts(clip: Clip) -> FloatArray:
    """Foot contacts read off the joints, (F, 4)."""
    return foot_contacts(clip_joint_positions(clip), clip.fps)


def windows_of(items: Sequence[CapturedItem], length: int = WINDOW) -> list[dict[Part, FloatArray]]:
    """Whole windows of clips, one after the other.

    Args:
        items: Prepared clips.
        length: Frames.
    """
    return [
        {Part.LOWER: item.lower[a : a + length], Part.UPPER: item.upper[a : a + length]}
        for item in items
        for a in range(0, len(item.lower) - length + 1, length)
    ]


def recode(
    windows: Sequence[Mapping[Part, FloatArray]], tokenizers: Mapping[Part, MotionTokenizer]
) -> list[dict[Part, FloatArray]]:
    """Encode and decode windows of one length.

    Args:
        windows: Lower and upper features, (F, D).
        tokenizers: For these two parts.
    """
    import torch

    parts: dict[Part, FloatArray] = {}
    with torch.inference_mode():
        for part in (Part.LOWER, Part.UPPER):
            batch = torch.from_numpy(np.stack([w[part] for w in windows]).astype(np.float32))
            tokenizer = tokenizers[part]
            made = [tokenizer.decode(tokenizer.encode(chunk)) for chunk in batch.split(64)]
            parts[part] = torch.cat(made).float().cpu().numpy()
    return [{part: values[i] for part, values in parts.items()} for i in range(len(windows))]


def tokenizer_rows(studio: Studio, tokenizers: Mapping[Part, MotionTokenizer]) -> list[Row]:
    """Held-out captured clips through the tokenizers.

    Args:
        studio: For its captured clips.
        tokenizers: For lower and upper body.
    """
    studio.say("tokenizers on held-out captured clips")
    held = [item for item in studio.captured if item.split == "held"]
    windows = windows_of(held)
    errors = [codec_error(a, b) for a, b in zip(windows, recode(windows, tokenizers), strict=True)]

    def mean(read: Callable[[CodecError], float]) -> float:
        return float(np.mean([read(error) for error in errors]))

    error, angle = mean(lambda e: e.mpjpe), mean(lambda e: e.angle)
    resting = [{p: np.repeat(w[p].mean(axis=0)[None], WINDOW, axis=0) for p in w} for w in windows]
    still = [codec_error(a, b) for a, b in zip(windows, resting, strict=True)]
    rows = [
        Row(
            "tokenizers",
            f"MPJPE, {len(windows)} windows of {len({i.source_trial for i in held})} trials",
            f"{error:.1f} mm (Procrustes {mean(lambda e: e.pa_mpjpe):.1f})",
            f"<= {MPJPE_TARGET_MM:g} mm",
            error <= MPJPE_TARGET_MM,
            error,
        ),
        Row(
            "tokenizers",
            "mean joint angle error",
            f"{angle:.2f} deg",
            f"<= {ANGLE_TARGET_DEG:g} deg",
            angle <= ANGLE_TARGET_DEG,
            angle,
        ),
    ]
    drifting = mean(lambda e: e.mpjpe_drifting)
    rows += [
        Row("tokenizers", "- MPJPE with the decoded turn adding up", f"{drifting:.1f} mm", value=drifting),
        Row(
            "tokenizers",
            "- root drift; foot contacts kept",
            f"{mean(lambda e: e.root_drift):.2f} m/s; {mean(lambda e: e.contact_agreement):.0%}",
            value=mean(lambda e: e.root_drift),
        ),
        Row(
            "tokenizers",
            "- each window's mean pose instead",
            f"{np.mean([e.mpjpe for e in still]):.1f} mm, {np.mean([e.angle for e in still]):.2f} deg",
            value=float(np.mean([e.mpjpe for e in still])),
        ),
    ]
    return rows


def resident_gb() -> float:
    """Resident memory of this process, GB; 0 where the system does not tell."""
    status = Path("/proc/self/statm")
    if not status.is_file():
        return 0.0
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e9


def speed_rows(studio: Studio, load_s: float, memory_before_gb: float) -> list[Row]:
    """Times and memory.

    Args:
        studio: Engine and recordings.
        load_s: Seconds `load_engine` took.
        memory_before_gb: Resident memory before loading, torch imported.
    """
    studio.say("time for 10 s of speech")
    sound = studio.voices(10.0)[0]
    times = [studio.engine.generate(speech_request(sound, seed)).compute_s for seed in range(3)]
    compute = float(np.median(times))
    grown = resident_gb() - memory_before_gb
    return [
        Row(
            "speed",
            "10 s of speech, all parts",
            f"{compute:.2f} s",
            f"<= {COMPUTE_TARGET_S:g} s",
            compute <= COMPUTE_TARGET_S,
            compute,
        ),
        Row(
            "speed",
            "load the pack",
            f"{load_s:.2f} s",
            f"<= {LOAD_TARGET_S:g} s",
            load_s <= LOAD_TARGET_S,
            load_s,
        ),
        Row(
            "speed",
            "resident memory of the engine",
            f"{grown:.2f} GB",
            f"<= {MEMORY_TARGET_GB:g} GB",
            grown <= MEMORY_TARGET_GB,
            grown,
        ),
    ]
