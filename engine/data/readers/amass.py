# SPDX-License-Identifier: GPL-3.0-or-later
"""AMASS (Mahmood et al. 2019) as SMPL-X, described by HumanML3D (Guo et al. 2022).

Layout below the root: HumanML3D's `train.txt`, `val.txt`, `test.txt` (names) and `texts/<name>.txt` (lines
`caption#tokens#from#to`, times in seconds, both 0 for the whole clip), and the motion in one of two forms:

* as distributed: HumanML3D's `index.csv` (source_path, start_frame, end_frame, new_name) and AMASS' own
  folders `<dataset>/<subject>/<take>_stageii.npz` below the root or below `amass/`; Z up, 60 to 250 fps;
* processed: `amass_data_align/<name>.npz`, Y up and 30 fps.

The index counts frames at 20 fps, that is: every int(fps / 20)-th frame of the take, after the head that some
datasets lose. Cutting here happens on the take's own frames, and only then is it brought to 30 fps, so index
frame k stays the take's frame k * int(fps / 20). A name that begins with M is the mirror image of the rest of
its name. AMASS has no faces, and fingers only where they move.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...motion.clip import Clip
from ...motion.clip_io import load_npz
from ...motion.rotations import axis_angle_to_matrix, heading_angle
from ...motion.skeleton import PART_JOINTS
from ...specs import Part
from .base import Caption, Item, Record, at_motion_fps, read_table, read_text

INDEX_FPS = 20
"""Rate at which HumanML3D's index counts frames."""

RELEASED_NAMES: dict[str, str] = {
    "BioMotionLab_NTroje": "BMLrub",
    "DFaust_67": "DFaust",
    "MPI_HDM05": "HDM05",
    "MPI_Limits": "PosePrior",
    "MPI_mosh": "MoSh",
    "SSM_synced": "SSM",
    "TCD_handMocap": "TCDHands",
    "Transitions_mocap": "Transitions",
}
"""HumanML3D's name of a dataset to its folder in the SMPL-X release, where they differ."""

HEAD_CUT_S: dict[str, float] = {
    "Eyes_Japan_Dataset": 3.0,
    "MPI_HDM05": 3.0,
    "TotalCapture": 1.0,
    "MPI_Limits": 1.0,
    "Transitions_mocap": 0.5,
}
"""Seconds that HumanML3D takes off the begin of a dataset's takes (their calibration poses)."""

LIFT_M: dict[str, float] = {"DFaust_67": 0.62}
"""Metres by which a dataset lies too low."""

STILL_FINGERS = np.radians(2.0)
"""Fingers whose rotations spread less than this (standard deviation, radians) were not captured."""


@dataclass(frozen=True)
class AmassReader:
    """The corpus below a folder that holds HumanML3D's lists and texts and AMASS' motion."""

    root: Path
    source: str = "amass"

    @cached_property
    def _index(self) -> dict[str, dict[str, str]]:
        columns = ("source_path", "start_frame", "end_frame", "new_name")
        return {Path(row["new_name"]).stem: row for row in read_table(self.root / "index.csv", columns)}

    def items(self) -> list[Item]:
        """All names of the lists there are; raises `DataError` if there is no list, or no index where one is
        needed."""
        if not (self.root / "amass_data_align").is_dir():
            _ = self._index  # without it no item could be read
        items: list[Item] = []
        for split in ("train", "val", "test"):
            path = self.root / f"{split}.txt"
            if path.exists():
                items += [Item(name, split) for name in read_text(path).split()]
        if not items:
            raise DataError(
                f"{self.root.name} has no train.txt, val.txt or test.txt; copy HumanML3D's lists there."
            )
        return items

    def read(self, item: Item) -> Record:
        """One described motion, facing +Z at its first frame, starting above the origin."""
        captions = read_captions(self.root / "texts" / f"{item.name}.txt")
        clip = facing_forward(self._clip(item.name))
        parts = (Part.UPPER, Part.LOWER)
        if float(clip.poses[:, list(PART_JOINTS[Part.HANDS])].std(0).max()) > STILL_FINGERS:
            parts = (Part.HANDS, *parts)
        return Record(
            name=item.name, source=self.source, split=item.split, clip=clip, parts=parts, captions=captions
        )

    def _clip(self, name: str) -> Clip:
        own = self.root / "amass_data_align" / f"{name}.npz"
        if own.exists():
            return at_motion_fps(load_npz(own))
        if name.startswith("M"):
            return self._clip(name[1:]).mirrored()
        if own.parent.is_dir():
            raise DataError(f"{own.name} is missing from amass_data_align; process it again.")
        if name not in self._index:
            raise DataError(f"index.csv has no row for {name}; use the index of the same HumanML3D release.")
        return self._cut(self._index[name], name)

    def _cut(self, row: dict[str, str], name: str) -> Clip:
        """The stretch of a take that a row of the index means, at 30 fps."""
        dataset, take = self._take(row["source_path"])
        try:
            start, end = int(row["start_frame"]), int(row["end_frame"])
        except ValueError as error:
            raise DataError(f"index.csv has no whole frame numbers for {name}; copy it again.") from error
        clip = load_npz(take)
        first, last = take_frames(clip.num_frames, clip.fps, start, end, HEAD_CUT_S.get(dataset, 0.0))
        if first >= last:
            raise DataError(f"{take.name} ends before index frame {start} of {name}; copy the take again.")
        clip = at_motion_fps(clip.slice(first, last))
        return replace(clip, trans=clip.trans + np.array([0.0, LIFT_M.get(dataset, 0.0), 0.0], np.float32))

    def _take(self, source_path: str) -> tuple[str, Path]:
        """HumanML3D's name of the dataset, and the take's file."""
        path = Path(source_path)
        places = path.parts[path.parts.index("pose_data") + 1 :] if "pose_data" in path.parts else path.parts
        dataset, *subjects, file = places if len(places) > 1 else ("", *places)
        if dataset == "humanact12":
            raise DataError("HumanAct12 has joint positions only, no SMPL-X poses; leave it off the lists.")
        stem = Path(file).stem.removesuffix("_poses")
        names = [f"{stem}{ending}.npz" for ending in ("_stageii", "_poses")]
        names += [name.replace(" ", "_") for name in names if " " in name]
        for base in (self.root, self.root / "amass"):
            for folder in (RELEASED_NAMES.get(dataset, dataset), dataset):
                for name in names:
                    found = base.joinpath(folder, *subjects, name)
                    if found.exists():
                        return dataset, found
        raise DataError(
            f"{names[0]} is missing from {'/'.join((dataset, *subjects))}; download that part of AMASS."
        )


def take_frames(num_frames: int, fps: float, start: int, end: int, head_cut_s: float) -> tuple[int, int]:
    """Frames of a take that two index frames mean.

    Args:
        num_frames: Frames of the take.
        fps: Its rate.
        start: First index frame.
        end: Index frame after the last; negative counts from the end, as in Python.
        head_cut_s: Seconds taken off the begin before the index counts.

    Returns:
        First frame and the frame after the last, in the take's own count.
    """
    step = max(1, int(fps / INDEX_FPS))
    head = int(head_cut_s * INDEX_FPS)
    length = math.ceil(num_frames / step)
    last = length + end if end < 0 else head + end
    return (head + start) * step, min(last * step, num_frames)


def read_captions(path: Path) -> tuple[Caption, ...]:
    """Descriptions from a HumanML3D text file.

    Raises:
        DataError: If it is missing, empty, or a line has no times.
    """
    captions: list[Caption] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        fields = line.strip().split("#")
        try:
            text, (start_s, end_s) = fields[0].strip(), (float(field) for field in fields[-2:])
        except ValueError as error:
            raise DataError(f"texts/{path.name} has no times in line {number}; copy it again.") from error
        if len(fields) < 4 or not text:
            raise DataError(
                f"texts/{path.name} has no caption#tokens#from#to in line {number}; copy it again."
            )
        whole = not end_s > start_s  # 0 and 0, or not a number: the whole clip
        captions.append(Caption(text) if whole else Caption(text, start_s, end_s))
    if not captions:
        raise DataError(f"texts/{path.name} has no captions; copy it again.")
    return tuple(captions)


def facing_forward(clip: Clip) -> Clip:
    """Turn a clip to face +Z at frame 0, and move it over the floor to start at x = z = 0."""
    heading = heading_angle(axis_angle_to_matrix(clip.poses[:1, 0].astype(np.float64)))[0]
    clip = clip.moved(turn=-float(heading))
    start = clip.pelvis_positions[0]
    return clip.moved(shift=(-float(start[0]), -float(start[2])))
