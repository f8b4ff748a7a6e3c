# SPDX-License-Identifier: GPL-3.0-or-later
"""The experiments in miniature: data as codes, runs in order, what is measured and how it is reported."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.data.sentences import SENTENCES
from engine.errors import DataError, EngineError
from engine.packs import rewrite_pack
from engine.specs import PARTS, Part
from engine.training.corpora import MotionSequence
from engine.training.experiments import coded
from engine.training.experiments.coded import Coded, CodedWindows, read, write
from engine.training.experiments.queue import RESULTS, Budget, read_results, run_all
from engine.training.experiments.report import BEGIN, END, MOTION, Results, interval, write_report
from engine.training.experiments.runs import (
    COUNTS,
    LONGER,
    NONE,
    WITHOUT,
    Bench,
    Run,
    Settings,
    chosen,
    plan,
    run_recipe,
    train_run,
)
from engine.training.stage_recipe import STAGES
from tests.stage_material import LEVELS
from tests.tiny_pack import write_tiny_pack

SIZES = {part.value: (levels, 16) for part, levels in LEVELS.items()} | {"audio": (2, 16)}


def sequences() -> list[Coded]:
    random = np.random.default_rng(0)

    def codes(steps: int, levels: int) -> np.ndarray:
        return random.integers(0, 16, (steps, levels))

    found: list[Coded] = []
    for number in range(16):
        split, steps = ("held" if number % 4 == 3 else "train"), 12 + number
        legs = {part: codes(steps, LEVELS[part]) for part in (Part.UPPER, Part.LOWER)}
        weight = 0.0 if split == "held" else 0.1
        found.append(Coded(f"walk {number}", split, weight, legs, None, ("walk forward", "jump"), None, ""))
        parts = {part: codes(steps, LEVELS[part]) for part in PARTS}
        emotion = ("fear", "anger")[number % 2]
        sound = codes(2 * steps, 2)
        found.append(Coded(f"talk {number}", split, 1.0, parts, sound, (), emotion, "stand still"))
    return found


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Tiny data, a tiny pack, and the small recipe with hardly any steps."""
    write(sequences(), SIZES, tmp_path / "coded.npz")
    plain = write_tiny_pack(tmp_path / "plain")
    encoder = {**plain.table("text_encoder"), "marked": "forward; jump"}  # as the starter marks "left; right"
    pack = rewrite_pack(plain, tmp_path / "pack", {"text_encoder": encoder}, {})
    for stage in ("pretraining", "tuning"):
        text = (STAGES / "experiments-cpu" / f"{stage}.toml").read_text("utf-8").splitlines()
        short = ["max_steps = 3" if line.startswith("max_steps") else line for line in text]
        short = ["batch = 4" if line.startswith("batch") else line for line in short]
        (tmp_path / f"{stage}.toml").write_text("\n".join(short), "utf-8")
    return Settings(tmp_path / "coded.npz", pack.root, str(tmp_path), tmp_path / "out", held_batches=2)


def test_codes_come_back(tmp_path: Path) -> None:
    items = sequences()
    write(items, SIZES, tmp_path / "coded.npz")
    found, sizes = read(tmp_path / "coded.npz")
    assert sizes == SIZES
    for one, other in zip(items, found, strict=True):
        assert (one.name, one.split, one.captions, one.emotion) == (
            other.name, other.split, other.captions, other.emotion,
        )  # fmt: skip
        for part, codes in one.parts.items():
            np.testing.assert_array_equal(codes, other.parts[part])
        assert (one.audio is None) == (other.audio is None)
        if one.audio is not None:
            np.testing.assert_array_equal(one.audio, other.audio)
    (tmp_path / "broken.npz").write_bytes(b"no")
    with pytest.raises(DataError, match=r"broken\.npz"):
        read(tmp_path / "broken.npz")


def test_words_of_synthetic_speech_come_from_its_name() -> None:
    def spoken(name: str) -> tuple[str, bool]:
        return coded._spoken(MotionSequence(name, {}), {"LJ001-0001.flac": "printing"})

    assert spoken("flite-rms-131#5@1.0") == (SENTENCES[131], False)
    assert spoken("espeak-en-gb+f5-102+100#5@1.0") == (f"{SENTENCES[102]} {SENTENCES[100]}", False)
    assert spoken("espeak-en-gb+f5-101+24#5@1.0")[1]  # every twelfth sentence is held out
    assert spoken("LJ001-0001.flac#7@1.0") == ("printing", False)
    assert spoken("1081-125237-0000.flac#7@1.0") == ("", False)


def test_windows_cover_a_sequence_and_recordings_stay_whole() -> None:
    items = sequences()
    windows = CodedWindows(items, window_steps=8, stride_steps=4)
    walk = [w for i in range(len(windows)) if (w := windows[i]).name == "walk 3"]
    assert [round(w.start_s * 7.5) for w in walk] == [0, 4, 7]
    assert all(w.num_steps == 8 and w.described == (Part.UPPER, Part.LOWER) for w in walk)
    assert (windows.weights > 0).all()  # held-out sequences have no sampling weight of their own
    said = CodedWindows(items, 8, 4, recordings=True, recording_steps=20)
    assert len(said) == 9  # performances of 12 to 20 steps
    assert all(said[i].transcript and not said[i].parts for i in range(len(said)))


def test_plan_begins_with_complete_seeds_and_what_others_need() -> None:
    runs = plan(range(3))
    assert len({run.name for run in runs}) == len(runs) == 78
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)
    for place, run in enumerate(runs):
        assert run.after is None or run.after in {before.name for before in runs[:place]}


def test_smaller_shares_lie_within_larger_ones() -> None:
    items = [item for item in sequences() if item.split == "train"]
    whole, half, quarter = (
        {item.name for item in chosen(items, share, seed=1)} for share in (1.0, 0.5, 0.25)
    )
    assert (len(whole), len(half), len(quarter)) == (24, 12, 6)
    assert quarter < half < whole
    assert half != {item.name for item in chosen(items, 0.5, seed=2)}
    assert len(chosen(items, 1 / 32, seed=1)) == 2  # at least one of either kind


def test_a_variant_lacks_its_objectives_only(settings: Settings) -> None:
    bench = Bench(settings)
    whole = run_recipe(bench, Run("pretraining", "full", 0))
    for variant, lacking in WITHOUT.items():
        recipe = run_recipe(bench, Run("pretraining", variant, 0))
        assert set(whole.mixture) - set(recipe.mixture) == lacking
        assert recipe.run == whole.run
    assert run_recipe(bench, Run("tuning", LONGER, 0)).run.max_steps == 6


def test_runs_are_done_once_and_resumed(settings: Settings) -> None:
    runs = [Run("pretraining", "full", 0), Run("tuning", "full", 0, 0.5), Run("tuning", NONE, 0, 0.5)]
    assert run_all(settings, runs, Budget(1, minutes=1e-9)) == (0, 3)  # nothing fits
    assert run_all(settings, runs[:2], Budget(1)) == (2, 0)
    with pytest.raises(EngineError, match="--resume"):
        run_all(settings, runs, Budget(1))
    with (settings.out / RESULTS).open("a") as file:
        file.write('{"run": "cut o\n')  # a killed run's last line
    assert run_all(settings, runs, Budget(1, resume=True)) == (3, 0)
    lines = read_results(settings.out)
    assert [line["run"] for line in lines] == [run.name for run in runs]
    tuned = lines[1]
    assert (tuned["steps"], tuned["sequences"], tuned["stage"]) == (3, 12, "tuning")
    assert set(tuned["tasks"]) == set(Bench(settings).recipes["tuning"].mixture)
    assert all(0 < value < 20 for value in tuned["tasks"].values())
    assert lines[1]["tasks"] != lines[2]["tasks"]
    assert 0 <= tuned["emotion_accuracy"] <= 1
    assert (settings.out / runs[1].name / "log.jsonl").exists()


def test_counting_tells_emotions_that_codes_give_away(settings: Settings) -> None:
    items: list[Coded] = []
    for place, item in enumerate(sequences()):
        emotion = ("fear", "anger")[place // 8 % 2] if item.emotion else None
        own = {part: codes % 8 + 8 * (emotion == "fear") for part, codes in item.parts.items()}
        items.append(replace(item, emotion=emotion, parts=own))
    write(items, SIZES, settings.coded)
    bench = Bench(settings)
    recipe = bench.recipes["tuning"]
    bench.recipes["tuning"] = replace(recipe, run=replace(recipe.run, max_steps=100))
    line = train_run(bench, Run(COUNTS, NONE, 0))
    assert line["emotion_accuracy"] == 1.0
    assert 20 < line["rows"] < 100  # at most two of eleven rows in a hundred batches of 4
    held = bench.held_rows["motion_to_emotion"]
    assert len({int(word) for batch in held for word in batch.targets[:, 0, 0]}) == 2


def test_interval_is_students() -> None:
    found = interval([1.0, 2.0, 3.0])
    assert found.mean == pytest.approx(2.0)
    assert found.reach == pytest.approx(4.302653 / math.sqrt(3), rel=1e-5)
    assert not found.shows
    assert interval([2.0, 2.1, 2.2]).shows
    assert math.isnan(interval([1.0]).reach)
    assert str(interval([])) == "none"


def test_report_pairs_by_seed(tmp_path: Path) -> None:
    kinds = ("motion_to_emotion", "motion_to_text", *MOTION)
    worse = {NONE: 0.5, LONGER: -0.25}
    lines = [
        {
            "run": run.name,
            "stage": run.stage,
            "variant": run.variant,
            "seed": run.seed,
            "share": run.share,
            "tasks": dict.fromkeys(kinds, 3.0 + run.seed + worse.get(run.variant, 0.0)),
            "emotion_accuracy": 0.25,
        }
        for run in plan(range(3))
        if run.stage != "pretraining" and (run.variant, run.seed) != ("no_spatial", 2)
    ]
    out, docs = tmp_path / "out", tmp_path / "docs"
    out.mkdir()
    docs.mkdir()
    (out / RESULTS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    # Seeds differ by 1 each, yet what stage 2 brings is 0.5 in every one.
    gain = Results(lines).difference(NONE, 1 / 8, "motion, nats per code")
    assert (gain.mean, gain.reach, gain.num) == (pytest.approx(0.5), pytest.approx(0.0, abs=1e-9), 3)
    (docs / "experiments.md").write_text("no place")
    with pytest.raises(EngineError, match=r"experiments\.md"):
        write_report(out, docs)
    (docs / "experiments.md").write_text(f"before\n{BEGIN}\nearlier figures\n{END}\nafter\n")
    write_report(out, docs)
    page = (docs / "experiments.md").read_text("utf-8")
    assert page.startswith("before\n") and page.endswith("after\n") and "earlier figures" not in page
    assert "| without spatial | 2 |" in page and "**0.500 ± 0.000**" in page
    gains = "| 4.500 ± 2.484 | **0.500 ± 0.000** | 3.750 ± 2.484 | **-0.250 ± 0.000** |"
    assert "| codes counted, no model | 3 | | | | 0.250 ± 0.000 |" in page
    assert f"| 1/8 | 3 | 4.000 ± 2.484 {gains}" in page
    drawn = [(docs / "experiments" / name).read_bytes() for name in ("ablation.svg", "efficiency.svg")]
    write_report(docs / "experiments", docs)  # from the kept lines, the same again
    assert drawn == [
        (docs / "experiments" / name).read_bytes() for name in ("ablation.svg", "efficiency.svg")
    ]
