# SPDX-License-Identifier: GPL-3.0-or-later
"""How a character's motion is shaped, as kept on its object and, with each take, as it was shaped with.

The settings on the object are the ones that are edited and keyed: keys of the energies lie in the action that
is on show, so each take has its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from ..errors import CharacterError
from . import action
from .armature import PELVIS, Rig

if TYPE_CHECKING:
    from ...engine.motion.retargeting import MappedRig
    from ...engine.motion.root_path import Path
    from ...engine.motion.shaping import Shaping
    from ...engine.specs import Part

Shape = Any
"""The settings of one motion; see `ui.shape_properties.KinesicsShape`."""

PATH = "kinesics_shape"
"""RNA path of the settings from the object."""

_PARTS = ("face", "hands", "upper", "lower")
_PLAIN = (*(f"energy_{part}" for part in _PARTS), "root", "keep_turn", "curve", "feet")
_HOLD = ("first", "last", "ease", "amount", *_PARTS)

_quiet = False


@contextmanager
def quietly() -> Iterator[None]:
    """Change settings without shaping anything."""
    global _quiet
    before, _quiet = _quiet, True
    try:
        yield
    finally:
        _quiet = before


def is_live(settings: bpy.types.PropertyGroup) -> bool:
    """Whether a change of these settings, or of a hold in them, shall shape the motion at once."""
    return not _quiet and settings.path_from_id().startswith(PATH)


def copy_settings(source: Shape, target: Shape) -> None:
    """Make some settings equal to others."""
    with quietly():
        for name in _PLAIN:
            if getattr(target, name) != getattr(source, name):
                setattr(target, name, getattr(source, name))
        target.holds.clear()
        for hold in source.holds:
            added = target.holds.add()
            for name in _HOLD:
                setattr(added, name, getattr(hold, name))


def clear_settings(armature: bpy.types.Object, parts: tuple[Part, ...]) -> None:
    """Set some parts back to neutral, with the keys of their energy in the action on show."""
    shape = armature.kinesics_shape
    with quietly():
        for part in parts:
            shape.property_unset(f"energy_{part.value}")
            for hold in shape.holds:
                setattr(hold, part.value, False)
            if part.value == "lower":
                for name in ("root", "keep_turn", "curve", "feet"):
                    shape.property_unset(name)
        for index in reversed(range(len(shape.holds))):
            if not any(getattr(shape.holds[index], part) for part in _PARTS):
                remove_hold(armature, index)
    now = action.playing(armature)
    if now is not None:
        paths = {energy_path(part) for part in parts}
        action.remove_curves(now, [curve for curve in action.curves_in(now) if curve.data_path in paths])


def remove_hold(armature: bpy.types.Object, index: int) -> None:
    """Take a hold away, with the keys of how still it is; those of later ones keep theirs."""
    holds = armature.kinesics_shape.holds
    now = action.playing(armature)
    curves = {curve.data_path: curve for curve in action.curves_in(now)} if now is not None else {}
    gone = curves.get(amount_path(index))
    later = [(place - 1, curves.get(amount_path(place))) for place in range(index + 1, len(holds))]
    if now is not None and gone is not None:
        action.remove_curves(now, [gone])
    for place, curve in later:
        if curve is not None:
            curve.data_path = amount_path(place)
    holds.remove(index)


def amount_path(index: int) -> str:
    """RNA path, from the object, of how still a hold is."""
    return f"{PATH}.holds[{index}].amount"


def energy_path(part: Part) -> str:
    """RNA path of the energy of a part from the object."""
    return f"{PATH}.energy_{part.value}"


def is_neutral(armature: bpy.types.Object) -> bool:
    """Whether the settings leave the motion as it is."""
    shape = armature.kinesics_shape
    energies = [f"energy_{part}" for part in _PARTS]
    return (
        shape.root == shape.feet == "AS_MADE"
        and all(getattr(shape, name) == 1.0 for name in energies)
        and not any(getattr(hold, part) for hold in shape.holds for part in _PARTS)
        and not any(action.find_fcurve(armature, f"{PATH}.{name}") for name in energies)
    )


def stamp(armature: bpy.types.Object) -> str:
    """A short text that changes when anything changes that the shaping depends on, keys of energies included.

    The form of a followed curve is left out.
    """
    shape = armature.kinesics_shape
    curves = {curve.data_path: curve for curve in action.fcurves_of(armature) if len(curve.keyframe_points)}
    said = [repr(list(_values(shape, _PLAIN, f"{PATH}.", curves)))]
    for index, hold in enumerate(shape.holds):
        said.append(repr(list(_values(hold, _HOLD, f"{PATH}.holds[{index}].", curves))))
    digest = hashlib.sha256("\n".join(said).encode())
    for path in [f"{PATH}.energy_{part}" for part in _PARTS] + [*map(amount_path, range(len(shape.holds)))]:
        if path in curves:
            keys = action.read_keys(
                curves[path].keyframe_points, ("co", "handle_left", "handle_right", "interpolation")
            )
            digest.update(path.encode() + b"".join(values.tobytes() for values in keys.values()))
    return digest.hexdigest()[:16]


def _values(group: Any, names: tuple[str, ...], path: str, animated: Container[str]) -> Iterator[Any]:
    """Values of some settings; of an animated one none, since it depends on the frame."""
    for name in names:
        value = getattr(group, name)
        if f"{path}{name}" not in animated:
            value = round(value, 6) if isinstance(value, float) else value
            yield value.name if isinstance(value, bpy.types.ID) else value


def read_shaping(armature: bpy.types.Object, rig: Rig | MappedRig, first: int, num_frames: int) -> Shaping:
    """The settings on a character as the engine wants them.

    Args:
        armature: Character.
        rig: Its rest pose.
        first: Scene frame of the motion's first frame.
        num_frames: Frames of the motion.

    Raises:
        EngineError: If a curve is to be followed and there is none, or it is no line.
    """
    from ...engine.motion.energy import MAX_ENERGY
    from ...engine.motion.hold import Hold
    from ...engine.motion.shaping import Feet, Root, Shaping
    from ...engine.specs import Part

    shape, frames = armature.kinesics_shape, range(first, first + num_frames)
    energy: dict[Part, np.ndarray] = {}
    for part in Part:
        value = getattr(shape, f"energy_{part.value}")
        energy[part] = np.clip(_over_time(armature, energy_path(part), value, frames), 0.0, MAX_ENERGY)
    holds = tuple(
        Hold(
            min(hold.first, hold.last) - first,
            max(hold.first, hold.last) - first,
            hold.ease,
            frozenset(part for part in Part if getattr(hold, part.value)),
            _over_time(armature, amount_path(index), hold.amount, frames),
        )
        for index, hold in enumerate(shape.holds)
    )
    root = Root(shape.root.lower())
    path = floor_path(armature, rig) if root is Root.FOLLOW else None
    return Shaping(energy, holds, root, shape.keep_turn, path, Feet(shape.feet.lower()))


def _over_time(armature: bpy.types.Object, path: str, value: float, frames: range) -> np.ndarray:
    """A setting at each frame, (F,), by its keys where it has some."""
    curve = action.find_fcurve(armature, path)
    if curve is None or curve.mute or not len(curve.keyframe_points):
        return np.full(len(frames), value)
    return np.array([curve.evaluate(frame) for frame in frames])


def floor_path(armature: bpy.types.Object, rig: Rig | MappedRig) -> Path:
    """The followed curve in the engine's axes, as its points lie over the character's floor.

    Raises:
        EngineError: If none is chosen, or it is no line.
    """
    from ...engine.motion.root_path import Path

    curve = armature.kinesics_shape.curve
    if curve is None:
        raise CharacterError("There is no curve to follow: choose one in the Shape box.")
    points, closed = _curve_points(curve)
    moved = armature.matrix_world.inverted_safe() @ curve.matrix_world
    places = np.array([moved @ point for point in points], dtype=np.float64).reshape(-1, 3)
    if isinstance(rig, Rig):
        head = np.array(armature.data.bones[rig.bone_names[PELVIS]].head_local, dtype=np.float64)
        places = (places - head) @ rig.axes / rig.scale
    else:
        places = (places @ rig.axes - rig.rest_hips) / rig.scale
    return Path(places[:, [0, 2]], closed)


def _curve_points(curve: bpy.types.Object) -> tuple[list[Any], bool]:
    """Points along the first spline of a curve object, without its thickness, and whether it is closed."""
    if curve.type != "CURVE" or not curve.data.splines:
        raise CharacterError(f'"{curve.name}" has no line to follow: choose another curve in the Shape box.')
    data = curve.data.copy()
    data.bevel_depth = data.extrude = data.offset = 0.0
    data.bevel_object = data.taper_object = None
    data.bevel_mode = "ROUND"
    for spline in list(data.splines)[1:]:
        data.splines.remove(spline)
    bare = bpy.data.objects.new("Kinesics Path", data)
    try:
        points = [vertex.co.copy() for vertex in bare.to_mesh().vertices]
        bare.to_mesh_clear()
        return points, bool(data.splines[0].use_cyclic_u)
    finally:
        bpy.data.objects.remove(bare)
        bpy.data.curves.remove(data)
