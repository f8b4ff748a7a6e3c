# SPDX-License-Identifier: GPL-3.0-or-later
"""Ghost: the take that was on show before this one, drawn faintly over the 3D View.

Nothing of it is in the file: it is lines that Blender draws, so it cannot be selected or rendered, and which
takes were on show is remembered in this session only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy

from . import polls

if TYPE_CHECKING:
    from .bridge.takes import Take

MAX_REMEMBERED = 16
"""Takes of one character whose order on show is remembered."""

LINE_WIDTH = 2.0
"""Width of the lines in pixels of the interface."""

OPACITY = 0.55

_shown: dict[int, list[int]] = {}
"""Actions that were on show, the last one last, by character; both by Blender's numbers in this session."""

_handlers: list[Any] = []
"""What draws, while the ghost is on."""


def note_shown(armature: bpy.types.Object, shown: bpy.types.Action | None) -> None:
    """Remember that an action is what the animator sees of a character now."""
    if shown is None:
        return
    order = _shown.setdefault(armature.session_uid, [])
    if shown.session_uid in order:
        order.remove(shown.session_uid)
    order.append(shown.session_uid)
    del order[:-MAX_REMEMBERED]


def ghost_take(armature: bpy.types.Object) -> Take | None:
    """The take that was on show before the one that is; None where there was none, or it is gone."""
    from .bridge import action, takes

    now = action.playing(armature)
    there = {
        take.action.session_uid: take
        for take in takes.takes_of(armature)
        if take.action is not None and (now is None or take.action != now.action)
    }
    order = reversed(_shown.get(armature.session_uid, []))
    return next((there[uid] for uid in order if uid in there), None)


def is_on() -> bool:
    """Whether the ghost is drawn."""
    return bool(_handlers)


def turn_on() -> None:
    """Draw it from now on; without this nothing is called when the 3D View is drawn."""
    if not _handlers:
        _handlers.append(bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_VIEW"))
        _redraw()


def turn_off() -> None:
    """Draw it no more."""
    while _handlers:
        bpy.types.SpaceView3D.draw_handler_remove(_handlers.pop(), "WINDOW")
        _redraw()


def detach() -> None:
    """Draw nothing and forget everything."""
    turn_off()
    _shown.clear()


def lines_now(context: bpy.types.Context) -> Any:
    """Ends of the ghost's lines at the current frame, (2 L, 3); None where there is no ghost."""
    from .bridge import ghost, takes

    armature = polls.character_of(context)
    take = ghost_take(armature) if armature is not None and armature.visible_get() else None
    if armature is None or take is None or ghost.has_constraints(armature):
        return None
    return ghost.bone_lines(armature, takes.body_of(take), context.scene.frame_current_final)


def _draw() -> None:
    """Draw the ghost into the 3D View that Blender is drawing."""
    context = bpy.context
    if not context.space_data.overlay.show_overlays:
        return
    ends = lines_now(context)
    if ends is None or len(ends) == 0:
        return
    import gpu
    from gpu_extras.batch import batch_for_shader

    shader = gpu.shader.from_builtin("POLYLINE_UNIFORM_COLOR")
    colour = context.preferences.themes[0].view_3d.before_current_frame
    gpu.state.blend_set("ALPHA")
    try:
        shader.bind()
        shader.uniform_float("color", (*colour[:3], OPACITY))
        shader.uniform_float("lineWidth", LINE_WIDTH * context.preferences.system.ui_scale)
        shader.uniform_float("viewportSize", gpu.state.viewport_get()[2:])
        batch_for_shader(shader, "LINES", {"pos": ends}).draw(shader)
    finally:
        gpu.state.blend_set("NONE")


def _redraw() -> None:
    """Have every 3D View drawn again."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


class KINESICS_OT_toggle_ghost(bpy.types.Operator):
    """Draw the take that was on show before, as faint bones behind the one on show, to compare them. It is
    never rendered, and not for rigs that follow constraints"""

    bl_idname = "kinesics.toggle_ghost"
    bl_label = "Ghost of the Take Before"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a take; what is on can always be turned off."""
        if is_on():
            return True
        if not polls.has_character(cls, context):
            return False
        armature = polls.character_of(context)
        if armature is None or len(armature.kinesics_takes.items) == 0:
            cls.poll_message_set("The character has no takes: press Generate Takes")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Turn it on or off."""
        if is_on():
            turn_off()
        else:
            turn_on()
        return {"FINISHED"}


CLASSES = (KINESICS_OT_toggle_ghost,)
