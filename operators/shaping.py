# SPDX-License-Identifier: GPL-3.0-or-later
"""Shape the motion on show by its settings, keep it as it is, or give it back as it was made.

Every change of a setting shapes the motion anew from its source, within the undo step of that change.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import bpy
from bpy.props import BoolProperty, IntProperty

from ..engine.errors import EngineError
from ..engine.specs import Part
from . import delivery, polls
from .errors import CharacterError
from .wording import worded

if TYPE_CHECKING:
    from ..engine.motion.clip import Clip
    from ..engine.motion.retargeting import MappedRig
    from ..engine.motion.shaping import Shaping
    from .bridge.armature import Rig
    from .bridge.takes import Take

TAKE_NAME = "Motion"
"""Name in the list of a motion that is shaped before it is any take."""

HOLD_EASE_S = 0.3
"""Seconds of the way into a new hold and out of it."""

_refusals: dict[int, EngineError] = {}
"""Why the last change had no effect, by the session's number of the character; for the panel."""


class EditedError(CharacterError):
    """The motion on show is no longer what was written."""


def changed(armature: bpy.types.Object) -> None:
    """A setting of a character was changed: shape its motion, or remember why not."""
    from . import generate

    if generate.current_session() is not None:
        return
    try:
        shape_shown(armature, bpy.context.scene)
    except EngineError as error:
        _refusals[armature.session_uid] = error


def refusal(armature: bpy.types.Object) -> EngineError | None:
    """Why the last change had no effect, None where it had."""
    return _refusals.get(armature.session_uid)


def is_shaped(armature: bpy.types.Object) -> bool:
    """Whether the motion on show differs from how it was made."""
    from .bridge import takes

    take = takes.shown_take(armature)
    return take is not None and take.source is not None


def is_pending(armature: bpy.types.Object) -> bool:
    """Whether the settings say something that the motion does not do yet, such as keys of an energy."""
    from .bridge import shape_settings, takes

    take = takes.shown_take(armature)
    if take is not None and take.stamp:
        return take.stamp != shape_settings.stamp(armature)
    return not shape_settings.is_neutral(armature)


def shape_shown(armature: bpy.types.Object, scene: bpy.types.Scene, discard: bool = False) -> None:
    """Derive the motion on show from its source and the settings; locked parts stay as they are.

    Args:
        armature: Character.
        scene: Its scene, for the rate.
        discard: Write over edits that were made by hand since.

    Raises:
        EngineError: If it cannot be shaped, or was edited; then nothing was changed.
    """
    from .bridge import action, shape_settings, shaped, takes

    rig, _ = delivery.check_target(armature, (), ())
    shaped.adopt(armature, rig)
    if not discard:
        check_unedited(armature, rig)
    _refusals.pop(armature.session_uid, None)
    take = takes.shown_take(armature)
    before = shaped.prints_of(take) if take is not None else {}
    if not before and shape_settings.is_neutral(armature):
        return
    place = shaped.frame_range(armature, take, rig) if action.playing(armature) is not None else None
    if place is None:
        raise CharacterError(f'"{armature.name}" has no motion of its own: press Generate, or click a take.')
    free = [part for part in Part if part not in delivery.locked_parts(armature)]
    shaping = shape_settings.read_shaping(armature, rig, place[0], place[1] - place[0] + 1)
    wanted = tuple(part for part in free if part in shaping.parts)
    if wanted:
        _check_writable(armature, wanted, place)
    takes.separate(armature)
    take = take or takes.add_take(armature, TAKE_NAME)
    fresh = [part for part in wanted if part not in before]
    made = _derived(armature, scene, take, rig, shaping, fresh, place) if wanted else None
    for part in free:
        if part in before and (discard or part not in wanted):
            shaped.restore_part(armature, take, rig, part)
    if made is not None:
        delivery.put(made, armature, wanted, place[0], take.action.name, keep_modes=True)
    prints = {part: text for part, text in before.items() if part not in free}
    prints |= {part.value: shaped.part_print(armature, rig, part) for part in wanted}
    shaped.note(armature, take, prints)
    takes.mark_changed(armature)


def _derived(
    armature: bpy.types.Object,
    scene: bpy.types.Scene,
    take: Take,
    rig: Rig | MappedRig,
    shaping: Shaping,
    fresh: list[Part],
    place: tuple[int, int],
) -> Clip:
    """The shaped motion at the scene's rate, from the source, which `fresh` parts are put into first."""
    from ..engine.motion.shaping import shape
    from .bridge import shaped
    from .bridge.sampling import current_clip
    from .bridge.sound import scene_fps

    if take.source is None:
        shaped.ensure_source(armature, take)
    else:
        for part in fresh:
            shaped.refresh_source(armature, take, rig, part)
    with shaped.source_playing(armature, take):
        clip = current_clip(armature, rig, scene, place[0], place[1] - place[0] + 1, scene_fps(scene))
    return shape(clip, shaping)


def check_unedited(armature: bpy.types.Object, rig: Rig | MappedRig) -> None:
    """Refuse to write over what was changed by hand since it was written here; locked parts do not count.

    Raises:
        EditedError: With the choice there is.
    """
    from .bridge import shaped, takes

    take = takes.shown_take(armature)
    locked = delivery.locked_parts(armature)
    for part, text in (shaped.prints_of(take) if take is not None else {}).items():
        if Part(part) not in locked and text != shaped.part_print(armature, rig, Part(part)):
            raise EditedError(
                f'"{armature.name}" was edited by hand since it was shaped: press Keep Edits, which makes '
                "what is seen the new beginning, or Discard Edits in the Shape box."
            )


def _check_writable(armature: bpy.types.Object, parts: tuple[Part, ...], place: tuple[int, int]) -> None:
    """Refuse where what is seen comes from more than the keys of the action on show.

    Raises:
        CharacterError: Naming what stands in the way and the remedy.
    """
    from ..engine.motion.arkit import ARKIT_NAMES
    from .bridge import splicing, takes

    for datablock in (armature, *takes.face_keys(armature)):
        if splicing.has_strips(datablock):
            raise CharacterError(
                f'NLA strips play below the motion of "{armature.name}": switch their tracks off in the NLA '
                "Editor before it is shaped."
            )
    delivery.check_stretch(armature, parts, ARKIT_NAMES, *place)


class ShapeOperator:
    """What the operators of the Shape box share."""

    bl_options = {"UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a character and nothing is being made."""
        return polls.is_free(cls) and polls.has_character(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Do it, or say why not."""
        try:
            self.act(polls.character_of(context), context.scene)
        except EngineError as error:
            self.report({"ERROR"}, worded(error))
            return {"CANCELLED"}
        return {"FINISHED"}

    @abstractmethod
    def act(self, armature: bpy.types.Object, scene: bpy.types.Scene) -> None:
        """What this one does."""


class KINESICS_OT_add_hold(ShapeOperator, bpy.types.Operator):
    """Hold hands, upper and lower body still over the preview range, or for a second from the current frame
    on, in the pose of its first frame"""

    bl_idname = "kinesics.add_hold"
    bl_label = "Hold Still Here"

    def act(self, armature: bpy.types.Object, scene: bpy.types.Scene) -> None:
        """Add the hold and shape the motion."""
        from .bridge import shape_settings
        from .bridge.sound import scene_fps

        fps = scene_fps(scene)
        first, last = scene.frame_current, scene.frame_current + round(fps)
        if scene.use_preview_range:
            first, last = scene.frame_preview_start, scene.frame_preview_end
        holds = armature.kinesics_shape.holds
        with shape_settings.quietly():
            hold = holds.add()
            hold.first, hold.last, hold.ease = first, last, max(1, round(HOLD_EASE_S * fps))
        try:
            shape_shown(armature, scene)
        except EngineError:
            shape_settings.remove_hold(armature, len(holds) - 1)
            raise


class KINESICS_OT_remove_hold(ShapeOperator, bpy.types.Operator):
    """Let the character move again over these frames"""

    bl_idname = "kinesics.remove_hold"
    bl_label = "Remove Hold"

    index: IntProperty(name="Hold", description="Place in the list, from 0", min=0, options={"SKIP_SAVE"})

    def act(self, armature: bpy.types.Object, scene: bpy.types.Scene) -> None:
        """Remove it and shape the motion."""
        from .bridge import shape_settings
        from .bridge.armature import read_rig

        holds = armature.kinesics_shape.holds
        if self.index >= len(holds):
            raise CharacterError("There is no such hold: click the cross beside one in the Shape box.")
        check_unedited(armature, read_rig(armature))
        shape_settings.remove_hold(armature, self.index)
        shape_shown(armature, scene)


class KINESICS_OT_update_shape(ShapeOperator, bpy.types.Operator):
    """Shape the motion by the settings as they are now: after keys of an energy, the curve or a lock were
    changed"""

    bl_idname = "kinesics.update_shape"
    bl_label = "Update"

    discard: BoolProperty(
        name="Discard Edits",
        description="Write over edits that were made by hand since the motion was shaped",
        options={"SKIP_SAVE"},
    )

    def act(self, armature: bpy.types.Object, scene: bpy.types.Scene) -> None:
        """Shape the motion."""
        shape_shown(armature, scene, self.discard)


class KINESICS_OT_reset_shape(ShapeOperator, bpy.types.Operator):
    """Give the motion back as it was made, to the bit"""

    bl_idname = "kinesics.reset_shape"
    bl_label = "As Made"

    def act(self, armature: bpy.types.Object, scene: bpy.types.Scene) -> None:
        """Set everything that is not locked to neutral and shape the motion."""
        from .bridge import shape_settings
        from .bridge.armature import read_rig

        check_unedited(armature, read_rig(armature))
        locked = delivery.locked_parts(armature)
        shape_settings.clear_settings(armature, tuple(part for part in Part if part not in locked))
        shape_shown(armature, scene)


class KINESICS_OT_keep_shape(ShapeOperator, bpy.types.Operator):
    """Make what is seen now the new beginning, edits by hand included: the settings go back to neutral and
    the motion stays as it is"""

    bl_idname = "kinesics.keep_shape"
    bl_label = "Make Permanent"

    def act(self, armature: bpy.types.Object, scene: bpy.types.Scene) -> None:
        """Let go of the source."""
        from .bridge import shaped, takes

        delivery.check_target(armature, (), ())
        takes.separate(armature)
        shaped.settle(armature, tuple(Part))
        _refusals.pop(armature.session_uid, None)


CLASSES = (
    KINESICS_OT_add_hold,
    KINESICS_OT_remove_hold,
    KINESICS_OT_update_shape,
    KINESICS_OT_reset_shape,
    KINESICS_OT_keep_shape,
)
