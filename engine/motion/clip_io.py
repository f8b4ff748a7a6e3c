# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion files: reads and writes the BEAT2 and AMASS npz layouts and our own, which their readers know too.

Files are not trusted: nothing is unpickled, and every array's type and size is checked before it is read.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ClipError
from ..specs import MOTION_FPS
from ..whole_files import whole_file
from .arkit import ARKIT_NAMES
from .arrays import FloatArray
from .clip import Clip, smplx_expression_names
from .face_bases import jaw_channels, with_jaw_bone
from .feet_track import FeetTrack
from .npz_reader import NpzReader, open_npz
from .rotations import axis_angle_to_matrix, matrix_to_axis_angle
from .skeleton import NUM_JOINTS

MAX_ANGLE, MAX_DISTANCE = 1000.0, 100000.0
"""Largest axis-angle component (radians) and root coordinate (metres) taken for motion rather than damage."""

SMPLX_PELVIS_REST = (0.0031, -0.3514, 0.0120)
"""Pelvis of the neutral SMPL-X model's mean shape at rest, metres; root positions are relative to it."""

SMPLH_PELVIS_REST = (-0.0018, -0.2233, 0.0282)
"""The same for SMPL+H, whose files are the 156-wide AMASS ones."""

NUM_SAVED_BETAS = 300
"""Shape coefficients written when a clip has none, as in BEAT2 and the published demo."""

NUM_BEAT2_EXPRESSIONS = 100
"""Expression coefficients of a BEAT2 file."""

_Y_UP = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], dtype=np.float64)
"""Turns Z up to Y up."""

FEET_WIDTH = 25
"""Numbers per frame of `FeetTrack.values`."""

_FRAME_RATE_KEYS = ("mocap_frame_rate", "mocap_framerate", "fps")


def load_npz(path: str | Path) -> Clip:
    """Load a motion file in the BEAT2, AMASS (SMPL-X or SMPL+H) or our own npz layout.

    AMASS as distributed is Z up; such files (no face channels, pelvis upright along Z) are turned to Y up.

    Raises:
        ClipError: If the file is missing, damaged, or not such motion.
    """
    with open_npz(Path(path), "an npz in the BEAT2 or AMASS layout") as reader:
        return _read_clip(reader)


def _read_clip(reader: NpzReader) -> Clip:
    poses, likely_model = _read_poses(reader)
    num_frames = len(poses)
    trans = reader.numbers("trans")
    if trans.shape != (num_frames, 3):
        raise ClipError(
            f"{reader.name} has {num_frames} frames but root positions of shape {trans.shape}; "
            "export it again."
        )
    if np.abs(poses).max() > MAX_ANGLE or np.abs(trans).max() > MAX_DISTANCE:
        raise ClipError(f"{reader.name} holds angles or positions no body can reach; export it again.")
    expressions, names, basis = _read_face(reader, num_frames)
    model = (reader.words("model") or reader.words("surface_model_type") or (likely_model,))[0]
    clip = Clip(
        fps=_read_rate(reader),
        poses=poses.astype(np.float32),
        trans=trans.astype(np.float32),
        expressions=expressions,
        expression_names=names,
        basis=basis,
        betas=_read_betas(reader),
        gender=(reader.words("gender") or ("neutral",))[0],
        model=model,
        pelvis_rest=_pelvis_rest(reader, model),
        feet=_read_feet(reader, num_frames),
    )
    clip = _to_y_up(clip) if "expressions" not in reader.keys and _is_z_up(clip) else clip
    return jaw_channels(clip) if "arkit" in reader.keys else clip


def _read_poses(reader: NpzReader) -> tuple[npt.NDArray[np.float64], str]:
    """Joint rotations, (F, 55, 3), and the kind of model; SMPL+H files lack jaw and eyes, which rest."""
    poses = reader.numbers("poses")
    num_frames = poses.shape[0] if poses.ndim else 0
    width = int(np.prod(poses.shape[1:], dtype=object))
    if num_frames < 1 or width not in (NUM_JOINTS * 3, 156):
        raise ClipError(
            f"The poses in {reader.name} have shape {poses.shape} where 165 or 156 columns belong; "
            "choose SMPL-X motion."
        )
    poses = poses.reshape(num_frames, -1, 3)  # (F, 165 or 156) -> (F, J, 3)
    if width == 156:
        poses = np.concatenate([poses[:, :22], np.zeros((num_frames, 3, 3)), poses[:, 22:]], axis=1)
    return poses, "smplh" if width == 156 else "smplx"


def _read_face(reader: NpzReader, num_frames: int) -> tuple[FloatArray, tuple[str, ...], str]:
    prefix = "arkit" if "arkit" in reader.keys else "expressions"
    if prefix not in reader.keys:
        return np.zeros((num_frames, 0), dtype=np.float32), (), "none"
    expressions = reader.numbers(prefix).astype(np.float32)
    names = reader.words("arkit_names" if prefix == "arkit" else "expression_names")
    if (
        expressions.ndim != 2
        or len(expressions) != num_frames
        or (names and len(names) != expressions.shape[1])
    ):
        raise ClipError(
            f"The face channels in {reader.name} have shape {expressions.shape} for {num_frames} frames "
            f"and {len(names)} names; export it again."
        )
    if not expressions.shape[1]:
        return expressions, (), "none"
    if not names:
        return expressions, smplx_expression_names(expressions.shape[1]), "smplx"
    return expressions, names, "arkit" if set(names) <= set(ARKIT_NAMES) else "smplx"


def _read_feet(reader: NpzReader, num_frames: int) -> FeetTrack | None:
    """What the motion knows about its feet, which only our own files hold, (F, 25)."""
    if "kinesics_feet" not in reader.keys:
        return None
    values = reader.numbers("kinesics_feet")
    if values.shape != (num_frames, FEET_WIDTH):
        raise ClipError(f"{reader.name} says of its feet what does not fit its frames; export it again.")
    return FeetTrack.of_values(values.astype(np.float32))


def _read_rate(reader: NpzReader) -> float:
    key = next((key for key in _FRAME_RATE_KEYS if key in reader.keys), None)
    if key is None:
        raise ClipError(f"{reader.name} does not say its frame rate; add mocap_frame_rate to it.")
    rate = reader.numbers(key)
    if rate.size != 1:
        raise ClipError(f"{reader.name} gives {rate.size} frame rates; leave one.")
    return float(rate.reshape(-1)[0])


def _read_betas(reader: NpzReader) -> FloatArray:
    if "betas" not in reader.keys:
        return np.zeros(0, dtype=np.float32)
    betas = reader.numbers("betas").astype(np.float32)
    return betas.reshape(-1) if betas.size <= 1000 else betas[0].reshape(-1)


def _pelvis_rest(reader: NpzReader, model: str) -> FloatArray:
    if "pelvis_rest" in reader.keys:
        return reader.numbers("pelvis_rest").astype(np.float32)
    rest = (0.0, 0.0, 0.0)
    if model.startswith("smplx"):
        rest = SMPLX_PELVIS_REST
    elif model.startswith("smplh"):
        rest = SMPLH_PELVIS_REST
    return np.array(rest, dtype=np.float32)


def _is_z_up(clip: Clip) -> bool:
    """Whether the pelvis' own Y axis points along the world's Z in most frames."""
    up = axis_angle_to_matrix(clip.poses[:, 0])[:, :, 1]
    return float(np.median(up[:, 2])) > 0.5 > float(np.median(up[:, 1]))


def _to_y_up(clip: Clip) -> Clip:
    poses = clip.poses.copy()
    poses[:, 0] = matrix_to_axis_angle(_Y_UP @ axis_angle_to_matrix(poses[:, 0].astype(np.float64)))
    return replace(clip, poses=poses, trans=clip.pelvis_positions @ _Y_UP.T - clip.pelvis_rest)


def save_npz(clip: Clip, path: str | Path) -> None:
    """Write a clip as npz with the keys of BEAT2, the names of its face channels beside them.

    Raises:
        StorageError: If the file cannot be written.
    """
    rate = int(clip.fps) if float(clip.fps).is_integer() else float(clip.fps)
    arrays: dict[str, Any] = {
        "poses": clip.poses.reshape(clip.num_frames, NUM_JOINTS * 3),
        "trans": clip.trans,
        "expressions": clip.expressions,
        "expression_names": np.array(clip.expression_names, dtype=np.str_),
        "betas": clip.betas if clip.betas.size else np.zeros(NUM_SAVED_BETAS, dtype=np.float32),
        "gender": np.array(clip.gender),
        "mocap_frame_rate": np.array(rate),
        "model": np.array(clip.model),
    }
    if clip.feet is not None:
        arrays["kinesics_feet"] = clip.feet.values
    if clip.pelvis_rest.any():
        arrays["pelvis_rest"] = clip.pelvis_rest
    _write(arrays, path)


def save_beat2(clip: Clip, path: str | Path) -> None:
    """Write a clip as BEAT2 and the published demo do: Y up, 30 frames per second, neutral SMPL-X.

    BEAT2's 100 expression coefficients belong to a licensed model; a face in ARKit channels moves the jaw,
    and the channels themselves lie in the file as `arkit` and `arkit_names`, which other readers pass over.

    Raises:
        StorageError: If the file cannot be written.
    """
    clip = with_jaw_bone(clip.resample(MOTION_FPS) if clip.fps != MOTION_FPS else clip)
    arrays = _smplx_arrays(clip) | {"model": np.array("smplx2020"), "mocap_frame_rate": np.array(MOTION_FPS)}
    if clip.basis == "smplx":
        count = min(NUM_BEAT2_EXPRESSIONS, clip.expressions.shape[1])
        arrays["expressions"][:, :count] = clip.expressions[:, :count]
    _write(arrays, path)


def save_amass(clip: Clip, path: str | Path) -> None:
    """Write a clip as AMASS distributes SMPL-X motion: Z up, at the clip's own rate.

    Beside `poses` lie the same rotations by part (root_orient, pose_body, pose_jaw, pose_eye, pose_hand), as
    in AMASS's SMPL-X N files. The layout has no face channels; the jaw moves, and ARKit channels lie in the
    file as for BEAT2.

    Raises:
        StorageError: If the file cannot be written.
    """
    arrays = _smplx_arrays(_to_z_up(with_jaw_bone(clip)))
    del arrays["expressions"]
    poses = arrays["poses"]
    ends = {"root_orient": (0, 3), "pose_body": (3, 66), "pose_jaw": (66, 69), "pose_eye": (69, 75),
            "pose_hand": (75, 165)}  # fmt: skip
    arrays |= {name: poses[:, first:last] for name, (first, last) in ends.items()}
    arrays |= {
        "surface_model_type": np.array("smplx"),
        "mocap_frame_rate": np.array(float(clip.fps)),
        "mocap_time_length": np.array(clip.duration_s),
        "num_betas": np.array(len(arrays["betas"])),
    }
    _write(arrays, path)


def _smplx_arrays(clip: Clip) -> dict[str, Any]:
    """What both layouts have; root positions are relative to the pelvis of the neutral SMPL-X model."""
    arrays: dict[str, Any] = {
        "poses": clip.poses.reshape(clip.num_frames, NUM_JOINTS * 3),
        "trans": clip.pelvis_positions - np.array(SMPLX_PELVIS_REST, dtype=np.float32),
        "expressions": np.zeros((clip.num_frames, NUM_BEAT2_EXPRESSIONS), dtype=np.float32),
        "betas": np.pad(clip.betas, (0, max(0, NUM_SAVED_BETAS - len(clip.betas)))),
        "gender": np.array(clip.gender),
    }
    if clip.basis == "arkit":
        arrays |= {"arkit": clip.expressions, "arkit_names": np.array(clip.expression_names, dtype=np.str_)}
    return arrays


def _to_z_up(clip: Clip) -> Clip:
    """Turn a clip to Z up, about the world's X; inverse of `_to_y_up`."""
    poses = clip.poses.copy()
    poses[:, 0] = matrix_to_axis_angle(_Y_UP.T @ axis_angle_to_matrix(poses[:, 0].astype(np.float64)))
    return replace(clip, poses=poses, trans=clip.pelvis_positions @ _Y_UP - clip.pelvis_rest)


def _write(arrays: dict[str, Any], path: str | Path) -> None:
    with whole_file(Path(path)) as draft, draft.open("wb") as stream:
        np.savez_compressed(stream, **arrays)
