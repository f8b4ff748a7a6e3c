# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing a minute of motion: our bulk keys against keyframe_insert, in one Blender process.

    python benchmarks/keyframes.py

60 s at 30 frames per second on 55 bones (four rotation channels each, three root channels) and 52 shape keys.
`keyframe_insert` is measured on fewer frames and scaled, since its cost per key only grows.
"""

from __future__ import annotations

import importlib
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

LIMIT_S = 0.5
NUM_FRAMES = 1800
INSERT_FRAMES = 60
REPEATS = 5
ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Measure, print a table, and fail above the limit."""
    sys.path.insert(0, str(ROOT))
    from tests.blender.support import add_face, bpy, disable, enable, make_clip

    enable()
    delivery = importlib.import_module("bl_ext.user_default.kinesics.operators.delivery")
    build = importlib.import_module("bl_ext.user_default.kinesics.operators.bridge.armature").build_armature
    parts = tuple(importlib.import_module("bl_ext.user_default.kinesics.engine.specs").Part)
    clip = make_clip(NUM_FRAMES)

    def fresh() -> Any:
        bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
        bpy.context.scene.render.fps = 30
        armature = build("Ada")
        add_face(armature)
        return armature

    first: list[float] = []
    again: list[float] = []
    beside: list[float] = []
    for _ in range(REPEATS):
        armature = fresh()
        for times, frame in ((first, 1), (again, 1), (beside, NUM_FRAMES + 1)):
            start = time.perf_counter()
            delivery.deliver(clip, armature, parts, frame, "Take")
            times.append(time.perf_counter() - start)
    armature = fresh()
    keys = bpy.data.objects["Face"].data.shape_keys
    start = time.perf_counter()
    for frame in range(1, INSERT_FRAMES + 1):
        for bone in armature.pose.bones:
            bone.keyframe_insert("rotation_quaternion", frame=frame)
        armature.pose.bones["pelvis"].keyframe_insert("location", frame=frame)
        for block in keys.key_blocks[1:]:
            block.keyframe_insert("value", frame=frame)
    insert_s = (time.perf_counter() - start) * NUM_FRAMES / INSERT_FRAMES
    written, rewritten = statistics.median(first), statistics.median(again)
    print(f"Blender {bpy.app.version_string}, {NUM_FRAMES} frames, 223 bone channels, 52 shape keys")
    factor = f"{insert_s / written:.1f} times"
    print(f"writing, median of {REPEATS}                       {written:7.3f} s   (limit {LIMIT_S} s)")
    print(f"writing over it again, median of {REPEATS}         {rewritten:7.3f} s")
    print(f"writing a second minute after it, median of {REPEATS}   {statistics.median(beside):7.3f} s")
    print(f"keyframe_insert, {INSERT_FRAMES} frames scaled up         {insert_s:7.3f} s   ({factor})")
    disable()
    sys.stdout.flush()
    return 0 if max(written, rewritten) <= LIMIT_S else 1


if __name__ == "__main__":
    code = main()
    # Blender 4.5 can hang while the interpreter ends.
    os._exit(code)
