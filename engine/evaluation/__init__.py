# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what a pack can do: `python -m engine.evaluation`. Offline only, never shipped."""
