# SPDX-License-Identifier: GPL-3.0-or-later
"""What is held out: neither these recordings nor anything edited from these clips is ever trained on."""

from __future__ import annotations

HELD_OUT_CLIPS: tuple[str, ...] = (
    "07_02", "12_02", "16_31", "35_05", "35_11", "35_30",  # walk
    "09_05", "35_20", "35_24",  # run
    "13_19", "13_41",  # jump
    "05_10", "05_14", "49_13",  # dance
    "salsa_07", "salsa_22",  # salsa: the two dancers of one take
    "indian_13", "martial_04", "10_03", "13_36", "14_34", "14_31", "14_18", "49_07", "06_05", "14_05",
    "49_19",
)  # fmt: skip
"""CMU trials kept for evaluation, over all kinds of motion."""

HELD_OUT_AUDIO: tuple[str, ...] = (
    *(f"librispeech/{name}" for name in (
        "1081-125237-0000", "125-121124-0000", "1502-122615-0000", "1743-142912-0000", "1970-10594-0000",
        "211-122425-0000", "233-134440-0000", "2518-154825-0000", "2843-152918-0000", "302-123504-0000",
        "3235-11599-0000", "3440-171006-0000", "3807-4923-0000", "40-121026-0000", "4137-11701-0000",
        "4362-15663-0000", "458-126290-0000", "4853-27670-0000", "5322-7678-0000", "5652-19215-0000",
        "5867-48852-0000", "6147-34605-0000", "6437-66172-0000", "6836-61803-0000", "7113-86041-0000",
        "7302-86814-0000", "7635-105409-0000", "8063-274112-0000", "83-11691-0000", "8468-286673-0000",
    )),
    *(f"ljspeech/LJ001-{number:04d}" for number in range(25, 33)),
)  # fmt: skip
"""Speech files kept for evaluation, as folder/name without the ending. Every 8th LibriSpeech speaker by
name."""
