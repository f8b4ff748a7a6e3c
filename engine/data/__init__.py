# SPDX-License-Identifier: GPL-3.0-or-later
"""Training data of the starter pack: captured clips, their edits and captions, and the performer."""
