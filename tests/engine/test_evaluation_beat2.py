# SPDX-License-Identifier: GPL-3.0-or-later
"""Co-speech metrics on a corpus in BEAT2's layout: packs of both kinds against what was captured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from engine.data.readers.beat2 import Beat2Reader
from engine.errors import DataError
from engine.evaluation.__main__ import main
from engine.evaluation.beat2_rows import JAW, Recordings, beat2_rows, face_vertices, read_recordings
from engine.evaluation.report import Row
from engine.motion.arrays import FloatArray
from engine.motion.body_model import SmplxBody
from engine.motion.clip import Clip
from engine.published.importer import import_published
from engine.specs import GenerateRequest, GenerateResult, MotionEngine
from tests.engine import published_files as made
from tests.engine.test_data_readers import write_beat2

NAMES = [("2_scott_0_1_1", "test"), ("2_scott_0_2_2", "test"), ("2_scott_0_3_3", "test")]


def write_corpus(root: Path) -> None:
    """Three test recordings of 11 s, who move differently, one of another split and one of 1 s."""
    write_beat2(root, [*NAMES, ("2_scott_0_4_4", "train")], frames=330)
    for number, (name, _) in enumerate(NAMES):
        path = root / "smplxflame_30" / f"{name}.npz"
        with np.load(path) as held:
            values: dict[str, Any] = dict(held)
        phase = np.arange(330) / 30 * (2 + number)
        values["poses"][:, 3 * 16 + 2] = np.sin(phase)
        values["poses"][:, 3 * JAW] = 0.1 * (1 + np.sin(3 * phase))
        values["expressions"] = np.repeat(np.sin(phase)[:, None], 100, axis=1).astype(np.float32)
        np.savez(path, **values)


class Echo:
    """An engine that gives one clip after another back."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        self.clips = list(clips)
        self.requests: list[GenerateRequest] = []

    def generate(self, request: GenerateRequest, *_: object) -> GenerateResult:
        self.requests.append(request)
        clip = self.clips[len(self.requests) - 1]
        return GenerateResult(clip, clip.duration_s, 0.0, {})


def measured(recordings: Recordings, clips: Sequence[Clip], **others: Any) -> dict[str, Row]:
    engine = Echo(clips)
    rows = beat2_rows(cast(MotionEngine, engine), recordings, say=lambda _: None, **others)
    assert [r.waveform is s.wave for r, s in zip(engine.requests, recordings.sounds, strict=True)] == [
        True
    ] * 3
    return {row.what: row for row in rows}


def arms(clips: Sequence[Clip]) -> FloatArray:
    return np.concatenate([clip.poses[:, 16] for clip in clips])


def test_recordings_are_those_of_the_test_split_at_one_length(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    (tmp_path / "smplxflame_30" / "2_scott_0_3_3.npz").write_bytes(b"cut")
    found = read_recordings(Beat2Reader(tmp_path, {2}))
    assert [sound.name for sound in found.sounds] == ["2_scott_0_1_1", "2_scott_0_2_2"]
    assert [clip.num_frames for clip in found.clips] == [330, 330]
    assert [len(sound.wave) for sound in found.sounds] == [176000, 176000]
    assert [problem.item for problem in found.problems] == ["2_scott_0_3_3"]


def test_a_corpus_of_short_recordings_says_what_it_needs(tmp_path: Path) -> None:
    write_beat2(tmp_path, NAMES)
    with pytest.raises(DataError, match="two recordings of 10 s"):
        read_recordings(Beat2Reader(tmp_path, {2}))


def test_what_was_captured_is_without_error_against_itself_and_not_against_others(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    recordings = read_recordings(Beat2Reader(tmp_path, {2}))
    rows = measured(recordings, recordings.clips, encoders={"arms": arms})
    assert rows["FGD to captured motion, arms: generated"].value == pytest.approx(0.0, abs=1e-6)
    assert rows["FGD to captured motion, arms: standing still"].value > 0.01
    for what in ("body", "face"):
        own, other = (
            rows[f"{what} against captured motion, {sound} sound, generated"].value
            for sound in ("own", "another's")
        )
        assert own == pytest.approx(0.0, abs=1e-4) and other > 0.01
    assert "BC, threshold 0.3, generated" in rows and "L1div, captured" in rows


def test_a_pack_with_another_face_is_measured_without_it(tmp_path: Path, repository: Path) -> None:
    write_corpus(tmp_path)
    out = tmp_path / "found.json"
    pack = repository / "packs" / "starter"
    options = ["--beat2", tmp_path, "--pack", pack, "--build", tmp_path / "none" / "data", "--json", out]
    assert main([str(option) for option in options]) == 0
    rows = {row["what"]: row for row in json.loads(out.read_text())["rows"]}
    assert rows["body against captured motion, own sound, generated"]["value"] > 10.0
    assert not any("face against" in what and what.endswith("generated") for what in rows)


def test_a_published_pack_is_measured_with_its_face(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    made.download(tmp_path / "files")
    pack = import_published(tmp_path / "files", tmp_path / "pack").pack.root
    out = tmp_path / "found.json"
    options = ["--beat2", tmp_path, "--pack", pack, "--build", tmp_path / "none" / "data", "--json", out]
    assert main([str(option) for option in options]) == 0
    rows = {row["what"]: row for row in json.loads(out.read_text())["rows"]}
    assert rows["face against captured motion, own sound, generated"]["value"] > 0.0


def test_faces_are_compared_by_vertices_of_a_body_at_rest(tmp_path: Path) -> None:
    class Body:
        seen: Clip

        def posed(self, clip: Clip) -> tuple[FloatArray, FloatArray]:
            self.seen = clip
            return np.repeat(clip.poses[:, JAW : JAW + 1], 7, axis=1), np.zeros(
                (clip.num_frames, 55, 3), np.float32
            )

    write_corpus(tmp_path)
    recordings = read_recordings(Beat2Reader(tmp_path, {2}))
    body = Body()
    rows = measured(recordings, recordings.clips, encoders={}, face=face_vertices(cast(SmplxBody, body)))
    assert not body.seen.betas.any() and not body.seen.trans.any()
    assert not np.delete(body.seen.poses, JAW, axis=1).any() and body.seen.poses[:, JAW].any()
    other = "face against captured motion, another's sound, generated"
    own = recordings.clips[0].poses[:, JAW], recordings.clips[1].poses[:, JAW]
    assert rows[other].value > 0.0 and not np.array_equal(*own)
