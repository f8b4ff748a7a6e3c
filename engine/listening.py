# SPDX-License-Identifier: GPL-3.0-or-later
"""What a request hears: codes of its sound, and where lips meet, found as the windows come to them.

So the first window does not wait for the whole of a long sound. Both depend on a few seconds of sound around
them only, and each piece is read with more than that: its codes are those of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .audio.features import FEATURE_HZ, speech_features
from .language.layout import MOTION_TIME
from .lips import LipCloser, with_lips_closed
from .motion.arrays import FloatArray
from .specs import AUDIO_HZ, FRAMES_PER_STEP, MOTION_FPS, Part, Source
from .tokenizers.base import Tokenizer
from .windows import Window

HEARD_AROUND_S = 4
"""Sound taken along before and after, so that its loudness is judged as in the whole."""

FIRST_STEPS, PIECE_STEPS, AROUND_STEPS = 60, 450, 30
"""Motion steps of the first piece (8 s) and of a later one (60 s), and those read around each (4 s): whole
seconds, so that frames lie on the same samples."""

MARGIN_STEPS = 8
"""Steps after a window whose sound it may hear."""


class Listening:
    """What one request hears.

    Args:
        tokenizer: Turns features into codes.
        wave: Samples at `AUDIO_HZ`, (N,).
        start_s: Second of them at which the motion begins; may lie before the sound.
        num_steps: Motion steps T.
        lips: Hears where lips meet, or None.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        wave: FloatArray,
        start_s: float,
        num_steps: int,
        lips: LipCloser | None = None,
    ) -> None:
        self._tokenizer, self._wave, self._start_s = tokenizer, wave, start_s
        self._num_steps, self._heard, self._lips = num_steps, 0, lips
        self._codes: Tensor | None = None
        self._closed = np.zeros(num_steps * FRAMES_PER_STEP, np.float32)

    def upto(self, step: int) -> Tensor:
        """Codes of the whole motion, (2T, levels), which are right up to what a window hears.

        Args:
            step: The step after the window's last one.
        """
        needed = min(step + MARGIN_STEPS, self._num_steps)
        while self._codes is None or self._heard < needed:
            begin = self._heard
            stop = min(begin + (PIECE_STEPS if begin else FIRST_STEPS), self._num_steps)
            piece = self._hear(begin, stop)
            if self._codes is None:
                self._codes = piece.new_zeros((self._num_steps * MOTION_TIME, piece.shape[1]))
            self._codes[begin * MOTION_TIME : stop * MOTION_TIME] = piece
            self._heard = stop
        return self._codes

    def with_lips_closed(self, face: FloatArray, windows: Sequence[Window], first: int = 0) -> FloatArray:
        """A made face whose lips meet where the sound says so, as far as the face follows it.

        Args:
            face: Channels from some frame on, (F, 52).
            windows: What drives it, and when.
            first: That frame.
        """
        if self._lips is None:
            return face
        result, last = face.copy(), first + len(face)
        self.upto(-(-last // FRAMES_PER_STEP))
        for window in windows:
            if window.sources[Part.FACE] in (Source.SPEECH, Source.BOTH):
                begin = max((window.start + window.num_decided) * FRAMES_PER_STEP, first)
                stop = min((window.start + window.length) * FRAMES_PER_STEP, last)
                if begin < stop:
                    own = slice(begin - first, stop - first)
                    result[own] = with_lips_closed(face[own], self._closed[begin:stop])
        return result

    @torch.inference_mode()
    def _hear(self, begin: int, stop: int) -> Tensor:
        """Codes of some steps, (2 * steps, levels); where lips meet in them is kept."""
        first, last = max(begin - AROUND_STEPS, 0), min(stop + AROUND_STEPS, self._num_steps)
        second = self._start_s + first * FRAMES_PER_STEP / MOTION_FPS
        features = heard_features(self._wave, second, (last - first) * FRAMES_PER_STEP)
        codes = self._tokenizer.encode(torch.from_numpy(features)[None])
        codes = codes.view((last - first) * MOTION_TIME, -1)
        if self._lips is not None:
            own = slice((begin - first) * FRAMES_PER_STEP, (stop - first) * FRAMES_PER_STEP)
            self._closed[begin * FRAMES_PER_STEP : stop * FRAMES_PER_STEP] = self._lips.closed(features)[own]
        return codes[(begin - first) * MOTION_TIME : (stop - first) * MOTION_TIME]


def heard_features(wave: FloatArray, start_s: float, num_frames: int) -> FloatArray:
    """Speech features from a second of a sound on, silence outside it.

    Args:
        wave: Samples at `AUDIO_HZ`, (N,).
        start_s: Second at which the motion begins; may lie before the sound.
        num_frames: Motion frames F.

    Returns:
        (2F, 44), float32.
    """
    around = HEARD_AROUND_S * AUDIO_HZ
    begin = round(start_s * AUDIO_HZ)
    lead = max(min(begin, around), 0) // AUDIO_HZ * AUDIO_HZ
    wanted = lead + (num_frames + 1) * AUDIO_HZ // MOTION_FPS
    heard = wave[max(begin - lead, 0) : max(begin - lead + wanted + around, 0)]
    before = max(-begin, 0)
    after = max(wanted - before - len(heard), 0)
    if before or after:
        heard = np.pad(heard, (before, after))
    first = lead // AUDIO_HZ * FEATURE_HZ
    return speech_features(heard)[first : first + 2 * num_frames]
