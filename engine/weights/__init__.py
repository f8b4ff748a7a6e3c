# SPDX-License-Identifier: GPL-3.0-or-later
"""Weight files of strangers: described first, read afterwards, and never run."""
