# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentences that the program says, read from its source, with a name in braces wherever a value goes."""

from __future__ import annotations

import ast
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

Known = Mapping[str, list[ast.expr]]
"""What names were set to."""


@dataclass(frozen=True)
class Said:
    """A place where something is said.

    Attributes:
        line: Line in the file.
        source: The expression there.
        texts: What it may come to; none where the source does not tell.
    """

    line: int
    source: str
    texts: tuple[str, ...]


def error_names(paths: Iterable[Path]) -> set[str]:
    """Names of `EngineError` and of every class that descends from it."""
    nodes = [node for path in paths for node in ast.walk(_tree(path))]
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    names: set[str] = set()
    found = {"EngineError"}
    while not found <= names:
        names |= found
        found = {cls.name for cls in classes if any(_name(base) in names for base in cls.bases)}
    return names


def said_in(path: Path, calls: Mapping[str, int], results: Iterable[str] = ()) -> Iterator[Said]:
    """Everything that is said in certain ways.

    Args:
        path: Python file.
        calls: Names of functions and classes, each with the place of its argument that is a sentence.
        results: Names of functions that return sentences, and of constants that are some.
    """
    tree = _tree(path)
    for home in [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))]:
        own = list(_own_nodes(home))
        known = {**_set_by(tree.body), **_set_by(own)}
        told = [value for name in results for value in _set_by(own).get(name, ())]
        for node in own:
            if isinstance(node, ast.Call) and calls.get(_name(node), len(node.args)) < len(node.args):
                told.append(node.args[calls[_name(node)]])
            if isinstance(node, ast.Return) and node.value and getattr(home, "name", "") in results:
                told.append(node.value)
        for value in told:
            yield Said(value.lineno, ast.unparse(value), tuple(_texts(value, known)))


def _texts(node: ast.expr, known: Known) -> list[str]:
    """What an expression may come to; nothing where that cannot be told."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return _joined(node.values, known)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        told = _texts(node.left, known) or _texts(node.right, known)
        return _joined([node.left, node.right], known) if told else []
    choices: list[ast.expr] = []
    if isinstance(node, ast.IfExp):
        choices = [node.body, node.orelse]
    elif isinstance(node, ast.BoolOp):
        choices = node.values
    elif isinstance(node, ast.Name):
        choices = known.get(node.id, [])
        known = {name: values for name, values in known.items() if name != node.id}
    found = [(_texts(choice, known), _hole(choice)) for choice in choices]
    if not any(texts for texts, _ in found):
        return []
    return [text for texts, hole in found for text in texts or [hole]]


def _joined(pieces: list[ast.expr], known: Known) -> list[str]:
    """What pieces one after another may come to."""
    values = [piece.value if isinstance(piece, ast.FormattedValue) else piece for piece in pieces]
    told = [_texts(value, known) or [_hole(value)] for value in values]
    return ["".join(texts) for texts in itertools.product(*told)]


def _hole(node: ast.expr) -> str:
    return f"{{{_name(node).lower()}}}"


def _name(node: ast.AST) -> str:
    """A word for what is read or called: `load` of `packs.load(path)`, `path` of `path.name`."""
    if isinstance(node, ast.Attribute) and node.attr not in ("name", "value", "text"):
        return node.attr.strip("_")
    if isinstance(node, ast.Name):
        return node.id.strip("_")
    inner = next((getattr(node, field) for field in ("func", "value", "left") if hasattr(node, field)), None)
    return _name(inner) if isinstance(inner, ast.AST) else "number"


def _own_nodes(home: ast.Module | ast.FunctionDef) -> Iterator[ast.AST]:
    """All that stands in a module or function, but not in its functions."""
    waiting: list[ast.AST] = list(home.body)
    while waiting:
        node = waiting.pop()
        if not isinstance(node, ast.FunctionDef):
            yield node
            waiting += ast.iter_child_nodes(node)


def _set_by(nodes: Iterable[ast.AST]) -> dict[str, list[ast.expr]]:
    """What statements set names to."""
    found: dict[str, list[ast.expr]] = defaultdict(list)
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id].append(node.value)
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            found[node.target.id].append(ast.BinOp(ast.Name(node.target.id), node.op, node.value))
    return found


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
