# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinesics inference engine: speech and words to full-body motion. Never imports bpy."""
