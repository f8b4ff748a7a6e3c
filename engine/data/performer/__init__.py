# SPDX-License-Identifier: GPL-3.0-or-later
"""A procedural performer that turns speech into whole-body motion, the teacher of the starter pack."""

from .teacher import Performance, idle, perform, perform_features

__all__ = ["Performance", "idle", "perform", "perform_features"]
