# SPDX-License-Identifier: GPL-3.0-or-later
"""Hundreds of random steps on one character, looked at after each: what is lost, left over, or grows.

    python -m tests.blender.soak --steps 200 --seed 0

The engine is a stand-in, since a session is tried here and not a model. Leaves with 1 when anything is wrong,
and says after which step.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.blender.support import (
    KEY,
    RESOURCES,
    StandInEngine,
    add_face,
    bpy,
    disable,
    enable,
    fingerprint,
    keys_of,
)

MAX_GROWTH_MB = 200.0
"""Most memory that a session may cost beyond what it had after its first motion."""

UNDO_DEPTH = 24
"""Steps that are gone back at most; Blender keeps 32."""

MAX_ADDED = 2
"""Most keys that Regenerate may add outside its range, where it cuts smooth curves, see `bridge.splicing`."""

MAX_TAKES = 8
"""No more are made while there are so many, as an animator would clear the list."""

PARTS = ("face", "hands", "upper", "lower")

WEIGHTS = {
    "generate": 4, "regenerate": 6, "takes": 3, "try a take": 3, "delete a take": 4, "merge takes": 1,
    "reduce keys": 1, "energy": 3, "lock": 1, "undo": 7, "redo": 16, "save and load": 2,
}  # fmt: skip
"""How often each kind of step comes."""


@dataclass(frozen=True)
class Seen:
    """What is there after a step.

    Attributes:
        whole: A hash of all that an undo, or saving and loading, must bring back, on show or not.
        hidden: Hashes of the actions that no step but a deletion may touch: those of takes not on show.
    """

    whole: str
    hidden: dict[str, str]


@dataclass
class Soak:
    """One session.

    Attributes:
        draw: Draws the steps.
        folder: Where the file is saved.
        done: Steps that did something, by kind.
        refused: Steps that were refused, by kind.
        faults: What went wrong.
        seen: What was there after the last step.
        states: `Seen.whole` after each step that can be undone.
        now: Place in `states`.
        base_mb: Memory after the first motion.
        peak_mb: Most memory after any step.
    """

    draw: random.Random
    folder: Path
    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    seen: Seen = Seen("", {})
    states: list[str] = field(default_factory=list)
    now: int = 0
    base_mb: float = 0.0
    peak_mb: float = 0.0


def memory_mb() -> float:
    """Memory of this process that is in use."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def curves_of(action: Any) -> Iterator[Any]:
    """All curves of an action, of whichever slot."""
    if not hasattr(action, "layers"):
        yield from action.fcurves
        return
    for layer in action.layers:
        for strip in layer.strips:
            for bag in strip.channelbags:
                yield from bag.fcurves


def action_prints() -> dict[str, str]:
    """A hash of the keys of each action, with their handles."""
    prints: dict[str, str] = {}
    for action in bpy.data.actions:
        digest = hashlib.sha256()
        for curve in curves_of(action):
            digest.update(repr((curve.data_path, curve.array_index)).encode())
            keys = np.empty(2 * len(curve.keyframe_points), dtype=np.float32)
            for name in ("co", "handle_left", "handle_right"):
                curve.keyframe_points.foreach_get(name, keys)
                digest.update(keys.tobytes())
        prints[action.name] = digest.hexdigest()
    return prints


def look() -> Seen:
    """See what is there."""
    bpy.context.scene.frame_set(bpy.context.scene.frame_current)  # poses follow the keys they have now
    digest = hashlib.sha256(fingerprint().encode())
    prints, ada = action_prints(), character()
    digest.update(repr(prints).encode())
    takes = [(take.name, take.action.name, take.source and take.source.name) for take in takes_of(ada)]
    digest.update(
        repr((takes, energies(ada), [getattr(ada.kinesics_locks, part) for part in PARTS])).encode()
    )
    shown = {item.animation_data.action for item in moved()}
    for take in takes_of(ada):
        if take.action in shown:
            shown |= actions_of(take)
    names = {action.name for action in shown if action is not None}
    hidden = {name: keys for name, keys in prints.items() if name not in names}
    return Seen(digest.hexdigest(), hidden)


def character() -> Any:
    return bpy.data.objects["Ada"]


def takes_of(armature: Any) -> Any:
    return armature.kinesics_takes.items


def energies(armature: Any) -> list[float]:
    return [round(getattr(armature.kinesics_shape, f"energy_{part}"), 4) for part in PARTS]


def shown_keys() -> dict[Any, np.ndarray]:
    """Keys on show, of body and face."""
    face = keys_of(bpy.data.objects["Face"].data.shape_keys)
    return keys_of(character()) | {("face", *place): keys for place, keys in face.items()}


def begin(soak: Soak) -> None:
    """An empty file with a character that moves."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    scene = bpy.context.scene
    scene.render.fps = 30
    armature = importlib.import_module(f"{KEY}.operators.bridge.armature").build_armature("Ada")
    add_face(armature)
    scene.kinesics.character, scene.kinesics.audio_source = armature, "NONE"
    for part in PARTS:
        direction = getattr(scene.kinesics, part)
        direction.source, direction.text = "TEXT", "walk forward"
    generate(soak)
    begin_undo(soak)
    soak.base_mb = soak.peak_mb = memory_mb()


def generate(soak: Soak) -> None:
    settings = bpy.context.scene.kinesics
    settings.seed, settings.duration_s = soak.draw.randrange(1000), soak.draw.choice((2.0, 3.0, 4.0))
    bpy.ops.kinesics.generate("EXEC_DEFAULT", True)


def make_takes(soak: Soak) -> None:
    if len(takes_of(character())) >= MAX_TAKES:
        raise NothingToDo
    settings = bpy.context.scene.kinesics
    settings.seed, settings.num_takes = soak.draw.randrange(1000), soak.draw.choice((1, 2))
    bpy.ops.kinesics.generate_takes("EXEC_DEFAULT", True)


def regenerate(soak: Soak) -> None:
    """Make a stretch anew, and look at what must stay."""
    scene = bpy.context.scene
    first = soak.draw.randrange(5, 30)
    last = first + soak.draw.randrange(10, 25)
    scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, first, last
    scene.kinesics.regenerate_range = "PREVIEW"
    scene.kinesics.seed = soak.draw.randrange(1000)
    chosen = soak.draw.sample(PARTS, soak.draw.randrange(1, 5))
    for part in PARTS:
        getattr(scene.kinesics, part).redo = part in chosen
    before = shown_keys()
    bpy.ops.kinesics.regenerate("EXEC_DEFAULT", True)
    after = shown_keys()
    for place, keys in before.items():
        left = after.get(place, np.empty((0, 2), np.float32))
        were, are = keys_outside(keys, first, last), keys_outside(left, first, last)
        if were - are:
            soak.faults.append(f"keys of {place} outside {first} to {last} changed")
        if len(are - were) > MAX_ADDED:
            soak.faults.append(f"{len(are - were)} keys of {place} outside {first} to {last} are new")
        if len(left) < len(keys):
            soak.faults.append(f"{len(keys) - len(left)} keys of {place} are lost")


def keys_outside(keys: np.ndarray, first: int, last: int) -> set[tuple[float, ...]]:
    """Those keys (N, 2) that do not lie from one frame to another."""
    return set(map(tuple, keys[(keys[:, 0] < first) | (keys[:, 0] > last)].tolist()))


def try_take(soak: Soak) -> None:
    takes = character().kinesics_takes
    if not len(takes.items):
        raise NothingToDo
    takes.index = soak.draw.randrange(len(takes.items))
    bpy.ops.ed.undo_push(message="Try a take")


def delete_take(soak: Soak) -> None:
    if len(takes_of(character())) < 2:
        raise NothingToDo
    bpy.ops.kinesics.delete_take("EXEC_DEFAULT", True)


def merge_takes(soak: Soak) -> None:
    num_takes = len(takes_of(character()))
    if num_takes < 2:
        raise NothingToDo
    chosen = {part: str(soak.draw.randrange(num_takes)) for part in PARTS}
    bpy.ops.kinesics.merge_takes("EXEC_DEFAULT", True, **chosen)


def reduce_keys(soak: Soak) -> None:
    bpy.ops.kinesics.reduce_keys("EXEC_DEFAULT", True, degrees=2.0, mm=10.0, share=0.05)


def change_energy(soak: Soak) -> None:
    name = f"energy_{soak.draw.choice(PARTS)}"
    setattr(character().kinesics_shape, name, soak.draw.choice((0.5, 1.0, 1.5)))
    bpy.ops.ed.undo_push(message="Energy")


def change_lock(soak: Soak) -> None:
    locks, part = character().kinesics_locks, soak.draw.choice(PARTS)
    setattr(locks, part, not getattr(locks, part) and part != "lower")
    bpy.ops.ed.undo_push(message="Lock")


def undo(soak: Soak) -> None:
    if soak.now == 0 or len(soak.states) - soak.now > UNDO_DEPTH:
        raise NothingToDo
    bpy.ops.ed.undo()
    soak.now -= 1
    expect(soak, soak.states[soak.now], "undo did not bring back what was there")


def redo(soak: Soak) -> None:
    if soak.now == len(soak.states) - 1:
        raise NothingToDo
    bpy.ops.ed.redo()
    soak.now += 1
    expect(soak, soak.states[soak.now], "redo did not bring back what was there")


def save_and_load(soak: Soak) -> None:
    path = str(soak.folder / "soak.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    expect(soak, soak.seen.whole, "the file is another one after saving and loading")
    begin_undo(soak)


def begin_undo(soak: Soak) -> None:
    """Make what is there now the first state that can be gone back to, which Blender does in windows only."""
    bpy.ops.ed.undo_push(message="Begin")
    soak.seen = look()
    soak.states, soak.now = [soak.seen.whole], 0


def expect(soak: Soak, wanted: str, fault: str) -> None:
    """Look, and note a fault where what is there is not what was wanted."""
    soak.seen = look()
    if soak.seen.whole != wanted:
        soak.faults.append(fault)


class NothingToDo(Exception):
    """There is nothing for this step to do now."""


STEPS: dict[str, Callable[[Soak], None]] = {
    "generate": generate, "regenerate": regenerate, "takes": make_takes, "try a take": try_take,
    "delete a take": delete_take, "merge takes": merge_takes, "reduce keys": reduce_keys,
    "energy": change_energy, "lock": change_lock, "undo": undo, "redo": redo, "save and load": save_and_load,
}  # fmt: skip

OWN_STATES = ("undo", "redo", "save and load")
"""Steps that keep `Soak.states` themselves."""


def step(soak: Soak, kind: str) -> None:
    """Do one step; a refusal must change nothing, and a step only the motion on show.

    Raises:
        NothingToDo: If there is nothing for it to do now.
    """
    before = soak.seen
    try:
        STEPS[kind](soak)
    except RuntimeError as error:
        if "Traceback" in str(error):
            raise
        soak.refused[kind] += 1
        expect(soak, before.whole, f"a refusal changed something: {error}")
        return
    soak.done[kind] += 1
    if kind not in OWN_STATES:
        after = action_prints()
        lost = {name for name, keys in before.hidden.items() if after.get(name) != keys}
        if kind == "delete a take":
            lost &= after.keys()
        soak.faults += [f'keys of "{name}", which was not on show, changed' for name in sorted(lost)]
        soak.seen = look()
        soak.states[soak.now + 1 :] = [soak.seen.whole]
        soak.now += 1


def any_step(soak: Soak) -> str:
    """Do the first step drawn that has something to do; returns its kind."""
    while True:
        kind = soak.draw.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        try:
            step(soak, kind)
        except NothingToDo:
            continue
        return kind


def moved() -> tuple[Any, Any]:
    """What has keys: the character and its face."""
    return character(), bpy.data.objects["Face"].data.shape_keys


def actions_of(take: Any) -> set[Any]:
    """All that a take refers to, None where it refers to nothing."""
    return {take.action, take.source, *(face.action for face in (*take.faces, *take.source_faces))}


def leftovers() -> list[str]:
    """Datablocks that nobody needs, and takes that lost theirs."""
    ada = character()
    needed = {item.animation_data.action for item in moved()}.union(*map(actions_of, takes_of(ada)))
    wanted = {"objects": 2, "meshes": 1, "armatures": 1, "scenes": 1, "shape_keys": 1, "texts": 0}
    found = [f"action {action.name}" for action in bpy.data.actions if action not in needed]
    found += [f"fake user of {action.name}" for action in bpy.data.actions if action.use_fake_user]
    found += [f"take {take.name} without its action" for take in takes_of(ada) if take.action is None]
    for name, count in wanted.items():
        if len(getattr(bpy.data, name)) != count:
            found.append(f"{len(getattr(bpy.data, name))} {name} in the place of {count}")
    return found


def run(num_steps: int, seed: int) -> Soak:
    """Run a session; the extension is enabled, and a stand-in loads as the engine."""
    folder = Path(tempfile.mkdtemp(prefix="kinesics-soak-"))
    soak = Soak(random.Random(seed), folder)
    try:
        begin(soak)
        for number in range(num_steps):
            num_faults = len(soak.faults)
            kind = any_step(soak)
            soak.faults += [f"left over: {item}" for item in leftovers()]
            for place in range(num_faults, len(soak.faults)):
                soak.faults[place] = f"step {number}, {kind}: {soak.faults[place]}"
            soak.peak_mb = max(soak.peak_mb, memory_mb())
            if len(soak.faults) > num_faults:
                break
        save_and_load(soak)
        soak.faults += [f"left over at the end: {item}" for item in leftovers()]
        if memory_mb() - soak.base_mb > MAX_GROWTH_MB:
            soak.faults.append(f"memory grew by {memory_mb() - soak.base_mb:.0f} MB")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return soak


def table(soak: Soak, seconds: float) -> str:
    """What was done, as lines."""
    rows = [f"{kind:14} {soak.done[kind]:5} {soak.refused[kind]:8}" for kind in WEIGHTS]
    total = f"{'all':14} {soak.done.total():5} {soak.refused.total():8}"
    return "\n".join(
        [
            f"Blender {bpy.app.version_string}, {seconds:.0f} s",
            f"{'step':14} {'done':>5} {'refused':>8}",
            *rows,
            total,
            f"takes at the end {len(takes_of(character()))}, actions {len(bpy.data.actions)}",
            f"memory {soak.base_mb:.0f} MB after the first motion, {memory_mb():.0f} at the end, "
            f"{soak.peak_mb:.0f} at most",
            *(soak.faults or ["nothing lost, nothing left over"]),
        ]
    )


def main() -> int:
    """Run one session and print its table; 1 when something is wrong."""
    parser = argparse.ArgumentParser(description="A long random session on one character.")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    enable()
    try:
        stand_in = StandInEngine()
        host = importlib.import_module(f"{KEY}.operators.engine_host")
        host.load_engine = lambda pack_dir, device: stand_in
        began = time.monotonic()
        soak = run(arguments.steps, arguments.seed)
        print(table(soak, time.monotonic() - began), flush=True)
    finally:
        disable()
        shutil.rmtree(RESOURCES, ignore_errors=True)
    return int(bool(soak.faults))


if __name__ == "__main__":
    sys.exit(main())
