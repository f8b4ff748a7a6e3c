# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads the CMU captures, repairs rotation glitches and drops clips that cannot be used.

The captures come as a zip of BVH files with an `index.csv` (file, trial, frames, fps, description). What goes
wrong in them, measured once over all 234 clips: a T-pose in frame 0 of every file; joints that turn by more
than 60 degrees within one frame (mostly wrists, heads and left feet of dances); four files with a broken
root; and three "walks" that wander about.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import ClipError
from ..motion.arrays import FloatArray, IntArray
from ..motion.bvh import BvhMotion, parse_bvh
from ..motion.clip import Clip
from ..motion.rotations import (
    axis_angle_to_matrix,
    axis_angle_to_quaternion,
    geodesic_angle,
    quaternion_to_axis_angle,
    slerp,
)
from ..motion.skeleton import DEFAULT_SKELETON, JOINT_NAMES, Skeleton
from ..specs import MOTION_FPS
from .retarget import leg_extensions, retarget

CAPTURE_ARCHIVE = "cmu-mocap-30fps.zip"
"""The captures' file name in the data folder."""

DROPPED_TRIALS: dict[str, str] = {
    "09_10": "root jumps at 69 m/s",
    "07_12": "root sinks below the floor",
    "01_14": "root flips and the floor is lost",
    "14_36": "identical to 14_31",
}
"""Trials that are not used, with the reason."""

GLITCH_ANGLE = np.radians(60.0)
"""A joint that turns further than this within one frame (30 fps) is taken for a capture error."""

MAX_ROOT_SPEED = 9.0
"""Fastest believable root, m/s; a faster clip is dropped."""

MAX_GLITCH_FRAMES = 12
"""Longest stretch between two glitches that is taken for one error and bridged."""

STRAIGHT_LEG, LEAST_REACH = 0.992, 0.95
"""Leg extension of standing people, and the smallest reach that is believed of a subject."""

CROUCHING = ("indian", "martial", "01")
"""Subjects whose clips are danced, fought or climbed in a crouch throughout."""

FARTHEST_TURNS = {"neck": np.radians(75.0), "head": np.radians(80.0)}
"""Farthest a joint is believed to turn from rest, in radians: mixed-up markers make the head face backwards
throughout salsa_06 and for 200 frames of salsa_07."""

REPAIR_PASSES = 3
"""A bridge may uncover a smaller jump beside it: look again this often."""


@dataclass(frozen=True)
class Capture:
    """One usable captured clip.

    Attributes:
        trial: CMU subject and trial, for example "35_01".
        description: The index's words for it.
        clip: The motion on our joints at 30 fps, on the floor, starting at the origin facing +Z on average.
        repaired_frames: Joint frames that were bridged.
    """

    trial: str
    description: str
    clip: Clip
    repaired_frames: int


def load_captures(data: Path, skeleton: Skeleton = DEFAULT_SKELETON) -> tuple[list[Capture], dict[str, str]]:
    """Loads, retargets and cleans every captured clip.

    Args:
        data: Folder that holds the archive.
        skeleton: Target proportions.

    Returns:
        Usable captures, and the dropped trials with reasons.

    Raises:
        ClipError: If the archive is missing.
    """
    captures: list[Capture] = []
    dropped: dict[str, str] = {}
    files: list[tuple[str, str, BvhMotion]] = []
    for trial, description, text in _read_archive(data / CAPTURE_ARCHIVE):
        if trial in DROPPED_TRIALS:
            dropped[trial] = DROPPED_TRIALS[trial]
        else:
            files.append((trial, description, parse_bvh(text)))
    reaches = subject_reaches((trial, motion) for trial, _, motion in files)
    for trial, description, motion in files:
        clip, repaired = repaired_clip(motion, skeleton, reaches[subject_of(trial)])
        reason = fault(clip)
        if reason:
            dropped[trial] = reason
        else:
            captures.append(Capture(trial, description, face_forward(clip), repaired))
    return captures, dropped


def repaired_clip(
    motion: BvhMotion, skeleton: Skeleton = DEFAULT_SKELETON, reach: float = 1.0
) -> tuple[Clip, int]:
    """A capture on our joints at 30 fps with its glitches bridged.

    Args:
        motion: A parsed file whose first frame is its T-pose.
        skeleton: Target proportions.
        reach: As in `retarget`.

    Returns:
        The clip, and the number of joint frames that were bridged.

    Raises:
        ClipError: If the file has neither of the two skeletons.
    """
    clip = retarget(motion, skeleton, reach).clip
    near = abs(clip.fps - MOTION_FPS) < 0.1  # files round the frame time: 0.0333333
    clip = replace(clip, fps=float(MOTION_FPS)) if near else clip.resample(MOTION_FPS)
    repaired = 0
    for repair in (repair_far_turns, *[repair_rotations] * REPAIR_PASSES):
        clip, count = repair(clip)
        repaired += count
    return clip, repaired


def subject_of(trial: str) -> str:
    """Who performed a trial: its first word; the salsa clips show one dancer up to 15 and the other from
    16."""
    subject, number = trial.split("_")
    return f"{subject}_{'a' if int(number) <= 15 else 'b'}" if subject == "salsa" else subject


def subject_reaches(motions: Iterable[tuple[str, BvhMotion]]) -> dict[str, float]:
    """The leg extension that stands for each subject's straight leg, for `retarget`.

    A person who walks or stands has nearly straight legs a tenth of the time; subjects who crouch by
    profession (`CROUCHING`) say nothing about their skeleton and are left alone.
    """
    extensions: dict[str, list[FloatArray]] = {}
    for trial, motion in motions:
        extensions.setdefault(subject_of(trial), []).append(leg_extensions(motion).ravel())
    reaches: dict[str, float] = {}
    for subject, values in extensions.items():
        usual = float(np.percentile(np.concatenate(values), 90)) / STRAIGHT_LEG
        reaches[subject] = 1.0 if subject in CROUCHING else float(np.clip(usual, LEAST_REACH, 1.0))
    return reaches


def _read_archive(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yields trial, description and file text of every clip in the index."""
    if not path.is_file():
        raise ClipError(f"The captured clips are missing: put {CAPTURE_ARCHIVE} into {path.parent}.")
    with zipfile.ZipFile(path) as archive:
        index = next(name for name in archive.namelist() if name.endswith("index.csv"))
        folder = index.removesuffix("index.csv")
        for row in csv.DictReader(io.StringIO(archive.read(index).decode("utf-8"))):
            yield (
                row["trial"],
                row["description"],
                archive.read(folder + row["file"]).decode("utf-8", "replace"),
            )


def turn_per_frame(poses: FloatArray) -> FloatArray:
    """Angle of every joint's turn to the next frame, (F - 1, J), radians. poses: axis-angle (F, J, 3)."""
    matrices = axis_angle_to_matrix(poses)
    return geodesic_angle(matrices[:-1], matrices[1:]).astype(np.float32)


def repair_rotations(clip: Clip) -> tuple[Clip, int]:
    """Bridges rotation glitches by slerp.

    Two jumps of one joint at most `MAX_GLITCH_FRAMES` apart enclose wrong frames: they are replaced by the
    turn from the frame before to the frame after. A lone jump is spread over the frames around it. Fast turns
    below the limit per frame stay as they are.

    Args:
        clip: The motion.

    Returns:
        The repaired clip and the number of joint frames replaced.
    """
    quaternions = axis_angle_to_quaternion(clip.poses.astype(np.float64))
    repaired = 0
    for joint in np.flatnonzero((turn_per_frame(clip.poses) > GLITCH_ANGLE).any(0)):
        jumps = np.flatnonzero(turn_per_frame(clip.poses[:, joint : joint + 1])[:, 0] > GLITCH_ANGLE)
        for first, last in _jump_groups(jumps):
            alone = first == last
            start = max(first - 2 if alone else first, 0)
            end = min(last + 3 if alone else last + 1, clip.num_frames - 1)
            share = np.arange(1, end - start) / (end - start)
            ends = [np.repeat(quaternions[k : k + 1, joint], len(share), 0) for k in (start, end)]
            quaternions[start + 1 : end, joint] = slerp(ends[0], ends[1], share)
            repaired += len(share)
    poses = quaternion_to_axis_angle(quaternions).astype(np.float32)
    return replace(clip, poses=poses), repaired


def repair_far_turns(clip: Clip) -> tuple[Clip, int]:
    """Bridges frames in which neck or head is turned farther than `FARTHEST_TURNS`, by slerp.

    Args:
        clip: The motion.

    Returns:
        The repaired clip and the number of joint frames replaced; a joint that is never believable is put to
        rest.
    """
    poses, repaired = clip.poses.copy(), 0
    for name, farthest in FARTHEST_TURNS.items():
        joint = JOINT_NAMES.index(name)
        far = np.linalg.norm(clip.poses[:, joint], axis=-1) > farthest
        repaired += int(far.sum())
        if far.all():
            poses[:, joint] = 0.0
        elif far.any():
            good = np.flatnonzero(~far)
            frames = np.clip(np.flatnonzero(far), good[0], good[-1])
            after = np.searchsorted(good, frames)
            before = np.where(good[after] == frames, after, after - 1)
            gap = np.maximum(good[after] - good[before], 1)
            quaternions = axis_angle_to_quaternion(clip.poses[good, joint].astype(np.float64))
            bridged = slerp(quaternions[before], quaternions[after], (frames - good[before]) / gap)
            poses[far, joint] = quaternion_to_axis_angle(bridged)
    return replace(clip, poses=poses), repaired


def _jump_groups(jumps: IntArray) -> list[tuple[int, int]]:
    """Groups jump frames that lie close together; (first, last) of each group."""
    groups: list[tuple[int, int]] = []
    for jump in (int(value) for value in jumps):
        if (
            groups
            and jump - groups[-1][1] <= MAX_GLITCH_FRAMES
            and jump - groups[-1][0] <= 2 * MAX_GLITCH_FRAMES
        ):
            groups[-1] = (groups[-1][0], jump)
        else:
            groups.append((jump, jump))
    return groups


def fault(clip: Clip) -> str:
    """Why a clip cannot be used, or an empty string: wrong axis, wrong scale, broken root."""
    if clip.num_frames < 20:
        return "shorter than 20 frames"
    speed = np.linalg.norm(np.diff(clip.trans, axis=0), axis=-1) * clip.fps
    if speed.max() > MAX_ROOT_SPEED:
        return f"root jumps at {speed.max():.0f} m/s"
    height = float(np.median(clip.trans[:, 1]))
    if not 0.25 < height < 2.5:
        return f"pelvis at {height:.2f} m: wrong axis or scale"
    if clip.trans[:, 1].min() < 0.02:
        return "pelvis sinks below the floor"
    return ""


def face_forward(clip: Clip) -> Clip:
    """Turns a clip so that it faces +Z on average and starts above the origin."""
    forward = axis_angle_to_matrix(clip.poses[:, 0])[:, [0, 2], 2].mean(0)
    clip = clip.moved(turn=-float(np.arctan2(forward[0], forward[1])))
    return clip.moved(shift=(-float(clip.trans[0, 0]), -float(clip.trans[0, 2])))
