# SPDX-License-Identifier: GPL-3.0-or-later
"""Put new values into a stretch of channels that exist already, in whatever way they were keyed.

The first and the last frame of the stretch keep the channel's own value, so what lies outside goes on from
where it was: a channel without keys stands still outside, and motion in NLA strips plays on. Where the
stretch cuts a Bezier segment between two keys that lie apart, what is left of it keeps its shape by one more
key, a frame from the key there, whose own handles must not change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np
import numpy.typing as npt
from mathutils import Euler, Quaternion

from ..errors import CharacterError
from . import action, bezier
from .action import BEZIER, CONSTANT, LINEAR, Channel
from .armature import PELVIS, BonePoses, Rig

if TYPE_CHECKING:
    from ...engine.motion.retargeting import MappedRig

DoubleArray = npt.NDArray[np.float64]

FREE = 0
"""Blender's number for a handle that nothing recomputes."""

_KEPT_AT_START = ("handle_left", "handle_left_type", "select_control_point", "select_left_handle")
_KEPT_AT_END = (
    "handle_right", "handle_right_type", "interpolation", "easing", "back", "amplitude", "period",
    "select_control_point", "select_right_handle",
)  # fmt: skip


@dataclass(frozen=True)
class Curves:
    """Channels with their values.

    Attributes:
        channels: C channels.
        values: (F, C).
        breaks: Whether the last step changes to another way of writing the same rotation, so that it must
            not be interpolated, (C,).
    """

    channels: list[Channel]
    values: DoubleArray
    breaks: list[bool]


def bone_curves(
    armature: bpy.types.Object, rig: Rig | MappedRig, poses: BonePoses, bones: list[int], frame_start: int
) -> Curves:
    """Channels of some bones of a rig in the rotation mode that each bone has."""
    channels: list[Channel] = []
    columns: list[DoubleArray] = []
    breaks: list[bool] = []
    frame_end = frame_start + len(poses.quaternions) - 1
    for bone in bones:
        name = rig.bone_names[bone]
        turn = rotation_channels(armature, name)
        ends = [_own_values(armature, turn, frame) for frame in (frame_start, frame_end)]
        mode = armature.pose.bones[name].rotation_mode
        values = _in_mode(poses.quaternions[:, bone], mode, ends[0])
        channels += turn
        columns.append(values)
        far = ends[1] is not None and np.abs(_normal(ends[1], mode) - values[-1]).max() > 0.1
        breaks += [bool(far)] * len(turn)
        if bone == PELVIS:
            columns.append(poses.pelvis_locations)
            channels += location_channels(name)
            breaks += [False] * 3
    return Curves(channels, np.concatenate(columns, axis=1), breaks)


def rotation_channels(armature: bpy.types.Object, bone_name: str) -> list[Channel]:
    """Rotation channels of a bone in its own rotation mode."""
    mode = armature.pose.bones[bone_name].rotation_mode
    ending, width = {"QUATERNION": ("rotation_quaternion", 4), "AXIS_ANGLE": ("rotation_axis_angle", 4)}.get(
        mode, ("rotation_euler", 3)
    )
    path = f'pose.bones["{bpy.utils.escape_identifier(bone_name)}"].{ending}'
    return [Channel(path, index, bone_name) for index in range(width)]


def location_channels(bone_name: str) -> list[Channel]:
    """Location channels of a bone."""
    path = f'pose.bones["{bpy.utils.escape_identifier(bone_name)}"].location'
    return [Channel(path, index, bone_name) for index in range(3)]


def check(datablock: bpy.types.ID, owner: str, channels: list[Channel], first: int, last: int) -> None:
    """Refuse channels whose keys are not what is seen, before anything is changed.

    Args:
        datablock: Object or shape key datablock.
        owner: The character's name, for messages.
        channels: Channels to be written.
        first: First frame of the stretch.
        last: Last frame of the stretch.

    Raises:
        CharacterError: Naming what stands in the way and the remedy.
    """
    animation = datablock.animation_data
    if animation is None:
        return
    driven = {(driver.data_path, driver.array_index) for driver in animation.drivers}
    for channel in channels:
        label = channel.group or channel.path.split('"')[1]
        if (channel.path, channel.index) in driven:
            raise CharacterError(
                f'"{label}" of "{owner}" follows a driver, which new keys cannot change: leave that part out.'
            )
        fcurve = action.find_fcurve(datablock, channel.path, channel.index)
        if fcurve is not None and (fcurve.mute or any(not item.mute for item in fcurve.modifiers)):
            raise CharacterError(
                f'A curve of "{label}" is muted or has modifiers: unmute or bake it in the Graph Editor.'
            )
    if has_strips(datablock) and animation.action is not None:
        _check_above_strips(datablock, owner, channels, first, last)


def has_strips(datablock: bpy.types.ID) -> bool:
    """Whether NLA strips take part in what is seen."""
    animation = datablock.animation_data
    if animation is None or not animation.use_nla:
        return False
    return any(not track.mute and len(track.strips) > 0 for track in animation.nla_tracks)


def splice(
    datablock: bpy.types.ID,
    curves: Curves,
    frame_start: int,
    action_name: str,
    shared: bpy.types.Action | None = None,
) -> bpy.types.Action:
    """Put one key per frame on each channel; every key that lies outside these frames stays bit-identical.

    Args:
        datablock: Object or shape key datablock that `check` did not refuse.
        curves: Channels and values; those of the first and last frame give way to the channel's own.
        frame_start: Scene frame of the first row.
        action_name: Name of the action where there is none. Over NLA strips such an action does nothing
            before its first and after its last key.
        shared: Action to use, with a slot of its own, when the datablock has none and Blender has slots.

    Returns:
        The action.
    """
    over_strips = has_strips(datablock) and datablock.animation_data.action is None
    written = action.ensure_action(datablock, action_name, shared)
    if over_strips:
        datablock.animation_data.action_extrapolation = "NOTHING"
    frames = np.arange(frame_start, frame_start + len(curves.values), dtype=np.float32)
    columns = np.ascontiguousarray(curves.values.T, dtype=np.float32)
    for channel, column, broken in zip(curves.channels, columns, curves.breaks, strict=True):
        fcurve = action.ensure_fcurve(datablock, channel)
        keys = _spliced_keys(fcurve, frames, column)
        if broken:
            keys["interpolation"][np.searchsorted(keys["co"][:, 0], frames[-1]) - 1] = CONSTANT
        action.replace_keys(fcurve, keys, frames[0], frames[-1])
    written.update_tag()
    datablock.update_tag()
    return written


Keys = dict[str, npt.NDArray[Any]]
"""Every property of some keys, each (N, width)."""


def _spliced_keys(
    fcurve: bpy.types.FCurve, frames: npt.NDArray[np.float32], values: npt.NDArray[np.float32]
) -> Keys:
    """New keys of a stretch, and beside the keys around it those that keep a cut segment's shape."""
    keys = action.linear_keys(frames, values)
    if len(fcurve.keyframe_points) == 0:
        return keys
    old = action.read_keys(fcurve.keyframe_points)
    start, end = float(frames[0]), float(frames[-1])
    keys["co"][[0, -1], 1] = [fcurve.evaluate(start), fcurve.evaluate(end)]
    pieces: list[Keys] = [keys]
    for frame, row, names in ((start, 0, _KEPT_AT_START), (end, -1, _KEPT_AT_END)):
        here = np.flatnonzero(np.abs(old["co"][:, 0] - frame) < action.FRAME_TOLERANCE)
        if len(here):
            for name in names:
                keys[name][row] = old[name][here[0]]
        elif row == 0:
            pieces.insert(0, _lead_in(fcurve, old, keys, start))
        else:
            pieces.append(_lead_out(fcurve, old, keys, end))
    return {name: np.concatenate([some[name] for some in pieces]) for name in keys}


def _lead_in(fcurve: bpy.types.FCurve, old: Keys, keys: Keys, start: float) -> Keys:
    """Keep the segment before a stretch as it was, by the first new key's handle and keys before it."""
    before, after = _around(old, start)
    if before is None or old["interpolation"][before, 0] in (CONSTANT, LINEAR):
        return _keys_on(fcurve, [])
    frames = np.arange(np.floor(old["co"][before, 0] + action.FRAME_TOLERANCE) + 1.0, start)
    if after is None:
        return _keys_on(fcurve, frames[:1])
    if len(frames) == 0 or old["interpolation"][before, 0] != BEZIER:
        return _keys_on(fcurve, frames)
    curve = bezier.piece(_segment(old, before, after), float(frames[0]), start)
    extra = _keys_on(fcurve, frames[:1])
    extra["interpolation"][:] = BEZIER
    extra["handle_right"][0], keys["handle_left"][0] = curve[1], curve[2]
    extra["handle_right_type"][:] = extra["handle_left_type"][:] = keys["handle_left_type"][0] = FREE
    return extra


def _lead_out(fcurve: bpy.types.FCurve, old: Keys, keys: Keys, end: float) -> Keys:
    """Keep the segment after a stretch as it was, by the last new key's handle and keys after it."""
    before, after = _around(old, end)
    if before is None or after is None:
        return _keys_on(fcurve, [])
    kind = int(old["interpolation"][before, 0])
    keys["interpolation"][-1] = kind if kind in (CONSTANT, LINEAR) else LINEAR
    frames = np.arange(end + 1.0, np.ceil(old["co"][after, 0] - action.FRAME_TOLERANCE))
    if kind != BEZIER or len(frames) == 0:
        return _keys_on(fcurve, [] if kind in (CONSTANT, LINEAR) else frames)
    curve = bezier.piece(_segment(old, before, after), end, float(frames[-1]))
    extra = _keys_on(fcurve, frames[-1:])
    keys["interpolation"][-1] = BEZIER
    keys["handle_right"][-1], extra["handle_left"][0] = curve[1], curve[2]
    extra["handle_right_type"][:] = extra["handle_left_type"][:] = keys["handle_right_type"][-1] = FREE
    return extra


def _around(old: Keys, frame: float) -> tuple[int | None, int | None]:
    """The keys before and after a frame without a key."""
    after = int(np.searchsorted(old["co"][:, 0], frame))
    return after - 1 if after > 0 else None, after if after < len(old["co"]) else None


def _segment(old: Keys, before: int, after: int) -> DoubleArray:
    """Control points between two keys, (4, 2)."""
    points = (old["co"][before], old["handle_right"][before], old["handle_left"][after], old["co"][after])
    return bezier.between_keys(*(np.asarray(point, dtype=np.float64) for point in points))


def _keys_on(fcurve: bpy.types.FCurve, frames: Any) -> Keys:
    """Linear keys on the curve as it is."""
    places = np.asarray(frames, dtype=np.float32)
    values = np.array([fcurve.evaluate(float(frame)) for frame in places], dtype=np.float32)
    return action.linear_keys(places, values)


def _check_above_strips(
    datablock: bpy.types.ID, owner: str, channels: list[Channel], first: int, last: int
) -> None:
    """Refuse where keys in the action above NLA strips would be mixed with them, or hide them elsewhere."""
    animation = datablock.animation_data
    name = animation.action.name
    if animation.action_blend_type != "REPLACE" or animation.action_influence < 1.0:
        raise CharacterError(
            f'The action "{name}" of "{owner}" is mixed with NLA strips: set its blending to Replace and its '
            "influence to 1, or bake the motion (Pose > Animation > Bake Action)."
        )
    keyed = [action.find_fcurve(datablock, channel.path, channel.index) for channel in channels]
    start, end = action.key_range(datablock)
    covers = start <= first and last <= end and all(fcurve is not None for fcurve in keyed)
    inside = first <= start and end <= last and animation.action_extrapolation == "NOTHING"
    if not (covers or inside):
        raise CharacterError(
            f'The motion of "{owner}" here comes from NLA strips below the action "{name}", which new keys '
            "in it would hide elsewhere: push the action down in the NLA Editor first."
        )


def _own_values(datablock: bpy.types.ID, channels: list[Channel], frame: int) -> DoubleArray | None:
    """Values of the channels' own curves at a frame, (C,); None where one has none."""
    found = [action.find_fcurve(datablock, channel.path, channel.index) for channel in channels]
    if any(fcurve is None or len(fcurve.keyframe_points) == 0 for fcurve in found):
        return None
    return np.array([fcurve.evaluate(frame) for fcurve in found if fcurve is not None])


def _normal(values: DoubleArray, mode: str) -> DoubleArray:
    """Quaternions keyed by hand need not have unit length."""
    return values / max(float(np.linalg.norm(values)), 1e-9) if mode == "QUATERNION" else values


def _in_mode(quaternions: DoubleArray, mode: str, before: DoubleArray | None) -> DoubleArray:
    """Write rotations (F, 4) in a rotation mode without jumps, going on from given channel values."""
    if mode == "QUATERNION":
        from ...engine.motion.rotations import continuous_quaternions

        return continuous_quaternions(quaternions, before)
    rows: list[Any] = []
    for turn in map(Quaternion, quaternions.tolist()):
        if mode == "AXIS_ANGLE":
            before = _near_axis_angle(turn, before)
        elif before is None:
            before = np.array(turn.to_euler(mode))
        else:
            before = np.array(turn.to_euler(mode, Euler(before, mode)))
        rows.append(before)
    return np.array(rows)


def _near_axis_angle(turn: Quaternion, before: DoubleArray | None) -> DoubleArray:
    """A rotation as angle and axis, (4,), of the many ways the one nearest to the values before."""
    axis, angle = turn.to_axis_angle()
    found = np.array([angle, *axis])
    if before is None:
        return found
    if abs(angle) < 1e-5:
        found[1:] = before[1:]
    if found[1:] @ before[1:] < 0.0:
        found = -found
    found[0] += 2.0 * np.pi * np.round((before[0] - found[0]) / (2.0 * np.pi))
    return found
