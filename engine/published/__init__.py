# SPDX-License-Identifier: GPL-3.0-or-later
"""The published Language of Motion model: downloaded files to a pack, and the pack to memory."""
