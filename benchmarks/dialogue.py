# SPDX-License-Identifier: GPL-3.0-or-later
"""Ten minutes of dialogue over many strips with the starter pack, and what each change of it costs.

    python benchmarks/dialogue.py [--speech ../shared/data/speech/librispeech] [--minutes 10]

Recordings lie one behind the other on the timeline of one character, every sixth followed by a pause of 4 s.
"Generate All Strips" is run to its end; then a strip is moved, one is given an instruction, one is trimmed.
With another seed for all of them a second Blender is killed in the middle, and the file opened again goes on,
is cancelled, and goes on once more. Keys are compared to the bit: frames that differ from before are counted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.memory import Peak, resident_mb  # noqa: E402
from tests.blender.support import KEY, bpy, disable, enable, keys_of  # noqa: E402

SPEECH = ROOT.parent / "shared" / "data" / "speech" / "librispeech"
SHORT_PAUSE_S, LONG_PAUSE_S, LONG_EVERY = 0.5, 4.0, 6
BODY = "pelvis"
"""The bone that says where the body stands."""

TICK_S = 0.05
"""The operator's own timer."""

KEY_BYTES = 72
"""What Blender keeps of a key (BezTriple)."""

GROWTH_LIMIT_MB = 200.0
"""Most memory beyond that of the first strip and of the keys themselves."""

KILLED_AFTER, CANCELLED_AFTER = 4, 8
"""Strips that are finished when Blender is killed, and when the work is cancelled afterwards."""


@dataclass(frozen=True)
class Run:
    """One Generate All Strips.

    Attributes:
        wall_s: From the press of the button to the last key.
        made: Numbers of the strips that the model was asked for.
        written: How many strips were written.
    """

    wall_s: float
    made: list[int]
    written: int


@dataclass(frozen=True)
class Motion:
    """Keys of a character.

    Attributes:
        frames: Their N frames.
        values: (N, C).
        is_body: (C,), bool: channels of where the body stands and how it is turned.
    """

    frames: list[int]
    values: np.ndarray
    is_body: np.ndarray


def module(name: str) -> Any:
    """One of the extension's modules."""
    return importlib.import_module(f"{KEY}.{name}")


def strips() -> list[Any]:
    """The sound strips in the order of their time."""
    return module("operators.dialogue_plan").dialogue_strips(bpy.context.scene)


def make_scene(folder: Path, minutes: float) -> float:
    """The character and its strips; returns seconds of speech."""
    import soundfile

    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.ops.kinesics.add_character()
    scene = bpy.context.scene
    scene.kinesics.lower.source = "SPEECH"
    editor = scene.sequence_editor_create()
    sounds = editor.strips if hasattr(editor, "strips") else editor.sequences
    rate, frame, spoken_s = scene.render.fps, 1, 0.0
    for number, path in enumerate(sorted(folder.glob("*.flac"))):
        if spoken_s >= 60.0 * minutes:
            break
        strip = sounds.new_sound(path.stem, str(path), channel=1, frame_start=frame)
        pause_s = SHORT_PAUSE_S if (number + 1) % LONG_EVERY else LONG_PAUSE_S
        frame = int(strip.frame_final_end) + round(pause_s * rate)
        spoken_s += soundfile.info(str(path)).duration
    scene.frame_end = frame
    return spoken_s


def generate(cache: Path, stop_after: int | None = None, tell: Callable[[int], None] | None = None) -> Run:
    """Press the button, and tick as its timer does.

    Args:
        cache: Folder of finished motions.
        stop_after: Cancel once so many strips are finished.
        tell: Given the number of finished strips at every tick.
    """
    dialogue, planning, work = (
        module(f"operators.{n}") for n in ("dialogue", "dialogue_plan", "dialogue_work")
    )
    made: list[int] = []
    make = work.DialogueWork._made

    def noted(self: Any, number: int, line: Any, record: Any) -> Any:
        made.append(number)
        return make(self, number, line, record)

    work.DialogueWork._made = noted
    begun = time.perf_counter()
    try:
        plan = replace(planning.read_dialogue(bpy.context), cache_dir=cache)
        session = dialogue.DialogueSession(plan)
        while not session.tick():
            finished = sum(done >= 1.0 for done in session.fractions.values())
            if tell is not None:
                tell(finished)
            if stop_after is not None and finished >= stop_after and not session.cancel_requested:
                session.cancel()
            time.sleep(TICK_S)
        session.finish()
    finally:
        work.DialogueWork._made = make
    if session.problem is not None:
        raise session.problem
    return Run(time.perf_counter() - begun, made, session.num_written)


def motion() -> Motion:
    """All channels of the character's bones, which have one key a frame."""
    armature = bpy.context.scene.kinesics.character or bpy.context.object
    keys = keys_of(armature)
    paths = sorted(path for path in keys if path[0].startswith("pose.bones"))  # others move nothing
    frames = keys[paths[0]][:, 0].astype(int).tolist()
    values = np.stack([keys[path][:, 1] for path in paths], axis=1)
    return Motion(frames, values, np.array([BODY in path for path, _ in paths]))


def num_keys() -> int:
    """Keys of the character and of the faces."""
    animated = [bpy.context.object, *bpy.data.shape_keys]
    return sum(len(keys) for item in animated for keys in keys_of(item).values())


def changed(before: Motion, places: dict[str, tuple[int, int]], shift: int = 0) -> str:
    """Say in how many frames of how many strips a joint turns otherwise than before, or the body stands so.

    Args:
        before: What `motion` gave.
        places: First frame of each strip then, and the frame after its last.
        shift: Frames by which they were moved since.
    """
    now = motion()
    old, new = (dict(zip(m.frames, m.values, strict=True)) for m in (before, now))
    rows = [(name, frame) for name, (first, end) in places.items() for frame in range(first, end)]
    nothing = np.full(len(now.is_body), np.nan)
    differ = np.stack([old[f] != new.get(f + shift, nothing) for _, f in rows])
    told = []
    for what, columns in (("joints turn", ~now.is_body), ("the body stands", now.is_body)):
        hit = differ[:, columns].any(axis=1)
        names = {name for (name, _), there in zip(rows, hit, strict=True) if there}
        told.append(f"{what} otherwise in {hit.sum()} of {len(rows)} frames ({len(names)} strips)")
    return ", ".join(told)


def places() -> dict[str, tuple[int, int]]:
    """First and end frame of every strip."""
    return {strip.name: (int(strip.frame_final_start), int(strip.frame_final_end)) for strip in strips()}


def show(name: str, run: Run, rest: str = "") -> None:
    """One line of the table."""
    print(
        f"{name:34} {run.wall_s:7.1f} s {len(run.made):5} made {run.written:5} written   {rest}", flush=True
    )


def change_one_by_one(cache: Path) -> None:
    """Move, instruct, trim: each shows what it made and what differs."""
    show("again, nothing changed", generate(cache))
    all_strips = strips()
    middle, step = len(all_strips) // 2, max(1, len(all_strips) // 10)
    moved, told, cut = (all_strips[middle + offset * step] for offset in range(3))
    before, there = motion(), places()
    moved.frame_start += 6
    run = generate(cache)
    rest = {name: place for name, place in there.items() if name != moved.name}
    inside = {moved.name: tuple(np.add(there[moved.name], (24, -24)).tolist())}
    show("one strip moved by 6 frames", run, f"elsewhere {changed(before, rest)}")
    print(f"{'':65} the moved one, but for a second at its ends: {changed(before, inside, 6)}")
    before, there = motion(), places()
    bpy.context.scene.frame_current = int(told.frame_final_start) + 48
    bpy.ops.kinesics.add_instruction(part="LOWER", text="walk forward")
    bpy.context.scene.sequence_editor.active_strip.frame_final_duration = 48
    show("an instruction of 2 s in one strip", generate(cache), changed(before, there))
    before, there = motion(), places()
    cut.frame_final_duration -= 24
    run = generate(cache)
    there[cut.name] = there[cut.name][0], there[cut.name][1] - 24
    show("one strip cut by 1 s at its end", run, changed(before, there))


def interrupt(cache: Path, folder: Path) -> None:
    """Another seed for all strips: killed, opened again, cancelled, and on to a quarter of them."""
    scene = bpy.context.scene
    scene.kinesics.seed = 1
    file = folder / "dialogue.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(file))
    before, there = motion(), places()
    command = [sys.executable, __file__, "--child", str(file), str(cache)]
    begun = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    finished = 0
    for line in child.stdout or ():
        if line.startswith("finished ") and (finished := int(line.split()[1])) >= KILLED_AFTER:
            break
    child.send_signal(signal.SIGKILL)
    child.wait()
    print(f"killed with {finished} strips finished, after {time.perf_counter() - begun:.1f} s", flush=True)
    bpy.ops.wm.open_mainfile(filepath=str(file))
    same = np.array_equal(motion().values, before.values)
    print(f"opened again: every key is as it was saved: {'yes' if same else 'NO'}", flush=True)
    run = generate(cache, stop_after=CANCELLED_AFTER)
    show(f"goes on, cancelled at {CANCELLED_AFTER}", run, changed(before, there))
    print(f"{'':34} the model was asked for strips {run.made}", flush=True)
    run = generate(cache, stop_after=2 * CANCELLED_AFTER)
    show(f"goes on to {2 * CANCELLED_AFTER}", run, f"the model was asked for strips {run.made}")


def child(file: Path, cache: Path) -> int:
    """A Blender that is killed by who started it."""
    enable()
    bpy.ops.wm.open_mainfile(filepath=str(file))
    generate(cache, tell=lambda finished: print(f"finished {finished}", flush=True))
    return 0


def main() -> int:
    """Print the table; 1 where there is nothing to speak, or memory grew beyond the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speech", type=Path, default=SPEECH, help="folder of FLAC files, one per strip")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--child", nargs=2, metavar=("FILE", "CACHE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(*map(Path, options.child))
    if not any(options.speech.glob("*.flac")):
        print(f"there is no speech in {options.speech}: give a folder of FLAC files with --speech")
        return 1
    enable()
    folder = Path(tempfile.mkdtemp(prefix="kinesics-dialogue-"))
    cache = folder / "cache"
    spoken_s = make_scene(options.speech, options.minutes)
    num = len(strips())
    print(f"Blender {bpy.app.version_string}, {num} strips, {spoken_s:.0f} s of speech, one character")
    start_mb = resident_mb()
    marks: list[tuple[float, float]] = []

    def tell(finished: int) -> None:
        if finished > len(marks):
            marks.extend([(time.perf_counter(), resident_mb())] * (finished - len(marks)))

    with Peak() as peak:
        run = generate(cache, tell=tell)
    show("all strips, the pack loaded with it", run, f"{run.wall_s / spoken_s:.3f} s a second of speech")
    (first_s, first_mb), (last_s, last_mb) = marks[0], marks[-1]
    pace = (last_s - first_s) / (spoken_s * (num - 1) / num)
    print(f"{'':34} without the first strip {pace:.3f} s a second of speech")
    print(
        f"memory: {start_mb:.0f} MB before, {first_mb:.0f} after one strip, {last_mb:.0f} after all but one,"
    )
    keys_mb = num_keys() * KEY_BYTES / 1e6
    print(
        f"  {resident_mb():.0f} once all is written, at most {peak.mb:.0f}; the keys are {keys_mb:.0f}",
        flush=True,
    )
    change_one_by_one(cache)
    interrupt(cache, folder)
    disable()
    shutil.rmtree(folder, ignore_errors=True)
    return int(peak.mb - first_mb - keys_mb > GROWTH_LIMIT_MB)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Blender 4.5 can hang while the interpreter ends.
    os._exit(code)
