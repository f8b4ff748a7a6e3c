# SPDX-License-Identifier: GPL-3.0-or-later
"""The field's co-speech metrics on generated clips, the performer, captured motion and standing still.

Each metric that has a sound or a target is read twice: matched, with the clip's own sound or the performance
of it, and mismatched, with the next recording's. Frechet distances and diversity are of a set of clips, so
pairing does not change them. "As published" keeps the public code's slips, "corrected" does not; both
formulas are checked against the public code's values in the tests. No goals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..motion.arrays import FloatArray
from ..motion.clip import Clip
from ..motion.measures import accelerations, foot_slide
from ..specs import MOTION_FPS
from . import metrics
from .held_out import CapturedItem, Speech, next_ones, performed, unedited
from .published_rows import average_speeds, mean_beat_consistency, same_length
from .quality import SOLE_M, ground_penetration, jerk, seam_chance, seam_ratio
from .report import Mark, Row
from .studio import SPEECH_S, Studio, positions_of, speech_request

TOPIC = "co-speech"
Encode = Callable[[Sequence[Clip]], FloatArray]
"""Clips to features, (N, D)."""

Face = Callable[[Clip], FloatArray]
"""A clip's face, (F, ...)."""

OTHER_SEED = 1000
"""Between the seeds of a performance and of a second one of the same sound."""

BODY_JOINTS = 22


def face_channels(clip: Clip) -> FloatArray:
    """Face channels, (F, E)."""
    return clip.expressions


@dataclass(frozen=True)
class Group:
    """Clips of one origin.

    Attributes:
        name: In words.
        clips: One for each sound, of its length.
        speaks: Whether it has a face and follows a sound.
    """

    name: str
    clips: Sequence[Clip]
    speaks: bool = True


@dataclass(frozen=True)
class Material:
    """What every group of rows is read from.

    Attributes:
        sounds: Held-out recordings of one length.
        targets: What moved to each: the performer, or who was captured.
        groups: The measured groups; the first is generated.
        target: Whose the targets are, in words.
        face: Values by which faces are compared, (F, ...).
    """

    sounds: Sequence[Speech]
    targets: Sequence[Clip]
    groups: Sequence[Group]
    target: str = "the performer"
    face: Face = face_channels

    @property
    def wrong_sounds(self) -> list[Speech]:
        """The next recording for each."""
        return next_ones(self.sounds)

    @property
    def wrong_targets(self) -> list[Clip]:
        """The next recording's target for each."""
        return next_ones(self.targets)


def gather(studio: Studio) -> Material:
    """Generate, perform and collect the clips of all groups.

    Args:
        studio: Engine, recordings and captured clips.
    """
    sounds = studio.voices()
    made = studio.clips([speech_request(s, seed) for seed, s in enumerate(sounds)], "co-speech metrics")
    studio.say("performer on the same speech, twice")
    taught = [performed(sound, seed) for seed, sound in enumerate(sounds)]
    again = [performed(sound, seed + OTHER_SEED) for seed, sound in enumerate(sounds)]
    groups = [Group("generated", made), Group("performer, another performance", again)]
    if captured := captured_takes(studio.captured, len(sounds)):
        groups.append(Group("captured motion, no speech", captured, speaks=False))
    groups.append(Group("standing still", [still(clip) for clip in again]))
    return Material(sounds, taught, groups)


def captured_takes(items: Sequence[CapturedItem], num: int, seconds: float = SPEECH_S) -> list[Clip]:
    """Stretches of captured clips as they are, held-out ones first.

    Args:
        items: Prepared clips.
        num: Most stretches.
        seconds: Length of each.
    """
    length = round(seconds * MOTION_FPS)
    chosen = sorted(
        (item for item in items if unedited(item) and len(item.lower) >= length),
        key=lambda item: item.split != "held",
    )
    takes = [
        item.clip().slice(a, a + length)
        for item in chosen
        for a in range(0, len(item.lower) - length + 1, length)
    ]
    return takes[:num]


def still(clip: Clip) -> Clip:
    """The clip's first frame held, face and all."""
    poses, trans, face = (
        np.repeat(values[:1], clip.num_frames, 0) for values in (clip.poses, clip.trans, clip.expressions)
    )
    return replace(clip, poses=poses, trans=trans, expressions=face)


def cospeech_rows(
    studio: Studio, encoders: dict[str, Encode], mean_velocity: FloatArray | None = None
) -> list[Row]:
    """Every co-speech metric.

    Args:
        studio: Engine, recordings and captured clips.
        encoders: Features of the Frechet gesture distance, by name.
        mean_velocity: Published mean speed of each joint, (55,), m/s, for the beats of every group; None
            takes the performer's.
    """
    material = gather(studio)
    joints = studio.engine.window_joints(material.groups[0].clips[0].num_frames)
    return material_rows(material, encoders, mean_velocity, joints)


def material_rows(
    material: Material,
    encoders: dict[str, Encode],
    mean_velocity: FloatArray | None = None,
    joints: Sequence[int] = (),
) -> list[Row]:
    """The same of clips that are there.

    Args:
        material: Sounds, targets and the groups that are measured.
        encoders: As for `cospeech_rows`.
        mean_velocity: Likewise; None takes the targets'.
        joints: First frame of each later window of the generated clips.
    """
    rows = distance_rows(material, encoders)
    if mean_velocity is None:
        mean_velocity = average_speeds(positions_of(material.targets))
    for group in material.groups:
        rows += beat_rows(material, group, mean_velocity)
    for group in material.groups:
        rows += target_rows(material, group)
    for group in material.groups:
        rows += physics_rows(group, joints)
    return rows


def distance_rows(material: Material, encoders: dict[str, Encode]) -> list[Row]:
    """Frechet gesture distance of each group to the targets, and of one half of them to the other."""
    rows: list[Row] = []
    half = len(material.targets) // 2
    for name, encode in encoders.items():
        whole = encode(material.targets)
        found = {
            group.name: metrics.frechet_distance(encode(group.clips), whole) for group in material.groups
        }
        if half:
            apart = encode(material.targets[:half]), encode(material.targets[half:])
            found[f"one half of {material.target} to the other"] = metrics.frechet_distance(*apart)
        rows += [
            Row(
                TOPIC,
                f"FGD to {material.target}, {name}: {label}",
                f"{value:.3f}",
                value=value,
                marks=(Mark("fgd", name, label, value),),
            )
            for label, value in found.items()
        ]
    return rows


def beat_rows(material: Material, group: Group, average: FloatArray) -> list[Row]:
    """Beat consistency at both thresholds, both formulas and both pairings, and diversity.

    Args:
        material: For its sounds.
        group: Which clips.
        average: Mean speed of each joint, (55,), m/s, the same for every group.
    """
    places = positions_of(group.clips)
    sounds = material.sounds[: len(places)], material.wrong_sounds[: len(places)]
    rows: list[Row] = []
    for threshold in (metrics.BEAT_THRESHOLD, metrics.BEAT_THRESHOLD_EMAGE):
        (own, own_slip), (wrong, wrong_slip) = (
            [mean_beat_consistency(places, chosen, average, threshold, slip) for slip in (False, True)]
            for chosen in sounds
        )
        rows.append(
            Row(
                TOPIC,
                f"BC, threshold {threshold:g}, {group.name}",
                f"own sound: corrected {own:.3f}, as published {own_slip:.3f}; "
                f"another's: {wrong:.3f}, {wrong_slip:.3f}",
                value=own,
                marks=(
                    Mark("beats", group.name, f"own sound, threshold {threshold:g}", own),
                    Mark("beats", group.name, f"another's sound, threshold {threshold:g}", wrong),
                ),
            )
        )
    spread = metrics.l1_diversity([p.reshape(len(p), -1) for p in places])
    inner = metrics.l1_diversity_centred(list(places))
    text = f"corrected {inner:.2f}, as published {spread:.2f}"
    return [*rows, Row(TOPIC, f"L1div, {group.name}", text, value=inner)]


@dataclass(frozen=True)
class Errors:
    """Distances of clips to targets, means over clips.

    Attributes:
        mpjpe: 22 joints, pelvises aligned, mm.
        pa_mpjpe: The same after a similarity, mm.
        accel: Of accelerations, mm per frame squared.
        face_mse: Of face channels.
        lvd_official: Of face channels, as published.
        lvd: Of face velocities.
    """

    mpjpe: float
    pa_mpjpe: float
    accel: float
    face_mse: float
    lvd_official: float
    lvd: float


def errors(clips: Sequence[Clip], targets: Sequence[Clip], face: Face = face_channels) -> Errors:
    """Compare clips with targets.

    Args:
        clips: Any.
        targets: One for each; the longer of the two is cut.
        face: Values by which faces are compared. Faces of other channels than the target's are not.
    """
    places = [
        same_length(a[:, :BODY_JOINTS], b[:, :BODY_JOINTS])
        for a, b in zip(positions_of(clips), positions_of(targets), strict=True)
    ]
    same_kind = [(a, b) for a, b in zip(clips, targets, strict=True) if a.basis == b.basis]
    faces = np.array([_face_errors(face(a), face(b)) for a, b in same_kind] or [[math.nan] * 3])
    face_mse, lvd_official, lvd = (float(value) for value in faces.mean(axis=0))
    mean = np.mean
    return Errors(
        mpjpe=float(mean([metrics.mpjpe_mm(a, b) for a, b in places])),
        pa_mpjpe=float(mean([metrics.pa_mpjpe_mm(a, b) for a, b in places])),
        accel=float(mean([metrics.accel_mm(a, b) for a, b in places])),
        face_mse=face_mse,
        lvd_official=lvd_official,
        lvd=lvd,
    )


def _face_errors(a: FloatArray, b: FloatArray) -> tuple[float, float, float]:
    """Mean squared error, and the distance of velocities as published and corrected."""
    a, b = same_length(a, b)
    return metrics.face_mse(a, b), metrics.lvd_official(a, b), metrics.lvd_corrected(a, b)


def target_rows(material: Material, group: Group) -> list[Row]:
    """Body and face against the target of the same sound and of the next one."""
    if not group.speaks:
        return []
    rows: list[Row] = []
    for pairing, targets in (("own sound", material.targets), ("another's sound", material.wrong_targets)):
        found = errors(group.clips, targets, material.face)

        def row(what: str, told: str, value: float, pairing: str = pairing) -> Row:
            name = f"{what} against {material.target}, {pairing}, {group.name}"
            return Row(TOPIC, name, told, value=value, marks=(Mark(what, group.name, pairing, value),))

        told = f"MPJPE {found.mpjpe:.1f} mm, PA-MPJPE {found.pa_mpjpe:.1f} mm, "
        rows.append(row("body", f"{told}ACCEL {found.accel:.2f} mm/frame\u00b2", found.mpjpe))
        if math.isfinite(found.face_mse):
            told = f"MSE {found.face_mse:.4g}, LVD corrected {found.lvd:.4g}, "
            rows.append(row("face", f"{told}as published {found.lvd_official:.4g}", found.face_mse))
    return rows


def physics_rows(group: Group, joints: Sequence[int]) -> list[Row]:
    """Feet, floor, trembling and the places where windows meet.

    Args:
        group: Which clips.
        joints: First frame of each later window.
    """
    places = positions_of(group.clips)
    slide = float(np.median([foot_slide(p, MOTION_FPS) for p in places]))
    sunk = [ground_penetration(p, clearance=SOLE_M) for p in places]
    depth, share = 1000 * float(np.mean([d for d, _ in sunk])), float(np.mean([s for _, s in sunk]))
    shaken = float(np.mean([jerk(p, MOTION_FPS) for p in places]))
    rows = [
        Row(TOPIC, f"foot sliding, {group.name}", f"{slide:.3f} m/s", value=slide),
        Row(
            TOPIC,
            f"feet below the floor, {group.name}",
            f"{depth:.1f} mm, {share:.0%} of frames",
            value=depth,
        ),
        Row(TOPIC, f"jerk, {group.name}", f"{shaken:.0f} m/s\u00b3", value=shaken),
    ]
    curves = [accelerations(p, MOTION_FPS) for p in places]
    moving = [curve for curve in curves if curve.max() > 1e-6]
    if joints and moving:
        ratio = float(np.mean([seam_ratio(curve, joints) for curve in moving]))
        chance = float(np.mean([seam_chance(curve, len(joints), trials=200) for curve in moving]))
        text = f"{ratio:.2f}; 95th percentile of frames at random {chance:.2f}"
        rows.append(
            Row(TOPIC, f"acceleration at {len(joints)} window joints, {group.name}", text, value=ratio)
        )
    return rows
