# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder of the reference vectors and data: $KINESICS_SHARED, or `shared` beside the checkout."""
    folder = Path(os.environ.get("KINESICS_SHARED") or REPOSITORY.parent / "shared")
    if not folder.is_dir():
        pytest.skip(f"needs the reference data in {folder.name}/ beside the checkout (or KINESICS_SHARED)")
    return folder
