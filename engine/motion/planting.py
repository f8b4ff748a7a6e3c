# SPDX-License-Identifier: GPL-3.0-or-later
"""Plants the feet of a clip so that it can be undone later, and undoes it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .arrays import AnyFloatArray, DoubleArray, FloatArray, smooth_step
from .clip import Clip
from .contacts import foot_contacts
from .feet_track import LEG_JOINTS, FeetTrack
from .foot_lock import plant_feet
from .kinematics import clip_joint_positions
from .rotations import axis_angle_to_matrix, matrix_to_axis_angle

_LEGS = list(LEG_JOINTS)

FEET_AROUND_S = 0.7
"""Seconds of kept motion beside a joint that say where its feet stand."""


def planted(clip: Clip, contacts: FloatArray) -> Clip:
    """Plant feet and note what that changed in the clip's `feet`.

    Args:
        clip: The motion, its feet as the model moved them.
        contacts: Contact probabilities of joints 7, 8, 10, 11, (F, 4).
    """
    after = plant_feet(clip, contacts)
    turns, root = _correction(clip, after)
    return replace(after, feet=FeetTrack(contacts, turns.astype(np.float32), root))


def unplanted(clip: Clip) -> Clip:
    """Take back what planting changed; a clip that does not know stays as it is."""
    if clip.feet is None:
        return clip
    turned = axis_angle_to_matrix(clip.feet.turns.astype(np.float64))
    poses = clip.poses.copy()
    poses[:, _LEGS] = matrix_to_axis_angle(_matrices(clip) @ np.swapaxes(turned, -1, -2))
    return replace(clip, poses=poses, trans=clip.trans - clip.feet.root)


def known_feet(clip: Clip) -> FeetTrack:
    """What a clip knows about its feet, else contacts as its motion shows them and no correction."""
    if clip.feet is not None:
        return clip.feet
    contacts = foot_contacts(clip_joint_positions(clip), clip.fps)
    still = np.zeros((clip.num_frames, len(_LEGS) + 1, 3), dtype=np.float32)
    return FeetTrack(contacts, still[:, 1:], still[:, 0])


def joined_feet(kept: Clip, made: Clip, first: int, last: int, blend_frames: int) -> FeetTrack | None:
    """The feet of kept motion with a stretch of new motion in it; None where neither knows its feet.

    Args:
        kept: The motion as it is.
        made: The new motion, as long.
        first: First frame of the stretch, which stays.
        last: Last frame of the stretch, which stays.
        blend_frames: Frames over which the new motion takes over at each end.
    """
    if kept.feet is None and made.feet is None:
        return None
    frames = np.arange(kept.num_frames)
    inside = np.clip(np.minimum(frames - first, last - frames) / max(blend_frames, 1), 0.0, 1.0)
    share = (inside**2 * (3.0 - 2.0 * inside))[:, None]
    values: AnyFloatArray = known_feet(kept).values * (1.0 - share) + known_feet(made).values * share
    return FeetTrack.of_values(values.astype(np.float32))


def replanted(clip: Clip, first: int, last: int, blend_frames: int) -> Clip:
    """Set feet down again that slide where a stretch of new motion meets the kept motion.

    Args:
        clip: Kept motion with the stretch in it, and what it knows about its feet.
        first: First frame of the stretch, which stays.
        last: Last frame of the stretch, which stays.
        blend_frames: Frames over which the new motion takes over at each end.

    Returns:
        The clip; only frames within four blend lengths of either end, inside the stretch, are changed.
    """
    if clip.feet is None:
        return clip
    poses, trans, values = clip.poses.copy(), clip.trans.copy(), clip.feet.values.copy()
    blend, frames = max(blend_frames, 1), np.arange(clip.num_frames)
    inside = np.minimum(frames - first, last - frames)
    share = smooth_step(inside / blend) * (1.0 - smooth_step((inside - 2 * blend) / (2 * blend)))
    around, reach = round(FEET_AROUND_S * clip.fps), 4 * blend
    starts, ends = (first - around, first + reach + 1), (last - reach, last + around + 1)
    pieces = [(first - around, last + around + 1)] if last - first < 2 * reach else [starts, ends]
    for low, high in pieces:
        low, high = max(low, 0), min(high, clip.num_frames)
        piece = replace(clip.slice(low, high), feet=None)
        turns, root = _correction(piece, plant_feet(piece, clip.feet.contacts[low:high]))
        part = share[low:high, None]
        turned = axis_angle_to_matrix(turns * part[..., None])
        known = axis_angle_to_matrix(clip.feet.turns[low:high].astype(np.float64))
        changed = low + np.flatnonzero(part[:, 0] > 0.0)
        rows = changed - low
        poses[changed[:, None], np.array(_LEGS)] = matrix_to_axis_angle(_matrices(piece) @ turned)[rows]
        root = (root * part)[rows]
        trans[changed] += root.astype(np.float32)
        track = FeetTrack(
            clip.feet.contacts[changed],
            matrix_to_axis_angle(known @ turned)[rows].astype(np.float32),
            (clip.feet.root[changed] + root).astype(np.float32),
        )
        values[changed] = track.values
    return replace(clip, poses=poses, trans=trans, feet=FeetTrack.of_values(values))


def _correction(before: Clip, after: Clip) -> tuple[DoubleArray, FloatArray]:
    """What planting changed: turns of the legs in their own axes, (F, 6, 3), and way of the root, (F, 3)."""
    turns = matrix_to_axis_angle(np.swapaxes(_matrices(before), -1, -2) @ _matrices(after))
    return turns, after.trans - before.trans


def _matrices(clip: Clip) -> DoubleArray:
    """Rotations of the leg joints, (F, 6, 3, 3)."""
    return axis_angle_to_matrix(clip.poses[:, _LEGS].astype(np.float64))
