# SPDX-License-Identifier: GPL-3.0-or-later
"""Many lines at once: the table, the report, going on, lost processes, equal bytes whoever makes a line."""

from __future__ import annotations

import csv
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from engine.__main__ import main
from engine.batch import pool, records, run
from engine.batch.report import html_report
from engine.batch.table import Line, read_table
from engine.batch.work import Job, make_line
from engine.errors import RequestError, StorageError
from engine.motion.clip_io import load_npz
from engine.packs import load_pack
from engine.pipeline import load_engine
from engine.specs import AUDIO_HZ, MOTION_FPS, MotionEngine, Part
from tests.no_network.sitecustomize import taken
from tests.tiny_pack import write_tiny_pack


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("batch") / "pack"
    write_tiny_pack(root)
    return root


def table_of(folder: Path, *rows: str, head: str = "audio,lower,seed,seconds,name") -> Path:
    """A table beside a sound `line.wav` of a second."""
    times = np.arange(AUDIO_HZ) / AUDIO_HZ
    soundfile.write(folder / "line.wav", 0.3 * np.sin(700 * times) * np.sin(9 * times), AUDIO_HZ)
    path = folder / "lines.csv"
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def told(folder: Path) -> dict[str, dict[str, str]]:
    """The table of the report, by name."""
    with (folder / "report.csv").open(encoding="utf-8", newline="") as stream:
        return {row["name"]: row for row in csv.DictReader(stream)}


def motions(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.npz")}


def test_rows_become_lines(tmp_path: Path) -> None:
    head = "Lower;AUDIO;emotion;seed;seconds;name"
    path = table_of(
        tmp_path, "walk forward;line.wav;Anger;7;1,5;", ";line.wav;;;;greeting", ";;;;;", head=head
    )
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # as a spreadsheet saves it
    first, second = read_table(path)
    assert first == Line(
        1, "00001-line", tmp_path / "line.wav", {Part.LOWER: "walk forward"}, "anger", 7, 1.5
    )
    assert (second.number, second.name, second.seed, second.seconds) == (2, "greeting", 0, None)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"audio,lower\n", "no rows"),
        (b"audio,legs\nline.wav,walk\n", "a column 'legs'"),
        (b"audio,audio\nline.wav,line.wav\n", "same title"),
        (b"audio\n\xff\xfe\n", "UTF-8"),
        (b'audio,lower\n"line.wav,walk\n', "no CSV"),
    ],
)
def test_what_is_no_table_is_refused_in_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "lines.csv"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=sentence) as caught:
        read_table(path)
    assert str(caught.value).endswith(".") and ";" in str(caught.value)
    with pytest.raises(RequestError, match="cannot be read"):
        read_table(tmp_path / "absent.csv")


def test_a_bad_row_is_reported_and_the_rest_go_on(tmp_path: Path, pack: Path) -> None:
    path = table_of(
        tmp_path,
        "line.wav,walk forward,1,,good",
        "absent.wav,,,,absent",
        "line.wav,,-1,,",
        "line.wav,,,1e9,",
        ",,3,,",
        "line.wav,,,,good",
        "line.wav,,,,../outside",
        "line.wav,walk,1,1,extra,cell",
        ",行走,,,",
        ",jump,2,0.5,",
    )
    out = tmp_path / "out"
    assert main(["batch", str(path), "--out", str(out), "--pack", str(pack), "--processes", "1"]) == 1
    rows = told(out)
    problems = {
        "absent": "does not exist", "00003-line": "no number", "00004-line": "between one frame",
        "00005-3": "nothing to follow", "00006-good": 'Row 1 has the name "good"', "outside": "file names",
        "extra": "more cells", "00009-行走": "not in English",
    }  # fmt: skip
    assert len(rows) == 10
    for name, sentence in problems.items():
        assert rows[name]["state"] == "failed" and sentence in rows[name]["problem"], name
    assert {name for name, row in rows.items() if row["state"] == "made"} == {"good", "00010-jump"}
    assert sorted(motions(out)) == ["00010-jump.npz", "good.npz"]
    assert load_npz(out / "good.npz").num_frames == MOTION_FPS
    assert load_npz(out / "00010-jump.npz").num_frames == MOTION_FPS // 2
    assert not list(tmp_path.glob("outside*")) and not list(tmp_path.rglob("*.part"))


def test_a_line_is_the_same_to_the_byte_whoever_makes_it(tmp_path: Path, pack: Path) -> None:
    path = table_of(tmp_path, "line.wav,walk forward,1,,a", "line.wav,,2,,b", ",jump,3,1,c")
    command = ["batch", str(path), "--pack", str(pack)]
    assert main([*command, "--out", str(tmp_path / "two"), "--processes", "2"]) == 0
    assert main([*command, "--out", str(tmp_path / "one"), "--processes", "1"]) == 0
    made = motions(tmp_path / "two")
    assert len(made) == 3 and made == motions(tmp_path / "one")
    assert len(set(made.values())) == 3


def test_resume_makes_what_is_missing_or_changed(
    tmp_path: Path, pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table_of(tmp_path, "line.wav,walk forward,1,,a", "line.wav,,2,,b", ",jump,3,1,c", ",run,,0.5,d")
    out = tmp_path / "out"
    command = ["batch", str(path), "--out", str(out), "--pack", str(pack), "--processes", "1", "--resume"]
    assert main(command) == 0
    before = {file: file.stat().st_mtime_ns for file in out.glob("*.npz")}
    (out / "b.npz").unlink()
    (out / "records" / "d.json").write_text("{")
    path.write_text(path.read_text().replace("walk forward,1", "walk,1"))
    capsys.readouterr()
    assert main(command) == 0
    assert "4 of 4 lines made" in capsys.readouterr().out
    again = {file for file in out.glob("*.npz") if file.stat().st_mtime_ns != before[file]}
    assert {file.stem for file in again} == {"a", "b", "d"}
    assert all(row["state"] == "made" and float(row["motion_s"]) > 0 for row in told(out).values())


def test_fast_is_asked_of_the_model_and_makes_lines_anew(
    tmp_path: Path, pack: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    asked: list[bool] = []

    def load(root: Path, device: str, fast: bool) -> MotionEngine:
        asked.append(fast)
        return load_engine(root, device, fast=fast)

    def here(lines: Sequence[Line], job: Job, _processes: int) -> Iterator[records.LineResult]:
        monkeypatch.setattr(pool, "_engine", None)
        return (pool.make_in_process(line, job, 1) for line in lines)

    threads = torch.get_num_threads()
    request.addfinalizer(lambda: torch.set_num_threads(threads))

    monkeypatch.setattr("engine.pipeline.load_engine", load)
    monkeypatch.setattr(pool, "run_lines", here)
    path, out = table_of(tmp_path, ",walk,1,0.5,a"), tmp_path / "out"
    command = ["batch", str(path), "--out", str(out), "--pack", str(pack), "--device", "cpu", "--resume"]
    for words, loaded in ((["--fast"], [True]), (["--fast"], [True]), ([], [True, False])):
        assert main([*command, *words]) == 0
        assert asked == loaded


def test_a_process_makes_lines_with_one_thread_of_torch(
    tmp_path: Path, pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sums depend on how many there are; ONNX Runtime's do not, and it keeps the threads it was given."""
    before, loaded = torch.get_num_threads(), list[int]()

    def load(root: Path, device: str, fast: bool) -> MotionEngine:
        loaded.append(torch.get_num_threads())
        return load_engine(root, device, fast=fast)

    monkeypatch.setattr("engine.pipeline.load_engine", load)
    monkeypatch.setattr(pool, "_engine", None)
    run.make_folders(tmp_path)
    line = read_table(table_of(tmp_path, ",walk,1,0.5,a"))[0]
    try:
        assert not pool.make_in_process(line, Job(tmp_path, pack, "", "cpu"), 3).problem
        assert loaded == [3] and torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_processes_are_as_many_as_their_models_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "free_memory_mb", lambda: 10_000.0)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    starter, published = 44_000_000, 350_000_000
    assert pool.num_processes(0, 100, "cpu", starter) == 11
    assert pool.num_processes(0, 100, "cpu", published) == 2
    assert pool.num_processes(0, 100, "cuda", starter) == 1
    assert pool.num_processes(5, 3, "cpu", published) == 3


def test_another_sound_or_pack_makes_a_line_anew(tmp_path: Path) -> None:
    line = read_table(table_of(tmp_path, "line.wav,walk,1,,a"))[0]
    key = records.line_key(line, "pack")
    assert key == records.line_key(line, "pack") != records.line_key(line, "other")
    soundfile.write(tmp_path / "line.wav", np.zeros(AUDIO_HZ), AUDIO_HZ)
    assert records.line_key(line, "pack") != key


def test_a_fault_in_one_line_does_not_cost_the_others(tmp_path: Path, pack: Path) -> None:
    class Faulty:
        def generate(self, *_: object) -> object:
            raise ZeroDivisionError("by nothing")

    run.make_folders(tmp_path)
    line = read_table(table_of(tmp_path, ",walk,1,1,a"))[0]
    result = make_line(Faulty(), line, Job(tmp_path, pack, ""))  # type: ignore[arg-type]
    assert "ZeroDivisionError: by nothing" in result.problem and result.problem.endswith("report this line.")


def test_a_folder_that_cannot_be_written_stops_the_batch(tmp_path: Path, pack: Path) -> None:
    path = table_of(tmp_path, ",walk,1,0.5,a")
    (tmp_path / "file").write_text("")
    options = run.BatchOptions(pack, processes=1)
    with pytest.raises(StorageError):
        run.run_batch(path, tmp_path / "file" / "out", options, lambda _: None)


def test_a_lost_process_costs_no_line(tmp_path: Path, pack: Path) -> None:
    rows = [f",walk,{number},1,line{number}" for number in range(8)]
    path, out = table_of(tmp_path, *rows), tmp_path / "out"
    lines = read_table(path)
    run.make_folders(out)
    job = Job(out, pack, run.model_of(load_pack(pack)), "cpu")
    seen: list[str] = []
    for result in pool.run_lines(lines, job, 2):
        seen.append(result.name)
        if len(seen) == 2:
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            workers = [int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]
            assert workers
            os.kill(workers[0], signal.SIGKILL)
    assert sorted(seen) == sorted(line.name for line in lines)  # every line, once
    assert len(motions(out)) == 8


def test_a_line_that_stops_its_process_every_time_is_given_up(
    tmp_path: Path, pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_run", _stopping)
    run.make_folders(tmp_path)
    lines = [Line(1, "bad", instructions={Part.LOWER: "walk"}), Line(2, "good")]
    results = list(pool.run_lines(lines, Job(tmp_path, pack, ""), 2))
    assert [(r.name, bool(r.problem)) for r in results] == [("bad", True), ("good", False)]
    assert "stopped" in results[0].problem


def _stopping(lines: list[Line], job: Job, processes: int):
    from concurrent.futures.process import BrokenProcessPool

    if lines[0].name == "bad":
        raise BrokenProcessPool("gone")
    yield records.LineResult(lines[0].name, lines[0].number)


class _Page(HTMLParser):
    """Pictures, links and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_every_line_and_runs_nothing(tmp_path: Path, pack: Path) -> None:
    evil = "<script>alert(1)</script>"
    path = table_of(tmp_path, f",walk {evil},1,1,a", "absent.wav,,,,b", ",run,,0.5,c")
    out = tmp_path / "out"
    main(["batch", str(path), "--out", str(out), "--pack", str(pack), "--processes", "1"])
    page = _Page()
    page.feed((out / "report.html").read_text(encoding="utf-8"))
    assert "script" not in page.tags and evil in page.text
    assert "3 lines: 2 made, 1 failed" in page.text and "does not exist" in page.text
    for source in page.sources:
        assert (out / source).is_file(), source
    pictures = [source for source in page.sources if source.endswith(".svg")]
    assert len(pictures) == 2
    drawing = ET.parse(out / pictures[0]).getroot()
    assert len(drawing.findall("{http://www.w3.org/2000/svg}circle")) == 8
    assert "Not made" in html_report([Line(1, "left")], {})


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium, which shows the page, is not installed")
def test_chromium_shows_the_figures(tmp_path: Path, pack: Path) -> None:
    from PIL import Image  # not in the environment of `make test-ray`

    path = table_of(tmp_path, "line.wav,walk,1,1,a", ",run,,0.5,c")
    out, shot = tmp_path / "out", tmp_path / "page.png"
    main(["batch", str(path), "--out", str(out), "--pack", str(pack), "--processes", "1"])
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1000,1000"]
    place = f"file://{out / 'report.html'}"
    subprocess.run([*command, f"--screenshot={shot}", place], check=True, capture_output=True, timeout=120)
    pixels = np.asarray(Image.open(shot).convert("RGB"), dtype=int)
    blue = (pixels[..., 2] > pixels[..., 0] + 70) & (pixels[..., 1] < 130)  # the left sides of 16 figures
    columns = np.flatnonzero(blue[200:].any(axis=0))
    assert columns.max() - columns.min() > 600
    assert pixels.shape[1] == 1000 and columns.max() < 980  # nothing hangs over the edge


@pytest.mark.timeout(900)
@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: run `make test-ray`"
)
def test_on_ray_a_killed_worker_costs_no_line(tmp_path: Path, pack: Path, repository: Path) -> None:
    rows = [f",walk,{number},6,line{number}" for number in range(24)]
    path, out = table_of(tmp_path, *rows), tmp_path / "out"
    command = [sys.executable, "-m", "engine", "batch", str(path), "--out", str(out), "--pack", str(pack)]
    running = subprocess.Popen(
        [*command, "--processes", "2", "--ray"], cwd=repository, stdout=subprocess.PIPE, text=True
    )
    while len(motions(out)) < 3 and running.poll() is None:
        time.sleep(0.2)
    listing = subprocess.run(["pgrep", "-f", "ray::_make"], capture_output=True, text=True, check=False)
    workers = [int(number) for number in listing.stdout.split()]
    assert workers, "no worker was found to be killed"
    os.kill(workers[0], signal.SIGKILL)
    printed, _ = running.communicate()
    assert running.returncode == 0, printed
    assert "24 of 24 lines made" in printed
    rows_told = told(out)
    assert len(rows_told) == 24 and all(row["state"] == "made" for row in rows_told.values())
    engine = load_engine(pack, "cpu")
    run.make_folders(tmp_path / "here")
    line = read_table(path)[5]
    make_line(engine, line, Job(tmp_path / "here", pack, "", "cpu"))
    assert motions(tmp_path / "here")["line5.npz"] == motions(out)["line5.npz"]
    # Ray's own parts ask a cloud's address on the local link which cloud they are in; they report to no one.
    assert all("169.254.169.254" in attempt for attempt in taken())
