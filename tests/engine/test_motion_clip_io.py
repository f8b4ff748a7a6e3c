# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion files: BEAT2, AMASS and our own, and every kind of broken one."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import ClipError, StorageError
from engine.motion import npz_reader
from engine.motion.arkit import ARKIT_NAMES
from engine.motion.clip import Clip
from engine.motion.clip_io import load_npz, save_npz
from engine.motion.rotations import axis_angle_to_matrix
from tests.motion_layouts import LAYOUTS, motion

GOOD: dict[str, Any] = {
    "poses": np.full((6, 165), 0.1, dtype=np.float32),
    "trans": np.ones((6, 3)),
    "betas": np.zeros(300),
    "expressions": np.zeros((6, 100)),
    "model": np.array("smplx2020"),
    "gender": np.array("female"),
    "mocap_frame_rate": np.array(30),
}


def write(path: Path, **changes: Any) -> Path:
    """A BEAT2 file with some arrays changed; None leaves one out."""
    arrays = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    np.savez(path, **arrays)
    return path


def test_reads_the_reference_clip(shared_dir: Path) -> None:
    path = shared_dir / "reference" / "lom-vectors" / "features_input_beat2.npz"
    clip, raw = load_npz(path), np.load(path)
    np.testing.assert_array_equal(clip.poses.reshape(48, 165), raw["poses"])
    np.testing.assert_array_equal(clip.trans, raw["trans"])
    np.testing.assert_array_equal(clip.expressions, raw["expressions"])
    assert (clip.fps, clip.basis, clip.model, clip.betas.shape) == (30, "smplx", "smplx2020", (300,))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_the_demos_write_is_read_exactly(tmp_path: Path, layout: str) -> None:
    arrays, path = motion(20), tmp_path / "clip.npz"
    LAYOUTS[layout](path, arrays)
    clip, betas = load_npz(path), np.load(path)["betas"]
    np.testing.assert_array_equal(clip.poses.reshape(20, 165), arrays["poses"])
    np.testing.assert_array_equal(clip.trans, arrays["trans"])
    np.testing.assert_array_equal(clip.expressions, arrays["expressions"])
    np.testing.assert_array_equal(clip.betas, betas.astype(np.float32))
    assert (clip.fps, clip.basis, clip.model, clip.gender) == (30, "smplx", "smplx2020", "neutral")


def test_our_own_file_goes_there_and_back(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    clip = Clip(
        29.97, generator.normal(size=(7, 55, 3)), generator.normal(size=(7, 3)), generator.random((7, 52)),
        ARKIT_NAMES, "arkit",
    )  # fmt: skip
    save_npz(clip, tmp_path / "clip.npz")
    with np.load(tmp_path / "clip.npz", allow_pickle=False) as raw:
        assert set(raw.files) == {
            "poses", "trans", "expressions", "expression_names",
            "betas", "gender", "mocap_frame_rate", "model",
        }  # fmt: skip
        assert raw["poses"].shape == (7, 165) and raw["trans"].shape == (7, 3)
    again = load_npz(tmp_path / "clip.npz")
    for name in ("poses", "trans", "expressions", "pelvis_rest"):
        np.testing.assert_array_equal(getattr(again, name), getattr(clip, name))
    assert (again.fps, again.expression_names, again.basis, again.model) == (
        clip.fps, clip.expression_names, clip.basis, clip.model,
    )  # fmt: skip
    save_npz(replace(clip, pelvis_rest=np.array([0.0, -0.3, 0.0])), tmp_path / "clip.npz")
    assert load_npz(tmp_path / "clip.npz").pelvis_rest[1] == np.float32(-0.3)


def test_amass_smplh_gets_jaw_and_eyes_and_stands_upright(tmp_path: Path) -> None:
    poses = np.zeros((5, 156))
    poses[:, 0] = np.pi / 2  # Z up: the pelvis' Y axis points along the world's Z
    poses[:, 66:69] = 0.3  # first finger joint of the left hand
    trans = np.tile([1.0, 2.0, 1.2], (5, 1))
    path = write(
        tmp_path / "amass.npz", poses=poses, trans=trans, expressions=None, model=None,
        gender=np.array(b"male"), mocap_frame_rate=None, mocap_framerate=np.array(120.0),
        markers=np.array([{}], dtype=object),
    )  # fmt: skip
    clip = load_npz(path)
    assert (clip.fps, clip.basis, clip.gender, clip.model) == (120, "none", "male", "smplh")
    assert not clip.poses[:, 22:25].any()
    np.testing.assert_allclose(clip.poses[:, 25], 0.3, atol=1e-6)
    np.testing.assert_allclose(axis_angle_to_matrix(clip.poses[0, 0]), np.eye(3), atol=1e-6)
    # z becomes height, y becomes backwards; the pelvis moves as one with its rest offset
    np.testing.assert_allclose(
        clip.pelvis_positions[0], [1.0 - 0.0018, 1.2 + 0.0282, -(2.0 - 0.2233)], atol=1e-4
    )


def test_beat2_lying_on_the_floor_is_not_turned(tmp_path: Path) -> None:
    poses = np.zeros((5, 165))
    poses[:, 0] = np.pi / 2
    clip = load_npz(
        write(tmp_path / "beat.npz", poses=poses, trans=np.zeros((5, 3)), expressions=np.zeros((5, 100)))
    )
    np.testing.assert_allclose(clip.poses[0, 0], [np.pi / 2, 0, 0], atol=1e-6)


def header(shape: str) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def with_raw_poses(path: Path, content: bytes) -> Path:
    write(path, poses=None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("poses.npy", content)
    return path


def truncated(path: Path) -> Path:
    path.write_bytes(write(path).read_bytes()[:-300])
    return path


def flipped(path: Path) -> Path:
    content = bytearray(write(path).read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(bytes(content))
    return path


def text_file(path: Path) -> Path:
    path.write_text("this is not a motion")
    return path


def plain_npy(path: Path) -> Path:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((6, 165)))
    path.write_bytes(buffer.getvalue())
    return path


BROKEN: dict[str, Callable[[Path], Path]] = {
    "missing": lambda path: path,
    "folder": lambda path: path.parent,
    "empty": lambda path: path.touch() or path,
    "text": text_file,
    "npy": plain_npy,
    "truncated": truncated,
    "overwritten": flipped,
    "no poses": lambda path: write(path, poses=None),
    "no trans": lambda path: write(path, trans=None),
    "no rate": lambda path: write(path, mocap_frame_rate=None),
    "two rates": lambda path: write(path, mocap_frame_rate=np.array([30, 60])),
    "rate zero": lambda path: write(path, mocap_frame_rate=np.array(0)),
    "rate nan": lambda path: write(path, mocap_frame_rate=np.array(np.nan)),
    "rate in words": lambda path: write(path, mocap_frame_rate=np.array("thirty")),
    "pickled poses": lambda path: write(path, poses=np.array([{"a": 1}], dtype=object)),
    "pickled gender": lambda path: write(path, gender=np.array([{"a": 1}], dtype=object)),
    "smpl": lambda path: write(path, poses=np.zeros((6, 72))),
    "one number": lambda path: write(path, poses=np.array(3.0)),
    "no frames": lambda path: write(path, poses=np.zeros((0, 165))),
    "short trans": lambda path: write(path, trans=np.zeros((5, 3))),
    "short face": lambda path: write(path, expressions=np.zeros((5, 100))),
    "flat face": lambda path: write(path, expressions=np.zeros(6)),
    "names": lambda path: write(path, expression_names=np.array(["jawOpen"])),
    "nan": lambda path: write(path, poses=np.full((6, 165), np.nan)),
    "infinite": lambda path: write(path, trans=np.full((6, 3), np.inf)),
    "absurd angle": lambda path: write(path, poses=np.full((6, 165), 1e30)),
    "absurd place": lambda path: write(path, trans=np.full((6, 3), 1e9)),
    "complex": lambda path: write(path, poses=np.zeros((6, 165), dtype=complex)),
    "header lies": lambda path: with_raw_poses(path, header("(1000000, 165)") + bytes(660)),
    "header huge": lambda path: with_raw_poses(path, header("(10000000000000, 165)") + bytes(660)),
    "header negative": lambda path: with_raw_poses(path, header("(-1, 165)") + bytes(660)),
    "header code": lambda path: with_raw_poses(path, header("__import__('os')") + bytes(660)),
    "no header": lambda path: with_raw_poses(path, b"\x93NUMPY"),
    "unknown version": lambda path: with_raw_poses(path, b"\x93NUMPY\x09\x00" + bytes(100)),
}


@pytest.mark.parametrize("make", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_gives_one_sentence(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path / "walk.npz")
    with pytest.raises(ClipError) as error:
        load_npz(path)
    message = str(error.value)
    assert message.endswith(".") and "\n" not in message and len(message) < 240
    assert message.count(". ") == 0


def test_the_untouched_file_is_fine(tmp_path: Path) -> None:
    assert load_npz(write(tmp_path / "walk.npz")).num_frames == 6


def test_an_array_larger_than_allowed_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "walk.npz", poses=np.zeros((3000, 165)))
    monkeypatch.setattr(npz_reader, "MAX_ARRAY_BYTES", 1_000_000)
    with pytest.raises(ClipError, match="too large"):
        load_npz(path)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="folder"):
        save_npz(Clip.rest(2, 30), tmp_path / "nowhere" / "clip.npz")
