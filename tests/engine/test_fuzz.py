# SPDX-License-Identifier: GPL-3.0-or-later
"""A few seconds of `make fuzz`, and what it found: nothing but errors of ours comes out of a reader."""

from __future__ import annotations

import io
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings

from engine.__main__ import load_audio_codes
from engine.audio.waveform import load_audio, resample
from engine.batch.table import read_table
from engine.errors import AudioError, ClipError, EngineError
from engine.motion.bvh import MAX_JOINTS, parse_bvh
from engine.motion.bvh_clip import clip_of, load_bvh
from engine.motion.clip import Clip
from engine.motion.clip_io import load_npz, save_npz
from engine.motion.npz_reader import SMALL_ARRAY_BYTES, npy_layout, open_npz
from tests.fuzz_readers import READERS, edited
from tests.miniature_bvh import miniature

SLOW = ("pack-engine", "pack-tokenizer")


@pytest.mark.parametrize("name", sorted(set(READERS) - set(SLOW)))
def test_edited_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    samples = reader.samples()
    (tmp_path / reader.file).parent.mkdir(exist_ok=True)

    @settings(max_examples=25, deadline=2000, database=None, suppress_health_check=list(HealthCheck))
    @given(edited(reader, samples))
    def read(data: bytes) -> None:
        try:
            reader.run(data, tmp_path)
        except EngineError as error:
            assert str(error).strip()

    read()


@pytest.mark.parametrize("name", sorted(READERS))
def test_the_samples_are_what_their_readers_read(name: str, tmp_path: Path) -> None:
    """Else the edits of them would try nothing."""
    reader = READERS[name]
    (tmp_path / reader.file).parent.mkdir(exist_ok=True)
    refused = 0
    samples = reader.samples()
    for sample in samples:
        try:
            reader.run(sample, tmp_path)
        except EngineError:
            refused += 1
    assert refused <= len(samples) // 2


def peak_of(read: Callable[[], object], error: type[EngineError], words: str) -> int:
    """Most bytes that were in use at once while a file was refused."""
    tracemalloc.start()
    try:
        with pytest.raises(error, match=words):
            read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_header_that_promises_hours_of_sound_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, np.zeros(4000), 8000)
    head = bytearray(path.read_bytes())
    head[21:26] = b"\xf0\x03\x00\x00\x00"  # 36 bits: how many samples there are
    path.write_bytes(head)
    assert soundfile.info(path).frames > 5e7
    assert peak_of(lambda: load_audio(path), AudioError, "cannot be read") < 40e6


def test_rates_without_a_common_divisor_are_resampled_in_no_time() -> None:
    tone = np.sin(np.arange(76799) * 0.01).astype(np.float32)
    assert resample(tone, 767999, 16000).shape == (1600,)
    assert np.allclose(resample(tone, 767999, 16000), resample(tone, 768000, 16000), atol=1e-3)


def packed(path: Path, arrays: dict[str, bytes]) -> Path:
    """An npz of members as they are, packed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy(array: object) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.asarray(array))
    return stream.getvalue()


def test_a_small_file_does_not_unpack_to_a_gigabyte(tmp_path: Path) -> None:
    path = packed(tmp_path / "bomb.npz", {"poses": npy(np.zeros(SMALL_ARRAY_BYTES + 1, np.int8))})
    assert path.stat().st_size < 1e6
    assert peak_of(lambda: load_npz(path), ClipError, "too large to open") < 10e6


def test_two_hours_of_standing_still_may_unpack() -> None:
    assert SMALL_ARRAY_BYTES > 2 * 3600 * 30 * 165 * 4


def test_values_beyond_single_precision_are_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.npz", {"poses": npy(np.full((1, 165), 1e300))})
    with pytest.raises(ClipError, match="not finite"), open_npz(path, "") as reader:
        reader.numbers("poses")


@pytest.mark.parametrize("number", [0x110000, 0xFFFFFFFF, 0xD800])
def test_names_of_characters_that_do_not_exist_are_refused(tmp_path: Path, number: int) -> None:
    path = tmp_path / "a.npz"
    save_npz(Clip.rest(2, 30.0), path)
    with np.load(path) as held:
        arrays = dict(held)
    codes = arrays["expression_names"].view(np.uint32).copy()
    codes[0] = number
    np.savez(path, **{**arrays, "expression_names": codes.view(arrays["expression_names"].dtype)})
    with pytest.raises(ClipError, match="damaged"):
        load_npz(path)


def test_audio_codes_of_a_forged_length_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(npy(np.arange(8)).replace(b"(8,)", b"(8888888888,)")[:128] + bytes(64))
    assert peak_of(lambda: load_audio_codes(path), AudioError, "whole numbers") < 10e6


def test_a_header_that_promises_a_gigabyte_is_not_read() -> None:
    class Counted(io.BytesIO):
        wanted = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.wanted = max(self.wanted, size or 0)
            return super().read(size)

    stream = Counted(b"\x93NUMPY\x02\x00" + (1 << 30).to_bytes(4, "little") + b"{'descr': '<u2'")
    with pytest.raises(ValueError, match="endless header"):
        npy_layout(stream)
    assert stream.wanted < 100


def test_a_row_with_cells_only_beyond_the_titles_has_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("lower,seed\n,,x\n")
    assert "more cells than there are titles" in read_table(path)[0].problem


def test_a_joint_without_a_place_is_refused(tmp_path: Path) -> None:
    """Its children took it for the joint below themselves, and were followed up for ever."""
    path = tmp_path / "a.bvh"
    path.write_text(miniature({}, frames=2).replace("OFFSET 6.0 0.0 0.0", "OFNSET 6.0 0.0 0.0", 1))
    with pytest.raises(ClipError, match="hierarchy of the BVH file is damaged"):
        load_bvh(path)


@pytest.mark.parametrize("count", [MAX_JOINTS - 2, MAX_JOINTS])
def test_a_chain_of_a_thousand_joints_takes_no_time(count: int) -> None:
    joint = "JOINT {}\n{{\nOFFSET 0 1 0\nCHANNELS 1 Xrotation\n"
    chain = "".join(joint.format(number) for number in range(count)) + "}\n" * count
    head = "HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 1 Xrotation\n" + chain + "}\n"
    text = f"{head}MOTION\nFrames: 1\nFrame Time: 0.03\n" + "0 " * (count + 1)
    began = time.process_time()
    with pytest.raises(ClipError, match="no bones of a body" if count < MAX_JOINTS else "damaged"):
        clip_of(parse_bvh(text))
    assert time.process_time() - began < 2.0


def test_the_rows_of_a_bvh_do_not_take_many_times_the_file() -> None:
    text = miniature({}, frames=4000)
    tracemalloc.start()
    try:
        motion = parse_bvh(text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert motion.num_frames == 4000 and peak < 4 * len(text)
