# SPDX-License-Identifier: GPL-3.0-or-later
"""A Blender without torch gets a sentence, before anything has started."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

from tests.blender.support import bpy


def test_missing_packages_are_named(
    character: Any, module: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = module("operators.engine_host")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))
    with pytest.raises(module("operators.errors").SetupError, match=r"lacks torch.*README"):
        host.check_packages()
    bpy.context.scene.kinesics.audio_source = "NONE"
    bpy.context.scene.kinesics.lower.source = "TEXT"
    bpy.context.scene.kinesics.lower.text = "walk forward"
    with pytest.raises(RuntimeError, match="lacks torch"):
        bpy.ops.kinesics.generate("EXEC_DEFAULT")
    assert not bpy.data.actions


def test_everything_needed_is_here(module: Callable[[str], Any]) -> None:
    module("operators.engine_host").check_packages()
