# SPDX-License-Identifier: GPL-3.0-or-later
"""How the motion of one character is shaped after it was made. Energies and holds can be keyed."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    FloatVectorProperty,
    IntProperty,
    PointerProperty,
)

from ..engine.specs import Part
from ..operators import shaping
from ..operators.generation import PART_LABELS

ROOTS = (
    ("AS_MADE", "As Made", "The body goes where it went when the motion was made"),
    ("IN_PLACE", "In Place", "The body stays over its first spot; feet slide as on a treadmill"),
    ("FOLLOW", "Curve", "The body walks along a curve, facing along it, as far as it walks"),
)

FEET = (
    ("AS_MADE", "As Made", "Feet stand as they were made, and are planted where something moved them"),
    ("PLANTED", "Planted", "Feet that stand do not slide, in motion from elsewhere too"),
    ("FREE", "Free", "Feet go as the model moved them, without the correction that plants them"),
)


def _shape(settings: bpy.types.PropertyGroup, _context: bpy.types.Context) -> None:
    from ..operators.bridge import shape_settings

    if shape_settings.is_live(settings):
        shaping.changed(settings.id_data)


def _is_curve(_shape: bpy.types.PropertyGroup, item: bpy.types.Object) -> bool:
    return item.type == "CURVE"


def _energy(part: Part) -> Any:
    label = PART_LABELS[part]
    return FloatProperty(
        name=label,
        description=f"{label}: below 1 calmer, above 1 bigger, 1 as it was made. Can be keyed; press Update "
        "when keys have changed",
        default=1.0,
        min=0.0,
        max=2.0,
        step=5,
        subtype="FACTOR",
        update=_shape,
        override={"LIBRARY_OVERRIDABLE"},
    )


def _held(part: Part, default: bool) -> Any:
    label = PART_LABELS[part]
    return BoolProperty(
        name=label,
        description=f"{label}: holds still here",
        default=default,
        update=_shape,
        override={"LIBRARY_OVERRIDABLE"},
    )


class KinesicsHold(bpy.types.PropertyGroup):
    """Frames over which parts keep the pose of the first of them."""

    first: IntProperty(
        name="From",
        description="First frame that is still; its pose is held",
        update=_shape,
        override={"LIBRARY_OVERRIDABLE"},
    )
    last: IntProperty(
        name="To", description="Last frame that is still", update=_shape, override={"LIBRARY_OVERRIDABLE"}
    )
    ease: IntProperty(
        name="Ease",
        description="Frames of the way into the pose before, and out of it after",
        default=8,
        min=1,
        max=250,
        update=_shape,
        override={"LIBRARY_OVERRIDABLE"},
    )
    amount: FloatProperty(
        name="How Still",
        description="1 keeps the pose, 0 leaves the motion as it is, between is a calmer motion around the "
        "pose. Can be keyed; press Update when keys have changed",
        default=1.0,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        update=_shape,
        override={"LIBRARY_OVERRIDABLE"},
    )
    face: _held(Part.FACE, False)
    hands: _held(Part.HANDS, True)
    upper: _held(Part.UPPER, True)
    lower: _held(Part.LOWER, True)


class KinesicsShape(bpy.types.PropertyGroup):
    """How a motion is shaped; by default not at all."""

    energy_face: _energy(Part.FACE)
    energy_hands: _energy(Part.HANDS)
    energy_upper: _energy(Part.UPPER)
    energy_lower: _energy(Part.LOWER)
    holds: CollectionProperty(type=KinesicsHold, override={"LIBRARY_OVERRIDABLE", "USE_INSERTION"})
    root: EnumProperty(
        name="Root",
        description="Where the body goes",
        items=ROOTS,
        update=_shape,
        override={"LIBRARY_OVERRIDABLE"},
    )
    keep_turn: BoolProperty(
        name="Keep Turning",
        description="The body still turns as it did; else it faces one way",
        default=True,
        update=_shape,
        override={"LIBRARY_OVERRIDABLE"},
    )
    curve: PointerProperty(
        name="Curve",
        description="Curve to walk along; its first spline counts. Press Update when its form has changed",
        type=bpy.types.Object,
        poll=_is_curve,
        update=_shape,
        override={"LIBRARY_OVERRIDABLE"},
    )
    feet: EnumProperty(
        name="Feet",
        description="What feet do while they stand",
        items=FEET,
        update=_shape,
        override={"LIBRARY_OVERRIDABLE"},
    )


class KinesicsFeet(bpy.types.PropertyGroup):
    """What a motion knows about its feet, for planting them or not later; see `engine.motion.feet_track`."""

    contacts: FloatVectorProperty(
        name="Contacts", description="How surely heels and toes stand on the floor", size=4
    )
    turns: FloatVectorProperty(
        name="Planting of Legs", description="Turns of the leg bones that plant the feet", size=18
    )
    root: FloatVectorProperty(
        name="Planting of Pelvis", description="Way of the pelvis that plants the feet", size=3
    )


CLASSES = (KinesicsHold, KinesicsShape, KinesicsFeet)


def attach() -> None:
    """Give every object its settings, and channels for what its motion knows about its feet."""
    bpy.types.Object.kinesics_shape = PointerProperty(type=KinesicsShape, override={"LIBRARY_OVERRIDABLE"})
    bpy.types.Object.kinesics_feet = PointerProperty(type=KinesicsFeet, override={"LIBRARY_OVERRIDABLE"})


def detach() -> None:
    """Take them away again."""
    del bpy.types.Object.kinesics_feet
    del bpy.types.Object.kinesics_shape
