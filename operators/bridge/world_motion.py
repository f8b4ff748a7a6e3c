# SPDX-License-Identifier: GPL-3.0-or-later
"""Bones as they are seen, in engine axes, for files that know no rest orientations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy
import numpy as np

from .armature import ENGINE_TO_BLENDER
from .sound import scene_fps
from .stand_in import Seen, root_bone

if TYPE_CHECKING:
    from ...engine.motion.bvh_writer import WorldMotion

_MOVING = 1e-7


def read(armature: bpy.types.Object, scene: bpy.types.Scene, seen: Seen, pelvis: str) -> WorldMotion:
    """The bones that hang on the topmost one above the pelvis, Y up, metres.

    An object that moves comes first, as a bone of its own, since the way of the root would be lost otherwise.
    """
    from ...engine.motion.bvh_writer import WorldMotion

    top = armature.data.bones[root_bone(armature, pelvis) or pelvis]
    wanted = {top.name, *(bone.name for bone in top.children_recursive)}
    names = [name for name in seen.bone_names if name in wanted]
    rest = np.array([seen.armature[0] @ np.array(armature.data.bones[name].matrix_local) for name in names])
    tails = np.array(
        [(seen.armature[0] @ np.array([*armature.data.bones[name].tail_local, 1.0]))[:3] for name in names]
    )
    bones = seen.bones[:, [seen.bone_names.index(name) for name in names]]
    index = {name: place for place, name in enumerate(names)}
    parents = [index[armature.data.bones[name].parent.name] if name != top.name else -1 for name in names]
    if np.abs(seen.armature - seen.armature[0]).max() > _MOVING:
        names, parents = [armature.name, *names], [-1, *(parent + 1 for parent in parents)]
        rest = np.concatenate([seen.armature[:1], rest])
        tails = np.concatenate([rest[:1, :3, 3] + (0.0, 0.0, 0.1), tails])
        bones = np.concatenate([seen.armature[:, None], bones], axis=1)
    length = scene.unit_settings.scale_length
    turns = _rotations(bones) @ _rotations(rest).transpose(0, 2, 1)
    back = ENGINE_TO_BLENDER.T
    return WorldMotion(
        names=tuple(names),
        parents=tuple(parents),
        heads=rest[:, :3, 3] @ ENGINE_TO_BLENDER * length,
        tails=tails @ ENGINE_TO_BLENDER * length,
        turns=back @ turns @ ENGINE_TO_BLENDER,
        places=bones[..., :3, 3] @ ENGINE_TO_BLENDER * length,
        fps=scene_fps(scene),
    )


def _rotations(matrices: np.ndarray) -> np.ndarray:
    turns = matrices[..., :3, :3]
    return turns / np.linalg.norm(turns, axis=-2, keepdims=True)
