# SPDX-License-Identifier: GPL-3.0-or-later
"""Finished windows of a motion, built while the rest is still being drawn, for looking at.

The result is built anew from all codes at the end and is the same with or without: a glimpse lacks what comes
after it, its feet are not planted, and no random number is drawn for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from .motion.arrays import FloatArray
from .motion.clip import Clip
from .requests import put_back
from .specs import Glimpse, Part, ShowCallback
from .tokenizers.motion_vqvae import CONTEXT_STEPS, MotionVQVAE

Decode = Callable[[Part, int, int], FloatArray]
"""Features of a part from one frame to another, (frames, D)."""

Build = Callable[[Mapping[Part, FloatArray], Clip | None], Clip]
"""A clip of features, the first frame of which stands where the given one-frame clip does."""


class Glimpses:
    """Builds one request's glimpses, each going on where the one before ended.

    Args:
        show: Given each glimpse.
        num_frames: Frames of the whole motion.
        decode: Turns codes into features.
        build: Turns features into a clip.
        kept: What the parts that are not made do, or None.
    """

    def __init__(
        self, show: ShowCallback, num_frames: int, decode: Decode, build: Build, kept: Clip | None
    ) -> None:
        self._show, self._num_frames, self._kept = show, num_frames, kept
        self._decode, self._build = decode, build
        self._last: Clip | None = None

    def add(self, parts: Sequence[Part], first: int, stop: int) -> None:
        """Show the frames from one to another, whose codes are all there.

        Args:
            parts: Parts that are made.
            first: First frame; 0 begins anew.
            stop: Frame after the last one; cut to the motion's length.
        """
        stop = min(stop, self._num_frames)
        if not parts or stop <= first:
            return
        last = self._last if first else None
        begin = first - 1 if last is not None else first
        clip = self._build({part: self._decode(part, begin, stop) for part in parts}, last)
        self._last = clip.slice(clip.num_frames - 1, clip.num_frames)
        clip = clip.slice(first - begin, clip.num_frames)
        if self._kept is not None:
            clip = put_back(clip, self._kept.slice(first, stop), parts)
        self._show(Glimpse(first, clip, tuple(parts)))


@torch.inference_mode()
def decoded_between(network: MotionVQVAE, codes: Tensor, first: int, stop: int) -> FloatArray:
    """Features of some frames, read from their codes and those before.

    Args:
        network: The part's network.
        codes: Codes of the whole motion, (T * levels,); those up to the last frame count.
        first: First frame.
        stop: Frame after the last one.

    Returns:
        (stop - first, D), float32.
    """
    begin = max(first // network.stride - CONTEXT_STEPS, 0)
    end = math.ceil(stop / network.stride)
    levels = network.num_quantizers
    features = network.decode(codes[None, begin * levels : end * levels])[0]
    lead = begin * network.stride
    return features[first - lead : stop - lead].float().cpu().numpy()


def moved_to(clip: Clip, last: Clip | None) -> Clip:
    """A clip moved over the floor so that it starts where another one ends."""
    if last is None:
        return clip
    step = last.pelvis_positions[-1] - clip.pelvis_positions[0]
    return clip.moved(shift=(float(step[0]), float(step[2])))
