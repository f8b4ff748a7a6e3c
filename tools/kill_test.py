# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill Kinesics at random moments of what it writes, and look at what is left.

    python tools/kill_test.py --kills 200 --seed 1
    python tools/kill_test.py --only install --kills 40

Every trial runs one action in a process group of its own, waits until the action has begun, waits a random
time and sends SIGKILL to the group. Then what lies on the disk is read as the next session would read it:
it must be what was there before or what was to be there, whole; and the same action must succeed afterwards.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

BEGUN = "begun"
ROWS = 6
WHEELS, MODULES = 12, 400
NUM_FRAMES = 300
TIMEOUT_S = 3600.0
LEFT = re.compile(r"^\.|^part$|^arriving$|\.part$|@$")
"""Names of what is being written: ours, and `a.blend@`, as Blender itself calls it."""


def say(text: str) -> None:
    """Tell the parent."""
    print(text, flush=True)


# --- the actions, each in a process of its own ------------------------------------------------------


def do_generate(folder: Path) -> None:
    """Make motion and write it over the earlier one, again and again."""
    from engine.__main__ import main
    from engine.pipeline import load_engine

    load_engine(folder / "pack")
    say(BEGUN)
    for seed in range(1000):
        words = ["--lower", "walk", "--seconds", "4", "--seed", str(seed)]
        main(["generate", "--pack", str(folder / "pack"), *words, "--out", str(folder / "a.npz")])


def do_import(folder: Path) -> None:
    """Import the published model's files over the earlier pack."""
    from engine.published.importer import ImportOptions, import_published
    from tests.engine.published_files import AUDIO_START

    say(BEGUN)
    for _ in range(1000):
        import_published(folder / "download", folder / "imported", ImportOptions(audio_start=AUDIO_START))


def do_batch(folder: Path) -> None:
    """Make the lines of a table."""
    from engine.__main__ import main

    say(BEGUN)
    arguments = ["batch", str(folder / "lines.csv"), "--out", str(folder / "out"), "--resume"]
    status = main([*arguments, "--pack", str(folder / "pack"), "--processes", "2", "--device", "cpu"])
    if status:
        raise SystemExit(status)


def do_install(folder: Path) -> None:
    """Install wheels from a folder."""
    from engine.installing import lock, worker

    say(BEGUN)
    wheels = lock.read_lock(folder / "wheels.toml")
    worker.install(folder / "home", wheels, worker.copy_from(folder / "wheels"), lambda part, text: None)


def do_save(folder: Path) -> None:
    """In Blender: write motion on a character and save the file, again and again."""
    from tests.blender.support import KEY, bpy, enable, make_clip

    enable()
    import importlib

    delivery = importlib.import_module(f"{KEY}.operators.delivery")
    specs = importlib.import_module(f"{KEY}.engine.specs")
    bpy.ops.wm.open_mainfile(filepath=str(folder / "a.blend"))
    say(BEGUN)
    for seed in range(1000):
        armature = bpy.data.objects["Ada"]
        delivery.deliver(make_clip(NUM_FRAMES, seed=seed), armature, specs.PARTS, 1, "Ada")
        bpy.ops.wm.save_mainfile()


# --- what they need, and what must be left -----------------------------------------------------------


def prepare_pack(folder: Path) -> None:
    """A tiny pack, and a first motion."""
    from tests.tiny_pack import write_tiny_pack

    write_tiny_pack(folder / "pack")


def check_generate(folder: Path) -> str:
    """The motion, if there is one, is whole."""
    from engine.motion.clip_io import load_npz

    if not (folder / "a.npz").exists():
        return ""
    clip = load_npz(folder / "a.npz")
    return "" if clip.num_frames == 120 else f"the motion has {clip.num_frames} frames"


def prepare_import(folder: Path) -> None:
    """The published model's files, small."""
    from tests.engine.published_files import download

    download(folder / "download")


def check_import(folder: Path) -> str:
    """A pack that is there, or comes back when it is looked for, is whole in every value."""
    from engine.errors import PackError
    from engine.packs import load_pack

    had = (folder / "had").exists()
    try:
        pack = load_pack(folder / "imported")
    except PackError as problem:
        return f"the earlier pack is gone: {problem}" if had else ""
    for name in pack.table("files"):
        if name.endswith(".safetensors"):
            pack.tensors(name)
    (folder / "had").touch()
    return ""


def prepare_batch(folder: Path) -> None:
    """A table of lines that need no sound."""
    prepare_pack(folder)
    rows = [[f"line{row}", "walk forward", str(row), "2"] for row in range(ROWS)]
    with (folder / "lines.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["name", "lower", "seed", "seconds"], *rows])


def check_batch(folder: Path) -> str:
    """Every record speaks of whole files, and a report is whole."""
    from engine.motion.clip_io import load_npz

    out = folder / "out"
    for record in (out / "records").glob("*.json"):
        held = json.loads(record.read_text())
        if held["problem"]:
            return f"{record.name} failed: {held['problem']}"
        for file in held["files"]:
            if load_npz(out / file).num_frames != 60:
                return f"{file} is not whole"
    for file in out.glob("*.npz"):
        load_npz(file)
    if (out / "report.csv").exists():
        with (out / "report.csv").open(newline="") as stream:
            if len(list(csv.reader(stream))) != ROWS + 1:
                return "the report is not whole"
    return ""


def same_batch(folder: Path) -> str:
    """After going on, every motion is what an undisturbed run makes."""
    wanted = folder.parent / "undisturbed"
    if not wanted.exists():
        prepare_batch_beside(wanted)
    from engine.motion.clip_io import load_npz

    for row in range(ROWS):
        one, other = (load_npz(place / "out" / f"line{row}.npz") for place in (folder, wanted))
        if one.poses.tobytes() != other.poses.tobytes():
            return f"line{row} is another motion than without the kill"
    return ""


def prepare_batch_beside(folder: Path) -> None:
    """An undisturbed run to compare with."""
    folder.mkdir()
    prepare_batch(folder)
    subprocess.run(
        [sys.executable, __file__, "--child", "batch", "--folder", str(folder)],
        check=True,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def prepare_install(folder: Path) -> None:
    """Wheels in a folder, and their list."""
    from tests.engine.test_installing import make_wheel
    from tools.lock_wheels import written

    (folder / "wheels").mkdir()
    names = ["torch", *(f"package{number}" for number in range(WHEELS - 1))]
    wheels = [make_wheel(folder / "wheels", name, MODULES) for name in names]
    (folder / "wheels.toml").write_text(written(wheels))


def check_install(folder: Path) -> str:
    """What counts as installed is whole, to the byte."""
    from engine.installing.folder import damaged_files, installed_packages
    from engine.installing.lock import read_lock

    wheels = read_lock(folder / "wheels.toml")
    packages = installed_packages(folder / "home", wheels)
    if packages is None:
        return ""
    if damaged := damaged_files(packages):
        return f"{len(damaged)} files of an installation that counts as whole are not"
    for wheel in wheels:
        for number in range(MODULES - 1):
            if (packages / wheel.name / f"module_{number}.py").read_text() != f"INDEX = {number}\n":
                return f"module_{number} of {wheel.name} is not whole"
    return ""


def installed(folder: Path) -> str:
    """After trying again it is all there."""
    from engine.installing.folder import installed_packages
    from engine.installing.lock import read_lock

    found = installed_packages(folder / "home", read_lock(folder / "wheels.toml"))
    left = [path.name for path in (folder / "home").glob("part*")]
    return "" if found is not None and not left else f"not installed, {left}"


def prepare_save(folder: Path) -> None:
    """A file with a character."""
    code = (
        "from tests.blender.support import *; enable(); import importlib;"
        "bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True);"
        "arm = importlib.import_module(KEY + '.operators.bridge.armature').build_armature('Ada');"
        "add_face(arm);"
        "d = importlib.import_module(KEY + '.operators.delivery');"
        "s = importlib.import_module(KEY + '.engine.specs');"
        f"d.deliver(make_clip({NUM_FRAMES}), arm, s.PARTS, 1, 'Ada');"
        f"bpy.ops.wm.save_as_mainfile(filepath={str(folder / 'a.blend')!r}); disable()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def check_save(folder: Path) -> str:
    """The file opens and holds a whole motion.

    Blender renames the earlier file to `a.blend1` and then the new one to `a.blend`. Killed between the two,
    it leaves no `a.blend`; then its backup must be whole, and is what an animator goes on with.
    """
    if not (folder / "a.blend").exists():
        say("  save: killed between Blender's own two renames; its backup a.blend1 is looked at")
        shutil.copyfile(folder / "a.blend1", folder / "a.blend")
    code = (
        "import sys; from tests.blender.support import *; enable();"
        f"bpy.ops.wm.open_mainfile(filepath={str(folder / 'a.blend')!r});"
        "arm = bpy.data.objects['Ada']; k = keys_of(arm);"
        f"assert len(k) >= 223 and all(len(v) == {NUM_FRAMES} for v in k.values()), len(k);"
        "assert all(np.isfinite(v).all() for v in k.values()); disable(); print('WHOLE')"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    return "" if "WHOLE" in run.stdout else f"the file does not open: {run.stderr[-300:]}"


def nothing(folder: Path) -> str:
    """Nothing more to see."""
    del folder
    return ""


@dataclass(frozen=True)
class Action:
    """What is killed.

    Attributes:
        do: Runs it.
        prepare: Fills a folder with what it needs.
        check: What is wrong after a kill; empty where nothing is.
        finish: What is wrong after it was run again to its end; empty where nothing is.
        longest_s: A kill comes within so many seconds of its beginning.
        ends: Whether it ends by itself; else it is killed once more instead of being run to its end.
    """

    do: Callable[[Path], None]
    prepare: Callable[[Path], None]
    check: Callable[[Path], str]
    finish: Callable[[Path], str]
    longest_s: float
    ends: bool


ACTIONS: dict[str, Action] = {
    "generate": Action(do_generate, prepare_pack, check_generate, nothing, 4.0, False),
    "save": Action(do_save, prepare_save, check_save, nothing, 3.0, False),
    "install": Action(do_install, prepare_install, check_install, installed, 2.0, True),
    "import": Action(do_import, prepare_import, check_import, nothing, 3.0, False),
    "batch": Action(do_batch, prepare_batch, check_batch, same_batch, 14.0, True),
}


@dataclass
class Tally:
    """What became of the trials of one action."""

    kills: int = 0
    ended: int = 0
    left: int = 0
    problems: int = 0


def begin(name: str, folder: Path) -> subprocess.Popen[str]:
    """Start the action and wait until it has begun."""
    command = [sys.executable, __file__, "--child", name, "--folder", str(folder)]
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
    while (line := process.stdout.readline()) and line.strip() != BEGUN:
        pass
    if not line:
        raise SystemExit(f"{name} did not begin: {(folder / 'log').read_text()[-2000:]}")
    return process


def trial(name: str, folder: Path, draw: random.Random, tally: Tally) -> str:
    """Kill once and look; returns what is wrong."""
    action = ACTIONS[name]
    process = begin(name, folder)
    time.sleep(draw.uniform(0.0, action.longest_s))
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        tally.kills += 1
    else:
        tally.ended += 1
    process.wait()
    process.stdout.close()
    tally.left += any(LEFT.search(path.name) for path in folder.rglob("*"))
    return action.check(folder)


def run_again(name: str, folder: Path) -> str:
    """Let an action that was killed run to its end; returns what is wrong."""
    process = begin(name, folder)
    process.communicate(timeout=TIMEOUT_S)
    if process.returncode != 0:
        return f"it does not run again: {(folder / 'log').read_text()[-500:]}"
    return ACTIONS[name].finish(folder)


def run_action(name: str, kills: int, draw: random.Random, place: Path) -> Tally:
    """All trials of one action; two kills in the same folder, then a new one."""
    tally, trials = Tally(), 0
    made = place / f"{name}-made"
    made.mkdir()
    ACTIONS[name].prepare(made)
    while tally.kills < kills:
        folder = place / f"{name}-{trials}"
        shutil.copytree(made, folder)
        for _ in range(2):
            trials += 1
            if tally.kills < kills and (problem := trial(name, folder, draw, tally)):
                tally.problems += 1
                say(f"  {name}, trial {trials}: {problem}")
        if ACTIONS[name].ends and (problem := run_again(name, folder)):
            tally.problems += 1
            say(f"  {name}, after trial {trials}: {problem}")
        shutil.rmtree(folder)
    return tally


def main() -> int:
    """Run the trials; 1 where anything was lost."""
    parser = argparse.ArgumentParser(description="Kill Kinesics at random moments and look at what is left.")
    parser.add_argument("--kills", type=int, default=200, help="over all actions")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=list(ACTIONS))
    parser.add_argument("--child", choices=list(ACTIONS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        ACTIONS[arguments.child].do(arguments.folder)
        sys.stdout.flush()
        os._exit(0)
    names: list[str] = arguments.only or list(ACTIONS)
    problems = 0
    rows: list[tuple[Any, ...]] = []
    for index, name in enumerate(names):
        kills = arguments.kills // len(names) + (index < arguments.kills % len(names))
        with tempfile.TemporaryDirectory(prefix="kinesics-kill-") as place:
            began = time.monotonic()
            tally = run_action(name, kills, random.Random(f"{arguments.seed} {name}"), Path(place))
        problems += tally.problems
        rows.append((name, tally.kills, tally.left, tally.problems))
        say(
            f"{name}: {tally.kills} kills, {tally.ended} had ended before, {tally.left} left something "
            f"unfinished behind, {tally.problems} problems, {time.monotonic() - began:.0f} s"
        )
    say("| action | kills | left unfinished files behind | problems |\n|---|---:|---:|---:|")
    for row in rows:
        say("| " + " | ".join(map(str, row)) + " |")
    return int(problems > 0)


if __name__ == "__main__":
    sys.exit(main())
