# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures every test may use."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.no_network import sitecustomize as no_network

REPOSITORY = Path(__file__).resolve().parent.parent

# Processes that tests start are guarded as well.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(Path(no_network.__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
)
_descriptor, _name = tempfile.mkstemp(prefix="kinesics-network-")
os.close(_descriptor)
_refused = Path(_name)
os.environ[no_network.LOG_VARIABLE] = str(_refused)


def pytest_unconfigure() -> None:
    """Leave no trace."""
    _refused.unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def no_network_was_used() -> Iterator[None]:
    """Fails a test during which this process, or one it started, wanted to reach another machine."""
    yield
    attempts = no_network.taken()
    assert not attempts, f"no test may use the network: {attempts}"


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
