# SPDX-License-Identifier: GPL-3.0-or-later
"""Face capture of phones as CSV: the layout of Live Link Face, written and read; broken files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import ClipError, StorageError
from engine.motion.arkit import ARKIT_NAMES
from engine.motion.arkit_csv import read_arkit_csv, write_arkit_csv
from engine.motion.clip import Clip

SHOWN = [name[0].upper() + name[1:] for name in ARKIT_NAMES]
HEADER = ["Timecode", "BlendShapeCount", *SHOWN, "HeadYaw", "HeadPitch", "HeadRoll"]


def capture(path: Path, codes: list[str], values: np.ndarray, header: list[str] = HEADER) -> Path:
    """A file as the app writes it; values are (rows, 52)."""
    rows = [",".join(header)]
    for code, row in zip(codes, values, strict=True):
        rows.append(",".join([code, "61", *(f"{value:.8f}" for value in row), "0.1", "0.2", "0.3"]))
    path.write_text("\n".join(rows) + "\n")
    return path


def ramp(count: int) -> np.ndarray:
    return np.linspace(0.0, 1.0, count)[:, None] * np.linspace(0.5, 1.0, 52)


def test_a_capture_at_60_with_dropped_frames(tmp_path: Path) -> None:
    frames = [frame for frame in range(130) if frame not in (30, 31, 77)]
    codes = [f"13:59:{59 + (f + 20) // 60 - 60 * ((59 + (f + 20) // 60) // 60):02}:{(f + 20) % 60:02}.250"
             for f in frames]  # fmt: skip
    codes = [code.replace("13:59:0", "14:00:0") for code in codes]
    clip = read_arkit_csv(capture(tmp_path / "a.csv", codes, ramp(130)[frames]))
    assert (clip.fps, clip.num_frames, clip.basis) == (60.0, 130, "arkit")
    assert clip.expression_names == ARKIT_NAMES and not clip.poses.any()
    assert np.abs(clip.expressions - ramp(130)).max() < 1e-5, "what was dropped is filled in evenly"


def test_thirty_frames_a_second_and_midnight(tmp_path: Path) -> None:
    codes = [f"23:59:59:{frame:02}.000" for frame in range(15, 30)]
    codes += [f"00:00:00:{frame:02}.000" for frame in range(30)]
    clip = read_arkit_csv(capture(tmp_path / "a.csv", codes, ramp(45)))
    assert (clip.fps, clip.num_frames) == (30.0, 45)


def test_seconds_in_the_place_of_a_timecode(tmp_path: Path) -> None:
    names = [f"{name[:-4]}_L" if name.endswith("Left") else name for name in ARKIT_NAMES]
    header = ["timestamp", "n", *names, "a", "b", "c"]
    codes = [f"{12.5 + frame / 30:.5f}" for frame in range(20)]
    clip = read_arkit_csv(capture(tmp_path / "a.csv", codes, ramp(20), header))
    assert (clip.fps, clip.num_frames) == (30.0, 20) and clip.expression_names == ARKIT_NAMES


def test_what_is_written_is_read(tmp_path: Path) -> None:
    clip = replace(Clip.rest(100, 30.0), expressions=ramp(100))
    write_arkit_csv(clip, tmp_path / "out.csv")
    back = read_arkit_csv(tmp_path / "out.csv")
    assert back.fps == 30.0 and np.abs(back.expressions - clip.expressions).max() < 1e-6
    with pytest.raises(StorageError, match="folder"):
        write_arkit_csv(clip, tmp_path / "none" / "out.csv")
    bare = replace(clip, expressions=np.zeros((100, 0)), expression_names=(), basis="none")
    with pytest.raises(ClipError, match="no ARKit"):
        write_arkit_csv(bare, tmp_path / "out.csv")


def test_values_stay_within_0_and_1(tmp_path: Path) -> None:
    values = ramp(3)
    values[1] = 3.0
    clip = read_arkit_csv(capture(tmp_path / "a.csv", ["0", "0.02", "0.04"], values))
    assert clip.expressions.max() == 1.0


BROKEN = {
    "missing": None,
    "empty": "",
    "header alone": ",".join(HEADER) + "\n",
    "another table": "name,value\na,1\n",
    "no clock": ",".join(HEADER[1:]) + "\n" + ",".join(["1"] * (len(HEADER) - 1)) + "\n",
    "words": ",".join(HEADER) + "\n" + ",".join(["00:00:01:01", *["x"] * (len(HEADER) - 1)]) + "\n",
    "short row": ",".join(HEADER) + "\n00:00:01:01,61\n",
    "not numbers": ",".join(HEADER) + "\n" + ",".join(["00:00:01:01", *["nan"] * (len(HEADER) - 1)]) + "\n",
    "odd clock": ",".join(HEADER) + "\n" + ",".join(["00:01", *["0"] * (len(HEADER) - 1)]) + "\n",
    "time stands": ",".join(HEADER) + ("\n" + ",".join(["00:00:01:01", *["0"] * (len(HEADER) - 1)])) * 2,
    "a year": ",".join(HEADER) + "".join(
        "\n" + ",".join([code, *["0"] * (len(HEADER) - 1)]) for code in ("0.0", "31536000.0")),
}  # fmt: skip


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_gives_one_sentence(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "face.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ClipError) as error:
        read_arkit_csv(path)
    message = str(error.value)
    assert "face.csv" in message and message.endswith(".") and "\n" not in message
    assert message.count(". ") == 0


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "face.csv").write_bytes(b"\xff\xfe\x00\x01" * 50)
    with pytest.raises(ClipError, match="damaged"):
        read_arkit_csv(tmp_path / "face.csv")
