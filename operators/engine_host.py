# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine inside Blender: loaded on first use, kept for the next, used by one job at a time."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.errors import Cancelled
from .errors import SetupError
from .job import IsCancelled, ReportProgress

if TYPE_CHECKING:
    from ..engine.pipeline import Engine

_lock = threading.Lock()
_loaded: dict[tuple[str, str, float], Engine] = {}

WAIT_STEP_S = 0.05
"""How often a waiting job looks whether it was cancelled, in seconds."""

PACKAGES = ("torch", "scipy", "soundfile", "safetensors", "tokenizers")
"""What the engine imports and Blender does not bring."""


def check_packages() -> None:
    """Find out before a job starts, and without importing anything, whether the engine can run.

    Raises:
        SetupError: If a package is missing.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise SetupError(
            f"This Blender lacks {', '.join(missing)}, which the motion model needs: "
            "install it once as the README says, then restart Blender."
        )


def load_engine(pack_dir: Path, device: str) -> Engine:
    """Load a pack from disk; the first call imports torch."""
    from ..engine.pipeline import load_engine as load

    return load(pack_dir, device)


@contextmanager
def engine_for(
    pack_dir: Path, device: str, progress: ReportProgress, cancelled: IsCancelled
) -> Iterator[Engine]:
    """Hold the engine of a pack while one job uses it.

    The last pack stays in memory; another pack, device or a changed pack folder replaces it.

    Raises:
        Cancelled: If the job is cancelled while it waits for another one to let go.
        PackError: If the pack cannot be used.
    """
    while not _lock.acquire(timeout=WAIT_STEP_S):
        progress(0.0, "Waiting for the previous motion to stop")
        if cancelled():
            raise Cancelled("Stopped before anything was changed.")
    try:
        card = pack_dir / "pack.toml"
        key = (str(pack_dir), device, card.stat().st_mtime if card.is_file() else 0.0)
        if key not in _loaded:
            progress(0.0, "Loading the motion model")
            engine = load_engine(pack_dir, device)
            _loaded.clear()
            _loaded[key] = engine
        yield _loaded[key]
    finally:
        _lock.release()


def is_loaded() -> bool:
    """Whether an engine is in memory."""
    return bool(_loaded)


def release() -> None:
    """Forget the engine, so that its memory can be used again."""
    _loaded.clear()
