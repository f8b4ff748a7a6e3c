# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine inside Blender: loaded on first use, kept for the next, used by one job at a time."""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.errors import Cancelled
from .errors import SetupError
from .job import STOPPED, IsCancelled, ReportProgress
from .log import LOG

if TYPE_CHECKING:
    from ..engine.specs import MotionEngine

_lock = threading.Lock()
_loaded: dict[tuple[str, str, float, int, bool], MotionEngine] = {}
_limit_mb = 0
_fast = False

WAIT_STEP_S = 0.05
"""How often a waiting job looks whether it was cancelled, in seconds."""

MANY_MODULES = 50
"""So many new modules are worth freezing."""

_LIBRARIES = (
    ("torch", "lib/libtorch_python.*"),
    ("scipy", "../scipy.libs/libscipy_openblas*"),
    ("onnxruntime", "capi/onnxruntime_pybind11_state*"),
)
"""Packages whose import opens large libraries, and where in them those are."""

PACKAGES = ("torch", "scipy", "soundfile", "safetensors", "tokenizers")
"""What the engine imports and Blender does not bring."""


def missing_packages() -> list[str]:
    """Packages that this Blender cannot import."""
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def check_packages() -> None:
    """Find out before a job starts, and without importing anything, whether the engine can run.

    Raises:
        SetupError: If a package is missing.
    """
    missing = missing_packages()
    if missing:
        raise SetupError(
            f"This Blender lacks {', '.join(missing)}, which the motion model needs: "
            "press Install Engine in the preferences of Kinesics, or see its README."
        )


def set_memory_limit(limit_mb: int) -> None:
    """Most memory for a model that is loaded from now on, 0 for no limit."""
    global _limit_mb
    _limit_mb = limit_mb


def set_fast(fast: bool) -> None:
    """Whether a large model that is loaded from now on may be less exact."""
    global _fast
    _fast = fast


def load_engine(pack_dir: Path, device: str) -> MotionEngine:
    """Load a pack from disk; the first call imports torch.

    Raises:
        SetupError: If a package is there but does not work.
        PackError: If the pack cannot be used.
    """
    began = time.perf_counter()
    with importing():
        from ..engine.pipeline import load_engine as load
    with _uncollected():
        engine = load(pack_dir, device, _limit_mb, _fast)  # imports more
    LOG.info("loaded %s on %s in %.1f s", pack_dir, device, time.perf_counter() - began)
    return engine


@contextmanager
def importing() -> Iterator[None]:
    """Keep the import of large packages from stopping the main thread; for worker threads.

    Raises:
        SetupError: If a package is there but does not work.
    """
    with _uncollected():
        try:
            _open_libraries()
            yield
        except (ImportError, OSError) as error:
            raise SetupError(
                f"A package that the motion model needs is damaged or of the wrong version ({error}): "
                "install it again as the README says, then restart Blender."
            ) from error


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep Python's garbage collector out.

    Importing makes a million lasting objects; the collector would walk through all of them again and again,
    and holds Python's global lock while it does. Frozen, they are also spared by every later collection.
    """
    known, enabled = len(sys.modules), gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) - known > MANY_MODULES:
            gc.freeze()
        if enabled:
            gc.enable()


def _open_libraries() -> None:
    """Have the system open the large libraries of packages before Python does.

    Python holds its global lock while it opens a library, which stops the main thread, and with it Blender's
    window, for as long as the disk needs; a call through ctypes does not. Where this finds nothing to open,
    the import that follows does the work or says what is wrong.
    """
    if os.name != "posix":
        return
    for package, place in _LIBRARIES:
        found = importlib.util.find_spec(package) if package not in sys.modules else None
        for folder in (found.submodule_search_locations if found is not None else None) or []:
            for library in sorted(Path(folder).glob(place)):
                system = ctypes.CDLL(None)
                system.dlopen.argtypes = [ctypes.c_char_p, ctypes.c_int]
                system.dlopen.restype = ctypes.c_void_p
                system.dlopen(str(library).encode(), os.RTLD_LAZY)


@contextmanager
def engine_for(
    pack_dir: Path, device: str, progress: ReportProgress, cancelled: IsCancelled
) -> Iterator[MotionEngine]:
    """Hold the engine of a pack while one job uses it.

    The last pack stays in memory; another pack, device or a changed pack folder replaces it.

    Raises:
        Cancelled: If the job is cancelled while it waits for another one to let go.
        PackError: If the pack cannot be used.
    """
    while not _lock.acquire(timeout=WAIT_STEP_S):
        progress(0.0, "Waiting for the previous motion to stop")
        if cancelled():
            raise Cancelled(STOPPED)
    try:
        card = pack_dir / "pack.toml"
        key = (str(pack_dir), device, card.stat().st_mtime if card.is_file() else 0.0, _limit_mb, _fast)
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
    gc.unfreeze()
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is None:
        return
    from ..engine.memory import give_back

    give_back()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
