# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion files as other programs write them: the arrays, types and words that each one's own call gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[Any]]


def motion(num_frames: int) -> Arrays:
    """A body that turns every joint a little and walks, with a face, all float32."""
    generator = np.random.default_rng(7)
    drift = 0.02 * generator.standard_normal((num_frames, 165)).cumsum(axis=0)
    trans = np.linspace([0.0, 1.2, 0.0], [0.1, 1.25, 0.8], num_frames)
    face = 0.5 * generator.standard_normal((num_frames, 100))
    values = {"poses": 0.1 + drift, "trans": trans, "expressions": face}
    return {name: value.astype(np.float32) for name, value in values.items()}


def save_lom(path: Path, arrays: Arrays) -> None:
    """As demo.py of Language of Motion does, for speech and for text alike."""
    _save(path, np.zeros(300, dtype=np.float32), arrays)


def save_emage(path: Path, arrays: Arrays) -> None:
    """As beat_format_save of PantoMatrix does for EMAGE: drawn out by linspace, hence float64."""
    doubles = {name: value.astype(np.float64) for name, value in arrays.items()}
    _save(path, np.zeros(300), doubles)


def save_emage_test(path: Path, arrays: Arrays) -> None:
    """As EMAGE's first trainer does in a test: the shape of the speaker's file, of whatever it has."""
    _save(path, np.linspace(-1.0, 1.0, 300), arrays)


def _save(path: Path, betas: npt.NDArray[Any], arrays: Arrays) -> None:
    """The keywords that all of them give."""
    np.savez(path, betas=betas, model="smplx2020", gender="neutral", mocap_frame_rate=30, **arrays)


LAYOUTS = {"lom": save_lom, "emage": save_emage, "emage-test": save_emage_test}
