# SPDX-License-Identifier: GPL-3.0-or-later
"""Many lines at once: a table of lines in, a motion file per line and one report out."""
