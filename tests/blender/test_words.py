# SPDX-License-Identifier: GPL-3.0-or-later
"""What an animator reads: everything has a tooltip, and everything is there in Chinese."""

from __future__ import annotations

import ast
import json
import re
import tomllib
import typing
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.blender.support import KEY, REPOSITORY, bpy

TEXT_CALLS = {
    "poll_message_set": 0,
    "pgettext_iface": 0,
    "pgettext_tip": 0,
    "progress": 1,
    "report": 1,
    "worded": 0,
}
"""Calls whose argument at that place is read by an animator."""

LATIN = re.compile(r"[A-Za-z]{2}")
"""Texts without a word, such as a number's unit, need no translation."""


def own_classes() -> list[type]:
    """Every registered class of the extension."""
    bases = (
        bpy.types.Operator,
        bpy.types.Panel,
        bpy.types.Menu,
        bpy.types.UIList,
        bpy.types.PropertyGroup,
        bpy.types.AddonPreferences,
    )
    found = [cls for base in bases for cls in base.__subclasses__() if cls.__module__.startswith(KEY)]
    assert len(found) > 20
    return sorted(found, key=lambda cls: cls.__name__)


def own_properties(cls: type) -> Iterator[tuple[str, dict[str, Any]]]:
    """Properties that the extension gave a class and named for animators, with what they are made of."""
    for name, hint in typing.get_type_hints(cls).items():
        made_of = getattr(hint, "keywords", {})
        if "name" in made_of and "HIDDEN" not in made_of.get("options", ()):
            yield f"{cls.__name__}.{name}", made_of


def tooltip(cls: type) -> str:
    """Tooltip of an operator or a panel."""
    if issubclass(cls, bpy.types.Operator):
        category, name = cls.bl_idname.split(".")
        return getattr(getattr(bpy.ops, category), name).get_rna_type().description
    return cls.bl_description


def texts_of_classes() -> dict[str, str]:
    """Labels, tooltips and names of choices, each with where it stands."""
    found: dict[str, str] = {}
    for cls in own_classes():
        found.setdefault(getattr(cls, "bl_label", ""), cls.__name__)
        if issubclass(cls, bpy.types.Operator | bpy.types.Panel):
            found.setdefault(tooltip(cls), cls.__name__)
        for place, made_of in own_properties(cls):
            found.setdefault(made_of["name"], place)
            found.setdefault(made_of.get("description", ""), place)
            items = made_of.get("items", ())
            for item in items if isinstance(items, tuple | list) else ():
                found.setdefault(item[1], place)
                found.setdefault(item[2], place)
    return found


def constants_in(node: ast.AST) -> Iterator[str]:
    """Texts an expression may come to; a formatted one comes to none, since it cannot be looked up."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from constants_in(node.body)
        yield from constants_in(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from constants_in(value)


def texts_in_source() -> dict[str, str]:
    """Texts that panels, greyed buttons and progress bars show, each with where it stands."""
    found: dict[str, str] = {}
    folders = [REPOSITORY / folder for folder in ("ui", "operators", "engine/published")]
    paths = [path for folder in folders for path in folder.rglob("*.py")]
    for path in sorted([*paths, REPOSITORY / "engine" / "pipeline.py"]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            shown = [word.value for word in node.keywords if word.arg == "text"]
            if name in TEXT_CALLS and len(node.args) > TEXT_CALLS[name]:
                shown.append(node.args[TEXT_CALLS[name]])
            for text in (text for value in shown for text in constants_in(value)):
                found.setdefault(text, f"{path.relative_to(REPOSITORY)}:{node.lineno}")
    return found


@pytest.fixture(scope="module")
def chinese() -> dict[str, str]:
    """The Chinese texts by the English ones."""
    groups = tomllib.loads((REPOSITORY / "ui" / "translations" / "zh_HANS.toml").read_text(encoding="utf-8"))
    entries = [entry for group in groups.values() for entry in group.items()]
    twice = sorted(
        english for english, count in Counter(english for english, _ in entries).items() if count > 1
    )
    assert twice == [], "these stand in two groups"
    return dict(entries)


def test_every_operator_and_panel_has_a_tooltip() -> None:
    classes = [cls for cls in own_classes() if issubclass(cls, bpy.types.Operator | bpy.types.Panel)]
    assert [cls.__name__ for cls in classes if not tooltip(cls)] == []
    assert [cls.__name__ for cls in classes if "  " in tooltip(cls) or "\n" in tooltip(cls)] == []
    assert [cls.__name__ for cls in classes if tooltip(cls).endswith(".")] == [], "Blender adds the full stop"


def test_every_named_property_has_a_tooltip() -> None:
    named = [prop for cls in own_classes() for prop in own_properties(cls)]
    assert len(named) > 50
    bare = [place for place, made_of in named if not made_of.get("description")]
    assert bare == []


def test_every_operator_is_found_by_its_name_in_the_search() -> None:
    """F3 lists what menus and panels hold and, for the rest, operators by label; two of one name confuse."""
    labels = Counter(cls.bl_label for cls in own_classes() if issubclass(cls, bpy.types.Operator))
    allowed = {"Forget Table", "Save Preset", "Load Preset"}  # once for bones and once for face shapes
    assert {label for label, count in labels.items() if count > 1} <= allowed
    assert all(label and label[0].isupper() for label in labels)


def test_everything_is_there_in_chinese(chinese: dict[str, str]) -> None:
    read = {text: place for text, place in {**texts_in_source(), **texts_of_classes()}.items() if text}
    missing = {text: place for text, place in read.items() if LATIN.search(text) and text not in chinese}
    lines = [f'{json.dumps(text, ensure_ascii=False)} = ""  # {place}' for text, place in missing.items()]
    assert not missing, "\n".join(["add to ui/translations/zh_HANS.toml:", *lines])


def test_no_translation_is_left_over(chinese: dict[str, str]) -> None:
    paths = [path for folder in ("ui", "operators") for path in (REPOSITORY / folder).rglob("*.py")]
    source = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    read = {**texts_in_source(), **texts_of_classes()}
    assert [text for text in chinese if text not in read and f'"{text}"' not in source] == []


def test_places_for_values_stay_in_the_translation(chinese: dict[str, str]) -> None:
    for english, text in chinese.items():
        assert text.strip(), english
        assert sorted(re.findall(r"{\w*}", english)) == sorted(re.findall(r"{\w*}", text)), english


@pytest.mark.parametrize("length", [10, 25, 80])
def test_texts_are_broken_into_lines(module: Callable[[str], Any], length: int) -> None:
    wrapped = module("ui.lines").wrapped
    english = "There is no curve to follow: choose one in the Shape box."
    lines = wrapped(english, length)
    assert " ".join(lines) == english and all(len(line) <= length for line in lines)
    chinese = "SMPL-X 模型文件的许可仅限非商业研究、两者均不随 Kinesics 提供。"
    lines = wrapped(chinese, length)
    assert "".join(lines).replace(" ", "") == chinese.replace(" ", "")
    assert not any(line[0] in "、。" for line in lines) and max(map(len, lines)) <= length
    assert len(lines) >= len(chinese) * 1.5 // length and wrapped("", length) == [""]


def test_names_are_looked_up_as_words_of_this_extension() -> None:
    """Blender's own Chinese would be taken first, and means others by some, as by "Face" that of a mesh."""
    wrong = []
    for cls in own_classes():
        operator = issubclass(cls, bpy.types.Operator)
        rna = (
            getattr(bpy.ops.kinesics, cls.bl_idname.split(".")[1]).get_rna_type() if operator else cls.bl_rna
        )
        if issubclass(cls, bpy.types.Operator | bpy.types.Panel) and rna.translation_context != "Kinesics":
            wrong.append(cls.__name__)
        for place, _ in own_properties(cls):
            name = place.rpartition(".")[2]
            if name == "name":
                continue  # Blender answers with what every group has by that name
            if rna.properties[name].translation_context != "Kinesics":
                wrong.append(place)
    assert wrong == []


def test_blender_shows_chinese_where_the_animator_chose_it() -> None:
    view = bpy.context.preferences.view
    languages = [item.identifier for item in view.bl_rna.properties["language"].enum_items]
    if "zh_HANS" not in languages:
        pytest.skip("this Blender was built without languages")
    before = view.language
    try:
        view.language = "zh_HANS"
        view.use_translate_interface = True
        assert bpy.app.translations.pgettext_iface("Generate", "Operator") == "生成"
        assert bpy.app.translations.pgettext_iface("Upper Body") == "上半身"
        assert bpy.app.translations.pgettext_iface("Feet", "Kinesics") == "双脚"
    finally:
        view.language = before
    assert bpy.app.translations.pgettext_iface("Generate", "Operator") == "Generate"
