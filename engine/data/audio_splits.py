# SPDX-License-Identifier: GPL-3.0-or-later
"""Speech files that no model is ever trained on; evaluation uses them."""

from __future__ import annotations

HELD_OUT_AUDIO: tuple[str, ...] = (
    "librispeech/1081-125237-0000.flac",
    "librispeech/125-121124-0000.flac",
    "librispeech/1502-122615-0000.flac",
    "librispeech/1743-142912-0000.flac",
    "librispeech/1970-10594-0000.flac",
    "librispeech/211-122425-0000.flac",
    "librispeech/233-134440-0000.flac",
    "librispeech/2518-154825-0000.flac",
    "librispeech/2843-152918-0000.flac",
    "librispeech/302-123504-0000.flac",
    "librispeech/3235-11599-0000.flac",
    "librispeech/3440-171006-0000.flac",
    "librispeech/3807-4923-0000.flac",
    "librispeech/40-121026-0000.flac",
    "librispeech/4137-11701-0000.flac",
    "librispeech/4362-15663-0000.flac",
    "librispeech/458-126290-0000.flac",
    "librispeech/4853-27670-0000.flac",
    "librispeech/5322-7678-0000.flac",
    "librispeech/5652-19215-0000.flac",
    "librispeech/5867-48852-0000.flac",
    "librispeech/6147-34605-0000.flac",
    "librispeech/6437-66172-0000.flac",
    "librispeech/6836-61803-0000.flac",
    "librispeech/7113-86041-0000.flac",
    "librispeech/7302-86814-0000.flac",
    "librispeech/7635-105409-0000.flac",
    "librispeech/8063-274112-0000.flac",
    "librispeech/83-11691-0000.flac",
    "librispeech/8468-286673-0000.flac",
    "ljspeech/LJ001-0025.flac",
    "ljspeech/LJ001-0026.flac",
    "ljspeech/LJ001-0027.flac",
    "ljspeech/LJ001-0028.flac",
    "ljspeech/LJ001-0029.flac",
    "ljspeech/LJ001-0030.flac",
    "ljspeech/LJ001-0031.flac",
    "ljspeech/LJ001-0032.flac",
)
"""File names below the speech folder: 30 LibriSpeech speakers and 8 LJSpeech sentences."""


def is_held_out(name: str) -> bool:
    """Whether a file (its name or path) belongs to the held-out audio."""
    return name.replace("\\", "/").rsplit("/", 1)[-1] in _HELD_NAMES


_HELD_NAMES = frozenset(path.rsplit("/", 1)[-1] for path in HELD_OUT_AUDIO)
