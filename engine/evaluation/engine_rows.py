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
from ..motion.measures import NUM_BODY_JOINTS
from ..motion.rotations import axis_angle_to_matrix, geodesic_angle
from ..motion.skeleton import JOINT_NAMES
from ..specs import MOTION_FPS, Part
from . import metrics
from .held_out import CapturedItem, unedited
from .report import Row
from .studio import Studio, speech_request

if TYPE_CHECKING:
    from ..tokenizers.base import MotionTokenizer

MPJPE_TARGET_MM, ANGLE_TARGET_DEG = 30.0, 7.0
WINDOW = 64
"""Frames of one window, the published length."""

STEP = 4
"""Frames of one code step of the starter."""

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
    """Whole windows of clips, one after the other; a shorter clip is one window of whole code steps.

    Args:
        items: Prepared clips.
        length: Frames.
    """
    found: list[dict[Part, FloatArray]] = []
    for item in items:
        frames = min(length, len(item.lower) // STEP * STEP)
        if frames < 4 * STEP:
            continue
        for begin in range(0, len(item.lower) - frames + 1, frames):
            cut = slice(begin, begin + frames)
            found.append({Part.LOWER: item.lower[cut], Part.UPPER: item.upper[cut]})
    return found


def whole_steps(features: FloatArray) -> FloatArray:
    """Features cut to whole code steps, (F', D).

    Args:
        features: (F, D).
    """
    return features[: len(features) // STEP * STEP]


def recode(
    windows: Sequence[Mapping[Part, FloatArray]], tokenizers: Mapping[Part, MotionTokenizer]
) -> list[dict[Part, FloatArray]]:
    """Encode and decode windows, those of one length together.

    Args:
        windows: Lower and upper features, (F, D).
        tokenizers: For these two parts.
    """
    import torch

    made: list[dict[Part, FloatArray]] = [{} for _ in windows]
    lengths = [len(window[Part.LOWER]) for window in windows]
    for length in sorted(set(lengths)):
        members = [i for i, size in enumerate(lengths) if size == length]
        for part in (Part.LOWER, Part.UPPER):
            batch = torch.from_numpy(np.stack([windows[i][part] for i in members]).astype(np.float32))
            with torch.inference_mode():
                tokenizer = tokenizers[part]
                decoded = [tokenizer.decode(tokenizer.encode(chunk)) for chunk in batch.split(64)]
            for i, values in zip(members, torch.cat(decoded).float().cpu().numpy(), strict=True):
                made[i][part] = values
    return made


def tokenizer_rows(studio: Studio, tokenizers: Mapping[Part, MotionTokenizer]) -> list[Row]:
    """Held-out captured clips through the tokenizers.

    Args:
        studio: For its captured clips.
        tokenizers: For lower and upper body.
    """
    studio.say("tokenizers on held-out captured clips")
    held = [item for item in studio.captured if item.split == "held"]
    plain = [item for item in held if unedited(item)]
    windows = windows_of(plain)
    decoded = recode(windows, tokenizers)
    errors = [codec_error(a, b) for a, b in zip(windows, decoded, strict=True)]

    def mean(read: Callable[[CodecError], float]) -> float:
        return float(np.mean([read(error) for error in errors]))

    error, angle = mean(lambda e: e.mpjpe), mean(lambda e: e.angle)
    drifting, root = mean(lambda e: e.mpjpe_drifting), mean(lambda e: e.root_drift)
    edited = windows_of(held)
    others = [codec_error(a, b) for a, b in zip(edited, recode(edited, tokenizers), strict=True)]
    resting = [{p: np.repeat(v.mean(axis=0)[None], len(v), axis=0) for p, v in w.items()} for w in windows]
    still = [codec_error(a, b) for a, b in zip(windows, resting, strict=True)]
    return [
        Row(
            "tokenizers",
            f"MPJPE, {len(windows)} windows of {len(plain)} held-out clips as captured",
            f"{error:.1f} mm (Procrustes {mean(lambda e: e.pa_mpjpe):.1f})",
            f"<= {MPJPE_TARGET_MM:g} mm",
            error <= MPJPE_TARGET_MM,
            error,
        ),
        Row(
            "tokenizers",
            "mean joint angle error",
            f"{angle:.2f} deg ({worst_joints(windows, decoded)})",
            f"<= {ANGLE_TARGET_DEG:g} deg",
            angle <= ANGLE_TARGET_DEG,
            angle,
        ),
        Row("tokenizers", "- MPJPE with the decoded turn adding up", f"{drifting:.1f} mm", value=drifting),
        Row(
            "tokenizers",
            "- root drift; foot contacts kept",
            f"{root:.2f} m/s; {mean(lambda e: e.contact_agreement):.0%}",
            value=root,
        ),
        _two_errors(f"- all {len(edited)} windows with edited walks, runs and jumps", others),
        _two_errors("- each window's mean pose instead", still),
    ]


def _two_errors(what: str, errors: Sequence[CodecError]) -> Row:
    """A row for comparison."""
    error, angle = (float(np.mean([getattr(e, name) for e in errors])) for name in ("mpjpe", "angle"))
    return Row("tokenizers", what, f"{error:.1f} mm, {angle:.2f} deg", value=error)


def worst_joints(
    windows: Sequence[Mapping[Part, FloatArray]], decoded: Sequence[Mapping[Part, FloatArray]]
) -> str:
    """The three joints whose angle suffers most, in words.

    Args:
        windows: Before.
        decoded: After.
    """
    angles = [
        np.degrees(geodesic_angle(_headless_matrices(a), _headless_matrices(b)))
        for a, b in zip(windows, decoded, strict=True)
    ]
    means = np.concatenate(angles).mean(axis=0)
    worst = np.argsort(means)[::-1][:3]
    return ", ".join(f"{JOINT_NAMES[j]} {means[j]:.0f}" for j in worst)


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
