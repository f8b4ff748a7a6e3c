# SPDX-License-Identifier: GPL-3.0-or-later
"""A character posed as the motion that is being made, as far as it is finished, without a key.

Only values of pose bones, shape keys and a control rig's switches change, and each goes back to what it was:
actions, slots and keys are not touched, so nothing is written before the motion is complete. What animation
or the animator sets meanwhile counts as what was there. Before a file is saved and while one renders, the
preview is put away.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np
import numpy.typing as npt
from mathutils import Quaternion

from ...engine.specs import MOTION_FPS, Part
from . import shape_keys
from .armature import PELVIS, BonePoses, Rig, clip_to_bones

if TYPE_CHECKING:
    from ...engine.motion.retargeting import MappedRig
    from ...engine.specs import Glimpse
    from .shape_keys import FaceMesh

Key = tuple[str, str, str]
"""A value that can be put back: kind of its owner (or the mesh's name), owner, property."""

BONE = "bone"

PROMPT_S = 0.2
"""Where poses take longer than this to be drawn, as without a graphics card, the preview gives way for good:
Esc and buttons come first."""

PATIENCE = 2
"""Slow drawings in a row that are put up with."""


@dataclass(frozen=True)
class _Shown:
    """A glimpse as values of one character.

    Attributes:
        first: Its first frame at `MOTION_FPS`.
        parts: Parts that it moves.
        poses: Channels of its bones.
        faces: Face meshes with values of their channels, (F, channels) each.
    """

    first: int
    parts: tuple[Part, ...]
    poses: BonePoses
    faces: tuple[tuple[FaceMesh, npt.NDArray[np.float32]], ...]

    @property
    def stop(self) -> int:
        """Frame after its last one."""
        return self.first + len(self.poses.quaternions)


class Preview:
    """The finished frames of one character's motion.

    While the scene stays at its frame, they play from the first one on; once the animator goes to another
    frame, the character shows what is made for it.

    Args:
        armature: The character.
        rig: Its bones.
        faces: Its face meshes for each basis of a clip's face channels.
        scene_name: Scene whose frame counts.
        frame_start: Scene frame of the motion's first frame.
        fps: Rate of the scene.
    """

    def __init__(
        self,
        armature: bpy.types.Object,
        rig: Rig | MappedRig,
        faces: dict[str, list[FaceMesh]],
        scene_name: str,
        frame_start: int,
        fps: float,
    ) -> None:
        self._uid, self._rig, self._faces = armature.session_uid, rig, faces
        self._scene_name, self._frame_start, self._fps = scene_name, frame_start, fps
        self._frame_then = self._frame_now()
        self._news: SimpleQueue[_Shown] = SimpleQueue()
        self._shown: list[_Shown] = []
        self._began_s: float | None = None
        self._posed_s: float | None = None
        self._num_slow = 0
        self._before: dict[Key, Any] = {}
        self._set: dict[Key, Any] = {}
        self._paused = False
        self._locked: frozenset[Part] = frozenset()
        self._handlers: list[tuple[Any, Any]] = []

    def add(self, glimpse: Glimpse) -> None:
        """Take in frames that are finished; for the thread that makes them, and so without Blender's data."""
        from ...engine.motion.face_bases import with_jaw_bone

        clip = glimpse.clip
        found = self._faces.get(clip.basis, [])
        poses = clip_to_bones(clip if found else with_jaw_bone(clip), self._rig)
        moved = found if Part.FACE in glimpse.parts else []
        faces = tuple((face, shape_keys.face_values(face, clip)) for face in moved)
        self._news.put(_Shown(glimpse.first, glimpse.parts, poses, faces))

    def tick(self, locked: frozenset[Part]) -> None:
        """Show what belongs to this moment.

        Args:
            locked: Parts that are left as they are.
        """
        while True:
            try:
                news = self._news.get_nowait()
            except Empty:
                break
            self._shown.append(news)
        if not self._shown or self._paused or self._gave_way():
            return
        if self._began_s is None:
            self._began_s = time.monotonic()
            self._frame_then = self._frame_now()
            self._watch()
        self._locked = locked
        if self._posed_s is not None and not bpy.app.background:  # drawn since the last look
            slow = time.monotonic() - self._posed_s > PROMPT_S
            self._num_slow = self._num_slow + 1 if slow else 0
            if self._gave_way():
                self._put_back()
                return
        self._pose()
        self._posed_s = time.monotonic()

    @property
    def num_frames(self) -> int:
        """Frames at `MOTION_FPS` that can be seen so far."""
        return max((item.stop for item in self._shown), default=0)

    def end(self) -> None:
        """Put everything back; harmless when called twice."""
        while self._handlers:
            handlers, function = self._handlers.pop()
            if function in handlers:  # Blender empties the lists when it loads a file
                handlers.remove(function)
        self._shown.clear()
        self._put_back()

    def _gave_way(self) -> bool:
        return self._num_slow >= PATIENCE

    def _watch(self) -> None:
        """Follow the timeline, and stay out of files and pictures."""
        known = bpy.app.handlers

        def follow(scene: bpy.types.Scene, *_more: object) -> None:
            shows = not self._paused and not self._gave_way()
            if scene.name == self._scene_name and shows and not bpy.app.is_job_running("RENDER"):
                self._pose()

        def hide(*_more: object) -> None:
            self._put_back()

        def pause(*_more: object) -> None:
            self._paused = True
            self._put_back()

        def go_on(*_more: object) -> None:
            self._paused = False

        self._handlers = [
            (known.frame_change_post, follow),
            (known.save_pre, hide),
            (known.render_init, pause),
            (known.render_complete, go_on),
            (known.render_cancel, go_on),
        ]
        for handlers, function in self._handlers:
            handlers.append(function)

    def _armature(self) -> bpy.types.Object | None:
        return next((item for item in bpy.data.objects if item.session_uid == self._uid), None)

    def _frame_now(self) -> int | None:
        scene = bpy.data.scenes.get(self._scene_name)
        return scene.frame_current if scene is not None else None

    def _place(self) -> int | None:
        """Finished frame that shall be seen now; None where there is none for the scene's frame."""
        now = self._frame_now()
        if now == self._frame_then and self._began_s is not None:
            return min(int((time.monotonic() - self._began_s) * MOTION_FPS), self.num_frames - 1)
        self._frame_then = None  # from here on the timeline counts
        place = round(((now or 0) - self._frame_start) / self._fps * MOTION_FPS)
        return place if 0 <= place < self.num_frames else None

    def _pose(self) -> None:
        """Set all values of the frame that shall be seen."""
        armature, place = self._armature(), self._place()
        newest = reversed(self._shown)
        shown = next((item for item in newest if place is not None and item.first <= place < item.stop), None)
        if armature is None or shown is None or place is None:
            self._put_back()
            return
        for key, value in self._values(armature, shown, place - shown.first):
            self._write(armature, key, value)

    def _values(self, armature: bpy.types.Object, shown: _Shown, row: int) -> Iterator[tuple[Key, Any]]:
        """What each of the character's values shall be."""
        parts = tuple(part for part in shown.parts if part not in self._locked)
        for bone in self._rig.bones_of(parts):
            name = self._rig.bone_names[bone]
            turn = Quaternion(shown.poses.quaternions[row, bone].tolist())
            mode = armature.pose.bones[name].rotation_mode if name in armature.pose.bones else ""
            if mode == "QUATERNION":
                yield (BONE, name, "rotation_quaternion"), tuple(turn)
            elif mode == "AXIS_ANGLE":
                axis, angle = turn.to_axis_angle()
                yield (BONE, name, "rotation_axis_angle"), (angle, *axis)
            elif mode:
                yield (BONE, name, "rotation_euler"), tuple(turn.to_euler(mode))
            if bone == PELVIS and mode:
                yield (BONE, name, "location"), tuple(shown.poses.pelvis_locations[row].tolist())
        if Part.FACE in parts:
            for face, values in shown.faces:
                for block, value in zip(face.blocks.values(), values[row].tolist(), strict=True):
                    yield (face.mesh_name, block, "value"), value
        if not isinstance(self._rig, Rig):
            from ...engine.motion.rig_names import KINDS

            for name, prop, value in KINDS[self._rig.mapping.kind].switches:
                if name in armature.pose.bones and armature.pose.bones[name].get(prop) is not None:
                    kind = type(armature.pose.bones[name][prop])
                    yield (BONE, name, f'["{prop}"]'), kind(value)

    def _write(self, armature: bpy.types.Object, key: Key, value: Any) -> None:
        """Set one value, and remember what stood there unless it was the preview's own."""
        owner = _owner(armature, key)
        if owner is None:
            return
        there = _read(owner, key[2])
        if key not in self._set or there != self._set[key]:
            self._before[key] = there
        _assign(owner, key[2], value)
        self._set[key] = _read(owner, key[2])

    def _put_back(self) -> None:
        """Give every value back, except where something else has set it meanwhile."""
        armature = self._armature() if self._before else None
        if armature is not None:
            for key, value in self._before.items():
                owner = _owner(armature, key)
                if owner is not None and _read(owner, key[2]) == self._set[key]:
                    _assign(owner, key[2], value)
            armature.update_tag()
        self._before.clear()
        self._set.clear()


def _owner(armature: bpy.types.Object, key: Key) -> Any:
    """The bone or shape key that a value belongs to, None where it is gone."""
    if key[0] == BONE:
        return armature.pose.bones.get(key[1])
    mesh = bpy.data.meshes.get(key[0])
    return mesh.shape_keys.key_blocks.get(key[1]) if mesh is not None and mesh.shape_keys else None


def _read(owner: Any, name: str) -> Any:
    """A property's value as plain numbers."""
    value = owner[name[2:-2]] if name.startswith("[") else getattr(owner, name)
    return tuple(value) if hasattr(value, "__len__") else value


def _assign(owner: Any, name: str, value: Any) -> None:
    """Set a property."""
    if name.startswith("["):
        owner[name[2:-2]] = value
    else:
        setattr(owner, name, value)
