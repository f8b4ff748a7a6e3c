# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that the documents show: their modules, options, recipes and make targets are there."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

from engine.training.recipe import load_recipe
from engine.training.stage_recipe import load_stage_recipe

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "engine/training/model_card.md"]
DOCUMENTS += sorted((ROOT / "docs").glob("*.md"))

_BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`]+)`")
_MODULE = re.compile(r"python -m (engine[\w.]*)(.*)")
_MAKE = re.compile(r"make ([a-z][\w/.-]*)")


def commands(text: str) -> list[str]:
    """Every line of a block, with those it goes on in, and all code within sentences."""
    blocks = "".join(_BLOCK.findall(text)).replace("\\\n", " ").splitlines()
    return [*blocks, *(" ".join(code.split()) for code in _INLINE.findall(_BLOCK.sub("", text)))]


SHOWN = [line for path in DOCUMENTS for line in commands(path.read_text("utf-8"))]
CALLS = sorted({found.groups() for line in SHOWN if (found := _MODULE.search(line))})
TARGETS = sorted({found[1] for line in SHOWN if (found := _MAKE.match(line))})


def test_there_are_commands_to_look_at() -> None:
    assert len(CALLS) > 30
    assert {"test", "demo", "evaluate", "package"} <= set(TARGETS)


@pytest.mark.parametrize(("module", "rest"), CALLS, ids=[f"{m}{r}" for m, r in CALLS])
def test_a_shown_command_can_be_read(
    module: str, rest: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its module takes the command, whose help names every option that is shown with it."""
    words = shlex.split(rest, comments=True)
    command = words[:1] if words and re.fullmatch(r"[a-z][a-z-]+", words[0]) else []
    monkeypatch.setattr(sys, "argv", [module, *command, "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module(module, run_name="__main__")
    assert end.value.code == 0
    told = capsys.readouterr().out
    assert {word for word in words if word.startswith("--")} <= set(re.findall(r"--[a-z][\w-]*", told))
    if "--recipe" in words and (name := words[words.index("--recipe") + 1]) and "$" not in name:
        if module.endswith("experiments"):
            assert all(load_stage_recipe(f"{name}/{stage}") for stage in ("pretraining", "tuning"))
        else:
            assert load_stage_recipe(name) if command == ["stage"] else load_recipe(name)


@pytest.mark.parametrize("target", TARGETS)
def test_a_shown_target_is_one_of_make(target: str) -> None:
    assert re.search(rf"^{re.escape(target)}\b.*:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
