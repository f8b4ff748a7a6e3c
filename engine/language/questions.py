# SPDX-License-Identifier: GPL-3.0-or-later
"""The sentences with which a motion is asked for words; training uses the same ones."""

from __future__ import annotations

EMOTION_QUESTION = "Which emotion does the motion show?"
DESCRIPTION_QUESTION = "Describe the motion in a sentence."
TRANSCRIPT_QUESTION = "Write down what is said."
