# SPDX-License-Identifier: GPL-3.0-or-later
"""Frozen configuration dataclasses to and from the plain tables of `pack.toml`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from ..errors import PackError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    ConfigT = TypeVar("ConfigT", bound=DataclassInstance)

PlainValue = str | int | float | bool

MAX_SIZE = 10_000_000
"""Largest whole number a description may hold."""

MAX_LAYERS = 100
"""Most layers or levels; each costs time to draw up, however small it is."""


def config_to_dict(config: DataclassInstance) -> dict[str, PlainValue]:
    """Plain values of a dataclass of numbers, strings, booleans and string enums."""
    return {k: str(v.value) if isinstance(v, Enum) else v for k, v in asdict(config).items()}


def config_from_dict(cls: type[ConfigT], values: Mapping[str, object], what: str) -> ConfigT:
    """Read what `config_to_dict` wrote, checking names and types.

    Args:
        cls: Dataclass whose fields are annotated `int`, `float`, `bool`, `str` or a string enum.
        values: The table.
        what: What the table describes, for messages ("the hands").

    Returns:
        The configuration.

    Raises:
        PackError: If a name is unknown or missing, or a value has the wrong type or range.
    """
    known = {item.name: item for item in fields(cls)}
    if unknown := sorted(set(values) - set(known)):
        raise PackError(
            f"The pack's description of {what} has unknown settings ({', '.join(unknown)}); "
            "update Kinesics or use a pack made for this version."
        )
    required = {n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING}
    try:
        if missing := sorted(required - set(values)):
            raise ValueError(f"{', '.join(missing)} missing")
        return cls(**{name: _typed(name, str(known[name].type), value) for name, value in values.items()})
    except (TypeError, ValueError) as problem:
        raise PackError(
            f"The pack's description of {what} cannot be used ({problem}); download the pack again."
        ) from problem


def _typed(name: str, annotation: str, value: object) -> object:
    """Check one value against its field's annotation and range; strings become enums in the dataclass."""
    if annotation == "bool":
        if isinstance(value, bool):
            return value
    elif annotation == "int":
        if isinstance(value, int) and not isinstance(value, bool):
            most = MAX_LAYERS if name.endswith(("layers", "quantizers")) else MAX_SIZE
            if not 0 <= value <= most:
                raise ValueError(f"{name} is {value}")
            return value
    elif annotation == "float":
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if not math.isfinite(value):
                raise ValueError(f"{name} is {value}")
            return float(value)
    elif isinstance(value, str):
        return value
    raise TypeError(f"{value!r} is not of type {annotation}")
