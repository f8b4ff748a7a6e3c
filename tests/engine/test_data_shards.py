# SPDX-License-Identifier: GPL-3.0-or-later
"""Corpora become shards, killed runs go on, and windows are read back from them."""

from __future__ import annotations

import io
import pickle
import re
import subprocess
import sys
import tracemalloc
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from engine.data.__main__ import main
from engine.data.coding import Coded, Coder, CoderSource
from engine.data.prepare import prepare
from engine.data.readers.base import Caption, EmotionSpan, Item, Record, Word
from engine.data.shard_run import RunOptions
from engine.data.sharded import ShardedWindows
from engine.data.shards import Manifest, ShardWriter, read_summary, shard_path, write_manifest
from engine.errors import AudioError, DataError
from engine.motion.clip import Clip, smplx_expression_names
from engine.motion.features import starter_features
from engine.packs import load_pack
from engine.specs import AUDIO_HZ, PARTS, Part
from engine.tokenizers.audio_tokenizer import HubertTokenizer
from engine.tokenizers.motion_vqvae import Family, MotionVQVAE, MotionVQVAEConfig
from engine.tokenizers.pack_tokenizers import load_pack_tokenizers
from engine.training.recipe import load_recipe
from engine.training.tasks.patterns import Kind
from engine.training.tasks.registry import fitting
from tests.killing import kill_when
from tests.tiny_pack import write_tiny_pack

BODY = (Part.HANDS, Part.UPPER, Part.LOWER)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny") / "pack"
    write_tiny_pack(root)
    return root


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    time_s = np.arange(round(seconds * AUDIO_HZ)) / AUDIO_HZ
    noise = np.random.default_rng(seed).normal(0, 0.1, len(time_s))
    return (noise * np.sin(9 * time_s) ** 2).astype(np.float32)


def motion(frames: int, seed: int = 0) -> Clip:
    clip = Clip.rest(frames, 30)
    poses = clip.poses.copy()
    poses[:, 3:, :] += np.random.default_rng(seed).normal(0, 0.2, (1, 52, 3))
    poses[:, 16, 2] += np.linspace(0, 1, frames)
    return replace(clip, poses=poses)


def speaking(name: str = "a", frames: int = 90, seed: int = 0, split: str = "train") -> Record:
    return Record(
        name, "made", split, "1", motion(frames, seed), PARTS, sound(frames / 30, seed), "one two three",
        (Word("one", 0.1, 0.4), Word("two", 0.5, 1.4), Word("three", 1.6, 2.2)),
        emotion=EmotionSpan("fear", 0.5, 2.5),
    )  # fmt: skip


@dataclass(frozen=True)
class MadeReader:
    """Records made up here; some cannot be read, and one may stop the run."""

    count: int = 10
    bad: tuple[int, ...] = ()
    stop_at: int = -1
    source: str = "made"

    def items(self) -> list[Item]:
        return [Item(f"r{i:03d}", "test" if i % 5 == 4 else "train") for i in range(self.count)]

    def read(self, item: Item) -> Record:
        number = int(item.name[1:])
        if number == self.stop_at:
            raise KeyboardInterrupt
        if number in self.bad:
            raise DataError(f"{item.name}.npz is damaged; copy it again.")
        return speaking(item.name, 60 + 4 * number, number, item.split)


def shard_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# --- codes --------------------------------------------------------------------------------------------


def test_codes_are_those_of_the_packs_tokenizers(pack: Path) -> None:
    coder = CoderSource(pack).load()
    record = speaking(frames=91)
    coded = coder.encode(record)
    assert (coder.step_hz, coder.audio_hz) == (7.5, 15.0)
    tokenizers, _ = load_pack_tokenizers(load_pack(pack))
    assert record.clip is not None
    for part, features in starter_features(record.clip).items():
        assert coded.parts[part].shape == (22, coder.levels[part.value])  # 91 frames hold 22 whole steps
        codes = tokenizers[part].encode(torch.from_numpy(features[:88])[None])
        np.testing.assert_array_equal(coded.parts[part].reshape(-1), codes[0])
    assert coded.audio is not None and coded.audio.shape == (46, 2)
    assert CoderSource(pack).load().fingerprint == coder.fingerprint


def test_parts_that_were_not_captured_have_no_codes(pack: Path) -> None:
    coder = CoderSource(pack).load()
    record = replace(speaking(), parts=(Part.UPPER, Part.LOWER), wave=None)
    coded = coder.encode(record)
    assert set(coded.parts) == {Part.UPPER, Part.LOWER} and coded.audio is None
    # SMPL-X coefficients are not ARKit's: the starter's face tokenizer does not get them.
    assert record.clip is not None
    face = replace(
        record.clip,
        expressions=np.zeros((90, 100)),
        expression_names=smplx_expression_names(100),
        basis="smplx",
    )
    assert set(coder.encode(replace(record, clip=face, parts=PARTS)).parts) == set(BODY)
    with pytest.raises(DataError, match="no whole step"):
        coder.encode(replace(record, parts=()))


def published(part: Part, width: int, layers: int = 3) -> MotionVQVAE:
    torch.manual_seed(width)
    config = MotionVQVAEConfig(Family.DSUS_PAPER, width, width=8, codebook_size=16, num_layers=layers)
    return MotionVQVAE(config, part).eval()


def test_published_layouts_are_told_from_their_widths() -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers (requirements of training)")
    config = transformers.HubertConfig(
        conv_dim=(8,) * 7, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    hubert = HubertTokenizer(transformers.HubertModel(config), torch.randn(20, 16), layer=1)
    widths = {Part.FACE: 106, Part.HANDS: 180, Part.UPPER: 78, Part.LOWER: 61}
    coder = Coder({part: published(part, width) for part, width in widths.items()}, hubert)
    assert (coder.step_hz, coder.audio_hz) == (7.5, 50.0)
    record = speaking()
    assert record.clip is not None
    coded = coder.encode(record)
    assert set(coded.parts) == set(BODY)  # ARKit's face is not SMPL-X's
    assert (
        coded.parts[Part.LOWER].shape == (22, 1) and coded.audio is not None and coded.audio.shape == (149, 1)
    )
    face = replace(
        record.clip,
        expressions=np.random.default_rng(0).normal(size=(90, 100)),
        expression_names=smplx_expression_names(100),
        basis="smplx",
    )
    assert set(coder.encode(replace(record, clip=face)).parts) == set(PARTS)
    other = HubertTokenizer(hubert.model, hubert.centres, layer=0)
    assert Coder(coder.motion, other).fingerprint != coder.fingerprint  # the same weights, other codes
    with pytest.raises(AudioError):
        coder.encode(replace(record, wave=sound(0.02)))
    with pytest.raises(DataError, match="77 columns"):
        Coder({Part.UPPER: published(Part.UPPER, 77)}, hubert)
    with pytest.raises(DataError, match="steps per second"):
        Coder({Part.UPPER: published(Part.UPPER, 78), Part.HANDS: published(Part.HANDS, 180, 2)}, hubert)


def test_tokenizers_can_be_a_runs_checkpoints(tmp_path: Path) -> None:
    from engine.tokenizers.audio_tokenizer import StarterAudioTokenizer, starter_audio_config
    from engine.training.tokenizer_training import build_tokenizer

    recipe = load_recipe("starter")
    for part in recipe.tokenizers.parts:
        torch.save(
            {"model": build_tokenizer(part, recipe).state_dict()}, tmp_path / f"tokenizer-{part.value}.pt"
        )
    audio = StarterAudioTokenizer(starter_audio_config(width=recipe.tokenizers.audio.width))
    torch.save({"model": audio.state_dict()}, tmp_path / "tokenizer-audio.pt")
    coder = CoderSource(tmp_path).load()
    assert coder.levels["lower"] == recipe.tokenizers.parts[Part.LOWER].num_quantizers


def test_missing_tokenizers_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="stage 1"):
        CoderSource(tmp_path).load()
    (tmp_path / "lom_vq.ckpt").write_bytes(b"")
    with pytest.raises(DataError, match="--hubert"):
        CoderSource(tmp_path / "lom_vq.ckpt").load()


# --- prepare ------------------------------------------------------------------------------------------


def test_a_corpus_becomes_shards_and_windows(tmp_path: Path, pack: Path) -> None:
    shown = io.StringIO()
    total = prepare(
        MadeReader(bad=(3, 7)), CoderSource(pack), tmp_path, RunOptions(stream=shown), shard_items=4
    )
    assert total.records == 8 and [problem.item for problem in total.problems] == ["r003", "r007"]
    assert total.motion_s == pytest.approx(total.sound_s, abs=0.1)
    last = shown.getvalue().splitlines()[-1]
    assert "10/10" in last and "3 of 3 shards, 8 records, 2 left out" in last
    windows = ShardedWindows([tmp_path / "made"], window_steps=100, stride_steps=50)
    assert [window.name for window in windows] == [f"made/r{i:03d}" for i in (0, 1, 2, 5, 6, 8)]
    coder = CoderSource(pack).load()
    for window in windows:
        coded = coder.encode(MadeReader().read(Item(window.name[5:], "train")))
        assert set(window.parts) == set(PARTS) and window.audio is not None and coded.audio is not None
        for part, codes in window.parts.items():
            np.testing.assert_array_equal(codes, coded.parts[part])
        np.testing.assert_array_equal(window.audio, coded.audio[: len(window.audio)])
    held = ShardedWindows([tmp_path / "made"], window_steps=100, stride_steps=50, splits=("test",))
    assert [window.name for window in held] == ["made/r004", "made/r009"]


def test_the_bar_counts_items_before_their_shard_is_finished(tmp_path: Path, pack: Path) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    with pytest.raises(KeyboardInterrupt):
        prepare(MadeReader(stop_at=5), CoderSource(pack), tmp_path, RunOptions(stream=shown), shard_items=10)
    assert shown.getvalue().startswith("\rmade:   0%")
    assert re.search(r"\rmade: .* 5/10 .* 0 of 1 shards", shown.getvalue())
    assert shown.getvalue().count("\n") == 1  # one line that changed in place
    log = io.StringIO()
    prepare(MadeReader(4), CoderSource(pack), tmp_path / "log", RunOptions(stream=log), shard_items=4)
    assert "\r" not in log.getvalue()
    assert [line.partition("%")[0] for line in log.getvalue().splitlines()] == ["made:   0", "made: 100"]


def test_a_stopped_run_goes_on_and_ends_as_if_it_had_not(tmp_path: Path, pack: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    prepare(MadeReader(bad=(3,)), CoderSource(pack), whole, shard_items=2)
    with pytest.raises(KeyboardInterrupt):
        prepare(MadeReader(bad=(3,), stop_at=7), CoderSource(pack), stopped, shard_items=2)
    done = sorted((stopped / "made").glob("shard-*"))
    assert len(done) == 3
    (stopped / "made" / "shard-00003.4711.part").write_bytes(b"half a shard")
    times = [path.stat().st_mtime_ns for path in done]
    shown = io.StringIO()
    total = prepare(MadeReader(bad=(3,)), CoderSource(pack), stopped, RunOptions(stream=shown), shard_items=2)
    lines = shown.getvalue().splitlines()
    assert lines[0] == "made: 3 of 5 shards are there already" and "6/10" in lines[1]
    assert [path.stat().st_mtime_ns for path in done] == times
    assert total.records == 9 and [problem.item for problem in total.problems] == ["r003"]
    assert shard_bytes(stopped / "made") == shard_bytes(whole / "made")


@pytest.mark.timeout(600)
def test_a_killed_command_goes_on_over_two_processes(tmp_path: Path, pack: Path, repository: Path) -> None:
    chapter = tmp_path / "speech" / "train-clean" / "1" / "2"
    chapter.mkdir(parents=True)
    names = [f"1-2-{i:04d}" for i in range(240)]
    for i, name in enumerate(names):
        soundfile.write(chapter / f"{name}.flac", sound(1.0, i % 7), AUDIO_HZ)
    (chapter / "1-2.trans.txt").write_text("\n".join(f"{name} WORD {name[-1]}" for name in names[:-1]))
    command = [
        sys.executable, "-m", "engine.data", "prepare", "--source", "librispeech", "--root",
        str(tmp_path / "speech"), "--tokenizers", str(pack), "--processes", "2", "--shard-items", "4",
    ]  # fmt: skip
    folder = tmp_path / "killed" / "librispeech"
    kill_when(
        lambda: bool(list(folder.glob("shard-*.safetensors"))),
        [*command, "--out", str(tmp_path / "killed")],
        repository,
    )
    done = {path.name: path.stat().st_mtime_ns for path in folder.glob("shard-*.safetensors")}
    assert 0 < len(done) < 60
    again = subprocess.run(
        [*command, "--out", str(tmp_path / "killed")],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    bar = again.stderr.splitlines()
    assert bar[0] == f"librispeech: {len(done)} of 60 shards are there already"
    assert f"{4 * len(done)}/240" in bar[1] and "240/240" in bar[-1] and "60 of 60 shards" in bar[-1]
    output = again.stdout.splitlines()
    assert "left out train-clean/1/2/1-2-0239: 1-2.trans.txt has no line for 1-2-0239" in output[-2]
    assert output[-1] == "239 records read, 1 left out"
    for name, made in done.items():
        assert (folder / name).stat().st_mtime_ns == made
    windows = ShardedWindows([folder], window_steps=30, stride_steps=30)
    assert len(windows) == 239
    assert windows[238].transcript == "word 8" and windows[238].parts == {}
    assert {task.kind for task in fitting(windows[0])} == {Kind.AUDIO_TO_TEXT}


def test_other_settings_do_not_mix(tmp_path: Path, pack: Path) -> None:
    prepare(MadeReader(2), CoderSource(pack), tmp_path)
    with pytest.raises(DataError, match=r"items, num_items differ"):
        prepare(MadeReader(3), CoderSource(pack), tmp_path)
    with pytest.raises(DataError, match=r"shard_items differ"):
        prepare(MadeReader(2), CoderSource(pack), tmp_path, shard_items=1)
    write_tiny_pack(tmp_path / "other", seed=1)
    with pytest.raises(DataError, match=r"tokenizers differ"):
        prepare(MadeReader(2), CoderSource(tmp_path / "other"), tmp_path)


def test_corpora_without_or_with_double_items_are_refused(tmp_path: Path, pack: Path) -> None:
    class Double(MadeReader):
        def items(self) -> list[Item]:
            return [*super().items(), Item("r000", "val")]

    with pytest.raises(DataError, match="no items"):
        prepare(MadeReader(0), CoderSource(pack), tmp_path)
    with pytest.raises(DataError, match="twice"):
        prepare(Double(), CoderSource(pack), tmp_path)


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for source, words in (
        ("beat2", "train_test_split.csv is missing"),
        ("amass", "index.csv is missing"),
        ("bvh", "index.csv is missing"),
        ("librispeech", "choose LibriSpeech's folder"),
    ):
        assert (
            main(["prepare", "--source", source, "--root", str(tmp_path), "--out", str(tmp_path / "out")])
            == 1
        )
        assert words in capsys.readouterr().err


# --- windows ------------------------------------------------------------------------------------------


MANIFEST = Manifest(
    source="made", tokenizers="f00", step_hz=7.5, audio_hz=15.0, items="0", num_items=1, shard_items=1,
    levels={part.value: 1 for part in PARTS} | {"audio": 2},
)  # fmt: skip


def write_records(folder: Path, records: list[tuple[Record, Coded]], manifest: Manifest = MANIFEST) -> None:
    """One shard of records with codes given here."""
    write_manifest(folder, manifest)
    writer = ShardWriter(manifest)
    for record, coded in records:
        writer.add(record, coded)
    writer.write(shard_path(folder, 0), [])


def counted(steps: int, parts: tuple[Part, ...] = PARTS, audio: bool = True) -> Coded:
    """Codes that tell their step."""
    heard = np.repeat(np.arange(2 * steps)[:, None] % 1000, 2, 1) if audio else None
    return Coded({part: np.arange(steps)[:, None] % 1000 for part in parts}, heard)


def test_windows_cover_a_record_to_its_end(tmp_path: Path) -> None:
    write_records(tmp_path / "made", [(speaking(), counted(22)), (speaking("short"), counted(5))])
    windows = ShardedWindows([tmp_path / "made"], window_steps=10, stride_steps=5)
    starts = [int(window.parts[Part.UPPER][0, 0]) for window in windows]
    assert starts == [0, 5, 10, 12, 0]
    assert [window.num_steps for window in windows] == [10, 10, 10, 10, 5]
    for window in windows:
        assert window.audio is not None
        first = window.parts[Part.FACE][0, 0]
        np.testing.assert_array_equal(
            window.audio[:, 0], np.arange(2 * first, 2 * (first + window.num_steps))
        )
        assert window.start_s == pytest.approx(first / 7.5)
        assert window.duration_s == pytest.approx(window.num_steps / 7.5)
    assert len(ShardedWindows([tmp_path / "made"], window_steps=10, stride_steps=5, min_steps=6)) == 4
    with pytest.raises(IndexError):
        windows[5]


def test_words_and_emotion_hold_inside_a_window_only(tmp_path: Path) -> None:
    write_records(tmp_path / "made", [(speaking(), counted(22))])
    windows = ShardedWindows([tmp_path / "made"], window_steps=11, stride_steps=4)  # 1.47 s
    assert [(w.start_s, w.transcript, w.emotion) for w in windows] == [
        (pytest.approx(0.0), "one two", None),
        (pytest.approx(4 / 7.5), "", "fear"),
        (pytest.approx(8 / 7.5), "three", None),
        (pytest.approx(11 / 7.5), "three", None),
    ]


def test_transcripts_without_times_hold_for_whole_records(tmp_path: Path) -> None:
    record = replace(speaking(), words=(), clip=None, parts=())
    write_records(tmp_path / "made", [(record, counted(22, ()))])
    (whole,) = ShardedWindows([tmp_path / "made"], window_steps=22, stride_steps=22)
    assert whole.transcript == "one two three" and whole.num_steps == 0
    assert whole.audio is not None and len(whole.audio) == 44
    cut = ShardedWindows([tmp_path / "made"], window_steps=20, stride_steps=20)
    assert [window.transcript for window in cut] == ["", ""]


def test_captions_of_a_stretch_get_windows_of_their_own(tmp_path: Path) -> None:
    record = replace(
        speaking(), wave=None, transcript="", words=(), emotion=None,
        captions=(Caption("he walks"), Caption("he sits", 2.0, 2.8), Caption("he rests", 2.0, 2.8)),
    )  # fmt: skip
    write_records(tmp_path / "made", [(record, counted(30, (Part.UPPER, Part.LOWER), audio=False))])
    windows = list(ShardedWindows([tmp_path / "made"], window_steps=30, stride_steps=30))
    assert [(w.num_steps, w.captions) for w in windows] == [
        (30, ("he walks",)),  # sitting is less than half of it
        (6, ("he walks", "he sits", "he rests")),
    ]
    assert windows[1].parts[Part.LOWER][0, 0] == 15
    assert windows[1].described == (Part.UPPER, Part.LOWER) and windows[1].audio is None


def test_a_million_windows_cost_little_memory(tmp_path: Path) -> None:
    steps = 250_000
    write_records(tmp_path / "made", [(speaking(str(i)), counted(steps)) for i in range(4)])
    size = shard_path(tmp_path / "made", 0).stat().st_size
    assert size > 15e6
    tracemalloc.start()
    windows = ShardedWindows([tmp_path / "made"], window_steps=16, stride_steps=1)
    assert len(windows) == 4 * (steps - 15) > 999_000
    for index in range(0, len(windows), 50_021):
        window = windows[index]
        assert window.parts[Part.HANDS][0, 0] == index % (steps - 15) % 1000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


def test_corpora_are_read_as_one_and_in_other_processes(tmp_path: Path) -> None:
    write_records(tmp_path / "one", [(speaking("a"), counted(10))])
    write_records(tmp_path / "two", [(speaking("b"), counted(10)), (speaking("c", split="val"), counted(10))])
    folders = [tmp_path / "one", tmp_path / "two"]
    windows = ShardedWindows(folders, window_steps=10, stride_steps=10)
    assert [window.name for window in windows] == ["made/a", "made/b"]
    again = pickle.loads(pickle.dumps(windows))
    assert [window.name for window in again] == ["made/a", "made/b"]
    write_records(tmp_path / "three", [(speaking(), counted(10))], replace(MANIFEST, tokenizers="ba5"))
    with pytest.raises(DataError, match="three was prepared with other tokenizers than one"):
        ShardedWindows([*folders, tmp_path / "three"], window_steps=10, stride_steps=10)


def test_unfinished_and_damaged_folders_say_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="prepare first"):
        ShardedWindows([tmp_path / "none"], window_steps=10, stride_steps=10)
    write_records(tmp_path / "made", [(speaking(), counted(10))], replace(MANIFEST, num_items=2))
    with pytest.raises(DataError, match=r"shard-00001\.safetensors is missing"):
        ShardedWindows([tmp_path / "made"], window_steps=10, stride_steps=10)
    path = shard_path(tmp_path / "made", 0)
    path.write_bytes(path.read_bytes()[:50])
    for read in (
        lambda: read_summary(path),
        lambda: ShardedWindows([tmp_path / "made"], window_steps=1, stride_steps=1),
    ):
        with pytest.raises(DataError, match=r"shard-00000\.safetensors is damaged"):
            read()
    (tmp_path / "made" / "manifest.json").write_text("{}")
    with pytest.raises(DataError, match=r"manifest\.json is damaged"):
        ShardedWindows([tmp_path / "made"], window_steps=10, stride_steps=10)
    with pytest.raises(DataError, match="at least one step"):
        ShardedWindows([], window_steps=0, stride_steps=1)
