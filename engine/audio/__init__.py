# SPDX-License-Identifier: GPL-3.0-or-later
"""Sound: reading files, checking waveforms, and what speech sounds like frame by frame."""
