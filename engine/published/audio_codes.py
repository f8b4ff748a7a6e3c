# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of what the four-part release hears: one number for 80 ms of sound (spec 4.2).

GLM-4-Voice's speech tokenizer, which is not part of Kinesics, makes the numbers; the user writes them to
.npy files.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import AudioError

if TYPE_CHECKING:
    import numpy.typing as npt

MAX_CODES_BYTES = 10_000_000
"""Largest file of a sound's codes that is opened: a hundred thousand seconds."""


def load_audio_codes(path: Path) -> npt.NDArray[Any]:
    """Read the numbers of a sound from an npy file, (A,), int64.

    Raises:
        AudioError: If the file is missing, damaged, or holds anything but whole numbers.
    """
    import numpy as np

    from ..motion.npz_reader import READ_ERRORS, npy_layout

    try:
        length = path.stat().st_size
        with path.open("rb") as stream:
            size, dtype = npy_layout(stream)
            if max(size, length) > MAX_CODES_BYTES or not 0 < size <= length or dtype.kind not in "iu":
                raise ValueError("no whole numbers, or far too many")
            stream.seek(0)
            held = np.lib.format.read_array(stream, allow_pickle=False)
    except READ_ERRORS as problem:
        raise AudioError(
            f"{path.name} cannot be read as a listened-to sound; give an .npy file of whole numbers that "
            "GLM-4-Voice's speech tokenizer made."
        ) from problem
    return held.reshape(-1).astype(np.int64)
