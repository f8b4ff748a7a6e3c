# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion: clips, skeletons, rotations, part features, foot lock and body models."""
