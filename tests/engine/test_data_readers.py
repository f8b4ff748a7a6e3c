# SPDX-License-Identifier: GPL-3.0-or-later
"""Corpus readers, each on a miniature written here in exactly the layout of the corpus."""

from __future__ import annotations

import contextlib
import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine.data.readers.amass import AmassReader, read_captions, take_frames
from engine.data.readers.base import Item, Problem, Reader, Record, describe_problems, read_records, read_text
from engine.data.readers.beat2 import Beat2Reader, read_emotion
from engine.data.readers.bvh_folder import BvhFolderReader
from engine.data.readers.librispeech import HELD_OUT_SPEAKERS, LibriSpeechReader
from engine.data.readers.textgrid import read_words
from engine.data.splits import HELD_OUT_CLIPS
from engine.errors import ClipError, DataError, EngineError
from engine.motion.bvh import parse_bvh
from engine.motion.clip_io import SMPLX_PELVIS_REST
from engine.motion.rotations import axis_angle_to_matrix, heading_angle
from engine.motion.skeleton import JOINT_NAMES, MIRROR
from engine.specs import AUDIO_HZ, PARTS, Part
from tests.miniature_bvh import miniature

LONG_GRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2.0
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 2.0
        intervals: size = 4
        intervals [1]:
            xmin = 0
            xmax = 0.25
            text = ""
        intervals [2]:
            xmin = 0.25
            xmax = 0.8
            text = "say"
        intervals [3]:
            xmin = 0.8
            xmax = 1.5
            text = "7 ""times"" item [2]"
        intervals [4]:
            xmin = 1.5
            xmax = 2.0
            text = "sp"
    item [2]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 2.0
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 2.0
            text = "AH0"
"""

SHORT_GRID = """File type = "ooTextFile"
Object class = "TextGrid"

0
2.0
<exists>
2
"TextTier"
"beats"
0
2.0
1
0.5
"now"
"IntervalTier"
"words"
0
2.0
1
0.5
1e0
"word"
"""


def speech(seconds: float) -> np.ndarray:
    time = np.arange(round(seconds * AUDIO_HZ)) / AUDIO_HZ
    return (0.3 * np.sin(2 * np.pi * 180 * time) * (1 + np.sin(2 * np.pi * 4 * time)) / 2).astype(np.float32)


def read_all(reader: Reader) -> tuple[dict[str, Record], list[Problem]]:
    problems: list[Problem] = []
    return {record.name: record for record in read_records(reader, problems)}, problems


# --- words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_long_textgrids_give_the_first_tiers_words(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_bytes(LONG_GRID.encode(encoding))
    words = read_words(path)
    assert [(w.text, w.start_s, w.end_s) for w in words] == [
        ("say", 0.25, 0.8),
        ('7 "times" item [2]', 0.8, 1.5),
    ]


def test_short_textgrids_and_point_tiers(tmp_path: Path) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_text(SHORT_GRID)
    assert [(w.text, w.start_s, w.end_s) for w in read_words(path)] == [("word", 0.5, 1.0)]


@pytest.mark.parametrize(
    "text", ["", "hello", LONG_GRID[:380], LONG_GRID.replace("xmax = 0.8", "xmax = 0.1"), SHORT_GRID[:70]]
)
def test_damaged_textgrids_name_themselves(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cut.TextGrid"
    path.write_text(text)
    with pytest.raises(DataError, match=r"cut\.TextGrid"):
        read_words(path)


# --- BEAT2 ------------------------------------------------------------------------------------------


def write_beat2(root: Path, names: Sequence[tuple[str, str]], frames: int = 60) -> None:
    for folder in ("smplxflame_30", "wave16k", "textgrid", "emotion_label"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    lines = ["id,type"]
    for name, split in names:
        lines.append(f"{name},{split}")
        poses = np.zeros((frames, 165), np.float32)
        poses[:, 3 * 16 + 2] = np.linspace(0, 1, frames)  # left shoulder
        trans = np.zeros((frames, 3), np.float32)
        trans[:, 1] = 1.3
        np.savez(
            root / "smplxflame_30" / f"{name}.npz",
            poses=poses,
            trans=trans,
            betas=np.zeros(300, np.float32),
            expressions=np.full((frames, 100), 0.5, np.float32),
            model="smplx2020",
            gender="neutral",
            mocap_frame_rate=30,
        )
        soundfile.write(root / "wave16k" / f"{name}.wav", speech(frames / 30 + 0.3), AUDIO_HZ)
        (root / "textgrid" / f"{name}.TextGrid").write_text(LONG_GRID)
        (root / "emotion_label" / f"{name}.csv").write_text("0_happiness,start_0.5,stop_1.75\n1,2,3\n")
    (root / "train_test_split.csv").write_text("\n".join(lines) + "\n")


def test_beat2_gives_motion_speech_words_and_emotion(tmp_path: Path) -> None:
    write_beat2(tmp_path, [("2_scott_0_1_1", "test"), ("10_kieks_0_9_9", "additional")])
    records, problems = read_all(Beat2Reader(tmp_path))
    assert not problems
    assert [(r.name, r.split, r.speaker) for r in records.values()] == [
        ("2_scott_0_1_1", "test", "2"),
        ("10_kieks_0_9_9", "additional", "10"),
    ]
    record = records["2_scott_0_1_1"]
    assert record.clip is not None and record.wave is not None and record.emotion is not None
    assert record.clip.num_frames == 60 and record.clip.basis == "smplx"
    assert record.clip.expressions.shape == (60, 100)
    assert record.clip.poses[-1, JOINT_NAMES.index("left_shoulder"), 2] == pytest.approx(1)
    assert len(record.wave) == 2 * AUDIO_HZ  # the sound's 0.3 s behind the motion are gone
    assert record.parts == PARTS
    assert record.transcript == 'say 7 "times" item [2]'
    assert (record.emotion.label, record.emotion.start_s, record.emotion.end_s) == ("happiness", 0.5, 1.75)


def test_beat2_can_be_one_speakers(tmp_path: Path) -> None:
    write_beat2(tmp_path, [("2_scott_0_1_1", "train"), ("20_li_0_1_1", "train")])
    assert [item.name for item in Beat2Reader(tmp_path, {2}).items()] == ["2_scott_0_1_1"]


def test_beat2_lives_without_words_and_emotion(tmp_path: Path) -> None:
    write_beat2(tmp_path, [("2_scott_0_1_1", "train")])
    (tmp_path / "textgrid" / "2_scott_0_1_1.TextGrid").unlink()
    (tmp_path / "emotion_label" / "2_scott_0_1_1.csv").unlink()
    records, problems = read_all(Beat2Reader(tmp_path))
    assert not problems
    assert records["2_scott_0_1_1"].words == () and records["2_scott_0_1_1"].emotion is None


def test_wrong_files_of_beat2_name_themselves_and_the_rest_go_on(tmp_path: Path) -> None:
    names = [(f"{n}_a_0_1_1", "train") for n in range(1, 10)]
    write_beat2(tmp_path, names)
    (tmp_path / "smplxflame_30" / "1_a_0_1_1.npz").unlink()
    motion = tmp_path / "smplxflame_30" / "2_a_0_1_1.npz"
    motion.write_bytes(motion.read_bytes()[:900])
    (tmp_path / "wave16k" / "3_a_0_1_1.wav").unlink()
    soundfile.write(tmp_path / "wave16k" / "4_a_0_1_1.wav", speech(0.7), AUDIO_HZ)
    (tmp_path / "textgrid" / "5_a_0_1_1.TextGrid").write_text(LONG_GRID[:300])
    (tmp_path / "emotion_label" / "6_a_0_1_1.csv").write_text("0_joy,0,2\n")
    (tmp_path / "emotion_label" / "7_a_0_1_1.csv").write_text("happiness\n")
    sound = tmp_path / "wave16k" / "8_a_0_1_1.wav"
    sound.write_bytes(sound.read_bytes()[: sound.stat().st_size * 7 // 10])
    records, problems = read_all(Beat2Reader(tmp_path))
    assert list(records) == ["9_a_0_1_1"]
    for problem, words in zip(
        problems,
        [
            "1_a_0_1_1.npz", "2_a_0_1_1.npz", "3_a_0_1_1.wav", "partial", "TextGrid", "'joy'", "no times",
            "8_a_0_1_1.wav' is cut short (it holds 69 % of its sound)",
        ],
        strict=True,
    ):  # fmt: skip
        assert words in problem.reason
        assert problem.item.split("_")[0] in problem.reason
    assert describe_problems(1, problems)[-1] == "1 records read, 8 left out"
    assert len(describe_problems(0, problems * 10)) == 22


def test_unknown_emotions_are_none(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("0_unknown,0,2\n")
    assert read_emotion(tmp_path / "e.csv") is None


@pytest.mark.parametrize(
    ("table", "words"), [("", "no rows"), ("id\n2_a\n", "type"), ("id,type\n2_a,dev\n", "dev")]
)
def test_a_wrong_split_table_stops_at_once(tmp_path: Path, table: str, words: str) -> None:
    (tmp_path / "train_test_split.csv").write_text(table)
    with pytest.raises(DataError, match=words):
        Beat2Reader(tmp_path).items()
    with pytest.raises(DataError, match=r"train_test_split\.csv"):
        Beat2Reader(tmp_path / "elsewhere").items()


# --- AMASS ------------------------------------------------------------------------------------------


def write_take(
    path: Path, frames: int, fps: float, *, heading: float = 0.0, fingers: float = 0.0, lift: float = 0.0
) -> None:
    """A take as AMASS has it: Z up. The figure walks 1 m/s the way it faces and lifts its left arm slowly."""
    path.parent.mkdir(parents=True, exist_ok=True)
    turn_z = np.array(
        [[np.cos(heading), -np.sin(heading), 0], [np.sin(heading), np.cos(heading), 0], [0, 0, 1]]
    )
    upright = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])  # Y up to Z up: +Z, our front, becomes -Y
    from scipy.spatial.transform import Rotation

    time = np.arange(frames) / fps
    poses = np.zeros((frames, 165))
    poses[:, :3] = Rotation.from_matrix(turn_z @ upright).as_rotvec()
    poses[:, 3 * 16 + 2] = 0.1 * time
    poses[:, 3 * 25 + 2] = fingers * np.sin(2 * np.pi * time)
    pelvis = np.array([2.0, -3.0, 0.95 + lift]) + time[:, None] * (turn_z @ [0, -1, 0])
    np.savez(
        path,
        poses=poses,
        trans=pelvis - np.array(SMPLX_PELVIS_REST),
        betas=np.zeros(16),
        num_betas=16,
        gender="neutral",
        surface_model_type="smplx",
        mocap_frame_rate=fps,
    )


def write_amass(root: Path, rows: Sequence[str], names: Sequence[str], split: str = "train") -> None:
    (root / "texts").mkdir(parents=True, exist_ok=True)
    (root / "index.csv").write_text("\n".join(["source_path,start_frame,end_frame,new_name", *rows]) + "\n")
    (root / f"{split}.txt").write_text("\n".join(names) + "\n")
    for name in names:
        (root / "texts" / f"{name}.txt").write_text(
            "a person walks.#a/DET person/NOUN walk/VERB#0.0#0.0\nhe lifts an arm#he/PRON#0.5#1.5\n"
        )


def arm(record: Record) -> np.ndarray:
    assert record.clip is not None
    return record.clip.poses[:, JOINT_NAMES.index("left_shoulder"), 2]


@pytest.mark.parametrize(("fps", "step"), [(120.0, 6), (100.0, 5), (60.0, 3), (250.0, 12)])
def test_amass_frames_follow_humanml3ds_index(tmp_path: Path, fps: float, step: int) -> None:
    write_take(tmp_path / "KIT" / "3" / "walk01_stageii.npz", round(6 * fps), fps, heading=0.7)
    write_amass(tmp_path, ["./pose_data/KIT/3/walk01_poses.npy,20,80,000001.npy"], ["000001"])
    records, problems = read_all(AmassReader(tmp_path))
    assert not problems
    record = records["000001"]
    assert record.clip is not None and record.clip.fps == 30
    # Index frame 20 is the take's frame 20 * step; the arm tells the time.
    np.testing.assert_allclose(arm(record)[0], 0.1 * 20 * step / fps, atol=1e-4)
    np.testing.assert_allclose(np.diff(arm(record)), 0.1 / 30, atol=1e-5)
    assert record.clip.num_frames == pytest.approx(60 * step * 30 / fps, abs=1)
    assert record.parts == (Part.UPPER, Part.LOWER)
    assert [(c.text, c.start_s, c.end_s) for c in record.captions] == [
        ("a person walks.", 0.0, None),
        ("he lifts an arm", 0.5, 1.5),
    ]


def test_amass_is_turned_upright_and_forward(tmp_path: Path) -> None:
    write_take(tmp_path / "KIT" / "3" / "walk01_stageii.npz", 360, 120, heading=0.7)
    write_amass(tmp_path, ["./pose_data/KIT/3/walk01_poses.npy,0,60,000001.npy"], ["000001"])
    (record,) = read_all(AmassReader(tmp_path))[0].values()
    assert record.clip is not None
    np.testing.assert_allclose(heading_angle(axis_angle_to_matrix(record.clip.poses[:, 0])), 0, atol=1e-4)
    places = record.clip.pelvis_positions
    np.testing.assert_allclose(places[0], [0, 0.95, 0], atol=1e-4)
    np.testing.assert_allclose(places[-1], [0, 0.95, (len(places) - 1) / 30], atol=1e-3)


def test_the_mirror_of_a_clip_swaps_sides_and_keeps_its_way(tmp_path: Path) -> None:
    write_take(tmp_path / "KIT" / "3" / "walk01_stageii.npz", 360, 120, heading=-0.4)
    write_amass(tmp_path, ["./pose_data/KIT/3/walk01_poses.npy,0,60,000001.npy"], ["000001", "M000001"])
    records, problems = read_all(AmassReader(tmp_path))
    assert not problems
    one, other = records["000001"].clip, records["M000001"].clip
    assert one is not None and other is not None
    np.testing.assert_allclose(other.poses, one.poses[:, list(MIRROR)] * [1, -1, -1], atol=1e-5)
    np.testing.assert_allclose(other.pelvis_positions, one.pelvis_positions * [-1, 1, 1], atol=1e-4)
    assert other.poses[-1, JOINT_NAMES.index("right_shoulder"), 2] < -0.1


def test_heads_are_cut_and_low_datasets_lifted(tmp_path: Path) -> None:
    write_take(tmp_path / "amass" / "HDM05" / "bd" / "HDM_bd_01_stageii.npz", 1200, 120)
    write_take(tmp_path / "DFaust" / "50002" / "one_leg_stageii.npz", 180, 60, lift=-0.62, fingers=0.4)
    rows = [
        "./pose_data/MPI_HDM05/bd/HDM_bd_01_poses.npy,10,50,000001.npy",
        "./pose_data/DFaust_67/50002/one leg_poses.npy,0,-1,000002.npy",
    ]
    write_amass(tmp_path, rows, ["000001", "000002"])
    records, problems = read_all(AmassReader(tmp_path))
    assert not problems
    np.testing.assert_allclose(arm(records["000001"])[0], 0.1 * 3.5, atol=1e-4)
    dfaust = records["000002"]
    assert dfaust.clip is not None
    np.testing.assert_allclose(dfaust.clip.pelvis_positions[:, 1], 0.95, atol=1e-4)
    assert dfaust.parts == (Part.HANDS, Part.UPPER, Part.LOWER)
    # -1 leaves out the last of 60 index frames: 59 of them, 3 takes' frames each.
    assert dfaust.clip.num_frames == 89


def test_index_arithmetic() -> None:
    assert take_frames(1200, 120, 0, 200, 0.0) == (0, 1200)
    assert take_frames(1200, 100, 10, 50, 3.0) == (350, 550)
    assert take_frames(1199, 120, 0, -1, 0.0) == (0, 1194)
    assert take_frames(100, 120, 5, 500, 0.0) == (30, 100)
    assert take_frames(40, 10, 1, 3, 0.0) == (1, 3)  # slower than the index: every frame counts


def test_processed_amass_is_taken_as_it_is(tmp_path: Path) -> None:
    write_amass(tmp_path, [], ["000001", "M000001", "000002"], split="test")
    folder = tmp_path / "amass_data_align"
    folder.mkdir()
    trans = np.tile([0.0, 1.3, 0.0], (45, 1))
    poses = np.zeros((45, 165))
    poses[:, 3 * 16 + 2] = 0.5
    arrays = {"betas": np.zeros(16), "expressions": np.zeros((45, 10)), "mocap_frame_rate": 30}
    np.savez(folder / "000001.npz", poses=poses, trans=trans, **arrays)
    records, problems = read_all(AmassReader(tmp_path))
    assert [(r.name, r.split) for r in records.values()] == [("000001", "test"), ("M000001", "test")]
    np.testing.assert_allclose(arm(records["000001"]), 0.5, atol=1e-5)
    mirrored = records["M000001"].clip
    assert mirrored is not None and mirrored.num_frames == 45
    np.testing.assert_allclose(mirrored.poses[:, JOINT_NAMES.index("right_shoulder"), 2], -0.5, atol=1e-5)
    assert Part.FACE not in records["000001"].parts  # its coefficients are zeros, not captured
    assert [problem.item for problem in problems] == ["000002"]


def test_wrong_files_of_amass_name_themselves_and_the_rest_go_on(tmp_path: Path) -> None:
    write_take(tmp_path / "KIT" / "3" / "walk01_stageii.npz", 240, 120)
    rows = [
        "./pose_data/KIT/3/walk01_poses.npy,0,20,000001.npy",
        "./pose_data/KIT/3/walk01_poses.npy,400,500,000002.npy",
        "./pose_data/KIT/9/lost_poses.npy,0,20,000003.npy",
        "./pose_data/humanact12/humanact12/P01.npy,0,20,000004.npy",
        "./pose_data/KIT/3/walk01_poses.npy,0,x,000006.npy",
        "./pose_data/KIT/3/walk01_poses.npy,0,20,000007.npy",
        "./pose_data/KIT/3/walk01_poses.npy,0,20,000008.npy",
    ]
    write_amass(tmp_path, rows, [f"{n:06d}" for n in range(1, 9)])
    (tmp_path / "texts" / "000007.txt").write_text("a person walks\n")
    (tmp_path / "texts" / "000008.txt").unlink()
    records, problems = read_all(AmassReader(tmp_path))
    assert list(records) == ["000001"]
    reasons = {problem.item: problem.reason for problem in problems}
    for item, words in {
        "000002": "walk01_stageii.npz ends",
        "000003": "KIT/9",
        "000004": "HumanAct12",
        "000005": "no row for 000005",
        "000006": "000006",
        "000007": "000007.txt has no",
        "000008": "000008.txt is missing",
    }.items():
        assert words in reasons[item]


def test_lists_of_humanml3d_are_needed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"index\.csv is missing"):
        AmassReader(tmp_path).items()
    (tmp_path / "amass_data_align").mkdir()
    with pytest.raises(DataError, match=r"train\.txt"):
        AmassReader(tmp_path).items()


def test_times_that_are_no_numbers_mean_the_whole_clip(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("walks#walk/VERB#nan#nan\n\n")
    assert [(c.start_s, c.end_s) for c in read_captions(tmp_path / "t.txt")] == [(0.0, None)]


# --- LibriSpeech --------------------------------------------------------------------------------------


def write_chapter(root: Path, folder: str, lines: Sequence[str], sounds: Sequence[str]) -> Path:
    speaker, chapter = (lines[0] if lines else sounds[0]).split("-")[:2]
    place = root / folder / speaker / chapter
    place.mkdir(parents=True)
    (place / f"{speaker}-{chapter}.trans.txt").write_text("\n".join(lines) + "\n")
    for name in sounds:
        soundfile.write(place / f"{name}.flac", speech(0.8), AUDIO_HZ)
    return place


def test_librispeech_gives_sound_and_transcript(tmp_path: Path) -> None:
    held = sorted(HELD_OUT_SPEAKERS)[0]
    place = write_chapter(
        tmp_path, "train-clean-100", ["19-198-0000 NORTHANGER ABBEY", "19-198-0001 THIS LITTLE WORK"],
        ["19-198-0000", "19-198-0001"],
    )  # fmt: skip
    write_chapter(tmp_path, "train-clean-360", [f"{held}-1-0000 A WORD"], [f"{held}-1-0000"])
    write_chapter(tmp_path, "dev-clean", ["84-121-0000 GO"], ["84-121-0000"])
    (place / "19-198-0001.TextGrid").write_text(LONG_GRID)
    records, problems = read_all(LibriSpeechReader(tmp_path))
    assert not problems
    splits = {record.name: record.split for record in records.values()}
    assert splits == {
        "dev-clean/84/121/84-121-0000": "val",
        "train-clean-100/19/198/19-198-0000": "train",
        "train-clean-100/19/198/19-198-0001": "train",
        f"train-clean-360/{held}/1/{held}-1-0000": "test",
    }
    record = records["train-clean-100/19/198/19-198-0000"]
    assert record.transcript == "northanger abbey" and record.speaker == "19" and record.words == ()
    assert record.wave is not None and len(record.wave) == round(0.8 * AUDIO_HZ)
    assert record.clip is None and record.parts == () and record.duration_s == pytest.approx(0.8)
    assert records["train-clean-100/19/198/19-198-0001"].words[0].text == "say"


def test_wrong_files_of_librispeech_name_themselves_and_the_rest_go_on(tmp_path: Path) -> None:
    place = write_chapter(
        tmp_path, "test-clean", ["61-70-0000 ONE", "61-70-0001"], [f"61-70-000{i}" for i in range(3)]
    )
    write_chapter(tmp_path, "test-other", ["7-8-0000 SEVEN"], ["7-8-0000"])
    (tmp_path / "test-other" / "7" / "8" / "7-8.trans.txt").unlink()
    (place / "61-70-0003.flac").write_bytes(b"fLaC and no more")
    records, problems = read_all(LibriSpeechReader(tmp_path))
    assert [record.transcript for record in records.values()] == ["one"]
    assert len(problems) == 4
    for problem, words in zip(
        problems, ["61-70-0001", "61-70-0002", "61-70-0003", "7-8.trans.txt"], strict=True
    ):
        assert words in problem.reason


def test_a_folder_that_is_not_librispeech_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="LibriSpeech"):
        LibriSpeechReader(tmp_path).items()
    write_chapter(tmp_path, "mine", ["1-2-0000 A"], ["1-2-0000"])
    with pytest.raises(DataError, match="mine"):
        LibriSpeechReader(tmp_path).items()


# --- BVH ----------------------------------------------------------------------------------------------


def write_bvh_folder(root: Path, table: str) -> None:
    (root / "franc").mkdir(parents=True)
    for name in ("one", "two"):
        (root / "franc" / f"{name}.bvh").write_text(miniature({"LeftArm": (40, 0, 0)}, 1.3))
    (root / "index.csv").write_text(table)


def test_bvh_folders_give_described_motion(tmp_path: Path) -> None:
    write_bvh_folder(
        tmp_path,
        "file,trial,description,split\n"
        'franc/one.bvh,99_01,"walk, arm raised",val\n'
        f"franc/two.bvh,{HELD_OUT_CLIPS[0]},walk,train\n",
    )
    records, problems = read_all(BvhFolderReader(tmp_path))
    assert not problems
    one = records["franc/one.bvh"]
    assert one.clip is not None and one.clip.fps == 30 and one.clip.num_frames == 39
    assert one.parts == (Part.UPPER, Part.LOWER)
    assert [caption.text for caption in one.captions] == ["walk, arm raised"]
    assert (one.split, one.speaker) == ("val", "99")
    assert records["franc/two.bvh"].split == "test"  # whatever the table says
    way = one.clip.trans[-1] - one.clip.trans[0]
    assert way[2] > 0.5 and abs(way[0]) < 0.05


def test_other_rates_come_to_30_fps(tmp_path: Path) -> None:
    write_bvh_folder(tmp_path, "file,description\nfranc/one.bvh,walk\n")
    fast = miniature({}, 0.3, frames=121).replace("0.0333333", "0.0083333")
    (tmp_path / "franc" / "one.bvh").write_text(fast)
    records, problems = read_all(BvhFolderReader(tmp_path))
    assert not problems
    clip = records["franc/one.bvh"].clip
    assert clip is not None and clip.fps == 30 and clip.num_frames == 30


def test_wrong_bvh_files_name_themselves_and_the_rest_go_on(tmp_path: Path) -> None:
    write_bvh_folder(
        tmp_path,
        "file,description,trial\nfranc/one.bvh,walk,\nfranc/lost.bvh,walk,\nfranc/cut.bvh,walk,\n"
        "franc/two.bvh,climb,01_14\nfranc/odd.bvh,walk,\n",
    )
    whole = miniature({})
    (tmp_path / "franc" / "cut.bvh").write_text(whole[:-300])
    (tmp_path / "franc" / "odd.bvh").write_text(whole.replace("LeftArm", "Antenna"))
    records, problems = read_all(BvhFolderReader(tmp_path))
    assert list(records) == ["franc/one.bvh"]
    assert [problem.item for problem in problems] == [
        "franc/lost.bvh", "franc/cut.bvh", "franc/two.bvh", "franc/odd.bvh",
    ]  # fmt: skip
    for problem, words in zip(problems, ["lost.bvh", "BVH", "01_14|two", "LeftArm"], strict=True):
        assert any(word in problem.reason for word in words.split("|"))


def test_real_captures_can_be_read(tmp_path: Path, shared_dir: Path) -> None:
    archive = shared_dir / "data" / "cmu-mocap-30fps.zip"
    if not archive.is_file():
        pytest.skip("needs the captured clips (data/cmu-mocap-30fps.zip in the shared folder)")
    with zipfile.ZipFile(archive) as files:
        index = next(name for name in files.namelist() if name.endswith("index.csv"))
        folder = index.removesuffix("index.csv")
        head, *rows = files.read(index).decode().splitlines()
        kept = [row for row in rows if "35_01" in row or "02_01" in row]
        (tmp_path / "index.csv").write_text("\n".join([head, *kept]) + "\n")
        for row in kept:
            name = row.split(",")[0]
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(files.read(folder + name))
    records, problems = read_all(BvhFolderReader(tmp_path))
    assert not problems and len(records) == len(kept) >= 2
    for record in records.values():
        assert record.clip is not None and 0.8 < float(np.median(record.clip.pelvis_positions[:, 1])) < 1.05
        assert record.captions[0].text == "walk"


# --- all ----------------------------------------------------------------------------------------------


def test_cut_files_are_never_taken_for_bugs(tmp_path: Path) -> None:
    """Whatever place a copy broke off at, the reader says so or reads what is whole."""
    path, text = tmp_path / "cut", miniature({}, frames=2)
    for parse, whole in ((lambda: parse_bvh(read_text(path)), text), (lambda: read_words(path), LONG_GRID)):
        for end in range(0, len(whole) - 1, 5):
            path.write_text(whole[:end])
            with contextlib.suppress(EngineError):
                parse()
        path.write_text(whole)
        parse()
    for wrong in ("3 Zrotation", "three", "3 Zrotation Yrotation Wrotation"):
        with pytest.raises(ClipError, match="hierarchy"):
            parse_bvh(text.replace("3 Zrotation Yrotation Xrotation", wrong, 1))


def test_readers_go_to_other_processes(tmp_path: Path) -> None:
    for reader in (
        Beat2Reader(tmp_path),
        AmassReader(tmp_path),
        LibriSpeechReader(tmp_path),
        BvhFolderReader(tmp_path),
    ):
        assert pickle.loads(pickle.dumps(reader)) == reader


def test_bugs_are_not_taken_for_bad_files() -> None:
    class Broken:
        source = "broken"

        def items(self) -> list[Item]:
            return [Item("a", "train")]

        def read(self, item: Item) -> Record:
            raise ZeroDivisionError(item.name)

    with pytest.raises(ZeroDivisionError):
        list(read_records(Broken(), []))
