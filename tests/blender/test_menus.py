# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kinesics menu, for the keyboard and the search, and that every grey button says why it is."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from tests.blender.support import bpy, disable, enable
from tests.blender.test_register import Layout
from tests.blender.test_words import own_classes

ELSEWHERE = {
    # lines of a list, and the tables and files of rigs and faces
    "remove_hold", "forget_rig", "save_rig_preset", "load_rig_preset", "forget_face", "save_face_preset",
    "load_face_preset", "add_smplx_character",
    # the preferences
    "check_pack", "import_model", "import_model_cancel", "install_engine", "release_memory", "clear_dialogue",
    "self_test",
}  # fmt: skip
"""Operators that are no use without what they stand beside."""


def operators() -> list[str]:
    return [cls.bl_idname.partition(".")[2] for cls in own_classes() if issubclass(cls, bpy.types.Operator)]


def test_everything_an_animator_does_is_in_the_menu(module: Any) -> None:
    layout = Layout()
    menu = module("ui.menus").KINESICS_MT_main
    menu.draw(SimpleNamespace(layout=layout), bpy.context)
    listed = [name.removeprefix("kinesics.") for name in layout.drawn]
    assert len(set(listed)) == len(listed)
    assert set(listed) | ELSEWHERE == set(operators()) and not set(listed) & ELSEWHERE


@pytest.mark.parametrize("home", ["VIEW3D_MT_object", "VIEW3D_MT_pose"])
def test_the_menu_stands_in_those_of_blender_and_leaves_them(home: str) -> None:
    """Blender keeps what was appended in the menu's `draw`."""

    def ours() -> int:
        functions = getattr(getattr(bpy.types, home).draw, "_draw_funcs", [])
        return sum("kinesics" in function.__module__ for function in functions)

    assert ours() == 1
    disable()
    assert ours() == 0
    enable()
    assert ours() == 1


@pytest.mark.parametrize("busy", [False, True])
def test_what_cannot_be_done_now_says_why(
    scene: Any, module: Any, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    """Without a character, and while a motion is being made: a poll without a message leaves one guessing."""
    if busy:
        monkeypatch.setattr(module("operators.generate"), "_session", SimpleNamespace())
    refused = 0
    for name in operators():
        operator = getattr(bpy.ops.kinesics, name)
        if operator.poll():
            continue
        refused += 1
        with pytest.raises(RuntimeError) as caught:
            operator("EXEC_DEFAULT")
        said = re.search(r"poll\(\) (?:failed, )?(.*)", str(caught.value))
        assert said and len(said[1]) > 10 and "context is incorrect" not in said[1], f"{name}: {caught.value}"
    assert refused > 15
