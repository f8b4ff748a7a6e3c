# SPDX-License-Identifier: GPL-3.0-or-later
"""`blender --command kinesics batch TABLE --out DIR`: every row of a table onto a character, exported.

The next row's motion is made in a thread while Blender loads a character, writes keys and exports.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy

from ..engine.errors import EngineError, StorageError
from ..engine.specs import PARTS
from . import delivery, engine_host, generate, generation
from .character import add_default_character
from .errors import CharacterError
from .export import PRESETS, ROOTS, export_take

if TYPE_CHECKING:
    from ..engine.batch.records import LineResult
    from ..engine.batch.table import Line
    from ..engine.batch.work import Job
    from ..engine.motion.arrays import FloatArray
    from ..engine.specs import GenerateResult, MotionEngine

COMMAND = "kinesics"
DEFAULT_PRESET = "GLTF"
ACTION_NAME_LENGTH = 60
"""Blender cuts names at 63 bytes."""


def command(arguments: list[str]) -> int:
    """Run what stands behind `blender --command kinesics`; 0 where every row was made."""
    from ..engine.batch.command import add_table, finish

    parser = argparse.ArgumentParser(prog=f"blender --command {COMMAND}")
    batch = parser.add_subparsers(dest="command", required=True).add_parser(
        "batch", help="a motion on a character for every row of a table, exported"
    )
    preferences = generate.preferences_of(bpy.context)
    pack = generate.pack_folder(preferences)
    add_table(batch, pack, "Also: character (a .blend file) and export (a preset, as --export).")
    batch.set_defaults(fast=preferences is not None and preferences.fast)
    batch.add_argument("--character", type=Path, help="default: a new Kinesics character")
    batch.add_argument("--export", choices=sorted(PRESETS), default=DEFAULT_PRESET, type=str.upper)
    batch.add_argument("--root", choices=[name for name, *_ in ROOTS], default="HIPS", type=str.upper)
    try:
        chosen = parser.parse_args(arguments)
    except SystemExit as end:  # would take Blender's own way out
        return int(end.code or 0)
    return finish(chosen, lambda report: _run(chosen, report))


def _run(chosen: argparse.Namespace, report: Any) -> Any:
    """Make every row."""
    engine_host.check_packages()
    with engine_host.importing():
        from ..engine.batch.run import model_of, run_through
        from ..engine.batch.table import read_table
        from ..engine.batch.work import Job
        from ..engine.packs import load_pack
    lines = [_completed(line, chosen) for line in read_table(chosen.table)]
    engine_host.set_fast(chosen.fast)
    model = model_of(load_pack(chosen.pack), chosen.fast)
    job = Job(chosen.out.resolve(), chosen.pack.resolve(), model, chosen.device, chosen.fast)

    def make(left: Sequence[Line]) -> Iterator[LineResult]:
        with engine_host.engine_for(job.pack, job.device, lambda _done, _text: None, lambda: False) as engine:
            yield from _make(engine, left, job, chosen.root)

    return run_through(lines, job, chosen.resume, make, report)


def _completed(line: Line, chosen: argparse.Namespace) -> Line:
    """A row with the preset and the character it did not name."""
    wanted = line.export.casefold()
    known = {name.casefold(): name for name in PRESETS}
    known |= {preset.label.casefold(): name for name, preset in PRESETS.items()}
    problem = line.problem
    if wanted and wanted not in known:
        problem = problem or f'There is no export "{line.export}"; write one of {", ".join(PRESETS)}.'
    character = line.character or chosen.character
    if character is not None:
        character = character.resolve()
    return replace(line, export=known.get(wanted, chosen.export), character=character, problem=problem)


def _make(engine: MotionEngine, lines: Sequence[Line], job: Job, root: str) -> Iterator[LineResult]:
    """Make rows one after another; what became of each is kept in the batch's folder."""
    from ..engine.batch.records import store
    from ..engine.batch.work import failed, faulty, reviewed

    with ThreadPoolExecutor(1) as thread:
        waiting = [thread.submit(_motion, engine, line) for line in lines[:1]]
        for index, line in enumerate(lines):
            motion = waiting.pop()
            if index + 1 < len(lines):
                waiting.append(thread.submit(_motion, engine, lines[index + 1]))
            try:
                made, wave = motion.result()
                files = _export(made, line, job.out, root)
                result = reviewed(made, wave, line, job, files)
            except StorageError:
                raise
            except EngineError as problem:
                result = failed(line, str(problem))
            except Exception as problem:  # one row must not cost the others
                result = faulty(line, problem)
            store(result, job.out)
            yield result


def _motion(engine: MotionEngine, line: Line) -> tuple[GenerateResult, FloatArray | None]:
    """A row's motion, made in the thread."""
    from ..engine.batch.work import request_of

    if line.problem:
        raise CharacterError(line.problem)
    request, wave = request_of(line)
    return engine.generate(request), wave


def _export(made: GenerateResult, line: Line, out: Path, root: str) -> tuple[str, ...]:
    """Write a motion onto its character and export that; names of the files."""
    from .bridge.sound import scene_fps

    with _character(line.character) as armature:
        scene = bpy.context.scene
        clip = generation.at_scene_rate(made.clip, scene_fps(scene), made.motion_s)
        delivery.deliver(clip, armature, PARTS, 1, line.name[:ACTION_NAME_LENGTH])
        scene.frame_start, scene.frame_end = 1, clip.num_frames
        path = out / f"{line.name}{PRESETS[line.export].suffix}"
        export_take(armature, scene, line.export, root, path)
    return (path.name,)


@contextmanager
def _character(path: Path | None) -> Iterator[bpy.types.Object]:
    """A character in a file of its own, which is left as it lies on the disk."""
    if path is None:
        bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
        yield add_default_character(bpy.context)
        return
    if not path.is_file():
        raise CharacterError(f'There is no file "{path}": check the column "character".')
    try:
        bpy.ops.wm.open_mainfile(filepath=str(path), load_ui=False, use_scripts=False)
    except RuntimeError as problem:
        raise CharacterError(f'"{path.name}" cannot be opened: save it again as a Blender file.') from problem
    yield _found(path)


def _found(path: Path) -> bpy.types.Object:
    """The character of the file that is open: the one chosen in its panel, else the only one it has."""
    from .bridge.armature import read_rig

    scene = bpy.context.scene
    if scene.kinesics.character is not None:
        return scene.kinesics.character
    found: list[bpy.types.Object] = []
    for item in scene.objects:
        if item.type == "ARMATURE":
            try:
                read_rig(item)
            except EngineError:
                continue
            found.append(item)
    if len(found) != 1:
        what = "no armature that is known" if not found else f"{len(found)} characters"
        raise CharacterError(f'"{path.name}" has {what}: choose one in the Kinesics panel and save the file.')
    return found[0]


_registered: list[Any] = []


def attach() -> None:
    """Make the command known to Blender."""
    _registered.append(bpy.utils.register_cli_command(COMMAND, command))


def detach() -> None:
    """Take it away again."""
    while _registered:
        bpy.utils.unregister_cli_command(_registered.pop())
