# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion files as other programs write them: arrays, types and keywords of each one's own `np.savez` call."""

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
    np.savez(
        path,
        betas=np.zeros(300, dtype=np.float32),
        poses=arrays["poses"],
        expressions=arrays["expressions"],
        trans=arrays["trans"],
        model="smplx2020",
        gender="neutral",
        mocap_frame_rate=30,
    )


def save_emage(path: Path, arrays: Arrays) -> None:
    """As beat_format_save of PantoMatrix does for EMAGE: drawn out by linspace, hence float64."""
    doubles = {name: value.astype(np.float64) for name, value in arrays.items()}
    np.savez(
        path,
        betas=np.zeros((len(doubles["poses"]), 300))[0],
        poses=doubles["poses"],
        expressions=doubles["expressions"],
        trans=doubles["trans"],
        model="smplx2020",
        gender="neutral",
        mocap_frame_rate=30,
    )


def save_emage_test(path: Path, arrays: Arrays) -> None:
    """As EMAGE's first trainer does in a test: the shape of the speaker's file, of whatever it has."""
    betas = np.linspace(-1.0, 1.0, 300)
    np.savez(path, betas=betas, model="smplx2020", gender="neutral", mocap_frame_rate=30, **arrays)


LAYOUTS = {"lom": save_lom, "emage": save_emage, "emage-test": save_emage_test}
