# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job from end to end in headless Blender: a speech file becomes a moving character.

    python tools/demo.py [--audio FILE] [--walk "walk forward"] [--out build/demo]

Adds the character, puts the speech in the sequencer, directs the face, hands and upper body from
speech and the lower body by text, generates, exports FBX, renders a preview with sound and a
contact sheet, saves the .blend, and prints what took how long.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
ADDON = "bl_ext.user_default.kinesics"
FPS = 30
PREVIEW_SIZE = (640, 360)


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


class Stopwatch:
    """Names and seconds of the steps done so far."""

    def __init__(self) -> None:
        """Start with nothing measured."""
        self.steps: list[tuple[str, float]] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a block and say that it runs."""
        print(f"  {name} ...", flush=True)
        start = time.perf_counter()
        yield
        self.steps.append((name, time.perf_counter() - start))

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that also records its time."""

        def wrapper(*arguments: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                self.steps.append((name, time.perf_counter() - start))

        return wrapper

    def table(self) -> str:
        """All steps, one per line, and their sum without the indented parts."""
        width = max(len(name) for name, _ in self.steps)
        lines = [f"{name:<{width}}  {seconds:7.2f} s" for name, seconds in self.steps]
        total = sum(seconds for name, seconds in self.steps if not name.startswith(" "))
        return "\n".join([*lines, "-" * (width + 11), f"{'total':<{width}}  {total:7.2f} s"])


def enable_extension() -> None:
    """Enable this checkout as an extension in throw-away preferences."""
    import addon_utils
    import bpy

    folder = Path(os.environ["BLENDER_USER_RESOURCES"]) / "extensions" / "user_default"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kinesics").symlink_to(REPOSITORY, target_is_directory=True)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    addon_utils.enable(ADDON, default_set=True)
    if ADDON not in bpy.context.preferences.addons:
        raise DemoError("the extension could not be enabled; see the messages above")


def direct(audio: Path, walk: str, seed: int) -> Any:
    """Put the speech on the timeline and fill in the panel; returns the sound strip."""
    import bpy

    scene = bpy.context.scene
    scene.render.fps = FPS
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    strip = strips.new_sound(audio.stem, str(audio), 1, 1)
    editor.active_strip = strip
    scene.frame_start, scene.frame_end = 1, int(strip.frame_final_end) - 1
    settings = scene.kinesics
    settings.audio_source, settings.seed = "STRIP", seed
    for part in ("face", "hands", "upper"):
        getattr(settings, part).source = "SPEECH"
    settings.lower.source, settings.lower.text = "TEXT", walk
    return strip


def generate(watch: Stopwatch, pack: Path | None) -> None:
    """Load the model, then press Generate."""
    import importlib

    import bpy

    host = importlib.import_module(f"{ADDON}.operators.engine_host")
    delivery = importlib.import_module(f"{ADDON}.operators.delivery")
    operator = importlib.import_module(f"{ADDON}.operators.generate")
    preferences = bpy.context.preferences.addons[ADDON].preferences
    if pack is not None:
        preferences.pack_dir = str(pack.resolve())
    with watch.step("import torch"):
        importlib.import_module("torch")
    folder, device = operator.pack_folder(preferences), preferences.device.lower()
    with (
        watch.step("load the model"),
        host.engine_for(folder, device, lambda _done, _text: None, lambda: False),
    ):
        pass
    plain = delivery.deliver
    delivery.deliver = watch.timed("  of that, writing the keys", plain)
    try:
        with watch.step("generate"):
            result = bpy.ops.kinesics.generate("EXEC_DEFAULT")
    finally:
        delivery.deliver = plain
    if result != {"FINISHED"}:
        raise DemoError("Generate did not finish; see the message above")
    written = watch.steps.pop(-2)
    watch.steps.append(written)


def run(options: argparse.Namespace) -> None:
    """Do everything the module's description says."""
    watch = Stopwatch()
    out: Path = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    with watch.step("import Blender"):
        import bpy
    with watch.step("enable the extension"):
        enable_extension()
    import demo_stage

    with watch.step("add the character"):
        bpy.ops.kinesics.add_character()
    direct(options.audio.resolve(), options.walk, options.seed)
    generate(watch, options.pack)
    character = bpy.context.scene.kinesics.character
    with watch.step("export FBX"):
        bpy.ops.kinesics.export(preset="UNREAL", filepath=str(out / "demo.fbx"))
    with watch.step("build the stage"):
        demo_stage.build(character, options.size)
    with watch.step("contact sheet"):
        demo_stage.contact_sheet(character, out / "contact_sheet.png")
    if not options.no_video:
        with watch.step("render the preview with sound"):
            demo_stage.preview(out / "demo.mp4", options.size)
    with watch.step("save the .blend"):
        bpy.ops.wm.save_as_mainfile(filepath=str(out / "demo.blend"), copy=False)
    scene = bpy.context.scene
    seconds = (scene.frame_end - scene.frame_start + 1) / FPS
    print(f"\n{options.audio.name}: {seconds:.2f} s of speech, lower body: {options.walk!r}\n")
    print(watch.table())
    print(f"\nWritten to {out}:")
    for path in sorted(out.iterdir()):
        print(f"  {path.name:<20} {path.stat().st_size / 1e6:7.2f} MB")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--audio", type=Path, default=REPOSITORY / "examples" / "hello.flac")
    parser.add_argument("--walk", default="walk forward", help="what the lower body shall do")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "build" / "demo")
    parser.add_argument("--pack", type=Path, default=None, help="model pack; the bundled one by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, nargs=2, default=PREVIEW_SIZE, metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--no-video", action="store_true", help="leave the preview video out")
    options = parser.parse_args()
    if not options.audio.is_file():
        print(f"error: the sound file {options.audio} does not exist", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="kinesics-demo-") as resources:
        os.environ["BLENDER_USER_RESOURCES"] = resources
        try:
            run(options)
        except DemoError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except Exception as error:
            expected = sys.modules.get(f"{ADDON}.engine.errors")
            if isinstance(error, RuntimeError):  # operators report their one sentence this way
                print(f"{error}".strip(), file=sys.stderr)
            elif expected is not None and isinstance(error, expected.EngineError):
                print(f"error: {error}", file=sys.stderr)
            else:
                traceback.print_exc()
            return 1
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY / "tools"))
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # bpy 4.5 may hang when the interpreter takes it down
