# SPDX-License-Identifier: GPL-3.0-or-later
"""The only code that touches actions, slots, channelbags and fcurves; Blender 4.2 to 5.0."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
import numpy.typing as npt

from ..errors import CharacterError

Float32Array = npt.NDArray[np.float32]

CONSTANT, LINEAR, BEZIER = 0, 1, 2
"""Blender's numbers for the interpolation of a key."""

_KEY_FLOATS = {"co": 2, "handle_left": 2, "handle_right": 2, "back": 1, "amplitude": 1, "period": 1}
_KEY_FLAGS = ("select_control_point", "select_left_handle", "select_right_handle")
_FRESH = ("co", "handle_left", "handle_right", "interpolation", *_KEY_FLAGS)
"""All that differs from Blender's defaults in a new key."""

ALL_PROPERTIES = (
    *_KEY_FLOATS, *_KEY_FLAGS, "interpolation", "handle_left_type", "handle_right_type", "easing", "type",
)  # fmt: skip
"""Everything that a key is made of."""

FRAME_TOLERANCE = 1e-3
"""Keys nearer to a frame than this are on it."""


@dataclass(frozen=True)
class Channel:
    """One animated number of a datablock.

    Attributes:
        path: RNA path from the datablock.
        index: Element of an array property.
        group: Name of the channel group, usually the bone.
    """

    path: str
    index: int = 0
    group: str = ""


def ensure_action(
    datablock: bpy.types.ID, name: str, shared: bpy.types.Action | None = None
) -> bpy.types.Action:
    """Give a datablock an action that may be written without moving anything else.

    An action that is there already is used, so that a second result joins the first one. A linked action, or
    one that other datablocks follow as well, is copied first.

    Args:
        datablock: Object or shape key datablock.
        name: Name of a new action.
        shared: Action to use, with a slot of its own, when the datablock has none and Blender has slots.

    Raises:
        CharacterError: If an NLA strip is being tweaked, which would put keys at the wrong frames.
    """
    animation = datablock.animation_data or datablock.animation_data_create()
    if animation is None:
        raise CharacterError(
            f'"{datablock.name}" cannot be animated: make it a local or overridden object first.'
        )
    if animation.use_tweak_mode:
        raise CharacterError(f'An NLA strip of "{datablock.name}" is being tweaked: leave tweak mode first.')
    action = animation.action
    if action is None:
        action = shared if shared is not None and hasattr(shared, "slots") else bpy.data.actions.new(name)
        animation.action = action
    elif action.library is not None or _others_follow(animation, datablock):
        action = action.copy()
        animation.action = action
    return action


def ensure_fcurve(datablock: bpy.types.ID, channel: Channel) -> bpy.types.FCurve:
    """Find or make the fcurve of one channel in the datablock's own action and, where it exists, slot."""
    action = datablock.animation_data.action
    path, index, group = channel.path, channel.index, channel.group
    if bpy.app.version >= (5, 0, 0):
        return action.fcurve_ensure_for_datablock(datablock, path, index=index, group_name=group)
    if hasattr(action, "slots"):
        fcurve = action.fcurve_ensure_for_datablock(datablock, path, index=index)
        if group and fcurve.group is None:
            groups = _channelbag(datablock).groups
            fcurve.group = groups.get(group) or groups.new(group)
        return fcurve
    return action.fcurves.find(path, index=index) or action.fcurves.new(path, index=index, action_group=group)


def fcurves_of(datablock: bpy.types.ID) -> list[bpy.types.FCurve]:
    """All fcurves that animate a datablock through its action; none without one."""
    now = playing(datablock)
    return [] if now is None else curves_in(now)


def curves_in(source: Playing) -> list[bpy.types.FCurve]:
    """All fcurves in one slot of an action, whether or not anything follows it now."""
    if not hasattr(source.action, "slots"):
        return list(source.action.fcurves)
    bag = _bag(source.action, source.action.slots.get(source.slot))
    return [] if bag is None else list(bag.fcurves)


def remove_curves(source: Playing, curves: Iterable[bpy.types.FCurve]) -> None:
    """Remove some fcurves of a slot."""
    holder: Any = source.action
    if hasattr(source.action, "slots"):
        holder = _bag(source.action, source.action.slots.get(source.slot))
    for curve in list(curves):
        holder.fcurves.remove(curve)


def remove_other_slots(source: Playing) -> None:
    """Leave one slot in an action; where Blender has no slots there is nothing to do."""
    for slot in list(getattr(source.action, "slots", ())):
        if slot.identifier != source.slot:
            source.action.slots.remove(slot)


def copy_curve(datablock: bpy.types.ID, source: bpy.types.FCurve) -> None:
    """Give a datablock's own action a curve like one of another action, with every property of every key."""
    group = source.group.name if source.group is not None else ""
    curve = ensure_fcurve(datablock, Channel(source.data_path, source.array_index, group))
    curve.extrapolation, curve.mute = source.extrapolation, source.mute  # which computes handles anew
    replace_keys(curve, read_keys(source.keyframe_points), float("-inf"), float("inf"))


def find_fcurve(datablock: bpy.types.ID, path: str, index: int = 0) -> bpy.types.FCurve | None:
    """The fcurve of one channel, or None where it is not animated."""
    animation = datablock.animation_data
    if animation is None or animation.action is None:
        return None
    holder: Any = animation.action if not hasattr(animation.action, "slots") else _channelbag(datablock)
    return None if holder is None else holder.fcurves.find(path, index=index)


@dataclass(frozen=True)
class Playing:
    """What moves a datablock; not kept beyond one call.

    Attributes:
        action: The active action.
        slot: Identifier of the slot in it; empty where Blender has no slots.
    """

    action: bpy.types.Action
    slot: str


def playing(datablock: bpy.types.ID) -> Playing | None:
    """The active action of a datablock, None without one."""
    animation = datablock.animation_data
    if animation is None or animation.action is None:
        return None
    slot = animation.action_slot if hasattr(animation, "action_slot") else None
    return Playing(animation.action, slot.identifier if slot is not None else "")


def play(datablock: bpy.types.ID, wanted: Playing | None) -> None:
    """Give a datablock an action and slot, or take them away; nothing else of it changes."""
    animation = datablock.animation_data
    if animation is None:
        if wanted is None:
            return
        animation = datablock.animation_data_create()
    animation.action = wanted.action if wanted is not None else None
    if wanted is not None and hasattr(animation, "action_slot"):
        animation.action_slot = wanted.action.slots.get(wanted.slot)
    datablock.update_tag()


def is_plainly_keyed(datablock: bpy.types.ID) -> bool:
    """Whether fcurves alone give the datablock's channels: no NLA strips, no drivers."""
    animation = datablock.animation_data
    return animation is None or (len(animation.nla_tracks) == 0 and len(animation.drivers) == 0)


def write_channels(
    datablock: bpy.types.ID, channels: list[Channel], values: npt.NDArray[Any], frame_start: int
) -> None:
    """Put one linear key per frame on each channel and leave every key outside these frames bit-identical.

    Args:
        datablock: Has an action already, see `ensure_action`.
        channels: C channels.
        values: (F, C).
        frame_start: Scene frame of the first row.
    """
    frames = np.arange(frame_start, frame_start + len(values), dtype=np.float32)
    columns = np.ascontiguousarray(values.T, dtype=np.float32)
    for channel, column in zip(channels, columns, strict=True):
        _write_keys(ensure_fcurve(datablock, channel), frames, column)
    # 4.2 keeps showing old values until the action itself is tagged; keys are linear, so handles need no
    # update.
    datablock.animation_data.action.update_tag()
    datablock.update_tag()


def values_at(fcurve: bpy.types.FCurve, times: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Values of a curve with keys at some frames, (F,); quick where every frame has a key."""
    if len(fcurve.keyframe_points) >= len(times) and len(fcurve.modifiers) == 0:
        keys = read_keys(fcurve.keyframe_points, ("co",))["co"].astype(np.float64)
        rows = np.clip(np.searchsorted(keys[:, 0], times - FRAME_TOLERANCE), 0, len(keys) - 1)
        if (keys[rows, 0] == times).all():
            return keys[rows, 1]
    return np.array([fcurve.evaluate(frame) for frame in times.tolist()])


def key_before(datablock: bpy.types.ID, path: str, num_channels: int, frame: float) -> Float32Array | None:
    """Values of an array property's last keys before a frame, or None where a channel has none."""
    found: list[float] = []
    for index in range(num_channels):
        fcurve = find_fcurve(datablock, path, index)
        if fcurve is None or len(fcurve.keyframe_points) == 0:
            return None
        if fcurve.keyframe_points[0].co[0] >= frame - FRAME_TOLERANCE:
            return None
        found.append(fcurve.evaluate(frame - 1.0))
    return np.array(found, dtype=np.float32)


def _channelbag(datablock: bpy.types.ID) -> Any:
    """The channelbag of the datablock's slot, or None; Blender 4.4 and later."""
    animation = datablock.animation_data
    return _bag(animation.action, animation.action_slot)


def _bag(action: bpy.types.Action, slot: Any) -> Any:
    """The channelbag of a slot of an action, or None."""
    if slot is None:
        return None
    for layer in action.layers:
        for strip in layer.strips:
            bag = strip.channelbag(slot)
            if bag is not None:
                return bag
    return None


def _others_follow(animation: bpy.types.AnimData, datablock: bpy.types.ID) -> bool:
    """Whether another datablock is moved by the same action (and slot, where there are slots)."""
    action = animation.action
    if hasattr(action, "slots"):
        slot = animation.action_slot
        return slot is not None and any(user != datablock for user in slot.users())
    # The number of users also counts the lists of takes, which follow nothing.
    users = bpy.data.user_map(subset=[action])[action]
    return any(user != datablock and _plays(user, action) for user in users)


def _plays(datablock: bpy.types.ID, action: bpy.types.Action) -> bool:
    """Whether an action, active or in an NLA strip, moves a datablock."""
    animation = getattr(datablock, "animation_data", None)
    if animation is None:
        return False
    strips = (strip for track in animation.nla_tracks for strip in track.strips)
    return animation.action == action or any(strip.action == action for strip in strips)


def key_range(datablock: bpy.types.ID) -> tuple[float, float]:
    """Frames of the first and the last key of a datablock's action; an empty range without keys."""
    ends = [
        point.co[0]
        for fcurve in fcurves_of(datablock)
        if len(fcurve.keyframe_points) > 0
        for point in (fcurve.keyframe_points[0], fcurve.keyframe_points[-1])
    ]
    return (min(ends), max(ends)) if ends else (float("inf"), float("-inf"))


def selected_range(datablock: bpy.types.ID) -> tuple[float, float]:
    """Frames of the first and the last selected key of a datablock's action; an empty range without any."""
    first, last = float("inf"), float("-inf")
    for fcurve in fcurves_of(datablock):
        keys = read_keys(fcurve.keyframe_points, ("co", "select_control_point"))
        frames = keys["co"][keys["select_control_point"][:, 0], 0]
        if len(frames):
            first, last = min(first, float(frames.min())), max(last, float(frames.max()))
    return first, last


def replace_keys(
    fcurve: bpy.types.FCurve, keys: Mapping[str, npt.NDArray[Any]], first: float, last: float
) -> None:
    """Put keys with all their properties in the place of those from one frame to another.

    Args:
        fcurve: The curve; its keys before and after stay bit-identical.
        keys: Every one of `ALL_PROPERTIES` of the new keys, in the order of their frames.
        first: First frame that is cleared.
        last: Last frame that is cleared.
    """
    points = fcurve.keyframe_points
    old = read_keys(points)
    before = old["co"][:, 0] < first - FRAME_TOLERANCE
    after = old["co"][:, 0] > last + FRAME_TOLERANCE
    points.clear()
    points.add(int(before.sum()) + len(keys["co"]) + int(after.sum()))
    for name in ALL_PROPERTIES:
        points.foreach_set(name, np.concatenate([old[name][before], keys[name], old[name][after]]).ravel())


def curves_of_bones(armature: bpy.types.Object, names: set[str]) -> list[bpy.types.FCurve]:
    """Fcurves of some bones of an armature."""
    starts = tuple(f'pose.bones["{bpy.utils.escape_identifier(name)}"].' for name in names)
    return [curve for curve in fcurves_of(armature) if curve.data_path.startswith(starts)]


def clear_keys(
    datablock: bpy.types.ID, curves: Iterable[bpy.types.FCurve], first: float, last: float
) -> None:
    """Delete the keys of some curves from one frame to another."""
    nothing = linear_keys(np.empty(0, np.float32), np.empty(0, np.float32))
    for curve in curves:
        replace_keys(curve, nothing, first, last)
    if datablock.animation_data is not None and datablock.animation_data.action is not None:
        datablock.animation_data.action.update_tag()
    datablock.update_tag()


def _write_keys(fcurve: bpy.types.FCurve, frames: Float32Array, values: Float32Array) -> None:
    """Replace the keys from the first to the last frame by linear ones; frames and values are (F,)."""
    points = fcurve.keyframe_points
    fresh = linear_keys(frames, values)
    at = read_keys(points, ("co",))["co"][:, 0]
    before = at < frames[0] - FRAME_TOLERANCE
    after = at > frames[-1] + FRAME_TOLERANCE
    num_more = len(frames) - int((~before & ~after).sum())
    # Reading and writing every property of every key is slow; it is needed where keys move to other places.
    in_place = num_more == 0 or (num_more > 0 and not after.any())
    if not in_place:
        replace_keys(fcurve, fresh, frames[0], frames[-1])
        return
    points.add(num_more)
    if before.any() or after.any():
        old = read_keys(points, _FRESH)
        after = np.concatenate([after, np.zeros(num_more, dtype=np.bool_)])
        before = np.concatenate([before, np.zeros(num_more, dtype=np.bool_)])
        fresh = {name: np.concatenate([old[name][before], fresh[name], old[name][after]]) for name in _FRESH}
    for name in _FRESH:
        points.foreach_set(name, fresh[name].ravel())


def linear_keys(frames: Float32Array, values: Float32Array) -> dict[str, npt.NDArray[Any]]:
    """Every property of one linear key per frame, with handles a third of the way to the neighbours."""
    count = len(frames)
    co = np.stack([frames, values], axis=1)
    step = np.diff(co, axis=0) / 3.0
    left, right = co.copy(), co.copy()
    left[1:] -= step
    right[:-1] += step
    left[:1, 0] -= 1.0 / 3.0
    right[-1:, 0] += 1.0 / 3.0
    defaults = {
        "interpolation": LINEAR,
        "handle_left_type": 3,
        "handle_right_type": 3,
        "easing": 0,
        "type": 0,
    }
    keys: dict[str, npt.NDArray[Any]] = {"co": co, "handle_left": left, "handle_right": right}
    keys |= {name: np.full((count, 1), value, dtype=np.int32) for name, value in defaults.items()}
    keys |= {name: np.zeros((count, 1), dtype=np.bool_) for name in _KEY_FLAGS}
    overshoot = {"back": 1.70158, "amplitude": 0.8, "period": 4.1}
    keys |= {name: np.full((count, 1), value, dtype=np.float32) for name, value in overshoot.items()}
    return keys


def read_keys(points: Any, names: Iterable[str] = ALL_PROPERTIES) -> dict[str, npt.NDArray[Any]]:
    """Some properties of every key, each (N, width)."""
    keys: dict[str, npt.NDArray[Any]] = {}
    for name in names:
        width = _KEY_FLOATS.get(name, 1)
        kind = np.float32 if name in _KEY_FLOATS else np.bool_ if name in _KEY_FLAGS else np.int32
        column = np.empty(len(points) * width, dtype=kind)
        points.foreach_get(name, column)
        keys[name] = column.reshape(-1, width)
    return keys
