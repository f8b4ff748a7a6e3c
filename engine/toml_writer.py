# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain values to TOML 1.0 text; the standard library only reads it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import cast

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(table: Mapping[str, object]) -> str:
    """Write a table of strings, numbers, booleans, lists of those, tables and lists of tables.

    Raises:
        TypeError: If a value has another type; TOML has no null.
    """
    lines: list[str] = []
    _write_table(lines, (), table)
    return "\n".join(lines).lstrip("\n") + "\n"


def _write_table(lines: list[str], path: tuple[str, ...], table: Mapping[str, object]) -> None:
    """Append a table's own values, then its tables: TOML wants that order."""
    nested: list[tuple[str, object]] = []
    for name, value in table.items():
        if isinstance(value, Mapping) or _is_table_list(value):
            nested.append((name, value))
        else:
            lines.append(f"{_key(name)} = {_value(value)}")
    for name, value in nested:
        below = (*path, name)
        header = ".".join(map(_key, below))
        if isinstance(value, Mapping):
            lines += ["", f"[{header}]"]
            _write_table(lines, below, cast("Mapping[str, object]", value))
        else:
            for item in cast("Sequence[Mapping[str, object]]", value):
                lines += ["", f"[[{header}]]"]
                _write_table(lines, below, item)


def _is_table_list(value: object) -> bool:
    if not isinstance(value, (list, tuple)):
        return False
    items = cast("Sequence[object]", value)
    return bool(items) and all(isinstance(item, Mapping) for item in items)


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _string(name)


def _string(text: str) -> str:
    # JSON's escapes are TOML's too; only DEL must be escaped besides.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(item) for item in cast('Sequence[object]', value))}]"
    raise TypeError(f"TOML cannot hold {type(value).__name__}.")
