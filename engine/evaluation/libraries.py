# SPDX-License-Identifier: GPL-3.0-or-later
"""Libraries that only measuring needs: listed in requirements-dev.txt, loaded when they are used."""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import EngineError


def development_library(name: str) -> Any:
    """A module of a development library.

    Args:
        name: As in an import.

    Raises:
        EngineError: If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        package = name.split(".")[0]
        raise EngineError(f"{package} is missing; install requirements-dev.txt.") from problem
