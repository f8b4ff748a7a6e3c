# SPDX-License-Identifier: GPL-3.0-or-later
"""Face capture of phones as CSV, in the layout of Epic's Live Link Face app, read and written.

One row per frame: Timecode, BlendShapeCount, the 52 ARKit weights (EyeBlinkLeft, ...), then yaw, pitch and
roll of head and eyes. The timecode is hours:minutes:seconds:frame with the frame as a decimal number, counted
at the app's rate (60 unless set otherwise); frames may be missing. Tables with a column of seconds in the
place of the timecode (time, timestamp) are read as well. Names are compared without case and separators.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np

from ..errors import ClipError
from ..whole_files import whole_file
from .arkit import ARKIT_INDEX, ARKIT_NAMES
from .arrays import DoubleArray
from .clip import Clip
from .face_names import plain_shape

MAX_FILE_BYTES = 1 << 29
"""Largest table that is opened: about six hours at 60 frames per second."""

RATES = (24.0, 25.0, 30.0, 50.0, 60.0)
"""Rates the app can record at; its 29.97 and 59.94 count whole frames like 30 and 60."""

_TURNS = tuple(
    f"{part}{turn}" for part in ("Head", "LeftEye", "RightEye") for turn in ("Yaw", "Pitch", "Roll")
)
_DAY_S = 24 * 3600.0
_LONGEST_GAP_S = 60.0


def read_arkit_csv(path: Path) -> Clip:
    """Read a face capture; the body rests. Frames that the phone dropped are filled in evenly.

    Raises:
        ClipError: If the file is missing or damaged, or is no such table.
    """
    header, rows = _table(path)
    columns: dict[str, int] = {}
    known = {plain_shape(name): name for name in ARKIT_NAMES}
    for place, name in enumerate(header):
        if plain_shape(name) in known:
            columns[known[plain_shape(name)]] = place
    clock = next(
        (i for i, name in enumerate(header) if plain_shape(name) in ("timecode", "time", "timestamp")), -1
    )
    if clock < 0 or len(columns) < len(ARKIT_NAMES) // 2:
        raise ClipError(
            f"{path.name} has {len(columns)} of the 52 ARKit columns and {'a' if clock >= 0 else 'no'} time "
            "column; choose a CSV of Live Link Face."
        )
    try:
        values = np.array([[float(row[place]) for place in columns.values()] for row in rows])
        fps, times = _times([row[clock] for row in rows])
    except (ValueError, IndexError, OverflowError) as error:
        raise ClipError(f"{path.name} has rows that are no numbers; export it again.") from error
    if not np.isfinite(values).all() or not np.isfinite(times).all():
        raise ClipError(f"{path.name} has values that are not finite; export it again.")
    if (np.diff(times) <= 0).any() or (np.diff(times) > _LONGEST_GAP_S).any():
        raise ClipError(f"The times in {path.name} do not rise evenly; export it again.")
    num_frames = round(float(times[-1]) * fps) + 1
    wanted = np.arange(num_frames) / fps
    clip = Clip.rest(num_frames, fps)
    expressions = np.zeros_like(clip.expressions)
    for name, column in zip(columns, values.T, strict=True):
        expressions[:, ARKIT_INDEX[name]] = np.clip(np.interp(wanted, times, column), 0.0, 1.0)
    kept = [ARKIT_INDEX[name] for name in ARKIT_NAMES if name in columns]
    return Clip(
        fps=fps,
        poses=clip.poses,
        trans=clip.trans,
        expressions=expressions[:, kept],
        expression_names=tuple(name for name in ARKIT_NAMES if name in columns),
        basis="arkit",
    )


def write_arkit_csv(clip: Clip, path: Path) -> None:
    """Write the face of a clip with ARKit channels.

    Raises:
        ClipError: If the clip has other channels.
        StorageError: If the file cannot be written.
    """
    if clip.basis != "arkit":
        raise ClipError("The motion has no ARKit face channels to write; generate a face first.")
    rate = max(1, round(clip.fps))
    columns = {name: index for index, name in enumerate(clip.expression_names)}
    names = [name[0].upper() + name[1:] for name in ARKIT_NAMES]
    with whole_file(path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["Timecode", "BlendShapeCount", *names, *_TURNS])
        for frame in range(clip.num_frames):
            second, rest = divmod(frame, rate)
            code = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}:{rest:02}.000"
            face = [
                f"{clip.expressions[frame, columns[name]]:.8f}" if name in columns else "0.00000000"
                for name in ARKIT_NAMES
            ]
            turns = ["0.00000000"] * len(_TURNS)
            writer.writerow([code, len(ARKIT_NAMES) + len(_TURNS), *face, *turns])


def _table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table of at least one row."""
    wanted = "a CSV of Live Link Face"
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ClipError(f"{path.name} is too large to open; cut it into shorter takes.")
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = [row for row in csv.reader(stream) if row]
    except FileNotFoundError as error:
        raise ClipError(f"There is no file {path.name}; choose {wanted}.") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ClipError(f"{path.name} is damaged or of another kind; choose {wanted}.") from error
    if len(rows) < 2:
        raise ClipError(f"{path.name} has no frames; choose {wanted}.")
    return rows[0], rows[1:]


def _times(codes: list[str]) -> tuple[float, DoubleArray]:
    """Rate, and seconds since the first row, (rows,)."""
    if ":" not in codes[0]:
        times = np.array([float(code) for code in codes])
        step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0 / RATES[-1]
        if not step > 0.0:
            raise ValueError("times stand still")
        return min(RATES, key=lambda rate: abs(math.log(rate * step))), times - times[0]
    parts = np.array([[float(number) for number in code.replace(";", ":").split(":")] for code in codes])
    if parts.ndim != 2 or parts.shape[1] != 4:
        raise ValueError("no hours:minutes:seconds:frame")
    rate = _rate(parts)
    seconds = parts[:, :3] @ np.array([3600.0, 60.0, 1.0]) + parts[:, 3] / rate
    seconds += _DAY_S * np.cumsum(np.concatenate([[False], np.diff(seconds) < -_DAY_S / 2]))  # past midnight
    return rate, seconds - seconds[0]


def _rate(parts: DoubleArray) -> float:
    """The rate at which frames are counted: one more than the highest number in a second, or 60.

    A take that does not reach the end of a second tells no rate.
    """
    highest = math.floor(float(parts[:, 3].max())) + 1
    whole = len(np.unique(parts[:, 2])) > 1
    return next((rate for rate in RATES if rate >= highest), 60.0) if whole else 60.0
