# SPDX-License-Identifier: GPL-3.0-or-later
"""Expected failures on Blender's side. Every message is one sentence that says what to do about it."""

from __future__ import annotations

from ..engine.errors import EngineError


class CharacterError(EngineError):
    """The armature or its face meshes cannot be driven as they are."""


class TargetLostError(EngineError):
    """The character or scene disappeared while its motion was being made."""


class SetupError(EngineError):
    """This Blender lacks packages the motion model needs."""
