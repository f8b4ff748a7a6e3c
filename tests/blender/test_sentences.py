# SPDX-License-Identifier: GPL-3.0-or-later
"""Every sentence that an error or a report may say is there in Chinese, with its values in their places."""
# ruff: noqa: RUF001 (Chinese punctuation)

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from tests.blender.support import REPOSITORY
from tests.sentences import Said, error_names, said_in

TABLE = REPOSITORY / "operators" / "wording" / "zh_HANS.toml"

CALLS = {"worded": 0, "progress": 1, "report": 1, "step": 1, "Verdict": 1}
"""Calls, beside those that make errors, whose argument at that place is shown."""

RESULTS = {
    "operators/install_engine.py": {"offer"},
    "engine/installing/accelerators.py": {"reason", "_why_processor"},
    "engine/published/four_part_files.py": {"_WHERE_LANGUAGE", "NEEDS_LISTENER"},
    "engine/published/choice.py": {
        "WHERE_MOTION",
        "WHERE_ROOT",
        "WHERE_LANGUAGE",
        "WHERE_WORDS",
        "WHERE_SPEECH",
        "WHERE_CENTRES",
    },
}
"""Functions and constants whose sentences get shown."""

FOUND_BY_EYE = {
    'Strip "{strip}": {error}': "operators/dialogue_plan.py",
    "{part}: {error}": "operators/generation.py",
    "The file {path} cannot be opened ({reason}); check it.": "engine/published/files.py",
    "{name} is a link that leads out of the folder; copy the file itself there.": "engine/published/files.py",
    "{part}: {words}, with the speech": "operators/take_list.py",
    "An NVIDIA graphics card was found, and is used": "engine/installing/accelerators.py",
}
"""Sentences that are made in other ways, and where."""

FOR_OTHERS = re.compile(
    r"engine/(training|data|evaluation|batch)/|(operators/batch|engine/(cluster|__main__))\.py$"
)
"""Files that nobody reads the errors of in Blender: training, and what is said in a terminal."""

PASSED_ON = {
    "error",
    "wish",
    "problem",
    "str(error)",
    "str(problem)",
    "session.problem",
    "made.text",
    "verdict.text",
    "refusal",
    "line",
    "text",
    "message",
    "told['message']",
    "STOPPED",
    "NEEDS_LISTENER",
    "install_engine.offer(preferences.processor_only)",
    "'\\n'.join([*missing, *findings.refused])",
}
"""Expressions for what was said elsewhere."""


@cache
def said() -> tuple[tuple[str, Said], ...]:
    """Everything an animator may be told, with the file it is in."""
    folders = [REPOSITORY / folder for folder in ("operators", "ui", "engine")]
    paths = sorted(path for folder in folders for path in folder.rglob("*.py"))
    paths = [path for path in paths if not FOR_OTHERS.search(path.as_posix())]
    calls = dict.fromkeys(error_names(paths) - {"DataError"}, 0) | CALLS
    places = [path.relative_to(REPOSITORY).as_posix() for path in paths]
    return tuple(
        (place, one) for place in places for one in said_in(REPOSITORY / place, calls, RESULTS.get(place, ()))
    )


def sentences() -> dict[str, str]:
    """Sentences with a name in braces wherever a value goes, each with the place where it is said."""
    found = {text: f"{place}:{one.line}" for place, one in said() for text in one.texts}
    has_words = re.compile("[A-Za-z]{2}")
    found |= FOUND_BY_EYE
    return {text: place for text, place in found.items() if has_words.search(re.sub(r"{\w*}", "", text))}


def filled(text: str) -> tuple[str, list[str]]:
    """A sentence with values, and these."""
    values: list[str] = []

    def value(_: re.Match[str]) -> str:
        values.append(f"<{len(values) + 1}>")
        return values[-1]

    return re.sub(r"{\w*}", value, text), values


def pattern(sentence: str) -> str:
    """A regular expression for a sentence with any values."""
    return re.sub(r"\\{\w+\\}", ".+", re.escape(sentence))


def is_chinese(text: str) -> bool:
    """Whether a text is Chinese, but for names of things and what is typed."""
    return bool(re.search("[\u4e00-\u9fff]", text)) and not re.search("(?:[A-Za-z]+ ){3}[A-Za-z]+", text)


class Names(dict[str, str]):
    """Blender's Chinese for the names in our panels."""

    def __missing__(self, name: str) -> str:
        return name


@pytest.fixture()
def wording(module: Callable[[str], Any]) -> Any:
    """What is said where Blender speaks Chinese; bpy was built without languages."""
    catalogue = module("ui.translations").read_catalogue("zh_HANS")
    names = Names({english: text for (_, english), text in catalogue.items()})
    sentences = module("operators.wording").read_sentences("zh_HANS")
    return module("operators.wording").Wording(sentences, names.__getitem__)


def test_every_sentence_is_there_in_chinese(wording: Any) -> None:
    found = sentences()
    assert len(found) > 300
    missing: dict[str, str] = {}
    for text, place in found.items():
        english, values = filled(text)
        answer = wording.translated(english)
        if not is_chinese(answer) or any(value not in answer for value in values):
            missing[text] = f"{place}, now {answer!r}"
    lines = [f'{json.dumps(text, ensure_ascii=False)} = ""  # {place}' for text, place in missing.items()]
    assert not missing, "\n".join(["add to operators/wording/zh_HANS.toml:", *lines])


def test_no_sentence_is_left_over(wording: Any) -> None:
    said = {filled(text)[0] for text in sentences()}
    used = {one for text in said for one in wording.sentences if re.fullmatch(pattern(one), text)}
    words = tomllib.loads(TABLE.read_text(encoding="utf-8"))["words"]
    assert set(wording.sentences) - used - set(words) == set()


def test_values_stay_in_the_translation(wording: Any) -> None:
    for english, chinese in wording.sentences.items():
        assert sorted(re.findall(r"{\w*}", english)) == sorted(re.findall(r"{\w*}", chinese)), english


def test_every_sentence_can_be_told_from_the_source() -> None:
    unknown = [(place, one) for place, one in said() if not one.texts and one.source not in PASSED_ON]
    assert [one for one in unknown if not one[1].source.startswith("worded(")] == []


def test_every_report_is_worded() -> None:
    reports = [
        node
        for path in sorted((REPOSITORY / "operators").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "self.report"
    ]
    assert len(reports) > 40
    said = [ast.unparse(report.args[1]) for report in reports]
    assert [text for text in said if not text.startswith("worded(")] == []


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("Added Face", "已添加 Face"),
        ("Made 3 takes", "已生成 3 条动作"),
        ("9 keys instead of 90, at most 1 degrees", "9 keys instead of 90, at most 1 degrees"),
        (
            '"Rig" cannot be moved yet: the rig has no bone "hip"; choose another one in Rig Mapping.',
            "“Rig”还不能动：绑定中没有骨骼“hip”：请在“骨骼对应”中选择另一根。",
        ),
        (
            'Strip "Hello": Upper Body: The instruction "wave" on the timeline lasts 0.1 s; make it last at '
            "least 0.3 s.",
            "片段“Hello”：上半身：时间线上的指令“wave”持续 0.1 秒：请让它至少持续 0.3 秒。",
        ),
        (
            "Rig is an unknown rig: its bones were guessed, check them in Rig Mapping; still missing: "
            "Left Foot, Neck",
            "Rig 是未知的绑定：骨骼为推测所得，请在“骨骼对应”中检查；仍缺少：左脚、颈部",
        ),
        ("Frames 1 to 9: happiness 83%", "第 1 至 9 帧：快乐 83%"),
        ("Face: smile, with the speech", "面部：smile，配合语音"),
    ],
)
def test_values_go_into_their_places(wording: Any, english: str, chinese: str) -> None:
    assert wording.translated(english) == chinese


def test_only_a_blender_in_another_language_translates(
    module: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    wording = module("operators.wording")
    error = ValueError('"Rig" has no table: press Set Up Character first.\nSaved film.mp4')
    assert wording.worded(error) == str(error)
    monkeypatch.setattr(wording, "pgettext_rpt", lambda text, _context: {"Done": "Fertig"}.get(text, text))
    assert wording.worded(error) == str(error), "there is no file of sentences for it"
    sentences = wording.read_sentences("zh_HANS")
    monkeypatch.setattr(wording, "read_sentences", lambda _language: sentences)
    assert wording.worded(error) == "“Rig”没有表格：请先点击“设置角色”。\n已保存 film.mp4"
