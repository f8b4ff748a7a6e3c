# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests inside Blender share: the extension enabled from the checkout, stand-ins, fingerprints."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
KEY = "bl_ext.user_default.kinesics"
EXIT_LIMIT_S = 60
"""Seconds that leaving the interpreter may take; Blender hangs there when something stays registered."""

RESOURCES = tempfile.mkdtemp(prefix="kinesics-blender-")
os.environ["BLENDER_USER_RESOURCES"] = RESOURCES

bpy = pytest.importorskip("bpy", reason="the Blender tests need the bpy module")


def enable() -> None:
    """Enable the extension as the preferences would."""
    import addon_utils

    folder = Path(RESOURCES) / "extensions" / "user_default"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "kinesics").exists():
        (folder / "kinesics").symlink_to(REPOSITORY, target_is_directory=True)
    addon_utils.enable(KEY, default_set=True)
    assert KEY in bpy.context.preferences.addons, "the extension was not enabled"


def disable() -> None:
    """Disable it again."""
    import addon_utils

    addon_utils.disable(KEY, default_set=True)


def add_face(armature: Any, name: str = "Face", keys: tuple[str, ...] | None = None) -> Any:
    """Give an armature a small mesh with face shape keys, by default the 52 of ARKit."""
    arkit = importlib.import_module(f"{KEY}.engine.motion.arkit")
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)], [], [(0, 1, 2), (0, 2, 3)])
    face = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(face)
    face.modifiers.new("Armature", "ARMATURE").object = armature
    face.shape_key_add(name="Basis")
    for key in keys if keys is not None else arkit.ARKIT_NAMES:
        face.shape_key_add(name=key)
    return face


def make_clip(num_frames: int, fps: float = 30.0, seed: int = 0, speed: float = 3.0) -> Any:
    """A smooth random clip: every joint, the pelvis and the 52 face channels move."""
    clips = importlib.import_module(f"{KEY}.engine.motion.clip")
    rng = np.random.default_rng(seed)
    times = np.arange(num_frames)[:, None] / fps
    rest = clips.Clip.rest(num_frames, fps)

    def wave(width: int, size: float) -> np.ndarray:
        return size * np.sin(times * speed * rng.uniform(0.5, 1.5, width) + rng.uniform(0, 6, width))

    return clips.Clip(
        fps=fps,
        poses=wave(165, 0.4).reshape(num_frames, 55, 3),
        trans=rest.trans + wave(3, 0.2),
        expressions=0.5 + wave(52, 0.5),
        expression_names=rest.expression_names,
        basis="arkit",
    )


class StandInEngine:
    """Stands in for the engine in tests of Blender's side: a clip that depends on seed and length only."""

    def __init__(self) -> None:
        """Remember requests; `steps` progress reports of `step_s` seconds each."""
        self.requests: list[Any] = []
        self.steps = 2
        self.step_s = 0.0
        self.error: Exception | None = None

    def generate_many(
        self, requests: Any, progress: Any = None, cancel: Any = None, show: Any = None
    ) -> list[Any]:
        """Make the clips as the engine would: exact length, kept parts copied, cancel between steps."""
        errors = importlib.import_module(f"{KEY}.engine.errors")
        self.requests += requests
        for step in range(self.steps):
            if cancel is not None and cancel():
                raise errors.Cancelled("Stopped.")
            if progress is not None:
                progress((step + 1) / self.steps, "Moving")
            if show is not None:
                self._show(requests[0], step, show)
            time.sleep(self.step_s)
        if self.error is not None:
            raise self.error
        return [self._made(request) for request in requests]

    def generate(self, request: Any, progress: Any = None, cancel: Any = None) -> Any:
        """Make one clip."""
        return self.generate_many([request], progress, cancel)[0]

    def _show(self, request: Any, step: int, show: Any) -> None:
        """Show the frames of one step, as an engine shows its windows."""
        specs = importlib.import_module(f"{KEY}.engine.specs")
        clip = self._made(request).clip
        first, stop = (round(clip.num_frames * place / self.steps) for place in (step, step + 1))
        kept = {part for part, said in request.directions.items() if said.source is specs.Source.KEEP}
        if stop > first:
            parts = tuple(part for part in specs.Part if part not in kept)
            show(specs.Glimpse(first, clip.slice(first, stop), parts))

    def _made(self, request: Any) -> Any:
        specs = importlib.import_module(f"{KEY}.engine.specs")
        clip = make_clip(max(1, round(request.duration_s * 30)), seed=request.sampling.seed)
        for part, direction in request.directions.items():
            if direction.source is specs.Source.KEEP:
                clip = clip.with_part(part, request.kept)
        return specs.GenerateResult(clip, clip.duration_s, 0.0, {})


def write_sound(path: Path, seconds: float, rate: int = 16000, channels: int = 1, **options: Any) -> Path:
    """Write a ramp of pitch and loudness by soundfile, in the format of the file's suffix."""
    import soundfile

    times = np.arange(round(seconds * rate)) / rate
    tone = 0.4 * np.sin(2 * np.pi * (150 + 40 * times) * times) * (0.6 + 0.4 * np.sin(8 * times))
    soundfile.write(path, np.repeat(tone[:, None], channels, axis=1), rate, **options)
    return path


needs_audaspace = pytest.mark.skipif(
    not bpy.app.build_options.audaspace, reason="this build of Blender has no Audaspace, so no sound strips"
)


def add_strip(path: Path, frame_start: int = 1, name: str = "Line 1") -> Any:
    """Put a sound on the timeline and make it the active strip."""
    scene = bpy.context.scene
    editor = scene.sequence_editor or scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    strip = strips.new_sound(name, str(path), channel=1, frame_start=frame_start)
    editor.active_strip = strip
    return strip


def keys_of(datablock: Any) -> dict[tuple[str, int], np.ndarray]:
    """Keys (N, 2) of every fcurve of a datablock, by path and index."""
    actions = importlib.import_module(f"{KEY}.operators.bridge.action")
    found: dict[tuple[str, int], np.ndarray] = {}
    for fcurve in actions.fcurves_of(datablock):
        keys = np.empty(2 * len(fcurve.keyframe_points), dtype=np.float32)
        fcurve.keyframe_points.foreach_get("co", keys)
        found[fcurve.data_path, fcurve.array_index] = keys.reshape(-1, 2)
    return found


def all_properties(datablock: Any, low: float, high: float) -> dict[tuple[str, int], list[Any]]:
    """Every property of every key outside [low, high]."""
    actions = importlib.import_module(f"{KEY}.operators.bridge.action")
    names = ["co", "handle_left", "handle_right", "interpolation", "handle_left_type", "handle_right_type"]
    names += ["easing", "type", "back", "amplitude", "period", "select_control_point"]

    def plain(value: Any) -> Any:
        return value if isinstance(value, str | float | int) else tuple(value)

    return {
        (fcurve.data_path, fcurve.array_index): [
            [plain(getattr(key, name)) for name in names]
            for key in fcurve.keyframe_points
            if not low <= key.co[0] <= high
        ]
        for fcurve in actions.fcurves_of(datablock)
    }


def fingerprint() -> str:
    """A hash over all that a failed or cancelled Generate must leave as it was."""
    digest = hashlib.sha256()
    for name in sorted(dir(bpy.data)):
        collection = getattr(bpy.data, name)
        if isinstance(collection, bpy.types.bpy_prop_collection):
            digest.update(repr((name, [(item.name, item.users) for item in collection])).encode())
    for item in bpy.data.objects:
        digest.update(repr((item.name, tuple(item.location), tuple(item.rotation_euler))).encode())
        digest.update(repr(item.animation_data is None).encode())
        for path, keys in keys_of(item).items():
            digest.update(repr(path).encode() + keys.tobytes())
        for bone in item.pose.bones if item.pose else ():
            turns = (tuple(bone.rotation_quaternion), tuple(bone.rotation_euler))
            pose = (bone.rotation_mode, *turns, tuple(bone.location))
            digest.update(repr(pose).encode())
    for keys in bpy.data.shape_keys:
        digest.update(repr([(b.name, b.value, b.slider_min, b.slider_max) for b in keys.key_blocks]).encode())
        for path, points in keys_of(keys).items():
            digest.update(repr(path).encode() + points.tobytes())
    for scene in bpy.data.scenes:
        digest.update(repr((scene.frame_current, scene.frame_start, scene.frame_end)).encode())
        editor = scene.sequence_editor
        strips = getattr(editor, "strips_all" if hasattr(editor, "strips_all") else "sequences_all", ())
        places = [(strip.name, strip.frame_final_start, strip.frame_final_end) for strip in strips]
        digest.update(repr((places, scene.kinesics.character and scene.kinesics.character.name)).encode())
    return digest.hexdigest()


REMEDIES = (
    "(add|bake|choose|click|close|convert|copy|cut|describe|do not use|download|export|get|install|"
    "it must last|leave|make|move|open|or|parent|press|push|remove|render|restore|select|set|shorten|"
    "switch|unmute|use|write)"
)
"""What an animator is told to do begins with one of these."""


def refusal(operation: Callable[[], Any]) -> str:
    """Run an operator that must refuse; returns its one sentence."""
    with pytest.raises(RuntimeError) as caught:
        operation()
    text = str(caught.value)
    assert text.startswith("Error: "), text
    sentence = text.removeprefix("Error: ").strip()
    assert "\n" not in sentence and sentence.endswith(".") and ". " not in sentence, sentence
    assert re.search(rf"[:;,] (so )?{REMEDIES}", sentence), f"no remedy: {sentence}"
    return sentence


ESC = SimpleNamespace(type="ESC", value="PRESS")
TIMER = SimpleNamespace(type="TIMER", value="NOTHING")
MOUSE = SimpleNamespace(type="MOUSEMOVE", value="NOTHING")


class Modal:
    """A modal operator without a window: Blender in the background never calls `modal` by itself."""

    def __init__(self, generate: Any, plan: Any = None) -> None:
        """Begin as `invoke` does; without a plan, as that of Generate does."""
        self.reports: list[tuple[str, str]] = []
        operator = generate.KINESICS_OT_generate
        self.modal = operator.modal.__get__(self)
        self.cancel = operator.cancel.__get__(self)
        self._finish = operator._finish.__get__(self)
        self._write = operator._write.__get__(self)
        self._timer = None
        generate._session = generate.Session(plan or generate.read_plan(bpy.context))

    def report(self, kinds: set[str], text: str) -> None:
        """What the animator is told."""
        self.reports.append((next(iter(kinds)), text))

    def run(self, limit_s: float = 20.0) -> set[str]:
        """Send timer events until it ends."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            outcome = self.modal(bpy.context, TIMER)
            if outcome != {"PASS_THROUGH"}:
                return outcome
            time.sleep(0.005)
        raise AssertionError("the operator did not end")
