# SPDX-License-Identifier: GPL-3.0-or-later
"""Getting the packages the engine needs onto a machine: which files, whether they are whole, where they go.

Standard library only, so that it runs before anything else is there.
"""
